"""Locks of C libraries: a queue at one, and the circle of one with the GIL. Who has them is read from the locks."""

from __future__ import annotations

from typing import Any

import pytest
from build import GIL, RUNNING, Scene, frame, waits_for

from concview.analysis.blame.tracker import Tracker
from concview.analysis.window import Window
from concview.catalogue.rules.gil_deadlock import RULE as GIL_DEADLOCK
from concview.catalogue.rules.native_lock_contention import RULE as CONTENTION
from concview.model import Finding, NativeWait, NativeWaits, Owner, State, Wait, WaitKind
from concview.session.thread_views import ThreadCache, thread_view
from concview.source.wakes import Wakes

RULES = {rule.id: rule for rule in (GIL_DEADLOCK, CONTENTION)}
IN_C = Wait(WaitKind.SLEEP, "clock_nanosleep")


def _found(scene: Scene, rule_id: str) -> Finding:
    finding = scene.found(rule_id)
    assert finding is not None, scene.ever()
    return finding


def _told(scene: Scene, *waits: NativeWait) -> None:
    scene.history.apply(NativeWaits(scene.history.now_ns, waits))


def _queue(kind: str = "mutex", library: str = "libsqlite3.so.0", elsewhere: bool = False, lost: bool = False) -> Scene:
    scene = Scene(rules=RULES)
    owner = scene.thread("report")
    waiters = [scene.thread(f"small-{number}") for number in range(3)]
    others = (Owner(99, "importer"),) if elsewhere else ()
    scene.do(owner, [frame("report", 7)], IN_C)
    for tid in waiters:
        scene.do(tid, [frame("small", 10)], waits_for())
    scene.play(1)
    _told(
        scene,
        *(
            NativeWait(t, 4096, library, kind=kind, owner=98 if others else owner, others=others, lost=lost)
            for t in waiters
        ),
    )
    scene.play(8)
    return scene


def test_threads_queue_for_what_one_has_in_c() -> None:
    finding = _found(_queue(), "native-lock-contention")
    assert finding.severity == "warn" and finding.confidence == "exact"
    assert (finding.severity, finding.confidence) == ("warn", "exact")
    assert "On average 3.0 of" in finding.summary
    assert "a mutex inside libsqlite3.so.0" in finding.title
    assert "report has it in turn, mostly sleeping" in finding.summary
    assert "connection of its own" in finding.fix  # SQLite is known
    assert [s.role for s in finding.stacks] == ["holder", "waiter", "waiter", "waiter"]


def test_a_view_of_a_thread_has_the_lock_in_c_that_it_waits_for() -> None:
    scene = _queue()
    views = [
        thread_view(t, scene.history, ThreadCache(), {}, (), 0, True) for t in list(scene.history.threads.values())
    ]
    assert {v.name: v.c_lock for v in views} == {"report": 0, **{f"small-{n}": 4096 for n in range(3)}}


def test_a_library_that_is_not_known_has_the_rules_own_advice() -> None:
    finding = _found(_queue("rwlock", "libx.so"), "native-lock-contention")
    assert "a rwlock inside libx.so" in finding.title
    assert "Share no object of the library" in finding.fix


def test_another_process_has_it() -> None:
    finding = _found(_queue(elsewhere=True), "native-lock-contention")
    assert "process 99 (importer) has it" in finding.summary and "process 99" in finding.check_next


@pytest.mark.parametrize(("kind", "lost"), [("", False), ("mutex", True)])
def test_what_is_no_lock_and_what_nobody_has_any_more_is_no_queue(kind: str, lost: bool) -> None:
    assert "native-lock-contention" not in _queue(kind, lost=lost).ever()


def test_waits_in_which_nobody_looked_are_inferred_and_other_waits_in_c_are_none() -> None:
    scene = Scene(rules=RULES)
    owner, waiter, other = (scene.thread(name) for name in ("report", "small", "polls"))
    scene.do(owner, [frame("report", 7)], IN_C)
    for tid in (waiter, other):
        scene.do(tid, [frame("small", 10)], waits_for())
    scene.play(1)
    told = NativeWait(waiter, 4096, "libx.so", kind="mutex", owner=owner)
    _told(scene, told, NativeWait(other, 8192, "libx.so"))
    for line in range(11, 51):  # one wait after the other
        scene.do(waiter, [frame("small", line)])
        scene.play(0.02)
        scene.do(waiter, [frame("small", line)], waits_for())
        scene.play(0.2)
    finding = _found(scene, "native-lock-contention")
    assert finding.confidence == "inferred" and finding.title.startswith("1 thread queues")


def _circle(owner_wants: Wait, others: tuple[Owner, ...] = ()) -> Scene:
    scene = Scene(rules=RULES)
    caller, owner, third = (scene.thread(name) for name in ("caller", "callback", "web"))
    scene.do(caller, [frame("call", 40)], waits_for())
    scene.do(owner, [frame("called_back", 32)], owner_wants)
    scene.do(third, [frame("serve", 3)], GIL)
    scene.native, scene.keeps = True, caller
    scene.play(1)
    _told(scene, NativeWait(caller, 4096, "libx.so", kind="mutex", owner=owner, others=others))
    scene.play(5)
    return scene


