"""Places in other people's code where a thread stands while it has nothing to do, and where it waits for a thing that a
pool lends. Tables, and how a frame is matched with them.

A file is matched by the module it is (`source.origin.is_module`), and only where the frame's origin says that it is not
the program's own: a program may call its files queue.py and pool.py as it likes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from concview.model import Frame, Stack
from concview.source.calls import CHILDREN
from concview.source.origin import is_module


class Places(NamedTuple):
    """Functions of one file. `file`: the end of its path; `functions`: bare names."""

    file: str
    functions: frozenset[str]


def places(*rows: tuple[str, str]) -> dict[str, tuple[Places, ...]]:
    """By the file's last name, which most frames fail to match."""
    found: dict[str, list[Places]] = {}
    for file, functions in rows:
        found.setdefault(file.rpartition("/")[2], []).append(Places(file, frozenset(functions.split())))
    return {name: tuple(places) for name, places in found.items()}


#: Main loops of workers and servers: who blocks here itself, or in one of `PRIMITIVES` called from here, has no work.
#: Source: the standard library 3.8-3.15, and the packages' own code as of 2026.
LOOPS = places(
    ("concurrent/futures/thread.py", "_worker"),
    ("concurrent/futures/process.py", "wait_result_broken_or_wakeup _process_worker"),
    ("multiprocessing/pool.py", "worker _handle_workers _handle_tasks _handle_results _wait_for_updates"),
    ("multiprocessing/queues.py", "_feed"),
    ("multiprocessing/managers.py", "serve_client serve_forever accepter"),
    ("multiprocessing/forkserver.py", "main"),
    ("multiprocessing/resource_tracker.py", "main"),
    ("multiprocessing/resource_sharer.py", "_serve"),
    ("asyncio/base_events.py", "_run_once"),
    ("asyncio/proactor_events.py", "_loop_self_reading"),
    ("socketserver.py", "serve_forever"),
    ("logging/handlers.py", "dequeue _monitor"),
    ("sched.py", "run"),
    ("xmlrpc/server.py", "handle_request"),
    ("anyio/_backends/_asyncio.py", "run"),
    ("apscheduler/schedulers/blocking.py", "_main_loop"),
    ("billiard/pool.py", "workloop body on_loop_start _process_result"),
    ("billiard/queues.py", "_feed"),
    ("celery/worker/loops.py", "asynloop synloop"),
    ("celery/beat.py", "start"),
    ("celery/utils/timer2.py", "run"),
    ("cheroot/workers/threadpool.py", "run"),
    ("distributed/threadpoolexecutor.py", "_worker"),
    ("dramatiq/worker.py", "run"),
    ("eventlet/tpool.py", "tworker"),
    ("gevent/threadpool.py", "run __run_task _wait"),
    ("gevent/_threading.py", "get"),
    ("granian/server/common.py", "startup _main_loop"),
    ("grpc/_channel.py", "channel_spin"),
    ("grpc/_server.py", "_serve"),
    ("gunicorn/arbiter.py", "sleep"),
    ("gunicorn/workers/sync.py", "wait"),
    ("gunicorn/workers/gthread.py", "run wait_for_and_dispatch_events"),
    ("huey/consumer.py", "loop run"),
    ("ipykernel/heartbeat.py", "run"),
    ("kafka/producer/sender.py", "run"),
    ("pebble/pool/thread.py", "worker_thread get_next_task pool_manager_loop"),
    ("rq/worker.py", "dequeue_job_and_maintain_ttl"),
    ("sentry_sdk/worker.py", "_target"),
    ("trio/_core/_run.py", "unrolled_run"),
    ("trio/_core/_thread_cache.py", "_work"),
    ("twisted/_threads/_threadworker.py", "work"),
    ("uvicorn/supervisors/multiprocess.py", "run should_exit"),
    ("uvicorn/supervisors/basereload.py", "pause"),
    ("waitress/task.py", "handler_thread"),
    ("waitress/wasyncore.py", "poll poll2"),
)
#: Main functions of those threads of a server that serve one connection after the other. Source: the packages' own code
#: as of 2026.
SERVERS = places(
    ("cheroot/workers/threadpool.py", "run"),
    ("waitress/task.py", "handler_thread"),
    ("gunicorn/workers/gthread.py", "handle"),
)
#: Calls that wait for what others may send some time: who blocks in one, with none but libraries' code inside of it,
#: has no work. A call that answers a question is none. Source: redis 3 to 8, psycopg 3, rq 1 to 3, kafka-python 2 and
#: 3, pika 1, kombu 5, paho-mqtt 1 and 2, as of 2026.
LISTENS = places(
    ("redis/client.py", "listen get_message"),
    ("redis/commands/core.py", "blpop brpop brpoplpush blmove blmpop bzpopmin bzpopmax bzmpop xread xreadgroup"),
    ("psycopg/connection.py", "notifies"),
    ("rq/worker.py", "dequeue_job_and_maintain_ttl"),
    ("rq/worker/base.py", "dequeue_job_and_maintain_ttl"),
    ("kafka/consumer/group.py", "poll __next__"),
    ("pika/adapters/blocking_connection.py", "process_data_events consume"),
    ("kombu/connection.py", "drain_events"),
    ("paho/mqtt/client.py", "_loop loop_forever"),
)
#: Functions that take a lock which is kept in a server, by asking again and again or by waiting for a message. Source:
#: redis 3 to 8, python-redis-lock 3 and 4, as of 2026.
SERVER_LOCKS = places(
    ("redis/lock.py", "acquire"), ("redis/asyncio/lock.py", "acquire"), ("redis_lock/__init__.py", "acquire")
)
#: What ends an executor: nothing but signs to end lies in its queue then.
SHUTS_EXECUTORS = places(("concurrent/futures/thread.py", "shutdown _python_exit"))
#: Functions of proxies that take a lock which the process of a multiprocessing.Manager keeps.
MANAGED_LOCKS = places(("multiprocessing/managers.py", "acquire __enter__"))
#: Functions in which a library pauses before it tries again what failed, without a loop that shows it. Source: tenacity
#: 8 and 9, urllib3 1 and 2, botocore 1, as of 2026.
RETRIES = places(
    ("tenacity/nap.py", "sleep sleep_using_event"), ("urllib3/util/retry.py", "sleep"),
    ("botocore/endpoint.py", "_needs_retry"),
)  # fmt: skip
#: Functions that try what they were given, and themselves pause in between. Source: tenacity 8 and 9, as of 2026.
RETRY_LOOPS = places(
    ("tenacity/asyncio/__init__.py", "__call__ __anext__"), ("tenacity/_asyncio.py", "__call__ __anext__"),
)  # fmt: skip
#: Calls that wait for the result of a job that some worker does (`analysis/jobs.py` has those that do it). Source:
#: celery 5.
JOB_RESULTS = places(("celery/result.py", "get join join_native collect"))
#: Ways to wait of the standard library and of those who copied it: they say nothing about what is waited for.
PRIMITIVES = places(
    ("threading.py", "wait wait_for"),
    ("queue.py", "get"),
    ("selectors.py", "select"),
    ("socket.py", "accept"),
    ("asyncio/selector_events.py", "_read_from_self"),
    ("multiprocessing/connection.py", "accept recv recv_bytes recv_bytes_into _recv _recv_bytes poll _poll wait"),
    ("multiprocessing/queues.py", "get"),
    ("multiprocessing/synchronize.py", "__enter__ acquire wait"),
    ("gevent/_threading.py", "acquire_with_timeout wait get"),
    ("billiard/connection.py", "accept recv recv_bytes recv_bytes_into _recv _recv_bytes poll _poll wait"),
    ("billiard/queues.py", "get get_payload _recv"),
    ("billiard/pool.py", "_recv _make_recv_method wait_for_job receive recv get_payload wait_for_syn"),
    ("billiard/synchronize.py", "__enter__ acquire wait"),
)
#: Files of the standard library that only pass a wait on: the place of a wait is the line that called them.
MACHINERY = places(
    ("threading.py", ""),
    ("queue.py", ""),
    ("concurrent/interpreters/_queues.py", ""),
    ("support/interpreters/queues.py", ""),
    ("concurrent/futures/_base.py", ""),
    ("selectors.py", ""),
    ("socket.py", ""),
    ("ssl.py", ""),
)
#: Workers of a thread pool: their own function, and the one in which they run a task.
WORKERS = places(
    ("concurrent/futures/thread.py", "_worker worker"),
    ("multiprocessing/pool.py", "worker"),
    ("pebble/pool/thread.py", "worker_thread"),
)
WORK_ITEMS = places(("concurrent/futures/thread.py", "run"), ("pebble/pool/thread.py", "execute_next_task"))
PROCESS_POOLS = places(("concurrent/futures/process.py", ""))
#: What stands below these on a stack is somebody's task.
TASKS = places(
    ("concurrent/futures/thread.py", "_worker"),
    ("multiprocessing/pool.py", "worker"),
    ("asyncio/base_events.py", "_run_once"),
    ("socketserver.py", "process_request process_request_thread"),
)
#: Frames below which an event loop runs tasks or greenlets.
EVENT_LOOPS = places(
    ("asyncio/base_events.py", "_run_once run_forever"),
    ("trio/_core/_run.py", "unrolled_run"),
    ("gevent/hub.py", "run"),
    ("gevent/_abstract_linkable.py", "run"),
    ("tornado/platform/asyncio.py", "start"),
)
POOL_RESULTS = places(("multiprocessing/pool.py", "wait next get"), ("billiard/pool.py", "wait next get"))
MANAGERS = "multiprocessing/managers.py"
TASK_TIMEOUTS = places(("asyncio/tasks.py", "wait_for"))
#: Connection pools: (file, functions in which a caller waits for a connection) -> whose pool it is.
#: Source: SQLAlchemy 1.4 and 2.0, psycopg_pool 3, urllib3 1 and 2, redis 4 and 5, PyMongo 4, httpcore 1, DBUtils 3,
#: kombu 5, peewee 4.
POOLS: dict[str, tuple[tuple[Places, str], ...]] = {
    name: tuple((Places(file, frozenset(functions.split())), library) for file, functions, library in rows)
    for name, rows in {
        "impl.py": [("sqlalchemy/pool/impl.py", "_do_get", "SQLAlchemy")],
        "connectionpool.py": [("urllib3/connectionpool.py", "_get_conn", "urllib3")],
        "connection.py": [("redis/connection.py", "get_connection", "redis")],
        "connection_pool.py": [("httpcore/_sync/connection_pool.py", "wait_for_connection", "HTTPX")],
        "pooled_db.py": [("dbutils/pooled_db.py", "connection _wait_lock", "DBUtils")],
        "resource.py": [("kombu/resource.py", "acquire", "kombu")],
        "pool.py": [
            ("playhouse/pool.py", "connect", "peewee"),
            ("psycopg_pool/pool.py", "getconn _getconn_unchecked", "psycopg"),
            ("pymongo/pool.py", "_get_conn _get_socket", "PyMongo"),
            ("pymongo/synchronous/pool.py", "_get_conn", "PyMongo"),
        ],
    }.items()
}
#: Sessions: they take a connection with the first statement, and keep it from call to call until they are told to give
#: it back. Source: SQLAlchemy 1.4 to 2.1.
SESSIONS = places(("sqlalchemy/orm/session.py", ""))
#: Folder of pathos' copy of multiprocessing, which is that in all that is known of it here.
_COPY = "/multiprocess/"
#: What programs call that by which they tell threads and tasks to end: for those who wait for it, that is all there is
#: to do. Not 'finished' or 'closed': who waits for those wants something to be done.
TOLD_TO_END = re.compile(r"(?:^|_)(?:stop|shut|exit|quit|terminat|abort|kill)", re.IGNORECASE)
#: Functions of executors' workers, of whatever library, that call the task.
_TAKE_TASKS = frozenset({"_worker", "worker", "run_sync", "tworker", "work"})
#: Frames from the leaf on that may belong to a way of waiting, or lie between it and a pool's caller.
_DEPTH = 12


