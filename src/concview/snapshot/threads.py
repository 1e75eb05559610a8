"""Threads, and what wakes them."""

from __future__ import annotations

from concview.model import Confidence, Frame, Hold, Stack, State, Wait
from concview.snapshot.base import Shares, View


class WakerView(View, frozen=True):
    """Who woke a thread, and how often."""

    kind: str  #: 'thread', 'interrupt' (a timer, the network), 'process' (another one), 'unknown'
    number: int  #: tid or pid; 0 of the other kinds
    name: str  #: of a thread; ready to be shown
    count: int


class WakeTimes(View, frozen=True):
    """How waits ended: who woke the thread, and how long it took from there to a CPU. Exact; quantiles to 25 %."""

    wakes: int
    median_s: float | None
    p95_s: float | None
    longest_s: float
    wakers: tuple[WakerView, ...]  #: the most often first
    brief: int  #: how often a thread woke it, and it waited again after less than 50 µs on a CPU


class PlaceWaitTimes(View, frozen=True):
    """Exact waits of a thread at one place: those that a sample fell into. Quantiles to the width of a class, 25 %."""

    state: State
    reason: str
    frame: Frame | None
    waits: int
    waited_s: float
    median_s: float | None
    p95_s: float | None
    longest_s: float
    wakers: tuple[WakerView, ...] = ()  #: who ended them, where that is seen ("wakers"); the most often first
    late_s: float | None = None  #: the median from being woken to being on a CPU
    back: int = 0  #: how often a thread woke it, and it was back in this wait after less than 50 µs on a CPU


class WaitTimes(View, frozen=True):
    """Exact waits of a thread, by the kernel's records of every switch; short ones between two samples included.

    A wait counts when it ends, with all its length: from the moment the thread left the CPU until it was on one again.
    """

    seconds: float  #: that this is of
    complete: bool  #: no record was lost
    runs: int  #: how often it came onto a CPU
    waits: int
    waited_s: float
    median_s: float | None
    p95_s: float | None
    longest_s: float
    aside: int  #: how often it was pushed aside
    aside_s: float
    places: tuple[PlaceWaitTimes, ...] = ()  #: longest waited at first; the other waits were too short to be seen
    wakes: WakeTimes | None = None  #: None: the kernel does not tell ("wakers")


class ThreadView(View, frozen=True):
    tid: int
    name: str
    native: bool  #: no Python thread state
    alive: bool
    age_s: float
    state: State  #: now
    since_s: float  #: how long it has certainly been in that state without a break
    reason: str  #: 'waits for self._lock (cache.py:41), held by worker-3', 'recv from 127.0.0.1:5432'
    shares: Shares  #: over the window
    strip: tuple[int, ...]  #: dominant State per half second, oldest first, up to the last minute; -1 before birth
    cpu_percent: float | None
    gil_held: float | None  #: share of the window in which it held the GIL
    holds_gil: bool
    switches_per_s: float | None
    voluntary_per_s: float | None
    stack: Stack
    wait: Wait
    holds: tuple[Hold, ...]  #: exact and inferred
    unsure_s: float = 0.0  #: `since_s` may be longer by so much
    since_open: bool = False  #: it was so before anybody looked: since when, the kernel does not say
    blocked_by: int = 0  #: tid of the holder of what it waits for, where known
    blocked_confidence: Confidence = Confidence.UNKNOWN
    because: str = ""  #: who and what is in its way now, followed to the end: 'sem (permit) <- rpc sleeps (x.py:7)'
    root: str = ""  #: the end alone
    waiting: int = 0  #: threads and tasks that wait now, directly or behind others, until it goes on
    interpreter: int = 0  #: id of the one that it runs in now; the main one is 0
    exact: WaitTimes | None = None  #: None: it was on no CPU, or the kernel's records cannot be had ("switches")
    #: tid of one that has what it waits for, by what `because` tells; 0: none, a task, or outside of the process.
    held_by: int = 0
    held_confidence: Confidence = Confidence.UNKNOWN
    c_lock: int = 0  #: address of the lock inside a C library that it waits for

    @property
    def in_the_way(self) -> int:
        """tid of one that has what it waits for, however that is known; 0: not known."""
        return self.blocked_by or self.held_by
