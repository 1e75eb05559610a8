"""The stream, kept: what every thread did in the last while, in memory that does not grow.

Per thread a list of runs (from, to, stack, wait, holds, state) for the window that rules look at, and one bucket per
half second with the sampled nanoseconds of each state beside the kernel's own counters, for shares and strips over
the last minutes. An idle thread costs nothing per tick: its open run simply lasts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from concview.analysis.classify import Classification, classify, in_native_lock
from concview.analysis.exact_waits import ExactWaits
from concview.analysis.gaps import Gaps
from concview.analysis.interpreters import InterpreterHistory
from concview.analysis.queues import QueueHistories
from concview.analysis.records import GilTick, ProcessBucket, Run, TaskCounts, ThreadHistory
from concview.analysis.relations import RelationHistory
from concview.analysis.tasks.history import TaskHistories
from concview.analysis.work import WorkHistory
from concview.model import (
    FRESH_COUNTERS,
    NO_STACK,
    NO_WAIT,
    AcceptQueues,
    AgentStatus,
    AnyEvent,
    AsyncObjects,
    Bye,
    Calls,
    Children,
    Counters,
    Depths,
    FileLocks,
    Forget,
    ForkedChild,
    Forks,
    Frame,
    FrameDef,
    Hello,
    Hold,
    HoldsDef,
    Interpreters,
    Label,
    LabelDef,
    Links,
    Loans,
    Loops,
    NativeWaits,
    Notice,
    OtherGils,
    Parent,
    ProcessStatus,
    Queues,
    Relations,
    Semaphores,
    Stack,
    StackDef,
    State,
    Stats,
    Switches,
    TaskDef,
    Tasks,
    TasksGone,
    TaskTick,
    TaskWait,
    TaskWaitDef,
    ThreadCounters,
    ThreadDef,
    ThreadGone,
    Tick,
    Wait,
    WaitDef,
    Work,
    Workers,
)

#: Runs and ticks are kept this long: the longest window a rule looks at in detail.
RUNS_NS = 20_000_000_000
#: A bucket closes at the first counters at least this long after the last one closed.
BUCKET_NS = 500_000_000
#: Ten minutes of the process's buckets.
PROCESS_BUCKETS = 1200
#: Process buckets older than this many give up the threads' counters: at 1,000 threads ten minutes of them are 300 MB.
SLIM_AFTER = 60
#: Threads that ended are kept this long, and no more than this many.
GONE_NS = 20_000_000_000
MAX_GONE = 2_000
#: States of stacks with waits that are remembered.
MAX_CLASSIFICATIONS = 20_000
#: Numbers of threads that are kept, a few a second.
COUNTED = 60
#: Off the CPU until something happens. (One that waits for the GIL or a CPU is woken without getting it.)
_BLOCKED = frozenset({State.LOCK, State.IO, State.SLEEP, State.IDLE})
#: Reports of asyncio tasks, one a second: ten minutes.
TASK_COUNTS = 600


def _slim(bucket: ProcessBucket) -> None:
    """Drop the threads' counters of a bucket that no rule looks at any more; the process's own stay."""
    for name in ("before", "after"):
        counters: Counters | None = getattr(bucket, name)
        if counters is not None and counters.threads:
            setattr(bucket, name, msgspec.structs.replace(counters, threads=()))


#: Conditions of a process in which nothing in it moves, in words. Keys: of `ProcessStatus`.
STOPPED = {
    "stopped": "stopped (SIGSTOP or a debugger)",
    "frozen": "frozen: its cgroup is (docker pause, systemctl freeze, a checkpoint)",
}


@dataclass(slots=True)
class Tables:
    """Ids of the stream resolved to objects; cleared by Forget."""

    frames: dict[int, Frame] = field(default_factory=dict)
    stacks: dict[int, Stack] = field(default_factory=lambda: {0: NO_STACK})
    waits: dict[int, Wait] = field(default_factory=lambda: {0: NO_WAIT})
    holds: dict[int, tuple[Hold, ...]] = field(default_factory=lambda: {0: ()})
    task_waits: dict[int, TaskWait] = field(default_factory=dict)
    classifications: dict[tuple[int, int], Classification] = field(default_factory=dict)
    labels: dict[int, Label] = field(default_factory=dict)


class History:
    """Applies events. Not thread-safe: the session locks."""

    def __init__(self) -> None:
        self.hello: Hello | None = None
        self.threads: dict[int, ThreadHistory] = {}
        self.gone: deque[ThreadHistory] = deque(maxlen=MAX_GONE)
        self.gil: deque[GilTick] = deque()
        self.interpreters = InterpreterHistory()  #: beside the main one, with their GILs
        self.buckets: deque[ProcessBucket] = deque(maxlen=PROCESS_BUCKETS)
        self.notices: deque[Notice] = deque(maxlen=50)
        #: (when, how many threads there were by the kernel), those included that nobody has had room to look at
        self.counted: deque[tuple[int, int]] = deque(maxlen=COUNTED)
        self.stats: Stats | None = None
        self.counters: Counters | None = None
        self.stopped = ""  #: in words, while nothing in the process moves: 'stopped by SIGSTOP', 'frozen: ...'
        self.bye: Bye | None = None
        #: What an agent inside the target said last; None where there was none.
        self.agent: AgentStatus | None = None
        self.tasks: Tasks | None = None
        self.queues: Queues | None = None
        self.calls: Calls | None = None
        #: Copies of the target that it forked beside other threads; None where the stream does not say.
        self.forks: Forks | None = None
        self.forked: tuple[tuple[ForkedChild, Stack], ...] = ()
        self.parent: Parent | None = None  #: of a process that multiprocessing started; None: it is none, or not known
        self.workers: Workers | None = None  #: Python processes below the target; None: none, or not looked for
        self.depths = QueueHistories()
        self.aio = TaskHistories()  #: tasks, loops and what they share, read from memory
        self.relations = RelationHistory()  #: objects, descriptors, file locks, children that threads wait for
        self.exact = ExactWaits()  #: every wait of every thread, where the kernel records them
        self.work = WorkHistory()  #: requests, jobs, queries, calls
        self.account: Calls | None = None  #: of the last window that was closed: with the callees of every function
        self.refusal: AgentStatus | None = None  #: what it was asked for last and would not do
        self.task_counts: deque[TaskCounts] = deque(maxlen=TASK_COUNTS)
        self.first_ns = 0
        self.now_ns = 0
        self.births = 0
        self.gaps = Gaps()  #: stretches without a sample
        self.tables = Tables()
        self._bucket: ProcessBucket | None = None
        self._gil_waiters: set[int] = set()
        self._c_locks: dict[int, str] = {}  #: tid -> the lock of a C library that it waits for, as told last
        self._ticked = False
        self._counted_ns = 0  #: the last sample before the last counters

    def name(self, tid: int) -> str:
        """Of a living thread; 'thread 12' of any other."""
        thread = self.threads.get(tid)
        return thread.name if thread is not None else f"thread {tid}"

    # ------------------------------------------------------------ events

    def apply(self, event: AnyEvent) -> None:
        if isinstance(event, Tick):
            self._tick(event)
        elif isinstance(event, TaskTick):
            self.aio.tick(event, self.tables)
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
        elif isinstance(event, (OtherGils, Interpreters)):
            self.interpreters.apply(event)
        elif isinstance(event, TaskWaitDef):
            self.tables.task_waits[event.id] = event.wait
        elif isinstance(event, TaskDef):
            self.aio.define(event, self.tables, self.now_ns)
        elif isinstance(event, TasksGone):
            self.aio.end(event)
        elif isinstance(event, Loops):
            self.aio.report_loops(event)
        elif isinstance(event, AsyncObjects):
            self.aio.report_objects(event, self.tables)
        elif isinstance(event, Counters):
            self._counters(event)
        elif isinstance(event, ThreadDef):
            self._thread(event)
        elif isinstance(event, ThreadGone):
            self._gone(event)
        elif isinstance(event, Stats):
            self.stats = event
            self.gaps.rate(event.achieved_hz)
            if event.threads > 0:
                self.counted.append((event.at_ns, event.threads))
        elif isinstance(event, Notice):
            self.notices.append(event)
        elif isinstance(event, Hello):
            self.hello = event
            self.gaps.rate(event.rate_hz)
            self.now_ns = self.first_ns = event.at_ns
        elif isinstance(event, Bye):
            self.bye = event
        elif isinstance(event, Forget):
            self.tables = self._tables_after_forget()
        elif isinstance(event, ProcessStatus):
            self.stopped = f"stopped by {event.by}" if event.by else STOPPED.get(event.status, "")
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
        elif isinstance(event, Workers):
            self.workers = event
        elif isinstance(event, Parent):
            self.parent = event
        elif isinstance(event, Depths):
            self.depths.add(event)
        elif isinstance(event, NativeWaits):
            self._in_c(event)
        elif isinstance(event, (Relations, Links, FileLocks, Children, Semaphores, AcceptQueues, Loans)):
            self.relations.add(event)
        elif isinstance(event, Switches):
            self.exact.add(event, self.tables.stacks, self.tables.waits, self.tables.classifications)
        elif isinstance(event, LabelDef):
            self.tables.labels[event.id] = event.label
        elif isinstance(event, Work):
            self.work.add(event, self.tables.labels)

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
            self.threads[event.tid] = ThreadHistory(event.tid, event.name, self.now_ns, event.started_ns, event.native)
            if (event.started_ns or self.now_ns) > self.first_ns:
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
        if tick.dt_ns >= self.gaps.least_ns:
            self.gaps.add(at, tick.dt_ns)
        if not self._ticked:
            self._ticked = True
            self.gaps.begin(start)
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
            classification = tables.classifications.get(key)
            if classification is None:
                if len(tables.classifications) >= MAX_CLASSIFICATIONS:
                    tables.classifications.clear()
                classification = tables.classifications[key] = classify(wait, stack)
            if tid in self._c_locks:
                classification = in_native_lock(classification, self._c_locks[tid])
            if thread.current is None:  # not before its birth, however long nobody looked
                begin = max(start, min(thread.started_ns, at))
            else:
                begin = max(start, thread.acc_since)
            run = Run(begin, stack, wait, holds, classification)
            if thread.current is None and classification.state in _BLOCKED and not self._born(thread):
                run.before_ns = 0
            thread.change(begin, run)
            if classification.state is State.GIL:
                self._gil_waiters.add(tid)
            else:
                self._gil_waiters.discard(tid)
        self.now_ns = at
        bucket = self._bucket
        waiters = len(self._gil_waiters)
        if self.interpreters.gil_of:
            waiters, holders = self.interpreters.tick(tick, self._gil_waiters, bucket)
            for tid in holders.values():
                if (other := self.threads.get(tid)) is not None:
                    other.acc_gil += tick.dt_ns
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

    def _in_c(self, event: NativeWaits) -> None:
        """What is known of a wait in C only once somebody has looked, half a second later or so, holds from its
        beginning."""
        self.relations.add(event)
        self._c_locks = {one.tid: one.what for one in event.waits if one.kind}
        for tid, lock in self._c_locks.items():
            thread = self.threads.get(tid)
            run = thread.current if thread is not None else None
            if thread is None or run is None:
                continue
            known = in_native_lock(run.classification, lock)
            if known is run.classification:
                continue
            thread.settle(self.now_ns)
            late = min(thread.acc[run.state], self.now_ns - run.start_ns)
            thread.acc[run.state] -= late
            thread.acc[known.state] += late
            run.classification = known
            if len(thread.runs) == 1 and run.before_ns < 0 and not self._born(thread):
                run.before_ns = 0

    def _counters(self, event: Counters) -> None:
        for one in event.threads:
            thread = self.threads.get(one.tid)
            if thread is not None:
                self._notice(thread, one, event)
                thread.counters = one
                if thread.counters_at_bucket is None:
                    # A thread that was born while we watched began with nothing; one that was there before us has a
                    # past that is not ours to account.
                    thread.counters_at_bucket = ThreadCounters(one.tid, 0, 0, 0, 0) if self._born(thread) else one
        self.counters, self._counted_ns = event, self.now_ns
        if event.os_threads:
            self.counted.append((event.at_ns, event.os_threads))
        bucket = self._bucket
        if bucket is None:
            self._open_bucket(event)
        elif event.at_ns - bucket.start_ns >= BUCKET_NS:
            self._close_bucket(bucket, event)
            self._open_bucket(event)

    def _born(self, thread: ThreadHistory) -> bool:
        """While we watched: it has no past."""
        return thread.born_ns > self.first_ns + BUCKET_NS

    def _notice(self, thread: ThreadHistory, now: ThreadCounters, event: Counters) -> None:
        """A thread that every sample saw waiting at one place, and that has used CPU all the same, was woken. One that
        has used none waits since it last ran, and was it before we came."""
        before, run = thread.counters, thread.current
        if before is None or run is None or run.state not in _BLOCKED or event.os_threads > FRESH_COUNTERS:
            return
        # A run begins with the sample before the one that saw it first: this one was seen when CPU was last read.
        if now.cpu_ns > before.cpu_ns >= 0 and run.start_ns < self._counted_ns:
            run.wake(event.at_ns, event.at_ns - self._counted_ns)
        elif run.before_ns == 0 < now.ran_ns < run.start_ns and now.cpu_ns == before.cpu_ns:
            run.before_ns = now.ran_ns

    def _open_bucket(self, event: Counters) -> None:
        at = event.at_ns
        self._bucket = ProcessBucket(at, at, self._count(event), before=event)

    def _count(self, event: Counters) -> int:
        """How many threads there are: by the kernel, for not all may have been seen yet."""
        return event.os_threads or len(self.threads)

    def _close_bucket(self, bucket: ProcessBucket, event: Counters) -> None:
        # Only what was sampled is accounted: the last tick is the end, so that shares never cover unseen time.
        end = min(event.at_ns, self.now_ns)
        for thread in self.threads.values():
            thread.close_bucket(bucket.start_ns, end)
            thread.prune(end - RUNS_NS)
        bucket.end_ns = event.at_ns
        bucket.threads = self._count(event)
        bucket.after = event
        self.buckets.append(bucket)
        if len(self.buckets) > SLIM_AFTER + 1:
            _slim(self.buckets[-SLIM_AFTER - 1])
        horizon = end - RUNS_NS
        while self.gil and self.gil[0].at_ns < horizon:
            self.gil.popleft()
        self.interpreters.prune(horizon)
        while self.gone and self.gone[0].gone_ns < end - GONE_NS:
            self.gone.popleft()


def _counted(event: Tasks) -> TaskCounts:
    counts: dict[tuple[str, int, str], tuple[int, int]] = {}
    for group in (g for loop in event.loops for g in loop.groups):
        key = (group.file, group.line, group.function)
        alive, ended = counts.get(key, (0, 0))
        counts[key] = (alive + group.count, ended + group.ended)
    return TaskCounts(event.at_ns, counts)
