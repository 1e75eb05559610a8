"""Event loops: their ready queues, timers, executors and threads; callback latency without a probe.

A loop's ready queue is a deque, which counts every append and pop in its `state`. With its length that tells how many
callbacks became due and how many ran. It is first in, first out: a callback that was appended as the Nth has left when
N were popped, so how long callbacks wait can be told from outside, to within the time between two looks.
"""

from __future__ import annotations

import contextlib
import struct
from collections import deque
from dataclasses import dataclass, field

from concview.cpython.aio.values import BAD, Values

#: Looks kept to find out when what was due has run.
_MAX_LOOKS = 4096
#: Descriptors that a process may have; more is no count.
_MOST_WATCHED = 1 << 20
#: Words of a loop that is no Python object that are searched.
_WORDS = 64
_MAX_MOVES = 1 << 40

_WORD = struct.Struct("<Q").unpack_from


@dataclass(slots=True)
class LoopTimes:
    """Over the looks since the last report. Nanoseconds; -1 not known."""

    p50: int = -1
    p95: int = -1
    longest: int = -1
    late_p95: int = -1
    busy: float = -1.0
    asleep: float = -1.0
    looks: int = 0


@dataclass(slots=True)
class Loop:
    address: int
    kind: str
    interpreter: int = 0
    ready_at: int = 0  #: address of the deque
    scheduled: int = 0  #: of the heap of timers
    generators: int = 0  #: of the set of weak references to asynchronous generators that were begun in it
    executor: int = 0
    tid: int = 0
    running: bool = False
    ready: int = 0
    pushes: int = -1
    pops: int = -1
    timers: int = -1
    late: int = -1
    moved: bool = True  #: the ready queue has changed since the look before
    seen_ns: int = 0
    _state: int = -1
    _waiting: deque[tuple[int, int]] = field(default_factory=deque)  #: (when, the pushes until then)
    _waits: list[int] = field(default_factory=list)
    _lates: list[int] = field(default_factory=list)
    _busy: float = 0.0
    _asleep: float = 0.0
    _time: float = 0.0
    _last_ns: int = 0
    _ran: tuple[bool, bool] = False, False  #: `busy` and `asleep` of the last step

    def again(self, now: int) -> None:
        """A look at a queue that is certain to be as it was at the one before."""
        self.step(now, self.ready, self._state, *self._ran)

    def step(self, now: int, size: int, state: int, busy: bool, asleep: bool = False) -> None:
        """One look at the ready queue. `asleep`: its thread waits for events."""
        before, self._state, self._ran = self._state, state, (busy, asleep)
        had, self.ready = self.ready, size
        popped = self.pops
        if before < 0:
            self.pushes, self.pops = size, 0
            self.moved = True
        else:
            moves, grown = (state - before) & (1 << 64) - 1, size - had
            self.moved = bool(moves or grown)
            pushes, pops = (moves + grown) // 2, (moves - grown) // 2
            if moves < _MAX_MOVES and pushes >= 0 and pops >= 0:
                self.pushes, self.pops = self.pushes + pushes, self.pops + pops
            else:  # another deque lies there now
                self._waiting.clear()
        waiting = self._waiting
        while waiting and self.pops >= waiting[0][1]:
            when, pushed = waiting.popleft()
            # Between two looks thousands may have run: at an even pace, so many of them by then.
            part = (pushed - popped) / (self.pops - popped) if self.pops > popped else 1.0
            ran = self._last_ns + int((now - self._last_ns) * min(1.0, max(0.0, part)))
            self._waits.append(max(0, ran - when))
        if size and len(waiting) < _MAX_LOOKS:
            waiting.append((now, self.pushes))
        elif not size:
            self._waits.append(0)
        if self._last_ns:
            passed = now - self._last_ns
            self._time += passed
            if asleep and not self.moved:  # a moment between two callbacks is no sleep
                self._asleep += passed
            elif busy:
                self._busy += passed
        self._last_ns = now

    def lateness(self, late_ns: int) -> None:
        self.late = late_ns
        if late_ns >= 0 and len(self._lates) < _MAX_LOOKS:
            self._lates.append(late_ns)

    def times(self, now: int) -> LoopTimes:
        """What the looks since the last call say; what is still in the queue waits at least since it was seen."""
        waits = sorted(self._waits + [now - when for when, _ in self._waiting])
        lates = sorted(self._lates)
        found = LoopTimes(looks=len(waits))
        if waits:
            found.p50, found.p95, found.longest = _at(waits, 0.5), _at(waits, 0.95), waits[-1]
        if lates:
            found.late_p95 = _at(lates, 0.95)
        if self._time:
            found.busy, found.asleep = self._busy / self._time, self._asleep / self._time
        self._waits.clear()
        self._lates.clear()
        self._busy = self._asleep = self._time = 0.0
        return found


def _at(values: list[int], share: float) -> int:
    return values[min(len(values) - 1, int(len(values) * share))]


