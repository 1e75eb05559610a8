"""Tasks for a pool that are smaller than handing them over.

What it sees:
    A thread pool whose threads, and whoever submits to it, compute mostly in the pool's own code: wrapping a call,
    queueing it, waking a worker, setting a result.

Why it hurts:
    A task costs some 20 µs to hand over and take back [M], whatever it does. Where the work is less than that, the
    program gets slower by the pool, and Python threads cannot even compute at the same time.

How it is measured:
    The time in which the pool's workers compute in its own code, and submitters in submit, map and result, as a share
    of that plus all the time tasks take (waiting included: a task that waits for a network is work). Waking up does
    not count: how long it takes says how busy the machine is. Only where the pool's code takes 1 % of a core; below 5
    % it is INFO at most. Lower end of the 95 % interval. Thresholds 0.17 and 0.33 [D: a fifth of the work, half
    of the work]: demo pair 0.57 to 0.82, of 0.9 to 1.0 (bad), below 0.5 % of a core (fixed). A call of a C function
    has no frame of its own: it counts as work.

Fix:
    Fewer and larger tasks, or none.

        pool.map(taxes, [prices[at : at + 125] for at in range(0, len(prices), 125)])
        [tax(price) for price in prices]      # a plain call: often the fastest of all

When it is fine:
    The tasks are rare: then little time goes into it, and this is silent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

from concview.analysis.classify import bare
from concview.analysis.statistics import lower_share
from concview.analysis.window import Slice, ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _queues
from concview.catalogue.rules._kinds import in_worker, is_of
from concview.model import Confidence, Frame, Stack, State
from concview.source.calls import QUEUE, THREADING
from concview.text import percent

#: Cores that must go into the pool's own code before it matters.
MIN_CORES = 0.01
#: ... and before it may be a warning.
WARN_CORES = 0.05
#: Files of the standard library that the hand-over runs in.
_OWN_FILES = (*_queues.POOL_FILES, THREADING, QUEUE, "weakref.py")
#: Lines of `_WorkItem.run` (3.8 to 3.13) and `WorkerContext.run` (from 3.14 on) that call the task.
_CALLS = ("self.fn(", "fn(*args", "ctx.run(", "self.task")


@dataclass(slots=True)
class _Pool:
    workers: list[ThreadWindow] = field(default_factory=list)
    handing: list[tuple[ThreadWindow, Slice]] = field(default_factory=list)
    work_ns: int = 0
    lines: dict[Frame, int] = field(default_factory=lambda: defaultdict(int))  #: the user's lines of tasks, submits


class TinyTasks:
    id: ClassVar[str] = "tiny-tasks"
    title: ClassVar[str] = "Tasks take less time than handing them over"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.17, 0.33, "share of the pool's time", "[D] a fifth and a half of the work"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "time in the pool's own code"
    task_twin: ClassVar[str] = ""

    def observe(self, window: Window) -> Iterable[Observation]:
        pools: dict[str, _Pool] = defaultdict(_Pool)
        others: list[ThreadWindow] = []
        for thread in window.threads:
            if any(in_worker(c.stack) for c in thread.wait_profiles):
                _add_worker(pools[evidence.group(thread.name)], thread)
            else:
                others.append(thread)
        if len(pools) == 1:  # of several, nobody says which one a submit is for
            for thread in others:
                _add_submitter(next(iter(pools.values())), thread)
        for name, pool in pools.items():
            parts: dict[ThreadWindow, int] = defaultdict(int)
            for thread, slice_ in pool.handing:
                parts[thread] += slice_.ns
            cores = sum(_queues.cores(thread, ns) for thread, ns in parts.items())
            if cores >= MIN_CORES:
                yield _one(window, name, pool, sum(parts.values()), cores)


@lru_cache(maxsize=4096)
def _hands_over(stack: Stack) -> bool:
    """True when the innermost frames are the pool's own, as far as the worker's loop or who called submit or result."""
    for frame in stack.frames:
        if frame.origin == "user" or not is_of(frame, *_OWN_FILES):
            return False
        if is_of(frame, *_queues.POOL_FILES):
            # The line that calls the task: what lies above it is the task, and so is a C function without a frame.
            return not (bare(frame.function) == "run" and any(call in frame.text for call in _CALLS))
    return False


def _add_worker(pool: _Pool, thread: ThreadWindow) -> None:
    pool.workers.append(thread)
    for slice_ in thread.slices:
        if _hands_over(slice_.run.stack):
            if _queues.computes(slice_.run):
                pool.handing.append((thread, slice_))
        else:
            pool.work_ns += slice_.ns
            _count(pool, slice_)


def _add_submitter(pool: _Pool, thread: ThreadWindow) -> None:
    for slice_, _ in thread.slices_of(lambda c: (_queues.computes(c) and _hands_over(c.stack)) or None):
        pool.handing.append((thread, slice_))
        _count(pool, slice_)


def _count(pool: _Pool, slice_: Slice) -> None:
    own = slice_.run.stack.user_leaf
    if own is not None and own.origin == "user" and own.text:  # generated code has no lines to show
        pool.lines[own] += slice_.ns


def _one(window: Window, name: str, pool: _Pool, handing: int, cores: float) -> Observation:
    share = handing / (handing + pool.work_ns)
    threads = list(dict.fromkeys(t for t, _ in pool.handing))
    tids = tuple(t.tid for t in threads)
    samples = evidence.samples_in(window, sum(sum(t.nanoseconds) for t in threads))
    episodes = len(pool.handing)
    lines = sorted(pool.lines, key=lambda f: -pool.lines[f])
    work = pool.work_ns / max(1, window.end_ns - window.start_ns)
    hogs = {t.tid for t in window.threads if t.share(State.RUNNING, State.GIL) >= 0.5}
    return Observation(
        subject=name,
        value=share,
        lower=lower_share(share, evidence.samples_in(window, handing + pool.work_ns), episodes),
        samples=samples,
        episodes=episodes,
        confidence=Confidence.STATISTICAL,
        label=name,
        title=f"Tasks of pool {name} take less time than handing them over" if share > 0.5 else "",
        summary=(
            f"{percent(share)} of the time that pool {name} is in use goes into its own code: {percent(cores)} of a "
            f"core to hand tasks over, {percent(work, 1)} of a thread's time for the tasks themselves"
            + (f"; seen from {evidence.frame_spot(lines[0])}" if lines else "")
            + "."
        ),
        gain=(
            f"{percent(cores * 0.99)} of a core with a hundred times larger tasks, if what they do takes as long as "
            "now; as plain calls all of it, and no thread waits for another."
        ),
        check_next="Does a task wait for anything? If not, threads do not make it faster: the GIL lets one compute.",
        where=tuple(evidence.at(f) for f in lines[:3]),
        threads=tids,
        stacks=tuple(
            one
            for t in threads[:3]
            for one in evidence.shown(
                "hands over",
                t.tid,
                t.name,
                evidence.heaviest((p.run.stack, p.ns) for owner, p in pool.handing if owner is t),
            )
        ),
        severity_cap="info" if cores < WARN_CORES else "",
        explains=(("gil-contention", "*"), ("gil-convoy", "*")) if hogs and hogs <= set(tids) else (),
    )


RULE = TinyTasks()
