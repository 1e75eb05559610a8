"""Recorder and pace: what the collector is made of, without a process."""

import fcntl
import io
import itertools
import os
import resource
from typing import Any

import pytest

from concview import codec, control
from concview.collector import recorder as recorder_module
from concview.collector.budget import Budget
from concview.collector.looks import FIRST_NS, SHARE, Looks
from concview.collector.loop import Collector
from concview.collector.pace import MIN_HZ, Pace
from concview.collector.recorder import Recorder
from concview.engines.direct import DirectEngine
from concview.model import Forget, FrameDef, ThreadDef, Tick, Wait, WaitKind
from concview.source.facts import SourceFacts


@pytest.fixture
def sink() -> tuple[Recorder, codec.Writer]:
    out = io.BytesIO()
    writer = codec.Writer(out)
    recorder = Recorder(writer, SourceFacts(None, 0.0))
    return recorder, writer


def events(writer: codec.Writer) -> list[Any]:
    return writer._events


def test_equal_things_are_written_once(sink: tuple[Recorder, codec.Writer]) -> None:
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


def test_a_tick_carries_only_what_changed(sink: tuple[Recorder, codec.Writer]) -> None:
    recorder, writer = sink
    recorder.tick(1_000, 0, False, [(1, 5, 6, 0), (2, 5, 6, 0)])
    recorder.tick(3_000, 1, True, [(1, 5, 6, 0), (2, 7, 6, 0)])
    first, second = (e for e in events(writer) if isinstance(e, Tick))
    assert first.changes == (1, 5, 6, 0, 2, 5, 6, 0) and first.dt_ns == 0
    assert second.changes == (2, 7, 6, 0) and second.dt_ns == 2_000 and second.collecting


def test_tables_are_bounded(sink: tuple[Recorder, codec.Writer], monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, writer = sink
    monkeypatch.setattr(recorder_module, "MAX_FRAMES", 10)
    for i in range(12):
        recorder.frame("f", "x.py", i)
    recorder.tick(1, 0, False, [(1, 2, 3, 0)])
    assert recorder.generation == 1 and isinstance(events(writer)[-1], Forget)
    recorder.tick(2, 0, False, [(1, 2, 3, 0)])
    assert events(writer)[-1].changes == (1, 2, 3, 0)  # repeated: its ids were forgotten


def test_names_are_cleaned(sink: tuple[Recorder, codec.Writer]) -> None:
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


class _Clock:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def test_who_spent_too_much_waits_until_it_is_paid_back() -> None:
    clock = _Clock()
    budget = Budget(5, clock)
    clock.ns = 900_000_000  # starting up is not judged
    budget.begin(1_000_000_000)
    assert budget.paid_back(1_000_000_000) == 1_000_000_000
    clock.ns += 10_000_000
    assert budget.settle(1_100_000_000) == 10_000_000
    assert budget.balance == -5_000_000, "5 of the 10 ms were earned"
    owed = budget.paid_back(1_100_000_000)
    assert owed == 1_200_000_000
    budget.settle(owed)
    assert budget.balance == 0
    budget.settle(owed + 3_600_000_000_000)
    assert budget.balance == 25_000_000, "an hour of idleness is no licence"


class _Costly:
    every_ns = 500_000_000

    def __init__(self, name: str, clock: _Clock, work_ns: int) -> None:
        self.name, self._clock, self._work = name, clock, work_ns
        self.left = work_ns
        self.complete = 0

    def look(self, at_ns: int, allowed_ns: int) -> bool:
        done = min(self.left, allowed_ns)
        self._clock.ns += done
        self.left -= done
        if self.left:
            return False
        self.left = self._work
        self.complete += 1
        return True


def test_a_look_that_was_not_through_everything_comes_again_soon() -> None:
    """However much its first turns cost: a person waits to see something."""

    class Slow(_Costly):
        def look(self, at_ns: int, allowed_ns: int) -> bool:
            self._clock.ns += 500_000_000
            self.complete += 1
            return self.complete > 3

    clock = _Clock()
    slow = Slow("slow", clock, 0)
    looks = Looks([slow], Budget(5, clock).earned, clock)
    for now in range(1_000_000_000, 14_000_000_000, 10_000_000):
        if now >= looks.due_ns:
            looks.turn(now)
    assert slow.complete == 4, "three seconds apart until it was through once, then when it has paid"


def test_a_look_is_behind_until_it_has_had_a_turn_since() -> None:
    clock = _Clock()
    looks = Looks([_Costly("one", clock, 1_000), _Costly("other", clock, 1_000)], Budget(5, clock).earned, clock)
    moment, now, turns = 5_000_000_000, 5_000_000_000, 0
    while looks.behind(moment, now):
        looks.turn(now)
        turns, now = turns + 1, now + 10_000_000
    assert turns == 2, "one each; and then it is enough, though they are due again"
    later = now + 10_000_000_000
    assert looks.due_ns < later and not looks.behind(moment, later) and looks.behind(moment + now, later)


def test_looks_are_slowed_to_their_part_of_the_budget() -> None:
    clock = _Clock()
    cheap, costly = _Costly("cheap", clock, 500_000), _Costly("costly", clock, 40_000_000)
    looks = Looks([cheap, costly], Budget(5, clock).earned, clock)
    looks.report(1_000_000_000)
    for now in range(1_000_000_000, 61_000_000_000, 10_000_000):
        if now >= looks.due_ns:
            looks.turn(now)
    assert cheap.complete > 100, "as often as it likes"
    assert 1 <= costly.complete <= 16 + FIRST_NS // 40_000_000, "in parts, and to its end all the same"
    reports = {report.name: report for report in looks.report(now)}
    first = 100 * FIRST_NS / 60e9  # what is new at the beginning is given beside its part
    assert reports["costly"].cpu_percent <= first + 5 * SHARE * 1.1, "its part, and what the other leaves of its"
    assert sum(r.cpu_percent for r in reports.values()) <= 2 * first + 5 * SHARE * 1.1
    assert reports["cheap"].complete == cheap.complete


def test_a_command_is_heard_on_a_descriptor_that_select_refuses() -> None:
    """With two files a thread open, it need not be a small number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    reader, writer = os.pipe()
    high = fcntl.fcntl(reader, fcntl.F_DUPFD, 2000)
    try:
        collector = Collector(os.getpid(), "direct", 100, 5)
        collector._engine = DirectEngine()  # `run` opens one
        assert collector._listen(high), "nothing was said"
        os.write(writer, control.encode(control.SetBudget(20)))
        assert collector._listen(high) and collector._pace.budget == 20
        os.close(writer)
        assert not collector._listen(high), "the reader has gone"
    finally:
        os.close(reader)
        os.close(high)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_samples_that_the_budget_has_no_room_for_are_no_misses() -> None:
    pace = Pace(100, 5, seed=1)
    pace.start(0)
    assert pace.next_due(0, 500_000_000) == 500_000_000
    assert pace.misses == 0
    assert 480_000_000 < pace.held_ns < 500_000_000
    assert 500_000_000 < pace.next_due(500_000_000) < 520_000_000
