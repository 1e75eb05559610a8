"""Queues that something waits at and thread pools, as the agent saw them, in lines."""

from __future__ import annotations

from rich.segment import Segment

from concview.model import Queues
from concview.tui.text_render import Line, fit
from concview.tui.theme import Palette
from concview.tui.widgets.tasks import place

#: Rows of each table; the rest is counted.
MOST = 200


def _more(number: int, palette: Palette) -> list[Line]:
    return [[Segment(f"  and {number} more", palette.dim)]] if number > 0 else []


def queue_lines(queues: Queues | None, width: int, palette: Palette) -> list[Line]:
    if queues is None:
        return [[Segment("nothing has been reported yet", palette.dim)]]
    lines: list[Line] = [[Segment("Queues", palette.title), Segment(" that something waits at", palette.dim)]]
    for queue in queues.queues[:MOST]:
        bound = str(queue.most) if queue.most > 0 else "unbounded"
        waiting = f"{len(queue.getting)} getting, {len(queue.putting)} putting"
        lines.append(
            [
                Segment(fit(f"  {queue.kind}", 18), palette.bright),
                Segment(fit(f"{queue.size} of {bound}", 18), palette.base),
                Segment(fit(waiting, 24), palette.dim),
                Segment(fit(place(queue.where), max(0, width - 60)).rstrip(), palette.base),
            ]
        )
    lines += _more(len(queues.queues) - MOST, palette)
    if not queues.queues:
        lines.append([Segment("  none", palette.dim)])
    lines += [[], [Segment("Thread pools", palette.title)]]
    for pool in queues.pools[:MOST]:
        lines.append(
            [
                Segment(fit(f"  {pool.name or 'pool'}", 28), palette.bright),
                Segment(fit(f"{len(pool.busy)} of {pool.most} busy", 18), palette.base),
                Segment(f"backlog {pool.backlog}", palette.warn if pool.backlog else palette.dim),
            ]
        )
    lines += _more(len(queues.pools) - MOST, palette)
    if not queues.pools:
        lines.append([Segment("  none", palette.dim)])
    return lines
