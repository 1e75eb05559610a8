"""A pool has too few threads: tasks wait in its queue while its workers wait for something else.

What it sees:
    A ThreadPoolExecutor, or the threads of waitress or Twisted, all started and busy, not with computing but with
    waiting (for a network, a disk, a timer), while tasks queue up.

Why it hurts:
    A new task first waits until those before it are done, although neither a CPU nor, perhaps, the other side is busy:
    the number of threads alone says how many are done at once.

How it is measured:
    Tasks in the pool's queue, read from memory four times a second, per worker: that is how many task lengths a new
    task waits. What counts is the lowest of the later half of the window. The workers must be busy for 95 % of the
    time, and wait for 80 % of that; the queue must not be shrinking, nor a batch (hardly anything arrives, or who
    handed it in waits for all of it: Executor.map, as_completed, wait). Thresholds 1 and 3 [D: at 1 a task waits as
    long as it takes]: demo pair 20 after four seconds and rising (bad), 0 (fixed). Rates are counted by the queue
    itself from CPython 3.13 on.

Fix:
    Little's law: as many workers as tasks arrive in the time one takes, and some to spare.

        ThreadPoolExecutor(max_workers=6)    # 60 tasks/s x 0.05 s = 3 busy on average, twice that for the peaks

When it is fine:
    The other side can take no more (a database with so many connections): then more threads only wait there instead,
    and each task takes longer. Or it is a batch, and when it ends does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis import queues
from concview.analysis.classify import bare
from concview.analysis.queues import QueueWindow
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import is_of
from concview.model import Confidence, Frame, PoolDepth, State
from concview.source.calls import FUTURES
from concview.text import duration, percent, plural

BUSY = 0.95
WAITING = 0.8
#: The queue is not working itself off: it holds at least so much of what it held at the window's beginning.
STEADY = 0.9
ENOUGH_S = 3.0
#: Fewer than this part of what is done arrives: a batch.
ARRIVING = 0.5
#: Workers beyond the mean that Little's law gives, for the peaks.
SPARE = 2.0
#: A thread that is so much of its time in one of these works in rounds. Source: CPython's concurrent/futures/_base.py.
ROUNDS = 0.5
#: Class of a server's pool of threads -> how it is made larger.
_SIZED = {"ThreadedTaskDispatcher": "waitress.serve(app, threads={})", "Team": "reactor.suggestThreadPoolSize({})"}
_JOINS = frozenset({"result_iterator", "as_completed", "wait"})
_DEPTH = 8


class PoolUndersized:
    id: ClassVar[str] = "pool-undersized"
    title: ClassVar[str] = "A pool has too few threads"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(
        1.0, 3.0, "tasks a worker", "[D] at 1 a task waits as long as it takes"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "queues")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "tasks waiting for each worker"
    task_twin: ClassVar[str] = "executor-exhausted"

    def observe(self, window: Window) -> Iterable[Observation]:
        for queue in window.queues:
            pool = queue.pool
            if pool is None or not pool.most or pool.threads < pool.most:
                continue  # not an executor's, or it may still start threads
            workers = [t for t in window.threads if t.tid in pool.workers and t.alive]
            if len(workers) >= pool.most:
                observation = _one(window, queue, pool, workers)
                if observation is not None:
                    yield observation


def _one(window: Window, queue: QueueWindow, pool: PoolDepth, workers: list[ThreadWindow]) -> Observation | None:
    spent = [sum(t.nanoseconds[s] for t in workers) for s in State]
    whole = sum(spent)
    busy = whole - spent[State.IDLE]
    waiting = spent[State.IO] + spent[State.SLEEP]
    points = queue.points
    if whole <= 0 or busy < BUSY * whole or waiting < WAITING * busy or points[-1].size < STEADY * points[0].size:
        return None
    later = points[len(points) // 2 :]
    if _is_batch(later) or _in_rounds(window, workers):
        return None
    value = sum(p.size for p in later) / len(later) / len(workers)
    lower = min(p.size for p in later) / len(workers)
    name = f"pool {pool.name}" if pool.name else "a thread pool"
    done, grown = queue.get_rate, queues.growth(points)[0]
    stack = evidence.heaviest((p.run.stack, p.ns) for t in workers for p in t.slices if p.run.state is not State.IDLE)
    tids = tuple(t.tid for t in workers)
    return Observation(
        subject=queue.key,
        value=value,
        lower=lower,
        samples=evidence.samples_in(window, whole),
        episodes=len(points),
        confidence=Confidence.EXACT,
        label=name,
        title=f"{name} has too few threads",
        summary=(
            f"{plural(queue.size, 'task')} wait for {plural(len(workers), 'worker')} of {name}, which are busy "
            f"{percent(busy / whole)} of the time and spend {percent(waiting / busy)} of that waiting "
            f"({evidence.frame_spot(stack.user_leaf if stack is not None else None)}), not computing"
            + _rates(len(workers), queue.size, done, grown)
        ),
        fix=_fix(len(workers), done, grown, queue.last.kind),
        gain=_gain(len(workers), done, grown),
        check_next="Can the other side answer more at once? If a task takes longer with more workers, it cannot.",
        where=evidence.places(stack),
        threads=tids[:20],
        stacks=evidence.shown("worker", tids[0], workers[0].name, stack, f"one of {len(workers)}"),
        explains=(("unbounded-queue", queue.key),),
        needs="" if queue.seconds >= ENOUGH_S else f"{ENOUGH_S:g} s of the pool's queue (has {queue.seconds:.0f})",
    )


def _in_rounds(window: Window, workers: list[ThreadWindow]) -> bool:
    """Somebody hands in many tasks at once and waits for all of them: a queue is what he wants, round after round."""
    known = {t.tid for t in workers}
    for thread in window.threads:
        if thread.tid not in known and thread.wait_profiles:
            joining = sum(c.ns for c in thread.wait_profiles if any(_joins(f) for f in c.stack.frames[:_DEPTH]))
            if joining >= ROUNDS * sum(c.ns for c in thread.wait_profiles):
                return True
    return False


def _joins(frame: Frame) -> bool:
    return bare(frame.function) in _JOINS and is_of(frame, FUTURES)


def _is_batch(points: list[queues.Point]) -> bool:
    """All was submitted at once and is worked off: hardly anything arrives. Without counters: it gets less."""
    arriving, done = queues.rate(points, lambda p: p.puts), queues.rate(points, lambda p: p.gets)
    if arriving is None or done is None:
        return points[-1].size < points[0].size
    return arriving < ARRIVING * done


def _needed(workers: int, done: float | None, grown: float) -> tuple[float, float, float] | None:
    """Little's law: (tasks arriving a second, seconds each takes, workers busy on average if none waited).

    All workers are busy, so `done` tasks a second take workers/done each.
    """
    if not done or done + grown <= 0:
        return None
    each = workers / done
    return done + grown, each, (done + grown) * each


def _rates(workers: int, size: int, done: float | None, grown: float) -> str:
    known = _needed(workers, done, grown)
    if known is None or not done:
        return f"; {grown:.1f} more every second." if grown > 0 else "."
    arriving, each, _ = known
    return (
        f". {arriving:.0f} tasks a second arrive, {done:.0f} are done, {duration(each)} each; "
        f"one that comes now waits {duration(size / done)}."
    )


def _fix(workers: int, done: float | None, grown: float, kind: str = "") -> str:
    made = _SIZED.get(kind, "ThreadPoolExecutor(max_workers={})")
    known = _needed(workers, done, grown)
    if known is None:
        return (
            "More workers: Little's law says tasks a second times seconds each, and some to spare for the peaks.\n\n"
            f"    {made.format(2 * workers)}    # then look again"
        )
    arriving, each, needed = known
    return (
        "As many workers as tasks arrive in the time one takes (Little's law), and as many again for the peaks.\n\n"
        f"    {made.format(math.ceil(needed * SPARE))}    "
        f"# {arriving:.0f} tasks/s x {each:.3g} s = {needed:.1f} busy on average"
    )


def _gain(workers: int, done: float | None, grown: float) -> str:
    known = _needed(workers, done, grown)
    assumed = "if tasks take no longer when more of them run at once"
    if known is None:
        return f"Tasks would not wait for a worker, {assumed}."
    if grown <= 0:
        return f"Tasks that wait now would begin at once with more workers than {known[2]:.1f}, {assumed}."
    return (
        f"All {known[0]:.0f} tasks a second done instead of {known[0] - grown:.0f}, and none waits, with more than "
        f"{known[2]:.1f} workers, {assumed}."
    )


RULE = PoolUndersized()
