"""The deep look: one thread read anew, with the values of its variables, on request and in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen

from concview import text
from concview.snapshot import Snapshot, Status
from concview.tui import keys
from concview.tui.ports import DeepFrame, DeepLook
from concview.tui.text_render import Line, cut, fit, paragraph, wrap
from concview.tui.theme import Palette, palette_of
from concview.tui.widgets.page import Page

#: Lines that the value of one variable may take.
VALUE_LINES = 3

QUESTION = (
    "Native frames can only be read while the process stands still: every thread of it stops, for about 20 ms, "
    "longer the first time when it has large libraries. Nothing is changed in it."
)


def why_not(deep_look: DeepLook | None, live: bool, snapshot: Snapshot | None, tid: int) -> str:
    """Why this thread cannot be looked into; '' when it can."""
    if not live or (snapshot is not None and snapshot.status in (Status.REPLAY, Status.FINISHED)):
        return "a recording holds no local variables; the deep look needs the running process"
    if deep_look is None:
        return "this dashboard was opened without py-spy, which the deep look needs"
    if snapshot is None or snapshot.target is None:
        return "there is no process yet"
    if snapshot.status in (Status.EXITED, Status.LOST):
        return (
            "the process has exited: nothing is left to read"
            if snapshot.status is Status.EXITED
            else (f"the process cannot be read any more: {snapshot.ending}")
        )
    thread = snapshot.thread(tid)
    if thread is None or not thread.alive:
        return "this thread has ended: nothing is left to read"
    return ""


def frame_lines(frames: Sequence[DeepFrame], width: int, palette: Palette) -> list[Line]:
    """Innermost first; arguments before other variables, as they were passed."""
    lines: list[Line] = []
    for number, frame in enumerate(frames):
        mark = "▸ " if number == 0 else "  "
        if frame.native:
            place = f"native, {frame.file}" if frame.file and frame.file != "?" else "native"
        else:
            place = f"{text.short_path(frame.file, max(12, width // 2))}:{frame.line}"
        name = fit(frame.function or "?", max(6, min(len(frame.function) * 2, width - 5 - len(place)))).rstrip()
        lines.append(
            [
                Segment(mark, palette.accent),
                Segment(name, palette.dim if frame.native else palette.bright),
                Segment(f"  {place}", palette.faint if frame.native else palette.accent),
            ]
        )
        for local in sorted(frame.locals, key=lambda v: not v.argument):
            name = fit(local.name, min(len(local.name), max(8, width // 3)))
            head = f"      {name}{' (argument)' if local.argument else ''} = "
            room = max(8, width - len(head))
            first, *rest = cut(wrap(local.value, room), VALUE_LINES, room)
            lines.append([Segment(head, palette.dim), Segment(first, palette.base)])
            lines += [[Segment(" " * len(head) + part, palette.base)] for part in rest]
    return lines


class DeepScreen(ModalScreen[None]):
    """Reads at once, or asks first when native frames are wanted. One request at a time; a late answer is dropped."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("deep")]
    DEFAULT_CSS = """
    DeepScreen { align: center middle; background: $background 60%; }
    DeepScreen #box {
        width: 96%; max-width: 140; height: 90%;
        border: round $primary; padding: 0 1; background: $background;
    }
    """

    class Arrived(Message):
        def __init__(self, number: int, frames: Sequence[DeepFrame] | None, error: str, remedy: str) -> None:
            super().__init__()
            self.number, self.frames, self.error, self.remedy = number, frames, error, remedy

    def __init__(self, deep_look: DeepLook, pid: int, tid: int, name: str, native: bool = False) -> None:
        super().__init__()
        self.deep_look, self.pid, self.tid, self.thread_name = deep_look, pid, tid, name
        self.native = native
        self.asking = native
        self.reading = False
        self.frames: Sequence[DeepFrame] | None = None
        self.error, self.remedy = "", ""
        self._number = 0

    def compose(self) -> ComposeResult:
        with Container(id="box"):
            yield Page(id="deep")

    def on_mount(self) -> None:
        if not self.asking:
            self._read(False)
        self.call_after_refresh(self.draw)

    def on_page_resized(self) -> None:
        self.draw()

    def restyle(self) -> None:
        self.draw()

    # ------------------------------------------------------------ reading

    def _read(self, native: bool) -> None:
        self.native, self.asking, self.reading = native, False, True
        self._number += 1
        number, deep_look, pid, tid = self._number, self.deep_look, self.pid, self.tid

        def run() -> None:
            frames: Sequence[DeepFrame] | None = None
            error = remedy = ""
            try:
                frames = deep_look(pid, tid, native)
            except Exception as failure:  # whatever the callable raises is for the person, not for a traceback
                error = text.clean(str(failure) or type(failure).__name__, 1000)
                remedy = text.clean(str(getattr(failure, "remedy", "") or ""), 1000)
            if self.is_running:
                self.post_message(self.Arrived(number, frames, error, remedy))

        # A daemon: a target that does not answer must not keep the program from ending.
        threading.Thread(target=run, name="concview-deep", daemon=True).start()

    def on_deep_screen_arrived(self, event: Arrived) -> None:
        if event.number != self._number:
            return
        self.reading, self.frames, self.error, self.remedy = False, event.frames, event.error, event.remedy
        self.draw()
        self.query_one(Page).scroll_home(animate=False)

    # ------------------------------------------------------------ keys

    def action_read(self, native: bool) -> None:
        if self.reading:
            return
        if native:
            self.asking = True
        else:
            self._read(False)
        self.draw()

    def action_yes(self) -> None:
        if self.asking:
            self._read(True)
            self.draw()

    def action_back(self) -> None:
        if self.asking and (self.frames is not None or self.error):
            self.asking = False
            self.draw()
        else:
            self.dismiss()

    # ------------------------------------------------------------ drawing

    def draw(self) -> None:
        page = self.query_one(Page)
        palette, width = palette_of(self), page.room
        box = self.query_one("#box")
        # Content made by hand: a thread's name may look like markup.
        box.border_title = Content(f"deep look: {fit(self.thread_name, min(len(self.thread_name), 40))}")
        hints = "y stops it and reads · esc does not" if self.asking else "d again · n native frames · esc closes"
        box.border_subtitle = Content(hints)
        page.set_lines(self._lines(width, palette))
        page.focus()

    def _lines(self, width: int, palette: Palette) -> list[Line]:
        if self.asking:
            title = f"Stop process {self.pid} for a moment?"
            return [
                [Segment(title, palette.warn)],
                [],
                *paragraph(QUESTION, width, palette.base),
                [],
                [
                    Segment("y", palette.bright),
                    Segment(" stop it and read   ", palette.dim),
                    Segment("esc", palette.bright),
                    Segment(" leave it alone", palette.dim),
                ],
            ]
        if self.reading:
            how = "it stands still meanwhile" if self.native else "it is not stopped"
            return [[Segment(f"Reading thread {self.tid} of process {self.pid}; {how} …", palette.dim)]]
        if self.error:
            lines = paragraph(f"{self.error}.".replace("..", "."), width, palette.error)
            return [*lines, *(paragraph(self.remedy, width, palette.base) if self.remedy else [])]
        if not self.frames:
            return [[Segment("It has no Python frames now.", palette.dim)]]
        said = (
            "Innermost first. Read while the process stood still."
            if self.native
            else "Innermost first. Read without stopping it: a value that changed meanwhile may be wrong."
        )
        return [*paragraph(said, width, palette.dim), [], *frame_lines(self.frames, width, palette)]


def open_deep(app: Any, snapshot: Snapshot | None, tid: int, native: bool = False) -> None:
    """Show the deep look at one thread, or say why there is none."""
    live = bool(getattr(app.session, "live", True))
    problem = why_not(app.deep_look, live, snapshot, tid)
    if problem:
        app.notify(problem, severity="warning", markup=False)
        return
    assert snapshot is not None and snapshot.target is not None
    thread = snapshot.thread(tid)
    name = thread.name if thread is not None else f"thread {tid}"
    app.push_screen(DeepScreen(app.deep_look, snapshot.target.pid, tid, name, native))
