"""Who waits for whom at the end of the stream, through tasks and threads alike; and who of them can never go on.

A node is a thread (its tid) or a task (minus its id). Where one of several is enough (a pool, a semaphore, a worker of
an executor), whoever waits is lost only when all of them are; where all are needed (gather, a group), when one is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from concview.analysis.history import History
from concview.analysis.tasks import words
from concview.analysis.tasks.records import SharedObject, TaskHistory, TaskRun
from concview.analysis.window import Window
from concview.model import Confidence, Stack, State, TaskState, WaitKind

#: One is enough, or all are needed, by how a task waits for others.
_EVERY = frozenset({"await", "gather", "TaskGroup", "shield", "wait_for", "Nursery"})
#: Holding them says who has them; with a count, all of it.
_COUNTED = frozenset({"Semaphore", "Pool", "Limiter"})


def task_node(id_: int) -> int:
    return -id_


@dataclass(frozen=True, slots=True)
class WaitEdge:
    waiter: int
    others: tuple[int, ...]
    every: bool  #: all of them are needed
    what: str  #: 'self._lock', 'the end of fetch', 'a worker of the executor'
    exact: bool
    since_ns: int  #: since when it is certain that this wait lasts
    stack: Stack
    object: int = 0
    before: bool = False  #: it waited so when it was first looked at, for how long is not known
    held_as: str = ""  #: what its holder calls the object; '' where that is not known


def wait_edges(window: Window) -> dict[int, WaitEdge]:
    """Node -> what it waits for. Who waits for something that nobody is seen to have, has no edge: it may go on."""
    return _Builder(window.history, window).edges()


class _Builder:
    def __init__(self, history: History, window: Window) -> None:
        self._history, self._aio, self._window = history, history.aio, window
        self._holders: dict[int, dict[int, bool]] = defaultdict(dict)  #: object -> task id -> exact
        self._serves: dict[int, int] = {}
        for task in self._aio.tasks.values():
            if task.serves:
                self._serves[task.serves] = task.id
            for hold in task.current.holds if task.current is not None else ():
                if hold.lock:
                    self._holders[hold.lock][task.id] = hold.confidence is Confidence.EXACT

    def edges(self) -> dict[int, WaitEdge]:
        found: dict[int, WaitEdge] = {}
        for task in self._aio.tasks.values():
            edge = self._of_task(task, task.current) if task.current is not None else None
            if edge is not None:
                found[edge.waiter] = edge
        for thread in self._window.edges:
            run = thread.wait_run
            if run.wait.timed or (thread.waiter == thread.holder and not run.wait.lock):
                continue
            what = thread.site.expression if thread.site is not None else "a lock"
            exact = thread.confidence is Confidence.EXACT
            found[thread.waiter] = WaitEdge(
                thread.waiter, (thread.holder,), True, what, exact, run.since_ns, run.stack, run.wait.lock
            )
        for one in self._history.threads.values():
            current = one.current
            if current is None or one.tid in found or current.wait.timed or not current.wait.lock:
                continue
            served = self._serves.get(current.wait.lock)
            if served is not None:
                name = self._aio.tasks[served].name
                found[one.tid] = WaitEdge(
                    one.tid, (task_node(served),), True, f"the result of {name}", True, current.since_ns, current.stack
                )
        return found

    # ------------------------------------------------------------ tasks

    def _of_task(self, task: TaskHistory, run: TaskRun) -> WaitEdge | None:
        state, wait = run.wait.state, run.wait
        if run.limited:
            return None  # it gives up by itself
        if state in (TaskState.LOCK, TaskState.POOL) and wait.object:
            return self._of_object(task, run)
        if wait.via == "future":
            return None  # who has it could set it: that nobody else can is not known
        if state is TaskState.EXECUTOR:
            return self._of_executor(task, run)
        if state is TaskState.TASK and run.awaits:
            known = [t for t in run.awaits if t in self._aio.tasks]
            every = wait.via in _EVERY
            if not known or (not every and len(known) < run.awaited):
                return None
            names = words.alike((self._aio.tasks[t].name for t in known), len(known))
            return self._edge(task, run, [task_node(t) for t in known], every, f"the end of {names}", True)
        if state in (TaskState.READY, TaskState.RUNNING):
            loop = next((s for s in self._aio.loops if s.id == task.loop), None)
            tid = wait.tid or (loop.tid if loop is not None else 0)
            thread = self._history.threads.get(tid)
            if thread is None or thread.current is None or not _blocked(thread.current.state, thread.current.wait.kind):
                return None
            # Since the loop's thread stands: before it did, the task was not in its way.
            since = max(run.began_ns if state is TaskState.READY else 0, thread.current.since_ns)
            what = "a turn in the loop"
            return WaitEdge(task_node(task.id), (tid,), True, what, True, since, run.stack)
        return None

    def _of_object(self, task: TaskHistory, run: TaskRun) -> WaitEdge | None:
        wait = run.wait
        told = self._aio.object(wait.object)
        holders = dict(self._holders.get(wait.object, {}))
        for id_ in told.told.holders if told is not None else ():
            holder = self._aio.tasks.get(id_)
            current = holder.current if holder is not None else None
            # One that has moved since the report may have given it back, and has if it waits for it itself.
            still = current is not None and current.start_ns <= self._aio.reported_ns
            if still and current is not None and current.wait.object != wait.object:
                holders.setdefault(id_, told is not None and told.told.exact)
        if not holders:
            return None
        if wait.kind in _COUNTED and not _all_seen(told, len(holders)):
            return None
        name = words.wanted_name(told, wait)
        nodes = [task_node(t) for t in holders]
        held_as = told.told.name if told is not None else ""
        return self._edge(task, run, nodes, False, name, all(holders.values()), wait.object, held_as)

    def _of_executor(self, task: TaskHistory, run: TaskRun) -> WaitEdge | None:
        wait = run.wait
        if wait.tid:
            name = self._history.name(wait.tid)
            return self._edge(task, run, [wait.tid], True, f"a call that {name} runs", True)
        loop = next((s for s in self._aio.loops if s.id == task.loop), None)
        told = self._aio.object(loop.executor) if loop is not None and loop.executor else None
        if not wait.queued or told is None or told.told.limit <= 0 or len(told.told.threads) < told.told.limit:
            return None
        return self._edge(task, run, list(told.told.threads), False, "a worker of the executor", True, told.told.id)

    @staticmethod
    def _edge(
        task: TaskHistory,
        run: TaskRun,
        others: list[int],
        every: bool,
        what: str,
        exact: bool,
        object_: int = 0,
        held_as: str = "",
    ) -> WaitEdge:
        return WaitEdge(
            task_node(task.id),
            tuple(others),
            every,
            what,
            exact,
            run.began_ns,
            run.stack,
            object_,
            not run.since_ns,
            held_as,
        )


def _blocked(state: State, kind: WaitKind) -> bool:
    """Whether a loop's thread is held up inside a callback by something that another has to do."""
    return kind is WaitKind.FUTEX and state in (State.LOCK, State.IDLE)


