"""Rules about tasks on made-up streams: what fires, on whom, and what must not."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec import structs

sys.path.insert(0, str(Path(__file__).parents[1] / "analysis"))
from aio_build import DATABASE, LOOP, PID, TID, S, Stream, held

from concview import registry
from concview.analysis.blame.tracker import Tracker
from concview.analysis.history import History
from concview.analysis.tasks.waitfor import circles, lost, wait_edges
from concview.analysis.window import Window
from concview.catalogue.base import Inapplicable, Observation, task_twin_of
from concview.catalogue.judge import Judge, Judgement
from concview.catalogue.rules import _aio
from concview.catalogue.rules._loops import Stretch, apart, callback_of, counted, greenlet_of, in_one, on_average
from concview.catalogue.rules.async_busy_wait import AsyncBusyWait
from concview.catalogue.rules.async_deadlock import AsyncDeadlock
from concview.catalogue.rules.async_lock_held_across_await import AsyncLockHeldAcrossAwait
from concview.catalogue.rules.async_pool_exhausted import AsyncPoolExhausted
from concview.catalogue.rules.async_semaphore_saturated import AsyncSemaphoreSaturated
from concview.catalogue.rules.async_straggler import AsyncStraggler
from concview.catalogue.rules.executor_exhausted import ExecutorExhausted
from concview.catalogue.rules.loop_starvation import LoopStarvation
from concview.catalogue.rules.task_leak import TaskLeak
from concview.model import (
    IN_PROCESSES,
    AsyncObject,
    Frame,
    Loops,
    LoopState,
    Peer,
    Stack,
    State,
    TaskState,
    TaskWait,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)
from concview.snapshot import Blame
from concview.source.wakes import Wakes

READ = TaskWait(TaskState.IO, "StreamReader.read", peer=DATABASE)
SLEEP = TaskWait(TaskState.SLEEP, "sleep")


def lock(address: int, via: str = "Lock.acquire", kind: str = "Lock") -> TaskWait:
    return TaskWait(TaskState.LOCK, via, address, kind)


def pool(address: int) -> TaskWait:
    return TaskWait(TaskState.POOL, "Pool.acquire", address, "Pool")


def window(stream: Stream) -> Window:
    history = History()
    for event in stream.events:
        history.apply(event)
    return Window(history)


def judged(stream: Stream) -> Judgement:
    """Every rule, as a session asks: once a second."""
    history, judge = History(), Judge()
    last, judgement = 0, Judgement()
    for event in stream.events:
        history.apply(event)
        if isinstance(event, Tick) and event.at_ns - last >= S // 2:
            last = event.at_ns
            judgement = judge.evaluate(Window(history))
    return judgement


def one(found: list[Observation]) -> Observation:
    assert len(found) == 1, found
    return found[0]


def thread(stream: Stream, tid: int, name: str, wait: Wait, *frames: Frame) -> None:
    stream.events.append(ThreadDef(tid, name))
    number = 10_000 + tid
    stack = stream.stack(*frames)
    stream.events += [WaitDef(number, wait), Tick(stream.at, 0, 0, False, (tid, stack, number, 0))]


# ---------------------------------------------------------------- circles


def test_two_tasks_and_two_locks() -> None:
    stream = Stream()
    debit, credit, parent = stream.task("debit"), stream.task("credit"), stream.task("main")
    stream.does(debit, lock(0xB), 11, holds=(held(0xA, "self.accounts"),))
    stream.does(credit, lock(0xA), 21, holds=(held(0xB, "self.ledger"),))
    stream.does(parent, TaskWait(TaskState.TASK, "TaskGroup"), 30, awaits=(debit, credit))
    stream.objects = {
        0xA: AsyncObject(0xA, "Lock", "self.accounts", "asyncio", holders=(debit,)),
        0xB: AsyncObject(0xB, "Lock", "self.ledger", "asyncio", holders=(credit,)),
    }
    stream.run(3)
    found = one(list(AsyncDeadlock().observe(window(stream))))
    assert found.score == 100 and set(found.tasks) == {debit, credit, parent}
    assert "which credit has" in found.summary and "self.accounts and self.ledger" in found.fix.replace(
        "self.ledger and self.accounts", "self.accounts and self.ledger"
    )
    judgement = judged(stream)
    assert [f.id for f in judgement.findings] == ["async-deadlock"], "it explains what else is seen of it"


def test_a_task_that_takes_its_own_lock() -> None:
    stream = Stream()
    task = stream.task("t")
    stream.does(task, lock(0xA), 11, holds=(held(0xA, "self._lock"),))
    stream.run(3)
    found = one(list(AsyncDeadlock().observe(window(stream))))
    assert "waits for itself" in found.title and "cannot be taken twice" in found.fix


def test_locks_of_one_attribute_are_told_by_the_lines_that_wait() -> None:
    stream = Stream()
    there, back = stream.task("there"), stream.task("back")
    for task, wanted, has in ((there, 0xB, 0xA), (back, 0xA, 0xB)):
        wait = msgspec.structs.replace(lock(wanted), written="target.lock")
        stream.does(task, wait, 11, holds=(held(has, "source.lock"),))
    stream.objects = {
        0xA: AsyncObject(0xA, "Lock", "source.lock", "asyncio", holders=(there,)),
        0xB: AsyncObject(0xB, "Lock", "source.lock", "asyncio", holders=(back,)),
    }
    stream.run(3)
    found = one(list(AsyncDeadlock().observe(window(stream))))
    assert "waits for target.lock" in found.summary and "which there has as source.lock" in found.summary
    assert "Unchanged for at least 2.9 s." in found.summary, "they waited before they were first seen"


def test_a_circle_must_stand_for_a_second() -> None:
    stream = Stream()
    task = stream.task("t")
    stream.run(1)
    stream.does(task, lock(0xA), 11, holds=(held(0xA, "self._lock"),))
    stream.run(0.5)
    assert one(list(AsyncDeadlock().observe(window(stream)))).needs


def test_a_pool_is_lost_only_when_all_that_have_one_want_another() -> None:
    def all_but(free: int) -> Stream:
        stream = Stream()
        tasks = [stream.task(f"t-{n}") for n in range(3)]
        for n, task in enumerate(tasks):
            stream.does(task, pool(0xA) if n >= free else READ, 11, holds=(held(0xA, "pool", "Pool"),))
        stream.objects[0xA] = AsyncObject(0xA, "Pool", "", "asyncpg", 3, 3, 3, tuple(tasks))
        stream.run(2)
        return stream

    assert not list(AsyncDeadlock().observe(window(all_but(1))))
    assert len(one(list(AsyncDeadlock().observe(window(all_but(0))))).tasks) == 3


def test_who_has_the_rest_of_a_pool_must_be_seen() -> None:
    stream = Stream()
    task = stream.task("t")
    stream.does(task, pool(0xA), 11, holds=(held(0xA, "pool", "Pool"),))
    stream.objects[0xA] = AsyncObject(0xA, "Pool", "", "asyncpg", 3, 3, 1, (task,))
    stream.run(2)
    assert not list(AsyncDeadlock().observe(window(stream)))


def test_a_circle_through_a_thread() -> None:
    stream = Stream()
    first, second = stream.task("first"), stream.task("second", serves=0xF)
    stream.does(first, TaskWait(TaskState.EXECUTOR, "executor", tid=200), 5, holds=(held(0xA, "lock"),))
    stream.does(second, lock(0xA), 15)
    stream.objects[0xA] = AsyncObject(0xA, "Lock", "lock", "asyncio", holders=(first,))
    stream.run(0.5)
    result = Wait(WaitKind.FUTEX, "futex", lock=0xF, lock_kind="Future", via="Future.result")
    thread(stream, 200, "asyncio_0", result, Frame("call", "/srv/app.py", 70))
    stream.run(2)
    seen = window(stream)
    edges = wait_edges(seen)
    assert lost(edges) == {-first, -second, 200} and len(circles(edges)) == 1
    found = one(list(AsyncDeadlock().observe(seen)))
    assert found.threads == (200,) and "run_coroutine_threadsafe" in found.fix


def test_a_loop_that_blocks_for_a_task_of_its_own() -> None:
    stream = Stream(thread_wait=Wait(WaitKind.FUTEX, "futex", lock=0xF, lock_kind="Future", via="Future.result"))
    stream.loop_stack = (Frame("blocking", "/srv/app.py", 8), *stream.loop_stack[1:])
    task = stream.task("wanted", serves=0xF)
    stream.does(task, TaskWait(TaskState.READY), 3)
    stream.run(3)
    found = one(list(AsyncDeadlock().observe(window(stream))))
    assert found.threads == (TID,) and found.tasks == (task,)


def test_whoever_may_give_up_or_go_on_is_not_lost() -> None:
    stream = Stream()
    one_, two = stream.task("one"), stream.task("two")
    given_up = (Frame("wait_for", "/usr/lib/python3.12/asyncio/tasks.py", 520, "", "stdlib"),)
    stream.does(one_, lock(0xB), 11, holds=(held(0xA, "a"),), inner=given_up)
    stream.does(two, lock(0xA), 21, holds=(held(0xB, "b"),))
    stream.run(2)
    assert not list(AsyncDeadlock().observe(window(stream)))


# ---------------------------------------------------------------- crowds


def crowd(waiters: int, holder: TaskWait, kind: str = "Lock") -> Stream:
    stream = Stream()
    owner = stream.task("owner")
    stream.does(owner, holder, 12, holds=(held(0xA, "self._lock", kind),))
    for n in range(waiters):
        task = stream.task(f"w-{n}")
        stream.does(task, lock(0xA) if kind == "Lock" else pool(0xA), 11)
    stream.objects[0xA] = AsyncObject(0xA, kind, "self._lock", "asyncio", 1, 1, waiters, (owner,))
    stream.run(8)
    return stream


def test_a_lock_held_across_an_await() -> None:
    found = one(list(AsyncLockHeldAcrossAwait().observe(window(crowd(5, READ)))))
    assert found.value == pytest.approx(5, abs=0.1) and found.lower >= 1 and "10.0.0.1:5432" in found.summary
    assert [s.role for s in found.stacks] == ["holder", "waiter", "waiter"] and all(s.task for s in found.stacks)


def test_a_lock_whose_holder_only_computes_is_another_matter() -> None:
    assert not list(AsyncLockHeldAcrossAwait().observe(window(crowd(5, TaskWait(TaskState.READY)))))


def test_an_exhausted_pool() -> None:
    stream = crowd(5, READ, "Pool")
    found = one(list(AsyncPoolExhausted().observe(window(stream))))
    assert found.lower >= 1.5 and "1 of 1 in use" in found.title
    assert [f.id for f in judged(stream).findings] == ["async-pool-exhausted"]


def test_calls_that_queue_for_a_thread() -> None:
    stream = Stream()
    for n in range(10):
        task = stream.task(f"t-{n}")
        stream.does(task, TaskWait(TaskState.EXECUTOR, "executor", tid=200 + n if n < 2 else 0, queued=n >= 2), 9)
    stream.objects[0xE] = AsyncObject(0xE, "Executor", "asyncio", "asyncio", 2, 2, backlog=8, threads=(200, 201))
    stream.run(6)
    found = one(list(ExecutorExhausted().observe(window(stream))))
    assert found.value == found.lower == 8 and "2 of 2 busy, 8 queued" in found.title


# ---------------------------------------------------------------- batches, leaks, loops


def test_a_batch_that_waits_for_its_last_task() -> None:
    def batches(tail: float) -> list[Observation]:
        stream = Stream()
        main = stream.task("main")
        stream.run(0.5)
        for _ in range(4):
            parts = [stream.task(f"p-{n}") for n in range(20)]
            began = stream.at
            stream.does(main, TaskWait(TaskState.TASK, "gather"), 30, awaits=tuple(parts), since=began)
            for part in parts:
                stream.does(part, READ, 40)
            stream.run(1 - tail)
            stream.end(*parts[1:])
            stream.does(main, TaskWait(TaskState.TASK, "gather"), 30, awaits=(parts[0],), since=began)
            stream.run(tail)
            stream.end(parts[0])
            stream.does(main, TaskWait(TaskState.RUNNING, tid=TID))
            stream.run(0.1)
        return list(AsyncStraggler().observe(window(stream)))

    assert one(batches(0.8)).lower >= 0.7
    assert one(batches(0.2)).value < 0.5


def test_tasks_that_never_end() -> None:
    def rising(wait: TaskWait, ending: bool = False) -> list[Observation]:
        stream = Stream()
        for n in range(90):
            task = stream.task(f"t-{n}", "watch")
            stream.does(task, wait, 40, "watch")
            stream.run(0.1)
            if ending:
                stream.end(task)
        return [o for o in TaskLeak().observe(window(stream)) if o.lower >= 50]

    sure = one(rising(lock(0xA, "Event.wait", "Event")))
    assert sure.floor == 75 and sure.severity_cap == ""
    assert one(rising(SLEEP)).severity_cap == "info", "they may only be slow"
    assert one(rising(READ)).severity_cap == "info"
    assert not rising(SLEEP, ending=True)


def busy_loop(top: float) -> Stream:
    at = 40_000_000
    state = LoopState(LOOP, "asyncio", TID, True, 50, 20, 0, 9, 9, 0, 0, at, at, at, 0.99, 20, 0, 0, 2, top)
    running = Wait(WaitKind.RUNNING)
    stream = Stream(loop=state, thread_wait=running)
    stream.loop_stack = (Frame("crunch", "/srv/app.py", 8), *stream.loop_stack[1:])
    stream.does(stream.task("crunch"), TaskWait(TaskState.RUNNING, tid=TID))
    stream.run(6)
    return stream


def test_a_loop_that_never_idles() -> None:
    found = one(list(LoopStarvation().observe(window(busy_loop(0.9)))))
    assert found.lower == pytest.approx(0.04) and found.severity_cap == ""
    assert one(list(LoopStarvation().observe(window(busy_loop(0.1))))).severity_cap == "info", "many short steps"


YIELDS = "await asyncio.sleep(0)"


@pytest.mark.parametrize(("text", "computes", "polls"), [
    (YIELDS, False, True),
    ("while not self.ready: await asyncio.sleep( 0.001 )", False, True),
    ("await trio.lowlevel.checkpoint()", False, True),
    (YIELDS, True, False),  # on other lines of theirs
    ("await asyncio.sleep(0.05)", False, False),
    ("await self.sleep(queue)", False, False),
])  # fmt: skip
def test_tasks_that_come_back_to_a_line_which_does_not_wait(text: str, computes: bool, polls: bool) -> None:
    stream = Stream(thread_wait=Wait(WaitKind.RUNNING))
    assert stream.loop is not None
    stream.loop = structs.replace(stream.loop, busy=1.0)
    handle = Frame("Handle._run", "/usr/lib/python3.12/asyncio/events.py", 88, "", "stdlib")
    machinery = stream.loop_stack[1:]
    stream.loop_stack = (Frame("work", "/srv/app.py", 40, "crunch()"), handle, *machinery) if computes else machinery
    for n in range(3):
        stream.does(stream.task(f"t{n}"), TaskWait(TaskState.READY), 41, text=text)
    stream.run(6)
    found = list(AsyncBusyWait().observe(window(stream)))
    assert bool(found) == polls
    if polls:
        assert (
            one(found).value == pytest.approx(1, abs=0.02)
            and "3 tasks of work take 100 % of a core" in found[0].summary
        )
        assert "app.py:41" in found[0].summary and ("loop-starvation", "*") in found[0].explains


@pytest.mark.parametrize(("function", "origin", "a_second", "polls"), [
    ("Poller._check", "user", 20_000, True),
    ("Poller._check", "user", 500, False),  # it works
    ("work", "user", 20_000, False),  # the tasks' own function
    ("Transport._read_ready", "stdlib", 20_000, False),
])  # fmt: skip
def test_a_callback_that_is_due_again_as_soon_as_it_has_run(
    function: str, origin: str, a_second: int, polls: bool
) -> None:
    stream = Stream(thread_wait=Wait(WaitKind.RUNNING))
    assert stream.loop is not None
    handle = Frame("Handle._run", "/usr/lib/python3.12/asyncio/events.py", 88, "", "stdlib")
    stream.loop_stack = (Frame(function, "/srv/app.py", 8, "", origin), handle, *stream.loop_stack[1:])
    stream.does(stream.task("t"), SLEEP, 41)
    for n in range(12):
        pops = n * a_second // 2
        stream.loop = structs.replace(stream.loop, busy=1.0, pushes=pops, pops=pops)
        stream.run(0.5)
    found = list(AsyncBusyWait().observe(window(stream)))
    assert [f.title for f in found] == ([f"{function} is due again as soon as it has run"] if polls else [])
    if polls:
        assert found[0].value == pytest.approx(1, abs=0.02) and "20.0k callbacks a second" in found[0].summary


def reports(pops: int, longest_ns: int) -> list[Loops]:
    def state(total: int) -> LoopState:
        return LoopState(LOOP, "uvloop", TID, True, 1, 0, -1, total, total, -1, -1, 0, 0, longest_ns, 0.9, 20)

    return [Loops(n * S // 2, S // 2, (state(n * pops),)) for n in range(12)]


def test_steps_one_after_another_are_not_one_stretch() -> None:
    stretch = Stretch(S, 4 * S, Frame("f", "/srv/app.py", 1), [3 * S, 0, 0, 0, 0, 0, 0, 0])
    cut = apart([stretch], counted(reports(12, 40_000_000), TID))[0]
    assert cut.ns < 0.1 * S
    assert apart([stretch], counted(reports(0, 0), TID))[0].ns == 3 * S, "no callback ran meanwhile"
    assert apart([stretch], counted(reports(12, 3 * S), TID))[0].ns == 3 * S, "others waited for all of it"
    assert apart([stretch], counted(reports(12, 40_000_000), TID + 1))[0].ns == 3 * S, "another thread's loop"
    instant = replace(stretch, end_ns=stretch.start_ns)
    assert apart([instant], counted(reports(12, 40_000_000), TID + 1)) == [instant], "one of no length at all"


@pytest.mark.parametrize(("pops", "long"), [(2, True), (5, False)])
def test_a_loop_that_goes_from_one_long_callback_into_the_next(pops: int, long: bool) -> None:
    """Never seen in between: 10 or 4 callbacks a second while it always computes."""
    stretch = Stretch(S, 5 * S, Frame("f", "/srv/app.py", 1), [4 * S, 0, 0, 0, 0, 0, 0, 0])
    found = on_average([stretch], counted(reports(pops, 0), TID), S // 10)
    if long:
        mean = 4 / 17  # 16 callbacks in 4 s, and the one that it ends in
        assert all(s.ns / S == pytest.approx(mean, rel=0.01) for s in found)
        assert len(found) == int((4 - 16 * 0.1) / mean), "in shorter ones at most 16 times 0.1 s"
        assert all(s.states[State.RUNNING] == pytest.approx(s.ns, rel=0.01) for s in found)
    else:
        assert not found


def test_half_seconds_in_which_no_callback_began_are_in_one() -> None:
    computes = [
        Stretch(round(a * S), round(b * S), Frame("f", "/srv/app.py", 1), [round((b - a) * S), 0, 0, 0, 0, 0, 0, 0])
        for a, b in ((0.0, 2.2), (2.25, 3.4), (3.5, 4.4), (5.2, 5.4))
    ]
    totals = (0, 0, 0, 2, 2, 4, 6, 6, 6, 6, 9, 9)  # at 0, 0.5, 1 s ...
    plain = reports(0, 0)
    told = [
        structs.replace(r, loops=(structs.replace(r.loops[0], pops=n),)) for r, n in zip(plain, totals, strict=True)
    ]
    found = in_one(computes, counted(told, TID))
    assert [(s.start_ns / S, s.end_ns / S) for s in found] == [(0.0, 1.0), (1.5, 2.0), (3.0, 4.5)]
    assert [s.states[State.RUNNING] for s in found] == [pytest.approx(part * S, rel=0.01) for part in (1.0, 0.5, 1.3)]


# ---------------------------------------------------------------- what is judged at all


def test_rules_of_threads_are_not_clear_where_only_tasks_run() -> None:
    stream = Stream()
    stream.does(stream.task("t"), SLEEP, 3)
    stream.run(6, 0.02)
    judgement = judged(stream)
    refused = {n.id: n for n in judgement.not_applicable}
    rules = registry.everything("concview.catalogue.rules", "RULE").values()
    of_threads = {rule.id for rule in rules if task_twin_of(rule) is not None}
    assert "deadlock" in of_threads <= refused.keys() and not of_threads & set(judgement.clear)
    assert "async-lock-held-across-await" in refused["lock-contention"].why
    assert "async-pool-exhausted" in judgement.clear and not judgement.findings


def test_rules_of_threads_judge_where_a_thread_has_work() -> None:
    stream = Stream()
    stream.does(stream.task("t"), SLEEP, 3)
    stream.run(0.5)
    thread(stream, 300, "worker", Wait(WaitKind.RUNNING), Frame("work", "/srv/app.py", 5))
    stream.run(6, 0.02)
    assert "lock-contention" in judged(stream).clear


def test_without_tasks_or_sight_of_them_nothing_is_clear() -> None:
    stream = Stream(why="tasks are not read: odd layout")
    stream.run(3)
    with pytest.raises(Inapplicable, match="odd layout"):
        _aio.require_tasks(window(stream))
    stream = Stream()
    stream.run(3)
    assert not {c for c in judged(stream).clear if c.startswith("async-")}
    assert window(stream).target.pid == PID


# ---------------------------------------------------------------- blame


def with_source(stream: Stream, source: str) -> Blame:
    """The blame, where the program's file reads so."""
    lines = source.split("\n")
    found = Tracker(Wakes(lambda file: lines if file == "/srv/app.py" else ())).blame(window(stream))
    assert found is not None
    return found


