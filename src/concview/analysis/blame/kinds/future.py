"""The result of a future: the worker that runs it, where it can be told; else whoever sets it; else the pool's workers.

Where no worker is free and all that are busy wait for results themselves, the pool waits for itself.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from concview.analysis.blame.kinds._ways import on_the_way
from concview.analysis.blame.kinds.bridge import ASYNCIO
from concview.analysis.blame.nouns import End, Link, Node, Root, Via
from concview.analysis.blame.ties import ties
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import PROCESS_POOLS, WORK_ITEMS, WORKERS, among, is_any, is_file
from concview.model import Confidence, Role, Stack, State

_VIA = frozenset({"Future.result", "futures.wait"})
#: Waits for the next job.
_NEXT = frozenset({"Queue.get", "SimpleQueue.get"})
_LOOP = "asyncio/base_events.py"
_GIVEN = "a coroutine, which the event loop has to run"
#: Tasks are looked at less often than threads: one that lives for less than this may end unseen.
_UNSEEN_NS = 100_000_000
_OWN_LOOP = "waits for what only the event loop can run, and that runs in this very thread"


@lru_cache(8192)
def in_pool(stack: Stack) -> bool:
    """A worker of a thread pool, at work or not."""
    return any(among(f, WORKERS) for f in stack.frames)


@lru_cache(8192)
def at_work(stack: Stack) -> bool:
    """A worker inside a task."""
    return any(among(f, WORK_ITEMS) for f in stack.frames) or (
        in_pool(stack) and any(f.origin in ("user", "library") for f in stack.frames)
    )


@lru_cache(8192)
def by_processes(stack: Stack) -> bool:
    return any(is_any(f, PROCESS_POOLS) for f in stack.frames)


@lru_cache(8192)
def _in_a_loop(stack: Stack) -> bool:
    return any(f.function.rpartition(".")[2] == "_run_once" and is_file(f, _LOOP) for f in stack.frames)


@lru_cache(8192)
def _runs_loop(stack: Stack) -> bool:
    return any(among(f, ASYNCIO) for f in stack.frames)


def _gives_coroutine(waiter: Waiter) -> bool:
    function = waiter.source.function_at(waiter.frame.function, waiter.frame.line)
    return function is not None and any(c.method == "run_coroutine_threadsafe" for c in function.calls)


def _set_elsewhere(waiter: Waiter) -> list[Node]:
    """Threads in a loop that sets futures, in the same file: a dispatcher, which takes them out of a table or list
    under other names than those who wait have for them."""
    return [
        t for t in waiter.moment.once(("set futures", waiter.frame.file), lambda: _setters(waiter)) if t != waiter.tid
    ]


def _not_between_jobs(waiter: Waiter, those: list[Node]) -> list[Node]:
    """Who waits for the next job computes nothing: all of them only where nobody does anything else."""
    moment = waiter.moment
    return [t for t in those if t not in moment.runs or moment.look(t).via not in _NEXT] or those


def _setters(waiter: Waiter) -> list[Node]:
    file = waiter.frame.file
    found: list[Node] = []
    for (where, function), standing in waiter.moment.standing.items():
        if where == file:
            found += [tid for tid, line in standing if waiter.world.file(file).sets_futures(function, line)]
    return list(dict.fromkeys(found))


class Future:
    order: ClassVar[int] = 51
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via in _VIA

    def follow(self, waiter: Waiter) -> Root | Link:
        moment, target, frame = waiter.moment, waiter.wait.target, waiter.frame
        if target and target in moment.runs and target != waiter.tid:
            return waiter.link(Via.RESULT, "the result of a future", [target], Confidence.EXACT, key=("future", target))
        served = moment.tasks.serves.get(waiter.wait.lock) if waiter.wait.lock else None
        if served is not None:
            name = f"the result of {waiter.world.name(served)}"
            return waiter.link(Via.RESULT, name, [served], Confidence.EXACT, key=("served", served))
        loop = moment.tasks.given.get(waiter.wait.lock) if waiter.wait.lock else None
        if loop == waiter.tid and not waiter.wait.timed:
            return waiter.end(End.CYCLE, _OWN_LOOP)
        if loop is not None and loop != waiter.tid:
            return waiter.link(Via.RESULT, _GIVEN, [loop], Confidence.EXACT, key=("given", loop))
        told = ties(waiter)
        if told is not None and told.make:
            makers = _not_between_jobs(waiter, [t for t in told.make if t != waiter.tid])
            return waiter.link(Via.RESULT, f"the result of {told.row.name or 'a future'}", makers)
        method, on = waiter.source.waited(frame.function, frame.line)
        if on and method == "result" and waiter.source.wakers(on, "result"):
            owners, makers = on_the_way(waiter, on, "result")
            return waiter.link(Via.RESULT, f"the result of {on}", _not_between_jobs(waiter, owners or makers))
        blocked = self._other_loop(waiter)
        if blocked:
            return waiter.link(Via.RESULT, _GIVEN, blocked)
        busy = moment.once(("at work",), lambda: [t for t, r in moment.runs.items() if at_work(r.stack)])
        useful = [t for t in busy if t != waiter.tid and moment.look(t).via not in _VIA]
        if useful:
            return waiter.link(Via.RESULT, "results of a pool", useful)
        workers = moment.once(("workers",), lambda: [t for t, r in moment.runs.items() if in_pool(r.stack)])
        if busy and len(busy) == len(workers) and all(not moment.runs[t].wait.timed for t in busy):
            return self._stuck(waiter, busy)
        if any(by_processes(r.stack) for r in moment.runs.values()):
            known = waiter.world.history.workers
            if known is not None and not known.more and all(w.role is Role.HELPER for w in known.workers):
                gone = waiter.end(End.NOBODY, "a pool of processes has the task, and none of them is left")
                return waiter.link(Via.RESULT, "the result of a future", [], otherwise=gone)
            return waiter.end(End.CHILD, "a worker process")
        if self._own_loop(waiter):
            return waiter.end(End.CYCLE, _OWN_LOOP)
        if _gives_coroutine(waiter) and not any(_runs_loop(r.stack) for r in moment.runs.values()):
            nobody = waiter.end(End.NOBODY, "no thread of this process runs an event loop")
            return waiter.link(Via.RESULT, "a coroutine, which an event loop has to run", [], otherwise=nobody)
        if setters := _set_elsewhere(waiter):
            return waiter.link(Via.RESULT, "the result of a future", _not_between_jobs(waiter, setters))
        if self._just_given(waiter):
            return waiter.end(End.CPU, "has a coroutine in an event loop, for less than 100 ms")
        nobody = waiter.end(End.UNEXPLAINED, "a future that nobody is seen to run")
        return waiter.link(Via.RESULT, "the result of a future", [], otherwise=nobody)

    @staticmethod
    def _other_loop(waiter: Waiter) -> list[Node]:
        """A coroutine given to the loop of another thread, which is blocked in a callback: the loop cannot even begin
        with it. (One that has begun is a task that is known.)"""
        if _in_a_loop(waiter.look.stack) or not _gives_coroutine(waiter):
            return []
        runs = waiter.moment.runs
        loops = [t for t, r in runs.items() if t != waiter.tid and _in_a_loop(r.stack)]
        return [t for t in loops if waiter.moment.look(t).state is not State.IDLE or waiter.moment.look(t).via in _VIA]

    @staticmethod
    def _just_given(waiter: Waiter) -> bool:
        """A coroutine given to the loop of another thread so lately that its task need not have been seen."""
        run, moment = waiter.run, waiter.moment
        if not waiter.wait.lock or moment.at_ns - (run.since_ns or run.start_ns) >= _UNSEEN_NS:
            return False
        loops = waiter.world.history.aio.loops
        return _gives_coroutine(waiter) and any(s.tid != waiter.tid and s.tid in moment.runs for s in loops)

    @staticmethod
    def _own_loop(waiter: Waiter) -> bool:
        """A coroutine given to a loop, waited for by the thread that should run it: there is no other loop."""
        if not _in_a_loop(waiter.look.stack) or waiter.wait.timed:
            return False
        runs = waiter.moment.runs
        return _gives_coroutine(waiter) and not any(_in_a_loop(r.stack) for t, r in runs.items() if t != waiter.tid)

    @staticmethod
    def _stuck(waiter: Waiter, busy: list[Node]) -> Root:
        return Root(
            End.CYCLE,
            f"all {len(busy)} workers of a pool wait for results of tasks that no worker is left to run",
            waiter.moment.look(busy[0]).place,
        )


KIND = Future()
