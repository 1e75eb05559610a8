"""Text output and verdicts, from made-up snapshots."""

from __future__ import annotations

import msgspec

from concview.commands import _build, _schema
from concview.commands._dump_text import dump_text
from concview.commands._target_process import Ring
from concview.commands._text import check_text, folded
from concview.commands._text_writer import Pen
from concview.model import (
    NO_STACK,
    NO_WAIT,
    Confidence,
    Finding,
    Frame,
    Hold,
    Measured,
    Pending,
    Severity,
    Site,
    Stack,
    StackEvidence,
    State,
    Target,
    Wait,
    WaitKind,
    Where,
)
from concview.snapshot import ChainView, EdgeView, GilView, HolderView, LockView, Snapshot, Status, ThreadView

FRAME = Frame("Cache.get", "/srv/cache.py", 41, "with self._lock:")


def thread(tid: int, name: str = "w", **more: object) -> ThreadView:
    base = ThreadView(
        tid=tid,
        name=name,
        native=False,
        alive=True,
        age_s=5,
        state=State.SLEEP,
        since_s=1.0,
        reason="sleeps",
        shares=(0, 0, 0, 0, 0, 1, 0, 0),
        strip=(),
        cpu_percent=0.0,
        gil_held=0.0,
        holds_gil=False,
        switches_per_s=None,
        voluntary_per_s=None,
        stack=Stack((FRAME,)),
        wait=NO_WAIT,
        holds=(),
    )
    return msgspec.structs.replace(base, **more)


def finding(severity: Severity = Severity.WARN, recent: bool = False) -> Finding:
    return Finding(
        "lock-contention",
        "x",
        severity,
        90,
        Confidence.EXACT,
        "Threads queue",
        "7 of 8 wait.",
        "It serialises.",
        "Hold it for less:\n\n    with lock: copy()\n\nor divide it.",
        Measured("waiters", 6.6, 0.2, 1, "threads", 6.1),
        where=(Where("/srv/cache.py", 41, "Cache.get"),),
        threads=(1,),
        stacks=(StackEvidence("waiter", 1, "w-1", (FRAME,) * 20),),
        recent=recent,
    )


TARGET = Target(7, "3.13.0", ("python", "app.py"), 1000.0)


def snapshot(*threads: ThreadView, **more: object) -> Snapshot:
    empty = Snapshot(Status.FINISHED, target=TARGET, engine="direct", samples=100, elapsed_s=1.0, threads=threads)
    return msgspec.structs.replace(empty, **more)


def test_nothing_known_is_said_as_such() -> None:
    text = check_text(snapshot(), Pen(styled=False, width=100))
    assert "No findings" in text and "not seen" in text and "GIL not seen" in text
    out = _build.check_out(snapshot())
    assert (out.process.cpu_percent, out.process.gil_held_percent) == (None, None)


def test_a_finding_in_full() -> None:
    seen = snapshot(
        thread(1, "w-1"),
        findings=(finding(),),
        pending=(Pending("deadlock", "1 s more", "lock a"),),
        clear=("gil-contention",),
    )
    text = check_text(seen, Pen(styled=False, width=100))
    for words in (
        "▲ WARN  90  lock-contention: Threads queue",
        "7 of 8 wait.",
        "at least 6.1 with 95 % confidence",
        "where: Cache.get (/srv/cache.py:41)",
        "... 8 more",
        "\n           with lock: copy()\n",
        "or divide it.",
        "deadlock (lock a): needs 1 s more",
        "gil-contention",
    ):
        assert words in text, text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "\x1b" not in text
    assert "\x1b[31m" in check_text(seen, Pen(styled=True, width=100))


def circle(confidence: Confidence) -> Snapshot:
    site = {n: Site(n, "/srv/a.py", i + 1, "f") for i, n in enumerate("ab")}
    hold = {n: Hold(0x100 + i, "Lock", site[n], confidence) for i, n in enumerate("ab")}
    threads = [  # type: ignore[str-unpack]
        thread(
            1 + i,
            f"t{i}",
            state=State.LOCK,
            reason=f"waits for {wanted}",
            holds=(hold[held],),
            blocked_by=2 - i,
            blocked_confidence=confidence,
            wait=Wait(WaitKind.FUTEX, "futex", lock=hold[wanted].lock),
        )
        for i, (held, wanted) in enumerate(("ab", "ba"))
    ]
    locks = tuple(
        LockView(
            f"{hold[n].lock:#x}",
            hold[n].lock,
            "Lock",
            site[n],
            1.0,
            1,
            1.0,
            1,
            1.0,
            (HolderView(1 + i, f"t{i}", 1.0, confidence),),
            (2 - i,),
            1 + i,
            confidence,
        )
        for i, n in enumerate("ab")
    )
    edges = tuple(EdgeView(t.tid, t.blocked_by, f"{t.wait.lock:#x}", "ba"[t.tid - 1], confidence) for t in threads)
    chain = ChainView(1, "", edges, (1, 2), confidence is Confidence.EXACT, deadlock=True)
    behind = thread(9, "waits behind", blocked_by=1)
    return snapshot(*threads, behind, locks=locks, chains=(chain,), gil=GilView(True, holder_now=9))


