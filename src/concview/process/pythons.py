"""Which Python runs in a process, told from its files: names, mapped libraries and the constants inside them.

Quick enough for a list of all processes: a link is read for each, mappings once for each, a file once for all.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from concview.text import clean

_EXECUTABLE = re.compile(r"python(\d)(?:\.(\d+))?(t?)d?(?:-\w+)?$")
_LIBRARY = re.compile(rb"/libpython(\d)\.(\d+)(t?)[dm]*\.so[.\d]*")
_EXTENSION = re.compile(rb"\.cpython-(\d)(\d+)(t?)[dm]*-[\w-]+\.so")
_STANDARD_LIBRARY = re.compile(rb"/lib(?:64)?/python(\d)\.(\d+)(t?)/")
_PY_VERSION = re.compile(rb"(\d\.\d+\.\d{1,2})(?:\+|(?:a|b|rc)\d+)?\0")
#: First word of _PyRuntime since 3.13: Include/internal/pycore_debug_offsets.h. Version and build follow it.
_COOKIE = b"xdebugpy"
_SECTION = b".PyRuntime\0"
#: The same where a name is all that may be seen: an environment's is `bin/python`.
_NAME = re.compile(r"python(?:(\d)(?:\.(\d+))?(t?)d?(?:-\w+)?)?$")
#: No larger file is searched for its version.
_MAX_FILE = 256 << 20


@dataclass(frozen=True, slots=True)
class Python:
    """`version` as exact as the files tell: '3.13.0', '3.13', or '' when only the fact is known."""

    version: str
    free_threaded: bool = False
    embedded: bool = False  #: the executable is another program that has Python inside
    binary: str = ""  #: the file that holds the interpreter, as the process sees it

    @property
    def minor(self) -> tuple[int, int] | None:
        parts = self.version.split(".")
        return (int(parts[0]), int(parts[1])) if len(parts) >= 2 else None


def python_of(pid: int) -> Python | None:
    """The interpreter of a process; None when there is none, or nothing can be told (then `looks_like_python`).

    OSError when the process is gone (FileNotFoundError, ProcessLookupError) or not ours to look at (PermissionError).
    """
    link = str(Path(f"/proc/{pid}/exe").readlink())
    executable = link.removesuffix(" (deleted)")
    named = _EXECUTABLE.search(executable.rpartition("/")[2])
    if named and named.group(2):
        version = f"{named.group(1)}.{named.group(2)}"
        exact, free_threaded = _inside(pid, executable, version)
        if not exact:  # a small program around a shared library
            return _mapped(pid, executable) or Python(version, bool(named.group(3)), False, executable)
        return Python(exact, free_threaded or bool(named.group(3)), False, executable)
    return _mapped(pid, executable, surely=named is not None)


def looks_like_python(name: str, command: tuple[str, ...]) -> Python | None:
    """A guess from what everybody may read, for processes whose files may not be seen."""
    for word in (command[0] if command else "", name):
        found = _NAME.match(word.rpartition("/")[2])
        if found:
            return Python(f"{found.group(1)}.{found.group(2)}" if found.group(2) else "", bool(found.group(3)))
    return None


def _mapped(pid: int, executable: str, surely: bool = False) -> Python | None:
    """By the files mapped into the process. The text of all mappings is searched at once, not line by line."""
    with open(f"/proc/{pid}/maps", "rb") as file:
        maps = file.read()
    named = _EXECUTABLE.search(executable.rpartition("/")[2]) is not None
    library = _LIBRARY.search(maps)
    if library:
        start = maps.rfind(b" /", 0, library.start() + 1) + 1
        path = os.fsdecode(maps[start : library.end()])
        version = _version(library)
        exact, free_threaded = _inside(pid, path, version)
        return Python(exact or version, free_threaded or bool(library.group(3)), not named, clean(path))
    found = _EXTENSION.search(maps) or _STANDARD_LIBRARY.search(maps)
    exact, free_threaded = _inside(pid, executable, _version(found) if found else "")
    if exact or found or surely:
        version = exact or (_version(found) if found else "")
        free_threaded |= bool(found and found.group(3))
        return Python(version, free_threaded, not named, clean(executable))
    return None


def _version(match: re.Match[bytes]) -> str:
    return f"{int(match.group(1))}.{int(match.group(2))}"


def _inside(pid: int, path: str, minor: str) -> tuple[str, bool]:
    """(exact version, free-threaded) that the file states; ('', False) when it holds no interpreter.

    Opened as the process sees it, so that a container's file is found and not a namesake of ours.
    """
    for place in (f"/proc/{pid}/root{path}", f"/proc/{pid}/exe"):
        with contextlib.suppress(OSError):
            if place.endswith("/exe") and str(Path(place).readlink()).removesuffix(" (deleted)") != path:
                continue
            stat = Path(place).stat()
            return _inside_file(place, minor, (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return "", False


@lru_cache(maxsize=512)
def _inside_file_cached(identity: tuple[int, ...], minor: str) -> list[tuple[str, bool]]:
    """A place for one answer; files are the same wherever they are seen from."""
    return []


def _inside_file(place: str, minor: str, identity: tuple[int, ...]) -> tuple[str, bool]:
    answer = _inside_file_cached(identity, minor)
    if not answer:
        answer.append(_search(place, minor) if identity[3] <= _MAX_FILE else ("", False))
    return answer[0]


def _search(place: str, minor: str) -> tuple[str, bool]:
    with open(place, "rb") as file:
        offset = _runtime_section(file.fileno())
        head = os.pread(file.fileno(), 24, offset) if offset else b""
        if head.startswith(_COOKIE) and len(head) == 24:
            number, flag = struct.unpack("<QQ", head[8:])
            return f"{number >> 24 & 255}.{number >> 16 & 255}.{number >> 8 & 255}", bool(flag)
        if not minor and not offset:
            return "", False
        # 3.8 to 3.12: PY_VERSION lies in the file as a string of its own. A program that has the interpreter inside,
        # under a name of its own and without its shared library, is known by the section alone (3.10 and later).
        minors = [minor.encode()] if minor else [b"3.12", b"3.11", b"3.10"]
        with contextlib.suppress(ValueError), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(b"PyThreadState") >= 0:
                return next(filter(None, (_constant(data, each) for each in minors)), ""), False
    return "", False


def _constant(data: mmap.mmap, minor: bytes) -> str:
    """The string '3.9.18' in a file; '' when there is none. Plain search first: a pattern costs three times that."""
    at = data.find(minor + b".")
    while at >= 0:
        found = _PY_VERSION.match(data[at : at + 24])
        if found and not data[max(0, at - 1) : at].isalnum():
            return found.group(1).decode()
        at = data.find(minor + b".", at + 1)
    return ""


def _runtime_section(fd: int) -> int:
    """File offset of the section .PyRuntime (3.10 and later) of a 64-bit ELF file; 0 when there is none."""
    try:
        head = os.pread(fd, 64, 0)
        if head[:5] != b"\x7fELF\x02":
            return 0
        (table,) = struct.unpack_from("<Q", head, 40)
        size, count, names = struct.unpack_from("<HHH", head, 58)
        sections = os.pread(fd, size * count, table)
        _, _, _, _, where, length = struct.unpack_from("<IIQQQQ", sections, names * size)
        strings = os.pread(fd, min(length, 1 << 20), where)
        at = strings.find(_SECTION)
        for start in range(0, size * count if at >= 0 else 0, size):
            name, _, _, _, offset = struct.unpack_from("<IIQQQ", sections, start)
            if name == at:
                return int(offset)
    except (struct.error, OSError):
        pass  # not an ELF file, or a strange one: nothing to be told from it
    return 0
