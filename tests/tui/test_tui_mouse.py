"""The mouse: the wheel scrolls what is under it, a click chooses; a header sorts by its column."""

from __future__ import annotations

import fake
import pytest
from textual.widget import Widget

from concview.tui.app import ConcviewApp
from concview.tui.screens.dashboard import Dashboard
from concview.tui.widgets.page import Page
from concview.tui.widgets.table import Table


async def _wheel(pilot, widget: Widget, down: bool) -> None:  # type: ignore[no-untyped-def]
    """As the terminal tells it: at a place on the screen, to whatever widget is there."""
    from textual import events

    kind = events.MouseScrollDown if down else events.MouseScrollUp
    x, y = widget.region.x + 3, widget.region.y + 3
    pilot.app.screen._forward_event(kind(None, x, y, 0, 1 if down else -1, 0, False, False, False, x, y))
    await pilot.pause()


@pytest.mark.parametrize(("key", "which"), [("2", Table), ("6", Page)])
async def test_the_wheel_scrolls_what_is_under_it(key: str, which: type[Table] | type[Page]) -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(40)]))
    async with app.run_test(size=(80, 24)) as pilot:
        board = app.screen
        assert isinstance(board, Dashboard)
        await pilot.press(key)
        view = "threads" if key == "2" else "process"
        await fake.until(pilot, lambda: board.active == view and board.view.ready and board.view.snapshot is not None)
        found = board.view.query(which).first()
        await fake.until(pilot, lambda: found.max_scroll_y > 0)
        assert found.scroll_y == 0
        await _wheel(pilot, found, down=True)
        await fake.until(pilot, lambda: found.scroll_y > 0)
        await _wheel(pilot, found, down=False)
        await fake.until(pilot, lambda: found.scroll_y == 0)


async def test_a_click_chooses_a_row_and_one_on_a_header_sorts() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(40)]))
    async with app.run_test(size=(80, 24)) as pilot:
        table = await fake.threads_table(pilot)
        await pilot.click(table, offset=(5, 4))
        await fake.until(pilot, lambda: table.cursor == 3)
        await pilot.click(table, offset=(3, 0))
        await fake.until(pilot, lambda: table.sort_by == "name")
