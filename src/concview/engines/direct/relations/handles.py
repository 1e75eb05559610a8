"""Objects with a descriptor (sockets, files, connections): which of those that frames refer to have which number."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from concview.cpython.locks import LockReader
from concview.cpython.memory import BadAddress
from concview.cpython.objects import TypeKinds
from concview.engines.direct.relations.finder import Finder, Found
from concview.engines.direct.thread_table import ThreadRow
from concview.model import User
from concview.sink import Sink
from concview.text import clean

_WORD = struct.Struct("<Q").unpack_from
#: Objects inside objects: a text file over a buffer over a raw file over a socket.
_DEPTH = 5
#: Where the descriptor, or the object with it, lies behind the header (Modules/socketmodule.h, Modules/_io/*.c): the
#: same in 3.8 to 3.15.
_NUMBERS = {"_socket.socket": 0, "_io.FileIO": 0}
_INNER = {
    "_io.BufferedReader": 0, "_io.BufferedWriter": 0, "_io.BufferedRandom": 0, "_io.TextIOWrapper": 16,
    "_io._WindowsConsoleIO": 0,
}  # fmt: skip
#: Attributes by which classes written in Python lead to one: socket.SocketIO; multiprocessing's Connection.
_ATTRIBUTES = ("_sock", "_handle", "_raw")
#: References to one descriptor that are told.
MAX_USERS = 16


def _judge(name: str, own: bool) -> str:
    if own and name in ("SocketIO", "Connection"):
        return "attributes"
    return name if name in _NUMBERS or name in _INNER else ""


class Handles:
    def __init__(self, reader: LockReader) -> None:
        self._objects, self._memory = reader.objects, reader.memory
        self._type = reader.offsets["ob.type"]
        self._header = reader.offsets.header
        self._kinds = TypeKinds(reader.objects, _judge)  #: the name of the base that says what it is

    def forget(self) -> None:
        self._kinds.forget()

    def with_numbers(self, finder: Finder) -> dict[int, int]:
        """Objects that frames refer to, or one attribute further, which have a descriptor -> its number."""
        addresses = finder.referred()
        words = self._memory.read_many([(a + self._type, 8) for a in addresses])
        found: dict[int, int] = {}
        for address, word in zip(addresses, words, strict=True):
            if word is None or not self._kinds.of(_WORD(word)[0]):
                continue
            number = self.number(address)
            if number >= 0:
                found[address] = number
        return found

    def number(self, address: int, depth: int = 0) -> int:
        """The descriptor of an object; -1 when it has none."""
        if depth >= _DEPTH or address <= 4096:
            return -1
        try:
            kind = self._kinds.of(self._objects.type_of(address).address)
            if kind in _NUMBERS:
                return self._memory.int32(address + self._header + _NUMBERS[kind])
            if kind in _INNER:
                return self.number(self._memory.word(address + self._header + _INNER[kind]), depth + 1)
            if kind == "attributes":
                attributes = self._objects.attributes(address)
                inner = next((attributes[n] for n in _ATTRIBUTES if n in attributes), 0)
                if inner and self._objects.type_name(inner) == "int":
                    value = self._objects.integers([inner])[0]
                    return value if 0 <= value < 1 << 31 else -1
                return self.number(inner, depth + 1)
        except (BadAddress, struct.error):
            pass
        return -1


class Users:
    """Threads that have to do with descriptors: in a call on one, or with an object that has its number. Objects are
    looked for once, when first asked for."""

    def __init__(self, handles: Handles, finder: Finder, sink: Sink, rows: Iterable[ThreadRow]) -> None:
        self._handles, self._finder = handles, finder
        self._waits = [(row, wait) for row in rows if (wait := sink.waited(row.wait)).fd >= 0]
        self._objects: dict[int, int] | None = None

    def of(self, fds: Iterable[int]) -> dict[int, list[User]]:
        """By descriptor; everything asked for in one search."""
        numbers = set(fds)
        users: dict[int, list[User]] = {}
        if not numbers:
            return users
        for row, wait in self._waits:
            if wait.fd in numbers:
                place = next((p for t in row.states for p in t.walk.places), None)
                where = ("", "", 0) if place is None else (place.code.qualname, place.code.file, place.line)
                self._add(users, wait.fd, User(row.tid, "call", "", clean(where[0]), clean(where[1], 1000), where[2]))
        if self._objects is None:
            self._objects = self._handles.with_numbers(self._finder)
        objects = {a: n for a, n in self._objects.items() if n in numbers}
        found = self._finder.find(set(objects)) if objects else []
        seen: set[tuple[int, int]] = set()
        # The shortest way first.
        for each in sorted(found, key=lambda f: (len(f.links), f.variable.frame.depth)):
            fd, tid = objects[each.target], each.variable.frame.thread.tid
            if (fd, tid) not in seen:
                seen.add((fd, tid))
                self._add(users, fd, user_of(each))
        return users

    @staticmethod
    def _add(users: dict[int, list[User]], fd: int, user: User) -> None:
        known = users.setdefault(fd, [])
        if len(known) < MAX_USERS:
            known.append(user)


def user_of(found: Found) -> User:
    code = found.place.code
    by = found.variable.by
    return User(
        found.variable.frame.thread.tid,
        by,
        clean(found.path),
        clean(code.qualname),
        clean(code.file, 1000),
        found.place.line,
    )
