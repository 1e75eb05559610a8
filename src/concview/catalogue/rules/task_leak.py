"""asyncio tasks are started that never finish, and pile up.

What it sees:
    Tasks of one coroutine function that become more and more while none of them finishes.

Why it hurts:
    Every task keeps its coroutine, its locals and what they refer to: connections, buffers, the request that started
    it. Nothing shows for hours; then memory is used up, or the loop spends its time on timers and callbacks of tasks
    that nobody waits for. An exception in such a task is told to nobody, either.

How it is measured:
    Tasks are counted by their coroutine function once a second, and those that ended since: from memory, or by the
    agent where only that sees them. The value is by how many they rose over the last five minutes (at least six
    seconds), if they rose in each third of that time and at most 2 % as many ended as began. Counted, not estimated.
    Thresholds 50 and 200 tasks [H]: on the demo pair 240 after ten seconds (bad) and 0 (fixed). It is a warning when
    the rise has lasted a minute: until then tasks may only be slow; and at once where nearly all of them wait for an
    event, a condition or a bare future and not one has ended. Tasks that wait for a connection's next bytes are an
    INFO at most. Tasks that begin and end between two counts are not seen, and do not pile up.

Fix:
    Let somebody own every task, and end it: a TaskGroup (3.11 and newer) waits for its tasks or cancels them.

        async with asyncio.TaskGroup() as group:
            group.create_task(watch(request))

    Without one: keep the task, cancel it in a `finally`, and await what waits for the outside with a timeout.

When it is fine:
    One task per open connection, where the clients decide how many there are. A start-up that begins all its
    long-lived tasks: they stop rising.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from concview.analysis.records import TaskCounts
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Inapplicable, Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.model import SIGNAL_VIA, Concern, Confidence, Frame, Stack, StackEvidence, TaskInfo, TaskState, Where
from concview.source.origin import origin
from concview.text import duration, file_name, plural

#: (file, first line, function) of a coroutine
Key = tuple[str, int, str]

SPAN_NS = 300_000_000_000
LEAST_NS = 6_000_000_000
#: From here on a rise is more than slowness.
LASTING_NS = 60_000_000_000
#: So many may end for each that begins.
ENDING = 0.02
#: Of the tasks, so many wait for what somebody must remember.
MOST_OF = 0.9
#: Where a coroutine waits for the other side of a connection.
_CONNECTION = ("/asyncio/streams.py", "/asyncio/selector_events.py", "/asyncio/sslproto.py", "/uvloop/", "/websockets/")


ENDS = "Who ends these tasks when the one who started them is done?"


@dataclass(frozen=True, slots=True)
class Rise:
    """Tasks of one coroutine function that became more: `more` began than ended, of `there` that there are now."""

    key: Key
    more: int
    there: int
    ended: int
    seconds: float

    @property
    def where(self) -> Where:
        return Where(*self.key)

    def observation(self, samples: int, waits: str, connection: bool) -> Observation:
        """`waits`: a sentence without its end that says in what they wait, '' not known; `connection`: for the other
        side of one."""
        file, line, function = self.key
        rate = self.more / max(self.seconds, 1e-9)
        if waits and connection:
            waits += ", for the other side of a connection: then the clients decide how many there are"
        tasks = plural(self.there, "task")
        return Observation(
            subject=f"{file}:{line}:{function}",
            value=self.more,
            lower=self.more,
            samples=samples,
            episodes=self.more,
            confidence=Confidence.EXACT,
            title=f"{tasks} of {function}, {rate:.1f} more every second",
            summary=(
                f"There are {tasks} of {function} (line {line} of {file_name(file)}); in "
                f"{duration(self.seconds)} {self.more} more began than ended"
                f"{', not one of which did' if not self.ended else ''}.{f' {waits}.' if waits else ''}"
            ),
            gain=f"The memory of {tasks} and what they hold; {rate * 3600:.0f} more every hour.",
            check_next=ENDS,
        )


class TaskLeak:
    id: ClassVar[str] = "task-leak"
    title: ClassVar[str] = "Tasks pile up that never finish"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(50, 200, "tasks", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ()
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "tasks that began and did not end"
    concern: ClassVar[Concern] = Concern.GIVER

    def observe(self, window: Window) -> Iterable[Observation]:
        history = window.history
        if history.aio.tasks and not (history.aio.report is not None and history.aio.report.why):
            yield from self._from_memory(window)
            return
        if history.tasks is None:
            _aio.require_tasks(window)
            return
        if not history.tasks.loops:
            if window.target.free_threaded:
                raise Inapplicable("the agent leaves frames alone where there is no GIL", "use a build with a GIL")
            raise Inapplicable("no running event loop of asyncio was seen: there are no tasks to leak")
        for rise in _rises(history.task_counts, history.now_ns):
            yield self._tell(window, rise)

    def _from_memory(self, window: Window) -> Iterable[Observation]:
        aio = window.history.aio
        for rise in _rises(aio.counts, aio.now_ns):
            yield self._seen(window, rise)

    def _seen(self, window: Window, rise: Rise) -> Observation:
        """From memory: every task is known."""
        mine = [
            t
            for t in window.history.aio.tasks.values()
            if t.function is not None and (t.function.file, t.function.line, t.function.function) == rise.key
        ]
        runs = [t.current for t in mine if t.current is not None]
        states = Counter((r.wait.state, r.wait.via) for r in runs)
        (state, via), most = states.most_common(1)[0] if states else ((TaskState.UNKNOWN, ""), 0)
        shares = sum(n for (s, v), n in states.items() if _nobody(s, v)) / len(runs) if runs else 0.0
        connection = state in (TaskState.IO, TaskState.IDLE)
        stacks = evidence.heaviest((r.stack, 1) for r in runs)
        leaf = stacks.user_leaf if stacks is not None else None
        example = mine[-1] if mine else None
        sure = shares >= MOST_OF and not rise.ended
        what = f"They wait in {leaf.function}, line {leaf.line}" if leaf is not None else ""
        if what and most and via:
            what += f" ({via})"
        tids = {s.tid for s in window.history.aio.loops for t in mine if t.loop == s.id and s.tid}
        return replace(
            rise.observation(window.samples, what, connection),
            where=tuple(dict.fromkeys((rise.where, *((evidence.at(leaf),) if leaf else ())))),
            threads=tuple(sorted(tids)),
            tasks=tuple(t.id for t in mine[-20:]),
            stacks=_aio.shown("task", window.aio, example.id, stacks, "as most of them") if example is not None else (),
            severity_cap="" if not connection and (sure or rise.seconds >= LASTING_NS / 1e9) else "info",
            floor=75 if sure and not connection else 0,
        )

    def _tell(self, window: Window, rise: Rise) -> Observation:
        """From the agent: some tasks of each function are known, with their await chains."""
        file, _, function = rise.key
        tasks = window.history.tasks
        loops = tasks.loops if tasks is not None else ()
        mine = [
            t
            for loop in loops
            for t in loop.tasks
            if t.chain and t.chain[0].file == file and t.chain[0].function == function
        ]
        example = mine[-1] if mine else None
        made = next((t for t in mine if t.created_file), None)
        waits = _own_await(example)
        connection = bool(example and any(part in a.file for a in example.chain for part in _CONNECTION))
        where = [Where(made.created_file, made.created_line, "creates the task")] if made is not None else []
        where += [rise.where, *([waits] if waits is not None else [])]
        what = f"They wait in {waits.function}, line {waits.line}" if waits is not None else ""
        return replace(
            rise.observation(window.samples, what, connection),
            check_next=(
                ENDS
                if made is not None
                else "Where are they made? With PYTHONASYNCIODEBUG=1 the loop remembers, and this finding says."
            ),
            where=tuple(dict.fromkeys(where)),
            threads=tuple(loop.tid for loop in loops if any(g.function == function for g in loop.groups)),
            stacks=_stack(window, example),
            severity_cap="info" if connection or rise.seconds < LASTING_NS / 1e9 else "",
        )


def _nobody(state: TaskState, via: str) -> bool:
    """Whether such a wait ends only when somebody remembers it: for an event, a condition, a bare future."""
    return state is TaskState.UNKNOWN or (state is TaskState.LOCK and via in SIGNAL_VIA)


def _rises(counts: Iterable[TaskCounts], now_ns: int) -> list[Rise]:
    """Of the counts of the last minutes: the functions whose tasks rise, the program's own before those of
    libraries."""
    reports = [r for r in counts if r.at_ns > now_ns - SPAN_NS]
    found = [rise for key in (reports[-1].counts if reports else ()) if (rise := _rise(key, reports)) is not None]
    return [r for r in found if origin(r.key[0]) == "user"] or found


def _rise(key: Key, reports: list[TaskCounts]) -> Rise | None:
    """When tasks of this function rose steadily and next to none ended."""
    seen = [(r.at_ns, *r.counts.get(key, (0, 0))) for r in reports]
    first = 0
    for at in range(len(seen) - 1, 0, -1):  # back to where the last of them ended, or fewer became
        if seen[at][1] < seen[at - 1][1] or seen[at][2] > ENDING * max(1, seen[at][1]):
            first = at
            break
    seen = seen[first:]
    if len(seen) < 4 or seen[-1][0] - seen[0][0] < LEAST_NS:
        return None
    thirds = [seen[(len(seen) - 1) * n // 3][1] for n in range(4)]
    if any(after <= before for before, after in pairwise(thirds)):
        return None
    ended = sum(s[2] for s in seen[1:])
    born = seen[-1][1] - seen[0][1] + ended
    if ended > ENDING * born:
        return None
    since_ns, there = seen[0][0], reports[-1].counts[key][0]
    return Rise(key, born - ended, there, ended, (reports[-1].at_ns - since_ns) / 1e9)


def _own_await(task: TaskInfo | None) -> Where | None:
    """The innermost line of the user's own that the task waits at."""
    if task is None:
        return None
    own = [a for a in task.chain if origin(a.file) == "user"]
    return Where(own[-1].file, own[-1].line, own[-1].function) if own else None


def _stack(window: Window, task: TaskInfo | None) -> tuple[StackEvidence, ...]:
    if task is None:
        return ()
    frames = tuple(Frame(a.function, a.file, a.line, "", origin(a.file)) for a in task.chain[::-1])
    return evidence.shown("task", 0, task.name, Stack(frames), f"seen for {duration(task.age_s)}")


RULE = TaskLeak()
