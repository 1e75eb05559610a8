"""What the functions of libraries mean in an await chain: one table for all.

A role is known by the end of the file's path and the function's qualified name. `WAITS`: a suspended frame of the
function means that the task waits, if what it awaits in turn leads, through frames of `HELPERS` only, to a future: a
function that waits for a connection of a pool also makes connections, and then waits for something else. Where no role
is known, or none holds, the generic state is told: never a wrong pool.
"""

from __future__ import annotations

from typing import NamedTuple

from concview.model import EXECUTOR_ENDS, TaskState

LOCK, QUEUE, POOL, SLEEP = TaskState.LOCK, TaskState.QUEUE, TaskState.POOL, TaskState.SLEEP
IO, EXECUTOR, TASK, IDLE = TaskState.IO, TaskState.EXECUTOR, TaskState.TASK, TaskState.IDLE


class Role(NamedTuple):
    state: TaskState
    via: str
    kind: str = ""  #: of the object; '': its type
    subject: str = "self"  #: the local variable that is the object; '' none
    library: str = "asyncio"
    owner: str = ""  #: the subject is a local of the next frame further out of this qualified name
    inner: str = ""  #: it waits only if the frame of this qualified name is further in
    direct: bool = False  #: it waits only if no frame is further in


_LOCKS, _QUEUES, _TASKS, _STREAMS = "asyncio/locks.py", "asyncio/queues.py", "asyncio/tasks.py", "asyncio/streams.py"
_SELECTOR, _BASE = "asyncio/selector_events.py", "asyncio/base_events.py"
_ANYIO, _ANYIO_CORE = "anyio/_backends/_asyncio.py", "anyio/_core/_synchronization.py"

#: asyncio itself: the innermost frame with such a role decides.
PRIMITIVES: dict[tuple[str, str], Role] = {
    (_TASKS, "sleep"): Role(SLEEP, "sleep", subject=""),
    (_TASKS, "__sleep0"): Role(TaskState.READY, "sleep(0)", subject=""),
    (_LOCKS, "Lock.acquire"): Role(LOCK, "Lock.acquire", "Lock"),
    (_LOCKS, "Event.wait"): Role(LOCK, "Event.wait", "Event"),
    (_LOCKS, "Condition.wait"): Role(LOCK, "Condition.wait", "Condition"),
    (_LOCKS, "Semaphore.acquire"): Role(LOCK, "Semaphore.acquire", "Semaphore"),
    (_LOCKS, "Barrier._block"): Role(LOCK, "Barrier.wait", "Barrier"),
    (_LOCKS, "Barrier._wait"): Role(LOCK, "Barrier.wait", "Barrier"),
    (_QUEUES, "Queue.get"): Role(QUEUE, "Queue.get"),
    (_QUEUES, "Queue.put"): Role(QUEUE, "Queue.put"),
    (_QUEUES, "Queue.join"): Role(QUEUE, "Queue.join"),
    (_TASKS, "wait"): Role(TASK, "wait", subject="fs"),
    (_TASKS, "_wait"): Role(TASK, "wait", subject="fs"),
    ("asyncio/taskgroups.py", "TaskGroup.__aexit__"): Role(TASK, "TaskGroup", "TaskGroup"),
    ("asyncio/taskgroups.py", "TaskGroup._aexit"): Role(TASK, "TaskGroup", "TaskGroup"),
    (_STREAMS, "StreamReader._wait_for_data"): Role(IO, "StreamReader.read"),
    (_STREAMS, "FlowControlMixin._drain_helper"): Role(IO, "StreamWriter.drain"),
    (_STREAMS, "StreamWriter.wait_closed"): Role(IO, "StreamWriter.wait_closed"),
    (_SELECTOR, "BaseSelectorEventLoop.sock_recv"): Role(IO, "sock_recv", subject="sock"),
    (_SELECTOR, "BaseSelectorEventLoop.sock_recv_into"): Role(IO, "sock_recv", subject="sock"),
    (_SELECTOR, "BaseSelectorEventLoop.sock_recvfrom"): Role(IO, "sock_recvfrom", subject="sock"),
    (_SELECTOR, "BaseSelectorEventLoop.sock_sendall"): Role(IO, "sock_sendall", subject="sock"),
    (_SELECTOR, "BaseSelectorEventLoop.sock_connect"): Role(IO, "connect", subject="sock"),
    (_SELECTOR, "BaseSelectorEventLoop.sock_accept"): Role(IDLE, "accept", subject="sock"),
    (_BASE, "Server.serve_forever"): Role(IDLE, "serve_forever", subject=""),
    (_BASE, "BaseEventLoop.shutdown_default_executor"): Role(EXECUTOR, EXECUTOR_ENDS, subject="thread"),
    (_BASE, "Server.wait_closed"): Role(IDLE, "wait_closed", subject=""),
    ("asyncio/subprocess.py", "Process.wait"): Role(IO, "Process.wait", subject=""),
    ("asyncio/base_subprocess.py", "BaseSubprocessTransport._wait"): Role(IO, "Process.wait", subject=""),
}

