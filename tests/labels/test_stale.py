"""What a thread was in is told for as long as it is known to be in it."""

from __future__ import annotations

from concview.engines.direct.labels import LabelLook
from concview.engines.direct.labels.records import Item, Owner
from concview.engines.direct.tasks.records import Task
from concview.labels.base import Raw
from concview.model import WorkKind

S = 1_000_000_000


def look(off_cpu: dict[int, bytes]) -> LabelLook:
    made = LabelLook.__new__(LabelLook)
    made._threads, made._tasks, made._unknown = {}, {}, set()
    made._off_cpu = lambda tid: off_cpu.get(tid, b"")
    for tid in off_cpu:
        owner = made._threads[tid] = Owner()
        owner.items, owner.proof, owner.rested, owner.sure_ns = [Item(tid, (tid,), 0, False)], (), b"a", 10 * S
    return made


def test_a_thread_that_has_run_and_had_no_turn_is_unknown_after_a_second() -> None:
    made = look({1: b"b", 2: b"a", 3: b""})
    made._drop_stale(10 * S + S // 2)
    assert not made._unknown and all(owner.items for owner in made._threads.values())
    made._drop_stale(12 * S)
    assert made._unknown == {(1, False), (3, False)}
    assert [bool(owner.items) for owner in made._threads.values()] == [False, True, False]
    assert made._threads[1].proof is None  # it is read anew
    assert made._threads[2].sure_ns == 12 * S  # it has not run since


def test_a_task_that_had_no_turn_is_unknown_too() -> None:
    made = look({})
    owner = made._tasks[7] = Owner()
    owner.items, owner.proof, owner.sure_ns = [Item(7, (7,), 0, False)], (), 10 * S
    made._drop_stale(11 * S)
    assert owner.items and not made._unknown
    made._drop_stale(12 * S)
    assert not owner.items and made._unknown == {(7, True)}


def test_the_next_request_at_the_same_addresses_is_another_one() -> None:
    """Objects of a request lie where those of the one before lay; but that one's task has ended."""
    made = look({})
    made._items, made._by_id, made._next_id, made._early, made._full = {}, {7: Task(1, 0, 0)}, 0, False, False
    made._clock = type("Clock", (), {"began": lambda self, raw, now: 0})()
    raw = Raw(WorkKind.REQUEST, ("sanic", 1, 2, "/orders/7"), method="GET", route="/orders/<id>")
    seven, eight = Task(1, 0, 0), Task(2, 0, 0)
    seven.id, eight.id = 7, 8
    first = made._item(raw, S, seven)
    first.tasks = [7]
    assert made._item(raw, 2 * S, eight) is first, "two tasks may work on one request"
    made._by_id = {8: eight}
    second = made._item(raw, 2 * S, eight)
    assert second is not first and second.seen_ns == 2 * S
    second.tasks, second.threads = [7], [1]
    assert made._item(raw, 3 * S, eight) is second, "a thread may work on it yet"
