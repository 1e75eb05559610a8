"""Numbers, identities and chains from histories written by hand."""

from __future__ import annotations

import msgspec
import pytest

from concview.analysis import graph
from concview.analysis.classify import classify
from concview.analysis.lock_stats import LockStats, stats
from concview.analysis.locks import LockWindow, locks
from concview.analysis.records import Run, ThreadHistory
from concview.analysis.thread_window import ThreadWindow
from concview.model import Confidence, Frame, Hold, Peer, Site, Stack, Wait, WaitKind

MS = 1_000_000
A, B, LOCAL = 0x1000, 0x2000, 0x3000
GLOBAL = Site("LOCK", "/srv/a.py", 10, "work", "/srv/a.py", made=3)
OTHER = Site("self._lock", "/srv/b.py", 20, "B.work", "/srv/b.py::B")
RUNNING = Wait(WaitKind.RUNNING)
SOCKET = Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "127.0.0.1:5432"))
STACK = Stack((Frame("work", "/srv/a.py", 11, "work()"),))


def local(name: str) -> Site:
    return Site("lock", "/srv/c.py", 5, name, f"/srv/c.py::{name}")


def hold(lock: int, site: Site = GLOBAL, kind: str = "Lock") -> Hold:
    return Hold(lock, kind, site, Confidence.EXACT)


def waits(lock: int, kind: str = "Lock", via: str = "", target: int = 0) -> Wait:
    return Wait(WaitKind.FUTEX, "futex", lock=lock, lock_kind=kind, via=via, target=target)


def thread(tid: int, *runs: tuple[int, int, Wait, tuple[Hold, ...]]) -> ThreadHistory:
    """Runs as (from, to, wait, holds) in milliseconds; `to` 0: it lasts."""
    history = ThreadHistory(tid, f"worker-{tid}", 0, 0, False)
    for start, end, wait, holds in runs:
        run = Run(start * MS, STACK, wait, holds, classify(wait, STACK))
        run.end_ns = end * MS
        history.runs.append(run)
        history.current = run if not end else history.current
    return history


def window(*threads: ThreadHistory, end: int = 1000) -> dict[str, LockWindow]:
    return locks([ThreadWindow(t, 0, end * MS) for t in threads], 0, end * MS, True).by_key


def numbers(lock: LockWindow, tick: int = 10) -> LockStats:
    return stats(lock, tick * MS, {1: 600.0 * MS, 2: 900.0 * MS})


def test_hold_times_and_hand_overs() -> None:
    found = window(
        thread(1, (0, 100, RUNNING, ()), (100, 200, RUNNING, (hold(A),)), (200, 300, SOCKET, (hold(A),))),
        thread(2, (100, 300, waits(A), ()), (300, 400, RUNNING, (hold(A),)), (400, 1000, RUNNING, ())),
    )
    told = numbers(found[f"{A:#x}"])
    assert (told.holds, told.holds_ended, told.workers) == (2, 2, 2)
    assert told.hold_p50 == 0.2 and told.hold_max == 0.2
    assert told.wait_mean == told.wait_max == told.wait_each == 0.2
    assert dict(told.doing) == pytest.approx({"running": 2 / 3, "io tcp 127.0.0.1:5432": 1 / 3})
    assert told.handoffs_per_s == 1.0
    # 600 + 900 ms of work, 200 of it waiting for the lock; 300 ms under it
    assert told.speedup_cap == pytest.approx(1300 / 300)


def test_what_sampling_cannot_measure_is_not_told() -> None:
    found = window(thread(1, *((i, i + 20, RUNNING, (hold(A),)) for i in range(100, 900, 100))))
    told = numbers(found[f"{A:#x}"])
    assert (told.holds, told.hold_p50, told.hold_p95, told.hold_max) == (8, None, None, None)
    assert told.resolution == 0.01


def test_a_hold_that_has_not_ended_is_only_a_longest() -> None:
    told = numbers(window(thread(1, (500, 0, RUNNING, (hold(A),))))[f"{A:#x}"])
    assert (told.holds, told.holds_ended, told.hold_p50, told.hold_max) == (1, 0, None, 0.5)


def test_one_lock_at_two_places_is_one_lock() -> None:
    found = window(thread(1, (0, 100, RUNNING, (hold(A),)), (200, 300, RUNNING, (hold(A, OTHER),))))
    assert list(found) == [f"{A:#x}"]
    assert [p.line for p in found[f"{A:#x}"].places] == [10, 20]


def test_names_that_take_turns_are_one_lock() -> None:
    """A lock that is handed to functions which call it by names of their own."""
    one, two = local("one"), local("two")
    found = window(
        thread(1, *((i, i + 50, RUNNING, (hold(LOCAL, one if i % 200 else two),)) for i in range(0, 1000, 100)))
    )
    assert list(found) == [f"{LOCAL:#x}"]


