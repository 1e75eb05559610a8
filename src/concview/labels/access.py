"""Objects of a target, read for labels: every word that something was concluded from is noted, to be read again.

Everything is bounded, and what is missing, of another type or gone is an empty `Ref`: a kind says what it wants in one
line and asks at the end whether there is anything. Only a read that fails raises BadAddress.
"""

from __future__ import annotations

import struct

from concview.cpython.aio.values import BAD, Values
from concview.cpython.memory import BadAddress
from concview.cpython.objects import Type

#: Code points of a text that are read; entries of a dict that is searched for a key; nothing longer is worth it.
MAX_TEXT, MAX_SEARCHED = 2000, 1024
_INLINE_VALUES, _MANAGED_DICT, _HEAP, _STR, _DICT, _BYTES, _TUPLE = (
    1 << 2,
    1 << 4,
    1 << 9,
    1 << 28,
    1 << 29,
    1 << 27,
    1 << 26,
)
_MOST_KNOWN = 4096
_MOST_VARIABLES, _LONGEST_PACKAGE = 64, 40
#: What is copied of an object at first, before and behind its address: where its dict is, its type, a short text, the
#: first attributes. One call costs as much for 200 bytes as for eight.
_BEFORE, _BEHIND = 32, 160
_WORD = struct.Struct("<Q").unpack_from
_INT = struct.Struct("<I").unpack_from
_DOUBLE = struct.Struct("<d").unpack_from


