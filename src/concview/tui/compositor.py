"""Fewer bytes to the terminal: only the cells that changed, and a colour only where it changes.

Textual sends a changed span from the left edge of its widget on, and sets and resets the style of every segment anew;
for a table of live numbers that is five times what is needed, which is felt over ssh.
"""

from __future__ import annotations

from functools import lru_cache

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor
from textual.strip import Strip

_RESET = "\x1b[0m"
_PLAIN = Style()


@lru_cache(4096)
def _colours(style: Style, system: ColorSystem) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Codes of foreground and background, and whether nothing else is set."""
    fore = tuple(style.color.downgrade(system).get_ansi_codes(True)) if style.color else ()
    back = tuple(style.bgcolor.downgrade(system).get_ansi_codes(False)) if style.bgcolor else ()
    return fore, back, not style._attributes


@lru_cache(16384)
def transition(before: Style, after: Style, system: ColorSystem) -> str:
    """What leads from one style to another. `_PLAIN`: the state behind a reset."""
    fore, back, plain = _colours(before, system)
    new_fore, new_back, new_plain = _colours(after, system)
    if plain and new_plain and len(fore) <= len(new_fore) and len(back) <= len(new_back):
        codes = (*(new_fore if new_fore != fore else ()), *(new_back if new_back != back else ()))
        return f"\x1b[{';'.join(codes)}m" if codes else ""
    everything = after._make_ansi_codes(system)
    return f"\x1b[0;{everything}m" if everything else _RESET


class TightUpdate(ChopsUpdate):
    def render_segments(self, console: Console) -> str:
        system = console._color_system or ColorSystem.TRUECOLOR
        out: list[str] = []
        for y, x1, x2 in self.spans:
            at = -1  #: where the cursor is
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= x2 or end <= x1:
                    continue
                start, stop = max(x, x1), min(end, x2)
                if start != at:
                    out.append(f"\x1b[{y + 1};{start + 1}H")
                part = strip if (start, stop) == (x, end) else strip.crop(start - x, stop - x)
                _write(part, system, out)
                at = stop
        return "".join(out)


def _write(strip: Strip, system: ColorSystem, out: list[str]) -> None:
    now = _PLAIN
    for text, style, control in strip:
        if control:
            continue
        wanted = style or _PLAIN
        if wanted.link:
            # Rich knows how links are written.
            out += [transition(now, _PLAIN, system), wanted.render(text, color_system=system)]
            now = _PLAIN
            continue
        if wanted is not now:
            out.append(transition(now, wanted, system))
            now = wanted
        out.append(text)
    if now is not _PLAIN:
        out.append(_RESET)


class TightCompositor(Compositor):
    def render_partial_update(self) -> ChopsUpdate | None:
        update = super().render_partial_update()
        return None if update is None else TightUpdate(update.chops, update.spans, update.chop_ends)
