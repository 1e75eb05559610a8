"""`concview compare BASE NEW`: before against after, and whether the difference is more than chance."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concview.commands import _options
from concview.commands.base import Command, CommandError, Exit, complain
from concview.text import clean

if TYPE_CHECKING:
    from collections.abc import Collection

    from concview.compare.measure import Run
    from concview.config import Config

SUFFIX = "*.concview"
#: Names of requests and the like that are listed where none was met.
MOST_NAMES = 20


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="BASE", help="a recording of before, or a folder of them")
    parser.add_argument("new", metavar="NEW", help="a recording of after, or a folder of them")
    parser.add_argument(
        "--base", metavar="FILE", dest="more_base", action="append", default=[], help="one more of before"
    )
    parser.add_argument("--new", metavar="FILE", dest="more_new", action="append", default=[], help="one more of after")
    parser.add_argument(
        "--process",
        metavar="NAME",
        help="of recordings of several processes (record --tree): the one with this name, or number ('worker 1')",
    )
    parser.add_argument("--format", choices=["text", "json", "md"], default="text")
    parser.add_argument(
        "--fail-on",
        metavar="LEVEL",
        action="append",
        default=[],
        help="exit with 1 when a finding came, from here on: info, warn (default), never, RULE=LEVEL",
    )
    parser.add_argument(
        "--fail-worse", metavar="PERCENT", help="exit with 1 when a number is significantly worse by more than this"
    )
    parser.add_argument(
        "--flame", metavar="FILE", help="write the difference as a flame graph: FILE.html, a page, or FILE.svg"
    )
    parser.add_argument(
        "--label",
        metavar="NAME",
        action="append",
        default=[],
        help="places and flame graph: only time in the name of this request, job, query or call, as check names it (* "
        "and ? match anything); may be repeated",
    )
    parser.add_argument("--group-by", choices=["label"], default="", help="flame graph: below its root, in whose name")
    _options.add_config(parser)


def run(options: argparse.Namespace) -> int:
    from concview.commands import _comparison, _fail_on
    from concview.compare.comparison import compare
    from concview.compare.flame import flame
    from concview.session.recording import Recording

    fail_on = _fail_on.parse(options.fail_on)
    fail_worse = _percent(options.fail_worse)
    picture = _picture(options.flame)
    config = _options.settings(options)
    sides = [
        recordings([first, *more])
        for first, more in ((options.base, options.more_base), (options.new, options.more_new))
    ]
    if both := {p.resolve() for p in sides[0]} & {p.resolve() for p in sides[1]}:
        raise CommandError(f"{min(both)}: given as BASE and as NEW", Exit.USAGE)
    numbers = {path: _number(path, options.process) for side in sides for path in side}
    base, new = ([measured(path, config, numbers[path]) for path in side] for side in sides)
    comparison = compare(base, new)
    first, second = ([Recording(path, numbers[path]) for path in side] for side in sides)
    comparison.flame = flame(first, second, options.label, bool(options.group_by))
    _labels(options.label, comparison.flame.names)
    failing = [f for f in comparison.came if fail_on.fails(f)]
    worse = comparison.worse(fail_worse) if fail_worse is not None else []
    if picture is not None:
        _comparison.draw(comparison, picture)
    # A number that can never be significant has not passed.
    untold = comparison.untellable if fail_worse is not None and not (failing or worse) else ""
    sys.stdout.write(_comparison.write(comparison, options.format, failing, worse, untold))
    return Exit.UNJUDGED if untold else Exit.FINDINGS if failing or worse else Exit.FINE


def recordings(names: list[str]) -> list[Path]:
    """The files that are named, and those in the folders that are. CommandError where there is none."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(path.glob(SUFFIX))
            if not inside:
                raise CommandError(f"{path}: no recordings ({SUFFIX}) in it", Exit.BAD_FILE)
            found += inside
        else:
            found.append(path)
    return found


def _labels(wanted: list[str], names: Collection[str]) -> None:
    """Tell names that occur nowhere. CommandError where none of them does: there would be nothing to compare."""
    from concview.analysis.samples import Selection

    lacking = Selection(labels=tuple(wanted)).labels_without(names)
    if not lacking:
        return
    message = f"--label: nothing in either is named {', '.join(repr(clean(name, 60)) for name in lacking[:5])}"
    shown = [clean(name, 60) for name in sorted(names)[:MOST_NAMES]]
    more = f", ... {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    there = f"there are: {', '.join(shown)}{more}"
    if not names:
        there = "neither tells of requests, jobs, queries or calls: record with --labels safe, the direct engine"
    if len(lacking) == len(wanted):
        raise CommandError(message, Exit.USAGE, there)
    complain(message, there)


def _number(path: Path, name: str | None) -> int:
    """Of the process that is meant in a recording of several; 0 in one of one. Names are the same before and after,
    pids are not."""
    from concview.commands import _recorded

    cast = _recorded.cast_of(path)
    if not cast.processes:
        if name is not None:
            raise CommandError(f"--process: {path} is of one process", Exit.USAGE)
        return 0
    if name is None:
        raise CommandError(
            f"{path}: a recording of several processes: which one?",
            Exit.USAGE,
            f"--process NAME; {_recorded.those(cast)}",
        )
    found = [p for p in cast.watched if name in (p.name, str(p.pid))]
    if not found:
        raise CommandError(f"--process: {path} has no process '{name}'", Exit.USAGE, _recorded.those(cast))
    return found[-1].number


def measured(path: Path, config: Config, number: int = 0) -> Run:
    from concview.commands._preflight import reading
    from concview.compare.measure import of_recording

    with reading(str(path)):
        run = of_recording(path, config, number)
    if not run.windows:
        raise CommandError(
            f"{path}: {run.seconds:.1f} s are too short to compare", Exit.BAD_FILE, "record for 30 s or more"
        )
    return run


def _picture(text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text)
    if path.suffix not in (".html", ".svg"):
        raise CommandError(f"--flame: FILE.html or FILE.svg, not '{text}'", Exit.USAGE)
    return path


def _percent(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise CommandError(f"--fail-worse: must be a number of percent from 0 on, not '{text}'", Exit.USAGE)
    return value


COMMAND = Command(
    name="compare",
    summary="two recordings, or two sets of them: what differs, and whether by more than chance",
    description="Compare recordings of before with recordings of after: states, locks, queues, rates and findings.\n"
    "Several a side are compared run by run (Mann-Whitney); one against one in time (block bootstrap), which tells\n"
    "whether these two differ, not whether the next two will. '~': not significant.\n"
    "Exit code 1 when findings came from --fail-on upwards, or numbers got worse by more than --fail-worse.",
    configure=configure,
    run=run,
    reads=("base", "new", "more_base", "more_new"),
    order=33,
)
