"""What the terminal gets is what the screen shows, with less than Textual would send."""

from __future__ import annotations

import re
from typing import Any

import fake
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual._compositor import Compositor
from textual.strip import Strip

from concview.tui.app import ConcviewApp
from concview.tui.text_render import differences
from concview.tui.textual_private.compositor import TightCompositor, TightUpdate, transition

STYLES = [
    Style(color="#ff0000", bgcolor="#000000"),
    Style(color="#00ff00", bgcolor="#000000", bold=True),
    Style(color="#00ff00", bgcolor="#111111"),
    Style(color="default", bgcolor="default", reverse=True),
    Style(),
]
SEGMENTS = st.lists(
    st.builds(
        lambda text, style: Segment(text, style), st.text("ab漢", min_size=1, max_size=5), st.sampled_from(STYLES)
    ),
    max_size=6,
)
Cell = tuple[str, str]


class Screen:
    """So much of a terminal as it takes: cells, a cursor, colours."""

    def __init__(self, width: int, height: int) -> None:
        self.rows: list[list[Cell]] = [[(" ", "")] * width for _ in range(height)]

    def feed(self, data: str) -> None:
        x = y = 0
        state: dict[str, str] = {}
        for code, command, char in re.findall(r"\x1b\[([\d;]*)([A-Za-z])|([\s\S])", data):
            if command == "H":
                y, x = (int(n) - 1 for n in code.split(";"))
            elif command == "m":
                state = _sgr(code, state)
            elif char == "\n":
                continue
            elif char:
                assert char != "\x1b", "a sequence that was not expected"
                look = ";".join(f"{k}{v}" for k, v in sorted(state.items()))
                self.rows[y][x] = (char, look)
                for extra in range(1, cell_len(char)):
                    self.rows[y][x + extra] = ("", look)
                x += cell_len(char)


def _sgr(code: str, state: dict[str, str]) -> dict[str, str]:
    state = dict(state)
    parts = code.split(";")
    while parts:
        one = parts.pop(0)
        if one in ("", "0"):
            state = {}
        elif one in ("38", "48"):
            state[one] = ",".join([parts.pop(0) for _ in range(2 if parts[0] == "5" else 4)])
        elif one in ("39", "49"):
            state[{"39": "38", "49": "48"}[one]] = "default"
        elif len(one) > 1 and one[-2] in "349":  # 30 to 37, 90 to 97; 40 to 47, 100 to 107 below
            state["48" if one[0] == "4" else "38"] = one
        elif one.startswith("10"):
            state["48"] = one
        else:
            state[one] = "on"
    return state


def _cells(strip: Strip, system: ColorSystem = ColorSystem.TRUECOLOR) -> list[Cell]:
    screen = Screen(max(1, strip.cell_length), 1)
    out = "".join((s.style or Style()).render(s.text, color_system=system) for s in strip)
    screen.feed(out)
    return screen.rows[0][: strip.cell_length]


@given(SEGMENTS, SEGMENTS)
def test_differences_cover_what_differs(one: list[Segment], other: list[Segment]) -> None:
    old, new = Strip(one), Strip(other)
    parts = differences(old, new)
    covered = {at for start, end in parts for at in range(start, end)}
    assert all(0 <= start < end <= new.cell_length for start, end in parts)
    if old.cell_length == new.cell_length:
        before, after = _cells(old), _cells(new)
        assert {at for at in range(new.cell_length) if before[at] != after[at]} <= covered
    assert not differences(new, Strip(other))


@pytest.mark.parametrize("before", STYLES)
@pytest.mark.parametrize("after", STYLES)
def test_a_transition_leads_to_the_style(before: Style, after: Style) -> None:
    system = ColorSystem.TRUECOLOR
    reached = _sgr_of(transition(before, after, system), _sgr_of(transition(Style(), before, system), {}))
    assert reached == _sgr_of(transition(Style(), after, system), {})
    expected = _sgr_of(f"\x1b[{after._make_ansi_codes(system)}m", {})
    assert {k: v for k, v in reached.items() if v} == {k: v for k, v in expected.items() if v}


