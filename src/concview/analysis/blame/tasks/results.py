"""Tasks that wait for a result: of a call in a thread or process, or of other tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from concview.analysis.blame.nouns import QUIET, End, Link, Node, Part, Root, Settle, Via
from concview.analysis.blame.tasks.names import node_of, task_name
from concview.analysis.tasks import words
from concview.model import EXECUTOR_ENDS, IN_PROCESSES, Confidence

if TYPE_CHECKING:
    from concview.analysis.blame.tasks.moment import TaskWaiter

#: Of more that are waited for, so many are asked for their names, or whether they have work.
_ASKED = 50
#: Of more tasks than this nobody looks what they wait for, on behalf of who minds them.
_MINDED = 64


def of_call(waiter: TaskWaiter) -> Root | Link:
    wait, tasks, task = waiter.wait, waiter.tasks, waiter.task
    if wait.tid:
        sure = Confidence.INFERRED if wait.via == "future" else Confidence.EXACT
        # asyncio.run and Runner.close wait for what the default executor's threads still do.
        what = "the end of the loop's executor" if wait.via == EXECUTOR_ENDS else "a call in a thread"
        return waiter.link(Via.RESULT, what, [wait.tid], ("call", wait.tid), sure)
    if wait.kind == IN_PROCESSES:
        return waiter.end(End.CHILD, "a worker process of its pool")
    loop = tasks.loop(task)
    told = tasks.told(loop.executor) if loop is not None else None
    workers = [t for t in told.told.threads if t in waiter.moment.runs] if told is not None else []
    beside = tasks.calls.get(waiter.run.leaf, [])
    if task.kind == "trio":
        nobody = waiter.end(End.UNEXPLAINED, "a call in a thread: not seen which runs it")
        key = ("trio thread", task.loop)
        return waiter.link(Via.RESULT, "a call in a thread", tasks.trio_workers, key, otherwise=nobody)
    if not wait.queued and (workers or beside):  # a worker has taken it up since who runs what was looked at
        others = workers or beside
        return waiter.link(Via.RESULT, "a call in a thread", others, ("some call", task.loop, tuple(others)))
    if told is not None and not beside and 0 <= told.told.used < told.told.limit:
        return waiter.end(End.CPU, "has a call that is about to be taken up")
    sure, what = Confidence.EXACT, "a worker thread of the executor"
    if beside and not set(beside) & set(workers):  # another executor than the loop's own
        sure, what, workers = Confidence.INFERRED, "a worker thread of its executor", beside
    if wait.queued and not workers and len(crowded := waiter.world.history.depths.crowded()) == 1:
        sure, what = Confidence.INFERRED, "a worker thread of its executor"
        workers = [t for t in crowded[0].workers if t in waiter.moment.runs]
    nobody = waiter.end(End.UNEXPLAINED, f"{what}: not seen who has them")
    return waiter.link(Via.RESOURCE, what, workers, ("worker", task.loop, what), sure, nobody)


def of_tasks(waiter: TaskWaiter) -> Root | Link:
    run, tasks, via = waiter.run, waiter.tasks, waiter.wait.via
    others = [n for t in run.awaits if (n := node_of(t)) in tasks.runs and n != waiter.node]
    alone = None
    if tasks.supervises(waiter.task, run):
        alone = waiter.end(End.IDLE, f"waits for tasks that go on ({via})")
        if len(others) > _MINDED:
            return alone
    names = words.alike((task_name(waiter.world, n) for n in others[:_ASKED]), len(others))
    nobody = waiter.end(End.UNEXPLAINED, f"{via or 'tasks'}: not seen what it waits for")
    what, sure = f"the end of {names or 'tasks'}", Confidence.EXACT
    if via == "future":  # that one of them has, and so will set
        what, sure = f"what {names or 'a task'} will set", Confidence.INFERRED
    if via == "start":
        what = f"{names or 'a task'} to say that it has started"
    settle = None
    if alone is None:
        settle = _not_started(waiter, names) if via == "start" else no_work(waiter, others)
    return waiter.link(Via.RESULT, what, others, ("end", waiter.node), sure, nobody, settle, alone)


def _not_started(waiter: TaskWaiter, names: str) -> Settle:
    """Who waits for work has been started, and has not said so."""

    def settle(parts: Sequence[Part]) -> Root | None:
        if all(p.root.kind in QUIET for p in parts):
            return waiter.end(End.NOBODY, f"{names} waits for work, and has not called `task_status.started()`")
        return None

    return settle


def no_work(waiter: TaskWaiter, others: Sequence[Node]) -> Settle:
    """Settles that it has none, where nobody of those has any."""

    def settle(parts: Sequence[Part]) -> Root | None:
        if any(p.root.kind is End.CYCLE for p in parts):
            return None
        said = [waiter.tasks.answer(o) for o in others[:_ASKED]]
        minds = any(isinstance(s, Link) for s in said)  # what those wait for is nobody's loss yet
        if not minds and not all(len(p.path) == 1 and p.root.kind in (*QUIET, End.SLEEP) for p in parts):
            return None
        ends = [s.alone if isinstance(s, Link) else s for s in said]
        if all(e is not None and e.kind in QUIET for e in ends):
            return waiter.end(End.IDLE, "waits for tasks that have no work")
        return None

    return settle
