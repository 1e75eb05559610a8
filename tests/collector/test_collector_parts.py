"""Recorder and pace: what the collector is made of, without a process."""

import io
import itertools

import pytest

from concview import codec
from concview.collector import recorder as recorder_module
from concview.collector.pace import MIN_HZ, Pace
from concview.collector.recorder import Recorder
from concview.model import Forget, FrameDef, ThreadDef, Tick, Wait, WaitKind
from concview.source.facts import SourceFacts


@pytest.fixture
def sink():
    out = io.BytesIO()
    writer = codec.Writer(out)
    recorder = Recorder(writer, SourceFacts(None, 0.0))
    return recorder, writer


def events(writer: codec.Writer) -> list:
    return writer._events


def test_equal_things_are_written_once(sink) -> None:
    recorder, writer = sink
    a = recorder.frame("f", "x.py", 1)
    assert recorder.frame("f", "x.py", 1) == a
    s = recorder.stack((a,))
    assert recorder.stack((a,)) == s and recorder.stack(()) == 0
    w = recorder.wait(Wait(WaitKind.SLEEP))
    assert recorder.wait(Wait(WaitKind.SLEEP)) == w
    recorder.thread(1, "n")
    recorder.thread(1, "n")
    recorder.thread(1, "m")
    assert [type(e).__name__ for e in events(writer)] == ["FrameDef", "StackDef", "WaitDef", "ThreadDef", "ThreadDef"]


def test_a_tick_carries_only_what_changed(sink) -> None:
    recorder, writer = sink
    recorder.tick(1_000, 0, False, [(1, 5, 6, 0), (2, 5, 6, 0)])
    recorder.tick(3_000, 1, True, [(1, 5, 6, 0), (2, 7, 6, 0)])
    first, second = (e for e in events(writer) if isinstance(e, Tick))
    assert first.changes == (1, 5, 6, 0, 2, 5, 6, 0) and first.dt_ns == 0
    assert second.changes == (2, 7, 6, 0) and second.dt_ns == 2_000 and second.collecting


def test_tables_are_bounded(sink, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, writer = sink
    monkeypatch.setattr(recorder_module, "MAX_FRAMES", 10)
    for i in range(12):
        recorder.frame("f", "x.py", i)
    recorder.tick(1, 0, False, [(1, 2, 3, 0)])
    assert recorder.generation == 1 and isinstance(events(writer)[-1], Forget)
    recorder.tick(2, 0, False, [(1, 2, 3, 0)])
    assert events(writer)[-1].changes == (1, 2, 3, 0)  # repeated: its ids were forgotten


def test_names_are_cleaned(sink) -> None:
    recorder, writer = sink
    recorder.thread(1, "\x1b[31m" + "x" * 10_000)
    recorder.frame("f\x07", "a\x1b.py", 1)
    thread, frame = events(writer)
    assert isinstance(thread, ThreadDef) and thread.name.startswith("\\x1b[31m") and len(thread.name) <= 240
    assert isinstance(frame, FrameDef) and frame.frame.file == "a\\x1b.py"


def test_pace_is_jittered_and_keeps_the_rate() -> None:
    pace = Pace(100, 5, seed=1)
    pace.start(0)
    due = [pace.next_due(0) for _ in range(2_000)]
    gaps = [b - a for a, b in itertools.pairwise(due)]
    assert min(gaps) >= 4.9e6 and max(gaps) <= 15.1e6
    assert due[-1] / 1e9 == pytest.approx(20, rel=0.03)
    assert pace.misses == 0


def test_pace_counts_what_it_missed() -> None:
    pace = Pace(100, 5, seed=1)
    pace.start(0)
    pace.next_due(1_000_000_000)
    assert 90 <= pace.misses <= 101


def test_pace_obeys_the_budget_and_recovers() -> None:
    pace = Pace(1000, 5)
    for _ in range(30):
        pace.adapt(50)
    assert pace.target_hz == MIN_HZ
    for _ in range(60):
        pace.adapt(1)
    assert pace.target_hz == 1000
    slow = Pace(2, 5)
    slow.adapt(80)
    assert slow.target_hz == 2


def test_a_rate_that_goes_up_and_down_is_told_once() -> None:
    pace = Pace(100, 5)
    told = [pace.adapt(percent) for percent in (7, 3, 3, 7, 3, 3, 7, 4)]
    assert told == [True, *[False] * 7], "between 68 and 100 Hz all the time"
    assert pace.adapt(30), "a third of that"
    for _ in range(40):
        assert not pace.adapt(1)
    assert pace.adapt(7), "it had recovered"
