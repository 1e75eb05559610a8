"""From the copies of one thread's frames to its stack.

The target runs on while its frames are copied one by one (0.4 µs each), so nothing may be taken from one copy alone.
What is copied of a thread, in this order: all known frames, outermost first; the pointer to the innermost frame; the
inner frames once more, innermost first. The stack is told for the moment of the pointer. A frame whose two copies agree
stood so at that moment, what it called included. A caller that moved meanwhile is not known to have called what is
above it, unless it stands where the same call was surely seen before (`HeapPlace.calls`): otherwise what is above it is
dropped. So it is when the caller stands on a RETURN, and a frame that calls nothing and is not executed itself. (One
that calls something need not be executed: `throw` goes past generators that wait for another one.) The innermost frame
may move, as long as it stays in one call.

The addresses of frames are reused by the next call, so it is not enough that the innermost frame is the same one.
Blocked threads are always exact.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from concview.cpython.code import Place
from concview.cpython.heap.code import HeapCode, HeapCodes, HeapPlace
from concview.cpython.heap.layout import BLOCK, MAX_BLOCKS
from concview.cpython.memory import BadAddress, Memory
from concview.cpython.offsets import Offsets
from concview.cpython.walk import MAX_FRAMES, Outcome, Walk, scattered

_WORD = struct.Struct("<Q").unpack_from
_EXECUTING_38 = (1,)  #: f_executing
_EXECUTING_310 = (0, 2)  #: f_state: FRAME_EXECUTING, FRAME_UNWINDING


@dataclass(slots=True)
class Copies:
    """Where the frames are in a copy of one thread."""

    first: dict[int, int] = field(default_factory=dict)  #: address of a frame -> its first copy
    second: dict[int, int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)  #: bytes copied of each


class HeapWalk(Walk):
    """`data` is the copy of everything of the thread, `chunk` unused."""

    __slots__ = ("at", "bottom", "missing", "needed", "sizes", "steady")

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, int] = {}  #: frame -> where in `data` its copy is
        self.sizes: dict[int, int] = {}
        self.needed: dict[int, int] = {}  #: every frame met, also what was dropped -> bytes to copy of it
        self.bottom = 0  #: the outermost frame; 0 when not everything was looked at
        self.steady = False  #: every frame that was copied twice was in one call all the while
        self.missing = False  #: a frame was not copied along, or less of it than is needed

    def owns(self, frame: int, code: bytes) -> bool:
        """Frames are freed, and may be another thread's next: its caller is still the same."""
        i = self.addresses.index(frame) + 1
        return self.truncated or _WORD(code)[0] == (self.addresses[i] if i < len(self.addresses) else 0)

    def find(self, frame: int, address: int, size: int) -> tuple[bytes, int] | None:
        at = self.at.get(frame, -1)
        inside = address - frame
        return (self.data, at + inside) if at >= 0 and inside + size <= self.sizes[frame] else None


