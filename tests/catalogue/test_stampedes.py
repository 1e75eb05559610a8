"""Who begins to compute together: leaving out lines at which too few were at once changes no answer."""

from __future__ import annotations

import random

import pytest
from build import GIL, RUNNING, Scene, frame, recv

from concview.analysis.window import Window
from concview.catalogue.rules import _stampede
from concview.catalogue.rules._stampede import MIN_THREADS, stampedes

CALLS = [[frame("make", 9), frame("render", 30 + n), frame("serve", 40 + n % 2)] for n in range(4)]


def played(seed: int) -> Window:
    """Twelve threads; now and then several of them, or too few, come to one line within so much time, for so long."""
    chance = random.Random(seed)
    scene = Scene(rules={})
    tids = [scene.thread(f"web-{n}") for n in range(12)]
    until = dict.fromkeys(tids, 0.0)
    due: list[tuple[float, int, int, float]] = []
    together_at = chance.uniform(0.2, 0.5)

    def step(at: float) -> None:
        nonlocal together_at
        if at >= together_at:
            together_at = at + chance.uniform(0.3, 1.2)
            call, spread, lasts = chance.randrange(4), chance.choice([0.0, 0.1, 0.4]), chance.uniform(0.02, 0.4)
            for tid in chance.sample(tids, chance.choice([2, MIN_THREADS - 1, MIN_THREADS, 9])):
                due.append((at + chance.uniform(0, spread), tid, call, lasts))
        for row in [row for row in due if row[0] <= at]:
            due.remove(row)
            scene.do(row[1], CALLS[row[2]], chance.choice([RUNNING, GIL]))
            until[row[1]] = at + row[3]
        for tid, end in until.items():
            if end <= at:
                scene.do(tid, [frame("ask", 5)], recv())
                until[tid] = 1e9

    scene.play(chance.choice([4, 12]), step)
    return Window(scene.history)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_by_looking_at_crowded_lines_only(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = stampedes(played(seed))
    crowded = _stampede._crowded
    left_out: list[int] = []

    def every_line(*given: object) -> set[int]:
        kept = crowded(*given)  # type: ignore[arg-type]
        lines = set(range(len(given[2].frames)))  # type: ignore[attr-defined]
        left_out.append(len(lines - kept))
        return lines

    monkeypatch.setattr(_stampede, "_crowded", every_line)
    every = stampedes(played(seed))
    told = [(s.frame, s.part, [[(c.start_ns, c.end_ns, c.tid, c.handed) for c in t] for t in s.times]) for s in found]
    assert told == [
        (s.frame, s.part, [[(c.start_ns, c.end_ns, c.tid, c.handed) for c in t] for t in s.times]) for s in every
    ]
    assert len(left_out) == 1


def test_some_lines_are_left_out_and_some_stampedes_found() -> None:
    windows = [played(seed) for seed in range(6)]
    assert any(stampedes(window) for window in windows)
    kept = [
        len(_stampede._crowded(window, window.threads, called := _stampede._Calls())) / max(1, len(called.frames))
        for window in windows
    ]
    assert min(kept) < 1


def test_a_window_shorter_than_any_stay_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(rules={})
    tids = [scene.thread(f"web-{n}") for n in range(MIN_THREADS)]

    def step(at: float) -> None:
        for tid in tids:
            scene.do(tid, CALLS[0], RUNNING)

    scene.play(0.2, step)
    divided: list[int] = []

    def crowded(*given: object) -> set[int]:
        divided.append(1)
        return set()

    monkeypatch.setattr(_stampede, "_crowded", crowded)
    assert stampedes(Window(scene.history, window_ns=1_000)) == [] == divided
    assert stampedes(Window(scene.history)) == []
    assert divided == [1]


@pytest.mark.parametrize("least", [1, 2, 3, 4, 5, 8, 13])
def test_bits_in_a_row(least: int) -> None:
    chance = random.Random(least)
    for _ in range(200):
        bits = "".join(chance.choices("01", [1, 3], k=60))
        rows = "0".join(row if len(row) >= least else "0" * len(row) for row in bits.split("0"))
        assert _stampede._unbroken(int(bits, 2), least) == int(rows, 2)
