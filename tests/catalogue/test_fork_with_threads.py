"""fork-with-threads: what is said of the children that the stream tells of."""

from __future__ import annotations

import pytest
from build import START_NS, Scene, frame, site, stdlib

from concview.analysis.window import Window
from concview.catalogue.base import Inapplicable
from concview.catalogue.rules.fork_with_threads import RULE
from concview.model import ForkedChild, Forks, Frame, FrameDef, Severity, StackDef

FORKING = [
    stdlib("Popen.__init__", "multiprocessing/popen_fork.py"),
    stdlib("BaseProcess.start", "multiprocessing/process.py"),
    frame("helpers", 51, text="process.start()"),
]
STUCK = [frame("write", 34, text="with journal:", acquires=site("journal")), frame("helper", 46), *FORKING]


def scene(frames: list[Frame], stuck: bool = True, why: str = "", count: int = 1, age_ns: int = 3 * 10**9) -> Scene:
    one = Scene(rules={"fork": RULE})
    for n, each in enumerate(frames):
        one.history.apply(FrameDef(900 + n, each))
    one.history.apply(StackDef(950, tuple(900 + n for n in range(len(frames)))))
    rows = tuple(ForkedChild(70 + n, START_NS - age_ns, 2, 1, START_NS if stuck else 0, 950) for n in range(count))
    one.history.apply(Forks(START_NS, count, rows, why, "do this" if why else ""))
    return one


def test_a_stuck_child_is_a_warning_with_both_lines() -> None:
    one = scene(STUCK, count=2)
    one.play(3)
    finding = one.found("fork-with-threads")
    assert finding is not None
    assert (finding.severity, finding.score) == (Severity.WARN, 100)
    assert "Children 70, 71" in finding.summary and "waiting for journal" in finding.summary
    assert [w.line for w in finding.where] == [51, 34, 46]
    assert "kill 70" in finding.check_next


@pytest.mark.parametrize("via", ["Condition.wait", "Event.wait"])
def test_a_child_that_waits_for_a_signal_is_none(via: str) -> None:
    one = scene([stdlib(via, "threading.py"), frame("serve", 5, text="stop.wait()"), *FORKING])
    one.play(3)
    finding = one.found("fork-with-threads")
    assert finding is not None
    assert finding.severity is Severity.INFO


def test_a_working_child_is_an_information() -> None:
    one = scene([frame("helper", 46), *FORKING], stuck=False)
    one.play(3)
    finding = one.found("fork-with-threads")
    assert finding is not None
    assert finding.severity is Severity.INFO
    assert "in app.py:51 in helpers" in finding.summary


def test_a_child_may_still_execute_another_program() -> None:
    one = scene([frame("helper", 46), *FORKING], stuck=False, age_ns=10**9)
    one.play(4)
    assert one.ever() == set()


def test_without_children_it_is_clear() -> None:
    one = scene([], count=0)
    one.play(3)
    assert one.judgement.clear == ("fork-with-threads",)


def test_what_cannot_be_seen_is_said() -> None:
    with pytest.raises(Inapplicable) as refused:
        list(RULE.observe(Window(scene([], why="no right", count=0).history)))
    assert (refused.value.why, refused.value.enable) == ("no right", "do this")
    with pytest.raises(Inapplicable, match="says nothing"):
        one = Scene(rules={})
        one.play(2)
        list(RULE.observe(Window(one.history)))
