"""Realistic pictures of targets that do not exist: deterministic, no clock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from fake_parts import (
    CAPABLE,
    HOSTILE,
    IDLE,
    LOG,
    MAIN,
    POSTGRES,
    REDIS,
    RULES,
    RUN,
    SITE,
    TARGET,
    WORK,
    convoy_finding,
    deadlock_finding,
    gil_finding,
    series,
    shares,
    strip,
    thread,
    workers,
)

from concview.model import (
    Capability,
    Confidence,
    Frame,
    Hold,
    NotApplicable,
    Notice,
    Peer,
    Pending,
    Severity,
    Site,
    Stack,
    StackEvidence,
    State,
    Wait,
    WaitKind,
    WorkKind,
)
from concview.snapshot import (
    Blame,
    BlameCause,
    BlameStep,
    GilView,
    HolderView,
    LockView,
    PeerView,
    QueueView,
    RouteView,
    Snapshot,
    Status,
    ThreadView,
    WorkSummary,
    WorkView,
)
from concview.tui.screens.dashboard import Dashboard
from concview.tui.widgets.table import Table


def _work() -> WorkSummary:
    """A stuck request with its query, one that waits for a lock, one of which little is known, and a task's."""
    request, query = WorkKind.REQUEST, WorkKind.QUERY
    sql = "SELECT id, total FROM orders WHERE user_id = ? FOR UPDATE"
    return WorkSummary(
        "safe",
        (
            WorkView(
                7,
                request,
                "flask",
                "POST /orders/<int:id>/pay",
                "",
                "",
                "",
                31.2,
                True,
                False,
                (4253,),
                (),
                "recv from 10.0.0.5:5432",
                State.IO,
                0,
                (9,),
            ),
            WorkView(
                9,
                query,
                "psycopg",
                sql,
                "",
                "",
                "",
                29.0,
                False,
                True,
                (4253,),
                (),
                "recv from 10.0.0.5:5432",
                State.IO,
                7,
            ),
            WorkView(
                11,
                request,
                "flask",
                "GET /orders",
                "",
                "",
                "",
                4.1,
                True,
                False,
                (4250,),
                (),
                "waits for self._lock (cache.py:41) <- worker-3",
                State.LOCK,
                because="waits for self._lock, held by POST /orders/<int:id>/pay, which has run SELECT id, total FROM "
                "orders WHERE user_id = ? FOR UPDATE for at least 29.0 s: waits for 10.0.0.5:5432",
                behind=(7,),
            ),
            WorkView(
                12, request, "http.server", "GET", "route", "", "", 2.3, False, False, (4251,), (), "", State.RUNNING
            ),
            WorkView(
                13,
                request,
                "starlette",
                "GET /stream/{id}",
                "",
                "",
                "",
                0.4,
                False,
                False,
                (),
                (3,),
                "sleeps (stream.py:12)",
                State.UNKNOWN,
            ),
        ),
        (
            RouteView(
                request,
                "flask",
                "POST /orders/<int:id>/pay",
                "",
                1,
                1.0,
                None,
                None,
                False,
                shares(io=0.97, gil=0.03),
                0.0,
            ),
            RouteView(request, "flask", "GET /orders", "", 41, 0.8, 0.12, 1.9, True, shares(lock=0.8, running=0.2), 0),
            RouteView(request, "starlette", "GET /stream/{id}", "", 6, 0.3, 0.4, 0.9, False, shares(), 1.0),
        ),
        10.0,
        22,
        1,
    )


