"""What a thread was in is told for as long as it is known to be in it."""

from __future__ import annotations

from concview.engines.direct.labels import LabelLook
from concview.engines.direct.labels.records import Item, Owner

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
