"""Locks, and who waits for whom."""

from __future__ import annotations

from concview.model import BETWEEN_PROCESSES, Confidence, Site
from concview.snapshot.base import View

#: Name of whoever has a lock that processes have in common, where that is no thread of this one.
ANOTHER_PROCESS = "another process"


class HolderView(View, frozen=True):
    tid: int  #: 0: of another process
    name: str
    share: float  #: of the lock's held time
    confidence: Confidence


class LockView(View, frozen=True):
    key: str  #: stable identity: address, or scope and expression
    address: int
    kind: str
    site: Site
    held_share: float
    waiters_now: int
    waiters_mean: float
    waiters_max: int
    wait_s: float  #: total over all waiters in the window
    holders: tuple[HolderView, ...]
    waiting: tuple[int, ...]  #: tids now
    holder_now: int
    confidence: Confidence
    places: tuple[Site, ...] = ()  #: everywhere it is taken; `site` is one of them
    made: str = ""  #: 'cache.py:12': the assignment that makes it, where the source tells
    holds: int = 0  #: holds that were seen
    holds_ended: int = 0  #: of these, those seen from beginning to end: the quantiles are of them
    resolution_s: float = 0.0  #: the sampling interval; times below three of them are None
    hold_p50_s: float | None = None
    hold_p95_s: float | None = None
    hold_max_s: float | None = None
    hold_sure: bool = True  #: that was one hold; else it may have been given back and taken again between two samples
    waits: int = 0
    wait_mean_s: float = 0.0  #: of one wait
    wait_max_s: float = 0.0
    wait_each_s: float = 0.0  #: all waits of one waiter, on average
    doing: tuple[tuple[str, float], ...] = ()  #: what holders do -> share of the held time
    handoffs_per_s: float = 0.0
    workers: int = 0  #: threads that held it or waited for it
    speedup_cap: float | None = None  #: they can together be so many times as fast as one at most

    @property
    def between_processes(self) -> bool:
        return self.kind.startswith(BETWEEN_PROCESSES)


class EdgeView(View, frozen=True):
    """`waiter` waits for `holder`. `via`: 'Thread.join' where it is no lock."""

    waiter: int
    holder: int
    key: str  #: of the lock
    what: str  #: the lock as its user wrote it
    confidence: Confidence
    via: str = ""


class ChainView(View, frozen=True):
    """Everybody who waits, directly or behind others, for one thread."""

    root: int
    text: str  #: '12 threads wait for worker-3, which waits for tcp 127.0.0.1:5432'
    edges: tuple[EdgeView, ...]  #: nearest to the root first
    cycle: tuple[int, ...]  #: the circle in which it ends; the root is its first
    exact: bool
    deadlock: bool = False  #: nobody in the circle can ever go on: no wait of it has a timeout
