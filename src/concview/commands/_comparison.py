"""A comparison as text, Markdown and JSON."""

from __future__ import annotations

import math
from pathlib import Path

from concview import __version__
from concview.commands import _build, _schema
from concview.commands._text_writer import BOLD, DIM, RED, YELLOW, Pen
from concview.commands.base import complain
from concview.compare.comparison import GROUPS, Comparison, Row
from concview.compare.flame import Flame, Place
from concview.compare.measure import Run
from concview.model import Finding, Severity
from concview.text import clean, plural, short_command

#: Rows of a group; the JSON has all. What is significant comes first.
MOST_ROWS = 15
#: Places of the text, and the least difference of one, threads on average.
MOST_PLACES, LEAST_SHOWN = 10, 0.05


def write(comparison: Comparison, form: str, failing: list[Finding], worse: list[Row], untold: str = "") -> str:
    """`untold`: why numbers that were to be judged cannot be."""
    if form == "json":
        return _schema.encode(comparison_out(comparison, bool(failing or worse)))
    pen = Pen(False, 110) if form == "md" else Pen()
    comparison_text(comparison, pen)
    failed = [plural(len(failing), "finding came", "findings came")] if failing else []
    failed += [plural(len(worse), "number is worse", "numbers are worse")] if worse else []
    if untold and not failed:
        pen.paragraph(f"NO VERDICT: --fail-worse: {untold}", "")
    else:
        pen.line(f"FAILED: {', '.join(failed)}" if failed else "PASSED: no finding came", RED if failed else BOLD)
    text = pen.text()
    if form == "md":
        fence = "`" * (3 + text.count("`"))  # longer than any in it
        return f"### concview compare\n\n{fence}text\n{text}{fence}\n"
    return text


def comparison_text(comparison: Comparison, pen: Pen) -> None:
    for what, side in (("base", comparison.base), ("new ", comparison.new)):
        for run in side:
            pen.line(f"{what}  {_told(run)}")
    for note in comparison.notes:
        pen.paragraph(note, "")
    pen.line()
    _findings(comparison, pen)
    for group in GROUPS:
        rows = [r for r in comparison.rows if r.metric.group == group]
        if not rows:
            continue
        rows.sort(key=lambda r: (not r.significant, -_size(r)))
        pen.table(
            [group, "base", "new", "change", "p", ""],
            [
                [
                    f"{clean(r.metric.name, 60)} ({r.metric.unit})",
                    _value(r.base, r.base_interval),
                    _value(r.new, r.new_interval),
                    _change(r),
                    "" if r.p is None else f"{r.p:.3f}",
                    r.verdict,
                ]
                for r in rows[:MOST_ROWS]
            ],
        )
        if len(rows) > MOST_ROWS:
            pen.line(f"  ... {len(rows) - MOST_ROWS} more, none of them differs more (all in --format json)", DIM)
        mean = comparison.geomean(group)
        if mean is not None:
            pen.line(f"  geomean of new to base: {mean:.3f}", DIM)
        pen.line()
    if comparison.flame is not None:
        _places(comparison.flame, pen)


def _places(flame: Flame, pen: Pen) -> None:
    shown = [p for p in flame.places if abs(p.change) >= LEAST_SHOWN][:MOST_PLACES]
    if not shown:
        pen.line(f"no place differs by {LEAST_SHOWN:g} threads on average")
        pen.line()
        return
    tested = shown[0].p is not None
    pen.table(
        ["where the time of threads goes, threads on average", "base", "new", "change", *(["p", ""] if tested else [])],
        [
            [
                place_text(p),
                f"{p.base:.2f}",
                f"{p.new:.2f}",
                f"{p.change:+.2f}",
                *([f"{p.p:.3f}", "" if p.significant else "~"] if p.p is not None else []),
            ]
            for p in shown
        ],
    )
    if more := len(flame.places) - len(shown):
        pen.line(f"  ... {more} more, less different (all in --format json, drawn by --flame FILE.html)", DIM)
    pen.line()


