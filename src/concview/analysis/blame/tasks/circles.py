"""Tasks that would have to give one another what each of them waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concview.model import UNOWNED_VIA, TaskState

if TYPE_CHECKING:
    from concview.analysis.blame.nouns import Node
    from concview.analysis.blame.tasks.moment import TaskWaiter


def in_a_circle(waiter: TaskWaiter) -> list[Node]:
    """All that by their source would put something into the queue that a task waits at, where each of them waits in
    turn for what only tasks at that queue would do. All since before anybody looked: nobody will begin."""
    tasks, run = waiter.tasks, waiter.run
    if not tasks.all_along(waiter.task, run):
        return []
    _, owners, makers = tasks.by_source(run)
    others = [n for n in dict.fromkeys((*owners, *makers)) if n != waiter.node and not tasks.runs[n].awaits]
    for other in others:
        theirs, told = tasks.runs[other], tasks.task(other)
        signal = theirs.wait.state is TaskState.LOCK and theirs.wait.via in UNOWNED_VIA
        if told is None or not (signal or theirs.wait.via == "Queue.get") or not tasks.all_along(told, theirs):
            return []
        _, have, make = tasks.by_source(theirs)
        wake = [n for n in (*have, *make) if n != other and not tasks.runs[n].awaits]
        if not wake or any(tasks.runs[n].wait.object != run.wait.object for n in wake):
            return []
    return others
