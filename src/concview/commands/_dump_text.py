"""A thread dump as text, like jstack's."""

from __future__ import annotations

from datetime import datetime

from concview.commands import _build as build
from concview.commands._schema import FrameOut
from concview.commands._tasks_text import dump_tasks
from concview.commands._text_writer import BOLD, DIM, RED, YELLOW, Pen
from concview.commands._work import work_text
from concview.model import Confidence, Hold
from concview.session.phrases import lasting
from concview.session.tree import tree
from concview.snapshot import EdgeView, InterpreterView, Snapshot, ThreadView
from concview.text import clean, plural, short_path, waits

MOST_CHAINS = 10
MOST_GILS = 8


def dump_text(snapshot: Snapshot, pen: Pen, deep: dict[int, list[FrameOut]] | None = None) -> str:
    """Like jstack: every thread with its state, what it waits for, what it holds and where it stands."""
    target = snapshot.target
    if target is not None:
        when = datetime.fromtimestamp(snapshot.epoch).strftime("%Y-%m-%d %H:%M:%S")
        pen.line(f"{target.pid}: {' '.join(target.command)}"[: max(40, pen.width)], BOLD)
        if target.place:
            pen.line(f"runs in {target.place}" + (f", pod {target.pod}" if target.pod and target.container else ""))
        if target.core:
            pen.line(f"Python {target.python} · core file of {when}: {target.core}")
        else:
            pen.line(f"Python {target.python} · engine {snapshot.engine} · {when}")
    if ending := build.unusual_ending(snapshot):
        pen.line(ending, YELLOW)
    if target is not None and target.core:
        for notice in snapshot.notices:
            pen.paragraph(f"{notice.level}: {notice.text}", "")
    pen.line(_gil_line(snapshot))
    for each in snapshot.gil.others[:MOST_GILS]:
        pen.line(_other_gil_line(snapshot, each))
    if more := len(snapshot.gil.others[MOST_GILS:]):
        pen.line(f"... {plural(more, 'more interpreter')} with a GIL of their own (all in --format json)")
    pen.line()
    for circle in build.deadlocks(snapshot):
        deadlock_lines(snapshot, circle, pen)
    chain_lines(snapshot, pen)
    work_text(snapshot, pen)
    shown = build.dumped(snapshot)
    for together in _blockers_first(_at_one_place(shown, deep or {})):
        _threads(together, pen, (deep or {}).get(together[0].tid))
    if hidden := sum(t.alive for t in snapshot.threads) - len(shown):
        pen.line(f"{plural(hidden, 'native thread')} without a Python stack not shown")
    dump_tasks(snapshot, pen)
    return pen.text().rstrip("\n") + "\n"


def _gil_line(snapshot: Snapshot) -> str:
    gil = snapshot.gil
    if not gil.available:
        capability = snapshot.capabilities.get("gil")
        return f"GIL: cannot be seen{': ' + capability.why if capability is not None and capability.why else ''}"
    who, waiting = _holder(snapshot, gil.holder_now), _waiting(gil.waiters_now)
    if len(gil.interpreters) > 1:
        return f"GIL of the main interpreter: {who}{waiting}"
    if gil.elsewhere and gil.waiters_now:
        return f"GIL of the main interpreter: {who}; {waiting[2:]} for that of a subinterpreter, which is not looked at"
    return f"GIL: {who}{waiting}"


def _other_gil_line(snapshot: Snapshot, interpreter: InterpreterView) -> str:
    who, waiting = _holder(snapshot, interpreter.holder_now), _waiting(interpreter.waiters_now)
    return f"GIL of interpreter {interpreter.id}: {who}{waiting}"


def _holder(snapshot: Snapshot, tid: int) -> str:
    if tid > 0:
        holder = snapshot.thread(tid)
        return f'held by "{clean(holder.name, 80)}" (tid {holder.tid})' if holder else f"held by tid {tid}"
    if tid == 0:
        return "free"
    return "held by a thread that cannot be named" if tid == -2 else "holder cannot be seen"


def _waiting(threads: int) -> str:
    return f", {plural(threads, 'thread')} waiting" if threads else ""


