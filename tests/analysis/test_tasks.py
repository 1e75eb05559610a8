"""Tasks over time: shares, waits, holders, what is kept and what is looked back to."""

from __future__ import annotations

import msgspec
import pytest
from aio_build import DATABASE, LOOP, S, Stream, held

from concview.analysis.history import History
from concview.analysis.replay_buffer import ReplayBuffer
from concview.analysis.tasks import history as histories
from concview.analysis.tasks import words
from concview.analysis.window import Window
from concview.catalogue.judge import Judgement
from concview.commands._build import check_out, dump_out
from concview.commands._dump_text import dump_text
from concview.commands._text_writer import Pen
from concview.model import AsyncObject, TaskDef, TaskState, TaskTick, TaskWait
from concview.session.compose import Composer
from concview.snapshot import Snapshot

SLEEP = TaskWait(TaskState.SLEEP, "sleep")
READ = TaskWait(TaskState.IO, "StreamReader.read", peer=DATABASE)
LOCK = TaskWait(TaskState.LOCK, "Lock.acquire", 0xA, "Lock")


def kept(stream: Stream) -> tuple[History, ReplayBuffer]:
    history, buffer = History(), ReplayBuffer()
    for event in stream.events:
        history.apply(event)
        buffer.add(event, history)
    return history, buffer


def shown(history: History) -> Snapshot:
    return Composer(True).compose(history, Window(history), Judgement(), False)


def queue_for_a_lock() -> tuple[Stream, list[int]]:
    """One task holds a lock and reads from a database, two wait for the lock; a fourth sleeps and runs by turns."""
    stream = Stream()
    owner, one, two, other = (stream.task(n) for n in ("owner", "one", "two", "other"))
    stream.objects[0xA] = AsyncObject(0xA, "Lock", "self._lock", "asyncio", 1, 1, 2, (owner,))
    stream.does(owner, READ, 12, holds=(held(0xA, "self._lock"),))
    stream.does(one, LOCK, 11)
    stream.does(two, LOCK, 11)
    for _ in range(10):
        stream.does(other, SLEEP, 20)
        stream.run(0.5)
        stream.does(other, TaskWait(TaskState.RUNNING, tid=100))
        stream.run(0.5)
    return stream, [owner, one, two, other]


def test_shares_of_a_task_sum_to_one_and_are_what_it_did() -> None:
    stream, (owner, one, _, other) = queue_for_a_lock()
    history, _ = kept(stream)
    aio = Window(history).aio
    assert sum(aio.tasks[other].shares) == pytest.approx(1)
    assert aio.tasks[other].share(TaskState.SLEEP) == pytest.approx(0.5, abs=0.02)
    assert aio.tasks[owner].share(TaskState.IO) == 1 and aio.tasks[one].share(TaskState.LOCK) == 1


def test_who_waits_and_who_holds() -> None:
    stream, (owner, one, two, _) = queue_for_a_lock()
    history, _ = kept(stream)
    lock = Window(history).aio.objects[0xA]
    assert lock.name == "self._lock" and set(lock.waiters) == {one, two} and set(lock.holders) == {owner}
    assert lock.doing.keys() == {TaskState.IO} and lock.exact
    assert {t.id for t in lock.now} == {one, two} and [t.id for t in lock.having] == [owner]
    run = history.aio.tasks[one].current
    assert run is not None
    said = words.reason(history.aio, history.aio.tasks[one], run)
    assert said == "waits for self._lock (app.py:11), held by owner"


def test_waits_at_one_place_one_after_another_are_counted_in_one_run() -> None:
    stream = Stream()
    task = stream.task("t")
    stream.does(task, SLEEP, 5)
    stream.run(1)
    since = stream.at
    # The same stack and wait again, begun later.
    before = next(e for e in stream.events if isinstance(e, TaskTick) and e.changes).changes
    stream._changes += [*before[:4], since, 0]
    stream.run(1)
    history, _ = kept(stream)
    (run,) = history.aio.tasks[task].runs
    assert run.waits == 2 and run.since_ns == since and run.began_ns == since


def test_the_snapshot_has_holders_first_and_bounds_its_lists() -> None:
    stream, (owner, *_) = queue_for_a_lock()
    for n in range(600):
        stream.does(stream.task(f"sleeper-{n}", "doze", 50), SLEEP, 51, "doze")
    stream.run(1)
    history, _ = kept(stream)
    aio = shown(history).aio
    assert aio is not None and aio.alive == 604
    assert aio.groups[0].holds == ("self._lock",) and aio.groups[0].behind == 2
    assert aio.groups[1].state is TaskState.LOCK and aio.groups[1].now == 2
    assert [g.now for g in aio.groups if g.function == "doze"] == [600]
    assert aio.tasks[0].id == owner and len(aio.tasks) <= 400
    assert sum(aio.shares) == pytest.approx(1)
    assert aio.loops[0].id == LOOP and aio.loops[0].thread == "MainThread"


