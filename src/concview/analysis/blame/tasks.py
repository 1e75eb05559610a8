"""What a task waits for, as a node beside the threads: its number is minus its id.

Everything here is decided by what was read of the task (its state, the object it waits at, who holds that); of queues
and events, by who was seen at them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

from concview.analysis.blame.attempts import acquiring, again_and_again, of_what
from concview.analysis.blame.nouns import QUIET, End, Link, Node, Part, Place, Root, Step, Via, place_of
from concview.analysis.blame.ways import Reach, Way, way
from concview.analysis.known_places import TASK_TIMEOUTS, TOLD_TO_END, among, bare, is_file, of_a_library, server_lock
from concview.analysis.tasks import words
from concview.analysis.tasks.records import SharedObject, TaskHistory, TaskRun
from concview.model import AT_YIELD, IN_PROCESSES, Confidence, Frame, LoopState, Site, Stack, State, TaskState
from concview.source.calls import ACQUIRES
from concview.text import group, plural

if TYPE_CHECKING:
    from concview.analysis.blame.world import Look, Moment, World
    from concview.analysis.records import Run

#: Calls that wait for the other side to take something.
_SENDS = re.compile("send|drain|write")
_DEFAULT_NAME = re.compile(r"Task-\d+$")
#: Seen so from the beginning, give or take the first looks.
_FIRST_NS = 500_000_000
_LATELY_NS, _REPORTS = 5_000_000_000, 4
#: A loop that sleeps for so long while one of its callbacks is due has not been woken.
ASLEEP_NS = 1_000_000_000
_SIGNALS = frozenset({"Event.wait", "Condition.wait", "Barrier.wait"})
_TRIO_THREADS = "trio/_core/_thread_cache.py"
#: Attempts for so long are no pace.
_TRIES_NS = 2_000_000_000
_ENTERS = ACQUIRES | {"__aenter__"}
#: Classes whose `__aenter__` takes something that others may have.
_LOCKS = re.compile("(?i)lock|mutex|semaphore|lease|permit|leader")
_SUPERVISES = frozenset({"gather", "wait", "TaskGroup", "Nursery", "await", "shield"})


def node_of(task: int) -> Node:
    return -task


def task_name(world: World, node: Node) -> str:
    """Tasks of one coroutine function have one name here, unless somebody named them."""
    task = world.history.aio.find(-node)
    return name_of(task) if task is not None else "a task"


def name_of(task: TaskHistory) -> str:
    function = task.function.function if task.function is not None else ""
    # anyio and trio name a task by its function, with the module.
    if function and (_DEFAULT_NAME.match(task.name) or f".{task.name}".endswith(f".{function}")):
        return function.rpartition(".")[2]
    return group(task.name)


class TaskMoment:
    """All tasks at one moment, and who of them has what."""

    def __init__(self, moment: Moment, runs: Mapping[Node, TaskRun]) -> None:
        self._moment, self.runs = moment, runs
        self._aio = moment.world.history.aio

    # ------------------------------------------------------------ who has what

    @cached_property
    def _holders(self) -> dict[int, dict[Node, Confidence]]:
        found: dict[int, dict[Node, Confidence]] = defaultdict(dict)
        for node, run in self.runs.items():
            for hold in run.holds:
                if hold.lock:
                    found[hold.lock][node] = hold.confidence
        return found

    def _had(self, object_: int) -> bool:
        """Whether somebody was reported to have it in the last seconds, or there are too few reports to tell."""
        late = [r for r in self._aio.objects if r.at_ns > self._aio.reported_ns - _LATELY_NS]
        told = [o.told.holders for r in late if (o := r.objects.get(object_)) is not None]
        return len(told) < _REPORTS or any(told)

    @cached_property
    def _kept(self) -> dict[str, list[Node]]:
        """Queue used as a pool -> tasks that have something out of it."""
        found: dict[str, list[Node]] = defaultdict(list)
        for node, run in self.runs.items():
            for site in _sites(run, "kept"):
                found[site.key].append(node)
        return found

    @cached_property
    def serves(self) -> dict[int, Node]:
        """Future of `concurrent.futures` -> the task that gives it its result."""
        return {t.serves: node_of(t.id) for t in self._aio.tasks.values() if t.serves and node_of(t.id) in self.runs}

    @cached_property
    def given(self) -> dict[int, Node]:
        """Future of `concurrent.futures` -> the thread of the loop that was given its coroutine, and has not begun."""
        return {future: s.tid for s in self._aio.loops for future in s.given if s.tid in self._moment.runs}

    def _told(self, id_: int) -> SharedObject | None:
        return self._aio.object(id_) if id_ else None

    def _name(self, run: TaskRun) -> str:
        return words.object_name(self._told(run.wait.object), run.wait.kind, run.wait.object)

    def _loop(self, task: TaskHistory) -> LoopState | None:
        return next((s for s in self._aio.loops if s.id == task.loop), None)

    # ------------------------------------------------------------ one task

    def answer(self, node: Node) -> Root | Link:
        run = self.runs[node]
        task = self._aio.find(-node)
        place = place_of(run.leaf)
        if task is None:
            return Root(End.UNEXPLAINED, "a task that is not followed", place)
        state, wait = run.wait.state, run.wait
        if state is TaskState.RUNNING or state is TaskState.READY:
            return self._in_the_loop(node, task, run, place)
        if state is TaskState.SLEEP and wait.via == "timer":
            return Root(End.PACE, f"waits for its turn, which a timer of {wait.kind} gives", place)
        if state is TaskState.SLEEP:
            tries = self._tries(node, run, place)
            if tries is not None:
                return tries
            return Root(End.PACE if self._paces(run) else End.SLEEP, "sleeps", place)
        if state is TaskState.IDLE:
            return Root(End.IDLE, f"waits for work: {wait.via}", place)
        if state is TaskState.IO:
            peer = wait.peer
            # What its client does not take is in the way of all that the task has.
            sends = peer is not None and _SENDS.search(wait.via) is not None
            served = peer.accepted if peer is not None else not self._wanted(-node)
            if of_a_library(run.stack) and served and not sends:
                what = "a request" if peer is not None else wait.via or "what it watches"
                return Root(End.IDLE, f"a library's own task waits for {what}", place)
            if peer is not None and peer.accepted and not sends:
                # Its client has not sent anything yet: nothing here is in the way of that.
                return Root(End.IDLE, "waits for what its client sends", place)
            return Root(End.PEER, f"{peer.kind} {peer.known_as or peer.name}" if peer is not None else wait.via, place)
        if state is TaskState.EXECUTOR:
            return self._executor(node, task, run, place)
        if state is TaskState.TASK:
            return self._tasks(node, task, run, place)
        if state is TaskState.QUEUE:
            return self._queue(node, task, run, place)
        if state is TaskState.LOCK and wait.via in _SIGNALS:
            return self._signal(node, task, run, place)
        if state in (TaskState.LOCK, TaskState.POOL):
            return self._object(node, run, place)
        if wait.via == "ended":
            who, _, how = wait.kind.rpartition(": ")
            nobody = Root(End.NOBODY, f"{who} {how}, and nobody else is seen to have it", place)
            return self._link(
                node, place, Via.RESULT, f"what {who} would set", [], Confidence.INFERRED, ("ended", wait.kind), nobody
            )
        if wait.via == AT_YIELD:
            kept = f"{name_of(task)} has it, an asynchronous generator that no task iterates"
            return Root(End.NOBODY, kept, place)
        what = f"a future ({wait.kind or 'that tells no more'})"
        if self._others(node, run):
            return Root(End.IDLE, f"a library's own task waits for {what}", place)
        return Root(End.UNEXPLAINED, f"{what}: not seen who sets it", place)

    def _link(
        self, node: Node, place: Place, via: Via, what: str, others: Sequence[Node], confidence: Confidence,
        key: object, otherwise: Root | None = None,
    ) -> Link:  # fmt: skip
        step = Step(via, what, task_name(self._moment.world, node), place, confidence)
        return Link(step, others, key, otherwise)

    def _in_the_loop(self, node: Node, task: TaskHistory, run: TaskRun, place: Place) -> Root | Link:
        """What the loop's thread does, it does for the task that runs; the one that is ready waits for it."""
        loop = self._loop(task)
        tid = run.wait.tid or (loop.tid if loop is not None else 0)
        thread = self._moment.runs.get(tid)
        if run.wait.state is TaskState.RUNNING:
            if thread is None or thread.state in (State.RUNNING, State.IDLE):
                return Root(End.CPU, "runs", place)
            return self._moment.answer(tid)
        if thread is None or thread.state is State.IDLE:
            if thread is not None and loop is not None and self._not_woken(run, thread, loop):
                nobody = Root(End.NOBODY, "it could run, but the loop sleeps, and nobody has woken it", place)
                return self._link(
                    node, place, Via.TURN, "a turn in the loop", [], Confidence.EXACT, ("asleep", tid), nobody
                )
            return Root(End.CPU, "is about to run", place)
        return self._link(node, place, Via.TURN, "a turn in the loop", [tid], Confidence.EXACT, ("turn", tid))

    def _not_woken(self, run: TaskRun, thread: Run, loop: LoopState) -> bool:
        """The task has been ready, and the loop's thread asleep, for so long that it is no moment in between."""
        return loop.ready > 0 and self._moment.at_ns - max(run.start_ns, thread.since_ns) >= ASLEEP_NS

    def thread(self, node: Node) -> Node:
        """In which its loop runs; 0 not known."""
        task = self._aio.find(-node)
        loop = self._loop(task) if task is not None else None
        return loop.tid if loop is not None else 0

    def _paces(self, run: TaskRun) -> bool:
        """A pause in a loop of the program's own."""
        leaf = run.leaf
        if leaf is None or leaf.origin != "user":
            return True  # a library's own pause
        return self._moment.world.file(leaf.file).loop(leaf.function, leaf.line) is not None

    def _tries(self, node: Node, run: TaskRun, place: Place) -> Link | None:
        """It sleeps between two attempts to get something; None where it does not."""
        world = self._moment.world
        own = world.standing(run.stack).own
        kept = server_lock(run.stack)
        frame = acquiring(own, _ENTERS)
        if frame is not None and bare(frame.function) not in ACQUIRES and not _LOCKS.search(frame.function):
            frame = None  # what else may be entered, a connection for one, is no lock
        if kept is None and (frame is None or not again_and_again(world, own, frame)):
            return None
        # Who lets one after another through, so many a second, is no lock: there it is soon over.
        if kept is None and self._moment.at_ns - run.start_ns < _TRIES_NS:
            return None
        what = f"a lock{of_what(kept or frame or own[0])} that it tries for again and again"
        inside = [n for n in self.in_body(own) if n != node]
        if kept is not None and not inside:
            step = Step(Via.LOCK, what, task_name(world, node), place, Confidence.INFERRED)
            return Link(step, outside=Root(End.PEER, "whoever has it by what its server says", place))
        nobody = Root(End.UNEXPLAINED, f"{what}: not seen who has it", place)
        return self._link(node, place, Via.LOCK, what, inside, Confidence.INFERRED, ("tries", place, what), nobody)

    def in_body(self, own: Sequence[Frame]) -> list[Node]:
        """Tasks that stand in the body of a `with` whose head these frames are in."""
        found: list[Node] = []
        for frame in own:
            first, last = self._moment.world.file(frame.file).body(frame.function, frame.line)
            if first > frame.line:
                there = self.standing.get((frame.file, frame.function), ())
                found += [n for n, line in there if first <= line <= last]
        return list(dict.fromkeys(found))

    def _executor(self, node: Node, task: TaskHistory, run: TaskRun, place: Place) -> Root | Link:
        wait = run.wait
        if wait.tid:
            key = ("call", wait.tid)
            sure = Confidence.INFERRED if wait.via == "future" else Confidence.EXACT
            return self._link(node, place, Via.RESULT, "a call in a thread", [wait.tid], sure, key)
        if wait.kind == IN_PROCESSES:
            return Root(End.CHILD, "a worker process of its pool", place)
        loop = self._loop(task)
        told = self._told(loop.executor) if loop is not None else None
        workers = [t for t in told.told.threads if t in self._moment.runs] if told is not None else []
        beside = self._calls.get(run.leaf, [])
        if task.kind == "trio":
            return self._link(
                node, place, Via.RESULT, "a call in a thread", self._trio_workers, Confidence.INFERRED,
                ("trio thread", task.loop), Root(End.UNEXPLAINED, "a call in a thread: not seen which runs it", place),
            )  # fmt: skip
        if not wait.queued and (workers or beside):  # a worker has taken it up since who runs what was looked at
            others = workers or beside
            how = ("some call", task.loop, tuple(others))
            return self._link(node, place, Via.RESULT, "a call in a thread", others, Confidence.INFERRED, how)
        if told is not None and not beside and 0 <= told.told.used < told.told.limit:
            return Root(End.CPU, "has a call that is about to be taken up", place)
        sure, what = Confidence.EXACT, "a worker thread of the executor"
        if beside and not set(beside) & set(workers):  # another executor than the loop's own
            sure, what, workers = Confidence.INFERRED, "a worker thread of its executor", beside
        nobody = Root(End.UNEXPLAINED, f"{what}: not seen who has them", place)
        return self._link(node, place, Via.RESOURCE, what, workers, sure, ("worker", task.loop, what), nobody)

    @cached_property
    def _trio_workers(self) -> list[Node]:
        """Threads in which trio runs calls now. Which of them runs whose, nothing says that is read."""
        return [
            tid
            for tid, run in self._moment.runs.items()
            if any(bare(f.function) == "_handle_job" and is_file(f, _TRIO_THREADS) for f in run.stack.frames)
        ]

    @cached_property
    def _calls(self) -> dict[Frame | None, list[Node]]:
        """Line of the program -> threads that run calls for tasks that wait there."""
        found: dict[Frame | None, list[Node]] = defaultdict(list)
        for run in self.runs.values():
            if run.wait.state is TaskState.EXECUTOR and run.wait.tid in self._moment.runs:
                found[run.leaf].append(run.wait.tid)
        return found

    def _tasks(self, node: Node, task: TaskHistory, run: TaskRun, place: Place) -> Root | Link:
        others = [n for t in run.awaits if (n := node_of(t)) in self.runs and n != node]
        if self._supervises(task, run):
            return Root(End.IDLE, f"waits for tasks that go on ({run.wait.via})", place)
        names = words.alike((task_name(self._moment.world, n) for n in others[:50]), len(others))
        nobody = Root(End.UNEXPLAINED, f"{run.wait.via or 'tasks'}: not seen what it waits for", place)
        what, sure = f"the end of {names or 'tasks'}", Confidence.EXACT
        if run.wait.via == "future":  # that one of them has, and so will set
            what, sure = f"what {names or 'a task'} will set", Confidence.INFERRED
        if run.wait.via == "start":
            what = f"{names or 'a task'} to say that it has started"
        link = self._link(node, place, Via.RESULT, what, others, sure, ("end", node), nobody)
        link.settle = self._not_started(names, place) if run.wait.via == "start" else self._no_work(others, place)
        return link

    @staticmethod
    def _not_started(names: str, place: Place):  # type: ignore[no-untyped-def]
        """Who waits for work has been started, and has not said so."""

        def settle(parts: Sequence[Part]) -> Root | None:
            if all(p.root.kind in QUIET for p in parts):
                return Root(End.NOBODY, f"{names} waits for work, and has not called `task_status.started()`", place)
            return None

        return settle

    def _supervises(self, task: TaskHistory, run: TaskRun) -> bool:
        """It has waited for the same ones since before anybody looked, and not one of them has ended. One that others
        wait for, too, is nobody's own."""
        if run.wait.via not in _SUPERVISES or not self._all_along(task, run):
            return False
        return len(run.awaits) != 1 or self._awaited[run.awaits[0]] < 2

    def _others(self, node: Node, run: TaskRun) -> bool:
        """Whether no code of the program's own is in it, and none of the program's own tasks waits for it."""
        frames = run.stack.frames
        if not frames and run.wait.via != "compiled":
            return False  # not read
        return not any(f.origin == "user" for f in frames) and not self._wanted(-node)

    def _wanted(self, task: int) -> bool:
        """Whether one of the program's own tasks waits for it, by others or not."""
        return task in self._wanted_ones

    @cached_property
    def _wanted_ones(self) -> set[int]:
        found: set[int] = set()
        own = (r for r in self.runs.values() if r.awaits and r.leaf is not None and r.leaf.origin == "user")
        todo = [t for run in own for t in run.awaits]
        while todo:
            task = todo.pop()
            run = self.runs.get(node_of(task))
            if task not in found and run is not None:
                found.add(task)
                todo += run.awaits
        return found

    @cached_property
    def _awaited(self) -> Counter[int]:
        """Task -> how many wait for it alone."""
        return Counter(run.awaits[0] for run in self.runs.values() if len(run.awaits) == 1)

    def _watches(self, node: Node) -> bool:
        task = self._aio.find(-node)
        return task is not None and self._supervises(task, self.runs[node])

    def _all_along(self, task: TaskHistory, run: TaskRun) -> bool:
        """It has stood so since before anybody looked. Of very many tasks, some are looked at for the first time after
        a while only."""
        first = len(task.runs) == 1 and not task.born_ns
        return not run.since_ns and (first or run.start_ns <= self._aio.first_ns + _FIRST_NS)

    def _no_work(self, others: Sequence[Node], place: Place):  # type: ignore[no-untyped-def]
        def settle(parts: Sequence[Part]) -> Root | None:
            if not all(len(p.path) == 1 and p.root.kind in (*QUIET, End.SLEEP) for p in parts):
                return None
            said = [self.answer(o) for o in others[:50]]
            if all(isinstance(s, Root) and s.kind in QUIET for s in said):
                return Root(End.IDLE, "waits for tasks that have no work", place)
            return None

        return settle

    def _queue(self, node: Node, task: TaskHistory, run: TaskRun, place: Place) -> Root | Link:
        wait, name, told = run.wait, self._name(run), self._told(run.wait.object)
        lent = _sites(run, "get")
        if lent:
            have = [n for n in self._kept.get(lent[0].key, ()) if n != node]
            nobody = Root(End.UNEXPLAINED, f"{name}: all are out, not seen who has them", place)
            return self._link(
                node, place, Via.RESOURCE, lent[0].expression, have, Confidence.INFERRED, ("lent", lent[0].key), nobody
            )
        if wait.via not in ("Queue.put", "Queue.join", "MemoryObjectSendStream.send"):
            makers = self._in_a_circle(node, task, run)
            if makers:
                return self._link(
                    node, place, Via.RESULT, f"an item of {name}", makers, Confidence.INFERRED, ("item", wait.object)
                )
            return Root(End.IDLE, f"no work in {name}", place)
        same = {n for n, r in self.runs.items() if r.wait.object == wait.object and r.wait.via == wait.via}
        users = [node_of(t) for t in told.told.users] if told is not None else []
        takers = [n for n in users if n in self.runs and n not in same and not self._watches(n)]
        if not set(users) - same:  # no other frame has it in a variable: a global, of which the source tells
            _, owners, makers = self._by_source(run)
            # Who stands at another queue of that name takes out of that one.
            some = [n for n in (*owners, *makers) if n not in same and self.runs[n].wait.via != "Queue.get"]
            takers = [n for n in some if not self._watches(n)]
        via, what = (Via.END, f"all items of {name}") if wait.via == "Queue.join" else (Via.ROOM, f"room in {name}")
        nobody = Root(End.UNEXPLAINED, f"{what}: nobody seen to take anything out", place)
        if via is Via.END and told is not None and told.told.used == 0 and told.told.backlog > 0:
            # All were taken out. Who is back at the empty queue has no more to report.
            busy = [n for n in takers if self.runs[n].wait.object != wait.object]
            if takers and not busy:
                lost = f"{plural(told.told.backlog, 'item')} of {name} not reported as done"
                return self._link(
                    node, place, via, what, [], Confidence.INFERRED, (via, wait.object),
                    Root(End.NOBODY, f"{lost}, and those that take it out wait for more of it", place),
                )  # fmt: skip
        return self._link(node, place, via, what, takers, Confidence.INFERRED, (via, wait.object), nobody)

    def _in_a_circle(self, node: Node, task: TaskHistory, run: TaskRun) -> list[Node]:
        """All that by their source would put something into the queue that a task waits at, where each of them waits
        in turn for what only tasks at that queue would do. All since before anybody looked: nobody will begin."""
        if not self._all_along(task, run):
            return []
        _, owners, makers = self._by_source(run)
        others = [n for n in dict.fromkeys((*owners, *makers)) if n != node and not self.runs[n].awaits]
        for other in others:
            theirs, told = self.runs[other], self._aio.find(-other)
            signal = theirs.wait.state is TaskState.LOCK and theirs.wait.via in _SIGNALS
            if told is None or not (signal or theirs.wait.via == "Queue.get") or not self._all_along(told, theirs):
                return []
            _, have, make = self._by_source(theirs)
            wake = [n for n in (*have, *make) if n != other and not self.runs[n].awaits]
            if not wake or any(self.runs[n].wait.object != run.wait.object for n in wake):
                return []
        return others

    def _signal(self, node: Node, task: TaskHistory, run: TaskRun, place: Place) -> Root | Link:
        """Who will set it, nothing says that is read: the source does, where it names it. One that comes now and then
        is work to come."""
        name = self._name(run)
        if TOLD_TO_END.search(name.rpartition(".")[2]):
            return Root(End.IDLE, f"waits for {name}, to be told to end", place)
        on, owners, makers = self._by_source(run)
        if owners:
            return self._link(node, place, Via.RESOURCE, on, owners, Confidence.INFERRED, ("given", run.wait.object))
        if makers:
            link = self._link(node, place, Via.SIGNAL, on, makers, Confidence.INFERRED, ("set", run.wait.object))
            link.settle = self._no_work(makers, place)
            return link
        if run.waits > 1 or len(task.runs) > 2:
            return Root(End.IDLE, f"waits for {name}, which comes now and then", place)
        if self._others(node, run):
            return Root(End.IDLE, f"a library's own task waits for {name}", place)
        there = words.usage(self._told(run.wait.object)) if run.wait.via == "Barrier.wait" else ""
        nobody = f"{name}: {there}, nobody is seen to come" if there else f"{name}: nobody seen to set it"
        if self._all_along(task, run):
            if any(among(f, TASK_TIMEOUTS) for f in run.stack.frames):
                return Root(End.PACE, f"waits for {name}, or until its time is over", place)
            return Root(End.DORMANT, nobody, place)
        return Root(End.UNEXPLAINED, nobody, place)

    @cached_property
    def stacks(self) -> dict[Stack, list[Node]]:
        found: dict[Stack, list[Node]] = defaultdict(list)
        for node, run in self.runs.items():
            found[run.stack].append(node)
        return found

    @cached_property
    def standing(self) -> dict[tuple[str, str], list[tuple[Node, int]]]:
        """(file, function) of frames -> (task, line)."""
        found: dict[tuple[str, str], list[tuple[Node, int]]] = defaultdict(list)
        for stack, nodes in self.stacks.items():
            for frame in stack.frames:
                found[frame.file, frame.function] += [(n, frame.line) for n in nodes]
        return found

    def placed(
        self, look: Look, on: str, method: str, reach: Reach, wanted: Way, counted: frozenset[str] = frozenset()
    ) -> list[Node]:
        """Tasks that stand so to a wait: see `way`."""
        world, nodes = self._moment.world, list[Node]()
        for stack, those in self.stacks.items():
            their = world.standing(stack)
            key = ("way", stack, look.stack, look.place, on, method)
            stands = partial(way, world, their, look, reach, counted)
            if their.own and world.remembered(key, stands) == wanted:
                nodes += those
        return nodes

    def _by_source(self, run: TaskRun) -> tuple[str, list[Node], list[Node]]:
        """(what is waited for, tasks that have it, tasks that will only make it), by what the source of the file says
        about waking, and where the others stand. Nothing where it says nothing."""
        world, frame = self._moment.world, run.leaf
        if frame is None or frame.origin == "stdlib":
            return "", [], []
        method, on = world.file(frame.file).waited(frame.function, frame.line)
        reach = world.file(frame.file).wakers(on, method) if on else {}
        if not reach:
            return on, [], []
        look = world.standing(run.stack)

        def found(wanted: Way) -> list[Node]:
            placed = self.placed(look, on, method, reach, wanted)
            others = [n for n in placed if self.runs[n].wait.object != run.wait.object]
            # Who waits for tasks does it by them.
            return [n for n in others if not self.runs[n].awaits] or others

        key = ("source", run.stack, run.wait.object)
        owners = self._moment.once((*key, "own"), lambda: found(Way.OWNER))
        makers = self._moment.once((*key, "make"), lambda: found(Way.MAKER))
        return on, owners, makers

    def _object(self, node: Node, run: TaskRun, place: Place) -> Link:
        wait, name = run.wait, self._name(run)
        held = dict(self._holders.get(wait.object, {}))
        told = self._told(wait.object)
        for id_ in told.told.holders if told is not None and not held else ():
            other = node_of(id_)
            # What was reported half a second ago is old news of one that now stands in the queue itself.
            if other in self.runs and self.runs[other].wait.object != wait.object:
                held[other] = Confidence.EXACT if told is not None and told.told.exact else Confidence.INFERRED
        if not held:
            held = dict.fromkeys(self._by_source(run)[1], Confidence.INFERRED)
        others = [n for n in held if n != node] or list(held)
        if wait.state is TaskState.POOL:
            via, what = Via.RESOURCE, name
        elif wait.kind == "Semaphore":
            via, what = Via.PERMIT, name
        else:
            via, what = Via.LOCK, name
        if others == [node]:
            end = Root(End.CYCLE, f"{what}: it holds it itself", place)
            return self._link(node, place, via, what, [], Confidence.EXACT, None, end)
        sure = Confidence.EXACT if all(c is Confidence.EXACT for c in held.values()) else Confidence.INFERRED
        nobody = Root(End.UNEXPLAINED, f"{what}: no task is seen to have it", place)
        known = self._had(wait.object)  # then they only change hands
        if told is not None and not known and via is not Via.LOCK and 0 < told.told.limit <= told.told.used:
            nobody = Root(
                End.NOBODY,
                f"{words.usage(told)}, and no task is seen that will give one back: kept in a variable, or forgotten",
                place,
            )
        return self._link(node, place, via, what, others, sure, (via, wait.object), nobody)


def _sites(run: TaskRun, how: str) -> list[Site]:
    return [f.checkout for f in run.stack.frames if f.checkout is not None and f.checkout.how == how]