def deadlock_lines(snapshot: Snapshot, circle: list[EdgeView], pen: Pen) -> None:
    exact = all(e.confidence is Confidence.EXACT for e in circle)
    kind = "DEADLOCK" if exact else "POSSIBLE DEADLOCK (holders inferred from source)"
    alone = len(circle) == 1
    what = "a thread waits for itself" if alone else f"{plural(len(circle), 'thread')} wait for each other"
    pen.line(f"▲ {kind}: {what}", RED)
    for edge, (held, wanted) in zip(circle, build.circle_names(snapshot, circle), strict=True):
        thread = snapshot.thread(edge.waiter)
        holds = f"holds {held} and " if held else ""  # what is joined is no lock that somebody holds
        if alone:
            wanted = "it, too: a Lock cannot be taken twice"
        name = clean(thread.name, 80) if thread is not None else "?"
        pen.line(f'    "{name}" (tid {edge.waiter}) {holds}waits for {wanted}')
    pen.line()


def chain_lines(snapshot: Snapshot, pen: Pen) -> None:
    """Who waits behind whom, drawn; a circle has been told already, those behind it have not."""
    shown = [c for c in snapshot.chains if not c.deadlock or len({e.waiter for e in c.edges}) > len(c.cycle)]
    if not shown:
        return
    pen.line("Who waits for whom", BOLD)
    for chain in shown[:MOST_CHAINS]:
        pen.paragraph(chain.text + ("" if chain.exact else " (inferred)"))
        for line in tree(chain, snapshot):
            pen.line(f"    {line}")
    if len(shown) > MOST_CHAINS:
        pen.line(f"  ... {len(shown) - MOST_CHAINS} more (all in --format json)")
    pen.line()


def _at_one_place(threads: list[ThreadView], deep: dict[int, list[FrameOut]]) -> list[list[ThreadView]]:
    """Threads that stand at the same place for the same reason are shown together, in order of the first of them.

    Not those that hold something, or whose local variables were read: they have more to tell than the place.
    """
    found: dict[object, list[ThreadView]] = {}
    for thread in threads:
        alone = thread.holds or thread.holds_gil or thread.tid in deep or not thread.stack.frames
        place = (thread.interpreter, thread.state, thread.reason, thread.because, thread.stack.frames, thread.waiting)
        found.setdefault(thread.tid if alone else place, []).append(thread)
    return list(found.values())


def _blockers_first(groups: list[list[ThreadView]]) -> list[list[ThreadView]]:
    """Those for whom others wait, most waited for first; then who waits, then the others; else the order stays."""
    return sorted(groups, key=lambda group: (-max(t.waiting for t in group), not any(t.blocked_by for t in group)))


def _threads(together: list[ThreadView], pen: Pen, deep: list[FrameOut] | None) -> None:
    """One thread, or several that stand at one place."""
    thread = together[0]
    state = thread.state.name.lower()
    if len(together) > 1:
        inside = f", in interpreter {thread.interpreter}" if thread.interpreter else ""
        pen.line(f"{plural(len(together), 'thread')} at one place: {state}{inside}", BOLD)
        pen.paragraph(", ".join(f'"{clean(t.name, 80)}" (tid {t.tid}{_since(t, ", ")})' for t in together), "    ")
    else:
        gil = ", holds the GIL" if thread.holds_gil else ""
        gil += f" of interpreter {thread.interpreter}" if gil and thread.interpreter else ""
        gil += f", in interpreter {thread.interpreter}" if not gil and thread.interpreter else ""
        pen.line(f'"{clean(thread.name, 80)}" tid {thread.tid}: {state}{_since(thread, " for ")}{gil}', BOLD)
    if thread.reason:
        pen.paragraph(thread.reason, "    ")
    if thread.because:
        pen.paragraph(thread.because, "    ", label="because")
    if thread.waiting:
        pen.line(f"    {thread.waiting} {waits(thread.waiting)} behind it")
    for hold in thread.holds:
        pen.line(f"    holds {hold_text(hold)}")
    frames = deep or [FrameOut(f.function, f.file, f.line, f.text) for f in thread.stack.frames]
    for frame in frames:
        source = f"   {frame.text}" if frame.text else ""
        pen.line(f"        {frame.function} ({frame.file}:{frame.line}){source}")
        for name, value in (frame.locals or {}).items():
            pen.line(f"            {name} = {value}", DIM)
    if thread.stack.truncated:
        pen.line("        ... (deeper than can be read)")
    if not frames:
        pen.line("        (no Python stack)")
    pen.line()


def _since(thread: ThreadView, before: str) -> str:
    return before + lasting(thread) if thread.since_s > 0 else ""


def hold_text(hold: Hold) -> str:
    address = f" {hold.lock:#x}" if hold.lock else ""
    return (
        f"{build.hold_name(hold)} ({hold.kind or 'lock'}{address}, taken at "
        f"{short_path(hold.site.file, 50)}:{hold.site.line}, {hold.confidence.value})"
    )
