"""Await chains: from a task's coroutine to what the innermost one awaits, and what lies in their frames.

A suspended coroutine keeps what it awaits on top of its value stack; that is a coroutine again, or a thin wrapper
around one, or the iterator of a future, or something opaque. All chains are walked together, one level a read. The
loop goes on meanwhile: a chain is believed only when everything that it was concluded from reads the same a second
time, side by side in one call (`Checker`).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence

from concview.cpython.aio.layout import TaskLayout
from concview.cpython.aio.values import BAD, Values
from concview.cpython.code import Code, Codes, Place
from concview.cpython.heap.code import HeapCodes
from concview.cpython.heap.layout import BLOCK, MAX_BLOCKS
from concview.cpython.memory import MAX_SEGMENTS

#: Coroutines in one chain that are followed; Python's own recursion limit is 1000.
MAX_DEPTH = 1200
#: Slots of a frame that are copied with it; others are read when they are asked for.
SLOTS = 24
_FRAMES = frozenset({"coroutine", "generator", "async_generator"})
#: Their first field is the coroutine, generator or future that they stand for.
_WRAPPERS = frozenset(
    {"coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable", "_asyncio.FutureIter"}
)
FUTURE_ITERATOR = "_asyncio.FutureIter"
#: Cython 3 shares its types between modules under such a name ('_cython_3_2_8.coroutine'). Fields of one, in words
#: after its type (__pyx_CoroutineObject of Cython/Utility/Coroutine.c).
_CYTHON, _CYTHON_FIELDS = "_cython_", 12

_WORD = struct.Struct("<Q").unpack_from
_INT = struct.Struct("<i").unpack_from
_BYTE = struct.Struct("b").unpack_from


class Link:
    """One suspended coroutine (or generator) of a chain. Kept as it was copied."""

    __slots__ = ("created", "data", "object", "place", "slots", "stand", "top", "top_at")

    def __init__(self, object_: int, place: Place, slots: int, data: bytes) -> None:
        self.object = object_  #: address of the coroutine
        self.place = place
        self.slots = slots  #: address of its first local
        self.data = data  #: the first of its slots
        self.top_at = self.top = 0  #: the slot on top of its value stack, and what lies in it
        self.created = False  #: was not started yet
        #: (address, bytes) of what says where it stands
        self.stand: list[tuple[int, bytes]] = []

    @property
    def code(self) -> Code:
        return self.place.code


class Chain:
    """`links` outermost first; `end`: what the innermost awaits, as far as it is no coroutine; 0 none."""

    __slots__ = ("end", "links", "torn", "truncated")

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.end = 0
        self.torn = False
        self.truncated = False


class Chains:
    """Walks chains; also single frames, for what holds managers of its own."""

    def __init__(self, values: Values, codes: Codes) -> None:
        self.values, self.codes = values, codes
        self._memory, self._o = values.memory, values.o
        self._layout: TaskLayout = values.layout
        o = self._o
        self._heap = o.features.heap_frames
        self._mask = o.tag_mask
        self._type = o["ob.type"]
        self._slot0 = o["f.localsplus"]
        self._frame = 0 if self._heap else o["gen.gi_iframe"]
        self._state = 0 if self._heap else o["gen.gi_frame_state"]
        self._size = self._frame + self._slot0 + 8 * SLOTS
        self._pointer = "f.stacktop" not in o.values  #: from 3.14 on a pointer instead of an index
        #: What a frame says of where it stands: from its code to where its value stack ends.
        if not self._heap:
            ends = [o[n] for n in ("f.executable", "f.instr_ptr", "f.stacktop", "f.stackpointer") if n in o.values]
            self._stand = (min(ends), max(ends) + 8 - min(ends))
        has = o.features
        self._created = 0 if has.single_created_state else -3 if has.own_created_state else -2
        self._variables: dict[int, tuple[Code, dict[str, int]]] = {}

    # ------------------------------------------------------------------ walking

    def walk(self, roots: Sequence[int]) -> list[Chain]:
        """The chain of each coroutine, in as many calls as the longest is deep (twice that before 3.11)."""
        chains = [Chain() for _ in roots]
        level = [(chain, root) for chain, root in zip(chains, roots, strict=True) if root]
        for _ in range(MAX_DEPTH):
            if not level:
                return chains
            level = self._level(level)
        for chain, _ in level:
            chain.truncated = True
        return chains

    def _level(self, level: list[tuple[Chain, int]]) -> list[tuple[Chain, int]]:
        size, values = self._size if not self._heap else 64, self.values
        parts = self._memory.read_many([(address, size) for _, address in level])
        following: list[tuple[Chain, int]] = []
        frames: list[tuple[Chain, int, bytes]] = []
        for (chain, address), data in zip(level, parts, strict=True):
            if data is None:  # at the end of a mapping: it is shorter than what was asked for
                data = self._memory.read_some(address, size)
                if len(data) < self._type + 16:
                    chain.torn = True
                    continue
            kind = values.name_of(_WORD(data, self._type)[0])
            if kind in _FRAMES:
                frames.append((chain, address, data))
            elif kind in _WRAPPERS:
                inner = _WORD(data, self._layout.wrapped)[0]
                if kind == FUTURE_ITERATOR:
                    chain.end = inner
                elif inner:
                    following.append((chain, inner))
            elif kind.startswith(_CYTHON) and (inner := self._awaited(data)):
                following.append((chain, inner))
            else:
                chain.end = address
        links = self._heap_links(frames) if self._heap else [self._link(a, data) for _, a, data in frames]
        for (chain, _, _), link in zip(frames, links, strict=True):
            if link is None:
                chain.torn = True
                continue
            chain.links.append(link)
            if link.top and not link.created:
                following.append((chain, link.top))
        return following

    def _awaited(self, data: bytes) -> int:
        """What a coroutine that Cython compiled (grpc.aio) waits for: the one of its fields that can be awaited. It has
        no frame, and no line. 0 where there is none."""
        words = [w for w in struct.unpack_from(f"<{_CYTHON_FIELDS}Q", data, self._type + 8) if w > 4096 and not w & 7]
        for word, kind in zip(words, self.values.type_names(words), strict=True):
            if kind in _FRAMES or kind in _WRAPPERS or kind.startswith(_CYTHON):
                return int(word)
        return 0

    def _link(self, address: int, data: bytes) -> Link | None:
        o, frame = self._o, self._frame
        if len(data) < frame + self._slot0:
            return None
        state = _BYTE(data, self._state)[0]
        code, pointer = _WORD(data, frame + o["f.executable"])[0] & self._mask, _WORD(data, frame + o["f.instr_ptr"])[0]
        place = self.codes.place(code, pointer)
        if place is None:
            return None
        start = frame + self._slot0
        link = Link(address, place, address + start, data[start:])
        at, size = frame + self._stand[0], self._stand[1]
        link.stand = [(address + at, data[at : at + size])]
        link.created = state == self._created and place.lasti <= 0
        if self._pointer:
            pointer = _WORD(data, frame + o["f.stackpointer"])[0]
            top = (pointer - address - start) // 8 if pointer else -1
        else:
            top = _INT(data, frame + o["f.stacktop"])[0]
        if o.features.sent_value_on_top and state in (2, 3):
            top -= 1  # the value that is sent in lies above what is awaited
        return self._with_top(link, top - 1)

    def _with_top(self, link: Link, slot: int) -> Link | None:
        code = link.place.code
        if not link.created and code.nlocalsplus <= slot < code.nlocalsplus + code.stacksize + 1:
            link.top_at = link.slots + 8 * slot
            try:
                raw = self.raw(link, slot)
            except BAD:
                return None
            link.top = raw & self._mask
            link.stand.append((link.top_at, struct.pack("<Q", raw)))
        return link

    def _heap_links(self, frames: list[tuple[Chain, int, bytes]]) -> list[Link | None]:
        """3.8 to 3.10: the frame is an object of its own."""
        o = self._o
        at = o["gen.gi_frame"]
        addresses = [_WORD(data, at)[0] for _, _, data in frames]
        size = self._slot0 + 8 * SLOTS
        parts = self._memory.read_many([(a, size) if a else (0, 0) for a in addresses])
        found: list[Link | None] = []
        for (_, address, _), frame, data in zip(frames, addresses, parts, strict=True):
            if data is None and frame:
                data = self._memory.read_some(frame, size)
            if not frame or data is None or len(data) < self._slot0:
                found.append(None)
                continue
            found.append(self._heap_link(address, frame, data))
        return found

    def _heap_link(self, address: int, frame: int, data: bytes) -> Link | None:
        o = self._o
        count, blocks = _INT(data, o["f.iblock"])[0], o["f.blockstack"]
        lasti = _INT(data, o["f.lasti"])[0]
        if not 0 <= count <= MAX_BLOCKS or not isinstance(self.codes, HeapCodes):
            return None
        code = _WORD(data, o["f.executable"])[0]
        place = self.codes.where(code, lasti, data[blocks : blocks + BLOCK * count])
        if place is None:
            return None
        link = Link(address, place, frame + self._slot0, data[self._slot0 :])
        spans = [(o["f.executable"], 8), (64, 24), (o["f.lasti"], 12)]
        link.stand = [(frame + start, data[start : start + size]) for start, size in spans]
        link.stand.append((address + o["gen.gi_frame"], struct.pack("<Q", frame)))
        link.created = lasti < 0
        stack = _WORD(data, 64)[0]  # f_valuestack
        if o.features.stack_depth:
            depth = _INT(data, 80)[0]  # f_stackdepth
        else:
            top = _WORD(data, 72)[0]  # f_stacktop; NULL while it runs
            depth = (top - stack) // 8 if top else 0
        if not 0 <= depth < 1 << 16:
            return None
        return self._with_top(link, (stack - link.slots) // 8 + depth - 1) if depth else link

    # ------------------------------------------------------------------ frames

    def pulse(self, link: Link) -> int:
        """Address of eight bytes that change with every step of a frame."""
        return link.slots - self._slot0 + self._o["f.lasti" if self._heap else "f.instr_ptr"]

    def frame(self, address: int) -> Link | None:
        """One suspended coroutine, generator or asynchronous generator."""
        chains = [Chain()]
        try:
            self._level([(chains[0], address)])
        except BAD:
            return None
        return chains[0].links[0] if chains[0].links else None

    def raw(self, link: Link, slot: int) -> int:
        """A slot as it lies there, tag bits and all. Raises BadAddress."""
        if 0 <= 8 * slot <= len(link.data) - 8:
            value: int = _WORD(link.data, 8 * slot)[0]
            return value
        return self._memory.word(link.slots + 8 * slot)

    def slot(self, link: Link, slot: int) -> int:
        """Address of the object in a slot. Raises BadAddress."""
        return self.raw(link, slot) & self._mask

    def code(self, address: int) -> Code | None:
        return self.codes.get(address)

    def slot_of(self, link: Link, name: str) -> int:
        """Index of the slot of a local variable; -1 when there is none of that name."""
        code = link.place.code
        known = self._variables.get(code.address)
        if known is None or known[0] is not code:
            if len(self._variables) >= 4096:
                self._variables.clear()
            known = self._variables[code.address] = code, self.names(code)
        return known[1].get(name, -1)

    def variable_of(self, code: Code, frame: int, name: str) -> int:
        """Value of a local variable of a frame that is not suspended, by the frame's address. Raises BadAddress."""
        slot = self.names(code).get(name, -1)
        value = self._memory.word(frame + self._slot0 + 8 * slot) & self._mask if slot >= 0 else 0
        return self.values.cell(value) if value else 0

    def variables(self, link: Link) -> dict[str, int]:
        """Name -> slot of all local variables."""
        self.slot_of(link, "self")
        return self._variables[link.place.code.address][1]

    def bound(self, link: Link, most: int) -> dict[str, int]:
        """Name -> what lies in the first variables of a frame, those that have a value. Raises BadAddress."""
        names = list(self.variables(link).items())[:most]
        return {name: a for name, slot in names if (v := self.slot(link, slot)) and (a := self.values.cell(v))}

    def at_hand(self, link: Link, most: int) -> dict[int, str]:
        """What a frame has in variables, and `self` in attributes: address -> the variable's name, '' of an attribute.
        `most`: of each. Raises BadAddress."""
        values = self.values
        found = {address: name for name, address in self.bound(link, most).items()}
        owner = next((a for a, name in found.items() if name == "self"), 0)
        parts = list(values.attributes(owner).values())[:most] if owner else []
        return found | {a: "" for a in parts if a and a not in found}

    def names(self, code: Code) -> dict[str, int]:
        """Name -> slot of the variables of a function. Read anew each time."""
        objects, found, base = self.values.objects, dict[str, int](), 0
        try:
            for address in code.names_at:
                items = list(objects.tuple_items(address, 4096))
                for i, name in enumerate(objects.strings(items)):
                    if name:
                        found.setdefault(name[:80], base + i)
                base += len(items)
        except BAD:
            return {}
        return found

    def local(self, link: Link, name: str) -> int:
        """Value of a local variable (or of one that a closure shares); 0 when it is unbound or there is none."""
        slot = self.slot_of(link, name)
        if slot < 0:
            return 0
        try:
            value = self.slot(link, slot)
        except BAD:
            return 0
        return self.values.cell(value) if value else 0


