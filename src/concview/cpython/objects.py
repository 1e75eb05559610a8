"""Python objects in another process: strings, numbers, tuples, dicts, instance attributes. Every length is bounded.

Nothing here runs code of the target or trusts it: an object that changes while it is read gives `BadAddress` or a
wrong value of the right type, never a hang.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from concview.cpython.memory import BadAddress, Memory
from concview.cpython.offsets import Offsets

#: Longest string read (code points); `text.clean` cuts far earlier.
MAX_STRING = 4096
#: Longest bytes object (a line table of a generated 60,000-line function is about 1 MB).
MAX_BYTES = 2 << 20
#: Most entries of a dict that are looked at (sys.modules has thousands).
MAX_ENTRIES = 1 << 17
#: An int's digits have 30 bits.
_DIGIT = (1 << 30) - 1
MAX_TUPLE = 1 << 16

_WORD = struct.Struct("<Q").unpack_from
#: Of one type, bases that are asked; types that are remembered.
_MAX_BASES, _MAX_KINDS = 8, 4096
_TPFLAGS_INLINE_VALUES, _TPFLAGS_MANAGED_DICT = 1 << 2, 1 << 4
_ENCODINGS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}


@dataclass(frozen=True, slots=True)
class Type:
    """What is needed of a type object."""

    address: int
    name: str  #: tp_name: with the module for types of C modules ('_thread.lock')
    flags: int
    basicsize: int
    dictoffset: int


class Objects:
    """Reads objects with one layout."""

    def __init__(self, memory: Memory, offsets: Offsets) -> None:
        self.memory = memory
        self.offsets = offsets
        o = offsets
        self._type = o["ob.type"]
        self._str_head = o["str.asciisize"]
        self._str_length, self._str_state = o["str.length"], o["str.state"]
        self._str_compact = o["str.compactsize"]
        self._keys, self._values = o["dict.ma_keys"], o["dict.ma_values"]
        self._types: dict[int, Type] = {}
        self._key_names: dict[tuple[int, int], tuple[str, ...]] = {}
        self._shared: dict[int, tuple[int, tuple[str, ...]]] = {}  #: address of a type -> (its keys, their names)
        self._cached_keys: int = o.values.get("ht.ht_cached_keys", 0)
        self.kind_shift = 8 if o.free_threaded and o.features.wide_interned else 2

    # ------------------------------------------------------------------ scalars

    def string(self, address: int, limit: int = MAX_STRING) -> str:
        """Text of a `str`, cut at `limit` code points."""
        return self._string(self.memory.read(address, self._str_head + 32), address, limit)

    def _string(self, head: bytes, address: int, limit: int = MAX_STRING) -> str:
        length = _WORD(head, self._str_length)[0]
        state = struct.unpack_from("<I", head, self._str_state)[0] >> self.kind_shift
        kind, compact, ascii_only = state & 7, state >> 3 & 1, state >> 4 & 1
        if length > 1 << 40 or kind not in _ENCODINGS:
            raise BadAddress(f"no string at {address:#x}")
        size = min(length, limit) * (1 if ascii_only else kind)
        if not compact:  # an instance of a subclass of str: the text lies elsewhere
            data = self.memory.read(_WORD(self.memory.read(address + self._str_compact, 8), 0)[0], size)
        else:
            start = self._str_head if ascii_only else self._str_compact
            data = head[start : start + size]
            if len(data) < size:
                data = self.memory.read(address + start, size)
        return data.decode("latin-1" if ascii_only else _ENCODINGS[kind], "replace")

    def string_of(self, head: bytes, address: int, limit: int = MAX_STRING) -> str:
        """Text of a `str` whose first bytes, at least `str.asciisize` and 8 of them, have been read already."""
        return self._string(head, address, limit)

    def strings(self, addresses: list[int]) -> list[str | None]:
        """Many strings in few calls; None for what is no string."""
        head = self._str_head + 64  # most names fit into the first read
        result: list[str | None] = []
        for address, data in zip(addresses, self.memory.read_many([(a, head) for a in addresses]), strict=True):
            try:
                result.append(self._string(data, address) if data is not None else self.string(address))
            except BadAddress:
                result.append(None)
        return result

    def integers(self, addresses: list[int]) -> list[int]:
        """Values of `int` objects below 2**90, in one call; absolute, for signs are of no use here. -1: it is none."""
        o = self.offsets
        start, body = o["long.lv_tag"], o["long.ob_digit"] - o["long.lv_tag"]
        result: list[int] = []
        for data in self.memory.read_many([(a + start, body + 12) for a in addresses]):
            if data is None:
                result.append(-1)
                continue
            tag = struct.unpack_from("<q", data)[0]
            count = tag >> 3 if o.features.long_tags else abs(tag)
            if not 0 <= count <= 3:
                result.append(-1)
                continue
            digits = struct.unpack_from(f"<{count}I", data, body)
            result.append(sum((digit & _DIGIT) << 30 * i for i, digit in enumerate(digits)))
        return result

    def raw_bytes(self, address: int) -> bytes:
        o = self.offsets
        size = self.memory.word(address + o["bytes.ob_size"])
        if size > MAX_BYTES:
            raise BadAddress("absurdly long bytes")
        return self.memory.read(address + o["bytes.ob_sval"], size)

    def tuple_items(self, address: int, limit: int = MAX_TUPLE) -> tuple[int, ...]:
        """Addresses of the items."""
        o = self.offsets
        size = self.memory.word(address + o["tuple.ob_size"])
        if size > limit:
            raise BadAddress("absurdly long tuple")
        return self.memory.words(address + o.tuple_items, size)

    def deque_items(self, address: int, limit: int = 256) -> list[int]:
        """Items of a `collections.deque`: blocks of 64 (left link, data, right link), indices at both ends.

        Raises BadAddress.
        """
        at = self.offsets["deque.ob_size"]
        size, block, _, index = self.memory.words(address + at, 4)
        items: list[int] = []
        for _ in range(limit):
            if not size or not block or len(items) >= limit or not 0 <= index < 64:
                break
            words = self.memory.words(block, 66)
            part = words[1 + index : min(65, 1 + index + size)]
            items += part
            size -= len(part)
            block, index = words[65], 0
        return items

    def c_string(self, address: int, limit: int = 64) -> str:
        data = self.memory.read_some(address, limit)
        return data.partition(b"\0")[0].decode("utf-8", "replace")

    # ------------------------------------------------------------------ types and attributes

    def type_at(self, address: int) -> Type:
        """A type object. Cached: types live long; the name is checked nowhere else, so the cache is bounded."""
        known = self._types.get(address)
        if known is not None:
            return known
        o = self.offsets
        data = self.memory.read(address, o["type.tp_dictoffset"] + 8)
        name = self.c_string(_WORD(data, o["type.tp_name"])[0], 128)
        if not name:
            raise BadAddress(f"no type at {address:#x}")
        found = Type(
            address,
            name,
            _WORD(data, o["type.tp_flags"])[0],
            _WORD(data, o["type.tp_basicsize"])[0],
            struct.unpack_from("<q", data, o["type.tp_dictoffset"])[0],
        )
        if len(self._types) >= 4096:
            self._types.clear()
        self._types[address] = found
        return found

    def type_of(self, address: int) -> Type:
        return self.type_at(self.memory.word(address + self._type))

    def type_name(self, address: int) -> str:
        """'' for what is no object."""
        try:
            return self.type_of(address).name
        except BadAddress:
            return ""

    def forget(self) -> None:
        """Drop what is cached by address: called now and then, because addresses are reused."""
        self._types.clear()
        self._key_names.clear()
        self._shared.clear()

    def attributes(self, address: int) -> dict[str, int]:
        """Instance attributes: name -> address of the value. Slots and class attributes are not included."""
        kind = self.type_of(address)
        memory, has = self.memory, self.offsets.features
        if not kind.flags & _TPFLAGS_MANAGED_DICT:
            if kind.dictoffset <= 0 or kind.dictoffset > 1 << 16:
                return {}
            place = memory.word(address + kind.dictoffset)
            return self.items_by_name(place) if place else {}
        if has.values_before_dict:
            values, place = memory.words(address - 32, 2)
            if values:
                return self._split(kind, values)
        elif has.values_or_dict:
            place = memory.word(address - 24)
            if place & 1:
                return self._split(kind, place + 1)
        else:
            place = memory.word(address - (8 if self.offsets.free_threaded else 24))
            if not place and kind.flags & _TPFLAGS_INLINE_VALUES:
                head = memory.read(address + kind.basicsize, 4)
                return self._split(kind, address + kind.basicsize + 8) if head[3] else {}
        return self.items_by_name(place) if place else {}

    def attribute(self, address: int, name: str) -> int:
        """Address of one instance attribute's value; 0 when it has none of that name."""
        return self.attributes(address).get(name, 0)

    def _split(self, kind: Type, values: int) -> dict[str, int]:
        """Attributes out of an array of values, whose names the type's keys have: one call where those are known, and
        are as many as they were."""
        memory, at = self.memory, kind.address + self._cached_keys
        known = self._shared.get(kind.address)
        if known is not None:
            keys, names = known
            word, used, data = memory.read_many([(at, 8), (keys + 24, 8), (values, 8 * len(names))])
            same = word is not None and _WORD(word)[0] == keys and used is not None and _WORD(used)[0] == len(names)
            if same and data is not None:
                return _named(names, struct.unpack(f"<{len(names)}Q", data))
        keys = memory.word(at)
        if not keys:
            return {}
        names = self._names(keys)
        if len(self._shared) >= 4096:
            self._shared.clear()
        self._shared[kind.address] = keys, names
        return _named(names, memory.words(values, len(names)))

    def _names(self, keys: int) -> tuple[str, ...]:
        """Names of shared keys. Cached by address and number: shared keys only grow."""
        entries = self._entries(keys)
        known = self._key_names.get((keys, len(entries)))
        if known is None:
            known = tuple(s or "" for s in self.strings([key for key, _ in entries]))
            if len(self._key_names) >= 4096:
                self._key_names.clear()
            self._key_names[keys, len(entries)] = known
        return known

    # ------------------------------------------------------------------ dicts

    def table(self, keys: int) -> tuple[int, int, int]:
        """Of a keys object: where its first entry lies, bytes of an entry (24: hash, key, value; 16: key, value), how
        many are in use. Raises BadAddress."""
        head = self.memory.read(keys, 32)
        index_bytes, kind = head[9], head[10]
        used = _WORD(head, 24)[0]
        if index_bytes > 34 or kind > 2 or used > MAX_ENTRIES:
            raise BadAddress("no dict keys")
        return keys + 32 + (1 << index_bytes), 24 if kind == 0 else 16, used

    def _entries(self, keys: int) -> list[tuple[int, int]]:
        """(key, value) addresses of a keys object, in order; values are 0 in shared keys."""
        start, width, used = self.table(keys)
        data = self.memory.read(start, width * used)
        if width == 24:
            return [(key, value) for _, key, value in struct.iter_unpack("<QQQ", data)]
        return list(struct.iter_unpack("<QQ", data))

    def shared_names(self, keys: int) -> tuple[str, ...]:
        """Names of keys that instances share, in the order of their values. Raises BadAddress."""
        return self._names(keys)

    def items(self, address: int) -> list[tuple[int, int]]:
        """(key, value) addresses of a dict."""
        memory = self.memory
        keys = memory.word(address + self._keys)
        values = memory.word(address + self._values)
        entries = self._entries(keys)
        if values:
            skip = 8 if self.offsets.features.values_with_head else 0
            found = memory.words(values + skip, len(entries))
            return [(key, value) for (key, _), value in zip(entries, found, strict=True) if key and value]
        return [(key, value) for key, value in entries if key and value]

    def items_by_name(self, address: int) -> dict[str, int]:
        """Items whose key is a string."""
        items = self.items(address)
        names = self.strings([key for key, _ in items])
        return {name: value for name, (_, value) in zip(names, items, strict=True) if name is not None}

    def lookup(self, address: int, name: str) -> int:
        """Value under a string key; 0 when there is none."""
        return self.items_by_name(address).get(name, 0)


def _named(names: tuple[str, ...], values: tuple[int, ...]) -> dict[str, int]:
    return {name: value for name, value in zip(names, values, strict=True) if value}


class TypeKinds:
    """What types are taken for, by their own names or those of their bases; each type is judged once."""

    def __init__(self, objects: Objects, judge: Callable[[str, bool], str]) -> None:
        """`judge`: of a name, and whether it is the type's own, the kind; '' for one that tells nothing."""
        self._objects, self._judge = objects, judge
        self._known: dict[int, str] = {}

    def forget(self) -> None:
        self._known.clear()

    def of(self, type_: int) -> str:
        """'' for a type that tells nothing, and where it cannot be read."""
        known = self._known.get(type_)
        if known is None:
            if len(self._known) >= _MAX_KINDS:
                self._known.clear()
            known = self._known[type_] = self._work_out(type_)
        return known

    def _work_out(self, address: int) -> str:
        objects = self._objects
        try:
            for depth in range(_MAX_BASES):
                kind = self._judge(objects.type_at(address).name, depth == 0)
                if kind:
                    return kind
                address = objects.memory.word(address + objects.offsets["type.tp_base"])
                if not address:
                    break
        except (BadAddress, struct.error):
            pass
        return ""
