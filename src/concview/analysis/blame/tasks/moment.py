"""All tasks at one moment: who of them has what, who waits for whom, and who stands where."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from concview.analysis.blame.nouns import End, Link, Node, Place, Root, Settle, Step, Via, place_of
from concview.analysis.blame.tasks.answer import answer
from concview.analysis.blame.tasks.names import node_of, task_name
from concview.analysis.blame.tasks.turns import its_turn
from concview.analysis.blame.ways import Reach, Way, way
from concview.analysis.known_places import bare, is_file
from concview.analysis.tasks import words
from concview.analysis.tasks.records import SharedObject, TaskHistory, TaskRun
from concview.model import Confidence, Frame, LoopState, Stack, State, TaskState, TaskWait

if TYPE_CHECKING:
    from concview.analysis.blame.world import Look, Moment, World

#: Seen so from the beginning, give or take the first looks.
_FIRST_NS = 500_000_000
_LATELY_NS, _REPORTS = 5_000_000_000, 4
_TRIO_THREADS = "trio/_core/_thread_cache.py"
#: Of a loop's thread that waits for nothing that a task would have to do.
_GOES_ON = frozenset({State.RUNNING, State.RUNNABLE, State.GIL, State.IDLE})
_SUPERVISES = frozenset({"gather", "wait", "TaskGroup", "Nursery", "await", "shield"})


class TaskMoment:
    def __init__(self, moment: Moment, runs: Mapping[Node, TaskRun]) -> None:
        self.moment, self.runs = moment, runs
        self.world = moment.world
        self._aio = moment.world.history.aio

    def answer(self, node: Node) -> Root | Link:
        """Where this one ends, or whom it waits for."""
        run = self.runs[node]
        task = self.task(node)
        place = place_of(run.leaf)
        if task is None:
            return Root(End.UNEXPLAINED, "a task that is not followed", place)
        waiter = TaskWaiter(self, node, task, run, place)
        if node in self.kept_off:
            return its_turn(waiter, self.kept_off[node])
        return answer(waiter)

    def task(self, node: Node) -> TaskHistory | None:
        return self._aio.find(-node)

    def told(self, id_: int) -> SharedObject | None:
        """What was last reported of an object."""
        return self._aio.object(id_) if id_ else None

    def loop(self, task: TaskHistory) -> LoopState | None:
        return next((s for s in self._aio.loops if s.id == task.loop), None)

    def thread(self, node: Node) -> Node:
        """In which its loop runs; 0 not known."""
        task = self.task(node)
        loop = self.loop(task) if task is not None else None
        return loop.tid if loop is not None else 0

    @cached_property
    def kept_off(self) -> dict[Node, Node]:
        """Tasks that the thread of their own loop waits for, and that thread: they cannot run before it goes on,
        whatever they wait for."""
        found: dict[Node, Node] = {}
        for loop in self._aio.loops:
            thread = self.moment.runs.get(loop.tid)
            if thread is None or thread.state in _GOES_ON:
                continue
            said = self.moment.answer(loop.tid)
            for other in said.others if isinstance(said, Link) else ():
                run = self.runs.get(other)
                if run is not None and run.state is not TaskState.RUNNING and self.thread(other) == loop.tid:
                    found[other] = loop.tid
        return found

    # ------------------------------------------------------------ who has what

    @cached_property
    def holders(self) -> dict[int, dict[Node, Confidence]]:
        found: dict[int, dict[Node, Confidence]] = defaultdict(dict)
        for node, run in self.runs.items():
            for hold in run.holds:
                if hold.lock:
                    found[hold.lock][node] = hold.confidence
        return found

    def had(self, object_: int) -> bool:
        """Whether somebody was reported to have it in the last seconds, or there are too few reports to tell."""
        late = [r for r in self._aio.objects if r.at_ns > self._aio.reported_ns - _LATELY_NS]
        told = [o.told.holders for r in late if (o := r.objects.get(object_)) is not None]
        return len(told) < _REPORTS or any(told)

    @cached_property
    def kept(self) -> dict[str, list[Node]]:
        """Queue used as a pool -> tasks that have something out of it."""
        found: dict[str, list[Node]] = defaultdict(list)
        for node, run in self.runs.items():
            for site in run.sites("kept"):
                found[site.key].append(node)
        return found

    @cached_property
    def serves(self) -> dict[int, Node]:
        """Future of `concurrent.futures` -> the task that gives it its result. That may have ended since: a moment is
        judged later."""
        tasks = {node: self.task(node) for node in self.runs}
        return {task.serves: node for node, task in tasks.items() if task is not None and task.serves}

    @cached_property
    def given(self) -> dict[int, Node]:
        """Future of `concurrent.futures` -> the thread of the loop that was given its coroutine, and has not begun."""
        return {future: s.tid for s in self._aio.loops for future in s.given if s.tid in self.moment.runs}

    # ------------------------------------------------------------ calls in threads

    @cached_property
    def trio_workers(self) -> list[Node]:
        """Threads in which trio runs calls now. Which of them runs whose, nothing says that is read."""
        return [
            tid
            for tid, run in self.moment.runs.items()
            if any(bare(f.function) == "_handle_job" and is_file(f, _TRIO_THREADS) for f in run.stack.frames)
        ]

    @cached_property
    def calls(self) -> dict[Frame | None, list[Node]]:
        """Line of the program -> threads that run calls for tasks that wait there."""
        found: dict[Frame | None, list[Node]] = defaultdict(list)
        for run in self.runs.values():
            if run.wait.state is TaskState.EXECUTOR and run.wait.tid in self.moment.runs:
                found[run.leaf].append(run.wait.tid)
        return found

    # ------------------------------------------------------------ who waits for whom

    def supervises(self, task: TaskHistory, run: TaskRun) -> bool:
        """It has waited for the same ones since before anybody looked, and not one of them has ended. One that others
        wait for, too, is nobody's own."""
        if run.wait.via not in _SUPERVISES or not self.all_along(task, run):
            return False
        return len(run.awaits) != 1 or self._awaited[run.awaits[0]] < 2

    def watches(self, node: Node) -> bool:
        task = self.task(node)
        return task is not None and self.supervises(task, self.runs[node])

    def all_along(self, task: TaskHistory, run: TaskRun) -> bool:
        """It has stood so since before anybody looked. Of very many tasks, some are looked at for the first time after
        a while only."""
        first = len(task.runs) == 1 and not task.born_ns
        return not run.since_ns and (first or run.start_ns <= self._aio.first_ns + _FIRST_NS)

    def of_a_library(self, node: Node, run: TaskRun) -> bool:
        """Whether no code of the program's own is in it, and none of the program's own tasks waits for it."""
        frames = run.stack.frames
        if not frames and run.wait.via != "compiled":
            return False  # not read
        return not any(f.origin == "user" for f in frames) and not self.wanted(node)

    def wanted(self, node: Node) -> bool:
        """Whether one of the program's own tasks waits for it, by others or not."""
        return -node in self._wanted_ones

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
    def beside(self) -> dict[int, Node]:
        """Task that somebody waits for together with others, by asyncio.wait -> who does."""
        runs = self.runs.items()
        return {t: n for n, run in runs if run.wait.via == "wait" and len(run.awaits) > 1 for t in run.awaits}

    @cached_property
    def _awaited(self) -> Counter[int]:
        """Task -> how many wait for it alone."""
        return Counter(run.awaits[0] for run in self.runs.values() if len(run.awaits) == 1)

    # ------------------------------------------------------------ who stands where

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

    def in_body(self, own: Sequence[Frame]) -> list[Node]:
        """Tasks that stand in the body of a `with` whose head these frames are in."""
        found: list[Node] = []
        for frame in own:
            first, last = self.world.file(frame.file).body(frame.function, frame.line)
            if first > frame.line:
                there = self.standing.get((frame.file, frame.function), ())
                found += [n for n, line in there if first <= line <= last]
        return list(dict.fromkeys(found))

    def placed(
        self, look: Look, on: str, method: str, reach: Reach, wanted: Way, counted: frozenset[str] = frozenset()
    ) -> list[Node]:
        """Tasks that stand so to a wait: see `way`."""
        world, nodes = self.world, list[Node]()
        for stack, those in self.stacks.items():
            their = world.standing(stack)
            called = self.runs[those[0]].wait.state is TaskState.TASK
            key = ("way", stack, look.stack, look.place, on, method, called)
            stands = partial(way, world, their, look, reach, counted, called)
            if their.own and world.remembered(key, stands) == wanted:
                nodes += those
        return nodes

    def by_source(self, run: TaskRun) -> tuple[str, list[Node], list[Node]]:
        """(what is waited for, tasks that have it, tasks that will only make it), by what the source of the file says
        about waking, and where the others stand. Nothing where it says nothing."""
        world = self.world
        frame, method, on = self.asking(run)
        reach = world.file(frame.file).wakers(on, method) if frame is not None and on else {}
        if frame is None or not reach:
            return on, [], []
        look = world.standing(run.stack, frame if frame.origin != "user" else None)
        counted = world.file(frame.file).counted(frame.function, frame.line, on, method)

        def found(wanted: Way) -> list[Node]:
            placed = self.placed(look, on, method, reach, wanted, counted)
            others = [n for n in placed if self.runs[n].wait.object != run.wait.object]
            # Who waits for tasks does it by them.
            those = set(others)
            by_itself = [n for n in others if those.isdisjoint(map(node_of, self.runs[n].awaits))]
            return [n for n in others if not self.runs[n].awaits] or by_itself or others

        key = ("source", run.stack, run.wait.object)
        owners = self.moment.once((*key, "own"), lambda: found(Way.OWNER))
        makers = self.moment.once((*key, "make"), lambda: found(Way.MAKER))
        return on, owners, makers

    def asking(self, run: TaskRun) -> tuple[Frame | None, str, str]:
        """(the frame whose source says what is waited for, the method, what it is called there): the innermost of a
        library where it says so, else of the program. (None, '', '') where there is neither."""
        inner = next((f for f in run.stack.frames if f.origin != "stdlib"), None)
        for frame in (inner, run.leaf):
            if frame is not None and frame.origin != "stdlib":
                method, on = self.world.file(frame.file).waited(frame.function, frame.line)
                if on or frame is run.leaf:
                    return frame, method, on
        return None, "", ""

    def giving(self, run: TaskRun) -> list[Node]:
        """Tasks that will give back what this one waits for, and do not take it themselves before: it was taken for
        them, by who started them."""
        frame, method, on = self.asking(run)
        makers = self.by_source(run)[2] if method == "acquire" else []

        def takes(at: Frame) -> bool:
            function = self.world.file(at.file).function_at(at.function, at.line)
            calls = function.calls if function is not None else ()
            return any(c.on == on and c.method == method and c.line >= at.line for c in calls)

        return [
            n for n in makers if frame and not any(takes(f) for f in self.runs[n].stack.frames if f.file == frame.file)
        ]

    def nested(self, run: TaskRun) -> list[Node]:
        """Tasks that wait at the same object, and have taken it before by a method that only takes: `c = await
        pool.take()` is behind them, and the method that gives back is yet to come. They ask for a second one."""
        frame, method, on = self.asking(run)
        if frame is None:
            return []
        file = self.world.file(frame.file)
        takers = file.takers(on) if on and method == "acquire" else frozenset[str]()
        reach = file.wakers(on, method) if takers else {}

        def has_one(frames: Sequence[Frame]) -> bool:
            for at in frames:
                function = file.function_at(at.function, at.line) if at.file == frame.file else None
                if function is None:
                    continue
                gives = [line for line in reach.get(function.key, ()) if line >= at.line]
                back = {c.on for c in function.calls if c.line in gives}
                if any(c.method in takers and c.on in back and c.line < at.line for c in function.calls):
                    return True
            return False

        def found() -> list[Node]:
            same = (s for s in self.stacks if any(f.file == frame.file for f in s.frames) and has_one(s.frames))
            return [n for s in same for n in self.stacks[s] if self.runs[n].wait.object == run.wait.object]

        return self.moment.once(("nested", frame, run.wait.object), found) if takers else []

    def only_waker(self, run: TaskRun) -> bool:
        """Whether one function alone of its file is seen to wake who waits so."""
        if run.leaf is None:
            return False
        file = self.world.file(run.leaf.file)
        method, on = file.waited(run.leaf.function, run.leaf.line)
        return bool(on) and file.only_waker(on, method)


