"""From the bytes of one thread's stack chunk to its frames, repairing what was torn.

The target runs on while its memory is copied, so the copy of a running thread can be a mixture of moments. What is
trusted is the chunk itself (copied within about 0.1 µs), not the thread state's frame pointer, which in fast code has
moved nearly always. The rules (tests/engines/direct/test_direct_torn.py counts the worst case):

(a) up to 3.13, a frame with stacktop >= 0 that does not stand on a RETURN or YIELD has called the frame that lies
    right above it: extend upwards. From 3.14 on, extend while the frame above is valid and names this one as its
    caller.
(b) a caller that is itself executing (stacktop -1), or stands on RETURN, has no callee: drop everything above it.
(c) from 3.14 on, a popped frame has no executable: drop it and everything above it.
(d) addresses inside a chunk strictly fall on the way down, and no outside frame comes twice: else the copy is torn.
(e) the code object must be one, and the instruction pointer inside it.
Blocked threads are always exact.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from enum import IntEnum

from concview.cpython.code import Codes, Place
from concview.cpython.memory import BadAddress, Memory
from concview.cpython.offsets import Offsets

#: Frames kept of one stack, innermost first; the rest is cut off and the stack marked as truncated.
MAX_FRAMES = 2000
#: Data stack chunks (16 KiB each as a rule) older than the current one that are looked at.
MAX_CHUNKS = 256
#: Frames outside the chunks (C entries, generators) that are read along with the chunk from then on.
MAX_OUTSIDE = 200
#: Such frames in all, in one walk.
_MAX_OUTSIDE_STEPS = 20_000
#: Bytes read of one chunk.
MAX_CHUNK = 1 << 20
_ENTRY = 3  #: FRAME_OWNED_BY_CSTACK, FRAME_OWNED_BY_INTERPRETER: a call from C into the interpreter

_INT = struct.Struct("<i")
_CHUNK = struct.Struct("<QQQ")  # previous, size (bytes), top (slots; right unless it is the current chunk)


class Outcome(IntEnum):
    EXACT = 0  #: as copied
    REPAIRED = 1  #: something was added or dropped
    TORN = 2  #: no sense could be made of it


def frame_struct(offsets: Offsets) -> struct.Struct:
    """Unpacks a frame's header: executable, previous, instruction pointer, stack pointer, is_entry, owner.

    Stack pointer: `stacktop` (a signed int) up to 3.13, an address from 3.14 on. is_entry: only in 3.11.
    """
    o = offsets
    stack = "i" if "f.stacktop" in o.values else "Q"
    at_stack = o["f.stacktop"] if stack == "i" else o["f.stackpointer"]
    parts = [
        (o["f.executable"], "Q", 8),
        (o["f.previous"], "Q", 8),
        (o["f.instr_ptr"], "Q", 8),
        (at_stack, stack, struct.calcsize("<" + stack)),
        (o["f.owner"] - 1, "BB", 2),
    ]
    return scattered(parts)


def scattered(fields: list[tuple[int, str, int]]) -> struct.Struct:
    """Unpacks fields that lie apart: (offset, format, bytes) in the order of their offsets."""
    text, at = "<", 0
    for offset, kind, size in fields:
        text += f"{offset - at}x{kind}"
        at = offset + size
    return struct.Struct(text)


class Walk:
    """What one walk found; belongs to a thread and is reused."""

    __slots__ = (
        "addresses", "chunk", "data", "inside", "marked", "marks", "older", "outs", "outs_data", "places", "since_full",
        "sure", "truncated", "used", "used_at", "young",
    )  # fmt: skip

    def __init__(self) -> None:
        self.places: list[Place] = []  #: innermost first
        self.addresses: list[int] = []  #: of the frames of `places`
        self.used: list[int] = []  #: frames outside the chunks, in order
        self.used_at: list[int] = []  #: how many places lie above each of them
        self.young: list[int] = []  #: code objects on probation among them
        self.truncated = False
        self.chunk = 0
        self.data = b""  #: the current chunk's live part
        self.outs: tuple[int, ...] = ()  #: addresses of the frames in `outs_data`
        self.outs_data = b""
        self.older: list[tuple[int, int, bytes]] = []  #: (start, end, bytes) of the older chunks
        self.sure = False  #: copied while the thread stood in one frame: what was copied around it belongs to it
        #: the places that matter for which locks are held, with their frames, and their indices
        self.marked: list[tuple[Place, int]] = []
        self.marks: list[int] = []
        self.inside = 0  #: places before this index are not in older chunks
        self.since_full = 0  #: walks since the last one that looked at every frame

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]

    def owns(self, frame: int, code: bytes) -> bool:
        """Whether a frame of this stack still is this thread's, where it has been read again: see `Codes.stand`."""
        return True

    def find(self, frame: int, address: int, size: int) -> tuple[bytes, int] | None:
        """Where in a copy made in one moment with the thread's innermost frame a part of a frame is; None when it was
        read later."""
        at = address - self.chunk
        return (self.data, at) if 0 <= at <= len(self.data) - size else None