def blamed(stream: Stream) -> Blame:
    history = History()
    for event in stream.events:
        history.apply(event)
    said = Tracker().blame(Window(history))
    assert said is not None
    return said


def test_the_time_of_tasks_is_followed_to_the_end() -> None:
    said = blamed(crowd(5, READ))
    assert said.verdict == "held up" and said.severity == "warn" and "self._lock" in said.sentence
    assert "tasks (w)" in said.sentence and "10.0.0.1:5432" in said.sentence
    top = said.causes[0]
    assert len(top.tasks) == 5 and not top.threads and top.exact
    assert [s.via for s in top.path] == ["lock"] and len(top.path[0].owning_tasks) == 1
    assert said.tasks == pytest.approx(6, abs=0.2)
    assert said.own + said.held_up + said.waits + said.starved + said.quiet + said.unexplained == pytest.approx(1)


def test_a_circle_of_tasks_is_stuck() -> None:
    stream = Stream()
    one_, two = stream.task("one"), stream.task("two")
    stream.does(one_, lock(0xB), 11, holds=(held(0xA, "a"),))
    stream.does(two, lock(0xA), 21, holds=(held(0xB, "b"),))
    stream.run(8)
    assert blamed(stream).verdict == "stuck"


def test_a_task_waits_for_a_thread_and_that_for_a_task() -> None:
    stream = Stream()
    caller, server = stream.task("caller"), stream.task("server", serves=0xF)
    stream.does(caller, TaskWait(TaskState.EXECUTOR, "executor", tid=200), 5)
    stream.does(server, READ, 15)
    stream.run(0.5)
    result = Wait(WaitKind.FUTEX, "futex", lock=0xF, lock_kind="Future", via="Future.result")
    thread(stream, 200, "asyncio_0", result, Frame("call", "/srv/app.py", 70))
    stream.run(6)
    ways = {tuple(s.via for s in c.path): c.kind for c in blamed(stream).causes}
    assert ways["result", "result"] == "peer", "through both worlds, to the database"


