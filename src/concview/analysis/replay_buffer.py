"""The last ten minutes, kept so that any moment of them can be looked at again, in memory that does not grow.

The stream is cut into segments of a few seconds. A segment begins with a keyframe (what every thread was doing), keeps
its events compressed, and keeps the half-second sums of every thread beside them. To look back, a history is seeded
with a keyframe and fed the events behind it: the same code then says of that moment what it said when it was now. When
the events of all segments become too large, the oldest give theirs up; the keyframe and the sums stay.
"""

from __future__ import annotations

import array
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from concview import codec
from concview.analysis.history import History, Tables
from concview.analysis.records import Bucket, ProcessBucket, Run, ThreadHistory
from concview.analysis.tasks.records import NO_KEYFRAME, Keyframe
from concview.analysis.work import Report
from concview.model import (
    AnyEvent,
    AsyncObjects,
    Bye,
    Counters,
    Event,
    Forget,
    ForkedChild,
    Forks,
    FrameDef,
    Hello,
    HoldsDef,
    LabelDef,
    Loops,
    Notice,
    Stack,
    StackDef,
    State,
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

#: How far back can be looked.
KEPT_NS = 600_000_000_000
#: A segment ends with the first half second that closes after so long; looking back replays at most that much extra.
SEGMENT_NS = 5_000_000_000
#: One that is never closed by counters ends here, so that its events do not pile up.
LONGEST_NS, MOST_EVENTS = 20_000_000_000, 50_000
#: All compressed events and sums together. 100 threads at 100 Hz take 5 to 10 MB in ten minutes.
MAX_BYTES = 48 << 20
#: More than this is not replayed for one look; a longer interval is added up from half seconds.
REPLAY_NS = 20_000_000_000

#: Definitions stay in the tables, which are shared with the history; the others are not a condition that lasts.
_DEFINITIONS = (FrameDef, StackDef, WaitDef, TaskWaitDef, HoldsDef, LabelDef)
_NOT_LASTING = (
    *_DEFINITIONS, Tick, ThreadDef, ThreadGone, Notice, Forget, Bye, Hello, Counters, Forks,
    TaskDef, TaskTick, TasksGone, Loops, AsyncObjects, Work,
)  # fmt: skip
#: tid, start, end, the states, GIL, CPU, run delay, voluntary, involuntary: microseconds and counts.
_FIELDS = 3 + len(State) + 5
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Key:
    """One thread at the beginning of a segment. Kept from segment to segment while nothing changes."""

    tid: int
    name: str
    native: bool
    seen_ns: int
    started_ns: int
    run: Run | None


@dataclass(slots=True)
class Segment:
    start_ns: int
    keys: tuple[Key, ...]
    counters: Counters | None  #: those that closed the half second before
    latest: dict[type, Event]  #: the last event of every lasting kind
    #: Copies that it forked, with their stacks: the numbers in that event may belong to older tables.
    forks: Forks | None
    forked: tuple[tuple[ForkedChild, Stack], ...]
    aio: Keyframe
    work: Report | None  #: likewise
    tables: list[Tables]  #: one, and one more for every Forget inside
    end_ns: int = 0
    events: bytes | None = b""  #: compressed; None: given up
    sums: bytes = b""
    gone: tuple[tuple[int, str, bool, int], ...] = ()  #: tid, name, native, when: threads that ended within
    open: list[AnyEvent] = field(default_factory=list)  #: the events of the one that is being written

    @property
    def size(self) -> int:
        return len(self.events or b"") + len(self.sums)


class ReplayBuffer:
    """`add` behind `History.apply`, in order. Not thread-safe: the session locks."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max = max_bytes
        self._segments: deque[Segment] = deque()
        self._latest: dict[type, Event] = {}
        self._keys: dict[int, Key] = {}
        self._aio = NO_KEYFRAME
        self._bucket: ProcessBucket | None = None
        self.size = 0

    def add(self, event: AnyEvent, history: History) -> None:
        if history.hello is None or isinstance(event, (Hello, *_DEFINITIONS)):
            return
        if not self._segments:
            self._begin(history, None)
        now = self._segments[-1]
        now.open.append(event)
        kind = type(event)
        if kind not in _NOT_LASTING:
            self._latest[kind] = event
        if isinstance(event, Forget):
            now.tables.append(history.tables)
        elif isinstance(event, Counters):
            last = history.buckets[-1] if history.buckets else None
            if last is not self._bucket:
                self._bucket = last
                if history.now_ns - now.start_ns >= SEGMENT_NS:
                    self._end(history)
                    self._begin(history, event)
        elif history.now_ns - now.start_ns > LONGEST_NS or len(now.open) > MOST_EVENTS:
            self._end(history)
            self._begin(history, history.counters)

    def _begin(self, history: History, counters: Counters | None) -> None:
        keys = {}
        for thread in history.threads.values():
            known = self._keys.get(thread.tid)
            if known is None or known.run is not thread.current or known.name != thread.name:
                known = Key(thread.tid, thread.name, thread.native, thread.seen_ns, thread.started_ns, thread.current)
            keys[thread.tid] = known
        self._keys = keys
        self._aio = history.aio.keyframe(self._aio)
        self._segments.append(
            Segment(
                history.now_ns,
                tuple(keys.values()),
                counters,
                dict(self._latest),
                history.forks,
                history.forked,
                self._aio,
                history.work.now,
                [history.tables],
            )
        )

    def _end(self, history: History) -> None:
        done = self._segments[-1]
        done.end_ns = history.now_ns
        gone = [t for t in history.gone if t.gone_ns > done.start_ns]
        done.gone = tuple((t.tid, t.name, t.native, t.gone_ns) for t in gone)
        done.sums = _pack([*history.threads.values(), *gone], done.start_ns)
        done.events = zlib.compress(codec.encode_events(done.open), 1)
        done.open = []
        self.size += done.size
        while self._segments and self._segments[0].end_ns and self._segments[0].end_ns < done.end_ns - KEPT_NS:
            self.size -= self._segments.popleft().size
        for segment in self._segments:
            if self.size <= self._max:
                break
            if segment.events and segment.end_ns:
                self.size -= len(segment.events)
                segment.events = None

    # ------------------------------------------------------------ looking back

    @property
    def first_ns(self) -> int:
        """The oldest moment that can be looked at."""
        return self._segments[0].start_ns if self._segments else 0

    @property
    def detail_ns(self) -> int:
        """From here on everything is kept; before it only what threads did in sum."""
        coarse = [s.end_ns for s in self._segments if s.events is None]
        return max(coarse, default=self.first_ns)

    def plan(self, history: History, end_ns: int, span_ns: int, sums_ns: int) -> Plan:
        """What it takes to see the `span_ns` up to `end_ns`, and sums from `sums_ns` before it. Cheap."""
        segments = list(self._segments)
        if not segments or history.hello is None:
            raise LookupError("nothing was kept yet")
        end_ns = max(segments[0].start_ns, min(end_ns, history.now_ns))
        last = max((i for i, s in enumerate(segments) if s.start_ns <= end_ns), default=0)
        first = last
        begin = end_ns - min(span_ns, REPLAY_NS)
        while first > 0 and segments[first].start_ns > begin and segments[first - 1].events is not None:
            first -= 1
        replayed = segments[first : last + 1]
        start = replayed[0].start_ns
        before = [s for s in segments[:first] if s.end_ns > end_ns - sums_ns]
        return Plan(
            hello=history.hello,
            first_ns=history.first_ns,
            end_ns=end_ns,
            segments=[(s, s.events, list(s.open)) for s in replayed],
            before=before,
            buckets=[b for b in history.buckets if b.end_ns <= start],
            notices=[n for n in history.notices if n.at_ns <= start],
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """References to what is needed; `build` does the work and needs no lock."""

    hello: Hello
    first_ns: int
    end_ns: int
    segments: list[tuple[Segment, bytes | None, list[AnyEvent]]]
    before: list[Segment]
    buckets: list[ProcessBucket]
    notices: list[Notice]

    def build(self) -> HistoricalView:
        past = HistoricalView(self)
        for segment, packed, still_open in self.segments:
            past.cross(segment)
            for event in _unpack(packed) if segment.end_ns else still_open:
                if isinstance(event, (Tick, Counters, TaskTick)) and event.at_ns > self.end_ns:
                    return past
                past.apply(event)
        return past


class HistoricalView(History):
    """The history as it was: seeded from a keyframe. `detail_ns`: what came before is known in sums only."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        first = plan.segments[0][0]
        self._following: Iterable[Tables] = iter(())
        self.detail_ns = first.start_ns
        self.complete = all(packed is not None for _, packed, _ in plan.segments)
        self.hello, self.first_ns, self.now_ns = plan.hello, plan.first_ns, first.start_ns
        self.notices.extend(plan.notices)
        self.buckets.extend(plan.buckets)
        self.forks, self.forked = first.forks, first.forked
        self.aio.resume(first.aio, first.start_ns)
        self.work.seed(first.work)
        for event in first.latest.values():
            self.apply(event)  # type: ignore[arg-type]
        known_ns = max(first.start_ns, first.counters.at_ns if first.counters is not None else 0)
        for key in first.keys:
            self._resume(key, first.start_ns, known_ns)
        if first.counters is not None:
            self.counters, self._counted_ns = first.counters, first.start_ns
            if first.counters.os_threads:
                self.counted.append((first.counters.at_ns, first.counters.os_threads))
            for one in first.counters.threads:
                thread = self.threads.get(one.tid)
                if thread is not None:
                    thread.counters = thread.counters_at_bucket = one
            self._open_bucket(first.counters)
        self._fill(plan.before)

    def cross(self, segment: Segment) -> None:
        """The events that come now are numbered by this segment's tables."""
        tables = iter(segment.tables)
        self.tables = next(tables)
        self._following = tables

    def _tables_after_forget(self) -> Tables:
        return next(iter(self._following), None) or Tables()

    def _resume(self, key: Key, at_ns: int, known_ns: int) -> None:
        thread = ThreadHistory(key.tid, key.name, key.seen_ns, key.started_ns, key.native)
        thread.buckets = deque()
        thread.acc_since = at_ns
        run = key.run
        if run is not None:
            woken = [at for at in run.woken or () if at <= known_ns] or None
            thread.current = Run(
                run.start_ns,
                run.stack,
                run.wait,
                run.holds,
                run.classification,
                woken=woken,
                unsure_ns=run.unsure_ns if woken else 0,
                before_ns=run.before_ns,
            )
            thread.runs.append(thread.current)
            if run.state is State.GIL:
                self._gil_waiters.add(key.tid)
        self.threads[key.tid] = thread

    def _fill(self, before: Sequence[Segment]) -> None:
        """The sums of older segments; threads that ended in them come back as ended ones."""
        ended: dict[int, ThreadHistory] = {}
        for segment in before:
            for tid, name, native, gone_ns in segment.gone:
                if tid not in self.threads:
                    thread = ended.get(tid) or ThreadHistory(tid, name, segment.start_ns, 0, native)
                    thread.gone_ns, thread.buckets = gone_ns, deque(thread.buckets)
                    ended[tid] = thread
        self.gone.extend(ended.values())
        for segment in before:
            for tid, bucket in _unpack_sums(segment.sums, segment.start_ns):
                thread_or_none = self.threads.get(tid) or ended.get(tid)
                if thread_or_none is not None:
                    thread_or_none.buckets.append(bucket)


# ---------------------------------------------------------------- packing


def _pack(threads: Iterable[ThreadHistory], start_ns: int) -> bytes:
    """The half seconds of these threads that began at or after `start_ns`."""
    numbers = array.array("i")
    for thread in threads:
        fresh = []
        for bucket in reversed(thread.buckets):
            if bucket.end_ns <= start_ns:
                break
            fresh.append(bucket)
        for b in reversed(fresh):
            row = (
                thread.tid, (b.start_ns - start_ns) // 1000, (b.end_ns - start_ns) // 1000,
                *(v // 1000 for v in b.sampled), b.gil_ns // 1000, b.cpu_ns // 1000, b.run_delay_ns // 1000,
                b.voluntary, b.involuntary,
            )  # fmt: skip
            # -1 // 1000 stays -1: not known.
            numbers.extend(min(v, _MOST) for v in row)
    return zlib.compress(numbers.tobytes(), 1)


def _unpack_sums(packed: bytes, start_ns: int) -> Iterable[tuple[int, Bucket]]:
    numbers = array.array("i")
    numbers.frombytes(zlib.decompress(packed) if packed else b"")
    states = 3 + len(State)
    for at in range(0, len(numbers), _FIELDS):
        row = numbers[at : at + _FIELDS]
        sampled = tuple(v * 1000 for v in row[3:states])
        bucket = Bucket(start_ns + row[1] * 1000, start_ns + row[2] * 1000, sampled, row[states] * 1000)
        cpu, delay, bucket.voluntary, bucket.involuntary = row[states + 1 :]
        bucket.cpu_ns, bucket.run_delay_ns = (v if v < 0 else v * 1000 for v in (cpu, delay))
        yield row[0], bucket


def _unpack(packed: bytes | None) -> list[AnyEvent]:
    return codec.decode_events(zlib.decompress(packed)) if packed else []
