"""What the keys to commands, columns, matches, lessons and the comparison do, for the test that presses every key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import fake
from textual.pilot import Pilot

from concview.tui.screens.comparison import Comparison, Side
from concview.tui.screens.dashboard import Dashboard
from concview.tui.screens.lesson import LessonScreen
from concview.tui.widgets.commandline import CommandLine
from concview.tui.widgets.page import Page

Press = Callable[[], Awaitable[None]]
Check = Callable[[Pilot[Any], Press], Awaitable[None]]


async def _view(pilot: Pilot[Any], name: str) -> Any:
    board: Any = pilot.app.screen
    board.show_view(name)
    await fake.until(pilot, lambda: board.view.ready and board.focused is not None)
    await fake.drawn(pilot)
    return board


def _half(step: int) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        grid = (await _view(pilot, "threads")).view.grid
        half = max(1, (grid.size.height - 1) // 2)
        grid.move_to(0 if step > 0 else len(grid.rows) - 1)
        before = grid.cursor
        await press()
        assert grid.cursor == max(0, min(len(grid.rows) - 1, before + step * half)) != before

    return check


def _match(step: int) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        board = await _view(pilot, "threads")
        board.filter_by("worker-1")
        grid = board.view.grid
        await fake.until(pilot, lambda: 2 < grid.matched < grid.total)
        grid.move_to(1)
        await press()
        assert grid.cursor == 1 + step

    return check


def _half_page(step: int) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        board = await _view(pilot, "process")
        text = board.view.query_one(Page)
        text.scroll_to(y=0 if step > 0 else 8, animate=False)
        await fake.drawn(pilot)
        before = text.scroll_y
        await press()
        assert (text.scroll_y - before) * step > 0

    return check


def _line_match(step: int) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        board = await _view(pilot, "findings")
        board.filter_by("lock")
        text = board.view.query_one("#detail", Page)
        await fake.until(pilot, lambda: sum("lock" in line.lower() for line in text.as_text()) > 2)
        text.focus()
        text.scroll_to(y=0 if step > 0 else text.max_scroll_y, animate=False)
        await fake.drawn(pilot)
        before = text.scroll_offset.y
        await press()
        assert (text.scroll_offset.y - before) * step > 0
        assert "lock" in text.as_text()[text.scroll_offset.y].lower()

    return check


def _column(step: int) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        grid = (await _view(pilot, "threads")).view.grid
        ids = [c.id for c, _ in grid._layout]
        grid.sort_on(ids[1])
        await fake.drawn(pilot)
        await press()
        assert [c.id for c, _ in grid._layout].index(ids[1]) == 1 + step

    return check


async def _csv(pilot: Pilot[Any], press: Press) -> None:
    await _view(pilot, "threads")
    await press()
    await fake.until(pilot, lambda: any(Path.cwd().glob("*.csv")))
    (file,) = Path.cwd().glob("*.csv")
    assert file.read_text().startswith("NAME,")


async def _lesson(pilot: Pilot[Any], press: Press) -> None:
    await _view(pilot, "findings")
    await press()
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, LessonScreen))


async def _large(pilot: Pilot[Any], press: Press) -> None:
    board = await _view(pilot, "overview")
    await press()
    await fake.until(pilot, lambda: not board.view.query_one("#threads").display)


async def _command(pilot: Pilot[Any], press: Press) -> None:
    board = await _view(pilot, "overview")
    await press()
    await fake.until(pilot, lambda: board.query_one(CommandLine).display)


def _pair(pilot: Pilot[Any]) -> Comparison:
    app: Any = pilot.app
    sides = (Side("bad", fake.FakeSession([fake.busy(4)])), Side("fixed", fake.FakeSession([fake.busy(5)])))
    app.pair = ("demo deadlock", *sides)
    screen = Comparison("demo deadlock", sides)
    app.push_screen(screen)
    return screen


def _side(number: int) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        screen = _pair(pilot)
        await fake.until(pilot, lambda: pilot.app.screen is screen and screen.focused is not None)
        await press()
        await fake.until(pilot, lambda: isinstance(pilot.app.screen, Dashboard))
        board: Any = pilot.app.screen
        assert board.session is screen.sides[number].session

    return check


async def _pair_lesson(pilot: Pilot[Any], press: Press) -> None:
    screen = _pair(pilot)
    app: Any = pilot.app
    object.__setattr__(app.picker, "demo", lambda: ("deadlock", "Two accounts."))
    await fake.until(pilot, lambda: pilot.app.screen is screen and screen.focused is not None)
    await press()
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, LessonScreen))


CHECKS: dict[str, Check] = {
    "half_down": _half(1),
    "half_up": _half(-1),
    "next_match": _match(1),
    "previous_match": _match(-1),
    "scroll_half_down": _half_page(1),
    "scroll_half_up": _half_page(-1),
    "next_line_match": _line_match(1),
    "previous_line_match": _line_match(-1),
    "column_left": _column(-1),
    "column_right": _column(1),
    "csv": _csv,
    "lesson": _lesson,
    "large": _large,
    "command": _command,
    "compare_left": _side(0),
    "compare_right": _side(1),
    "compare_lesson": _pair_lesson,
}
