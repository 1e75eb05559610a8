"""A queue without a bound takes in more than is taken out.

What it sees:
    A queue that may grow for ever (maxsize 0), and does: more items go in than come out, all the time.

Why it hurts:
    Every item waits longer than the one before it, and all that wait take memory. Nothing slows down whoever puts them
    in, so it ends when memory does, or when the answers come too late to be of use.

How it is measured:
    The number of items, read four times a second over the last half minute; it must be 100 at least, and higher in
    every quarter of that time than in the one before. After five seconds, or from ten items on, it is INFO
    where one that is put in now waits a second or longer [H]. What counts is how much more goes in than comes out, as
    a share of what comes out; that is how fast the wait of an item grows (0.1: by 6 s every minute). A queue that
    counts no items (LifoQueue, PriorityQueue, SimpleQueue) is judged by its growth in a minute as a share of what it
    holds. Thresholds 0.02 and 0.1 [D]: demo pair 0.95 to 1.0 (bad), not observed (fixed: the queue has a bound).

Fix:
    Give it a bound, and decide what happens at it: wait, or refuse.

        jobs = queue.Queue(maxsize=100)      # put() waits, and so does whoever sends the work
        jobs.put(job, timeout=1.0)           # queue.Full: refuse the job at once

When it is fine:
    A batch: everything is put in once, then worked off, and it fits into memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis import queues
from concview.analysis.queues import QueueWindow
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _queues
from concview.model import Confidence, Stack
from concview.text import count, duration, percent, plural, size

#: Looked at over so long, once it was seen so long; fewer items than this are no backlog.
SPAN_NS = 30_000_000_000
ENOUGH_S = 10.0
MIN_ITEMS = 100
#: Sooner, and with fewer items, it is told as INFO, where one that is put in now waits for long already, and
#: more by the minute.
SOON_S, FEW_ITEMS, LONG_S, FAST = 5.0, 10, 1.0, 0.1
#: The value where nothing at all is taken out.
_NOTHING_OUT = 10.0


class UnboundedQueue:
    id: ClassVar[str] = "unbounded-queue"
    title: ClassVar[str] = "A queue without a bound grows"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.02, 0.1, "x what is taken out", "[D] the wait of an item grows at this rate"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "queues")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "how much more goes in than comes out"
    task_twin: ClassVar[str] = "async-unbounded-queue"

    def observe(self, window: Window) -> Iterable[Observation]:
        for queue in window.queues:
            if queue.last.most == 0 and queue.size >= FEW_ITEMS:
                observation = _one(window, queue)
                if observation is not None:
                    yield observation


def _one(window: Window, queue: QueueWindow) -> Observation | None:
    points = queue.longer(SPAN_NS)
    grown, least = queues.growth(points)
    if least <= 0:
        return None
    seconds = (points[-1].at_ns - points[0].at_ns) / 1e9
    taken = queues.rate(points, lambda p: p.gets)
    if taken is None:
        value, lower = 60 * grown / queue.size, 60 * least / queue.size
    elif taken <= 0:
        value = lower = _NOTHING_OUT
    else:
        value, lower = min(_NOTHING_OUT, grown / taken), min(_NOTHING_OUT, least / taken)
    enough = seconds >= ENOUGH_S and queue.size >= MIN_ITEMS
    late = taken is not None and queue.size >= LONG_S * taken and least >= FAST * taken
    if not enough and not late and queue.size < MIN_ITEMS:
        return None
    name = _queues.name_of(queue)
    putting, getting = _queues.users(window, queue, _queues.PUT), _queues.users(window, queue, _queues.GET)
    lines = [f for _, _, f in putting[:2]] + [f for _, _, f in getting[:1]]
    stacks = tuple(
        one
        for role, side in (("producer", putting), ("consumer", getting))
        for thread, stack, _ in side[:2]
        for one in evidence.shown(role, thread.tid, thread.name, stack)
    )
    tids = tuple(dict.fromkeys(t.tid for t, _, _ in (*putting, *getting))) or queue.last.users
    where = evidence.places(*_stacks(window, queue)) if not lines else tuple(evidence.at(f) for f in lines)
    return Observation(
        subject=queue.key,
        value=value,
        lower=lower,
        samples=len(points),
        episodes=len(points),
        confidence=Confidence.EXACT,
        label=name,
        title=f"{name} grows without a bound",
        summary=_summary(queue, name, grown, taken, seconds) + _memory(window, seconds),
        fix=_fix(queue),
        gain=_gain(grown, taken),
        check_next=_check(window, [t for t, _, _ in getting], queue, taken),
        where=where,
        threads=tids[:20],
        stacks=stacks,
        needs="" if enough or (late and seconds >= SOON_S) else f"{ENOUGH_S:g} s of the queue (has {seconds:.0f})",
        severity_cap="" if enough else "info",
    )


def _summary(queue: QueueWindow, name: str, grown: float, taken: float | None, seconds: float) -> str:
    text = f"{plural(queue.size, 'item')} in {name} ({queue.last.kind}, no bound), {grown:.1f} more every second"
    if taken is None:
        return f"{text} over the last {duration(seconds)}."
    text += f" over the last {duration(seconds)}: {taken + grown:.1f} a second go in, {taken:.1f} come out"
    return text + (f"; one put in now waits {duration(queue.size / taken)}." if taken > 0 else ".")


def _memory(window: Window, seconds: float) -> str:
    """Memory in the same time, where it grew noticeably; not all of it need be the queue's."""
    buckets = [b for b in window.history.buckets if b.end_ns > window.end_ns - seconds * 1e9 and b.after is not None]
    if not buckets or buckets[0].after is None or buckets[-1].after is None:
        return ""
    grown = buckets[-1].after.rss - buckets[0].after.rss
    return f" The process's memory grew by {size(grown)} meanwhile." if grown > 4 << 20 else ""


