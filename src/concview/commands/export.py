"""`concview export FILE | PID -o OUT --format NAME`: what was seen, in the format of another tool."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from concview import registry
from concview.commands import _options, _recorded, _subject
from concview.commands._output import STDOUT, shown, stdout
from concview.commands.base import Command, CommandError, Exit, complain
from concview.text import size

if TYPE_CHECKING:
    from concview.exporters.base import Exporter, Request
    from concview.session.recording import Recording

PACKAGE = "concview.exporters"


def configure(parser: argparse.ArgumentParser) -> None:
    _subject.add(parser)
    _recorded.add(parser)
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="where to (- is standard output)")
    parser.add_argument("--format", metavar="NAME", required=True, help=f"one of {', '.join(registry.names(PACKAGE))}")
    parser.add_argument("--force", action="store_true", help="overwrite OUT")
    group = parser.add_argument_group("which part")
    group.add_argument(
        "--threads",
        metavar="NAME",
        action="append",
        default=[],
        help="only threads of this name (* and ? match anything) or tid; may be repeated",
    )
    group.add_argument(
        "--tasks",
        action="store_true",
        help="tasks of asyncio and trio instead of threads: await chains, with the states of tasks",
    )
    group.add_argument(
        "--label",
        metavar="NAME",
        action="append",
        default=[],
        help="only time in the name of this request, job, query or call, as check names it (* and ? match anything); "
        "may be repeated",
    )
    group.add_argument("--state", metavar="STATE,...", help="only time in these states: running, lock, gil, io, ...")
    group.add_argument("--from", metavar="TIME", dest="begin", help="from here on: seconds, m:ss or h:mm:ss")
    group.add_argument("--to", metavar="TIME", dest="end", help="up to here")
    group.add_argument(
        "--side",
        choices=["waiter", "holder"],
        default="waiter",
        help="holder: the stacks of those that others waited for, weighted by that waiting",
    )
    group.add_argument(
        "--group-by", metavar="WHAT", default="", help="thread, state, label or none, as the format has it"
    )


def run(options: argparse.Namespace) -> int:
    exporter = _exporter(options.format)
    request = _request(options, exporter)
    out = Path(options.output)
    if options.output == STDOUT:
        if exporter.write_folder is not None:
            raise CommandError(f"-o -: {options.format} is a folder of files", Exit.USAGE, "-o FOLDER")
        stdout()
    elif out.exists() and not options.force:
        raise CommandError(f"{out} exists already", Exit.USAGE, "--force overwrites it")
    with _subject.recorded(options) as path:
        from concview.session.recording import Recording

        cast = _recorded.cast_of(path)
        if exporter.together and options.process is None:
            recording = Recording(path, cast=cast)
        else:
            recording = Recording(path, _recorded.one(cast, options.process, path))
        return write_file(exporter, request, recording, out, options.force)


def _exporter(name: str) -> Exporter:
    try:
        found: Exporter = registry.load(PACKAGE, name, "EXPORTER")
    except LookupError:
        known = ", ".join(registry.names(PACKAGE))
        raise CommandError(f"--format: no such format: {name}", Exit.USAGE, f"formats: {known}") from None
    if found.needs and importlib.util.find_spec(found.needs.partition(".")[0]) is None:
        raise CommandError(f"--format {name} needs {found.needs}", Exit.USAGE, f"pip install 'concview[{found.extra}]'")
    return found


def _request(options: argparse.Namespace, exporter: Exporter) -> Request:
    from concview.analysis.samples import Selection
    from concview.exporters.base import Request
    from concview.model import STATES, TASK_STATES

    chosen = {
        "--threads": bool(options.threads), "--label": bool(options.label), "--state": options.state is not None,
        "--from": options.begin is not None, "--to": options.end is not None,
    }  # fmt: skip
    if not exporter.selects and any(chosen.values()):
        named = ", ".join(name for name, there in chosen.items() if there)
        raise CommandError(f"{named}: not for {options.format}, which holds whole counts", Exit.USAGE)
    if options.side != "waiter" and not exporter.sides:
        raise CommandError(f"--side: not for {options.format}", Exit.USAGE, f"for {_having('sides')}")
    if options.group_by and options.group_by not in exporter.groups:
        ways = ", ".join(exporter.groups)
        remedy = f"--group-by {ways}" if ways else f"for {_having('groups')}"
        raise CommandError(f"--group-by {options.group_by}: not for {options.format}", Exit.USAGE, remedy)
    words = [w.strip() for w in (options.state or "").split(",") if w.strip()]
    known = TASK_STATES if options.tasks else STATES
    if unknown := [w for w in words if w not in known]:
        raise CommandError(f"--state: no such state: {', '.join(unknown)}", Exit.USAGE, f"states: {', '.join(known)}")
    if options.tasks and not exporter.tasks:
        raise CommandError(f"--tasks: not for {options.format}", Exit.USAGE, f"for {_having('tasks')}")
    begin, end = interval(options)
    states = frozenset(known.index(w) for w in words)
    groups = options.group_by or (exporter.groups[0] if exporter.groups else "")
    rules = _options.settings(options).rules if exporter.judges else None
    selection = Selection(tuple(options.threads), states, begin, end, tuple(options.label))
    return Request(selection, options.side, groups, rules, options.tasks)


def _having(what: str) -> str:
    every: dict[str, Exporter] = registry.everything(PACKAGE, "EXPORTER")
    return ", ".join(name for name, exporter in every.items() if getattr(exporter, what))


def interval(options: argparse.Namespace) -> tuple[float, float | None]:
    """--from and --to in seconds; None: to the end."""
    begin = moment(options.begin, "--from") if options.begin is not None else 0.0
    end = moment(options.end, "--to") if options.end is not None else None
    if end is not None and end <= begin:
        raise CommandError("--to: must be later than --from", Exit.USAGE)
    return begin, end


def moment(text: str, option: str) -> float:
    """Seconds since the beginning, of '90', '1:30' or '0:01:30.5'."""
    if not re.fullmatch(r"(?:(?:\d{1,4}:)?\d{1,4}:)?\d{1,7}(?:\.\d{1,9})?", text, re.ASCII):
        raise CommandError(f"{option}: a time is seconds, m:ss or h:mm:ss, not '{text}'", Exit.USAGE)
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


class _Lazy:
    """A file that comes into being with its first byte: where there is nothing to write, nothing is left behind."""

    def __init__(self, path: Path, force: bool) -> None:
        self.path, self._mode = path, "wb" if force else "xb"
        self.file: BinaryIO | None = None
        self.written = 0

    def write(self, data: bytes) -> int:
        if self.file is None:
            try:
                if str(self.path) == STDOUT:
                    self.file = open(stdout(), "wb", buffering=1 << 18, closefd=False)  # noqa: SIM115
                else:
                    self.file = self.path.open(self._mode, buffering=1 << 18)  # type: ignore[assignment]
            except FileExistsError:
                raise CommandError(f"{self.path} exists already", Exit.USAGE, "--force overwrites it") from None
            except OSError as error:
                raise CommandError(f"{shown(self.path)}: {error.strerror}", Exit.OUTPUT) from None
        assert self.file is not None
        self.written += len(data)
        try:
            return self.file.write(data)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and str(self.path) == STDOUT:
                raise  # its reader has seen enough
            raise CommandError(f"{shown(self.path)}: {error.strerror}", Exit.OUTPUT) from None

    def close(self) -> None:
        if self.file is not None:
            try:
                self.file.close()
            except OSError as error:
                if isinstance(error, BrokenPipeError) and str(self.path) == STDOUT:
                    raise
                raise CommandError(f"{shown(self.path)}: {error.strerror}", Exit.OUTPUT) from None


class _Folder:
    """A folder that is there as a whole or not at all. With --force its files take the place of older ones, and what
    else is in OUT stays."""

    def __init__(self, path: Path, force: bool) -> None:
        self.path, self._force = path, force
        self.work: Path | None = None
        self.written = 0

    def begin(self) -> Path:
        try:
            self.work = Path(tempfile.mkdtemp(prefix=f".{self.path.name}-", dir=self.path.parent))
        except OSError as error:
            raise CommandError(f"{self.path}: {error.strerror}", Exit.OUTPUT) from None
        return self.work

    def finish(self) -> None:
        assert self.work is not None
        files = sorted(self.work.iterdir())
        self.written = sum(f.stat().st_size for f in files)
        try:
            self.path.mkdir(exist_ok=self._force)
            for file in files:
                file.replace(self.path / file.name)
        except FileExistsError:
            remedy = "--force overwrites it" if self.path.is_dir() else "it is a file, and this format is a folder"
            raise CommandError(f"{self.path} exists already", Exit.USAGE, remedy) from None
        except OSError as error:
            raise CommandError(f"{self.path}: {error.strerror}", Exit.OUTPUT) from None
        self.work.rmdir()
        self.work = None

    def give_up(self) -> None:
        if self.work is not None:
            shutil.rmtree(self.work, ignore_errors=True)


def write_file(exporter: Exporter, request: Request, recording: Recording, output: Path, force: bool) -> int:
    from concview.codec import StreamError
    from concview.exporters.base import Nothing
    from concview.session import AttachError

    path = recording.path
    lazy = _Lazy(output, force)
    folder = _Folder(output, force)
    try:
        if exporter.write_folder is not None:
            said = exporter.write_folder(recording, folder.begin(), request)
            folder.finish()
        else:
            assert exporter.write is not None
            said = exporter.write(recording, lazy, request)  # type: ignore[arg-type]
            lazy.close()
    except BaseException as failure:
        folder.give_up()
        if lazy.file is not None and str(output) != STDOUT:  # half a file would pass for a whole one
            output.unlink(missing_ok=True)
        if isinstance(failure, Nothing):
            broken = f" (it breaks off: {recording.broken})" if recording.broken else ""
            raise CommandError(f"{path}: {failure.why}{broken}", Exit.BAD_FILE, failure.enable) from None
        if isinstance(failure, AttachError):
            raise CommandError(f"{path}: {failure}", Exit.BAD_FILE) from None
        if isinstance(failure, ValueError) and exporter.judges and lazy.file is None:
            # A threshold alone can contradict the rule's own other one.
            raise CommandError(f"settings: {failure}", Exit.USAGE) from None
        if isinstance(failure, StreamError):
            raise CommandError(f"{path}: not a readable recording: {failure}", Exit.BAD_FILE) from None
        if isinstance(failure, OSError):
            theirs = str(failure.filename or "").startswith(str(folder.work)) if folder.work is not None else False
            if theirs:
                raise CommandError(f"{output}: {failure.strerror or failure}", Exit.OUTPUT) from None
            if lazy.file is None:
                raise CommandError(f"{path}: {failure.strerror or failure}", Exit.BAD_FILE) from None
        raise
    if recording.broken:
        complain(f"{path} breaks off: {recording.broken}; what was read until there is exported")
    sys.stderr.write(
        "".join(f"{line}\n" for line in (f"wrote {size(lazy.written + folder.written)} to {shown(output)}", *said))
    )
    return Exit.FINE


COMMAND = Command(
    name="export",
    summary="what was seen, in the format of another tool",
    description="Write a recording, or a process that is recorded first, in the format of another tool.\n"
    "Weights are elapsed time; the state of every thread is in all of them.",
    configure=configure,
    run=run,
    reads=("subject",),
    order=52,
)
