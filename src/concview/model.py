"""The nouns: frozen structs that the whole program shares, and the events of the stream.

Units are in the names or the docstrings: `_ns` nanoseconds of CLOCK_MONOTONIC, `_s` seconds, shares 0..1.
Strings are already clean (see `text.clean`).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec


class State(IntEnum):
    """What one thread is doing at one moment. The states partition wall time."""

    RUNNING = 0  #: on a CPU, with or without the GIL
    RUNNABLE = 1  #: wants a CPU, has none
    GIL = 2  #: waits for the GIL
    LOCK = 3  #: waits for a lock, a semaphore, room in a full queue, others at a barrier
    IO = 4  #: in a blocking call on a descriptor
    SLEEP = 5  #: time.sleep and its like: nobody will wake it earlier
    IDLE = 6  #: waits for work, or for others to finish theirs (join, a future's result)
    UNKNOWN = 7  #: could not be told; shown, never spread over the others


STATES: tuple[str, ...] = tuple(s.name.lower() for s in State)


class WaitKind(StrEnum):
    """What the kernel says of a thread, before its stack is looked at."""

    RUNNING = "running"  #: on a CPU or in the run queue
    GIL = "gil"  #: futex inside the interpreter's GIL struct
    FUTEX = "futex"  #: any other futex: a lock of Python's, or of a C library
    IO = "io"
    SLEEP = "sleep"
    CHILD = "child"  #: wait4/waitid for a child process
    DISK = "disk"  #: uninterruptible sleep (state D)
    STOPPED = "stopped"  #: job control or a tracer
    OTHER = "other"  #: some other system call
    UNKNOWN = "unknown"  #: could not be read


class Confidence(StrEnum):
    EXACT = "exact"  #: read from the target's memory or the kernel
    INFERRED = "inferred"  #: concluded from the source around the current line
    STATISTICAL = "statistical"  #: estimated from samples
    UNKNOWN = "unknown"


class Severity(StrEnum):
    INFO = "info"
    WARN = "warn"


class Struct(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of plain values."""


# ---------------------------------------------------------------- places and stacks


class Site(Struct, frozen=True):
    """A place where a lock is taken, as its user wrote it."""

    expression: str  #: 'self._lock'
    file: str
    line: int
    function: str  #: qualified name
    scope: str = ""  #: what makes the expression unique: 'cache.py::Cache' for self.x, the module for a global
    how: str = "with"  #: 'with', or 'acquire' for acquire()/release() pairs
    made: int = 0  #: line of the same file whose assignment makes the lock; 0 when it cannot be told
    item: str = ""  #: of a queue: the class of what the file puts into it; empty when it cannot be told

    @property
    def key(self) -> str:
        """Two sites with one key are, as far as source can tell, the same lock."""
        return f"{self.scope}::{self.expression}"


class Frame(Struct, frozen=True):
    """One line of one function. `origin`: 'user', 'library' (site-packages), 'stdlib', 'frozen', 'native'."""

    function: str
    file: str
    line: int
    text: str = ""  #: the source line, stripped; empty when unreadable or changed since the start
    origin: str = "user"
    holds: tuple[Site, ...] = ()  #: inferred: `with x:` blocks and acquire/finally pairs that enclose the line
    acquires: Site | None = None  #: inferred: the line itself takes this lock
    checkout: Site | None = None  #: inferred: takes something out of this queue ('get'), or has it out ('kept')

    @property
    def place(self) -> str:
        """'Cache.get (cache.py:41)'."""
        return f"{self.function} ({self.file.rpartition('/')[2]}:{self.line})"


class Stack(msgspec.Struct, frozen=True, eq=False):
    """Frames, leaf first. Compared by identity: equal stacks are interned to one object."""

    frames: tuple[Frame, ...] = ()
    truncated: bool = False
    holding: bool = False  #: some frame infers a hold; derived, so that most stacks are passed over at a glance
    #: The innermost frame of the user's own code; the leaf where there is none. Derived: rules ask for it all the time.
    user_leaf: Frame | None = None

    def __post_init__(self) -> None:
        if any(f.holds for f in self.frames):
            msgspec.structs.force_setattr(self, "holding", True)
        leaf = next((f for f in self.frames if f.origin == "user"), self.leaf)
        msgspec.structs.force_setattr(self, "user_leaf", leaf)

    @property
    def leaf(self) -> Frame | None:
        return self.frames[0] if self.frames else None