def _all_seen(told: SharedObject | None, holders: int) -> bool:
    """Whether everybody who has a part of something counted is seen."""
    return told is not None and 0 < told.told.limit <= holders


def lost(edges: Mapping[int, WaitEdge]) -> set[int]:
    """The nodes that can never go on: what is left after taking away, again and again, whoever may."""
    left = set(edges)
    behind: dict[int, list[int]] = defaultdict(list)
    for node, edge in edges.items():
        for other in edge.others:
            behind[other].append(node)

    def may(node: int) -> bool:
        edge = edges[node]
        if edge.every:
            return not any(o in left for o in edge.others)
        return any(o not in left for o in edge.others)

    todo = [node for node in edges if may(node)]
    while todo:
        node = todo.pop()
        if node in left and may(node):
            left.discard(node)
            todo += [b for b in behind.get(node, ()) if b in left]
    return left


def circles(edges: Mapping[int, WaitEdge]) -> list[list[int]]:
    """Those that wait for each other, among the ones that can never go on: each circle in the order of its waits as far
    as there is one, the others of a group after. Circles of threads alone are not among them."""
    left = lost(edges)
    links = {n: [o for o in edges[n].others if o in left] for n in left}
    found = []
    for group in _components(links):
        if (len(group) > 1 or group[0] in links[group[0]]) and any(n < 0 for n in group):
            found.append(_in_order(group, links))
    return found


def _in_order(group: list[int], links: Mapping[int, list[int]]) -> list[int]:
    members = set(group)
    order = [max(group)]
    while True:
        following = next((o for o in links[order[-1]] if o in members and o not in order), None)
        if following is None:
            return order + sorted((n for n in members - set(order)), reverse=True)
        order.append(following)


def _components(links: Mapping[int, list[int]]) -> list[list[int]]:
    """Strongly connected components (Kosaraju, without recursion)."""
    order: list[int] = []
    seen: set[int] = set()
    for start in links:
        if start in seen:
            continue
        seen.add(start)
        work = [(start, iter(links[start]))]
        while work:
            node, others = work[-1]
            following = next((o for o in others if o not in seen), None)
            if following is None:
                order.append(node)
                work.pop()
            else:
                seen.add(following)
                work.append((following, iter(links[following])))
    back: dict[int, list[int]] = defaultdict(list)
    for node, others_ in links.items():
        for other in others_:
            back[other].append(node)
    found: list[list[int]] = []
    done: set[int] = set()
    for start in reversed(order):
        if start in done:
            continue
        group, todo = [], [start]
        done.add(start)
        while todo:
            node = todo.pop()
            group.append(node)
            for before in back.get(node, ()):
                if before not in done:
                    done.add(before)
                    todo.append(before)
        found.append(group)
    return found
