"""The events that every engine and the collector write."""

from __future__ import annotations

import msgspec

from concview.model.values import Capability, Frame, Hold, Target, Wait


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of everything in the stream. Arrays on the wire; fields may only be added at the end, with defaults.

    Plain values without circles: the garbage collector need not look at them.
    """


class Hello(Event, frozen=True, tag=0):
    """First event. `epoch` is time.time() at the monotonic moment `at_ns`."""

    version: int
    concview: str
    target: Target
    engine: str
    rate_hz: float
    budget_percent: float
    at_ns: int
    epoch: float
    capabilities: dict[str, Capability]
    labels: str = ""  #: 'off', 'safe', 'full': what is told of requests, jobs and queries; '' it was not told


class FrameDef(Event, frozen=True, tag=1):
    id: int
    frame: Frame


class StackDef(Event, frozen=True, tag=2):
    id: int
    frames: tuple[int, ...]  #: ids of FrameDefs, leaf first
    truncated: bool = False


class WaitDef(Event, frozen=True, tag=3):
    id: int
    wait: Wait


class HoldsDef(Event, frozen=True, tag=4):
    id: int
    holds: tuple[Hold, ...]


class ThreadDef(Event, frozen=True, tag=5):
    """A thread was first seen, or is now known by another name. `started_ns` on the monotonic clock."""

    tid: int
    name: str
    started_ns: int = 0
    native: bool = False  #: no Python thread state: made by a C library


class ThreadGone(Event, frozen=True, tag=6):
    tid: int
    at_ns: int


class Tick(Event, frozen=True, tag=7):
    """One sample of all threads. Only what changed since the last tick is in `changes`.

    `changes` is flat: tid, stack id, wait id, holds id, four integers a thread; id 0 means unknown (or none, for
    holds). A thread that is not mentioned is as it was. `dt_ns` is the time since the previous tick: its weight.
    `gil_switches` is how often the GIL went to another thread, in total: where it stands still, nobody else had it.
    """

    at_ns: int
    dt_ns: int
    gil_holder: int  #: tid; 0 nobody holds it, -1 cannot be seen, -2 held by a thread without a known tid
    collecting: bool
    changes: tuple[int, ...]
    gil_switches: int = -1  #: -1 not known


#: Up to so many threads, the counters of all are of the moment of their event; beyond, some are a few events old.
FRESH_COUNTERS = 300


class ThreadCounters(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Totals since the thread started; -1 where the kernel does not say."""

    tid: int
    cpu_ns: int
    run_delay_ns: int
    voluntary: int
    involuntary: int
    migrations: int = -1
    #: When it last was on a CPU, on CLOCK_MONOTONIC; only of one that has not run since that was read.
    ran_ns: int = -1


class Counters(Event, frozen=True, tag=8):
    """Process-wide totals and gauges a few times a second, with the threads' totals of the same moment."""

    at_ns: int
    cpu_user_s: float
    cpu_system_s: float
    rss: int
    fds: int
    os_threads: int
    threads: tuple[ThreadCounters, ...]
    children: int = 0
    connections: int = -1
    load1: float = 0.0
    machine_cpu_percent: float = 0.0  #: of all CPUs, 0..100
    throttled_s: float = 0.0  #: cgroup quota throttling, total
    voluntary: int = 0  #: process-wide totals, threads that ended included as far as they were seen
    involuntary: int = 0
    gil_switches: int = -1
    address_space: int = -1  #: bytes mapped
    data: int = -1  #: bytes of private writable memory
    caught: int = -1  #: signals with a handler, but for Ctrl-C's and faults; -1: not known


class LookStats(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one of the looks beside the samples did and cost, since the last time this was told."""

    name: str
    turns: int
    complete: int  #: how many of them got through everything that there was to look at
    cpu_percent: float  #: of one core


class Stats(Event, frozen=True, tag=9):
    """What sampling achieved and cost, once a second. Totals since the start unless said otherwise."""

    at_ns: int
    samples: int
    misses: int  #: ticks that were due and did not happen or could not be read
    repaired: int  #: torn stacks put right
    dropped: int  #: stacks given up
    doubtful: int  #: stacks that may be wrong in the leaf
    achieved_hz: float  #: over the last second
    target_hz: float  #: what the back-off allows now
    own_cpu_percent: float  #: over the last second, of one core
    own_rss: int = 0
    helper_cpu_percent: float = 0.0  #: the part of it that an engine's own program took (py-spy); the budget is not its
    helper_limit_percent: float = 0.0  #: what that program is held to instead; 0: there is none
    own_wait_percent: float = 0.0  #: of the last second, for which whoever samples was ready and had no CPU
    threads: int = -1  #: how many there are; -1: not told
    #: Of how many it is known where they were in the last second: read, or known not to have moved. -1: not told.
    seen: int = -1
    stacks: int = -1  #: stacks read in the last second; -1: not told
    looks: tuple[LookStats, ...] = ()


class Notice(Event, frozen=True, tag=10):
    """Something a person should know. `level`: 'info', 'warn', 'error'."""

    at_ns: int
    level: str
    text: str


class Bye(Event, frozen=True, tag=11):
    """Last event. `reason`: 'exited', 'exec', 'stopped' (by us), 'lost' (cannot be read any more)."""

    at_ns: int
    reason: str
    text: str = ""
    status: int = -1  #: of a process that exited, as `wait` gives it; -1: the kernel did not tell


class InterpreterRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One interpreter of the process."""

    id: int  #: as `concurrent.interpreters` numbers it; the main one is 0
    gil: int  #: id of the interpreter whose GIL it uses: its own, or the main one's
    threads: tuple[int, ...] = ()  #: tids of those that run in it now, innermost; of the main one not told


class Interpreters(Event, frozen=True, tag=41):
    """All interpreters of a process that has, or had, more than one. Told when it changes."""

    at_ns: int
    rows: tuple[InterpreterRow, ...]


class OtherGils(Event, frozen=True, tag=42):
    """Who has the GILs of interpreters that have one of their own, until the next; the main one's is in `Tick`.

    Flat, three integers each: id of the interpreter, holder (as in Tick), how often it went to another thread."""

    at_ns: int
    states: tuple[int, ...]


class Forget(Event, frozen=True, tag=12):
    """All ids of frames, stacks, waits and holds are void from here on; new definitions follow. Bounds memory."""

    at_ns: int


class ProcessStatus(Event, frozen=True, tag=13):
    """The target's own condition changed. `status`: 'running', 'stopped' (SIGSTOP or a debugger), 'frozen' (its
    cgroup is)."""

    at_ns: int
    status: str
    by: str = ""  #: what stopped it: 'SIGSTOP', 'the debugger gdb (pid 12)'; '' not told
