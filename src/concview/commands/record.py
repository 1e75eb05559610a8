"""`concview record PID -o FILE`: save the stream, for `replay`, `check` and whatever else reads recordings."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import sys
import time
from io import FileIO
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from concview.commands import _agent, _keep, _options, _several
from concview.commands._output import STDOUT, shown, stdout
from concview.commands.base import Command, CommandError, Exit, complain
from concview.text import duration, size

if TYPE_CHECKING:
    from concview.model import AgentStatus
    from concview.session import LiveSource


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pids", metavar="PID", nargs="+", help="process to record (or several)")
    _several.add(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="where to (usually *.concview; - is standard output)",
    )
    parser.add_argument("--duration", metavar="S", help="seconds to record (default: until Ctrl-C or its end)")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.add_argument(
        "--keep-full-labels", action="store_true", help="with --labels full: paths and statements go into the file"
    )
    _keep.add(parser)
    _agent.add(parser)
    _options.add_sampling(parser)


def run(options: argparse.Namespace) -> int:
    from concview.commands import _preflight
    from concview.session import LiveSource

    config = _options.settings(options)
    _agent.check(options)
    _keep.check(options)
    if config.labels == "full" and not options.keep_full_labels:
        raise CommandError(
            "labels = full: paths, statements and parameters of requests would go into the file",
            Exit.USAGE,
            "--keep-full-labels if that is wanted, or --labels safe",
        )
    seconds = _options.seconds_of(options.duration, "--duration") if options.duration is not None else 0.0
    path = Path(options.output)
    piped = options.output == STDOUT
    if piped and (options.keep is not None or options.agent):
        raise CommandError("-o -: not with --keep or --agent, which read what they have written", Exit.USAGE)
    if _several.wanted(options, options.pids):
        from concview.commands import _record_several

        return _record_several.run(options, config, path, seconds)
    pid = _options.pid_of(options.pids[0])
    _preflight.look_at(pid)
    if options.keep is not None:
        if options.agent:
            raise CommandError("--keep: not together with --agent", Exit.USAGE)
        return _keep.run(options, config, pid, path, seconds)
    source = LiveSource(pid, config.engine, config.rate, config.budget, options.blocking, config.labels, config.gentle)
    out = create(path, options.force)
    try:
        with out:
            written = record_stream(source, out, path, seconds, options.agent, options.calls)
    except BaseException:
        remove_if_empty(path)
        raise
    finally:
        source.close()
    complain(f"recorded {size(written)} to {shown(path)}")
    if options.agent and (problem := _agent.not_in(*_said_of_agent(path))) is not None:
        complain(*problem)
        return Exit.NOT_PERMITTED
    return Exit.FINE


def _said_of_agent(path: Path) -> tuple[AgentStatus | None, AgentStatus | None]:
    """(what the agent said last beside refusals, the last refusal) of a recording."""
    from concview import codec
    from concview.analysis.history import History
    from concview.model import AgentStatus

    history, status = History(), None
    with path.open("rb") as file, contextlib.suppress(codec.StreamError, OSError):
        for events in codec.read_blocks(file):
            for event in events:
                if isinstance(event, AgentStatus):
                    history.apply(event)
                    if event.state not in ("ended", "refused"):
                        status = event
    return status, history.refusal


def create(path: Path, force: bool) -> FileIO:
    """The file, or standard output where it is called `-`."""
    if str(path) == STDOUT:
        return FileIO(stdout(), "wb", closefd=False)
    try:
        return path.open("wb" if force else "xb", buffering=0)
    except FileExistsError:
        raise CommandError(f"{path} exists already", Exit.USAGE, "--force overwrites it") from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", Exit.OUTPUT) from None


def remove_if_empty(path: Path) -> None:
    """A failed attach leaves no file behind."""
    if str(path) != STDOUT and path.is_file() and path.stat().st_size == 0:
        path.unlink(missing_ok=True)


class Interrupt:
    """While it is entered, the first Ctrl-C (or SIGTERM) is `asked`, and the second one ends the command for good."""

    def __init__(self) -> None:
        self.asked = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        self._previous = {n: signal.signal(n, self) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def record_stream(source: LiveSource, out: FileIO, path: Path, seconds: float, agent: bool, calls: str) -> int:
    """Copy the collector's bytes as they are; the number of bytes."""
    from concview.codec import MAGIC
    from concview.commands._open import END_S, attach_failed

    with Interrupt() as interrupt:
        source.open()
        if agent:
            _agent.invite(source, calls)
        descriptor = source.stream.fileno()
        written, began, ending = 0, 0.0, 0.0
        progress = Progress(seconds)
        while True:
            now = time.monotonic()
            if not ending and (interrupt.asked or (seconds and began and now - began >= seconds)):
                ending = now
                source.request_end()
            if ending and now - ending > END_S:
                complain("the collector did not end in time; the recording ends at its last whole block")
                break
            if not select.select([descriptor], [], [], 0.05)[0]:
                progress.show(now - began if began else 0.0, written)
                continue
            data = os.read(descriptor, 1 << 20)
            if not data:
                break
            _write(out, data, path)
            written += len(data)
            if written > len(
                MAGIC
            ):  # on a full machine the collector's first words may come long before its first look
                began = began or now
            progress.show(now - began, written)
        progress.clear()
        if interrupt.asked and not written:
            raise KeyboardInterrupt
        if written <= len(MAGIC):
            raise attach_failed(source.failure())
        if not ending:
            complain("the process exited, or became another program; the recording ends there")
        return written


def _write(out: FileIO, data: bytes, path: Path) -> None:
    try:
        write_all(out, data)
    except OSError as error:
        raise CommandError(
            f"{shown(path)}: {error.strerror}", Exit.OUTPUT, "what was written until then can be read"
        ) from None


def write_all(out: FileIO, data: bytes) -> None:
    """Unbuffered, and so possibly in parts: a full disk shows at once, and closing cannot fail again."""
    rest = memoryview(data)
    while rest:
        rest = rest[out.write(rest) :]


class Progress:
    """One line on standard error, when that is a terminal."""

    def __init__(self, seconds: float) -> None:
        self._on = sys.stderr.isatty()
        self._of = f" of {duration(seconds)}" if seconds else ""
        self._end = "" if seconds else ", Ctrl-C ends it"
        self._shown = 0.0

    def show(self, passed: float, written: int) -> None:
        now = time.monotonic()
        if self._on and now - self._shown > 0.25:
            self._shown = now
            sys.stderr.write(f"\r\x1b[Krecording {duration(passed)}{self._of}, {size(written)}{self._end}")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._on:
            sys.stderr.write("\r\x1b[K")


COMMAND = Command(
    name="record",
    summary="save what is seen to a file, for replay and check",
    description="Record a process until Ctrl-C, its end or --duration.\n"
    "The file is readable at every moment, up to its last whole block. With --tree, or several PIDs, one file holds\n"
    "all of them, each with its process id; check, report, export and replay show them one by one and together.",
    configure=configure,
    run=run,
    order=30,
)
