"""gil-contention and gil-convoy see the same waits: one of them is the cause."""

from __future__ import annotations

import pytest
from build import GIL, RUNNING, SLEEP, Scene, frame, recv

from concview.analysis.interpreters import InterpreterHistory
from concview.analysis.window import Window
from concview.model import InterpreterRow, Interpreters, OtherGils


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


def several(scene: Scene, interpreters: int, in_each: int) -> None:
    """So many interpreters with a GIL of their own each, in which so many threads compute in turns."""
    threads = {i: [scene.thread(f"sub-{i}-{n}") for n in range(in_each)] for i in range(1, interpreters + 1)}
    rows = [InterpreterRow(0, 0), *(InterpreterRow(i, i, tuple(tids)) for i, tids in threads.items())]
    scene.history.apply(Interpreters(scene.now_ns, tuple(rows)))

    def script(at: float) -> None:
        turn = int(at * 50)
        states: list[int] = []
        for i, tids in threads.items():
            states += i, tids[turn % in_each], turn
            for n, tid in enumerate(tids):
                scene.do(tid, [frame("draw", 33)], RUNNING if n == turn % in_each else GIL)
        scene.history.apply(OtherGils(scene.now_ns, tuple(states)))

    scene.play(6, script)


def test_interpreters_with_a_gil_each_do_not_compete() -> None:
    scene = Scene(cpus=8.0)
    several(scene, 8, 1)
    assert not [id_ for id_ in scene.ever() if "gil" in id_]
    ticks = scene.history.interpreters.ticks
    assert set(ticks) == set(range(1, 9)) and all(t.holder and not t.waiters for each in ticks.values() for t in each)


def test_who_competes_is_told_with_the_interpreter() -> None:
    scene = Scene(cpus=8.0)
    several(scene, 1, 3)
    found = scene.found("gil-contention")
    assert found is not None and "GIL of interpreter 1" in found.title and "InterpreterPoolExecutor" in found.fix
    # For the main interpreter's nobody waits.
    assert scene.history.gil and not any(t.waiters for t in scene.history.gil)
    window = Window(scene.history)
    (main, other) = window.gils
    assert main.threads == [] and len(other.threads) == 3
    assert sum(t.gil_held_ns for t in other.threads) > 0.9 * 5e9


def test_a_worker_between_two_calls_counts_as_where_it_works() -> None:
    history = InterpreterHistory()
    history.apply(Interpreters(0, (InterpreterRow(0, 0), InterpreterRow(3, 3, (7,)))))
    history.apply(Interpreters(10**9, (InterpreterRow(0, 0), InterpreterRow(3, 3))))
    assert history.gil(7) == 0 and history.mostly(7, 2 * 10**9) == 3
    assert history.mostly(7, 4 * 10**9) == 0
    # Without a GIL of its own it uses the main one's.
    history.apply(Interpreters(10**9, (InterpreterRow(0, 0), InterpreterRow(3, 0, (7,)))))
    assert history.gil(7) == 0 and history.own() == []
