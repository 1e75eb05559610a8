"""The time that was kept."""

from __future__ import annotations

from concview.model import Severity
from concview.snapshot.base import Shares, View


class Point(View, frozen=True):
    """One half second of the process, for sparklines. None: not measured then."""

    at_ns: int
    cpu_percent: float | None
    gil_held: float | None
    gil_waiters: float | None
    threads: int
    switches_per_s: float | None
    run_delay: float | None  #: seconds of run-queue delay per second, all threads together
    rss: int
    fds: int
    states: Shares  #: of all Python threads' time


class Mark(View, frozen=True):
    """When a finding was there."""

    start_ns: int
    end_ns: int
    severity: Severity
    id: str
    title: str


class Timeline(View, frozen=True):
    """The time that was kept. Moments on the stream's clock."""

    first_ns: int = 0
    last_ns: int = 0
    detail_ns: int = 0  #: from here on everything is kept; before it sums of half seconds only
    epoch_ns: int = 0  #: add it to a moment for nanoseconds since the epoch
    points: tuple[Point, ...] = ()  #: oldest first
    marks: tuple[Mark, ...] = ()  #: oldest first


class Gap(View, frozen=True):
    """A stretch in which no sample was taken though samples were due. `start_s`: since the first sample."""

    start_s: float
    seconds: float
