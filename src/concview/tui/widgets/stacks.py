"""Stacks as lines: the user's frames bright with their source, library frames folded, two stacks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.segment import Segment

from concview import text
from concview.model import Frame
from concview.tui.text_render import Line, beside, fit, paragraph
from concview.tui.theme import Palette


def _frame(frame: Frame, width: int, palette: Palette, leaf: bool) -> list[Line]:
    user = frame.origin == "user"
    mark = "▸ " if leaf else "  "
    place = (
        f"{text.short_path(frame.file, max(12, width // 2))}:{frame.line}"
        if user
        else f"{text.file_name(frame.file)}:{frame.line}"
    )
    name_room = max(6, width - 4 - len(place))
    name = fit(frame.function, min(name_room, max(1, len(frame.function) * 2))).rstrip()
    lines: list[Line] = [
        [
            Segment(mark, palette.accent),
            Segment(name, palette.bright if user else palette.dim),
            Segment("  ", palette.base),
            Segment(place, palette.accent if user else palette.faint),
        ]
    ]
    if frame.text and (user or leaf):
        lines.append(
            [
                Segment("    ", palette.base),
                Segment(fit(frame.text, max(1, width - 4)).rstrip(), palette.base if user else palette.dim),
            ]
        )
    for site in frame.holds:
        said = fit(f"    under {site.expression}, line {site.line} (by the source)", width).rstrip()
        lines.append([Segment(said, palette.warn)])
    return lines


def stack_lines(
    frames: Sequence[Frame], width: int, palette: Palette, fold: bool = True, truncated: bool = False
) -> list[Line]:
    """Leaf first. Folded, a run of frames that are not the user's becomes one line, unless it is the leaf."""
    if not frames:
        return [[Segment("  no Python frames", palette.dim)]]
    lines: list[Line] = []
    first = True
    for user, run in groupby(frames, key=lambda f: f.origin == "user"):
        part = list(run)
        if first:
            lines += _frame(part[0], width, palette, True)
            part, first = part[1:], False
        if user or not fold or len(part) == 1:
            for frame in part:
                lines += _frame(frame, width, palette, False)
        elif part:
            names = ", ".join(dict.fromkeys(text.file_name(f.file) for f in part))
            said = fit(f"  … {text.plural(len(part), 'library frame')} ({names})", width).rstrip()
            lines.append([Segment(said, palette.faint)])
    if truncated:
        lines.append([Segment("  … deeper frames were not read", palette.faint)])
    return lines


def columns(
    blocks: Sequence[tuple[str, str, Sequence[Frame]]], width: int, palette: Palette, fold: bool = True
) -> list[Line]:
    """Titled stacks: `(title, note, frames)`. Two by two where there is room for it."""

    def block(title: str, note: str, frames: Sequence[Frame], room: int) -> list[Line]:
        head: list[Line] = [[Segment(fit(title, min(room, cell_len(title))), palette.title)]]
        if note and cell_len(title) + 2 + cell_len(note) <= room:
            head[0].append(Segment(f"  {note}", palette.dim))
        elif note:
            head += paragraph(note, room, palette.dim, 2)
        return [*head, *stack_lines(frames, room, palette, fold)]

    lines: list[Line] = []
    if width < 96 or len(blocks) < 2:
        for title, note, frames in blocks:
            lines += [*block(title, note, frames, width), []]
        return lines
    half = (width - 3) // 2
    for at in range(0, len(blocks), 2):
        left = block(*blocks[at], half)
        right = block(*blocks[at + 1], half) if at + 1 < len(blocks) else []
        lines += [*beside(left, right, half, " │ " if right else "", palette.faint), []]
    return lines
