"""What the rules about tasks share: when they apply, counting, words, await chains as evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from concview.analysis.statistics import lower_mean
from concview.analysis.tasks import words
from concview.analysis.tasks.records import TaskHistory, TaskRun
from concview.analysis.tasks.window import AioWindow, ObjectWindow
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Inapplicable, Observation
from concview.catalogue.evidence import LASTING_NS, MAX_FRAMES
from concview.catalogue.rules._loops import is_loop
from concview.model import AT_YIELD, GENERATOR, Confidence, Hold, Stack, StackEvidence, State, TaskState, Where
from concview.text import duration, percent, plural

#: Waits of which only others, or the loop, are the end: everything but being run.
ASIDE = frozenset(TaskState) - {TaskState.RUNNING, TaskState.READY}
#: Of what a holder does, by its state, in words.
DOING = {
    TaskState.RUNNING: "computing", TaskState.READY: "waiting for the loop", TaskState.LOCK: "waiting for another lock",
    TaskState.QUEUE: "waiting at a queue", TaskState.POOL: "waiting for a pool", TaskState.SLEEP: "sleeping",
    TaskState.IO: "waiting for I/O", TaskState.EXECUTOR: "waiting for a call in a thread",
    TaskState.TASK: "waiting for other tasks", TaskState.IDLE: "idle", TaskState.UNKNOWN: "waiting for a future",
}  # fmt: skip
ONLY_TASKS = "it judges threads, and only tasks of event loops have work here"
#: A thread with this share of its time idle or asleep has no part in what threads do to each other.
_QUIET = 0.95


def require_tasks(window: Window) -> AioWindow:
    """The window's tasks; Inapplicable where there are none, or none can be seen."""
    aio = window.aio
    report = aio.history.report
    if report is not None and report.why:
        raise Inapplicable(report.why, report.enable)
    if not aio.tasks:
        unseen = f"; {report.unseen[0]}" if report is not None and report.unseen else ""
        raise Inapplicable(f"no tasks of asyncio or trio were seen{unseen}")
    return aio


def only_tasks(window: Window) -> bool:
    """Whether all that this program does, it does in tasks: no thread but those of event loops has work."""
    loops = 0
    for thread in window.threads:
        if is_loop(thread) or any(s.tid == thread.tid for s in window.history.aio.loops):
            loops += 1
        elif thread.share(State.IDLE) + thread.share(State.SLEEP) < _QUIET:
            return False
    return loops > 0


# ---------------------------------------------------------------- counting


def looks_in(aio: AioWindow, nanoseconds: float) -> int:
    """How many looks fell into so much task time."""
    return int(nanoseconds / max(1.0, aio.look_ns))


def lasting(aio: AioWindow, tasks: Iterable[TaskHistory]) -> list[TaskHistory]:
    """Those whose wait lasts for `LASTING_NS` at least, and has not ended."""
    limit = aio.end_ns - LASTING_NS
    return [t for t in tasks if t.current is not None and t.current.began_ns <= limit]


def lower_waiters(aio: AioWindow, one: ObjectWindow) -> tuple[float, float, int]:
    """(mean number of tasks that wait, its lower end, those that are stuck): the stuck ones are counted."""
    mean = one.wait_ns / aio.span_ns
    stuck = len(lasting(aio, one.now))
    ticks = looks_in(aio, aio.span_ns)
    lower = lower_mean(mean, len(one.waiters), ticks, max(one.waits, len(one.waiters)))
    return mean, max(lower, min(mean, float(stuck))), stuck


def queued(aio: AioWindow, one: ObjectWindow, kind: str, most: int, stacks: int) -> Observation:
    """What is measured of an object that tasks wait for, without words. `most` holders and waiters are named, and
    `stacks` waiters shown."""
    mean, lower, stuck = lower_waiters(aio, one)
    waiters, holders = by_time(one.waiters), by_time(one.holders)
    return Observation(
        subject=f"{kind} {one.id:#x}",
        value=mean,
        lower=lower,
        lasting=stuck,
        samples=max(looks_in(aio, one.wait_ns), stuck),
        episodes=max(one.waits, stuck),
        confidence=Confidence.EXACT if one.exact else Confidence.INFERRED,
        label=name_of(one),
        where=where(one),
        tasks=(*holders[:most], *(t for t in waiters[:most] if t not in one.holders)),
        stacks=holder_stack(aio, one) + waiter_stacks(aio, one, stacks),
    )


# ---------------------------------------------------------------- words and stacks


def who(aio: AioWindow, ids: Sequence[int]) -> str:
    """'fetch', '48 tasks of report', '3 tasks'."""
    if len(ids) <= 2:
        return " and ".join(aio.name(t) for t in ids) or "nobody"
    functions = {w.task.function.function for t in ids if (w := aio.tasks.get(t)) is not None and w.task.function}
    of = f" of {next(iter(functions)).rpartition('.')[2]}" if len(functions) == 1 else ""
    return f"{len(ids)} tasks{of}"


