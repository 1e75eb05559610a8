"""trio's tasks are seen as asyncio's are; what cannot be seen is said to be unseen."""

from __future__ import annotations

from pathlib import Path

import pytest
from tasks_helpers import Row, watched
from test_tasks_pools import PYTHON
from test_tasks_standing import GIL, right

from interpreters import Interpreter, target

SOURCE = (Path(__file__).parent / "other_loops.py").read_text()


def test_tasks_of_trio() -> None:
    with target(PYTHON, SOURCE, "trio", ready=None) as process:
        if process.line() == "missing":
            pytest.skip(f"NOT TESTED: trio is not installed in {PYTHON.path}")
        with watched(process.pid) as watch:
            told = watch.told
            watch.until(lambda: told.complete and len([r for r in told.tasks.values() if "|" in r.name]) == 14)
            rows = {row.name: row for row in told.tasks.values() if "|" in row.name}
            assert not [
                (r.name, r.state, r.wait.via, r.holds) for r in rows.values() if r.state != r.name.split("|")[0]
            ]
            assert all(right(row) for name, row in rows.items() if name.startswith("sleep"))
            for kind, waiter in (("Limiter", "pool||limiter"), ("Lock", "lock||lock")):
                shared = told.objects[rows[waiter].wait.object]
                holder = rows[f"sleep|{kind}|{waiter.split('|')[-1]}"]
                assert (shared.kind, shared.library, shared.limit) == (kind, "trio", 1)
                assert shared.holders == (holder.id,) and shared.waiting == 1
            by_calls = told.objects[rows["lock||calls"].wait.object]
            assert (by_calls.holders, by_calls.exact) == ((rows["sleep|Lock|calls"].id,), False)
            # Both ends of a channel are one object.
            users = watch.until(lambda: told.objects[rows["queue||full"].wait.object].users)
            assert rows["sleep||takes"].id in users
            # A call in a thread that asks for another one has its token while it waits for the second.
            nested = rows["pool|Limiter|nested"]
            assert [h.lock for h in nested.holds] == [nested.wait.object]
            assert told.objects[nested.wait.object].holders == (nested.id,)
            main = next(row for row in told.tasks.values() if row.wait.via == "Nursery" and row.awaited == 14)
            assert set(main.awaits) == {row.id for row in rows.values()}
            assert rows["io||stream"].wait.peer is not None
            loops = watch.until(lambda: told.loops and told.loops.loops)
            assert [(loop.kind, loop.tid) for loop in loops] == [("trio", process.pid)]
            assert {d.kind for d in told.definitions.values()} == {"trio"}


def test_tasks_of_compiled_coroutines() -> None:
    """grpc.aio's are compiled by Cython; the handlers that they await are not."""
    with target(PYTHON, SOURCE, "grpc", ready=None) as process:
        if process.line() == "missing":
            pytest.skip(f"NOT TESTED: grpc is not installed in {PYTHON.path}")
        with watched(process.pid) as watch:

            def handlers() -> list[Row]:
                rows = watch.told.tasks.values()
                return [r for r in rows if any(f.function.endswith("handler") for f in r.stack)]

            watch.until(lambda: watch.told.complete and len(handlers()) == 3)
            assert sorted(row.state for row in handlers()) == ["lock", "lock", "sleep"]


def test_who_takes_things_out_of_a_stream() -> None:
    """anyio's: the two ends of one have their state in common."""
    with target(PYTHON, SOURCE, "anyio", ready=None) as process:
        if process.line() == "missing":
            pytest.skip(f"NOT TESTED: anyio is not installed in {PYTHON.path}")
        with watched(process.pid) as watch:

            def takers() -> dict[str, set[str]]:
                told = watch.told
                rows = {r.name: told.objects.get(r.wait.object) for r in told.tasks.values() if r.state == "queue"}
                return {n: {told.tasks[t].name for t in o.users if t in told.tasks} for n, o in rows.items() if o}

            # Whoever made the streams may have their ends, too.
            both = {"one", "other"}
            watch.until(lambda: {n: t & both for n, t in takers().items()} == {"one": {"other"}, "other": {"one"}})


@pytest.mark.parametrize("python", (GIL[0], GIL[-1]), ids=lambda i: i.label)
def test_tasks_in_pure_python_are_said_to_be_unseen(python: Interpreter) -> None:
    with target(python, SOURCE, "python") as process, watched(process.pid) as watch:
        loops = watch.until(lambda: watch.told.loops)
        assert any("pure Python" in sentence for sentence in loops.unseen)