#: Its pools wait in greenlets, whose frames are not in the chain: the pool is found from the function that one runs,
#: and proved by the queue that is waited at.
_SQLALCHEMY = Role(POOL, "QueuePool.connect", "Pool", "fn", "sqlalchemy", inner="Queue.get")

#: Other libraries: looked for from the innermost frame outwards, before asyncio's own.
LIBRARIES: dict[tuple[str, str], Role] = {
    # Pools of connections.
    ("asyncpg/pool.py", "Pool._acquire.<locals>._acquire_impl"): Role(POOL, "Pool.acquire", "Pool", library="asyncpg"),
    ("aiohttp/connector.py", "BaseConnector._wait_for_available_connection"): Role(
        POOL, "BaseConnector.connect", "Pool", library="aiohttp"
    ),
    # aiohttp before 3.11 waits in `connect` itself.
    ("aiohttp/connector.py", "BaseConnector.connect"): Role(
        POOL, "BaseConnector.connect", "Pool", library="aiohttp", direct=True
    ),
    ("httpcore/_async/connection_pool.py", "AsyncPoolRequest.wait_for_connection"): Role(
        POOL, "AsyncConnectionPool.request", "Pool", library="httpx", owner="AsyncConnectionPool.handle_async_request"
    ),
    ("redis/asyncio/connection.py", "BlockingConnectionPool.get_connection"): Role(
        POOL, "BlockingConnectionPool.get_connection", "Pool", library="redis", inner="Condition.wait"
    ),
    ("psycopg_pool/pool_async.py", "WaitingClient.wait"): Role(
        POOL, "AsyncConnectionPool.getconn", "Pool", library="psycopg", owner="AsyncConnectionPool._getconn_unchecked"
    ),
    ("psycopg/waiting.py", "wait_async"): Role(IO, "wait_async", "", "fileno", "psycopg"),
    # Before Python 3.13 pymongo has its own copies of asyncio's.
    ("pymongo/_asyncio_lock.py", "Lock.acquire"): Role(LOCK, "Lock.acquire", "Lock", library="pymongo"),
    ("pymongo/_asyncio_lock.py", "Condition.wait"): Role(LOCK, "Condition.wait", "Condition", library="pymongo"),
    ("pymongo/asynchronous/topology.py", "Topology._select_servers_loop"): Role(
        IO, "a MongoDB server: none that can be used is known", subject="", library="pymongo", inner="Condition.wait"
    ),
    ("pymongo/asynchronous/pool.py", "Pool._get_conn"): Role(
        POOL, "Pool.checkout", "Pool", library="pymongo", inner="Condition.wait"
    ),
    ("sqlalchemy/util/_concurrency_py3k.py", "greenlet_spawn"): _SQLALCHEMY,
    ("sqlalchemy/util/concurrency.py", "greenlet_spawn"): _SQLALCHEMY,
    # anyio.
    (_ANYIO, "CapacityLimiter.acquire_on_behalf_of"): Role(POOL, "CapacityLimiter.acquire", "Limiter", library="anyio"),
    (_ANYIO, "Lock.acquire"): Role(LOCK, "Lock.acquire", "Lock", library="anyio"),
    (_ANYIO, "Semaphore.acquire"): Role(LOCK, "Semaphore.acquire", "Semaphore", library="anyio"),
    (_ANYIO, "Event.wait"): Role(LOCK, "Event.wait", "Event", library="anyio"),
    (_ANYIO, "SocketStream.receive"): Role(IO, "SocketStream.receive", library="anyio"),
    (_ANYIO, "SocketStream.send"): Role(IO, "SocketStream.send", library="anyio"),
    (_ANYIO, "UNIXSocketStream.receive"): Role(IO, "SocketStream.receive", library="anyio"),
    (_ANYIO, "TaskGroup.__aexit__"): Role(TASK, "TaskGroup", "TaskGroup", library="anyio"),
    (_ANYIO, "TaskGroup.start"): Role(TASK, "start", subject="task", library="anyio"),
    (_ANYIO, "AsyncIOBackend.run_sync_in_worker_thread"): Role(EXECUTOR, "to_thread.run_sync", "", "worker",
                                                               library="anyio"),
    (_ANYIO_CORE, "Lock.acquire"): Role(LOCK, "Lock.acquire", "Lock", library="anyio"),
    (_ANYIO_CORE, "Condition.wait"): Role(LOCK, "Condition.wait", "Condition", library="anyio"),
    (_ANYIO_CORE, "Semaphore.acquire"): Role(LOCK, "Semaphore.acquire", "Semaphore", library="anyio"),
    ("anyio/streams/memory.py", "MemoryObjectReceiveStream.receive"): Role(QUEUE, "MemoryObjectReceiveStream.receive",
                                                                           library="anyio"),
    ("anyio/streams/memory.py", "MemoryObjectSendStream.send"): Role(QUEUE, "MemoryObjectSendStream.send",
                                                                     library="anyio"),
    # Servers and pools that wait for work, and who waits for a signal.
    (_ANYIO, "_SignalReceiver.__anext__"): Role(IDLE, "a signal", subject="", library="anyio"),
    ("aiohttp/web_protocol.py", "RequestHandler.start"): Role(IDLE, "RequestHandler.start", library="aiohttp",
                                                              direct=True),
    ("aiohttp/web.py", "_run_app"): Role(IDLE, "run_app", subject="", library="aiohttp"),
    ("grpc/aio/_call.py", "UnaryUnaryCall._invoke"): Role(IO, "gRPC call", subject="", library="grpc"),
    ("grpc/aio/_call.py", "UnaryStreamCall._send_unary_request"): Role(IO, "gRPC call", subject="", library="grpc"),
    ("grpc/aio/_call.py", "_StreamResponseMixin._read"): Role(IO, "gRPC call", subject="", library="grpc"),
    ("grpc/aio/_server.py", "Server.wait_for_termination"): Role(IDLE, "wait_for_termination", subject="",
                                                                 library="grpc"),
    ("uvicorn/server.py", "Server.main_loop"): Role(IDLE, "Server.main_loop", subject="", library="uvicorn"),
    ("uvicorn/protocols/http/httptools_impl.py", "RequestResponseCycle.receive"): Role(IO, "receive",
                                                                                       library="uvicorn"),
    ("uvicorn/protocols/http/h11_impl.py", "RequestResponseCycle.receive"): Role(IO, "receive", library="uvicorn"),
    ("uvicorn/lifespan/on.py", "LifespanOn.receive"): Role(IDLE, "lifespan", subject="", library="uvicorn"),
    ("hypercorn/asyncio/lifespan.py", "Lifespan.asgi_receive"): Role(IDLE, "lifespan", subject="", library="hypercorn"),
    ("psycopg_pool/pool_async.py", "AsyncConnectionPool.worker"): Role(IDLE, "pool worker", subject="",
                                                                       library="psycopg"),
    ("psycopg_pool/sched_async.py", "AsyncScheduler.run"): Role(IDLE, "pool scheduler", subject="", library="psycopg"),
    ("pymongo/periodic_executor.py", "AsyncPeriodicExecutor._run"): Role(IDLE, "monitor", subject="",
                                                                         library="pymongo"),
    ("pymongo/asynchronous/monitor.py", "_RttMonitor._run"): Role(IDLE, "monitor", subject="", library="pymongo"),
}  # fmt: skip

