"""The only thread of a process, at an object that lies inside of it: only another thread could give what it waits for.

Nobody ever will, unless something runs that is no thread of Python's now: a signal's handler, or a callback of a C
library from a thread of its own. Where the source shows that a handler gives it, it is work that comes now and then;
where there may be one, that is what is said; where there is none, it is stuck.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import TOLD_TO_END
from concview.model import BETWEEN_PROCESSES, Counters, WaitKind
from concview.source.wakes import ITEMS
from concview.text import listed, plural

#: Not Semaphore.acquire: that is how a main thread rests until a signal (Ctrl-C, too) ends it. So is the wait for an
#: Event; but one that others are to set, by the source, who are no signal's handlers, is waited for.
_WHAT = {
    "Queue.get": (Via.RESULT, "an item of {}", "an empty queue"),
    "SimpleQueue.get": (Via.RESULT, "an item of {}", "an empty queue"),
    "Queue.put": (Via.ROOM, "{}", "a queue"),
    "Queue.join": (Via.END, "all work of {} to be done", "a queue"),
    "Condition.wait": (Via.SIGNAL, "{}", "a Condition"),
    "Event.wait": (Via.SIGNAL, "{}", ""),
    "Barrier.wait": (Via.BARRIER, "{}", "a barrier"),
    "Future.result": (Via.RESULT, "the result of {}", "a future"),
    "futures.wait": (Via.RESULT, "results of futures", ""),
}
#: In a file of these, others than Python's threads and signals may give it: greenlets, processes.
_BY_OTHERS = ("/multiprocessing/", "/billiard/", "/gevent/", "/eventlet/")


class Alone:
    order: ClassVar[int] = 12
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        wait = look.wait
        if wait.kind is not WaitKind.FUTEX or wait.timed or wait.lock_kind.startswith(BETWEEN_PROCESSES):
            return False
        if look.stack.truncated or any(part in f.file for f in look.stack.frames[:6] for part in _BY_OTHERS):
            return False
        return _via(look) in _WHAT

    def follow(self, waiter: Waiter) -> Root | Link | None:
        counters = alone(waiter)
        if counters is None or waiter.run.woken is not None:
            return None  # there are others, or somebody does give it
        via = _via(waiter.look)
        _, on = waiter.source.waited(waiter.frame.function, waiter.frame.line)
        if via == "Event.wait" and (counters.caught or TOLD_TO_END.search(on) or not would_set(waiter, on)):
            return None
        family, words, unnamed = _WHAT[via]
        what = words.format(on or unnamed)
        if counters.caught and on and waiter.source.by_signal(on, ITEMS.get(via, "wait")):
            return waiter.end(End.IDLE, f"waits for {what}, which a signal's handler gives")
        who = besides(counters)
        if who is None:
            return None
        if not who:
            nobody = waiter.end(End.NOBODY, "this is the only thread, and no signal has a handler that could give it")
            return waiter.link(family, what, [], otherwise=nobody, told=True)
        return waiter.end(End.DORMANT, f"{what}: this is the only thread; {listed(who, 2)} may give it")


def would_set(waiter: Waiter, on: str) -> bool:
    """Whether the source has a place that would set it, outside of what handlers of signals do."""
    return bool(on and waiter.source.wakers(on, "wait"))


def alone(waiter: Waiter) -> Counters | None:
    """What was counted last, where this is the only thread of Python's in the process, and runs no event loop."""
    history = waiter.world.history
    if len(history.threads) != 1 or history.aio.loops or waiter.moment.tasks.runs:
        return None
    return history.counters


def _via(look: Look) -> str:
    return look.via if look.via in _WHAT else look.wait.via


def besides(counters: Counters) -> list[str] | None:
    """Who may do something beside the only thread of Python's; None: not known."""
    if counters.caught < 0:
        return None
    who = [f"the handlers of {plural(counters.caught, 'signal')}"] if counters.caught else []
    native = counters.os_threads - 1
    if native > 0:
        who.append(f"{plural(native, 'thread')} that {'is' if native == 1 else 'are'} not Python's")
    return who


KIND = Alone()