def test_a_task_that_gave_its_result_has_ended_when_the_moment_is_judged() -> None:
    stream = Stream()
    thread(stream, 200, "caller", Wait(WaitKind.SLEEP, "sleep"), Frame("call", "/srv/app.py", 60))
    stream.run(0.5)
    for n in range(60):
        server = stream.task(f"server-{n}", serves=0xF0 + n)
        stream.does(server, TaskWait(TaskState.SLEEP, "sleep"), 15)
        result = Wait(WaitKind.FUTEX, "futex", lock=0xF0 + n, lock_kind="Future", via="Future.result")
        number = 20_000 + n
        stack = stream.stack(Frame("call", "/srv/app.py", 70))
        stream.events += [WaitDef(number, result), Tick(stream.at, 0, 0, False, (200, stack, number, 0))]
        stream.run(0.1)
        stream.end(server)
    said = blamed(stream)
    assert said.verdict != "unexplained" and said.share(said.unexplained) < 0.1
    assert "sleep" in {c.kind for c in said.causes if 200 in c.threads and [s.via for s in c.path] == ["result"]}


def test_tasks_that_only_pace_or_wait_for_work_are_quiet() -> None:
    stream = Stream()
    for n in range(5):
        stream.does(stream.task(f"c-{n}"), TaskWait(TaskState.QUEUE, "Queue.get", 0xA, "Queue"), 3)
    stream.does(stream.task("server"), TaskWait(TaskState.IDLE, "serve_forever"), 4)
    stream.run(6)
    said = blamed(stream)
    assert said.verdict == "idle" and said.quiet == pytest.approx(1, abs=0.02) and "nobody is held up" in said.sentence


