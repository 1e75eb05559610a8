"""`concview scale -- CMD {n}`: how a program's throughput grows with its workers, and where more of them lose."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from statistics import median
from typing import TYPE_CHECKING, Any

from concview.commands.base import Command, CommandError, Exit

if TYPE_CHECKING:
    from concview.scale.models import Fit, Parameter

#: Columns of the bars.
_BAR = 40


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--counts", metavar="N,N,...", help="worker counts (default: 1, 2, 4, ... to twice the CPUs)")
    parser.add_argument("--repeats", metavar="N", default="3", help="runs at each count, 1 to 100 (default 3)")
    parser.add_argument("--timeout", metavar="S", default="300", help="seconds that one run may take (default 300)")
    parser.add_argument(
        "--throughput",
        metavar="REGEX",
        help="the program prints its throughput: a pattern whose first group is the number (the last match counts); "
        "without it every run must do the same work, and throughput is runs per second",
    )
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(options: argparse.Namespace) -> int:
    from concview.scale.models import CannotFit, fit
    from concview.scale.runs import PLACEHOLDER, RunFailed, runs

    command: list[str] = options.rest or []
    if not any(PLACEHOLDER in word for word in command):
        raise CommandError(
            f"the command has no place for the worker count: {PLACEHOLDER}",
            Exit.USAGE,
            "for example: concview scale -- python job.py --workers {n}",
        )
    counts, repeats = _counts(options.counts), _whole("--repeats", options.repeats, 1, 100)
    timeout = float(_whole("--timeout", options.timeout, 1, 86_400))
    try:
        said = re.compile(options.throughput) if options.throughput is not None else None
    except re.error as error:
        raise CommandError(f"--throughput is not a valid regular expression: {error}", Exit.USAGE) from None
    if said is not None and said.groups < 1:
        raise CommandError("--throughput needs a group around the number", Exit.USAGE, r"for example: '([\d.]+) req/s'")
    try:
        import scipy.optimize  # noqa: F401  # before the runs, which may take minutes
    except ImportError:
        raise CommandError("fitting needs SciPy", Exit.USAGE, "pip install 'concview[scale]'") from None
    points: list[tuple[int, float]] = []
    try:
        for n, throughput in runs(command, counts, repeats, said, timeout):
            points.append((n, throughput))
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{len(points)} of {len(counts) * repeats} runs ")
                sys.stderr.flush()
    except RunFailed as error:
        raise CommandError(str(error), Exit.NO_TARGET) from None
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
    fits: list[Fit] = []
    problems: list[str] = []
    for model in ("Amdahl", "USL"):
        try:
            fits.append(fit(points, model))
        except CannotFit as error:
            problems.append(str(error))
    if options.format == "json":
        _write_json(command, points, fits, problems)
    else:
        sys.stdout.write(_text(points, fits, problems, said is not None))
    return Exit.FINE


def _counts(text: str | None) -> list[int]:
    if text is None:
        cpus = len(os.sched_getaffinity(0))
        return [1 << i for i in range(max(3, math.ceil(math.log2(2 * cpus)) + 1))]
    words = [w.strip() for w in text.split(",")]
    if not all(w.isdecimal() and 1 <= int(w) <= 100_000 for w in words):
        raise CommandError(f"--counts takes whole numbers from 1 on, separated by commas, not {text!r}", Exit.USAGE)
    return sorted({int(w) for w in words})


def _whole(option: str, text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise CommandError(f"{option} takes a whole number from {least} to {most}, not {text!r}", Exit.USAGE)
    return int(text)


def _write_json(command: list[str], points: list[tuple[int, float]], fits: list[Fit], problems: list[str]) -> None:
    import msgspec

    from concview.scale.models import better

    def described(fit: Fit) -> dict[str, Any]:
        parameters = {name: getattr(fit, name) for name in ("gamma", "alpha", "beta")}
        return {
            "model": fit.model,
            **{k: {"value": p.value, "low": _finite(p.low), "high": _finite(p.high)} for k, p in parameters.items()},
            "r_squared": fit.r_squared,
            "aicc": _finite(fit.aicc),
            "peak_workers": _finite(fit.peak),
            "most": _finite(fit.most),
        }

    value = {
        "schema": 1,
        "command": command,
        "runs": [{"workers": n, "throughput": x} for n, x in points],
        "points": [
            {"workers": n, "median": x, "speedup": s, "efficiency": e, "karp_flatt": k}
            for n, x, s, e, k in _rows(points)
        ],
        "fits": [described(f) for f in fits],
        "better": (better(fits[1], fits[0]) or None) if len(fits) == 2 else None,
        "not_fitted": problems,
    }
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _rows(points: list[tuple[int, float]]) -> list[tuple[int, float, float, float, float | None]]:
    """(workers, median throughput, speed-up, efficiency, Karp-Flatt) per count. One worker's throughput is taken as
    the least count's share of it where 1 was not run."""
    from concview.scale.models import karp_flatt

    counts = sorted({n for n, _ in points})
    medians = {n: median(x for m, x in points if m == n) for n in counts}
    one = medians[counts[0]] / counts[0]
    return [
        (n, medians[n], medians[n] / one, medians[n] / one / n, karp_flatt(n, medians[n] / one) if n > 1 else None)
        for n in counts
    ]


