"""Terminals whose encoding lacks our signs: each is written as ASCII of the same width, so that columns stay in line.

Text that is printed has a table of its own (`commands/_output.py`): there words count, and no widths.
"""

from __future__ import annotations

import codecs

from rich.cells import get_character_cell_size

#: What stands for our signs; for every other that cannot be encoded a question mark stands.
_ASCII = {
    **dict.fromkeys("█▓▇▆▅▉▊▋▌", "#"),
    **dict.fromkeys("▒▄▃▐", "="),
    **dict.fromkeys("░▂▁▏▎▍", "_"),
    **dict.fromkeys("─━╌╴╶", "-"),
    **dict.fromkeys("│┃║▕┆┊╷╵", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯▔", "+"),
    **dict.fromkeys("▲↑", "^"),
    **dict.fromkeys("▼↓▾", "v"),
    **dict.fromkeys("←◀", "<"),
    **dict.fromkeys("→▶▸⇧", ">"),
    **dict.fromkeys("●■•", "*"),
    **dict.fromkeys("○◌·", "."),
    **dict.fromkeys("‖", "|"),
    "×": "x", "≈": "~", "✓": "v", "…": "~", "≤": "<", "≥": ">", "–": "-", "µ": "u", "↻": "@", "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip


def _cells(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(_ASCII.get(c) or "?" * get_character_cell_size(c) for c in signs), error.end


codecs.register_error("concview-cells", _cells)


def carried(data: str, encoding: str) -> str:
    """The same, in signs that the encoding has; as wide as before."""
    if data.isascii():
        return data
    return data.encode(encoding, "concview-cells").decode(encoding)