class Peer(Struct, frozen=True):
    """What a descriptor leads to. `kind`: 'tcp', 'udp', 'unix', 'pipe', 'file', 'epoll', 'eventfd', 'tty', ..."""

    kind: str
    name: str  #: '127.0.0.1:5432', '/var/log/x', 'pipe:[123]'; a listening socket shows its own address
    local: str = ""
    status: str = ""  #: TCP state: 'ESTABLISHED', 'SYN_SENT', 'LISTEN'
    known_as: str = ""  #: what the host's own tables call it: 'postgresql', 'db postgresql'


class Wait(Struct, frozen=True):
    """What a thread waits for, as the kernel and the target's memory tell it. Interned."""

    kind: WaitKind
    syscall: str = ""
    fd: int = -1
    peer: Peer | None = None
    timed: bool = False  #: the call has a timeout
    lock: int = 0  #: address of the lock object waited for; 0 when not known
    lock_kind: str = ""  #: 'Lock', 'RLock', 'Semaphore', ...
    via: str = ""  #: what the wait is for, read from memory: 'Condition.wait', 'Queue.get', 'Thread.join', ...
    target: int = 0  #: tid of the thread that is waited for (joined, or runs the future), where it can be told


class Hold(Struct, frozen=True):
    """One lock held by one thread, with the place where it was taken."""

    lock: int  #: address of the lock object; 0 when only the site is known
    kind: str
    site: Site
    confidence: Confidence


NO_STACK = Stack()
NO_WAIT = Wait(WaitKind.UNKNOWN)

# ---------------------------------------------------------------- capabilities


class Capability(Struct, frozen=True):
    """Something that can be seen, or why it cannot and what would enable it."""

    available: bool
    why: str = ""
    enable: str = ""


#: Names used in `Hello.capabilities` and in a rule's `needs`.
CAPABILITIES: dict[str, str] = {
    "stacks": "the Python stack of every thread",
    "waits": "what each thread waits for in the kernel",
    "gil": "who holds the GIL and who waits for it",
    "locks": "which lock object a thread waits for",
    "held-locks": "which locks a thread holds, read from its frames",
    "peers": "what a descriptor is connected to",
    "counters": "CPU time, context switches and run-queue delay of every thread",
    "collecting": "whether the garbage collector runs",
    "queues": "how many items queues and thread pools hold",
    "agent": "an agent inside the target",
    "calls": "how often every function was called and how long it took, by yappi in the last minute",
}


class Target(Struct, frozen=True):
    """The process that is looked at. Known once, at the start."""

    pid: int
    python: str  #: '3.13.0'
    command: tuple[str, ...]
    started: float  #: seconds since the epoch
    start_ticks: int = 0  #: field 22 of /proc/PID/stat: with the pid it identifies a process for ever
    executable: str = ""
    free_threaded: bool = False
    user: str = ""
    cpus: float = 1.0  #: CPUs it may use: affinity, cut by a cgroup quota
    machine_cpus: int = 1
    fd_limit: int = 0
    memory_limit: int = 0  #: bytes: cgroup limit or the machine's memory
    address_limit: int = 0  #: bytes of address space (RLIMIT_AS); 0 none
    data_limit: int = 0  #: bytes of private writable memory (RLIMIT_DATA); 0 none


# ---------------------------------------------------------------- the stream


class Event(msgspec.Struct, frozen=True, array_like=True):
    """Base of everything in the stream. Arrays on the wire; fields may only be added at the end, with defaults."""


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


class ThreadCounters(msgspec.Struct, frozen=True, array_like=True):
    """Totals since the thread started; -1 where the kernel does not say."""

    tid: int
    cpu_ns: int
    run_delay_ns: int
    voluntary: int
    involuntary: int
    migrations: int = -1


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


class Forget(Event, frozen=True, tag=12):
    """All ids of frames, stacks, waits and holds are void from here on; new definitions follow. Bounds memory."""

    at_ns: int


class ProcessStatus(Event, frozen=True, tag=13):
    """The target's own condition changed. `status`: 'running', 'stopped' (SIGSTOP or a debugger)."""

    at_ns: int
    status: str


# What an agent inside the target says. Only in the stream when the user asked for one.


