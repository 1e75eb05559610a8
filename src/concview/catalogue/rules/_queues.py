"""Queues in stacks: who is inside put or get, called from where; and which queue a line of source names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from concview.analysis.classify import bare
from concview.analysis.queues import QueueWindow
from concview.analysis.records import Run
from concview.analysis.window import Slice, ThreadWindow, WaitProfile, Window
from concview.catalogue.rules._kinds import is_worker
from concview.model import Frame, Stack, State
from concview.source.calls import FUTURES, QUEUE, THREAD_POOL, THREADING
from concview.source.origin import is_module

#: States in which a thread computes or would, if it got the CPU or the GIL.
ACTIVE = frozenset({State.RUNNING, State.RUNNABLE, State.GIL})
PUT, GET = "put", "get"
#: Methods of queue.Queue: which side they are on. The inner ones, and task_done, belong to what calls them.
_METHODS = {"put": PUT, "put_nowait": PUT, "get": GET, "get_nowait": GET, "task_done": GET}
_PUTTING = frozenset({"Queue.put"})
_GETTING = frozenset({"Queue.get", "SimpleQueue.get"})
_CALL = re.compile(r"([A-Za-z_][\w.]*)\s*\.\s*(put|get|put_nowait|get_nowait)\s*\(")
#: Where the standard library keeps its thread pools.
POOL_FILES = (THREAD_POOL, FUTURES)


@dataclass(frozen=True, slots=True)
class Call:
    """A thread is inside a method of a queue."""

    side: str  #: PUT or GET
    caller: Frame  #: the frame that called it


@lru_cache(maxsize=4096)
def call_of(stack: Stack) -> Call | None:
    """The queue's method that the innermost frames are in; None for other code. Stacks are compared by identity."""
    found: Call | None = None
    for i, frame in enumerate(stack.frames[:-1]):
        if frame.origin not in ("stdlib", "frozen"):
            break
        in_queue = is_module(frame.file, QUEUE, frame.origin)
        if in_queue and (side := _METHODS.get(bare(frame.function))):
            found = Call(side, stack.frames[i + 1])
        elif not (in_queue or is_module(frame.file, THREADING, frame.origin)):
            break
    return found


def receiver(frame: Frame, side: str) -> str:
    """What the line calls the queue: 'mail' of `index.add(mail.get())`; '' when it names none."""
    for match in _CALL.finditer(frame.text):
        if match[2].startswith(side):
            return match[1].removeprefix("self.")
    return ""


@lru_cache(maxsize=4096)
def named_by(stack: Stack) -> tuple[tuple[str, str, Frame], ...]:
    """(side, name, line) of every queue that a line of the user's own on the stack puts into or gets from.

    Inferred: a dict has a `get` as well. Callers look for the name of a queue that they know.
    """
    return tuple(
        (side, name, frame)
        for frame in stack.frames
        if frame.origin == "user"
        for side in (PUT, GET)
        if (name := receiver(frame, side))
    )


def blocked(one: Run | WaitProfile) -> str:
    """The side on which a thread waits at a queue: PUT, GET or ''."""
    via = one.classification.via
    return PUT if via in _PUTTING else GET if via in _GETTING else ""


def waits(window: Window, queue: QueueWindow, side: str) -> dict[int, list[Slice]]:
    """tid -> the slices in which it waits on that side of the queue, by the queue's address."""
    found: dict[int, list[Slice]] = {}
    for thread in window.threads:
        for slice_, _ in thread.slices_of(lambda c: (c.wait.lock == queue.address and blocked(c) == side) or None):
            found.setdefault(thread.tid, []).append(slice_)
    return found


def name_of(queue: QueueWindow) -> str:
    """'jobs', 'the work queue of pool worker'."""
    if queue.pool is not None:
        return f"the work queue of pool {queue.pool.name}" if queue.pool.name else "the work queue of a thread pool"
    return queue.last.name or f"a {queue.last.kind}"


def users(window: Window, queue: QueueWindow, side: str) -> list[tuple[ThreadWindow, Stack, Frame]]:
    """The threads that were seen to put into the queue (or get from it), with a stack and the line that does.

    A thread's frames refer to the queue, and a line names it; another name is believed to be the same queue only where
    the thread refers to no other.
    """
    found: list[tuple[ThreadWindow, Stack, Frame]] = []
    name = queue.last.name.removeprefix("self.")
    for thread in window.threads:
        if thread.tid not in queue.last.users:
            continue
        only = sum(thread.tid in q.last.users for q in window.queues if q.pool is None) == 1
        best: tuple[Stack, Frame] | None = None
        for stack in {id(c.stack): c.stack for c in thread.wait_profiles}.values():
            call = call_of(stack)
            if call is not None and call.side == side and (only or (name and receiver(call.caller, side) == name)):
                best = (stack, call.caller)
                break
            if best is None and name:
                own = next((f for s, n, f in named_by(stack) if s == side and n == name), None)
                best = (stack, own) if own is not None else None
        if best is not None:
            found.append((thread, *best))
    return found


def computes(one: Run | WaitProfile) -> bool:
    """True when a thread computes, or waits for a CPU or the GIL in the midst of it.

    A thread that was woken and does not run yet stands in the wait it comes from: how long that takes says how busy
    the machine is, not what the queue costs.
    """
    return one.state in ACTIVE and not _waking(one.stack)


@lru_cache(maxsize=4096)
def _waking(stack: Stack) -> bool:
    leaf = stack.leaf
    if leaf is None:
        return False
    if is_worker(leaf):
        return "get(block=True)" in leaf.text
    return bare(leaf.function) == "wait" and is_module(leaf.file, THREADING, leaf.origin)


def computing(wait_profiles: Iterable[WaitProfile]) -> int:
    """Nanoseconds of `computes`."""
    return sum(c.ns for c in wait_profiles if computes(c))


def cores(thread: ThreadWindow, part_ns: int) -> float:
    """CPU that a thread used for a part of its computing, in cores: the kernel's own account, divided as sampled."""
    whole, wall = computing(thread.wait_profiles), sum(thread.nanoseconds)
    return thread.nanoseconds[State.RUNNING] * part_ns / whole / wall if whole and wall else 0.0
