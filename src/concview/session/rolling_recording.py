"""The last minutes of a stream, kept as they came in bounded memory, and written as a recording when somebody asks.

Blocks are kept as their bytes, some of them compressed together. What falls out at the old end is folded into a state:
the definitions that later events refer to, the threads and tasks that live, what each of them did last, and the last
report of every kind. A recording made of it begins with that state, so that it reads like any other.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

import msgspec

from concview import codec
from concview.model import (
    AnyEvent,
    AsyncObjects,
    Bye,
    Event,
    Forget,
    Forks,
    FrameDef,
    Hello,
    HoldsDef,
    LabelDef,
    Notice,
    StackDef,
    TaskDef,
    TasksGone,
    TaskTick,
    TaskWaitDef,
    ThreadDef,
    ThreadGone,
    Tick,
    WaitDef,
    Work,
)

#: How long is kept, nanoseconds, and how much: 100 threads at 100 Hz take 5 to 10 MB in ten minutes.
KEPT_NS, MAX_BYTES = 600_000_000_000, 32 << 20
#: Blocks that are compressed together span so long, or are so large.
CHUNK_NS, CHUNK_BYTES = 2_000_000_000, 1 << 20
_LENGTH = struct.Struct("<I")
#: Definitions, by their order: what one refers to comes before it.
_DEFINITIONS = (FrameDef, StackDef, WaitDef, HoldsDef, TaskWaitDef, LabelDef)
#: Reports with ids that a Forget makes void.
_VOID = (Forks, AsyncObjects, Work)
_PASSING = (Notice, Bye)
_ROW, _TASK_ROW = 4, 6


@dataclass(slots=True)
class State:
    """What an event behind it may refer to or leave out. `at_ns`: the moment it is of."""

    at_ns: int = 0
    hello: Hello | None = None
    definitions: dict[type, dict[int, Event]] = field(default_factory=lambda: {kind: {} for kind in _DEFINITIONS})
    threads: dict[int, ThreadDef] = field(default_factory=dict)
    rows: dict[int, tuple[int, ...]] = field(default_factory=dict)
    tasks: dict[int, TaskDef] = field(default_factory=dict)
    task_rows: dict[int, tuple[int, ...]] = field(default_factory=dict)
    awaits: dict[int, tuple[int, ...]] = field(default_factory=dict)
    latest: dict[type, Event] = field(default_factory=dict)

    def copy(self) -> State:
        return State(
            self.at_ns,
            self.hello,
            {kind: dict(known) for kind, known in self.definitions.items()},
            dict(self.threads),
            dict(self.rows),
            dict(self.tasks),
            dict(self.task_rows),
            dict(self.awaits),
            dict(self.latest),
        )

    def fold(self, event: AnyEvent) -> None:
        """Take in one event."""
        if isinstance(event, Tick):
            self.at_ns = event.at_ns
            for at in range(0, len(event.changes) - _ROW + 1, _ROW):
                self.rows[event.changes[at]] = event.changes[at : at + _ROW]
        elif isinstance(event, TaskTick):
            self._tasks(event)
        elif isinstance(event, _DEFINITIONS):
            self.definitions[type(event)][event.id] = event
        elif isinstance(event, ThreadDef):
            self.threads[event.tid] = event
        elif isinstance(event, ThreadGone):
            self.threads.pop(event.tid, None)
            self.rows.pop(event.tid, None)
        elif isinstance(event, TaskDef):
            self.tasks[event.id] = event
        elif isinstance(event, TasksGone):
            for number in event.tasks[::2]:
                for table in (self.tasks, self.task_rows, self.awaits):
                    table.pop(number, None)
        elif isinstance(event, Forget):
            for known in self.definitions.values():
                known.clear()
            self.rows.clear()
            self.task_rows.clear()
            for kind in _VOID:
                self.latest.pop(kind, None)
        elif isinstance(event, Hello):
            self.hello, self.at_ns = event, event.at_ns
        elif not isinstance(event, _PASSING):
            self.latest[type(event)] = event

    def _tasks(self, event: TaskTick) -> None:
        changes, awaits = event.changes, event.awaits
        for at in range(0, len(changes) - _TASK_ROW + 1, _TASK_ROW):
            self.task_rows[changes[at]] = changes[at : at + _TASK_ROW]
        at = 0
        while at + 3 <= len(awaits):
            follow = awaits[at + 2]
            if follow < 0:
                break
            if awaits[at + 1]:
                self.awaits[awaits[at]] = awaits[at : at + 3 + follow]
            else:
                self.awaits.pop(awaits[at], None)
            at += 3 + follow

    def events(self) -> list[Event]:
        """A stream that begins here. The greeting's moment is that of the state."""
        if self.hello is None:
            return []
        hello = self.hello
        moved = (self.at_ns - hello.at_ns) / 1e9
        first = msgspec.structs.replace(hello, at_ns=self.at_ns, epoch=hello.epoch + moved)
        out: list[Event] = [first]
        for known in self.definitions.values():
            out += known.values()
        out += self.threads.values()
        out += self.tasks.values()
        # Task reports refer to tasks, and all of them are of a moment before the events that follow.
        out += self.latest.values()
        rows = [row for tid, row in self.rows.items() if tid in self.threads]
        out.append(Tick(self.at_ns, 0, -1, False, tuple(n for row in rows for n in row)))
        if self.task_rows or self.awaits:
            changes = tuple(n for row in self.task_rows.values() for n in row)
            out.append(TaskTick(self.at_ns, 0, changes, tuple(n for row in self.awaits.values() for n in row)))
        return out


