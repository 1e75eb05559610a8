"""The one source of samples, against the history that sessions keep: same runs, same nanoseconds, same blockers."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import made
import pytest

from concview import codec, registry
from concview.analysis import graph
from concview.analysis.history import History, ThreadHistory
from concview.analysis.samples import Samples, Selection
from concview.exporters.base import Exporter, Nothing, Request
from concview.model import (
    AnyEvent,
    Confidence,
    Forget,
    Frame,
    FrameDef,
    Hold,
    HoldsDef,
    Label,
    LabelDef,
    NativeWait,
    NativeWaits,
    Peer,
    Site,
    StackDef,
    State,
    ThreadDef,
    ThreadGone,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
    Work,
    WorkItem,
    WorkKind,
)
from concview.session.recording import Recording

MS = made.MS
EXPORTERS: dict[str, Exporter] = registry.everything("concview.exporters", "EXPORTER")


def _random_stream(seed: int, exact: bool) -> list[AnyEvent]:
    """Threads that come and go, locks that change hands, joins; ids that are forgotten and given anew."""
    chance = random.Random(seed)
    sites = [Site(f"lock_{i}", "x.py", i + 1, "f", "x.py") for i in range(3)]
    out: list[AnyEvent] = []

    def define() -> None:
        taken = [sites[0]] if not exact else []
        out.append(FrameDef(1, Frame("plain", "x.py", 1)))
        out.append(FrameDef(2, Frame("holder", "x.py", 2, holds=tuple(taken))))
        out.append(FrameDef(3, Frame("waiter", "x.py", 3, acquires=None if exact else sites[0])))
        out.extend(StackDef(i, (i,)) for i in (1, 2, 3))
        address = (0xA, 0xB, 0xC) if exact else (0, 0, 0)
        out.extend(WaitDef(i + 1, Wait(WaitKind.FUTEX, lock=address[i], lock_kind="Lock")) for i in range(3))
        out.append(WaitDef(4, Wait(WaitKind.RUNNING)))
        out.append(WaitDef(5, Wait(WaitKind.GIL)))
        out.append(WaitDef(6, Wait(WaitKind.FUTEX, via="Thread.join", target=3)))
        out.append(WaitDef(7, Wait(WaitKind.FUTEX, "futex")))
        holds = [Hold(address[i], "Lock", sites[i], Confidence.EXACT) for i in range(3)]
        out.extend(HoldsDef(i + 1, (holds[i],)) for i in range(3))
        out.append(HoldsDef(4, (holds[0], holds[1])))

    define()
    tids = set(range(1, 7))
    out.extend(ThreadDef(t, f"t{t}") for t in sorted(tids))
    at, dt = 1_000 * MS, 0
    for i in range(200):
        dt = chance.randrange(5, 25) * MS
        at += dt
        if i == 100:
            out.append(Forget(at - dt))
            define()
        if i == 120:
            out.append(ThreadGone(6, at - dt + 2 * MS))
            tids.discard(6)
        if i == 150:
            out.append(ThreadDef(6, "t6 again"))
            tids.add(6)
        rows: list[int] = []
        for tid in sorted(tids):
            if i in (0, 100) or chance.random() < 0.5:
                wait = chance.randint(1, 7)
                holds = chance.choice((0, 0, 0, 1, 2, 3, 4)) if exact else 0
                if holds == wait or (holds == 4 and wait in (1, 2)):  # no thread holds what it waits for
                    holds = 0
                rows += (tid, chance.choice((1, 2, 3)), wait, holds)
        out.append(Tick(at, dt, chance.choice((0, *tids)), False, tuple(rows)))
        if chance.random() < 0.3:  # somebody has looked into the C code that some of them wait in
            looked = [NativeWait(t, 0x9, "libpq.so.5", kind="mutex") for t in sorted(tids) if chance.random() < 0.5]
            out.append(NativeWaits(at, tuple(looked)))
    return out


def test_the_same_file_reads_the_same_each_time(tmp_path: Path) -> None:
    """Whatever the order in which a run of Python keeps sets of names."""
    made.write(tmp_path / "x.concview", _random_stream(1, True))
    told = []
    for seed in ("1", "2", "3"):
        command = [sys.executable, "-m", "concview", "export", "x.concview", "--format", "jsonl", "-o", f"{seed}.jsonl"]
        subprocess.run(
            command, check=True, cwd=tmp_path, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True
        )
        told.append((tmp_path / f"{seed}.jsonl").read_bytes())
    assert len(told[0]) > 10_000 and told[0] == told[1] == told[2]


def _hello(exact: bool) -> AnyEvent:
    greeting = made.hello()
    return greeting if exact else codec.msgspec.structs.replace(greeting, capabilities={})


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_same_as_the_history(seed: int, exact: bool) -> None:
    events = [_hello(exact), *_random_stream(seed, exact)]
    history = History()
    runs: dict[int, ThreadHistory] = {}
    behind: Counter[tuple[int, int, Confidence]] = Counter()
    for event in events:
        history.apply(event)
        for thread in (*history.threads.values(), *history.gone):
            runs[id(thread)] = thread
        if isinstance(event, Tick):
            for edge in graph.edges(history.threads.values(), exact):
                behind[edge.waiter, edge.holder, edge.confidence] += event.dt_ns
    want: Counter[tuple[str, str, State]] = Counter()
    for thread in runs.values():
        for run in thread.runs:
            end = run.end_ns or history.now_ns
            want[thread.name, run.stack.frames[0].function, run.state] += end - run.start_ns
    got: Counter[tuple[str, str, State]] = Counter()
    blocked: Counter[tuple[int, int, Confidence]] = Counter()
    ends: dict[object, int] = {}
    for pieces in Samples([events]):
        for sampled, start, end, condition, blocker, seen in pieces:
            assert end > start >= ends.get(sampled, 0) and seen > 0
            ends[sampled] = end
            got[sampled.name, condition.stack.frames[0].function, condition.state] += end - start
            if blocker is not None:
                blocked[sampled.tid, blocker.thread.tid, blocker.confidence] += end - start
    assert {k: v for k, v in got.items() if v} == {k: v for k, v in want.items() if v}
    # A thread that ends between two samples is in nobody's way from then on; the history looks at samples only.
    slack = 25 * MS
    assert not {k: (blocked[k], behind[k]) for k in {*blocked, *behind} if abs(blocked[k] - behind[k]) > slack}


@pytest.mark.parametrize(("started", "seconds"), [(0, 0.5), (900, 0.5), (1_300, 0.21), (1_600, 0.01)])
@pytest.mark.parametrize("wait", [WaitKind.SLEEP, WaitKind.FUTEX])
def test_a_thread_was_not_there_before_its_birth(started: int, seconds: float, wait: WaitKind) -> None:
    """Though nobody looked for half a second. One that seems to be born after it was seen is there from then on."""
    stream: list[AnyEvent] = [
        made.hello(),
        WaitDef(1, Wait(WaitKind.RUNNING)),
        WaitDef(2, Wait(wait, lock=0xA if wait is WaitKind.FUTEX else 0, lock_kind="Lock")),
        ThreadDef(1, "MainThread"),
        Tick(1_010 * MS, 10 * MS, 0, False, (1, 0, 1, 0)),
        ThreadDef(2, "worker", started * MS),
        Tick(1_500 * MS, 490 * MS, 0, False, (2, 0, 2, 0)),
        Tick(1_510 * MS, 10 * MS, 0, False, ()),
    ]
    history = History()
    for event in stream:
        history.apply(event)
    begun = [run.start_ns for run in history.threads[2].runs]
    found = [piece for pieces in Samples([stream]) for piece in pieces if piece[0].tid == 2]
    assert [piece[1] for piece in found] == begun
    assert sum(piece[2] - piece[1] for piece in found) / 1e9 == pytest.approx(seconds)


def test_holders_side_is_the_waiters_time_on_the_holders_stack() -> None:
    events = [_hello(True), *_random_stream(7, True)]
    waited: Counter[tuple[int, int]] = Counter()
    for pieces in Samples([events]):
        for thread, start, end, _, blocker, _ in pieces:
            if blocker is not None:
                waited[blocker.thread.tid, thread.tid] += end - start
    turned: Counter[tuple[int, int]] = Counter()
    for pieces in Samples([events], side="holder"):
        for thread, start, end, _, waiter, _ in pieces:
            assert waiter is not None
            turned[thread.tid, waiter.thread.tid] += end - start
    assert turned == waited and waited


def _total(events: Iterable[Any], **how: object) -> Counter[tuple[str, State]]:
    found: Counter[tuple[str, State]] = Counter()
    for pieces in Samples([list(events)], Selection(**how)):  # type: ignore[arg-type]
        for thread, start, end, condition, *_ in pieces:
            found[thread.name, condition.state] += end - start
    return found


@pytest.mark.parametrize(
    ("line", "via", "name"),
    [
        ("self.out.put(item)", "Queue.put", "self.out (mail.py)"),
        ("if gate.wait(5): go()", "Barrier.wait", "gate (mail.py)"),
        ("a.put(b.put(1))", "Queue.put", "Queue 0xa"),  # two: which of them it is, nothing tells
        ("send(item)", "Queue.put", "Queue 0xa"),
    ],
)
def test_what_has_no_place_where_it_is_taken_is_called_as_the_line_calls_it(line: str, via: str, name: str) -> None:
    stream: list[AnyEvent] = [
        made.hello(),
        FrameDef(1, Frame("Condition.wait", "/usr/lib/python3.13/threading.py", 359, "waiter.acquire()", "stdlib")),
        FrameDef(2, Frame("Mail.run", "/srv/app/mail.py", 7, line)),
        StackDef(1, (1, 2)),
        WaitDef(1, Wait(WaitKind.FUTEX, lock=0xA, lock_kind="Queue", via=via)),
        Tick(1_010 * MS, 10 * MS, 0, False, (1, 1, 1, 0)),
        Tick(1_020 * MS, 10 * MS, 0, False, ()),
    ]
    told = {piece[3].detail for pieces in Samples([stream]) for piece in pieces}
    assert told == {name}


def test_sockets_of_which_nothing_is_known_are_told_alike() -> None:
    """Their numbers are of no use, and there is one for each connection."""
    stream: list[AnyEvent] = [
        made.hello(),
        WaitDef(1, Wait(WaitKind.IO, "recvfrom", 5, Peer("socket", "socket:[12]"))),
        WaitDef(2, Wait(WaitKind.IO, "recvfrom", 5, Peer("socket", "socket:[13]"))),
        WaitDef(3, Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "10.0.0.1:5432", known_as="postgresql"))),
        Tick(1_010 * MS, 10 * MS, 0, False, (1, 0, 1, 0, 2, 0, 2, 0, 3, 0, 3, 0)),
        Tick(1_020 * MS, 10 * MS, 0, False, ()),
    ]
    told = {piece[0].tid: piece[3].detail for pieces in Samples([stream]) for piece in pieces}
    unknown = "a socket (other end not known)"
    assert told == {1: unknown, 2: unknown, 3: "postgresql 10.0.0.1:5432"}


def test_selection() -> None:
    events = [made.hello(), *made.definitions(), *made.ticks(100)]
    everything = _total(events)
    assert {name for name, _ in everything} == {"MainThread", 'work"er;1 <i>\n</script>', "  пул-2  "}  # no native one
    assert set(_total(events, threads=("Main*", "4"))) == {
        k for k in _total(events, threads=("*",)) if k[0] in ("MainThread", "native")
    }
    assert _total(events, states=frozenset({State.LOCK})) == {k: v for k, v in everything.items() if k[1] is State.LOCK}
    halves = _total(events, to_s=0.333) + _total(events, from_s=0.333)
    assert halves == everything
    assert _total(events, from_s=0.2, to_s=0.5).total() == 3 * 300 * MS


def test_the_lean_reader_sees_what_the_whole_one_sees(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from concview.session.recording import Recording

    path = made.write(tmp_path / "x")

    def told(source: Samples) -> list[object]:
        return [
            (t.name, start, end, c.state, [f.function for f in c.stack.frames], c.detail, b and b.thread.name, seen)
            for pieces in source
            for t, start, end, c, b, seen in pieces
        ]

    recording = Recording(path)
    lean = told(recording.samples(gil_blockers=True))
    assert lean == told(Samples([list(recording.events())], gil_blockers=True)) and len(lean) > 100
    assert any("\\x0a" in str(row) for row in lean), "names are made safe on the lean way, too"
    made.write(path, whole=False)
    source = recording.samples()
    assert len(told(source)) > 50 and "breaks off" in source.broken and recording.broken == source.broken


def _named_stream() -> list[Any]:
    """Thread 2 answers a request from 300 ms on, and is in a query of it from 500 to 700 ms."""
    request = Label(WorkKind.REQUEST, "flask", "GET /orders/<id>")
    query = Label(WorkKind.QUERY, "sqlite3", "SELECT a FROM t")
    first = made.ticks(1)[0]
    assert isinstance(first, Tick)
    tid = first.changes[0]
    one = WorkItem(1, 901, 300 * MS, 0, (tid,))
    start = first.at_ns - first.dt_ns
    works = [
        Work(start + 300 * MS, (one,)), Work(start + 500 * MS, (one, WorkItem(2, 902, 500 * MS, 0, (tid,), inside=1))),
        Work(start + 700 * MS, (one,)), Work(start + 900 * MS, ()),
    ]  # fmt: skip
    mixed: list[Tick | Work] = [*works, *(e for e in made.ticks(100) if isinstance(e, Tick))]
    events = sorted(mixed, key=lambda e: e.at_ns)
    return [made.hello(), *made.definitions(), LabelDef(901, request), LabelDef(902, query), *events]


def test_time_in_whose_name() -> None:
    events = _named_stream()
    told: Counter[tuple[str, str]] = Counter()
    for pieces in Samples([events]):
        for _, start, end, condition, *_ in pieces:
            told[condition.doing] += end - start
    # A report counts from the last sample before it.
    assert abs(told["GET /orders/<id>", ""] - 400 * MS) <= 20 * MS
    assert abs(told["GET /orders/<id>", "SELECT a FROM t"] - 200 * MS) <= 20 * MS
    assert _total(events) == _total([e for e in events if not isinstance(e, Work)])


@pytest.mark.parametrize(("pattern", "expected"), [("GET /orders*", 600), ("SELECT*", 200), ("POST*", 0)])
def test_selection_by_label(pattern: str, expected: int) -> None:
    assert abs(_total(_named_stream(), labels=(pattern,)).total() - expected * MS) <= 20 * MS


def _written(name: str, path: Path, request: Request) -> bytes:
    out, write = io.BytesIO(), EXPORTERS[name].write
    assert write is not None
    write(Recording(path), out, request)
    return out.getvalue()


def test_labels_reach_the_files(tmp_path: Path) -> None:
    path = made.write(tmp_path / "x", _named_stream()[1:])
    for name, group in (("jsonl", ""), ("collapsed", "label")):
        told = _written(name, path, Request(Selection(labels=("GET /orders*",)), group_by=group)).decode()
        assert "GET /orders/<id>" in told
        if name == "jsonl":
            pieces = [json.loads(line) for line in told.splitlines()]
            assert {(p["work"], p["query"]) for p in pieces if p["type"] == "piece"} == {
                ("GET /orders/<id>", None),
                ("GET /orders/<id>", "SELECT a FROM t"),
            }
    assert b"SELECT a FROM t" in gzip.decompress(_written("pprof", path, Request()))
    with pytest.raises(Nothing) as nothing:
        _written("pprof", path, Request(Selection(labels=("POST*",))))
    assert "GET /orders/<id>" in nothing.value.enable
