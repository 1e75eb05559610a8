"""A pool is made for every call, used once and thrown away.

What it sees:
    Executors and pools that are made many times a second: the numbers in their workers' names count up, or the threads
    that every pool has one of are born again and again.

Why it hurts:
    Every pool starts its threads (or processes) anew and waits for their end: half a millisecond of CPU for threads,
    tens of milliseconds for processes, for work that a pool at hand takes over in a fraction of that. Nothing bounds
    the pools either: as many requests at once, as many times the workers.

How it is measured:
    Pools a second. A ThreadPoolExecutor without a name of its own carries a number that counts all that were made,
    also those that came and went between two samples; of others the first worker (of process pools the thread that
    looks after it) is counted as it is seen, which is the least it can be. Thresholds 2 and 10 a second [M: making,
    using and ending a pool of 4 takes 537 µs where handing work to one at hand takes 23 µs; H the rates]: on the demo
    pair 17 to 31 a second (bad) and 0 (fixed). The first second after attaching does not count.

Fix:
    One pool, made once, shared by all.

        pool = ThreadPoolExecutor(max_workers=16)     # once, at module level

        def page(): return list(pool.map(ask, parts))

When it is fine:
    Test suites, which make and end what they test; a script that uses one pool for each of a few stages.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.classify import bare
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Inapplicable, Observation, Thresholds
from concview.catalogue.rules._births import births
from concview.catalogue.rules._kinds import is_of, is_worker
from concview.model import NO_STACK, Confidence, Frame, Stack
from concview.source.calls import THREAD_POOL
from concview.source.origin import is_module
from concview.text import count, plural

MIN_POOLS = 5
_NUMBERED = re.compile(r"^ThreadPoolExecutor-(\d+)_\d+$")
_WORKER = re.compile(r"^.*_\d+$")
_FIRST = re.compile(r"^(.*)_0$")
#: One thread that every pool of its kind has: (end of the file, bare functions) -> what it is.
_ONE_EACH: tuple[tuple[str, frozenset[str], str], ...] = (
    ("concurrent/futures/process.py", frozenset({"_queue_management_worker", "wait_result_broken_or_wakeup"}),
     "ProcessPoolExecutor"),
    ("multiprocessing/pool.py", frozenset({"_handle_results"}), "Pool"),
)  # fmt: skip
#: Frames below which the user's own line makes, uses or ends a pool.
_MAKERS = (THREAD_POOL, "concurrent/futures/process.py", "concurrent/futures/_base.py",
           "multiprocessing/pool.py")  # fmt: skip
_ENDS = frozenset({"shutdown", "__exit__", "__init__", "terminate", "_terminate_pool", "_adjust_thread_count", "join"})


class PoolPerCall:
    id: ClassVar[str] = "pool-per-call"
    title: ClassVar[str] = "A pool for every call"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(
        2.0, 10.0, "pools a second", "[M] 537 µs a pool of four threads, 23 µs a hand-over; [H] the rates"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "pools made"

    def observe(self, window: Window) -> Iterable[Observation]:
        found = births(window)
        if found is None:
            return
        born = found.threads
        kinds: dict[str, list[ThreadWindow]] = defaultdict(list)
        for thread in born:
            kind = _kind(thread)
            if kind:
                kinds[kind].append(thread)
        if not kinds and sum(map(_nameless, born)) >= max(MIN_POOLS, len(born) // 2):
            raise Inapplicable(
                "these workers end before their names are known, and only those tell pools from each other",
                "use --engine direct on CPython 3.8 or newer",
            )
        for kind, workers in kinds.items():
            made = _made(kind, workers)
            if made >= MIN_POOLS:
                yield self._one(window, kind, workers, made, found.seconds, 2 * sum(map(_pooled, born)) > len(born))

    def _one(
        self, window: Window, kind: str, workers: list[ThreadWindow], made: int, seconds: float, mostly: bool
    ) -> Observation:
        rate = made / seconds
        maker = _maker(window, {t.tid for t in workers})
        worker = workers[-1]
        inside = evidence.heaviest((p.run.stack, p.ns) for p in worker.slices if _user(p.run.stack) is not None)
        where = evidence.frame_spot(maker[1]) if maker is not None else ""
        return Observation(
            subject=kind,
            value=rate,
            lower=rate,  # counted
            samples=window.samples,
            episodes=made,
            confidence=Confidence.EXACT,
            title=f"{count(rate)} pools a second are made",
            summary=(
                f"At least {rate:.1f} pools a second are made and thrown away ({_what(kind)}; {plural(made, 'pool')} "
                f"in {seconds:.1f} s)" + (f", by {where}." if where else ".")
            ),
            gain=(
                f"About {rate * window.costs['pool_of_threads'] * 100:.1f} % of a core for pools of four threads, and "
                "for every call the wait until its threads have started and ended."
            ),
            check_next=(
                f"{where} makes, uses or ends them: can the pool live as long as the program?"
                if where
                else "Who makes them? No thread was seen doing it; look for ThreadPoolExecutor( inside functions."
            ),
            where=evidence.places(maker[2] if maker is not None else None, inside),
            threads=tuple(t.tid for t in workers[-10:]),
            stacks=(
                evidence.shown("maker", maker[0].tid, maker[0].name, maker[2], "makes, uses or ends a pool here")
                if maker is not None
                else ()
            )
            + evidence.shown("worker", worker.tid, worker.name, inside, f"one of {len(workers)} seen"),
            explains=(("thread-churn", "*"),) if mostly else (),
        )


def _kind(thread: ThreadWindow) -> str:
    """What a thread says of its pool: 'numbered', a worker's prefix, the kind of a process pool; '' of none."""
    if _NUMBERED.match(thread.name):
        return "numbered"
    frame = _pool_frame(thread)
    if frame is None:
        return ""
    if is_module(frame.file, THREAD_POOL, frame.origin):
        first = _FIRST.match(thread.name)
        return f"named {first[1]}" if first is not None else ""
    return next(kind for end, _, kind in _ONE_EACH if is_of(frame, end))


