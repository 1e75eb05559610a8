"""Greenlets that are switched out: listed with the frames that greenlet itself tells, their states and holders."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from tasks_helpers import Row, Watch, watched
from test_tasks_pools import PYTHON

from concview.cpython.features import Features
from concview.model import AsyncObject
from interpreters import target

SOURCE = (Path(__file__).parent / "greenlets.py").read_text()
MANY = 300


def seen(watch: Watch, functions: int) -> dict[str, Row]:
    """Rows of the functions whose names tell their states, once all are there."""
    told = watch.told

    def all_there() -> dict[str, Row] | None:
        rows = {name: row for row in told.tasks.values() if "__" in (name := row.name.rpartition("-")[0])}
        return rows if len(rows) == functions and told.complete else None

    found: dict[str, Row] = watch.until(all_there)
    return found


def held(watch: Watch, waiter: Row) -> AsyncObject:
    """What a greenlet waits at, once its holders are told: objects are told seldom."""
    found: AsyncObject = watch.until(lambda: (o := watch.told.objects.get(waiter.wait.object)) and o.holders and o)
    return found


@pytest.mark.parametrize(("library", "functions"), [("gevent", 17), ("eventlet", 7)])
def test_greenlets(library: str, functions: int) -> None:
    with target(PYTHON, SOURCE, library, ready=None) as process:
        line = process.line()
        if line == "missing":
            pytest.skip(f"NOT TESTED: {library} is not installed in {PYTHON.path}")
        with watched(process.pid) as watch:
            rows, told = seen(watch, functions), watch.told
            assert not [(n, r.state, r.wait.via) for n, r in rows.items() if r.state != n.partition("__")[0]]
            for name, stack in json.loads(line).items():
                mine = [(f.file, f.line) for f in rows[name].stack]
                assert mine == [tuple(frame) for frame in stack], name
            for waiter in ("lock__semaphore", "lock__acquire")[: 2 if library == "gevent" else 1]:
                shared = held(watch, rows[waiter])
                assert (shared.kind, shared.library) == ("Semaphore", library)
                assert shared.holders == (rows["sleep__semaphore"].id,) and shared.exact
            pool = held(watch, rows["pool__spawn"])
            assert (pool.kind, pool.limit, pool.used, len(pool.holders)) == ("Pool", 1, 1, 1)
            assert rows["task__join"].awaits == (rows["sleep__semaphore"].id,)
            assert rows["io__recv"].wait.peer is not None
            loops = watch.until(lambda: told.loops and told.loops.loops)
            assert [(loop.kind, loop.tid) for loop in loops] == [(library, process.pid)]
            assert {d.kind for d in told.definitions.values()} == {"greenlet"}
            watch.until(lambda: told.loops and not told.loops.unseen)
            main = watch.until(lambda: told.by_name().get("main greenlet"))
            assert main.state == ("task" if library == "gevent" else "sleep")
            if library == "gevent":
                watch.until(lambda: len(told.tasks) >= MANY + functions)
                assert set(rows["task__all"].awaits) == {rows["sleep__semaphore"].id, rows["sleep__lock"].id}
                lock = held(watch, rows["lock__lock"])
                assert lock.holders == (rows["sleep__lock"].id,) and lock.kind == "Lock"
                assert rows["queue__put"].wait.via == "Queue.put"


def test_a_layout_that_does_not_fit_is_said() -> None:
    """Made-up C++ objects of another form: nothing is concluded from them, and why is said."""
    from concview.cpython.aio.greenlets import Greenlets, Head

    reader = Greenlets.__new__(Greenlets)
    reader.layout, reader.problem = None, ""
    reader._o = type("Offsets", (), {"features": Features((3, 12))})()
    words = [0] * 32
    for address in (0x1000, 0x2000):
        words[1], words[9] = address, (1 << 64) - 1  # where a main greenlet's stack would end, one word too far
    reader.prove([Head(0x2000, 0, 0x3000, struct.pack("<32Q", *words))])
    assert reader.layout is None and "main greenlet" in reader.problem
    reader.prove([])
    assert not reader.problem, "the library is imported, and nobody uses it"