class Checker:
    """Reads again, side by side in as few calls as may be, what chains were concluded from."""

    def __init__(self, values: Values) -> None:
        self._memory = values.memory

    def same(self, groups: Sequence[Sequence[tuple[int, bytes]]]) -> list[bool]:
        """Whether every part of each group, (address, bytes), still reads as given."""
        result: list[bool] = []
        batch: list[Sequence[tuple[int, bytes]]] = []
        count = 0
        for group in groups:
            if batch and count + len(group) > MAX_SEGMENTS:
                result += self._batch(batch)
                batch, count = [], 0
            batch.append(group)
            count += len(group)
        if batch:
            result += self._batch(batch)
        return result

    def _batch(self, groups: list[Sequence[tuple[int, bytes]]]) -> list[bool]:
        segments = array("Q")
        wanted: list[bytes] = []
        for group in groups:
            for address, part in group:
                segments.append(address)
                segments.append(len(part))
            wanted.append(b"".join([part for _, part in group]))
        data = self._memory.read_joined(segments, sum(map(len, wanted))) if segments else b""
        if data is None:
            if len(groups) == 1:  # more than one call takes, or a part of it is gone
                parts = self._memory.read_many([(address, len(part)) for address, part in groups[0]])
                return [all(now == part for now, (_, part) in zip(parts, groups[0], strict=True))]
            half = len(groups) // 2
            return self._batch(groups[:half]) + self._batch(groups[half:])
        result: list[bool] = []
        at = 0
        for part in wanted:
            result.append(data[at : at + len(part)] == part)
            at += len(part)
        return result