def bare(function: str) -> str:
    """'Queue.get' -> 'get'; '<lambda>' stays."""
    return function.rpartition(".")[2]


@lru_cache(maxsize=4096)
def listens(stack: Stack) -> bool:
    """Whether the thread waits in a library for messages that may come some time."""
    for frame in stack.frames[: 2 * _DEPTH]:
        if frame.origin == "user":
            return False
        if among(frame, LISTENS):
            return server_lock(stack) is None
    return False


@lru_cache(maxsize=4096)
def server_lock(stack: Stack) -> Frame | None:
    """The function that takes a lock which is kept in a server, where the thread waits inside of it."""
    for frame in stack.frames[: 2 * _DEPTH]:
        if frame.origin == "user":
            return None
        if among(frame, SERVER_LOCKS):
            return frame
    return None


@lru_cache(maxsize=4096)
def serves(stack: Stack) -> bool:
    """Whether it is a thread of a server's that serves connections, at work or not."""
    return any(among(f, SERVERS) for f in stack.frames)


def of_a_library(stack: Stack) -> bool:
    """Whether all of it is code of libraries: what a library has its own threads and tasks wait for is its own matter,
    and the program does nothing in them now."""
    return any(f.origin == "library" for f in stack.frames) and not any(f.origin == "user" for f in stack.frames)