def place_text(place: Place) -> str:
    """'lock self._lock (cache.py): Cache.get (cache.py)'."""
    what = f"{place.state} {place.lock}" if place.lock else place.state
    where = f"{place.function} ({place.file})" if place.file else place.function
    return clean(f"{what}: {where}", 100)


def draw(comparison: Comparison, path: Path) -> None:
    """The flame graph into a file. OSError when it cannot be written."""
    from concview.compare.flame_page import page, svg

    assert comparison.flame is not None
    if path.suffix == ".svg":
        text = svg(comparison.flame)
    else:
        sides = (("base", comparison.base), ("new", comparison.new))
        facts = [(what, _told(run)) for what, side in sides for run in side]
        facts += [
            (what, f"{f.id}: {f.title}")
            for what, found in (("came", comparison.came), ("went", comparison.went), ("stayed", comparison.stayed))
            for f in found
        ]
        text = page(comparison.flame, "Before against after: concview", facts, comparison.notes)
    path.write_text(text, encoding="utf-8", errors="replace")
    complain(f"the flame graph is in {path}")


def _told(run: Run) -> str:
    target = run.target
    command = f"{short_command(target.command)}, Python {target.python}, " if target is not None else ""
    return f"{run.name}: {clean(command)}{run.seconds:.0f} s"


def _findings(comparison: Comparison, pen: Pen) -> None:
    sides = (
        ("came", comparison.came, RED), ("went", comparison.went, ""), ("stayed", comparison.stayed, YELLOW),
        ("not judged any more", comparison.unjudged, YELLOW),
    )  # fmt: skip
    for what, findings, colour in sides:
        for finding in findings:
            mark = "▲" if finding.severity is Severity.WARN else "●"
            pen.line(f"{what}: {mark} {finding.id}: {finding.title}", colour)
    if not any(findings for _, findings, _ in sides):
        pen.line("no findings on either side")
    pen.line()


def _size(row: Row) -> float:
    change = row.change
    return math.inf if change is None else abs(change)


def _value(value: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"{value:.4g}"
    return f"{value:.4g} [{interval[0]:.4g}, {interval[1]:.4g}]"


def _change(row: Row) -> str:
    if row.change is None:
        return "from 0" if row.new else "0"
    return f"{row.change * 100:+.1f} %"


def comparison_out(comparison: Comparison, failed: bool) -> _schema.ComparisonOut:
    return _schema.ComparisonOut(
        schema=_schema.SCHEMA,
        concview=__version__,
        unit=comparison.unit,
        notes=comparison.notes,
        base=[_run_out(run) for run in comparison.base],
        new=[_run_out(run) for run in comparison.new],
        rows=[
            _schema.ComparisonRowOut(
                r.metric.group,
                r.metric.name,
                r.metric.unit,
                r.metric.better,
                r.base,
                r.new,
                r.base_interval,
                r.new_interval,
                r.change,
                r.p,
                r.verdict,
            )
            for r in comparison.rows
        ],
        geomeans={g: m for g in GROUPS if (m := comparison.geomean(g)) is not None},
        came=[_finding_out(f) for f in comparison.came],
        went=[_finding_out(f) for f in comparison.went],
        stayed=[_finding_out(f) for f in comparison.stayed],
        unjudged=[_finding_out(f) for f in comparison.unjudged],
        failed=failed,
        places=[
            _schema.ComparedPlaceOut(p.function, p.file, p.state, p.lock, p.base, p.new, p.p)
            for p in (comparison.flame.places if comparison.flame is not None else ())
        ],
    )


def _run_out(run: Run) -> _schema.ComparedRunOut:
    return _schema.ComparedRunOut(run.name, _build.target_out(run.target), run.seconds, run.windows, run.ending)


def _finding_out(finding: Finding) -> _schema.ComparedFindingOut:
    return _schema.ComparedFindingOut(
        finding.id, finding.severity.value, finding.title, [_build.site_out(w) for w in finding.where]
    )
