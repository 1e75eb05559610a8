"""What is found beside the threads: copies of the process, its queues and pools."""

from __future__ import annotations

import msgspec

from concview.model.events import Event

#: A copy this old, when it is looked at, stays one: on a busy machine it may take a while from fork to exec.
SETTLED_NS = 2_000_000_000
#: Kind of a queue that is a library's pool: it holds what is free to be taken, and is full when nobody needs any.
CONNECTION_POOL = "ConnectionPool"


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
