"""Threads and locks of a window."""

from __future__ import annotations

import msgspec


class WakerOut(msgspec.Struct):
    kind: str  #: 'thread', 'interrupt' (a timer, the network), 'process' (another one), 'unknown'
    count: int
    tid: int = 0  #: of a thread
    name: str = ""
    pid: int = 0  #: of another process


class WakesOut(msgspec.Struct):
    """How waits ended: who woke the thread, and how long it then was until it was on a CPU. Quantiles to 25 %."""

    count: int
    median_s: float | None
    p95_s: float | None
    longest_s: float
    brief: int  #: a thread woke it, and it waited again after less than 50 µs on a CPU
    by: list[WakerOut]  #: the most often first
    confidence: str = "exact"


class PlaceWaitsOut(msgspec.Struct):
    """Waits at one place that a sample fell into. Seconds; quantiles to 25 %."""

    state: str
    reason: str
    place: str | None  #: 'cache.py:41 (Cache.get)', where the stack was seen
    waits: int
    waited_s: float
    median_s: float | None
    p95_s: float | None
    longest_s: float
    woken_by: list[WakerOut] = []  #: who ended them, the most often first; empty where the kernel does not tell
    wake_to_run_median_s: float | None = None
    back_at_once: int = 0  #: a thread woke it, and it was back in this wait after less than 50 µs on a CPU


class ExactWaitsOut(msgspec.Struct):
    """Every wait of a thread, by the kernel's records of switches. A wait counts when it ends, with all its length."""

    seconds: float  #: that this is of
    complete: bool  #: no record was lost
    runs: int
    waits: int
    waited_s: float
    median_s: float | None
    p95_s: float | None
    longest_s: float
    pushed_aside: int
    pushed_aside_s: float
    places: list[PlaceWaitsOut]  #: of the waits that were long enough for a sample
    confidence: str = "exact"
    wakes: WakesOut | None = None  #: null where the kernel does not tell who woke whom


class ThreadOut(msgspec.Struct):
    tid: int
    name: str
    shares: dict[str, float]
    pid: int = 0  #: of several processes: whose; else 0, as below
    interpreter: int = 0  #: id of the one it runs in
    exact_waits: ExactWaitsOut | None = None  #: null where the kernel's records cannot be had


class SiteOut(msgspec.Struct):
    file: str
    line: int
    function: str


class HolderOut(msgspec.Struct):
    tid: int  #: 0: of another process, where the lock is one between processes
    name: str
    percent: float
    confidence: str


class DoingOut(msgspec.Struct):
    what: str  #: 'running', 'gil', 'io tcp 127.0.0.1:5432', 'sleep', ...
    percent: float  #: of the held time


class LockOut(msgspec.Struct):
    """Times in seconds. A hold shorter than three sampling intervals cannot be measured: null then."""

    id: str
    kind: str
    expression: str
    site: SiteOut
    held_percent: float
    waiters_mean: float
    waiters_max: int
    holders: list[HolderOut]
    sites: list[SiteOut] = []  #: everywhere it is taken
    made: str | None = None  #: 'cache.py:12', where the source tells
    resolution_s: float = 0.0  #: the sampling interval
    holds_seen: int = 0
    holds_ended: int = 0  #: of these, those whose beginning and end were seen: the quantiles are of them
    hold_p50_s: float | None = None
    hold_p95_s: float | None = None
    hold_max_s: float | None = None
    hold_max_sure: bool = True  #: false: it may have been several, given back and taken again between two samples
    waits_seen: int = 0
    wait_mean_s: float = 0.0
    wait_max_s: float = 0.0
    wait_per_waiter_s: float = 0.0
    holders_do: list[DoingOut] = []
    handoffs_per_s: float = 0.0
    workers: int = 0
    pid: int = 0
    speedup_cap: float | None = None  #: Amdahl: its workers together are at most so many times as fast as one


class EdgeOut(msgspec.Struct):
    waiter: int
    holder: int
    lock: str
    expression: str
    confidence: str
    via: str = ""


class ChainOut(msgspec.Struct):
    """Everybody who waits, directly or behind others, for one thread, the root."""

    root: int
    text: str
    edges: list[EdgeOut]
    cycle: list[int] = []