def is_file(frame: Frame, end: str) -> bool:
    """Whether it is that file of a library or of the standard library: not one that happens to be called so."""
    if frame.origin == "user":
        return False
    if _COPY in frame.file and end.startswith("multiprocessing/"):
        return is_module(frame.file, f"multiprocess/{end.partition('/')[2]}", frame.origin)
    return is_module(frame.file, end, frame.origin)


def among(frame: Frame, places: dict[str, tuple[Places, ...]]) -> bool:
    """Whether it is in one of these functions."""
    if frame.origin == "user":
        return False
    rows = places.get(frame.file.rpartition("/")[2])
    return rows is not None and any(bare(frame.function) in one.functions and is_file(frame, one.file) for one in rows)


def is_any(frame: Frame, places: dict[str, tuple[Places, ...]]) -> bool:
    """Whether it is in one of these files, in whatever function."""
    if frame.origin == "user":
        return False
    rows = places.get(frame.file.rpartition("/")[2])
    return rows is not None and any(is_file(frame, one.file) for one in rows)


#: Calls of clients that wait, in C, for one event among those of all connections.
CALLS = places(("grpc/_channel.py", "_blocking"))


@lru_cache(maxsize=4096)
def in_loop(stack: Stack) -> bool:
    """Whether the thread blocks in a known main loop itself, not in something that the loop called to do the work."""
    for frame in stack.frames[:_DEPTH]:
        if among(frame, LOOPS):
            return True
        if not among(frame, PRIMITIVES):
            return False
    return False


