"""A long recording is judged with patience: the same findings and verdict as when it is judged every second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from concview import codec
from concview.analysis.window import Window
from concview.catalogue.base import Rule
from concview.catalogue.judge import PATIENCE_NS
from concview.model import (
    CAPABILITIES,
    Bye,
    Capability,
    Confidence,
    Counters,
    Event,
    Frame,
    FrameDef,
    Hello,
    Hold,
    HoldsDef,
    Peer,
    Severity,
    Site,
    StackDef,
    Stats,
    Target,
    ThreadCounters,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)
from concview.session import FileSource
from concview.session import session as sessions
from concview.session.session import Session, read_through

START_NS, HZ, THREADS = 1_000_000_000_000, 20, 8
SITE = Site("self._lock", "/srv/cache.py", 37, "Cache.get", "cache.py::Cache")
SLEEPS, ASKS, WANTS, RUNS = 1, 2, 3, 4
#: What thread `n` does at second `s`: (stack, wait, holds).
Life = Callable[[float, int], tuple[int, int, int]]


def record(path: Path, seconds: int, life: Life) -> Path:
    capable = {name: Capability(True) for name in CAPABILITIES if name not in ("agent", "calls")}
    head: list[Event] = [
        Hello(codec.STREAM_VERSION, "0", Target(7, "3.12.1", ("/usr/bin/python3", "/srv/app.py"), 1.7e9), "direct", HZ,
              5, START_NS, 1.7e9, capable),
        FrameDef(1, Frame("nap", "/srv/app.py", 10)),
        FrameDef(2, Frame("Cache.load", "/srv/cache.py", 40)),
        FrameDef(3, Frame("Cache.get", "/srv/cache.py", 37, acquires=SITE)),
        FrameDef(4, Frame("spin", "/srv/app.py", 20)),
        *(StackDef(n, (n,)) for n in (1, 2, 3, 4)),
        WaitDef(SLEEPS, Wait(WaitKind.SLEEP, "clock_nanosleep")),
        WaitDef(ASKS, Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "127.0.0.1:5432", status="ESTABLISHED"))),
        WaitDef(WANTS, Wait(WaitKind.FUTEX, "futex", lock=0x10, lock_kind="Lock")),
        WaitDef(RUNS, Wait(WaitKind.RUNNING)),
        HoldsDef(1, (Hold(0x10, "Lock", SITE, Confidence.EXACT),)),
        *(ThreadDef(100 + n, f"web-{n}") for n in range(THREADS)),
    ]  # fmt: skip
    cpu = [0.0] * THREADS
    before: dict[int, tuple[int, int, int]] = {}
    with path.open("wb") as out:
        writer = codec.Writer(out)
        for event in head:
            writer.add(event)
        for tick in range(1, seconds * HZ + 1):
            at, rows = START_NS + tick * 1_000_000_000 // HZ, []
            for n in range(THREADS):
                now = life(tick / HZ, n)
                if now[1] == RUNS:
                    cpu[n] += 1e9 / HZ
                if before.get(n) != now:
                    before[n] = now
                    rows += [100 + n, *now]
            holder = next((100 + n for n in range(THREADS) if before[n][1] == RUNS), 0)
            writer.add(Tick(at, 1_000_000_000 // HZ, holder, False, tuple(rows)))
            if tick % (HZ // 5) == 0:
                each = tuple(ThreadCounters(100 + n, int(cpu[n]), 0, tick, 0) for n in range(THREADS))
                writer.add(Counters(at, sum(cpu) / 1e9, 0.0, 10**8, 20, THREADS, each))
            if tick % HZ == 0:
                writer.add(Stats(at, tick, 0, 0, 0, 0, HZ, HZ, 1.0))
                writer.flush()
        writer.add(Bye(at, "stopped"))
        writer.flush()
    return path


def nothing(_s: float, _n: int) -> tuple[int, int, int]:
    return 1, SLEEPS, 0


def held(s: float, n: int) -> tuple[int, int, int]:
    """One asks the database with the lock in its hand, the next one then, the others wait."""
    turn = int(s * 4) % THREADS
    return (2, ASKS, 1) if n == turn else (3, WANTS, 0)


def within(first: float, last: float, what: Life) -> Life:
    return lambda s, n: what(s, n) if first <= s < last else nothing(s, n)


def spins(_s: float, n: int) -> tuple[int, int, int]:
    return (4, RUNS, 0) if n == 0 else nothing(_s, n)


LIVES = {
    "nothing": nothing,
    "all the time": held,
    "for a while": within(31.3, 43.7, held),
    "for a short while": within(50.2, 55.4, held),
    "at the end": within(84.5, 90, held),
    "one computes": within(20, 60, spins),
}


def judged(path: Path, patience: bool) -> tuple[Session, int]:
    """Read to its end; and how often a rule was asked."""
    session = read_through(FileSource(path, 0.0))
    if not patience:
        session._patience_ns = 0
    judge, asked = session._judge, [0]
    ask = judge._ask

    def counted(rule: Rule, window: Window, windows: dict[tuple[str, ...], Window]) -> None:
        asked[0] += 1
        ask(rule, window, windows)

    judge._ask = counted  # type: ignore[method-assign]
    session.start(3600)
    session.wait(1e9)
    session.close()
    return session, asked[0]


def said(session: Session) -> tuple[object, ...]:
    found = {(f.id, f.subject, f.severity, f.recent) for f in session.fired()}
    last = session.snapshot()
    assert last.blame is not None
    return found, last.blame.verdict, last.blame.severity, last.blame.sentence, set(last.clear)


@pytest.mark.parametrize("name", LIVES)
def test_the_same_is_found(name: str, tmp_path: Path) -> None:
    path = record(tmp_path / "r", 90, LIVES[name])
    closely, often = judged(path, patience=False)
    patiently, seldom = judged(path, patience=True)
    assert said(patiently) == said(closely)
    assert seldom < often / 2
    if name in ("all the time", "for a while", "for a short while", "at the end"):
        assert "lock-held-across-io" in {f.id for f in patiently.fired()}


def test_what_is_over_is_told_as_it_was_at_its_worst(tmp_path: Path) -> None:
    def half(s: float, n: int) -> tuple[int, int, int]:
        """Fewer and fewer wait."""
        return held(s, n) if n < 8 - (s - 30) / 5 or n == int(s * 4) % THREADS else nothing(s, n)

    session, _ = judged(record(tmp_path / "r", 90, within(30, 69, half)), patience=False)
    (lock,) = [f for f in session.fired() if f.id == "lock-held-across-io"]
    assert lock.recent and lock.severity is Severity.WARN


def test_a_short_recording_is_judged_as_ever(tmp_path: Path) -> None:
    path = record(tmp_path / "r", 20, held)
    assert judged(path, patience=True)[1] == judged(path, patience=False)[1]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_recordings_of_real_processes(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parents[1] / "model" / "recordings" / f"version{version}.concview"
    closely, _ = judged(path, patience=False)
    monkeypatch.setattr(sessions, "LONG_NS", 0)
    monkeypatch.setattr(sessions, "CLOSELY_NS", PATIENCE_NS)
    patiently, _ = judged(path, patience=True)
    assert said(patiently) == said(closely)


def test_who_does_not_look_back_is_told_so(tmp_path: Path) -> None:
    session, _ = judged(record(tmp_path / "r", 20, nothing), patience=True)
    with pytest.raises(LookupError):
        session.at(session.history.now_ns, 5_000_000_000)


def test_the_length_is_read_without_the_events(tmp_path: Path) -> None:
    path = record(tmp_path / "r", 20, nothing)
    assert FileSource(path).seconds() == 20.0
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert 9 <= FileSource(path).seconds() <= 11
