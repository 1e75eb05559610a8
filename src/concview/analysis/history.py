"""The stream, kept: what every thread did in the last while, in memory that does not grow.

Per thread a list of runs (from, to, stack, wait, holds, state) for the window that rules look at, and one bucket per
half second with the sampled nanoseconds of each state beside the kernel's own counters, for shares and strips over
the last minutes. An idle thread costs nothing per tick: its open run simply lasts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from concview.analysis.classify import Verdict, classify
from concview.analysis.queues import QueueHistories
from concview.model import (
    NO_STACK,
    NO_WAIT,
    AgentStatus,
    AnyEvent,
    Bye,
    Calls,
    Counters,
    Depths,
    Forget,
    ForkedChild,
    Forks,
    Frame,
    FrameDef,
    Hello,
    Hold,
    HoldsDef,
    Notice,
    ProcessStatus,
    Queues,
    Stack,
    StackDef,
    State,
    Stats,
    Tasks,
    ThreadCounters,
    ThreadDef,
    ThreadGone,
    Tick,
    Wait,
    WaitDef,
)

#: Runs and ticks are kept this long: the longest window a rule looks at in detail.
RUNS_NS = 20_000_000_000
#: A bucket closes at the first counters at least this long after the last one closed.
BUCKET_NS = 500_000_000
#: Buckets kept in full: a minute for shares, ten minutes for the process.
THREAD_BUCKETS = 120
PROCESS_BUCKETS = 1200
#: Process buckets older than this many give up the threads' counters: at 1,000 threads ten minutes of them are 300 MB.
SLIM_AFTER = 60
#: Threads that ended are kept this long, and no more than this many.
GONE_NS = 20_000_000_000
MAX_GONE = 2_000
#: No thread keeps more runs than this, whatever the rate: 20 s at 1 kHz.
MAX_RUNS = 20_000
#: Reports of asyncio tasks, one a second: ten minutes.
TASK_COUNTS = 600

_STATES = len(State)


class Run:
    """One thread in one condition from `start_ns` to `end_ns` (the run that lasts still has end_ns 0)."""

    __slots__ = ("end_ns", "holds", "stack", "start_ns", "verdict", "wait")

    def __init__(self, start_ns: int, stack: Stack, wait: Wait, holds: tuple[Hold, ...], verdict: Verdict) -> None:
        self.start_ns = start_ns
        self.end_ns = 0
        self.stack = stack
        self.wait = wait
        self.holds = holds
        self.verdict = verdict

    @property
    def state(self) -> State:
        return self.verdict.state


@dataclass(slots=True)
class Piece:
    """A run clipped to a window. Not frozen: tens of thousands are made a second, and that would take three times
    as long. Windows share them: never changed."""

    start_ns: int
    end_ns: int
    run: Run

    @property
    def ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclass(slots=True)
class Whole:
    """The runs that had ended within a window, for the next one, which begins a little later and is mostly the same."""

    start_ns: int  #: of that window, and its end
    end_ns: int
    pieces: deque[Piece]


class Bucket:
    """Half a second of one thread: sampled nanoseconds per state, and the kernel's counters over the same time.

    `cpu_ns`, `run_delay_ns`, `voluntary`, `involuntary` are -1 where the kernel did not say.
    """

    __slots__ = ("cpu_ns", "end_ns", "gil_ns", "involuntary", "run_delay_ns", "sampled", "start_ns", "voluntary")

    def __init__(self, start_ns: int, end_ns: int, sampled: tuple[int, ...], gil_ns: int) -> None:
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.sampled = sampled
        self.gil_ns = gil_ns
        self.cpu_ns = -1
        self.run_delay_ns = -1
        self.voluntary = -1
        self.involuntary = -1


@dataclass(slots=True)
class ProcessBucket:
    """Half a second of the process. GIL values are time-weighted sums (divide by `gil_seen_ns`)."""

    start_ns: int
    end_ns: int
    threads: int
    gil_seen_ns: int = 0
    gil_held_ns: int = 0
    gil_waiters_ns: int = 0  #: number of waiters times nanoseconds
    gil_waiters_max: int = 0
    collecting_ns: int = 0
    sampled_ns: int = 0
    before: Counters | None = None
    after: Counters | None = None
    births: int = 0
    deaths: int = 0
    ticks: int = 0


class ThreadHistory:
    """What one thread did. Times on the stream's monotonic clock, nanoseconds."""

    __slots__ = (
        "acc", "acc_gil", "acc_since", "buckets", "counters", "counters_at_bucket", "current", "gone_ns", "name",
        "native", "runs", "seen_ns", "started_ns", "tid", "whole",
    )  # fmt: skip

    def __init__(self, tid: int, name: str, at_ns: int, started_ns: int, native: bool) -> None:
        self.tid = tid
        self.name = name
        self.native = native
        self.seen_ns = at_ns
        self.started_ns = started_ns
        self.gone_ns = 0
        self.runs: deque[Run] = deque(maxlen=MAX_RUNS)
        self.current: Run | None = None
        self.whole: Whole | None = None  #: what the last window saw of it
        self.buckets: deque[Bucket] = deque(maxlen=THREAD_BUCKETS)
        self.acc = [0] * _STATES
        self.acc_gil = 0
        self.acc_since = at_ns  #: the open run is accounted up to here
        self.counters: ThreadCounters | None = None
        self.counters_at_bucket: ThreadCounters | None = None

    def settle(self, at_ns: int) -> None:
        """Account the open run up to `at_ns`."""
        if self.current is not None and at_ns > self.acc_since:
            self.acc[self.current.verdict.state] += at_ns - self.acc_since
        self.acc_since = max(at_ns, self.acc_since)

    def change(self, at_ns: int, run: Run) -> None:
        """A new run begins where the last one ends."""
        self.settle(at_ns)
        if self.current is not None:
            self.current.end_ns = at_ns
        else:
            self.acc_since = at_ns
        self.current = run
        self.runs.append(run)

    def end(self, at_ns: int) -> None:
        if self.current is not None:
            self.settle(at_ns)
            self.current.end_ns = at_ns
            self.current = None
        self.gone_ns = at_ns or 1

    def prune(self, before_ns: int) -> None:
        runs = self.runs
        while runs and 0 < runs[0].end_ns < before_ns:
            runs.popleft()

    def close_bucket(self, start_ns: int, end_ns: int) -> None:
        """Turn what was accumulated since `start_ns` into a bucket."""
        self.settle(end_ns)
        bucket = Bucket(max(start_ns, self.seen_ns), end_ns, tuple(self.acc), self.acc_gil)
        self.acc = [0] * _STATES
        self.acc_gil = 0
        now, then = self.counters, self.counters_at_bucket
        if now is not None and then is not None:
            bucket.cpu_ns = max(0, now.cpu_ns - then.cpu_ns) if now.cpu_ns >= 0 else -1
            bucket.run_delay_ns = max(0, now.run_delay_ns - then.run_delay_ns) if now.run_delay_ns >= 0 else -1
            bucket.voluntary = max(0, now.voluntary - then.voluntary) if now.voluntary >= 0 else -1
            bucket.involuntary = max(0, now.involuntary - then.involuntary) if now.involuntary >= 0 else -1
        self.counters_at_bucket = now
        self.buckets.append(bucket)


