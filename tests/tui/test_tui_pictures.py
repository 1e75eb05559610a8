"""Every view as a picture, at three sizes and in the states that matter. `pytest --snapshot-update` takes them anew."""

# Textual hands out its base classes: Screen, View, App.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from collections.abc import Callable

import fake
import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.image import SVGImageSnapshotExtension

from concview.snapshot import Snapshot
from concview.tui.app import ConcviewApp
from concview.tui.ports import Picker
from concview.tui.screens.dashboard import Dashboard, specs

SIZES = ((60, 20), (80, 24), (160, 50))
VIEWS = tuple(specs())
STATES: dict[str, Callable[[], Snapshot]] = {
    "healthy": fake.healthy,
    "deadlock": fake.deadlock,
    "empty": fake.empty,
    "gathering": fake.gathering,
    "exited": fake.exited,
    "lost": fake.lost,
}


@pytest.fixture
def picture(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(SVGImageSnapshotExtension)


async def _show(pilot, view: str) -> None:  # type: ignore[no-untyped-def]
    dashboard = pilot.app.screen
    assert isinstance(dashboard, Dashboard)
    await fake.until(pilot, lambda: dashboard.view.ready)
    dashboard.show_view(view, 4250 if view == "thread" else None)

    def there() -> bool:
        parts = dashboard.view.parts()
        return dashboard.view.ready and (dashboard.focused in parts or not parts)

    await fake.until(pilot, there)


async def _still(pilot) -> str:  # type: ignore[no-untyped-def]
    """The picture once it no longer changes: mounting, layout and drawing take a few frames."""
    await fake.drawn(pilot)
    return pilot.app.export_screenshot(simplify=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_busy(view: str, size: tuple[int, int], picture: SnapshotAssertion) -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]))
    async with app.run_test(size=size) as pilot:
        await _show(pilot, view)
        assert await _still(pilot) == picture


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_overview_in_every_state(state: str, size: tuple[int, int], picture: SnapshotAssertion) -> None:
    app = ConcviewApp(fake.FakeSession([STATES[state]()]))
    async with app.run_test(size=size) as pilot:
        await _show(pilot, "overview")
        assert await _still(pilot) == picture


@pytest.mark.parametrize("view", ["overview", "threads"])
async def test_who_is_in_the_way(view: str, picture: SnapshotAssertion) -> None:
    app = ConcviewApp(session=fake.FakeSession([fake.held_up()]))
    async with app.run_test(size=(80, 24)) as pilot:
        await _show(pilot, view)
        assert await _still(pilot) == picture


def _words(app: ConcviewApp) -> str:
    """The screen without colours."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


@pytest.mark.parametrize("state", ["paused", *(s for s in STATES if s not in ("healthy", "deadlock"))])
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_every_view_in_every_state(state: str, size: tuple[int, int], snapshot: SnapshotAssertion) -> None:
    """In words: colours are in the other pictures, and so one start of the app shows every view."""
    paused = state == "paused"
    session = fake.FakeSession([fake.busy(20), fake.busy(20, tick=24)] if paused else [STATES[state]()])
    app = ConcviewApp(session)
    different = []
    async with app.run_test(size=size) as pilot:
        await _show(pilot, "overview")
        if paused:
            await pilot.press("space")
            session.advance()
            await fake.until(pilot, lambda: pilot.app.screen.newest is session.pictures[1])
        for view in VIEWS:
            await _show(pilot, view)
            await fake.drawn(pilot)
            if _words(app) != snapshot(name=view):
                different.append(view)
    assert not different


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("rows", ["some", "none"])
async def test_picker(rows: str, size: tuple[int, int], picture: SnapshotAssertion) -> None:
    found = fake.PROCESSES if rows == "some" else ()
    app = ConcviewApp(picker=Picker(lambda: found, fake.refuse, lambda: fake.DEMOS, fake.start_demo))
    async with app.run_test(size=size) as pilot:
        await fake.until(pilot, lambda: app.screen.listed)
        assert await _still(pilot) == picture


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_help(size: tuple[int, int], picture: SnapshotAssertion) -> None:
    app = ConcviewApp(fake.FakeSession([fake.healthy()]))
    async with app.run_test(size=size) as pilot:
        await _show(pilot, "overview")
        await pilot.press("question_mark")
        assert await _still(pilot) == picture
