"""What must hold whatever is shown: hostile text, small terminals, selections that follow, sessions that are closed."""

# Textual hands out its base classes: Screen, View, App.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake
import msgspec
import pytest
from rich.cells import cell_len
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.widgets import Input

from concview.snapshot import Snapshot, Status
from concview.text import short_command
from concview.tui import text_render
from concview.tui.app import ConcviewApp
from concview.tui.ports import Picker, Started
from concview.tui.screens.dashboard import Dashboard, specs
from concview.tui.screens.picker import PickerScreen
from concview.tui.theme import GLYPHS, MEANINGS, WORDS
from concview.tui.verdict import verdict
from concview.tui.views.base import View
from concview.tui.widgets.bars import Tabs
from concview.tui.widgets.columns import Column, layout
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.header import BADGES
from concview.tui.widgets.page import Page
from concview.tui.widgets.states import _slices
from concview.tui.widgets.table import Table
from concview.tui.widgets.threads import COLUMNS

#: The views whose whole content a picture of a hostile target fills.
OURS = ("overview", "threads", "findings", "locks", "peers", "process", "thread")


async def _open(pilot, view: str, subject: object = None) -> View:  # type: ignore[no-untyped-def]
    dashboard = pilot.app.screen
    assert isinstance(dashboard, Dashboard)
    await fake.until(pilot, lambda: dashboard.view.ready)
    dashboard.show_view(view, subject)
    await fake.until(pilot, lambda: dashboard.view.ready and dashboard.view.snapshot is not None)
    await fake.drawn(pilot)
    return dashboard.view


def _screen(app: ConcviewApp) -> str:
    return app.export_screenshot(simplify=True).replace("&#160;", " ")


@pytest.mark.parametrize("size", [(60, 12), (81, 25), (200, 60)], ids=str)
async def test_hostile_text_is_only_ugly(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # what is taken away becomes a file where nobody says that he took it
    app = ConcviewApp(fake.FakeSession([fake.hostile()]))
    async with app.run_test(size=size) as pilot:
        for view in OURS:
            shown = await _open(pilot, view, 100 if view == "thread" else None)
            assert "[/red]" in "\n".join(shown.as_text()), view
            await pilot.press("y", "f", "s", "r", "down", "enter")
            assert app.is_running


@pytest.mark.parametrize("name", ["no_color", "ansi-dark", "ansi-light", "concview-light", "textual-light"])
async def test_every_theme(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "no_color":
        monkeypatch.setenv("NO_COLOR", "1")
    app = ConcviewApp(fake.FakeSession([fake.busy(12)]), theme="" if name == "no_color" else name)
    async with app.run_test(size=(100, 30)) as pilot:
        for view in specs():
            await _open(pilot, view, 4250 if view == "thread" else None)
            assert "LIVE" in _screen(app)


async def test_the_theme_can_change_while_running() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(12)]))
    async with app.run_test(size=(100, 30)) as pilot:
        await _open(pilot, "threads")
        before = _screen(app)
        app.theme = "textual-light"
        await fake.drawn(pilot)
        assert "#0b7a55" in _screen(app) and "#0b7a55" not in before


async def test_a_view_is_drawn_though_no_resize_tells_it_its_size() -> None:
    """Where the map of the screen is made anew between a key and the layout, Textual's layout finds no new widget."""
    app = ConcviewApp(fake.FakeSession([fake.busy(12)]))
    async with app.run_test(size=(100, 30)) as pilot:
        await _open(pilot, "overview")
        board = app.screen
        assert isinstance(board, Dashboard)
        if not board.query("#view-threads"):
            board._make("threads").display = False
        await fake.until(pilot, lambda: board.query_one("#view-threads").is_mounted)
        await fake.drawn(pilot)
        board.show_view("threads")
        board._compositor._full_map_invalidated = True
        assert board.view in board._compositor.full_map and not board.view.ready
        await fake.until(pilot, lambda: board.view.ready and board.view.snapshot is not None)
        await fake.drawn(pilot)
        assert "worker-1" in _screen(app)


