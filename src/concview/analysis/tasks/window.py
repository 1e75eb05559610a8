"""The last seconds of all tasks, joined: where their time goes, who waits at what and who has it, and their loops."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import NamedTuple

import msgspec

from concview.analysis.records import Record
from concview.analysis.tasks.history import TaskHistories
from concview.analysis.tasks.records import SharedObject, TaskHistory, TaskRun
from concview.model import Frame, Hold, LoopState, Stack, TaskState

#: With more runs than this in a window it is shortened: 60,000 take about 100 ms.
MAX_WINDOW_RUNS = 60_000
_STATES = len(TaskState)
#: Waits at something that others have or give.
SHARED = frozenset({TaskState.LOCK, TaskState.QUEUE, TaskState.POOL})


class TaskSlice(Record):
    """A run clipped to a window."""

    start_ns: int
    end_ns: int
    run: TaskRun

    @property
    def ns(self) -> int:
        return self.end_ns - self.start_ns


class GroupKey(NamedTuple):
    """Tasks of one coroutine function that do the same at the same line."""

    file: str
    line: int
    function: str
    state: TaskState
    via: str
    at_file: str
    at_line: int


class TaskWindow:
    """One task in a window."""

    __slots__ = ("ns", "slices", "task")

    def __init__(self, task: TaskHistory, start_ns: int, end_ns: int) -> None:
        self.task = task
        self.slices: list[TaskSlice] = []
        self.ns = [0] * _STATES
        for run in reversed(task.runs):
            end = run.end_ns or end_ns
            if end <= start_ns:
                break
            begin = max(run.start_ns, start_ns)
            if end > begin:
                self.slices.append(TaskSlice(begin, min(end, end_ns), run))
                self.ns[run.wait.state] += min(end, end_ns) - begin
        self.slices.reverse()

    @property
    def total_ns(self) -> int:
        return sum(self.ns)

    def share(self, *states: TaskState) -> float:
        total = self.total_ns
        return sum(self.ns[s] for s in states) / total if total else 0.0

    @property
    def shares(self) -> tuple[float, ...]:
        total = self.total_ns
        return tuple(n / total for n in self.ns) if total else (0.0,) * _STATES


@dataclass(slots=True)
class ObjectWindow:
    """Something that tasks share, in a window."""

    id: int
    kind: str
    told: SharedObject | None  #: its last report
    reports: list[tuple[int, SharedObject]] = field(default_factory=list)  #: (when, what): all of the window
    wait_ns: int = 0  #: of all waiters together
    waits: int = 0  #: that were seen
    waiters: dict[int, int] = field(default_factory=lambda: defaultdict(int))  #: task id -> ns
    held_ns: int = 0  #: of all holders together
    holders: dict[int, int] = field(default_factory=lambda: defaultdict(int))  #: task id -> ns
    exact: bool = True
    doing: dict[TaskState, int] = field(default_factory=lambda: defaultdict(int))  #: of those that hold it
    #: The stack in which most was waited, and the one in which it was held most while the holder waited.
    wait_stacks: dict[Stack, int] = field(default_factory=lambda: defaultdict(int))
    hold_runs: dict[tuple[Stack, TaskState], tuple[int, TaskRun, int]] = field(default_factory=dict)
    holds: dict[tuple[str, int], tuple[int, Hold]] = field(default_factory=dict)
    vias: Counter[str] = field(default_factory=Counter)
    now: list[TaskHistory] = field(default_factory=list)  #: wait at the end of the window
    having: list[TaskHistory] = field(default_factory=list)  #: hold it then
    tids: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """What the source calls it; '' where only a library's frames know it."""
        return self.told.told.name if self.told is not None else ""

    @property
    def limit(self) -> int:
        """Of a semaphore it is concluded from those that hold it: what most reports say."""
        known = Counter(r.told.limit for _, r in self.reports if r.told.limit > 0)
        if self.kind == "Semaphore" and known:
            return known.most_common(1)[0][0]
        return self.told.told.limit if self.told is not None else -1

    @property
    def usual(self) -> SharedObject | None:
        """The last report, with the limit that most of them say."""
        told, limit = self.told, self.limit
        if told is None or told.told.limit == limit:
            return told
        return SharedObject(
            msgspec.structs.replace(told.told, limit=limit, used=min(told.told.used, limit)), told.place
        )

    @property
    def place(self) -> Frame | None:
        return self.told.place if self.told is not None else None

    @property
    def wait_stack(self) -> Stack | None:
        return max(self.wait_stacks, key=self.wait_stacks.__getitem__) if self.wait_stacks else None

    @property
    def hold(self) -> Hold | None:
        """As it is mostly taken."""
        return max(self.holds.values(), key=lambda h: h[0])[1] if self.holds else None

    @property
    def hold_run(self) -> tuple[TaskRun, int] | None:
        """(what its holders mostly do, id of a task that did)."""
        if not self.hold_runs:
            return None
        _, run, task = max(self.hold_runs.values(), key=lambda r: r[0])
        return run, task

    @property
    def rates(self) -> tuple[float | None, float | None]:
        """(puts, gets) a second of a queue, by its own counters."""
        told = [(at, r.told) for at, r in self.reports if r.told.puts >= 0 and r.told.gets >= 0]
        if len(told) < 2:
            return None, None
        (begin, first), (end, last) = told[0], told[-1]
        seconds = max(1, end - begin) / 1e9
        return max(0, last.puts - first.puts) / seconds, max(0, last.gets - first.gets) / seconds

    @property
    def full(self) -> float:
        """The part of its reports in which all that it has was in use; -1 where that is not known."""
        known = [r.told for _, r in self.reports if r.told.limit > 0 and r.told.used >= 0]
        return sum(r.used >= r.limit for r in known) / len(known) if known else -1.0


