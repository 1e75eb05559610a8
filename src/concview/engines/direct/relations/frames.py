"""The variables of all live frames, read together: addresses only, nothing is followed but cells."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from concview.cpython.attributes import Attributes
from concview.cpython.code import Code, Codes, Place
from concview.cpython.locks import LockReader
from concview.cpython.memory import BadAddress
from concview.cpython.threads import Thread
from concview.engines.direct.locks.context_managers import ContextManagers
from concview.source.origin import origin

#: Frames of one stack from its inner and from its outer end, and variables of one frame.
INNER, OUTER, VARIABLES = 16, 6, 64
#: Frames in one look, cells followed, slots of a suspended generator's frame.
_FRAMES, _CELLS, _SUSPENDED = 4_000, 1_000, 64
_WORD = struct.Struct("<Q").unpack_from


class Variable:
    """One place in a frame that refers to an object. `check`: what to read again, and what it then must be."""

    __slots__ = ("by", "frame", "name", "reads", "through", "value")

    def __init__(self, frame: LiveFrame, by: str, name: str, value: int, reads: list[tuple[int, int]]) -> None:
        self.frame, self.by, self.name, self.value = frame, by, name, value
        self.reads = reads  #: (address of a word, what it is without tags)
        self.through = ""  #: the generator function whose frame has it, of a `with` over one


class LiveFrame:
    """One frame of one thread, as it was when its stack was sampled."""

    __slots__ = ("address", "cells", "depth", "managers", "names", "namespace", "place", "start", "thread", "values")

    def __init__(self, thread: Thread, depth: int, place: Place, address: int, start: int) -> None:
        self.thread, self.depth, self.place, self.address, self.start = thread, depth, place, address, start
        self.values: tuple[int, ...] = ()
        self.cells: dict[int, int] = {}  #: index of a variable -> what its cell holds
        self.managers: list[Variable] = []  #: of the `with` blocks that it is in
        self.namespace = 0  #: its globals

    @property
    def code(self) -> Code:
        return self.place.code


class Frames:
    def __init__(self, reader: LockReader, codes: Codes, attributes: Attributes) -> None:
        self._reader, self._codes, self._attributes = reader, codes, attributes
        self._memory, self._objects, self._o = reader.memory, reader.objects, reader.offsets
        self._start = reader.offsets["f.localsplus"]
        self._globals = reader.offsets["f.globals"]
        self._mask = reader.offsets.tag_mask
        self._managers = ContextManagers(reader, codes)
        self._width = 2 if self._managers.unbound else 1
        self._library: dict[str, bool] = {}
        self.torn = 0
        self.whole = True  #: the last `read` left out no frame and no variable

    def stdlib(self, file: str) -> bool:
        known = self._library.get(file)
        if known is None:
            if len(self._library) > 2000:
                self._library.clear()
            known = self._library[file] = origin(file) in ("stdlib", "frozen")
        return known

    def read(self, threads: Iterable[Thread]) -> list[LiveFrame]:
        """The frames of these threads, innermost first, with the values of their variables."""
        self.whole = True
        frames: list[LiveFrame] = []
        wanted: list[tuple[int, int]] = []
        later: list[tuple[LiveFrame, int]] = []
        at_globals = self._globals - self._start
        for thread in threads:
            walk = thread.walk
            count = len(walk.places)
            if len(frames) + min(count, INNER + OUTER) > _FRAMES:
                self.whole = False
                break
            if count > INNER + OUTER or walk.truncated:
                self.whole = False
            for depth in (*range(min(INNER, count)), *range(max(INNER, count - OUTER), count)):
                place, address = walk.places[depth], walk.addresses[depth]
                code = place.code
                size = min(code.nlocalsplus, VARIABLES)
                if self.stdlib(code.file):
                    size = min(size, 1)  # what its method belongs to: the rest is the library's own business
                elif code.nlocalsplus > VARIABLES:
                    self.whole = False
                frame = LiveFrame(thread, depth, place, address, address + self._start)
                frames.append(frame)
                found = walk.find(address, frame.start + at_globals, 8 * size - at_globals)
                if found is not None:
                    words = struct.unpack_from(f"<{size}Q", found[0], found[1] - at_globals)
                    frame.namespace = _WORD(found[0], found[1])[0] & self._mask
                    frame.values = tuple([w & self._mask for w in words])
                else:
                    later.append((frame, size))
                    wanted += [(frame.start + at_globals, 8), (frame.start, 8 * size)]
        parts = iter(self._memory.read_many(wanted))
        for (frame, size), namespace, data in zip(later, parts, parts, strict=True):
            if namespace is None or data is None:
                self.torn += 1
                self.whole = False
                continue
            frame.namespace = _WORD(namespace)[0] & self._mask
            frame.values = tuple([w & self._mask for w in struct.unpack(f"<{size}Q", data)])
        self._cells(frames)
        self._blocks(frames)
        return frames

    def _cells(self, frames: list[LiveFrame]) -> None:
        cells: list[tuple[LiveFrame, int]] = []
        for frame in frames:
            indices = self._attributes.cells(frame.code)
            if indices and len(cells) < _CELLS:
                cells += [(frame, i) for i in indices if i < len(frame.values) and frame.values[i]]
        at = self._o["cell.ob_ref"]
        words = self._memory.read_many([(frame.values[i] + at, 8) for frame, i in cells])
        for (frame, i), word in zip(cells, words, strict=True):
            if word is not None:
                frame.cells[i] = _WORD(word)[0] & self._mask

    def _blocks(self, frames: list[LiveFrame]) -> None:
        """The managers of `with` blocks, and what generators that are managers have in their variables."""
        for frame in frames:
            withs = [w for w in frame.place.withs if w.slot + self._width <= 4096]
            if not withs or self.stdlib(frame.code.file):
                continue
            try:
                walk = frame.thread.walk
                slots = [self._reader.slots(walk, frame.address, w.slot, self._width) for w in withs]
                managers = self._managers.from_slots(withs, slots, None)
            except (BadAddress, struct.error):
                continue
            for block, slot, manager in zip(withs, slots, managers, strict=True):
                if not manager:
                    continue
                # The word that the manager was found by; a method object that is used again fails at `from_slots` only.
                check = [(frame.start + 8 * block.slot, slot[0])]
                variable = Variable(frame, "with", "", manager, check)
                frame.managers.append(variable)
                self._generator(frame, manager, check)

    def _generator(self, frame: LiveFrame, manager: int, check: list[tuple[int, int]]) -> None:
        """`with pool.connection():` of a @contextmanager: the generator, not the frame, knows the pool."""
        try:
            if self._objects.type_name(manager) not in ("_GeneratorContextManager", "_AsyncGeneratorContextManager"):
                return
            generator = self._objects.attribute(manager, "gen")
            stands = self._codes.suspended(generator) if generator else None
            if stands is None:
                return
            place, address = stands
            size = min(place.code.nlocalsplus, _SUSPENDED)
            words = self._memory.words(address + self._start, size)
            for i, word in enumerate(words):
                value = word & self._mask
                if value:
                    name = self.name(place.code, i)
                    at = address + self._start + 8 * i
                    found = Variable(frame, "with", name, value, [*check, (at, value)])
                    found.through = place.code.qualname
                    frame.managers.append(found)
        except (BadAddress, struct.error):
            return

    def name(self, code: Code, index: int) -> str:
        try:
            return code.variable(self._objects, index)
        except (BadAddress, struct.error):
            return ""

    # ------------------------------------------------------------------ which variables refer to an object

    def variables(self, frame: LiveFrame, wanted: set[int]) -> Iterator[Variable]:
        """Those that refer to one of these objects."""
        start = frame.start
        if not wanted.isdisjoint(frame.values):
            for i, value in enumerate(frame.values):
                if value in wanted:
                    yield Variable(frame, "local", self.name(frame.code, i), value, [(start + 8 * i, value)])
        for i, value in frame.cells.items():
            if value in wanted:
                cell = frame.values[i]
                reads = [(start + 8 * i, cell), (cell + self._o["cell.ob_ref"], value)]
                yield Variable(frame, "cell", self.name(frame.code, i), value, reads)
        for variable in frame.managers:
            if variable.value in wanted:
                yield variable

    def still(self, variables: list[Variable]) -> list[Place | None]:
        """Where the frame of each stands now, if it still refers to the same object; None if not. One call."""
        wanted: list[tuple[int, int]] = []
        for variable in variables:
            wanted += self._codes.stand(variable.frame.address)
            wanted += [(at, 8) for at, _ in variable.reads]
        parts = self._memory.read_many(wanted)
        result: list[Place | None] = []
        at = 0
        for variable in variables:
            code, pointer = parts[at : at + 2]
            at += 2
            words = parts[at : at + len(variable.reads)]
            at += len(variable.reads)
            result.append(self._stands(variable, code, pointer, words))
        return result

    def _stands(
        self, variable: Variable, code: bytes | None, pointer: bytes | None, words: list[bytes | None]
    ) -> Place | None:
        if code is None or pointer is None:
            return None
        for word, (_, value) in zip(words, variable.reads, strict=True):
            if word is None or _WORD(word)[0] & self._mask != value:
                return None
        frame = variable.frame
        try:
            if not frame.thread.walk.owns(frame.address, code):
                return None
            place = self._codes.placed(code, pointer)
        except (ValueError, struct.error):
            return None
        if place is None or place.code is not frame.code:
            return None
        if variable.by == "with" and place is not frame.place and not _same_block(variable, place):
            return None
        return place


def _same_block(variable: Variable, place: Place) -> bool:
    """Whether the frame is still in the `with` that the manager belongs to."""
    slot = (variable.reads[0][0] - variable.frame.start) // 8
    line = next((w.line for w in variable.frame.place.withs if w.slot == slot), -1)
    return any(w.slot == slot and w.line == line for w in place.withs)
