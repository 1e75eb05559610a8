"""Tasks and loops as text: in `check` by groups, in `dump` below the threads with await chains and who holds what."""

from __future__ import annotations

from concview.commands._text_writer import BOLD, DIM, RED, YELLOW, Pen
from concview.model import TASK_STATES, TaskState
from concview.snapshot import AioView, LoopView, SharedView, Snapshot, TaskView
from concview.text import clean, count, duration, percent, plural, short_path

#: Groups and objects that `check` shows; tasks that `dump` shows whole, of those alike so many.
MOST_GROUPS, MOST_OBJECTS, MOST_WHOLE, MOST_ALIKE = 15, 8, 60, 1


def loop_text(loop: LoopView) -> str:
    """One line about a loop."""
    parts = [plural(loop.tasks, "task")]
    if loop.busy is not None:
        parts.append(f"in callbacks {percent(loop.busy)}")
    if loop.callbacks_per_s is not None:
        parts.append(f"{count(loop.callbacks_per_s)} callbacks/s")
    if loop.p50_s is not None and loop.p95_s is not None:
        parts.append(f"a callback waits {duration(loop.p50_s)} (median), {duration(loop.p95_s)} (95 %)")
    if loop.late_s is not None and loop.late_s >= 0.001:
        parts.append(f"timers late by {duration(loop.late_s)}")
    if loop.ready > 1:
        parts.append(f"{loop.ready} ready")
    where = clean(loop.thread, 40) if loop.thread else "run by no thread now"
    return f"{loop.kind} in {where}: {', '.join(parts)}"


def unseen_lines(aio: AioView) -> list[str]:
    """What must be said of what is not seen."""
    told = list(aio.unseen)
    if aio.why:
        told.append(aio.why + (f" ({aio.enable})" if aio.enable else ""))
    if aio.left_out:
        told.append(f"{count(aio.left_out)} living tasks are counted, not followed")
    if aio.unseen_now:
        told.append(f"{count(aio.unseen_now)} tasks changed and were not looked at, to stay within the budget")
    return told


def check_tasks(snapshot: Snapshot, pen: Pen) -> None:
    """The part of `check` about tasks."""
    aio = snapshot.aio
    if aio is None:
        return
    pen.line("Tasks", BOLD)
    for loop in aio.loops:
        pen.paragraph(loop_text(loop))
    if aio.alive:
        told = [f"{s} {percent(v)}" for s, v in zip(TASK_STATES, aio.shares, strict=True) if v >= 0.005]
        born = f"; {count(round(aio.born_per_s, 1))} born a second" if aio.born_per_s else ""
        pen.paragraph(f"{plural(aio.alive, 'task')}: {', '.join(told) or 'too early to tell'}{born}")
    for group in aio.groups[:MOST_GROUPS]:
        behind = f"; {plural(group.behind, 'task')} behind" if group.behind else ""
        holds = f"; holds {', '.join(group.holds)}" if group.holds and group.behind else ""
        pen.paragraph(f"{group.mean:6.1f}  {clean(group.function, 60)}: {group.what}{holds}{behind}")
    if len(aio.groups) > MOST_GROUPS or aio.more_groups:
        pen.line(f"  ... {len(aio.groups) - MOST_GROUPS + aio.more_groups} more groups (all in --format json)")
    for one in [o for o in aio.objects if o.waiters_mean >= 0.05][:MOST_OBJECTS]:
        pen.paragraph(object_text(one, aio))
    for line in unseen_lines(aio):
        pen.paragraph(f"not seen: {line}")
    pen.line()


def object_text(one: SharedView, aio: AioView) -> str:
    """One line about what tasks wait at."""
    place = f" ({short_path(one.file, 40)}:{one.line})" if one.file else ""
    used = f", {one.usage}" if one.usage else ""
    names = {t.id: t.name for t in aio.tasks}
    held = [clean(names.get(t, f"task {t}"), 40) for t in one.holders[:3]]
    more = f" and {len(one.holders) - 3} more" if len(one.holders) > 3 else ""
    by = f"; held by {', '.join(held)}{more}{'' if one.exact else ' (inferred)'}" if held else ""
    return f"{one.name} ({one.kind}){place}{used}: {one.waiters_mean:.1f} tasks wait on average{by}"


