"""Looking back says what was said when it was now; memory stays bounded; a recording can be held, stepped, searched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_session import CONVOY, record

from capacity import WAITS
from concview import codec
from concview.analysis import replay_buffer as tapes
from concview.analysis.history import History
from concview.analysis.replay_buffer import ReplayBuffer
from concview.catalogue.judge import Judgement
from concview.model import (
    Capability,
    Counters,
    Forget,
    Frame,
    FrameDef,
    Hello,
    StackDef,
    State,
    Target,
    ThreadCounters,
    ThreadDef,
    ThreadGone,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)
from concview.session import FileSource, LiveSource, Session
from concview.session.historical import Judged, Said
from concview.snapshot import Snapshot
from interpreters import Interpreter, interpreters, target

pytestmark = pytest.mark.units(WAITS)

S = 1_000_000_000


class Watched(Session):
    """Keeps the last snapshot that it made of every moment: the end of the stream is judged once more."""

    def __init__(self, source: FileSource) -> None:
        super().__init__(source)
        self.made: list[Snapshot] = []

    def _compose(self, ended: bool = False) -> None:
        super()._compose(ended)
        if self.made and self.made[-1].at_ns == self._snapshot.at_ns:
            self.made.pop()
        self.made.append(self._snapshot)


def _python() -> Interpreter:
    """Looking back is the same for all versions: one is enough."""
    return next(i for i in interpreters() if i.version >= (3, 11) and not i.free_threaded)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 s of four workers that queue for one lock."""
    file = tmp_path_factory.mktemp("past") / "x.concview"
    with target(_python(), CONVOY) as process:
        file.write_bytes(record(process.pid, 14.0, 40_000))
    return file


