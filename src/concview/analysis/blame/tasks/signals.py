"""Tasks at an event, a condition or a barrier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.blame.tasks.results import no_work
from concview.analysis.known_places import TOLD_TO_END
from concview.analysis.tasks import words
from concview.model import Confidence

if TYPE_CHECKING:
    from concview.analysis.blame.tasks.moment import TaskWaiter

#: Who puts another one in its place may set the old one just after.
_LASTING_NS = 1_000_000_000
_WAKES = {"Condition.wait": "notify"}


def at_signal(waiter: TaskWaiter) -> Root | Link:
    """Who will set it, nothing says that is read: the source does, where it names it. One that comes now and then is
    work to come."""
    name, run, tasks = waiter.object_name, waiter.run, waiter.tasks
    told = tasks.told(run.wait.object)
    if told is not None and told.told.replaced and waiter.moment.at_ns - (run.since_ns or run.start_ns) > _LASTING_NS:
        lost = f"{told.told.replaced} is another {run.wait.kind} by now, and nobody is seen to have this one"
        end = waiter.end(End.NOBODY, lost)
        return waiter.link(Via.SIGNAL, name, [], ("set", run.wait.object), Confidence.EXACT, end)
    if TOLD_TO_END.search(name.rpartition(".")[2]):
        return waiter.end(End.IDLE, f"waits for {name}, to be told to end")
    leaf = run.leaf
    if leaf is not None and leaf.origin == "user":
        file = waiter.world.file(leaf.file)
        if file.awaited(leaf.function, leaf.line) == "":
            alone = f"waits until it is cancelled: for an {run.wait.kind or 'event'} that nobody else has"
            return waiter.end(End.IDLE, alone)
        method, called = file.waited(leaf.function, leaf.line)
        if called and (TOLD_TO_END.search(called.rpartition(".")[2]) or file.by_signal(called, method)):
            return waiter.end(End.IDLE, f"waits for {called}, to be told to end")
        if called and file.by_descriptor(called):
            return waiter.end(End.PEER, f"what the loop watches for it (add_reader or add_writer), which sets {called}")
    on, owners, makers = tasks.by_source(run)
    if owners:
        return waiter.link(Via.RESOURCE, on, owners, ("given", run.wait.object))
    if makers and all(tasks.watches(n) for n in makers) and not tasks.only_waker(run):
        return waiter.end(End.IDLE, f"waits for {name}, which comes after tasks that go on")
    if makers:
        return waiter.link(Via.SIGNAL, on, makers, ("set", run.wait.object), settle=no_work(waiter, makers))
    if run.waits > 1 or len(waiter.task.runs) > 2:
        return waiter.end(End.IDLE, f"waits for {name}, which comes now and then")
    if tasks.of_a_library(waiter.node, run):
        return waiter.end(End.IDLE, f"a library's own task waits for {name}")
    own = run.leaf is not None and run.leaf.origin == "user"
    if not own and -waiter.node in tasks.beside:
        return waiter.end(End.IDLE, f"waits for {name} on behalf of one that waits for others, too")
    there = words.usage(tasks.told(run.wait.object)) if run.wait.via == "Barrier.wait" else ""
    nobody = (
        f"{name}: {there}, nobody is seen to come"
        if there
        else f"{name}: nobody seen to {_WAKES.get(run.wait.via, 'set')} it"
    )
    if tasks.all_along(waiter.task, run):
        if run.limited:
            return waiter.end(End.PACE, f"waits for {name}, or until its time is over")
        return waiter.end(End.DORMANT, nobody)
    return waiter.end(End.UNEXPLAINED, nobody)
