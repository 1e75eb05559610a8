"""The view of queues: what it says of each, where Enter leads, what it says when there is none."""

# Textual hands out its base classes: Screen, View, App.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from typing import Any

import fake
import msgspec
import pytest
from textual.pilot import Pilot

from concview.model import Capability
from concview.snapshot import Snapshot
from concview.tui.app import ConcviewApp
from concview.tui.views.queues import QueuesView
from concview.tui.widgets.table import Table


async def _queues(pilot: Pilot[Any]) -> QueuesView:
    board: Any = pilot.app.screen
    await fake.until(pilot, lambda: board.view.ready)
    await pilot.press("9")
    await fake.until(pilot, lambda: board.active == "queues" and board.view.ready and board.view.snapshot is not None)
    await fake.until(pilot, lambda: isinstance(board.focused, Table))
    return board.view  # type: ignore[no-any-return]


async def test_every_queue_leads_to_a_thread_at_it() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]))
    async with app.run_test(size=(160, 40)) as pilot:
        view = await _queues(pilot)
        said = "\n".join(view.as_text())
        assert "self.jobs" in said and "8 items in it, of at most 8" in said and "It is full" in said
        assert "Wait for room: 2" in said
        await pilot.press("enter")
        await fake.until(pilot, lambda: app.screen.active == "thread")
        assert app.screen.view.tid == 4250
        await pilot.press("escape", "j")
        await fake.until(pilot, lambda: "387 items in it, no limit" in "\n".join(view.as_text()))
        assert "It grows by 15 a second" in "\n".join(view.as_text())
        await pilot.press("enter")
        await fake.until(pilot, lambda: app.screen.active == "thread" and app.screen.view.tid == 4253)
        await pilot.press("escape", "j", "enter")
        await fake.drawn(pilot)
        assert app.screen.active == "queues", "nobody is known to use the third"


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (fake.empty(), "waiting for the first samples"),
        (fake.healthy(), "no queue.Queue, SimpleQueue or thread pool is in use"),
        (
            msgspec.structs.replace(
                fake.healthy(), capabilities={"queues": Capability(False, "py-spy does not see them", "use direct")}
            ),
            "queues cannot be read: py-spy does not see them; use direct",
        ),
    ],
)
async def test_an_empty_table_says_why(snapshot: Snapshot, words: str) -> None:
    app = ConcviewApp(fake.FakeSession([snapshot]))
    async with app.run_test(size=(60, 20)) as pilot:
        view = await _queues(pilot)
        shown = " ".join(view.grid.render_line(y).text.strip() for y in range(1, 6))
        assert words in shown, "wrapped, not cut"