def is_call(stack: Stack) -> bool:
    """Whether the thread itself waits in a library for the answer to a call that it made, over connections that other
    threads share: it has no socket of its own to wait at."""
    return bool(stack.frames) and among(stack.frames[0], CALLS)


def joins_child(stack: Stack) -> bool:
    """Whether it waits in multiprocessing for the end of one process."""
    return any(
        bare(f.function) in ("wait", "poll") and any(is_file(f, end) for end in CHILDREN) for f in stack.frames[:_DEPTH]
    )


def is_pool_result(stack: Stack) -> bool:
    """Whether it waits for what a process of a multiprocessing.Pool makes."""
    return any(among(f, POOL_RESULTS) for f in stack.frames[:_DEPTH])


def is_pool_worker(stack: Stack) -> bool:
    """Whether it is a process of such a pool, which waits for a task."""
    return in_loop(stack) and any(among(f, WORKERS) and is_file(f, "multiprocessing/pool.py") for f in stack.frames)


def serves_client(stack: Stack) -> bool:
    """Whether it is a thread of a multiprocessing.Manager's process that does something for a client."""
    return any(bare(f.function) == "serve_client" and is_file(f, MANAGERS) for f in stack.frames)


def between_processes(stack: Stack) -> str:
    """'Event', 'Condition' or 'Barrier', where it waits for one of multiprocessing; ''."""
    frames = stack.frames[:_DEPTH]
    at = next((i for i, f in enumerate(frames) if bare(f.function) == "wait" and _synchronizes(f)), -1)
    if at < 0:
        return ""
    outer = [f for f in frames[at + 1 :] if _synchronizes(f) or is_file(f, "threading.py")]
    if any(f.function.startswith("Barrier.") or bare(f.function) == "_wait" for f in outer):
        return "Barrier"
    # Up to 3.10 functions have bare names.
    event = any(bare(f.function) == "wait" and _synchronizes(f) for f in outer)
    return "Event" if event else "Condition"


