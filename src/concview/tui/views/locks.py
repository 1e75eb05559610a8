"""Tab 4: which locks are waited for, who holds them, how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment

from concview import text
from concview.session.phrases import lasting, unended
from concview.snapshot import ANOTHER_PROCESS, LockView, Snapshot, ThreadView
from concview.tui.text_render import Line, fit, fit_place, wrap
from concview.tui.theme import Palette, palette_of
from concview.tui.views._tasks_elsewhere import LOCKS, tasks_elsewhere
from concview.tui.views.base import TableView, ViewSpec
from concview.tui.widgets.columns import Column, number_cell, place_cell, text_cell
from concview.tui.widgets.graph import graph_lines
from concview.tui.widgets.names import names_of
from concview.tui.widgets.stacks import columns as stack_columns
from concview.tui.widgets.table import Table
from concview.tui.widgets.threads import doing

#: What threads wait at and nobody holds.
NOT_HELD = frozenset({"Queue", "Barrier"})
#: What threads wait to be notified of: that they wait does not say that somebody holds it.
NOTIFIED = frozenset({"Condition", "Event"})


def _place(lock: LockView) -> str:
    site = lock.site
    return f"{site.function} ({text.file_name(site.file)}:{site.line})" if site.file else "place not known"


def _object(lock: LockView) -> str:
    """Kind and address; py-spy sees neither."""
    return f"{lock.kind} at {lock.address:#x}" if lock.address else "which object is not seen"


def holders_now(lock: LockView, snapshot: Snapshot) -> list[ThreadView]:
    """Who has it now. Nobody holds a queue or a pool's condition, but of those that wait it may be known who has what
    they need: the connections, the permits."""
    tids = [lock.holder_now] if lock.holder_now else []
    if not tids:
        waiting = [t for t in map(snapshot.thread, lock.waiting) if t is not None]
        tids = list(dict.fromkeys(t.in_the_way for t in waiting if t.in_the_way))
    return [t for t in map(snapshot.thread, tids) if t is not None]


def _holder(lock: LockView, width: int, palette: Palette, context: Any) -> Line:
    snapshot: Snapshot | None = context
    threads = holders_now(lock, snapshot) if snapshot is not None else []
    if not threads and lock.kind in NOT_HELD:
        return [Segment(fit("-", width), palette.faint)]
    if (not threads or snapshot is None) and lock.waiters_now and lock.between_processes:
        return [Segment(fit(ANOTHER_PROCESS, width), palette.base)]
    if not threads or snapshot is None:
        return [Segment(fit("nobody" if not lock.waiters_now else "not known", width), palette.faint)]
    more = f" +{len(threads) - 1}" if len(threads) > 1 else ""
    name = names_of(snapshot).fit(threads[0].tid, threads[0].name, max(1, width - len(more)))
    return [Segment(fit(name.rstrip() + more, width), palette.base)]


def _held(lock: LockView, width: int, palette: Palette, context: Any) -> Line:
    unheld = lock.kind in NOT_HELD or (lock.kind in NOTIFIED and not lock.holds)
    share = "" if unheld else f"{lock.held_share * 100:.0f}"
    return [Segment(fit(share, width, right=True), palette.bright)]


def _waiters(lock: LockView, width: int, palette: Palette, context: Any) -> Line:
    style = palette.states[3] if lock.waiters_now else palette.faint
    return [Segment(fit(str(lock.waiters_now), width, right=True), style)]


def hold_time(lock: LockView) -> str:
    """The median hold; '<37 ms' when holds are shorter than sampling can measure, '>5 s' when none has ended yet,
    '≤5 s' when it may have been several, '' when none was seen."""
    if lock.hold_p50_s is not None:
        return text.duration(lock.hold_p50_s)
    if not lock.holds_ended and lock.hold_max_s is not None:
        return f"{'>' if lock.hold_sure else '≤'}{text.duration(lock.hold_max_s)}"
    return f"<{text.duration(3 * lock.resolution_s)}" if lock.holds else ""


COLUMNS = (
    Column(
        "lock",
        "LOCK",
        16,
        text_cell(lambda k: k.site.expression or hex(k.address), "bright"),
        most=34,
        want=34,
        sort=lambda k: k.site.expression,
        down=False,
    ),
    Column("kind", "KIND", 9, text_cell(lambda k: k.kind, "dim"), drop=6, sort=lambda k: k.kind, down=False),
    Column("held", "HELD%", 6, _held, right=True, sort=lambda k: k.held_share),
    Column("now", "WAIT", 5, _waiters, right=True, sort=lambda k: k.waiters_now),
    Column(
        "mean",
        "MEAN",
        5,
        number_cell(lambda k: text.count(round(k.waiters_mean, 1))),
        right=True,
        sort=lambda k: k.waiters_mean,
    ),
    Column(
        "max", "MAX", 4, number_cell(lambda k: str(k.waiters_max)), drop=5, right=True, sort=lambda k: k.waiters_max
    ),
    Column(
        "wait", "WAITED", 8, number_cell(lambda k: f"{k.wait_s:.1f} s"), drop=2, right=True, sort=lambda k: k.wait_s
    ),
    Column("hold", "HOLD P50", 9, number_cell(hold_time), drop=3, right=True, sort=lambda k: k.hold_p50_s or 0.0),
    Column("holder", "HOLDER NOW", 12, _holder, most=24, want=20),
    Column("place", "TAKEN IN", 20, place_cell(_place), most=60, drop=4, sort=_place, down=False),
    Column("sure", "SURE", 11, text_cell(lambda k: str(k.confidence), "dim"), drop=7),
)


def _numbers(lock: LockView) -> list[tuple[str, str]]:
    """What was measured of a lock: (label, words)."""
    out: list[tuple[str, str]] = []
    times = [("median", lock.hold_p50_s), ("95 % within", lock.hold_p95_s), ("longest", lock.hold_max_s)]
    told = [f"{label} {text.duration(value)}" for label, value in times if value is not None]
    if not lock.holds_ended:
        told = [unended(lock)] if lock.hold_max_s is not None else []
    if lock.holds:
        limit = f"below {text.duration(3 * lock.resolution_s)} not measurable at this rate"
        rest = f" ({limit})" if len(told) < len(times) and lock.holds_ended else ""
        out.append(("held", f"{', '.join(told) or 'each time shorter than can be told'}; {lock.holds} seen{rest}"))
    if lock.waits:
        out.append(
            (
                "waits",
                f"{text.duration(lock.wait_mean_s)} each, longest {text.duration(lock.wait_max_s)}; "
                f"{text.duration(lock.wait_each_s)} of the window for each waiter"
                if lock.waits > 1
                else text.duration(lock.wait_max_s),
            )
        )
    if lock.doing:
        out.append(("holders", ", ".join(f"{what} {text.percent(share)}" for what, share in lock.doing[:4])))
    if lock.handoffs_per_s >= 0.05:
        out.append(("hand-overs", f"at least {text.count(round(lock.handoffs_per_s, 1))} a second"))
    if lock.speedup_cap is not None and lock.speedup_cap < lock.workers:
        out.append(
            ("cap", f"its {lock.workers} threads together at most {lock.speedup_cap:.1f} times as fast as one (Amdahl)")
        )
    return out


def _labelled(label: str, said: str, width: int, palette: Palette) -> list[Line]:
    room = 12
    first, *rest = wrap(said, max(10, width - room))
    lines: list[Line] = [[Segment(fit(label, room), palette.dim), Segment(first, palette.base)]]
    return lines + [[Segment(" " * room, palette.base), Segment(part, palette.base)] for part in rest]


class Locks(TableView):
    DEFAULT_CSS = "Locks #detail { border-top: solid $panel; }"
    keys = ("open", "filter", "sort", "pause", "copy", "back")

    def table(self) -> Table:
        def haystack(lock: LockView) -> str:
            return f"{lock.site.expression} {lock.kind} {_place(lock)} {' '.join(h.name for h in lock.holders)}".lower()

        return Table(
            COLUMNS,
            lambda k: k.key,
            haystack=haystack,
            sort="wait",
            id="list",
            empty="no thread waited for a lock, and none is seen held",
        )

    def elsewhere(self, snapshot: Snapshot) -> str:
        return tasks_elsewhere(snapshot, LOCKS)

    def rows(self, snapshot: Snapshot) -> Sequence[LockView]:
        return snapshot.locks

    def context(self, snapshot: Snapshot) -> Any:
        return snapshot

    def detail(self, row: Any, snapshot: Snapshot, width: int) -> list[Line] | None:
        if row is None:
            return None
        lock: LockView = row
        palette = palette_of(self)
        name = fit(lock.site.expression or hex(lock.address), min(width, 40)).rstrip() + " "
        verb = "used" if lock.kind in NOT_HELD else "taken"
        about = f"{_object(lock)}, {verb} in {_place(lock)}"
        lines: list[Line] = [[Segment(name, palette.bright)]]
        if cell_len(name) + cell_len(about) > width:
            lines.append([])
        lines[-1].append(Segment(fit_place(about, width).rstrip(), palette.dim))
        waiting = [t for t in map(snapshot.thread, lock.waiting) if t is not None]
        blocks = []
        now = next(iter(holders_now(lock, snapshot)), None)
        names = names_of(snapshot)
        if now is not None:
            blocks.append((f"holder: {names.full(now.tid, now.name)}", doing(now), now.stack.frames))
        if waiting:
            first = waiting[0]
            title = f"waiter: {names.full(first.tid, first.name)}"
            blocks.append((title, f"for {lasting(first)}", first.stack.frames))
        if now is None and waiting and lock.between_processes:
            said = f"holder: {ANOTHER_PROCESS}; w in the list of processes (p) looks at all of them and names it"
            lines += [[], *([Segment(part, palette.base)] for part in wrap(said, width))]
        if blocks:
            lines += [[], *stack_columns(blocks, width, palette)[:-1]]
        numbers = _numbers(lock)
        if numbers:
            lines.append([])
            for label, said in numbers:
                lines += _labelled(label, said, width, palette)
        mine = [c for c in snapshot.chains if any(e.waiter in lock.waiting for e in c.edges)]
        if mine:
            lines += [[], [Segment("Who waits for whom, now", palette.title)]]
            lines += graph_lines(mine, snapshot, width, palette)[:-1]
        if lock.holders:
            lines += [[], [Segment("Held by", palette.title), Segment(", share of the held time", palette.dim)]]
        for holder in lock.holders[:12]:
            lines.append(
                [
                    Segment(fit(f"  {text.percent(holder.share)}", 8, right=True), palette.bright),
                    Segment("  " + names.fit(holder.tid, holder.name, min(30, width - 12)), palette.base),
                    Segment("█" * round(holder.share * max(0, min(40, width - 50))), palette.states[3]),
                    Segment(f" {holder.confidence}", palette.dim),
                ]
            )
        if len(lock.places) > 1 or lock.made:
            lines += [[], [Segment("Where", palette.title)]]
            for site in lock.places[:8]:
                spot = f"{site.function} ({text.short_path(site.file, max(20, width - 40))}:{site.line})"
                lines.append([Segment(fit(f"  taken in {spot}", width).rstrip(), palette.dim)])
            if lock.made:
                made = f"  made at {text.short_path(lock.made, max(20, width - 12))}"
                lines.append([Segment(fit(made, width).rstrip(), palette.dim)])
        return lines

    def on_table_opened(self, event: Table.Opened) -> None:
        """Enter leads to the holder, else to who waits longest."""
        event.stop()
        lock: LockView = event.row
        holders = holders_now(lock, self.snapshot) if self.snapshot is not None else []
        tid = holders[0].tid if holders else next(iter(lock.waiting), 0) or (lock.holders[0].tid if lock.holders else 0)
        if tid:
            self.post_message(self.Goto("thread", tid))

    def selection(self) -> str:
        lock = self.grid.current
        if not isinstance(lock, LockView):
            return ""
        return (
            f"{lock.site.expression} ({_object(lock)}), {_place(lock)}: "
            f"held {text.percent(lock.held_share)}, waiters {lock.waiters_mean:.1f} mean, {lock.waiters_max} most"
        )


def _mark(snapshot: Snapshot) -> str:
    waiting = sum(lock.waiters_now for lock in snapshot.locks)
    return f"×{waiting}" if waiting else ""


VIEW = ViewSpec("locks", 4, "Locks", Locks, _mark)
