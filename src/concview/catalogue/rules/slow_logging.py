"""Threads queue for a log handler: writing a line takes longer than the program can wait.

What it sees:
    The lock of a logging handler for which threads wait, because whoever holds it is writing.

Why it hurts:
    A handler writes one record at a time, under its lock, in the thread that logs. A slow terminal, disk or network
    makes every thread that says something as slow as that, and a log that got stuck stops the program.

How it is measured:
    Mean number of threads that wait for the lock of a `logging.Handler`, on the lower end of the 95 % interval.
    Thresholds 0.05 and 0.2 [H; M: a record costs some 8 µs when the write is quick]: on the demo pair 0.1 to 1.1 (bad)
    and 0.0 (fixed). It explains what the general rules for locks would say about the same lock.

Fix:
    Log into a queue, and let one thread write.

        records = queue.Queue(10_000)
        QueueListener(records, handler).start()
        logger.addHandler(QueueHandler(records))

    Or log less: a level per module, sampling, no debug lines in loops.

When it is fine:
    A burst at the start, or after an error; a program that has nothing else to do than to write this log.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.classify import bare
from concview.analysis.locks import LockWindow
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import is_of
from concview.model import Frame, Stack
from concview.text import percent

_FILE = "logging/__init__.py"
_TAKERS = frozenset({"acquire", "handle", "flush"})


class SlowLogging:
    id: ClassVar[str] = "slow-logging"
    title: ClassVar[str] = "Threads queue for the log"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(0.05, 0.2, "waiters", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of threads waiting for a handler"

    def observe(self, window: Window) -> Iterable[Observation]:
        for lock in window.locks.values():
            if lock.waits and _is_handlers(lock):
                yield self._one(window, lock)

    def _one(self, window: Window, lock: LockWindow) -> Observation:
        mean, waiters = lock.waiters_mean, lock.waiters()
        holder, stack = evidence.main_hold(lock.contended_as)
        writing = stack.leaf if stack is not None else None
        callers = evidence.waiter_stack(lock)
        caller = callers.user_leaf if callers is not None else None
        summary = (
            evidence.waiting(evidence.who(window, waiters), mean, "to log")
            + f"; the handler's lock is held {percent(lock.held_share)} of the time"
        )
        if writing is not None:
            summary += f", most of it in {evidence.frame_spot(writing)}"
        stuck = len(evidence.lasting(window, lock.still_waiting))
        return Observation(
            subject=lock.key,
            value=mean,
            lower=evidence.lower_waiters(window, mean, len(waiters), lock.episodes, stuck),
            lasting=stuck,
            samples=max(window.samples, evidence.samples_in(window, lock.wait_ns)),
            episodes=lock.episodes,
            confidence=lock.confidence,
            summary=f"{summary}. The line that waits most is {evidence.frame_spot(caller)}.",
            gain=(
                f"{mean:.2f} threads that wait to log at any time could do their work, if a single writer keeps up on "
                "average."
            ),
            check_next="How many records a second are written, and where to? Bound the queue before the writer.",
            where=evidence.places(callers, stack),
            threads=tuple(waiters),
            stacks=evidence.shown("holder", holder, window.name(holder), stack, "writes")
            + evidence.waiter_stacks(window, lock),
            explains=(("lock-contention", lock.key), ("lock-held-across-io", lock.key)),
        )


def _is_handlers(lock: LockWindow) -> bool:
    """True when it is mostly waited for in logging's own code, before the handler emits."""
    waited = sum(ns for run, ns in lock.waited_as if _logs(run.stack))
    return waited > 0.5 * lock.wait_ns


def _logs(stack: Stack) -> bool:
    return bool(stack.frames) and any(_takes(f) for f in stack.frames[:2])


def _takes(frame: Frame) -> bool:
    return is_of(frame, _FILE) and bare(frame.function) in _TAKERS


RULE = SlowLogging()