def _text(points: list[tuple[int, float]], fits: list[Fit], problems: list[str], told: bool) -> str:
    from concview.commands._text_writer import Pen
    from concview.scale.models import better

    pen = Pen()
    rows = _rows(points)
    best = fits[-1] if fits else None
    top = max(x for _, x, *_ in rows)
    model = best.model if best is not None else "no model"
    pen.paragraph(
        f"Throughput {'as the program printed it' if told else 'in runs per second, the same work in each'}: "
        f"median of {len(points) // len(rows)} at each worker count. '#' measured, '|' {model}.",
        "",
    )
    pen.line()
    table = []
    for n, x, speedup, efficiency, serial in rows:
        bar = list("#" * max(1, round(x / top * _BAR)) + " " * _BAR)[: _BAR + 8]
        if best is not None:
            bar[min(len(bar) - 1, round(best.throughput(n) / top * _BAR))] = "|"
        table.append(
            [
                str(n),
                "".join(bar).rstrip(),
                f"{x:.4g}",
                f"{speedup:.2f}",
                f"{efficiency * 100:.0f} %",
                "" if serial is None else f"{serial:.3f}",
            ]
        )
    widest = max(len(row[1]) for row in table)
    for row in table:
        row[1] = row[1].ljust(widest)
    pen.table(["workers", "", "throughput", "speed-up", "efficiency", "Karp-Flatt"], table, left=2)
    pen.line()
    for fit in fits:
        terms = f"alpha (one at a time) {_range(fit.alpha)}"
        if fit.model == "USL":
            terms += f", beta (agreement) {_range(fit.beta)}"
        pen.paragraph(f"{terms}, one worker {_range(fit.gamma)}; R² {fit.r_squared:.3f}", label=fit.model)
    for problem in problems:
        pen.paragraph(problem, label="not fitted")
    if len(fits) == 2:
        pen.line()
        pen.paragraph(_conclusion(fits[1], fits[0], better(fits[1], fits[0]), rows), "")
    return pen.text()


#: An interval of Amdahl's serial share that is wider says nothing: half of all that is possible.
TOO_WIDE = 0.5


def _conclusion(usl: Fit, amdahl: Fit, which: str, rows: list[tuple[int, float, float, float, float | None]]) -> str:
    """'Most throughput with about 12 workers: 1884. More workers lose: ...'"""
    least, most_run = rows[0], rows[-1][0]
    if usl.alpha.value >= 1 and least[1] == max(x for _, x, *_ in rows):
        return (
            f"Every worker beyond {least[0]} lowers the throughput: the work is done one at a time, and handing it "
            "around costs more than nothing."
        )
    low, high = max(0.0, amdahl.alpha.low), min(1.0, amdahl.alpha.high)
    if which != "USL" and math.isfinite(amdahl.alpha.high) and high - low > TOO_WIDE:
        return (
            f"The points scatter too much for either law: the share of the work that is done one at a time may be "
            f"{low * 100:.0f} to {high * 100:.0f} %. Let each run last longer, or repeat it more often."
        )
    if which == "USL" and math.isfinite(usl.peak):
        beyond = " (more than were run: an extrapolation)" if usl.peak > most_run else ""
        return (
            f"Most throughput with about {max(1.0, usl.peak):.0f} workers{beyond}: {usl.most:.4g}. "
            "More workers lose: what they do to agree with each other costs more than they add."
        )
    if which == "Amdahl":
        limit = (
            f"never beyond a throughput of {amdahl.most:.4g}, {amdahl.most / amdahl.gamma.value:.1f} times one worker's"
            if math.isfinite(amdahl.most)
            else "and no limit shows"
        )
        return f"Amdahl's law explains it: more workers help less and less, {limit}. No loss by more workers shows."
    return (
        "These points cannot tell whether more workers will at last lose (the Universal Scalability Law) or only help "
        "less and less (Amdahl's law). Run more worker counts, larger ones, or more repeats."
    )


def _range(parameter: Parameter) -> str:
    if not math.isfinite(parameter.high):
        return f"{parameter.value:.4g} (no interval: as many points as parameters)"
    return f"{parameter.value:.4g} ({parameter.low:.4g} .. {parameter.high:.4g})"


COMMAND = Command(
    name="scale",
    summary="run a program at several worker counts: how it scales, and where more workers lose",
    description="Run a command at several worker counts, {n} standing for the count, and fit Amdahl's law and the\n"
    "Universal Scalability Law to its throughput, with 95 % intervals; Karp-Flatt at every point.\n"
    "    concview scale --counts 1,2,4,8,16 -- python job.py --workers {n}\n"
    "Needs SciPy: pip install 'concview[scale]'.",
    configure=configure,
    run=run,
    order=64,
    rest="dashes",
)
