"""memory-saturation: against which limit, and whether it rises."""

from __future__ import annotations

import pytest
from counted import Rates, window

from concview.catalogue.base import Observation
from concview.catalogue.rules.memory_saturation import RULE
from concview.model import Target, Wait, WaitKind

MB = 1 << 20
BUSY = {"worker": Rates(0.5)}


def observed(rss: list[int], limit: int) -> list[Observation]:
    target = Target(42, "3.13.0", ("python",), 0.0, memory_limit=limit)
    return list(RULE.observe(window(BUSY, target=target, rss=[n * MB for n in rss])))


def test_rising_towards_the_limit() -> None:
    (one,) = observed([900 + 5 * n for n in range(11)], 1000 * MB)
    assert one.value == pytest.approx(0.95)
    assert one.severity_cap == ""
    assert "50 MB more" in one.summary.replace("MiB", "MB") and "lasts 10.0 s" in one.summary
    assert "ends the process" in one.gain


def test_a_cache_of_the_right_size_is_an_information() -> None:
    (one,) = observed([960], 1000 * MB)
    assert one.severity_cap == "info"
    assert "does not rise" in one.summary


def test_without_a_limit_nothing_is_judged() -> None:
    assert observed([960], 0) == []


def test_threads_that_wait_for_more_are_a_warning() -> None:
    target = Target(42, "3.13.0", ("python",), 0.0, memory_limit=1000 * MB)
    threads = {**BUSY, "loader": Rates(wait=Wait(WaitKind.MEMORY, "page fault"))}
    (one,) = RULE.observe(window(threads, target=target, rss=[960 * MB]))
    assert (one.severity_cap, one.threads) == ("", (101,))
    assert "does not rise; loader waits for more" in one.summary
