"""Tasks of asyncio and trio, and greenlets, as they are read from the target's memory: no agent takes part.

Tasks are rows as threads are: a `TaskTick` is to tasks what a `Tick` is to threads. An agent's account of the same
tasks, where one was asked for, is `inside.Tasks`.
"""

from __future__ import annotations

import re
from enum import IntEnum

import msgspec

from concview.model.events import Event
from concview.model.values import Peer, Struct


class TaskState(IntEnum):
    """What one task is doing at one moment. The states partition wall time."""

    RUNNING = 0  #: its loop runs it now: its stack is that of the loop's thread
    READY = 1  #: what it waited for has come, or it was just made: only the loop is in the way
    LOCK = 2  #: a lock, semaphore, condition, event or barrier
    QUEUE = 3  #: an item of an empty queue, room in a full one, or that all items are done
    POOL = 4  #: a connection, slot or token of a pool or limiter that has a limit
    SLEEP = 5  #: asyncio.sleep and its like: nobody will wake it earlier
    IO = 6  #: a transport, stream or socket
    EXECUTOR = 7  #: a call in another thread
    TASK = 8  #: other tasks: await, gather, wait, shield, a TaskGroup or nursery
    IDLE = 9  #: infrastructure that waits for work: a server that serves for ever, a connection between two requests
    UNKNOWN = 10  #: waits for a future of which nothing more can be told; shown, never spread over the others


TASK_STATES: tuple[str, ...] = tuple(s.name.lower() for s in TaskState)
#: `TaskDef.kind` of an asynchronous generator that stands for itself, and `TaskWait.via` of that.
GENERATOR, AT_YIELD = "generator", "yield"
#: `TaskWait.kind` of one in IO at a socket for messages, which has many other ends or none: pyzmq's.
MESSAGES = "ZeroMQ"
#: `TaskWait.kind` of a call that was given to a process pool.
IN_PROCESSES = "processes"
#: Of `TaskWait.via`: calls that wait for the other side to take something; who closes a stream waits until the rest is
#: taken.
SENDS = re.compile(r"send|drain|write|StreamWriter\.wait_closed")
#: `TaskWait.via` of a loop that is closed and waits for the threads of its executor.
EXECUTOR_ENDS = "shutdown_default_executor"


class TaskWait(Struct, frozen=True):
    """What a task does or waits for. Interned."""

    state: TaskState
    #: 'Lock.acquire', 'Queue.get', 'sleep', 'gather', 'wait', 'TaskGroup', 'Pool.acquire', 'StreamReader.read', ...
    via: str = ""
    #: Of a future made by hand, by who can set it (inferred): 'future' (TASK, EXECUTOR: those tasks, that thread),
    #: 'timer' (SLEEP: a timer of the loop's), 'enter' (LOCK: tasks that are in an `async with` of it), 'ended'
    #: (UNKNOWN: `kind` says which task would have set it, and how it ended). 'yield' (UNKNOWN): a generator stands
    #: there.
    object: int = 0  #: id of the `AsyncObject` waited at; 0 none, or not known
    kind: str = ""  #: of that object: 'Lock', 'Queue', 'Pool', ...; of a future that tells no more: its type
    peer: Peer | None = None  #: io: what the connection leads to
    tid: int = 0  #: running: the loop's thread; executor: the thread that runs the call
    queued: bool = False  #: executor: the call waits for a worker
    #: LOCK: what the line of the program's own that waits calls it ('target.lock'); '' where the source does not tell.
    written: str = ""


class TaskDef(Event, frozen=True, tag=24):
    """A task was first seen, or is known by another name now. After a `Forget` all living tasks are told again.

    The id is ours, small, never used twice, and survives a `Forget`. Tasks that live shorter than a look are never
    seen: `Loops.born` counts them where that is possible.
    """

    id: int
    name: str
    function: int  #: id of a FrameDef: the coroutine function and its first line; 0 not known
    loop: int  #: id of its `LoopState`
    born_ns: int = 0  #: when it was first seen; 0: it was there before the first look
    #: 'task' (asyncio), 'trio', 'greenlet'; 'generator': an asynchronous one that nobody iterates, and that has what
    #: tasks wait for.
    kind: str = "task"
    parent: int = 0  #: id of the `AsyncObject` (a trio nursery) that it is a child of; 0 not known
    interpreter: int = 0  #: id of its (sub)interpreter; 0 the main one
    #: Address of the future of `concurrent.futures` that gets its result (run_coroutine_threadsafe): what a thread in
    #: `Future.result` waits for (`Wait.lock`); 0 none.
    serves: int = 0