@pytest.mark.parametrize("limited", [False, True])
def test_an_event_that_nobody_sets_matters_to_who_waits_without_a_limit(limited: bool) -> None:
    stream = Stream()
    inner: tuple[Frame, ...] = (Frame("Event.wait", "/usr/lib/python3.12/asyncio/locks.py", 212, "", "stdlib"),)
    if limited:
        inner += (Frame("wait_for", "/usr/lib/python3.12/asyncio/tasks.py", 520, "", "stdlib"),)
    for n in range(3):
        stream.does(stream.task(f"waits-{n}"), lock(0xA, "Event.wait", "Event"), 3, inner=inner)
    stream.run(8)
    said = blamed(stream)
    assert said.verdict == ("idle" if limited else "dormant"), said.sentence


@pytest.mark.parametrize("beside", [True, False])
def test_an_event_that_is_waited_for_beside_work_is_no_riddle(beside: bool) -> None:
    """`asyncio.wait({get, closed.wait()}, FIRST_COMPLETED)`, with new tasks each time."""
    stream = Stream()
    consumer = stream.task("consumer")
    get, closed = stream.task("get"), stream.task("wait")
    event = Frame("Event.wait", "/usr/lib/python3.12/asyncio/locks.py", 212, "", "stdlib")
    stream.run(1)
    for _ in range(7):
        stream.end(get, closed)
        get, closed = stream.task("get"), stream.task("wait")
        stream.does(get, TaskWait(TaskState.QUEUE, "Queue.get", 0x9, "Queue"), 13)
        stream.does(closed, lock(0xE, "Event.wait", "Event"), stack=(event,))
        stream.does(consumer, TaskWait(TaskState.TASK, "wait" if beside else "gather"), 12, awaits=(get, closed))
        stream.run(1)
    assert blamed(stream).verdict == ("idle" if beside else "unexplained")


