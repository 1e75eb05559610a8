"""Who has to do with what a thread waits for: objects, descriptors, file locks, children, C libraries.

Each event tells all that is known of its kind at its moment (up to bounds that it says), and is written when that has
changed. What a thread must have waited for some 0.3 s for is looked at; a shorter wait has no row, which says nothing.
"""

from __future__ import annotations

import msgspec

from concview.model.events import Event


class Reference(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A live frame of a thread that refers to an object: read from memory, and again a little later, the same.

    `by`: 'local' (a variable or argument), 'cell' (one shared with a closure), 'global' (a name of the module that the
    function's code refers to), 'with' (the manager of a `with` whose body the frame is in). Where `path` has dots, the
    object is an attribute (of an attribute) of that: 'self._sem', 'pool._cond'. `depth`: 0 is the innermost frame.

    What source tells (`source` True; else the rest is empty): `past` is the call by which this frame has taken it
    ('acquire', 'get', 'wait', ...) with no way back behind it, and `will` the one it has yet to come to ('release',
    'set', 'notify', 'put', 'task_done', 'set_result', 'wait', 'close', ...); where that is called by a method of an
    object on the path, `through` names the method.
    """

    tid: int
    depth: int
    by: str
    path: str
    function: str  #: of the frame, qualified
    file: str
    line: int
    columns: tuple[int, int] = (0, 0)  #: of the current instruction in that line, from 3.11 on; (0, 0) not known
    source: bool = False
    past: str = ""
    past_line: int = 0
    will: str = ""
    will_line: int = 0
    through: str = ""
    part: str = ""  #: 'head' or 'body' of a `with` that names it; ''
    #: `will` comes again and again: the line is in a loop with it. Or a wait in a `while True` that looks at nothing.
    loops: bool = False


class Related(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One object that threads wait for. Numbers are -1 where they do not apply or could not be read.

    `value`, `most` by `kind`: Semaphore: permits free, and how many there are (BoundedSemaphore, else -1). Event: flag
    (0, 1). Condition: waiters registered. Barrier: threads there, parties. Queue, SimpleQueue: items, maxsize (0 no
    bound). Future: 0 pending, 1 running, 2 finished or cancelled. Lock, RLock, ModuleLock: 0 free, 1 locked.
    """

    address: int
    kind: str  #: 'Semaphore', 'Event', 'Condition', 'Barrier', 'Queue', 'SimpleQueue', 'Future', 'Lock', 'RLock',
    #: 'ModuleLock', 'Thread', 'ConnectionPool', 'multiprocessing.Lock', ...
    type: str  #: the class: 'BoundedSemaphore', or one of the program's own that is of that kind
    name: str  #: as a waiting frame calls it: 'sem', 'self._cond'; of a ModuleLock the module
    waiters: tuple[int, ...]  #: tids
    value: int = -1
    most: int = -1
    unfinished: int = -1  #: of a Queue: items put and not task_done()
    owner: int = 0  #: tid, where the object itself records who has it (RLock, ModuleLock, SemLock)
    container: int = 0  #: the object of the program's own class that it belongs to: a pool with its Condition
    container_type: str = ""
    queue: int = 0  #: kept for the executor's queue that a pending Future lies in: not told yet
    references: tuple[Reference, ...] = ()
    #: Every frame of every thread was searched in whole, two attributes deep: who is not among `references` has no
    #: variable that leads to it so. (Lists, dicts, and values between two calls of an expression are not searched.)
    complete: bool = False
    lent: int = -1  #: of a BoundedSemaphore: permits that are out, by its own count
    more: int = 0  #: references that were left out


class Relations(Event, frozen=True, tag=30):
    """Objects waited for. `threads` of `of` had their frames searched in this look, `torn` reads were dropped."""

    at_ns: int
    objects: tuple[Related, ...]
    threads: int = 0
    of: int = 0
    torn: int = 0  #: in all
    more: int = 0  #: objects that were left out
    why: str = ""  #: why nothing can be told; '' when it can


class User(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A thread that has to do with a descriptor. `how`: 'call' (it is in a system call on it), 'local', 'self', 'cell',
    'global' (a socket or file object in a frame has that number), `path` as in Reference."""

    tid: int
    how: str
    path: str = ""
    function: str = ""
    file: str = ""
    line: int = 0


class Owner(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Another process that has the other end (or the lock): all that have, a fork's copies included."""

    pid: int
    name: str
    waits: str = ""  #: the system call that one of its threads is in on that very thing; '' none is, or it is not known
    stopped: str = ""  #: what stopped it: 'SIGSTOP', 'the debugger gdb (pid 12)', 'a frozen cgroup'; '' nothing


class Link(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A descriptor that threads wait on, with its other end. `kind`: 'unix', 'tcp', 'pipe'. `peer_inode` 0: the other
    end is not on this host (or not in this network namespace)."""

    fd: int
    kind: str
    waiters: tuple[int, ...]
    inode: int
    reads: bool  #: they wait to read; else to write
    peer_fds: tuple[int, ...] = ()  #: descriptors of this process that are the other end
    peer_inode: int = 0
    users: tuple[User, ...] = ()  #: threads that use the other end; the waiters themselves may be among them
    owners: tuple[Owner, ...] = ()  #: other processes that have the other end
    complete: bool = False  #: every process that could have the other end could be looked at
    #: Bytes: not yet read here; sent and not yet taken by the other end's kernel (TCP: not acknowledged); the same two
    #: of the other end. -1 not known. Both read while `peer_sent` is above 0: a reply is held back (Nagle's algorithm).
    received: int = -1
    sent: int = -1
    peer_received: int = -1
    peer_sent: int = -1
    local: str = ""
    remote: str = ""
    role: str = ""  #: 'server' (the local port is one that the process listens on), 'client', ''
    closed: str = ""  #: 'own' where this process has the other end of a pipe open itself, with nobody at it
    #: Of what was sent, bytes that the kernel has not put on the way: where the other side reads, it holds back a
    #: second small write until the first one is acknowledged (Nagle's algorithm). -1 not known.
    unsent: int = -1
    peer_unsent: int = -1
    backlog: int = -1  #: of a server: connections to its port that nobody has accepted yet; -1 not known
    #: Of a client, nobody has accepted its connection yet: how many wait so. The other end is then the listening socket
    #: with all that is told of it. 0: accepted, or not known.
    pending: int = 0
    #: TCP: when something was last sent, and came, on the stream's clock, to within a tenth of a second; 0 not told.
    sent_ns: int = 0
    came_ns: int = 0
    epolls: tuple[int, ...] = ()  #: epolls of this process that watch the other end, where no thread is seen to use it

    @property
    def moved_ns(self) -> int:
        """When something was last sent or came; 0 not told."""
        return max(self.sent_ns, self.came_ns)


class TaskLink(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A connection of TCP that a task waits at: when something was last sent, and came, as in `Link`."""

    task: int
    sent_ns: int = 0
    came_ns: int = 0

    @property
    def moved_ns(self) -> int:
        """As of a `Link`."""
        return max(self.sent_ns, self.came_ns)


class Links(Event, frozen=True, tag=31):
    at_ns: int
    links: tuple[Link, ...]
    more: int = 0
    why: str = ""  #: what could not be asked (another network namespace, no permission)
    tasks: tuple[TaskLink, ...] = ()  #: of connections that the program has made, some of them


class FileLock(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A lock on a file that threads wait for, by the kernel's own table. `kind`: 'flock', 'posix', 'ofd'; 'SQLite', the
    lock of a database for writing: `users` are threads with a connection that is in a transaction that writes."""

    path: str
    kind: str
    mode: str  #: 'READ' or 'WRITE', of the one that has it
    waiters: tuple[int, ...]  #: tids of this process
    holder: int  #: pid; 0 not known (a process of another namespace)
    holder_name: str
    #: Threads of this process whose frames or calls have to do with the file, where it is the holder: see `User`.
    users: tuple[User, ...] = ()
    others: tuple[int, ...] = ()  #: pids of other processes in the queue
    start: int = 0
    end: int = -1  #: last byte; -1: to the end
    inode: int = 0
    stopped: str = ""  #: what stopped the holder, where that is another process: see `Owner`
    polled: bool = False  #: the waiters try for it again and again, and sleep in between


class FileLocks(Event, frozen=True, tag=32):
    at_ns: int
    locks: tuple[FileLock, ...]
    why: str = ""


class Child(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A child process that threads wait for: for its end, or to read what it writes into a pipe."""

    pid: int
    name: str
    state: str  #: letter of the kernel: R, S, D, T, Z; '' it has gone
    waiters: tuple[int, ...]
    #: What its first thread is in, where that can be read; or another one that waits at what only this process has the
    #: other end of.
    syscall: str = ""
    fd: int = -1
    peer: str = ""
    back: bool = False  #: it waits at a pipe or socket whose other end only this process has
    cpu_s: float = -1.0
    stopped: str = ""  #: what stopped it: see `Owner`


class Children(Event, frozen=True, tag=33):
    at_ns: int
    children: tuple[Child, ...]


class NativeWait(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A thread in futex(2) that no lock of Python's accounts for: it waits inside C code."""

    tid: int
    #: Of the futex; of a lock of Python's C interface its own, where each thread that waits has a futex of its own.
    address: int
    library: str  #: base name of the module that a return address on its stack lies in; '' not known
    path: str = ""
    shared: int = 0  #: inode of the shared mapping that the futex lies in: other processes can wake it
    #: The process whose thread has it, where that is another one.
    others: tuple[Owner, ...] = ()
    #: 'mutex', 'rwlock' (pthread's), 'stdio lock', 'lock', whose owner was read; '' it is none that records one
    kind: str = ""
    owner: int = 0  #: the thread that has it, of this process or the other one; 0 nobody at that moment
    lost: bool = False  #: no thread has the owner's number any more

    @property
    def what(self) -> str:
        """'a mutex inside libpq.so.5', of one whose owner was read."""
        return f"a {self.kind} inside {self.library or 'C code'}"


class NativeWaits(Event, frozen=True, tag=34):
    at_ns: int
    waits: tuple[NativeWait, ...]


class Semaphore(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A lock or semaphore of multiprocessing that threads of some process wait for. `key` is the same in every process
    that shares it."""

    key: str  #: device, inode and offset of the mapping that it lies in
    kind: str  #: 'Lock', 'RLock', 'Semaphore'; '' where this process's object was not found
    value: int  #: how many may still take it
    most: int  #: what it began with, of a Lock 1; -1 not known
    waiting: int  #: threads that wait, in all processes
    waiters: tuple[int, ...] = ()  #: tids of this process
    #: How often this process has taken it and not given it back; below 0 it gave back what others took. Of a fork it is
    #: the parent's at that moment, too, where the program forked without multiprocessing.
    count: int = 0
    tid: int = 0  #: of this process's thread that took it last; 0 not known
    known: bool = False  #: this process's object was found, so that `count` holds
    searched: bool = False  #: all of this process's memory was searched for it
    at: int = 0  #: where this process has it mapped
    counts: tuple[int, ...] = ()  #: where the numbers lie that `count` is the sum of
    sharers: int = -1  #: other processes that have it mapped; -1 not looked for, or not every process could be asked


class Semaphores(Event, frozen=True, tag=21):
    """Those that somebody waits for."""

    at_ns: int
    semaphores: tuple[Semaphore, ...]
    more: int = 0
