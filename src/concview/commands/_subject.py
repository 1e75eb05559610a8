"""A recording to work on: the file that was named, or one made of the process that was named."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from concview.commands import _options
from concview.commands.base import CommandError, Exit

#: Seconds that a process is recorded when nothing was said.
DURATION = "10"


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", metavar="FILE | PID", help="a recording, or a process, which is recorded first")
    parser.add_argument("--duration", metavar="S", help=f"seconds to record a process (default {DURATION})")
    _options.add_sampling(parser)


def is_process(options: argparse.Namespace) -> bool:
    """A number is a PID, unless there is a file of that name."""
    subject: str = options.subject
    return subject.isdecimal() and not Path(subject).exists()


@contextmanager
def recorded(options: argparse.Namespace) -> Iterator[Path]:
    """The recording's path; one that was made for this is gone afterwards."""
    if not is_process(options):
        if options.duration is not None:
            raise CommandError(
                "--duration: not with a recording, whose length is fixed", Exit.USAGE, "--from and --to choose some"
            )
        path = Path(options.subject)
        if not path.exists():
            from concview.commands import _preflight

            raise CommandError(f"{path}: no such file", Exit.BAD_FILE, _preflight.processes_called(options.subject))
        yield path
        return
    from concview.commands import _preflight
    from concview.commands.record import record_stream
    from concview.session import LiveSource

    config = _options.settings(options)
    seconds = _options.seconds_of(options.duration or DURATION, "--duration")
    pid = _options.pid_of(options.subject)
    _preflight.look_at(pid)
    with tempfile.TemporaryDirectory(prefix="concview-") as folder:
        path = Path(folder) / "recording"
        source = LiveSource(
            pid, config.engine, config.rate, config.budget, options.blocking, config.labels, config.gentle
        )
        try:
            with path.open("xb", buffering=0) as out:
                record_stream(source, out, path, seconds, agent=False, calls="")
        finally:
            source.close()
        yield path
