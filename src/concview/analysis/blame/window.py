"""Goes through the moments of a stream, a piece at a time, and keeps what was found of the last while.

A moment lasts from one change of any thread's condition to the next. Of a half second, as many moments are followed as
can be afforded; when there are more, random ones stand for equal stretches of it, and that is said.

Who refers to what is waited for, and the source of a file, become known a little after the wait has begun. So what was
left unexplained is followed once more when more is known.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile

from concview.analysis.blame.engine import Memory, follow
from concview.analysis.blame.kinds.base import Kind, kinds
from concview.analysis.blame.nouns import End, Node, Part, Root, Row
from concview.analysis.blame.tasks.names import node_of
from concview.analysis.blame.world import Moment, World
from concview.analysis.history import RUNS_NS, History
from concview.analysis.records import Run, ThreadHistory
from concview.analysis.tasks.records import TaskHistory, TaskRun
from concview.model import AT_YIELD, Relations, State
from concview.source.wakes import Wakes

#: Length of a slice, and thread-moments that are followed in one: at some 15 us each, 30 ms.
SLICE_NS = 500_000_000
MOST_NODES = 2_000
#: At least so many moments of a slice are looked at, however many threads there are.
LEAST_MOMENTS = 2
#: Above so many threads, a slice is as long as it takes for LEAST_MOMENTS to stay within the budget.
LONGEST_NS = 5_000_000_000
#: Tasks that are followed at most.
MOST_TASKS = 3_000
#: What was left unexplained is followed again so much later (two looks at who refers to what), and no more after so
#: long; so often, where that is more than such a part of a slice's time.
AGAIN_NS, LATEST_NS, MOST_AGAIN, AGAIN_SHARE = 1_000_000_000, 4_000_000_000, 2, 0.005
_STARVED = Root(End.STARVED, "waits for a CPU")


@dataclass(slots=True)
class Slice:
    """One stretch of the stream, added up."""

    start_ns: int
    end_ns: int
    rows: dict[tuple[Root, tuple[object, ...]], Row] = field(default_factory=dict)
    moments: int = 0  #: that were there
    followed: int = 0  #: of these
    threads: int = 0
    total_ns: int = 0  #: of all threads together
    known: tuple[int, int] | None = None  #: what was known then (see `Blamer._known`); None: it is not followed again
    again: int = 0  #: how often it was

    @property
    def unexplained_ns(self) -> int:
        return sum(row.total for row in self.rows.values() if row.root.kind is End.UNEXPLAINED)


class Blamer:
    """`advance` behind the history, in the order of time; `slices` of the last while. Not thread-safe."""

    def __init__(self, wakes: Wakes | None = None, budget: int = MOST_NODES, seed: int = 1) -> None:
        self._wakes = wakes or Wakes(lambda _: ())
        self._budget = budget
        self._seed = seed
        self._kinds: Sequence[Kind] = ()
        self._memory, self._memory_again = Memory(), Memory()
        self.world: World | None = None
        self.slices: deque[Slice] = deque()
        self._until = 0

    def advance(self, history: History, start_ns: int = 0, between: Callable[[], None] = lambda: None) -> None:
        """Follow what has come since the last call, as far as it is later than `start_ns`: what is asked for seldom, of
        a recording, is not followed where nobody looks."""
        if self.world is None or self.world.history is not history:
            self._kinds = kinds()
            self.world = World(history, self._wakes)
            self._until = max(history.first_ns, start_ns)
        self._wakes.refill()
        self.world.objects.learn(history.relations.reports(Relations))
        self.world.kernel.learn(history.relations)
        now = history.now_ns
        self.world.turn(now)
        if now < self._until:  # time runs backwards in a recording that somebody made up
            self._until = now
        self._until = max(self._until, now - RUNS_NS, min(start_ns, now))
        while self._until < now:
            length = self.slice_ns(history)
            if length > SLICE_NS and self.slices and now - self._until < length:
                break  # of so many threads, a look takes its time: not before there is a whole slice of them
            end = min(now, self._until + length)
            if now - end < length // 2:
                end = now
            self.slices.append(self._slice(history, self._until, end, self._memory))
            self._until = end
            between()
        self._follow_again(history, between)
        while self.slices and self.slices[0].end_ns < now - RUNS_NS:
            self.slices.popleft()

    def _known(self, history: History) -> tuple[int, int]:
        """Grows when who waits for what becomes known, and when source is read."""
        return history.relations.last_ns, self._wakes.uses.changes

    def _follow_again(self, history: History, between: Callable[[], None]) -> None:
        """What was not explained, when more is known."""
        known, now = self._known(history), history.now_ns
        recent = takewhile(lambda i: self.slices[i].end_ns > now - LATEST_NS, range(len(self.slices) - 1, -1, -1))
        for i in reversed(list(recent)):
            one = self.slices[i]
            if one.known in (None, known) or one.end_ns > now - AGAIN_NS:
                continue
            if one.again == MOST_AGAIN or one.unexplained_ns <= AGAIN_SHARE * one.total_ns:
                one.known = None
                continue
            made = self.slices[i] = self._slice(history, one.start_ns, one.end_ns, self._memory_again)
            made.again = one.again + 1
            between()

    def now(self) -> dict[Node, list[Part]]:
        """Every thread at the end of the stream, followed."""
        world = self.world
        if world is None:
            return {}
        runs = {t.tid: t.current for t in world.history.threads.values() if t.counts and t.current is not None}
        at = world.history.now_ns
        tasks = {node_of(t.id): t.current for t in self._followed(world.history, at) if t.current is not None}
        found = follow([*runs, *tasks], Moment(at, runs, world, self._kinds, tasks).answer, at, self._memory)
        return world.kernel.names.parts(found)

    @staticmethod
    def _followed(history: History, start_ns: int) -> list[TaskHistory]:
        """Tasks whose time is explained: as many as can be afforded, those that hold something first."""
        every = list(history.aio.every(start_ns))
        if len(every) > MOST_TASKS:
            every.sort(key=lambda t: not (t.current is not None and t.current.holds))
            del every[MOST_TASKS:]
        return every

    def slice_ns(self, history: History) -> int:
        """Of a slice, with that many threads and tasks."""
        threads = len(history.threads) + min(MOST_TASKS, len(history.aio.tasks))
        return min(LONGEST_NS, max(SLICE_NS, SLICE_NS * threads * LEAST_MOMENTS // self._budget))

    def _slice(self, history: History, start: int, end: int, memory: Memory) -> Slice:
        world = self.world
        assert world is not None
        every = [*history.threads.values(), *(t for t in history.gone if t.gone_ns > start)]
        now, changes = _changes([t for t in every if t.counts], start, end)
        tasks, more = _task_changes(self._followed(history, start), start, end)
        for tid, run in now.items():
            world.seen.learn(tid, run)
        for _, tid, fresh in changes:
            if fresh is not None:
                world.seen.learn(tid, fresh)
        made = Slice(start, end, threads=len(now) + len(tasks) - sum(map(_is_generator, tasks.values())))
        if end - start <= SLICE_NS * 3 // 2:  # of so many threads that a slice is longer there is no time for that
            made.known = self._known(history)
        together: list[_Change] = sorted([*changes, *more], key=lambda c: (c[0], c[2] is not None))
        late = {t.tid: share for t in every if (share := _late(t, start)) > 0}
        wanted = max(LEAST_MOMENTS, self._budget // max(1, len(now) + len(tasks)))
        for at, ns, runs in self._moments(now, tasks, together, start, end, wanted, made):
            moment = Moment(at, runs, world, self._kinds, tasks)
            found = follow([*runs, *tasks], moment.answer, at, memory)
            made.followed += 1
            for tid, parts in found.items():
                if tid < 0 and _is_generator(tasks[tid]):
                    continue  # it is in the way of others, and waits for nothing itself
                running = tid > 0 and runs[tid].state is State.RUNNING
                _add(made, tid, parts, ns, late.get(tid, 0.0) if running else 0.0)
        world.seen.forget(set(history.threads))
        return made

    def _moments(
        self,
        now: dict[Node, Run],
        tasks: dict[Node, TaskRun],
        changes: list[_Change],
        start: int,
        end: int,
        wanted: int,
        made: Slice,
    ) -> Iterator[tuple[int, int, dict[Node, Run]]]:
        """(when, how long, who does what). Together they last from `start` to `end`."""
        cuts = sorted({start, *(c[0] for c in changes if start < c[0] < end)})
        made.moments = len(cuts)
        if len(cuts) <= wanted:
            stretches = [(at, nxt - at, at) for at, nxt in zip(cuts, [*cuts[1:], end], strict=True)]
        else:
            # The same ones of a slice, whatever was followed before it.
            chance = random.Random(f"{self._seed} {start}")
            edges = [start + (end - start) * i // wanted for i in range(wanted + 1)]
            stretches = [(a, b - a, chance.randrange(a, b)) for a, b in pairwise(edges) if b > a]
        position = 0
        for _, ns, at in stretches:
            while position < len(changes) and changes[position][0] <= at:
                _, tid, run = changes[position]
                if run is None:
                    now.pop(tid, None)
                    tasks.pop(tid, None)
                elif isinstance(run, TaskRun):
                    tasks[tid] = run
                else:
                    now[tid] = run
                position += 1
            yield at, ns, now


def _is_generator(run: TaskRun) -> bool:
    return run.wait.via == AT_YIELD


def _changes(
    threads: Sequence[ThreadHistory], start: int, end: int
) -> tuple[dict[Node, Run], list[tuple[int, Node, Run | None]]]:
    """What each did at `start`, and what changed before `end`, in the order of time; None: it ended."""
    now: dict[Node, Run] = {}
    changes: list[tuple[int, Node, Run | None]] = []
    for thread in threads:
        last = 0
        for run in takewhile(lambda r: not r.end_ns or r.end_ns > start, reversed(thread.runs)):
            if run.start_ns <= start:
                now[thread.tid] = run
            elif run.start_ns < end:
                changes.append((run.start_ns, thread.tid, run))
            last = last or (run.end_ns if run.end_ns else -1)
        if 0 < last < end:
            changes.append((last, thread.tid, None))
    # At one moment an end comes before the beginning of another with the same number.
    changes.sort(key=lambda c: (c[0], c[2] is not None))
    return now, changes


#: (when, who, what it does from then on; None: it ended)
_Change = tuple[int, Node, Run | TaskRun | None]


def _task_changes(
    tasks: Sequence[TaskHistory], start: int, end: int
) -> tuple[dict[Node, TaskRun], list[tuple[int, Node, TaskRun | None]]]:
    """The same of tasks."""
    now: dict[Node, TaskRun] = {}
    changes: list[tuple[int, Node, TaskRun | None]] = []
    for task in tasks:
        node, last = node_of(task.id), 0
        for run in takewhile(lambda r: not r.end_ns or r.end_ns > start, reversed(task.runs)):
            if run.start_ns <= start:
                now[node] = run
            elif run.start_ns < end:
                changes.append((run.start_ns, node, run))
            last = last or (run.end_ns if run.end_ns else -1)
        if 0 < last < end:
            changes.append((last, node, None))
    return now, changes


def _late(thread: ThreadHistory, start: int) -> float:
    """The part of the time sampled as running in which it was only ready to run, by the kernel's run-queue delay."""
    for bucket in reversed(thread.buckets):
        if bucket.end_ns <= start:
            break
        busy = bucket.sampled[State.RUNNING] + bucket.sampled[State.RUNNABLE]
        if busy > 0 and bucket.cpu_ns >= 0 and bucket.run_delay_ns > 0:
            delay = min(bucket.run_delay_ns, busy)
            return delay / busy
    return 0.0


def _add(made: Slice, tid: Node, parts: Sequence[Part], ns: int, late: float) -> None:
    """Spread `ns` over the parts so that the nanoseconds sum to it exactly."""
    made.total_ns += ns
    if late > 0:
        delayed = round(ns * late)
        if delayed:
            place = parts[0].root.place
            _count(made, tid, Part(1.0, _STARVED._replace(place=place)), delayed)
        ns -= delayed
    given, so_far = 0, 0.0
    last = len(parts) - 1
    for i, part in enumerate(parts):
        so_far += part.weight
        upto = ns if i == last else min(ns, round(ns * so_far))
        if upto > given:
            _count(made, tid, part, upto - given)
            given = upto


def _count(made: Slice, tid: Node, part: Part, ns: int) -> None:
    key = (part.root, part.path)
    row = made.rows.get(key)
    if row is None:
        row = made.rows[key] = Row(part.root, part.path, {}, [set() for _ in part.nodes])
    row.ns[tid] = row.ns.get(tid, 0) + ns
    if row.owners:
        row.owners[0].update(part.owners)
        row.had_ns += ns * max(1, len({*part.owners, *part.nodes[:1]}))
    for owners, node in zip(row.owners, part.nodes, strict=False):
        owners.add(node)