def test_a_future_that_tells_no_more_is_unexplained_never_clear() -> None:
    stream = Stream()
    for n in range(3):
        stream.does(stream.task(f"t-{n}"), TaskWait(TaskState.UNKNOWN, "future", kind="Future"), 3)
    stream.run(6)
    assert blamed(stream).verdict == "unexplained"


@pytest.mark.parametrize(
    "may", ["", "timer", "outside", "unknown", "ready", "peer", "stop", "thread", "process", "unseen"]
)
def test_a_loop_that_nothing_will_wake_is_closed(may: str) -> None:
    """Not where something may, or it is not known."""
    asleep = Wait(WaitKind.IO, "epoll_wait", 3, Peer("epoll", "epoll"))
    stream = Stream(thread_wait=asleep, unseen=("tasks in pure Python",) if may == "unseen" else ())
    assert stream.loop is not None
    outside = {"outside": 1, "unknown": -1}.get(may, 0)
    stream.loop = structs.replace(stream.loop, ready=int(may == "ready"), timers=int(may == "timer"), outside=outside)
    stream.objects[0xE] = AsyncObject(0xE, "Event", "self.stopping" if may == "stop" else "self.full", "asyncio")
    for n in range(3):
        stream.does(stream.task(f"w{n}"), lock(0xE, "Event.wait", "Event"), 11)
    first = stream.task("first")
    stream.does(first, READ if may == "peer" else TaskWait(TaskState.QUEUE, "Queue.get", 0x9, "Queue"), 12)
    if may == "process":
        stream.does(first, TaskWait(TaskState.EXECUTOR, "executor", kind=IN_PROCESSES), 12)
    stream.run(1)
    if may == "thread":
        thread(stream, 200, "ticker", Wait(WaitKind.SLEEP), Frame("tick", "/srv/app.py", 70))
    stream.run(8)
    said = blamed(stream)
    assert ("Nothing can go on" in said.sentence) == (not may), said.sentence
    if not may:
        assert said.verdict == "stuck" and "each of the 4 tasks waits" in said.sentence
        assert "3 w for self.full to be set (app.py:11)" in said.sentence


def test_tasks_that_cannot_be_read_are_no_verdict() -> None:
    stream = Stream(why="tasks are not read: odd layout")
    stream.run(6)
    said = blamed(stream)
    assert said.verdict == "tasks unseen" and "odd layout" in said.sentence


POOL_BY_HAND = """\
class Pool:
    async def get(self):
        async with self.cond:
            while not self.free:
                await self.cond.wait()
            return self.free.pop()

    async def put(self, one):
        async with self.cond:
            self.free.append(one)
            self.cond.notify()


async def job(pool):
    while True:
        one = await pool.get()
        try:
            await asyncio.sleep(1)
        finally:
            await pool.put(one)
"""


def test_who_has_something_of_a_pool_made_by_hand_is_told_by_the_source() -> None:
    stream = Stream()
    waits = TaskWait(TaskState.LOCK, "Condition.wait", 0xC, "Condition")
    for i in range(4):
        task = stream.task(f"j{i}", "job", 14)
        if i:
            get = Frame("Pool.get", "/srv/app.py", 5, "await self.cond.wait()")
            stream.does(task, waits, 16, "job", inner=(get,))
        else:
            stream.does(task, TaskWait(TaskState.SLEEP, "sleep"), 18, "job")
    stream.run(10)
    top = with_source(stream, POOL_BY_HAND).causes[0]
    assert (len(top.tasks), top.kind, top.exact) == (3, "sleep", False) and "cond" in top.path[0].what
    assert len(top.path[0].owning_tasks) == 1


OF_READERS_AND_WRITERS = """
class RW:
    async def read_acquire(self):
        async with self.cond:
            self.readers += 1

    async def read_release(self):
        async with self.cond:
            self.readers -= 1
            self.cond.notify_all()

    async def write(self):
        async with self.cond:
            while self.readers:
                await self.cond.wait()


async def reader(rw):
    while True:
        await rw.read_acquire()
        try:
            await asyncio.sleep(0.1)
        finally:
            await rw.read_release()
"""