def _base(threads: Sequence[ThreadView], tick: int, rng: random.Random, **more: object) -> Snapshot:
    values: dict[str, object] = {
        "status": Status.LIVE,
        "at_ns": (1240 + tick) * 500_000_000,
        "epoch": 1_763_683_500.0 + tick / 2,
        "elapsed_s": 204.0 + tick / 2,
        "target": TARGET,
        "engine": "direct",
        "capabilities": CAPABLE,
        "rate_hz": 100.0,
        "target_hz": 100.0,
        "achieved_hz": 99.7,
        "budget_percent": 5.0,
        "own_cpu_percent": 1.1,
        "samples": 20_394,
        "misses": 3,
        "repaired": 41,
        "dropped": 2,
        "doubtful": 17,
        "seconds": 10.0,
        "rss": 190 << 20,
        "fds": 88,
        "cpu_percent": 92.0,
        "switches_per_s": 912.0,
        "births_per_s": 0.2,
        "threads": tuple(threads),
        "gil": GilView(True, 0.42, 4255, 1, 1.4, 4, 0.01, 310.0),
        "states": shares(running=0.09, gil=0.07, lock=0.66, io=0.1, idle=0.08),
        "clear": ("thread-explosion", "blocked-event-loop", "deadlock"),
        "pending": (Pending("gil-contention", "at least 5 wait episodes (has 2)"),),
        "not_applicable": (
            NotApplicable("async-starvation", "no event loop was seen", "needs a program that runs asyncio"),
        ),
        "notices": (
            Notice(0, "info", "attached with process_vm_readv; the target is never stopped"),
            Notice(
                0, "warn", "source of /srv/shop/legacy.py changed since the process started; its lines are not shown"
            ),
        ),
        "series": series(rng, tick, len(threads), 92.0, 0.42, 1.4),
    }
    values.update(more)
    return Snapshot(**values)  # type: ignore[arg-type]


def busy(number: int = 99, tick: int = 0) -> Snapshot:
    """A lock convoy in a server with a pool of workers."""
    rng = random.Random(7 + tick)
    main = thread(
        4242,
        "MainThread",
        State.IDLE,
        "select with nothing to do",
        shares(idle=0.99, running=0.01),
        MAIN,
        strip(rng, [(State.IDLE, 1)]),
        since_s=88.0,
        cpu_percent=0.3,
        switches_per_s=2.0,
        gil_held=0.0,
    )
    rows = [main, *workers(rng, number)]
    ended = thread(
        4199,
        "one-shot",
        State.UNKNOWN,
        "ended",
        shares(running=0.5),
        Stack(),
        strip(rng, [(State.RUNNING, 1)], 60),
        alive=False,
    )
    native = thread(
        4198,
        "grpc_poller",
        State.IO,
        "epoll_wait",
        shares(io=1.0),
        Stack(),
        strip(rng, [(State.IO, 1)]),
        native=True,
        gil_held=None,
        age_s=90_000.0,
    )
    rows += [native, ended]
    waiting = tuple(t.tid for t in rows if t.blocked_by == 4253)
    lock = LockView(
        "0x7f31c0",
        0x7F31C0,
        "Lock",
        SITE,
        0.98,
        len(waiting),
        len(waiting) * 0.9,
        len(waiting) + 2,
        61.4,
        (
            HolderView(4253, "worker-3", 0.62, Confidence.EXACT),
            HolderView(4250, "worker-0", 0.2, Confidence.EXACT),
            HolderView(4251, "worker-1", 0.18, Confidence.INFERRED),
        ),
        waiting,
        4253,
        Confidence.EXACT,
    )
    calm = LockView(
        "log::lock",
        0x7F40AA,
        "RLock",
        Site("_handler_lock", "/usr/lib/python3.13/logging/__init__.py", 1028, "Handler.handle"),
        0.02,
        0,
        0.01,
        1,
        0.08,
        (),
        (),
        0,
        Confidence.INFERRED,
    )
    peers = (
        PeerView(POSTGRES, 1.24, 1, (4253, 4250)),
        PeerView(REDIS, 0.21, 0, (4255,)),
        PeerView(LOG, 0.02, 0, (4250,)),
    )
    return _base(
        rows,
        tick,
        rng,
        locks=(lock, calm),
        peers=peers,
        depths=(
            QueueView(
                "Queue:0x7f11",
                "self.jobs",
                "Queue",
                8,
                8,
                (0, 2, 5, 8, 8),
                40.0,
                20.0,
                0.0,
                (4250, 4251),
                (),
                (4250, 4251, 4253),
            ),
            QueueView(
                "SimpleQueue:0x7f12",
                "web",
                "SimpleQueue",
                387,
                0,
                tuple(range(0, 387, 9)),
                None,
                None,
                15.0,
                (),
                (),
                (),
                True,
                2,
                (4253, 4255),
                0,
            ),
            QueueView("Queue:0x7f13", "", "Queue", 0, 0, (0, 0), 0.0, 0.0, 0.0, (), (), ()),
        ),
        work=_work(),
        findings=(
            convoy_finding(),
            gil_finding(),
            msgspec.structs.replace(
                convoy_finding(60, True), subject="old", title="requests.log was written under a lock"
            ),
        ),
    )


