"""Code objects of 3.8 to 3.10, and the `with` blocks around an instruction.

A frame has a stack of the blocks it is in. `with x:` pushes the bound exit method of x and then a block that says how
high the value stack was then, and where the code is that calls the exit method if the block is left by an exception.
When the block is left, whichever way, it is taken off first and the exit method called at once: what a frame holds are
the blocks that it has, no more. Nothing here depends on how high the value stack is now, which a running frame does not
say.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import cast

from concview.cpython.code import _MAX_SLOTS, _MAX_UNITS, _PROBATION, Code, Codes, Place, With
from concview.cpython.heap.layout import BLOCK, MAX_BLOCKS
from concview.cpython.heap.lines import parse_linetable, parse_lnotab
from concview.cpython.memory import BadAddress
from concview.cpython.objects import Objects
from concview.source.calls import role_of
from concview.source.facts import SourceFacts

#: `Lib/opcode.py`, the same in all three.
_SETUP_FINALLY, _SETUP_WITH, _SETUP_ASYNC_WITH, _EXTENDED_ARG = 122, 143, 154, 144
_RETURN_VALUE = 83
#: Calls remembered of one instruction.
_MOST_CALLED = 64
#: Times that a call must have been seen, and one in how many it must be.
_SURE, _RARE = 3, 4

_WORD = struct.Struct("<Q").unpack_from
_INT = struct.Struct("<i").unpack_from


class HeapPlace(Place):
    __slots__ = ("_called", "_total")
    code: HeapCode

    def __init__(self, code: Code, lasti: int, line: int, leaving: bool, withs: tuple[With, ...]) -> None:
        super().__init__(code, lasti, line, leaving, withs)
        #: code that was seen to be called from here, and how often; and how often any was
        self._called: dict[Code, int] = {}
        self._total = 0

    def learn(self, callee: Code) -> None:
        """It was seen to be called from here by copies that fit together."""
        known = self._called.get(callee, 0)
        if known or len(self._called) < _MOST_CALLED:
            self._called[callee] = known + 1
            self._total += 1

    def calls(self, callee: Code) -> bool:
        """Whether it is surely called from here: even copies that fit may be of two calls, once in a hundred times."""
        count = self._called.get(callee, 0)
        return count >= _SURE and count * _RARE >= self._total


class HeapCode(Code):
    __slots__ = ("copied", "exits", "unit")
    places: dict[object, HeapPlace]  # type: ignore[assignment]  # all of them are

    def __init__(self, objects: Objects, address: int, head: bytes, source: SourceFacts) -> None:
        o = objects.offsets

        def word(name: str) -> int:
            value: int = _WORD(head, o[f"co.{name}"])[0]
            return value

        self.address, self.fingerprint = address, head
        self.places = {}
        self.names_at = (word("varnames"), word("cellvars"), word("freevars"))
        sizes = [objects.memory.word(at + o["tuple.ob_size"]) for at in self.names_at]
        self.nlocalsplus = sum(sizes)
        self.stacksize = _INT(head, o["co.stacksize"])[0]
        self.first_line = _INT(head, o["co.firstlineno"])[0]
        if not 0 <= self.nlocalsplus < _MAX_SLOTS or not 0 <= self.stacksize < _MAX_SLOTS:
            raise BadAddress(f"no code object at {address:#x}")
        self.opcodes = objects.raw_bytes(word("code"))
        self.size = len(self.opcodes)
        if not 0 < self.size <= 2 * _MAX_UNITS:
            raise BadAddress(f"no code object at {address:#x}")
        self.start = self.next_frame = 0  # frames do not lie one behind the other
        self.name = objects.string(word("name"))
        self.file = source.absolute(objects.string(word("filename")))
        self.qualname = source.qualname(self.name, self.file, self.first_line)
        self.role = role_of(self.file, self.qualname)
        parse = parse_linetable if o.features.line_table else parse_lnotab
        starts, lines = parse(objects.raw_bytes(word("linetable")), self.first_line)
        self.starts, self.lines = array("I", starts), array("i", lines)
        self.handlers = []
        self.young = _PROBATION
        self.unit = 2 if o.features.instruction_units else 1  #: bytes per step of f_lasti and of a block's handler
        self.exits = _exits(self.opcodes, self.unit)
        #: bytes of a frame that are copied along: where it may be in a `with`, its value stack too
        self.copied = o["f.localsplus"] + (8 * (self.nlocalsplus + self.stacksize) if self.exits else 0)

    def within(self, blocks: bytes) -> tuple[With, ...]:
        """The `with` blocks among a frame's blocks, innermost first."""
        found: list[With] = []
        for kind, handler, level in struct.iter_unpack("<3i", blocks):
            begin = self.exits.get(handler * self.unit) if kind == _SETUP_FINALLY else None
            if begin is not None and 0 < level <= self.stacksize:
                found.append(With(self.nlocalsplus + level - 1, self.line(begin), True))
        return tuple(found[::-1])


