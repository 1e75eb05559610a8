"""lost-at-fork and queue-dead-end: what nobody here can end."""

from __future__ import annotations

import pytest
from build import SLEEP, Scene, frame, site, stdlib, waits_for

from concview.model import Reference, Related, Relations, Severity

ADDRESS = 0xA0
PAIR = site("guard", 5, "update", how="acquire")


def reference(tid: int, **more: object) -> Reference:
    known: dict[str, object] = {"source": True, "will": "release", "will_line": 7}
    return Reference(tid, 0, "global", "guard", "update", "/srv/app.py", 5, (0, 0), **{**known, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(("own", "other", "lost"), [
    ({}, {"will": ""}, True),  # the waiter takes and releases it: a mutex, and nobody has it
    ({"will": ""}, {"will": ""}, False),  # acquire() with no release() behind it: a signal that somebody gives
    ({}, {}, False),  # the other one will release it
    ({}, {"will": "", "past": "acquire"}, False),  # or has it
])  # fmt: skip
def test_a_lock_that_was_taken_by_acquire(own: dict[str, object], other: dict[str, object], lost: bool) -> None:
    scene = Scene()
    tid, second = scene.thread("upd-0"), scene.thread("second")
    scene.do(tid, [frame("update", 5, text="guard.acquire()", acquires=PAIR)], waits_for(ADDRESS))
    scene.do(second, [frame("elsewhere", 9)], SLEEP)
    found = (reference(tid, **own), reference(second, **other))
    lock = Related(ADDRESS, "Lock", "lock", "guard", (tid,), 1, references=found, complete=True)
    scene.history.apply(Relations(scene.now_ns, (lock,), 2, 2))
    scene.play(9)
    assert ("lost-at-fork" in scene.ever()) == lost


@pytest.mark.parametrize("alone", [True, False])
def test_the_only_thread_of_a_process_waits_for_no_signal(alone: bool) -> None:
    """acquire() with no release() behind it: nobody is there who could give one."""
    scene = Scene()
    tid = scene.thread("MainThread")
    scene.do(tid, [frame("update", 5, text="guard.acquire()", acquires=PAIR)], waits_for(ADDRESS))
    if not alone:
        scene.do(scene.thread("second"), [frame("elsewhere", 9)], SLEEP)
    lock = Related(ADDRESS, "Lock", "lock", "guard", (tid,), 1, references=(reference(tid, will=""),), complete=True)
    scene.history.apply(Relations(scene.now_ns, (lock,), 1, 1))
    scene.play(9)
    assert ("lost-at-fork" in scene.ever()) == alone


def test_a_full_queue_between_processes() -> None:
    scene = Scene()
    tids = [scene.thread(f"produce-{n}") for n in range(2)]
    for tid in tids:
        stack = [stdlib("Queue.put", "multiprocessing/queues.py", 89), frame("produce", 8, text="q.put(n)")]
        scene.do(tid, stack, waits_for(ADDRESS, kind="multiprocessing.BoundedSemaphore"))
    scene.play(9)
    finding = scene.found("queue-dead-end")
    assert finding is not None
    assert (finding.severity, set(finding.threads)) == (Severity.INFO, set(tids))
    assert "app.py:8 in produce" in finding.summary
    assert "lock-contention" not in scene.ever()