def healthy() -> Snapshot:
    rng = random.Random(3)
    rows = [
        thread(
            4242,
            "MainThread",
            State.IDLE,
            "select with nothing to do",
            shares(idle=0.97, running=0.03),
            MAIN,
            strip(rng, [(State.IDLE, 1)]),
        ),
        *(
            thread(
                4250 + at,
                f"worker-{at}",
                State.IDLE if at else State.RUNNING,
                "waits for work in Queue.get" if at else "on a CPU with the GIL",
                shares(idle=0.8, running=0.2),
                IDLE if at else WORK,
                strip(rng, [(State.IDLE, 4), (State.RUNNING, 1)]),
            )
            for at in range(4)
        ),
    ]
    return _base(
        rows,
        0,
        rng,
        states=shares(idle=0.83, running=0.17),
        clear=RULES,
        pending=(),
        series=series(rng, 0, 5, 21.0, 0.18, 0.02),
        cpu_percent=21.0,
        gil=GilView(True, 0.18),
    )


def deadlock() -> Snapshot:
    rng = random.Random(5)
    rows = [
        thread(
            4242,
            "MainThread",
            State.LOCK,
            "waits for transfer-a in Thread.join",
            shares(lock=1.0),
            MAIN,
            strip(rng, [(State.LOCK, 1)]),
            since_s=31.0,
        ),
        *(
            thread(
                4250 + at,
                f"transfer-{'ab'[at]}",
                State.LOCK,
                f"waits for dst.lock (transfer.py:31), held by transfer-{'ba'[at]}",
                shares(lock=1.0),
                Stack((Frame("transfer", "/srv/bank/transfer.py", 31, "with dst.lock:"), *RUN)),
                strip(rng, [(State.LOCK, 1)]),
                since_s=31.0,
                blocked_by=4251 - at,
                blocked_confidence=Confidence.EXACT,
                cpu_percent=0.0,
                gil_held=0.0,
                holds=(
                    Hold(
                        0x100 + at, "Lock", Site("src.lock", "/srv/bank/transfer.py", 29, "transfer"), Confidence.EXACT
                    ),
                ),
            )
            for at in range(2)
        ),
    ]
    return _base(
        rows,
        0,
        rng,
        findings=(deadlock_finding(),),
        states=shares(lock=1.0),
        series=series(rng, 0, 3, 0.2, 0.0, 0.0),
        cpu_percent=0.2,
        clear=RULES[:3],
        pending=(),
    )