async def test_too_small_and_back() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(12)]))
    async with app.run_test(size=(80, 24)) as pilot:
        await _open(pilot, "threads")
        for size in ((59, 24), (80, 11), (1, 1)):
            await pilot.resize_terminal(*size)
            await fake.drawn(pilot)
            if size[0] > 40:
                assert f"concview needs 60x12; this terminal is {size[0]}x{size[1]}" in _screen(app)
                assert "worker-1" not in _screen(app)
        await pilot.resize_terminal(100, 30)
        await fake.drawn(pilot)
        assert "worker-1" in _screen(app) and "needs 60x12" not in _screen(app)


@pytest.mark.parametrize("size", [(60, 12), (60, 20), (80, 24), (120, 30), (160, 50), (300, 100)], ids=str)
async def test_lines_keep_to_their_room(size: tuple[int, int]) -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]))
    async with app.run_test(size=size) as pilot:
        for view in specs():
            shown = await _open(pilot, view, 4250 if view == "thread" else None)
            for page in shown.query(Page):
                if page.display and page.size:
                    for line in page.as_text():
                        assert cell_len(line) <= page.container_size.width, (view, line)


async def test_the_selection_follows_its_thread() -> None:
    first = fake.busy(40)
    turned = msgspec.structs.replace(first, threads=first.threads[::-1], at_ns=first.at_ns + 1)
    without = msgspec.structs.replace(first, threads=tuple(t for t in first.threads if t.tid != 4260))
    session = fake.FakeSession([first, turned, without])
    app = ConcviewApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        table = (await _open(pilot, "threads")).query_one(Table)
        table.sort_by = ""  # as they come
        table.choose(4260)
        assert table.current.tid == 4260
        session.advance()
        await fake.drawn(pilot)
        assert table.current.tid == 4260
        assert table.scroll_offset.y <= table.cursor < table.scroll_offset.y + table.size.height - 1
        session.advance()
        await fake.drawn(pilot)
        assert table.current is not None and table.current.tid != 4260


async def test_only_visible_rows_are_drawn() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(1000)]))
    async with app.run_test(size=(80, 24)) as pilot:
        table = (await _open(pilot, "threads")).query_one(Table)
        drawn: list[Any] = []
        original = table._draw
        table._draw = lambda y, *rest: drawn.append(y) or original(y, *rest)  # type: ignore[method-assign, func-returns-value]
        table.set_rows(table._source, table.context)
        assert len(drawn) <= 24


async def test_a_moving_cursor_draws_two_rows() -> None:
    """And so does the keyboard that goes to another table and comes back."""
    app = ConcviewApp(fake.FakeSession([fake.busy(40)]))
    async with app.run_test(size=(120, 40)) as pilot:
        grid = (await _open(pilot, "threads")).query_one(Table)
        drawn: list[object] = []
        grid._draw_row, whole = (lambda row, *rest: (drawn.append(row), whole(row, *rest))[1]), grid._draw_row  # type: ignore[method-assign, func-returns-value]
        before = grid.current
        grid.action_down()
        await fake.drawn(pilot)
        assert drawn == [before, grid.current]
        drawn.clear()
        app.screen.set_focus(None)
        await fake.drawn(pilot)
        assert [grid.current] == drawn[:1] and all(row is grid.current for row in drawn)


async def test_nothing_is_drawn_without_news() -> None:
    session = fake.FakeSession([fake.busy(12)])
    app = ConcviewApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await _open(pilot, "overview")
        drawn: list[Any] = []
        asked: list[Snapshot] = []
        view.draw = drawn.append  # type: ignore[assignment, method-assign]
        session.snapshot = lambda: asked.append(session.pictures[0]) or session.pictures[0]  # type: ignore[method-assign, func-returns-value]
        await fake.until(pilot, lambda: len(asked) > 3)
        await fake.drawn(pilot)
        assert not drawn


