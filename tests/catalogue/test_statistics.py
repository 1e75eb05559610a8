"""The interval that findings are fired on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concview.analysis.statistics import independent, lower_mean, lower_share, wilson

shares = st.floats(0, 1)


def test_wilson_against_published_values() -> None:
    # Newcombe 1998, table I, method 3 (81/263, 15/148, 0/20, 1/29)
    for seen, of, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson(seen / of, of) == pytest.approx((low, high), abs=2e-4)


@given(shares, st.integers(0, 100_000), st.integers(0, 10_000))
def test_bounds(share: float, samples: int, episodes: int) -> None:
    low, high = wilson(share, samples)
    assert 0 <= low <= high <= 1
    assert 0 <= independent(samples, episodes, share) <= samples
    assert 0 <= lower_share(share, samples, episodes) <= share


def test_nothing_seen_is_nothing_known() -> None:
    assert wilson(0.5, 0) == (0.0, 1.0)
    assert lower_share(1.0, 1000, 0) == 0
    assert lower_mean(1.0, 0, 100, 10) == 0


def test_more_evidence_narrows() -> None:
    assert lower_share(0.5, 1000, 5) < lower_share(0.5, 1000, 50) < lower_share(0.5, 1000, 500) < 0.5


@pytest.mark.parametrize(("on", "off"), [(0.05, 0.05), (0.2, 0.1), (0.02, 0.18)])
def test_coverage_on_an_alternating_process(on: float, off: float) -> None:
    """The lower bound lies below the true share in about 97.5 % of windows whose samples are not independent."""
    rng, hits, rounds = random.Random(1), 0, 400
    for _ in range(rounds):
        at, waits, episodes, state = 0.0, 0, 0, rng.random() < on / (on + off)
        left = rng.expovariate(1 / (on if state else off))
        for _ in range(1000):
            at += 0.01
            left -= 0.01
            while left < 0:
                state = not state
                episodes += state
                left += rng.expovariate(1 / (on if state else off))
            waits += state
        hits += lower_share(waits / 1000, 1000, episodes) <= on / (on + off)
    assert hits / rounds >= 0.95
