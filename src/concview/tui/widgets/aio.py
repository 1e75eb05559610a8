"""Tasks in lines: their states, one of them with who is in its way beside it, and the tree of what awaits what."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style

from concview import text
from concview.model import Frame, State, TaskState
from concview.snapshot import AioView, LoopView, SharedView, TaskView
from concview.tui.text_render import Line, fit, paragraph
from concview.tui.theme import Palette
from concview.tui.widgets.stacks import columns as stack_columns

#: The colours of threads' states, for what is alike among tasks.
_LIKE = {
    TaskState.RUNNING: State.RUNNING, TaskState.READY: State.RUNNABLE, TaskState.LOCK: State.LOCK,
    TaskState.QUEUE: State.IDLE, TaskState.POOL: State.LOCK, TaskState.SLEEP: State.SLEEP, TaskState.IO: State.IO,
    TaskState.EXECUTOR: State.IO, TaskState.TASK: State.IDLE, TaskState.IDLE: State.IDLE,
    TaskState.UNKNOWN: State.UNKNOWN,
}  # fmt: skip
#: A callback that waits longer than this for its turn is worth a colour; seconds.
LATE_S = 0.01
#: Of a tree, levels and children that are drawn; of what a task holds and who waits for it, tasks.
_DEEP, _BROAD, _MOST = 6, 8, 8


def style_of(state: TaskState, palette: Palette) -> Style:
    return palette.states[_LIKE[state]]


#: What one look alone has seen has no length yet.
JUST_NOW = "just now"


def since(task: TaskView) -> str:
    return f"{'>' if task.since_open else ''}{text.duration(task.since_s)}" if task.since_s > 0 else JUST_NOW


def lasting(task: TaskView) -> str:
    return f"for {since(task)}" if task.since_s > 0 else f"since {JUST_NOW}"


def loop_line(loop: LoopView, width: int, palette: Palette) -> Line:
    """'Loop MainThread · 41 tasks · in callbacks 22 % · they wait 1 ms, 95 % 40 ms · timers 3 ms late'."""
    name = fit(loop.thread or "run by no thread", min(24, max(8, len(loop.thread)))).rstrip()
    line: Line = [Segment("Loop ", palette.dim), Segment(name, palette.base)]
    parts: list[tuple[str, Style]] = [(text.plural(loop.tasks, "task"), palette.bright)]
    if loop.busy is not None:
        parts.append((f"in callbacks {text.percent(loop.busy)}", palette.warn if loop.busy >= 0.7 else palette.base))
    if loop.p50_s is not None and loop.p95_s is not None:
        late = palette.warn if loop.p95_s >= LATE_S else palette.ok
        if loop.p95_s < 0.0005:
            parts.append(("on time", late))
        else:
            parts.append((f"they wait {text.duration(loop.p50_s)}, 95 % {text.duration(loop.p95_s)}", late))
    if loop.late_s is not None and loop.late_s >= 0.001:
        parts.append((f"timers {text.duration(loop.late_s)} late", palette.warn))
    room = width - 5 - len(name)
    for words, style in parts:
        if len(words) + 3 > room:
            break
        line += [Segment(" · ", palette.faint), Segment(words, style)]
        room -= len(words) + 3
    return line


def state_line(aio: AioView, width: int, palette: Palette) -> Line:
    """Where the time of all tasks goes, largest first: 'Tasks lock 48 %  task 48 %  io 3 %'."""
    line: Line = [Segment("Tasks", palette.dim)]
    room = width - 5
    for state in sorted(TaskState, key=lambda s: -aio.shares[s]):
        words = f"{state.name.lower()} {text.percent(aio.shares[state])}"
        if aio.shares[state] < 0.005 or len(words) + 2 > room:
            continue
        line += [Segment("  ", palette.base), Segment(words, style_of(state, palette))]
        room -= len(words) + 2
    return line


def unseen(aio: AioView) -> list[str]:
    told = [*aio.unseen, *([f"{aio.why}; {aio.enable}" if aio.enable else aio.why] if aio.why else [])]
    if aio.left_out:
        told.append(f"{text.count(aio.left_out)} living tasks are counted, not followed")
    return told


def shared_line(one: SharedView, width: int, palette: Palette) -> Line:
    used = f", {one.usage}" if one.usage else ""
    place = f" ({text.file_name(one.file)}:{one.line})" if one.file else ""
    sure = "" if one.exact else ", holders inferred"
    said = f"{one.kind}{place}{used}: {text.plural(one.waiting, 'task')} wait, {one.waiters_mean:.1f} on average{sure}"
    name = fit(one.name, min(len(one.name), 30)).rstrip()
    return [Segment(name, palette.bright), Segment(fit(f" {said}", max(0, width - len(name))).rstrip(), palette.dim)]


def beside(task: TaskView, aio: AioView, width: int, palette: Palette) -> list[Line]:
    """Await chains side by side: the task, and whoever has what it waits for, else who waits for what it has."""
    blocks: list[tuple[str, str, tuple[Frame, ...]]] = []
    holders = [t for t in map(aio.task, task.blocked_by) if t is not None and t.id != task.id]
    if holders:
        held = holders[0]
        more = f" and {len(task.blocked_by) - 1} more" if len(task.blocked_by) > 1 else ""
        blocks.append((f"holder: {held.name}{more}", f"{held.state.name.lower()} {lasting(held)}", held.stack.frames))
        blocks.append((f"waiter: {task.name}", lasting(task), task.stack.frames))
    else:
        waiting = [t for t in aio.tasks if task.id in t.blocked_by and t.id != task.id]
        title = "holder" if waiting else "task"
        blocks.append((f"{title}: {task.name}", f"{task.state.name.lower()} {lasting(task)}", task.stack.frames))
        if waiting:
            first = waiting[0]
            more = f" and {task.behind - 1} more" if task.behind > 1 else ""
            blocks.append((f"waiter: {first.name}{more}", lasting(first), first.stack.frames))
    return stack_columns(blocks, width, palette)[:-1]


def tree(task: TaskView, aio: AioView, width: int, palette: Palette) -> list[Line]:
    """Who awaits it, it, and what it awaits, each with what it does."""
    by_child: dict[int, list[TaskView]] = {}
    for one in aio.tasks:
        for child in one.awaits:
            by_child.setdefault(child, []).append(one)
    above: list[TaskView] = []
    at, seen = task, {task.id}
    while len(above) < _DEEP and (parents := [p for p in by_child.get(at.id, ()) if p.id not in seen]):
        at = parents[0]
        seen.add(at.id)
        above.append(at)
    lines: list[Line] = []
    for depth, one in enumerate(reversed(above)):
        lines.append(_leaf(one, depth, width, palette, False))
    _below(task, aio, len(above), width, palette, lines, {task.id}, True)
    return lines


def _below(
    task: TaskView,
    aio: AioView,
    depth: int,
    width: int,
    palette: Palette,
    lines: list[Line],
    seen: set[int],
    chosen: bool = False,
) -> None:
    lines.append(_leaf(task, depth, width, palette, chosen))
    if depth >= 2 * _DEEP:
        return
    known = [t for t in map(aio.task, task.awaits) if t is not None and t.id not in seen]
    known.sort(key=lambda t: (-len(t.awaits), -t.since_s))
    for child in known[:_BROAD]:
        seen.add(child.id)
        _below(child, aio, depth + 1, width, palette, lines, seen)
    rest = task.awaited - min(len(known), _BROAD)
    if rest > 0 and task.awaited:
        lines.append([Segment(fit("   " * (depth + 1) + f"└─ and {rest} more", width).rstrip(), palette.faint)])


def _leaf(task: TaskView, depth: int, width: int, palette: Palette, chosen: bool) -> Line:
    lead = "   " * (depth - 1) + "└─ " if depth else ""
    name = fit(task.name, min(len(task.name), 28)).rstrip()
    state = task.state.name.lower()
    room = max(0, width - len(lead) - len(name) - len(state) - 4)
    return [
        Segment(lead, palette.faint),
        Segment(name, palette.accent if chosen else palette.bright),
        Segment("  ", palette.base),
        Segment(state, style_of(task.state, palette)),
        Segment("  ", palette.base),
        Segment(fit(task.reason, room).rstrip(), palette.dim),
    ]


def holds_lines(task: TaskView, aio: AioView, width: int, palette: Palette) -> list[Line]:
    """What it holds, and who waits for that."""
    lines: list[Line] = []
    shared = {o.id: o for o in aio.objects}
    for hold in task.holds:
        one = shared.get(hold.lock)
        waiting = one.waiting if one is not None else 0
        place = f"{text.file_name(hold.site.file)}:{hold.site.line}"
        name = hold.site.expression or hold.kind or "something"
        said = f"  {name} ({hold.kind or 'lock'}), taken at {place}, {hold.confidence}"
        lines.append([Segment(fit(said, width).rstrip(), palette.base)])
        if waiting:
            names = [t.name for t in aio.tasks if hold.lock and t.wait.object == hold.lock][:_MOST]
            more = f" and {waiting - len(names)} more" if waiting > len(names) else ""
            lines += paragraph(
                f"waited for by {text.plural(waiting, 'task')}: {', '.join(names)}{more}", width, palette.warn, 4
            )
    return lines
