"""Who waits for whom across processes, from what each process says of itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from concview.model import Confidence, Frame, Semaphore, Severity, Stack, State, Wait, WaitKind
from concview.session import across
from concview.session.across import Side, explained, look
from concview.snapshot import Blame, BlameCause, Snapshot, Status, ThreadView

KEY = "00:1b:77+0"
SHARES: Any = (0.0,) * len(State)


def thread(tid: int, state: State = State.LOCK, line: int = 7, timed: bool = False) -> ThreadView:
    where: Any = Stack((Frame("work", "/srv/jobs.py", line),))
    wait = Wait(WaitKind.FUTEX, "futex", timed=timed)
    return ThreadView(
        tid, "MainThread", False, True, 1.0, state, 1.0, "sleeps", SHARES, (), None, None, False, None, None, where,
        wait, (),
    )  # fmt: skip


def side(pid: int, semaphore: Semaphore | None, state: State = State.LOCK, timed: bool = False) -> Side:
    snapshot = Snapshot(Status.LIVE, threads=(thread(pid, state, timed=timed),))
    return Side(snapshot, semaphores=(semaphore,) if semaphore is not None else ())


def sem(count: int = 0, waiters: tuple[int, ...] = (), value: int = 0, kind: str = "Lock", **more: Any) -> Semaphore:
    return Semaphore(KEY, kind, value, 1, 1, waiters, count, known=True, searched=True, **more)


def test_the_process_that_took_it_is_named() -> None:
    found = look({1: side(1, sem(), State.IO), 2: side(2, sem(1), State.SLEEP), 3: side(3, sem(waiters=(3,)))})
    (edge,) = found.edges
    assert (edge.waiter, edge.holder, edge.via, edge.confidence) == ((3, 3), (2, 2), "lock", Confidence.EXACT)
    assert edge.what == "multiprocessing.Lock (jobs.py:7)" and not found.orphans and not found.circles


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
