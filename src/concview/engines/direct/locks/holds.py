"""Locks a thread holds, read from its frames.

A frame inside `with x:` keeps the bound exit method of x (from 3.14 on: the method and x) on its value stack, at a
depth that the exception table tells exactly. So the holder is known without any help from the target.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from concview.cpython.code import Codes, Place
from concview.cpython.locks import MAX_LOCK_FRAMES, PRIMITIVES, LockReader
from concview.cpython.memory import BadAddress
from concview.cpython.objects import Type
from concview.cpython.read_cache import ReadCache, Reads, Seen, still
from concview.cpython.threads import Thread
from concview.engines.direct.locks.context_managers import ContextManagers, Found
from concview.engines.direct.locks.verify import Candidates, Entry, Known, Look, Verifier

#: (frame, address of a slot in it) of each block
Slots = tuple[tuple[int, int], ...]


class _Layout(NamedTuple):
    """Where the slots lie that tell what a thread that stands in certain blocks holds."""

    blocks: Slots
    conditions: Slots  #: `self` of each `Condition.wait`


_WORD = struct.Struct("<Q").unpack_from
_NO_LOOK = Look(Thread(0, 0, 0))  #: where none is needed
_NOWHERE = _Layout((), ())


class Holds:
    """`look` at all threads; a `Verifier` says what remains of it."""

    def __init__(
        self,
        reader: LockReader,
        codes: Codes,
        judge: Verifier,
        copied: Callable[[Thread, list[int]], list[bytes | None]],
    ) -> None:
        """`copied`: objects as they were in the very moment in which the thread's stack was copied."""
        self._reader, self._codes, self._judge, self._copied = reader, codes, judge, copied
        self._memory, self._objects, self._o = reader.memory, reader.objects, reader.offsets
        self._stand = ContextManagers(reader, codes)
        self._unbound = self._stand.unbound
        self._width = 2 if self._unbound else 1
        o = reader.offsets
        self._slot = o["f.localsplus"]
        self._unpack = struct.Struct(f"<{self._width}Q").unpack_from
        #: a bound method of C: type, definition, self
        header = o["ob.type"] + 8
        gaps = (o["ob.type"], o["cfunction.m_ml"] - header, o["cfunction.m_self"] - o["cfunction.m_ml"] - 8)
        self._method = struct.Struct("<{}xQ{}xQ{}xQ".format(*gaps)).unpack_from
        self._layouts: dict[tuple[tuple[Place, int], ...], _Layout] = {}  #: where threads stand ->
        self._quickly: dict[object, Known] = {}  #: (thread, where it stands, managers, conditions) ->
        self._primitives: dict[int, list[Found]] = {}
        self._behind = ReadCache[list[Found]](reader.memory)  #: (manager, its type, who) -> the locks it stands for
        self._inner = ReadCache[int](reader.memory)  #: Condition -> its lock

    def forget(self) -> None:
        self._layouts.clear()
        self._quickly.clear()
        self._primitives.clear()
        self._behind.clear()
        self._inner.clear()

    def look(self, threads: list[Thread]) -> dict[int, Candidates | None]:
        """tid -> what the `with` blocks of a thread seem to hold. To be called right after the sample: the objects on a
        running thread's stack do not stay. What all threads need is read together: a call costs more than its bytes.
        """
        found: dict[int, Candidates | None] = {}
        looks: list[Look] = []
        asked: list[tuple[Look, Candidates, Seen]] = []
        for thread in threads:
            found[thread.tid] = None
            if not thread.walk.marked:
                continue
            known, look = self._quick(thread)
            if known is None:
                looks.append(look)
            elif known.seen is None:
                found[thread.tid] = known.candidates
            elif (seen := known.now(thread.walk)) is not None:
                asked.append((look, known.candidates, seen))
            else:
                looks.append(look)
        if asked:
            same = still(self._memory, [seen for _, _, seen in asked])
            for (look, suspects_then, _), holds in zip(asked, same, strict=True):
                if holds:
                    found[look.thread.tid] = suspects_then
                else:
                    looks.append(look)
        looks = [look for look in looks if self._begin(look)]
        if looks:
            self._context_managers(looks)
            self._resolve_all(looks)
            for look in looks:
                candidates = found[look.thread.tid] = self._judge.candidates(look)
                if candidates is not None and look.key is not None and look.reads is not None:
                    self._know(look.key, candidates, look.reads, look.parts, look.moving)
        return found

    def _quick(self, thread: Thread) -> tuple[Known | None, Look]:
        """What is known of a thread that stood in the same blocks with the same managers before. It is believed if
        what it depends on reads as it did then; of plain locks nothing need be read: the exit methods say it all.
        The second: the look that finds out, if nothing is known or it holds no more.
        """
        walk, unpack = thread.walk, self._unpack
        marked = tuple(walk.marked)
        layout = self._layouts.get(marked)
        if layout is None:
            layout = self._lay_out(marked)
        size, find = 8 * self._width, walk.find
        slots: list[tuple[int, ...]] = []
        for frame, address in layout.blocks:
            copied = find(frame, address, size)
            if copied is None:
                return None, Look(thread)
            slots.append(unpack(*copied))
        if not slots:
            return None, Look(thread)
        conditions: list[int] = []
        for frame, address in layout.conditions:
            copied = find(frame, address, 8)
            if copied is None:
                return None, Look(thread)
            conditions.append(_WORD(*copied)[0] & self._o.tag_mask)
        mask, exits, heads = self._o.tag_mask, self._stand.exits, None
        if not self._unbound:
            heads = self._copied(thread, [slot[0] & mask for slot in slots])
            if None in heads:
                look = Look(thread)
                look.heads = heads
                return None, look
            slots = [self._method(head) for head in heads]  # type: ignore[arg-type]
        key = (thread.ident, marked, tuple(slots), tuple(conditions))
        known = self._quickly.get(key)
        if known is not None and known.seen is None:
            return known, _NO_LOOK
        look = Look(thread)
        look.heads, look.key = heads, key
        if known is not None:
            return known, look
        kinds = [exits.get(slot[0] & mask if self._unbound else slot[:2]) for slot in slots]
        managers = [slot[-1] & mask for slot in slots]
        if None in kinds or 0 in managers or conditions or not self._begin(look):
            return None, look
        look.locks = [[Found(m, kind or "", m)] for m, kind in zip(managers, kinds, strict=True)]
        candidates = self._judge.candidates(look)
        return (self._know(key, candidates, [], [], []), look) if candidates is not None else (None, look)

    def _lay_out(self, marked: tuple[tuple[Place, int], ...]) -> _Layout:
        """Without blocks where `_quick` cannot tell."""
        blocks: list[tuple[int, int]] = []
        conditions: list[tuple[int, int]] = []
        for place, frame in marked:
            blocks += [(frame, frame + self._slot + 8 * block.slot) for block in place.withs]
            if place.code.role == "Condition.wait":
                conditions.append((frame, frame + self._slot))
        sure = all(block.sure for place, _ in marked for block in place.withs) and len(marked) <= MAX_LOCK_FRAMES
        if len(self._layouts) >= 4096:
            self._layouts.clear()
        found = self._layouts[marked] = _Layout(tuple(blocks), tuple(conditions)) if sure else _NOWHERE
        return found

    def _know(
        self,
        key: object,
        candidates: Candidates,
        reads: Reads,
        parts: list[bytes | None],
        moving: list[tuple[int, int]],
    ) -> Known:
        if len(self._quickly) >= 4096:
            self._quickly.clear()
        known = self._quickly[key] = Known(candidates, Seen(reads, parts) if reads else None, moving)
        return known

    def _begin(self, look: Look) -> bool:
        """False: its frames cannot be read."""
        walk, reader = look.thread.walk, self._reader
        look.entries, look.slots, look.conditions, look.locks = [], [], [], []
        try:
            for place, frame in walk.marked[:MAX_LOCK_FRAMES]:
                for i, block in enumerate(place.withs):
                    look.entries.append((place, frame, i))
                    look.slots.append(reader.slots(walk, frame, block.slot, self._width))
                if place.code.role == "Condition.wait":
                    look.conditions.append(reader.first_local(walk, frame))
        except (BadAddress, struct.error):
            return False
        return True

    def _resolve_all(self, looks: list[Look]) -> None:
        """What the manager of each block stands for; nothing where that cannot be told.

        One call: the managers' types, what known answers depend on, and last the frames. What lies behind a slot is
        read later than the slot: by then the manager may be gone and another one in its place. A lock that is one
        itself cannot be taken for another; for the rest the frame must still be there.
        """
        reader, behind, inner = self._reader, self._behind, self._inner
        managers = {m: None for look in looks for m in look.managers if m > 4096 and not m & 7}
        primitives = self._primitives
        reads = behind.reads([(m, look.thread.ident) for look in looks for m in look.managers if m not in primitives])
        inner_reads = inner.reads([c for look in looks for c in look.conditions])
        wanted = [reader.type_word(m) for m in managers]
        for part in (*reads.values(), *inner_reads.values()):
            wanted += part
        entries: dict[int, int] = {}
        for look in looks if reads else ():
            for entry, manager in zip(look.entries, look.managers, strict=True):
                if (manager, look.thread.ident) in reads:
                    entries[id(entry)] = len(wanted)
                    wanted += self._of_entry(entry)
        parts = self._memory.read_many(wanted)
        words = dict(zip(managers, parts, strict=False))
        kinds = {m: reader.type_in(word) for m, word in words.items()}
        at = len(managers)
        held: dict[object, list[Found]] = {}
        for key, part in reads.items():
            holds, answer = behind.answer(key, parts[at : at + len(part)])
            at += len(part)
            if holds and answer is not None:
                held[key] = answer
        inner_still: dict[object, int] = {}
        for key, part in inner_reads.items():
            holds, lock = inner.answer(key, parts[at : at + len(part)])
            at += len(part)
            if holds and lock is not None:
                inner_still[key] = lock
        late: list[tuple[Look, int]] = []
        for look in looks:
            # A condition that a closure shares lies behind its slot: the key does not tell which it is.
            look.reads = [] if look.key is None or look.key[-1] == tuple(look.conditions) else None
            ident = look.thread.ident
            for n, (entry, manager) in enumerate(zip(look.entries, look.managers, strict=True)):
                kind = kinds.get(manager)
                if kind is None:
                    look.locks.append([])
                    look.reads = None
                elif kind.name in PRIMITIVES:
                    look.locks.append(self._primitive(manager, kind))
                    # Of a method that was made for this block alone only a copy is left: what it led to may be gone.
                    with contextlib.suppress(BadAddress, struct.error):
                        self._learn(look, n, kind)
                    if look.reads is not None:
                        look.reads.append(reader.type_word(manager))
                        look.parts.append(words[manager])
                elif (manager, ident) in held:
                    first = entries[id(entry)]
                    words_now = parts[first : first + 3]
                    inside = self._inside(look, entry, words_now, look.slots[n][-1])
                    look.locks.append(held[manager, ident] if inside else [])
                    if not inside:
                        look.reads = None
                    elif look.reads is not None:
                        depends, as_read = behind.depends((manager, ident))
                        stands = self._of_entry(entry)
                        if not self._unbound:
                            look.moving.append((entry[1], stands.pop()[0]))
                        look.reads += [*depends, *stands]
                        look.parts += [*as_read, *words_now[: len(stands)]]
                else:
                    primitives.pop(manager, None)
                    locks = behind.work_out((manager, ident), partial(self._stand.anew, manager, ident))
                    look.locks.append(locks)
                    look.reads = None
                    if locks:
                        late.append((look, n))
            for condition in look.conditions:
                lock = inner_still[condition] if condition in inner_still else self._lock_of(condition)
                if lock < 0:
                    look.released = None
                elif look.released is not None:
                    look.released.add(lock)
                    if not inner.known(condition):
                        look.reads = None
                    elif look.reads is not None:
                        depends, as_read = inner.depends(condition)
                        look.reads += depends
                        look.parts += as_read
        if late:
            parts = self._memory.read_many([w for look, n in late for w in self._of_entry(look.entries[n])])
            for i, (look, n) in enumerate(late):
                if not self._inside(look, look.entries[n], parts[3 * i : 3 * i + 3], look.slots[n][-1]):
                    look.locks[n] = []

    def _primitive(self, address: int, kind: Type) -> list[Found]:
        name = PRIMITIVES[kind.name]
        known = self._primitives.get(address)
        if known is None or known[0].kind != name:
            if len(self._primitives) > 10_000:
                self._primitives.clear()
            known = self._primitives[address] = [Found(address, name, address)]
        return known

    def _learn(self, look: Look, n: int, kind: Type) -> None:
        """Which method it is that leaves a lock."""
        place, _, index = look.entries[n]
        if not place.withs[index].sure:
            return
        if self._unbound:
            method = look.slots[n][0]
            if method and method not in self._stand.exits:
                known = self._reader.heads([method]).get(method)
                if known is not None and known[0].name == "method_descriptor" and self._stand.is_exit(*known):
                    self._stand.learn(method, PRIMITIVES[kind.name])
        elif look.methods and (head := look.methods[n]) is not None:
            exit_ = self._method(head[1])[:2]
            if exit_ not in self._stand.exits and self._stand.is_exit(*head):
                self._stand.learn(exit_, PRIMITIVES[kind.name])

    def _lock_of(self, condition: int) -> int:
        """The lock of a Condition; 0 when it has none, -1 when that cannot be read."""
        try:
            return self._inner.work_out(condition, lambda: self._objects.attribute(condition, "_lock"))
        except (BadAddress, struct.error):
            return -1

    # ------------------------------------------------------------------ from a slot to the manager

    def _context_managers(self, looks: list[Look]) -> None:
        """Address of the context manager of each `with`; 0 where there is none.

        Up to 3.13 the slot refers to a method object made for this `with` alone; the next `with` gets it at the same
        address. So it is copied along with the stack, or else read now and believed if the frame is still as it was.
        """
        if not self._unbound:
            missing: list[tuple[Look, int]] = []
            for look in looks:
                if not look.entries:
                    continue
                heads = look.heads or self._copied(look.thread, self._of_one_moment(look))
                look.methods = [self._reader.typed(head) for head in heads]
                missing += [(look, n) for n, method in enumerate(look.methods) if method is None]
            if missing:
                again: list[tuple[int, int]] = []
                for look, n in missing:
                    again += [*self._of_entry(look.entries[n]), self._around(look.entries[n])]
                late, checks = self._reader.heads_and([look.slots[n][0] for look, n in missing], again)
                for i, (look, n) in enumerate(missing):
                    # The slot keeps its word when the block is left, and the method may be another thread's by then.
                    address, entry, (*parts, around) = look.slots[n][0], look.entries[n], checks[4 * i : 4 * i + 4]
                    if (
                        look.methods
                        and self._inside(look, entry, parts, address)
                        and self._unmoved(look, entry, around)
                    ):
                        look.methods[n] = late.get(address)
        for look in looks:
            withs = [p.withs[i] for p, _, i in look.entries]
            try:
                look.managers = self._stand.from_slots(withs, look.slots, look.methods)
            except (BadAddress, struct.error):
                look.managers = [0] * len(withs)

    def _of_one_moment(self, look: Look) -> list[int]:
        """What the slots refer to; 0 for a slot that was read after the copy, as those of generators and of older
        chunks are: by then it is another method's than the one that was copied at that address."""
        find, block = look.thread.walk.find, self._slot
        return [
            slot[0] if find(frame, frame + block + 8 * place.withs[i].slot, 8) is not None else 0
            for (place, frame, i), slot in zip(look.entries, look.slots, strict=True)
        ]

    def _of_entry(self, entry: Entry) -> list[tuple[int, int]]:
        """What tells whether a frame still is in a block: its code, its instruction, the block's slot."""
        place, frame, index = entry
        slot = frame + self._slot + 8 * (place.withs[index].slot + self._unbound)
        return [*self._codes.stand(frame), (slot, 8)]

    def _around(self, entry: Entry) -> tuple[int, int]:
        """A frame's variables and value stack up to a block's slot."""
        place, frame, index = entry
        return frame + self._slot, 8 * (place.withs[index].slot + self._width)

    def _unmoved(self, look: Look, entry: Entry, now: bytes | None) -> bool:
        """Whether these are what was copied with the stack, as far as they were: a thread that came by the same block
        once more, while we had no CPU, has another lock there, of which the method lies where that of the first did."""
        then = look.thread.walk.find(entry[1], *self._around(entry))
        return then is None or (now is not None and then[0][then[1] : then[1] + len(now)] == now)

    def _inside(self, look: Look, entry: Entry, parts: list[bytes | None], value: int) -> bool:
        place, _, index = entry
        code, stand, slot = parts
        if code is None or stand is None or slot is None or _WORD(slot)[0] & self._o.tag_mask != value:
            return False
        if not look.thread.walk.owns(entry[1], code):
            return False
        now = self._codes.placed(code, stand)
        if now is place:
            return True
        block = place.withs[index]
        return now is not None and any((w.slot, w.line) == (block.slot, block.line) for w in now.withs)
