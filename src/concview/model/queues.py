"""Queues and pools, as they are read from memory."""

from __future__ import annotations

import msgspec

from concview.model.events import Event

#: Kind of a queue that is a library's pool: it holds what is free to be taken, and is full when nobody needs any.
CONNECTION_POOL = "ConnectionPool"


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
    #: Of a pool of connections, as far as it counts that: attempts to make one where all have failed; 0 it has made
    #: some; -1 not known.
    failed: int = -1


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
