"""Which lock a thread in futex(2) waits for, and what for."""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from concview.cpython.code import Code, Place
from concview.cpython.locks import HEAD, PRIMITIVES, LockReader
from concview.cpython.memory import BadAddress
from concview.cpython.objects import Type
from concview.cpython.read_cache import ReadCache
from concview.cpython.threads import Thread
from concview.engines.direct.locks.futures import Futures
from concview.engines.direct.locks.rlock_owners import RLockOwners
from concview.engines.direct.locks.without_gil import NEAR, OBJECT, STOP, WithoutGil
from concview.model import Wait, WaitKind
from concview.source.calls import ROLES

#: Frames from the innermost on whose slots are searched for a lock.
_SEARCHED = 6
#: Frames from the innermost on that tell what the thread waits for.
_LOOKED_AT = 8
_MAX_SLOTS = 256
#: Locks remembered by their semaphore.
_MOST_KNOWN = 1000
#: Above any count of references, that of immortal objects included (2**32 - 1 in 3.12), and below any address in use.
_MOST_REFERENCES = 1 << 33

_WORD = struct.Struct("<Q").unpack_from


class Acquired(NamedTuple):
    """What the source says of a line that takes a lock and waits for it."""

    timed: bool  #: only for some time
    expression: str  #: 'self._lock'


