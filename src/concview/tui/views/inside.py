"""Tab 8: what the agent inside the target says: asyncio tasks, queues, pools, exact calls. Empty without consent."""

from __future__ import annotations

from rich.segment import Segment
from textual.app import ComposeResult

from concview import text
from concview.model import Await, Calls, LoopInfo, Queues
from concview.snapshot import Snapshot
from concview.tui.ink import Line, fit, paragraph
from concview.tui.theme import Palette, palette_of
from concview.tui.views.base import View, ViewSpec
from concview.tui.widgets.page import Page

#: Rows of each table; the rest is counted.
_MOST = 40


def _place(at: Await | None) -> str:
    return f"{at.function} ({at.file.rpartition('/')[2]}:{at.line})" if at is not None else ""


def _agent(snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    agent = snapshot.agent
    if agent is None:
        return [
            [Segment("No agent is inside the target: nothing was asked of it.", palette.bright)],
            [],
            *paragraph(
                "Outside sampling needs none. For asyncio tasks, queue depths and exact call counts, start the program "
                "with 'concview run --agent script.py', or attach with 'concview attach PID --agent' and say yes.",
                width, palette.base,
            ),
        ]  # fmt: skip
    lines: list[Line] = [
        [
            Segment("Agent ", palette.title),
            Segment(agent.state, palette.ok if agent.state == "attached" else palette.warn),
            Segment(f"   cost {agent.cost_percent:.2f} % of a core", palette.dim),
            Segment(f"   {agent.window}" if agent.window else "", palette.info),
        ]
    ]
    if agent.text:
        lines += paragraph(agent.text, width, palette.base, 2)
    if agent.remedy:
        lines += paragraph(agent.remedy, width, palette.info, 2)
    if agent.library:
        lines += paragraph(f"the program runs on {agent.library}", width, palette.warn, 2)
    return [*lines, []]


def _loop(loop: LoopInfo, width: int, palette: Palette) -> list[Line]:
    lag = "lag not known yet" if loop.lag_s < 0 else f"lag {text.duration(loop.lag_s)}"
    facts = f"  {text.plural(loop.count, 'task')}, {loop.ready} ready, {loop.timers} timers, {lag}"
    lines: list[Line] = [
        [Segment(f"Event loop of thread {loop.tid}", palette.title), Segment(facts, palette.dim)]
    ]
    for task in loop.tasks[:_MOST]:
        waits = " › ".join(_place(a) for a in task.chain[-2:]) or "?"
        lines.append(
            [
                Segment(fit(f"  {task.name}", 22), palette.bright),
                Segment(fit(task.state, 9), palette.base),
                Segment(fit(text.duration(task.age_s), 10), palette.dim),
                Segment(fit(waits, max(0, width - 41)).rstrip(), palette.base),
            ]
        )
    hidden = loop.count - min(len(loop.tasks), _MOST)
    return [*lines, *([[Segment(f"  and {hidden} more", palette.dim)]] if hidden > 0 else []), []]


def _queues(queues: Queues, width: int, palette: Palette) -> list[Line]:
    lines: list[Line] = []
    if queues.queues:
        lines.append([Segment("Queues", palette.title), Segment(" that threads wait at", palette.dim)])
    for queue in queues.queues[:_MOST]:
        bound = str(queue.most) if queue.most else "unbounded"
        waiting = f"{len(queue.getting)} getting, {len(queue.putting)} putting"
        lines.append(
            [
                Segment(fit(f"  {queue.kind}", 18), palette.bright),
                Segment(fit(f"{queue.size} of {bound}", 18), palette.base),
                Segment(fit(waiting, 24), palette.dim),
                Segment(fit(_place(queue.where), max(0, width - 60)).rstrip(), palette.base),
            ]
        )
    if queues.pools:
        lines += [[], [Segment("Thread pools", palette.title)]]
    for pool in queues.pools[:_MOST]:
        lines.append(
            [
                Segment(fit(f"  {pool.name or 'pool'}", 28), palette.bright),
                Segment(fit(f"{len(pool.busy)} of {pool.most} busy", 18), palette.base),
                Segment(f"backlog {pool.backlog}", palette.warn if pool.backlog else palette.dim),
            ]
        )
    return [*lines, []] if lines else []


def _calls(calls: Calls, width: int, palette: Palette) -> list[Line]:
    source = {"yappi": f"yappi, {calls.clock} clock", "monitoring": "counts only"}.get(calls.source, calls.source)
    lines: list[Line] = [
        [
            Segment("Calls", palette.title),
            Segment(f"  {source}, {text.duration(calls.seconds)}", palette.dim),
            Segment("  running" if calls.running else "  done", palette.info),
        ],
        [Segment(fit("  FUNCTION", max(20, width - 34)) + "     CALLS     TOTAL       OWN", palette.dim)],
    ]
    rows = sorted(calls.rows, key=lambda r: (-r.own_s, -r.calls))
    for row in rows[:_MOST]:
        name = f"  {row.function} ({row.file.rpartition('/')[2]}:{row.line})"
        times = (text.duration(row.total_s), text.duration(row.own_s)) if calls.clock != "none" else ("n/a", "n/a")
        lines.append(
            [
                Segment(fit(name, max(20, width - 34)), palette.base),
                Segment(f"{text.count(row.calls):>10}{times[0]:>10}{times[1]:>10}", palette.bright),
            ]
        )
    return [*lines, []]


class Inside(View):
    keys = ("pause", "copy", "export")

    def compose(self) -> ComposeResult:
        yield Page(id="page")

    def draw(self, snapshot: Snapshot) -> None:
        page = self.query_one(Page)
        palette, width = palette_of(self), page.room
        lines = _agent(snapshot, width, palette)
        for loop in snapshot.tasks.loops if snapshot.tasks is not None else ():
            lines += _loop(loop, width, palette)
        if snapshot.queues is not None:
            lines += _queues(snapshot.queues, width, palette)
        if snapshot.calls is not None:
            lines += _calls(snapshot.calls, width, palette)
        page.set_lines(lines)


VIEW = ViewSpec("inside", 8, "Inside", Inside, mark=lambda s: "●" if s.agent and s.agent.state == "attached" else "")