def test_an_address_used_again_is_another_lock() -> None:
    one, two = local("one"), local("two")
    found = window(
        thread(1, (0, 100, RUNNING, (hold(LOCAL, one),)), (100, 200, RUNNING, (hold(LOCAL, one),))),
        thread(2, (300, 400, RUNNING, (hold(LOCAL, two),)), (500, 600, RUNNING, (hold(LOCAL, two),))),
    )
    assert {key: lock.site.function for key, lock in found.items()} == {
        f"{LOCAL:#x}": "two",
        f"{LOCAL:#x}/1 earlier": "one",
    }
    assert all(len({h.tid for h in lock.holds}) == 1 for lock in found.values())


def test_two_kinds_at_one_address_are_two_locks() -> None:
    found = window(
        thread(1, (0, 100, RUNNING, (hold(A, GLOBAL, "Lock"),))),
        thread(2, (200, 300, RUNNING, (hold(A, OTHER, "RLock"),))),
    )
    assert sorted((lock.kind, len(lock.holds)) for lock in found.values()) == [("Lock", 1), ("RLock", 1)]


def test_a_condition_is_the_lock_it_is_made_of() -> None:
    found = window(
        thread(1, (0, 100, RUNNING, (hold(A, GLOBAL, "Condition"),))),
        thread(2, (200, 300, RUNNING, (hold(A, OTHER, "Lock"),))),
    )
    assert len(found) == 1


def edges(*threads: ThreadHistory) -> list[graph.Edge]:
    return graph.edges(threads, True)


def test_a_chain_blames_its_root() -> None:
    found = graph.chains(
        edges(
            thread(1, (0, 0, SOCKET, (hold(A),))),
            thread(2, (0, 0, waits(A), (hold(B, OTHER),))),
            thread(3, (0, 0, waits(B), ())),
            thread(4, (0, 0, waits(A), ())),
            thread(5, (0, 0, RUNNING, ())),
        )
    )
    (chain,) = found
    assert (chain.root, chain.cycle, chain.exact) == (1, (), True)
    assert sorted(chain.waiters) == [2, 3, 4]
    assert chain.depth() == {1: 0, 2: 1, 4: 1, 3: 2}


def test_a_circle_with_one_behind_it() -> None:
    (circle,) = graph.chains(
        edges(
            thread(1, (0, 0, waits(B), (hold(A),))),
            thread(2, (0, 0, waits(A), (hold(B, OTHER),))),
            thread(3, (0, 0, waits(A), ())),
        )
    )
    assert circle.cycle == (1, 2)
    assert set(circle.waiters) == {1, 2, 3}


def test_a_circle_of_one_and_who_waits_behind_it() -> None:
    graph_ = edges(thread(1, (0, 0, waits(A), (hold(A),))), thread(2, (0, 0, waits(A), ())))
    assert [(e.waiter, e.holder) for e in graph_] == [(1, 1), (2, 1)]
    (chain,) = graph.chains(graph_)
    assert (chain.cycle, chain.deadlock, chain.waiters) == ((1,), True, [1, 2])
    # An inferred hold of the line that still acquires is none, and an RLock may be taken again.
    inferred = Hold(0, "", GLOBAL, Confidence.INFERRED)
    assert edges(thread(1, (0, 0, waits(A), (inferred,)))) == []
    assert edges(thread(1, (0, 0, waits(A, "RLock"), (hold(A, kind="RLock"),)))) == []


def test_a_timeout_ends_a_circle_by_itself() -> None:
    timed = msgspec.structs.replace(waits(B), timed=True)
    found = edges(thread(1, (0, 0, timed, (hold(A),))), thread(2, (0, 0, waits(A), (hold(B, OTHER),))))
    (chain,) = graph.chains(found)
    assert (chain.cycle, chain.deadlock) == ((1, 2), False)


def test_a_join_can_close_a_circle() -> None:
    """The main thread joins a worker while it holds what the worker wants."""
    found = edges(
        thread(1, (0, 0, waits(0x9000, "Thread", "Thread.join", target=2), (hold(A),))),
        thread(2, (0, 0, waits(A), ())),
    )
    assert [(e.waiter, e.holder, e.via) for e in found] == [(1, 2, "Thread.join"), (2, 1, "")]
    (circle,) = graph.cycles(found)
    assert len(circle) == 2


def test_joins_alone_are_no_chain() -> None:
    joining = waits(0x9000, "Thread", "Thread.join", target=2)
    found = edges(thread(1, (0, 0, joining, ())), thread(2, (0, 0, SOCKET, ())))
    assert len(found) == 1
    assert graph.chains(found) == []


def test_connections_that_nobody_could_look_up_are_those_of_the_same_line() -> None:
    def unknown(inode: int) -> Wait:
        return Wait(WaitKind.IO, "recvfrom", 5, Peer("socket", f"socket:[{inode}]"))

    held = (hold(A),)
    waiter = thread(2, (0, 300, waits(A), ()))
    one = thread(1, (0, 100, SOCKET, held), (100, 200, unknown(7), held), (200, 300, unknown(8), held))
    assert dict(numbers(window(one, waiter)[f"{A:#x}"]).doing) == {"io tcp 127.0.0.1:5432": 1.0}
    other = Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "10.0.0.7:5432"))
    two = thread(1, (0, 100, SOCKET, held), (100, 200, unknown(7), held), (200, 300, other, held))
    assert len(numbers(window(two, waiter)[f"{A:#x}"]).doing) == 3, "of two addresses either could be meant"