class AgentStatus(Event, frozen=True, tag=14):
    """The agent comes, is there, or has gone. `state`: 'asking', 'attached', 'refused', 'ended'."""

    at_ns: int
    state: str
    text: str = ""  #: why, in a sentence
    remedy: str = ""  #: the exact step that would help
    library: str = ""  #: 'gevent' or 'eventlet', where the program runs on one
    cost_percent: float = 0.0  #: CPU of the agent over the last second, of one core
    late_s: float = 0.0  #: how late its thread got the GIL after a wake-up
    window: str = ""  #: exact profiling that runs: 'yappi wall', 'yappi cpu', 'monitoring'; '' none


class Await(msgspec.Struct, frozen=True, array_like=True):
    """One coroutine of an await chain and the line it waits at."""

    function: str
    file: str
    line: int


class TaskInfo(msgspec.Struct, frozen=True, array_like=True):
    """One asyncio task. `state`: 'running', 'ready', 'waiting', 'done'. `age_s` since the agent saw it first."""

    name: str
    state: str
    age_s: float
    chain: tuple[Await, ...]  #: the task's own coroutine first
    created_file: str = ""  #: where it was created; only known when the loop is in debug mode
    created_line: int = 0


class TaskGroup(msgspec.Struct, frozen=True, array_like=True):
    """The tasks of one coroutine function. `ended` of them did since the last report."""

    function: str
    file: str
    line: int  #: first line of the function
    count: int
    ended: int


class LoopInfo(msgspec.Struct, frozen=True, array_like=True):
    """One running event loop. `lag_s`: how late it comes to a callback; -1 not known yet."""

    tid: int
    kind: str
    count: int  #: of tasks; `tasks` holds at most the 200 oldest
    ready: int
    timers: int
    lag_s: float
    tasks: tuple[TaskInfo, ...]
    groups: tuple[TaskGroup, ...] = ()  #: the 20 with most tasks; all tasks are counted
    debug: bool = False  #: the loop is in debug mode: it remembers where tasks were created


class Tasks(Event, frozen=True, tag=15):
    at_ns: int
    loops: tuple[LoopInfo, ...]


class QueueInfo(msgspec.Struct, frozen=True, array_like=True):
    """A queue that something waits at. `most` 0: unbounded. The tids of those who wait; for asyncio queues 0s."""

    address: int
    kind: str
    size: int
    most: int
    getting: tuple[int, ...]
    putting: tuple[int, ...]
    where: Await | None = None


class PoolInfo(msgspec.Struct, frozen=True, array_like=True):
    """A ThreadPoolExecutor. `backlog`: work items that no worker has taken."""

    address: int
    name: str
    most: int
    backlog: int
    busy: tuple[int, ...]
    idle: tuple[int, ...]


class Queues(Event, frozen=True, tag=16):
    at_ns: int
    queues: tuple[QueueInfo, ...]
    pools: tuple[PoolInfo, ...]


class Pauses(Event, frozen=True, tag=17):
    """Garbage collections of the last second: (generation, how many, seconds in all, longest)."""

    at_ns: int
    rows: tuple[tuple[int, int, float, float], ...]


class Callee(msgspec.Struct, frozen=True, array_like=True):
    index: int  #: of its own row
    calls: int
    own_calls: int  #: without recursive ones
    total_s: float
    own_s: float


class CallInfo(msgspec.Struct, frozen=True, array_like=True):
    """One function in one thread, counted exactly. `index` names the row; callees refer to it."""

    index: int
    function: str
    file: str
    line: int
    calls: int
    own_calls: int
    total_s: float
    own_s: float
    tid: int  #: 0 not known, or all threads together
    callees: tuple[Callee, ...] = ()


class Calls(Event, frozen=True, tag=18):
    """Exact call counts of one window: live once a second (the largest rows only), in full at its end."""

    at_ns: int
    source: str  #: 'yappi', or 'monitoring': counts only, no times
    clock: str  #: 'wall', 'cpu' or 'none'
    seconds: float
    running: bool
    clean: bool  #: at the end: the profiler was proved to be gone
    calls: int
    dropped: int  #: rows that did not fit
    cost_share: float  #: what the counting costs the target, estimated: seconds of CPU per second
    rows: tuple[CallInfo, ...]


#: A copy this old, when it is looked at, stays one: on a busy machine it may take a while from fork to exec.
SETTLED_NS = 2_000_000_000