class Access:
    """Reads with one layout. `begin` forgets what was noted, `proof` gives it. Not thread-safe."""

    def __init__(self, values: Values) -> None:
        self.values, self.objects, self.memory, self.o = values, values.objects, values.memory, values.o
        self._type, self._header = self.o["ob.type"], self.o.header
        self._noted: dict[tuple[int, int], bytes] = {}
        self._copies: dict[int, bytes] = {}  #: of this reading: object -> what lies around its address
        self._slots: dict[int, dict[str, int]] = {}  #: type -> name -> offset of its `__slots__`
        self._keys: dict[int, int] = {}  #: type -> the keys that its instances share
        self._index: dict[int, dict[str, int]] = {}  #: shared keys -> name -> index of the value
        self._interned: dict[str, set[int]] = {}  #: name -> strings that were seen as keys with that text

    def forget(self) -> None:
        """Addresses may have been reused."""
        for table in (self._slots, self._keys, self._index, self._interned):
            table.clear()

    # ------------------------------------------------------------------ what was read

    def begin(self) -> None:
        self._noted = {}
        self._copies = {}

    def proof(self) -> tuple[tuple[int, bytes], ...]:
        """(address, bytes) of all that was noted since `begin`, neighbours joined."""
        joined: list[tuple[int, bytes]] = []
        for (address, _), data in sorted(self._noted.items()):
            if joined:
                start, before = joined[-1]
                end = start + len(before)
                if address <= end:
                    if before[address - start :][: len(data)] != data[: end - address]:
                        raise BadAddress("it changed while it was read")
                    joined[-1] = (start, before + data[end - address :])
                    continue
            joined.append((address, data))
        return tuple(joined)

    def note(self, address: int, size: int, near: int = 0) -> bytes:
        """Read and noted. `near`: the object that it is a part of."""
        data = self._noted.get((address, size))
        if data is None:
            data = self._copied(address, size, near) if near else None
            if data is None:
                data = self.memory.read(address, size)
            self._noted[address, size] = data
        return data

    def _copied(self, address: int, size: int, near: int) -> bytes | None:
        copy = self._copies.get(near)
        if copy is None:
            copy = self._copies[near] = self.memory.read_some(near - _BEFORE, _BEFORE + _BEHIND)
        at = address - near + _BEFORE
        return copy[at : at + size] if at >= 0 and at + size <= len(copy) else None

    def word(self, address: int, near: int = 0) -> int:
        value: int = _WORD(self.note(address, 8, near))[0]
        return value

    def ref(self, address: int) -> Ref:
        return Ref(self, address)

    # ------------------------------------------------------------------ objects

    def kind(self, address: int) -> Type | None:
        """Its type; None for what is no object."""
        if address < 4096 or address & 7:
            return None
        return self.objects.type_at(self.word(address + self._type, address))

    def attribute(self, address: int, name: str) -> int:
        """Of the instance's slots and dict; 0: none of that name. Raises BadAddress."""
        kind = self.kind(address)
        if kind is None:
            return 0
        slots = self._slots.get(kind.address)
        if slots is None:
            slots = _room(self._slots)[kind.address] = dict(self.values.slots_of(kind.address))
        offset = slots.get(name)
        if offset is not None:
            return self.word(address + offset, address)
        has, free = self.o.features, self.o.free_threaded
        if not kind.flags & _MANAGED_DICT:
            if not 0 < kind.dictoffset < 1 << 16:
                return 0
            place = self.word(address + kind.dictoffset, address)
        elif has.values_before_dict:
            values, place = struct.unpack("<QQ", self.note(address - 32, 16, address))
            if values:
                return self._shared(self._cached_keys(kind), values, name)
        elif has.values_or_dict:
            place = self.word(address - 24, address)
            if place & 1:
                return self._shared(self._cached_keys(kind), place + 1, name)
        else:
            place = self.word(address - (8 if free else 24), address)
            if not place and kind.flags & _INLINE_VALUES:
                at = address + kind.basicsize
                valid = self.note(at + 3, 1, address)[0]
                return self._shared(self._cached_keys(kind), at + 8, name, address) if valid else 0
        return self.entry(place, name) if place else 0

    def _cached_keys(self, kind: Type) -> int:
        known = self._keys.get(kind.address)
        if known is None:
            known = self.memory.word(kind.address + self.o["ht.ht_cached_keys"])
            _room(self._keys)[kind.address] = known
        return known

    def _shared(self, keys: int, values: int, name: str, near: int = 0) -> int:
        if not keys:
            return 0
        known = self._index.get(keys)
        if known is None or name not in known:  # shared keys only grow
            names = self.objects.shared_names(keys)
            known = _room(self._index)[keys] = {n: i for i, n in enumerate(names) if n}
        index = known.get(name)
        return self.word(values + 8 * index, near) if index is not None else 0

    def entry(self, address: int, name: str) -> int:
        """Value of a dict under a text; 0: there is none. Raises BadAddress, also where the dict is too large."""
        o, objects = self.o, self.objects
        keys, values = (
            self.word(address + o["dict.ma_keys"], address),
            self.word(address + o["dict.ma_values"], address),
        )
        if values:
            return self._shared(keys, values + (8 if o.features.values_with_head else 0), name)
        start, width, used = objects.table(keys)
        if used > MAX_SEARCHED:
            raise BadAddress("a dict too large to be searched")
        data = self.memory.read(start, width * used)
        at = width - 16
        pointers = [_WORD(data, i + at)[0] for i in range(0, len(data), width)]
        known = self._interned.get(name, ())
        index = next((i for i, key in enumerate(pointers) if key in known), -1)
        if index < 0:
            there = [key for key in pointers if key]
            texts = dict(zip(there, objects.strings(there), strict=True))
            index = next((i for i, key in enumerate(pointers) if key and texts[key] == name), -1)
            if index < 0:
                return 0
            same = _room(self._interned).setdefault(name, set())
            if len(same) >= 64:
                same.clear()
            same.add(pointers[index])
        key, value = struct.unpack("<QQ", self.note(start + width * index + at, 16))
        if key != pointers[index]:
            raise BadAddress("it changed while it was read")
        return int(value)

    def pointers(self, address: int, number: int) -> tuple[int, ...]:
        return struct.unpack(f"<{number}Q", self.note(address, 8 * number)) if number else ()

    def entry_of(self, address: int, prefix: str) -> int:
        """Value of a dict under the first text that begins so; 0: there is none. Raises BadAddress."""
        kind = self.kind(address)
        if kind is None or not kind.flags & _DICT:
            return 0
        keys = self.word(address + self.o["dict.ma_keys"], address)
        if self.word(address + self.o["dict.ma_values"], address):
            return 0
        start, width, used = self.objects.table(keys)
        if used > _MOST_VARIABLES:
            raise BadAddress("a dict too large to be searched")
        for i in range(used):
            key, value = struct.unpack("<QQ", self.note(start + width * i + width - 16, 16))
            if key and value and self.text(key, len(prefix)) == prefix:
                return int(value)
        return 0

    def first(self, address: int) -> tuple[int, int]:
        """Key and value of the first entry of a dict; zeros where there is none. Raises BadAddress."""
        o = self.o
        keys = self.word(address + o["dict.ma_keys"], address)
        if self.word(address + o["dict.ma_values"], address):
            return 0, 0  # an instance's
        start, width, used = self.objects.table(keys)
        for i in range(min(used, 8)):  # what was deleted leaves a gap
            key, value = struct.unpack("<QQ", self.note(start + width * i + width - 16, 16))
            if key and value:
                return int(key), int(value)
        return 0, 0

    def text(self, address: int, limit: int) -> str:
        """Of a str, or of bytes as Latin-1; '' for anything else. Cut at `limit`. Raises BadAddress."""
        kind = self.kind(address)
        if kind is None:
            return ""
        o = self.o
        if kind.flags & _BYTES:
            size = self.word(address + o["bytes.ob_size"], address)
            return self.note(address + o["bytes.ob_sval"], min(size, limit)).decode("latin-1") if size < 1 << 40 else ""
        if not kind.flags & _STR:
            return ""
        # Not the reference count: it changes all the time.
        at = o["str.length"]
        self._copied(address, 0, address)
        head = b"\0" * at + self._copies[address][_BEFORE + at :]
        if len(head) < o["str.asciisize"] + 8:  # not all of that can be read
            head = b"\0" * at + self.memory.read_some(address + at, o["str.asciisize"] + 40 - at)
        if len(head) < o["str.asciisize"]:
            raise BadAddress("no string")
        found = self.objects.string_of(head, address, limit)
        state = _INT(head, o["str.state"])[0]
        self._noted[address + at, 8] = head[at : at + 8]
        self._noted[address + o["str.state"], 4] = head[o["str.state"] : o["str.state"] + 4]
        shape = state >> self.objects.kind_shift
        if shape & 8:  # compact: the text lies behind the header
            start, width = o["str.asciisize" if shape & 16 else "str.compactsize"], 1 if shape & 16 else shape & 7
            encoded = found.encode("latin-1" if width == 1 else "utf-16-le" if width == 2 else "utf-32-le", "replace")
            self._noted[address + start, len(encoded)] = encoded
        return found