async def test_exited_keeps_the_last_state_and_says_why() -> None:
    session = fake.FakeSession([fake.busy(12), fake.exited()])
    app = ConcviewApp(session)
    async with app.run_test(size=(120, 30)) as pilot:
        await _open(pilot, "overview")
        await pilot.press("space")  # also while paused
        session.advance()
        await fake.drawn(pilot)
        said = _screen(app)
        assert "EXITED" in said and "the process exited with code 1" in said and "worker-1" in said


async def test_clicks() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(12)]))
    async with app.run_test(size=(120, 30)) as pilot:
        table = (await _open(pilot, "threads")).query_one(Table)
        await pilot.click(table, offset=(2, 0))
        assert table.sort_by == "name" and not table.reversed
        await pilot.click(table, offset=(2, 0))
        assert table.sort_by == "name" and table.reversed
        await pilot.click(table, offset=(2, 4))
        assert table.cursor == 3
        await pilot.click("#tabs", offset=(18, 0))
        assert app.screen.active == "threads"
        await pilot.click("#tabs", offset=(2, 0))
        await fake.drawn(pilot)
        assert app.screen.active == "overview"
        footer = app.screen.query_one("#footer")
        at = footer.as_text()[0].index("pause")
        await pilot.click("#footer", offset=(at, 0))
        await fake.drawn(pilot)
        assert app.screen.paused


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (140, 42)])
async def test_the_view_that_is_shown_is_the_one_that_is_marked(size: tuple[int, int]) -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(12)]))
    async with app.run_test(size=size) as pilot:
        await _open(pilot, "queues")
        await pilot.press("0")
        await fake.drawn(pilot)
        tabs = app.screen.query_one("#tabs", Tabs)
        assert app.screen.active == "work" and tabs.marked == "work" and "Requests" in tabs.as_text()[0]
        await pilot.press("escape")
        await fake.drawn(pilot)
        assert tabs.marked == "queues" and "Requests" not in tabs.as_text()[0]


async def test_the_first_screen_can_be_filtered() -> None:
    """Letters behind the slash are no keys: 'e' would write files."""
    app = ConcviewApp(fake.FakeSession([fake.busy(22)]))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await _open(pilot, "overview")
        table, tabs = view.query_one("#threads", Table), view.parts()
        every = len(table.rows)
        await pilot.press("slash", *"worker-1", "enter")
        await fake.drawn(pilot)
        assert {t.name for t in table.rows} == {t.name for t in fake.busy(22).threads if "worker-1" in t.name}
        assert table.has_focus and "worker-1" in str(view.query_one("FilterBar Input", Input).value)
        await pilot.press("escape")
        await fake.drawn(pilot)
        assert len(table.rows) == every and view.parts() == tabs and not view.query_one(FilterBar).display


async def test_a_finding_leads_to_its_evidence() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(12)]))
    async with app.run_test(size=(120, 40)) as pilot:
        await _open(pilot, "overview")
        await pilot.press("down", "enter")
        await fake.until(pilot, lambda: app.screen.active == "findings" and app.screen.view.ready)
        await fake.drawn(pilot)
        assert "Two threads fight over the GIL" in "\n".join(app.screen.view.as_text())
        await pilot.press("enter")
        await fake.until(pilot, lambda: app.screen.active == "thread" and app.screen.view.ready)
        assert app.screen.view.tid == 4255
        await pilot.press("escape")
        assert app.screen.active == "findings"


async def test_a_thread_that_left_says_so() -> None:
    session = fake.FakeSession([fake.busy(12), fake.healthy()])
    app = ConcviewApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await _open(pilot, "thread", 4261)
        session.advance()
        await fake.drawn(pilot)
        assert "Thread 4261 ended" in "\n".join(view.as_text())


# ---------------------------------------------------------------- picker


