"""gil-contention and gil-convoy see the same waits: one of them is the cause."""

from __future__ import annotations

import pytest
from build import GIL, RUNNING, SLEEP, Scene, frame, recv


def both(scene: Scene, computing: int, asking: int) -> None:
    """So many threads compute in turns, and so many ask somebody and then wait for the GIL."""
    hogs = [scene.thread(f"report-{n}") for n in range(computing)]
    askers = [scene.thread(f"ask-{n}") for n in range(asking)]

    def script(at: float) -> None:
        turn = int(at * 50)
        for n, tid in enumerate(hogs):
            scene.do(tid, [frame("report", 26)], RUNNING if (n - turn) % computing == 0 else GIL)
        for n, tid in enumerate(askers):
            phase = int(at * 100 + n * 3) % 10
            scene.switch(tid)
            scene.do(tid, [frame("ask", 41)], GIL if phase < 8 else recv() if phase == 8 else SLEEP)

    scene.play(6, script)


@pytest.mark.parametrize(
    ("computing", "asking", "cause"),
    [(1, 4, "gil-convoy"), (2, 4, "gil-convoy"), (4, 1, "gil-contention"), (4, 0, "gil-contention")],
)
def test_one_cause_is_named(computing: int, asking: int, cause: str) -> None:
    scene = Scene()
    both(scene, computing, asking)
    assert scene.ever() == {cause}


def test_among_equals_nobody_is_a_victim() -> None:
    """On a busy machine none of them gets to run much."""
    scene = Scene()
    tids = [scene.thread(f"draw-{n}") for n in range(4)]

    def script(at: float) -> None:
        turn = int(at * 50)
        for n, tid in enumerate(tids):
            scene.starve(tid, 0.6 if n else 0.3, throttled=False)
            scene.switch(tid)
            scene.do(tid, [frame("draw", 33)], RUNNING if (n - turn) % 4 == 0 else GIL)

    scene.play(6, script)
    assert "gil-convoy" not in scene.ever() and scene.found("gil-contention") is not None
