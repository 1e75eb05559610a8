"""Queues over time: how many items they hold, how fast that grows, and how many went in and out.

Sizes are read, not estimated. Rates come from counters of puts and gets; an interval over which a counter was not
known (see `model.QueueDepth`) is left out of both the items and the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from concview.model import CONNECTION_POOL, Depths, PoolDepth, QueueDepth

#: Reports kept of each queue: two minutes at four a second; a queue that no report names is kept so long.
POINTS = 480
GONE_NS = 20_000_000_000
MAX_QUEUES = 256
#: Growth is told from this many stretches of equal length, each of which must have a higher mean than the one before.
STRETCHES = 4


@dataclass(frozen=True, slots=True)
class Point:
    """A queue at one moment. `puts`, `gets`: totals, or -1."""

    at_ns: int
    size: int
    puts: int
    gets: int


class QueueHistory:
    """One queue; `last` is what was reported last, `pool` the executor whose work queue it is."""

    __slots__ = ("last", "points", "pool")

    def __init__(self, last: QueueDepth) -> None:
        self.last = last
        self.pool: PoolDepth | None = None
        self.points: deque[Point] = deque(maxlen=POINTS)


class QueueHistories:
    """Every queue by its address, in bounded memory."""

    def __init__(self) -> None:
        self._known: dict[int, QueueHistory] = {}

    def add(self, event: Depths) -> None:
        pools = {p.queue: p for p in event.pools}
        for one in event.queues:
            known = self._known.get(one.address)
            # Where one was freed and another was made at its address, its kind or its bound mostly differs.
            if known is None or (known.last.kind, known.last.most) != (one.kind, one.most):
                if known is None and len(self._known) >= MAX_QUEUES:
                    continue
                known = self._known[one.address] = QueueHistory(one)
            if known.points and event.at_ns <= known.points[-1].at_ns:
                continue  # time stands still or runs backwards in a recording that somebody made up
            known.last, known.pool = one, pools.get(one.address)
            known.points.append(Point(event.at_ns, one.size, one.puts, one.gets))
        horizon = event.at_ns - GONE_NS
        for address in [a for a, q in self._known.items() if q.points[-1].at_ns < horizon]:
            del self._known[address]

    def last(self, address: int) -> tuple[QueueDepth, int] | None:
        """What was reported last of a queue, and when (ns)."""
        known = self._known.get(address)
        return (known.last, known.points[-1].at_ns) if known is not None else None

    def crowded(self) -> list[PoolDepth]:
        """Executors whose workers are all there, and that have tasks which wait for one."""
        known = [(q.pool, q.last.size) for q in self._known.values() if q.pool is not None]
        return [pool for pool, size in known if 0 < pool.most <= pool.threads and size > 0]

    def in_vain(self, tid: int) -> int:
        """Of one that waits for a connection: attempts of its pool to make one, where all have failed; else 0."""
        pools = [q.last for q in self._known.values() if q.last.kind == CONNECTION_POOL and tid in q.last.users]
        return min((p.failed for p in pools), default=0) if all(p.failed > 0 for p in pools) else 0

    def behind(self, tid: int) -> tuple[PoolDepth, int] | None:
        """The executor that a thread is a worker of, and how many tasks wait for one; None where it has a worker free,
        may start one more, or is not known."""
        for known in self._known.values():
            pool = known.pool
            if pool is not None and tid in pool.workers and 0 < pool.most <= pool.threads and known.last.size > 0:
                return pool, known.last.size
        return None

    def window(self, start_ns: int, end_ns: int) -> list[QueueWindow]:
        found = [QueueWindow(q, start_ns, end_ns) for q in self._known.values()]
        return [q for q in found if q.points]


class QueueWindow:
    """One queue over a window. Rates are per second; None: not known."""

    def __init__(self, queue: QueueHistory, start_ns: int, end_ns: int) -> None:
        self._queue = queue
        self._end_ns = end_ns
        self.last = queue.last
        self.pool = queue.pool
        self.points = [p for p in queue.points if start_ns < p.at_ns <= end_ns]

    @property
    def address(self) -> int:
        return self.last.address

    @property
    def key(self) -> str:
        """Stable identity, as long as it lives."""
        return f"{self.last.kind}:{self.last.address:#x}"

    @property
    def size(self) -> int:
        return self.points[-1].size

    @property
    def seconds(self) -> float:
        return (self.points[-1].at_ns - self.points[0].at_ns) / 1e9

    def longer(self, span_ns: int) -> list[Point]:
        """Its points of so much time, up to the window's end, which may begin before the window does."""
        return [p for p in self._queue.points if self._end_ns - span_ns < p.at_ns <= self._end_ns]

    @property
    def put_rate(self) -> float | None:
        return rate(self.points, lambda p: p.puts)

    @property
    def get_rate(self) -> float | None:
        return rate(self.points, lambda p: p.gets)


def rate(points: Iterable[Point], total: Callable[[Point], int]) -> float | None:
    """Items a second by a counter; None when no two neighbouring reports know it."""
    items = time_ns = 0
    for before, after in pairwise(points):
        if total(before) >= 0 and total(after) >= total(before):
            items += total(after) - total(before)
            time_ns += after.at_ns - before.at_ns
    return items * 1e9 / time_ns if time_ns > 0 else None


def growth(points: list[Point]) -> tuple[float, float]:
    """Items a second that a queue grew by: (over all the points, over the stretch in which it grew least).

    The points are cut into stretches of equal length, compared by their means. (0, 0) for fewer than two a stretch.
    """
    if len(points) < 2 * STRETCHES:
        return 0.0, 0.0
    start, span = points[0].at_ns, points[-1].at_ns - points[0].at_ns
    parts: list[list[Point]] = [[] for _ in range(STRETCHES)]
    for point in points:
        parts[min(STRETCHES - 1, (point.at_ns - start) * STRETCHES // max(1, span))].append(point)
    if span <= 0 or not all(parts):
        return 0.0, 0.0
    means = [(sum(p.at_ns - start for p in part) / len(part), sum(p.size for p in part) / len(part)) for part in parts]
    steps = [(b - a) * 1e9 / (later - earlier) for (earlier, a), (later, b) in pairwise(means)]
    return (means[-1][1] - means[0][1]) * 1e9 / (means[-1][0] - means[0][0]), min(steps)
