"""A thread of its own guards a little state; every access is a message to it and an answer back.

What it sees:
    Callers that put a request into a queue and wait for the answer, thousands of times a second, while the thread at
    the other end needs a few microseconds for each.

Why it hurts:
    A round trip through two queues costs some forty microseconds and at least two switches between threads, each of
    which also passes the GIL on. A lock around the same statement costs a fifth of a microsecond. The caller waits all
    that time, so the queue brings no concurrency either.

How it is measured:
    The share of the callers' time that they spend in functions which put into a queue.Queue and wait for an answer
    (another queue's get, Event.wait or Future.result) about as often, by yappi's exact calls and wall-clock times.
    What the thread at the other end does for one request is the average time of its own functions called once a
    request there, or where there are none, its time on a CPU or waiting for the GIL, by samples, divided by the
    requests. It must be below 20 µs; by samples, which contain the queues' own cost, some 60 µs while calls are
    counted, below 100 µs [M: 44 µs a round trip when they are not, against 0.18 µs for a lock, 3.11]. That thread must
    not be in I/O or asleep for more than 5 % of the time. That the two belong together is inferred from their equal
    counts. Thresholds 10 % and 30 % of the callers' time [H]: on the demo pair 78 % to 81 % (bad) and none (fixed).

Fix:
    A lock; keep the thread for what takes long or must happen in one place.

        def add(self, name):
            with self._lock:
                self._seen[name] += 1

    Where callers need no answer: put without waiting for one, in batches.

When it is fine:
    Handlers that do I/O or own something that only one thread may touch (a GUI, an SQLite connection).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from concview.analysis.calls import Function
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _exact
from concview.model import Confidence, State
from concview.source.calls import FUTURES, QUEUE, THREADING
from concview.source.origin import is_module
from concview.text import count, percent, plural

TRIVIAL_S, TRIVIAL_SAMPLED_S = 20e-6, 100e-6
#: How much two counts may differ that belong together.
ALIKE = 0.1
#: The thread at the other end is doing something else than handling, when it waits so much of its time.
WAITING = 0.05
_ANSWERS = {("get", QUEUE), ("wait", THREADING), ("result", FUTURES)}


def _is(function: Function, name: str, file: str) -> bool:
    return _exact.bare(function.name) == name and is_module(function.file, file)


def _of_queue(file: str) -> bool:
    return is_module(file, QUEUE) or is_module(file, THREADING)


def _puts(function: Function) -> bool:
    return _is(function, "put", QUEUE)


def _answers(function: Function) -> bool:
    return any(_is(function, name, file) for name, file in _ANSWERS)


@dataclass(frozen=True, slots=True)
class _Actor:
    tid: int
    handles_s: float  #: for one request
    sampled: bool  #: by samples, the queues' own cost included


class ActorForTrivialState:
    id: ClassVar[str] = "actor-for-trivial-state"
    title: ClassVar[str] = "A thread is asked for what a lock would do"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.1, 0.3, "share of the callers' time", "[H] calibrated on the demo pair"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "calls")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "callers' time in round trips"

    def observe(self, window: Window) -> Iterable[Observation]:
        exact = _exact.Exact(window)
        for caller in exact.functions.values():
            asked, _ = exact.calls_of(caller, _puts)
            answered, _ = exact.calls_of(caller, _answers)
            if asked < _exact.MIN_CALLS or not _alike(asked, answered) or asked < (1 - ALIKE) * caller.calls:
                continue
            callers = {tid for tid in caller.threads if tid}
            actor = _actor(window, exact, asked, callers)
            if actor is None or not callers:
                continue
            share = caller.total_s / (exact.seconds * len(callers))
            seen, other = _exact.seen_in(window, caller), window.thread(actor.tid)
            stack = evidence.heaviest((p.run.stack, p.ns) for p in other.slices) if other is not None else None
            within = "queues included, by samples" if actor.sampled else "counted"
            yield Observation(
                subject=f"{caller.file}:{caller.line}:{caller.name}",
                value=share,
                lower=share,
                samples=window.samples,
                episodes=asked,
                confidence=Confidence.INFERRED,
                title=f"{window.name(actor.tid)} is asked {count(exact.rate(asked))} times a second for very little",
                summary=(
                    f"{_exact.spot(caller)} made {count(exact.rate(asked))} round trips a second to "
                    f"{window.name(actor.tid)}, {_exact.micro(caller.average_s)} each; there a request took "
                    f"{_exact.micro(actor.handles_s)} ({within}). {percent(share)} of the time of "
                    f"{plural(len(callers), 'caller')} goes into asking."
                ),
                gain=f"Up to {percent(share)} of the callers' time: a lock takes less than a microsecond.",
                check_next=f"Does anything that {window.name(actor.tid)} does need a thread of its own?",
                where=(_exact.place(caller), *evidence.places(stack)[:2]),
                threads=(*sorted(callers), actor.tid),
                stacks=(
                    *(evidence.shown("caller", *seen) if seen else ()),
                    *(evidence.shown("actor", actor.tid, window.name(actor.tid), stack)),
                ),
                explains=(("context-switch-storm", "*"), ("unbatched-sync", "*"), ("rendezvous-queue", "*")),
            )


def _alike(one: int, other: int) -> bool:
    return abs(one - other) <= ALIKE * max(one, other)


def _actor(window: Window, exact: _exact.Exact, asked: int, callers: set[int]) -> _Actor | None:
    """The thread that takes about as many things from a queue as were asked, and how little it does with each."""
    taken: dict[int, int] = {}
    for row in exact.rows:
        if row.tid and row.tid not in callers and _exact.bare(row.function) == "get" and is_module(row.file, QUEUE):
            taken[row.tid] = taken.get(row.tid, 0) + row.calls
    for tid in (tid for tid, calls in taken.items() if _alike(calls, asked)):
        thread = window.thread(tid)
        if thread is None or thread.share(State.IO, State.SLEEP) > WAITING:
            continue
        own = [r for r in exact.rows if r.tid == tid and r.line and _alike(r.calls, asked) and not _of_queue(r.file)]
        if own:
            handles = max(r.total_s / max(r.own_calls, 1) for r in own)
            if handles <= TRIVIAL_S:
                return _Actor(tid, handles, False)
            continue
        busy = thread.share(State.RUNNING, State.GIL) / exact.rate(asked)
        if busy <= TRIVIAL_SAMPLED_S:
            return _Actor(tid, busy, True)
    return None


RULE = ActorForTrivialState()
