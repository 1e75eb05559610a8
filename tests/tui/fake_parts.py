"""The parts of the fakes: stacks, threads, findings of a web shop and a bank."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from concview.model import (
    CAPABILITIES,
    Capability,
    Confidence,
    Finding,
    Frame,
    Hold,
    Measured,
    Peer,
    Severity,
    Site,
    Stack,
    StackEvidence,
    State,
    Target,
    Wait,
    WaitKind,
    Where,
)
from concview.snapshot import Point, Shares, ThreadView

SITE = Site("self._lock", "/srv/shop/cache.py", 41, "Cache.get", "cache.py::Cache")
POSTGRES = Peer("tcp", "10.0.3.7:5432", "10.0.3.2:51544", "ESTABLISHED")
REDIS = Peer("tcp", "10.0.3.9:6379", "10.0.3.2:51600", "ESTABLISHED")
LOG = Peer("file", "/var/log/shop/requests.log")

HANDLER = Frame("Handler.do_GET", "/srv/shop/server.py", 88, "user = self.cache.get(session_id)")
RUN = (
    Frame(
        "ThreadPoolExecutor._worker",
        "/usr/lib/python3.13/concurrent/futures/thread.py",
        93,
        "work_item.run()",
        "stdlib",
    ),
    Frame("Thread.run", "/usr/lib/python3.13/threading.py", 992, "self._target(*self._args, **self._kwargs)", "stdlib"),
    Frame("Thread._bootstrap_inner", "/usr/lib/python3.13/threading.py", 1041, "self.run()", "stdlib"),
    Frame("Thread._bootstrap", "/usr/lib/python3.13/threading.py", 1012, "self._bootstrap_inner()", "stdlib"),
)
WAITER = Stack((Frame("Cache.get", "/srv/shop/cache.py", 41, "with self._lock:", acquires=SITE), HANDLER, *RUN))
HOLDER = Stack(
    (
        Frame(
            "Connection.recv",
            "/srv/venv/lib/python3.13/site-packages/psycopg/connection.py",
            310,
            "return self._sock.recv(65536)",
            "library",
        ),
        Frame(
            "Cursor.execute",
            "/srv/venv/lib/python3.13/site-packages/psycopg/cursor.py",
            97,
            "self._conn.wait(gen)",
            "library",
        ),
        Frame("Cache._load", "/srv/shop/cache.py", 57, "row = cursor.execute(QUERY, (key,)).fetchone()"),
        Frame("Cache.get", "/srv/shop/cache.py", 44, "value = self._load(key)", holds=(SITE,)),
        HANDLER,
        *RUN,
    )
)
WORK = Stack((Frame("render", "/srv/shop/templates.py", 120, "return ''.join(parts)"), HANDLER, *RUN))
IDLE = Stack(
    (
        Frame("Queue.get", "/usr/lib/python3.13/queue.py", 199, "self.not_empty.wait()", "stdlib"),
        *RUN,
    )
)
MAIN = Stack(
    (
        Frame(
            "EpollSelector.select",
            "/usr/lib/python3.13/selectors.py",
            452,
            "fd_event_list = self._selector.poll(timeout, max_ev)",
            "stdlib",
        ),
        Frame(
            "BaseServer.serve_forever",
            "/usr/lib/python3.13/socketserver.py",
            235,
            "ready = selector.select(poll_interval)",
            "stdlib",
        ),
        Frame("main", "/srv/shop/server.py", 203, "server.serve_forever()"),
        Frame("<module>", "/srv/shop/server.py", 209, "main()"),
    )
)
TARGET = Target(
    4242,
    "3.13.2",
    ("/usr/bin/python3.13", "/srv/shop/server.py", "--port", "8080"),
    1_763_683_200.0,
    executable="/usr/bin/python3.13",
    user="shop",
    cpus=4.0,
    machine_cpus=8,
    fd_limit=1024,
    memory_limit=2 << 30,
)
CAPABLE = {
    **{name: Capability(True) for name in CAPABILITIES},
    "held-locks": Capability(
        False, "held locks are read from frames, which this build lays out differently", "use CPython 3.8 to 3.15"
    ),
    "agent": Capability(False, "no agent was asked for", "concview run --agent script.py"),
}
RULES = (
    "lock-contention",
    "gil-contention",
    "thread-explosion",
    "blocked-event-loop",
    "deadlock",
    "lock-held-across-io",
)
HOSTILE = ("[/red]", "[bold", "[@click=app.quit]x[/]", "list[int]", "$x {y} %s \\", "名前のスレッド" * 9, "x" * 10_000)


def shares(**parts: float) -> Shares:
    values = [parts.get(state.name.lower(), 0.0) for state in State]
    values[State.UNKNOWN] += max(0.0, 1.0 - sum(values))
    return tuple(values)  # type: ignore[return-value]


def strip(
    rng: random.Random, states: Sequence[tuple[State, float]], length: int = 120, born: int = 0
) -> tuple[int, ...]:
    kinds, weights = zip(*states, strict=True)
    result: list[int] = [-1] * born
    while len(result) < length:
        result += [int(rng.choices(kinds, weights)[0])] * rng.randint(1, 6)
    return tuple(result[:length])


def thread(
    tid: int, name: str, state: State, reason: str, part: Shares, stack: Stack, row: tuple[int, ...], **more: object
) -> ThreadView:
    values: dict[str, object] = {
        "native": False,
        "alive": True,
        "age_s": 384.0,
        "since_s": 0.4,
        "cpu_percent": part[State.RUNNING] * 100,
        "gil_held": part[State.RUNNING] * 0.9,
        "holds_gil": False,
        "switches_per_s": 40.0,
        "voluntary_per_s": 38.0,
        "wait": Wait(WaitKind.UNKNOWN),
        "holds": (),
    }
    values.update(more)
    return ThreadView(tid=tid, name=name, state=state, reason=reason, shares=part, strip=row, stack=stack, **values)  # type: ignore[arg-type]


def series(
    rng: random.Random, tick: int, threads: int, cpu: float, gil: float, waiters: float, length: int = 240
) -> tuple[Point, ...]:
    points = []
    for at in range(length):
        wave = 1 + 0.25 * math.sin((at + tick) / 11) + rng.uniform(-0.12, 0.12)
        points.append(
            Point(
                at_ns=(1000 + tick + at) * 500_000_000,
                cpu_percent=cpu * wave,
                gil_held=min(1.0, gil * wave),
                gil_waiters=waiters * wave,
                threads=threads,
                switches_per_s=900 * wave,
                run_delay=0.04 * wave,
                rss=190 << 20,
                fds=88,
                states=shares(running=0.2, lock=0.6, io=0.2),
            )
        )
    return tuple(points)


def workers(rng: random.Random, number: int) -> list[ThreadView]:
    rows = []
    for at in range(number):
        name, tid = f"worker-{at}", 4250 + at
        if at == 3:
            rows.append(
                thread(
                    tid,
                    name,
                    State.IO,
                    "recv from 10.0.3.7:5432",
                    shares(io=0.93, running=0.02, lock=0.05),
                    HOLDER,
                    strip(rng, [(State.IO, 9), (State.LOCK, 1)]),
                    since_s=0.13,
                    wait=Wait(WaitKind.IO, "recvfrom", 9, POSTGRES),
                    holds=(Hold(0x7F31C0, "Lock", SITE, Confidence.EXACT),),
                    cpu_percent=1.9,
                    gil_held=0.02,
                )
            )
        elif at % 7 == 5:
            rows.append(
                thread(
                    tid,
                    name,
                    State.RUNNING if at == 5 else State.GIL,
                    "on a CPU with the GIL" if at == 5 else "waits for the GIL, held by worker-5",
                    shares(running=0.41, gil=0.37, lock=0.22),
                    WORK,
                    strip(rng, [(State.RUNNING, 4), (State.GIL, 4), (State.LOCK, 2)]),
                    since_s=0.004,
                    holds_gil=at == 5,
                    cpu_percent=40.7,
                    switches_per_s=410.0,
                )
            )
        elif at % 9 == 8:
            rows.append(
                thread(
                    tid,
                    name,
                    State.IDLE,
                    "waits for work in Queue.get",
                    shares(idle=0.97, running=0.03),
                    IDLE,
                    strip(rng, [(State.IDLE, 20), (State.RUNNING, 1)]),
                    since_s=12.6,
                    cpu_percent=0.2,
                    gil_held=0.0,
                    switches_per_s=1.0,
                )
            )
        else:
            rows.append(
                thread(
                    tid,
                    name,
                    State.LOCK,
                    "waits for self._lock (cache.py:41), held by worker-3",
                    shares(lock=0.88, io=0.07, running=0.05),
                    WAITER,
                    strip(rng, [(State.LOCK, 12), (State.IO, 1), (State.RUNNING, 1)], born=40 if at > 60 else 0),
                    since_s=0.2 + at % 13 * 0.31,
                    blocked_by=4253,
                    blocked_confidence=Confidence.EXACT,
                    cpu_percent=4.6,
                    wait=Wait(WaitKind.FUTEX, "futex", lock=0x7F31C0, lock_kind="Lock"),
                )
            )
    return rows


def convoy_finding(score: int = 92, recent: bool = False) -> Finding:
    return Finding(
        "lock-held-across-io",
        "cache.py::Cache::self._lock",
        Severity.WARN,
        score,
        Confidence.EXACT,
        "self._lock is held while waiting for 10.0.3.7:5432",
        "Cache.get holds self._lock (cache.py:41) during database reads for 93 % of its hold time; on average 6.1 of 8 "
        "threads wait behind it.",
        "Every thread that needs the cache waits for the slowest database read of another one. The lock turns a pool "
        "of eight workers into a queue of one, and latency grows with the number of requests, not with the load.",
        "Read first and lock only to store the result: call self._load(key) outside the with block, or keep a lock "
        "per key so that different keys do not wait for each other.",
        Measured("time in I/O while the lock is held", 0.93, 0.2, 0.5, "share of hold time", 0.91, 1994, 212),
        (
            Where("/srv/shop/cache.py", 44, "Cache.get", "value = self._load(key)"),
            Where("/srv/shop/cache.py", 57, "Cache._load", "row = cursor.execute(QUERY, (key,)).fetchone()"),
        ),
        (4253, 4250, 4251),
        (
            StackEvidence("holder", 4253, "worker-3", HOLDER.frames, "in recv for 130 ms"),
            StackEvidence("waiter", 4250, "worker-0", WAITER.frames, "waiting for 1.4 s"),
        ),
        "up to 6.1 times the throughput, if the database keeps up",
        "the I/O tab: is 10.0.3.7:5432 slow by itself?",
        0,
        recent,
    )


def gil_finding() -> Finding:
    return Finding(
        "gil-contention",
        "process",
        Severity.INFO,
        38,
        Confidence.STATISTICAL,
        "Two threads fight over the GIL",
        "1.4 threads wait for the GIL on average while it is held 97 % of the time.",
        "Only one thread runs Python code at a time; the others wait although CPUs are free.",
        "Move the work of templates.render to processes.",
        Measured("threads waiting for the GIL", 1.4, 1.0, 3.0, "threads", 1.2, 1994, 80),
        (Where("/srv/shop/templates.py", 120, "render", "return ''.join(parts)"),),
        (4255,),
        (StackEvidence("hog", 4255, "worker-5", WORK.frames),),
        "",
        "",
        0,
        False,
    )


def deadlock_finding() -> Finding:
    return Finding(
        "deadlock",
        "4250-4251",
        Severity.WARN,
        100,
        Confidence.EXACT,
        "Deadlock: transfer-a and transfer-b wait for each other",
        "transfer-a holds a.lock and waits for b.lock, transfer-b the other way round. Neither ever goes on.",
        "The threads will wait until the process is killed.",
        "Take the locks in one order everywhere, for example by account id.",
        Measured("threads in the cycle", 2, 2, 2, "threads"),
        (Where("/srv/bank/transfer.py", 31, "transfer", "with dst.lock:"),),
        (4250, 4251),
        (
            StackEvidence(
                "waiter",
                4250,
                "transfer-a",
                (Frame("transfer", "/srv/bank/transfer.py", 31, "with dst.lock:"),),
                "holds a.lock",
            ),
            StackEvidence(
                "waiter",
                4251,
                "transfer-b",
                (Frame("transfer", "/srv/bank/transfer.py", 31, "with dst.lock:"),),
                "holds b.lock",
            ),
        ),
    )
