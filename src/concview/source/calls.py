"""The one table of functions that block until another thread does something. Where a worker stands that has nothing to
do, and where a pool lends, `analysis.known_places` tells.

Who reads memory has whole names ('Queue.get') and asks for the object a method belongs to; who has a stack alone may
have bare names only ('get': py-spy on old Pythons) and asks what the wait means. Both mean these lines.

Source: the standard library 3.8 to 3.15, psycopg_pool 3.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from concview.model import CONNECTION_POOL
from concview.source.origin import is_module


@dataclass(frozen=True, slots=True)
class Call:
    module: str  #: path of the file within the standard library, or within a library folder
    function: str  #: qualified where the class tells it apart
    via: str  #: what waiting in it is called; '' where that is a plain lock
    kind: str = ""  #: of the object in its first argument, which stands for what is waited for; '' none does


#: What a function is called that comes back when a lock is had. Not 'lock' or 'wait': these say too little.
ACQUIRES = frozenset({"acquire", "_acquire", "acquire_lock", "_acquire_lock", "acquire_write", "acquire_read"})
#: Where a Process waits for its end: for the child itself, or for a pipe that ends with it (forkserver; a time limit).
CHILDREN = (
    "multiprocessing/popen_fork.py", "multiprocessing/popen_forkserver.py", "multiprocessing/popen_spawn_posix.py",
    "billiard/popen_fork.py", "billiard/popen_forkserver.py", "billiard/popen_spawn_posix.py",
)  # fmt: skip
#: Until all that was put into a queue between processes is reported as done.
PROCESSES_JOIN = "JoinableQueue.join"
THREADING, QUEUE, FUTURES = "threading.py", "queue.py", "concurrent/futures/_base.py"
THREAD_POOL = "concurrent/futures/thread.py"
IMPORT = "importlib/_bootstrap.py"
_PSYCOPG = "psycopg_pool/pool.py"

CALLS: tuple[Call, ...] = (
    Call(THREADING, "Condition.wait", "Condition.wait", "Condition"),
    Call(THREADING, "Condition.wait_for", "Condition.wait", "Condition"),
    Call(THREADING, "Event.wait", "Event.wait", "Event"),
    Call(THREADING, "Semaphore.acquire", "Semaphore.acquire", "Semaphore"),
    Call(THREADING, "Semaphore.__enter__", "Semaphore.acquire"),  # under its bare name; Lock's and RLock's are in C
    Call(THREADING, "Barrier._wait", "Barrier.wait", "Barrier"),
    Call(THREADING, "Barrier._enter", "Barrier.wait", "Barrier"),
    Call(THREADING, "Barrier.wait", "Barrier.wait", "Barrier"),
    Call(THREADING, "Thread._wait_for_tstate_lock", "Thread.join", "Thread"),
    Call(THREADING, "Thread.join", "Thread.join", "Thread"),
    Call(THREADING, "_shutdown", "Thread.join"),
    Call(QUEUE, "Queue.get", "Queue.get", "Queue"),
    Call(QUEUE, "_PySimpleQueue.get", "SimpleQueue.get"),
    Call(QUEUE, "Queue.put", "Queue.put", "Queue"),
    Call(QUEUE, "Queue.join", "Queue.join", "Queue"),
    Call(FUTURES, "Future.result", "Future.result", "Future"),
    Call(FUTURES, "Future.exception", "Future.result", "Future"),
    Call(FUTURES, "wait", "futures.wait"),
    Call(FUTURES, "as_completed", "futures.wait"),
    # The lock of a module that is being imported knows its owner. Up to 3.10 frozen code tells bare names only.
    Call(IMPORT, "_ModuleLock.acquire", "import", "ModuleLock"),
    Call(IMPORT, "acquire", "import", "ModuleLock"),
    Call("multiprocessing/synchronize.py", "SemLock.__enter__", "", "multiprocessing"),
    # Room in a bounded queue between processes: its semaphore is waited for in C.
    Call("multiprocessing/queues.py", "Queue.put", "Queue.put"),
    Call("multiprocessing/queues.py", "JoinableQueue.put", "Queue.put"),
    Call("multiprocessing/queues.py", "JoinableQueue.join", PROCESSES_JOIN),
    # psycopg_pool 3: who waits has a condition of its own, and is given a connection of the pool.
    Call(_PSYCOPG, "WaitingClient.wait", "Condition.wait", "Condition"),
    Call(_PSYCOPG, "ConnectionPool._getconn_unchecked", "Queue.get", CONNECTION_POOL),
    Call(_PSYCOPG, "ConnectionPool.getconn", "Queue.get", CONNECTION_POOL),
)

#: Qualified name of a method that stands for its object -> (via, kind of the object).
ROLES: dict[str, tuple[str, str]] = {c.function: (c.via, c.kind) for c in CALLS if c.kind}
_MODULES = {c.function: c.module for c in CALLS if c.kind}
_BY_NAME: dict[str, list[Call]] = defaultdict(list)
for _call in CALLS:
    _BY_NAME[_call.function.rpartition(".")[2]].append(_call)


def role_of(file: str, qualname: str) -> str:
    """'Condition.wait' and the like for the methods in `ROLES`; '' for all others."""
    module = _MODULES.get(qualname)
    # The qualified name makes sure of a library in a folder of any name.
    told = "library" if module == _PSYCOPG else ""
    return qualname if module is not None and is_module(file, module, told) else ""


def calls_of(file: str, function: str, told: str) -> list[Call]:
    """The lines of the table that a frame stands for: several only where its name is bare. `told`: its origin."""
    found = _BY_NAME.get(function.rpartition(".")[2])
    if found is None:
        return []
    bare = "." not in function
    return [
        c
        for c in found
        if (bare or "." not in c.function or c.function == function) and is_module(file, c.module, told)
    ]
