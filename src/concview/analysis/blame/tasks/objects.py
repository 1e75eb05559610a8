"""Tasks at an object that others have or use: a lock, a permit, a pool, a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.blame.tasks.circles import in_a_circle
from concview.analysis.blame.tasks.names import node_of
from concview.analysis.tasks import words
from concview.model import TAKEN_VIA, Confidence, TaskState
from concview.text import plural

if TYPE_CHECKING:
    from concview.analysis.blame.tasks.moment import TaskWaiter
    from concview.analysis.tasks.records import TaskRun

_GETS = frozenset({"get", "get_nowait"})


def at_object(waiter: TaskWaiter) -> Link:
    wait, name, tasks, node = waiter.wait, waiter.object_name, waiter.tasks, waiter.node
    held = dict(tasks.holders.get(wait.object, {}))
    told = tasks.told(wait.object)
    for id_ in told.told.holders if told is not None and not held else ():
        other = node_of(id_)
        # What was reported half a second ago is old news of one that now stands in the queue itself.
        if other in tasks.runs and tasks.runs[other].wait.object != wait.object:
            held[other] = Confidence.EXACT if told is not None and told.told.exact else Confidence.INFERRED
    if not held:
        by_source = [*tasks.by_source(waiter.run)[1], *tasks.nested(waiter.run)] or tasks.giving(waiter.run)
        held = dict.fromkeys(by_source, Confidence.INFERRED)
    others = [n for n in held if n != node] or list(held)
    if wait.state is TaskState.POOL:
        via, what = Via.RESOURCE, name
    elif wait.kind == "Semaphore":
        via, what = Via.PERMIT, name
    else:
        via, what = Via.LOCK, name
    if others == [node]:
        end = waiter.end(End.CYCLE, f"{what}: it holds it itself")
        return waiter.link(via, what, [], None, Confidence.EXACT, end)
    sure = Confidence.EXACT if all(c is Confidence.EXACT for c in held.values()) else Confidence.INFERRED
    nobody = waiter.end(End.UNEXPLAINED, f"{what}: no task is seen to have it")
    known = tasks.had(wait.object)  # then they only change hands
    if told is not None and not known and via is not Via.LOCK and 0 <= told.told.limit <= told.told.used:
        # Of permits of which none is free and none is seen to be had, it is not known how many there are.
        used = words.usage(told) or ("none is free" if via is Via.PERMIT else "")
        if used:
            lost = f"{used}, and no task is seen that will give one back: kept in a variable, or forgotten"
            nobody = waiter.end(End.NOBODY, lost)
    return waiter.link(via, what, others, (via, wait.object), sure, nobody)


def at_queue(waiter: TaskWaiter) -> Root | Link:
    wait, name, tasks, node = waiter.wait, waiter.object_name, waiter.tasks, waiter.node
    told = tasks.told(wait.object)
    lent, kept = waiter.run.sites("get"), list(tasks.holders.get(wait.object, {}))
    if lent or (kept and wait.via == "Queue.get"):
        what, key = (lent[0].expression, lent[0].key) if lent else (name, str(wait.object))
        have = [n for n in kept or tasks.kept.get(key, []) if n != node]
        nobody = waiter.end(End.UNEXPLAINED, f"{name}: all are out, not seen who has them")
        return waiter.link(Via.RESOURCE, what, have, ("lent", key), otherwise=nobody)
    if wait.via not in TAKEN_VIA:
        makers = in_a_circle(waiter)
        if makers:
            return waiter.link(Via.RESULT, f"an item of {name}", makers, ("item", wait.object))
        return waiter.end(End.IDLE, f"no work in {name}")
    same = {n for n, r in tasks.runs.items() if r.wait.object == wait.object and r.wait.via == wait.via}
    users = [node_of(t) for t in told.told.users] if told is not None else []
    takers = [n for n in users if n in tasks.runs and n not in same and not tasks.watches(n)]
    takers = [n for n in takers if _takes(waiter, tasks.runs[n])]
    if not set(users) - same:  # no other frame has it in a variable: a global, of which the source tells
        _, owners, makers = tasks.by_source(waiter.run)
        # Who stands at another queue of that name takes out of that one.
        some = [n for n in (*owners, *makers) if n not in same and tasks.runs[n].wait.via != "Queue.get"]
        takers = [n for n in some if not tasks.watches(n)]
    via, what = (Via.END, f"all items of {name}") if wait.via == "Queue.join" else (Via.ROOM, f"room in {name}")
    # All that are known to have it wait there, or for others that do.
    alone = bool(users) and not takers and all(n in same or tasks.watches(n) for n in users if n in tasks.runs)
    lost = "nobody seen to take anything out"
    nobody = waiter.end(End.NOBODY, lost) if alone else waiter.end(End.UNEXPLAINED, f"{what}: {lost}")
    if via is Via.END and told is not None and told.told.used == 0 and told.told.backlog > 0:
        # All were taken out. Who is back at the empty queue has no more to report.
        busy = [n for n in takers if tasks.runs[n].wait.object != wait.object]
        if takers and not busy:
            lost = f"{plural(told.told.backlog, 'item')} of {name} not reported as done"
            nobody = waiter.end(End.NOBODY, f"{lost}, and those that take it out wait for more of it")
            return waiter.link(via, what, [], (via, wait.object), otherwise=nobody)
    return waiter.link(via, what, takers, (via, wait.object), otherwise=nobody)


def _takes(waiter: TaskWaiter, theirs: TaskRun) -> bool:
    """Whether one that has the queue in a variable takes out of it. Who waits for an item of another queue does so only
    where its functions are seen to; that it runs a method of the object which has both says nothing."""
    if theirs.wait.state is not TaskState.QUEUE or theirs.wait.via in TAKEN_VIA:
        return True
    if theirs.wait.object == waiter.wait.object:
        return True
    name = waiter.object_name.rpartition(".")[2]
    for frame in theirs.stack.frames:
        function = waiter.world.file(frame.file).function_at(frame.function, frame.line)
        if function is not None and any(c.on == name and c.method in _GETS for c in function.calls):
            return True
    return False