def waiting(aio: AioWindow, ids: Sequence[int], mean: float, what: str) -> str:
    """'On average 18.0 of 20 tasks of fetch wait for ...'; where tasks come and go, how many ever did says nothing."""
    if len(ids) > 2 and crowd(ids, mean) != len(ids):
        return f"On average {mean:.1f} {who(aio, ids).partition(' ')[2]} wait {what}"
    return evidence.waiting(who(aio, ids), mean, what)


def unmoved(aio: AioWindow, one: ObjectWindow, stuck: int) -> str:
    """'. 6 tasks have not moved for 9.5 s', of those that wait for it; '' where none is stuck."""
    if not stuck:
        return ""
    longest = max((aio.end_ns - t.current.began_ns for t in one.now if t.current is not None), default=0)
    return f". {plural(stuck, 'task')} {'has' if stuck == 1 else 'have'} not moved for {duration(longest / 1e9)}"


def generators(aio: AioWindow, one: ObjectWindow) -> list[int]:
    """Ids of the asynchronous generators which have it, and that nobody iterates."""
    return [i for i in by_time(one.holders) if (task := aio.history.find(i)) is not None and task.kind == GENERATOR]


def by_time(spent: dict[int, int]) -> list[int]:
    return sorted(spent, key=lambda t: -spent[t])


def doing(run: TaskRun) -> str:
    """What a task does, with its peer."""
    peer = run.wait.peer
    if run.wait.state is TaskState.IO and peer is not None:
        return f"waiting for {peer.described}"
    if run.wait.via == AT_YIELD:
        return "standing at a yield"
    return DOING[run.wait.state]


def holders_do(one: ObjectWindow) -> tuple[str, float]:
    """What those who have it mostly do, and the part of the held time: ('waiting for tcp 10.0.0.1:5432', 0.97)."""
    held = one.hold_run
    if held is None or not one.held_ns:
        return "", 0.0
    run, _ = held
    return doing(run), one.doing[run.wait.state] / one.held_ns


#: What is written where one of these is taken is a session or a request, not the pool.
_BY_OTHERS = frozenset({"Pool", "Limiter"})


def crowd(waiters: Sequence[int], mean: float) -> int:
    """How many wait: those that were seen to, or, where tasks come and go, as many as do at a time."""
    return len(waiters) if len(waiters) <= 2 * mean else max(1, round(mean))


def name_of(one: ObjectWindow) -> str:
    """As the source calls it; by its hold where no report does."""
    hold = one.hold
    if not one.name and one.kind not in _BY_OTHERS and hold is not None and hold.site.expression:
        return hold.site.expression
    return words.object_name(one.told, one.kind, one.id)


def spot_of(one: ObjectWindow) -> str:
    """'cache.py:41 in Cache.get': where it is waited for."""
    stack = one.wait_stack
    return evidence.frame_spot(stack.user_leaf if stack is not None else one.place)


def shown(role: str, aio: AioWindow, id_: int, stack: Stack | None, note: str = "") -> tuple[StackEvidence, ...]:
    """An await chain as evidence; nothing when there is none."""
    if stack is None or not stack.frames:
        return ()
    frames = stack.frames
    if len(frames) > MAX_FRAMES:
        frames = (*frames[: MAX_FRAMES - 1], frames[-1])
    return (StackEvidence(role, 0, aio.name(id_), frames, note, id_),)


def waiter_stacks(aio: AioWindow, one: ObjectWindow, most: int = 2) -> tuple[StackEvidence, ...]:
    out: tuple[StackEvidence, ...] = ()
    for id_ in by_time(one.waiters)[:most]:
        window = aio.tasks.get(id_)
        runs = [s for s in window.slices if s.run.wait.object == one.id] if window is not None else []
        stack = evidence.heaviest((s.run.stack, s.ns) for s in runs)
        waited = one.waiters[id_] / 1e9
        out += shown("waiter", aio, id_, stack, f"waited {duration(waited)} of the last {duration(aio.seconds)}")
    return out


def holder_stack(aio: AioWindow, one: ObjectWindow, role: str = "holder") -> tuple[StackEvidence, ...]:
    held = one.hold_run
    if held is None:
        return ()
    run, id_ = held
    what, part = holders_do(one)
    return shown(role, aio, id_, run.stack, f"{what}, {percent(part)} of the time it is held" if what else "")


def where(one: ObjectWindow) -> tuple[Where, ...]:
    """Lines to look at: where it is taken, waited for, and where its holder stands."""
    held = one.hold_run
    hold: Hold | None = one.hold
    site = hold.site if hold is not None and hold.site.file else None
    return evidence.places(held[0].stack if held is not None else None, one.wait_stack, first=site)
