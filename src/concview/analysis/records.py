"""What a history is made of: runs of one condition, half seconds in numbers, and the GIL at each sample.

Made by the history, read by everybody, changed by nobody else.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import msgspec

from concview.analysis.classify import Classification
from concview.model import OUR_THREADS, Counters, Hold, Stack, State, ThreadCounters, Wait

#: No thread keeps more runs than this, whatever the rate: 20 s at 1 kHz.
MAX_RUNS = 20_000
#: Buckets of a thread that are kept: a minute of them.
THREAD_BUCKETS = 120
#: Of a run, half a minute of moments at which it had been woken.
MAX_WOKEN = 300
_STATES = len(State)


class Record(msgspec.Struct, gc=False, eq=False):
    """What there are a hundred thousand of. Python's garbage collector does not look at them: it would stop all threads
    for a tenth of a second every few seconds, a key would wait for it, and there is nothing to find. So none of them
    may ever lead back to itself."""


class Run(Record):
    """One thread in one condition from `start_ns` to `end_ns` (the run that lasts still has end_ns 0).

    As samples saw it. One that waits at the same place again and again looks the same in all of them: `woken` tells
    when the kernel's counters said that it had run meanwhile, five times a second at most.
    """

    start_ns: int
    stack: Stack
    wait: Wait
    holds: tuple[Hold, ...]
    classification: Classification
    end_ns: int = 0
    woken: list[int] | None = None
    unsure_ns: int = 0  #: the last of these moments was up to so much earlier
    #: Of one that was there before anybody looked: since when, by the kernel; 0: that is not known. Else -1.
    before_ns: int = -1

    @property
    def began_ns(self) -> int:
        """Since when every look would have seen it so."""
        return self.before_ns if self.before_ns > 0 else self.start_ns

    @property
    def since_ns(self) -> int:
        """Since when it has certainly been so without a break."""
        return self.woken[-1] if self.woken else self.began_ns

    def wake(self, at_ns: int, unsure_ns: int = 0) -> None:
        self.unsure_ns = unsure_ns
        if self.woken is None:
            self.woken = []
        elif len(self.woken) >= MAX_WOKEN:
            del self.woken[: MAX_WOKEN // 2]
        self.woken.append(at_ns)

    @property
    def state(self) -> State:
        return self.classification.state


class Slice(Record):
    """A run clipped to a window. Windows share them: never changed."""

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
    slices: deque[Slice]


class Bucket(Record):
    """Half a second of one thread: sampled nanoseconds per state, and the kernel's counters over the same time.

    `cpu_ns`, `run_delay_ns`, `voluntary`, `involuntary` are -1 where the kernel did not say.
    """

    start_ns: int
    end_ns: int
    sampled: tuple[int, ...]
    gil_ns: int
    cpu_ns: int = -1
    run_delay_ns: int = -1
    voluntary: int = -1
    involuntary: int = -1


@dataclass(slots=True)
class GilSums:
    """Time-weighted sums of one GIL in half a second, as in `ProcessBucket`."""

    seen_ns: int = 0
    held_ns: int = 0
    waiters_ns: int = 0
    waiters_max: int = 0

    def add(self, tick: GilTick) -> None:
        self.seen_ns += tick.dt_ns
        self.waiters_ns += tick.waiters * tick.dt_ns
        self.waiters_max = max(self.waiters_max, tick.waiters)
        if tick.holder:
            self.held_ns += tick.dt_ns


@dataclass(slots=True)
class ProcessBucket:
    """Half a second of the process. GIL values are time-weighted sums (divide by `gil_seen_ns`), of the main
    interpreter's; `gils`: of other interpreters with a GIL of their own, by id."""

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
    gils: dict[int, GilSums] | None = None


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

    @property
    def born_ns(self) -> int:
        """By the kernel, to 10 ms, where that is known: where there are very many, one is seen long after its birth."""
        return self.started_ns or self.seen_ns

    @property
    def counts(self) -> bool:
        """Whether it is one of the program's Python threads, whose time is added up and judged."""
        return not self.native and self.name not in OUR_THREADS

    def settle(self, at_ns: int) -> None:
        """Account the open run up to `at_ns`."""
        if self.current is not None and at_ns > self.acc_since:
            self.acc[self.current.classification.state] += at_ns - self.acc_since
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
            # Read for the first time, switches are those of the thread's whole life.
            known = now.voluntary >= 0 and then.voluntary >= 0
            bucket.voluntary = max(0, now.voluntary - then.voluntary) if known else -1
            bucket.involuntary = max(0, now.involuntary - then.involuntary) if known else -1
        self.counters_at_bucket = now
        self.buckets.append(bucket)


class GilTick(Record):
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
