"""Locks a thread holds, read from its frames.

A frame inside `with x:` keeps the bound exit method of x (from 3.14 on: the method and x) on its value stack, at a
depth that the exception table tells exactly. So the holder is known without any help from the target.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from concview.engines.direct.code import Codes, Place, With
from concview.engines.direct.locks import LOCK, MAX_LOCK_FRAMES, PRIMITIVES, RLOCK, LockReader
from concview.engines.direct.memory import BadAddress
from concview.engines.direct.objects import Type
from concview.engines.direct.threads import Thread
from concview.engines.direct.walk import frame_struct
from concview.model import Confidence, Hold, Site
from concview.text import clean

_WORD = struct.Struct("<Q").unpack_from
#: Managers inside managers (a generator's `with` in a `with`) that are followed.
_MAX_DEPTH = 8
#: Slots read of a suspended generator's frame.
_MAX_SLOTS = 512
_SEMAPHORES = ("Semaphore", "BoundedSemaphore")
#: What a SiteFinder says of a `with` whose lock the source gives back before the block ends.
GIVEN_BACK = Site("", "", 0, "", how="given back")

#: (function, file, line inside the with, with's line, how many locks further in on that line) -> its site
SiteFinder = Callable[[str, str, int, int, int], Site | None]


#: (where a frame stands, its address, which of the blocks around that instruction)
_Entry = tuple[Place, int, int]


class _Found:
    """A lock that a `with` seems to hold."""

    __slots__ = ("address", "kind", "managed", "sure")

    def __init__(self, address: int, kind: str, managed: int, sure: bool = True) -> None:
        self.address = address  #: of the lock object
        self.kind = kind
        self.managed = managed  #: the primitive lock whose state tells whether it is held; 0: there is none
        self.sure = sure


class Suspects:
    """What one thread seems to hold, before the locks' own state is asked."""

    __slots__ = ("found", "ident", "released")

    def __init__(self, ident: int) -> None:
        self.ident = ident
        self.found: list[tuple[_Found, Site]] = []  #: innermost first
        self.released: set[int] = set()  #: given up for the time of a Condition.wait


class _Look:
    """One thread being looked at. Lists run along `entries`."""

    __slots__ = ("entries", "frames", "indirect", "locks", "managers", "methods", "slots", "thread")

    def __init__(
        self, thread: Thread, frames: list[tuple[Place, int]], entries: list[_Entry], slots: list[tuple[int, ...]]
    ) -> None:
        self.thread, self.frames, self.entries, self.slots = thread, frames, entries, slots
        self.methods: list[tuple[Type, bytes] | None] | None = None  #: the exit methods, where slots refer to them
        self.managers: list[int] = []
        self.locks: list[list[_Found]] = []
        self.indirect: list[int] = []  #: entries whose manager is no lock itself