# ---------------------------------------------------------------- dump


def dump_tasks(snapshot: Snapshot, pen: Pen) -> None:
    """Below the threads: loops, then every task; of those that stand alike the first one whole, the others counted."""
    aio = snapshot.aio
    if aio is None:
        return
    pen.line(f"Tasks ({aio.alive})", BOLD)
    for loop in aio.loops:
        pen.paragraph(loop_text(loop))
    for line in unseen_lines(aio):
        pen.line(f"  not seen: {line}", YELLOW)
    pen.line()
    shared = {o.id: o for o in aio.objects}
    tasks = {t.id: t for t in aio.tasks}
    alike: dict[tuple[object, ...], list[TaskView]] = {}
    for task in aio.tasks:
        key = (
            task.function,
            task.state,
            task.wait.via,
            task.wait.object,
            id(task.stack),
            bool(task.holds),
            task.awaits,
        )
        alike.setdefault(key, []).append(task)
    for group in list(alike.values())[:MOST_WHOLE]:
        _task(group[0], tasks, shared, aio, pen)
        if len(group) > MOST_ALIKE:
            names = ", ".join(clean(t.name, 40) for t in group[1:7])
            pen.line(f"    and {len(group) - 1} more alike: {names}{', ...' if len(group) > 7 else ''}", DIM)
            pen.line()
    hidden = sum(len(g) for g in list(alike.values())[MOST_WHOLE:]) + max(0, aio.alive - len(aio.tasks))
    if hidden:
        pen.line(f"{plural(hidden, 'more task')} not shown (more in --format json)")
        pen.line()


def since_text(task: TaskView) -> str:
    return f"{'>' if task.since_open else ''}{duration(task.since_s)}"


def _task(task: TaskView, tasks: dict[int, TaskView], shared: dict[int, SharedView], aio: AioView, pen: Pen) -> None:
    loop = next((x for x in aio.loops if x.id == task.loop), None)
    where = f" in {clean(loop.thread, 40)}" if loop is not None and loop.thread and len(aio.loops) > 1 else ""
    lasts = task.state not in (TaskState.RUNNING, TaskState.READY) and (task.since_s > 0 or task.since_open)
    since = f" for {since_text(task)}" if lasts else ""
    kind = "" if task.kind == "task" else f" ({task.kind})"
    pen.line(f'task "{clean(task.name, 80)}"{kind}{where}: {task.state.name.lower()}{since}', BOLD)
    pen.paragraph(task.reason, "    ")
    if task.because:
        pen.paragraph(task.because, "    ", label="because")
    one = shared.get(task.wait.object)
    for id_ in task.blocked_by[:3]:
        holder = tasks.get(id_)
        if holder is not None and id_ != task.id:
            sure = "" if one is None or one.exact else " (inferred)"
            pen.line(f'    held by "{clean(holder.name, 60)}"{sure}: {holder.reason}', RED)
    for hold in task.holds:
        name = hold.site.expression or f"{hold.kind} at {hold.lock:#x}"
        behind = shared[hold.lock].waiting if hold.lock in shared else 0
        wanted = f", {plural(behind, 'task')} waiting for it" if behind else ""
        address = f" {hold.lock:#x}" if hold.lock else ""
        pen.line(
            f"    holds {name} ({hold.kind or 'lock'}{address}, taken at {short_path(hold.site.file, 50)}:"
            f"{hold.site.line}, {hold.confidence.value}{wanted})"
        )
    for frame in task.stack.frames:
        source = f"   {frame.text}" if frame.text else ""
        pen.line(f"        {frame.function} ({frame.file}:{frame.line}){source}")
    if task.stack.truncated:
        pen.line("        ... (deeper than can be read)")
    if not task.stack.frames and task.state is TaskState.RUNNING:
        pen.line("        (runs: the stack is its thread's)")
    for id_ in task.awaits[:6]:
        child = tasks.get(id_)
        if child is not None:
            pen.line(f'    awaits "{clean(child.name, 60)}": {child.reason}')
    if task.awaited > len(task.awaits[:6]) and task.awaits:
        pen.line(f"    ... {task.awaited} in all")
    pen.line()