def _slim(bucket: ProcessBucket) -> None:
    """Drop the threads' counters of a bucket that no rule looks at any more; the process's own stay."""
    for name in ("before", "after"):
        counters: Counters | None = getattr(bucket, name)
        if counters is not None and counters.threads:
            setattr(bucket, name, msgspec.structs.replace(counters, threads=()))


@dataclass(frozen=True, slots=True)
class GilTick:
    at_ns: int
    dt_ns: int
    holder: int
    waiters: int
    switches: int = -1  #: as in Tick
    collecting: bool = False


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """One report of the agent: (file, first line, function) of a coroutine -> tasks alive, tasks ended since."""

    at_ns: int
    counts: dict[tuple[str, int, str], tuple[int, int]]


@dataclass(slots=True)
class Tables:
    """Ids of the stream resolved to objects; cleared by Forget."""

    frames: dict[int, Frame] = field(default_factory=dict)
    stacks: dict[int, Stack] = field(default_factory=lambda: {0: NO_STACK})
    waits: dict[int, Wait] = field(default_factory=lambda: {0: NO_WAIT})
    holds: dict[int, tuple[Hold, ...]] = field(default_factory=lambda: {0: ()})
    verdicts: dict[tuple[int, int], Verdict] = field(default_factory=dict)


