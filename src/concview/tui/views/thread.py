"""One thread: what it waits for and who is in the way, its stack, what it holds, where its time goes."""

from __future__ import annotations

from rich.segment import Segment

from concview import text
from concview.model import Confidence, State
from concview.session.phrases import lasting
from concview.snapshot import PlaceWaitTimes, Snapshot, ThreadView, WaitTimes, WakerView, WakeTimes
from concview.tui.text_render import Line, beside, fit, paragraph
from concview.tui.theme import GLYPHS, WORDS, Palette, palette_of
from concview.tui.views.base import NOTHING_YET, OfOne, ViewSpec
from concview.tui.widgets.page import Page
from concview.tui.widgets.stacks import stack_lines
from concview.tui.widgets.states import bar, legend, slice_number, strip_cells
from concview.tui.widgets.threads import as_line, behind, doing


def _head(thread: ThreadView, palette: Palette, width: int) -> list[Line]:
    state = thread.state
    word = f" {GLYPHS[state]} {WORDS[state]} " if thread.alive else " ended "
    tone = {State.RUNNING: "ok", State.LOCK: "error", State.GIL: "warn", State.RUNNABLE: "warn", State.IO: "info"}
    native = "native, no Python state · " if thread.native else ""
    facts = f" tid {thread.tid} · {native}{text.duration(thread.age_s)} old"
    since = f" for {lasting(thread)}" if thread.alive else ""
    lines: list[Line] = [
        [Segment(fit(thread.name, min(len(thread.name), width - 20)), palette.bright), Segment(facts, palette.dim)],
        [
            Segment(word, palette.badges[tone.get(state, "mute") if thread.alive else "mute"]),
            Segment(since, palette.base),
        ],
    ]
    if thread.reason:
        lines += paragraph(thread.reason, width, palette.bright)
    if behind(thread):
        lines += paragraph(f"because: {thread.because.replace(' <- ', ' ← ')}", width, palette.base)
    return [*lines, []]


#: Cells that the figures of one row take.
_FIGURES = 62


def _number(value: float | None, unit: str, digits: int = 0) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}{unit}"


def _time(thread: ThreadView, snapshot: Snapshot, palette: Palette, width: int) -> list[Line]:
    lines: list[Line] = [
        [Segment("Where its time goes", palette.title)],
        bar(thread.shares, width, palette),
        *legend(thread.shares, width, palette),
        [
            Segment("Last minute ", palette.dim),
            *strip_cells(thread.strip, max(10, min(120, width - 12)), slice_number(snapshot), palette),
        ],
    ]
    held = None if thread.gil_held is None else thread.gil_held * 100
    switches = _number(thread.switches_per_s, "")
    if thread.voluntary_per_s is not None:
        switches += f" ({thread.voluntary_per_s:.0f} voluntary)"
    counters: Line = []
    for title, value in (("CPU", _number(thread.cpu_percent, " %")), ("GIL held", _number(held, " %"))):
        counters += [Segment(f"{title} ", palette.dim), Segment(f"{value}   ", palette.bright)]
    counters += [Segment("switches/s ", palette.dim), Segment(switches, palette.bright)]
    return [*lines, counters, []]


def _exact(thread: ThreadView, palette: Palette, width: int) -> list[Line]:
    """Every wait, by the kernel's records; nothing where there are none: view 0 says why."""
    waits = thread.exact
    if waits is None:
        return []
    sure = "exact" if waits.complete else "some records were lost"
    label = max(28, min(60, width - _FIGURES))
    lines: list[Line] = [
        [Segment("Every wait ", palette.title), Segment(f"last {waits.seconds:.0f} s, {sure}", palette.dim)],
        _waits_line(fit(f"  {text.plural(waits.waits, 'wait')}", label), waits, palette),
        [
            Segment("  kept off the CPU by others ", palette.dim),
            Segment(f"{text.plural(waits.aside, 'time')}, {text.duration(waits.aside_s)} in all", palette.bright),
        ],
    ]
    if waits.wakes is not None:
        lines += _wakes(waits.wakes, palette, width, label)
    for place in waits.places:
        lines.append(_waits_line(fit(f"  {place.waits:,} seen: {place.reason}", label), place, palette))
        if place.wakers:
            said = f"      woken by {_wakers(place.wakers)}"
            if place.late_s is not None:
                said += f"; then {text.duration(place.late_s)} until it was on a CPU (median)"
            if place.back:
                said += f"; {text.plural(place.back, 'time')} back here at once"
            lines += paragraph(said.strip(), width, palette.dim, 6)
    unseen = waits.waits - sum(place.waits for place in waits.places)
    if unseen > 0:
        said = f"  {text.plural(unseen, 'other')} ended before a sample was taken: where is not known"
        lines.append([Segment(fit(said, width).rstrip(), palette.dim)])
    return [*lines, []]