class Walker:
    def __init__(self, memory: Memory, offsets: Offsets, codes: Codes) -> None:
        self._memory = memory
        self._codes = codes
        self._frozen = not memory.facts.live  #: nothing moves: what reads as zeros is not there
        self._unpack = frame_struct(offsets).unpack_from
        self._header = offsets["f.localsplus"]
        self._mask = offsets.tag_mask
        self._cleared = offsets.features.cleared_frames
        self._entry_flag = offsets.features.entry_flag
        self._tlbc = offsets.get("f.tlbc_index") if offsets.free_threaded else -1

    def walk(
        self, result: Walk, frame: int, chunk: int, data: bytes, outs: tuple[int, ...], outs_data: bytes
    ) -> Outcome:
        """Fill `result` from the innermost frame on. `outs`, `outs_data`: outside frames copied in the same moment."""
        unpack, header, mask, cleared, flag = self._unpack, self._header, self._mask, self._cleared, self._entry_flag
        known, end = self._codes.known, chunk + len(data) - self._header
        lowest, frozen = 1 << 64, self._frozen
        outside = {a: i * header for i, a in enumerate(outs)} if outs else {}
        anchor, tail = self._anchor(result, chunk, data, outs, outs_data)
        places: list[Place] = []
        addresses: list[int] = []
        used: list[int] = []
        used_at: list[int] = []
        young: list[int] = []
        marks: list[int] = []
        marked: list[tuple[Place, int]] = []
        older: list[tuple[int, int, bytes]] = []
        inside = MAX_FRAMES
        truncated = repaired = False
        child = False  # the frame above was called by this one without C in between
        top = self._extend(frame, chunk, end, data)
        if top != frame:
            frame, repaired = top, True
        try:
            while frame:
                if chunk < frame <= end:
                    if frame >= lowest:
                        return Outcome.TORN
                    lowest, block, at = frame, data, frame - chunk
                else:
                    at = outside.get(frame, -1)
                    if at >= 0:
                        block = outs_data
                        used.append(frame)
                        used_at.append(len(places))
                    else:
                        if not older and len(data) >= 24:
                            older = self._older(data)
                        found = next((c for c in older if c[0] < frame <= c[1] - header), None)
                        if found is not None:
                            block, at = found[2], frame - found[0]
                            inside = min(inside, len(places))
                        else:
                            block, at = self._memory.read(frame, header), 0
                            used.append(frame)
                            used_at.append(len(places))
                    if len(used) > _MAX_OUTSIDE_STEPS or (len(used) & 63 == 63 and len(set(used)) < len(used)):
                        return Outcome.TORN  # a cycle
                executable, previous, pointer, stack, entry, owner = unpack(block, at)
                if owner < _ENTRY:
                    executable &= mask
                    if cleared and not executable:
                        if frozen and not (previous or pointer):
                            truncated = True  # a C stack that was not written: see `CoreFile.lacking_stacks`
                            break
                        places.clear()
                        addresses.clear()
                        marks.clear()
                        marked.clear()
                        used_at = [0] * len(used)
                        repaired, child, frame = True, False, previous
                        continue
                    code = known.get(executable)
                    place = code.places.get(pointer) if code is not None else None
                    if place is None:
                        copy = _INT.unpack_from(block, at + self._tlbc)[0] if self._tlbc >= 0 else 0
                        place = self._codes.place(executable, pointer, copy)
                        if place is None:
                            if frozen and not (executable or previous or pointer):
                                truncated = True
                                break
                            return Outcome.TORN
                    if child and (place.leaving or (stack < 0 and not cleared)):
                        places.clear()
                        addresses.clear()
                        marks.clear()
                        marked.clear()
                        used_at = [0] * len(used)
                        repaired = True
                    if place.code.young:
                        young.append(executable)
                    if place.interesting:
                        marks.append(len(places))
                        marked.append((place, frame))
                    places.append(place)
                    addresses.append(frame)
                    child = not (flag and entry)
                    if len(places) >= MAX_FRAMES and previous:
                        truncated = True
                        break
                elif owner == _ENTRY:
                    child = False
                else:
                    return Outcome.TORN
                if frame == anchor:
                    inside = len(places) + result.inside - tail
                    if result.marks:
                        shift, first = len(places) - tail, bisect_left(result.marks, tail)
                        marks += [m + shift for m in result.marks[first:]]
                        marked += result.marked[first:]
                    kept = bisect_left(result.used_at, tail)
                    used += result.used[kept:]
                    used_at += [at + len(places) - tail for at in result.used_at[kept:]]
                    places += result.places[tail:]
                    addresses += result.addresses[tail:]
                    older = older or result.older
                    truncated = result.truncated
                    break
                frame = previous
        except (BadAddress, struct.error):
            return Outcome.TORN
        if len(places) > MAX_FRAMES:
            del places[MAX_FRAMES:], addresses[MAX_FRAMES:]
            del marks[bisect_left(marks, MAX_FRAMES) :]
            del marked[len(marks) :]
            truncated = True
        result.since_full = result.since_full + 1 if anchor else 0
        result.young = young
        result.marks, result.marked = marks, marked
        result.inside = min(inside, len(places))
        result.places, result.addresses, result.truncated = places, addresses, truncated
        result.used, result.used_at = used, used_at
        result.chunk, result.data, result.outs, result.outs_data, result.older = chunk, data, outs, outs_data, older
        return Outcome.REPAIRED if repaired else Outcome.EXACT

    def _anchor(self, last: Walk, chunk: int, data: bytes, outs: tuple[int, ...], outs_data: bytes) -> tuple[int, int]:
        """(address, index behind it): the innermost frame of the last walk up to which, from the chunk's start, not a
        byte changed. What lies below it needs no second look. Every 64th walk is a full one all the same."""
        if last.chunk != chunk or last.outs != outs or last.since_full >= 64:
            return 0, 0
        low = 0
        if last.outs_data != outs_data:
            low = self._behind_changed(last, outs, outs_data)
        if last.older:
            # A loop far below may have gone on and come back to the very same frames up here.
            parts = self._memory.read_many([(start, end - start) for start, end, _ in last.older])
            if any(part != old for part, (_, _, old) in zip(parts, last.older, strict=True)):
                return 0, 0
        addresses, old, header, limit = last.addresses, last.data, self._header, last.inside
        old_end, end = chunk + len(old) - header, chunk + min(len(old), len(data)) - header
        high = limit
        while low < high:
            middle = i = (low + high) // 2
            while i < high and not chunk < addresses[i] <= old_end:
                i += 1  # a generator's frame lies elsewhere: look at its caller
            if i == high:
                high = middle
                continue
            size = addresses[i] - chunk + header
            if addresses[i] <= end and old[:size] == data[:size]:
                high = middle
            else:
                low = i + 1
        while low < limit and not chunk < addresses[low] <= old_end:
            low += 1
        return (addresses[low], low + 1) if low < limit else (0, 0)

    def _behind_changed(self, last: Walk, outs: tuple[int, ...], outs_data: bytes) -> int:
        """Index behind the outermost frame of the last walk of which the copy beside the chunk differs now. Frames
        that were only copied because they often come back do not count."""
        header, behind = self._header, 0
        for i, address in enumerate(outs):
            if outs_data[i * header : i * header + header] == last.outs_data[i * header : i * header + header]:
                continue
            if address in last.used:
                at = last.used_at[last.used.index(address)]
                # A call from C is no place: what comes next lies below it.
                behind = max(behind, at + (at < len(last.addresses) and last.addresses[at] == address))
        return behind

    def _extend(self, frame: int, chunk: int, end: int, data: bytes) -> int:
        """Rule (a): the innermost frame the copy shows."""
        unpack, mask, codes = self._unpack, self._mask, self._codes
        for _ in range(MAX_FRAMES):
            if not chunk < frame <= end:
                return frame
            executable, _, pointer, stack, _, owner = unpack(data, frame - chunk)
            if owner > 0 or (stack < 0 and not self._cleared):
                return frame
            code = codes.known.get(executable & mask)
            if code is None:
                return frame
            above = frame + code.next_frame
            if not chunk < above <= end:
                return frame
            executable, previous, pointer_above, _, entry, owner = unpack(data, above - chunk)
            if previous != frame or owner or (self._entry_flag and entry):
                return frame
            callee = codes.known.get(executable & mask)
            if callee is None:
                return frame
            place = codes.place(code.address, pointer)
            if place is None or place.leaving:
                return frame
            if self._cleared and not 0 <= pointer_above - callee.start < callee.size:
                return frame
            frame = above
        return frame

    def _older(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """The chunks below the current one, newest first. `data` starts with the current chunk's header."""
        memory = self._memory
        chunks: list[tuple[int, int]] = []
        address = _CHUNK.unpack_from(data)[0]
        seen: set[int] = set()
        while address and address not in seen and len(chunks) < MAX_CHUNKS:
            seen.add(address)
            previous, size, top = _CHUNK.unpack(memory.read(address, 24))
            chunks.append((address, max(24, min(24 + 8 * top, size, MAX_CHUNK))))
            address = previous
        return [
            (start, start + size, part)
            for (start, size), part in zip(chunks, memory.read_many(chunks), strict=True)
            if part is not None
        ]
