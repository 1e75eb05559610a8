"""The present beside a baseline that was marked: what differs of the process, and of every thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.segment import Segment

from concview import text
from concview.model import State
from concview.snapshot import Shares, Snapshot, ThreadView
from concview.tui.text_render import Line, cells, fit, seconds
from concview.tui.theme import GLYPHS, WORDS, Palette
from concview.tui.widgets.columns import Column
from concview.tui.widgets.groups import pool_of, pool_shares

#: A share that moved by less is said to be the same: 10 s at 100 Hz are 1,000 samples, good for three points or so.
SAME = 0.03


def _points(change: float) -> str:
    return f"{change * 100:+.0f}"


def _numbers(base: Snapshot, now: Snapshot) -> list[tuple[str, str, bool]]:
    """(what, how it changed, whether it is worth a look)."""
    found: list[tuple[str, str, bool]] = []

    def add(word: str, then: float | None, value: float | None, say: Callable[[float], str], least: float) -> None:
        if then is not None and value is not None:
            found.append((word, f"{say(then)} to {say(value)}", abs(value - then) >= max(least, 0.1 * abs(then))))

    add("CPU", base.cpu_percent, now.cpu_percent, lambda v: f"{v:.0f} %", 5.0)
    if base.gil.available and now.gil.available:
        add("GIL held", base.gil.held_share, now.gil.held_share, text.percent, SAME)
        add("GIL waiters", base.gil.waiters_mean, now.gil.waiters_mean, lambda v: f"{v:.1f}", 0.3)
    alive = [float(sum(1 for t in s.threads if t.alive)) for s in (base, now)]
    add("threads", alive[0], alive[1], lambda v: f"{v:.0f}", 1.0)
    add("switches/s", base.switches_per_s, now.switches_per_s, text.count, 20.0)
    add("memory", float(base.rss) or None, float(now.rss) or None, text.size, float(1 << 20))
    return found


def _states(base: Shares, now: Shares) -> list[tuple[int, float]]:
    changed = [(at, value - base[at]) for at, value in enumerate(now)]
    return sorted([c for c in changed if abs(c[1]) >= SAME], key=lambda c: -abs(c[1]))


def difference_lines(marked: Baseline, now: Snapshot, width: int, palette: Palette) -> list[Line]:
    """Two lines about the process: states in percentage points, then the numbers, those that moved in bright."""
    base = marked.snapshot
    away = (now.at_ns - base.at_ns) / 1e9
    when = marked.name or f"{seconds(abs(away))} {'before' if away >= 0 else 'after'}"
    first: Line = [Segment(f"Against the baseline {when}: ", palette.title)]
    moved = _states(base.states, now.states)
    if not moved:
        first.append(Segment(f"no state moved by {SAME * 100:.0f} points or more", palette.dim))
    for at, change in moved:
        state = State(at)
        first.append(Segment(f"{GLYPHS[state]} {WORDS[state]} {_points(change)}  ", palette.states[at]))
    second: Line = [Segment("  ", palette.base)]
    for word, said, worth in _numbers(base, now):
        part = [Segment(f"{word} ", palette.dim), Segment(f"{said}   ", palette.bright if worth else palette.dim)]
        if cells(second) + cells(part) <= width:
            second += part
    fresh = [f.id for f in now.findings if not f.recent and f.id not in {b.id for b in base.findings if not b.recent}]
    lines = [first, second]
    if fresh:
        lines.append([Segment(fit(f"  new findings: {', '.join(fresh)}", width), palette.warn)])
    return lines


class Baseline:
    """A snapshot that was marked. `other`: of another run of the program, whose threads are known by their names.
    `name`: of the recording whose end it is."""

    def __init__(self, snapshot: Snapshot, other: bool = False, name: str = "") -> None:
        self.snapshot, self.name = snapshot, name
        self._threads: dict[int | str, ThreadView] = {t.name if other else t.tid: t for t in snapshot.threads}
        self._other = other
        self._pools = pool_shares(snapshot.threads)
        self._column = Column("change", "CHANGE", 14, self._draw, sort=self._size)

    def change(self, thread: ThreadView) -> tuple[int, float] | None:
        """The state whose share moved most, and by how much; None for a thread that the baseline does not have."""
        if thread.tid < 0:
            known = self._pools.get(pool_of(thread))
        else:
            then = self._threads.get(thread.name if self._other else thread.tid)
            known = then.shares if then is not None else None
        if known is None:
            return None
        moved = enumerate(n - t for n, t in zip(thread.shares, known, strict=True))
        return max(moved, key=lambda c: abs(c[1]))

    def _draw(self, thread: Any, width: int, palette: Palette, context: Any) -> Line:
        """'× lock +32': percentage points."""
        moved = self.change(thread)
        if moved is None:
            return [Segment(fit("new", width), palette.accent)]
        at, by = moved
        if abs(by) < SAME:
            return [Segment(fit("same", width), palette.faint)]
        said = f"{GLYPHS[State(at)]} {WORDS[State(at)]} {_points(by)}"
        return [Segment(fit(said, width), palette.states[at])]

    def _size(self, thread: ThreadView) -> float:
        moved = self.change(thread)
        return 2.0 if moved is None else abs(moved[1])

    def columns(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """These with the one of changes before the reasons."""
        at = next((i for i, c in enumerate(columns) if c.id == "why"), len(columns))
        return (*columns[:at], self._column, *columns[at:])
