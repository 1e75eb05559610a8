"""Beginnings by a target's clocks, told on ours."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Any

import psutil
import pytest

from concview.engines.direct.labels.clock import TargetClock
from concview.labels.base import Raw
from concview.model import WorkKind
from interpreters import current, target

WAITS = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"


def told(clock: TargetClock, **how: Any) -> float:
    """How long ago the beginning is told to be, seconds; infinite where it is not."""
    now = time.monotonic_ns()
    began = clock.began(Raw(WorkKind.REQUEST, (1,), **how), now)
    return (now - began) / 1e9 if began else float("inf")


def local(ago: float) -> float:
    """The wall clock so long ago as a naive local time counted from 1970, as `datetime.now()` is read."""
    moment = datetime.fromtimestamp(time.time() - ago)
    return (moment - datetime(1970, 1, 1)).total_seconds()


def test_every_clock_that_a_program_may_use() -> None:
    clock = TargetClock(os.getpid(), psutil.Process().create_time() - 3600)
    for how in (
        {"started_s": time.monotonic() - 5},
        {"wall_s": time.time() - 5},
        {"local": local(5)},
    ):
        # The longest that may pass between the two readings of a clock on a machine that is full.
        assert 4.99 < told(clock, **how) < 35, how
    assert told(clock) == float("inf")


@pytest.mark.parametrize("ago", [7200.0, -60.0])
def test_what_cannot_be_a_beginning_is_none(ago: float) -> None:
    """Before the process itself, and in the future: a clock that was set, or no time at all."""
    clock = TargetClock(os.getpid(), time.time() - 3600)
    assert told(clock, started_s=time.monotonic() - ago) == float("inf")
    assert told(clock, wall_s=time.time() - ago) == float("inf")


def test_local_times_are_believed_in_our_own_zone_only() -> None:
    ours = os.environ.get("TZ")
    other = "Pacific/Chatham" if ours != "Pacific/Chatham" else "Asia/Kathmandu"
    zones = [(other, False)] + ([(ours, True)] if ours is not None else [])
    for zone, believed in zones:
        with target(current(), WAITS, env={"TZ": zone}) as process:
            clock = TargetClock(process.pid, time.time() - 3600)
            assert (told(clock, local=local(5)) < 35) is believed, zone
    with target(current(), WAITS) as process:
        assert told(TargetClock(process.pid, time.time() - 3600), local=local(5)) < 35
    assert told(TargetClock(2**22 + 1, time.time() - 3600), local=local(5)) == float("inf"), "nobody can be asked"
