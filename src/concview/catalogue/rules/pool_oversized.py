"""A pool has far more threads than it ever uses.

What it sees:
    Eight or more workers of one kind, of which hardly any is ever at work at the same time as another.

Why it hurts:
    Every thread costs memory for its stack and the objects it keeps, often a connection as well; many of them make a
    shutdown and every dump longer. And when there is much to do, they all begin at once, on one GIL, one database: a
    smaller pool would have put the excess in a queue.

How it is measured:
    Workers are threads of one name and entry that wait for work most of the time. Of their number, the part beyond the
    peak: the most that were busy at one moment of the window, or on average over any half second of the last minute.
    Judged once there are 20 seconds. Thresholds 0.8 and 0.95 [H]: demo pair 0.97 to 0.98 (bad), not observed (fixed:
    two workers). It is INFO at most: what the pool needs at its busiest hour cannot be seen in a minute.

Fix:
    As many workers as are busy at the peak (tasks a second times seconds each), twice that for safety.

        ThreadPoolExecutor(max_workers=4)    # it starts a thread only when no other is free
        ThreadPool(4)                        # instead of 64 loops around jobs.get()

When it is fine:
    The load comes in bursts that were not seen here. Workers that compute and are more than the CPUs are another
    matter: cpu-starvation and gil-contention name that.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.known_places import LOOPS, WORKERS, among
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Confidence, Frame, State
from concview.text import duration, percent, plural, pool

MIN_WORKERS = 8
ENOUGH_NS = 20_000_000_000
#: A worker waits for work this part of the window at least.
IDLE = 0.5
#: Waits for work. Who waits at a Condition may as well starve at a pool built of one.
_WORK = frozenset({"Queue.get", "SimpleQueue.get", "work"})


class PoolOversized:
    id: ClassVar[str] = "pool-oversized"
    title: ClassVar[str] = "A pool has more threads than it uses"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(0.8, 0.95, "share of the workers", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "workers that were never needed"
    task_twin: ClassVar[str] = ""

    def observe(self, window: Window) -> Iterable[Observation]:
        pools: dict[tuple[str, str, str], list[tuple[ThreadWindow, Frame]]] = defaultdict(list)
        for thread in window.threads:
            frame = _waits_for_work(thread)
            if frame is not None:
                pools[evidence.group(thread.name), frame.file, frame.function].append((thread, frame))
        for (name, _, _), workers in pools.items():
            if len(workers) >= MIN_WORKERS:
                yield _one(window, name, workers)


def _waits_for_work(thread: ThreadWindow) -> Frame | None:
    """The worker's main function, the user's own where there is one; None for a thread that does not mostly wait."""
    if not thread.alive or thread.share(State.IDLE) < IDLE:
        return None
    idle = evidence.heaviest(
        (c.stack, c.ns) for c in thread.wait_profiles if c.state is State.IDLE and c.classification.via in _WORK
    )
    if idle is None:
        return None
    own = [f for f in idle.frames if f.origin == "user"]
    if own:
        return own[-1]
    return next((f for f in idle.frames if among(f, LOOPS) or among(f, WORKERS)), None)


def _one(window: Window, name: str, workers: list[tuple[ThreadWindow, Frame]]) -> Observation:
    threads = [t for t, _ in workers]
    mean, seconds = _peak(threads)
    used = max(1, math.ceil(mean), _at_once(threads))
    value = 1 - used / len(threads)
    busy = sum(1 - t.share(State.IDLE) for t in threads)
    most = 2 * used
    stack = evidence.heaviest_in((c for t in threads for c in t.wait_profiles), State.IDLE)
    frame, names = workers[0][1], pool(workers[0][0].name)
    where = evidence.at(frame)
    return Observation(
        subject=f"{name}:{frame.function}",
        value=value,
        lower=value,
        samples=evidence.samples_in(window, seconds * 1e9 * len(threads)),
        episodes=len(threads),
        confidence=Confidence.STATISTICAL,
        label=name,
        title=f"{len(threads)} workers ({names}), at most {used} busy",
        summary=(
            f"Of {plural(len(threads), 'worker')} ({names}, {evidence.frame_spot(frame)}) never more than {used} were "
            f"at work at once in the last {duration(seconds)}, {busy:.1f} on average: {percent(value)} were not needed."
        ),
        fix=(
            "As many workers as are busy at the peak (Little's law: tasks a second times seconds each), and some to "
            "spare.\n\n"
            f"    ThreadPoolExecutor(max_workers={most})    # starts a thread only when no other is free\n"
            f"    for number in range({most}): ...         # where the threads are started by hand"
        ),
        gain=(
            f"{plural(len(threads) - most, 'thread')} fewer, with their stacks (usually 8 MiB of address space each; "
            "of memory, what they used of it) and what each keeps for itself, such as a connection. No speed-up."
            if len(threads) > most
            else ""
        ),
        check_next="Is there a busier hour than this? Size it for that one; a queue in front takes short peaks.",
        where=(where, *(w for w in evidence.places(stack) if w != where))[:3],
        threads=tuple(t.tid for t in threads[:50]),
        stacks=evidence.shown("idle worker", threads[0].tid, threads[0].name, stack, f"one of {len(threads)}"),
        severity_cap="info",
        needs="" if seconds * 1e9 >= ENOUGH_NS else f"{ENOUGH_NS // 10**9} s of the pool (has {seconds:.0f})",
    )


def _peak(threads: list[ThreadWindow]) -> tuple[float, float]:
    """(most workers busy over a half second, seconds looked at): all half seconds that every worker was there for."""
    busy: dict[int, float] = defaultdict(float)
    seen: dict[int, int] = defaultdict(int)
    spans: dict[int, int] = {}
    for thread in threads:
        for bucket in thread.history.buckets:
            whole = sum(bucket.sampled)
            if whole <= 0:
                continue
            spans[bucket.end_ns] = max(spans.get(bucket.end_ns, 0), whole)
            seen[bucket.end_ns] += 1
            busy[bucket.end_ns] += 1 - bucket.sampled[State.IDLE] / whole
    complete = [end for end, number in seen.items() if number == len(threads)]
    return max((busy[end] for end in complete), default=0.0), sum(spans[end] for end in complete) / 1e9


def _at_once(threads: list[ThreadWindow]) -> int:
    """Most workers busy at one moment of the window: a fan-out of short tasks does not show in a half second's mean."""
    changes: list[tuple[int, int]] = []
    for thread in threads:
        for slice_ in thread.slices:
            if slice_.run.state is not State.IDLE:
                changes += ((slice_.start_ns, 1), (slice_.end_ns, -1))
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


RULE = PoolOversized()
