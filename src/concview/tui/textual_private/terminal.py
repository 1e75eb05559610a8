"""What a terminal shows by now, and whether it has caught up with what was sent to it.

Some hundred kilobytes fit into the buffers of a slow line, and a key would be answered behind all of them. So each
frame ends with a question that a terminal answers when it has drawn so far (DSR 5, "are you all right?"; ECMA-48
8.3.35), and while an answer is late nothing more is drawn: what changes meanwhile is sent once, with the next frame.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from rich.cells import get_character_cell_size
from rich.style import Style
from textual.strip import Strip

QUESTION = "\x1b[5n"
#: "All right", and what a terminal says that is not.
ANSWERS = frozenset({"\x1b[0n", "\x1b[3n"})
#: Seconds beyond the way there and back from which on an answer is late.
PATIENCE_S = 0.05
#: Seconds without an answer from which on no answer is waited for: it, or the question, was lost.
LOST_S = 10.0
#: So many questions are asked of a terminal that has never answered one.
TRIES = 3

#: A character and its style; behind one of two cells an empty one.
Cell = tuple[str, Style | None]


class Flow:
    """Which frames the terminal has drawn. `answered` is called in the driver's thread, all else in the app's.

    `clock`: seconds. Until a terminal has answered once, nothing is late.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: deque[float] = deque()
        self._least: float | None = None  #: the shortest time there and back: the way itself, with nothing queued

    def ask(self) -> str:
        """What is to be sent behind a frame."""
        if self._least is None and len(self._asked) >= TRIES:
            return ""
        self._asked.append(self._clock())
        return QUESTION

    def answered(self) -> None:
        try:
            took = self._clock() - self._asked.popleft()
        except IndexError:  # to what was given up
            return
        self._least = took if self._least is None else min(took, self._least)

    def late(self) -> float:
        """Seconds for which a late answer is still waited for; 0: the next frame may be sent now."""
        if self._least is None:
            return 0.0
        try:
            waited = self._clock() - self._asked[0]
        except IndexError:
            return 0.0
        if waited <= self._least * 1.5 + PATIENCE_S:
            return 0.0
        if waited < LOST_S:
            return LOST_S - waited
        self._asked.clear()
        return 0.0

    @property
    def expected(self) -> bool:
        """An answer will come, of a terminal that answers."""
        return self._least is not None and bool(self._asked)

    def forget(self) -> None:
        """Answers to what was asked until now will not come."""
        self._asked.clear()


class Terminal:
    """The cells of every line as they were sent last; a line that is missing may show anything."""

    def __init__(self) -> None:
        self.lines: dict[int, list[Cell]] = {}
        self.width = 0
        self.flow = Flow()
        self.held = False  #: something is to be drawn that was not sent, as an answer is late

    def forget(self) -> None:
        """Somebody else has drawn on it, or it has another size."""
        self.lines.clear()

    def changes(self, y: int, x: int, strip: Strip, width: int) -> list[tuple[int, list[Cell]]]:
        """What of a strip that begins at `x` differs from what is shown, as cells at their column; it is shown then."""
        if width != self.width:
            self.lines.clear()
            self.width = width
        new = cells(strip)[: max(0, width - x)]
        old = self.lines.get(y)
        if old is None:
            old = self.lines[y] = [_UNKNOWN] * width
        end = x + len(new)
        before = old[x:end]
        if before == new:
            return []
        old[x:end] = new
        # Half of a sign of two cells goes with its other half.
        if x and before[0][0] == "":
            old[x - 1] = _UNKNOWN
        if end < width and old[end][0] == "":
            old[end] = _UNKNOWN
        return _runs(before, new, x)


#: No cell is like it.
_UNKNOWN: Cell = ("\0", None)
#: So many equal cells between two that differ are sent again: a move of the cursor takes as many bytes.
_BRIDGE = 4


def _runs(before: list[Cell], new: list[Cell], x: int) -> list[tuple[int, list[Cell]]]:
    runs: list[tuple[int, list[Cell]]] = []
    start = last = -1
    for i, (was, now) in enumerate(zip(before, new, strict=True)):
        if was == now:
            continue
        if start < 0:
            start = i - (now[0] == "" and i > 0)
        elif i - last > _BRIDGE:
            runs.append((x + start, new[start : last + 1]))
            start = i - (now[0] == "")
        last = i
    runs.append((x + start, new[start : last + 1]))
    return runs


def cells(strip: Strip) -> list[Cell]:
    found: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        if text.isascii():
            found += [(c, style) for c in text]
            continue
        for c in text:
            size = get_character_cell_size(c)
            if size:
                found.append((c, style))
                found += [("", style)] * (size - 1)
            elif found:  # it combines with the one before
                found[-1] = (found[-1][0] + c, found[-1][1])
    return found
