"""A lock is taken very often to do next to nothing, such as to count.

What it sees:
    A function that takes a lock, returns within about a microsecond, and is called hundreds of thousands of times a
    second.

Why it hurts:
    Taking and giving back a lock nobody else wants costs about as much as the work it guards, and on every call. When
    threads do meet there, each of them goes to sleep and is woken for a single addition.

How it is measured:
    How often it takes the lock a second, times 0.17 µs [M: `with lock:` without competition, 3.11], as a share of a
    core. That it takes one is known from samples inside its `with` block or on its `acquire`. From 3.13 on yappi counts
    the lock's own methods, exactly; before, the function's calls are counted and that each takes the lock is inferred.
    It must return within 3 µs of CPU on average, callees and the cost of counting included. Counting slows the program
    down, so this is the least it can be. Thresholds 2 % and 10 % of a core [H]: on the demo pair 7 % to 12 % (bad) and
    0.4 % (fixed).

Fix:
    Count where no lock is needed and add up now and then: in a local variable, flushed once per batch.

        for record in batch:
            seen += 1
        with self._lock:
            self.total += seen

    Across threads: one counter a thread (threading.local), summed by whoever reads. `next(itertools.count())` is atomic
    while there is a GIL.

When it is fine:
    When the sum must be exact at every moment for every reader.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.calls import Function
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _exact
from concview.model import Confidence, Site, Stack
from concview.text import count, duration, percent

SHORT_S = 3e-6


class LockPerCallCounter:
    id: ClassVar[str] = "lock-per-call-counter"
    title: ClassVar[str] = "A lock is taken on every call to do next to nothing"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(0.02, 0.10, "share of a core", "[M] 0.17 µs a lock; [H] the shares")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "calls")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "CPU for taking the lock"

    def observe(self, window: Window) -> Iterable[Observation]:
        exact = _exact.Exact(window)
        for function, (site, thread, stack, ns) in _takers(window, exact).items():
            counted = _locks_taken(exact, function)
            taken = counted or function.calls
            rate = exact.rate(taken)
            if function.calls < _exact.MIN_CALLS or function.average_s * _exact.on_cpu(thread) > SHORT_S:
                continue
            share = rate * window.costs["lock_free"]
            yield Observation(
                subject=f"{site.key}:{function.name}",
                value=share,
                lower=share,
                samples=window.samples,
                episodes=taken,
                confidence=Confidence.EXACT if counted else Confidence.INFERRED,
                title=f"{site.expression} is taken {count(rate)} times a second to do next to nothing",
                summary=(
                    f"{_exact.spot(function)} was called {count(exact.rate(function.calls))} times a second and took "
                    f"{_exact.micro(function.average_s)} on average, {site.expression} included: at least "
                    f"{percent(share)} of a core goes into taking and giving back the lock ({window.costs.source})."
                ),
                gain=f"At least {percent(share)} of a core, if it is counted without the lock and added up per batch.",
                check_next=f"Who reads what {site.expression} guards, and how exact must it be at every moment?",
                where=evidence.places(stack, first=site),
                threads=(thread.tid,),
                stacks=evidence.shown(
                    "taker", thread.tid, thread.name, stack, f"in it for {duration(ns / 1e9)} of the window"
                ),
            )


def _locks_taken(exact: _exact.Exact, function: Function) -> int:
    """How often the function itself took a lock, where the lock's methods were counted; 0 where not."""
    methods: dict[str, int] = defaultdict(int)
    for callee, calls, _ in exact.callees(function):
        if "_thread.lock" in callee.name or "_thread.RLock" in callee.name:
            methods[callee.name] += calls
    return max(methods.values(), default=0)


def _takers(window: Window, exact: _exact.Exact) -> dict[Function, tuple[Site, ThreadWindow, Stack, int]]:
    """Function -> the lock it takes itself, with the thread and stack in which it was seen to most often."""
    weights: dict[tuple[int, str], int] = defaultdict(int)
    found: dict[tuple[int, str], tuple[Function, Site, ThreadWindow, Stack]] = {}
    for thread, slice_ in window.slices():
        frames = slice_.run.stack.frames
        if not frames:
            continue
        # Only what it does itself: the lock of a caller is not taken again on every call.
        frame = frames[0]
        if frame.origin not in ("user", "library"):
            continue  # what takes a lock in the standard library does so for somebody
        site = frame.acquires or next(iter(frame.holds), None)
        function = exact.at(frame) if site is not None else None
        if site is None or function is None:
            continue
        key = (id(function), site.key)
        weights[key] += slice_.ns
        found[key] = (function, site, thread, slice_.run.stack)
    best: dict[Function, tuple[Site, ThreadWindow, Stack, int]] = {}
    for key in sorted(weights, key=weights.__getitem__):
        function, site, thread, stack = found[key]
        best[function] = (site, thread, stack, weights[key])
    return best


RULE = LockPerCallCounter()
