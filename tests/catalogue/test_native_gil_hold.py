"""native-gil-hold: what counts as one hold, and what only looks like it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from build import GIL, RUNNING, SLEEP, Scene, frame

from concview.analysis.gilcalls import Uninterrupted, uninterrupted
from concview.analysis.records import GilTick
from concview.catalogue.rules.native_gil_hold import NativeGilHold
from concview.model import Confidence, Severity

MATCH = frame("check", 45, text="pattern.match(address)")


def ticks(*rows: tuple[int, int, int]) -> list[GilTick]:
    """(holder, waiters, switches) every 10 ns."""
    return [GilTick(10 * n, 10, *row) for n, row in enumerate(rows)]


def test_a_hold_lasts_as_long_as_the_count_stands_still() -> None:
    seen = list(uninterrupted(ticks((1, 0, 5), (1, 2, 5), (1, 2, 5), (1, 1, 5), (1, 2, 7), (2, 1, 8))))
    assert seen == [Uninterrupted(1, 10, 30, 20, 30)]


@pytest.mark.parametrize(
    "rows",
    [
        [(1, 2, 5), (1, 2, 6), (1, 2, 7)],  # somebody else had it in between
        [(1, 0, 5), (1, 0, 5), (1, 0, 5)],  # nobody waits
        [(1, 2, -1), (1, 2, -1)],  # not known
        [(0, 2, 5), (0, 2, 5)],
        [(-2, 2, 5), (-2, 2, 5)],
    ],
)
def test_what_is_no_hold(rows: list[tuple[int, int, int]]) -> None:
    assert list(uninterrupted(ticks(*rows))) == []


def test_a_collection_is_no_hold() -> None:
    assert list(uninterrupted([GilTick(n, 1, 1, 1, 5, collecting=True) for n in range(9)])) == []


def calls(scene: Scene, length: float, pause: float) -> Callable[[float], None]:
    """One thread calls into native code for `length` seconds at a time, another wants to run meanwhile."""
    holder, victim = scene.thread("check"), scene.thread("heartbeat")

    def script(at: float) -> None:
        inside = at % (length + pause) < length
        scene.do(holder, [MATCH if inside else frame("check", 46)], RUNNING if inside else SLEEP)
        scene.do(victim, [frame("beat", 40)], GIL if inside else SLEEP)

    return script


def scene_of(native: bool = True, **options: object) -> Scene:
    scene = Scene(rules={"native": NativeGilHold()}, **options)  # type: ignore[arg-type]
    scene.native = native
    return scene


def test_fires_with_the_call_and_its_length() -> None:
    scene = scene_of()
    scene.play(6, calls(scene, 0.2, 0.1))
    finding = scene.found("native-gil-hold")
    assert finding is not None
    assert finding.severity is Severity.WARN
    assert finding.confidence is Confidence.EXACT
    assert finding.measured.value == pytest.approx(0.2, abs=0.02)
    assert finding.where[0].text == "pattern.match(address)"
    assert "(pattern.match(address)), 6" in finding.summary
    assert {s.role for s in finding.stacks} == {"holder", "victim"}


def test_python_code_that_lets_go_is_silent() -> None:
    scene = scene_of(native=False)
    scene.play(6, calls(scene, 0.2, 0.1))
    assert scene.ever() == set()
    assert "native-gil-hold" in scene.judgement.clear


def test_one_long_call_is_not_enough() -> None:
    scene = scene_of()
    scene.play(6, calls(scene, 0.3, 10))
    assert scene.ever() == set()


def test_a_holder_without_a_cpu_does_not_count_in_full() -> None:
    scene = scene_of()
    script = calls(scene, 0.2, 0.1)
    scene.starve(101, 0.95, False)
    scene.play(6, script)
    assert all(f.severity is Severity.INFO for _, j in scene.log for f in j.findings)


def test_a_holder_that_waits_for_a_cpu_for_seconds() -> None:
    """The kernel books such a wait when it is over: until then nothing is counted, neither CPU nor delay."""
    scene = scene_of()
    script = calls(scene, 3.5, 0.1)
    scene.starve(101, 0.98, False, booked=False)
    scene.play(20, script)
    assert all(f.severity is Severity.INFO for _, j in scene.log for f in j.findings)


def test_without_sight_of_the_collector_it_says_so() -> None:
    scene = scene_of(without=("collecting",))
    scene.play(6, calls(scene, 0.2, 0.1))
    finding = scene.found("native-gil-hold")
    assert finding is not None
    assert finding.confidence is Confidence.INFERRED
    assert "does not see garbage collections" in finding.summary


@pytest.mark.parametrize("lines", [(45,), (45, 46)])
def test_python_code_that_goes_on_meanwhile_was_not_asked(lines: tuple[int, ...]) -> None:
    scene = scene_of()
    holder, victim = scene.thread("crunch"), scene.thread("heartbeat")

    def script(at: float) -> None:
        inside = at % 0.4 < 0.3
        line = lines[round(at * 100) % len(lines)]
        scene.do(holder, [frame("crunch", line if inside else 60)], RUNNING if inside else SLEEP)
        scene.do(victim, [frame("beat", 40)], GIL if inside else SLEEP)

    scene.play(6, script)
    finding = scene.found("native-gil-hold")
    assert finding is not None
    assert ("switch interval" in finding.fix) == ("switch interval" in finding.summary) == (len(lines) > 1)