@dataclass(slots=True, frozen=True)
class TaskWaiter:
    """One task at one moment, as those see it that follow its wait."""

    tasks: TaskMoment
    node: Node
    task: TaskHistory
    run: TaskRun
    place: Place

    @property
    def world(self) -> World:
        return self.tasks.world

    @property
    def moment(self) -> Moment:
        return self.tasks.moment

    @property
    def wait(self) -> TaskWait:
        return self.run.wait

    @property
    def object_name(self) -> str:
        """Of the object that it waits at."""
        wait = self.wait
        return words.wanted_name(self.tasks.told(wait.object), wait)

    def end(self, kind: End, what: str) -> Root:
        return Root(kind, what, self.place)

    def link(
        self,
        via: Via,
        what: str,
        others: Sequence[Node],
        key: object,
        confidence: Confidence = Confidence.INFERRED,
        otherwise: Root | None = None,
        settle: Settle | None = None,
        alone: Root | None = None,
    ) -> Link:
        return Link(self._step(via, what, confidence), others, key, otherwise, settle, alone=alone)

    def outside(self, via: Via, what: str, end: Root) -> Link:
        """Another process has it."""
        return Link(self._step(via, what, Confidence.INFERRED), outside=end)

    def _step(self, via: Via, what: str, confidence: Confidence) -> Step:
        return Step(via, what, task_name(self.world, self.node), self.place, confidence)
