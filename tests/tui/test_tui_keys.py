"""Every key of the table does what it says. A key without a test here fails."""

# Textual hands out its base classes: Screen, View, App.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest import mock

import fake
import pytest
from textual.command import CommandList
from textual.pilot import Pilot

from concview.tui import suspend, textual_private
from concview.tui.app import ConcviewApp
from concview.tui.keys import KEYS, by_id, footer
from concview.tui.ports import Picker
from concview.tui.screens.dashboard import SPEEDS, Dashboard
from concview.tui.screens.help import Help
from concview.tui.screens.picker import PickerScreen
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.page import Page
from concview.tui.widgets.table import Table

Check = Callable[[Pilot[Any], Callable[[], Awaitable[None]]], Awaitable[None]]


def board(pilot: Pilot[Any]) -> Dashboard:
    screen = pilot.app.screen
    assert isinstance(screen, Dashboard)
    return screen


async def view(pilot: Pilot[Any], name: str, subject: Any = None) -> None:
    dashboard = board(pilot)
    dashboard.show_view(name, subject)
    await fake.until(pilot, lambda: dashboard.view.ready and dashboard.focused is not None)
    await fake.drawn(pilot)


def grid(pilot: Pilot[Any]) -> Table:
    return board(pilot).view.query_one(Table)


def page(pilot: Pilot[Any]) -> Page:
    return board(pilot).view.query_one(Page)


