"""Tasks, their groups, loops and what they share, as the snapshot shows them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import islice

from concview.analysis.blame.tracker import Told
from concview.analysis.tasks import words
from concview.analysis.tasks.history import TaskHistories
from concview.analysis.tasks.records import NO_TASK_WAIT, TaskHistory, TaskRun
from concview.analysis.tasks.window import SHARED, AioWindow, GroupKey, LoopWindow, ObjectWindow, group_key
from concview.model import LIMITED_NS, NO_STACK, Loops, TaskState
from concview.snapshot import AioView, LoopView, SharedView, TaskGroupView, TaskView

#: Shown at most; of a group so many tasks.
MOST_GROUPS, MOST_TASKS, MOST_OBJECTS = 200, 400, 100
NO_TASK_SHARES = (0.0,) * len(TaskState)
#: What comes first among those that neither hold nor want something that others have.
_RANK = {
    TaskState.POOL: 0, TaskState.LOCK: 1, TaskState.EXECUTOR: 2, TaskState.QUEUE: 3, TaskState.UNKNOWN: 4,
    TaskState.IO: 5, TaskState.RUNNING: 6, TaskState.READY: 6, TaskState.TASK: 7, TaskState.SLEEP: 8, TaskState.IDLE: 9,
}  # fmt: skip


def aio_view(
    history: TaskHistories,
    window: AioWindow | None,
    threads: Mapping[int, str],
    because: Mapping[int, Told],
    most_tasks: int = MOST_TASKS,
) -> AioView | None:
    """None where neither tasks nor loops were seen. `threads`: tid -> name."""
    if not history.any:
        return None
    return _Maker(history, window, dict(threads), because).view(most_tasks)


class _Maker:
    def __init__(
        self,
        history: TaskHistories,
        window: AioWindow | None,
        threads: dict[int, str],
        because: Mapping[int, Told],
    ) -> None:
        self._history, self._window, self._threads, self._because = history, window, threads, because
        self._waiting: Counter[int] = Counter(
            t.current.wait.object
            for t in history.tasks.values()
            if t.current is not None and t.current.wait.object and t.current.wait.state in SHARED
        )
        self._behind: Counter[int] = Counter()  #: task id -> how many wait for what it has
        last = history.objects[-1].objects if history.objects else {}
        for id_, count in self._waiting.items():
            told = last.get(id_)
            for task in told.told.holders if told is not None else ():
                self._behind[task] += count

    def view(self, most_tasks: int) -> AioView:
        history, window = self._history, self._window
        present: dict[GroupKey, list[TaskHistory]] = defaultdict(list)
        for task in history.tasks.values():
            if task.current is not None:
                present[group_key(task, task.current)].append(task)
        mean = window.groups if window is not None else {}
        span = window.span_ns if window is not None else 1
        keys = [*present, *(k for k in mean if k not in present and mean[k] / span >= 0.05)]
        rank = {key: self._rank(key, present.get(key, ()), mean.get(key, 0) / span) for key in keys}
        keys.sort(key=lambda k: (rank[k], k))
        groups = [self._group(k, present.get(k, []), mean.get(k, 0) / span) for k in keys[:MOST_GROUPS]]
        shown = islice((t for k in keys for t in self._ordered(present.get(k, []))), most_tasks)
        last = history.report
        ns = window.ns if window is not None else []
        total = sum(ns)
        return AioView(
            alive=max(history.alive, len(history.tasks)),
            shares=tuple(n / total for n in ns) if total else NO_TASK_SHARES,
            seconds=window.seconds if window is not None else 0.0,
            loops=tuple(self._loops()),
            groups=tuple(groups),
            more_groups=max(0, len(keys) - len(groups)),
            tasks=tuple(self._task(t) for t in shown),
            objects=tuple(self._objects()),
            born_per_s=_births(history.reports),
            ended_per_s=_ends(history.reports),
            failed=last.failed if last is not None else 0,
            unretrieved=last.unretrieved if last is not None else 0,
            torn=last.torn / last.walks if last is not None and last.walks else 0.0,
            unseen_now=history.unseen,
            left_out=history.more,
            unseen=last.unseen if last is not None else (),
            why=last.why if last is not None else "",
            enable=last.enable if last is not None else "",
        )

    # ------------------------------------------------------------ groups

    def _rank(self, key: GroupKey, tasks: Iterable[TaskHistory], mean: float) -> tuple[int, int, float]:
        behind = sum(self._behind.get(t.id, 0) for t in tasks)
        if behind:
            return 0, 0, -behind
        contended = any(
            t.current is not None and t.current.wait.state in SHARED and words.holders_of(self._history, t.current.wait)
            for t in islice(tasks, 8)
        )
        if contended:
            return 1, 0, -mean
        return 2, _RANK[key.state], -mean

    def _ordered(self, tasks: list[TaskHistory]) -> list[TaskHistory]:
        """Those that others wait for, then those that have waited longest."""
        return sorted(tasks, key=lambda t: (-self._behind.get(t.id, 0), t.current.began_ns if t.current else 0))

    def _group(self, key: GroupKey, tasks: list[TaskHistory], mean: float) -> TaskGroupView:
        ordered = self._ordered(tasks)
        objects = {t.current.wait.object for t in tasks if t.current is not None}
        one = objects.pop() if len(objects) == 1 else 0
        what = key.via or key.state.name.lower()
        held: dict[str, None] = {}
        for task in ordered:
            for hold in task.current.holds if task.current is not None else ():
                told = self._history.object(hold.lock) if hold.lock else None
                held.setdefault((told.told.name if told is not None else "") or hold.site.expression or hold.kind)
        if ordered and ordered[0].current is not None:
            what = words.reason(self._history, ordered[0], ordered[0].current, self._threads)
        return TaskGroupView(
            key.function or ("(compiled code)" if key.via == "compiled" else "(a coroutine that was not seen)"),
            key.file,
            key.line,
            key.state,
            key.via,
            key.at_file,
            key.at_line,
            what,
            len(tasks),
            mean,
            max((self._since(t.current) for t in tasks if t.current is not None), default=0.0),
            one,
            tuple(t.id for t in ordered[:MOST_TASKS]),
            tuple(held)[:6],
            self._behind_all(tasks),
        )

    def _behind_all(self, tasks: Iterable[TaskHistory]) -> int:
        """How many wait for what these have: each is counted once, however many of these it waits for."""
        told = self._history.objects[-1].objects if self._history.objects else {}
        # What was told half a second ago is old news of one that now waits for it itself.
        waits = {t.id: t.current.wait.object for t in tasks if t.current is not None}
        return sum(
            number
            for id_, number in self._waiting.items()
            if id_ in told and any(waits.get(t, id_) != id_ for t in told[id_].told.holders)
        )

    # ------------------------------------------------------------ tasks

    def _due(self, run: TaskRun) -> float | None:
        """Of a time limit that is passed while the wait goes on nothing is known: it was put off, as `reschedule` of
        asyncio's does."""
        due = run.due_ns - self._history.now_ns
        passed = due <= 0 and run.wait.state is not TaskState.SLEEP
        return due / 1e9 if run.due_ns > LIMITED_NS and not passed else None

    def _since(self, run: TaskRun) -> float:
        return max(0, self._history.now_ns - run.began_ns) / 1e9

    def _task(self, task: TaskHistory) -> TaskView:
        history = self._history
        run = task.current
        assert run is not None
        seen = self._window.tasks.get(task.id) if self._window is not None else None
        function = task.function
        because = self._because.get(task.id, Told())
        return TaskView(
            id=task.id,
            name=task.name,
            kind=task.kind,
            function=function.function if function is not None else "",
            file=function.file if function is not None else "",
            line=function.line if function is not None else 0,
            loop=task.loop,
            age_s=max(0, history.now_ns - (task.born_ns or history.first_ns)) / 1e9,
            state=run.wait.state,
            since_s=self._since(run),
            since_open=not run.since_ns and run.start_ns <= history.first_ns,
            reason=words.reason(history, task, run, self._threads),
            shares=seen.shares if seen is not None else NO_TASK_SHARES,
            stack=run.stack if run is not None else NO_STACK,
            wait=run.wait if run is not None else NO_TASK_WAIT,
            holds=run.holds,
            awaits=tuple(t for t in run.awaits if t in history.tasks),
            awaited=run.awaited,
            due_s=self._due(run),
            blocked_by=words.holders_of(history, run.wait),
            behind=self._behind.get(task.id, 0),
            because=because.because,
            root=because.root,
        )

    # ------------------------------------------------------------ what they share, and loops

    def _objects(self) -> list[SharedView]:
        if self._window is None:
            return []
        found = self._window.objects
        order = sorted(found.values(), key=lambda o: (-o.wait_ns, -o.held_ns))
        return [self._object(o) for o in order[:MOST_OBJECTS]]

    def _object(self, one: ObjectWindow) -> SharedView:
        assert self._window is not None
        span = self._window.span_ns
        told = one.usual if one.kind == "Semaphore" else self._history.object(one.id) or one.told
        place = told.place if told is not None else None
        stack = one.wait_stack
        place = place or (stack.user_leaf if stack is not None else None)
        known = told.told if told is not None else None
        put, get = one.rates
        return SharedView(
            id=one.id,
            kind=one.kind,
            name=words.object_name(told, one.kind, one.id),
            library=known.library if known is not None else "",
            limit=known.limit if known is not None else -1,
            used=known.used if known is not None else -1,
            usage=words.usage(told),
            waiting=self._waiting.get(one.id, 0),
            waiters_mean=one.wait_ns / span,
            wait_s=one.wait_ns / 1e9,
            held=one.held_ns / span,
            holders=tuple(t for t in known.holders if t in self._history.tasks) if known is not None else (),
            exact=(known.exact if known is not None else True) and one.exact,
            file=place.file if place is not None else "",
            line=place.line if place is not None else 0,
            function=place.function if place is not None else "",
            put_rate=put,
            get_rate=get,
            backlog=known.backlog if known is not None else -1,
            threads=known.threads if known is not None else (),
        )

    def _loops(self) -> list[LoopView]:
        windows = self._window.loops if self._window is not None else {}
        made = []
        for state in self._history.loops:
            seen = windows.get(state.id)
            running = self._history.tasks.get(state.task)
            top = max(seen.tops, key=seen.tops.__getitem__, default=0) if seen is not None else state.top_task
            first = self._history.tasks.get(top)
            made.append(
                LoopView(
                    state.id,
                    state.kind,
                    state.tid,
                    self._threads.get(state.tid, f"thread {state.tid}" if state.tid else ""),
                    state.running,
                    state.tasks,
                    state.ready,
                    _known(seen.pops_per_s if seen is not None else -1),
                    _known(seen.busy if seen is not None else state.busy),
                    *_latency(seen),
                    running.name if running is not None else "",
                    first.name if first is not None else "",
                    seen.tops.get(top, 0.0) if seen is not None else state.top_share,
                )
            )
        return made


def _known(value: float) -> float | None:
    return value if value >= 0 else None


def _latency(seen: LoopWindow | None) -> tuple[float | None, float | None, float | None, float | None]:
    if seen is None:
        return None, None, None, None
    return _known(seen.p50_s), _known(seen.p95_s), _known(seen.max_s), _known(seen.late_s)


def _births(reports: Iterable[Loops]) -> float | None:
    told = [(r.at_ns, r.born) for r in reports if r.born >= 0]
    return _rate(told) if len(told) > 1 else None


def _ends(reports: Iterable[Loops]) -> float:
    return _rate([(r.at_ns, r.ended) for r in reports])


def _rate(told: list[tuple[int, int]]) -> float:
    if len(told) < 2 or told[-1][0] <= told[0][0]:
        return 0.0
    return max(0, told[-1][1] - told[0][1]) / ((told[-1][0] - told[0][0]) / 1e9)
