"""context-switch-storm: many switches alone are none."""

from __future__ import annotations

import pytest
from counted import Rates, window

from concview.catalogue.rules.context_switch_storm import RULE

PAIRS = {f"{kind}-{n}": Rates(0.2, 0.1, voluntary=5000, involuntary=100) for kind in ("echo", "stream") for n in (0, 1)}


def test_fires_where_the_kernel_has_the_cpu() -> None:
    (one,) = RULE.observe(window(PAIRS, system=0.7))
    assert one.value == pytest.approx(20_400, rel=0.01)
    assert "70 % of the CPU time is the kernel's" in one.summary
    assert "39 µs" in one.summary  # 0.8 CPUs over 20,400 stays
    assert "one wake-up for a thousand items" in one.fix
    assert one.explains == (("cpu-starvation", "*"),)


def test_an_efficient_server_is_silent() -> None:
    assert list(RULE.observe(window(PAIRS, system=0.1))) == []


def test_a_queue_made_by_neighbours_is_silent() -> None:
    threads = {f"web-{n}": Rates(0.2, 0.5, voluntary=5000) for n in range(4)}
    assert list(RULE.observe(window(threads, system=0.1))) == []


def test_its_own_queue_counts_and_asks_for_fewer_threads() -> None:
    threads = {f"hash-{n}": Rates(0.25, 0.75, voluntary=10, involuntary=3000) for n in range(8)}
    (one,) = RULE.observe(window(threads, system=0.1))
    assert "no more computing threads than CPUs" in one.fix
    assert one.explains == ()
