"""Who waits for whom across processes, from what each process says of itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from concview.model import (
    Child,
    Confidence,
    Frame,
    Link,
    Owner,
    Role,
    Semaphore,
    Severity,
    Stack,
    State,
    User,
    Wait,
    WaitKind,
    Worker,
)
from concview.session import across
from concview.session.across import explained, look
from concview.session.side import Side
from concview.snapshot import Blame, BlameCause, Snapshot, Status, ThreadView

KEY = "00:1b:77+0"
SHARES: Any = (0.0,) * len(State)


def thread(tid: int, state: State = State.LOCK, line: int = 7, timed: bool = False) -> ThreadView:
    where: Any = Stack((Frame("work", "/srv/jobs.py", line),))
    wait = Wait(WaitKind.FUTEX, "futex", timed=timed)
    return ThreadView(
        tid,
        "MainThread",
        False,
        True,
        1.0,
        state,
        1.0,
        "sleeps",
        SHARES,
        (),
        None,
        None,
        False,
        None,
        None,
        where,
        wait,
        (),
    )


def side(pid: int, semaphore: Semaphore | None, state: State = State.LOCK, timed: bool = False) -> Side:
    snapshot = Snapshot(Status.LIVE, threads=(thread(pid, state, timed=timed),))
    return Side(snapshot, semaphores=(semaphore,) if semaphore is not None else ())


def sem(count: int = 0, waiters: tuple[int, ...] = (), value: int = 0, kind: str = "Lock", **more: Any) -> Semaphore:
    return Semaphore(KEY, kind, value, 1, 1, waiters, count, known=True, searched=True, **more)


def test_a_holder_that_waits_for_another_process_is_told_by_what_it_waits_for() -> None:
    def two(pid: int, first: int, second: int) -> Side:
        one = sem(first, () if first else (pid,))
        other = msgspec.structs.replace(sem(second, () if second else (pid,)), key="00:1b:99+0")
        return Side(Snapshot(Status.LIVE, threads=(thread(pid),)), semaphores=(one, other))

    found = look({2: two(2, 1, 0), 3: two(3, 0, 1)})
    assert len(found.circles) == 1
    assert {e.waiter: e.does for e in found.edges} == {
        (pid, pid): "waits for multiprocessing lock or semaphore (jobs.py:7)" for pid in (2, 3)
    }
    blame = explained(unexplained((3,)), 3, found, lambda node: f"worker {node[0]}").blame
    assert blame is not None and (blame.verdict, blame.severity) == ("stuck", Severity.WARN)
    assert "held by worker 2: waits for" in blame.sentence


def test_the_process_that_took_it_is_named() -> None:
    found = look({1: side(1, sem(), State.IO), 2: side(2, sem(1), State.SLEEP), 3: side(3, sem(waiters=(3,)))})
    (edge,) = found.edges
    assert (edge.waiter, edge.holder, edge.via, edge.confidence) == ((3, 3), (2, 2), "lock", Confidence.EXACT)
    assert edge.what == "multiprocessing lock or semaphore (jobs.py:7)", (
        "a bounded semaphore with one permit looks alike"
    )
    assert not found.orphans and not found.circles


@pytest.mark.parametrize(
    ("by_itself", "by_its_user", "said"),
    [
        ("Lock", "multiprocessing.BoundedSemaphore", "multiprocessing.BoundedSemaphore"),
        ("Lock", "multiprocessing.Lock", "multiprocessing.Lock"),
        ("Lock", "multiprocessing.Condition", "multiprocessing lock or semaphore"),
        ("RLock", "", "multiprocessing.RLock"),
        ("", "", "multiprocessing lock or semaphore"),
    ],
)
def test_what_it_is_called(by_itself: str, by_its_user: str, said: str) -> None:
    waiter = side(3, sem(waiters=(3,), kind=by_itself))
    one = waiter.snapshot.threads[0]
    one = msgspec.structs.replace(one, wait=msgspec.structs.replace(one.wait, lock_kind=by_its_user))
    waiter = dataclasses.replace(waiter, snapshot=msgspec.structs.replace(waiter.snapshot, threads=(one,)))
    (edge,) = look({2: side(2, sem(1, kind=by_itself), State.SLEEP), 3: waiter}).edges
    assert edge.what == f"{said} (jobs.py:7)"


def test_two_claim_it() -> None:
    """After os.fork the child has the parent's count."""
    found = look({1: side(1, sem(1), State.SLEEP), 2: side(2, sem(1), State.SLEEP), 3: side(3, sem(waiters=(3,)))})
    assert {(e.holder[0], e.confidence) for e in found.edges} == {(1, Confidence.INFERRED), (2, Confidence.INFERRED)}


