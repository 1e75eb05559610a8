"""Threads of one kind become more and more, and none of them ever ends.

What it sees:
    Threads that run one function, of which new ones keep coming while not one finishes, and which do nothing but wait.

Why it hurts:
    Each keeps its stack and whatever it refers to (a connection, a user's data) for as long as the process lives, and
    wakes up now and then for nothing. It goes unnoticed for days and ends with memory or the limit on threads.

How it is measured:
    The number of threads that run one function, when they came one after another over 20 seconds or more: at least two
    in every quarter of that time, none of them ended while concview watched (10 seconds at least), and each runs less
    than 1 % of the time. The kernel keeps when every thread was started, so what came before concview was attached
    counts too. Thresholds 20 and 50 threads [H: a leak of one thread a second is a hint after 20 seconds and a warning
    after 50]: on the demo pair one more every second (bad), 5 at any time (fixed). Workers of a ThreadPoolExecutor have
    a maximum and do not count.

Fix:
    Whoever starts a thread tells it to stop, and joins it.

        keeper = Thread(target=keep_alive, args=(left,))     # left: threading.Event
        try: serve(user)
        finally:
            left.set()
            keeper.join()

When it is fine:
    A service that warms up: one thread for each of a number of clients that all stay. The rise then ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import pooled
from concview.model import Confidence, State
from concview.text import duration, plural

#: The rise is looked at over this time; of each quarter of it at least so many threads must have stayed.
MIN_RISE_NS = 20_000_000_000
MAX_RISE_NS = 300_000_000_000
QUARTERS = 4
PER_QUARTER = 2
#: Nobody may have ended for so long while concview watched.
WATCHED_NS = 10_000_000_000
MAX_RUNNING = 0.01


class ThreadLeak:
    id: ClassVar[str] = "thread-leak"
    title: ClassVar[str] = "Threads are started and never end"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(20.0, 50.0, "threads", "[H] the catalogue's 50 over five minutes")
    needs: ClassVar[tuple[str, ...]] = ("stacks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "threads that came one by one and stayed"

    def observe(self, window: Window) -> Iterable[Observation]:
        groups: dict[tuple[str, str], list[ThreadWindow]] = defaultdict(list)
        for thread in window.threads:
            frame = evidence.entry(thread) if thread.alive else None
            if frame is not None and not pooled(thread):
                groups[frame.file, frame.function].append(thread)
        rising = {}
        for key, threads in groups.items():
            rise = _rise_ns(window, threads) if len(threads) >= QUARTERS * PER_QUARTER else 0
            if rise:
                rising[key] = rise
        ended = _ended(window) if rising else set()
        for key, rise in rising.items():
            if key not in ended:
                yield self._one(window, groups[key], rise)

    def _one(self, window: Window, threads: list[ThreadWindow], rise: int) -> Observation:
        threads.sort(key=_born)
        recent = [t for t in threads if _born(t) > window.end_ns - rise]
        rate = len(recent) * 1e9 / rise
        newest = threads[-1]
        entry = evidence.entry(newest)
        stack = evidence.heaviest((p.run.stack, p.ns) for p in newest.slices)
        oldest = (window.end_ns - _born(threads[0])) / 1e9
        name = evidence.frame_spot(entry)
        watched = window.end_ns - window.history.first_ns
        return Observation(
            subject=f"{entry.file}:{entry.function}" if entry is not None else "process",
            value=float(len(threads)),
            lower=float(len(threads)),  # counted
            samples=window.samples,
            episodes=len(threads),
            confidence=Confidence.EXACT,
            title=f"{len(threads)} threads of {entry.function if entry is not None else 'one kind'}, and none ends",
            summary=(
                f"{plural(len(threads), 'thread')} run {name}; {len(recent)} of them came within the last "
                f"{duration(rise / 1e9)}, one after another ({rate:.2g} a second), and none has ended while concview "
                f"watched. The oldest is {duration(oldest)} old; they only wait."
            ),
            gain=(
                f"The memory of {plural(len(threads), 'stack')} and of what they refer to; at this rate there will be "
                f"{rate * 3600:.0f} more in an hour."
            ),
            check_next=f"Who starts {name}, and who should tell it to stop?",
            where=evidence.places(stack),
            threads=tuple(t.tid for t in threads[-50:]),
            stacks=evidence.shown("newest", newest.tid, newest.name, stack, f"one of {len(threads)}"),
            needs=(
                ""
                if watched >= WATCHED_NS
                else f"{duration(WATCHED_NS / 1e9)} in which none ends (has {duration(watched / 1e9)})"
            ),
        )


def _born(thread: ThreadWindow) -> int:
    return thread.history.born_ns


def _ended(window: Window) -> set[tuple[str, str]]:
    """What the threads ran that ended, as far back as that is kept.

    By most of their time: what a thread showed in its last moment may belong to the next one in the same memory.
    """
    found: set[tuple[str, str]] = set()
    for thread in window.history.gone:
        stack = evidence.heaviest((r.stack, max(1, r.end_ns - r.start_ns)) for r in thread.runs)
        own = [f for f in stack.frames if f.origin == "user"] if stack is not None else []
        if own:
            found.add((own[-1].file, own[-1].function))
    return found


def _rise_ns(window: Window, threads: list[ThreadWindow]) -> int:
    """The longest time up to now over which threads came steadily and stayed; 0 when they did not.

    Steadily means some in every quarter of it: neither a burst at the start nor a pool that has reached its size.
    """
    if any(t.share(State.RUNNING) > MAX_RUNNING for t in threads):
        return 0
    ages = sorted(window.end_ns - _born(t) for t in threads)
    rise = min(MAX_RISE_NS, ages[-1])
    while rise >= MIN_RISE_NS:
        quarters = [0] * QUARTERS
        for age in ages:
            if age <= rise:
                quarters[min(QUARTERS - 1, age * QUARTERS // rise)] += 1
        if min(quarters) >= PER_QUARTER:
            return rise
        rise = rise * 3 // 4
    return 0


RULE = ThreadLeak()