class TaskWaitDef(Event, frozen=True, tag=25):
    """Void after a `Forget`, as all ids of stacks, waits and holds are."""

    id: int
    wait: TaskWait


class TaskTick(Event, frozen=True, tag=26):
    """One look at all tasks. Only those that changed are in `changes`; the others are as they were.

    `changes` is flat, six integers a task: task id, stack id (StackDef; the await chain, innermost frame first; 0: not
    known, and of a running task, whose stack is the thread's), wait id (TaskWaitDef; 0 not known), holds id (HoldsDef;
    0 none), `since_ns` when this wait began (0: before the task was first seen), `due_ns` when a sleep will be over, or
    a wait with a time limit is at the latest (0: no sleep and no limit, or not known; `LIMITED_NS`: a limit, not known
    when). The limit of a wait is told when that has lasted for a second. The same row with another `since_ns` is
    another wait at the same place.

    `awaits` is flat: task id, how many tasks it waits for in all, how many follow, their ids (those that are known, at
    most `MOST_AWAITED`). Told when it changed; a count of 0 ends it. A task that leaves TASK waits for none. Of one in
    IO it is the tasks of this process at the other end of its connection, told anew with every row.

    Looks between which nothing changed are told together: `at_ns` of such a tick is that of the last of them.
    """

    at_ns: int
    dt_ns: int  #: since the previous TaskTick: its weight
    changes: tuple[int, ...] = ()
    awaits: tuple[int, ...] = ()
    alive: int = 0  #: tasks known to be alive
    torn: int = 0  #: changed under the read: they keep their old state until the next look
    unseen: int = 0  #: changed, and were not looked at to stay within the budget: they keep their old state


#: Most tasks told as awaited by one; the count is told in full.
MOST_AWAITED = 64
#: `due_ns` of a wait that has a time limit, of which it is not known when it is reached.
LIMITED_NS = 1


class Outcome(IntEnum):
    """How a task ended."""

    NOT_SEEN = 0  #: it was gone before the next look
    RETURNED = 1
    CANCELLED = 2
    FAILED = 3  #: with an exception


class TasksGone(Event, frozen=True, tag=27):
    """Tasks ended. `tasks` is flat: task id, `Outcome`."""

    at_ns: int
    tasks: tuple[int, ...]


class LoopState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event loop over the time since the previous `Loops`. -1: not known, or not counted by this kind of loop.

    Latency is that of the ready queue, which is first in, first out: how long a callback that is due waits until it
    runs. It is told from counters of the queue without a probe; its resolution is the time between two looks.
    """

    id: int  #: address of the loop object
    kind: str  #: 'asyncio', 'uvloop', 'trio', 'gevent', or the class of any other one
    tid: int  #: thread that runs it; 0: none does, or it cannot be told
    running: bool  #: False: made, not run (now)
    tasks: int  #: living tasks of this loop
    ready: int  #: callbacks that are due now
    timers: int = -1
    pushes: int = -1  #: callbacks that became due, total since it was first seen
    pops: int = -1  #: callbacks that ran, likewise
    late_ns: int = -1  #: how late the next timer is now; 0: in time
    late_p95_ns: int = -1  #: the same over all looks of the interval
    p50_ns: int = -1  #: latency
    p95_ns: int = -1
    max_ns: int = -1
    busy: float = -1.0  #: share of the interval's time in callbacks
    looks: int = 0  #: that the interval had
    task: int = 0  #: id of the task that runs now
    executor: int = 0  #: id of the `AsyncObject` that is its default executor
    top_task: int = 0  #: the task that ran in most looks of the interval, and its share of their time
    top_share: float = 0.0
    interpreter: int = 0
    #: Futures of `concurrent.futures` whose coroutines it was given by other threads (run_coroutine_threadsafe) and has
    #: not begun with: what a thread in `Future.result` waits for. Addresses, as `Wait.lock`.
    given: tuple[int, ...] = ()
    asleep: float = -1.0  #: share of the interval's time in which callbacks were due and its thread waited for events
    #: Of a loop without a timer and with nothing due: descriptors that it watches, and signals that have a handler:
    #: all by which something outside could make it go on.
    outside: int = -1


class TaskFailure(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A task that ended with an exception which nobody has asked for yet, while somebody still holds the task."""

    task: int
    exception: str  #: class
    since_ns: int


