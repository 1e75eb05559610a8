"""Code objects: names, line tables, exception tables. Everything about one instruction is worked out once.

Formats: `Objects/locations.md` and `Objects/exception_handling_notes.md` of CPython 3.11 and newer; for what differs
before see `heap.code`.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import ClassVar

from concview.cpython.memory import BadAddress, Memory
from concview.cpython.objects import Objects
from concview.cpython.offsets import OPCODES, Offsets
from concview.source.calls import role_of

#: Most code objects remembered; an application has a few thousand live ones.
MAX_CODES = 10_000
#: Most instructions remembered of one code object.
MAX_PLACES = 4096
#: Sane limits of a code object: more is not one.
_MAX_UNITS = 1 << 21
_MAX_SLOTS = 1 << 16
#: `with` blocks around one instruction that are followed; CPython itself allows about 20 nested blocks.
_MAX_NESTED = 64
#: Checks that a new code object must pass, one per sample in which it appears anew, before it is trusted.
_PROBATION = 50

_WORD = struct.Struct("<Q").unpack_from
_INT = struct.Struct("<i").unpack_from

#: Kinds of line table entries (PEP 657)
_NO_LOCATION, _LONG, _NO_COLUMNS, _ONE_LINE_0, _ONE_LINE_2 = 15, 14, 13, 10, 12


def parse_line_table(table: bytes, first_line: int) -> tuple[list[int], list[int]]:
    """(start offsets in bytes, lines): instruction at offset x lies on the line of the last start <= x.

    Instructions without a line (the compiler's own) get 0. A truncated table gives what could be read.
    """
    starts: list[int] = []
    lines: list[int] = []
    address, line, i, size = 0, first_line, 0, len(table)
    while i < size:
        head = table[i]
        i += 1
        kind = head >> 3 & 15
        if kind == _NO_LOCATION:
            lines.append(0)
        else:
            if kind in (_LONG, _NO_COLUMNS):
                delta, i = varint(table, i)
                line += -(delta >> 1) if delta & 1 else delta >> 1
                if kind == _LONG:
                    for _ in range(3):
                        _, i = varint(table, i)
            elif _ONE_LINE_0 <= kind <= _ONE_LINE_2:
                line += kind - _ONE_LINE_0
                i += 2
            else:
                i += 1
            lines.append(line if 0 < line < 1 << 31 else 0)
        starts.append(address)
        address += 2 * ((head & 7) + 1)
    return starts, lines


def varint(table: bytes, i: int) -> tuple[int, int]:
    """Little-endian groups of six bits: (value, index behind it). Ends with the table; at most 60 bits."""
    value = shift = 0
    while i < len(table):
        byte = table[i]
        i += 1
        if shift < 60:
            value |= (byte & 63) << shift
        shift += 6
        if not byte & 64:
            break
    return value, i


def parse_exception_table(table: bytes) -> list[tuple[int, int, int, int]]:
    """(start, end, handler, stack depth): offsets in bytes, ends exclusive."""
    entries: list[tuple[int, int, int, int]] = []
    numbers: list[int] = []
    i = 0
    while i < len(table):
        value = table[i] & 63
        while table[i] & 64 and i + 1 < len(table):
            i += 1
            value = (value << 6 | table[i] & 63) & (1 << 60) - 1
        i += 1
        numbers.append(value)
        if len(numbers) == 4:
            start, length, handler, depth = numbers
            entries.append((2 * start, 2 * (start + length), 2 * handler, depth >> 1))
            numbers = []
    return entries


class With:
    """A `with` block around an instruction: its exit callable lies in a slot of the value stack."""

    __slots__ = ("line", "slot", "sure")

    def __init__(self, slot: int, line: int, sure: bool) -> None:
        self.slot = slot  #: index into localsplus; from 3.14 on the manager lies one above
        self.line = line  #: of the with statement
        self.sure = sure  #: False: the code is instrumented, the slot must be checked to hold an __exit__


class Place:
    """One instruction of one code object."""

    __slots__ = ("code", "frame_id", "interesting", "lasti", "leaving", "line", "withs")

    def __init__(self, code: Code, lasti: int, line: int, leaving: bool, withs: tuple[With, ...]) -> None:
        self.code = code
        self.lasti = lasti
        self.line = line
        self.leaving = leaving  #: stands on a RETURN or YIELD
        self.withs = withs  #: innermost first
        self.interesting = bool(withs) or code.role == "Condition.wait"  #: matters for which locks are held
        self.frame_id = 0  #: interned by the sink


class Code:
    """A code object, read once."""

    __slots__ = (
        "address", "file", "fingerprint", "first_line", "handlers", "lines", "name", "names_at", "next_frame",
        "nlocalsplus", "opcodes", "places", "qualname", "role", "size", "stacksize", "start", "starts", "young",
    )  # fmt: skip

    def __init__(self, objects: Objects, address: int, head: bytes) -> None:
        o = objects.offsets
        self.address = address
        self.fingerprint = head
        self.places: dict[object, Place] = {}
        self.nlocalsplus: int = _INT(head, o["co.nlocalsplus"])[0]
        self.stacksize: int = _INT(head, o["co.stacksize"])[0]
        self.first_line: int = _INT(head, o["co.firstlineno"])[0]
        self.start = address + o["co.code_adaptive"]
        self.size = 2 * _WORD(head, o["tuple.ob_size"])[0]  # ob_size of a variable-sized object: code units
        if not (0 < self.size <= 2 * _MAX_UNITS and 0 <= self.nlocalsplus < _MAX_SLOTS):
            raise BadAddress(f"no code object at {address:#x}")
        if not 0 <= self.stacksize < _MAX_SLOTS:
            raise BadAddress(f"no code object at {address:#x}")
        #: bytes from a frame of this code to the frame it calls
        self.next_frame = 8 * (self.nlocalsplus + self.stacksize) + o["f.localsplus"]
        file, qualname, name = (_WORD(head, o[f"co.{n}"])[0] for n in ("filename", "qualname", "name"))
        self.file, self.qualname, self.name = objects.string(file), objects.string(qualname), objects.string(name)
        self.role = role_of(self.file, self.qualname)  #: of the standard library's blocking methods
        table = objects.raw_bytes(_WORD(head, o["co.linetable"])[0])
        starts, lines = parse_line_table(table, self.first_line)
        self.starts, self.lines = array("I", starts), array("i", lines)
        self.handlers = parse_exception_table(objects.raw_bytes(_WORD(head, o["co.exceptiontable"])[0]))
        self.opcodes = objects.memory.read(self.start, self.size)
        self.names_at: tuple[int, ...] = (_WORD(head, o["co.localsplusnames"])[0],)
        self.young = _PROBATION  #: checks to pass before the address is taken to be this code's for long

    def line(self, lasti: int) -> int:
        """Line of the instruction at byte `lasti`; one that has no line counts to the one before it."""
        if lasti < 0:
            return self.first_line
        i = bisect_right(self.starts, lasti) - 1
        while i >= 0:
            if self.lines[i]:
                return self.lines[i]
            i -= 1
        return self.first_line

    def variable(self, objects: Objects, slot: int) -> str:
        """Name of a local variable, or of one that a closure shares; '' when it has none."""
        for address in self.names_at:
            names = objects.tuple_items(address, 4096)
            if slot < len(names):
                return objects.string(names[slot], 80)
            slot -= len(names)
        return ""

    def withs(self, lasti: int, offsets: Offsets) -> tuple[With, ...]:
        """The `with` blocks around an instruction, innermost first, by following the exception table's handlers."""
        if lasti < 0 or not self.handlers:
            return ()
        ops = OPCODES[offsets.version]
        found: list[With] = []
        seen: set[int] = set()
        code, size = self.opcodes, len(self.opcodes)
        below = 2 if offsets.features.exit_unbound else 1
        for _ in range(_MAX_NESTED):
            entry = next((e for e in self.handlers if e[0] <= lasti < e[1]), None)
            if entry is None or entry[2] in seen:
                break
            _, _, target, depth = entry
            seen.add(target)
            if target + 4 <= size and below <= depth <= self.stacksize:
                first, second = code[target], code[target + 2]
                slot = self.nlocalsplus + depth - below
                if first == ops.push_exc_info and second == ops.with_except_start:
                    found.append(With(slot, self.line(target + 2), True))
                elif first >= ops.instrumented or second >= ops.instrumented:
                    # Tracing, coverage or a profiler rewrote the handler: judge by what lies in the slot.
                    found.append(With(slot, self.line(target + 2), False))
            lasti = target
        return tuple(found)


class Codes:
    """Code objects by address.

    Programs make and free code at run time (exec, dataclasses, templates), and addresses are reused. So a new code
    object is on probation: `check` compares it with the memory whenever it appears on a stack. An address that was
    reused once stays there. The others are compared in turn by `recheck`.
    """

    #: What of the header may change while the object lives: reference counts, counters, caches. Compared are the
    #: pointers that make it this function.
    _FIXED: ClassVar[tuple[str, ...]] = (
        "filename", "name", "qualname", "linetable", "exceptiontable", "localsplusnames",
    )  # fmt: skip

    def __init__(self, objects: Objects, frame: Callable[[str, str, int], int]) -> None:
        self._objects = objects
        self._memory: Memory = objects.memory
        self._offsets = o = objects.offsets
        self._frame = frame  #: interns (function, file, line)
        self._fixed = [o[f"co.{n}"] for n in self._FIXED]
        self._size = max(o.get("co.code_adaptive"), *(at + 8 for at in self._fixed))
        self._type = 0  #: address of PyCode_Type
        self._ob_type = o["ob.type"]
        self._mask = o.tag_mask
        self.known: dict[int, Code] = {}
        self._round: list[int] = []
        self._reused: set[int] = set()

    def clear(self) -> None:
        """Forget all: the sink's ids are void, or too many code objects came by."""
        self.known.clear()

    def get(self, address: int) -> Code | None:
        """None for what is no code object."""
        code = self.known.get(address)
        if code is not None:
            return code
        try:
            head = self._memory.read(address, self._size)
            kind = _WORD(head, self._ob_type)[0]
            if kind != self._type:
                if self._type or self._objects.type_at(kind).name != "code":
                    return None
                self._type = kind
            code = self._read(address, head)
        except BadAddress:
            return None
        if len(self.known) >= MAX_CODES:
            self.known.clear()
        self.known[address] = code
        return code

    def _read(self, address: int, head: bytes) -> Code:
        """Raises BadAddress for what is none."""
        return Code(self._objects, address, head)

    def place(self, address: int, pointer: int, bytecode: int = 0) -> Place | None:
        """The instruction `pointer` of the code object; None when there is none (a torn read).

        `bytecode`: index of the thread's own copy of the bytecode (free-threaded 3.14 and newer).
        """
        code = self.get(address)
        if code is None:
            return None
        known = code.places.get(pointer)
        if known is not None:
            return known
        lasti = pointer - code.start
        if not -2 <= lasti < code.size:
            local = self._thread_local(code, pointer, bytecode)
            if local is None:
                return None
            lasti = local
        leaving = lasti >= 0 and code.opcodes[lasti] in OPCODES[self._offsets.version].leaving
        return self._keep(Place(code, lasti, code.line(lasti), leaving, code.withs(lasti, self._offsets)), pointer)

    def _keep(self, place: Place, key: object) -> Place:
        code = place.code
        place.frame_id = self._frame(code.qualname, code.file, place.line)
        if len(code.places) >= MAX_PLACES:
            code.places.clear()
        code.places[key] = place
        return place

    # ------------------------------------------------------------------ frames that are not being walked

    def stand(self, frame: int) -> list[tuple[int, int]]:
        """What to read (address, size) to know where a frame stands: see `placed`, `Walk.owns`. Two reads."""
        o = self._offsets
        return [(frame + o["f.executable"], 8), (frame + o["f.instr_ptr"], 8)]

    def placed(self, code: bytes, pointer: bytes) -> Place | None:
        return self.place(_WORD(code)[0] & self._mask, _WORD(pointer)[0])

    def suspended(self, generator: int) -> tuple[Place, int] | None:
        """Where a generator, coroutine or asynchronous generator stands, and the address of its frame."""
        frame = generator + self._offsets["gen.gi_iframe"]
        parts = self._memory.read_many(self.stand(frame))
        if parts[0] is None or parts[1] is None:
            return None
        place = self.placed(parts[0], parts[1])
        return (place, frame) if place is not None else None

    def _thread_local(self, code: Code, pointer: int, index: int) -> int | None:
        at = self._offsets.get("co.tlbc")
        if not self._offsets.free_threaded or at < 0:
            return None
        try:
            array = self._memory.word(code.address + at)
            copies = self._memory.words(array + 8, min(self._memory.word(array), 4096))
        except BadAddress:
            return None
        for base in copies[index : index + 1] + copies:
            if base and -2 <= pointer - base < code.size:
                return pointer - base
        return None

    def check(self, addresses: list[int]) -> bool:
        """Compare these with the memory; forget those that are others now. True when all are what they were."""
        good = True
        for address, head in zip(addresses, self._memory.read_many([(a, self._size) for a in addresses]), strict=True):
            code = self.known.get(address)
            if code is None:
                good = False
            elif head is None or any(head[o : o + 8] != code.fingerprint[o : o + 8] for o in self._fixed):
                del self.known[address]
                if len(self._reused) < MAX_CODES:
                    self._reused.add(address)
                good = False
            elif code.young > 0 and address not in self._reused:
                code.young -= 1
        return good

    def recheck(self, count: int) -> None:
        """Compare the next `count` code objects."""
        if not self._round:
            self._round = list(self.known)
        batch, self._round = self._round[-count:], self._round[:-count]
        self.check([address for address in batch if address in self.known])
