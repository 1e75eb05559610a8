"""The wait-for graph as lines: each chain with its sentence, drawn below its root."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment

from concview.session.tree import tree
from concview.snapshot import ChainView, Snapshot
from concview.tui.text_render import Line, fit, paragraph
from concview.tui.theme import Palette

_BOXES = "┌│└├─▶↻ "


def chain_lines(chain: ChainView, snapshot: Snapshot, width: int, palette: Palette, most: int = 6) -> list[Line]:
    """A chain: who is to blame in a sentence, then the picture. Colour is not the only carrier: circles have arrows."""
    sure = "" if chain.exact else " (inferred)"
    head = palette.error if chain.cycle else palette.bright
    lines = paragraph(("▲ " if chain.cycle else "") + chain.text + sure, width, head)
    for number, row in enumerate(tree(chain, snapshot, most)):
        body = row.lstrip(_BOXES)
        boxes = row[: len(row) - len(body)]
        root = number == 0 or (chain.cycle and row[0] in "┌└│↻" and not boxes.endswith("─ "))
        style = palette.title if root else palette.dim if body.startswith(("holds ", "joined ")) else palette.base
        lines.append([Segment(f"  {boxes}", palette.faint), Segment(_fitted(body, width - 2 - len(boxes)), style)])
    return lines


def graph_lines(chains: Sequence[ChainView], snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    """Several chains, an empty line between them."""
    lines: list[Line] = []
    for chain in chains:
        lines += [*chain_lines(chain, snapshot, width, palette), []]
    return lines


def _fitted(text: str, room: int) -> str:
    return fit(text, max(1, room)).rstrip()
