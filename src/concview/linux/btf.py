"""Where the running kernel keeps things: its own description of its types, /sys/kernel/btf/vmlinux (BTF).

Only what programs for the kernel need: offsets in a structure, and the numbers of a few types. Format:
Documentation/bpf/btf.rst of the kernel.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

FILE = "/sys/kernel/btf/vmlinux"
_MAGIC = 0xEB9F
STRUCT, TYPEDEF, VAR = 4, 8, 14  #: kinds of types
_FUNC_PROTO, _PTR, _DATASEC = 13, 2, 15
_HEADER = struct.Struct("<HBBIIIII")
#: How many words follow a type's first three: of its kind, and for each of its members.
_MORE = {1: 1, 3: 3, 14: 1, 17: 1}
_EACH = {4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3}


class Unreadable(Exception):
    """The kernel does not describe its types, or not these."""


class Types:
    """The numbers of the named types, and their bodies. Unreadable when one is missing."""

    def __init__(self, data: bytes, wanted: frozenset[tuple[int, str]]) -> None:
        """`wanted`: (kind, name). Reads no further than to the last one of them."""
        try:
            magic, _, _, length, types_at, types_size, strings_at, strings_size = _HEADER.unpack_from(data)
        except struct.error:
            raise Unreadable("it is cut off") from None
        if magic != _MAGIC:
            raise Unreadable("it is not in the expected format")
        self._strings = data[length + strings_at : length + strings_at + strings_size]
        self._types = types = data[length + types_at : length + types_at + types_size]
        self._words = memoryview(types[: len(types) // 4 * 4]).cast("I")
        self.ids: dict[str, int] = {}
        self._at: list[int] = [0]  #: number -> its first word; no type has number 0
        self._next = 0
        self._find({(kind, self._offset(name)): name for kind, name in wanted})

    def _offset(self, name: str) -> int:
        at = self._strings.find(b"\0" + name.encode() + b"\0")
        if at < 0:
            raise Unreadable(f"it does not tell of {name}")
        return at + 1

    def _find(self, wanted: dict[tuple[int, int], str]) -> None:
        words, names = self._words, {name for _, name in wanted}
        while wanted:
            if not self._one_more():
                raise Unreadable(f"it does not tell of {next(iter(wanted.values()))}")
            at = self._at[-1]
            if words[at] in names and (name := wanted.pop((words[at + 1] >> 24 & 31, words[at]), "")):
                self.ids[name] = len(self._at) - 1

    def _one_more(self) -> bool:
        at = self._next
        if at + 2 >= len(self._words):
            return False
        self._at.append(at)
        info = self._words[at + 1]
        kind = info >> 24 & 31
        self._next = at + 3 + _MORE.get(kind, 0) + _EACH.get(kind, 0) * (info & 0xFFFF)
        return True

    def _place(self, number: int) -> int:
        while len(self._at) <= number:
            if not self._one_more():
                raise Unreadable("it is cut off")
        return self._at[number]

    def member(self, structure: str, name: str) -> int:
        """Its offset in bytes."""
        at = self._place(self.ids[structure])
        wanted = self._offset(name)
        for place in range(at + 3, at + 3 + 3 * (self._words[at + 1] & 0xFFFF), 3):
            if self._words[place] == wanted:
                bits = self._words[place + 2]
                # With the flag, the upper byte is the size of a bit field.
                return (bits & 0xFFFFFF if self._words[at + 1] >> 31 else bits) // 8
        raise Unreadable(f"{structure} has no {name}")

    def offset(self, section: str, variable: str) -> int:
        """Where a variable lies in a section, in bytes."""
        name, number = struct.pack("<I", self._offset(section)), self.ids[variable]
        at = len(self._types)
        # Sections come last.
        while (at := self._types.rfind(name, 0, at)) >= 0:
            words = self._words[at // 4 :]
            if at % 4 or len(words) < 3 or words[1] >> 24 & 31 != _DATASEC:
                continue
            for place in range(3, 3 + 3 * (words[1] & 0xFFFF), 3):
                if words[place] == number:
                    return words[place + 1]
        raise Unreadable(f"it does not tell where {variable} lies")

    def arguments(self, typedef: str) -> int:
        """How many arguments the function type has that this is a pointer to."""
        at = self._place(self.ids[typedef])
        for kind in (_PTR, _FUNC_PROTO):
            at = self._place(self._words[at + 2])
            if self._words[at + 1] >> 24 & 31 != kind:
                raise Unreadable(f"{typedef} is no function")
        return self._words[at + 1] & 0xFFFF


@lru_cache(maxsize=1)
def kernel_types(wanted: frozenset[tuple[int, str]]) -> Types:
    """Of the running kernel. Some milliseconds, once. Unreadable."""
    try:
        return Types(Path(FILE).read_bytes(), wanted)
    except OSError as error:
        raise Unreadable(f"{FILE}: {error.strerror}") from None
