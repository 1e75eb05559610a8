"""The statistics of comparisons, against scipy's."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import scipy  # type: ignore[import-untyped]  # its parts are loaded by the first use, not by every worker

from concview.compare import statistics


def draws(source: random.Random, n: int, shift: float, ties: bool) -> list[float]:
    values = [source.gauss(10 + shift, 2) for _ in range(n)]
    return [float(round(v)) for v in values] if ties else values


@pytest.mark.parametrize("n, m", [(2, 2), (3, 5), (4, 4), (6, 9), (12, 12), (20, 20)])
@pytest.mark.parametrize("shift", [0.0, 1.5, 6.0])
def test_exact_mann_whitney(n: int, m: int, shift: float) -> None:
    a, b = draws(random.Random(n), n, 0, False), draws(random.Random(m + 100), m, shift, False)
    expected = scipy.stats.mannwhitneyu(a, b, alternative="two-sided", method="exact").pvalue
    assert statistics.mann_whitney(a, b) == pytest.approx(expected, rel=1e-9)
    assert statistics.mann_whitney(b, a) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n, m, shift", [(3, 4, 0.0), (4, 4, 2.0), (5, 5, 1.0), (4, 6, 4.0)])
def test_ties_are_counted_exactly(n: int, m: int, shift: float) -> None:
    a, b = draws(random.Random(n), n, 0, True), draws(random.Random(7), m, shift, True)

    def ranks_of_first(x: np.ndarray, y: np.ndarray) -> float:
        return float(scipy.stats.rankdata(np.concatenate([x, y]))[: len(x)].sum())

    every = scipy.stats.permutation_test(
        (a, b), ranks_of_first, permutation_type="independent", alternative="two-sided", n_resamples=math.inf
    )
    assert statistics.mann_whitney(a, b) == pytest.approx(every.pvalue, rel=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_mann_whitney_of_many(ties: bool, shift: float) -> None:
    a, b = draws(random.Random(1), 40, 0, ties), draws(random.Random(2), 35, shift, ties)
    expected = scipy.stats.mannwhitneyu(a, b, alternative="two-sided", method="asymptotic", use_continuity=True).pvalue
    assert statistics.mann_whitney(a, b) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_equal_values_and_none() -> None:
    assert statistics.mann_whitney([1.0] * 5, [1.0] * 5) == 1.0
    assert statistics.mann_whitney([1.0] * 50, [1.0] * 50) == 1.0
    assert statistics.mann_whitney([], [1.0]) == 1.0


def test_how_few_can_never_be_significant() -> None:
    assert statistics.smallest_p(3, 3) == pytest.approx(0.1)
    assert statistics.smallest_p(4, 4) == pytest.approx(2 / 70)
    assert statistics.runs_needed(0.05) == 4
    apart = statistics.mann_whitney([1, 2, 3], [7, 8, 9])
    assert apart == pytest.approx(statistics.smallest_p(3, 3))


@pytest.mark.parametrize("n", range(1, 40))
def test_the_interval_of_the_median_covers_it(n: int) -> None:
    """Its coverage does not depend on the distribution: it is the binomial's."""
    found = statistics.median_interval([float(i) for i in range(n)])
    if n < 6:
        assert found is None
        return
    assert found is not None
    low, high = int(found[0]), int(found[1])
    assert high == n - 1 - low
    coverage = 1 - 2 * scipy.stats.binom.cdf(low, n, 0.5)
    assert coverage >= 0.95
    assert 1 - 2 * scipy.stats.binom.cdf(low + 1, n, 0.5) < 0.95, "no narrower one would do"


def test_the_bootstrap_of_independent_windows_is_scipys() -> None:
    source = random.Random(3)
    values = [source.gauss(5, 1) for _ in range(27)]
    found = statistics.resample(values, values, rounds=4000)
    expected = scipy.stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, random_state=1)
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert found.base_interval[0] == pytest.approx(expected.confidence_interval.low, abs=0.35 * width)
    assert found.base_interval[1] == pytest.approx(expected.confidence_interval.high, abs=0.35 * width)
    assert found.p > 0.5 and found.base == found.new


def autocorrelated(source: random.Random, n: int, mean: float) -> list[float]:
    """Each second much like the one before: what a run looks like."""
    value, out = 0.0, []
    for _ in range(n):
        value = 0.7 * value + source.gauss(0, 1)
        out.append(mean + value)
    return out


def test_blocks_keep_false_alarms_down_where_seconds_depend_on_each_other() -> None:
    alarms = {"blocks": 0, "single": 0}
    for seed in range(150):
        source = random.Random(seed)
        a, b = autocorrelated(source, 60, 10), autocorrelated(source, 60, 10)
        alarms["blocks"] += statistics.resample(a, b, rounds=400, seed=seed).p <= 0.05
        alarms["single"] += scipy.stats.ttest_ind(a, b).pvalue <= 0.05
    assert alarms["blocks"] < 0.75 * alarms["single"], alarms
    found = statistics.resample(autocorrelated(random.Random(1), 60, 10), autocorrelated(random.Random(2), 60, 14))
    assert found.p < 0.01 and found.base_interval[1] < found.new_interval[0]


def test_geomean() -> None:
    assert statistics.geomean([]) is None
    assert statistics.geomean([0.5, 2.0, 3.0]) == pytest.approx(float(scipy.stats.gmean([0.5, 2.0, 3.0])))
