"""What the end of a wait would bring: a bound, an estimate, and how little it may be.

The threads of a loop are the customers of a closed network (Lazowska et al., Quantitative System Performance, 1984,
chapters 5 and 6). Unit of time: one round of today's throughput. Then the mean number of threads at a place is the time
that a round spends there (Little's law), and a place's utilisation is the work that a round brings to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

#: Schweitzer's iteration stops at this change of the throughput; it converges in some ten to fifty rounds.
_NEAR, _MOST_ROUNDS = 1e-4, 200
#: Of nothing more than this is claimed.
_LEAST_REST = 0.01


@dataclass(frozen=True, slots=True)
class Limit:
    """What can do only so much at once. `used`: by how many at a time on average; `most`: that it can do at once."""

    used: float
    most: float = 1.0

    @property
    def demand(self) -> float:
        return min(1.0, self.used / max(1.0, self.most))


@dataclass(frozen=True, slots=True)
class Gain:
    """Times today's throughput. `at_most`: nothing else becomes the limit but GIL and CPUs. `estimate`: those who no
    longer wait here queue at the next known thing. `low`: what is not known to do more at once than it was seen to do
    does no more, and the samples tell too much (95 %)."""

    at_most: float
    estimate: float
    low: float


def queued(waiting: float) -> float:
    """The utilisation of what `waiting` threads wait for on average: M/M/1's W = U^2 / (1 - U), the other way round."""
    return (sqrt(waiting * (waiting + 4)) - waiting) / 2


def throughput(customers: float, thinking: float, demands: Sequence[float]) -> float:
    """Mean value analysis by Schweitzer's approximation (1979), which needs no whole number of customers: `thinking` is
    what a round spends without queueing."""
    if customers <= 0:
        return 0.0
    queues = [customers / len(demands)] * len(demands)
    before = 0.0
    for _ in range(_MOST_ROUNDS):
        times = [d * (1 + max(0.0, customers - 1) / customers * q) for d, q in zip(demands, queues, strict=True)]
        now = customers / max(_LEAST_REST * customers, sum(times) + thinking)
        queues = [now * t for t in times]
        if abs(now - before) <= _NEAR * now:
            break
        before = now
    return now


def gain(
    threads: float,
    lost: float,
    compute: float,
    late: float,
    queues: Iterable[float],
    unsure: Sequence[Limit],
    error: float,
) -> Gain:
    """`threads` of the loops at a time, of which `lost` wait for what is looked at. `compute`: the part of the GIL or
    of the CPUs that is in use, the larger one; `late`: how many wait for them. `queues`: how many wait for each other
    thing that one has at a time. `unsure`: what else a round needs, of which it is not known how much it can do.
    `error`: of `lost`, one-sided."""
    rest = max(_LEAST_REST, 1 - lost / threads)
    at_most = min(1 / rest, 1 / max(_LEAST_REST, compute))
    waits = [w for w in queues if w > 0]
    known = [compute, *(queued(w) for w in waits)]
    thinking = max(0.0, threads - lost - late - sum(waits) - sum(known))
    estimate = min(at_most, max(1.0, throughput(threads, thinking, known)))
    more = [limit.demand for limit in unsure]
    # Today they were in it without a queue, as part of the thinking.
    still = max(0.0, thinking + min(lost, error) - sum(more))
    low = throughput(threads, still, [*known, *more])
    for limit in unsure:
        low = min(low, 1 / max(_LEAST_REST, limit.demand))
    return Gain(at_most, estimate, min(estimate, max(1.0, low)))


def seen_at_once(means: Sequence[float]) -> Limit:
    """Of the mean numbers in equal stretches of time: on average, and how many there were at once, as far as seen. At a
    hand-over two seem to be there for the length of a sample: the nearest whole number."""
    return Limit(sum(means) / max(1, len(means)), float(round(max(means, default=0.0))))


def error_of(shares: Sequence[float]) -> float:
    """One-sided, 95 %, of the mean of equal stretches (batch means); 0 where there are too few to tell."""
    n = len(shares)
    if n < 3:
        return 0.0
    mean = sum(shares) / n
    return 1.645 * sqrt(sum((s - mean) ** 2 for s in shares) / (n - 1) / n)
