"""Every worker of a pool waits for work that only this pool could do.

What it sees:
    All the workers of a ThreadPoolExecutor inside tasks that wait for the result of another future, while no other
    pool in the process runs anything. Likewise all the workers of a multiprocessing ThreadPool, and those of celery,
    huey, dramatiq and dask in this process, inside jobs that wait for the result of another job.

Why it hurts:
    The tasks they wait for are in the pool's own queue, and there is nobody left to take them: the pool has stopped
    for good. It happens under load first, when as many outer tasks are running as there are workers.

How it is measured:
    Every worker of the pool (by its name) has been in `result()` or `wait()` without a timeout, unchanged, for a
    second; none of any executor in this process is running a task, and there is no process pool or event loop that
    could finish the future [D: a pool without a free worker starts nothing]. The queue itself is not read, so the
    finding is inferred. Jobs that come from a broker may also be run by other processes: there it is INFO,
    and only after five seconds in which no worker's wait has ended [H: a job that is worth waiting for so takes less].
    Demo pair: 4 of 4 workers for ever (bad), never (fixed).

Fix:
    Give inner tasks a pool of their own, or do not wait inside a task.

        parts = ThreadPoolExecutor(8)          # orders wait for parts, parts for nobody
        future.add_done_callback(finish)       # or: go on when it is done, without a thread
        chain(part.s(1), order.s())            # jobs of a broker: let it start the next one, or call the function

When it is fine:
    The inner future is running somewhere: then a worker or a process is seen at it, and this says nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar

from concview.analysis.classify import bare
from concview.analysis.jobs import LIBRARIES, Library, Role, awaits_since, hands_over, job_of
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import is_of, is_worker
from concview.catalogue.rules._loops import is_loop
from concview.model import Concern, Confidence, Frame, Stack, StackEvidence
from concview.model import Role as Worker
from concview.source.calls import THREAD_POOL
from concview.source.origin import is_module
from concview.text import duration, plural

_WAITS = frozenset({"Future.result", "futures.wait"})
_PROCESS_POOL = "concurrent/futures/process.py"
MIN_SECONDS, MIN_JOB_SECONDS = 1.0, 5.0


@lru_cache(4096)
def _pools_in(stack: Stack) -> tuple[bool, bool]:
    """Whether it goes through a process pool, and through a worker of a thread pool."""
    return any(is_of(f, _PROCESS_POOL) for f in stack.frames), any(is_worker(f) for f in stack.frames)


class NestedExecutorDeadlock:
    id: ClassVar[str] = "nested-executor-deadlock"
    title: ClassVar[str] = "A pool waits for its own tasks"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(1.0, 1.0, "s", "[D] a pool without a free worker starts nothing")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time that every worker has waited for a future"
    concern: ClassVar[Concern] = Concern.GIVER
    task_twin: ClassVar[str] = "async-deadlock"

    def observe(self, window: Window) -> Iterable[Observation]:
        yield from self._jobs(window)
        yield from self._futures(window)

    def _jobs(self, window: Window) -> Iterable[Observation]:
        alive = [t for t in window.threads if t.alive and t.history.current is not None]
        known = window.history.workers
        processes = known is not None and any(w.role is Worker.WORKER for w in known.workers)
        for library in LIBRARIES:
            roles = [(t, job_of(t.history.current.stack, library)) for t in alive if t.history.current is not None]
            workers = [(t, role) for t, role in roles if role not in (None, Role.ASKS)]
            if not workers or any(role is not Role.AWAITS for _, role in workers):
                continue
            pools = sum(_hands_over(t) for t in alive)
            if library.here and (not pools or (processes and pools > 1)):
                continue  # it may be the result of a process, or of a pool that was lost at a fork
            yield self._of_jobs(window, library, [t for t, _ in workers])

    def _of_jobs(self, window: Window, library: Library, threads: list[ThreadWindow]) -> Observation:
        age = min(_awaits_for(t, library) for t in threads) / 1e9
        least = MIN_SECONDS if library.here else MIN_JOB_SECONDS
        run = threads[0].history.current
        stack = run.stack if run is not None else None
        spot = evidence.frame_spot(stack.user_leaf if stack else None)
        every = f"All {len(threads)} workers" if len(threads) > 1 else "The only worker"
        one = len(threads) == 1
        of = f"of a {library.name}" if library.here else f"of {library.name} in this process"
        if library.here:
            left = "no worker is left to run them"
        else:
            left = "none is left here to run them: unless workers elsewhere do, nothing goes on"
        return Observation(
            subject=library.name,
            value=age,
            lower=age,
            samples=evidence.samples_in(window, min(age, window.seconds) * 1e9),
            episodes=1,
            confidence=Confidence.INFERRED,
            label=library.name,
            title=f"{every} {of} {'waits' if one else 'wait'} for other jobs",
            summary=f"{every} {of} {'has' if one else 'have'} waited for results of other jobs for {duration(age)}, "
            f"in {spot}, and {left}.",
            gain=f"{plural(len(threads), 'worker')} that wait for others instead of working.",
            check_next="Who else takes these jobs? If nobody does, that is the deadlock.",
            where=evidence.places(stack),
            threads=tuple(t.tid for t in threads),
            stacks=tuple(
                one
                for t in threads[:4]
                if (now := t.history.current) is not None
                for one in evidence.shown("blocked", t.tid, t.name, now.stack, "waits for another job")
            ),
            score=95 if library.here else 60,
            severity_cap="" if library.here else "info",
            needs=f"{duration(least)} of standing still (seen for {duration(age)})" if age < least else "",
        )

    def _futures(self, window: Window) -> Iterable[Observation]:
        pools: dict[str, list[ThreadWindow]] = defaultdict(list)
        for thread in window.threads:
            run = thread.history.current
            if run is None:
                continue
            processes, pooled = _pools_in(run.stack)
            if processes:
                return  # a process may be at it
            if pooled:
                pools[evidence.group(thread.name)].append(thread)
        if not pools or any(is_loop(t) for t in window.threads):
            return
        waiting = {name: [t for t in threads if _waits(t)] for name, threads in pools.items()}
        idle = {name: [t for t in threads if _idle(t)] for name, threads in pools.items()}
        if any(len(waiting[n]) + len(idle[n]) < len(threads) for n, threads in pools.items()):
            return  # somebody works: what is waited for may be what they do
        for name, threads in pools.items():
            if len(waiting[name]) == len(threads):
                yield self._pool(window, name, threads)

    def _pool(self, window: Window, name: str, threads: list[ThreadWindow]) -> Observation:
        runs = [t.history.current for t in threads if t.history.current is not None]
        age = max(0, window.end_ns - max(r.began_ns for r in runs)) / 1e9
        seen = max(0, window.end_ns - max(r.start_ns for r in runs)) / 1e9
        stacks: tuple[StackEvidence, ...] = ()
        for thread in threads[:4]:
            run = thread.history.current
            stack = run.stack if run is not None else None
            stacks += evidence.shown("blocked", thread.tid, thread.name, stack, "waits in result()")
        first = threads[0].history.current
        stack = first.stack if first is not None else None
        tids = tuple(t.tid for t in threads)
        return Observation(
            subject=name,
            value=age,
            lower=age,
            samples=evidence.samples_in(window, min(age, window.seconds) * 1e9),
            episodes=1,
            confidence=Confidence.INFERRED,
            label=name,
            title=f"Pool {name} waits for its own tasks",
            summary=(
                f"All {len(threads)} workers of pool {name} have waited for futures for {duration(age)}, in "
                f"{evidence.frame_spot(stack.user_leaf if stack else None)}, and no worker is left to run them."
            ),
            gain=f"{len(threads)} workers that will not move again before a restart.",
            check_next="Which pool is the inner task submitted to? If it is this one, that is the deadlock.",
            where=evidence.places(stack),
            threads=tids,
            stacks=stacks,
            explains=(("all-workers-busy", "*"),),  # no pool has a worker that does anything else
            score=95,
            needs=f"a second of standing still (seen for {duration(seen)})" if seen < MIN_SECONDS else "",
        )


def _hands_over(thread: ThreadWindow) -> bool:
    run = thread.history.current
    return run is not None and hands_over(run.stack)


def _awaits_for(thread: ThreadWindow, library: Library) -> int:
    """Nanoseconds since it has been in a wait for a result without a break, as far as the window reaches; what it does
    to look again is a part of that."""
    run = thread.history.current
    began_ns = run.began_ns if run is not None else thread.end_ns
    earlier = ((one.run.stack, one.start_ns) for one in reversed(thread.slices))
    return max(0, thread.end_ns - awaits_since(library, began_ns, earlier))


def _is_task(frame: Frame) -> bool:
    """The worker runs a task: it may be one function deep."""
    return bare(frame.function) == "run" and is_module(frame.file, THREAD_POOL, frame.origin)


def _waits(thread: ThreadWindow) -> bool:
    run = thread.history.current
    return run is not None and run.classification.via in _WAITS and not run.wait.timed


def _idle(thread: ThreadWindow) -> bool:
    """In the worker's own loop, waiting for something to do."""
    run = thread.history.current
    if run is None or any(_is_task(f) for f in run.stack.frames[:3]):
        return False
    return any(is_worker(f) for f in run.stack.frames[:3])


RULE = NestedExecutorDeadlock()
