"""cpu-saturation: of what it may use, for long enough, and by whom."""

from __future__ import annotations

import pytest
from counted import Rates, window

from concview.catalogue.rules.cpu_saturation import RULE

COMPUTES = {"thumbnails": Rates(0.98, 0.01, voluntary=1)}


def test_fires_on_all_of_what_it_may_use() -> None:
    (one,) = RULE.observe(window(COMPUTES, seconds=16, cpus=1))
    assert one.value == pytest.approx(0.99, abs=0.01)
    assert not one.needs and not one.severity_cap
    assert "used 1.0 of the 1 CPUs" in one.summary
    assert one.where[0].text == "work()"


@pytest.mark.parametrize("cpus", [4, 16])
def test_half_of_it_is_silent(cpus: float) -> None:
    assert list(RULE.observe(window(COMPUTES, seconds=16, cpus=cpus))) == []


def test_a_burst_waits_for_the_rest_of_its_time() -> None:
    (one,) = RULE.observe(window(COMPUTES, seconds=8, cpus=1))
    assert one.needs.startswith("15 s of it (has ")


def test_what_others_take_is_an_information() -> None:
    (one,) = RULE.observe(window({"thumbnails": Rates(0.4, 0.6, voluntary=1)}, seconds=16, cpus=1))
    assert one.value == pytest.approx(1.0)
    assert one.severity_cap == "info"
    assert "other processes took" in one.summary


def test_the_queue_of_threads_that_are_woken_all_the_time_is_no_work() -> None:
    threads = {f"echo-{n}": Rates(0.05, 0.6, voluntary=3000) for n in range(4)}
    assert list(RULE.observe(window(threads, seconds=16, cpus=1))) == []
