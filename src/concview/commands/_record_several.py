"""`record --tree PID`, `record PID PID`: several processes in one file, under one budget, as they come and go."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from concview.commands import _several
from concview.commands._output import shown
from concview.commands.base import CommandError, Exit, complain
from concview.text import plural, size

if TYPE_CHECKING:
    from io import FileIO

    from concview.config import Config
    from concview.process.tree import Member
    from concview.session.group import Family
    from concview.session.launcher import Launcher
    from concview.session.several import Stream


def run(options: argparse.Namespace, config: Config, path: Path, seconds: float) -> int:
    from concview.commands.record import create, remove_if_empty

    if options.agent:
        raise CommandError("--agent: for one process only", Exit.USAGE)
    if options.keep is not None:
        from concview.commands import _keep_several

        return _keep_several.run(options, config, path, seconds)
    pids = _several.given(options, options.pids)
    out = create(path, options.force)
    try:
        with out:
            watched, written = _record(options, config, pids, out, path, seconds)
    except BaseException:
        remove_if_empty(path)
        raise
    complain(f"recorded {size(written)} of {plural(watched, 'process', 'processes')} to {shown(path)}")
    return Exit.FINE


def _record(
    options: argparse.Namespace, config: Config, pids: list[int], out: FileIO, path: Path, seconds: float
) -> tuple[int, int]:
    """(processes, bytes) that are in the file."""
    from concview.commands.record import Interrupt, Progress, write_all
    from concview.process import discovery
    from concview.session import LiveSource
    from concview.session.group import Family
    from concview.session.several import SeveralFile, Stream

    file = SeveralFile(lambda data: write_all(out, data), discovery.describe(pids[0]), config.rate, config.budget)
    going = False

    def make(member: Member, budget: float, launcher: Launcher) -> Stream:
        source = LiveSource(
            member.pid, config.engine, config.rate, budget, options.blocking, config.labels, config.gentle, launcher
        )
        late = going
        return Stream(source, lambda: file.process(member, late), file)

    family: Family[Stream] = Family(pids, options.tree, config.budget, make, complain)
    with Interrupt() as interrupt:
        try:
            _several.started(family)
            going = True
            progress = Progress(seconds)
            began = time.monotonic()
            while not family.ended and not interrupt.asked:
                _fail_with(family, path)
                if seconds and _several.min_seen(family) >= seconds:
                    break
                progress.show(time.monotonic() - began, file.written)
                time.sleep(0.05)
            progress.clear()
            if family.ended:
                complain("none of the processes is left; the recording ends there")
            elif family.orphaned:
                complain("what was given has ended; processes below it live on without it")
            parts = family.finish()
            _fail_with(family, path)
            for part in parts:
                if part.why and not part.ended:
                    file.process(part.member, part.late, part.why)
            file.end()
            if family.more:
                left = plural(family.more, "process", "processes")
                complain(f"{left} beyond the first {family.most} {'is' if family.more == 1 else 'are'} not recorded")
        except OSError as error:
            raise _unwritable(path, error) from None
        finally:
            family.close()
    return sum(1 for part in parts if not part.why), file.written


def _fail_with(family: Family[Stream], path: Path) -> None:
    """CommandError when the file could not be written."""
    for part in family.parts():
        if part.session is not None and part.session.failed is not None:
            raise _unwritable(path, part.session.failed)


def _unwritable(path: Path, error: OSError) -> CommandError:
    return CommandError(
        f"{shown(path)}: {error.strerror or error}", Exit.OUTPUT, "what was written until then can be read"
    )