def test_two_locks_in_two_orders() -> None:
    other = Semaphore("00:1b:78+0", "Lock", 0, 1, 1, (1,), 0, known=True, searched=True)
    taken = Semaphore("00:1b:78+0", "Lock", 0, 1, 1, (), 1, known=True, searched=True)
    sides = {
        1: Side(Snapshot(Status.LIVE, threads=(thread(1),)), semaphores=(sem(1), other)),
        2: Side(Snapshot(Status.LIVE, threads=(thread(2),)), semaphores=(sem(waiters=(2,)), taken)),
    }
    assert look(sides).circles == (((1, 1), (2, 2)),)


@pytest.mark.parametrize(
    ("sharers", "sure"),
    [({KEY: frozenset({1, 2})}, True), ({KEY: frozenset({1, 2, 9})}, False), ({}, False), (None, False)],
)
def test_nobody_has_it(sharers: dict[str, frozenset[int]] | None, sure: bool) -> None:
    sides = {1: side(1, sem(), State.IO), 2: side(2, sem(waiters=(2,)))}
    assert not look({**sides, 3: side(3, None)}, lambda keys: {KEY: frozenset({1, 2, 3})}, lambda rows: True).orphans, (
        "one that shares it has not said yet whether it has it"
    )
    found = look(sides, (lambda keys: sharers) if sharers is not None else None, lambda rows: True)
    (orphan,) = found.orphans
    assert orphan.sure is sure and orphan.waiters == ((2, 2),) and not found.edges


@pytest.mark.parametrize(
    "told",
    [
        sem(waiters=(2,), value=1),  # it is free again
        sem(waiters=(2,), kind="Semaphore"),  # others give it than take it
        Semaphore(KEY, "Lock", 0, 1, 1, (2,), 0, known=False, searched=False),  # not looked through yet
        sem(),  # nobody here waits
    ],
)
def test_no_orphan(told: Semaphore) -> None:
    sides = {1: side(1, sem(kind=told.kind), State.IO), 2: side(2, told)}
    assert not look(sides).orphans and not look(sides, untaken=lambda rows: True).orphans


def test_what_is_given_elsewhere_has_no_holder() -> None:
    """A signal, or a queue's room: one process takes it, another one gives it back."""
    found = look({1: side(1, sem(-3), State.SLEEP), 2: side(2, sem(3), State.SLEEP), 3: side(3, sem(waiters=(3,)))})
    assert not found.edges and not found.orphans
    queues = "/usr/lib/python3.12/multiprocessing/queues.py"
    put: Any = Stack((Frame("Queue.put", queues, 94, origin="stdlib"), Frame("f", "a.py", 1)))
    waiter = msgspec.structs.replace(thread(3), stack=put)
    full = Side(Snapshot(Status.LIVE, threads=(waiter,)), semaphores=(sem(waiters=(3,)),))
    assert not look({2: side(2, sem(1), State.SLEEP), 3: full}).edges and not look({3: full}).orphans


def test_one_that_goes_on_does_not_wait() -> None:
    sides = {2: side(2, sem(1), State.SLEEP), 3: side(3, sem(waiters=(3,)), State.RUNNING)}
    assert not look(sides).edges


def wait_at(kind: WaitKind, *frames: tuple[str, str], since: float = 20.0) -> ThreadView:
    stack: Any = Stack(tuple(Frame(f, f"/usr/lib/python3.12/{file}", 1, "", "stdlib") for f, file in frames))
    state = State.IDLE if kind is WaitKind.FUTEX else State.IO
    return msgspec.structs.replace(thread(1), state=state, stack=stack, wait=Wait(kind, "x"), since_s=since)


SENDS = (("Connection._send", "multiprocessing/connection.py"), ("Queue._feed", "multiprocessing/queues.py"))


def link(waiter: int, other: int, inode: int, *users: User) -> Link:
    return Link(3, "unix", (waiter,), inode, True, peer_inode=inode + 1, users=users, owners=(Owner(other, "python"),))


@pytest.mark.parametrize(
    ("since", "how", "circle"), [(20.0, "local", True), (1.0, "local", False), (20.0, "call", False)]
)
def test_both_ends_of_a_connection(since: float, how: str, circle: bool) -> None:
    """Either has just sent something, or somebody else in the process is at it: then nobody is stuck."""
    sides = {}
    for me, other in ((1, 2), (2, 1)):
        one = msgspec.structs.replace(wait_at(WaitKind.IO, *SENDS, since=since), tid=me)
        # A child has its parent's end, too, and the frame that made both.
        users = (User(me, "local", "a"), User(7, how, "q._reader"))
        sides[me] = Side(Snapshot(Status.LIVE, threads=(one,)), links=(link(me, other, 10 * me, *users),))
    assert bool(look(sides).circles) is circle


