"""What the key that groups threads does, for the test that presses every key of the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import fake
from textual.pilot import Pilot

Press = Callable[[], Awaitable[None]]
Check = Callable[[Pilot[Any], Press], Awaitable[None]]


async def _group(pilot: Pilot[Any], press: Press) -> None:
    board: Any = pilot.app.screen
    board.show_view("threads")
    await fake.until(pilot, lambda: board.view.ready and board.focused is not None)
    await fake.drawn(pilot)
    grid = board.view.grid
    before = len(grid.rows)
    await press()
    heads = [t for t in grid.rows if t.tid < 0]
    assert [t.name for t in heads] == ["▾ worker-*"] and len(grid.rows) == before + 1
    assert grid.matched == grid.total == before
    await press()
    assert len(grid.rows) == before and all(t.tid > 0 for t in grid.rows)


CHECKS: dict[str, Check] = {"group": _group}
