"""Tables that forget: what is used stays, what is not goes, and there is a bound."""

from __future__ import annotations

from concview.analysis.blame.engine import STALE_NS, Memory
from concview.analysis.blame.lately import Lately, SeenSets
from concview.analysis.blame.nouns import End, Part, Root
from concview.analysis.blame.world import MOST_SEEN, Seen
from concview.analysis.classify import classify
from concview.analysis.records import Run
from concview.model import NO_STACK, Confidence, Hold, Peer, Site, Wait, WaitKind


def test_what_is_asked_for_stays_and_the_rest_goes() -> None:
    table = Lately[int, str](100)
    table.put(1, "one")
    table.put(2, "two")
    for _ in range(5):
        table.turn()
        assert table.get(1) == "one"
    assert table.get(2) is None and len(table) == 1
    table.clear()
    assert table.get(1) is None


def test_there_is_a_bound() -> None:
    table = Lately[int, int](100)
    for number in range(10_000):
        table.put(number, number)
        assert table.get(number) == number
    assert len(table) <= 200
    assert table.get(9_950) == 9_950, "the latest ones are there"


def test_sets_of_those_that_were_seen() -> None:
    seen = SeenSets[str, int](3)
    for key in ("a", "b", "c", "a", "d"):
        seen.add(key, len(key))
    assert seen.get("b") is None, "added to longest ago"
    assert seen.get("a") == {1} and len(seen) == 3
    seen.add("c", 7)
    seen.keep({7})
    assert seen.get("a") is None
    assert seen.get("c") == {1, 7}, "that another one was there, too, is still of interest"
    for value in range(1000, 3000):
        seen.add("c", value)
    seen.keep({7})
    assert seen.get("c") == {7}


def run_of(wait: Wait, *locks: int) -> Run:
    site = Site("self._lock", "/srv/a.py", 1, "f", "a.py::A")
    return Run(
        0, NO_STACK, wait, tuple(Hold(one, "Lock", site, Confidence.EXACT) for one in locks), classify(wait, NO_STACK)
    )


def test_workers_that_stay_go_through_ever_new_sockets_and_locks() -> None:
    """A server's threads: each request has another peer, each future another lock."""
    seen = Seen()
    for n in range(3 * MOST_SEEN):
        peers = (
            Peer("tcp", f"10.0.0.{n % 250}:{n}", local="10.0.0.1:8000"),
            Peer("pipe", f"pipe:[{n}]"),
        )
        for peer in peers:
            seen.learn(7, run_of(Wait(WaitKind.IO, "write", 5, peer), 64 * n))
        for via in ("Queue.get", "Queue.put", "Future"):
            seen.learn(7, run_of(Wait(WaitKind.FUTEX, "futex", lock=64 * n, lock_kind="Lock", via=via)))
        if n % 1000 == 0:
            seen.forget({7})
    tables = (seen.tcp, seen.descriptors, seen.writers, seen.holders, seen.getters, seen.putters, seen.waiters)
    assert [len(table) for table in tables] == [MOST_SEEN] * 7
    assert seen.waiters.get(64 * (3 * MOST_SEEN - 1)) == {7}
    seen.forget({8})
    assert [len(table) for table in tables] == [0] * 7


def test_hand_overs_are_remembered_for_a_moment() -> None:
    memory = Memory()
    parts = [Part(1.0, Root(End.CPU, "computes"), nodes=(3,))]
    for n in range(10_000):
        memory.put(n, n * STALE_NS // 10, parts)
    last = 9_999 * STALE_NS // 10
    assert memory.get(9_998, last, 1) is not None
    assert memory.get(9_980, last, 1) is None
    assert len(memory._known) <= 25
