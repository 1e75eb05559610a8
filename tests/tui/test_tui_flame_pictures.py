"""The flame view and the deep look as pictures. `pytest --snapshot-update` takes them anew."""

from __future__ import annotations

from typing import Any

import fake
import pytest
from flame_fake import CallSession
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.image import SVGImageSnapshotExtension
from test_tui_deep import Looked, deep
from test_tui_flame import answered, fake_without_calls, opened

from concview.tui.app import ConcviewApp

SIZES = ((60, 20), (80, 24), (160, 50))


@pytest.fixture
def picture(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(SVGImageSnapshotExtension)


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_flame(size: tuple[int, int], picture: SnapshotAssertion) -> None:
    app = ConcviewApp(CallSession([fake.busy(20)]))
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("down", "down")
        await fake.drawn(pilot)
        assert app.export_screenshot(simplify=True) == picture


@pytest.mark.parametrize("keys", [("m", "m", "m", "m"), ("b", "f"), ("down", "enter"), ("slash", "c", "a"), ("space",)])
async def test_flame_in_use(keys: tuple[str, ...], picture: SnapshotAssertion) -> None:
    app = ConcviewApp(CallSession([fake.busy(20)]))
    async with app.run_test(size=(120, 30)) as pilot:
        view = await opened(pilot)
        for key in keys:  # each question is answered before the next: where the cursor is depends on the answers
            await pilot.press(key)
            await answered(pilot, view)
        app.screen.set_focus(view.graph)  # a cursor in a field blinks
        await fake.drawn(pilot)
        assert app.export_screenshot(simplify=True) == picture


@pytest.mark.parametrize("state", ["empty", "exited", "without"])
async def test_flame_without_a_living_target(state: str, picture: SnapshotAssertion) -> None:
    session: Any = fake_without_calls() if state == "without" else CallSession([getattr(fake, state)()])
    app = ConcviewApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert app.export_screenshot(simplify=True) == picture


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("key", ["d", "n"])
async def test_deep_look(key: str, size: tuple[int, int], picture: SnapshotAssertion) -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]), deep_look=Looked())
    async with app.run_test(size=size) as pilot:
        await deep(pilot, key)
        assert app.export_screenshot(simplify=True) == picture
