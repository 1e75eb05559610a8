"""Opening what a command looks at: a process, a recording, a terminal."""

from __future__ import annotations

import sys
import time

import msgspec

from concview.commands._preflight import reading
from concview.commands.base import CommandError, Exit, complain
from concview.config import Config
from concview.session import AttachError, FileSource, LiveSource, Session, StreamSource
from concview.snapshot import Snapshot, Status
from concview.text import plural

#: An engine delivers its first samples within this time (py-spy works in windows of seconds).
START_S = 15.0
#: A collector that was asked to end writes its last block within this time.
END_S = 3.0


def attach_failed(error: AttachError) -> CommandError:
    """The same failure as the command's. Exit code 1 is reserved for findings."""
    return CommandError(str(error), error.exit_code, error.remedy)


def _session(source: StreamSource, config: Config) -> Session:
    try:
        return Session(source, config=config.rules)
    except ValueError as error:  # a threshold alone can contradict the rule's own other one
        raise CommandError(f"settings: {error}", Exit.USAGE) from None


def open_live(pid: int, config: Config, blocking: bool = False) -> Session:
    """A started session on a process."""
    session = _session(LiveSource(pid, config.engine, config.rate, config.budget, blocking), config)
    try:
        session.start()
    except AttachError as error:
        raise attach_failed(error) from None
    except BaseException:  # Ctrl-C while attaching: end the collector
        session.close()
        raise
    return session


def open_file(path: str, config: Config, speed: float = 0.0) -> Session:
    """A started session on a recording."""
    session = _session(FileSource(path, speed), config)
    try:
        with reading(path):
            session.start()
    except AttachError as error:
        raise CommandError(f"{path}: {error}", Exit.BAD_FILE) from None
    return session


def finish(session: Session, seconds: float, progress: str = "") -> Snapshot:
    """Observe for `seconds` of stream time, or less when the stream ends; a recording to its end. Then end it.

    `progress`: the word to show it with on standard error, when that is a terminal.
    """
    show = bool(progress) and sys.stderr.isatty()
    began = shown = time.monotonic()
    while not session.ended:
        snapshot = session.snapshot()
        now = time.monotonic()
        if session.live and snapshot.elapsed_s >= seconds:
            break
        if session.live and now - began > 2 * seconds + START_S:
            complain(f"only {snapshot.elapsed_s:.1f} of {seconds:g} s could be observed in {now - began:.0f} s")
            break
        if show and now - shown > 0.25:
            shown = now
            found = plural(len(snapshot.findings), "finding")
            of = f" of {seconds:g}" if session.live else ""
            sys.stderr.write(f"\r\x1b[K{progress} {min(snapshot.elapsed_s, seconds):.1f}{of} s, {found} so far")
            sys.stderr.flush()
        time.sleep(0.02)
    if show:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
    last = session.snapshot()
    source = session.source
    if isinstance(source, LiveSource) and not session.ended:
        # The last block carries the totals; its cost figure covers a moment only, so the one before it stands.
        source.request_end()
        deadline = time.monotonic() + END_S
        while not session.ended and time.monotonic() < deadline:
            time.sleep(0.01)
        end = session.snapshot()
        if last.own_cpu_percent:
            end = msgspec.structs.replace(
                end, own_cpu_percent=last.own_cpu_percent, helper_cpu_percent=last.helper_cpu_percent
            )
        if last.status is Status.STOPPED:  # that the target stands still matters more than that we ended
            end = msgspec.structs.replace(end, status=last.status, ending=last.ending)
        return end
    return last