def held_up() -> Snapshot:
    """As `busy`, with the time of all threads followed to the end."""
    picture = busy(12)
    pool = [t for t in picture.threads if t.state is State.LOCK]
    waiters = tuple(t.tid for t in pool)
    lock = BlameStep(
        "lock", "self._lock", "web", "/srv/app/cache.py", 41, "Cache.get", Confidence.EXACT, waiters, (4243,)
    )
    what, by = "the other end of a connection", (4243,)
    answer = BlameStep("answer", what, "web", "/srv/app/db.py", 7, "ask", Confidence.INFERRED, by, (4242,))
    end = ("sleep", "sleeps", "/srv/app/peer.py", 18, "serve")
    causes = (
        BlameCause("taken", *end, 0.72, 72.0, waiters, (lock, answer), "web", "peer", at_most=5.0),
        BlameCause("made", *end, 0.12, 12.0, (4243,), (answer,), "web", "peer"),
        BlameCause("own", "cpu", "runs", "/srv/app/web.py", 3, "work", 0.1, 10.0, (4244,), (), "web"),
    )
    blame = Blame(
        10.0, 14.0, 10.0, 0.12, 0.5, 0.09, 0.0, 0.28, 0.01, exact=0.8, verdict="held up", severity=Severity.WARN,
        sentence="Held up, 72 % of what the threads want to do: 7.2 threads (web) wait for self._lock (cache.py:41).",
        causes=causes,
    )  # fmt: skip
    because = f"self._lock (lock) (cache.py:41) <- {what} (answer) (db.py:7) <- sleeps (peer.py:18)"
    threads = tuple(
        msgspec.structs.replace(t, because=because, root="sleeps (peer.py:18)") if t.tid in waiters else t
        for t in picture.threads
    )
    return msgspec.structs.replace(picture, threads=threads, blame=blame)


def empty() -> Snapshot:
    return Snapshot(Status.WAITING)


def gathering() -> Snapshot:
    return msgspec.structs.replace(
        healthy(),
        seconds=3.0,
        elapsed_s=3.0,
        clear=RULES[:2],
        pending=tuple(Pending(r, "at least 200 samples (has 40)") for r in RULES[2:]),
    )


def exited() -> Snapshot:
    return msgspec.structs.replace(busy(12), status=Status.EXITED, ending="the process exited with code 1")


def lost() -> Snapshot:
    return msgspec.structs.replace(
        busy(12), status=Status.LOST, ending="the memory of 4242 cannot be read any more: not permitted"
    )


def hostile() -> Snapshot:
    rng = random.Random(1)
    rows = []
    for at, nasty in enumerate(HOSTILE):
        frame = Frame(nasty, "/srv/" + nasty, 1, nasty, holds=(Site(nasty, nasty, 1, nasty),))
        rows.append(
            thread(
                100 + at,
                nasty,
                State.LOCK,
                nasty,
                shares(lock=1.0),
                Stack((frame, frame)),
                strip(rng, [(State.LOCK, 1)]),
                blocked_by=100 + (at + 1) % len(HOSTILE),
                holds=(Hold(1, nasty, Site(nasty, nasty, 1, nasty), Confidence.EXACT),),
                wait=Wait(WaitKind.IO, peer=Peer("tcp", nasty)),
            )
        )
    nasty = HOSTILE[0]
    bad = msgspec.structs.replace(
        convoy_finding(),
        title="[/red] " + HOSTILE[-1],
        summary=nasty,
        why=HOSTILE[1],
        fix=nasty,
        subject=nasty,
        stacks=tuple(StackEvidence(n, 1, n, rows[0].stack.frames, n) for n in HOSTILE),
    )
    return _base(
        rows,
        0,
        rng,
        findings=tuple(msgspec.structs.replace(bad, subject=n, id=n) for n in HOSTILE),
        target=msgspec.structs.replace(TARGET, command=HOSTILE, user=nasty, python=nasty),
        ending=nasty,
        engine=nasty,
        locks=tuple(
            LockView(
                n,
                1,
                n,
                Site(n, n, 1, n),
                0.5,
                1,
                1.0,
                1,
                1.0,
                (HolderView(1, n, 1.0, Confidence.EXACT),),
                (100,),
                100,
                Confidence.EXACT,
            )
            for n in HOSTILE
        ),
        peers=tuple(PeerView(Peer(n, n, n, n), 0.5, 1, (100,)) for n in HOSTILE),
        notices=tuple(Notice(0, n, n) for n in HOSTILE),
        pending=tuple(Pending(n, n) for n in HOSTILE),
        clear=HOSTILE,
        not_applicable=tuple(NotApplicable(n, n, n) for n in HOSTILE),
        capabilities={n: Capability(False, n, n) for n in HOSTILE},
    )