def _wakes(wakes: WakeTimes, palette: Palette, width: int, label: int) -> list[Line]:
    # Without the sum of the waits, which stands in the other rows.
    line: Line = [Segment(fit(f"  woken {text.plural(wakes.wakes, 'time')}; to a CPU", label + 9), palette.base)]
    for value, word in ((wakes.median_s, "median"), (wakes.p95_s, "95 %"), (wakes.longest_s, "longest")):
        shown = "n/a" if value is None else text.duration(value)
        line += [Segment(f"  {word} ", palette.dim), Segment(f"{shown:>7}", palette.bright)]
    said = f"      by {_wakers(wakes.wakers)}"
    if wakes.brief:
        said += f"; {text.plural(wakes.brief, 'time')} only to wait again within 50 µs"
    return [line, *paragraph(said.strip(), width, palette.dim, 6)]


def _wakers(wakers: tuple[WakerView, ...]) -> str:
    return ", ".join(f"{waker.name} ({text.plural(waker.count, 'time')})" for waker in wakers)


def _waits_line(title: str, waits: WaitTimes | PlaceWaitTimes, palette: Palette) -> Line:
    line: Line = [Segment(title, palette.base)]
    figures = (("", waits.waited_s), ("median", waits.median_s), ("95 %", waits.p95_s), ("longest", waits.longest_s))
    for word, value in figures:
        shown = "n/a" if value is None else text.duration(value)
        line += [Segment(f"  {word} " if word else "  ", palette.dim), Segment(f"{shown:>7}", palette.bright)]
    return line


def _holds(thread: ThreadView, palette: Palette, width: int) -> list[Line]:
    lines: list[Line] = [[Segment("Holds", palette.title)]]
    if thread.holds_gil:
        lines.append([Segment("  the GIL", palette.bright)])
    for hold in thread.holds:
        place = f"{hold.site.function} ({text.file_name(hold.site.file)}:{hold.site.line})"
        said = f"  {hold.kind or 'lock'} {hold.site.expression}, taken in {place}, {hold.confidence}"
        lines.append([Segment(fit(said, width).rstrip(), palette.base)])
    if len(lines) == 1:
        lines.append([Segment("  no lock that can be seen", palette.dim)])
    return [*lines, []]


class Thread(OfOne):
    keys = ("back", "open_holder", "calls", "deep", "native", "fold")

    def __init__(self) -> None:
        super().__init__()
        self.folded = True

    def draw(self, snapshot: Snapshot) -> None:
        page = self.query_one(Page)
        palette, width = palette_of(self), page.room
        thread = snapshot.thread(self.tid)
        if thread is None:
            gone = f"Thread {self.tid} ended and has left the window. esc goes back."
            page.set_lines([[Segment(gone if snapshot.target else NOTHING_YET, palette.dim)]])
            return
        page.set_lines(self._lines(thread, snapshot, width, palette))

    def _lines(self, thread: ThreadView, snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
        lines = _head(thread, palette, width)
        holder = snapshot.thread(thread.in_the_way) if thread.in_the_way else None
        half = (width - 3) // 2
        side = holder is not None and width >= 96
        own = half if side else width
        stack: list[Line] = [
            [Segment("Stack", palette.title), Segment(", innermost first", palette.dim)],
            *stack_lines(thread.stack.frames, own, palette, self.folded, thread.stack.truncated),
        ]
        if holder is not None:
            confidence = thread.blocked_confidence if thread.blocked_by else thread.held_confidence
            sure = "" if confidence is Confidence.EXACT else f" ({confidence})"
            title = f"Held by {holder.name}{sure}"
            now = f", {doing(holder)}"
            other: list[Line] = [
                [
                    Segment(fit(title, min(len(title), own)), palette.warn),
                    Segment(fit(now, max(0, own - len(title))).rstrip(), palette.dim),
                ],
                *stack_lines(holder.stack.frames, own, palette, self.folded, holder.stack.truncated),
            ]
            stack = beside(stack, other, half, " │ ", palette.faint) if side else [*stack, [], *other]
        lines += [*stack, [], *_holds(thread, palette, width), *_time(thread, snapshot, palette, width)]
        lines += _exact(thread, palette, width)
        return lines

    def do_open_holder(self) -> None:
        thread = self.snapshot.thread(self.tid) if self.snapshot else None
        if thread is not None and thread.in_the_way:
            self.post_message(self.Goto("thread", thread.in_the_way))

    def do_calls(self) -> None:
        self.post_message(self.Goto("flame", self.tid))

    def do_exact(self) -> None:
        thread = self.snapshot.thread(self.tid) if self.snapshot else None
        frame = thread.stack.user_leaf if thread is not None else None
        if frame is not None:
            self.post_message(self.Goto("inside", frame))

    def do_deep(self, native: bool = False) -> None:
        from concview.tui.screens.deep import open_deep

        open_deep(self.app, self.snapshot, self.tid, native)

    def do_native(self) -> None:
        self.do_deep(native=True)

    def do_fold(self) -> None:
        self.folded = not self.folded
        self.redraw()

    def selection(self) -> str:
        thread = self.snapshot.thread(self.tid) if self.snapshot else None
        if thread is None:
            return ""
        stack = "\n".join(f"  {f.function} ({f.file}:{f.line})" for f in thread.stack.frames)
        return f"{as_line(thread)}\n{stack}"


VIEW = ViewSpec("thread", 0, "Thread", Thread)