def test_who_reads_what_a_child_writes_does_not_wait_for_its_end() -> None:
    for frames, via in (((("Popen.poll", "multiprocessing/popen_forkserver.py"),), "child"), (SENDS, "")):
        reads = wait_at(WaitKind.IO, *frames)
        child = Child(2, "python", "S", (1,))
        sides = {1: Side(Snapshot(Status.LIVE, threads=(reads,)), children=(child,)), 2: side(2, None, State.SLEEP)}
        assert [e.via for e in look(sides).edges] == ([via] if via else [])


WORKS = (("SimpleQueue.get", "multiprocessing/queues.py"), ("worker", "multiprocessing/pool.py"))


@pytest.mark.parametrize(
    ("worker", "parent", "never"),
    [
        (wait_at(WaitKind.FUTEX, *WORKS), 1, True),
        (wait_at(WaitKind.FUTEX, *WORKS), 9, True),  # of a fork server
        (wait_at(WaitKind.FUTEX, *WORKS, since=2.0), 1, False),
        (wait_at(WaitKind.IO, *WORKS), 1, False),
        (wait_at(WaitKind.FUTEX, ("f", "app.py")), 1, False),  # some other process below
    ],
)
def test_a_result_that_nobody_makes(worker: ThreadView, parent: int, never: bool) -> None:
    asks = wait_at(WaitKind.FUTEX, ("Event.wait", "threading.py"), ("ApplyResult.wait", "multiprocessing/pool.py"))
    below = (Worker(9, 9, 1, Role.HELPER, "fork server"), Worker(2, 2, parent, Role.WORKER, "worker 1"))
    told = Blame(10.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, verdict="watches", sentence="It only waits.")
    master = Snapshot(Status.LIVE, threads=(asks,), blame=told)
    sides = {1: Side(master, workers=below), 2: Side(Snapshot(Status.LIVE, threads=(worker,)))}
    found = look(sides)
    assert bool(found.never) is never
    blame = explained(master, 1, found, str).blame
    assert blame is not None and (blame.verdict == "stuck", blame.severity is Severity.WARN) == (never, never)
    # Where something else in it does anything, it may be about to give out a task.
    busy = msgspec.structs.replace(thread(5), state=State.RUNNING)
    sides[1] = Side(msgspec.structs.replace(master, threads=(asks, busy)), workers=below)
    assert not look(sides).never


def unexplained(tids: tuple[int, ...]) -> Snapshot:
    cause = BlameCause("own", "unexplained", "lock: not seen", "/srv/jobs.py", 7, "work", 1.0, 10.0, tids)
    blame = Blame(
        10.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, verdict="unexplained", severity=Severity.WARN, causes=(cause,),
        sentence="Unexplained.",
    )  # fmt: skip
    return Snapshot(Status.LIVE, blame=blame)


def test_what_one_process_cannot_explain() -> None:
    edge = across.Across((3, 3), (2, 2), "lock", "multiprocessing.Lock (jobs.py:7)", "sleeps", Confidence.EXACT)
    found = across.Found((edge,))
    blame = explained(unexplained((3,)), 3, found, lambda node: f"worker {node[0]}").blame
    assert blame is not None and blame.verdict == "held up" and (blame.held_up, blame.unexplained) == (1.0, 0.0)
    assert "held by worker 2: sleeps" in blame.sentence
    # Only where all of it is explained; another process's waits explain nothing here.
    for snapshot, pid in ((unexplained((3, 4)), 3), (unexplained((3,)), 4)):
        same = explained(snapshot, pid, found, str)
        assert same is snapshot
    lost = across.Found(orphans=(across.Orphan(KEY, "multiprocessing.Lock", ((3, 3),), True),))
    blame = explained(unexplained((3,)), 3, lost, str).blame
    assert blame is not None and blame.verdict == "stuck" and blame.severity is Severity.WARN


def test_a_lock_that_workers_pass_on_is_no_orphan() -> None:
    """The reports are of different moments, each of which found another one at work: asked at one, somebody has it."""
    sides = {1: side(1, sem(), State.IO), 2: side(2, sem(waiters=(2,)), State.IDLE)}
    asked: list[set[int]] = []

    def untaken(answer: bool) -> Any:
        def ask(rows: Any) -> bool:
            asked.append(set(rows))
            return answer

        return ask

    assert not look(sides, untaken=untaken(False)).orphans
    assert look(sides, untaken=untaken(True)).orphans, "a worker that waits for work waits for ever, too"
    assert asked == [{1, 2}, {1, 2}]
    assert not look(sides).orphans, "a recording cannot be asked"


def pool(*more: ThreadView) -> Snapshot:
    hands = wait_at(WaitKind.IO, ("Pool._handle_results", "multiprocessing/pool.py"))
    asks = wait_at(WaitKind.FUTEX, ("Event.wait", "threading.py"), ("ApplyResult.wait", "multiprocessing/pool.py"))
    return Snapshot(Status.LIVE, threads=(msgspec.structs.replace(asks, tid=1), msgspec.structs.replace(hands, tid=8)))