async def _open(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await view(pilot, "threads")
    tid = grid(pilot).selected
    await press()
    assert board(pilot).active == "thread"
    assert board(pilot).view.tid == tid


def _moves(start: int, expected: Callable[[int, int, int], bool]) -> Check:
    async def check(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
        await view(pilot, "threads")
        table = grid(pilot)
        table.move_to(start if start >= 0 else len(table.rows) - 1)
        await fake.drawn(pilot)
        before = table.cursor
        await press()
        assert expected(before, table.cursor, len(table.rows))
        assert table.selected == table.key(table.rows[table.cursor])

    return check


def _scrolls(start: int, expected: Callable[[float, float, float], bool]) -> Check:
    async def check(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
        await view(pilot, "process")
        text = page(pilot)
        text.scroll_to(y=start, animate=False)
        await fake.drawn(pilot)
        before = text.scroll_y
        await press()
        assert expected(before, text.scroll_y, text.max_scroll_y)

    return check


async def _back(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await view(pilot, "threads")
    grid(pilot).action_open()
    await fake.until(pilot, lambda: board(pilot).active == "thread" and board(pilot).view.ready)
    await press()
    assert board(pilot).active == "threads"
    await press()
    assert board(pilot).active == "overview"
    await press()
    assert pilot.app.is_running and board(pilot).active == "overview"


async def _focus(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    before = board(pilot).focused
    await press()
    assert board(pilot).focused is not before
    assert isinstance(board(pilot).focused, Table)


def _steps(expected: str) -> Check:
    async def check(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
        await view(pilot, "threads")
        await press()
        assert board(pilot).active == expected

    return check


def _tab(number: int) -> Check:
    async def check(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
        start = "threads" if number == 1 else "overview"
        await view(pilot, start)
        await press()
        expected = next((s.id for s in board(pilot).specs.values() if s.tab == number), start)
        assert board(pilot).active == expected

    return check


async def _filter(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await view(pilot, "threads")
    await press()
    await pilot.press(*"worker-1q")  # letters belong to the field, also those that are keys elsewhere
    assert pilot.app.is_running
    await pilot.press("backspace")
    await fake.drawn(pilot)
    assert {t.name for t in grid(pilot).rows} == {"worker-1", *(f"worker-{n}" for n in range(10, 20))}
    bar = board(pilot).view.query_one(FilterBar)
    assert bar.display and "11 of 23" in bar.query_one("#filter-count").word
    await pilot.press("enter")
    assert bar.display and grid(pilot).has_focus
    await pilot.press("escape")
    assert not bar.display and len(grid(pilot).rows) == 23


async def _sort(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await view(pilot, "threads")
    seen = []
    for _ in range(3):
        await press()
        seen.append(grid(pilot).sort_by)
    assert len(set(seen)) == 3


async def _reverse(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await view(pilot, "threads")
    grid(pilot).sort_on("name")
    before = [t.name for t in grid(pilot).rows if t.alive]  # those that have ended are last in every order
    await press()
    assert [t.name for t in grid(pilot).rows if t.alive] == before[::-1]


async def _fold(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await view(pilot, "thread", 4250)
    assert any("library frames" in line for line in page(pilot).as_text())
    await press()
    assert not any("library frames" in line for line in page(pilot).as_text())
    assert any("_bootstrap" in line for line in page(pilot).as_text())


async def _holder(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await view(pilot, "thread", 4250)
    await press()
    assert board(pilot).view.tid == 4253


async def _pause(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    shown = board(pilot).shown
    await press()
    board(pilot).session.advance()
    await fake.drawn(pilot)
    assert board(pilot).shown is shown
    assert board(pilot).newest is not shown
    header = "\n".join(board(pilot).query_one("#header").as_text())
    assert "PAUSED" in header and "12 s ago" in header
    await press()
    assert board(pilot).shown is board(pilot).newest
    assert "LIVE" in "\n".join(board(pilot).query_one("#header").as_text())


async def _faster(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    board(pilot).speed = 2
    await press()
    assert board(pilot).speed == 3


async def _slower(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await press()
    assert SPEEDS[board(pilot).speed] == 0.2


def _said(pilot: Pilot[Any]) -> str:
    """The messages on screen."""
    return " ".join(n.message for n in pilot.app._notifications)


async def _copy(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    """The short report, and a file beside it: a terminal does not say what it took."""
    await view(pilot, "threads")
    await press()
    await fake.until(pilot, lambda: "does not say" in _said(pilot))
    lines = pilot.app.clipboard.splitlines()
    assert len(lines) <= 20 and lines[0].startswith("**") and "PID 4242" in pilot.app.clipboard
    assert Path("concview-4242-report-1.md").read_text() == pilot.app.clipboard
    assert "concview-4242-report-1.md" in _said(pilot)


async def _copy_line(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await view(pilot, "threads")
    await press()
    await fake.until(pilot, lambda: "does not say" in _said(pilot))
    assert "worker" in pilot.app.clipboard and "cache.py:41" in pilot.app.clipboard


async def _record(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    """What is saved is tested in test_tui_record: here nothing is kept."""
    await press()
    assert any("recording already" in str(n.message) for n in pilot.app._notifications)


async def _report(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    """Of a session that keeps no detail nothing can be drawn; of a real one: test_tui_take_away."""
    await press()
    await fake.until(pilot, lambda: "nothing to draw" in _said(pilot))
    assert not list(Path.cwd().iterdir())


async def _export(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await view(pilot, "threads")
    await press()
    await press()
    names = sorted(p.name for p in Path.cwd().iterdir())
    assert names == [f"concview-4242-threads-{n}.{kind}" for n in (1, 2) for kind in ("svg", "txt")]
    text = Path("concview-4242-threads-1.txt").read_text()
    assert "worker-19" in text and "LIVE" in text, "the text holds every row, not only those on screen"
    assert Path("concview-4242-threads-1.svg").read_text().startswith("<svg")


async def _nothing_to_start(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    """What they do where there is something: test_tui_behaviour."""
    await press()
    told = [notification.message for notification in pilot.app._notifications]
    assert told == ["only for a program that concview started: concview run, concview demo"]


async def _requests(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await press()
    assert board(pilot).active == "work"


async def _processes(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    session = board(pilot).session
    await press()
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, PickerScreen))
    assert session.closed == 1


async def _suspend(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    with mock.patch.object(suspend, "job_control", lambda: False):  # there may be a shell behind the tests
        await press()
        await fake.until(pilot, lambda: suspend.NO_SHELL in [str(n.message) for n in pilot.app._notifications])


async def _redraw(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    forgotten: list[object] = []
    with mock.patch.object(textual_private, "forget", forgotten.append):
        await press()
        await fake.until(pilot, lambda: forgotten == [pilot.app])


async def _help(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await press()
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, Help))
    await fake.drawn(pilot)
    said = "\n".join(pilot.app.screen.query_one(Page).as_text())
    for key in KEYS:
        if key.scope in ("app", "dashboard", "list") and not key.id.startswith("tab_"):
            assert key.help in said
    await pilot.press("escape")
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, Dashboard))


async def _palette(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await press()
    await fake.until(pilot, lambda: type(pilot.app.screen).__name__ == "CommandPalette")
    await pilot.press(*"locks")
    found = pilot.app.screen.query_one(CommandList)

    def there() -> bool:
        return found.highlighted == 0 and "Locks" in str(found.get_option_at_index(0).prompt)

    await fake.until(pilot, there)
    await pilot.press("enter")
    await fake.drawn(pilot)
    if not isinstance(pilot.app.screen, Dashboard):
        await pilot.press("enter")
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, Dashboard))
    await fake.until(pilot, lambda: board(pilot).active == "locks")


async def _quit(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    session = board(pilot).session
    await press()
    await fake.drawn(pilot)
    assert pilot.app._exit
    pilot.app.close_session()  # what unmounting does
    assert session.closed == 1


async def _pick_filter(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await press()
    await pilot.press(*"celery")
    await fake.drawn(pilot)
    assert [r.pid for r in pilot.app.screen.table.rows] == [5120]
    await pilot.press("enter")
    assert pilot.app.screen.table.has_focus


async def _pick_sort(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    before = pilot.app.screen.table.sort_by
    await press()
    assert pilot.app.screen.table.sort_by != before


async def _pick_reverse(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    before = [r.pid for r in pilot.app.screen.table.rows]
    await press()
    assert [r.pid for r in pilot.app.screen.table.rows] == before[::-1]


async def _pick_back(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await pilot.press("slash", *"celery")
    await press()
    assert len(pilot.app.screen.table.rows) == 3
    await press()
    assert pilot.app.is_running


async def _pick_tree(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await press()  # with a service: test_tui_processes.py
    await fake.until(pilot, lambda: any("attach --tree" in words for _, words in pilot.app.screen.said))


async def _output(pilot: Pilot[Any], press: Callable[[], Awaitable[None]]) -> None:
    await press()  # with a pane: test_tui_output.py
    assert "concview run" in [n.message for n in pilot.app._notifications][-1]


CHECKS: dict[str, Check] = {
    "open": _open,
    "up": _moves(3, lambda a, b, n: b == a - 1),
    "down": _moves(3, lambda a, b, n: b == a + 1),
    "page_up": _moves(-1, lambda a, b, n: b < a - 3),
    "page_down": _moves(0, lambda a, b, n: b > a + 3),
    "top": _moves(-1, lambda a, b, n: b == 0),
    "bottom": _moves(0, lambda a, b, n: b == n - 1),
    "scroll_up": _scrolls(5, lambda a, b, most: b == a - 1),
    "scroll_down": _scrolls(0, lambda a, b, most: b == a + 1),
    "scroll_page_up": _scrolls(15, lambda a, b, most: b < a - 3),
    "scroll_page_down": _scrolls(0, lambda a, b, most: b > a + 3),
    "scroll_top": _scrolls(9, lambda a, b, most: b == 0),
    "scroll_bottom": _scrolls(0, lambda a, b, most: b == most > 0),
    "back": _back,
    "focus": _focus,
    "previous_tab": _steps("overview"),
    "next_tab": _steps("findings"),
    **{f"tab_{n}": _tab(n) for n in range(1, 11)},
    "filter": _filter,
    "sort": _sort,
    "reverse": _reverse,
    "fold": _fold,
    "open_holder": _holder,
    "pause": _pause,
    "output": _output,
    "faster": _faster,
    "slower": _slower,
    "copy": _copy,
    "copy_line": _copy_line,
    "report": _report,
    "export": _export,
    "record": _record,
    "again": _nothing_to_start,
    "variant": _nothing_to_start,
    "requests": _requests,
    "processes": _processes,
    "pick_filter": _pick_filter,
    "pick_sort": _pick_sort,
    "pick_reverse": _pick_reverse,
    "pick_back": _pick_back,
    "pick_tree": _pick_tree,
    "help": _help,
    "palette": _palette,
    "quit": _quit,
    "suspend": _suspend,
    "redraw": _redraw,
}


def _elsewhere() -> set[str]:
    """Keys whose checks stand in a file `*_keys.py` of their own, beside the tests of their view."""
    files = (p.stem for p in Path(__file__).parent.glob("*_keys.py") if not p.stem.startswith("test_"))
    return {key for name in files for key in importlib.import_module(name).CHECKS}


@pytest.mark.parametrize(
    ("key", "stroke"), [(k.id, s) for k in KEYS if k.id not in _elsewhere() for s in k.keys.split(",")]
)
async def test_key(key: str, stroke: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert key in CHECKS, f"the key {key} has no test"
    monkeypatch.chdir(tmp_path)
    picker = Picker(lambda: fake.PROCESSES, fake.refuse, lambda: fake.DEMOS, fake.start_demo)
    session = fake.FakeSession([fake.busy(20), fake.busy(20, tick=24)])
    app = ConcviewApp(None if by_id(key).scope == "picker" else session, picker)
    async with app.run_test(size=(100, 24)) as pilot:
        if by_id(key).scope == "picker":
            await fake.until(pilot, lambda: app.screen.listed)
        else:
            await fake.until(pilot, lambda: board(pilot).view.ready)
        await fake.drawn(pilot)

        async def press() -> None:
            await pilot.press(stroke)
            await fake.drawn(pilot)

        await CHECKS[key](pilot, press)


def test_table_of_keys() -> None:
    assert len({k.id for k in KEYS}) == len(KEYS)
    for scope in {k.scope for k in KEYS}:
        strokes = [s for k in KEYS if k.scope == scope for s in k.keys.split(",")]
        assert len(set(strokes)) == len(strokes), scope


def test_footers_hold_at_most_eight_keys() -> None:
    assert len(footer(tuple(k.id for k in KEYS))) == 8
    for spec in Dashboard(fake.FakeSession()).specs.values():
        keys = footer(spec.make().keys)
        assert len(keys) <= 8
        assert all(k.label for k in keys), spec.id


def test_the_footer_of_a_pause_says_how_to_go_on() -> None:
    assert footer(("pause", "back"))[0].label == "pause"
    assert footer(("pause", "back"), paused=True)[0].label == "resume"
