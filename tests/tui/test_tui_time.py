"""Time travel on the screen: what every view then shows, recordings, the bar that shows the kept time."""

from __future__ import annotations

from typing import Any

import fake
import msgspec
import pytest
from flame_fake import CallSession
from textual.pilot import Pilot
from time_fake import FIRST, LAST, KeptSession, S, recorded
from time_keys import CHECKS, paused, settled

from concview.snapshot import Status, Timeline
from concview.tui.app import ConcviewApp
from concview.tui.keys import KEYS
from concview.tui.theme import palette_of
from concview.tui.widgets import timeline
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.timeline import TimeBar


def _said(board: Any) -> str:
    return "\n".join(board.query_one(TimeBar).as_text())


async def test_every_view_follows_the_interval() -> None:
    app = ConcviewApp(KeptSession([fake.busy(20)]))
    async with app.run_test(size=(100, 30)) as pilot:
        board = await paused(pilot, LAST - 30 * S)
        for view in board.specs:
            board.show_view(view, 4250 if view == "thread" else None)
            await fake.until(pilot, lambda: board.view.ready and board.view.snapshot is not None)
            await fake.drawn(pilot)
            assert board.view.snapshot.at_ns == LAST - 30 * S, view
            board.session.advance()
        header = "\n".join(board.query_one("#header").as_text())
        assert "PAUSED" in header and "30 s back; space resumes, collection goes on" in header


async def test_the_bar_says_what_is_coarse() -> None:
    app = ConcviewApp(KeptSession([fake.busy(20)]))
    async with app.run_test(size=(120, 30)) as pilot:
        board = await paused(pilot, LAST - 30 * S)
        assert "coarse" not in _said(board) and "10 s" in _said(board)
        await pilot.press(*["right_square_bracket"] * 2)
        await settled(pilot, board)
        assert "locks, I/O and calls: its last 20.0 s" in _said(board)
        await pilot.press("home", *["left_square_bracket"] * 3, "home")
        await settled(pilot, board)
        assert "coarse: only sums per thread are left" in _said(board)
        assert "▲" in _said(board) and "●" in _said(board) and "╌" in _said(board)


async def test_keys_of_the_pause_leave_a_text_field_alone() -> None:
    app = ConcviewApp(KeptSession([fake.busy(20)]))
    async with app.run_test(size=(100, 30)) as pilot:
        board = await paused(pilot)
        before = board.back
        await pilot.press("slash", *"ab", "left", "c", "home", "left_square_bracket")
        assert board.view.query_one(FilterBar).field.value == "[acb"
        assert board.back == before


async def test_calls_are_of_the_interval() -> None:
    backs: list[Any] = []

    class Both(KeptSession, CallSession):  # type: ignore[misc]
        def calls(self, *args: Any, back: Any = None, **more: Any) -> Any:
            backs.append(back)
            return CallSession.calls(self, *args, **more)

    session = Both([fake.busy(20)])
    app = ConcviewApp(session)
    async with app.run_test(size=(130, 30)) as pilot:
        board = await paused(pilot, LAST - 30 * S, session)
        board.show_view("flame")
        await fake.until(pilot, lambda: board.view.ready and bool(board.view.graph.rows))
        assert backs[-1] == board.back
        await pilot.press("left")
        await fake.until(pilot, lambda: backs[-1] == (LAST - 31 * S, 10 * S))


async def test_what_cannot_be_looked_at_is_said() -> None:
    class Broken(KeptSession):
        def at(self, end_ns: int, span_ns: int) -> Any:
            raise LookupError("[/red] nothing was kept")

    app = ConcviewApp(Broken([fake.busy(20)]))
    async with app.run_test(size=(100, 30)) as pilot:
        board = await paused(pilot, session=Broken([fake.busy(20)]))
        await pilot.press("left")
        await fake.until(pilot, lambda: any("nothing was kept" in n.message for n in app._notifications))
        assert not board._looking


@pytest.mark.parametrize(("key", "stroke"), [(k.id, s) for k in KEYS if k.id in CHECKS for s in k.keys.split(",")])
async def test_key(key: str, stroke: str) -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20), fake.busy(20, tick=24)]))
    async with app.run_test(size=(120, 40)) as pilot:
        await fake.until(pilot, lambda: app.screen.view.ready)  # type: ignore[attr-defined]

        async def press() -> None:
            await pilot.press(stroke)
            await fake.drawn(pilot)

        await CHECKS[key](pilot, press)


# ---------------------------------------------------------------- recordings


async def _replay(pilot: Pilot[Any]) -> Any:
    return await paused(pilot, session=recorded())


async def test_a_recording_stops_with_the_view_and_goes_on() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]))
    async with app.run_test(size=(100, 30)) as pilot:
        board = await _replay(pilot)
        player = board.session.player
        assert player.held
        await pilot.press("space")
        assert not player.held


async def test_a_step_beyond_what_was_read_plays_on() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]))
    async with app.run_test(size=(100, 30)) as pilot:
        board = await _replay(pilot)
        player = board.session.player
        await pilot.press("right")
        assert player.to == [LAST + S]
        await pilot.press("right_curly_bracket")
        assert player.seeking
        later = msgspec.structs.replace(board.session.pictures[0], at_ns=LAST + S)
        board.session.pictures = [later]
        await fake.until(pilot, lambda: board.shown is later)
        assert board.paused and board.back[0] == later.at_ns
        ended = msgspec.structs.replace(later, status=Status.FINISHED)
        board.session.pictures = [ended]
        await fake.until(pilot, lambda: board.newest is ended)
        await pilot.press("right")
        assert len(player.to) == 1, "there is nothing behind the end"


async def test_speed_of_a_recording() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]))
    async with app.run_test(size=(100, 30)) as pilot:
        board = await _replay(pilot)
        player = board.session.player
        seen = []
        for key in ("minus", "minus", *["plus"] * 7):
            await pilot.press(key)
            seen.append(player.speed)
        assert seen == [0.5, 0.5, 1, 2, 4, 8, 16, 0, 0]
        await fake.drawn(pilot)
        assert board.query_one("#footer").as_text()[0].endswith(" max")


# ---------------------------------------------------------------- the bar


@pytest.mark.parametrize("width", [4, 20, 77, 300])
async def test_the_bar_is_as_wide_as_asked(width: int) -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(2)]))
    async with app.run_test(size=(80, 24)):
        palette = palette_of(app.screen)
        for line in (Timeline(), KeptSession().timeline()):
            assert len(timeline.activity(line.points, line, width)) == width
            for end in (-S, FIRST, LAST - 5 * S, LAST, 2 * LAST):
                row = timeline.marks(line, end, 10 * S, FIRST + S, width, palette)
                assert sum(len(s.text) for s in row) == width
