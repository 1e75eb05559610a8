"""Several processes at once: `check`, `dump` and `record` of given ones (A B C), or of one with all below (--tree)."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from concview.commands import _options
from concview.commands.base import CommandError, Exit, complain
from concview.text import plural, short_command

if TYPE_CHECKING:
    from concview.analysis.work_totals import Totals
    from concview.config import Config
    from concview.process.tree import Member
    from concview.session import Session
    from concview.session.group import Family, Group, Part, S
    from concview.session.launcher import Launcher
    from concview.session.rolling_recording import RollingRecording
    from concview.session.service import LiveService

#: A collector delivers its first samples within this time.
START_S = 15.0
#: Of each of several processes, so much of its stream is kept.
ROLLING_BYTES = 4 << 20


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tree", action="store_true", help="also the processes below it (workers of a master), as they come and go"
    )


def wanted(options: argparse.Namespace, pids: Sequence[str]) -> bool:
    """Whether several processes are asked for. CommandError where --tree has no process."""
    if options.tree and not all(pid.isdecimal() for pid in pids):
        raise CommandError("--tree: only with processes", Exit.USAGE, "give their PIDs")
    return bool(options.tree) or len(pids) > 1


def given(options: argparse.Namespace, pids: Sequence[str]) -> list[int]:
    """The processes that were named, each once. A wrong number is told at once."""
    from concview.commands import _preflight

    numbers = list(dict.fromkeys(_options.pid_of(pid) for pid in pids))
    if options.tree:
        numbers = list(dict.fromkeys(root for number in numbers for root in _roots(number)))
    if len(numbers) == 1 or not options.tree:
        for number in numbers:
            _preflight.look_at(number)
    return numbers


def _roots(pid: int) -> list[int]:
    """Of a shell, a supervisor or an init process the nearest Python processes below it; else the process itself."""
    from concview.process.instead import pythons_below
    from concview.process.pythons import python_of

    try:
        is_python = python_of(pid) is not None
    except OSError:
        return [pid]  # what is wrong with it is told when it is looked at
    below = [] if is_python else [p for p in pythons_below(pid) if p != os.getpid()]
    if below:
        those = "the Python process" if len(below) == 1 else f"the {len(below)} Python processes"
        complain(f"process {pid} is not Python: {those} below it and what these start will be looked at")
    return below or [pid]


def group(
    options: argparse.Namespace, config: Config, pids: Sequence[str], quiet: bool = False, keep: bool = False
) -> Group:
    """All of them attached. CommandError when none can be watched. `quiet`: who comes and goes is not told on standard
    error; `keep`: the last minutes of each can be saved."""
    return started(unstarted(options, config, given(options, pids), quiet, keep))


def unstarted(
    options: argparse.Namespace,
    config: Config,
    pids: Sequence[int],
    quiet: bool = False,
    keep: bool = False,
    rolling: Callable[[Member], RollingRecording] | None = None,
    totals: Callable[[], Totals] | None = None,
) -> Group:
    """The same before `start`. `rolling`: what each keeps instead of its last minutes; `totals`: its counts of work."""
    from concview.session import LiveSource, Session
    from concview.session.group import Group
    from concview.session.rolling_recording import RollingRecording

    def make(member: Member, budget: float, launcher: Launcher) -> Session:
        source = LiveSource(
            member.pid, config.engine, config.rate, budget, options.blocking, config.labels, config.gentle, launcher
        )
        if keep:
            source.rolling = RollingRecording(max_bytes=ROLLING_BYTES)
        if rolling is not None:
            source.rolling = rolling(member)
        return Session(
            source, config=config.rules, alone=not options.tree, totals=totals() if totals is not None else None
        )

    return Group(pids, options.tree, config.budget, make, complain if not quiet else lambda line: None)


def service(options: argparse.Namespace, config: Config, pids: Sequence[int]) -> LiveService:
    """All of them watched from afar, for the dashboard's list of them. CommandError when none can be watched."""
    from concview.commands import _preflight
    from concview.session.service import FAR_S, LiveService

    target = _preflight.look_at(pids[0])
    group = started(unstarted(options, config, pids, quiet=True, keep=True))
    for part in group.parts():
        if part.session is not None:
            part.session.slow_down(FAR_S)
    more = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
    return LiveService(group, short_command(target.command) + more)


F = TypeVar("F", bound="Family[Any]")


def started(made: F) -> F:
    """All of them attached. CommandError when none can be watched."""
    from concview.commands import _open
    from concview.session import AttachError

    try:
        made.start()
    except AttachError as error:
        raise _open.attach_failed(error) from None
    except BaseException:
        made.close()
        raise
    return made


def finish(made: Family[S], seconds: float, progress: str = "") -> list[Part[S]]:
    """Watch for so long, or until all have ended; then the last pictures. Ctrl-C ends the watching (it is raised)."""
    show = bool(progress) and sys.stderr.isatty()
    began = shown = time.monotonic()
    try:
        while not made.ended:
            now = time.monotonic()
            if min_seen(made) >= seconds or now - began > seconds + START_S:
                break
            if show and now - shown > 0.25:
                shown = now
                alive = sum(not p.ended for p in made.parts())
                said = f"{progress} {plural(alive, 'process', 'processes')}, {min(now - began, seconds):.1f}"
                sys.stderr.write(f"\r\x1b[K{said} of {seconds:g} s")
                sys.stderr.flush()
            time.sleep(0.05)
    finally:
        if show:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
    if made.orphaned:
        complain("what was given has ended; processes below it live on without it")
    return made.finish()


def min_seen(made: Family[S]) -> float:
    """For how long the one that was there from the beginning and was seen least has been seen; seconds."""

    def seen(part: Part[S]) -> float:
        return part.snapshot().elapsed_s

    first = [p for p in made.parts() if p.session is not None and not p.ended and not p.late]
    rest = [p for p in made.parts() if p.session is not None and not p.ended]
    return min(map(seen, first or rest), default=0.0)
