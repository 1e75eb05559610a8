"""Sampling on CPU time that nobody else wants: who drives the steps, with which policy, and what ends it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest

from concview.collector import idle_scheduling
from concview.collector.__main__ import FAST_NICE
from concview.collector.idle_scheduling import IdleScheduling
from interpreters import current, target

NEVER = 1 << 62


class Steps:
    """Counts its steps, and notes which thread took them with which policy. Due is always `due_ns`."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.taken: list[tuple[int, int, int]] = []
        self.due_ns = NEVER
        self.late_from = NEVER

    def __iter__(self) -> Iterator[None]:
        for number in count(1):
            if number > self.last:
                return
            self.taken.append((number, threading.get_native_id(), os.sched_getscheduler(0)))
            if number == self.late_from:
                self.due_ns = time.monotonic_ns() - 2 * idle_scheduling.LATE_NS
            time.sleep(0.002)
            yield

    @property
    def threads(self) -> list[int]:
        return list(dict.fromkeys(tid for _, tid, _ in self.taken))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_scheduling, "CHECK_S", 0.01)
    # The machine may be busy with other tests: never the reason here. A long wait is booked when it ends, all at once.
    monkeypatch.setattr(idle_scheduling, "WAITED", float("inf"))


def drive(steps: Steps, machine_percent: float = 0.0) -> IdleScheduling:
    driver = IdleScheduling(lambda: steps.due_ns, lambda: machine_percent, 0)
    if not driver.possible:
        pytest.skip("this kernel keeps no run-queue delay (CONFIG_SCHED_INFO)")
    driver.drive(iter(steps))
    return driver


def test_steps_are_taken_in_order_and_only_the_gentle_thread_gives_way() -> None:
    steps = Steps(40)
    driver = drive(steps)
    assert [number for number, _, _ in steps.taken] == list(range(1, 41))
    ours, theirs = steps.threads
    assert ours == threading.get_native_id() != theirs
    assert {policy for _, tid, policy in steps.taken if tid == theirs} == {os.SCHED_IDLE}
    assert {policy for _, tid, policy in steps.taken if tid == ours} == {os.SCHED_OTHER}
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert driver.starved == 0


def test_a_starved_thread_hands_back_and_is_not_tried_again_at_once() -> None:
    steps = Steps(120)
    steps.late_from = 10
    driver = drive(steps)
    assert [number for number, _, _ in steps.taken] == list(range(1, 121))
    assert driver.starved == 1
    ours, theirs = steps.threads
    numbers = [number for number, tid, _ in steps.taken if tid == theirs]
    assert numbers == list(range(2, 2 + len(numbers)))
    assert len(numbers) < 110
    assert steps.taken[-1][1] == ours


def test_a_full_machine_has_no_cpu_to_spare() -> None:
    steps = Steps(20)
    drive(steps, machine_percent=idle_scheduling.FULL_PERCENT)
    assert steps.threads == [threading.get_native_id()]


def test_what_a_step_raises_is_raised_to_the_caller() -> None:
    def steps() -> Iterator[None]:
        yield
        yield
        raise BrokenPipeError

    driver = IdleScheduling(lambda: NEVER, lambda: 0.0, 0)
    with pytest.raises(BrokenPipeError):
        driver.drive(steps())


@pytest.mark.parametrize(("rate", "nicer"), [(100, 0), (1000, FAST_NICE)])
def test_who_samples_fast_gives_way(rate: int, nicer: int) -> None:
    """The collector's own process, as the screen starts it."""
    with target(current(), "import time\nprint('ready')\ntime.sleep(1000)\n") as watched:
        command = [sys.executable, "-m", "concview.collector", "--pid", str(watched.pid), "--rate", str(rate)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as collector:
            assert collector.stdin is not None and collector.stdout is not None
            assert collector.stdout.read(1), "it has begun"
            assert os.getpriority(os.PRIO_PROCESS, collector.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + nicer)
            collector.stdin.close()
            collector.stdout.read()
