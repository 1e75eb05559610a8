"""Every number of the overview leads by Enter to its evidence, and Escape back."""

from __future__ import annotations

from typing import Any

import fake
import pytest

from concview.model import State
from concview.tui.app import ConcviewApp
from concview.tui.views.overview import GAUGE_EVIDENCE
from concview.tui.widgets.calls import MODES
from concview.tui.widgets.numbers import Numbers
from concview.tui.widgets.states import GAUGES
from concview.tui.widgets.table import Table


def test_every_gauge_has_evidence() -> None:
    assert [g.title for g in GAUGES] == list(GAUGE_EVIDENCE)


@pytest.mark.parametrize("size", [(80, 24), (160, 50), (200, 60)], ids=str)
async def test_enter_leads_from_every_number_to_its_evidence(size: tuple[int, int]) -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(10)]))
    async with app.run_test(size=size) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready and board.focused is not None)
        while not isinstance(board.focused, Numbers):
            await pilot.press("up")
        numbers = board.focused
        text = numbers.as_text()
        words = {s.id: text[s.y][s.x : s.end] for s in numbers.spots}
        assert all(any(c.isdigit() for c in said) for said in words.values()), words
        assert {s.name for s in (State.LOCK, State.GIL, State.RUNNING)} <= words.keys()
        for spot in list(numbers.spots):
            numbers.chosen = spot.id
            await pilot.press("enter")
            await fake.until(pilot, lambda: board.active == spot.view and board.view.ready)  # noqa: B023
            if spot.view == "threads":
                grid = board.view.query_one(Table)
                await fake.until(pilot, lambda: grid.sort_by == spot.subject)  # noqa: B023
                await fake.until(pilot, lambda: spot.subject in [c.id for c, _ in grid._layout])  # noqa: B023
            elif spot.view == "flame":
                await fake.until(pilot, lambda: spot.subject in (MODES[board.view.mode].states or ()))  # noqa: B023
            await pilot.press("escape")
            await fake.until(pilot, lambda: board.active == "overview")
            numbers.focus()
            await fake.drawn(pilot)


async def test_up_and_down_lead_through_the_numbers() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(10)]))
    async with app.run_test(size=(160, 50)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready and getattr(board.focused, "id", "") == "findings")
        await pilot.press("up")
        await fake.until(pilot, lambda: isinstance(board.focused, Numbers))
        numbers = board.focused
        assert numbers.at == len(numbers.spots) - 1
        await pilot.press("home", "up", "down")
        assert numbers.at == 1
        await pilot.press("end", "down")
        await fake.until(pilot, lambda: board.focused.id == "findings")


async def test_what_is_sorted_by_is_seen() -> None:
    """80 cells have no room for the column, until the table is sorted by it."""
    app = ConcviewApp(fake.FakeSession([fake.busy(10)]))
    async with app.run_test(size=(80, 24)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready)
        board.show_view("threads")
        await fake.until(pilot, lambda: board.view.ready and bool(board.view.query_one(Table)._layout))
        grid = board.view.query_one(Table)
        assert "switches" not in [c.id for c, _ in grid._layout]
        grid.sort_on("switches")
        assert "switches" in [c.id for c, _ in grid._layout]
        assert "SW/S▼" in grid.as_text()[0]


async def test_no_number_no_cursor() -> None:
    """Before anything was seen the keyboard does not stop at an empty place."""
    app = ConcviewApp(fake.FakeSession([fake.empty()]))
    async with app.run_test(size=(80, 24)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready)
        assert not board.view.query_one(Numbers).focusable
