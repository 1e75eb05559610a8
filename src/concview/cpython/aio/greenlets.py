"""Greenlets: where they are, and the frames of those that are switched out.

A `greenlet` object has a pointer to a C++ object of greenlet's own, in which a greenlet that is switched out keeps the
innermost frame of its thread state, and the part of its C stack that another one now uses. Offsets follow from the
members of `class Greenlet` (TGreenlet.hpp, 3.0 to 3.5) and from the interpreter's version; they are believed only when
the process's own greenlets prove them: see `Layout`.

From 3.12 on calls from C into the interpreter have an entry frame on the C stack; where that part was copied away, it
is read from the copy.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable
from typing import NamedTuple

from concview.cpython.aio.chain import SLOTS, Chains, Link
from concview.cpython.aio.values import BAD, Values
from concview.cpython.heap.code import HeapCodes
from concview.cpython.heap.layout import BLOCK, MAX_BLOCKS
from concview.cpython.thread_names import Modules
from concview.cpython.walk import MAX_FRAMES

#: Types of greenlets, by inheritance.
_MAX_TYPES, _MAX_DEPTH = 256, 8
#: Words of the C++ object that are read.
WORDS = 32
#: weakreflist, dict and the pointer to the C++ object lie behind the head of an object.
_POINTER = 16
#: `stack_stop` of a thread's main greenlet.
_TOP = (1 << 64) - 1
#: Greenlets by which the layout is proved.
_PROOFS = 16
#: More than a C stack has.
_MOST_SAVED = 1 << 30
_ENTRY = 3  #: owner of a frame that stands for a call from C

_WORD = struct.Struct("<Q").unpack_from
_INT = struct.Struct("<i").unpack_from
_WORDS = struct.Struct(f"<{WORDS}Q").unpack_from


class Layout(NamedTuple):
    """Indices of words in the C++ object."""

    stack: int  #: _stack_start, stack_stop, stack_copy, _stack_saved
    frame: int  #: the innermost frame: of the interpreter, or up to 3.10 a frame object
    main: int  #: the main greenlet of the thread, the callable that was not started yet, the parent


class Head(NamedTuple):
    """One greenlet as it was read."""

    address: int
    type: int
    inner: int  #: address of its C++ object
    raw: bytes  #: of that


class Greenlets:
    def __init__(self, values: Values, chains: Chains) -> None:
        self._values, self._chains = values, chains
        self._memory, self._o = values.memory, values.o
        self._modules = Modules(values.memory, values.o, values.objects)
        self._heap = values.o.features.heap_frames
        self._slot0 = self._o["f.localsplus"]
        self._at = self._o.header + _POINTER
        self.layout: Layout | None = None
        self.types: dict[int, int] = {}  #: address of a type -> bytes of an instance
        self.problem = ""  #: why greenlets are not read

    # ------------------------------------------------------------------ types

    def look_for(self, interpreter: int) -> bool:
        """Whether the library is imported; brings `types` up to date."""
        namespace = self._modules.dict_of(interpreter, "greenlet._greenlet")
        base = self._values.objects.lookup(namespace, "greenlet") if namespace else 0
        if not base:
            return False
        found: dict[int, int] = {}
        self._subclasses(base, found, 0)
        self.types = found
        return True

    def _subclasses(self, type_: int, found: dict[int, int], depth: int) -> None:
        values = self._values
        if type_ in found or len(found) >= _MAX_TYPES or depth > _MAX_DEPTH:
            return
        size = values.objects.type_at(type_).basicsize
        if not self._at + 8 <= size < 1 << 16:
            return
        found[type_] = size
        # tp_subclasses lies two pointers behind tp_mro: a dict of weak references.
        subclasses = values.memory.word(type_ + values.layout.bases + 16)
        if subclasses and values.type_name(subclasses) == "dict":
            for reference in values.dict_values(subclasses):
                with contextlib.suppress(*BAD):
                    inner = values.memory.word(reference + values.o["weakref.wr_object"])
                    if values.is_a(inner, "type"):
                        self._subclasses(inner, found, depth + 1)

    # ------------------------------------------------------------------ heads

    def heads(self, addresses: list[int]) -> list[Head | None]:
        """None for what is no greenlet (any more)."""
        at, kind = self._at, self._o["ob.type"]
        firsts = self._memory.read_many([(a, at + 8) for a in addresses])
        known: list[tuple[int, int, int]] = []
        for address, first in zip(addresses, firsts, strict=True):
            type_ = _WORD(first, kind)[0] if first is not None else 0
            alive = first is not None and 0 < _WORD(first, kind - 8)[0] < 1 << 33 and type_ in self.types
            known.append((address, type_, _WORD(first, at)[0] if alive and first is not None else 0))
        parts = self._memory.read_many([(inner, 8 * WORDS) if inner else (0, 0) for _, _, inner in known])
        result: list[Head | None] = []
        for (address, type_, inner), raw in zip(known, parts, strict=True):
            if inner and raw is None:  # at the end of a mapping
                raw = self._memory.read_some(inner, 8 * WORDS).ljust(8 * WORDS, b"\0")
            result.append(Head(address, type_, inner, raw) if inner and raw is not None else None)
        return result

    def stack(self, head: Head) -> tuple[int, int, int, int]:
        """(start, stop, copy, bytes copied) of its C stack: no start: not started yet, or ended."""
        start, stop, copy, saved = struct.unpack_from("<4Q", head.raw, 8 * self._known.stack)
        return start, stop, copy, saved

    @property
    def size(self) -> int:
        """Bytes of a C++ object, as far as it is used."""
        return 8 * (self._known.main + 2)

    @property
    def _known(self) -> Layout:
        if self.layout is None:
            raise KeyError("layout")
        return self.layout

    def is_main(self, head: Head) -> bool:
        return self.stack(head)[1] == _TOP

    def main_of(self, head: Head) -> int:
        """The main greenlet of its thread: itself for that one."""
        return head.address if self.is_main(head) else _WORD(head.raw, 8 * self._known.main)[0]

    def parent(self, head: Head) -> int:
        return 0 if self.is_main(head) else _WORD(head.raw, 8 * self._known.main + 16)[0]

    def callable(self, head: Head) -> int:
        """What one that was not started will call; 0 none."""
        return 0 if self.is_main(head) else _WORD(head.raw, 8 * self._known.main + 8)[0]

    def current(self, main: Head) -> int:
        """The greenlet that the thread of a main greenlet runs."""
        state = _WORD(main.raw, 8 * self._known.main + 8)[0]
        first, current = self._memory.words(state, 2) if state else (0, 0)
        return current if first == main.address else 0

    def active(self, head: Head) -> bool:
        """Started, and not ended."""
        return self.stack(head)[0] != 0

    # ------------------------------------------------------------------ the layout

    def prove(self, heads: Iterable[Head]) -> None:
        """Work the layout out, and check it by the greenlets that there are. Sets `layout`, or `problem`."""
        all_ = list(heads)
        if not all_:
            self.problem = ""  # imported, and used by no thread: even a thread's main one is made when first asked for
            return
        # greenlet 3.1 and newer keep a pointer to the object first; then come the state of exceptions, the arguments
        # of a switch, and the stack.
        first = 2 if all(_WORD(h.raw, 8)[0] == h.address for h in all_[:_PROOFS]) else 1
        stack = first + (3 if self._o.features.exception_row else 5) + 2
        mains = [h for h in all_ if _WORD(h.raw, 8 * stack + 8)[0] == _TOP]
        if mains:
            self._prove(all_, mains, stack)
        else:
            self.problem = "no thread's main greenlet was found where releases 3.0 to 3.5 of greenlet have it"

    def _prove(self, all_: list[Head], mains: list[Head], stack: int) -> None:
        after = stack + 7  # behind stack_prev, context and top_frame
        main = 0
        for index in range(after, WORDS - 2):
            with contextlib.suppress(*BAD):
                if all(
                    _WORDS(h.raw)[index] == h.address and self._memory.word(_WORDS(h.raw)[index + 1]) == h.address
                    for h in mains
                ):
                    main = index
                    break
        if not main:
            self.problem = "greenlet's C++ objects do not name the thread that they belong to"
            return
        running = set()
        for each in mains:
            with contextlib.suppress(*BAD):
                running.add(self._memory.word(_WORDS(each.raw)[main + 1] + 8))
        suspended = [h for h in all_ if _WORDS(h.raw)[stack] and h.address not in running][:_PROOFS]
        if not suspended:
            return  # nothing to prove it by, and nothing to read
        candidates = range(after, main) if not self._heap else (stack + 6,)
        fits = [i for i in candidates if all(self._is_frame(_WORDS(h.raw)[i]) for h in suspended)]
        if not self._heap:
            # Behind the frame comes the stack that frames lie on. Its top may look like a frame, too: the last one that
            # was given back.
            fits = [i for i in fits if all(self._on_stack(*_WORDS(h.raw)[i + 1 : i + 4]) for h in suspended)]
        if len(fits) == 1:
            self.layout, self.problem = Layout(stack, fits[0], main), ""
        else:
            self.problem = "where greenlets keep their frames could not be told"

    def _on_stack(self, chunk: int, top: int, limit: int) -> bool:
        """Whether this is a chunk of a thread state's data stack: previous, size and top lie at its start."""
        try:
            return not chunk or (chunk <= top <= limit and self._memory.word(chunk + 8) == limit - chunk)
        except BAD:
            return False

    def _is_frame(self, address: int) -> bool:
        try:
            if self._heap:
                return self._values.type_name(address) == "frame"
            code, pointer = (self._memory.word(address + self._o[n]) for n in ("f.executable", "f.instr_ptr"))
            return self._chains.codes.place(code & self._o.tag_mask, pointer) is not None
        except BAD:
            return False

    # ------------------------------------------------------------------ frames

    def frame(self, head: Head) -> int:
        """Address of its innermost frame; 0 none."""
        frame: int = _WORD(head.raw, 8 * self._known.frame)[0]
        return frame

    def frames(self, heads: list[Head]) -> list[list[Link] | None]:
        """Frames of greenlets that are switched out, outermost first; None for what could not be followed (torn)."""
        found: list[list[Link] | None] = [[] for _ in heads]
        level = [(i, self.frame(head)) for i, head in enumerate(heads)]
        size = self._slot0 + 8 * SLOTS
        for _ in range(MAX_FRAMES):
            level = [(i, frame) for i, frame in level if frame and found[i] is not None]
            if not level:
                break
            places = [self._place(heads[i], frame) for i, frame in level]
            parts = self._memory.read_many([(place, size) for place in places])
            following: list[tuple[int, int]] = []
            for (i, frame), place, data in zip(level, places, parts, strict=True):
                if data is None:
                    data = self._memory.read_some(place, size)
                links = found[i]
                if links is None:
                    continue
                if len(data) < self._slot0:
                    # An entry frame is shorter than a frame, and may be the last thing of a copied stack.
                    data = data.ljust(self._slot0, b"\0")
                previous: int = _WORD(data, self._o["f.previous"])[0]
                if self._heap or data[self._o["f.owner"]] != _ENTRY:
                    link = self._link(frame, data)
                    if link is None:
                        found[i] = None
                        continue
                    links.append(link)
                following.append((i, previous))
            level = following
        for links in found:
            if links is not None:
                links.reverse()
        return found

    def _place(self, head: Head, frame: int) -> int:
        """Where a frame is to be read: on the C stack, or in the copy of that."""
        start, _, copy, saved = self.stack(head)
        if start <= frame < start + saved and saved < _MOST_SAVED:
            return copy + frame - start
        return frame

    def _link(self, frame: int, data: bytes) -> Link | None:
        o = self._o
        if self._heap:
            return self._heap_link(frame, data)
        code, pointer = _WORD(data, o["f.executable"])[0] & o.tag_mask, _WORD(data, o["f.instr_ptr"])[0]
        place = self._chains.codes.place(code, pointer)
        if place is None:
            return None
        link = Link(frame, place, frame + self._slot0, data[self._slot0 :])
        link.stand = [(frame + o[n], data[o[n] : o[n] + 8]) for n in ("f.executable", "f.instr_ptr")]
        return link

    def _heap_link(self, frame: int, data: bytes) -> Link | None:
        o, codes = self._o, self._chains.codes
        count, blocks = _INT(data, o["f.iblock"])[0], o["f.blockstack"]
        if not 0 <= count <= MAX_BLOCKS or not isinstance(codes, HeapCodes):
            return None
        code, lasti = _WORD(data, o["f.executable"])[0], _INT(data, o["f.lasti"])[0]
        place = codes.where(code, lasti, data[blocks : blocks + BLOCK * count])
        if place is None:
            return None
        link = Link(frame, place, frame + self._slot0, data[self._slot0 :])
        link.stand = [(frame + o["f.executable"], data[o["f.executable"] :][:8]), (frame + o["f.lasti"],
                      data[o["f.lasti"] :][:12])]  # fmt: skip
        return link
