"""Tasks on the screen: groups with holders first, one task with its holder beside it, the loop in the overview."""

from __future__ import annotations

from typing import Any

import aio_fake
import fake
import pytest
from syrupy.assertion import SnapshotAssertion
from test_tui_pictures import _still, picture  # noqa: F401 - a fixture
from textual.pilot import Pilot

from concview.model import TaskState
from concview.snapshot import TaskGroupView
from concview.tui.app import ConcviewApp
from concview.tui.screens.dashboard import Dashboard
from concview.tui.theme import _ansi_palette
from concview.tui.views.tasks import _coroutine

SIZES = ((80, 24), (120, 36))


async def _to(pilot: Pilot[Any], key: str, view: str) -> Dashboard:
    dashboard = pilot.app.screen
    assert isinstance(dashboard, Dashboard)
    await fake.until(pilot, lambda: dashboard.view.ready)
    if key:
        await pilot.press(key)
    await fake.until(pilot, lambda: dashboard.active == view and dashboard.view.ready and dashboard.focused is not None)
    return dashboard


def _words(pilot: Pilot[Any]) -> str:
    return "\n".join(s.text for s in pilot.app.screen._compositor.render_strips())


def _app() -> ConcviewApp:
    return ConcviewApp(fake.FakeSession([aio_fake.service()]))


@pytest.mark.parametrize("view", ["overview", "tasks", "task"])
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_tasks(view: str, size: tuple[int, int], picture: SnapshotAssertion) -> None:  # noqa: F811
    app = _app()
    async with app.run_test(size=size) as pilot:
        dashboard = await _to(pilot, "", "overview")
        if view != "overview":
            dashboard.show_view(view, 2 if view == "task" else None)
            await _to(pilot, "", view)
        assert await _still(pilot) == picture


async def test_the_tab_is_there_where_tasks_are() -> None:
    async with _app().run_test(size=(120, 36)) as pilot:
        dashboard = await _to(pilot, "T", "tasks")
        assert "T Tasks ×6" in dashboard.query_one("#tabs").as_text()[0]  # type: ignore[attr-defined]
    async with ConcviewApp(fake.FakeSession([fake.healthy()])).run_test(size=(120, 36)) as pilot:
        dashboard = await _to(pilot, "", "overview")
        assert "Tasks" not in dashboard.query_one("#tabs").as_text()[0]  # type: ignore[attr-defined]
        dashboard = await _to(pilot, "T", "tasks")  # it says so itself
        await fake.until(pilot, lambda: "no tasks" in _words(pilot))


@pytest.mark.parametrize(("key", "view", "said"), [
    ("2", "threads", "tasks: T shows them"),
    ("4", "locks", "6 tasks wait at locks, queues and pools now: T shows them"),
    ("5", "peers", "at sockets and streams now: T shows them"),
    ("9", "queues", "at queues now: T shows them"),
])  # fmt: skip
async def test_views_of_threads_lead_to_the_tasks(key: str, view: str, said: str) -> None:
    async with _app().run_test(size=(80, 24)) as pilot:
        await _to(pilot, key, view)
        await fake.until(pilot, lambda: said in _words(pilot))


async def test_a_task_is_found_by_its_name() -> None:
    async with _app().run_test(size=(80, 24)) as pilot:
        dashboard = await _to(pilot, "T", "tasks")
        await pilot.press("slash", *"handle-3", "enter")
        await fake.until(pilot, lambda: "1 of 4" in _words(pilot))
        await pilot.press("enter")
        dashboard = await _to(pilot, "", "task")
        await fake.until(pilot, lambda: dashboard.view.as_text()[0].startswith("handle-3"))


async def test_enter_leads_to_the_task_and_from_there_to_its_holder_and_back() -> None:
    async with _app().run_test(size=(120, 36)) as pilot:
        dashboard = await _to(pilot, "T", "tasks")
        first = dashboard.view.as_text()
        assert "6" in first[1] and "StreamReader.read" in first[1], "the holder's group comes first"
        await pilot.press("down", "enter")
        dashboard = await _to(pilot, "", "task")
        words = "\n".join(dashboard.view.as_text())
        assert "waiter: handle-2" in words and "holder: handle-1" in words and "Task-1" in words
        await pilot.press("o")
        await fake.until(pilot, lambda: "Holds" in "\n".join(dashboard.view.as_text()))
        assert "waited for by 6 tasks" in "\n".join(dashboard.view.as_text())
        await pilot.press("escape")
        await fake.until(pilot, lambda: "waiter: handle-2" in "\n".join(dashboard.view.as_text()))
        await pilot.press("escape")
        await _to(pilot, "", "tasks")


async def test_the_overview_says_how_the_loop_does() -> None:
    async with _app().run_test(size=(120, 36)) as pilot:
        await _to(pilot, "", "overview")
        words = _words(pilot)
        assert "Loop MainThread" in words and "in callbacks 22 %" in words and "95 % 41 ms" in words
        assert "sleep 78 %" in words and "not seen: greenlets" in words


@pytest.mark.parametrize(
    ("width", "said"),
    [
        (52, "RequestHandler._handle_request (web_protocol.py:567)"),
        (40, "_handle_request (web_protocol.py:567)"),
        (16, "_handle_request"),
    ],
)
def test_coroutines_of_one_class_are_told_apart_where_there_is_little_room(width: int, said: str) -> None:
    where = ("/x/aiohttp/web_protocol.py", 567)
    group = TaskGroupView("RequestHandler._handle_request", *where, TaskState.IO, "", *where, "", 1, 1.0, 0.0)
    (cell,) = _coroutine(group, width, _ansi_palette(True), None)
    assert cell.text == f"{said:<{width}}"
