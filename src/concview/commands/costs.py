"""`concview costs`: what threads, locks, queues, tasks and processes cost on this machine and this Python."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from concview.commands.base import Command, CommandError, Exit

if TYPE_CHECKING:
    from concview.costs.constants import Cost, Measured


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--python", metavar="PYTHON", help="interpreter to measure (default: the one concview runs on)")
    parser.add_argument("--only", metavar="NAMES", help="some of them, by name, separated by commas")
    parser.add_argument("--rounds", metavar="N", default="15", help="measurements of each, 3 to 200 (default 15)")
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(options: argparse.Namespace) -> int:
    import msgspec

    from concview.costs.measure import DESCRIBED, CannotMeasure, keep, measure, resolved, version_of

    rounds = _rounds(options.rounds)
    names = [n.strip() for n in options.only.split(",") if n.strip()] if options.only is not None else []
    unknown = [n for n in names if n not in DESCRIBED]
    if unknown or (options.only is not None and not names):
        raise CommandError(
            f"no such cost: {', '.join(unknown) or options.only!r}", Exit.USAGE, f"there are: {', '.join(DESCRIBED)}"
        )
    try:
        executable = resolved(options.python or sys.executable)
        version = version_of(executable)
        costs: list[Cost] = []
        failed: dict[str, str] = {}
        for name, found in measure(executable, rounds, names):
            if isinstance(found, str):
                failed[name] = found
            else:
                costs.append(found)
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{len(costs) + len(failed)} of {len(names or DESCRIBED)} measured ")
                sys.stderr.flush()
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
    except CannotMeasure as error:
        raise CommandError(str(error), Exit.USAGE, "--python takes the path of a Python 3.8 or newer") from None
    measured = keep(costs, failed, executable, version) if not names else _unkept(costs, failed, executable, version)
    if options.format == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(measured), indent=2).decode() + "\n")
    else:
        sys.stdout.write(_text(measured, bool(names)))
    return Exit.FINE


def _rounds(text: str) -> int:
    if not text.isdecimal() or not 3 <= int(text) <= 200:
        raise CommandError(f"--rounds takes a whole number from 3 to 200, not {text!r}", Exit.USAGE)
    return int(text)


def _unkept(costs: list[Cost], failed: dict[str, str], executable: str, version: str) -> Measured:
    import os
    import time

    from concview.costs.constants import Measured, machine

    return Measured(
        1, machine(), version, executable, time.time(), os.getloadavg()[0], os.cpu_count() or 1, tuple(costs), failed
    )


def _text(measured: Measured, some: bool) -> str:
    from concview.commands._text_writer import Pen
    from concview.costs.measure import DESCRIBED

    pen = Pen()
    pen.line(f"Python {measured.python} on {measured.machine}", "1")
    pen.paragraph(
        "Each is the median of so many rounds of about 20 ms; the median lies in the range in brackets with 95 % "
        "certainty. Wall-clock time is what a caller waits; CPU is what the whole process spends on it.",
        "",
    )
    pen.line()
    rows = [
        [
            DESCRIBED[c.name][0],
            c.name,
            _time(c.wall_s),
            f"({_time(c.wall_low_s)} .. {_time(c.wall_high_s)})",
            _time(c.cpu_s),
            f"({_time(c.cpu_low_s)} .. {_time(c.cpu_high_s)})",
        ]
        for c in measured.costs
    ]
    pen.table(["operation", "name", "wall", "", "CPU", ""], rows, left=2)
    for name, why in measured.failed.items():
        pen.paragraph(f"{DESCRIBED[name][0]}: {why}", label="not measured")
    pen.line()
    if measured.load1 > measured.cpus:
        pen.paragraph(
            f"The machine was busy meanwhile (load average {measured.load1:.1f} on {measured.cpus} CPUs): "
            "wall-clock times hold waits for a CPU; CPU times are the better guide.",
            "",
        )
    kept = (
        "Only some were measured: nothing was kept."
        if some
        else "Kept: rules that use such costs take them from there."
    )
    pen.paragraph(kept, "")
    return pen.text()


def _time(seconds: float) -> str:
    """Three digits from nanoseconds on: what is compared here lies five powers of ten apart."""
    for factor, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 1000:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


COMMAND = Command(
    name="costs",
    summary="what threads, locks, queues, tasks and processes cost here",
    description="Measure what concurrency costs on this machine and on one Python: starting a thread, handing over a\n"
    "lock or an item, the GIL, futures, tasks, processes, pickling. Takes about ten seconds.\n"
    "The result is kept per machine and Python version; rules that use such costs take them from there.",
    configure=configure,
    run=run,
    order=62,
)