async def test_the_picker_attaches_and_the_session_is_closed() -> None:
    opened = fake.FakeSession([fake.busy(12)])
    app = ConcviewApp(picker=Picker(lambda: fake.PROCESSES, lambda pid: opened))
    async with app.run_test(size=(100, 30)) as pilot:
        await fake.until(pilot, lambda: app.screen.listed)
        await pilot.press("enter")
        await fake.until(pilot, lambda: isinstance(app.screen, Dashboard))
        await fake.until(pilot, lambda: app.screen.view.ready)
        assert "LIVE" in _screen(app)
        await pilot.press("p")
        await fake.until(pilot, lambda: isinstance(app.screen, PickerScreen))
        assert opened.closed == 1


async def test_the_picker_shows_why_not_and_stays() -> None:
    app = ConcviewApp(picker=Picker(lambda: fake.PROCESSES, fake.refuse))
    async with app.run_test(size=(100, 30)) as pilot:
        await fake.until(pilot, lambda: app.screen.listed)
        await pilot.press("enter")
        await fake.until(pilot, lambda: "not permitted to read process 4242 [/red]" in _screen(app))
        assert "kernel.yama.ptrace_scope=0" in _screen(app)
        assert isinstance(app.screen, PickerScreen)


async def test_a_list_that_fails_is_no_crash() -> None:
    def broken() -> list[Any]:
        raise RuntimeError("[bold the process table cannot be read")

    app = ConcviewApp(picker=Picker(broken, fake.refuse))
    async with app.run_test(size=(100, 30)) as pilot:
        await fake.until(pilot, lambda: "the process table cannot be read" in _screen(app))


async def test_an_empty_system_offers_the_demos() -> None:
    app = ConcviewApp(picker=Picker(lambda: (), fake.refuse, lambda: fake.DEMOS, fake.start_demo))
    async with app.run_test(size=(100, 30)) as pilot:
        await fake.until(pilot, lambda: "lock-held-across-io" in _screen(app))
        await pilot.press("down", "enter")
        await fake.until(pilot, lambda: isinstance(app.screen, Dashboard))
        await fake.until(pilot, lambda: "Deadlock" in _screen(app))


async def test_a_finding_that_was_opened_scrolls_at_once_and_escape_leads_back() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]))
    async with app.run_test(size=(80, 24)) as pilot:
        dashboard = app.screen
        assert isinstance(dashboard, Dashboard)
        await fake.until(pilot, lambda: dashboard.view.ready)
        finding = dashboard.newest.findings[0]
        dashboard.view.post_message(View.Goto("findings", (finding.id, finding.subject)))
        await fake.until(pilot, lambda: dashboard.active == "findings" and dashboard.view.ready)
        page = dashboard.view.query_one("#detail", Page)
        await fake.until(pilot, lambda: page.has_focus)
        await pilot.press("down", "down")
        await fake.until(pilot, lambda: page.scroll_y > 0)
        await pilot.press("escape")
        await fake.until(pilot, lambda: dashboard.active == "overview")
        dashboard.view.post_message(View.Goto("findings", (finding.id, finding.subject)))
        await fake.until(pilot, lambda: dashboard.active == "findings" and page.has_focus)
        await pilot.press("enter")
        await fake.until(pilot, lambda: dashboard.active == "thread")


def _told(app: ConcviewApp) -> str:
    return "\n".join(notification.message for notification in app._notifications)


async def test_starting_again_shows_the_new_target_or_why_not() -> None:
    asked: list[bool] = []
    second = fake.FakeSession([fake.busy(12)])

    def again(other: bool) -> Started:
        asked.append(other)
        if len(asked) > 1:
            raise RuntimeError("[bold it does not start")
        return Started(second, None, "fixed")

    first = fake.FakeSession([fake.deadlock()])
    app = ConcviewApp(first, Picker(lambda: fake.PROCESSES, fake.refuse, again=lambda: again))
    async with app.run_test(size=(120, 36)) as pilot:
        await fake.until(pilot, lambda: app.screen.view.ready)
        await pilot.press("2", "V")
        await fake.until(pilot, lambda: app.session is second and app.screen.view.ready)
        assert first.closed == 1 and app.screen.active == "threads"
        assert app.screen.baseline.snapshot.target == fake.deadlock().target
        await pilot.press("R")
        await fake.until(pilot, lambda: "[bold it does not start" in _told(app))
        assert asked == [True, False] and app.session is second and not second.closed


