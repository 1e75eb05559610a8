"""The questions before anything is done inside the target: may the agent come, and how shall calls be counted."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import ModalScreen

from concview.control import CountCalls
from concview.model import Target
from concview.snapshot import Snapshot
from concview.tui import agent_requests, keys
from concview.tui.text_render import Line, paragraph
from concview.tui.theme import Palette, palette_of
from concview.tui.widgets.page import Page

_CSS = """
NAME { align: center middle; background: $background 60%; }
NAME #box {
    width: 94%; max-width: 96; height: auto; max-height: 100%;
    border: round $primary; padding: 0 1; background: $background;
}
NAME #box Page { height: auto; max-height: 100%; }
"""
#: Lengths of a window that can be chosen (seconds).
LENGTHS = (2, 5, 10, 20, 60)


def points(said: list[tuple[str, str]], width: int, palette: Palette) -> list[Line]:
    """Short headings with a paragraph each."""
    lines: list[Line] = []
    for head, words in said:
        for number, line in enumerate(paragraph(words, max(12, width - 11), palette.base)):
            lines.append([Segment(f"{'' if number else head:<11}", palette.title), *line])
    return lines


class _Asks:
    """What both questions share: a box as high as its words, drawn again when its width changes."""

    title_words = hints = ""

    def compose(self) -> ComposeResult:
        with Container(id="box"):
            yield Page(id="words")

    def on_mount(self) -> None:
        self.call_after_refresh(self.draw)  # type: ignore[attr-defined]

    def on_page_resized(self) -> None:
        self.draw()

    def restyle(self) -> None:
        self.draw()

    def draw(self) -> None:
        page = self.query_one(Page)  # type: ignore[attr-defined]
        box = self.query_one("#box")  # type: ignore[attr-defined]
        # On the border: what can be answered is on screen however far the words are scrolled.
        box.border_title, box.border_subtitle = Content(self.title_words), Content(self.hints)
        lines = self.lines(page.room, palette_of(page))
        page.styles.height = len(lines)
        page.set_lines(lines)
        page.focus()

    def lines(self, width: int, palette: Palette) -> list[Line]:
        raise NotImplementedError


class AgentQuestion(_Asks, ModalScreen[bool]):
    """Yes lets the agent in."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("agent")]
    DEFAULT_CSS = _CSS.replace("NAME", "AgentQuestion")

    hints = "y lets it in · esc leaves the process alone"

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target
        self.title_words = f"look inside process {target.pid}?"

    def action_yes(self) -> None:
        self.dismiss(True)

    def action_no(self) -> None:
        self.dismiss(False)

    def lines(self, width: int, palette: Palette) -> list[Line]:
        newer = _minor(self.target.python) >= 12
        enters = (
            "A request is written into the target's memory. Nothing is stopped, no other program is needed. "
            + ("Any thread that runs Python code" if newer else "The main thread, when it next runs Python code,")
            + " takes it; if none does within a minute, it is withdrawn."
        )
        fork = " While it is there, a fork in the target warns that threads are running." if newer else ""
        said = [
            ("Does", "One more thread in the target tells once a second: asyncio tasks and the lag of their loop, "
                     "queues, thread pools, pauses of the garbage collector. On request it counts calls exactly."),
            ("Enters", enters),
            ("Costs", "About 0.1 % of a core, and some hundred kB of memory. Counting calls costs much more; "
                      "you are asked again before it begins." + fork),
            ("Cannot", "Report while native code holds the GIL, nor count calls under gevent or eventlet."),
            ("Goes", "When you press a again, quit, or concview dies: within 5 seconds, with its hooks, callbacks and "
                     "modules. Forked children carry nothing of it."),
        ]  # fmt: skip
        return points(said, width, palette)


class WindowQuestion(_Asks, ModalScreen[CountCalls | None]):
    """Answers with the command to the collector, or nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("window")]
    DEFAULT_CSS = _CSS.replace("NAME", "WindowQuestion")

    hints = "y wall · c CPU · n counts only · + - length · esc no"

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.length = LENGTHS.index(5)
        self._title()

    def _title(self) -> None:
        self.title_words = f"count every call for {LENGTHS[self.length]} s?"

    def action_start(self, clock: str) -> None:
        seconds = LENGTHS[self.length]
        self.dismiss(CountCalls(clock, seconds))

    def action_longer(self, step: int) -> None:
        self.length = max(0, min(len(LENGTHS) - 1, self.length + step))
        self._title()
        self.draw()

    def action_no(self) -> None:
        self.dismiss(None)

    def lines(self, width: int, palette: Palette) -> list[Line]:
        calls = self.snapshot.calls
        last = (
            f"In the last window: {agent_requests.cost(calls)}."
            if calls is not None
            else "How many calls this program makes a second is not known before the first window."
        )
        said = [
            ("Wall clock", "yappi counts and times every call of every thread; waiting counts as time. About 0.3 µs "
                           "a call: code that does nothing but call is 5 to 15 times slower, loops without calls are "
                           "not (on 3.11 up to twice), waiting takes no longer."),
            ("CPU clock", "The same in CPU time. About 1.5 µs a call: 30 to 50 times slower at worst."),
            ("Counts", "sys.monitoring, from Python 3.12 on, where yappi has no build: how often each function is "
                       "called; no times, no threads. About 0.15 µs a call."),
            ("Here", last),
            ("Ends", "By itself, on w, and when concview goes; that the hooks are gone is checked."),
        ]  # fmt: skip
        return points(said, width, palette)


def _minor(python: str) -> int:
    part = python.split(".")[1] if python.count(".") else ""
    return int(part) if part.isdecimal() else 0
