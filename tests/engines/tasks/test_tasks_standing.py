"""Tasks that stand still in known places: their states, what they wait at, what they hold, whom they wait for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tasks_helpers import Row, Told, watched

from capacity import WAITS
from concview.model import Confidence, TaskState
from interpreters import Interpreter, interpreters, target

pytestmark = pytest.mark.units(WAITS)

SOURCE = (Path(__file__).parent / "standing.py").read_text()
GIL = [i for i in interpreters() if not i.free_threaded]
CASES = [(i, "plain") for i in GIL] + [
    (i, mode)
    for i in GIL
    for mode, oldest in (("two", (3, 8)), ("eager", (3, 12)))
    if i.version >= oldest and i.version in ((3, 12), GIL[-1].version)
]


@pytest.mark.parametrize(("python", "mode"), CASES, ids=[f"{i.label}-{mode}" for i, mode in CASES])
def test_every_task_is_seen_where_it_stands(python: Interpreter, mode: str) -> None:
    with target(python, SOURCE, mode) as process, watched(process.pid) as watch:
        told = watch.told
        many = 35 if mode != "two" else 70

        def all_right() -> None:
            rows = [row for row in told.tasks.values() if row.name.count("|") == 2]
            assert not [(row.name, row.state, row.wait.via, held(row)) for row in rows if not right(row)]
            assert told.complete
            assert len(rows) == len({row.name for row in rows}) >= many
            by_name = told.by_name()
            for tag in ("", "2:") if mode == "two" else ("",):
                relations(told, {n[len(tag) :]: r for n, r in by_name.items() if n.startswith(tag + r.state)})
            assert told.loops and len(told.loops.loops) == (2 if mode == "two" else 1)
            assert all(loop.tid and loop.running and loop.kind == "asyncio" for loop in told.loops.loops)
            assert not told.loops.why
            # The task whose exception nobody asks for has ended, and is not among the living.
            assert not any(row.function == "failing" for row in told.tasks.values())

        watch.until_passes(all_right)


def held(row: Row) -> str:
    return ",".join(sorted(h.kind for h in row.holds))


def right(row: Row) -> bool:
    state, kinds, what = row.name.split(":")[-1].split("|")
    via = what.split()[0]
    named = row.wait.via == via or "." not in via
    return row.state == state and held(row) == kinds and (named or row.state not in ("lock", "queue", "io"))


def relations(told: Told, by_name: dict[str, Row]) -> None:
    holders = {"hold": 0, "nested": 2, "two": 4, "managed": 6, "stack": 7}
    for name, number in holders.items():
        holder = next(row for n, row in by_name.items() if n.endswith("|" + name))
        waiter = by_name[f"lock||Lock.acquire {number}"]
        lock = told.objects[waiter.wait.object]
        assert lock.holders == (holder.id,) and lock.exact and lock.waiting == 1 and lock.limit == lock.used == 1
        assert waiter.wait.object in [h.lock for h in holder.holds]
        assert all(h.confidence is Confidence.EXACT and h.site.expression for h in holder.holds)
    # `await lock.acquire()` and `finally` is told by the source, and proved by the lock's state.
    acquired = by_name["sleep|Lock|acquired"]
    lock = told.objects[by_name["lock||Lock.acquire 1"].wait.object]
    assert lock.holders == (acquired.id,) and not lock.exact
    assert acquired.holds[0].confidence is Confidence.INFERRED
    semaphore = told.objects[by_name["lock||Semaphore.acquire"].wait.object]
    assert (semaphore.limit, semaphore.used, semaphore.waiting) == (1, 1, 1)
    full = told.objects[by_name["queue||Queue.put"].wait.object]
    assert (full.limit, full.used, full.waiting) == (1, 1, 1)
    first = by_name["sleep||sleeper"]
    for name in ("await", "wait", "shield"):
        assert by_name[f"task||{name}"].awaits == (first.id,)
    gather = by_name["task||gather"]
    assert gather.awaited == 2 and {told.tasks[i].function for i in gather.awaits} == {"sleeper"}
    assert first.due_ns > first.since_ns > 0 and first.function == "sleeper"
    executor = by_name["executor||executor"]
    assert executor.wait.tid > 0 and not executor.wait.queued
    several = by_name["executor||executor of a gather"]
    assert several.wait.tid not in (0, executor.wait.tid) and not several.wait.queued
    peer = by_name["io||StreamReader.read"].wait.peer
    assert peer is not None and peer.name.startswith("127.0.0.1:")
    assert [f.function for f in by_name["sleep||deep"].stack].count("deep") == 31
    assert by_name["idle||serve_forever"].wait.state is TaskState.IDLE


def test_tasks_of_uvloop() -> None:
    pytest.importorskip("uvloop", reason="NOT TESTED: uvloop is not installed for the interpreter that runs the tests")
    from interpreters import current

    with target(current(), SOURCE, "uvloop") as process, watched(process.pid) as watch:
        told = watch.told

        def right() -> None:
            assert told.complete
            # There is no frame that tells: it is Cython's.
            rows = [row for row in told.tasks.values() if "serve_forever" not in row.name and "|" in row.name]
            assert not [(row.name, row.state) for row in rows if row.state != row.name.split("|")[0]]
            assert told.loops and [loop.kind for loop in told.loops.loops] == ["uvloop"]
            assert all(loop.tid and loop.ready >= 0 for loop in told.loops.loops)

        watch.until_passes(right)
