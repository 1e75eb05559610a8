"""So much of a terminal as concview takes: cells, a cursor, colours."""

from __future__ import annotations

import re

from rich.cells import cell_len

#: A character ("" behind one of two cells), and what it looks like.
Cell = tuple[str, str]
_PARTS = re.compile(r"\x1b\[([\d;]*)([A-Za-z])|\x1b\[[^A-Za-z]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|([\s\S])")


class Screen:
    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows: list[list[Cell]] = [[(" ", "")] * width for _ in range(height)]
        self.x = self.y = 0
        self._looks: dict[str, str] = {}

    @property
    def text(self) -> str:
        return "\n".join("".join(char for char, _ in row) for row in self.rows)

    def feed(self, data: str) -> None:
        """Whole sequences only."""
        for code, command, char in _PARTS.findall(data):
            if command == "H":
                self.y, self.x = (int(n) - 1 for n in code.split(";")) if ";" in code else (0, 0)
            elif command == "G":
                self.x = int(code or 1) - 1
            elif command == "m":
                self._looks = sgr(code, self._looks)
            elif char == "\r":
                self.x = 0
            elif char == "\n":
                self.y = min(self.y + 1, self.height - 1)
            elif char and char >= " ":
                self._put(char)

    def _put(self, char: str) -> None:
        look = ";".join(f"{k}{v}" for k, v in sorted(self._looks.items()))
        size = cell_len(char)
        if self.y < self.height and self.x + size <= self.width:
            row, end = self.rows[self.y], self.x + size
            # Half of a sign of two cells goes with its other half.
            if self.x and row[self.x][0] == "":
                row[self.x - 1] = (" ", "")
            if end < self.width and row[end][0] == "":
                row[end] = (" ", "")
            self.rows[self.y][self.x : self.x + size] = [(char, look), *[("", look)] * (size - 1)]
        self.x += size


def sgr(code: str, state: dict[str, str]) -> dict[str, str]:
    state = dict(state)
    parts = code.split(";")
    while parts:
        one = parts.pop(0)
        if one in ("", "0"):
            state = {}
        elif one in ("38", "48"):
            state[one] = ",".join([parts.pop(0) for _ in range(2 if parts[0] == "5" else 4)])
        elif one in ("39", "49"):
            state[{"39": "38", "49": "48"}[one]] = "default"
        elif len(one) > 1 and one[-2] in "349":  # 30 to 37, 90 to 97; 40 to 47, 100 to 107 below
            state["48" if one[0] == "4" else "38"] = one
        elif one.startswith("10"):
            state["48"] = one
        else:
            state[one] = "on"
    return state
