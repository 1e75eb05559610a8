"""From the kernel's word and the stack to a state."""

import pytest

from concview.analysis.classify import classify
from concview.model import Frame, Peer, Site, Stack, State, Wait, WaitKind

LIB = "/usr/lib/python3.12/"
SITE = Site("LOCK", "app.py", 7, "work", "app.py")


def std(function: str, file: str) -> Frame:
    return Frame(function, LIB + file, 1, "", "stdlib")


def lib(function: str, file: str) -> Frame:
    return Frame(function, "/venv/lib/python3.12/site-packages/" + file, 1, "", "library")


def own(function: str, file: str, text: str = "") -> Frame:
    return Frame(function, "/srv/" + file, 1, text)


SERVED = Peer("tcp", "10.0.0.9:50312", "10.0.0.1:80", "ESTABLISHED", accepted=True)
PLAIN = Wait(WaitKind.FUTEX, "futex", lock=4096, lock_kind="Lock")
CONDITION = [std("Condition.wait", "threading.py")]
TASK = [std("_WorkItem.run", "concurrent/futures/thread.py"), std("_worker", "concurrent/futures/thread.py")]
READING = [std("Connection._recv", "multiprocessing/connection.py"),
           std("Connection.recv_bytes", "multiprocessing/connection.py")]  # fmt: skip
USER = Frame("work", "app.py", 8, "x = 1")
TAKING = Frame("work", "app.py", 7, "with LOCK:", "user", (), SITE)
FUTEX = Wait(WaitKind.FUTEX, "futex")

