"""A callback keeps the event loop for itself, so everything else on the loop stands still.

What it sees:
    The thread of an event loop (asyncio, uvloop, trio) that stays inside one callback or one step of a coroutine, away
    from its selector: computing, in a blocking call, waiting for a lock or asleep.

Why it hurts:
    The loop runs one thing at a time. While a callback blocks, no other task, timer, connection or health check is
    served; every one of them is late by as long as the callback takes.

How it is measured:
    The longest continuous stretch of the last ten seconds in which the loop's thread was inside the same callback
    without coming back to the loop, less two sampling intervals; where the loop's ready queue is read, its counters cut
    what were several callbacks one after the other. Thresholds 0.1 s and 1 s [S: asyncio's own debug mode reports
    callbacks from 0.1 s]. A loop that goes from one long callback straight into the next is never seen in between:
    there the intervals of half a second in which no other callback began, or else the counters' mean length of a
    callback, if it reaches 0.1 s. Blocked for 30 % of the time by stretches
    above 0.1 s is a warning too [H].
    Stretches of pure computing count only when they are longer than many short calls of one callback in a row would
    be by chance. Demo pair: 2.0 s bad, 0.0 s fixed.

Fix:
    Hand what blocks to a thread, or use the async client of what is called.

        row = await asyncio.to_thread(look_up, name)
        # or: row = await async_client.get(name)

    Long computations belong in a process pool: in a thread they still compete for the GIL.

When it is fine:
    The first second of a loop (imports, connections). A loop that merely waits for the GIL is not blocked by its own
    callback: another thread computes. Nor is one that waits for a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import is_of
from concview.catalogue.rules._loops import (
    TRIO,
    Stretch,
    apart,
    believable,
    counted,
    in_one,
    is_hub,
    is_loop,
    on_average,
    stretches,
)
from concview.model import Confidence, State
from concview.text import duration, percent, plural

#: Stretches below this are what loops are made of.
SHORT_S = 0.1
#: Blocked for this share of the window by several stretches: a warning whatever the longest.
OFTEN = 0.3
OFTEN_STRETCHES = 5
GRACE_NS = 1_000_000_000
#: So soon the first counters of a loop are there.
EARLY_NS = 2_000_000_000
#: Whoever waits for the result of this on the loop that it was given to waits for himself.
FOR_THIS_LOOP = "run_coroutine_threadsafe"
_CAUSES = {
    State.RUNNING: "computes",
    State.RUNNABLE: "waits for a CPU",
    State.LOCK: "waits for a lock",
    State.IO: "is in a blocking call",
    State.SLEEP: "sleeps",
    State.IDLE: "waits for another thread",
    State.UNKNOWN: "does something that cannot be seen",
}


class BlockedEventLoop:
    id: ClassVar[str] = "blocked-event-loop"
    title: ClassVar[str] = "The event loop is blocked"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.1, 1.0, "s", "[S] asyncio debug mode: slow_callback_duration 0.1 s")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "longest stretch in one callback"

    def observe(self, window: Window) -> Iterable[Observation]:
        for thread in window.threads:
            if is_loop(thread):
                yield from self._one(window, thread)

    def _one(self, window: Window, thread: ThreadWindow) -> Iterable[Observation]:
        tick = evidence.tick_ns(window)
        early = window.end_ns - window.history.first_ns < EARLY_NS
        if early and window.can("tasks") and not any(s.tid == thread.tid for s in window.history.aio.loops):
            return  # the loop's counters tell one long callback from many short ones: they are on the way
        grace = thread.history.started_ns + GRACE_NS if thread.history.started_ns else 0
        every, known = stretches(thread, grace), counted(window.history.aio.reports, thread.tid)
        seen = apart(believable(every, thread, tick), known)
        mean, silent = on_average(every, known, int(SHORT_S * 1e9)), in_one(every, known)
        seen = max(seen, silent, mean, key=lambda some: sum(s.ns for s in some if s.ns >= SHORT_S * 1e9))
        found = [s for s in seen if s.ns - 2 * tick >= SHORT_S * 5e8]
        # Only the GIL in the way: the callback would be short, and another thread computes (gil-convoy).
        found = [s for s in found if s.states[State.GIL] <= 0.5 * s.ns]
        if thread.share(State.RUNNABLE) > thread.share(State.RUNNING):
            # It wants to compute and gets no CPU: a short callback lasts long for no fault of its own (cpu-starvation).
            found = [s for s in found if s.states[State.RUNNING] + s.states[State.RUNNABLE] <= 0.5 * s.ns]
        if not found:
            return
        longest = max(found, key=lambda s: s.ns)
        seconds = longest.ns / 1e9
        lower = max(0.0, (longest.ns - 2 * tick) / 1e9)
        slow = [s for s in found if s.ns - 2 * tick >= SHORT_S * 1e9]
        share = sum(s.ns for s in slow) / max(1, thread.end_ns - thread.start_ns)
        often = share >= OFTEN and len(slow) >= OFTEN_STRETCHES
        state, cause = _cause(longest, found)
        leaf = longest.stack.user_leaf if longest.stack is not None else None
        blocked_in = leaf.function if leaf is not None else "a callback"
        yield Observation(
            subject=f"thread {thread.tid}",
            value=seconds,
            lower=lower,
            samples=int(longest.ns / max(1.0, tick)),
            episodes=len(slow),
            confidence=Confidence.STATISTICAL if state is State.RUNNING else Confidence.EXACT,
            label=thread.name,
            title=f"The event loop is blocked by {blocked_in}",
            summary=(
                f"The event loop in {thread.name} stood still for {duration(seconds)} in "
                f"{evidence.frame_spot(leaf)}: it {cause}. Blocked {percent(share)} of the time, "
                f"{plural(len(slow), 'stretch', 'stretches')} of 0.1 s or more in the last "
                f"{duration(window.seconds)}."
            ),
            fix=_fix_gevent(blocked_in, state) if is_hub(thread) else _fix(blocked_in, state, longest),
            gain=(
                f"Every other task on this loop is late by up to {duration(seconds)}. Moved off the loop the call "
                "delays none, as long as it needs no more than a thread to wait in."
            ),
            check_next=(
                f"What else does {evidence.frame_spot(longest.callback)} call that blocks?"
                + (_GEVENT_LOGS if is_hub(thread) else " asyncio.run(..., debug=True) logs every slow callback.")
            ),
            where=evidence.places(longest.stack),
            threads=(thread.tid,),
            stacks=evidence.shown("blocked", thread.tid, thread.name, longest.stack, f"{cause}, {duration(seconds)}"),
            floor=75 if often else 0,
        )


def _cause(stretch: Stretch, others: Sequence[Stretch]) -> tuple[State, str]:
    """The state that fills most of the stretch, and what it is in words. The other end of a connection that lives for a
    moment is often not to be had: then that of another stretch at the same line tells it."""
    state = State(max(range(len(State)), key=lambda i: stretch.states[i]))
    if state is State.IO and stretch.wait is not None:
        wait = stretch.wait
        if wait.peer is not None and wait.peer.nameless:
            alike = [s.wait for s in others if s.wait is not None and _line(s) == _line(stretch)]
            wait = next((w for w in alike if w.peer is not None and not w.peer.nameless), wait)
        return state, f"is blocked {evidence.doing(wait)}"
    return state, _CAUSES.get(state, "is busy")


def _line(stretch: Stretch) -> tuple[str, int]:
    leaf = stretch.stack.user_leaf if stretch.stack is not None else None
    return (leaf.file, leaf.line) if leaf is not None else ("", 0)


def _fix(function: str, state: State, stretch: Stretch) -> str:
    name = function.rpartition(".")[2]
    frames = stretch.stack.frames if stretch.stack is not None else ()
    trio = any(is_of(f, TRIO) for f in frames)
    if any(FOR_THIS_LOOP in f.text for f in frames):
        return (
            f"Await it: as long as {name} waits for the result, this loop runs nothing, also not what others gave it. "
            f"{FOR_THIS_LOOP}().result() is for threads without a loop.\n\n"
            "    result = await coroutine()         # on this loop, and so up to the callback\n"
            f"    result = await asyncio.wrap_future(asyncio.{FOR_THIS_LOOP}(coroutine(), loop))   # on another's"
        )
    if state is State.RUNNING:
        loop = "" if trio else "    loop = asyncio.get_running_loop()\n"
        call = f"trio_parallel.run_sync({name}, data)" if trio else f"loop.run_in_executor(processes, {name}, data)"
        return (
            f"{name} computes: give it to a process, so that it needs neither the loop nor its GIL.\n\n"
            f"{loop}    result = await {call}"
        )
    library = "trio" if trio else "asyncio"
    leaf = stretch.stack.user_leaf if stretch.stack is not None else None
    if state is State.LOCK and leaf is not None and (leaf.text.startswith("with ") or ".acquire(" in leaf.text):
        return (
            f"Do not wait for a thread's lock in the event loop. Where only tasks use it, make it {library}.Lock; "
            "where threads do, too, take it in a thread, and never keep it across an `await`.\n\n"
            f"    async with lock: ...                   # lock = {library}.Lock()"
        )
    if state is State.SLEEP:
        return f"Sleep without the thread.\n\n    await {library}.sleep(seconds)       # instead of time.sleep(seconds)"
    call = "trio.to_thread.run_sync" if trio else "asyncio.to_thread"
    return (
        f"Call {name} in a thread, or use an async client.\n\n"
        f"    result = await {call}({name}, ...)\n"
        "    # or: result = await async_client.get(...)"
    )


def _fix_gevent(function: str, state: State) -> str:
    name = function.rpartition(".")[2]
    if state is State.RUNNING:
        return (
            f"{name} computes, and no other greenlet runs meanwhile: let others run in between, or give it to a "
            "process.\n\n    gevent.sleep(0)                    # every few milliseconds"
        )
    return (
        f"{name} blocks the thread, not the greenlet: patch before anything else is imported, or call it in the hub's "
        "thread pool.\n\n    from gevent import monkey; monkey.patch_all()\n"
        f"    result = gevent.get_hub().threadpool.apply({name}, (...,))"
    )


_GEVENT_LOGS = " gevent.config.monitor_thread = True logs greenlets that block longer than max_blocking_time."


RULE = BlockedEventLoop()