#: Frames between one that has a role and the future: they only wait on its behalf.
HELPERS: tuple[str, ...] = (
    "asyncio/locks.py", "asyncio/queues.py", "asyncio/tasks.py", "asyncio/timeouts.py", "asyncio/futures.py",
    "async_timeout/__init__.py", "anyio/_backends/_asyncio.py", "anyio/_core/_synchronization.py", "anyio/lowlevel.py",
    "httpcore/_synchronization.py", "psycopg_pool/_acompat.py", "psycopg/_acompat.py", "pymongo/lock.py",
    "pymongo/_asyncio_lock.py",
    "sqlalchemy/util/compat.py", "sqlalchemy/util/queue.py", "anyio/streams/memory.py",
    "trio/_channel.py", "trio/_sync.py", "trio/_util.py", "trio/_core/_ki.py", "trio/_core/_parking_lot.py",
    "trio/_core/_run.py", "trio/_core/_traps.py",
)  # fmt: skip


class User(NamedTuple):
    """Something out of a pool is had by a suspended function."""

    local: str  #: its variable from which the pool is reached,
    path: tuple[str, ...]  #: by these attributes
    needed: str  #: variable that is bound when it has something
    over: tuple[str, ...] = ()  #: attributes from `local` to what is true when it was given back


#: Functions that use what they got out of a pool while they are suspended, unless they (or one further in) wait for it.
USERS: dict[tuple[str, str], User] = {
    ("httpcore/_async/connection_pool.py", "AsyncConnectionPool.handle_async_request"): User("self", (), "connection"),
    ("httpcore/_async/connection_pool.py", "PoolByteStream.__aiter__"): User("self", ("_pool",), "self"),
    ("redis/asyncio/client.py", "Redis.execute_command"): User("pool", (), "conn"),
    ("redis/asyncio/client.py", "Pipeline.execute"): User("self", ("connection_pool",), "conn"),
    ("psycopg_pool/pool_async.py", "AsyncConnectionPool.connection"): User("self", (), "conn"),
    ("pymongo/asynchronous/pool.py", "Pool.checkout"): User("self", (), "conn"),
    ("aiohttp/client.py", "ClientSession._request"): User("conn", ("_connector",), "conn"),
    ("aiohttp/client.py", "ClientSession._request.<locals>._connect_and_send_request"): User(
        "conn", ("_connector",), "conn"
    ),
    ("trio/_threads.py", "to_thread_run_sync"): User("limiter", (), "abort"),  # made when it has its token
    ("httpx/_client.py", "AsyncClient.stream"): User(
        "response", ("stream", "_stream", "_httpcore_stream", "_pool"), "response", ("is_closed",)
    ),
}
#: Context managers that have something of a pool: type -> attributes to the pool.
MANAGERS: dict[str, tuple[str, ...]] = {
    "PoolAcquireContext": ("pool",),  # asyncpg
    "PoolConnectionProxy": ("_holder", "_pool"),
    "AsyncConnection": ("sync_connection", "engine", "pool"),  # SQLAlchemy
    "AsyncSession": ("sync_session", "_transaction", "_connections", "[]", "[]", "engine", "pool"),  # SQLAlchemy
    "ClientResponse": ("_connection", "_connector"),  # aiohttp
    "_RequestContextManager": ("_resp", "_connection", "_connector"),
    "_BaseRequestContextManager": ("_resp", "_connection", "_connector"),
}

