"""More calls are handed to the loop's threads than these can take: the rest queues, and their tasks with it.

What it sees:
    All workers of the executor behind asyncio.to_thread and run_in_executor run a call, and further calls wait in its
    queue. The default executor has min(32, CPUs + 4) threads: six on a machine with two CPUs.

Why it hurts:
    Every further call waits for a worker before it begins, also the short ones: a DNS lookup, a file, a password hash.
    The loop is idle, the CPU is idle, and requests take as long as the queue is.

How it is measured:
    The mean number of calls in the executor's queue, read from its work queue or counted from the tasks whose call is
    queued, while all workers are busy; least of the two halves of the window. Thresholds 1 and 4 calls [H]: on the
    demo pair 33 (bad), 0 (fixed).

Fix:
    Use an async client for what waits, and give what must block an executor of its own size.

        loop.set_default_executor(ThreadPoolExecutor(64))
        # or one of its own for the slow calls, so that the short ones do not queue behind them:
        rows = await loop.run_in_executor(reports, look_up, key)

When it is fine:
    The number of workers is the limit that the service can take, and nothing else uses this executor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.tasks import words
from concview.analysis.tasks.window import AioWindow, ObjectWindow
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.model import Confidence, Frame, Stack, StackEvidence, TaskState
from concview.text import plural, waits

#: Of an executor's queue, half a second apart.
LEAST_REPORTS = 4


class ExecutorExhausted:
    id: ClassVar[str] = "executor-exhausted"
    title: ClassVar[str] = "Calls queue for a worker thread"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(1.0, 4.0, "calls", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "mean number of calls that wait for a worker"

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        queued = _queued(aio)
        default = [o for o in aio.objects.values() if o.kind == "Executor"]
        full = [o for o in default if _backlog(o)[1] > 0]
        for one in full:
            yield self._one(window, aio, one, queued)
        if not full and queued.ns and all(len(o.reports) >= LEAST_REPORTS for o in default):
            # Another executor than the loop's own: its queue is not among what tasks share, their calls are.
            yield self._one(window, aio, None, queued)

    def _one(self, window: Window, aio: AioWindow, one: ObjectWindow | None, queued: _Queued) -> Observation:
        if one is not None:
            mean, lower = _backlog(one)
        else:
            mean = sum(queued.ns.values()) / aio.span_ns
            lower = min(queued.halves) * 2 / aio.span_ns
        calls = max(1, round(mean))
        told = one.told if one is not None else None
        tids = told.told.threads if told is not None else tuple(queued.tids)
        used = words.usage(told)
        waiting = _aio.by_time(queued.ns)
        doing, stack, tid = _workers(window, tids)
        summary = f"{mean:.1f} calls on average wait for a worker of "
        summary += f"the loop's executor ({used})" if used else "an executor whose threads are all busy"
        if waiting:
            summary += f"; {_aio.who(aio, waiting)} wait for them in {evidence.frame_spot(_leaf(queued))}"
        if doing:
            summary += f". Its workers are mostly {doing}"
        return Observation(
            subject=f"executor {one.id:#x}" if one is not None else "executor",
            value=mean,
            lower=lower,
            samples=len(one.reports) if one is not None else _aio.looks_in(aio, aio.span_ns),
            episodes=1,
            confidence=Confidence.EXACT,
            label=words.object_name(told, "Executor", 0),
            title=f"{plural(calls, 'call')} {waits(calls)} for a worker thread" + (f": {used}" if used else ""),
            summary=summary + ".",
            gain=(
                f"With {len(tids) + round(mean)} workers instead of {len(tids)} none of these calls would wait, if the "
                "other side handles as many at once."
                if tids
                else ""
            ),
            check_next=f"Does {evidence.frame_spot(stack.user_leaf if stack is not None else None)} have an async "
            "client? Which short calls share these threads?",
            where=evidence.places(queued.stack, stack),
            threads=tids[:50],
            tasks=tuple(waiting[:50]),
            stacks=_shown(window, aio, tid, stack, doing, waiting, queued.stack),
            explains=(
                ("thundering-herd", "*"),
                ("pool-undersized", "*"),
                ("async-straggler", "*"),
                ("connection-starvation", "*"),
            ),
        )


class _Queued:
    """Tasks whose call waits for a worker."""

    def __init__(self) -> None:
        self.ns: dict[int, int] = defaultdict(int)
        self.halves = [0, 0]  #: task-nanoseconds in each half of the window
        self.stacks: dict[Stack, int] = defaultdict(int)
        self.tids: dict[int, None] = {}  #: threads that run calls for others meanwhile

    @property
    def stack(self) -> Stack | None:
        return max(self.stacks, key=self.stacks.__getitem__) if self.stacks else None


def _queued(aio: AioWindow) -> _Queued:
    found = _Queued()
    middle = (aio.start_ns + aio.end_ns) // 2
    for id_, window in aio.tasks.items():
        if not window.ns[TaskState.EXECUTOR]:
            continue
        for piece in window.slices:
            wait = piece.run.wait
            if wait.state is not TaskState.EXECUTOR:
                continue
            if wait.tid:
                found.tids[wait.tid] = None
            if wait.queued:
                found.ns[id_] += piece.ns
                found.halves[0] += max(0, min(piece.end_ns, middle) - piece.start_ns)
                found.halves[1] += max(0, piece.end_ns - max(piece.start_ns, middle))
                found.stacks[piece.run.stack] += piece.ns
    return found


def _leaf(queued: _Queued) -> Frame | None:
    stack = queued.stack
    return stack.user_leaf if stack is not None else None


def _backlog(one: ObjectWindow) -> tuple[float, float]:
    """(mean of the calls in its queue while all workers are busy, the same of the half of the reports with less)."""
    told = [r.told for _, r in one.reports]
    calls = [max(0, r.backlog) if r.limit > 0 and r.used >= r.limit else 0 for r in told]
    if len(calls) < LEAST_REPORTS:
        return 0.0, 0.0
    half = len(calls) // 2
    halves = sum(calls[:half]) / half, sum(calls[half:]) / (len(calls) - half)
    return sum(calls) / len(calls), min(halves)


def _workers(window: Window, tids: Iterable[int]) -> tuple[str, Stack | None, int]:
    """What the workers mostly do, where, and one of them."""
    best: tuple[int, str, Stack | None, int] = (0, "", None, 0)
    for tid in tids:
        thread = window.thread(tid)
        for profile in thread.wait_profiles if thread is not None else ():
            if profile.ns > best[0] and profile.classification.state.name != "IDLE":
                state = profile.state.name.lower()
                what = (
                    evidence.doing(profile.wait)
                    if state in ("io", "sleep")
                    else {"running": "computing"}.get(state, f"waiting ({state})")
                )
                best = profile.ns, what, profile.stack, tid
    return best[1:]


def _shown(
    window: Window, aio: AioWindow, tid: int, stack: Stack | None, doing: str, waiting: list[int], waits: Stack | None
) -> tuple[StackEvidence, ...]:
    out = evidence.shown("worker", tid, window.name(tid), stack, doing)
    return out + (_aio.shown("waiter", aio, waiting[0], waits, "its call is queued") if waiting else ())


RULE = ExecutorExhausted()
