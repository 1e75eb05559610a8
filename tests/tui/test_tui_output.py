"""The pane with what the target prints, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import fake
import pytest

from concview.commands._target_process import RING_BYTES, Ring
from concview.tui.app import ConcviewApp
from concview.tui.screens.dashboard import Dashboard
from concview.tui.widgets.output import OutputPane
from concview.tui.widgets.page import Page


@dataclass
class Printed:
    text: list[str] = field(default_factory=list)

    @property
    def written(self) -> int:
        return sum(map(len, self.text))

    def lines(self, last: int) -> list[str]:
        return self.text[-last:]


@pytest.mark.parametrize(("size", "shown"), [((60, 20), False), ((80, 24), False), ((160, 50), True)], ids=str)
async def test_the_pane_follows_the_end_and_can_be_toggled(size: tuple[int, int], shown: bool) -> None:
    printed = Printed([f"line {n}" for n in range(40)])
    app = ConcviewApp(fake.FakeSession(), output=printed)
    async with app.run_test(size=size) as pilot:
        dashboard = app.screen
        assert isinstance(dashboard, Dashboard)
        await fake.until(pilot, lambda: dashboard.view.ready)
        pane = dashboard.query_one(OutputPane)
        assert pane.display == shown
        if not shown:
            await pilot.press("O")
        page = pane.query_one(Page)
        await fake.until(pilot, lambda: [text.strip() for text in page.as_text()[-1:]] == ["line 39"])
        await fake.until(pilot, lambda: page.scroll_offset.y == page.max_scroll_y > 0)
        printed.text.append("[/red] and more")
        await fake.until(pilot, lambda: "[/red] and more" in page.as_text()[-1])
        await fake.until(pilot, lambda: page.scroll_offset.y == page.max_scroll_y)
        page.scroll_home(animate=False)
        await fake.drawn(pilot)
        printed.text.append("another one")
        await fake.until(pilot, lambda: "another one" in page.as_text()[-1])
        assert page.scroll_offset.y == 0  # somebody reads there
        await pilot.press("O")
        assert not pane.display


async def test_a_target_of_somebody_else_has_no_pane() -> None:
    app = ConcviewApp(fake.FakeSession())
    async with app.run_test(size=(100, 40)) as pilot:
        await fake.drawn(pilot)
        await pilot.press("O")
        await fake.drawn(pilot)
        assert not app.screen.query(OutputPane)
        assert app.is_running


def test_the_ring_is_bounded_and_clean() -> None:
    ring = Ring()
    ring.add(b"\x1b[1;31mred\x1b[0m and \x1b]0;title\x07plain\r\n")
    assert ring.lines() == ["red and plain"]
    for _ in range(40):
        ring.add(b"x" * 99 + b"\n" + b"y" * 65_436)
    assert ring.written > 2 * RING_BYTES
    assert sum(map(len, ring.lines())) <= RING_BYTES
    assert ring.dropped