def test_a_writer_waits_for_the_readers_that_have_counted_themselves_in() -> None:
    stream = Stream()
    writer, readers = stream.task("writer", "RW.write", 12), [stream.task(f"r{n}", "reader", 18) for n in range(3)]
    stream.does(writer, TaskWait(TaskState.LOCK, "Condition.wait", 0xC, "Condition"), 15, "RW.write")
    for each in readers:
        stream.does(each, SLEEP, 22, "reader")
    stream.run(10)
    said = with_source(stream, OF_READERS_AND_WRITERS)
    (waits,) = (c for c in said.causes if c.tasks == (writer,))
    assert said.verdict == "held up" and set(waits.path[0].owning_tasks) == set(readers) and waits.kind == "sleep"


@pytest.mark.parametrize("had", [False, True])
def test_permits_that_nobody_is_seen_to_have_when_none_is_free(had: bool) -> None:
    stream = Stream()
    for n in range(4):
        stream.does(stream.task(f"t{n}"), lock(0x5, "Semaphore.acquire", "Semaphore"), 11)
    has = stream.task("has")
    stream.does(has, SLEEP, 21, holds=(held(0x5, "gate", "Semaphore"),) if had else ())
    # A semaphore does not say how many permits it had: what is free, and who is seen to have one, add up.
    stream.objects[0x5] = AsyncObject(0x5, "Semaphore", "gate", "asyncio", int(had), int(had), 4, (has,) if had else ())
    stream.run(10)
    said = blamed(stream)
    assert (said.verdict == "stuck") == (not had) == ("kept in a variable, or forgotten" in said.sentence)
    if not had:
        rule = AsyncSemaphoreSaturated()
        assert "no task is inside a block that would give one back" in one(list(rule.observe(window(stream)))).summary


OF_TWO_METHODS = """
class Pool:
    async def take(self):
        await self.permits.acquire()
        return self.free.pop()

    def give(self, one):
        self.free.append(one)
        self.permits.release()


async def handler(pool, rows):
    rows.take()
    c = await pool.take()
    try:
        await audit(pool)
    finally:
        pool.give(c)


async def audit(pool):
    c = await pool.take()
    pool.give(c)
"""


@pytest.mark.parametrize("inside", [0, 1, 3])
def test_who_has_a_permit_by_a_method_and_asks_for_a_second_one(inside: int) -> None:
    """Not who has only called a method of that name on something else."""
    stream = Stream()
    wait = TaskWait(TaskState.LOCK, "Semaphore.acquire", 0x5, "Semaphore")
    take, outer, inner, audit = (
        Frame(name, "/srv/app.py", line)
        for name, line in (("Pool.take", 4), ("handler", 14), ("handler", 16), ("audit", 22))
    )
    tasks = [stream.task(f"h{n}", "handler", 12) for n in range(6)]
    for n, task in enumerate(tasks):
        stream.does(task, wait, stack=(take, audit, inner) if n < inside else (take, outer))
    stream.objects[0x5] = AsyncObject(0x5, "Semaphore", "permits", "asyncio", 0, 0, 6)
    stream.run(10)
    said = with_source(stream, OF_TWO_METHODS)
    circle = {t for c in said.causes for s in c.path[:1] for t in s.owning_tasks}
    # Of a circle each one is told with those that it waits for.
    assert said.verdict == "stuck" and bool(circle) == bool(inside) and circle <= set(tasks[:inside]), said.sentence


OF_TWO_QUEUES = """
class Jobs:
    async def submit(self, job):
        await self.pending.put(job)

    async def watch_failed(self):
        while True:
            await self.failed.get()

    async def merge(self):
        while True:
            await self.failed.get()
            await self.pending.get()
"""


@pytest.mark.parametrize(("function", "line", "takes"), [("Jobs.watch_failed", 8, False), ("Jobs.merge", 12, True)])
def test_who_waits_at_another_queue_of_the_same_object(function: str, line: int, takes: bool) -> None:
    """It has the full one in a variable, and takes out of it only where its source says so."""
    stream = Stream()
    writers, other = [stream.task(f"w{n}", "Jobs.submit", 3) for n in range(3)], stream.task("o", function, line - 2)
    for writer in writers:
        stream.does(writer, TaskWait(TaskState.QUEUE, "Queue.put", 0x9, "Queue"), 4, "Jobs.submit")
    stream.does(other, TaskWait(TaskState.QUEUE, "Queue.get", 0x8, "Queue"), line, function)
    stream.objects[0x9] = AsyncObject(0x9, "Queue", "self.pending", "asyncio", 10, 10, 3, users=(*writers, other))
    stream.run(10)
    said = with_source(stream, OF_TWO_QUEUES)
    owners = {t for c in said.causes for s in c.path[:1] for t in s.owning_tasks}
    assert owners == ({other} if takes else set()), said.sentence
    assert takes or "nobody seen to take anything out" in said.sentence


@pytest.mark.parametrize("replaced", ["", "self.changed"])
def test_an_event_in_whose_place_another_one_was_put(replaced: str) -> None:
    stream = Stream()
    waiters = [stream.task(f"w{n}") for n in range(3)]
    for waiter in waiters:
        stream.does(waiter, TaskWait(TaskState.LOCK, "Event.wait", 0xE, "Event"), 11)
    stream.objects[0xE] = AsyncObject(0xE, "Event", "self.changed", "asyncio", waiting=3, replaced=replaced)
    stream.run(10)
    said = blamed(stream)
    assert said.verdict == ("stuck" if replaced else "dormant"), said.sentence
    assert ("self.changed is another Event by now" in said.sentence) == bool(replaced)


def test_who_has_been_woken_since_is_not_among_those_that_nobody_wakes() -> None:
    stream = Stream()
    waiters = [stream.task(f"w{n}") for n in range(3)]
    for waiter in waiters:
        stream.does(waiter, TaskWait(TaskState.LOCK, "Event.wait", 0xE, "Event"), 11)
    stream.run(1)
    for waiter in waiters:
        stream.does(waiter, SLEEP, 12)
    stream.run(9)
    assert blamed(stream).verdict != "dormant"


IN_A_CIRCLE = """
class Link:
    async def produce(self):
        await self.ready.wait()
        while True:
            await self.q.put(1)

    async def consume(self):
        await self.q.get()
        self.ready.set()
        while True:
            await self.q.get()


async def others(link):
    await link.q.put(2)
"""


