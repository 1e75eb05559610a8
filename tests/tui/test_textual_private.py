"""What is private in Textual: this version has it all, and where a version does not, its own parts serve."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import fake
import pytest
import textual._compositor
import textual._parser
from textual.drivers.headless_driver import HeadlessDriver
from textual.drivers.linux_driver import LinuxDriver

import concview
from concview.tui import textual_private
from concview.tui.app import ConcviewApp


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    ours = textual_private.compositor_class  # a test may put another in its place
    ours.cache_clear()
    yield
    ours.cache_clear()


def test_this_textual_has_all_of_it() -> None:
    """Fails when Textual changes: then look at what is named here, in `tui/textual_private`."""
    assert textual_private.missing(textual_private.COMPOSITOR) == []
    assert textual_private.missing(textual_private.DRIVER) == []


def test_no_other_module_imports_what_is_private() -> None:
    source = Path(concview.__file__).parent
    users = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                top, *parts = name.split(".")
                if top == "textual" and (parts[:1] == ["drivers"] or any(p.startswith("_") for p in parts)):
                    users.add(path.relative_to(source).parent.as_posix())
    assert users == {"tui/textual_private"}


def test_the_driver_is_ours_for_a_terminal_only() -> None:
    assert issubclass(textual_private.driver_class(LinuxDriver), LinuxDriver)
    assert textual_private.driver_class(LinuxDriver) is not LinuxDriver
    assert textual_private.driver_class(HeadlessDriver) is HeadlessDriver


def test_other_arguments_are_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textual._parser.Parser, "feed", lambda self, data, more: ())
    monkeypatch.delattr(textual._compositor.Compositor, "_regions_to_spans")
    (feed,) = textual_private.missing(textual_private.DRIVER)
    assert feed == "textual._parser.Parser.feed(self, data, more)"
    assert textual_private.missing(textual_private.COMPOSITOR) == ["textual._compositor.Compositor._regions_to_spans"]
    assert textual_private.driver_class(LinuxDriver) is LinuxDriver
    assert textual_private.compositor_class() is None


async def test_the_dashboard_works_with_textuals_own_compositor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textual_private, "compositor_class", lambda: None)
    app = ConcviewApp(session=fake.FakeSession())
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert type(app.screen._compositor) is textual._compositor.Compositor
        await pilot.press("2")
        await pilot.pause()
        shown = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        assert "Threads" in shown