@dataclass
class FakeSession:
    """Gives the pictures it was given; `advance` puts the next one in front."""

    pictures: list[Snapshot] = field(default_factory=lambda: [busy()])
    live: bool = True
    closed: int = 0
    number: int = 0

    def snapshot(self) -> Snapshot:
        return self.pictures[self.number % len(self.pictures)]

    def advance(self) -> None:
        self.number += 1

    def hurry(self) -> None: ...

    def close(self) -> None:
        self.closed += 1


@dataclass
class Process:
    pid: int
    name: str
    command: tuple[str, ...]
    python: str = "3.13.2"
    cpu_percent: float = 1.0
    threads: int = 4
    switches_per_s: float = 20.0
    owner: str = "shop"
    attachable: bool = True
    why: str = ""
    remedy: str = ""


PROCESSES = (
    Process(
        4242,
        "server.py",
        ("python3.13", "/srv/shop/server.py", "--port", "8080"),
        cpu_percent=92.0,
        threads=101,
        switches_per_s=912,
    ),
    Process(5120, "celery", ("python3.12", "-m", "celery", "worker"), "3.12.8", 12.0, 9, 230),
    Process(
        777,
        "[/red]",
        ("python3", "[bold"),
        "3.9.2",
        0.0,
        1,
        0.5,
        "root",
        False,
        "owned by root",
        "run concview as root: sudo concview attach 777",
    ),
)
DEMOS = (("lock-held-across-io", "A lock is held across I/O"), ("deadlock", "Two threads wait for each other"))


class NotPermitted(Exception):
    remedy = "sudo sysctl kernel.yama.ptrace_scope=0, or run concview as root"


def refuse(pid: int) -> FakeSession:
    raise NotPermitted(f"not permitted to read process {pid} [/red]")


def start_demo(demo: str) -> FakeSession:
    return FakeSession([deadlock() if demo == "deadlock" else busy(12)])


#: The views whose tabs are in the pictures of others. What the bar shows of them all is tested on its own.
PICTURED = ("overview", "threads", "findings", "locks", "peers", "process", "flame", "inside", "queues", "tasks")


async def until(pilot: Any, true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that happens in another thread or a later frame."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        await pilot.pause(0.01)


def _at_rest(app: Any) -> bool:
    """Nothing is on its way: no message in a queue, nothing to be laid out or painted, no animation, no newer picture
    than the one that was taken in, no thread that fetches something to show."""
    screen = app.screen
    if isinstance(screen, Dashboard) and screen.newest is not screen.session.snapshot():
        return False
    if screen._layout_required or screen._repaint_required or screen._dirty_widgets or screen._callbacks:
        return False
    if app.animator._animations or app.animator._scheduled:
        return False
    nodes = (app, *screen.walk_children(with_self=True))
    return not any(n.message_queue_size or n._next_callbacks or getattr(n, "_looking", False) for n in nodes)


async def drawn(pilot: Any, seconds: float = 20.0) -> None:
    """Wait until all that was pressed, resized or brought is taken in and on the screen."""
    deadline = time.monotonic() + seconds
    rests = 0
    while rests < 2:  # what a last message brought about shows in the round after it
        assert time.monotonic() < deadline, "the screen does not come to rest"
        await pilot.pause(0 if rests else 0.005)
        if pilot.app._exit:
            return
        rests = rests + 1 if _at_rest(pilot.app) else 0


async def threads_table(pilot: Any) -> Table:
    """Press the key of the threads view; its table, once it has rows."""
    board = pilot.app.screen
    assert isinstance(board, Dashboard)
    await pilot.press("2")
    await until(pilot, lambda: board.active == "threads" and board.view.ready)
    table = board.view.query(Table).first()
    await until(pilot, lambda: len(table.rows) > 5)
    return table
