"""The command line at the bottom: `:view locks`. What may follow is shown while one types; tab completes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from concview.tui.text_render import fit
from concview.tui.theme import palette_of

#: Lines that are remembered while the program runs.
MOST_LINES = 50


class _Offer(Widget):
    """What may follow, in one line."""

    DEFAULT_CSS = "_Offer { height: 1; width: 100%; }"

    def __init__(self) -> None:
        super().__init__()
        self.words: Sequence[str] = ()
        self.at = -1

    def say(self, words: Sequence[str], at: int = -1) -> None:
        if (words, at) != (self.words, self.at):
            self.words, self.at = words, at
            self.refresh()

    def render_line(self, y: int) -> Strip:
        palette, width = palette_of(self), self.size.width
        line = [Segment(" ", palette.bar_dim)]
        used = 1
        first = max(0, self.at - 3)
        for number, word in enumerate(self.words[first:], first):
            if used + len(word) + 2 > width:
                line.append(Segment(fit("…", width - used), palette.bar_dim))
                break
            line.append(Segment(f"{word}  ", palette.bar_bright if number == self.at else palette.bar_dim))
            used += len(word) + 2
        return Strip(line).adjust_cell_length(width, palette.bar)


class _Field(Input):
    def on_key(self, event: events.Key) -> None:
        """No bindings: what a key is bound to is done when it has come to the app, behind letters typed after it."""
        if event.key in ("tab", "shift+tab"):
            self.line.complete(1 if event.key == "tab" else -1)
        elif event.key in ("up", "down"):
            self.line.recall(-1 if event.key == "up" else 1)
        else:
            return
        event.stop()
        event.prevent_default()

    @property
    def line(self) -> CommandLine:
        assert isinstance(self.parent, CommandLine)
        return self.parent


class CommandLine(Vertical):
    DEFAULT_CSS = """
    CommandLine { height: 2; display: none; dock: bottom; }
    CommandLine Input { width: 100%; border: none; height: 1; padding: 0 1; background: $panel; }
    CommandLine Input:focus { border: none; background: $panel; }
    """

    class Given(Message):
        """A line; '' when it was left without one."""

        def __init__(self, line: str) -> None:
            super().__init__()
            self.line = line

    def __init__(self, completions: Callable[[str], Sequence[str]], id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._completions = completions
        self._lines: list[str] = []
        self._back = 0  #: how many lines ago the one is that was recalled
        self._line = ""  #: of which `_offered` are the completions
        self._offered: Sequence[str] = ()
        self._at = -1

    def compose(self) -> ComposeResult:
        yield _Offer()
        # The news of the focus may come after the first letters: what was selected then, the next letter would replace.
        yield _Field(
            compact=True,
            placeholder="a command; tab completes, esc leaves",
            id="command-input",
            select_on_focus=False,
        )

    @property
    def field(self) -> Input:
        return self.query_one(_Field)

    def open(self, line: str = "") -> None:
        self.display = True
        self._back = 0
        self.field.value = line
        self.field.cursor_position = len(line)
        self._offer(line)
        self.screen.set_focus(self.field)

    def close(self) -> None:
        self.display = False
        self.field.value = ""

    def _offer(self, line: str) -> None:
        self._at = -1
        self._line = line
        self._offered = tuple(self._completions(line))
        head = line.rpartition(" ")[0]
        words = [each.removeprefix(head).strip() for each in self._offered]
        self.query_one(_Offer).say(words)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.display:
            self._follow()

    def _follow(self) -> None:
        """Offer what may follow what stands there by now; several letters may have come since the last message did."""
        line = self.field.value
        offered = 0 <= self._at < len(self._offered) and line == self._offered[self._at]
        if not offered and (line != self._line or self._at >= 0):
            self._offer(line)

    def complete(self, step: int) -> None:
        self._follow()
        if not self._offered:
            return
        if len(self._offered) == 1:
            line = self._offered[0]
            self._at = -1
        else:
            self._at = (self._at + step) % len(self._offered)
            line = self._offered[self._at]
            self.query_one(_Offer).say(self.query_one(_Offer).words, self._at)
        self.field.value = line
        self.field.cursor_position = len(line)

    def recall(self, step: int) -> None:
        self._back = max(0, min(len(self._lines), self._back - step))
        line = self._lines[-self._back] if self._back else ""
        self.field.value = line
        self.field.cursor_position = len(line)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        line = event.value.strip()
        if line and (not self._lines or self._lines[-1] != line):
            self._lines = [*self._lines, line][-MOST_LINES:]
        self.close()
        self.post_message(self.Given(line))
