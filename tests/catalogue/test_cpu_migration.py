"""cpu-migration: an information where threads are moved at nearly every turn."""

from __future__ import annotations

import pytest
from counted import Rates, window

from concview.catalogue.base import Inapplicable
from concview.catalogue.rules.cpu_migration import RULE


def workers(migrations: float) -> dict[str, Rates]:
    return {f"worker-{n}": Rates(0.05, voluntary=350, migrations=migrations) for n in range(10)}


def test_fires_as_an_information() -> None:
    (one,) = RULE.observe(window(workers(150)))
    assert one.value == pytest.approx(1500, rel=0.01)
    assert one.severity_cap == "info"
    assert "at 43 % of their context switches" in one.summary


def test_a_scheduler_that_spreads_the_load_is_silent() -> None:
    assert list(RULE.observe(window(workers(90)))) == []


def test_a_kernel_that_does_not_say() -> None:
    with pytest.raises(Inapplicable) as refused:
        list(RULE.observe(window(workers(-1))))
    assert "CONFIG_SCHED_DEBUG" in refused.value.enable