def test_each_has_what_the_other_needs() -> None:
    finding = _found(_circle(GIL), "gil-deadlock")
    assert (finding.severity, finding.confidence, finding.score) == ("warn", "exact", 100)
    assert "caller has the GIL and waits for a mutex inside libx.so" in finding.summary
    assert "which callback has; callback waits for the GIL" in finding.summary
    assert "1 more thread waits for the GIL" in finding.summary


@pytest.mark.parametrize("scene", [_circle(IN_C), _circle(GIL, (Owner(99, "x"),))])
def test_an_owner_that_goes_on_gives_it_back(scene: Scene) -> None:
    assert "gil-deadlock" not in scene.ever()


@pytest.mark.parametrize(
    ("does", "more", "expected"),
    [
        (IN_C, {}, ("taken", "sleep", True)),
        (RUNNING, {}, ("taken", "cpu", False)),  # it may have given it back, and another one taken it
        (IN_C, {"owner": 98, "others": (Owner(99, "importer"),)}, ("taken", "peer", True)),
        (IN_C, {"owner": 98, "others": (Owner(99, "x", stopped="SIGSTOP"),)}, ("taken", "stopped process", True)),
        (IN_C, {"owner": 98, "lost": True}, ("own", "nobody", True)),
        (IN_C, {"kind": ""}, ("own", "native", True)),
    ],
)
def test_where_the_wait_ends(does: Wait, more: dict[str, Any], expected: tuple[str, str, bool]) -> None:
    scene = Scene(rules={})
    owner, waiter = scene.thread("report"), scene.thread("small")
    scene.do(owner, [frame("report", 7)], does)
    scene.do(waiter, [frame("small", 10)], waits_for())
    scene.play(1)
    _told(scene, NativeWait(waiter, 4096, "libx.so", **{"kind": "mutex", "owner": owner, **more}))
    scene.play(6)
    told = Tracker(Wakes(lambda _: ())).blame(Window(scene.history))
    assert told is not None
    (cause,) = [c for c in told.causes if waiter in c.threads]
    assert (cause.family, cause.kind, cause.exact) == expected
    if cause.path:
        assert cause.path[0].via == "native lock" and cause.path[0].what == "a mutex inside libx.so"


def _now(scene: Scene, tid: int) -> tuple[State, str]:
    run = scene.history.threads[tid].current
    assert run is not None
    return run.state, run.classification.reason


def test_a_lock_of_a_c_library_is_a_lock_from_the_beginning_of_the_wait() -> None:
    scene = Scene(rules=RULES)
    owner, waiter, other = (scene.thread(name) for name in ("owner", "waiter", "other"))
    scene.do(owner, [frame("has", 1)], Wait(WaitKind.SLEEP, "clock_nanosleep"))
    for tid in (waiter, other):
        scene.do(tid, [frame("call", 10)], waits_for())
    scene.play(0.4)
    threads = scene.history.threads
    assert _now(scene, waiter) == (State.UNKNOWN, "waits inside native code (a futex that is no lock of Python's)")
    told = NativeWait(waiter, 4096, "libpq.so.5", kind="mutex", owner=owner)
    scene.history.apply(NativeWaits(scene.history.now_ns, (told, NativeWait(other, 8192, "libx.so"))))
    scene.play(1)
    assert _now(scene, waiter) == (State.LOCK, "waits for a mutex inside libpq.so.5")
    assert _now(scene, other)[0] is State.UNKNOWN  # what has no owner is no lock
    first = threads[waiter].buckets[0].sampled
    assert not first[State.UNKNOWN] and first[State.LOCK]

    scene.do(waiter, [frame("call", 20)])
    scene.play(0.1)
    scene.do(waiter, [frame("call", 20)], waits_for())  # the next wait of the same thread, not looked at yet
    scene.play(0.1)
    assert _now(scene, waiter)[0] is State.LOCK
    scene.history.apply(NativeWaits(scene.history.now_ns, ()))
    scene.do(waiter, [frame("call", 30)], waits_for())
    scene.play(0.1)
    assert _now(scene, waiter)[0] is State.UNKNOWN


def test_who_waits_for_a_lock_has_it_no_more_whenever_it_was_seen_with_it() -> None:
    """Each of them was read to have it once: a lock that goes round is no circle of those that wait for it."""
    scene = Scene(rules={})
    one, other, writes = (scene.thread(name) for name in ("one", "other", "writes"))
    scene.do(writes, [frame("write", 3)], IN_C)
    for tid in (one, other):
        scene.do(tid, [frame("small", 10)], waits_for())
    scene.play(1)
    told = NativeWait(one, 4096, "libx.so", kind="lock", owner=other)
    _told(scene, told, NativeWait(other, 4096, "libx.so", kind="lock", owner=one))
    for line in range(11, 61):  # one wait after the other, in which nobody looked
        for tid in (one, other):
            scene.do(tid, [frame("small", line)])
        scene.play(0.01)
        for tid in (one, other):
            scene.do(tid, [frame("small", line)], waits_for())
        scene.play(0.1)
    blame = Tracker(Wakes(lambda _: ())).blame(Window(scene.history))
    assert blame is not None
    assert not [cause for cause in blame.causes if cause.kind == "cycle"]