class ForkedChild(msgspec.Struct, frozen=True, array_like=True):
    """A child that is a copy of the target: forked while the target had other threads, and not replaced by exec."""

    pid: int
    started_ns: int  #: monotonic, to 10 ms
    others: int  #: threads that the target had besides the one that forked, and still has
    threads: int  #: of the child
    stuck_ns: int  #: since when all of them wait, without a timeout, for something inside the child; 0 when not
    stack: int = 0  #: of its main thread, the line that forked included; id of a StackDef, 0 not known


class Forks(Event, frozen=True, tag=19):
    """Written when something has changed. `total`: such children so far, ended ones included."""

    at_ns: int
    total: int
    children: tuple[ForkedChild, ...]
    why: str = ""  #: why it cannot be told; empty when it can
    enable: str = ""


class QueueDepth(msgspec.Struct, frozen=True, array_like=True):
    """One `queue.Queue` (or a subclass) or `SimpleQueue` at one moment, read from memory.

    `puts` and `gets`: totals, of use only as differences between two reports in a row; -1: not known for this one.
    """

    address: int
    kind: str  #: 'Queue', 'LifoQueue', 'PriorityQueue', 'SimpleQueue', or the name of a subclass
    name: str  #: what a frame calls it: 'jobs', 'self.jobs'; '' when only the library's own frames know it
    size: int
    most: int  #: maxsize; 0: no bound
    unfinished: int  #: items put whose task_done() was not called; -1: a SimpleQueue, which does not count them
    puts: int
    gets: int
    users: tuple[int, ...] = ()  #: tids of threads whose frames were seen to refer to it


class PoolDepth(msgspec.Struct, frozen=True, array_like=True):
    """A ThreadPoolExecutor, found in the frames of its workers. Its backlog is the size of `queue`."""

    queue: int  #: address of its work queue
    name: str  #: the prefix of its threads' names
    most: int  #: max_workers; 0: the executor is gone, or could not be read
    threads: int  #: threads it has started; 0 likewise
    workers: tuple[int, ...]  #: tids seen in its worker function


class Depths(Event, frozen=True, tag=20):
    """Queues and pools, a few times a second."""

    at_ns: int
    queues: tuple[QueueDepth, ...]
    pools: tuple[PoolDepth, ...] = ()


AnyEvent = (
    Hello
    | FrameDef
    | StackDef
    | WaitDef
    | HoldsDef
    | ThreadDef
    | ThreadGone
    | Tick
    | Counters
    | Stats
    | Notice
    | Bye
    | Forget
    | ProcessStatus
    | AgentStatus
    | Tasks
    | Queues
    | Pauses
    | Calls
    | Forks
    | Depths
)

# ---------------------------------------------------------------- findings


class Where(Struct, frozen=True):
    file: str
    line: int
    function: str
    text: str = ""


class StackEvidence(Struct, frozen=True):
    """A stack shown as evidence. `role`: 'holder', 'waiter', 'hog', 'blocked', 'creator', ..."""

    role: str
    tid: int
    name: str
    frames: tuple[Frame, ...]  #: leaf first
    note: str = ""


class Measured(Struct, frozen=True):
    """The number that decided, beside its thresholds."""

    name: str
    value: float
    info: float
    warn: float
    unit: str
    lower: float | None = None  #: lower end of the 95 % interval, where it applies
    samples: int = 0
    episodes: int = 0


class Finding(Struct, frozen=True):
    """An anti-pattern that fires. `subject` tells two findings of one rule apart and is stable over time."""

    id: str
    subject: str
    severity: Severity
    score: int  #: 0..100
    confidence: Confidence
    title: str
    summary: str  #: one sentence with numbers
    why: str
    fix: str
    measured: Measured
    where: tuple[Where, ...] = ()
    threads: tuple[int, ...] = ()
    stacks: tuple[StackEvidence, ...] = ()
    gain: str = ""  #: what could be won, with its assumption
    check_next: str = ""
    since_ns: int = 0
    recent: bool = False  #: no longer fires; kept for a minute


class Pending(Struct, frozen=True):
    """Not enough evidence yet."""

    id: str
    needs: str  #: 'at least 200 samples (has 40)'
    subject: str = ""


class NotApplicable(Struct, frozen=True):
    """Cannot be judged here, and what would enable it."""

    id: str
    why: str
    enable: str