class History:
    """Applies events. Not thread-safe: the session locks."""

    def __init__(self) -> None:
        self.hello: Hello | None = None
        self.threads: dict[int, ThreadHistory] = {}
        self.gone: deque[ThreadHistory] = deque(maxlen=MAX_GONE)
        self.gil: deque[GilTick] = deque()
        self.buckets: deque[ProcessBucket] = deque(maxlen=PROCESS_BUCKETS)
        self.notices: deque[Notice] = deque(maxlen=50)
        self.stats: Stats | None = None
        self.counters: Counters | None = None
        self.process_status = "running"
        self.bye: Bye | None = None
        #: What an agent inside the target said last; None where there was none.
        self.agent: AgentStatus | None = None
        self.tasks: Tasks | None = None
        self.queues: Queues | None = None
        self.calls: Calls | None = None
        #: Copies of the target that it forked beside other threads; None where the stream does not say.
        self.forks: Forks | None = None
        self.forked: tuple[tuple[ForkedChild, Stack], ...] = ()
        self.depths = QueueHistories()
        self.account: Calls | None = None  #: of the last window that was closed: with the callees of every function
        self.refusal: AgentStatus | None = None  #: what it was asked for last and would not do
        self.task_counts: deque[TaskCounts] = deque(maxlen=TASK_COUNTS)
        self.first_ns = 0
        self.now_ns = 0
        self.births = 0
        self.tables = Tables()
        self._bucket: ProcessBucket | None = None
        self._gil_waiters: set[int] = set()

    # ------------------------------------------------------------ events

    def apply(self, event: AnyEvent) -> None:
        if isinstance(event, Tick):
            self._tick(event)
        elif isinstance(event, FrameDef):
            self.tables.frames[event.id] = event.frame
        elif isinstance(event, StackDef):
            known = self.tables.frames
            frames = tuple(known[f] for f in event.frames if f in known)
            self.tables.stacks[event.id] = Stack(frames, event.truncated)
        elif isinstance(event, WaitDef):
            self.tables.waits[event.id] = event.wait
        elif isinstance(event, HoldsDef):
            self.tables.holds[event.id] = event.holds
        elif isinstance(event, Counters):
            self._counters(event)
        elif isinstance(event, ThreadDef):
            self._thread(event)
        elif isinstance(event, ThreadGone):
            self._gone(event)
        elif isinstance(event, Stats):
            self.stats = event
        elif isinstance(event, Notice):
            self.notices.append(event)
        elif isinstance(event, Hello):
            self.hello = event
            self.now_ns = self.first_ns = event.at_ns
        elif isinstance(event, Bye):
            self.bye = event
        elif isinstance(event, Forget):
            self.tables = self._tables_after_forget()
        elif isinstance(event, ProcessStatus):
            self.process_status = event.status
        elif isinstance(event, AgentStatus):
            self._agent(event)
        elif isinstance(event, Tasks):
            self.tasks = event
            self.task_counts.append(_counted(event))
        elif isinstance(event, Queues):
            self.queues = event
        elif isinstance(event, Calls):
            self.calls = event
            if not event.running:
                self.account = event
        elif isinstance(event, Forks):
            self.forks = event
            self.forked = tuple((c, self.tables.stacks.get(c.stack, NO_STACK)) for c in event.children)
        elif isinstance(event, Depths):
            self.depths.add(event)

    def _agent(self, event: AgentStatus) -> None:
        there = self.agent is not None and self.agent.state == "attached"
        if event.state == "refused":
            self.refusal = event
            if there:
                return  # one request was; the agent is there as before
        elif self.agent is None or (event.state, event.window) != (self.agent.state, self.agent.window):
            self.refusal = None
        self.agent = event

    def _tables_after_forget(self) -> Tables:
        return Tables()

    def _thread(self, event: ThreadDef) -> None:
        thread = self.threads.get(event.tid)
        if thread is None:
            self.threads[event.tid] = ThreadHistory(
                event.tid, event.name, self.now_ns, event.started_ns, event.native
            )
            self.births += 1
            if self._bucket is not None:
                self._bucket.births += 1
        else:
            thread.name = event.name
            thread.native = event.native

    def _gone(self, event: ThreadGone) -> None:
        thread = self.threads.pop(event.tid, None)
        if thread is None:
            return
        self._gil_waiters.discard(event.tid)
        thread.end(max(event.at_ns, thread.acc_since))
        self.gone.append(thread)
        if self._bucket is not None:
            self._bucket.deaths += 1

    def _tick(self, tick: Tick) -> None:
        at = tick.at_ns
        start = at - tick.dt_ns  # what is seen now is taken to be so since the previous tick
        tables = self.tables
        changes = tick.changes
        for i in range(0, len(changes) - 3, 4):
            tid = changes[i]
            thread = self.threads.get(tid)
            if thread is None:
                thread = self.threads[tid] = ThreadHistory(tid, f"thread {tid}", start, 0, False)
            stack = tables.stacks.get(changes[i + 1], NO_STACK)
            wait = tables.waits.get(changes[i + 2], NO_WAIT)
            holds = tables.holds.get(changes[i + 3], ())
            key = (changes[i + 1], changes[i + 2])
            verdict = tables.verdicts.get(key)
            if verdict is None:
                verdict = tables.verdicts[key] = classify(wait, stack)
            begin = start if thread.current is None else max(start, thread.acc_since)
            thread.change(begin, Run(begin, stack, wait, holds, verdict))
            if verdict.state is State.GIL:
                self._gil_waiters.add(tid)
            else:
                self._gil_waiters.discard(tid)
        self.now_ns = at
        bucket = self._bucket
        waiters = len(self._gil_waiters)
        if tick.gil_holder != -1:
            self.gil.append(GilTick(at, tick.dt_ns, tick.gil_holder, waiters, tick.gil_switches, tick.collecting))
            holder = self.threads.get(tick.gil_holder)
            if holder is not None:
                holder.acc_gil += tick.dt_ns
        if bucket is not None:
            dt = tick.dt_ns
            bucket.sampled_ns += dt
            bucket.ticks += 1
            if tick.gil_holder != -1:
                bucket.gil_seen_ns += dt
                bucket.gil_waiters_ns += waiters * dt
                bucket.gil_waiters_max = max(bucket.gil_waiters_max, waiters)
                if tick.gil_holder:
                    bucket.gil_held_ns += dt
            if tick.collecting:
                bucket.collecting_ns += dt

    def _counters(self, event: Counters) -> None:
        for one in event.threads:
            thread = self.threads.get(one.tid)
            if thread is not None:
                thread.counters = one
                if thread.counters_at_bucket is None:
                    # A thread that was born while we watched began with nothing; one that was there before us has a
                    # past that is not ours to account.
                    born = thread.seen_ns > self.first_ns + BUCKET_NS
                    thread.counters_at_bucket = ThreadCounters(one.tid, 0, 0, 0, 0) if born else one
        self.counters = event
        bucket = self._bucket
        if bucket is None:
            self._open_bucket(event)
        elif event.at_ns - bucket.start_ns >= BUCKET_NS:
            self._close_bucket(bucket, event)
            self._open_bucket(event)

    def _open_bucket(self, event: Counters) -> None:
        at = event.at_ns
        self._bucket = ProcessBucket(at, at, len(self.threads), before=event)

    def _close_bucket(self, bucket: ProcessBucket, event: Counters) -> None:
        # Only what was sampled is accounted: the last tick is the end, so that shares never cover unseen time.
        end = min(event.at_ns, self.now_ns)
        for thread in self.threads.values():
            thread.close_bucket(bucket.start_ns, end)
            thread.prune(end - RUNS_NS)
        bucket.end_ns = event.at_ns
        bucket.threads = len(self.threads)
        bucket.after = event
        self.buckets.append(bucket)
        if len(self.buckets) > SLIM_AFTER + 1:
            _slim(self.buckets[-SLIM_AFTER - 1])
        horizon = end - RUNS_NS
        while self.gil and self.gil[0].at_ns < horizon:
            self.gil.popleft()
        while self.gone and self.gone[0].gone_ns < end - GONE_NS:
            self.gone.popleft()


def _counted(event: Tasks) -> TaskCounts:
    counts: dict[tuple[str, int, str], tuple[int, int]] = {}
    for group in (g for loop in event.loops for g in loop.groups):
        key = (group.file, group.line, group.function)
        alive, ended = counts.get(key, (0, 0))
        counts[key] = (alive + group.count, ended + group.ended)
    return TaskCounts(event.at_ns, counts)