@dataclass(slots=True)
class LoopWindow:
    """One event loop in a window. -1: not known."""

    last: LoopState
    seconds: float  #: that reports cover
    busy: float  #: share of that time in callbacks
    pops_per_s: float
    p50_s: float  #: latency: the median of its half seconds'
    p95_s: float
    max_s: float
    late_s: float  #: how late timers are: 95 %, likewise
    delayed: float = 0.0  #: the part of the half seconds in which callbacks waited for 10 ms and more (95 %)
    reports: list[LoopState] = field(default_factory=list)
    tops: dict[int, float] = field(default_factory=dict)  #: task id -> share of the window in which it ran
    asleep: float = -1.0  #: share of the time in which callbacks were due and the loop waited for events


class AioWindow:
    """Everything is computed when first asked for."""

    def __init__(self, history: TaskHistories, start_ns: int, end_ns: int) -> None:
        self.history = history
        self.start_ns = max(start_ns, history.first_ns, history.detail_ns)
        # Only what was looked at is accounted.
        self.end_ns = max(self.start_ns, min(end_ns, history.now_ns))
        runs = 0
        for task in history.every(self.start_ns):
            runs += len(task.runs)
        span = self.end_ns - self.start_ns
        if runs > MAX_WINDOW_RUNS:
            self.start_ns = self.end_ns - max(1_000_000_000, int(span * MAX_WINDOW_RUNS / runs))

    @property
    def span_ns(self) -> int:
        return max(1, self.end_ns - self.start_ns)

    @property
    def seconds(self) -> float:
        return self.span_ns / 1e9

    @cached_property
    def tasks(self) -> dict[int, TaskWindow]:
        made = (TaskWindow(t, self.start_ns, self.end_ns) for t in self.history.every(self.start_ns))
        return {w.task.id: w for w in made if w.slices}

    @cached_property
    def ns(self) -> list[int]:
        """Nanoseconds of all tasks together, by state."""
        sums = [0] * _STATES
        for window in self.tasks.values():
            for i, ns in enumerate(window.ns):
                sums[i] += ns
        return sums

    @cached_property
    def look_ns(self) -> float:
        """Mean time between two looks at tasks; nanoseconds."""
        told = [r for r in self.history.reports if r.at_ns > self.start_ns]
        looks = told[-1].looks - told[0].looks if len(told) > 1 else 0
        return (told[-1].at_ns - told[0].at_ns) / looks if looks > 0 else 20e6

    def name(self, id_: int) -> str:
        task = self.history.tasks.get(id_)
        if task is None:
            window = self.tasks.get(id_)
            task = window.task if window is not None else None
        return task.name if task is not None else f"task {id_}"

    @cached_property
    def groups(self) -> dict[GroupKey, int]:
        """Task-nanoseconds of each group."""
        found: dict[GroupKey, int] = defaultdict(int)
        for window in self.tasks.values():
            for one in window.slices:
                found[group_key(window.task, one.run)] += one.ns
        return found

    @cached_property
    def objects(self) -> dict[int, ObjectWindow]:
        """Everything that was waited at or held, or reported."""
        found: dict[int, ObjectWindow] = {}
        start = self.start_ns
        for report in self.history.objects:
            if report.at_ns > start:
                for id_, told in report.objects.items():
                    one = found.get(id_)
                    if one is None:
                        one = found[id_] = ObjectWindow(id_, told.told.kind, told)
                    one.told = told
                    one.reports.append((report.at_ns, told))
        for id_, window in self.tasks.items():
            for piece in window.slices:
                run, ns = piece.run, piece.ns
                wait = run.wait
                if wait.object and wait.state in SHARED:
                    one = self._object(found, wait.object, wait.kind)
                    one.wait_ns += ns
                    # Of a wait that began before the window only one is sure to be in it.
                    one.waits += max(1, run.waits if run.start_ns >= start else min(run.waits, 1))
                    one.waiters[id_] += ns
                    one.wait_stacks[run.stack] += ns
                    one.vias[wait.via] += 1
                    if not run.end_ns and window.task.alive:
                        one.now.append(window.task)
                for hold in run.holds:
                    if hold.lock:
                        self._held(self._object(found, hold.lock, hold.kind), window.task, piece, hold)
        return found

    @staticmethod
    def _object(found: dict[int, ObjectWindow], id_: int, kind: str) -> ObjectWindow:
        one = found.get(id_)
        if one is None:
            one = found[id_] = ObjectWindow(id_, kind, None)
        return one

    @staticmethod
    def _held(one: ObjectWindow, task: TaskHistory, piece: TaskSlice, hold: Hold) -> None:
        run, ns = piece.run, piece.ns
        one.held_ns += ns
        one.holders[task.id] += ns
        one.exact = one.exact and hold.confidence == "exact"
        one.doing[run.wait.state] += ns
        key = (run.stack, run.wait.state)
        known = one.hold_runs.get(key)
        one.hold_runs[key] = (ns + (known[0] if known else 0), run, task.id)
        site = (hold.site.file, hold.site.line)
        told = one.holds.get(site)
        one.holds[site] = (ns + (told[0] if told else 0), hold)
        if not run.end_ns and task.alive:
            one.having.append(task)

    @cached_property
    def loops(self) -> dict[int, LoopWindow]:
        """Loops that are run."""
        rows: dict[int, list[tuple[LoopState, int]]] = defaultdict(list)
        for report in self.history.reports:
            if report.at_ns > self.start_ns:
                for state in report.loops:
                    rows[state.id].append((state, report.dt_ns))
        present = {s.id for s in self.history.loops}
        return {id_: _loop(told) for id_, told in rows.items() if id_ in present}


