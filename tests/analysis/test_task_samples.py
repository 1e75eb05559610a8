"""Samples of tasks say what the history of the same stream says; the exporters and the flame graph are made of them."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

from aio_build import S, Stream, held
from test_tasks import LOCK, READ, SLEEP, kept, queue_for_a_lock

from concview import codec, registry
from concview.analysis import calltree
from concview.analysis.samples import Samples, Selection
from concview.analysis.task_samples import TaskSamples
from concview.analysis.tasks import flame
from concview.analysis.window import Window
from concview.exporters.base import Nothing, Request
from concview.model import TASK_STATES, AsyncObject, Bye, Label, LabelDef, TaskState, TaskWait, Work, WorkItem, WorkKind
from concview.session.recording import Recording


def _read(stream: Stream, selection: Selection | None = None, side: str = "waiter") -> TaskSamples:
    return TaskSamples([stream.events], selection, side)


def _saved(stream: Stream, path: Path) -> Recording:
    events = [*stream.events, Bye(stream.at, "finished")]
    path.write_bytes(codec.MAGIC + codec.encode_block(events))  # type: ignore[arg-type]
    return Recording(path)


def test_the_time_in_every_state_is_that_of_the_history() -> None:
    stream, _ = queue_for_a_lock()
    history, _ = kept(stream)
    found: Counter[tuple[int, str]] = Counter()
    for pieces in _read(stream):
        for task, start, end, condition, _, _ in pieces:
            found[task.tid, condition.word] += end - start
    for id_, window in Window(history).aio.tasks.items():
        for state, ns in enumerate(window.ns):
            assert abs(found[id_, TASK_STATES[state]] - ns) <= S // 10, (id_, TASK_STATES[state])


def test_who_holds_it_is_in_the_way_and_from_the_other_side_the_holder_is_told() -> None:
    stream, (owner, one, two, _) = queue_for_a_lock()
    behind: Counter[int] = Counter()
    for pieces in _read(stream):
        for task, start, end, condition, blocker, _ in pieces:
            if condition.word == "lock":
                assert condition.lock is not None and condition.lock.name == "self._lock (app.py)"
                assert blocker is not None and blocker.thread.tid == owner
                behind[task.tid] += end - start
    assert set(behind) == {one, two}
    turned: Counter[str] = Counter()
    for pieces in _read(stream, side="holder"):
        for task, start, end, condition, _, _ in pieces:
            assert task.tid == owner and condition.word == "io"
            turned[condition.detail] += end - start
    assert list(turned.values()) == [sum(behind.values())]


def test_tasks_without_a_name_have_their_functions_and_both_select() -> None:
    stream = Stream()
    stream.does(stream.task("Task-7", "fetch"), SLEEP)
    stream.does(stream.task("mailer", "deliver"), READ)
    stream.run(1)
    assert {t.name for pieces in _read(stream) for t, *_ in pieces} == {"fetch", "mailer"}
    for chosen, name in (("Task-7", "fetch"), ("fetch", "fetch"), ("mail*", "mailer")):
        assert {t.name for pieces in _read(stream, Selection((chosen,))) for t, *_ in pieces} == {name}
    only = Selection(states=frozenset({int(TaskState.IO)}))
    assert {t.name for pieces in _read(stream, only) for t, *_ in pieces} == {"mailer"}


def test_in_whose_name_tasks_wait() -> None:
    stream = Stream()
    one, two = stream.task("a", "fetch"), stream.task("b", "fetch")
    stream.does(one, SLEEP)
    stream.does(two, READ)
    stream.run(1)
    stream.events.append(LabelDef(901, Label(WorkKind.REQUEST, "starlette", "GET /x/{id}")))
    stream.events.append(Work(stream.at, (WorkItem(1, 901, stream.at, 0, (), (one,)),)))
    stream.run(1)
    stream.does(one, READ)
    stream.run(1)
    stream.events.append(Work(stream.at, ()))
    stream.run(1)
    named = _total(_read(stream, Selection(labels=("GET /x*",))))
    assert set(named) == {("GET /x/{id}", "sleep"), ("GET /x/{id}", "io")}
    assert all(abs(ns - S) <= S // 5 for ns in named.values())
    io = Selection(labels=("GET /x*",), states=frozenset({int(TaskState.IO)}))
    assert set(_total(_read(stream, io))) == {("GET /x/{id}", "io")}
    assert not _total(_read(stream, Selection(labels=("POST*",))))


def _total(samples: TaskSamples) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for pieces in samples:
        for _, start, end, condition, _, _ in pieces:
            found[condition.doing.work, condition.word] += end - start
    return found


def _by_name(samples: Samples) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for pieces in samples:
        for task, start, end, condition, _, _ in pieces:
            found[task.name, condition.word] += end - start
    return found


def test_one_that_ended_and_one_that_came_are_told_for_their_time() -> None:
    stream = Stream()
    first = stream.task("first")
    stream.does(first, SLEEP)
    stream.run(1)
    stream.end(first)
    second = stream.task("second")
    stream.does(second, LOCK)
    stream.run(2)
    spent: Counter[str] = Counter()
    for pieces in _read(stream):
        for task, start, end, *_ in pieces:
            spent[task.name] += end - start
    assert abs(spent["first"] - 1 * S) <= S // 5 and abs(spent["second"] - 2 * S) <= S // 5


def test_every_format_that_takes_tasks_writes_them_with_their_states(tmp_path: Path) -> None:
    stream, _ = queue_for_a_lock()
    recording = _saved(stream, tmp_path / "r")
    taken = {n: e for n, e in registry.everything("concview.exporters", "EXPORTER").items() if e.tasks}
    assert set(taken) == {"collapsed", "speedscope", "pprof", "perfetto", "gecko", "jsonl", "otlp", "csv", "html"}
    for name, exporter in taken.items():
        out = tmp_path / name
        if exporter.write_folder is not None:
            out.mkdir()
            exporter.write_folder(recording, out, Request(tasks=True))
            continue
        with out.open("wb") as file:
            exporter.write(recording, file, Request(tasks=True, group_by=exporter.groups[0] if exporter.groups else ""))
        assert out.stat().st_size
    with (tmp_path / "csv" / "waits.csv").open(newline="", encoding="utf-8") as table:
        waits = {(row["task"], row["state"], row["behind"]) for row in csv.DictReader(table)}
    assert ("one", "lock", "owner") in waits and not any("MainThread" in task for task, *_ in waits)
    profile = (tmp_path / "otlp").read_bytes()
    assert b"concview.task.name" in profile and b"thread.name" not in profile
    lines = (tmp_path / "collapsed").read_text().splitlines()
    assert any(line.startswith("one;") and "[lock];[self._lock (app.py) held by owner]" in line for line in lines)
    assert not any("epoll" in line or "MainThread" in line for line in lines)
    data = json.loads(re.findall(r'id="data">(.*?)</script>', (tmp_path / "html").read_text(), re.DOTALL)[0])
    spent: Counter[tuple[str, str]] = Counter()
    for task, state, _, _, us in data["keys"]:
        spent[data["threads"][task]["name"], data["states"][state]] += us * 1000
    assert spent == _by_name(recording.samples(tasks=True)) and data["whose"] == "task"
    mostly = {t["name"]: set(strip) for t, strip in zip(data["threads"], data["strips"], strict=True)}
    assert mostly["one"] <= {chr(ord("0") + data["states"].index("lock")), "-"}


def test_a_recording_without_tasks_says_so(tmp_path: Path) -> None:
    recording = _saved(Stream(), tmp_path / "r")
    try:
        exporter = registry.load("concview.exporters", "collapsed", "EXPORTER")
        exporter.write(recording, (tmp_path / "x").open("wb"), Request(tasks=True))
    except Nothing as nothing:
        assert "no looks at tasks" in nothing.why
    else:
        raise AssertionError("nothing was written, and nothing was said")


def test_the_flame_graph_of_tasks_ends_in_what_they_wait_for() -> None:
    stream = Stream()
    pool = TaskWait(TaskState.POOL, "Pool.acquire", 0xB, "Pool")
    stream.objects[0xB] = AsyncObject(0xB, "Pool", "", "asyncpg", 2, 2, 1)
    waits, reads, rests = (stream.task(n) for n in ("a", "b", "c"))
    stream.does(waits, pool, 11)
    stream.does(reads, READ, 12, holds=(held(0xB, "", "Pool"),))
    stream.does(rests, TaskWait(TaskState.IDLE, "serve_forever"), 13)
    stream.run(4)
    history, _ = kept(stream)
    aio = history.aio
    root = calltree.tree(calltree.stack_times(flame.slices(aio, aio.first_ns, aio.now_ns)), fold=True)
    leaves = {c.key[0]: c.total_ns for child in root.children.values() for c in child.children.values()}
    assert leaves.keys() == {"[pool] asyncpg Pool", "[io] tcp 10.0.0.1:5432"}
    assert leaves["[pool] asyncpg Pool"] == leaves["[io] tcp 10.0.0.1:5432"] == aio.now_ns - aio.first_ns
