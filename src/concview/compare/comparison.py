"""Two sides of runs against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from concview.compare import statistics
from concview.compare.flame import Flame
from concview.compare.measure import LESS, MORE, Metric, Run
from concview.model import Finding
from concview.text import plural, short_command

GROUPS = ("time", "process", "locks", "queues", "requests")
#: Rows in which neither side reaches this are nothing to show; in the row's unit.
_LEAST = {"s": 1e-6, "% of thread time": 0.1, "% of active time": 0.1, "% of the time": 0.1, "threads": 0.01}
#: One side lasted so many times as long as the other.
_LENGTHS_DIFFER = 2.0


@dataclass(frozen=True, slots=True)
class Row:
    """`base` and `new`: medians of runs, or means over time. An interval is None where there are too few runs for
    one; `p` None: no test was possible. `change`: of `new` against `base`, 0.1 is 10 % more; None from 0."""

    metric: Metric
    base: float
    new: float
    base_interval: tuple[float, float] | None
    new_interval: tuple[float, float] | None
    p: float | None
    significant: bool

    @property
    def change(self) -> float | None:
        return self.new / self.base - 1 if self.base > 0 else None

    @property
    def verdict(self) -> str:
        """'worse', 'better', 'differs', or '~': not significant."""
        if not self.significant:
            return "~"
        if self.metric.better not in (LESS, MORE) or self.new == self.base:
            return "differs"
        return "better" if (self.new < self.base) == (self.metric.better == LESS) else "worse"


@dataclass(slots=True)
class Comparison:
    """`unit`: 'runs' or 'time', what was repeated. `notes`: what a reader must know before he believes any of it; among
    them `untellable`."""

    base: list[Run]
    new: list[Run]
    unit: str = ""
    notes: list[str] = field(default_factory=list)
    untellable: str = ""  #: why no number can be significant, whatever was measured; '' where one can
    rows: list[Row] = field(default_factory=list)
    came: list[Finding] = field(default_factory=list)
    went: list[Finding] = field(default_factory=list)
    stayed: list[Finding] = field(default_factory=list)
    unjudged: list[Finding] = field(default_factory=list)  #: of `base`; the rule could not judge `new`
    flame: Flame | None = None  #: where the time of threads went; None where nobody has looked

    def geomean(self, group: str) -> float | None:
        """Of new to base over the rows of a group in which both are above 0."""
        return statistics.geomean([r.new / r.base for r in self.rows if r.metric.group == group and r.new > 0 < r.base])

    def worse(self, percent: float) -> list[Row]:
        """Rows that are significantly worse by more than so many percent; from 0 to something is."""
        return [r for r in self.rows if r.verdict == "worse" and (r.change is None or abs(r.change) * 100 > percent)]


def compare(base: Sequence[Run], new: Sequence[Run], alpha: float = statistics.ALPHA) -> Comparison:
    out = Comparison(list(base), list(new))
    out.notes += _mismatches(out.base, out.new)
    runs = min(len(base), len(new)) >= 2
    out.unit = "runs" if runs else "time"
    out.notes.append(_about_runs(len(base), len(new)) if runs else _about_time(out))
    out.untellable = _too_few_runs(len(base), len(new), alpha) if runs else _too_short(out)
    out.notes += [out.untellable] if out.untellable else []
    for metric in sorted({m for run in (*base, *new) for m in run.series}, key=lambda m: (GROUPS.index(m.group), m)):
        row = _of_runs(metric, base, new, alpha) if runs else _of_time(metric, base, new, alpha)
        if row is not None and max(row.base, row.new) >= _LEAST.get(metric.unit, 0.01):
            out.rows.append(row)
    _findings(out)
    if chance := round(alpha * sum(r.p is not None for r in out.rows)):
        out.notes.append(
            f"{plural(len(out.rows), 'number')} are compared: some {chance} would differ so by chance alone"
        )
    unnamed = sum(run.unnamed for run in (*base, *new))
    if unnamed:
        out.notes.append(f"{plural(unnamed, 'lock or queue', 'locks and queues')} without a name are left out")
    return out


def _about_runs(n: int, m: int) -> str:
    return f"unit of repetition: the run; {n} against {m}, medians, Mann-Whitney test"


def _too_few_runs(n: int, m: int, alpha: float) -> str:
    least = statistics.smallest_p(n, m)
    if least <= alpha:
        return ""
    return (
        f"n too small to ever be significant: {n} against {m} runs give p = {least:.2g} at best; "
        f"{statistics.runs_needed(alpha)} a side can be significant at {alpha:g}"
    )


def _windows(out: Comparison) -> list[int]:
    return [sum(r.windows for r in side) for side in (out.base, out.new)]


def _about_time(out: Comparison) -> str:
    base, new = _windows(out)
    return (
        f"unit of repetition: time within the run, in windows of {out.base[0].window_s:g} s and "
        f"{out.new[0].window_s:g} s ({base} against {new}), means, block bootstrap. This tells whether "
        "these runs differ, not whether the next ones will: for that, give several recordings a side"
    )


def _too_short(out: Comparison) -> str:
    least = min(_windows(out))
    if least >= statistics.LEAST_WINDOWS:
        return ""
    return (
        f"too short to tell anything: {least} windows, {statistics.LEAST_WINDOWS} of at least a second "
        "are needed on either side; record for longer"
    )


def _of_runs(metric: Metric, base: Sequence[Run], new: Sequence[Run], alpha: float) -> Row | None:
    sides = []
    for side in (base, new):
        values = [sum(v) / len(v) for run in side if (v := run.values(metric))]
        if not values:
            return None
        sides.append(values)
    first, second = sides
    p = statistics.mann_whitney(first, second)
    return Row(
        metric,
        statistics.median(first),
        statistics.median(second),
        statistics.median_interval(first, alpha),
        statistics.median_interval(second, alpha),
        p,
        p <= alpha,
    )


def _of_time(metric: Metric, base: Sequence[Run], new: Sequence[Run], alpha: float) -> Row | None:
    first, second = ([v for run in side for v in run.values(metric)] for side in (base, new))
    if not first or not second:
        return None
    if min(len(first), len(second)) < statistics.LEAST_WINDOWS:
        return Row(metric, sum(first) / len(first), sum(second) / len(second), None, None, None, False)
    found = statistics.resample(first, second)
    return Row(metric, found.base, found.new, found.base_interval, found.new_interval, found.p, found.p <= alpha)


def _findings(out: Comparison) -> None:
    before = [f for run in out.base for f in run.findings.values()]
    after = {f.place: f for run in out.new for f in run.findings.values()}
    judged = frozenset().union(*(run.judged for run in out.new))
    known = known_findings(out.base)
    out.came = [f for place, f in after.items() if place not in known]
    out.stayed = [f for place, f in after.items() if place in known]
    gone = {f.place: f for f in before if f.place not in after}.values()
    out.went = [f for f in gone if f.id in judged]
    out.unjudged = [f for f in gone if f.id not in judged]


def known_findings(base: Sequence[Run]) -> frozenset[tuple[str, str, str]]:
    return frozenset(f.place for run in base for f in run.findings.values())


def _mismatches(base: list[Run], new: list[Run]) -> list[str]:
    said = []
    for what, of in (
        ("program", lambda t: short_command(t.command)),
        ("Python", lambda t: t.python + (", free-threaded" if t.free_threaded else "")),
        ("number of CPUs it may use", lambda t: f"{t.cpus:g}"),
    ):
        sides = [sorted({of(r.target) for r in side if r.target is not None}) for side in (base, new)]
        if sides[0] != sides[1]:
            said.append(f"other {what}: {', '.join(sides[0]) or 'unknown'} against {', '.join(sides[1]) or 'unknown'}")
    for what, values in (
        ("engine", [sorted({r.engine for r in side}) for side in (base, new)]),
        ("rate", [sorted({f"{r.rate_hz:g} Hz" for r in side}) for side in (base, new)]),
    ):
        if values[0] != values[1]:
            said.append(f"other {what}: {', '.join(values[0])} against {', '.join(values[1])}")
    lengths = [sum(r.seconds for r in side) / len(side) for side in (base, new)]
    if max(lengths) > _LENGTHS_DIFFER * min(lengths):
        said.append(
            f"{lengths[0]:.0f} s against {lengths[1]:.0f} s: what comes seldom is seen more often in the longer"
        )
    for run in (*base, *new):
        if "breaks off" in run.ending:
            said.append(f"{run.name}: {run.ending}")
    return said