@pytest.mark.parametrize("another", [False, True])
def test_an_empty_queue_is_no_lack_of_work_where_who_fills_it_waits_for_who_empties_it(another: bool) -> None:
    """Not where somebody else may fill it."""
    stream = Stream()
    producer, consumer = stream.task("p", "Link.produce", 3), stream.task("c", "Link.consume", 8)
    stream.does(producer, TaskWait(TaskState.LOCK, "Event.wait", 0xE, "Event"), 4, "Link.produce")
    stream.does(consumer, TaskWait(TaskState.QUEUE, "Queue.get", 0x9, "Queue"), 9, "Link.consume")
    if another:
        stream.does(stream.task("o", "others", 15), TaskWait(TaskState.SLEEP, "sleep"), 15, "others")
    stream.run(10)
    said = with_source(stream, IN_A_CIRCLE)
    assert (said.verdict, bool([c for c in said.causes if c.kind == "cycle"])) == (
        ("clear", False) if another else ("stuck", True)
    )


SET_BY_WHO_WAITS = """
class Job:
    async def part(self):
        await self.finished.wait()

    async def run(self):
        async with asyncio.TaskGroup() as group:
            group.create_task(self.part())
        self.finished.set()


async def main(job):
    loop.add_signal_handler(SIGTERM, ARGUMENT)
    await asyncio.gather(job.run(), ticks())
"""


@pytest.mark.parametrize(
    ("argument", "stands"), [("print", True), ("job.finished.set", False), ("job.finished", False)]
)
def test_who_waits_for_tasks_and_alone_would_set_what_they_wait_for(argument: str, stands: bool) -> None:
    """Not where it is passed on: to a signal handler, a timer, anybody."""
    stream = Stream()
    parts = [stream.task(f"p{n}", "Job.part", 3) for n in range(3)]
    run, ticks, main = stream.task("run", "Job.run", 6), stream.task("ticks"), stream.task("main", "main", 12)
    for part in parts:
        stream.does(part, TaskWait(TaskState.LOCK, "Event.wait", 0xE, "Event"), 4, "Job.part")
    stream.does(run, TaskWait(TaskState.TASK, "TaskGroup"), 7, "Job.run", awaits=tuple(parts))
    stream.does(ticks, SLEEP, 90, "ticks")
    stream.does(main, TaskWait(TaskState.TASK, "gather"), 14, awaits=(run, ticks), function="main")
    stream.run(10)
    said = with_source(stream, SET_BY_WHO_WAITS.replace("ARGUMENT", argument))
    circle = {t for c in said.causes if c.kind == "cycle" for t in c.tasks}
    assert (said.verdict == "stuck", circle) == (stands, {*parts, run} if stands else set()), said.sentence


@pytest.mark.parametrize("reader", [False, True])
def test_a_full_queue_whose_readers_are_gone_is_stuck(reader: bool) -> None:
    stream = Stream()
    writers, main = [stream.task(f"w{n}") for n in range(3)], stream.task("main")
    for writer in writers:
        stream.does(writer, TaskWait(TaskState.QUEUE, "Queue.put", 0x9, "Queue"), 11)
    stream.does(main, TaskWait(TaskState.TASK, "gather"), 21, awaits=tuple(writers))
    users = (*writers, main)
    if reader:
        users += (stream.task("reader"),)
        stream.does(users[-1], READ, 31)
    stream.objects[0x9] = AsyncObject(0x9, "Queue", "q", "asyncio", 10, 10, 3, users=users)
    stream.run(10)
    said = blamed(stream)
    assert (said.verdict == "stuck") == (not reader), said.sentence
    if not reader:
        assert "nobody seen to take anything out" in said.sentence and said.unexplained == 0


def test_a_lock_is_followed_through_who_waits_for_its_tasks_inside() -> None:
    """Who only waits for tasks that go on is idle itself."""
    stream = Stream()
    waits, holds, child = stream.task("waits"), stream.task("holds"), stream.task("child")
    stream.does(waits, lock(0xA), 11)
    stream.does(holds, TaskWait(TaskState.TASK, "gather"), 21, holds=(held(0xA, "a"),), awaits=(child,))
    stream.does(child, READ, 31)
    stream.run(8)
    said = blamed(stream)
    ways = {c.tasks: (c.kind, [s.via for s in c.path]) for c in said.causes}
    assert ways == {(waits,): ("peer", ["lock", "result"]), (child,): ("peer", [])} and said.verdict == "held up"
    assert any("waits for tasks that go on" in q.what for q in said.quiets)


def test_permits_with_who_waits_for_tasks_that_want_one_are_a_circle() -> None:
    stream = Stream()
    parents, children = [stream.task(f"p{n}") for n in range(2)], [stream.task(f"c{n}") for n in range(2)]
    for parent, child in zip(parents, children, strict=True):
        permit = held(0x5, "gate", "Semaphore")
        stream.does(parent, TaskWait(TaskState.TASK, "await"), 21, holds=(permit,), awaits=(child,))
        stream.does(child, lock(0x5, "Semaphore.acquire", "Semaphore"), 31)
    stream.objects[0x5] = AsyncObject(0x5, "Semaphore", "gate", "asyncio", 2, 2, 2, tuple(parents), True)
    stream.run(8)
    said = blamed(stream)
    assert said.verdict == "stuck" and {t for c in said.causes for t in c.tasks} == {*parents, *children}
    assert "await such tasks outside of it" in one(list(AsyncDeadlock().observe(window(stream)))).fix


POLLED = """
class DistLock:
    async def __aenter__(self):
        while not await self.store.set(self.key):
            await asyncio.sleep(0.1)

    async def work(self):
        async with self:
            await asyncio.sleep(9)
"""


@pytest.mark.parametrize(("cls", "inside"), [("DistLock", False), ("DistLock", True), ("Connection", False)])
def test_a_lock_that_tasks_try_for_again_and_again(cls: str, inside: bool) -> None:
    """A pause while something else is entered is a pause."""
    stream = Stream()
    enter = Frame(f"{cls}.__aenter__", "/srv/app.py", 5, "await asyncio.sleep(0.1)")
    for i in range(3):
        wait = TaskWait(TaskState.SLEEP, "sleep")
        stream.does(stream.task(f"t{i}", "work"), wait, 8, f"{cls}.work", inner=(enter,))
    if inside:
        stream.does(stream.task("i", "work"), TaskWait(TaskState.IO, "read", peer=DATABASE), 9, f"{cls}.work")
    stream.run(10)
    said = with_source(stream, POLLED.replace("DistLock", cls))
    told = {(c.path[0].via, c.kind) for c in said.causes if c.path} | {("", c.kind) for c in said.causes if not c.path}
    if cls == "Connection":
        assert said.verdict == "idle"
    else:
        assert ("lock", "peer") in told if inside else ("", "unexplained") in told