class HeapWalker:
    def __init__(self, memory: Memory, offsets: Offsets, codes: HeapCodes) -> None:
        self._memory, self._codes = memory, codes
        o = offsets
        parts = sorted([(o["f.previous"], "Q", 8), (o["f.executable"], "Q", 8), (o["f.lasti"], "i", 4),
                        (o["f.iblock"], "i", 4), (o["f.state"], "b", 1)])  # fmt: skip
        self._unpack = scattered(parts).unpack_from
        self._blocks, self.header = o["f.blockstack"], o["f.localsplus"]
        self._runs = _EXECUTING_310 if offsets.features.stack_depth else _EXECUTING_38

    def walk(self, result: HeapWalk, frame: int, data: bytes, copies: Copies, tracing: bool = False) -> Outcome:
        """Fill `result` from the innermost frame on. `tracing`: a function that traces is running, which is the only
        one that can be called by a frame about to be left."""
        unpack, first, second, sizes = self._unpack, copies.first, copies.second, copies.sizes
        known, start, header = self._codes.codes, self._blocks, self.header
        places: list[Place] = []
        addresses: list[int] = []
        marks: list[int] = []
        marked: list[tuple[Place, int]] = []
        kept: list[Any]
        young: list[int] = []
        used: dict[int, int] = {}
        missing = truncated = repaired = False
        sure = steady = True
        bottom = 0
        child: HeapCode | None = None  # what the frame above this one runs
        whole = True  # the frame above was in one call from before the pointer was copied until after
        needed: dict[int, int] = {}
        try:
            while frame:
                if frame in needed:
                    return Outcome.TORN  # a cycle
                block, at, again = data, first.get(frame, -1), -1
                stood, stays = whole, True
                bottom = frame
                if at < 0:
                    missing, sure, stays = True, False, False
                    block, at = self._memory.read(frame, header), 0
                else:
                    again, size = second.get(frame, -1), sizes[frame]
                    if again >= 0 and data[at : at + size] != data[again : again + size]:
                        stood, stays = False, self._stays(data, at, again)
                        sure = child is None and stays and self._same_blocks(data, at, again)
                        at = self._choose(data, at, again, child)
                    used[frame] = at
                previous, address, lasti, count, state = unpack(block, at)
                code = known.get(address)
                if not 0 < count <= MAX_BLOCKS:
                    if count:
                        return Outcome.TORN
                    blocks = b""
                    place = code.places.get(lasti) if code is not None else None
                else:
                    blocks = block[at + start : at + start + BLOCK * count]
                    place = code.places.get((lasti, blocks)) if code is not None else None
                if place is None:
                    place = self._codes.where(address, lasti, blocks)
                    if place is None:
                        return Outcome.TORN
                code = place.code
                needed[frame] = code.copied
                if code.young:
                    young.append(address)
                if child is not None:
                    gone = place.leaving and not tracing
                    if stood and not gone:
                        if again >= 0:
                            place.learn(child)
                    elif gone or not place.calls(child):
                        child, repaired = None, True
                        for kept in (places, addresses, marks, marked):
                            kept.clear()
                if child is None and state not in self._runs and lasti >= 0 and not tracing:
                    frame, repaired, steady = previous, True, False  # it has been left
                    continue
                if place.interesting:
                    marks.append(len(places))
                    marked.append((place, frame))
                    missing = missing or sizes.get(frame, 0) < place.code.copied
                places.append(place)
                addresses.append(frame)
                if len(places) >= MAX_FRAMES and previous:
                    truncated, bottom = True, 0
                    break
                steady = steady and stays
                child, frame, whole = code, previous, stays
        except (BadAddress, struct.error):
            return Outcome.TORN
        result.places, result.addresses, result.truncated = places, addresses, truncated
        result.young, result.marks, result.marked = young, marks, marked
        result.data, result.at, result.sizes = data, used, sizes
        result.missing, result.needed, result.sure = missing, needed, sure
        result.bottom, result.steady = bottom, steady
        return Outcome.REPAIRED if repaired else Outcome.EXACT

    def _stays(self, data: bytes, at: int, again: int) -> bool:
        """Whether both copies of a frame are of one and the same call, as far as that can be told."""
        one, two = self._unpack(data, at), self._unpack(data, again)
        return one[:2] == two[:2] and one[4] in self._runs and two[4] in self._runs

    def _choose(self, data: bytes, at: int, again: int, child: HeapCode | None) -> int:
        """Which of two copies that differ to take."""
        one, two = self._unpack(data, at), self._unpack(data, again)
        if child is not None:
            for where, parts in ((at, one), (again, two)):
                if parts[4] in self._runs:
                    place = self._place(data, where, parts)
                    if place is not None and place.calls(child):
                        return where
        return again if two[4] in self._runs or one[4] not in self._runs else at

    def _place(self, data: bytes, at: int, parts: tuple[int, ...]) -> HeapPlace | None:
        _, address, lasti, count, _ = parts
        blocks = at + self._blocks
        return self._codes.where(address, lasti, data[blocks : blocks + BLOCK * max(0, min(count, MAX_BLOCKS))])

    def _same_blocks(self, data: bytes, at: int, again: int) -> bool:
        """Whether an innermost frame that moved is in the same `with` blocks in both copies."""
        place, other = (self._place(data, where, self._unpack(data, where)) for where in (at, again))
        if place is None or other is None or len(place.withs) != len(other.withs):
            return False
        for block, same in zip(place.withs, other.withs, strict=True):
            slot = self.header + 8 * block.slot
            if block.slot != same.slot or data[at + slot : at + slot + 8] != data[again + slot : again + slot + 8]:
                return False
        return True
