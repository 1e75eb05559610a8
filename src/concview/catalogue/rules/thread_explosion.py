"""Threads are started faster than they end, without a limit.

What it sees:
    A number of threads far above what the CPUs can use, and growing; or so many threads that come and go that nothing
    seems to bound them.

Why it hurts:
    Every thread costs a stack, a place in the scheduler and a turn at the GIL. When what they wait for gets slower
    there are more of them (Little's law: arrivals a second times seconds each), until memory, the limit on processes
    or the machine gives way. Nothing pushes back on whoever sends the work.

How it is measured:
    The number of threads, counted by the kernel and without those that are known not to be Python's, with what one more
    second of the same growth adds, divided by four times the CPUs plus 100. It counts while it grows (in both halves of
    the last one and a half seconds), or from 500 threads on. Thresholds 1 and 1.5 [H]: the demo pair passes 1.5 after
    two to three seconds (bad) and stays at 0.01 (fixed). Workers of a ThreadPoolExecutor are bounded by its size, and a
    large number that neither grows nor changes is a pool: both are INFO at most.

Fix:
    A bounded pool; its queue, or a semaphore in front of it, pushes back.

        pool = ThreadPoolExecutor(max_workers=32)
        pool.submit(handle, request)          # instead of Thread(target=handle).start()

    For thousands of waits at once, asyncio: a task costs some kilobytes, and no thread.

When it is fine:
    A bounded pool of threads that wait for I/O, at its maximum.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.classify import bare
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import is_of, pooled
from concview.model import Confidence, Frame, Stack, StackEvidence, State, Where
from concview.snapshot import Shares
from concview.source.calls import THREADING
from concview.text import count, percent, plural

PER_CPU = 4
BASE = 100
MANY = 500
#: Growing means so many more threads than one and two steps ago, each time.
STEP_NS = 750_000_000
STEP_THREADS = 5
#: New threads within the window, as a share of all, from which a steady number is not a pool.
TURNOVER = 0.05
_STARTERS = frozenset({"start", "_start_joinable_thread", "start_new_thread", "start_joinable_thread"})


class ThreadExplosion:
    id: ClassVar[str] = "thread-explosion"
    title: ClassVar[str] = "The number of threads explodes"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(
        1.0, 1.5, "x (4 threads a CPU + 100)", "[H] calibrated on the demo pair"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "number of threads"

    def observe(self, window: Window) -> Iterable[Observation]:
        alive = [t for t in window.threads if t.alive]
        number = _number(window, len(alive))
        limit = PER_CPU * window.cpus + BASE
        rate = _growth(window)
        value = (number + (rate or 0.0)) / limit  # where it will be in a second
        if rate is None and number < MANY:
            return
        since = max(window.start_ns, window.history.first_ns)  # those there at the start were not born then
        born = [t for t in window.threads if t.history.born_ns > since]
        workers = sum(pooled(t) for t in alive)
        bounded = workers > 0.5 * len(alive)
        steady = rate is None and len(born) <= TURNOVER * len(alive)
        target, share = _common_entry(born if len(born) >= STEP_THREADS else alive)
        creator = _creator(window)
        yield Observation(
            subject="process",
            value=value,
            lower=value,
            samples=window.samples,
            episodes=len(born),
            confidence=Confidence.EXACT,
            title=f"{count(number)} threads" + (f", {rate:.0f} more every second" if rate else ""),
            summary=_summary(window, number, len(alive), limit, rate, target, share, bounded, steady),
            fix=_fix(target),
            gain=_gain(alive),
            check_next=(
                f"How many may there be at once? {evidence.frame_spot(creator[1])} starts them."
                if creator is not None
                else "What starts these threads, and what makes it stop?"
            ),
            where=_places(creator, target),
            threads=tuple(t.tid for t in alive[:50]),
            stacks=_stacks(window, creator, born or alive),
            # Every one of them wants the same thing: the queue there is theirs, too.
            explains=(("thread-churn", "*"), ("thread-leak", "*"), ("connection-starvation", "*")),
            severity_cap="info" if bounded or steady else "",
        )


def _number(window: Window, alive: int) -> int:
    """How many there are, those included that nobody has had room to look at yet."""
    counted = window.history.counted
    there = counted[-1][1] - sum(t.alive for t in window.native_threads) if counted else 0
    return max(there, alive)


def _growth(window: Window) -> float | None:
    """Threads a second over the last two steps, when both of them saw growth. By the kernel's count: where there are
    very many, those that are seen become more also when there are not."""
    counted = window.history.counted
    if not counted:
        return None
    end, now = counted[-1]
    one = next((n for at, n in reversed(counted) if at <= end - STEP_NS), None)
    two = next(((at, n) for at, n in reversed(counted) if at <= end - 2 * STEP_NS), None)
    if one is None or two is None:
        return None
    if now - one < STEP_THREADS or one - two[1] < STEP_THREADS:
        return None
    return (now - two[1]) * 1e9 / (end - two[0])


def _common_entry(threads: list[ThreadWindow]) -> tuple[Frame | None, float]:
    """The user's function that most of the threads run, and the share of them that do."""
    entries: dict[tuple[str, str], list[Frame]] = defaultdict(list)
    for thread in threads:
        frame = evidence.entry(thread)
        if frame is not None:
            entries[frame.file, frame.function].append(frame)
    if not entries:
        return None, 0.0
    best = max(entries.values(), key=len)
    return Counter(best).most_common(1)[0][0], len(best) / len(threads)


