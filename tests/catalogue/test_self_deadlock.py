"""self-deadlock: a finalizer, a handler, a callback that waits for what its own thread has."""

from __future__ import annotations

import pytest
from build import Scene, frame, holds, site, stdlib, waits_for

from concview.model import Confidence, Frame, Reference, Related, Relations, Target

GUARD = site("guard", 12, "use", "app.py")
ADDRESS = 0xA0


def use(text: str = "handle = None") -> Frame:
    return frame("use", 14, text=text)


def inner(function: str, line: int = 30) -> Frame:
    return frame(function, line, acquires=GUARD, text="with guard:")


def stands(*frames: Frame, collecting: bool = False, main: bool = False) -> Scene:
    scene = Scene(target=Target(101 if main else 1, "3.13.0", ("python", "app.py"), 0.0))
    scene.collecting = collecting
    tid = scene.thread("worker")
    scene.do(tid, frames, waits_for(ADDRESS), holds(ADDRESS, GUARD))
    scene.play(4)
    return scene


WEAKREF = stdlib("finalize.__call__", "weakref.py", 590)


@pytest.mark.parametrize(("frames", "collecting", "main", "what", "advice"), [
    ([inner("release"), frame("Handle.__del__", 20), use()], False, False, "the finalizer Handle.__del__", "__del__"),
    ([inner("forget"), WEAKREF, use()], False, False, "the weakref callback forget", "__del__"),
    ([inner("on_gc"), use("rows = [row]")], True, False, "the callback of the garbage collector on_gc", "__del__"),
    ([inner("on_usr1"), use("time.sleep(1)")], False, True, "a signal handler, on_usr1", "sigwait"),
])  # fmt: skip
def test_what_came_in_between(frames: list[Frame], collecting: bool, main: bool, what: str, advice: str) -> None:
    scene = stands(*frames, collecting=collecting, main=main)
    finding = scene.found("self-deadlock")
    assert finding is not None
    assert (finding.score, finding.confidence) == (100, Confidence.EXACT)
    assert what in finding.summary and "(line 12)" in finding.summary
    assert advice in finding.fix and "RLock is no remedy" in finding.fix
    assert [f.id for f in scene.judgement.findings if not f.recent] == ["self-deadlock"]


@pytest.mark.parametrize("text", ["refresh()", "self.callback(1)", "for row in rows():", ""])
def test_a_call_is_a_plain_deadlock_with_itself(text: str) -> None:
    scene = stands(inner("refresh"), use(text), main=True)
    assert [f.id for f in scene.judgement.findings if not f.recent] == ["deadlock"]


def reference(tid: int, depth: int, function: str, **more: object) -> Reference:
    known: dict[str, object] = {"source": True, "past": "acquire", "past_line": 12, "will": "release", "will_line": 16}
    return Reference(tid, depth, "global", "guard", function, "/srv/app.py", 14, (0, 0), **{**known, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [False, True])
def test_taken_by_acquire_and_release_it_is_inferred(other: bool) -> None:
    scene = Scene()
    tid, second = scene.thread("worker"), scene.thread("second")
    scene.do(tid, [frame("Handle.__del__", 20, text="guard.acquire()"), use()], waits_for(ADDRESS))
    scene.do(second, [frame("other", 50)], waits_for())
    found = [reference(tid, 1, "use"), *([reference(second, 0, "other")] if other else [])]
    lock = Related(ADDRESS, "Lock", "lock", "guard", (tid,), 1, references=tuple(found), complete=True)
    scene.history.apply(Relations(scene.now_ns, (lock,), 2, 2))
    scene.play(9)
    finding = scene.found("self-deadlock")
    if other:
        assert finding is None  # the other one may have it, and release it
    else:
        assert finding is not None
        assert (finding.score, finding.confidence) == (95, Confidence.INFERRED)
        assert "in the finalizer Handle.__del__" in finding.summary