def test_json_and_text_have_tasks_below_threads() -> None:
    stream, (owner, one, *_) = queue_for_a_lock()
    history, _ = kept(stream)
    snapshot = shown(history)
    check = check_out(snapshot)
    assert check.tasks is not None and check.tasks.objects[0].holders == [owner]
    assert check.tasks.shares["lock"] == pytest.approx(0.5, abs=0.01) and check.loops[0].tid == 100
    dump = dump_out(snapshot)
    waiter = next(t for t in dump.tasks if t.id == one)
    assert waiter.waiting_for is not None and waiter.waiting_for.holders == [owner]
    assert waiter.waiting_for.confidence == "exact" and waiter.frames[0].line == 11
    assert dump.tasks[0].holds[0].expression == "self._lock"
    text = dump_text(snapshot, Pen(False))
    assert text.index('"MainThread"') < text.index('task "owner"')
    assert 'held by "owner"' in text and "2 tasks waiting for it" in text


def test_looking_back_sees_tasks_as_they_were() -> None:
    stream, (owner, one, _, _) = queue_for_a_lock()
    stream.end(owner)
    stream.objects[0xA] = AsyncObject(0xA, "Lock", "self._lock", "asyncio", 1, 1, 1, (one,))
    stream.does(one, READ, 12, holds=(held(0xA, "self._lock"),))
    stream.run(12)
    history, buffer = kept(stream)
    assert history.aio.tasks[one].current.state is TaskState.IO  # type: ignore[union-attr]
    past = buffer.plan(history, 18 * S, 5 * S, 60 * S).build()
    assert past.aio.tasks[owner].current.state is TaskState.IO  # type: ignore[union-attr]
    assert past.aio.tasks[one].current.state is TaskState.LOCK  # type: ignore[union-attr]
    told = past.aio.object(0xA)
    assert told is not None and told.told.holders == (owner,)


def test_a_stream_without_tasks_has_none() -> None:
    stream = Stream()
    stream.run(1)
    threads = [e for e in stream.events if type(e).__name__ not in ("TaskTick", "Loops", "AsyncObjects")]
    history = History()
    for event in threads:
        history.apply(event)
    snapshot = shown(history)
    assert snapshot.aio is None and check_out(snapshot).tasks is None and dump_out(snapshot).tasks == []


def test_what_cannot_be_seen_is_said() -> None:
    stream = Stream(why="tasks are not read: odd layout", unseen=("2 tasks in pure Python are not seen",))
    stream.run(1)
    history, _ = kept(stream)
    snapshot = shown(history)
    text = dump_text(snapshot, Pen(False))
    assert "odd layout" in text and "pure Python" in text
    check = check_out(snapshot)
    assert check.tasks is not None and check.tasks.why and check.tasks.unseen


def test_memory_does_not_grow_with_tasks_or_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "MAX_TASKS", 50)
    monkeypatch.setattr(histories, "MAX_RUNS", 300)
    stream = Stream()
    tasks = [stream.task(f"t-{n}") for n in range(80)]
    for n in range(100):
        for task in tasks:
            stream.does(task, SLEEP if n % 2 else READ, 5)
        stream.run(0.1)
    history, _ = kept(stream)
    aio = history.aio
    assert len(aio.tasks) == 50 and aio.more == 30 and aio.alive == 80
    assert sum(len(t.runs) for t in aio.tasks.values()) < 800
    stream.end(*tasks)
    for event in stream.events[-1:]:
        history.apply(event)
    assert not aio.tasks and aio.more == 0
    window = Window(history).aio
    assert all(sum(w.shares) == pytest.approx(1) for w in window.tasks.values())


def test_tasks_that_were_there_all_along_are_no_rise_while_they_are_found() -> None:
    stream = Stream()
    for second in range(12):
        for _ in range(50):
            stream.does(stream.task("found", "worker"), SLEEP)
            at = next(i for i in range(len(stream.events) - 1, 0, -1) if isinstance(stream.events[i], TaskDef))
            stream.events[at] = msgspec.structs.replace(stream.events[at], born_ns=0)
        if second >= 6:
            for _ in range(3):
                stream.does(stream.task("born", "worker"), SLEEP)
        stream.run(1)
    history, _ = kept(stream)
    counted = [next(iter(c.counts.values()))[0] for c in history.aio.counts]
    assert counted[0] == counted[5] == 600 and counted[-1] == 618