def _exits(code: bytes, unit: int) -> dict[int, int]:
    """Where the exit method is called after an exception -> where the `with` begins; offsets in bytes."""
    found: dict[int, int] = {}
    argument = 0
    for i in range(0, len(code) - 1, 2):
        argument |= code[i + 1]
        if code[i] == _EXTENDED_ARG:
            argument <<= 8
            continue
        if code[i] in (_SETUP_WITH, _SETUP_ASYNC_WITH):
            found[i + 2 + argument * unit] = i
        argument = 0
    return found


class HeapCodes(Codes):
    _FIXED = ("filename", "name", "linetable", "code", "varnames", "freevars", "cellvars")

    def __init__(self, objects: Objects, frame: Callable[[str, str, int], int], source: SourceFacts) -> None:
        super().__init__(objects, frame)
        self._source = source
        self.codes = cast("dict[int, HeapCode]", self.known)
        o = objects.offsets
        self._caller = o["f.previous"]  #: f_code lies behind it
        self._lasti, self._iblock = o["f.lasti"], o["f.iblock"]
        self._stand = o["f.lasti"], o["f.blockstack"] + BLOCK * MAX_BLOCKS - o["f.lasti"]
        self._blocks = o["f.blockstack"] - o["f.lasti"]

    def _read(self, address: int, head: bytes) -> HeapCode:
        return HeapCode(self._objects, address, head, self._source)

    def where(self, address: int, lasti: int, blocks: bytes) -> HeapPlace | None:
        """Where a frame stands: f_lasti, and the blocks that it is in."""
        code = self.get(address)
        if not isinstance(code, HeapCode):
            return None
        key: object = (lasti, blocks) if blocks else lasti
        known = code.places.get(key)
        if known is not None:
            return known
        at = lasti * code.unit
        if not -2 <= at < code.size or (at >= 0 and at & 1):
            return None
        leaving = at >= 0 and code.opcodes[at] == _RETURN_VALUE
        place = HeapPlace(code, at, code.line(at), leaving, code.within(blocks) if blocks and code.exits else ())
        self._keep(place, key)
        return place

    def stand(self, frame: int) -> list[tuple[int, int]]:
        at, size = self._stand
        return [(frame + self._caller, 16), (frame + at, size)]

    def placed(self, code: bytes, pointer: bytes) -> Place | None:
        count = _INT(pointer, self._iblock - self._lasti)[0]
        if not 0 <= count <= MAX_BLOCKS:
            return None
        blocks = pointer[self._blocks : self._blocks + BLOCK * count]
        return self.where(_WORD(code, 8)[0], _INT(pointer)[0], blocks)

    def suspended(self, generator: int) -> tuple[Place, int] | None:
        frame = self._memory.word(generator + self._offsets["gen.gi_frame"])
        parts = self._memory.read_many(self.stand(frame)) if frame else [None]
        if parts[0] is None or parts[1] is None:
            return None  # it has ended
        place = self.placed(parts[0], parts[1])
        return (place, frame) if place is not None else None