def group_key(task: TaskHistory, run: TaskRun) -> GroupKey:
    function, leaf = task.function, run.leaf
    return GroupKey(
        function.file if function is not None else "",
        function.line if function is not None else 0,
        function.function if function is not None else "",
        run.wait.state,
        run.wait.via,
        leaf.file if leaf is not None else "",
        leaf.line if leaf is not None else 0,
    )


#: Waiting longer than this for its turn, a callback is late.
LATE_NS = 10_000_000


def _loop(told: list[tuple[LoopState, int]]) -> LoopWindow:
    last = told[-1][0]
    covered = sum(dt for _, dt in told)
    busy = [(s.busy, dt) for s, dt in told if s.busy >= 0]
    asleep = [(s.asleep, dt) for s, dt in told if s.asleep >= 0]
    weight = sum(dt for _, dt in busy)
    pops = -1.0
    if len(told) > 1 and last.pops >= 0 and told[0][0].pops >= 0:
        between = sum(dt for _, dt in told[1:])
        pops = max(0, last.pops - told[0][0].pops) / (between / 1e9) if between else -1.0
    tops: dict[int, float] = defaultdict(float)
    for state, dt in told:
        if state.top_task:
            tops[state.top_task] += state.top_share * dt / max(1, covered)
    p95 = [s.p95_ns for s, _ in told if s.p95_ns >= 0]
    return LoopWindow(
        last,
        covered / 1e9,
        sum(b * dt for b, dt in busy) / weight if weight else -1.0,
        pops,
        _median_s(s.p50_ns for s, _ in told),
        _median_s(p95),
        max((s.max_ns for s, _ in told if s.max_ns >= 0), default=-1_000_000_000) / 1e9,
        _median_s(s.late_p95_ns for s, _ in told),
        sum(n >= LATE_NS for n in p95) / len(p95) if p95 else 0.0,
        [s for s, _ in told],
        dict(tops),
        sum(a * dt for a, dt in asleep) / sum(dt for _, dt in asleep) if asleep else -1.0,
    )


def _median_s(values: Iterable[int]) -> float:
    known = [v for v in values if v >= 0]
    return median(known) / 1e9 if known else -1.0
