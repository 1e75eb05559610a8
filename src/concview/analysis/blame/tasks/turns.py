"""Tasks that run, are ready to, or pause: a turn in the loop, and attempts with a pause in between."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from concview.analysis.blame.attempts import acquiring, again_and_again, by_server, failing, lock_of
from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.known_places import bare, server_lock
from concview.model import Confidence, State, TaskState
from concview.source.calls import ACQUIRES

if TYPE_CHECKING:
    from concview.analysis.blame.tasks.moment import TaskWaiter
    from concview.analysis.records import Run
    from concview.model import LoopState

#: A loop that sleeps for so long while one of its callbacks is due has not been woken.
ASLEEP_NS = 1_000_000_000
#: A sleep that is over for so long is one no more: its task waits for the loop. Longer than a look takes to see it
#: go on.
OVERDUE_NS = 100_000_000
#: Attempts for so long are no pace.
_TRIES_NS = 2_000_000_000
_ENTERS = ACQUIRES | {"__aenter__"}
#: Classes whose `__aenter__` takes something that others may have.
_LOCKS = re.compile("(?i)lock|mutex|semaphore|lease|permit|leader")


def in_the_loop(waiter: TaskWaiter) -> Root | Link:
    """What the loop's thread does, it does for the task that runs; the one that is ready waits for it."""
    loop = waiter.tasks.loop(waiter.task)
    tid = waiter.wait.tid or (loop.tid if loop is not None else 0)
    thread = waiter.moment.runs.get(tid)
    if waiter.wait.state is TaskState.RUNNING:
        if thread is None or thread.state in (State.RUNNING, State.IDLE):
            return waiter.end(End.CPU, "runs")
        return waiter.moment.answer(tid)
    if thread is None or thread.state is State.IDLE:
        if thread is not None and loop is not None and _not_woken(waiter, thread, loop):
            nobody = waiter.end(End.NOBODY, "it could run, but the loop sleeps, and nobody has woken it")
            return waiter.link(Via.TURN, "a turn in the loop", [], ("asleep", tid), Confidence.EXACT, nobody)
        return waiter.end(End.CPU, "is about to run")
    return its_turn(waiter, tid)


def its_turn(waiter: TaskWaiter, tid: int) -> Link:
    """Behind what the loop's thread does now."""
    return waiter.link(Via.TURN, "a turn in the loop", [tid], ("turn", tid), Confidence.EXACT)


def _not_woken(waiter: TaskWaiter, thread: Run, loop: LoopState) -> bool:
    """The task has been ready, and the loop's thread asleep, for so long that it is no moment in between."""
    return loop.ready > 0 and waiter.moment.at_ns - max(waiter.run.start_ns, thread.since_ns) >= ASLEEP_NS


def sleeping(waiter: TaskWaiter) -> Root | Link:
    if waiter.wait.via == "timer":
        return waiter.end(End.PACE, f"waits for its turn, which a timer of {waiter.wait.kind} gives")
    tid = _kept_from_waking(waiter)
    if tid:
        return its_turn(waiter, tid)
    tries = _tries(waiter)
    if tries is not None:
        return tries
    stack = waiter.run.stack
    said = failing(waiter.world, stack, waiter.world.standing(stack).own)
    if said:
        return waiter.end(End.RETRY, said)
    return waiter.end(End.PACE if _paces(waiter) else End.SLEEP, "sleeps")


def _kept_from_waking(waiter: TaskWaiter) -> int:
    """The loop's thread, where the sleep is over and the thread has not come to that: it has waited for something else
    since before, or computes and its timers were late when last told. 0: it is not so."""
    due, loop = waiter.run.due_ns, waiter.tasks.loop(waiter.task)
    thread = waiter.moment.runs.get(loop.tid) if loop is not None else None
    if not due or loop is None or thread is None or thread.state is State.IDLE:
        return 0
    if waiter.moment.at_ns - due < OVERDUE_NS or (thread.since_ns > due and loop.late_ns < OVERDUE_NS):
        return 0
    return loop.tid


def _paces(waiter: TaskWaiter) -> bool:
    """A pause in a loop of the program's own, in which it has nothing that it must give back or answer."""
    leaf = waiter.run.leaf
    if leaf is None or leaf.origin != "user":
        return True  # a library's own pause
    return waiter.world.file(leaf.file).pauses(leaf.function, leaf.line)


def _tries(waiter: TaskWaiter) -> Link | None:
    """It sleeps between two attempts to get something; None where it does not."""
    run, world = waiter.run, waiter.world
    own = world.standing(run.stack).own
    kept = server_lock(run.stack)
    frame = acquiring(own, _ENTERS)
    if frame is not None and bare(frame.function) not in ACQUIRES and not _LOCKS.search(frame.function):
        frame = None  # what else may be entered, a connection for one, is no lock
    if kept is None and (frame is None or not again_and_again(world, own, frame)):
        return None
    # Who lets one after another through, so many a second, is no lock: there it is soon over.
    if kept is None and waiter.moment.at_ns - run.start_ns < _TRIES_NS:
        return None
    what = lock_of(kept or frame or own[0], kept is not None)
    inside = [n for n in waiter.tasks.in_body(own) if n != waiter.node]
    if kept is not None and not inside:
        return waiter.outside(Via.LOCK, what, waiter.end(End.PEER, by_server()))
    nobody = waiter.end(End.UNEXPLAINED, f"{what}: not seen who has it")
    return waiter.link(Via.LOCK, what, inside, ("tries", waiter.place, what), otherwise=nobody)