class WaitTargets:
    """`resolve` is the kernel wait reader's `futex_resolver`, `resolve_many` the one for many at once."""

    def __init__(
        self,
        reader: LockReader,
        thread_of: Callable[[int], Thread | None],
        tid_of: Callable[[int], int],
        outer: Callable[[int], int],
        owners: RLockOwners,
        futures: Futures,
        threads: Callable[[], Sequence[Thread]],
        runtime: int = 0,
        acquires: Callable[[Place], Acquired | None] = lambda _: None,
    ) -> None:
        """`thread_of` a tid; `tid_of` a threading.get_ident(), 0 for none that lives; `outer`: our number of
        a thread as the process numbers it; `threads`: all thread states; `runtime`: address of the runtime;
        `acquires`: None where the source does not say that a line takes a lock and waits for it."""
        self._acquires = acquires
        self._reader, self._thread_of, self._owners, self._futures = reader, thread_of, owners, futures
        self._tid_of, self._outer = tid_of, outer
        self._memory, self._objects, self._o = reader.memory, reader.objects, reader.offsets
        self._header = reader.offsets.header
        self._without_gil = WithoutGil(reader.memory, reader.objects, reader.offsets, threads, runtime)
        self._by_semaphore: dict[int, int] = {}  #: semaphore -> the lock that was found to have it
        self._answers = ReadCache[Wait | None](reader.memory)

    def forget(self) -> None:
        self._answers.clear()

    def resolve(self, tid: int, address: int, timed: bool, stack_pointer: int) -> Wait | None:
        """None when it is no lock of Python's that can be told."""
        return self.resolve_many([(tid, address, timed, stack_pointer)])[0]

    def resolve_many(self, questions: list[tuple[int, int, bool, int]]) -> list[Wait | None]:
        """`resolve` of many threads: whether their known answers still hold is read in one call."""
        asked: list[tuple[Thread | None, Hashable]] = []
        for tid, address, timed, stack_pointer in questions:
            thread = self._thread_of(tid)
            if thread is None or not thread.walk.places:
                asked.append((None, None))
                continue
            walk = thread.walk
            # What it depends on besides memory: where the thread stands.
            stands = (*walk.places[:_LOOKED_AT], *walk.addresses[:_LOOKED_AT])
            asked.append((thread, (address, stack_pointer, timed, *stands)))
        known = self._answers.ask_many([key for _, key in asked])
        waits: list[Wait | None] = []
        for (tid, address, timed, stack_pointer), (thread, key) in zip(questions, asked, strict=True):
            waits.append(None)
            if thread is None:
                continue
            if key in known:
                wait = known[key]
            else:
                work_out = partial(self._resolve, thread, address, timed, stack_pointer)
                try:
                    wait = self._answers.work_out(key, work_out)
                except (BadAddress, struct.error):
                    continue
            waits[-1] = wait
            self._owners.waits(tid, wait.lock if wait is not None and wait.lock_kind == "RLock" and not wait.via else 0)
            self._futures.waits(tid, wait)
        if self._o.free_threaded:
            self._tell_users(asked, waits)
        return waits

    def trying(self, threads: Iterable[Thread]) -> dict[int, Wait]:
        """tid -> what a thread that runs tries to get, in a build without a GIL. The object is the one among the values
        of its innermost frame whose lock somebody has; the lock, where its line takes one, likewise.

        Who has that object's lock itself waits for nobody: up to 3.13 it takes it anew inside an operation like anybody
        else, gives way forty times and has it."""
        found: dict[int, Wait] = {}
        asked = list(threads)
        for thread in asked:
            wait = self._tried(thread)
            if wait is not None:
                found[thread.tid] = wait
        objects: dict[int, Wait] = {}
        for thread in self._without_gil.trying([t for t in asked if t.tid not in found]):
            walk = thread.walk
            if not walk.places:
                continue
            code = walk.places[0].code
            count = min(code.nlocalsplus + code.stacksize, _MAX_SLOTS)
            try:
                owner = self._without_gil.locked(self._reader.slots(walk, walk.addresses[0], 0, count))
                kind = self._objects.type_name(owner) if owner else ""
            except (BadAddress, struct.error):
                continue
            if owner:
                objects[thread.tid] = Wait(WaitKind.FUTEX, "sched_yield", lock=owner, lock_kind=kind, via=OBJECT)
        users = self._without_gil.users({wait.lock for wait in objects.values()})
        return found | {
            tid: msgspec.structs.replace(wait, target=users[wait.lock]) if wait.lock in users else wait
            for tid, wait in objects.items()
            if users.get(wait.lock) != tid
        }

    def _tried(self, thread: Thread) -> Wait | None:
        """The lock that a thread which runs tries to get before it parks: its innermost line takes one, it is not in
        what that line began, and of the locks at hand there one alone is taken."""
        walk = thread.walk
        if not walk.places:
            return None
        place = walk.places[0]
        acquired = self._acquires(place)
        if acquired is None or any(one.line == place.line for one in place.withs):
            return None
        code, reader = place.code, self._reader
        count = min(code.nlocalsplus + code.stacksize, _MAX_SLOTS)
        try:
            values = reader.slots(walk, walk.addresses[0], 0, count)
            # By its name, where it has one: other locks that are at hand (that of a condition) are taken, too.
            named = acquired.expression.isidentifier()
            local = next((v for i, v in enumerate(values) if named and self._name(code, i) == acquired.expression), 0)
            heads = reader.heads([local] if local else values)
            inner = [each for lock, (kind, head) in heads.items() for each in self._inside(lock, kind.name, head)]
            taken = [
                (lock, PRIMITIVES[kind.name], "")
                for lock, (kind, head) in (heads | reader.heads(inner)).items()
                if kind.name in PRIMITIVES
                and (state := reader.state(kind, head)).locked
                and not (state.owner and state.owner == thread.ident)
            ]
            if len(taken) != 1:
                return None
            return self._told(self._by_role(thread, 0, taken[0]) or taken[0], "sched_yield", acquired.timed)
        except (BadAddress, struct.error):
            return None

    def _name(self, code: Code, slot: int) -> str:
        return code.variable(self._objects, slot) if slot < code.nlocalsplus else ""

    def _tell_users(self, asked: list[tuple[Thread | None, Hashable]], waits: list[Wait | None]) -> None:
        """Who has it at this moment: changes by the microsecond, so that it is no part of an answer that is kept."""
        users = self._without_gil.users({w.lock for w in waits if w is not None and w.via == OBJECT})
        stoppers: dict[int, int] = {}
        for n, ((thread, _), wait) in enumerate(zip(asked, waits, strict=True)):
            target = 0
            if wait is None or thread is None:
                continue
            if wait.via == OBJECT:
                target = users.get(wait.lock, 0)
            elif wait.via == STOP:
                if thread.interpreter not in stoppers:
                    stoppers[thread.interpreter] = self._without_gil.stopper(thread.interpreter)
                target = stoppers[thread.interpreter]
            if target and target != thread.tid:
                waits[n] = msgspec.structs.replace(wait, target=target)

    def _resolve(self, thread: Thread, address: int, timed: bool, stack_pointer: int) -> Wait | None:
        mutex = self._mutex(address, stack_pointer)
        found = self._by_role(thread, address, mutex) or mutex or self._search(thread, address)
        if found is None:
            found = self._without_gil.parked(thread, address, stack_pointer)
        return self._told(found, "futex", timed) if found is not None else None

    def _told(self, found: tuple[int, str, str], call: str, timed: bool) -> Wait:
        lock, kind, via = found
        target = 0
        if via == "Thread.join":
            target = self._native_id(lock)
        elif via == "import":
            target = self._importer(lock)
        return Wait(WaitKind.FUTEX, call, timed=timed, lock=lock, lock_kind=kind, via=via, target=target)

    def _native_id(self, thread: int) -> int:
        """The tid of a `threading.Thread`; 0 when it cannot be told."""
        try:
            value = self._objects.attribute(thread, "_native_id")
            found = self._objects.integers([value])[0] if value else 0
        except (BadAddress, struct.error):
            return 0
        return self._outer(found) if 0 < found < 1 << 31 else 0

    def _importer(self, lock: int) -> int:
        """The tid of the thread that imports a module, as the module's lock records it; 0 when it cannot be told."""
        try:
            owner = self._objects.attribute(lock, "owner")
            ident = self._objects.integers([owner])[0] if owner and self._objects.type_name(owner) == "int" else 0
        except (BadAddress, struct.error):
            return 0
        return self._tid_of(ident) if ident > 0 else 0

    def _by_role(self, thread: Thread, futex: int, mutex: tuple[int, str, str] | None) -> tuple[int, str, str] | None:
        """A standard library method that waits on some inner lock stands for the object it belongs to."""
        walk = thread.walk
        place: Place | None = None
        address = 0
        for each, frame in zip(walk.places[:_LOOKED_AT], walk.addresses[:_LOOKED_AT], strict=True):
            if not each.code.role:
                break
            place, address = each, frame
        if place is None:
            return None
        code = place.code
        via, kind = ROLES[code.role]
        lock = self._reader.first_local(walk, address)
        if kind == "multiprocessing":
            return lock, "multiprocessing." + self._objects.type_name(lock), ""
        leaf = walk.places[0].code
        if leaf.role == "Condition.wait":
            # Notified already, and now waiting for the condition's own lock again?
            inner = self._lock_of(self._reader.first_local(walk, walk.addresses[0]))
            known = self._reader.kinds([inner]).get(inner)
            if known is not None and known.name in PRIMITIVES:
                semaphore = self._reader.semaphore(inner, known)
                if (mutex is not None and mutex[0] == inner) or (semaphore and semaphore == futex):
                    return inner, PRIMITIVES[known.name], ""
        return lock, kind, via

    def _mutex(self, address: int, stack_pointer: int) -> tuple[int, str, str] | None:
        """PyMutex: the futex is a semaphore in `struct wait_entry {void *arg; uintptr_t addr; sem}` on the waiter's
        own C stack; addr is what it waits for."""
        if not 0 <= address - stack_pointer < NEAR or not self._o.features.parking_lot:
            return None
        parked = self._memory.word(address - 8)
        lock = parked - self._header
        kind = PRIMITIVES.get(self._objects.type_name(lock) if lock > 4096 else "")
        return (lock, kind, "") if kind else None

    def _search(self, thread: Thread, address: int) -> tuple[int, str, str] | None:
        """sem_t: nothing points back from the semaphore, so the locks that the innermost frames know are compared."""
        walk, reader = thread.walk, self._reader
        if known := self._by_semaphore.get(address):
            # Believed only if the lock still lives and has that semaphore. One that was freed reads as it did, while
            # its semaphore's memory may be another lock's by now.
            for lock, kind in reader.kinds([known] if self._lives(known) else []).items():
                if kind.name not in PRIMITIVES:
                    if matched := self._matches(lock, kind, self._memory.read(lock, HEAD), address):
                        return matched
                elif reader.semaphore(lock, kind) == address:
                    return lock, PRIMITIVES[kind.name], ""
            del self._by_semaphore[address]
        for place, frame in zip(walk.places[:_SEARCHED], walk.addresses[:_SEARCHED], strict=True):
            count = min(place.code.nlocalsplus + place.code.stacksize, _MAX_SLOTS)
            if not count:
                continue
            heads = reader.heads(reader.slots(walk, frame, 0, count))
            inner: list[int] = []
            for lock, (kind, head) in heads.items():
                if matched := self._matches(lock, kind, head, address):
                    return self._remember(address, matched)
                inner += self._inside(lock, kind.name, head)
            for lock, (kind, head) in reader.heads(inner).items():
                if matched := self._matches(lock, kind, head, address):
                    return self._remember(address, matched)
        return None

    def _lives(self, address: int) -> bool:
        """Whether an object's count of references is one: of a freed object there stands 0 or the address of the next
        free one. Only such builds have locks with semaphores."""
        return self._o.features.locks_without_semaphore or 0 < self._memory.word(address) < _MOST_REFERENCES

    def _remember(self, semaphore: int, matched: tuple[int, str, str]) -> tuple[int, str, str]:
        if len(self._by_semaphore) >= _MOST_KNOWN:
            self._by_semaphore.clear()
        self._by_semaphore[semaphore] = matched[0]
        return matched

    def _matches(self, lock: int, kind: Type, head: bytes, futex: int) -> tuple[int, str, str] | None:
        if kind.name in PRIMITIVES:
            return (lock, PRIMITIVES[kind.name], "") if self._reader.state(kind, head).semaphore == futex else None
        if kind.name == "_queue.SimpleQueue":
            # Up to 3.12 it has a lock of its own, later its waiters are parked at an address inside it.
            parked = self._memory.word(futex - 8) if self._o.features.parking_lot else 0
            if _WORD(head, self._header)[0] == futex or lock <= parked < lock + kind.basicsize:
                return lock, "SimpleQueue", "SimpleQueue.get"
        return None

    def _inside(self, address: int, kind: str, head: bytes) -> list[int]:
        """Objects that a value on a frame leads to: a method's self, a cell's content, a condition's lock."""
        o = self._o
        try:
            if kind == "builtin_function_or_method":
                return [_WORD(head, o["cfunction.m_self"])[0]]
            if kind == "method":
                owner = _WORD(head, o["method.im_self"])[0]
                return [owner, self._lock_of(owner)]
            if kind == "cell":
                value = _WORD(head, o["cell.ob_ref"])[0] & o.tag_mask
                return [value, self._lock_of(value)]
            if kind == "Condition":
                return [self._lock_of(address)]
        except BadAddress:
            pass
        return []

    def _lock_of(self, address: int) -> int:
        if not address or self._objects.type_name(address) != "Condition":
            return 0
        return self._objects.attribute(address, "_lock")