def _creator(window: Window) -> tuple[ThreadWindow, Frame, Stack] | None:
    """Who was seen most often starting a thread: the user's line above Thread.start."""
    seen: dict[tuple[str, int], int] = defaultdict(int)
    example: dict[tuple[str, int], tuple[ThreadWindow, Frame, Stack]] = {}
    for thread, slice_ in window.slices():
        frames = slice_.run.stack.frames
        for i, frame in enumerate(frames[:6]):
            if frame.origin == "user":
                # start_new_thread is C: where it is called from user code, the line itself is all there is to see.
                if i == 0 and (".start()" in frame.text or "start_new_thread" in frame.text):
                    seen[frame.file, frame.line] += 1
                    example[frame.file, frame.line] = (thread, frame, slice_.run.stack)
                break
            if bare(frame.function) in _STARTERS and is_of(frame, THREADING):
                own = next((f for f in frames[i:] if f.origin == "user"), None)
                if own is not None:
                    seen[own.file, own.line] += 1
                    example[own.file, own.line] = (thread, own, slice_.run.stack)
                break
    return example[max(seen, key=seen.__getitem__)] if seen else None


def _summary(
    window: Window,
    number: int,
    alive: int,
    limit: float,
    rate: float | None,
    target: Frame | None,
    share: float,
    bounded: bool,
    steady: bool,
) -> str:
    text = f"{plural(number, 'thread')} on {window.cpus:g} CPUs"
    if rate:
        text += f", {rate:.0f} more every second"
    elif not steady:
        text += ", and they keep changing"
    if alive < number:
        text += f" ({alive} of them looked at so far)"
    if target is not None:
        text += f"; {percent(share)} of the new ones run {target.function} ({evidence.frame_spot(target)})"
    text += f". Four a CPU and 100 more would be {limit:.0f}."
    return text + (" Most are workers of thread pools, which have a maximum." if bounded else "")


def _gain(alive: list[ThreadWindow]) -> str:
    """What the threads do: how many a bounded pool would have to hold."""
    totals = [0.0] * len(State)
    for thread in alive:
        shares: Shares = thread.shares
        for i, part in enumerate(shares):
            totals[i] += part
    whole = sum(totals)
    if not whole:
        return ""
    waiting = (totals[State.IO] + totals[State.SLEEP] + totals[State.IDLE] + totals[State.LOCK]) / whole
    return (
        f"The threads wait {percent(waiting)} of the time: a bounded pool or asyncio serves them with a fraction of "
        "the stacks and switches, if the other side can answer that many at once."
    )


def _fix(target: Frame | None) -> str:
    name = target.function.rpartition(".")[2] if target is not None else "handle"
    return (
        "Give the work to a bounded pool; submit instead of starting a thread.\n\n"
        "    pool = ThreadPoolExecutor(max_workers=32)\n"
        f"    pool.submit({name}, request)\n\n"
        "The pool's own queue is unbounded: a semaphore before submit pushes back. For thousands of waits, asyncio."
    )


def _places(creator: tuple[ThreadWindow, Frame, Stack] | None, target: Frame | None) -> tuple[Where, ...]:
    frames = [creator[1]] if creator is not None else []
    return tuple(evidence.at(f) for f in [*frames, *([target] if target is not None else [])])


def _stacks(
    window: Window, creator: tuple[ThreadWindow, Frame, Stack] | None, threads: list[ThreadWindow]
) -> tuple[StackEvidence, ...]:
    out: tuple[StackEvidence, ...] = ()
    if creator is not None:
        out = evidence.shown("creator", creator[0].tid, creator[0].name, creator[2], "starts threads here")
    for thread in threads[-1:]:
        stack = evidence.heaviest((p.run.stack, p.ns) for p in thread.slices)
        out += evidence.shown("created", thread.tid, thread.name, stack)
    return out


RULE = ThreadExplosion()
