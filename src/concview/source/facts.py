"""Source text of a target's frames, and what it tells about locks.

The text is only believed when the file has not changed since the target started: otherwise line numbers may point at
something else, and a wrong name is worse than none. The same goes for locks: they are inferred from the syntax (see
`syntax`), so everything here has `Confidence.INFERRED`.

The files belong to somebody else. They are opened without blocking, only when regular and small, and whatever is in
them, `lookup` returns; what cannot be read, decoded or parsed has no facts, nor has what lies on a remote file system
that does not answer.

Cost: a repeated lookup is one dict access; a new place in a known file one stat; a new file is read and, when it
mentions `with`, `acquire` or `.put(` in a function that is asked for, parsed: about 10 ms per 1,000 lines, once.
"""

# ruff: noqa: PTH115, PTH116, PTH118 - the target's paths stay text: pathlib would tidy them up

from __future__ import annotations

import codecs
import os
import re
import stat
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from concview.linux.mounts import Mounts
from concview.model import Site
from concview.source.installed import Installed
from concview.source.origin import is_demo, origin
from concview.source.qualnames import outermost, qualnames
from concview.source.syntax import Index, index
from concview.text import clean

MAX_FILE = 2 << 20  #: bytes of a file that is looked at
_MAX_TEXT = 16 << 20  #: characters of source kept in all
_MAX_PLACES = 20_000  #: answers kept
_MAX_LINKS = 40  #: symbolic links followed in one path, as the kernel does
#: A start time is known to a second or so (it is counted from the boot time, which the kernel gives in seconds); a
#: script that was written just before it was started must not count as changed.
_SLACK_S = 1.5

#: What a line that takes, holds or gives back anything says (see `syntax`); a statement's lines behind one of it.
_LOCKS = re.compile(r"\b(?:with|acquire|release)\b|\.put|\.get")
_BEHIND = 30
_DEF = re.compile(r"(?:async\s+)?def\b")
_T = TypeVar("_T")

_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
#: Codecs that source may name. Python has others that are slow on purpose-made input or not for text.
_CODEC = re.compile(
    r"utf-?8(-sig)?|ascii|us-ascii|latin-?1?|iso-?8859-\d+|cp\d+|windows-\d+|koi8-[ru]|gbk|gb2312"
    r"|gb18030|big5|euc-?(jp|kr)|shift-?jis",
    re.IGNORECASE,
)


class Facts(NamedTuple):
    """What the source says about one line. `holds` outermost first; `acquires`: the lock the line itself takes;
    `early`: locks of blocks around the line that were given back before it; `checkout`: what it takes out of a queue
    or has out."""

    text: str = ""
    origin: str = "user"
    holds: tuple[Site, ...] = ()
    acquires: Site | None = None
    early: tuple[Site, ...] = ()
    checkout: Site | None = None
    awaited: tuple[Site, ...] = ()  #: what a task has there by `async with` or `await x.acquire()`, outermost first


class _Source:
    """One file as it was read; `index` is made when first asked for and the whole text is then let go."""

    __slots__ = ("_index", "_names", "_raw", "lines", "size", "stamp")

    def __init__(self, stamp: tuple[int, ...] = (), raw: str = "") -> None:
        self.stamp = stamp
        self.lines = raw.split("\n") if raw else []
        self.size = len(raw)
        self._raw = raw
        self._index: Index | None = None
        self._names: dict[tuple[str, int], str] | None = None

    def index(self, file: str) -> Index:
        if self._index is None:
            self._index, self._raw = index(self._raw, file), ""
        return self._index

    def plain(self, line: int) -> bool:
        """Whether nothing in the line's function, up to a little behind it, can be about locks or queues: then the file
        needs no parsing, which in the midst of sampling costs more than all else. The function begins at the nearest
        `def` above that is less indented than all that lies between; where that is in doubt, it begins further up."""
        if self._index is not None:
            return False
        least, number = 1 << 30, line - 1
        while number >= 0:
            text = self.lines[number]
            bare = text.lstrip()
            if bare:
                indent = len(text) - len(bare)
                if indent < least and number < line - 1 and _DEF.match(bare):
                    break
                least = min(least, indent)
            number -= 1
        return not any(_LOCKS.search(text) for text in self.lines[max(0, number) : line + _BEHIND])

    def qualname(self, name: str, first_line: int) -> str:
        if self._names is None:
            self._names = qualnames("\n".join(self.lines))
        return self._names.get((name, first_line), name)


_NOTHING = _Source()


def absolute(pid: int, file: str) -> str:
    """Up to Python 3.8 a script's path is as it was typed: made absolute where the file is there.

    The working directory may have changed since; a path that leads nowhere is left as it is.
    """
    if file.startswith(("/", "<")) or not file:
        return file
    try:
        folder = os.readlink(f"/proc/{pid}/cwd")
        there = os.path.isfile(f"/proc/{pid}/root{folder}/{file}")  # noqa: PTH113
    except (OSError, ValueError):
        return file
    return os.path.normpath(os.path.join(folder, file)) if there else file


