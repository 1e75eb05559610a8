"""Objects that threads wait for, and the frames that refer to them: addresses against what the target prints."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from direct_helpers import KeepingSink, tick_until, tick_until_passes, watching

from capacity import WAITS
from concview.engines.direct.relations.search import MOVED_NS, STILL_NS, Pace
from concview.engines.direct.thread_table import ThreadRow
from concview.model import NO_WAIT, Reference, Related, Relations
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

TARGET = Path(__file__).with_name("relations_target.py")


def _objects(sink: KeepingSink) -> dict[int, Related]:
    reports = [e for e in sink.events if isinstance(e, Relations)]
    return {o.address: o for o in reports[-1].objects} if reports else {}


def _told(sink: KeepingSink, address: int) -> Related | None:
    return _objects(sink).get(address)


def test_who_refers_to_what_is_waited_for(direct_python: Interpreter) -> None:
    with target(direct_python, TARGET) as process, watching(process.pid) as (engine, sink):
        tids, ids = json.loads(process.line())

        def told() -> None:
            objects = _objects(sink)
            report = next(e for e in reversed(sink.events) if isinstance(e, Relations))
            assert report.threads == report.of == len(tids) + 1

            def of(name: str) -> Related:
                found = objects[ids[name]]
                assert found.complete
                return found

            def reference(name: str, thread: str, **more: Any) -> Reference:
                mine = [r for r in of(name).references if r.tid == tids[thread]]
                fitting = [r for r in mine if all(getattr(r, key) == value for key, value in more.items())]
                assert fitting, (name, thread, more, mine)
                return fitting[0]

            sem = of("sem")
            assert (sem.kind, sem.type, sem.value, sem.most) == ("Semaphore", "BoundedSemaphore", 0, 1)
            assert sem.waiters == (tids["permit"],)
            taken = reference("sem", "holder", by="global", path="sem", past="acquire", will="release", source=True)
            assert taken.past_line < taken.line < taken.will_line
            assert reference("sem", "permit").part == "head"

            cond = of("cond")
            assert (cond.kind, cond.name, cond.container, cond.container_type) == (
                "Condition",
                "self._cond",
                ids["pool"],
                "Pool",
            )
            assert cond.value == 1 and cond.waiters == (tids["borrower"],)
            reference("cond", "lender", by="local", path="pool._cond", past="get", will="notify", through="put")
            reference("cond", "borrower", by="local", path="application.pool._cond", will="")

            # The one that has it is in the body of a `with` over a generator, which is not on its stack; on one line.
            reference(
                "lent", "user-0", by="with", through="Lending.connection", path="self._cond", past="enter", will="exit"
            )
            waits = [r for r in of("lent").references if r.tid == tids["user-1"] and r.function == "user"]
            assert [r.past for r in waits] == [""], waits
            if direct_python.version >= (3, 11):
                assert waits[0].part == "head" and waits[0].columns != (0, 0)
                reference("lent", "user-0", by="global", through="connection", part="body")

            once = of("once")
            assert (once.kind, once.value, once.waiters) == ("Event", 0, (tids["closed"],))
            reference("once", "slotted", by="local", path="self.event", will="set")
            reference("once", "closed", by="cell", path="event", will="")
            assert tids["elsewhere"] not in {r.tid for o in objects.values() for r in o.references}

            full = of("full")
            assert (full.kind, full.value, full.most, full.unfinished) == ("Queue", 1, 1, 1)
            reference("full", "consumer", by="global", path="full", will="get", loops=True)
            reference("full", "producer", path="q", will="")

            assert (of("meeting").value, of("meeting").most) == (1, 3)
            reference("meeting", "meets", path="meeting", will="wait")

        tick_until_passes(engine, told, looks=True)


@pytest.mark.few
def test_a_stack_that_was_not_searched_in_whole_is_said_to_be_so(direct_python: Interpreter) -> None:
    source = """
import json, threading, time
event = threading.Event()
def deep(n, own):
    if n:
        deep(n - 1, None)
    else:
        time.sleep(1000)