def test_a_moment_looks_as_it_did(recording: Path) -> None:
    session = Watched(FileSource(recording, 0))
    session.start()
    session.wait(1e9)
    picked = [s for s in session.made if s.elapsed_s > 2][:: max(1, len(session.made) // 6)]
    assert len(picked) >= 4
    for then in picked:
        again = session.at(then.at_ns, 10 * S)
        assert again.at_ns == then.at_ns and again.elapsed_s == then.elapsed_s
        assert again.series == then.series
        assert [t.name for t in again.threads] == [t.name for t in then.threads]
        for one, other in zip(again.threads, then.threads, strict=True):
            assert (one.state, one.since_s, one.reason, one.blocked_by) == (
                other.state,
                other.since_s,
                other.reason,
                other.blocked_by,
            )
            assert one.state is not State.RUNNING or not one.because
            # A half second more or less at the beginning of the window.
            assert one.shares == pytest.approx(other.shares, abs=0.05)
            assert one.strip == other.strip
            assert [f.place for f in one.stack.frames] == [f.place for f in other.stack.frames]
        assert again.blame == then.blame
        assert again.findings == then.findings and again.gil.holder_now == then.gil.holder_now
        assert again.detail_s == pytest.approx(again.seconds, abs=0.2)
        if then.locks and again.locks:
            assert again.locks[0].key == then.locks[0].key
            assert again.locks[0].held_share == pytest.approx(then.locks[0].held_share, abs=0.15)
    session.close()


def test_an_interval_of_its_own_length(recording: Path) -> None:
    session = Session(FileSource(recording, 0))
    session.start()
    session.wait(1e9)
    line = session.timeline()
    assert line.first_ns < line.last_ns and len(line.points) >= 10
    assert [m.id for m in line.marks] == ["lock-held-across-io"]
    short = session.at(line.last_ns - 4 * S, 2 * S)
    assert short.seconds == pytest.approx(2, abs=0.6) and short.detail_s == pytest.approx(2, abs=0.01)
    end = short.at_ns
    calls = session.calls((State.LOCK,), back=(line.last_ns - 4 * S, 2 * S))
    assert calls.at_ns == end and calls.seconds == pytest.approx(2, abs=0.01)
    # Three of four workers wait at any moment.
    assert calls.root.total_ns / 2e9 == pytest.approx(3, abs=0.5)
    before = session.at(line.first_ns, 10 * S)
    assert not before.findings, "nothing had been judged at that moment"
    session.close()


def test_live_collection_goes_on_while_looking_back() -> None:
    with target(_python(), CONVOY) as process:
        session = Session(LiveSource(process.pid))
        session.start()
        session.wait(2.0)
        _until(lambda: session.snapshot().elapsed_s >= 2)  # pictures are seconds apart on a full machine
        moment = session.snapshot().at_ns
        first = session.at(moment, S)
        _until(lambda: session.snapshot().at_ns > moment + S)
        again = session.at(moment, S)
        assert [(t.name, t.state, t.since_s) for t in again.threads] == [
            (t.name, t.state, t.since_s) for t in first.threads
        ]
        session.close()


def _until(true: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def _stands_at(session: Session) -> int:
    """The moment at which it stands: a block may have been under way, but then it stops."""
    since, stands = time.monotonic(), session.history.now_ns
    deadline = since + 30
    while time.monotonic() < since + 0.5:
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.02)
        if session.history.now_ns != stands:
            since, stands = time.monotonic(), session.history.now_ns
    return stands


def test_a_recording_is_held_stepped_and_searched(recording: Path) -> None:
    source = FileSource(recording, 1.0)
    session = Session(source)
    session.start()
    _until(lambda: session.history.now_ns > 0)
    source.hold(True)
    held = _stands_at(session)
    source.play_to(held + S)
    _until(lambda: session.history.now_ns > held)
    assert held < _stands_at(session) <= held + 2 * S
    source.seek_finding()
    _until(lambda: not source._seeking)
    _until(lambda: {f.id for f in session.snapshot().findings} == {"lock-held-across-io"})
    assert not session.ended
    source.set_speed(0)
    source.hold(False)
    _until(lambda: session.ended)
    session.close()


# ---------------------------------------------------------------- bounds, without a process


def _events(seconds: float, threads: int, step_ns: int = 10_000_000, forget_at: int = 0) -> Iterator[object]:
    yield Hello(
        codec.STREAM_VERSION,
        "0",
        Target(1, "3.13.0", (), 0.0),
        "direct",
        100,
        5,
        0,
        0.0,
        {"stacks": Capability(True)},
    )

    def definitions() -> Iterator[object]:
        for n in range(1, 9):
            yield FrameDef(n, Frame(f"f{n}", "x.py", n))
            yield StackDef(n, (n,))
            yield WaitDef(n, Wait(WaitKind.RUNNING if n % 2 else WaitKind.SLEEP))

    yield from definitions()
    for tid in range(1, threads + 1):
        yield ThreadDef(tid, f"worker-{tid}")
    gone = 0
    for number in range(1, int(seconds * S / step_ns) + 1):
        at = number * step_ns
        changes: list[int] = []
        for tid in range(1, threads + 1):
            if (number + tid) % 3 == 0 and tid != gone:
                changes += (tid, 1 + (number * tid) % 8, 1 + (number + tid) % 8, 0)
        yield Tick(at, step_ns, 0, False, tuple(changes))
        if forget_at and at == forget_at:
            yield Forget(at)
            yield from definitions()
        if number % 20 == 0:
            yield Counters(
                at,
                at / 2e9,
                0.0,
                1,
                1,
                threads,
                tuple(ThreadCounters(t, at // 3, 0, at // S, 0) for t in range(threads)),
            )
        if forget_at and number * step_ns == forget_at // 2 and not gone:
            gone = threads
            yield ThreadGone(gone, at)


def _fed(seconds: float, threads: int, buffer: ReplayBuffer, **more: int) -> History:
    history = History()
    for event in _events(seconds, threads, **more):
        history.apply(event)  # type: ignore[arg-type]
        buffer.add(event, history)  # type: ignore[arg-type]
    return history


def test_definitions_that_were_forgotten_still_count() -> None:
    buffer = ReplayBuffer()
    history = _fed(30, 4, buffer, forget_at=15 * S)
    for end in (9, 14, 16, 20, 29):
        past = buffer.plan(history, end * S, 5 * S, 60 * S).build()
        assert past.now_ns == end * S
        for tid in (1, 2, 3):
            run = past.threads[tid].current
            assert run is not None and run.stack.frames, (end, tid)
        assert (4 in past.threads) == (end * S < 15 * S // 2)
    # One that ended before what is replayed comes back with its sums.
    past = buffer.plan(history, 20 * S, 20 * S, 60 * S).build()
    gone = next(t for t in past.gone if t.tid == 4)
    assert gone.name == "worker-4"


def test_ten_minutes_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes, "KEPT_NS", 60 * S)
    buffer = ReplayBuffer()
    history = _fed(200, 5, buffer)
    assert history.now_ns - buffer.first_ns <= 60 * S + 2 * tapes.SEGMENT_NS
    with_all = buffer.plan(history, 0, S, 60 * S).build()
    assert with_all.now_ns >= buffer.first_ns, "a moment that is gone shows the oldest that is kept"


def test_short_of_memory_the_oldest_lose_their_detail() -> None:
    buffer = ReplayBuffer(max_bytes=20_000)
    history = _fed(60, 20, buffer)
    assert buffer.size <= 20_000
    assert buffer.first_ns == 0 < buffer.detail_ns < history.now_ns
    coarse = buffer.plan(history, 10 * S, 10 * S, 60 * S).build()
    assert not coarse.complete and coarse.threads[1].current is not None
    assert sum(sum(b.sampled) for b in coarse.threads[1].buckets) > 0, "the sums are still there"
    fine = buffer.plan(history, history.now_ns, 2 * S, 60 * S).build()
    assert fine.complete and fine.now_ns == history.now_ns


def test_what_was_judged_then() -> None:
    judged = Judged()
    one, two = Said(Judgement(clear=("a",))), Said(Judgement(clear=("a", "b")))
    judged.add(S, one)
    judged.add(2 * S, two)
    assert judged.at(S // 2) == Said()
    assert judged.at(S) == one and judged.at(S * 3 // 2) == one and judged.at(9 * S) == two