def test_a_deadlock_is_named_edge_by_edge() -> None:
    seen = circle(Confidence.EXACT)
    out = _build.dump_out(seen)
    assert [[(e.tid, e.holds, e.waits_for) for e in c] for c in out.deadlocks] == [[(1, "a", "b"), (2, "b", "a")]]
    assert (out.gil.held, out.gil.holder) == (True, 9)
    first = out.threads[0]
    assert first.waiting_for is not None
    assert (first.waiting_for.lock, first.waiting_for.holder, first.waiting_for.confidence) == ("0x101", 2, "exact")
    text = dump_text(seen, Pen(styled=False, width=100))
    assert '▲ DEADLOCK: 2 threads wait for each other\n    "t0" (tid 1) holds a and waits for b' in text
    assert "GIL: held by" in text


def test_a_join_in_a_deadlock_is_no_lock() -> None:
    seen = circle(Confidence.EXACT)
    edges = (
        EdgeView(1, 2, "0x101", "its end (join)", Confidence.EXACT, "Thread.join"),
        EdgeView(2, 1, "0x100", "a", Confidence.EXACT),
    )
    chain = ChainView(1, "t0 -> t1 -> t0 wait for each other", edges, (1, 2), True, deadlock=True)
    text = dump_text(msgspec.structs.replace(seen, chains=(chain,)), Pen(styled=False, width=100))
    assert '"t0" (tid 1) holds a and waits for the end of "t1"' in text
    assert '"t1" (tid 2) waits for a\n' in text


def test_an_inferred_circle_is_not_called_a_deadlock() -> None:
    assert "POSSIBLE DEADLOCK (holders inferred" in dump_text(circle(Confidence.INFERRED), Pen(styled=False, width=100))


def test_a_gil_that_cannot_be_seen_is_neither_held_nor_free() -> None:
    assert _build.dump_out(snapshot(thread(1))).gil == _schema.GilOut(None, None)
    hidden = snapshot(thread(1), gil=GilView(True, holder_now=-1))
    assert _build.dump_out(hidden).gil == _schema.GilOut(None, None)
    nameless = snapshot(thread(1), gil=GilView(True, holder_now=-2))
    assert _build.dump_out(nameless).gil == _schema.GilOut(True, None)


def test_threads_without_python_are_counted_not_shown() -> None:
    native = thread(8, "blas", native=True, stack=NO_STACK)
    seen = snapshot(thread(7, "MainThread"), native, thread(6, "older", age_s=9))
    assert [t.name for t in _build.dump_out(seen).threads] == ["MainThread", "older"]
    assert "1 native thread without a Python stack not shown" in dump_text(seen, Pen(styled=False, width=100))


def test_json_survives_numbers_that_are_none() -> None:
    seen = snapshot(thread(1, shares=(float("nan"),) * 8), cpu_percent=float("inf"))
    out = msgspec.json.decode(_schema.encode(_build.check_out(seen)), type=_schema.CheckOut)
    assert out.process.cpu_percent is None


def test_the_ring_keeps_the_end() -> None:
    ring = Ring(limit=100)
    for number in range(50):
        ring.add(b"line %d\x1b[31m\n" % number)
    lines = ring.lines(3)
    assert lines == ["line 47", "line 48", "line 49"]
    assert ring.dropped > 0


def test_library_frames_between_are_counted_and_equal_stacks_shown_once() -> None:
    own = [Frame("page", "/srv/app.py", 10, "with engine.connect() as db:"), Frame("serve", "/srv/app.py", 14)]
    inner = [Frame(f"pool_{n}", "/lib/pool.py", n, "", "library") for n in range(5)]
    outer = [Frame(f"thread_{n}", "/lib/threading.py", n, "", "stdlib") for n in range(2)]
    assert folded([*inner, *own, *outer]) == [inner[0], 4, *own, *outer]
    assert folded(inner) == inner
    stacks = tuple(StackEvidence("waiter", tid, f"w-{tid}", (*inner, *own)) for tid in (1, 2))
    text = check_text(snapshot(findings=(msgspec.structs.replace(finding(), stacks=stacks),)), Pen(False, 100))
    assert "waiter: w-1 (tid 1)\n  waiter: w-2 (tid 2)\n" in text
    assert text.count("with engine.connect()") == 1 and "... 4 frames of libraries" in text
