"""The last minutes of a stream, saved, say of every moment what the whole stream says of it."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path
from typing import Any

import pytest

from concview import codec
from concview.analysis.history import History
from concview.collector import recorder as recorders
from concview.collector.recorder import Recorder
from concview.model import (
    AnyEvent,
    Bye,
    Counters,
    Hello,
    Notice,
    ProcessStatus,
    Stack,
    Target,
    TaskDef,
    TasksGone,
    TaskState,
    TaskTick,
    TaskWait,
    ThreadCounters,
    Wait,
    WaitKind,
)
from concview.session.rolling_recording import RollingRecording
from concview.source.facts import SourceFacts

SECOND = 1_000_000_000


class _Keep(io.BytesIO):
    """Where a writer writes: each block as a payload."""

    def payloads(self) -> list[bytes]:
        out: list[bytes] = []
        whole = io.BytesIO(self.getvalue())

        def take(payload: bytes) -> list[AnyEvent]:
            out.append(payload)
            return codec.decode_payload(payload)

        with contextlib.suppress(codec.Damaged):  # it has no end yet
            for _ in codec.read_blocks(whole, take):
                pass
        return out


def stream(seconds: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Threads and tasks that come and go, with deltas only, and tables that are forgotten now and then."""
    monkeypatch.setattr(recorders, "MAX_STACKS", 60)
    chance = random.Random(seed)
    out = _Keep()
    writer = codec.Writer(out)
    recorder = Recorder(writer, SourceFacts(None, 0.0))
    at = 5 * SECOND
    target = Target(1, "3.13.0", ("app.py",), 0.0)
    recorder.emit(Hello(codec.STREAM_VERSION, "1", target, "direct", 10.0, 5.0, at, 1000.0, {}))
    alive, tasks, number, task_number = [1, 2, 3], [1], 3, 1
    rows: dict[int, tuple[int, int, int, int]] = {}
    generation = recorder.generation
    for tid in alive:
        recorder.thread(tid, f"thread-{tid}")
    recorder.emit(TaskDef(1, "task-1", 0, 7))
    for step in range(seconds * 10):
        at += SECOND // 10
        if chance.random() < 0.1:
            number += 1
            alive.append(number)
            recorder.thread(number, f"thread-{number}", at)
        if chance.random() < 0.1 and len(alive) > 2:
            gone = alive.pop(chance.randrange(len(alive)))
            rows.pop(gone, None)
            recorder.thread_gone(gone, at)
        if recorder.generation != generation:
            generation = recorder.generation
            rows.clear()
        for tid in alive:
            if tid not in rows or chance.random() < 0.2:
                frames = tuple(recorder.frame(f"f{chance.randrange(40)}", "a.py", n) for n in range(3))
                wait = recorder.wait(Wait(chance.choice([WaitKind.RUNNING, WaitKind.IO, WaitKind.FUTEX]), "x"))
                rows[tid] = (tid, recorder.stack(frames), wait, 0)
        recorder.tick(at, 0, False, list(rows.values()))
        if chance.random() < 0.2:
            task_number += 1
            tasks.append(task_number)
            recorder.emit(TaskDef(task_number, f"task-{task_number}", 0, 7, at))
        if chance.random() < 0.2 and len(tasks) > 1:
            recorder.emit(TasksGone(at, (tasks.pop(0), 1)))
        wait_id = recorder.task_wait(TaskWait(TaskState.SLEEP))
        recorder.emit(TaskTick(at, SECOND // 10, (tasks[-1], 0, wait_id, 0, at, 0), (), len(tasks)))
        if step % 5 == 0:
            threads = tuple(ThreadCounters(tid, at // 7, 0, 0, 0) for tid in alive)
            recorder.emit(Counters(at, at / SECOND / 2, 0.0, 1 << 20, 3, len(alive), threads))
        if step == 30:
            recorder.emit(ProcessStatus(at, "stopped"))
        recorder.emit(Notice(at, "info", "said once"))
        writer.flush()
    return out.payloads()


def told(history: History, since_ns: int) -> dict[str, Any]:
    """What is known at the end: who is there, doing what, and every change after `since_ns`."""

    def stack(value: Stack) -> list[str]:
        return [f.place for f in value.frames]

    return {
        "threads": {
            t.name: (
                stack(t.current.stack) if t.current else None,
                t.current.wait if t.current else None,
                [(r.start_ns, stack(r.stack), r.wait) for r in t.runs if r.start_ns > since_ns],
            )
            for t in history.threads.values()
        },
        "gone": {t.name for t in history.gone if t.gone_ns > since_ns},
        "tasks": {t.id for t in history.aio.tasks.values()},
        "status": history.stopped,
        "rss": history.counters.rss if history.counters is not None else 0,
    }


def replayed(blocks: list[list[AnyEvent]]) -> History:
    history = History()
    for events in blocks:
        for event in events:
            history.apply(event)
    return history


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("seconds", [None, 3.0, 8.0])
def test_saved_is_as_it_was(seed: int, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = stream(20, seed, monkeypatch)
    rolling = RollingRecording(kept_ns=6 * SECOND)
    whole = [codec.decode_payload(p) for p in payloads]
    for payload, events in zip(payloads, whole, strict=True):
        rolling.add(payload, events)
    out = io.BytesIO()
    reaches = rolling.save(out, seconds)
    assert reaches < 12 and (seconds is None or reaches < seconds + 3)
    blocks = list(codec.read_blocks(io.BytesIO(out.getvalue())))
    assert isinstance(blocks[0][0], Hello) and isinstance(blocks[-1][-1], Bye)
    begun = blocks[0][0]
    # The moment of the greeting is that of the beginning, on both clocks.
    assert begun.epoch - 1000.0 == pytest.approx((begun.at_ns - 5 * SECOND) / SECOND)
    after = begun.at_ns
    assert told(replayed(blocks), after) == told(replayed(whole), after)
    notices = [e for events in blocks for e in events if isinstance(e, Notice)]
    assert len(notices) < 10 * 12  # those of the time before are not told again


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = stream(10, 1, monkeypatch)
    rolling = RollingRecording(max_bytes=2_000)
    for _ in range(5):
        for payload in payloads:
            rolling.add(payload, codec.decode_payload(payload))
    assert rolling.size < 12_000


def test_nothing_yet() -> None:
    with pytest.raises(LookupError):
        RollingRecording().save(io.BytesIO())


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "model" / "recordings").glob("*.concview")))
def test_older_streams(path: Path) -> None:
    rolling, out = RollingRecording(), io.BytesIO()
    with path.open("rb") as file:
        whole = list(codec.read_blocks(file, rolling.tap(codec.decode_payload)))
    rolling.save(out)
    assert list(codec.read_blocks(io.BytesIO(out.getvalue()))) == whole