def _sgr_of(sequence: str, state: dict[str, str]) -> dict[str, str]:
    for code in re.findall(r"\x1b\[([\d;]*)m", sequence):
        state = _sgr(code, state)
    return state


def _full(app: ConcviewApp, stock: bool = False) -> list[list[Cell]]:
    """The whole screen, as our compositor or as Textual's puts it together."""
    system = app.console._color_system or ColorSystem.TRUECOLOR
    compositor = app.screen._compositor
    with pytest.MonkeyPatch.context() as patch:
        if stock:
            patch.setattr(TightCompositor, "_render_chops", Compositor._render_chops)
        return [_cells(strip, system) for strip in compositor.render_strips()]


def _stock(compositor: TightCompositor, dirty: set[Any], app: ConcviewApp) -> str:
    """What Textual would send."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TightCompositor, "_render_chops", Compositor._render_chops)
        compositor._dirty_regions.update(dirty)
        update = Compositor.render_partial_update(compositor)
    assert update is not None
    return update.render_segments(app.console)


@pytest.mark.parametrize("keys", [["1"], ["2"], ["4"], ["2", "enter", "escape", "4", "5", "2", "1"]])
async def test_the_terminal_shows_the_screen(keys: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates applied to a terminal give what a full repaint gives; and Textual's own would be longer."""
    sent: list[tuple[str, int]] = []
    original = TightCompositor.render_update

    def watched(self: TightCompositor, *args: Any, **more: Any) -> Any:
        dirty = self._dirty_regions.copy()
        update = original(self, *args, **more)
        if isinstance(update, TightUpdate):
            whole = self.size.region in dirty
            sent.append((update.render_segments(app.console), 1 << 20 if whole else len(_stock(self, dirty, app))))
        return update

    monkeypatch.setattr(TightCompositor, "render_update", watched)
    session = fake.FakeSession([fake.busy(20, tick=n) for n in range(4)])
    app = ConcviewApp(session)
    async with app.run_test(size=(120, 40)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready)
        for _ in range(2):  # at first views are made, then only shown again
            for key in keys:
                await pilot.press(key)
                await fake.until(pilot, lambda: board.view.ready and board.view.snapshot is not None)
                await fake.drawn(pilot)
        await fake.drawn(pilot)
        screen = Screen(120, 40)
        sent.clear()
        screen.rows = _full(app)
        for key in ("down", "down", "down", *keys):
            session.advance()
            await fake.until(pilot, lambda: board.shown is session.snapshot())
            await pilot.press(key)
            await fake.drawn(pilot)
        fed = 0
        for _ in range(20):  # on a busy machine the last update may still be on its way
            for data, _size in sent[fed:]:
                screen.feed(data)
            fed = len(sent)
            wrong = [
                (x, y, a, b)
                for y, (r, q) in enumerate(zip(screen.rows, _full(app, stock=True), strict=True))
                for x, (a, b) in enumerate(zip(r, q, strict=True))
                if a != b
            ]
            if not wrong:
                break
            await fake.drawn(pilot)
        assert not wrong
        assert sum(len(data) for data, _ in sent) < sum(length for _, length in sent)


async def test_a_picture_of_the_screen_is_drawn_in_either_form() -> None:
    """Textual's own screenshots take the form that goes to the terminal, ours the simple one."""
    app = ConcviewApp(fake.FakeSession([fake.busy()]))
    async with app.run_test(size=(80, 24)) as pilot:
        await fake.drawn(pilot)
        pictures = [app.export_screenshot(simplify=simply).replace("&#160;", " ") for simply in (False, True)]
    words = [re.sub(r"\s+", "", re.sub(r"<style>.*?</style>|<[^>]*>", "", picture, flags=re.S)) for picture in pictures]
    assert words[0] == words[1] and "Overview" in words[0]
