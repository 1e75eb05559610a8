"""Builds without a GIL: what a thread is parked for that no lock of Python's explains, and who is in the way.

Every object has a lock in its head, which operations on it take for their time (a critical section). A thread links
those it is in from its thread state, innermost first; they are given up, and marked so, while it is blocked. For a stop
of the world the interpreter records who asked; of one of all interpreters (sys._current_frames, fork, tracemalloc,
settrace of all threads) the runtime does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence

from concview.cpython.memory import MAX_SEGMENTS, Memory
from concview.cpython.objects import Objects
from concview.cpython.offsets import Offsets
from concview.cpython.threads import Thread

#: `Wait.via`: for an object's lock; until the world goes on; until all others have stopped, as one has asked.
OBJECT, STOP, STOPPING = "object", "stop-the-world", "stopping-the-world"

#: A parking lot's wait entry lies on the waiter's C stack, this close above its stack pointer (bytes).
NEAR = 1 << 16
#: `ob_mutex` in the head of an object (Include/object.h, 3.13 to 3.15).
_OBJECT_MUTEX = 10
#: `state` of a thread state, at which it parks while the world stands still, lies behind four pointers and two words.
_STATE_WITHIN = 64

#: `struct _stoptheworld_state` (3.13 and 3.14), in each interpreter and in the runtime, there behind a lock of 8 bytes
#: that whoever stops all of them takes: mutex, requested, world_stopped, is_global, stop_event; how many threads
#: have yet to stop; the thread state that asked.
_STOP = struct.Struct("<B??BBxxxqQ")
_STOP_EVENT, _STOP_LOCK = 4, 8
#: `PyCriticalSection2`: the link outwards, one mutex and, where the link to it says so, another.
_SECTION = struct.Struct("<QQQ")
#: Tags of a link: the section is given up for now; it has two mutexes.
_INACTIVE, _TWO = 1, 2
#: Sections of one thread that are followed outwards: an operation on an object calls another's.
_DEEP = 4
_WORD = struct.Struct("<Q")


class WithoutGil:
    def __init__(
        self,
        memory: Memory,
        objects: Objects,
        offsets: Offsets,
        threads: Callable[[], Sequence[Thread]],
        runtime: int,
    ) -> None:
        """`threads`: all thread states. `runtime`: address of the runtime."""
        self._memory, self._objects, self._o, self._threads = memory, objects, offsets, threads
        self._stop = offsets.get("is.stoptheworld", 0)
        of_all = offsets.get("rt.stoptheworld", 0)
        self._stop_all = runtime + of_all if runtime and of_all else 0
        self._section = offsets.get("ts.critical_section", 0)

    def parked(self, thread: Thread, futex: int, stack_pointer: int) -> tuple[int, str, str] | None:
        """(address, kind, via) of what a thread in futex(2) is parked at. Raises BadAddress.

        `futex` is a semaphore in `struct wait_entry {void *arg; uintptr_t addr; sem}` on its own C stack.
        """
        if not self._o.free_threaded or not 0 <= futex - stack_pointer < NEAR:
            return None
        at = self._memory.word(futex - 8)
        if 0 <= at - thread.address < _STATE_WITHIN:
            return 0, "", STOP
        if self._stop and 0 <= (inside := at - thread.interpreter - self._stop) < _STOP.size:
            # Two that want to stop the world do so one after the other.
            return 0, "", STOPPING if inside == _STOP_EVENT else STOP
        if self._stop_all and -_STOP_LOCK <= (inside := at - self._stop_all) < _STOP.size:
            return 0, "", STOPPING if inside == _STOP_EVENT else STOP
        owner = at - _OBJECT_MUTEX
        if owner <= 4096 or owner & 7:
            return None
        kind = self._memory.word(owner + self._o["ob.type"])
        meta = self._objects.type_name(kind)
        if meta != "type" and self._objects.type_name(self._memory.word(kind + self._o["ob.type"])) != "type":
            return None  # no object: a mutex inside some structure of C
        return owner, self._objects.type_name(owner), OBJECT

    # ------------------------------------------------------------------ who is in the way

    def users(self, owners: Iterable[int]) -> dict[int, int]:
        """Of these objects those whose lock somebody has at this moment -> his tid. Two system calls, however many."""
        wanted = {owner + _OBJECT_MUTEX: owner for owner in owners}
        found: dict[int, int] = {}
        if not wanted or not self._section:
            return found
        threads = [t for t in self._threads()[:MAX_SEGMENTS] if t.tid]
        links = self._memory.read_many([(t.address + self._section, 8) for t in threads])
        inside = [(t, _WORD.unpack(link)[0]) for t, link in zip(threads, links, strict=True) if link is not None]
        for _ in range(_DEEP):
            inside = [(thread, link) for thread, link in inside if link and not link & _INACTIVE]
            if not inside:
                break
            sections = self._memory.read_many([(link & ~3, _SECTION.size) for _, link in inside])
            outer: list[tuple[Thread, int]] = []
            for (thread, link), section in zip(inside, sections, strict=True):
                if section is None:
                    continue
                further, first, second = _SECTION.unpack(section)
                for mutex in (first, second if link & _TWO else 0):
                    if mutex in wanted:
                        found[wanted[mutex]] = thread.tid
                outer.append((thread, further))
            inside = outer
        return found

    def trying(self, threads: Iterable[Thread]) -> list[Thread]:
        """Those of threads that run that try to get the lock of an object: a section whose mutex is not filled in yet.
        Before they park they give way forty times (sched_yield), each time for a turn of the run queue."""
        asked = list(threads)[:MAX_SEGMENTS] if self._section else []
        links = self._memory.read_many([(t.address + self._section, 8) for t in asked])
        inside = [(t, _WORD.unpack(link)[0]) for t, link in zip(asked, links, strict=True) if link is not None]
        inside = [(thread, link) for thread, link in inside if link and not link & _INACTIVE]
        sections = self._memory.read_many([(link & ~3, _SECTION.size) for _, link in inside])
        return [
            thread
            for (thread, _), section in zip(inside, sections, strict=True)
            if section is not None and not _SECTION.unpack(section)[1]
        ]

    def locked(self, objects: Iterable[int]) -> int:
        """The one of these objects whose lock somebody has; 0 when that is not one alone."""
        chosen = [each for each in dict.fromkeys(objects) if each > 4096 and not each & 7]
        states = self._memory.read_many([(each + _OBJECT_MUTEX, 1) for each in chosen])
        found = [each for each, state in zip(chosen, states, strict=True) if state is not None and state[0] & 1]
        return found[0] if len(found) == 1 else 0

    def stopper(self, interpreter: int) -> int:
        """The tid of the thread that has asked for a stop of the interpreter's threads, or of all interpreters'; 0 when
        nobody does at this moment, or what is read makes no sense."""
        if not self._stop:
            return 0
        places = [(interpreter + self._stop, _STOP.size), (self._stop_all or interpreter + self._stop, _STOP.size)]
        for raw, of_all in zip(self._memory.read_many(places), (False, True), strict=True):
            if raw is None or max(raw[:5]) > 3:
                continue
            _, requested, _, is_global, _, to_come, asked = _STOP.unpack(raw)
            if not requested or is_global != of_all or not 0 <= to_come <= 1 << 20:
                continue
            asks = (t for t in self._threads() if t.address == asked and (of_all or t.interpreter == interpreter))
            return next((t.tid for t in asks), 0)
        return 0
