"""Pools of workers that run jobs, and calls that wait for the result of such a job: whether a thread is free for one,
is in one, or waits in one for the result of another.

A worker that waits for a job which only its own pool would run is in the way of it. Of libraries whose jobs come from a
broker, other processes may run them, too, and this process alone does not tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from concview.analysis.known_places import MACHINERY, PRIMITIVES, Places, among, is_any, places
from concview.model import Stack

_Rows = dict[str, tuple[Places, ...]]


class Role(Enum):
    FREE = "free"  #: a worker without a job
    BUSY = "busy"  #: a worker in a job
    AWAITS = "awaits"  #: a worker in a job that waits for the result of another job of the library
    ASKS = "asks"  #: no worker, waits for the result of a job


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    name: str
    here: bool  #: whether a job given to a pool of this process can run nowhere else
    workers: _Rows  #: functions below which a worker does what it does ...
    jobs: _Rows  #: ... of these, those that call the job; a worker in none of them has none
    results: _Rows  #: calls that wait for the result of a job


#: Source: the standard library 3.8 to 3.15, celery 5, huey 2 and 3, dramatiq 1 and 2, distributed 2024 to 2026, as of
#: 2026. Where `jobs` is empty the worker's own function calls the job: it has none while it waits in that itself.
LIBRARIES = (
    Library(
        "celery",
        False,
        places(("concurrent/futures/thread.py", "_worker"), ("billiard/pool.py", "workloop")),
        places(("celery/app/trace.py", "trace_task __protected_call__")),
        places(("celery/result.py", "get join join_native collect")),
    ),
    Library(
        "huey",
        False,
        places(("huey/consumer.py", "sleep"), ("huey/api.py", "dequeue")),
        places(("huey/api.py", "_execute")),
        places(("huey/api.py", "get get_raw_result"), ("huey/storage.py", "wait_result")),
    ),
    Library(
        "dramatiq",
        False,
        places(("dramatiq/worker.py", "run process_message")),
        places(("dramatiq/worker.py", "process_message")),
        places(
            ("dramatiq/message.py", "get_result"),
            ("dramatiq/composition.py", "get_result get_results wait"),
            ("dramatiq/results/backend.py", "get_result"),
        ),
    ),
    Library(
        "distributed",
        False,
        places(("distributed/threadpoolexecutor.py", "_worker")),
        {},
        places(("distributed/client.py", "result gather")),
    ),
    Library(
        "ThreadPool",
        True,
        places(("multiprocessing/pool.py", "worker")),
        {},
        places(("multiprocessing/pool.py", "wait get next")),
    ),
)
#: Threads of these libraries that are no workers stand in functions of the same names: those of their brokers.
_OTHERS: dict[str, _Rows] = {
    "dramatiq": places(
        ("dramatiq/brokers/stub.py", ""),
        ("dramatiq/brokers/redis.py", ""),
        ("dramatiq/brokers/rabbitmq.py", ""),
    ),
}
#: The thread of a multiprocessing pool that takes results from its workers.
_HANDS = places(("multiprocessing/pool.py", "_handle_results"), ("billiard/pool.py", "body on_loop_start"))


@lru_cache(8192)
def job_of(stack: Stack, library: Library) -> Role | None:
    """What a thread with this stack is to that library's pools; None: nothing."""
    frames = stack.frames
    result = next((i for i, f in enumerate(frames) if among(f, library.results)), -1)
    worker = next((i for i, f in enumerate(frames) if among(f, library.workers)), -1)
    if library.jobs:
        job = next((i for i, f in enumerate(frames) if among(f, library.jobs)), -1)
    else:
        waits = next((i for i, f in enumerate(frames) if not is_any(f, MACHINERY) and not among(f, PRIMITIVES)), -1)
        job = -1 if waits == worker else worker
    if job >= 0:
        return Role.AWAITS if 0 <= result < job else Role.BUSY
    if worker >= 0:
        others = _OTHERS.get(library.name, {})
        return None if any(is_any(f, others) for f in frames) else Role.FREE
    return Role.ASKS if result >= 0 else None


def awaiting(stack: Stack) -> Library | None:
    """The library for another of whose jobs a worker waits in a job."""
    return next((one for one in LIBRARIES if job_of(stack, one) is Role.AWAITS), None)


def awaits_since(library: Library, began_ns: int, earlier: Iterable[tuple[Stack, int]]) -> int:
    """Since when a worker, which does so now since `began_ns`, waits for a result without a break; what it does to look
    again is a part of that. `earlier`: (stack, begin) of what it did before, the latest first."""
    since = began_ns
    for stack, start_ns in earlier:
        if job_of(stack, library) is not Role.AWAITS:
            break
        since = min(since, start_ns)
    return since


@lru_cache(8192)
def hands_over(stack: Stack) -> bool:
    """Whether it is the thread that a multiprocessing pool has for itself, which takes results from its workers."""
    return any(among(f, _HANDS) for f in stack.frames)
