"""Writes lines: with colour for a terminal, without for a pipe."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable

BOLD, RED, YELLOW, DIM = "1", "31", "33", "2"


class Pen:
    """Collects lines; styles them only where they are seen on a terminal."""

    def __init__(self, styled: bool | None = None, width: int = 0) -> None:
        terminal = sys.stdout.isatty()
        if styled is None:
            styled = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.styled = styled
        self.width = width or (shutil.get_terminal_size().columns if terminal else 110)
        self._lines: list[str] = []

    def style(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.styled and text else text

    def line(self, text: str = "", code: str = "") -> None:
        self._lines.append(self.style(text, code) if code else text)

    def paragraph(self, text: str, indent: str = "  ", label: str = "") -> None:
        """Wrapped lines; code (indented further) stays as it is. `label` stands before the first line."""
        first = indent + (f"{label}: " if label else "")
        hang = indent + (" " * (len(label) + 2) if label else "")
        for number, part in enumerate(text.splitlines() or [""]):
            lead = first if number == 0 else hang
            if part.startswith(" ") or not part:
                self.line((lead + part).rstrip())
            else:
                width = max(40, self.width)
                self._lines.extend(
                    textwrap.wrap(part, width, initial_indent=lead, subsequent_indent=hang, break_on_hyphens=False)
                )

    def table(self, header: list[str], rows: Iterable[list[str]], left: int = 1) -> None:
        """Columns as wide as they must be; the first `left` flush left, numbers flush right."""
        body = list(rows)
        widths = [max(len(r[i]) for r in [header, *body]) for i in range(len(header))]
        for number, row in enumerate([header, *body]):
            cells = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
            self.line("  " + "  ".join(cells).rstrip(), DIM if number == 0 else "")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"
