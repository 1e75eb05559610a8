"""orphaned-workers: a worker whose master has ended, and which waits."""

from __future__ import annotations

import pytest
from build import RUNNING, SLEEP, Scene, frame

from concview.model import Parent, Severity, Target, Wait

#: The scene's first thread has this number: it is the main one.
TARGET = Target(101, "3.12.0", ("python", "-c", "spawn_main"), 0.0)


def scene_of(wait: Wait, alive: bool, seconds: float) -> Scene:
    scene = Scene(target=TARGET)
    scene.do(scene.thread("MainThread"), [frame("work", 5)], wait)
    scene.history.apply(Parent(scene.now_ns, 77, alive, 1))
    scene.play(seconds)
    return scene


@pytest.mark.parametrize(
    ("wait", "alive", "seconds", "found"),
    [
        (SLEEP, False, 9, True),
        (SLEEP, True, 9, False),
        (RUNNING, False, 9, False),  # it does what it was given before
        (SLEEP, False, 3, False),  # it may yet end by itself
    ],
)
def test_when_it_is_one(wait: Wait, alive: bool, seconds: float, found: bool) -> None:
    assert (scene_of(wait, alive, seconds).found("orphaned-workers") is not None) == found


def test_what_is_said() -> None:
    finding = scene_of(SLEEP, False, 9).found("orphaned-workers")
    assert finding is not None and finding.severity is Severity.WARN and finding.threads == (101,)
    assert "Process 77" in finding.summary and "process 1" in finding.summary


def test_another_one_is_taken_in() -> None:
    """It was told later that the master lives: a master that was only stopped, say."""
    scene = scene_of(SLEEP, False, 9)
    scene.history.apply(Parent(scene.now_ns, 77, True, 77))
    scene.play(60)
    assert scene.found("orphaned-workers") is None