threading.Thread(target=event.wait, daemon=True).start()
threading.Thread(target=deep, args=(60, event), daemon=True).start()
print("ready")
print(json.dumps(id(event)), flush=True)
time.sleep(1000)
"""
    with target(direct_python, source) as process, watching(process.pid) as (engine, sink):
        address = json.loads(process.line())

        def told() -> None:
            assert not _objects(sink)[address].complete

        tick_until_passes(engine, told, looks=True)


REBORN = """
import sys, threading, time
class Wrapper:
    def __init__(self, lock): self.lock = lock
    def take(self):
        self.lock.acquire()
        self.lock.release()
print("ready", flush=True)
wrapper = Wrapper(None)
def turn(lock):
    wrapper.lock = lock
    thread = threading.Thread(target=wrapper.take)
    with lock:
        thread.start()
        print(id(lock), flush=True)
        sys.stdin.readline()
    thread.join()
for lock in [threading.Lock() for _ in range(4)]:
    turn(lock)
"""


@pytest.mark.few
def test_an_object_that_has_got_another_attribute_is_read_anew(direct_python: Interpreter) -> None:
    """What a thread refers to is believed for seconds, but not of one that has moved."""
    with target(direct_python, REBORN) as process, watching(process.pid) as (engine, sink):
        for _ in range(4):
            lock = int(process.line())
            # When it is told for the first time: later it would be read again in any case.
            found = tick_until(engine, partial(_told, sink, lock), looks=True)
            assert "self.lock" in {r.path for r in found.references if r.tid in found.waiters}
            process.send("go")


TWO_NAMES = """
import threading, time
condition = threading.Condition()
class Cache:
    def __init__(self): self.lock = self.condition = condition
    def call(self, first):
        lock, condition = self.lock, self.condition
        with lock:
            while not first: condition.wait()
        try:
            time.sleep(1000)
        finally:
            with lock: condition.notify_all()
cache = Cache()
for first in (True, False):
    threading.Thread(target=cache.call, args=(first,), daemon=True).start()
print("ready", flush=True)
print(id(condition), flush=True)
time.sleep(1000)
"""


@pytest.mark.few
def test_of_two_names_of_one_object_the_one_counts_by_which_something_is_done(direct_python: Interpreter) -> None:
    with target(direct_python, TWO_NAMES, settled=True) as process, watching(process.pid) as (engine, sink):
        address = int(process.line())
        found = tick_until(engine, partial(_told, sink, address), looks=True)
        tick_until(engine, lambda: any(r.will for r in _objects(sink)[address].references), looks=True)
        found = _objects(sink)[address]
    giving = [r for r in found.references if r.will and r.tid not in found.waiters]
    assert {(r.path, r.will) for r in giving} == {("condition", "notify_all")}


def test_only_what_is_new_is_searched_at_once() -> None:
    pace = Pace()
    rows = [(ThreadRow(tid, 0), NO_WAIT) for tid in (1, 2, 3)]
    first = {10: rows[:1]}
    assert pace.due(0, first) and not pace.due(MOVED_NS, first)
    assert pace.due(MOVED_NS, {10: rows[:1], 20: rows[1:]}), "another object"
    assert not pace.due(2 * MOVED_NS - 1, {10: rows[:2], 20: rows[2:]}), "others wait for the same"
    assert pace.due(2 * MOVED_NS, {10: rows[:2], 20: rows[2:]})
    assert pace.due(2 * MOVED_NS + STILL_NS, {10: rows[:2], 20: rows[2:]})
    assert pace.due(2 * MOVED_NS + STILL_NS + 1, {}) and not pace.due(2 * MOVED_NS + STILL_NS + 2, {})


def test_nobody_waits_and_nothing_is_told(direct_python: Interpreter) -> None:
    source = "import threading, time\nl = threading.Lock()\nprint('ready', flush=True)\nwith l:\n    time.sleep(1000)\n"
    with target(direct_python, source) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: any(isinstance(e, Relations) for e in sink.events), looks=True)
        reports = [e for e in sink.events if isinstance(e, Relations)]
        calls = engine.tally.system_calls
    assert [r.objects for r in reports] == [()] and reports[0].of == 1
    assert calls < 2_000
