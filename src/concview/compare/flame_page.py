"""The difference of two sides as a picture: SVG, and a page with it that needs nothing else.

Drawn twice, because what is gone has no width in the one, and what is new none in the other. A box is as wide as the
time of threads in it on that side; red: more of it in NEW, blue: less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from concview import __version__
from concview.compare.flame import Flame, Node, Place

WIDTH, ROW, TEXT = 1200, 17, 6.6  #: pixels; of a character
#: Boxes narrower than this, pixels, and calls deeper than so many are left out.
NARROW, MOST_ROWS = 0.6, 120
#: Of a letter's width: shorter texts tell nothing.
_LEAST_TEXT = 3
MOST_PLACES = 40
_STYLE = (
    "body{font:14px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:1240px;padding:0 1rem;color:#1d2530;"
    "background:#fff}h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse}"
    "td,th{padding:.15rem .7rem .15rem 0;text-align:left;vertical-align:top}.n{text-align:right;"
    "font-variant-numeric:tabular-nums}.dim{color:#5d6876}.more{color:#a3123a}.less{color:#1f5fae}"
    "svg{max-width:100%;height:auto}"
)


class _Box(NamedTuple):
    x: float
    width: float
    depth: int
    node: Node


def svg(flame: Flame) -> str:
    """The two pictures, one below the other, as one SVG."""
    parts: list[str] = []
    y = 0.0
    for title, side in (("NEW: widths of after", 1), ("BASE: widths of before", 0)):
        boxes = list(_boxes(flame.root, side))
        y += 22
        parts.append(f'<text x="2" y="{y - 6:.0f}" class="t">{title}</text>')
        most = max((abs(b.node.change) for b in boxes), default=0.0)
        parts += [_drawn(box, y, most) for box in boxes]
        y += ROW * (1 + max((b.depth for b in boxes), default=0)) + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}" width="{WIDTH}" height="{y:.0f}" '
        'role="img" aria-label="Difference of two flame graphs"><style>text{font:11px ui-monospace,monospace;'
        "fill:#1d2530}.t{font:bold 13px system-ui,sans-serif}rect{stroke:#fff;stroke-width:.5}</style>"
        f'<rect width="{WIDTH}" height="{y:.0f}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _boxes(root: Node, side: int) -> Iterator[_Box]:
    """Outermost first; largest child first, by name where equal."""
    total = root.new if side else root.base
    if total <= 0:
        return
    scale = WIDTH / total
    waiting = [_Box(0.0, WIDTH, 0, root)]
    while waiting:
        box = waiting.pop()
        yield box
        if box.depth + 1 >= MOST_ROWS:
            continue
        x = box.x
        # One order on both sides, so that what is the same lies side by side.
        for child in sorted(box.node.children.values(), key=lambda c: (-max(c.base, c.new), c.name)):
            width = (child.new if side else child.base) * scale
            if width >= NARROW:
                waiting.append(_Box(x, width, box.depth + 1, child))
            x += width


def _drawn(box: _Box, top: float, most: float) -> str:
    node, y = box.node, top + box.depth * ROW
    said = f"{node.name}: {node.base:.2f} to {node.new:.2f} threads ({node.change:+.2f})"
    room = int((box.width - 4) / TEXT)
    name = node.name if len(node.name) <= room else node.name[: max(0, room - 1)] + "…"
    weight = ' font-weight="bold"' if node.own else ""
    text = f'<text x="{box.x + 2:.1f}" y="{y + 12:.1f}"{weight}>{escape(name)}</text>' if room >= _LEAST_TEXT else ""
    return (
        f'<g><title>{escape(said)}</title><rect x="{box.x:.1f}" y="{y:.1f}" width="{box.width:.1f}" '
        f'height="{ROW - 1}" fill="{_colour(node.change, most)}"/>{text}</g>'
    )


def _colour(change: float, most: float) -> str:
    """From white for no difference to full red or blue for the largest of the picture."""
    part = math.sqrt(abs(change) / most) if most > 0 else 0.0
    if part < 0.05:
        return "#eceff3"
    red, green, blue = (226, 74, 90) if change > 0 else (70, 134, 214)
    mixed = (round(236 + (c - 236) * part) for c in (red, green, blue))
    return "#" + "".join(f"{c:02x}" for c in mixed)


def page(flame: Flame, title: str, facts: list[tuple[str, str]], notes: list[str]) -> str:
    """One HTML page. `facts`: rows of its head; `notes`: what a reader must know."""
    head = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    said = "".join(f'<p class="dim">{escape(note)}</p>' for note in notes)
    rows = "".join(map(_row, flame.places[:MOST_PLACES])) or '<tr><td colspan="6">no place differs</td></tr>'
    more = len(flame.places) - MOST_PLACES
    rest = f'<p class="dim">{more} more places differ less.</p>' if more > 0 else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f'<table>{head}</table>{said}<h2>What differs most, threads on average</h2><table><tr><th class="n">change'
        '</th><th class="n">base</th><th class="n">new</th><th>state</th><th>place</th><th class="n">p</th></tr>'
        f"{rows}</table>{rest}<h2>Where the time of threads goes</h2>"
        '<p class="dim">Outermost call on top; red: more of it in NEW, blue: less; bold: the program\'s own code. A '
        f"box says its numbers where the pointer rests on it.</p>{svg(flame)}"
        f'<p class="dim">Written by concview {escape(__version__)}. The page loads nothing.</p></body></html>\n'
    )


def _row(place: Place) -> str:
    tone = "more" if place.change > 0 else "less"
    lock = f" {place.lock}" if place.lock else ""
    where = f"{place.function} ({place.file})" if place.file else place.function
    p = "" if place.p is None else f"{place.p:.3f}{'' if place.significant else ' ~'}"
    return (
        f'<tr><td class="n {tone}">{place.change:+.2f}</td><td class="n">{place.base:.2f}</td>'
        f'<td class="n">{place.new:.2f}</td><td>{escape(place.state + lock)}</td><td>{escape(where)}</td>'
        f'<td class="n">{p}</td></tr>'
    )
