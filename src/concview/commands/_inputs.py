"""Recordings that come otherwise than as plain files: standard input (`-`), pipes, and compressed ones.

A recording is read more than once, so these are copied into a temporary file first, which is gone when the command
ends. `Command.reads` names the options that hold recordings.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import lzma
import shutil
import stat
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import RawIOBase
from pathlib import Path
from typing import IO, BinaryIO, cast

from concview.codec import MAGIC, compression
from concview.commands.base import CommandError, Exit, complain

STDIN = "-"
#: More than this is not copied: a compressed file can be made to be of any length.
MOST_BYTES = 4 << 30
_CHUNK = 1 << 16
_ROOM = "TMPDIR names a folder with room for it; or unpack it into a file yourself"


@contextmanager
def plain(reads: tuple[str, ...], options: argparse.Namespace) -> Iterator[None]:
    """While it is entered, these options name plain files; `options.given` has the options as they were."""
    options.given = argparse.Namespace(**vars(options))
    given = [getattr(options, name) for name in reads]
    if sum(value == STDIN if isinstance(value, str) else (value or []).count(STDIN) for value in given) > 1:
        raise CommandError("- (standard input) can be read once", Exit.USAGE, "name files")
    with ExitStack() as stack:
        for name in reads:
            value = getattr(options, name)
            if isinstance(value, str):
                setattr(options, name, _plain(value, stack))
            elif isinstance(value, list):
                setattr(options, name, [_plain(one, stack) for one in value])
        yield


def _plain(name: str, stack: ExitStack) -> str:
    shown = "standard input" if name == STDIN else name
    try:
        if name == STDIN:
            if sys.stdin is None or sys.stdin.isatty():
                what = "closed" if sys.stdin is None else "a terminal"
                raise CommandError(f"- is a recording on standard input, which is {what}", Exit.USAGE)
            source: BinaryIO = sys.stdin.buffer
            regular = False
        else:
            mode = Path(name).stat().st_mode
            regular = stat.S_ISREG(mode)
            if not (regular or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
                return name  # a folder
            source = stack.enter_context(Path(name).open("rb"))  # noqa: SIM115
        rest = _Rest(source)
    except (OSError, ValueError):
        return name  # the number of a process, or a file of which the command will say why it cannot be opened
    packed = compression(rest.head)
    if regular and not packed:
        return name
    try:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="concview-")))
    except OSError as error:  # none can be written to
        raise CommandError(f"{shown} cannot be copied: {error.strerror or error}", Exit.OUTPUT, _ROOM) from None
    file = Path(shown)
    copy = folder / (file.stem if packed and file.suffix else file.name.replace(" ", "-"))
    try:
        with copy.open("xb", buffering=0) as out:
            _copy(_unpacked(packed, rest, folder, stack, shown), out, packed, shown)
    except OSError as error:
        raise CommandError(f"{shown}: {error.strerror or error}", Exit.BAD_FILE) from None
    return str(copy)


class _Rest:
    """A file from its beginning, of which the first bytes were looked at: a pipe cannot be read again."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.head = b""
        while len(self.head) < 8 and (more := source.read(8 - len(self.head))):
            self.head += more
        self._left = self.head

    def read(self, size: int = -1, /) -> bytes:
        if not self._left:
            return self._source.read(size)
        given = self._left if size < 0 else self._left[:size]
        self._left = self._left[len(given) :]
        return given + (self._source.read() if size < 0 else b"")


def _copy(source: IO[bytes] | _Rest, out: RawIOBase, packed: str, shown: str) -> None:
    read = getattr(source, "read1", source.read)
    written = 0
    while True:
        try:
            data = read(_CHUNK)
        except EOFError:  # it is cut off: what there is can be read
            complain(f"{shown} breaks off inside what {packed} has compressed")
            return
        except (zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise CommandError(f"{shown}: {packed}: {error}", Exit.BAD_FILE) from None
        if not data:
            if not written and shown:
                raise CommandError(f"{shown}: not a readable recording: it is empty", Exit.BAD_FILE)
            return
        if not written and shown and not data.startswith(MAGIC[: len(data)]):
            raise CommandError(f"{shown}: not a readable recording: it is none of concview's", Exit.BAD_FILE)
        written += _write(out, data, shown)
        if written > MOST_BYTES:
            raise CommandError(f"{shown}: more than {MOST_BYTES >> 30} GiB", Exit.BAD_FILE, "unpack it into a file")


def _write(out: RawIOBase, data: bytes, shown: str) -> int:
    left = memoryview(data)
    while left:
        try:
            left = left[out.write(left) :]
        except OSError as error:
            said = f"{shown or 'it'} cannot be copied into {tempfile.gettempdir()}: {error.strerror or error}"
            raise CommandError(said, Exit.OUTPUT, _ROOM) from None
    return len(data)


def _unpacked(packed: str, rest: _Rest, folder: Path, stack: ExitStack, shown: str) -> IO[bytes] | _Rest:
    file = cast("IO[bytes]", rest)  # they only read it
    if packed == "gzip":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))
    if packed == "xz":
        return lzma.open(file)
    if packed == "bzip2":
        return cast("IO[bytes]", bz2.open(file))
    if packed == "zstd":
        return _zstd(rest, folder, stack, shown)
    return rest


def _zstd(rest: _Rest, folder: Path, stack: ExitStack, shown: str) -> IO[bytes]:
    """By the program of that name: before 3.14 Python's library cannot."""
    program = shutil.which("zstd")
    if program is None:
        raise CommandError(f"{shown} is compressed by zstd, which is not on PATH", Exit.BAD_FILE, "install zstd")
    packed = folder / "packed"
    with packed.open("xb", buffering=0) as out:
        _copy(rest, out, "", "")
    child = stack.enter_context(
        subprocess.Popen([program, "-dcq", str(packed)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    )
    stack.callback(child.kill)
    return cast("IO[bytes]", _Output(child))  # it is only read


class _Output:
    """What a program writes. EOFError at its end where it has failed."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    def read(self, size: int, /) -> bytes:
        assert self._child.stdout is not None
        data = self._child.stdout.read(size)
        if not data and self._child.wait():
            raise EOFError
        return data