def _nameless(thread: ThreadWindow) -> bool:
    """A pool's worker without the number that every pool gives its workers."""
    frame = _pool_frame(thread)
    return frame is not None and is_module(frame.file, THREAD_POOL, frame.origin) and _WORKER.match(thread.name) is None


def _pooled(thread: ThreadWindow) -> bool:
    return _NUMBERED.match(thread.name) is not None or _pool_frame(thread) is not None


def _pool_frame(thread: ThreadWindow) -> Frame | None:
    """The frame that makes a thread one of a pool's own. The workers' names may not be known yet (py-spy)."""
    stack = next((r.stack for r in reversed(thread.history.runs) if r.stack.frames), NO_STACK)
    for frame in stack.frames[-8:]:
        if is_worker(frame):
            return frame
        name = bare(frame.function)
        if any(name in functions and is_of(frame, end) for end, functions, _ in _ONE_EACH):
            return frame
    return None


def _made(kind: str, workers: list[ThreadWindow]) -> int:
    """How many pools were made. The numbers in names also count those that nobody saw.

    A late worker of a pool that was made long ago says nothing: only numbers whose first worker was born count.
    """
    if kind != "numbered":
        return len(workers)
    firsts = [t for t in workers if _FIRST.match(t.name)]
    numbers = [int(m[1]) for m in (_NUMBERED.match(t.name) for t in firsts) if m]
    if not numbers:
        return 0
    return max(numbers) - min(numbers) + 1 if len(set(numbers)) > 1 else 1


def _what(kind: str) -> str:
    if kind == "numbered":
        return "ThreadPoolExecutor, by the numbers in the names of its workers"
    if kind.startswith("named "):
        return f"ThreadPoolExecutor, workers {kind.removeprefix('named ')}_*"
    return kind


def _user(stack: Stack) -> Frame | None:
    leaf = stack.user_leaf
    return leaf if leaf is not None and leaf.origin == "user" else None


def _maker(window: Window, workers: set[int]) -> tuple[ThreadWindow, Frame, Stack] | None:
    """The user's line that was seen longest making or ending a pool, else using one."""
    spent: dict[tuple[bool, str, str], int] = defaultdict(int)
    found: dict[tuple[bool, str, str], tuple[ThreadWindow, Frame, Stack]] = {}
    for thread, slice_ in window.slices():
        if thread.tid in workers:
            continue
        above = None
        for frame in slice_.run.stack.frames:
            if frame.origin == "user":
                if above is not None:
                    key = (bare(above.function) in _ENDS, frame.file, frame.function)
                    spent[key] += slice_.ns
                    found[key] = (thread, frame, slice_.run.stack)
                break
            if is_of(frame, *_MAKERS):
                above = frame
    if not spent:
        return None
    return found[max(spent, key=lambda k: (k[0], spent[k]))]


RULE = PoolPerCall()