def _fix(queue: QueueWindow) -> str:
    if queue.pool is not None:
        return (
            "An executor's queue has no bound. Take a semaphore before submit, and give it back when the task ends.\n\n"
            "    places.acquire(); future = pool.submit(task)      # places = threading.Semaphore(100)\n"
            "    future.add_done_callback(lambda _: places.release())"
        )
    call = queue.last.name or "jobs"
    if queue.last.kind == "SimpleQueue":
        return f"A SimpleQueue cannot have a bound: use a Queue.\n\n    {call} = queue.Queue(maxsize=100)"
    return (
        "Give it a bound, and decide what happens at it.\n\n"
        f"    {call} = queue.{queue.last.kind}(maxsize=100)      # put() waits: whoever sends the work is slowed down\n"
        f"    {call}.put(item, timeout=1.0)             # queue.Full: refuse while it can still be heard"
    )


def _gain(grown: float, taken: float | None) -> str:
    if not taken:
        return "A bound of n items bounds the memory, and the wait to n divided by what is taken out a second."
    return (
        f"At {taken:.1f} items a second out, a bound of {count(max(1.0, taken))} keeps the wait of every item below "
        f"a second (Little's law). Without one, the wait grows by {percent(grown / taken)} of the time that passes."
    )


def _check(window: Window, consumers: list[ThreadWindow], queue: QueueWindow, taken: float | None) -> str:
    if queue.pool is not None:
        return "What do the workers wait for? More of them help only if the other side can take it."
    if not consumers:
        if taken == 0:
            return "Nobody takes anything out: does the consumer still run?"
        return f"Which of {evidence.who(window, queue.last.users)} takes them out, and can it be faster, or be several?"
    thread = consumers[0]
    stack = evidence.heaviest((p.run.stack, p.ns) for p in thread.slices)
    where = evidence.frame_spot(stack.user_leaf) if stack is not None else "an unknown place"
    return f"{thread.name} takes them out and spends most of its time at {where}: can it be faster, or be several?"


def _stacks(window: Window, queue: QueueWindow) -> list[Stack | None]:
    """Where no line was seen to put or get: what the threads that refer to the queue mostly do."""
    known = (t for t in window.threads if t.tid in queue.last.users)
    return [evidence.heaviest((p.run.stack, p.ns) for p in t.slices) for t in known][:3]


RULE = UnboundedQueue()