def test_a_lock_in_a_server_is_told_alike_of_threads_and_of_tasks() -> None:
    lib = "/usr/lib/python3/site-packages/redis/"
    stream = Stream()
    ours = Frame("Lock.acquire", f"{lib}asyncio/lock.py", 200, "await asyncio.sleep(sleep)", "library")
    for i in range(3):
        stream.does(stream.task(f"t{i}"), TaskWait(TaskState.SLEEP, "sleep"), 8, inner=(ours,))
    stream.run(0.5)
    theirs = Frame("Lock.acquire", f"{lib}lock.py", 190, "mod_time.sleep(sleep)", "library")
    work = Frame("work", "/srv/app.py", 40)
    thread(stream, 200, "w", Wait(WaitKind.SLEEP, "clock_nanosleep", timed=True), theirs, work)
    stream.run(10)
    told = {(bool(c.tasks), c.path[0].via, c.path[0].what, c.what) for c in blamed(stream).causes if c.path}
    one = ("lock", "a lock of redis", "whoever has it by what its server says")
    assert told == {(True, *one), (False, *one)}


@pytest.mark.parametrize("idle", [False, True])
def test_a_task_that_does_not_say_that_it_has_started(idle: bool) -> None:
    stream = Stream()
    serve, main = stream.task("serve"), stream.task("main", "main")
    wait = TaskWait(TaskState.IDLE, "accept") if idle else TaskWait(TaskState.IO, "read", peer=DATABASE)
    stream.does(serve, wait, 20)
    stream.does(main, TaskWait(TaskState.TASK, "start"), 30, "main", awaits=(serve,))
    stream.run(10)
    top = next(c for c in blamed(stream).causes if c.path)
    assert "to say that it has started" in top.path[0].what and top.kind == ("nobody" if idle else "peer")
    assert (blamed(stream).verdict == "stuck") is idle


def test_one_that_now_waits_for_it_is_not_in_the_way_of_the_others() -> None:
    """The report of half a second ago still names those that had a permit then."""
    stream = Stream()
    waits = TaskWait(TaskState.LOCK, "Semaphore.acquire", 0xD, "Semaphore")
    tasks = [stream.task(f"t{i}") for i in range(4)]
    stream.objects[0xD] = AsyncObject(0xD, "Semaphore", "sem", "asyncio", 2, 2, 4, tuple(tasks[:2]))
    for task in tasks:
        stream.does(task, waits)
    stream.run(10)
    said = blamed(stream)
    assert said.verdict != "stuck" and not [c for c in said.causes if c.kind == "cycle"]
    assert not circles(wait_edges(window(stream)))


def test_calls_of_another_executor_than_the_loops_own_are_behind_its_threads() -> None:
    stream = Stream()
    for i in range(4):
        wait = TaskWait(TaskState.EXECUTOR, "executor", tid=0 if i else 100, queued=bool(i))
        stream.does(stream.task(f"t{i}"), wait, 20)
    stream.run(10)
    top = next(c for c in blamed(stream).causes if len(c.tasks) == 3)
    assert top.path[0].what == "a worker thread of its executor" and not top.exact
    assert top.path[0].owners == (100,)


def test_a_loop_in_c_that_a_program_runs_without_a_runner() -> None:
    """uvloop has no frames: what runs below the line that runs it is the callback."""
    serves = Frame("Server.spawn", "/v/site-packages/server/mp.py", 249, "loop.run_until_complete(_main())", "library")
    app = Frame("app", "/srv/app.py", 8)
    assert callback_of(Stack((app, serves))) is app and callback_of(Stack((serves,))) is None
    inner = Frame("BaseEventLoop._run_once", "/usr/lib/python3.12/asyncio/base_events.py", 1, "", "stdlib")
    assert callback_of(Stack((inner, serves))) is None


def test_the_callback_of_a_blocked_loop_of_trio() -> None:
    run = Frame("unrolled_run", "/x/site-packages/trio/_core/_run.py", 2866, "", "library")
    main = Frame("<module>", "/srv/app.py", 11, "trio.run(main)", "user")
    bad = Frame("bad", "/srv/app.py", 4, "time.sleep(3)", "user")
    looks = Frame("EpollIOManager.get_events", "/x/site-packages/trio/_core/_io_epoll.py", 243, "", "library")
    assert callback_of(Stack((bad, run, main))) is bad
    assert callback_of(Stack((looks, run, main))) is None and callback_of(Stack((run, main))) is None


def test_a_greenlet_that_blocks_the_hub_is_a_callback_and_the_hub_is_none() -> None:
    hub = Stack((Frame("Hub.run", "/x/site-packages/gevent/hub.py", 647, "loop.run()", "library"),))
    inner = Frame("read", "/srv/app.py", 9, "time.sleep(3)", "user")
    outer = Frame("handle", "/srv/app.py", 4, "read()", "user")
    assert greenlet_of(hub) is None and greenlet_of(Stack((inner, outer))) is outer


def test_items_that_nobody_reports_as_done_are_told() -> None:
    """The queue is empty, all that take from it are back at it, and one item was never reported as done."""
    for unfinished in (1, 0):
        stream = Stream()
        takers, joiner = [stream.task(f"taker-{i}") for i in range(2)], stream.task("joiner")
        stream.objects[0x9] = AsyncObject(
            0x9, "Queue", "jobs", "asyncio", 0, 0, 3, backlog=unfinished, users=(*takers, joiner)
        )
        for task in takers:
            stream.does(task, TaskWait(TaskState.QUEUE, "Queue.get", 0x9, "Queue"), 3)
        stream.does(joiner, TaskWait(TaskState.QUEUE, "Queue.join", 0x9, "Queue"), 7)
        stream.run(8)
        found = Tracker(Wakes(lambda _: ())).blame(window(stream))
        assert found is not None
        lost = [c for c in found.causes if c.kind == "nobody"]
        assert bool(lost) == (unfinished > 0)
        assert not unfinished or ("not reported as done" in lost[0].what and found.verdict != "clear")


def test_of_tasks_that_come_and_go_those_at_a_time_are_counted() -> None:
    aio: Any = SimpleNamespace(tasks={}, name=str)
    assert _aio.waiting(aio, range(51), 8.4, "for a pool") == "On average 8.4 tasks wait for a pool"
    assert _aio.waiting(aio, range(12), 8.4, "for a pool") == "On average 8.4 of 12 tasks wait for a pool"
