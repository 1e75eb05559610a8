"""Attributes of instances of Python classes, `__slots__` included, and code's variables that lie in cells."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from concview.cpython.code import Code
from concview.cpython.memory import BadAddress
from concview.cpython.objects import Objects, Type

_WORD = struct.Struct("<Q").unpack_from
#: Of a class: bases followed, entries of its dict, slots in all.
_MAX_BASES, _MAX_CLASS, _MAX_SLOTS = 8, 512, 128
#: Attributes of one object that are looked at.
MAX_ATTRIBUTES = 256
#: co_localspluskinds: a variable that is a cell, or comes from outside as one.
_CELL = 0x40 | 0x80
_MOST_KNOWN = 4096


class Attributes:
    def __init__(self, objects: Objects) -> None:
        self._objects, self._memory, self._o = objects, objects.memory, objects.offsets
        self._type = objects.offsets["ob.type"]
        self._slots: dict[int, tuple[tuple[str, int], ...]] = {}  #: type -> (name, offset) of its slots
        self._cells: dict[int, tuple[bytes, frozenset[int]]] = {}  #: code -> the indices of variables in cells

    def forget(self) -> None:
        """Addresses may have been reused."""
        self._slots.clear()

    def instances(self, addresses: Iterable[int]) -> dict[int, Type]:
        """Those of the addresses that are instances of classes written in Python (types made in C carry their module's
        name). One call for all."""
        wanted = [a for a in dict.fromkeys(addresses) if a > 4096 and not a & 7]
        parts = self._memory.read_many([(a + self._type, 8) for a in wanted])
        found: dict[int, Type] = {}
        for address, part in zip(wanted, parts, strict=True):
            if part is None:
                continue
            try:
                kind = self._objects.type_at(_WORD(part)[0])
            except (BadAddress, struct.error):
                continue
            if kind.flags & 1 << 9 and "." not in kind.name:  # Py_TPFLAGS_HEAPTYPE
                found[address] = kind
        return found

    def of(self, address: int, kind: Type | None = None) -> dict[str, int]:
        """Name -> address of the value, of the instance's dict and its slots. Raises BadAddress."""
        found = self._objects.attributes(address)
        slots = self._slots_of((kind or self._objects.type_of(address)).address)
        if slots:
            words = self._memory.read_many([(address + at, 8) for _, at in slots])
            for (name, _), word in zip(slots, words, strict=True):
                value = _WORD(word)[0] if word is not None else 0
                if value:
                    found[name] = value
        return dict(list(found.items())[:MAX_ATTRIBUTES]) if len(found) > MAX_ATTRIBUTES else found

    def _slots_of(self, address: int) -> tuple[tuple[str, int], ...]:
        known = self._slots.get(address)
        if known is None:
            try:
                known = self._read_slots(address)
            except (BadAddress, struct.error):
                known = ()
            if len(self._slots) >= _MOST_KNOWN:
                self._slots.clear()
            self._slots[address] = known
        return known

    def _read_slots(self, address: int) -> tuple[tuple[str, int], ...]:
        """Member descriptors in the dicts of a class and its bases: `PyMemberDescrObject.d_member->offset`."""
        o, memory, found = self._o, self._memory, dict[str, int]()
        at_member = o["descr.d_name"] + 16
        for _ in range(_MAX_BASES):
            kind = self._objects.type_at(address)
            if not kind.flags & 1 << 9 or "." in kind.name:
                break
            members = memory.word(address + o["type.tp_base"] + 8)  # tp_dict
            items = self._objects.items(members)[:_MAX_CLASS] if members else []
            types = memory.read_many([(value + self._type, 8) for _, value in items])
            for (name, value), word in zip(items, types, strict=True):
                if word is None or self._objects.type_at(_WORD(word)[0]).name != "member_descriptor":
                    continue
                definition = memory.word(value + at_member)
                offset = memory.word(definition + 16)  # name, type (an int, padded), offset
                if 16 <= offset < 1 << 16 and len(found) < _MAX_SLOTS:
                    found.setdefault(self._objects.string(name, 80), offset)
            address = memory.word(address + o["type.tp_base"])
            if not address:
                break
        return tuple(found.items())

    def cells(self, code: Code) -> frozenset[int]:
        """Indices of the variables of a function that are cells."""
        known = self._cells.get(code.address)
        if known is not None and known[0] is code.fingerprint:
            return known[1]
        try:
            found = self._read_cells(code)
        except (BadAddress, struct.error):
            found = frozenset()
        if len(self._cells) >= _MOST_KNOWN:
            self._cells.clear()
        self._cells[code.address] = code.fingerprint, found
        return found

    def _read_cells(self, code: Code) -> frozenset[int]:
        o = self._o
        if o.features.heap_frames:  # arguments and locals first, then cells, then what comes from outside
            plain = self._memory.word(code.names_at[0] + o["tuple.ob_size"])
            return frozenset(range(plain, code.nlocalsplus)) if plain < code.nlocalsplus else frozenset()
        at = o.get("co.localspluskinds")
        if at < 0:
            at = o["co.localsplusnames"] + 8  # 3.11 and 3.12: right behind the names
        kinds = self._objects.raw_bytes(_WORD(code.fingerprint, at)[0])
        return frozenset(i for i, kind in enumerate(kinds) if kind & _CELL)