class Holds:
    """Answers: `look` at all threads, then `judge` each."""

    def __init__(
        self, reader: LockReader, codes: Codes, site: SiteFinder, want: Callable[[Thread, list[int]], None]
    ) -> None:
        self._reader, self._codes, self._site, self._want = reader, codes, site, want
        self._memory, self._objects, self._o = reader.memory, reader.objects, reader.offsets
        self._unbound = reader.offsets.version >= (3, 14)
        self._frame = frame_struct(reader.offsets)
        self._sites: dict[tuple[Place, int, int], Site] = {}

    def forget(self) -> None:
        self._sites.clear()

    def look(self, threads: list[Thread]) -> dict[int, Suspects | None]:
        """tid -> what the `with` blocks of a thread seem to hold. To be called right after the sample: the objects on a
        running thread's stack do not stay. What all threads need is read together: a call costs more than its bytes.
        """
        found: dict[int, Suspects | None] = dict.fromkeys([t.tid for t in threads])
        looks = [look for look in map(self._begin, threads) if look is not None]
        if looks:
            self._managers(looks)
            heads = self._reader.heads([m for look in looks for m in look.managers])
            for look in looks:
                self._resolve_all(look, heads)
            self._drop_gone(looks)
            for look in looks:
                found[look.thread.tid] = self._finish(look)
        return found

    def _begin(self, thread: Thread) -> _Look | None:
        walk = thread.walk
        frames = [(p, a) for p, a in zip(walk.places, walk.addresses, strict=True) if p.interesting]
        if not frames:
            return None
        entries = [(p, a, i) for p, a in frames[:MAX_LOCK_FRAMES] for i in range(len(p.withs))]
        width = 2 if self._unbound else 1
        try:
            slots = [self._reader.slots(walk, a, p.withs[i].slot, width) for p, a, i in entries]
        except BadAddress:
            return None
        return _Look(thread, frames, entries, slots)

    def _resolve_all(self, look: _Look, heads: dict[int, tuple[Type, bytes]]) -> None:
        """What the manager of each block stands for; nothing where that cannot be told."""
        ident = look.thread.ident
        resolved = {m: self._resolve(m, *heads[m], ident, 0) for m in dict.fromkeys(look.managers) if m in heads}
        look.locks = [resolved.get(m, []) for m in look.managers]
        look.indirect = [
            n for n, m in enumerate(look.managers) if look.locks[n] and heads[m][0].name not in PRIMITIVES
        ]

    def _drop_gone(self, looks: list[_Look]) -> None:
        """What lies behind a slot is read later than the slot: by then the manager may be gone and another one in its
        place. A lock that is one itself cannot be taken for another; for the rest the frame must still be there."""
        asked = [(look, n) for look in looks for n in look.indirect]
        if not asked:
            return
        parts = self._memory.read_many([w for look, n in asked for w in self._of_entry(look.entries[n])])
        words = [_WORD(part)[0] if part is not None else 0 for part in parts]
        for i, (look, n) in enumerate(asked):
            if not self._inside(look.entries[n], words[3 * i : 3 * i + 3], look.slots[n][-1]):
                look.locks[n] = []

    def _finish(self, look: _Look) -> Suspects | None:
        suspects = Suspects(look.thread.ident)
        before: tuple[int, int] = (0, 0)
        nth = 0
        for (place, frame, index), locks in zip(look.entries, look.locks, strict=True):
            if locks:
                line = (frame, place.withs[index].line)
                nth = nth + 1 if line == before else 0  # `with a, b:` has two on one line
                before = line
                site = self._site_of(place, index, nth)
                if site is not GIVEN_BACK:
                    suspects.found += [(f, site) for f in locks]
        try:
            for place, address in look.frames:
                if place.code.role == "Condition.wait":
                    condition = self._reader.first_local(look.thread.walk, address)
                    suspects.released.add(self._objects.attribute(condition, "_lock"))
        except (BadAddress, struct.error):
            return None
        return suspects

    def judge(self, suspects: Suspects, blocked: bool) -> tuple[Hold, ...]:
        """Locks held by `with` blocks, innermost first. `blocked`: the thread stands still, so that a lock's state,
        read a moment later, must agree; for one that runs it may already be another."""
        found = suspects.found
        asked = blocked or not all(f.sure for f, _ in found)
        heads = self._reader.heads([f.managed for f, _ in found]) if asked else {}
        holds: list[Hold] = []
        seen: set[int] = set()
        for lock, site in reversed(found):  # outermost first: a nested RLock counts where it was taken first
            if lock.managed in suspects.released or lock.address in seen:
                continue
            if lock.managed and (blocked or not lock.sure):
                known = heads.get(lock.managed)
                if known is None or known[0].name not in PRIMITIVES:
                    continue
                state = self._reader.state(*known)
                if not state.locked or (state.kind == "RLock" and state.owner != suspects.ident):
                    continue
            seen.add(lock.address)
            confidence = Confidence.EXACT if lock.sure else Confidence.INFERRED
            holds.append(Hold(lock.address, lock.kind, site, confidence))
        holds.reverse()
        return tuple(holds)

    # ------------------------------------------------------------------ from a slot to the manager

    def _managers(self, looks: list[_Look]) -> None:
        """Address of the context manager of each `with`; 0 where there is none.

        Up to 3.13 the slot refers to a method object made for this `with` alone; the next `with` gets it at the same
        address. So it is copied along with the stack, or else read now and believed if the frame is still as it was.
        """
        missing: list[tuple[_Look, int]] = []
        if not self._unbound:
            for look in looks:
                exits = [slot[0] for slot in look.slots]
                self._want(look.thread, exits)
                look.methods = [self._reader.copied(address, look.thread.walk) for address in exits]
                missing += [(look, n) for n, head in enumerate(look.methods) if head is None]
        if missing:
            again = [words for look, n in missing for words in self._of_entry(look.entries[n])]
            heads, checks = self._reader.heads_and([look.slots[n][0] for look, n in missing], again)
            for i, (look, n) in enumerate(missing):
                # The slot keeps its word when the block is left, and the method may be another thread's by then.
                address = look.slots[n][0]
                if look.methods is not None and self._inside(look.entries[n], checks[3 * i : 3 * i + 3], address):
                    look.methods[n] = heads.get(address)
        for look in looks:
            withs = [p.withs[i] for p, _, i in look.entries]
            try:
                look.managers = self._from_slots(withs, look.slots, look.methods)
            except (BadAddress, struct.error):
                look.managers = [0] * len(withs)

    def _of_entry(self, entry: _Entry) -> list[tuple[int, int]]:
        """What tells whether a frame still is in a block: its code, its instruction, the block's slot."""
        place, frame, index = entry
        o = self._o
        slot = frame + o["f.localsplus"] + 8 * (place.withs[index].slot + self._unbound)
        return [(frame + o["f.executable"], 8), (frame + o["f.instr_ptr"], 8), (slot, 8)]

    def _inside(self, entry: _Entry, words: list[int], value: int) -> bool:
        place, _, index = entry
        block = place.withs[index]
        now = self._codes.place(words[0] & self._o.tag_mask, words[1])
        inside = now is not None and any((w.slot, w.line) == (block.slot, block.line) for w in now.withs)
        return inside and words[2] & self._o.tag_mask == value

    def _from_slots(
        self, withs: list[With], slots: list[tuple[int, ...]], known: list[tuple[Type, bytes] | None] | None
    ) -> list[int]:
        """`known`: what the first word of each slot refers to, where the caller has it already."""
        if known is None:
            exits = [s[0] for s, w in zip(slots, withs, strict=True) if len(s) == 1 or not s[1] or not w.sure]
            heads = self._reader.heads(exits) if exits else {}
            known = [heads.get(slot[0]) for slot in slots]
        managers: list[int] = []
        for block, slot, method in zip(withs, slots, known, strict=True):
            if not block.sure and (method is None or not self._is_exit(*method)):
                managers.append(0)
            elif len(slot) == 2 and slot[1]:
                managers.append(slot[1])
            else:
                managers.append(self._reader.bound_self(*method) if method is not None else 0)
        return managers

    def _is_exit(self, kind: Type, head: bytes) -> bool:
        """Whether a callable is named __exit__: for code whose handlers are rewritten by tracing."""
        o, memory = self._o, self._memory
        if kind.name == "builtin_function_or_method":
            method = memory.word(_WORD(head, o["cfunction.m_ml"])[0])
            return self._objects.c_string(method) in ("__exit__", "__aexit__")
        if kind.name == "method_descriptor":
            return self._objects.string(_WORD(head, o["descr.d_name"])[0]) in ("__exit__", "__aexit__")
        function = _WORD(head, o["method.im_func"])[0] if kind.name == "method" else 0
        if kind.name == "function":
            code = self._codes.get(_WORD(head, o["function.func_code"])[0])
        elif function and self._objects.type_name(function) == "function":
            code = self._codes.get(memory.word(function + o["function.func_code"]))
        else:
            return False
        return code is not None and code.name in ("__exit__", "__aexit__")

    # ------------------------------------------------------------------ from the manager to the lock

    def _resolve(self, manager: int, kind: Type, head: bytes, ident: int, depth: int) -> list[_Found]:
        """The locks that a context manager stands for."""
        name = kind.name
        if name in PRIMITIVES:
            return [_Found(manager, PRIMITIVES[name], manager)]
        if depth >= _MAX_DEPTH:
            return []
        if name in _SEMAPHORES:
            return [_Found(manager, "Semaphore", 0)]
        try:
            attributes = self._objects.attributes(manager)
            if name == "Condition":
                inner = self._named([attributes.get("_lock", 0)], ident, depth)
                return [_Found(f.address, "Condition", f.managed) for f in inner]
            if name == "_GeneratorContextManager":
                return self._generator(attributes.get("gen", 0), ident, depth + 1)
            if name == "ExitStack":
                return self._exit_stack(attributes.get("_exit_callbacks", 0), ident, depth + 1)
            return self._custom(manager, attributes, ident)
        except (BadAddress, struct.error):
            return []

    def _named(self, addresses: list[int], ident: int, depth: int) -> list[_Found]:
        found: list[_Found] = []
        for address, (kind, head) in self._reader.heads(addresses).items():
            found += self._resolve(address, kind, head, ident, depth + 1)
        return found

    def _custom(self, manager: int, attributes: dict[str, int], ident: int) -> list[_Found]:
        """A manager class of the program's own: locks among its attributes, as a guess; multiprocessing's exactly."""
        found: list[_Found] = []
        for address, (kind, _) in self._reader.heads(list(attributes.values())[:64]).items():
            if kind.name in (LOCK, RLOCK):
                found.append(_Found(address, PRIMITIVES[kind.name], address, sure=False))
            elif kind.name == "_multiprocessing.SemLock" and self._reader.semlock_owner(address) == ident:
                found.append(_Found(manager, "multiprocessing." + self._objects.type_name(manager), 0))
        return found

    def _generator(self, generator: int, ident: int, depth: int) -> list[_Found]:
        """`with` blocks of a suspended generator."""
        o = self._o
        if not generator or self._objects.type_name(generator) not in ("generator", "coroutine", "async_generator"):
            return []
        frame = generator + o["gen.gi_iframe"]
        header = self._memory.read(frame, o["f.localsplus"])
        executable, _, pointer, _, _, _ = self._frame.unpack_from(header)
        place = self._codes.place(executable & o.tag_mask, pointer)
        if place is None or not place.withs:
            return []
        count = min(place.code.nlocalsplus + place.code.stacksize, _MAX_SLOTS)
        words = [w & o.tag_mask for w in self._memory.words(frame + o["f.localsplus"], count)]
        width = 2 if self._unbound else 1
        withs = [w for w in place.withs if w.slot + width <= count]
        managers = self._from_slots(withs, [tuple(words[w.slot : w.slot + width]) for w in withs], None)
        return self._named(managers, ident, depth)

    def _exit_stack(self, callbacks: int, ident: int, depth: int) -> list[_Found]:
        """Entries are (is_sync, callback); the callback of a manager is its bound exit method."""
        found: list[_Found] = []
        if not callbacks or self._objects.type_name(callbacks) != "collections.deque":
            return found
        for entry in reversed(self._reader.deque(callbacks)):
            items = self._objects.tuple_items(entry, 16)
            for kind, head in self._reader.heads(items[1:2]).values():
                found += self._named([self._reader.bound_self(kind, head)], ident, depth)
        return found

    # ------------------------------------------------------------------ where it was taken

    def _site_of(self, place: Place, index: int, nth: int) -> Site:
        known = self._sites.get((place, index, nth))
        if known is not None:
            return known
        code, line = place.code, place.withs[index].line
        site = self._site(code.qualname, code.file, place.line, line, nth)
        if site is None:
            site = Site("", clean(code.file, 1000), line, clean(code.qualname))
        if len(self._sites) > 10_000:
            self._sites.clear()
        self._sites[place, index, nth] = site
        return site
