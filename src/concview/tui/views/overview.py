"""Tab 1: the verdict, where the time goes, the numbers over time, the findings, the threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.segment import Segment
from textual.app import ComposeResult
from textual.widget import Widget

from concview import text
from concview.model import State
from concview.snapshot import Blame, Snapshot, ThreadView
from concview.tui.text_render import Line, beside, cells, cut, fit, paragraph, seconds, wrap
from concview.tui.theme import GLYPHS, Palette, palette_of
from concview.tui.verdict import verdict
from concview.tui.views.base import Filtered, ViewSpec
from concview.tui.widgets.aio import loop_line, state_line, unseen
from concview.tui.widgets.baseline import difference_lines
from concview.tui.widgets.causes import blame_bar, blame_entries, blame_legend, tree_lines, worth_drawing
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.findings import finding_line, findings_table
from concview.tui.widgets.findings import key as finding_key
from concview.tui.widgets.numbers import Numbers, Spot
from concview.tui.widgets.states import GAUGES, bar, gauge_lines, legend, slice_number
from concview.tui.widgets.table import Table
from concview.tui.widgets.threads import BRIEF, COLUMNS, HINT, as_line, columns_of, thread_table

#: Where Enter leads from a state's share (else to the calls in that state) and from a gauge: a view, and what is asked
#: of it, which of threads is the column to sort by.
EVIDENCE: dict[State, tuple[str, Any]] = {
    State.LOCK: ("locks", None),
    State.IO: ("peers", None),
    State.RUNNABLE: ("threads", "runnable"),
}
GAUGE_EVIDENCE: dict[str, tuple[str, Any]] = {
    "CPU": ("threads", "cpu"),
    "GIL held": ("threads", "held"),
    "GIL waiters": ("threads", "gil"),
    "Threads": ("threads", "age"),
    "Switches/s": ("threads", "switches"),
    "Run delay": ("threads", "runnable"),
}


def verdict_lines(snapshot: Snapshot, width: int, palette: Palette, most: int = 3) -> list[Line]:
    """The first words are the answer; at most `most` lines more than those of the sentence: two where a rule says it,
    as many as it needs where following the waits does. None of them is cut where that many are enough."""
    said = verdict(snapshot)
    badge = f" {said.symbol} {said.word} "
    firing = [f for f in snapshot.findings if not f.recent]
    sentence = cut(wrap(said.sentence, width - len(badge) - 1), 2 if firing else 4, width - len(badge) - 1)
    lines: list[Line] = [[Segment(badge, palette.badges[said.tone]), Segment(" " + sentence[0], palette.bright)]]
    lines += [[Segment(" " * (len(badge) + 1) + part, palette.bright)] for part in sentence[1:]]
    more = [firing[0].summary] if firing else []
    if said.more and not firing:
        more.append(said.more)
    for part in cut(wrap(" ".join(more), width - 2), most, width - 2) if more and most else ():
        lines.append([Segment("  " + part, palette.base)])
    return lines


def waiting_lines(snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    """Nothing has arrived: what was said so far, and what to do when it stays like this."""
    lines: list[Line] = [[]]
    for notice in snapshot.notices[-5:]:
        lines += paragraph(notice.text, width, palette.warn, 2)
    said = "The first samples take less than a second as a rule. `concview doctor PID` says what stands in the way."
    return [*lines, *paragraph(snapshot.ending or said, width, palette.dim, 2)]


def time_lines(snapshot: Snapshot, width: int, palette: Palette, roomy: bool) -> list[Line]:
    threads = sum(1 for t in snapshot.threads if t.alive and not t.native)
    title = f"Where the time of {text.plural(threads, 'Python thread')} goes, last {seconds(snapshot.seconds)}"
    lines: list[Line] = [[Segment(title, palette.dim)]]
    picture = bar(snapshot.states, width, palette)
    lines += [picture, picture] if roomy else [picture]
    return lines + (legend(snapshot.states, width, palette) if any(snapshot.states) else [])


def aio_lines(snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    """Event loops, at most two, and the time of all tasks; nothing where there are none."""
    aio = snapshot.aio
    if aio is None:
        return []
    lines = [loop_line(loop, width, palette) for loop in aio.loops[:2]]
    if any(aio.shares):
        lines.append(state_line(aio, width, palette))
    for said in unseen(aio)[:1]:
        lines.append([Segment(fit(f"not seen: {said}", width).rstrip(), palette.warn)])
    return lines


def front_lines(snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    """Who waits outside, where somebody does; of more than two sockets the longest queues."""
    there = [one for one in snapshot.listening if one.waiting][:2]
    lines: list[Line] = []
    for one in there:
        room = f" of {one.limit}" if one.limit >= 0 else ""
        age = f", the oldest for more than {text.duration(one.oldest_s)}" if one.oldest_s else ""
        number = text.plural(one.waiting, "connection")
        said = f"In front of {one.name}: {number}{room} not accepted{age}"
        lines.append([Segment(fit(said, width).rstrip(), palette.warn if one.oldest_s >= 1 else palette.dim)])
    return lines


def state_spots(legend_lines: list[Line], first: int) -> list[Spot]:
    """Of a legend whose first line is number `first` on screen."""
    spots = []
    for y, line in enumerate(legend_lines, first):
        x = 0
        for glyph, word, share, gap in zip(*[iter(line)] * 4, strict=True):
            end = x + cells((glyph, word, share))
            state = next(s for s in State if GLYPHS[s] == glyph.text)
            spots.append(Spot(state.name, y, x, end, *EVIDENCE.get(state, ("flame", state))))
            x = end + gap.cell_length
    return spots


def gauge_spots(first: int, width: int, columns: int, rows: int) -> list[Spot]:
    each = (width - 3 * (columns - 1)) // columns
    spots = []
    for at, gauge in enumerate(GAUGES):
        y, x = first + at // columns * rows + rows - 1, at % columns * (each + 3)
        spots.append(Spot(gauge.title, y, x, x + each, *GAUGE_EVIDENCE[gauge.title]))
    return spots


def gauges(snapshot: Snapshot, width: int, columns: int, rows: int, palette: Palette) -> list[Line]:
    each = (width - 3 * (columns - 1)) // columns
    blocks = [gauge_lines(snapshot, gauge, each, rows, palette) for gauge in GAUGES]
    lines: list[Line] = []
    for at in range(0, len(blocks), columns):
        block = blocks[at]
        for column, other in enumerate(blocks[at + 1 : at + columns], start=1):
            block = beside(block, other, each * column + 3 * (column - 1), "   ", palette.base)
        lines += block
    return lines


def blame_lines(blame: Blame, width: int, palette: Palette) -> list[Line]:
    """The same time, followed to whoever is in the way."""
    title = [Segment(f"Who is in the way, last {seconds(blame.seconds)}", palette.dim)]
    return [title, blame_bar(blame, width, palette), *blame_legend(blame, width, palette)]


def short_time_lines(snapshot: Snapshot, blame: Blame, width: int, palette: Palette) -> list[Line]:
    """Where the time goes, by who is in the way, in one bar."""
    threads = sum(1 for t in snapshot.threads if t.alive and not t.native)
    whose = f"{text.plural(threads, 'thread')}{' and the tasks' if blame.tasks else ''}"
    title = [Segment(f"Time of {whose}, last {seconds(blame.seconds)}", palette.dim)]
    return [title, blame_bar(blame, width, palette), *blame_legend(blame, width, palette)]


def says_it(tree: list[Line], snapshot: Snapshot) -> bool:
    """Whether the tree of causes names the place of the first finding: its summary would say the same again."""
    firing = next((f for f in snapshot.findings if not f.recent), None)
    if firing is None or not firing.where:
        return False
    told = " ".join(segment.text for line in tree for segment in line)
    return any(f"{text.file_name(w.file)}:{w.line}" in told for w in firing.where[:3])


def _there(snapshot: Snapshot) -> Sequence[ThreadView]:
    """The threads that are there: where each request has one of its own, those that ended would fill the list. Of a
    process that has ended, all of them."""
    return [t for t in snapshot.threads if t.alive] or snapshot.threads


class Overview(Filtered):
    keys = ("open", "focus", "pause", "sort", "copy", "export")

    def compose(self) -> ComposeResult:
        yield Numbers(id="summary")
        yield findings_table(id="findings")
        yield thread_table(BRIEF, id="threads")
        yield FilterBar(hint=HINT)

    @property
    def grid(self) -> Table:
        return self.query_one("#threads", Table)

    def draw(self, snapshot: Snapshot) -> None:
        palette, width, height = palette_of(self), self.size.width, self.size.height
        if not width:
            return
        if getattr(self.app, "large", False) and snapshot.target is not None:
            self.draw_large(snapshot, width, height, palette)
            return
        roomy = height >= 34
        base = self.baseline
        blame = snapshot.blame
        told = blame is not None and worth_drawing(blame)
        spots: list[Spot] = []
        tree: list[Line] = []
        if blame is not None and told and not roomy:
            # Short of room, who is in the way comes first, and one bar.
            above = len(verdict_lines(snapshot, width, palette, 0))
            tree, spots = tree_lines(blame, width, palette, max(3, min(6, height - above - 10)), above)
            if not says_it(tree, snapshot):
                lines = verdict_lines(snapshot, width, palette, 3)
                tree, spots = tree_lines(blame, width, palette, max(3, min(5, height - len(lines) - 10)), len(lines))
            else:
                lines = verdict_lines(snapshot, width, palette, 0)
            lines += tree
        else:
            lines = verdict_lines(snapshot, width, palette, 3)
        if snapshot.target is None:
            lines += waiting_lines(snapshot, width, palette)
        else:
            if roomy:
                lines.append([])
            before = len(lines) + (3 if roomy else 2)
            if tree and blame is not None:
                lines += short_time_lines(snapshot, blame, width, palette)
            else:
                lines += time_lines(snapshot, width, palette, roomy)
                spots += state_spots(lines[before:], before)
            if base is not None:
                spots.append(Spot("baseline", len(lines), 0, width, "threads", "change"))
                lines += difference_lines(base, snapshot, width, palette)
            lines += aio_lines(snapshot, width, palette)
            lines += front_lines(snapshot, width, palette)
            if roomy:
                lines.append([])
            if blame is not None and told and not tree:
                lines += blame_lines(blame, width, palette)
                room = max(3, min(10, height - len(lines) - 17))
                tree, roots = tree_lines(blame, width, palette, room, len(lines))
                lines += tree
                spots += roots
                if roomy:
                    lines.append([])
            # Short of room, who is in the way is more telling than the numbers over time.
            if width >= 76 and height >= 18 and (roomy or not told):
                columns, rows = 3 if width >= 180 else 2, 2 if roomy else 1
                spots += gauge_spots(len(lines), width, columns, rows)
                lines += gauges(snapshot, width, columns, rows, palette)
                if roomy:
                    lines.append([])
        self.query_one(Numbers).set_numbers(lines, spots)
        findings = self.query_one("#findings", Table)
        found = [f for f in snapshot.findings if not f.recent] + [f for f in snapshot.findings if f.recent]
        # The verdict already says the only one; a list is for when there are more, or room for both.
        spare = height - len(lines) - (8 if roomy else 5)
        if height - len(lines) >= 4:
            spare = max(spare, 1)  # one at least, where it fits at all: Enter leads from it to what the verdict says
        shown = max(0, min(len(found), 8 if roomy else 3, spare))
        findings.display = bool(shown)
        findings.styles.height = shown
        findings.styles.margin = (0, 0, 1 if roomy else 0, 0)
        # The first is what the verdict says in full: its row says where Enter leads.
        findings.set_rows(found, finding_key(found[0]) if found and not found[0].recent else None)
        threads = self.query_one("#threads", Table)
        threads.display = snapshot.target is not None
        shown_columns = columns_of(snapshot, width, COLUMNS if width >= 110 else BRIEF)
        threads.columns = shown_columns if base is None else base.columns(shown_columns)
        threads.set_rows(_there(snapshot), slice_number(snapshot))
        self.count()
        if findings.display and threads.has_focus and not threads.touched:
            # The first finding came while the keyboard was with the threads: Enter shall lead to what the verdict says.
            findings.focus()

    def draw_large(self, snapshot: Snapshot, width: int, height: int, palette: Palette) -> None:
        """For a projector, where the terminal's letters were made large: few things, with room around them."""
        blame = snapshot.blame
        lines: list[Line] = [[], *verdict_lines(snapshot, width, palette, 6), []]
        spots: list[Spot] = []
        tall = 3 if height >= 18 else 2
        if blame is not None and worth_drawing(blame):
            lines += [blame_bar(blame, width, palette)] * tall
            lines += [[], *(entry for entry in blame_entries(blame, palette)), []]
            tree, spots = tree_lines(blame, width, palette, max(2, height - len(lines) - 1), len(lines))
            lines += tree
        else:
            lines += [bar(snapshot.states, width, palette)] * tall
            lines += [[], *legend(snapshot.states, width, palette)]
        self.query_one(Numbers).set_numbers(lines[:height], [s for s in spots if s.y < height])
        findings, threads = self.query_one("#findings", Table), self.query_one("#threads", Table)
        findings.set_rows(snapshot.findings)
        threads.set_rows(_there(snapshot), slice_number(snapshot))
        findings.display = threads.display = False

    def primary(self) -> Widget | None:
        if getattr(self.app, "large", False):
            return self.query_one(Numbers)
        findings = self.query_one("#findings", Table)
        return findings if findings.display and findings.rows else self.query_one("#threads", Table)

    def on_table_opened(self, event: Table.Opened) -> None:
        event.stop()
        if event.table.id == "findings":
            self.post_message(self.Goto("findings", event.table.key(event.row)))
        else:
            self.post_message(self.Goto("thread", event.row.tid))

    def on_table_edge(self, event: Table.Edge) -> None:
        """Down from the numbers leads to the findings, from the last one into the threads, and back."""
        findings, threads = self.query_one("#findings", Table), self.query_one("#threads", Table)
        if event.table is findings and event.direction > 0:
            threads.focus()
        elif event.table is threads and event.direction < 0 and findings.display:
            findings.focus()
        elif event.direction < 0:
            numbers = self.query_one(Numbers)
            if numbers.spots:
                numbers.action_bottom()
                numbers.focus()

    def on_numbers_edge(self, event: Numbers.Edge) -> None:
        event.stop()
        primary = self.primary()
        if primary is not None:
            primary.focus()

    def do_filter(self) -> None:
        if self.grid.display:  # large print has no list
            super().do_filter()

    def on_numbers_opened(self, event: Numbers.Opened) -> None:
        event.stop()
        self.post_message(self.Goto(event.spot.view, event.spot.subject))

    def do_sort(self) -> None:
        self.query_one("#threads", Table).cycle_sort()

    def do_reverse(self) -> None:
        self.query_one("#threads", Table).reverse()

    def selection(self) -> str:
        table: Any = next((t for t in self.query(Table) if t.has_focus), self.primary())
        row = table.current if isinstance(table, Table) else None
        if row is None:
            return ""
        return finding_line(row) if table.id == "findings" else as_line(row)


VIEW = ViewSpec("overview", 1, "Overview", Overview)
