"""Rules about what a program tells its event loop in a way that has no effect: a cancellation, a call to wake it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from msgspec import structs

sys.path.insert(0, str(Path(__file__).parents[1] / "analysis"))
from aio_build import LOOP, S, Stream

from concview.analysis.history import History
from concview.analysis.window import Window
from concview.catalogue.base import Inapplicable, Observation
from concview.catalogue.rules.loop_not_woken import LEAST_REPORTS, LoopNotWoken
from concview.catalogue.rules.swallowed_cancellation import OLD_NS, SwallowedCancellation
from concview.model import AnyEvent, Frame, Hello, Loops, TaskCancel, TaskState, TaskWait

SLEEPS = TaskWait(TaskState.SLEEP, "sleep")


def window(events: list[AnyEvent]) -> Window:
    history = History()
    for event in events:
        history.apply(event)
    return Window(history)


def told_ns(stream: Stream) -> int:
    """The moment of the last report."""
    return max(e.at_ns for e in stream.events if isinstance(e, Loops))


def cancelled(stream: Stream, *those: TaskCancel, python: str = "") -> list[Observation]:
    events = [structs.replace(e, cancelled=those) if isinstance(e, Loops) else e for e in stream.events]
    if python:
        hello = events[0]
        assert isinstance(hello, Hello)
        events[0] = structs.replace(hello, target=structs.replace(hello.target, python=python))
    return list(SwallowedCancellation().observe(window(events)))


@pytest.mark.parametrize(
    ("awaited", "times", "ends", "cap"),
    [
        (False, 1, False, "info"),
        (True, 1, False, ""),
        (False, 3, False, ""),
        (False, 1, True, ""),
    ],
)
def test_a_task_that_was_cancelled_and_goes_on(awaited: bool, times: int, ends: bool, cap: str) -> None:
    """One that nobody waits for, cancelled once, is an information: it may be on its way."""
    stream = Stream()
    if ends:
        runners = Frame("_cancel_all_tasks", "/usr/lib/python3.12/asyncio/runners.py", 200, "", "stdlib")
        stream.loop_stack = (*stream.loop_stack, runners)
    stubborn, parent = stream.task("stubborn"), stream.task("parent")
    stream.does(stubborn, SLEEPS, 11)
    wait = TaskWait(TaskState.TASK, "await") if awaited else SLEEPS
    stream.does(parent, wait, 30, awaits=(stubborn,) if awaited else ())
    stream.run(8)
    (found,) = cancelled(stream, TaskCancel(stubborn, times, told_ns(stream) - OLD_NS - S))
    assert found.tasks == (stubborn,) and found.value == 1 and found.severity_cap == cap
    assert "stubborn was cancelled" in found.summary and "at least 6.0 s ago" in found.summary
    assert ("up to 3 times" in found.summary) == (times > 1)
    assert ("parent waits for that to end" in found.summary) == awaited
    assert ("at its end" in found.summary) == ends
    assert found.where and found.where[0].line == 11


def test_what_may_still_end_by_itself_is_not_told() -> None:
    stream = Stream()
    group, part = stream.task("group"), stream.task("part")
    stream.does(part, SLEEPS, 11)
    stream.does(group, TaskWait(TaskState.TASK, "TaskGroup"), 30, awaits=(part,))
    stream.run(8)
    old = told_ns(stream) - OLD_NS - S
    assert not cancelled(stream, TaskCancel(part, 1, told_ns(stream) - OLD_NS // 2)), "it is too early to tell"
    (found,) = cancelled(stream, TaskCancel(group, 1, old), TaskCancel(part, 1, old))
    assert found.tasks == (part,), "a group that is cancelled waits for its tasks"
    with pytest.raises(Inapplicable, match=r"3\.10\.4 does not count"):
        cancelled(stream, TaskCancel(part, 1, old), python="3.10.4")


@pytest.mark.parametrize(("asleep", "seconds", "told"), [(0.6, 6, True), (0.0, 6, False), (0.6, 1, False)])
def test_a_loop_that_sleeps_while_something_is_due(asleep: float, seconds: int, told: bool) -> None:
    stream = Stream()
    assert stream.loop is not None
    stream.loop = structs.replace(stream.loop, asleep=asleep, ready=2)
    due = stream.task("due")
    stream.does(due, TaskWait(TaskState.READY), 17)
    stream.run(seconds)
    found = list(LoopNotWoken().observe(window(stream.events)))
    if not told:
        assert not found
        assert seconds > 1 or sum(isinstance(e, Loops) for e in stream.events) < LEAST_REPORTS
        return
    (one,) = found
    # The thread waits at its epoll all the time: in so much of it, at least, something was due.
    assert one.value == one.lower == pytest.approx(asleep, abs=0.02)
    assert one.subject == f"loop {LOOP:#x}" and one.tasks == (due,)
    assert "does not wake the loop" in one.summary and "line 17" in one.summary.replace("app.py:17", "line 17")
    assert {rule for rule, _ in one.explains} == {"loop-starvation", "async-straggler"}