class TaskCancel(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A living task that was told to end (`cancel`), and has not taken that back (`uncancel`). From Python 3.11 on."""

    task: int
    times: int
    since_ns: int  #: when it was first seen so


class Loops(Event, frozen=True, tag=28):
    """All event loops, a few times a second; `loops` is empty while there are none. Totals since attach."""

    at_ns: int
    dt_ns: int  #: the interval that rates are of
    loops: tuple[LoopState, ...]
    born: int = -1  #: tasks made, unseen ones too, by the numbers in default names; -1: they tell nothing
    seen: int = 0  #: tasks that looks saw
    ended: int = 0  #: of those
    failed: int = 0  #: of those, with an exception
    torn: int = 0  #: walks that were dropped because the task moved
    walks: int = 0  #: walks that were made
    skipped: int = 0  #: looks that found by the loops' counters that nothing had moved
    looks: int = 0
    failures: tuple[TaskFailure, ...] = ()  #: at most 20, oldest first
    unretrieved: int = 0  #: how many there are
    why: str = ""  #: why tasks cannot be seen though a loop is there; empty when they can
    enable: str = ""  #: what would help
    unseen: tuple[str, ...] = ()  #: kinds of tasks that this look leaves out: a sentence each
    cancelled: tuple[TaskCancel, ...] = ()  #: at most 20, those cancelled longest ago


class AsyncObject(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that tasks share. -1: not known.

    `kind`: 'Lock', 'Semaphore', 'Condition', 'Event', 'Barrier', 'Queue' (and its subclasses by name), 'Pool' (of
    connections), 'Limiter' (tokens), 'Executor', 'TaskGroup', 'Nursery'.
    """

    id: int  #: address
    kind: str
    name: str  #: what the source calls it: 'self._lock', 'jobs'; '' when only a library's own frames know it
    library: str  #: 'asyncio', 'anyio', 'asyncpg', ...
    limit: int = -1  #: most that can be in use, or items that fit; 0: no bound
    used: int = -1  #: in use now; of a queue, the items in it; of an executor, calls that run
    waiting: int = -1  #: tasks that wait at it
    holders: tuple[int, ...] = ()  #: task ids
    exact: bool = True  #: holders were read (from frames, or from the object); False: concluded from source
    puts: int = -1  #: of a queue: totals, of use as differences between two reports
    gets: int = -1
    #: Of an executor: calls that no worker has taken; of a queue: items put in and not reported as done yet.
    backlog: int = -1
    threads: tuple[int, ...] = ()  #: of an executor: tids of workers that run a call for a task
    queue: int = 0  #: of an executor: address of its work queue, as in `Depths`
    where: int = 0  #: id of a FrameDef: where tasks wait at it, or a holder took it; 0 not known
    users: tuple[int, ...] = ()  #: of a queue: ids of tasks in whose frames it was found, some of them
    #: Of an Event or a Condition: where tasks wait at it, if that means another one by now: 'self.changed'.
    replaced: str = ""


class AsyncObjects(Event, frozen=True, tag=29):
    """What tasks wait at or hold, and the queues and pools among it that nobody waits at; a few times a second."""

    at_ns: int
    objects: tuple[AsyncObject, ...]
    more: int = 0  #: that did not fit