#: Attributes that lead from a protocol, stream or client to its transport or socket.
TO_TRANSPORT: tuple[str, ...] = (
    "_transport", "transport", "_reader", "_protocol", "protocol", "_stream", "_network_stream", "_stream_reader",
    "_connection", "_conn", "connection", "_writer", "_sock", "_con", "_content", "content", "_raw_socket",
    "transport_stream", "_payload", "conn", "pgconn", "proc", "socket",
)  # fmt: skip


def tail(file: str) -> tuple[str, ...]:
    """The ends of a path by which roles are found: the last two, three and four parts."""
    parts = file.split("/")
    return tuple("/".join(parts[-n:]) for n in (2, 3, 4) if len(parts) >= n)


def find(table: dict[tuple[str, str], Role], file: str, qualname: str) -> Role | None:
    return next((role for end in tail(file) if (role := table.get((end, qualname)))), None)


#: A library's own coroutine around the one that a task was made for: the task is called after the inner one.
_WRAPPERS: frozenset[tuple[str, str]] = frozenset(
    {
        ("anyio/_core/_tasks.py", "TaskHandle._run_coro"),
        (_ANYIO, "TaskGroup._run_wrapped_task"),
        ("eventlet/greenthread.py", "GreenThread.main"),
    }
)


#: The same of threads, which monkey-patching makes greenlets.
_OF_THREADS = ("Thread._bootstrap", "Thread._bootstrap_inner", "Thread.run")


def wraps(file: str, qualname: str) -> bool:
    if qualname in _OF_THREADS:
        return file.endswith("/threading.py")
    return any((end, qualname) in _WRAPPERS for end in tail(file))


def helps(file: str, qualname: str) -> bool:
    ends = tail(file)
    return any(end in HELPERS for end in ends)


def user(file: str, qualname: str) -> User | None:
    return next((found for end in tail(file) if (found := USERS.get((end, qualname)))), None)
