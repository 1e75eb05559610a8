"""What the end of a wait would bring, against closed networks whose answer is known."""

from __future__ import annotations

import pytest

from concview.analysis.blame.gain import Limit, error_of, gain, queued, seen_at_once, throughput


def exact(customers: int, thinking: float, demands: list[float]) -> float:
    """The exact mean value analysis (Reiser and Lavenberg 1980)."""
    queues, rate = [0.0] * len(demands), 0.0
    for n in range(1, customers + 1):
        times = [d * (1 + q) for d, q in zip(demands, queues, strict=True)]
        rate = n / (sum(times) + thinking)
        queues = [rate * t for t in times]
    return rate


@pytest.mark.parametrize("customers", [1, 2, 5, 12, 40])
@pytest.mark.parametrize(("thinking", "demands"), [(1.0, [0.1]), (4.0, [0.5, 0.3]), (0.2, [0.2, 0.9, 0.1])])
def test_throughput_is_that_of_the_exact_analysis(customers: int, thinking: float, demands: list[float]) -> None:
    assert throughput(customers, thinking, demands) == pytest.approx(exact(customers, thinking, demands), rel=0.08)


def test_nothing_else_to_wait_for_and_the_estimate_is_the_bound() -> None:
    # 12 threads, 3 permits: 9 wait, 3 sleep.
    found = gain(12.0, 9.0, 0.001, 0.0, [], [], 0.0)
    assert found.at_most == pytest.approx(4.0)
    assert found.estimate == pytest.approx(4.0, rel=0.01)
    assert found.low == pytest.approx(4.0, rel=0.01)


def test_who_no_longer_waits_here_queues_at_the_next_thing() -> None:
    found = gain(8.0, 5.0, 0.01, 0.0, [0.5], [], 0.0)
    assert 1 < found.estimate < found.at_most
    # What is in use for half of the time can do twice as much, and no more.
    assert found.estimate <= 1 / queued(0.5)


def test_what_is_not_known_to_do_more_at_once_is_the_least() -> None:
    server = Limit(used=0.97, most=1.0)
    found = gain(6.0, 4.5, 0.01, 0.0, [], [server], 0.0)
    assert found.low == pytest.approx(1.03, abs=0.03)
    assert found.estimate > 3.5  # nothing says that it cannot
    assert found.at_most == pytest.approx(4.0)


def test_the_cpu_caps_bound_and_estimate() -> None:
    found = gain(8.0, 7.0, 0.5, 0.0, [], [], 0.0)
    assert found.at_most == 2.0
    assert 1.0 <= found.low <= found.estimate <= 2.0


@pytest.mark.parametrize("lost", [0.01, 1.0, 3.9])
@pytest.mark.parametrize("compute", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("used", [0.0, 0.4, 3.0])
def test_the_three_are_in_order_and_none_is_a_loss(lost: float, compute: float, used: float) -> None:
    found = gain(4.0, lost, compute, 0.2, [0.1, 0.0], [Limit(used, 1.0)], 0.1)
    assert 1.0 <= found.low <= found.estimate <= found.at_most


def test_a_queue_is_turned_into_a_utilisation() -> None:
    for used in (0.1, 0.5, 0.9):
        assert queued(used**2 / (1 - used)) == pytest.approx(used)


def test_two_at_a_hand_over_are_one_at_a_time() -> None:
    assert seen_at_once([0.9, 1.0, 1.2]).most == 1.0
    assert seen_at_once([1.0, 2.6]).most == 3.0
    assert seen_at_once([]).demand == 0.0


def test_too_few_stretches_tell_no_error() -> None:
    assert error_of([0.1, 0.9]) == 0.0
    assert error_of([0.5] * 10) == 0.0
    assert 0 < error_of([0.4, 0.5, 0.6]) < 0.2