class SourceFacts:
    """Source of one target.

    `pid` None reads paths as they are (a recording's, or the own process's), relative ones from `folder`. `started` is
    the target's start in seconds since the epoch. `root` is where the target's file system is seen; when it is not
    given and the target lives in another mount namespace or under another root, /proc/PID/root is used.
    """

    def __init__(self, pid: int | None, started: float, root: str = "", folder: str = "") -> None:
        self._pid, self._folder = pid, folder
        self._started = started
        self._root = (root or _foreign_root(pid)).rstrip("/")
        self._places: dict[tuple[str, str, int], Facts] = {}
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._kept = 0
        self._mounts = Mounts("self" if pid is None else pid)
        self._installed = Installed(self._path, _read)

    def lookup(self, function: str, file: str, line: int) -> Facts:
        """Text and lock facts of a line of a (qualified, or before 3.11 bare) function. Never raises."""
        key = (function, file, line)
        found = self._places.get(key)
        if found is None:
            if len(self._places) >= _MAX_PLACES:
                self._places.clear()
            asked = self._ask(file, lambda: self._look(function, file, line))
            if asked is None:
                return Facts(origin=origin(file))
            found = self._places[key] = asked
        return found

    def absolute(self, file: str) -> str:
        return absolute(self._pid, file) if self._pid is not None else file

    def qualname(self, name: str, file: str, first_line: int) -> str:
        """The qualified name of what has code of its own, by its bare name and first line; the bare name where the
        source cannot be read or says otherwise. Never raises."""
        if file.startswith("<") or name == "<module>":
            return name
        source = self._ask(file, lambda: self._source(file)) or _NOTHING
        if not 1 <= first_line <= len(source.lines) or outermost(source.lines[first_line - 1], name):
            return name
        return source.qualname(name, first_line)

    def lines(self, file: str) -> list[str]:
        """The whole file as it is, not made safe; empty where it cannot be believed. Never raises."""
        if file.startswith("<") or origin(file) in ("native", "frozen"):
            return []
        return (self._ask(file, lambda: self._source(file)) or _NOTHING).lines

    def _ask(self, file: str, what: Callable[[], _T]) -> _T | None:
        """None where the file system of that file does not answer."""
        if file.startswith("/") or self._pid is None:
            return self._mounts.ask(file, what)
        try:
            folder = os.readlink(f"/proc/{self._pid}/cwd")
        except OSError:
            return what()
        return self._mounts.ask(os.path.join(folder, file), what)

    def _look(self, function: str, file: str, line: int) -> Facts:
        kind = origin(file)
        if kind in ("native", "frozen") or file.startswith("<"):
            return Facts(origin=kind)
        if kind == "user" and not is_demo(file) and self._installed.holds(file):
            kind = "library"
        source = self._source(file)
        if not 1 <= line <= len(source.lines):
            return Facts(origin=kind)
        if source.plain(line):
            return Facts(clean(source.lines[line - 1].strip()), kind)
        found = source.index(clean(file))
        checkout = found.checkout(function, line)
        text, awaited = clean(source.lines[line - 1].strip()), found.awaited(function, line)
        return Facts(text, kind, *found.facts(function, line), checkout, awaited)

    def _source(self, file: str) -> _Source:
        """The file as it is now, from the cache when nothing happened to it."""
        try:
            path = self._path(file)
            status = os.stat(path)
        except (OSError, ValueError):
            return _NOTHING
        stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        # The change time too: a deployment that keeps modification times still moves that one
        if max(status.st_mtime, status.st_ctime) > self._started + _SLACK_S:
            return _NOTHING
        known = self._sources.get(file)
        if known is not None and known.stamp == stamp:
            self._sources.move_to_end(file)
            return known
        return self._keep(file, _Source(stamp, _read(path)))

    def _keep(self, file: str, source: _Source) -> _Source:
        old = self._sources.pop(file, None)
        self._kept += source.size - (old.size if old else 0)
        self._sources[file] = source
        while len(self._sources) > 1 and (self._kept > _MAX_TEXT or len(self._sources) > 1000):
            self._kept -= self._sources.popitem(last=False)[1].size
        return source

    def _path(self, file: str) -> str:
        """Where the target's file is for us. A relative one is meant from its working directory, as far as that is
        still the one it started in."""
        if not file.startswith("/"):
            if self._pid is None:
                return os.path.join(self._folder, file)
            file = os.path.join(os.readlink(f"/proc/{self._pid}/cwd"), file)
        return _resolve(self._root, file) if self._root else file


def _foreign_root(pid: int | None) -> str:
    """'/proc/PID/root' when the target sees other files than we do under the same path; '' when not, or not known."""
    if pid is None:
        return ""
    try:
        here = all(
            os.readlink(f"/proc/{pid}/{name}") == os.readlink(f"/proc/self/{name}") for name in ("ns/mnt", "root")
        )
    except OSError:
        return ""  # not permitted to ask: then its frames cannot be read either
    return "" if here else f"/proc/{pid}/root"


def _resolve(root: str, path: str) -> str:
    """`path` below `root` with symbolic links followed as a process would that has `root` as its '/'.

    The kernel would follow an absolute link into *our* file system, and show another file's text.
    """
    todo = path.split("/")[::-1]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        here = "/".join((root, *done, part))
        if not stat.S_ISLNK(os.lstat(here).st_mode):
            done.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError("too many symbolic links")
        link = os.readlink(here)
        if link.startswith("/"):
            done.clear()
        todo += link.split("/")[::-1]
    return "/".join((root, *done))


def _read(path: str) -> str:
    """Text of a regular file of moderate size; '' for everything else. Does not block on a FIFO or a device."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return ""  # opening a device may already do something
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError):
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE:
                return ""
            data = stream.read(MAX_FILE + 1)
        except OSError:
            return ""
    if len(data) > MAX_FILE or b"\0" in data:
        return ""
    return _decode(data)


def _decode(data: bytes) -> str:
    """Source as Python reads it: UTF-8 unless one of the first two lines says otherwise; '\\n' ends a line."""
    encoding = "utf-8"
    for line in data.split(b"\n", 2)[:2]:
        cookie = _COOKIE.match(line)
        if cookie:
            encoding = cookie.group(1).decode("ascii", "replace").replace("_", "-")
            break
        if line.strip() and not line.lstrip().startswith(b"#"):
            break
    if not _CODEC.fullmatch(encoding):
        return ""
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return ""
    return text.replace("\r\n", "\n").replace("\r", "\n")
