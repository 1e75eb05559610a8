"""Reading Python objects for tasks: attributes with `__slots__`, numbers, lengths, members of sets and lists.

Everything is bounded, and a wrong or vanished object gives nothing, 0 or None, never an exception, unless it is said
otherwise.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable

from concview.cpython.aio.layout import TaskLayout
from concview.cpython.memory import BadAddress
from concview.cpython.objects import Objects

#: Errors that a stale or torn object gives.
BAD = (BadAddress, struct.error, KeyError, IndexError)
_HEAP_TYPE = 1 << 9
#: `Py_T_OBJECT`, `Py_T_OBJECT_EX` of Include/descrobject.h
_OBJECT_MEMBERS = (6, 16)
_MAX_BASES = 16
_MAX_TYPES = 4096
#: Names that one code object refers to.
_MAX_NAMES = 4_096
#: What is due later than that, in seconds, never is: infinity, and what nanoseconds of 63 bits do not hold.
FAR_S = 9e9
#: Members of a collection that are looked at.
MAX_MEMBERS = 1 << 17

_WORD = struct.Struct("<Q").unpack_from
_DOUBLE = struct.Struct("<d").unpack_from
_INT = struct.Struct("<i").unpack_from

_SIZED = frozenset({"collections.deque", "list", "tuple", "dict", "collections.OrderedDict", "collections.defaultdict"})


class Values:
    def __init__(self, objects: Objects, layout: TaskLayout) -> None:
        self.objects, self.memory, self.o = objects, objects.memory, objects.offsets
        self.layout = layout
        self._type = self.o["ob.type"]
        self._header = self.o.header
        self._names: dict[int, str] = {}  #: address of a type -> its name
        self._slots: dict[int, tuple[tuple[str, int], ...]] = {}
        self._kinds: dict[tuple[int, str], bool] = {}

    def forget(self) -> None:
        """Addresses may have been reused."""
        self._names.clear()
        self._slots.clear()
        self._kinds.clear()

    # ------------------------------------------------------------------ types

    def name_of(self, type_: int) -> str:
        """Name of the type at this address."""
        known = self._names.get(type_)
        if known is None:
            try:
                known = self.objects.type_at(type_).name
            except BAD:
                known = ""
            if len(self._names) >= _MAX_TYPES:
                self._names.clear()
            self._names[type_] = known
        return known

    def type_name(self, address: int) -> str:
        """Name of an object's type: with the module for types of C modules ('_thread.lock'), else bare ('Lock')."""
        if address < 4096 or address & 7:
            return ""
        try:
            return self.name_of(self.memory.word(address + self._type))
        except BAD:
            return ""

    def type_names(self, addresses: Iterable[int]) -> list[str]:
        """The same of many, in one call."""
        wanted = list(addresses)
        parts = self.memory.read_many([(a + self._type, 8) if a > 4096 and not a & 7 else (0, 8) for a in wanted])
        return [self.name_of(_WORD(part)[0]) if part is not None else "" for part in parts]

    def derives(self, type_: int, base: str) -> bool:
        """Whether a type is, or is derived (by its first bases) from, one of this name."""
        known = self._kinds.get((type_, base))
        if known is None:
            known, at = False, type_
            with contextlib.suppress(*BAD):
                for _ in range(_MAX_BASES):
                    if not at:
                        break
                    if self.name_of(at) == base:
                        known = True
                        break
                    at = self.memory.word(at + self.o["type.tp_base"])
            if len(self._kinds) >= _MAX_TYPES:
                self._kinds.clear()
            self._kinds[type_, base] = known
        return known

    def is_a(self, address: int, *bases: str) -> bool:
        """Whether an object is an instance of a type of one of these names, or of a subclass."""
        if address < 4096 or address & 7:
            return False
        try:
            type_ = self.memory.word(address + self._type)
        except BAD:
            return False
        return any(self.derives(type_, base) for base in bases)

    def refers_to(self, code: int) -> frozenset[str]:
        """co_names: the global names and attributes that the code object at this address refers to. Raises
        BadAddress."""
        names = self.objects.tuple_items(self.memory.word(code + self.o["co.names"]), _MAX_NAMES)
        return frozenset(name for name in self.objects.strings(list(names)) if name)

    # ------------------------------------------------------------------ attributes

    def attributes(self, address: int) -> dict[str, int]:
        """Instance attributes, those in `__slots__` too: name -> address of the value."""
        if address < 4096 or address & 7:
            return {}
        try:
            found = dict(self.objects.attributes(address))
        except BAD:
            found = {}
        try:
            members = self._members(self.memory.word(address + self._type))
            if members:
                values = self.memory.read_many([(address + at, 8) for _, at in members])
                for (name, _), value in zip(members, values, strict=True):
                    if value is not None and (word := _WORD(value)[0]):
                        found.setdefault(name, word)
        except BAD:
            pass
        return found

    def attribute(self, address: int, *path: str) -> int:
        """`address.a.b`: address of the value; 0 where an attribute is missing. '[]': the first of a dict's values, of
        a list's or tuple's items."""
        for name in path:
            if not address:
                return 0
            address = self._first(address) if name == "[]" else self.attributes(address).get(name, 0)
        return address

    def _first(self, address: int) -> int:
        with contextlib.suppress(*BAD):
            if self.is_a(address, "dict"):
                return next(iter(self.dict_values(address)), 0)
            if self.is_a(address, "tuple", "list"):
                return next(iter(self.list_items(address, 1)), 0)
        return 0

    def slots(self, address: int) -> tuple[tuple[str, int], ...]:
        """(name, offset) of an object's `__slots__`. Raises BadAddress."""
        return self._members(self.memory.word(address + self._type))

    def slots_of(self, type_: int) -> tuple[tuple[str, int], ...]:
        """(name, offset) of the `__slots__` that a type's instances have."""
        return self._members(type_)

    def _members(self, type_: int) -> tuple[tuple[str, int], ...]:
        """(name, offset) of the `__slots__` of a class and its bases, by the member descriptors in the types' dicts."""
        known = self._slots.get(type_)
        if known is not None:
            return known
        found: list[tuple[str, int]] = []
        layout, objects, memory = self.layout, self.objects, self.memory
        with contextlib.suppress(*BAD):
            for base in objects.tuple_items(memory.word(type_ + layout.bases), 64):
                namespace = memory.word(base + layout.namespace)
                if not namespace or not objects.type_at(base).flags & _HEAP_TYPE:
                    continue
                values = [value for _, value in objects.items(namespace)]
                for value, kind in zip(values, self.type_names(values), strict=True):
                    if kind == "member_descriptor":
                        name, member, offset = memory.words(memory.word(value + layout.member), 3)
                        if member & 0xFFFFFFFF in _OBJECT_MEMBERS and offset < 4096:
                            found.append((objects.c_string(name), offset))
        if len(self._slots) >= _MAX_TYPES:
            self._slots.clear()
        self._slots[type_] = tuple(found)
        return self._slots[type_]

    # ------------------------------------------------------------------ values

    def number(self, address: int) -> float | None:
        """Of a float or an int."""
        kind = self.type_name(address)
        try:
            if kind == "float":
                value: float = _DOUBLE(self.memory.read(address + self._header, 8))[0]
                return value
            if kind in ("int", "bool"):
                found = self.objects.integers([address])[0]
                return None if found < 0 else float(-found if self._negative(address) else found)
        except BAD:
            pass
        return None

    def _negative(self, address: int) -> bool:
        tag = struct.unpack("<q", self.memory.read(address + self.o["long.lv_tag"], 8))[0]
        return bool(tag & 3 == 2) if self.o.features.long_tags else tag < 0

    def due(self, handle: int) -> float:
        """When a timer of a loop is due: seconds of the loop's clock; 0.0 where that is never, or not known. Raises
        BAD."""
        when = self.number(self.memory.word(handle + self.layout.when))
        return when if when is not None and 0 < when < FAR_S else 0.0

    def integer(self, address: int, default: int = -1) -> int:
        found = self.number(address)
        return int(found) if found is not None and abs(found) < 1 << 62 else default

    def text(self, address: int, limit: int = 200) -> str:
        """Of a str (or a subclass); '' for anything else."""
        if not self.is_a(address, "str"):
            return ""
        try:
            return self.objects.string(address, limit)
        except BAD:
            return ""

    def length(self, address: int) -> int:
        """Of the collections of the standard library; -1 for anything else."""
        kind = self.type_name(address)
        try:
            if kind in _SIZED:
                size = self.memory.word(address + self._header)
            elif kind in ("set", "frozenset"):
                size = self.memory.word(address + self.o["set.used"])
            else:
                return -1
        except BAD:
            return -1
        return size if size < 1 << 40 else -1

    def set_items(self, address: int, most: int = MAX_MEMBERS) -> list[int]:
        """Members of a set. Raises BadAddress: a set that grows meanwhile is torn."""
        raw = self.set_table(address)
        return [key for key, hash_ in struct.iter_unpack("<Qq", raw) if key > 4096 and hash_ != -1][:most]

    def set_table(self, address: int) -> bytes:
        """Raw entries (key, hash) of a set."""
        mask, table = struct.unpack("<QQ", self.memory.read(address + self._header + 16, 16))
        if mask > 4 * MAX_MEMBERS or mask & (mask + 1):
            raise BadAddress("no set")
        return self.memory.read(table, 16 * (mask + 1))

    def list_items(self, address: int, most: int = MAX_MEMBERS) -> list[int]:
        """Members of a list or tuple. Raises BadAddress."""
        if self.type_name(address) == "tuple":
            return list(self.objects.tuple_items(address))[:most]
        size, at = self.memory.words(address + self._header, 2)
        return list(self.memory.words(at, min(size, most))) if size < 1 << 32 else []

    def dict_values(self, address: int) -> list[int]:
        return [value for _, value in self.objects.items(address)]

    def members(self, address: int, most: int) -> list[int]:
        """Of a list, tuple, deque, set or of a dict's values; none of anything else, or where it is torn."""
        kind = self.type_name(address)
        with contextlib.suppress(*BAD):
            if kind == "list":
                return self.list_items(address, most)
            if self.is_a(address, "tuple"):
                return list(self.objects.tuple_items(address))[:most]
            if kind == "collections.deque":
                return list(self.objects.deque_items(address, most))
            if kind == "set":
                return self.set_items(address, most)
            if kind == "dict":
                return self.dict_values(address)[:most]
        return []

    def int32(self, address: int) -> int:
        return self.memory.int32(address)

    def cell(self, address: int) -> int:
        """What a cell holds, or the object itself."""
        if self.type_name(address) == "cell":
            with contextlib.suppress(*BAD):
                return self.memory.word(address + self.o["cell.ob_ref"]) & self.o.tag_mask
        return address