class Ref:
    """An object of the target, or nothing (address 0), which is all that can be read from nothing."""

    __slots__ = ("_access", "address")

    def __init__(self, access: Access, address: int) -> None:
        self._access, self.address = access, address

    def __bool__(self) -> bool:
        """Whether there is an object, and not None."""
        return bool(self.address) and self.type not in ("", "NoneType")

    @property
    def type(self) -> str:
        """'' for what is no object; with the module for types of C modules."""
        try:
            kind = self._access.kind(self.address)
        except BAD:
            return ""
        return kind.name if kind is not None else ""

    def package(self) -> str:
        """Which one its class, one of Python's, was defined in; '' of any other."""
        access = self._access
        kind = access.kind(self.address)
        if kind is None or not kind.flags & _HEAP:
            return ""
        place = access.word(kind.address + access.o["type.tp_base"] + 8)  # tp_dict
        module = Ref(access, place).item("__module__")
        name = module.text(200).partition(".")[0]
        return name if name.isascii() and name.isidentifier() and len(name) <= _LONGEST_PACKAGE else ""

    def attr(self, *names: str) -> Ref:
        """`self.a.b`."""
        address = self.address
        for name in names:
            address = self._access.attribute(address, name)
            if not address:
                break
        return Ref(self._access, address)

    def item(self, key: str) -> Ref:
        """Of a dict, under a text."""
        kind = self._access.kind(self.address)
        found = self._access.entry(self.address, key) if kind is not None and kind.flags & _DICT else 0
        return Ref(self._access, found)

    def first(self) -> tuple[Ref, Ref]:
        """Key and value of a dict's first entry."""
        kind = self._access.kind(self.address)
        key, value = self._access.first(self.address) if kind is not None and kind.flags & _DICT else (0, 0)
        return Ref(self._access, key), Ref(self._access, value)

    def function_name(self) -> str:
        """Of a function, or of a method's: its qualified name (before 3.11 its name), as its code has it."""
        access, address, o = self._access, self.address, self._access.o
        if self.type == "method":
            address = access.word(address + o["method.im_func"])
        if Ref(access, address).type != "function":
            return ""
        code = access.word(address + o["function.func_code"])
        return access.text(access.word(code + o["co.qualname" if o.features.code_qualname else "co.name"]), 200)

    def at(self, index: int) -> Ref:
        """Of a tuple, also a named one."""
        access, address = self._access, self.address
        kind = access.kind(address)
        if kind is None or not kind.flags & _TUPLE:
            return Ref(access, 0)
        if not 0 <= index < access.word(address + access.o["tuple.ob_size"], address):
            return Ref(access, 0)
        return Ref(access, access.word(address + access.o.tuple_items + 8 * index, address))

    def text(self, limit: int = MAX_TEXT) -> str:
        return self._access.text(self.address, limit)

    def float(self) -> float | None:
        access = self._access
        if self.type != "float":
            return None
        value: float = _DOUBLE(access.note(self.address + access.o.header, 8, self.address))[0]
        return value if abs(value) < 1e15 else None

    def integer(self) -> int:
        """-1: none, or a negative or very large one."""
        access = self._access
        if self.type != "int":
            return -1
        try:
            access.note(self.address + access.o["long.lv_tag"], 12)
            return access.objects.integers([self.address])[0]
        except BAD:
            return -1

    def truth(self) -> bool:
        """Of a bool; False for anything else."""
        access = self._access
        if self.type != "bool":
            return False
        access.note(self.address + access.o["long.lv_tag"], 12)
        return access.objects.integers([self.address])[0] == 1

    def word(self, offset: int) -> Ref:
        """The object that a field refers to, `offset` from behind the header: for types made in C."""
        access = self._access
        at = self.address + access.o.header + offset
        return Ref(access, access.word(at, self.address) if self.address else 0)

    def raw(self, offset: int, size: int) -> bytes:
        """Bytes of the object, from behind its header: for types made in C."""
        access = self._access
        return access.note(self.address + access.o.header + offset, size, self.address) if self.address else b""


def _room(table: dict) -> dict:  # type: ignore[type-arg]
    """The table, emptied when it has grown too large."""
    if len(table) >= _MOST_KNOWN:
        table.clear()
    return table
