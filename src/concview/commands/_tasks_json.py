"""Tasks, loops and what tasks share, as `check` and `dump` print them in JSON."""

from __future__ import annotations

import math

from concview.commands import _schema as out
from concview.model import TASK_STATES, Hold, TaskState
from concview.session.task_views import NO_TASK_SHARES
from concview.snapshot import AioView, LoopView, SharedView, TaskGroupView, TaskView


def _round(value: float, digits: int = 3) -> float:
    """JSON knows no NaN."""
    return round(value, digits) if math.isfinite(value) else 0.0


def _maybe(value: float | None, digits: int = 6) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


def lock_id(address: int, key: str) -> str:
    return f"{address:#x}" if address else key


def hold_out(h: Hold) -> out.HoldOut:
    return out.HoldOut(
        lock_id(h.lock, h.site.key), h.kind, h.site.expression, h.site.file, h.site.line, h.confidence.value
    )


def _site(file: str, line: int, function: str = "") -> out.SiteOut | None:
    return out.SiteOut(file, line, function) if file else None


def tasks_out(aio: AioView) -> out.TasksOut:
    names = {t.id: t.name for t in aio.tasks}
    return out.TasksOut(
        alive=aio.alive,
        shares={s: _round(v, 4) for s, v in zip(TASK_STATES, aio.shares or NO_TASK_SHARES, strict=True)},
        groups=[_group(g) for g in aio.groups],
        more_groups=aio.more_groups,
        objects=[_shared(o, names) for o in aio.objects],
        born_per_s=_maybe(aio.born_per_s, 2),
        ended_per_s=_round(aio.ended_per_s, 2),
        failed=aio.failed,
        unretrieved=aio.unretrieved,
        torn_share=_round(aio.torn, 4),
        unseen=list(aio.unseen),
        why=aio.why,
        enable=aio.enable,
        left_out=aio.left_out,
    )


def _group(group: TaskGroupView) -> out.TaskGroupOut:
    return out.TaskGroupOut(
        out.SiteOut(group.file, group.line, group.function),
        group.state.name.lower(),
        group.via,
        group.what,
        _site(group.at_file, group.at_line),
        group.now,
        _round(group.mean),
        _round(group.longest_s),
        list(group.tasks),
        list(group.holds),
        group.behind,
    )


def _shared(one: SharedView, names: dict[int, str]) -> out.SharedOut:
    return out.SharedOut(
        id=lock_id(one.id, one.name),
        kind=one.kind,
        name=one.name,
        library=one.library,
        limit=one.limit if one.limit >= 0 else None,
        used=one.used if one.used >= 0 else None,
        waiting=one.waiting,
        waiters_mean=_round(one.waiters_mean),
        wait_s=_round(one.wait_s),
        holders=list(one.holders),
        holder_names=[names[t] for t in one.holders if t in names],
        confidence="exact" if one.exact else "inferred",
        site=_site(one.file, one.line, one.function),
        puts_per_s=_maybe(one.put_rate, 2),
        gets_per_s=_maybe(one.get_rate, 2),
        backlog=one.backlog if one.backlog >= 0 else None,
        threads=list(one.threads),
    )


def loops_out(aio: AioView | None) -> list[out.LoopOut]:
    return [_loop(loop) for loop in aio.loops] if aio is not None else []


def _loop(loop: LoopView) -> out.LoopOut:
    return out.LoopOut(
        f"{loop.id:#x}",
        loop.kind,
        loop.tid,
        loop.thread,
        loop.running,
        loop.tasks,
        loop.ready,
        _maybe(loop.callbacks_per_s, 2),
        _maybe(loop.busy, 4),
        _maybe(loop.p50_s),
        _maybe(loop.p95_s),
        _maybe(loop.max_s),
        _maybe(loop.late_s),
        loop.task,
        loop.top,
        _round(loop.top_share, 4),
    )


def _waiting(task: TaskView, names: dict[int, SharedView]) -> out.TaskWaitingOut | None:
    wait = task.wait
    if task.state in (TaskState.RUNNING, TaskState.READY):
        return None
    shared = names.get(wait.object)
    return out.TaskWaitingOut(
        kind=task.state.name.lower(),
        via=wait.via,
        object=f"{wait.object:#x}" if wait.object else None,
        name=shared.name if shared is not None else "",
        holders=list(task.blocked_by),
        confidence=("exact" if shared is None or shared.exact else "inferred") if task.blocked_by else None,
        peer=wait.peer.name if wait.peer is not None else None,
        tid=wait.tid or None,
        tasks=list(task.awaits),
        count=task.awaited,
        due_s=_maybe(task.due_s, 3),
        text=task.reason,
    )


def dump_into(dump: out.DumpOut, aio: AioView | None) -> out.DumpOut:
    """The same with its tasks."""
    if aio is None:
        return dump
    shared = {o.id: o for o in aio.objects}
    tids = {loop.id: loop.tid for loop in aio.loops}
    names = {t.id: t.name for t in aio.tasks}
    dump.tasks = [
        out.DumpTaskOut(
            id=t.id,
            name=t.name,
            kind=t.kind,
            function=t.function,
            state=t.state.name.lower(),
            since_s=_round(t.since_s),
            since_open=t.since_open,
            loop=f"{t.loop:#x}",
            tid=tids.get(t.loop) or None,
            waiting_for=_waiting(t, shared),
            holds=[hold_out(h) for h in t.holds],
            frames=[out.FrameOut(f.function, f.file, f.line, f.text) for f in t.stack.frames],
            because=t.because,
        )
        for t in aio.tasks
    ]
    dump.more_tasks = max(0, aio.alive - len(aio.tasks))
    dump.objects = [_shared(o, names) for o in aio.objects]
    dump.loops = loops_out(aio)
    dump.unseen = [*aio.unseen, *([aio.why] if aio.why else [])]
    return dump
