"""How wide columns are: as what is in them needs, as far as there is room."""

from __future__ import annotations

from typing import Any

from concview.tui.theme import palette_of
from concview.tui.widgets.columns import Column, layout, needed, place_cell, text_cell

NAME = Column("name", "LOCK", 16, text_cell(lambda r: r[0]), most=34)
HOLDER = Column("holder", "HOLDER NOW", 12, text_cell(lambda r: r[1]), most=24)
PLACE = Column("place", "TAKEN IN", 20, place_cell(lambda r: r[2]), most=60)
ROWS = [("self._mutex", "CP Server Thread-13", "Tokens.get (orders.py:20)")]


class _Widget:
    """What `palette_of` asks for."""

    def __init__(self) -> None:
        from concview.tui.theme import DARK

        self.app: Any = self
        self.current_theme = DARK
        self.theme_variables = DARK.to_color_system().generate()


def _needs(rows: Any) -> dict[str, int]:
    palette = palette_of(_Widget())  # type: ignore[arg-type]
    return {c.id: needed(c, rows, palette, None) for c in (NAME, HOLDER, PLACE)}


def test_room_goes_where_something_would_be_cut() -> None:
    columns = (NAME, HOLDER, PLACE)
    before = {c.id: w for c, w in layout(columns, 64)}
    after = {c.id: w for c, w in layout(columns, 64, _needs(ROWS))}
    assert before["holder"] < len(ROWS[0][1]) and before["name"] > 16
    assert after["name"] == 16 and after["holder"] >= len(ROWS[0][1]) and after["place"] >= len(ROWS[0][2])


def test_what_is_needed_is_counted_in_steps_and_has_an_end() -> None:
    assert _needs(ROWS) == {"name": 12, "holder": 20, "place": 28}
    assert _needs([("x" * 500, "y" * 500, "z" * 500)]) == {"name": 34, "holder": 24, "place": 60}
    assert _needs([]) == {"name": 8, "holder": 12, "place": 12}, "their titles"


def test_wide_characters_count_twice() -> None:
    assert _needs([("錠" * 9, "", "")])["name"] == 20


def test_without_anything_known_columns_share_the_room() -> None:
    assert sum(w for _, w in layout((NAME, HOLDER), 50)) == 49
