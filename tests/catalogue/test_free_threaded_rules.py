"""Builds without a GIL: stop-the-world-storm fires, names who asked, and is silent where it has no meaning."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from build import RUNNING, SLEEP, Scene, frame

from concview.model import Severity, Wait, WaitKind

WORK = [frame("work", 31, text="total += n * n"), frame("answer", 37)]
COLLECT = [frame("answer", 38, text="gc.collect()")]


def stopped(by: int = 0) -> Wait:
    return Wait(WaitKind.FUTEX, "futex", via="stop-the-world", target=by)


def storm(scene: Scene, pause: float, every: float, told: bool = True) -> Callable[[float], None]:
    """Two threads work; a third asks for a stop of so many seconds so often."""
    asks, *others = [scene.thread(f"answer-{n}") for n in range(3)]

    def script(at: float) -> None:
        stops = at % every < pause - 1e-9
        scene.do(asks, COLLECT if stops else WORK, RUNNING)
        for tid in others:
            scene.do(tid, WORK, stopped(asks if told else 0) if stops else RUNNING)

    return script


def test_a_storm_is_named_with_who_asks() -> None:
    scene = Scene(free_threaded=True, cpus=4)
    scene.play(8, storm(scene, 0.05, 0.2))
    finding = scene.found("stop-the-world-storm")
    assert finding is not None and finding.severity is Severity.WARN
    assert finding.measured.value == pytest.approx(0.23, abs=0.03)
    assert "Asked for by answer-0" in finding.summary and "gc.collect()" in finding.summary
    assert "Do not collect by hand" in finding.fix
    assert finding.where[0].line == 38
    assert {s.role for s in finding.stacks} == {"asks", "stopped"}
    assert "gc-storm" not in scene.ever()


def test_who_asked_is_not_guessed() -> None:
    scene = Scene(free_threaded=True, cpus=4)
    scene.play(8, storm(scene, 0.05, 0.2, told=False))
    finding = scene.found("stop-the-world-storm")
    assert finding is not None and "Who asked was not seen" in finding.summary


@pytest.mark.parametrize("pause", [0.0, 0.01])
def test_a_rare_short_stop_is_silent(pause: float) -> None:
    scene = Scene(free_threaded=True, cpus=4)
    scene.play(12, storm(scene, pause, 1.0))
    assert "stop-the-world-storm" not in scene.ever()


def test_who_waits_for_the_last_to_stop_counts() -> None:
    """A long call of native code that lets go of nothing holds the stop up, and all with it."""
    scene = Scene(free_threaded=True, cpus=4)
    asks, native, other = (scene.thread(name) for name in ("asks", "native", "other"))

    def script(at: float) -> None:
        stops = at % 0.5 < 0.2
        scene.do(
            asks,
            COLLECT if stops else WORK,
            Wait(WaitKind.FUTEX, "futex", via="stopping-the-world") if stops else RUNNING,
        )
        scene.do(native, [frame("native", 60)], RUNNING)
        scene.do(other, WORK, stopped(asks) if stops else RUNNING)

    scene.play(8, script)
    finding = scene.found("stop-the-world-storm")
    assert finding is not None and finding.measured.value == pytest.approx(0.4, abs=0.03)


def test_with_a_gil_it_is_not_applicable() -> None:
    scene = Scene()
    tid = scene.thread("web")
    scene.play(3, lambda at: scene.do(tid, [frame("work")], SLEEP))
    refused = {n.id: n for n in scene.judgement.not_applicable}["stop-the-world-storm"]
    assert "this build has a GIL" in refused.why and not refused.enable, "there is no step that would enable it"


# ---------------------------------------------------------------- one object

COPY = [frame("copies", 59, text="PRICES.copy()"), frame("answer", 40)]
STORE = [frame("answer", 39, text="PRICES[number] += 0.01")]
REST = [frame("answer", 42)]


def wants(by: int = 0, kind: str = "dict", parked: bool = True) -> Wait:
    call = "futex" if parked else "sched_yield"
    return Wait(WaitKind.FUTEX, call, lock=0xD1C7, lock_kind=kind, via="object", target=by)


def queue(scene: Scene, busy: float, parked: bool = True, kind: str = "dict") -> Callable[[float], None]:
    """For a share `busy` of the time one of three threads copies an object that the two others want to change."""
    tids = [scene.thread(f"answer-{n}") for n in range(3)]

    def script(at: float) -> None:
        copies = tids[int(at * 10) % 3]
        for tid in tids:
            if at * 10 % 1.0 >= busy - 1e-9:
                scene.do(tid, REST, SLEEP)
            elif tid == copies:
                scene.do(tid, COPY, RUNNING)
            else:
                scene.do(tid, STORE, wants(copies, kind, parked))

    return script


@pytest.mark.parametrize("parked", [True, False])
def test_threads_that_queue_for_one_dict(parked: bool) -> None:
    scene = Scene(free_threaded=True, cpus=4)
    scene.play(8, queue(scene, 0.8, parked))
    finding = scene.found("critical-section-contention")
    assert finding is not None and finding.severity is Severity.WARN
    assert finding.measured.value == pytest.approx(1.6, abs=0.1)
    assert finding.confidence == ("exact" if parked else "inferred")
    assert "app.py:39 in answer" in finding.summary and "app.py:59 in copies" in finding.summary
    assert finding.where[0].line == 39
    assert {s.role for s in finding.stacks} == {"user", "waiter"}
    assert "dict of its own" in finding.fix
    assert "lock-contention" not in scene.ever()


def test_what_is_done_about_it_depends_on_the_object() -> None:
    scene = Scene(free_threaded=True, cpus=4)
    scene.play(8, queue(scene, 0.8, kind="list"))
    finding = scene.found("critical-section-contention")
    assert finding is not None and "list of its own" in finding.fix


def test_a_short_wait_for_an_object_is_silent() -> None:
    scene = Scene(free_threaded=True, cpus=4)
    scene.play(12, queue(scene, 0.1))
    assert "critical-section-contention" not in scene.ever()