@pytest.mark.parametrize("busy", [1, 2])
def test_who_works_on_what_is_waited_for(busy: int) -> None:
    """One that is in a task and waits for its master in turn is a circle, where it is the only one in a task."""
    below = tuple(Worker(n, n, 1, Role.WORKER, f"worker {n}") for n in (2, 3))
    free = msgspec.structs.replace(wait_at(WaitKind.FUTEX, *WORKS), tid=3)
    at_it = [side(2, sem(waiters=(2,))), side(3, None, State.SLEEP)]
    if busy == 1:
        at_it[1] = Side(Snapshot(Status.LIVE, threads=(free,)))
    master = Side(pool(), semaphores=(sem(1),), workers=below)
    found = look({1: master, 2: at_it[0], 3: at_it[1]})
    told = {e.holder for e in found.edges if e.via == "result"}
    assert told == ({(2, 2), (3, 3)} if busy == 2 else {(2, 2)})
    assert all(e.waiter == (1, 1) for e in found.edges if e.via == "result")
    # It has the lock that its worker waits for; of several workers another one may have the task.
    one = Side(msgspec.structs.replace(pool(), threads=pool().threads), semaphores=(sem(1, tid=1),), workers=below)
    assert bool(look({1: one, 2: at_it[0], 3: at_it[1]}).circles) is (busy == 1)


@pytest.mark.parametrize(("seconds", "held"), [((8.0, 6.0), True), ((8.0, 2.0), False), ((8.0,), False)])
def test_workers_that_all_wait_for_jobs_of_their_library(seconds: tuple[float, ...], held: bool) -> None:
    """Another service may serve their queue: it is no error, and no verdict without all of them."""
    below = tuple(Worker(n, n, 1, Role.WORKER, f"worker {n}") for n in (2, 3))
    told = Blame(10.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, verdict="waits", sentence="Waits.")
    sides = {1: Side(Snapshot(Status.LIVE, threads=(thread(1, State.IDLE),)), workers=below)}
    for pid, s in zip((2, 3), (*seconds, -1.0), strict=False):
        snapshot = Snapshot(Status.LIVE, threads=(thread(pid, State.IO),), blame=told)
        sides[pid] = Side(snapshot, awaits={pid: ("celery", s)} if s >= 0 else {})
    found = look(sides)
    assert bool(found.never) is held
    if held:
        blame = explained(sides[2].snapshot, 2, found, str).blame
        assert blame is not None and blame.severity is Severity.INFO and not found.never[0].sure
        assert "another celery job, and so do all 2 workers of process 1" in blame.sentence


@pytest.mark.parametrize("verdict", ["watches", "idle", "clear", "outside"])
def test_who_asks_its_workers_all_the_time_waits(verdict: str) -> None:
    """Neither clear nor "only waits for its workers": which of them it is."""
    asks = msgspec.structs.replace(thread(1, State.IDLE), since_s=9.0)
    blame = Blame(9.5, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, verdict=verdict, sentence="Idle.")
    snapshot = Snapshot(Status.LIVE, threads=(asks,), blame=blame)
    edges = [
        across.Across((1, 1), (p, p), "result", "a result (jobs.py:7)", "sleeps", Confidence.INFERRED) for p in (2, 3)
    ]

    def said(found: across.Found, picture: Snapshot = snapshot) -> Blame:
        told = explained(picture, 1, found, lambda node: f"worker {node[0]}").blame
        assert told is not None
        return told

    one, two = (said(across.Found(edges=tuple(edges[:n]))) for n in (1, 2))
    assert one.verdict == two.verdict == "waits" and one.severity is None
    assert "MainThread waits for a result (jobs.py:7), for 9.0 s, to come from worker 2: sleeps" in one.sentence
    assert "one of 2 workers in a task, worker 2: sleeps, worker 3: sleeps" in two.sentence
    short = msgspec.structs.replace(snapshot, threads=(thread(1, State.IDLE),))
    assert said(across.Found(edges=tuple(edges)), short) == blame, "it has had results meanwhile"
    warned = msgspec.structs.replace(snapshot, blame=msgspec.structs.replace(blame, severity=Severity.WARN))
    assert said(across.Found(edges=tuple(edges)), warned).severity is Severity.WARN


def test_who_is_looked_at_is_not_told_to_be_looked_at() -> None:
    snapshot = unexplained((3,))
    assert snapshot.blame is not None
    end = "another process, maybe one that has ended"
    blame = msgspec.structs.replace(snapshot.blame, sentence=f"Held up by {end} (check --tree 1 names it) (a.py:7).")
    told = explained(msgspec.structs.replace(snapshot, blame=blame), 4, across.Found(), str).blame
    assert told is not None and told.sentence == f"Held up by {end} (a.py:7)."