class Loops:
    def __init__(self, values: Values) -> None:
        self._values, self._memory, self._o = values, values.memory, values.o
        self.known: dict[int, Loop] = {}
        low, high = sorted((self._o["deque.ob_size"], self._o["deque.state"]))
        self._span = low, high - low + 8

    def open(self, address: int, interpreter: int, now: int) -> Loop | None:
        """The loop at an address; None when there is none."""
        known = self.known.get(address)
        if known is not None:
            return known
        name = self._values.type_name(address)
        if not name or len(self.known) >= 1000:
            return None
        loop = Loop(address, self._kind(address, name), interpreter, seen_ns=now)
        with contextlib.suppress(*BAD):
            self._fields(loop)
        self.known[address] = loop
        return loop

    def _fields(self, loop: Loop) -> None:
        values = self._values
        attributes = values.attributes(loop.address)
        if "_ready" in attributes:
            loop.ready_at = attributes["_ready"]
            loop.scheduled = attributes.get("_scheduled", 0)
            executor = attributes.get("_default_executor", 0)
            loop.executor = executor if values.is_a(executor, "ThreadPoolExecutor") else 0
            loop.generators = values.attribute(attributes.get("_asyncgens", 0), "data")
            return
        # uvloop's is a C struct: its ready queue is the only deque among its first fields.
        words = struct.unpack(f"<{_WORDS}Q", self._memory.read(loop.address, 8 * _WORDS))
        pointers = [w for w in words if w > 4096 and not w & 7]
        for word, name in zip(pointers, values.type_names(pointers), strict=True):
            if name == "collections.deque" and not loop.ready_at:
                loop.ready_at = word
            elif name == "ThreadPoolExecutor":
                loop.executor = word
            elif name == "WeakSet":
                loop.generators = values.attribute(word, "data")

    def refresh(self, loop: Loop) -> bool:
        """Read again what changes seldom. False when it is a loop no more."""
        if loop.kind in ("trio", "gevent", "eventlet"):
            return loop.tid != 0
        if self._kind(loop.address, self._values.type_name(loop.address)) != loop.kind:
            return False
        with contextlib.suppress(*BAD):
            self._fields(loop)
        return True

    def segments(self, loops: list[Loop]) -> list[tuple[int, int]]:
        """What to read for `step`."""
        at, size = self._span
        return [(loop.ready_at + at, size) if loop.ready_at else (0, 0) for loop in loops]

    def parse(self, part: bytes) -> tuple[int, int]:
        """(length, state) of a ready queue."""
        return _WORD(part)[0], _WORD(part, len(part) - 8)[0]

    def idents(self, loop: Loop, idents: dict[int, int]) -> int:
        """Tid of the thread that runs a loop, by the ident that it keeps; 0 when it keeps none (it is not running)."""
        values = self._values
        attributes = values.attributes(loop.address)
        if "_thread_id" in attributes:
            return idents.get(values.integer(attributes["_thread_id"]), 0)
        if not attributes:
            with contextlib.suppress(*BAD):
                for word in struct.unpack(f"<{_WORDS}Q", self._memory.read(loop.address, 8 * _WORDS)):
                    if word in idents:
                        return idents[word]
        return 0

    def timers(self, loop: Loop, now: int) -> None:
        """How many there are, and how late the next one is."""
        values = self._values
        if not loop.scheduled:
            return
        with contextlib.suppress(*BAD):
            count = values.memory.word(loop.scheduled + self._o.header)
            if count > 1 << 40:
                return
            loop.timers = count
            if not count:
                loop.lateness(0)
                return
            first = values.memory.word(values.memory.word(loop.scheduled + self._o.header + 8))
            when = values.number(values.memory.word(first + values.layout.when))
            if when is not None and 0 < when < 1e12:
                loop.lateness(max(0, now - int(when * 1e9)))

    def outside(self, loop: Loop) -> int:
        """Descriptors that asyncio's own loop watches, the one beside by which threads wake it left out, and signals
        for which it has a handler; -1 where that cannot be told."""
        if loop.kind != "asyncio":
            return -1
        values = self._values
        with contextlib.suppress(*BAD):
            attributes = values.attributes(loop.address)
            watched = values.attribute(attributes.get("_selector", 0), "_fd_to_key")
            handlers = attributes.get("_signal_handlers", 0)
            if values.type_name(watched) == values.type_name(handlers) == "dict":
                count = values.length(watched) - 1 + values.length(handlers)
                return count if watched and 0 <= count < _MOST_WATCHED else -1
        return -1

    def _kind(self, address: int, name: str) -> str:
        if name in ("_UnixSelectorEventLoop", "_WindowsSelectorEventLoop", "ProactorEventLoop", "SelectorEventLoop"):
            return "asyncio"
        # uvloop's class for people is one of Python's, named `Loop`, whose base is written in C.
        return "uvloop" if self._values.is_a(address, "uvloop.loop.Loop") else name
