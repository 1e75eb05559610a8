"""native-oversubscription: its own threads against the CPUs it has, whatever other processes do."""

from __future__ import annotations

import pytest
from counted import Rates, window

from concview.catalogue.base import Inapplicable
from concview.catalogue.rules.native_oversubscription import RULE


def computing(count: int, cpu: float, **options: float | bool) -> dict[str, Rates]:
    return {f"hash-{n}": Rates(cpu, 1 - cpu, involuntary=100, **options) for n in range(count)}  # type: ignore[arg-type]


def test_the_share_is_what_the_cpus_cannot_give() -> None:
    (one,) = RULE.observe(window(computing(8, 0.25)))
    assert one.value == pytest.approx(0.75)
    assert one.title == "8 threads compute on 2 CPUs"
    assert one.where[0].text == "work()"
    assert ("cpu-starvation", "*") in one.explains


def test_on_a_busy_machine_only_its_own_part_counts() -> None:
    (one,) = RULE.observe(window(computing(4, 0.1)))
    assert one.value == pytest.approx(0.5)


def test_a_quota_counts_as_cpus() -> None:
    (one,) = RULE.observe(window(computing(2, 0.25), cpus=0.5))
    assert one.value == pytest.approx(0.75)
    assert list(RULE.observe(window(computing(2, 0.25), cpus=2))) == []


@pytest.mark.parametrize("cpu", [0.05, 1.0])
def test_one_thread_a_cpu_is_silent_however_busy_the_machine(cpu: float) -> None:
    assert list(RULE.observe(window(computing(2, cpu)))) == []


def test_one_thread_never_wants_more_than_one_cpu() -> None:
    """Its delay is counted when it ends, with what was before."""
    assert list(RULE.observe(window({"hash-0": Rates(0.1, 1.3, involuntary=100)}, cpus=1))) == []
    assert list(RULE.observe(window({f"hash-{n}": Rates(0.1, 1.3, involuntary=100) for n in range(2)}, cpus=2))) == []


def test_paced_threads_that_others_delay_want_little() -> None:
    """They sleep a tenth of the time and compute a thirtieth: alone they would use a quarter of a CPU each."""
    threads = {f"reader-{n}": Rates(0.03, 0.87, voluntary=5) for n in range(4)}
    assert list(RULE.observe(window(threads))) == []


def test_threads_that_are_woken_all_the_time_do_not_compute() -> None:
    threads = {f"echo-{n}": Rates(0.1, 0.6, voluntary=3000) for n in range(8)}
    assert list(RULE.observe(window(threads))) == []


def test_threads_of_c_libraries_count() -> None:
    (one,) = RULE.observe(window(computing(1, 0.25) | {f"n{n}": Rates(0.25, 0.75, native=True) for n in range(7)}))
    assert one.value == pytest.approx(0.75)
    assert "hash-0 and 7 threads of C libraries" in one.summary
    assert "/proc/42/maps" in one.check_next


def test_without_run_queue_delay_it_says_what_would_help() -> None:
    with pytest.raises(Inapplicable) as refused:
        list(RULE.observe(window(computing(8, 0.25), knows_delay=False)))
    assert "CONFIG_SCHED_INFO" in refused.value.enable