async def test_a_baseline_lasts_when_the_program_is_started_again() -> None:
    """Its threads are known by their names then: the new run's have other ids."""
    moved = msgspec.structs.replace(
        fake.busy(12), threads=tuple(msgspec.structs.replace(t, tid=t.tid + 1_000) for t in fake.busy(12).threads)
    )
    second = fake.FakeSession([moved])
    app = ConcviewApp(
        fake.FakeSession([fake.busy(12)]),
        Picker(lambda: fake.PROCESSES, fake.refuse, again=lambda: lambda other: Started(second, None, "bad")),
    )
    async with app.run_test(size=(120, 36)) as pilot:
        await fake.until(pilot, lambda: app.screen.view.ready)
        await pilot.press("b", "R")
        await fake.until(pilot, lambda: app.session is second and app.screen.view.ready)
        base = app.screen.baseline
        assert base.snapshot.target == fake.busy(12).target
        assert all(base.change(t) is not None for t in moved.threads)


def test_needs_something_to_show() -> None:
    with pytest.raises(ValueError, match="needs a session"):
        ConcviewApp()


# ---------------------------------------------------------------- drawing


@pytest.mark.parametrize("width", [0, 1, 2, 7, 40, 500])
@pytest.mark.parametrize("text", ["", "abc", *fake.HOSTILE])
def test_fit_is_exact(text: str, width: int) -> None:
    assert cell_len(text_render.fit(text, width)) == width
    assert cell_len(text_render.fit(text, width, right=True)) == width


@pytest.mark.parametrize("width", [4, 9, 30])
@pytest.mark.parametrize("text", ["a b c", "    indented code here", *fake.HOSTILE])
def test_wrap_loses_nothing(text: str, width: int) -> None:
    lines = text_render.wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@pytest.mark.parametrize("width", range(1, 60, 7))
def test_a_bar_is_as_wide_as_asked(width: int) -> None:
    sizes = text_render.apportion((0.5, 0.3, 0.0, 0.19, 0.008, 0.002, 0.0, 0.0), width)
    assert sum(sizes) == width and all(size >= 0 for size in sizes)
    if width > 8:
        assert sizes[4] == 1, "what is not nothing is seen"


@pytest.mark.parametrize("width", range(40, 320, 13))
def test_columns_fill_the_width(width: int) -> None:
    shown = layout(COLUMNS, width)
    assert sum(cells for _, cells in shown) + len(shown) - 1 <= width
    ids = [column.id for column, _ in shown]
    assert {"name", "state", "why"} <= set(ids)
    assert width < 100 or "strip" in ids
    if width >= 300:
        assert len(ids) == len(COLUMNS)


