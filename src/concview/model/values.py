"""Plain values: what a thread does and waits for, places, stacks, locks, and the process that is looked at."""

from __future__ import annotations

import re
from enum import IntEnum, StrEnum

import msgspec

from concview.text import file_name


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
    MEMORY = "memory"  #: its cgroup is at its limit of memory, and the kernel lets it wait
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


class Site(Struct, frozen=True, cache_hash=True):
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


class Frame(Struct, frozen=True, cache_hash=True):
    """One line of one function. `origin`: 'user', 'library' (site-packages), 'stdlib', 'frozen', 'native'.

    The key of many tables: its hash is kept.
    """

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
        return f"{self.function} ({file_name(self.file)}:{self.line})"


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


_UNKNOWN_SOCKET = re.compile(r"socket:\[\d+\]")


class Peer(Struct, frozen=True):
    """What a descriptor leads to, or what a call without one waits at. `kind`: 'tcp', 'udp', 'unix', 'pipe', 'fifo',
    'file', 'epoll', 'eventfd', 'tty', 'message queue', 'semaphore set', ..."""

    kind: str
    name: str  #: '127.0.0.1:5432', '/var/log/x', 'pipe:[123]'; a listening socket shows its own address
    local: str = ""
    #: TCP state: 'ESTABLISHED', 'SYN_SENT', 'LISTEN'; of a set 'LISTEN' where one of it listens; of a FIFO that is
    #: being opened whom it lacks: 'no reader', 'no writer'
    status: str = ""
    #: What the host's own tables call it: 'postgresql'; of a file its remote file system: 'nfs4 nas:/export'
    known_as: str = ""
    accepted: bool = False  #: the connection came in: its local end is one at which a server listens

    @property
    def nameless(self) -> bool:
        """A socket that the kernel's tables had no line of when they were looked up."""
        return self.name.startswith("socket:[")

    @property
    def shown(self) -> str:
        """The name for people: the kernel's number of a socket that its tables had no line of tells them nothing."""
        if "socket:[" not in self.name:
            return self.name
        kind = f"{self.kind} " if self.nameless and self.kind != "socket" else ""
        return _UNKNOWN_SOCKET.sub(f"a {kind}socket (other end not known)", self.name)

    @property
    def described(self) -> str:
        """'tcp 127.0.0.1:5432', 'pipe:[123]', 'inotify': the kind where the name does not say it."""
        says = self.name.startswith((self.kind, "socket:["))
        return self.shown if says else f"{self.kind} {self.shown}"


#: `Wait.via` and `TaskWait.via` of those that wait to be told something, and of all that wait for what nobody can have:
#: who will come, nothing says that is read of the object.
SIGNAL_VIA = frozenset({"Event.wait", "Condition.wait"})
UNOWNED_VIA = SIGNAL_VIA | {"Barrier.wait"}
#: Those of tasks that wait at a queue until somebody takes something out.
TAKEN_VIA = frozenset({"Queue.put", "Queue.join", "MemoryObjectSendStream.send", "MemorySendChannel.send"})


class Wait(Struct, frozen=True):
    """What a thread waits for, as the kernel and the target's memory tell it. Interned."""

    kind: WaitKind
    syscall: str = ""
    fd: int = -1
    peer: Peer | None = None
    timed: bool = False  #: the call has a timeout
    lock: int = 0  #: address of the lock object waited for; 0 when not known
    lock_kind: str = ""  #: 'Lock', 'RLock', 'Semaphore', 'multiprocessing.Lock', ...
    #: What the wait is for, read from memory: 'Condition.wait', 'Queue.get', 'Thread.join', ...; of a sleep 'native'
    #: where it is not time.sleep's
    via: str = ""
    target: int = 0  #: tid of the thread that is waited for (joined, or runs the future), where it can be told


class Hold(Struct, frozen=True):
    """One lock held by one thread, with the place where it was taken."""

    lock: int  #: address of the lock object; 0 when only the site is known
    kind: str
    site: Site
    confidence: Confidence


NO_STACK = Stack()
NO_WAIT = Wait(WaitKind.UNKNOWN)


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
    "relations": "which threads have to do with what another one waits for",
    "tasks": "tasks of asyncio and trio, what each waits for and holds, and their event loops",
    "switches": "every wait of every thread, its exact length included, by the kernel's own records",
    "wakers": "who woke each thread, and how long it then waited for a CPU",
    "labels": "which request, job or query a thread or task works on",
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
    inner_pid: int = 0  #: how its own PID namespace numbers it; 0 where that is `pid`
    container: str = ""  #: the container it runs in, as its cgroup names it: 'docker 0123456789ab'
    pod: str = ""  #: Kubernetes' uid of the pod
    host: str = ""  #: the name of the machine that it was watched from
    core: str = ""  #: the core file that it was read from: one moment. Then `started` is 0, which means not known
    core_lacks: str = ""  #: what of its threads that file lacks, in words: 'the stacks of 3 of 26 threads'

    @property
    def place(self) -> str:
        """Where it runs: 'docker 0123456789ab, pid 7 there'; '' outside of any container or namespace."""
        inside = self.container or (f"pod {self.pod}" if self.pod else "")
        if self.inner_pid:
            return f"{inside or 'a PID namespace'}, pid {self.inner_pid} there"
        return inside
