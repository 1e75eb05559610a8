"""The tests and intervals that a comparison rests on. Python's own arithmetic; the tests compare it with scipy.

Between runs: the Mann-Whitney test (Mann and Whitney 1947) by its exact permutation distribution, ties included, or for
many runs by the normal approximation with a correction for ties and continuity. Within a run: the circular block
bootstrap (Politis and Romano 1992), because what a program does in one second depends on the second before.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

ALPHA = 0.05
#: Up to so many runs of both sides together every arrangement is counted.
MOST_EXACT = 40
ROUNDS = 2000
#: Fewer windows than this tell nothing about how a run varies.
LEAST_WINDOWS = 10


def smallest_p(n: int, m: int) -> float:
    """The smallest two-sided p that `n` against `m` runs can give, however much they differ."""
    return min(1.0, 2 / math.comb(n + m, n))


def runs_needed(alpha: float = ALPHA) -> int:
    """Runs a side from which on a difference can be significant at all."""
    n: int = 1
    while smallest_p(n, n) > alpha:
        n += 1
    return n


def doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the rank of each value; equal ones share the mean of theirs, so that all are whole numbers."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for i in order[at:end]:
            ranks[i] = at + 1 + end
        at = end
    return ranks


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p of both coming from one distribution; 1.0 where a side is empty."""
    n, m = len(a), len(b)
    if not n or not m:
        return 1.0
    ranks = doubled_ranks([*a, *b])
    seen = sum(ranks[:n])
    if n + m <= MOST_EXACT:
        return _exact(ranks, n, seen)
    statistic = seen / 2 - n * (n + 1) / 2
    counts: dict[int, int] = {}
    for rank in ranks:
        counts[rank] = counts.get(rank, 0) + 1
    total = n + m
    ties = sum(c**3 - c for c in counts.values()) / (total * (total - 1))
    deviation = math.sqrt(n * m / 12 * (total + 1 - ties))
    if deviation == 0:
        return 1.0
    z = (abs(statistic - n * m / 2) - 0.5) / deviation
    return min(1.0, 2 * (1 - NormalDist().cdf(z)))


def _exact(ranks: list[int], n: int, seen: int) -> float:
    """How many of all choices of `n` ranks sum to `seen` or less, and to `seen` or more; twice the smaller part."""
    ways: list[dict[int, int]] = [{0: 1}, *({} for _ in range(n))]
    for rank in ranks:
        for size in range(n, 0, -1):
            for total, count in ways[size - 1].items():
                ways[size][total + rank] = ways[size].get(total + rank, 0) + count
    every = math.comb(len(ranks), n)
    below = sum(count for total, count in ways[n].items() if total <= seen)
    above = sum(count for total, count in ways[n].items() if total >= seen)
    return min(1.0, 2 * min(below, above) / every)


def median_interval(values: Sequence[float], alpha: float = ALPHA) -> tuple[float, float] | None:
    """An interval that has the median with 1 - alpha, of the values' own order (binomial); None: too few for one."""
    n = len(values)
    tail, k = 0.0, 0
    while k < n / 2 and (tail := tail + math.comb(n, k) / 2**n) <= alpha / 2:
        k += 1
    if not k:
        return None
    ordered = sorted(values)
    return ordered[k - 1], ordered[n - k]


@dataclass(frozen=True, slots=True)
class Resampled:
    """Means of two sides, 95 % intervals of each, and the p of their being equal."""

    base: float
    new: float
    base_interval: tuple[float, float]
    new_interval: tuple[float, float]
    p: float


def block_length(windows: int) -> int:
    """Windows that are drawn together: n ** (1/3), the order at which the bootstrap's error is least."""
    return max(1, math.ceil(math.cbrt(windows)))


def resample(base: Sequence[float], new: Sequence[float], rounds: int = ROUNDS, seed: int = 1) -> Resampled:
    """Compare the means of two series over time. The same numbers give the same answer: the seed is fixed."""
    source = random.Random(seed)
    first = _means(base, rounds, source)
    second = _means(new, rounds, source)
    differences = [y - x for x, y in zip(first, second, strict=True)]
    low = sum(d <= 0 for d in differences)
    high = sum(d >= 0 for d in differences)
    p = min(1.0, 2 * (min(low, high) + 1) / (rounds + 1))
    return Resampled(sum(base) / len(base), sum(new) / len(new), _percentile(first), _percentile(second), p)


def _means(values: Sequence[float], rounds: int, source: random.Random) -> list[float]:
    """Means of series put together of blocks of this one, whose end is joined to its beginning."""
    n = len(values)
    length = block_length(n)
    around = [*values, *values[: length - 1]]
    sums = [sum(around[i : i + length]) for i in range(n)]
    blocks = math.ceil(n / length)
    return [sum(source.choices(sums, k=blocks)) / (blocks * length) for _ in range(rounds)]


def _percentile(values: list[float], alpha: float = ALPHA) -> tuple[float, float]:
    ordered = sorted(values)
    cut = int(len(ordered) * alpha / 2)
    return ordered[cut], ordered[-1 - cut]


def geomean(ratios: Sequence[float]) -> float | None:
    """None of none; of positive numbers."""
    return math.exp(sum(math.log(r) for r in ratios) / len(ratios)) if ratios else None


__all__ = ["geomean", "mann_whitney", "median", "median_interval", "resample", "runs_needed", "smallest_p"]