def test_strip_moves_by_whole_cells() -> None:
    row = tuple(n // 6 % 8 for n in range(121))
    before, after = _slices(row[:-1], 20, 119), _slices(row[1:], 20, 120)
    # The new half second opens a new cell; all the others are as they were.
    assert after[:-1] == before[1:]


def test_every_state_differs_without_colour() -> None:
    assert len(set(GLYPHS.values())) == len(GLYPHS) == len(WORDS) == len(MEANINGS) == 8
    assert set(BADGES) == set(Status)


@pytest.mark.parametrize(
    ("command", "short"),
    [
        (("/usr/bin/python3.13", "/srv/app/worker.py", "--port", "80"), "worker.py --port 80"),
        (("python", "-u", "-m", "celery", "worker"), "-m celery worker"),
        (("/opt/app/bin/gunicorn", "app:main"), "gunicorn app:main"),
        (("python3",), "python3"),
        ((), "?"),
    ],
)
def test_short_command(command: tuple[str, ...], short: str) -> None:
    assert short_command(command) == short


@pytest.mark.parametrize(
    ("picture", "word", "said"),
    [
        (fake.busy(12), "WARN", "self._lock is held"),
        (fake.deadlock(), "WARN", "Deadlock"),
        (fake.healthy(), "CLEAR", "No anti-pattern found: 6 rules judged clear"),
        (fake.gathering(), "LOOKING", "Gathering evidence (3 s of 10 s)"),
        (fake.empty(), "ATTACHING", "first samples"),
        (Snapshot(Status.LIVE, target=fake.TARGET, seconds=20), "UNKNOWN", "No rule could be judged"),
    ],
)
def test_verdict(picture: Snapshot, word: str, said: str) -> None:
    result = verdict(picture)
    assert result.word == word and said in result.sentence


async def test_the_scrollbar_hides_no_part_of_a_row() -> None:
    """The last column is laid out beside the scrollbar, not below it."""
    column = Column(
        "n", "NUMBER", 6, lambda row, width, palette, context: [Segment(f"{row:>{width}}", palette.base)], most=200
    )

    class Rows(App[None]):
        def compose(self) -> ComposeResult:
            yield Table((column,), lambda row: row)

    app = Rows()
    async with app.run_test(size=(40, 10)) as pilot:
        table = app.query_one(Table)
        table.set_rows(range(1000, 1005))
        await pilot.pause()
        assert not table.show_vertical_scrollbar
        assert "".join(s.text for s in table.render_line(1)) == " " * 36 + "1000"
        table.set_rows(range(1000, 1100))
        await fake.until(pilot, lambda: table.show_vertical_scrollbar)
        await pilot.pause()
        assert "".join(s.text for s in table.render_line(1)) == " " * 35 + "1000"
        assert app.screen.get_widget_at(39, 1)[0] is table.vertical_scrollbar


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 50), (300, 100)])
async def test_help_is_not_cut(size: tuple[int, int]) -> None:
    app = ConcviewApp(fake.FakeSession([fake.healthy()]))
    async with app.run_test(size=size) as pilot:
        await _open(pilot, "overview")
        await pilot.press("question_mark")
        await fake.until(pilot, lambda: bool(app.screen.query("#help")) and bool(app.screen.query_one(Page).as_text()))
        await fake.drawn(pilot)
        page = app.screen.query_one(Page)
        said = page.as_text()
        assert not any("…" in line.replace(" ...", "") for line in said)
        assert max(map(cell_len, said)) <= page.room


async def test_no_view_is_made_for_a_dashboard_that_is_being_left() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(4)]))
    async with app.run_test(size=(80, 24)) as pilot:
        board = app.screen
        assert isinstance(board, Dashboard)
        await fake.until(pilot, lambda: board.view.ready)
    # A timer or a key may still come when its parts are gone from the app.
    board._prepare()
    board.show_view("threads")


async def test_what_is_over_keeps_no_place_that_others_could_have() -> None:
    """A thread for each request: the list does not fill with those that ended while rows keep their places."""
    picture = fake.busy(12)
    app = ConcviewApp(fake.FakeSession([picture]))
    async with app.run_test(size=(120, 40)) as pilot:
        table = await fake.threads_table(pilot)
        top = table.rows[0]
        ended = tuple(msgspec.structs.replace(t, alive=t.alive and t.tid != top.tid) for t in picture.threads)
        table.set_rows(ended, table.context)
        assert not table.rows[-1].alive and table.rows[0].alive and top.tid != table.rows[0].tid
        assert top.tid in {row.tid for row in table.rows if not row.alive}
        # Nor when the order is asked for anew: where a row stands does not depend on when the last picture came.
        for order in ("down", "up"):
            table.sort_to("cpu", order)
            asked = [row.tid for row in table.rows]
            assert table.total == len(asked) and not table.rows[-1].alive and table.rows[0].alive
            table.set_rows(ended, table.context)
            assert [row.tid for row in table.rows] == asked