CASES = [
    ("running", Wait(WaitKind.RUNNING), [USER], State.RUNNING, ""),
    ("gil", Wait(WaitKind.GIL), [TAKING], State.GIL, ""),
    ("lock by source", FUTEX, [TAKING], State.LOCK, ""),
    ("lock by address", Wait(WaitKind.FUTEX, "futex", lock=4096, lock_kind="Lock"), [USER], State.LOCK, ""),
    ("pool worker", FUTEX, [std("_worker", "concurrent/futures/thread.py"), std("Thread.run", "threading.py")],
     State.IDLE, "work"),
    ("queue get", FUTEX, [std("Condition.wait", "threading.py"), std("Queue.get", "queue.py"), USER], State.IDLE,
     "Queue.get"),
    ("queue put", FUTEX, [std("Condition.wait", "threading.py"), std("Queue.put", "queue.py"), USER], State.LOCK,
     "Queue.put"),
    ("event", FUTEX, [std("Condition.wait", "threading.py"), std("Event.wait", "threading.py"), USER], State.IDLE,
     "Event.wait"),
    ("event, bare names", FUTEX, [std("wait", "threading.py"), std("wait", "threading.py"), USER], State.IDLE,
     "Event.wait"),
    ("condition, bare names", FUTEX, [std("wait", "threading.py"), USER], State.IDLE, "Condition.wait"),
    ("join", FUTEX, [std("Thread._wait_for_tstate_lock", "threading.py"), std("Thread.join", "threading.py"), USER],
     State.IDLE, "Thread.join"),
    ("semaphore", FUTEX, [std("Condition.wait", "threading.py"), std("Semaphore.acquire", "threading.py"), USER],
     State.LOCK, "Semaphore.acquire"),
    ("barrier", FUTEX, [std("Condition.wait", "threading.py"), std("Condition.wait_for", "threading.py"),
                        std("Barrier._wait", "threading.py"), std("Barrier.wait", "threading.py"), USER],
     State.LOCK, "Barrier.wait"),
    ("future", FUTEX, [std("Condition.wait", "threading.py"), std("Future.result", "concurrent/futures/_base.py"),
                       USER], State.IDLE, "Future.result"),
    ("condition entering", FUTEX, [std("Condition.__enter__", "threading.py"), TAKING], State.LOCK, ""),
    ("sleep", Wait(WaitKind.SLEEP, "clock_nanosleep"), [USER], State.SLEEP, ""),
    ("recv", Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "10.0.0.1:80")), [USER], State.IO, ""),
    ("accept", Wait(WaitKind.IO, "accept4", 5), [USER], State.IDLE, "accept"),
    ("loop idle", Wait(WaitKind.IO, "epoll_wait", 5),
     [std("EpollSelector.select", "selectors.py"), std("BaseEventLoop._run_once", "asyncio/base_events.py")],
     State.IDLE, "select"),
    ("user select", Wait(WaitKind.IO, "select", 5), [USER], State.IO, ""),
    ("disk", Wait(WaitKind.DISK, "fsync"), [USER], State.IO, ""),
    ("memory", Wait(WaitKind.MEMORY, "page fault"), [USER], State.IO, "memory"),
    ("watcher", Wait(WaitKind.IO, "read", 5, Peer("inotify", "inotify")), [USER], State.IDLE, "work"),
    ("child", Wait(WaitKind.CHILD, "wait4"), [USER], State.IO, "child"),
    ("unreadable", Wait(WaitKind.UNKNOWN), [USER], State.UNKNOWN, ""),
    ("native pool", FUTEX, [], State.IDLE, "native"),
    # a task that is a library's function, or a C function: the worker is at work
    ("a lock in a task", PLAIN, [lib("send", "libdead.py"), *TASK], State.LOCK, ""),
    ("a C function as the task", PLAIN, TASK, State.LOCK, ""),
    ("feeder that pickles", PLAIN, [own("State.__reduce__", "app.py"), std("Queue._feed", "multiprocessing/queues.py")],
     State.LOCK, ""),
    # a file of one's own decides nothing by its name
    ("own job_queue.py", PLAIN, [own("JobQueue.get", "job_queue.py"), USER], State.LOCK, ""),
    ("own queue.py", PLAIN, [own("Queue.get", "app/queue.py"), USER], State.LOCK, ""),
    ("own sched.py", Wait(WaitKind.IO, "poll", 5, SERVED), [own("run", "sched.py")], State.IDLE, "request"),
    # what a pool lends is waited for
    ("SQLAlchemy's pool", FUTEX, [*CONDITION, lib("Queue.get", "sqlalchemy/util/queue.py"),
                                  lib("QueuePool._do_get", "sqlalchemy/pool/impl.py"), USER], State.LOCK, "pool"),
    ("an own pool", FUTEX, [*CONDITION, own("Pool.get", "p.py"), own("web", "app.py", "with pool.get() as db:")],
     State.LOCK, "pool"),
    ("leaving a block", FUTEX, [*CONDITION, own("Pool.__exit__", "p.py"), own("web", "app.py", "with Pool() as pool:")],
     State.IDLE, "Condition.wait"),
    ("an import", FUTEX, [Frame("_ModuleLock.acquire", "<frozen importlib._bootstrap>", 1, "", "frozen"), USER],
     State.LOCK, "import"),
    ("native code", FUTEX, [own("query", "app.py", "table = csv.read_csv(path)")], State.UNKNOWN, "native"),
    # servers without a request
    ("keep-alive", Wait(WaitKind.IO, "recvfrom", 5, SERVED), [std("SocketIO.readinto", "socket.py"), USER],
     State.IDLE, "request"),
    ("select with a listener", Wait(WaitKind.IO, "select", -1, Peer("set", "0.0.0.0:80, pipe:[1]", status="LISTEN")),
     [USER], State.IDLE, "accept"),
    ("a loop in C", Wait(WaitKind.IO, "epoll_pwait", 5, Peer("epoll", "epoll of 9 descriptors")),
     [std("Runner.run", "asyncio/runners.py"), USER], State.IDLE, "select"),
    ("a client's epoll", Wait(WaitKind.IO, "epoll_wait", 5, Peer("epoll", "epoll of 10.0.0.1:5432")),
     [lib("wait_epoll", "psycopg/waiting.py"), USER], State.IO, ""),
    ("a client's connection and what wakes it up", Wait(WaitKind.IO, "epoll_wait", 5,
     Peer("epoll", "epoll of unix:[7], 10.0.0.1:5672")), [lib("poll", "pika/adapters/select_connection.py"), USER],
     State.IO, ""),
    ("a loop of a library's own thread", Wait(WaitKind.IO, "epoll_wait", 5,
     Peer("epoll", "epoll of unix:[7], 10.0.0.1:5672")), [lib("poll", "some/loop.py"), std("run", "threading.py")],
     State.IDLE, "select"),
    ("a loop of the program's own", Wait(WaitKind.IO, "epoll_wait", 5,
     Peer("epoll", "epoll of unix:[7], 10.0.0.1:5672")), [std("EpollSelector.select", "selectors.py"), USER],
     State.IDLE, "select"),
    ("an answer with a time limit in a library's own thread", Wait(WaitKind.IO, "poll", 5,
     Peer("tcp", "10.0.0.1:443", local="10.0.0.2:999"), timed=True),
     [std("SocketIO.readinto", "socket.py"), lib("upload", "posthog/consumer.py"), std("run", "threading.py")],
     State.IO, ""),
    ("a subscriber", Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "10.0.0.1:6379")),
     [lib("SocketBuffer.readline", "redis/_parsers/socket.py"), lib("PubSub.listen", "redis/client.py"), USER],
     State.IDLE, "work"),
    ("a question to the same", Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "10.0.0.1:6379")),
     [lib("SocketBuffer.readline", "redis/_parsers/socket.py"), lib("Redis.execute_command", "redis/client.py"), USER],
     State.IO, ""),
    ("a callback of a listener", Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "10.0.0.1:80")),
     [std("SocketIO.readinto", "socket.py"), own("on_message", "app.py"), lib("PubSub.listen", "redis/client.py")],
     State.IO, ""),
    ("reader of a process pool", Wait(WaitKind.IO, "read", 5, Peer("pipe", "pipe:[7]")),
     [*READING, std("SimpleQueue.get", "multiprocessing/queues.py"), std("worker", "multiprocessing/pool.py")],
     State.IDLE, "work"),
    ("a child without orders", Wait(WaitKind.IO, "read", 5, Peer("unix", "unix:[7]", status="ESTABLISHED")),
     [*READING, own("worker", "app.py"), std("BaseProcess.run", "multiprocessing/process.py"),
      std("BaseProcess._bootstrap", "multiprocessing/process.py")], State.IDLE, "work"),
    ("a parent that waits for its child", Wait(WaitKind.IO, "read", 5, Peer("unix", "unix:[7]", status="ESTABLISHED")),
     [*READING, USER], State.IO, ""),
    ("asks a manager", Wait(WaitKind.IO, "read", 5, Peer("unix", "unix:[7]")),
     [*READING, std("BaseProxy._callmethod", "multiprocessing/managers.py"), own("worker", "app.py"),
      std("BaseProcess._bootstrap", "multiprocessing/process.py")], State.IO, ""),
    ("a manager that takes a lock for somebody", PLAIN,
     [std("Server.serve_client", "multiprocessing/managers.py"), std("Thread.run", "threading.py")], State.LOCK, ""),
    ("a manager that waits for a request", Wait(WaitKind.IO, "read", 5, Peer("unix", "/tmp/listener")),
     [*READING, std("Server.serve_client", "multiprocessing/managers.py"), std("Thread.run", "threading.py")],
     State.IDLE, "work"),
    ("the end of a child of a fork server", Wait(WaitKind.IO, "poll", 5, Peer("pipe", "pipe:[7]")),
     [std("_PollLikeSelector.select", "selectors.py"), std("wait", "multiprocessing/connection.py"),
      std("Popen.poll", "multiprocessing/popen_forkserver.py"), USER], State.IO, "child"),
    ("a parked worker of trio", PLAIN, [lib("WorkerThread._work", "trio/_core/_thread_cache.py")], State.IDLE, "work"),
    ("a C function in a pool", PLAIN, [std("worker", "multiprocessing/pool.py")], State.LOCK, ""),
    ("a library watches its processes", Wait(WaitKind.IO, "poll", -1, Peer("set", "pipe:[1], pipe:[2]")),
     [std("wait", "multiprocessing/connection.py"), lib("run", "hypercorn/run.py"), USER], State.IDLE, "work"),
    ("a library's own thread", Wait(WaitKind.IO, "read", 3, Peer("pipe", "pipe:[1]")),
     [lib("_watch_pipe_fd", "ipykernel/iostream.py"), std("Thread._bootstrap", "threading.py")], State.IDLE, "work"),
    ("a library's function as a thread", Wait(WaitKind.IO, "recvfrom", 3, Peer("tcp", "10.0.0.1:80")),
     [lib("get", "requests/api.py"), std("Thread._bootstrap", "threading.py")], State.IO, ""),
    ("SQLite's busy wait", Wait(WaitKind.SLEEP, "clock_nanosleep", timed=True, via="native"),
     [own("write", "app.py", 'db.execute("begin immediate")')], State.LOCK, "database"),
    ("a statement that is executed by another name", Wait(WaitKind.SLEEP, "clock_nanosleep", timed=True, via="native"),
     [own("write", "app.py", "sql('BEGIN IMMEDIATE')")], State.LOCK, "database"),
    ("a C library's pause", Wait(WaitKind.SLEEP, "clock_nanosleep", timed=True, via="native"),
     [own("write", "app.py", "device.begin('fast')")], State.SLEEP, "native"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wait", "frames", "state", "via"), CASES, ids=[c[0] for c in CASES])
def test_state(name: str, wait: Wait, frames: list[Frame], state: State, via: str) -> None:
    found = classify(wait, Stack(tuple(frames)))
    assert found.state is state
    assert found.via == via
    assert found.reason


def test_the_lock_is_named_by_its_expression() -> None:
    assert "LOCK" in classify(FUTEX, Stack((TAKING,))).reason


def test_io_names_the_peer() -> None:
    wait = Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "10.0.0.1:80"))
    assert classify(wait, Stack((USER,))).reason == "recvfrom tcp 10.0.0.1:80"
    wait = Wait(WaitKind.IO, "poll", 5, Peer("socket", "socket:[51677]"))
    assert classify(wait, Stack((USER,))).reason == "poll a socket (other end not known)"


def test_a_queue_between_interpreters_is_polled() -> None:
    def stack(function: str) -> Stack:
        file = "/usr/lib/python3.14/concurrent/interpreters/_queues.py"
        return Stack((Frame(function, file, 266, "time.sleep(_delay)", "stdlib"), Frame("work", "/srv/app.py", 3)))

    sleeps = Wait(WaitKind.SLEEP, "clock_nanosleep")
    taken, given = classify(sleeps, stack("Queue.get")), classify(sleeps, stack("Queue.put"))
    assert (taken.state, taken.via) == (State.IDLE, "Queue.get")
    assert (given.state, given.via) == (State.LOCK, "Queue.put")
