"""What the terminal gets is what the screen shows, with less than Textual would send."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import fake
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import Compositor
from textual.strip import Strip

from concview.tui import textual_private
from concview.tui.app import ConcviewApp
from concview.tui.text_render import differences
from concview.tui.textual_private.compositor import TightCompositor, TightUpdate, transition
from concview.tui.textual_private.driver import Driver
from concview.tui.textual_private.terminal import LOST_S, TRIES, Flow, Terminal
from terminals import Cell, Screen, sgr

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
        state = sgr(code, state)
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


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("keys", [["1"], ["2"], ["4"], ["2", "enter", "escape", "4", "5", "2", "1"]])
async def test_the_terminal_shows_the_screen(keys: list[str], known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates applied to a terminal give what a full repaint gives; and Textual's own would be longer.
    `known`: what it shows is kept, and only what differs is sent."""
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
    terminal = Terminal()
    if known:
        monkeypatch.setattr(textual_private, "terminal_of", lambda app: terminal)
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
        assert not known or sum(len(data) for data, _ in sent) < sum(min(length, 120 * 40 * 2) for _, length in sent)


async def test_a_picture_of_the_screen_is_drawn_in_either_form() -> None:
    """Textual's own screenshots take the form that goes to the terminal, ours the simple one."""
    app = ConcviewApp(fake.FakeSession([fake.busy()]))
    async with app.run_test(size=(80, 24)) as pilot:
        await fake.drawn(pilot)
        pictures = [app.export_screenshot(simplify=simply).replace("&#160;", " ") for simply in (False, True)]
    words = [re.sub(r"\s+", "", re.sub(r"<style>.*?</style>|<[^>]*>", "", picture, flags=re.S)) for picture in pictures]
    assert words[0] == words[1] and "Overview" in words[0]


@given(st.lists(st.tuples(st.integers(0, 12), SEGMENTS), max_size=8))
def test_what_differs_is_enough(drawn: list[tuple[int, list[Segment]]]) -> None:
    """A terminal that is sent only what changed shows the same as one that is sent everything."""
    width, terminal = 24, Terminal()
    known, whole = Screen(width, 1), Screen(width, 1)
    console = Console(color_system="truecolor", force_terminal=True)
    first = Strip([Segment(" " * width, Style())])
    for x, segments in [(0, [*first]), *drawn]:
        strip = Strip(segments).crop(0, width - x)
        for screen, where in ((known, terminal), (whole, None)):
            span = [(0, x, x + strip.cell_length)] if strip.cell_length else []
            screen.feed(TightUpdate([{x: strip}], span, where, width).render_segments(console))
        assert known.rows == whole.rows


def test_the_same_again_sends_nothing() -> None:
    terminal, strip = Terminal(), Strip([Segment("CPU 12 %", STYLES[0])])
    console = Console(color_system="truecolor", force_terminal=True)

    def sent(strip: Strip) -> str:
        return TightUpdate([{0: strip}], [(0, 0, 8)], terminal, 8).render_segments(console)

    assert "CPU" in sent(strip)
    assert sent(Strip([Segment("CPU 12 %", STYLES[0])])) == ""
    assert re.sub(r"\x1b\[[\d;]*[a-zA-Z]", "", sent(Strip([Segment("CPU 13 %", STYLES[0])]))) == "3"
    terminal.forget()
    assert "CPU" in sent(strip)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_terminal_that_answers_late_is_sent_less() -> None:
    clock = Clock()
    flow = Flow(clock)
    assert flow.ask()
    clock.now = 0.2  # so long is the way there and back
    flow.answered()
    assert flow.ask() and not flow.late() and flow.expected
    clock.now = 0.5
    assert not flow.late(), "within the time of the way"
    clock.now = 0.6
    assert 0 < flow.late() <= LOST_S, "it is behind"
    flow.answered()
    assert not flow.late() and not flow.expected
    flow.ask()
    clock.now += LOST_S + 1
    assert not flow.late(), "the answer was lost: the screen does not stand still for ever"
    flow.answered()  # and comes after all
    assert flow.ask() and not flow.late()


def test_a_terminal_that_never_answers_is_not_waited_for() -> None:
    clock = Clock()
    flow = Flow(clock)
    asked = [flow.ask() for _ in range(50)]
    clock.now = 100.0
    assert not flow.late() and not flow.expected
    assert len([one for one in asked if one]) == TRIES


def test_a_later_answer_that_is_late_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer comes, the second one never: what is held is drawn after all, with one timer at a time."""
    timers, drawn, driver, clock = list[float](), list[bool](), object.__new__(Driver), Clock()
    screen = SimpleNamespace(_compositor_refresh=lambda: drawn.append(True))
    app = SimpleNamespace(set_timer=lambda seconds, _: timers.append(seconds), call_later=print, screen=screen)
    driver.terminal, driver._due = Terminal(), False
    monkeypatch.setattr(driver, "_app", app, raising=False)
    flow = driver.terminal.flow = Flow(clock)
    flow.ask()
    flow.answered()
    flow.ask()
    clock.now = 1.0
    driver.terminal.held = True
    driver.draw_later(flow.late())
    driver.draw_later(flow.late())
    assert timers == [LOST_S - 1]
    flow.answered()
    flow.ask()
    clock.now = LOST_S
    driver._draw_at_last()
    assert timers == [LOST_S - 1, 1.0] and not drawn
    clock.now = LOST_S + 1
    driver._draw_at_last()
    assert drawn and len(timers) == 2 and not driver.terminal.held


async def test_what_was_held_is_drawn_when_the_terminal_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, terminal, later = Clock(), Terminal(), list[float]()
    terminal.flow = Flow(clock)
    terminal.flow.ask()
    terminal.flow.answered()
    monkeypatch.setattr(textual_private, "terminal_of", lambda app: terminal)
    session = fake.FakeSession([fake.busy(20, tick=n) for n in range(4)])
    app = ConcviewApp(session)
    async with app.run_test(size=(100, 30)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready)
        await fake.drawn(pilot)
        compositor: Any = app.screen._compositor
        compositor.later = later.append
        terminal.flow.ask()  # a frame that is on its way for a second
        clock.now = 1.0
        for _ in range(3):
            session.advance()
            await fake.until(pilot, lambda: board.shown is session.snapshot())
        await fake.until(pilot, lambda: terminal.held)
        assert compositor.render_update() is None and compositor._dirty_regions
        assert len(later) == 1, "one look whether the answer was lost, however often something changes"
        terminal.flow.answered()
        screen = Screen(100, 30)
        screen.feed(compositor.render_update(full=True).render_segments(app.console))
        assert screen.rows == _full(app) and not compositor._dirty_regions
