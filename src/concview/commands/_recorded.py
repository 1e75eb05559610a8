"""Recordings of several processes: which one is meant, and what was seen of all of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concview.commands.base import CommandError, Exit

if TYPE_CHECKING:
    from concview.commands._verdicts.base import Checked
    from concview.config import RuleConfig
    from concview.model import ProcessDef
    from concview.session.several import Cast


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--process", metavar="PID", help="of a recording of several processes (record --tree): this one alone"
    )


def cast_of(path: str | Path) -> Cast:
    """Who is in it. CommandError when it is no recording."""
    from concview.commands._preflight import reading
    from concview.session.several import cast_of

    with reading(str(path)):
        return cast_of(Path(path))


def chosen(cast: Cast, text: str | None, path: str | Path) -> ProcessDef | None:
    """The process that --process names; None where nothing was named. A number that belonged to two, one after the
    other, is the later one."""
    if text is None:
        return None
    if not cast.processes:
        raise CommandError("--process: the recording is of one process", Exit.USAGE)
    found = [p for p in cast.processes if str(p.pid) == text]
    if not found:
        raise CommandError(f"--process: {path} has no process {text}", Exit.USAGE, those(cast))
    if found[-1].why:
        raise CommandError(f"{text} could not be watched: {found[-1].why}", Exit.BAD_FILE, those(cast))
    return found[-1]


def those(cast: Cast) -> str:
    """'processes: 4711 (app.py), 4712 (worker 1)'"""
    named = [f"{p.pid} ({p.name})" for p in cast.watched]
    more = f", ... {len(named) - 20} more" if len(named) > 20 else ""
    return f"processes: {', '.join(named[:20])}{more}" if named else ""


def one(cast: Cast, text: str | None, path: str | Path) -> int:
    """The number of the process to read: 0 of a recording of one. CommandError where it has several and none is
    chosen."""
    found = chosen(cast, text, path)
    if found is not None:
        return found.number
    if cast.processes:
        raise CommandError(
            f"{path}: a recording of several processes: which one?", Exit.USAGE, f"--process PID; {those(cast)}"
        )
    return 0


def checked(path: Path, cast: Cast, rules: RuleConfig | None, **how: Any) -> Checked:
    """What was seen of all of them, as `check --tree` tells it. `how`: more of `Checked`. CommandError where it cannot
    be read."""
    from concview.commands._preflight import reading
    from concview.commands._verdicts.base import Checked, Process, explained
    from concview.session.several import read_all

    try:
        with reading(str(path)):
            every, across = read_all(path, cast, rules)
    except ValueError as error:
        raise CommandError(f"settings: {error}", Exit.USAGE) from None
    seen = [e for e in every if e.snapshot.target is not None and (e.snapshot.samples or e.snapshot.threads)]
    missed = [f"{p.name} ({p.pid}): {p.why}" for p in cast.processes if p.why]
    missed += [f"{e.process.name} ({e.process.pid}): {e.why}" for e in every if e.why]
    if cast.broken:
        missed.append(f"what came after the recording breaks off: {cast.broken}")
    processes = [
        Process(
            e.process.pid,
            e.process.start_ticks,
            e.process.parent,
            e.process.role,
            e.process.name,
            e.ended,
            e.process.late,
        )
        for e in seen
    ]
    runs = explained([e.snapshot for e in seen], processes, across)
    return Checked(runs, missed=tuple(missed), processes=tuple(processes), across=across, **how)