def _synchronizes(frame: Frame) -> bool:
    return is_file(frame, "multiprocessing/synchronize.py") or is_file(frame, "billiard/synchronize.py")


def asks_manager(stack: Stack) -> bool:
    """Whether it waits for a multiprocessing.Manager's process to do something for it."""
    return any(bare(f.function) == "_callmethod" and is_file(f, MANAGERS) for f in stack.frames[:_DEPTH])


def in_child(frames: Iterable[Frame]) -> bool:
    """Whether these frames are of a process that multiprocessing started for one function."""
    starters = ("multiprocessing/process.py", "billiard/process.py")
    return any(bare(f.function) == "_bootstrap" and any(is_file(f, s) for s in starters) for f in frames)


def pool_asked(frame: Frame) -> str:
    """The library in whose pool this frame waits for a connection; '' in none."""
    if frame.origin == "user":
        return ""
    for places, library in POOLS.get(frame.file.rpartition("/")[2], ()):
        if bare(frame.function) in places.functions and is_file(frame, places.file):
            return library
    return ""


@lru_cache(maxsize=4096)
def in_background(stack: Stack) -> bool:
    """Whether it is a thread of a library for its own purposes: none of the program's code is in it, and it is no
    worker that was handed a task."""
    frames = stack.frames
    if stack.truncated or not frames or not is_file(frames[-1], "threading.py"):
        return False
    return all(f.origin != "user" and bare(f.function) not in _TAKE_TASKS for f in frames)


def watches_children(stack: Stack) -> bool:
    """Whether a library waits in multiprocessing.connection.wait: mostly for the end of processes of its own."""
    frames = stack.frames[:_DEPTH]
    for position, frame in enumerate(frames):
        if bare(frame.function) == "wait" and is_file(frame, "multiprocessing/connection.py"):
            return position + 1 < len(frames) and frames[position + 1].origin == "library"
    return False


@lru_cache(maxsize=4096)
def lent(stack: Stack) -> tuple[str, Frame] | None:
    """What a thread that waits to be notified, or for an item, waits to be lent: in words, and the frame that asks.

    A known pool; a queue out of which the caller takes what it puts back; or anything that is asked for in the head of
    a `with` block: what is taken there is given back at the block's end.
    """
    frames = stack.frames[:_DEPTH]
    for position, frame in enumerate(frames):
        if library := pool_asked(frame):
            return f"a connection of {library}'s pool", frame
        site = frame.checkout
        if site is not None and site.how == "get":
            return site.expression, frame
        if position and _enters(frame, frames[position - 1]):
            return _head(frame.text).removeprefix("async ").removeprefix("with ").rstrip(" ").partition(" as ")[
                0
            ], frame
    return None


def _enters(frame: Frame, called: Frame) -> bool:
    """Whether the frame is in the head of a `with` block, about to enter it."""
    text = frame.text
    if not text.startswith(("with ", "async with ")) or frame.acquires is not None:
        return False
    name = bare(called.function)
    if name in ("__exit__", "__aexit__", "close", "shutdown", "join"):
        return False
    if text.endswith(":"):
        return True
    # All on one line: it enters, unless what it has called is named in the body only.
    head = _head(text)
    return name in ("__enter__", "__aenter__") or (name in head and name not in text[len(head) :])


def _head(text: str) -> str:
    """'with pool.get(a[1:]) as c' of 'with pool.get(a[1:]) as c: query(c)'."""
    depth = 0
    for position, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == ":" and not depth:
            return text[:position]
    return text