@dataclass(slots=True)
class _Chunk:
    end_ns: int
    packed: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """The payloads of a whole stream, from its greeting to its farewell, and the moments between which it lies."""

    payloads: list[bytes]
    first_ns: int
    last_ns: int


class RollingRecording:
    """`add` every payload of a stream, in order; `save` from any thread."""

    def __init__(self, kept_ns: int = KEPT_NS, max_bytes: int = MAX_BYTES) -> None:
        self._kept_ns, self._max = kept_ns, max_bytes
        self._base = State()
        self._chunks: deque[_Chunk] = deque()
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._open_since = self._first_ns = self._now_ns = 0
        self._lock = threading.Lock()
        self.size = 0  #: bytes kept

    def add(self, payload: bytes, events: Iterable[AnyEvent]) -> None:
        """A block's payload, and its events (for their moments)."""
        now = max((e.at_ns for e in events if isinstance(e, (Tick, Hello))), default=0)
        with self._lock:
            self._now_ns = max(self._now_ns, now)
            self._first_ns = self._first_ns or self._now_ns
            self._open_since = self._open_since or self._now_ns
            self._open.append(payload)
            self._open_bytes += len(payload)
            if self._now_ns - self._open_since >= CHUNK_NS or self._open_bytes >= CHUNK_BYTES:
                self._close_chunk()

    def _close_chunk(self) -> None:
        joined = b"".join(_LENGTH.pack(len(p)) + p for p in self._open)
        chunk = _Chunk(self._now_ns, zlib.compress(joined, 1))
        self._chunks.append(chunk)
        self.size += len(chunk.packed)
        self._open, self._open_bytes, self._open_since = [], 0, 0
        while self._chunks and (self._chunks[0].end_ns < self._now_ns - self._kept_ns or self.size > self._max):
            oldest = self._chunks.popleft()
            self.size -= len(oldest.packed)
            for payload in _payloads(oldest):
                for event in codec.decode_events(payload):
                    self._base.fold(event)

    @property
    def seconds(self) -> float:
        """How far back it reaches."""
        first = self._base.at_ns or (self._chunks[0].end_ns if self._chunks else self._open_since)
        return max(0.0, (self._now_ns - first) / 1e9) if first else 0.0

    @property
    def first_ns(self) -> int:
        """The first moment that it ever held; 0: nothing came yet."""
        return self._first_ns

    @property
    def last_ns(self) -> int:
        """The last moment that it holds, on the stream's clock; 0: nothing came yet."""
        return self._now_ns

    def save(self, out: BinaryIO, seconds: float | None = None) -> float:
        """Write the last `seconds` (None: all that is kept) as a recording; the seconds that it has.

        LookupError when nothing was kept yet; OSError when it cannot be written.
        """
        cut = self.cut(self._now_ns - int(seconds * 1e9) if seconds is not None else 0)
        out.write(codec.MAGIC)
        for payload in cut.payloads:
            out.write(codec.block_of(payload))
        out.flush()
        return max(0.0, (cut.last_ns - cut.first_ns) / 1e9)

    def cut(self, start_ns: int) -> Cut:
        """What is kept from then on, or a few seconds more. LookupError when nothing was kept yet."""
        with self._lock:
            state, chunks, still_open, now = self._base.copy(), list(self._chunks), list(self._open), self._now_ns
        while len(chunks) > 0 and chunks[0].end_ns <= start_ns:
            for payload in _payloads(chunks.pop(0)):
                for event in codec.decode_events(payload):
                    state.fold(event)
        payloads = [p for chunk in chunks for p in _payloads(chunk)] + still_open
        if state.hello is None and not payloads:
            raise LookupError("nothing was kept yet")
        first_ns = state.at_ns
        if not first_ns:
            first_ns = next((e.at_ns for e in codec.decode_events(payloads[0]) if isinstance(e, Hello)), 0)
        if begin := state.events():
            payloads.insert(0, codec.encode_events(begin))
        if not isinstance(codec.decode_events(payloads[-1])[-1], Bye):
            payloads.append(codec.encode_events([Bye(now, "stopped", "")]))
        return Cut(payloads, first_ns, now)

    def tap(self, decode: Callable[[bytes], list[AnyEvent]]) -> Callable[[bytes], list[AnyEvent]]:
        """A decoder that keeps what passes."""

        def decoded(payload: bytes) -> list[AnyEvent]:
            events = decode(payload)
            self.add(payload, events)
            return events

        return decoded


def _payloads(chunk: _Chunk) -> Iterable[bytes]:
    data = zlib.decompress(chunk.packed)
    at = 0
    while at + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        yield data[at : at + length]
        at += length
