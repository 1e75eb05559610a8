"""The flame view: its boxes, its keys, what it asks the session and when."""

from __future__ import annotations

import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import fake
import pytest
from flame_fake import CallSession
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.pilot import Pilot

from concview.analysis import calltree, gilcalls
from concview.analysis.classify import Classification
from concview.analysis.records import GilTick, Run, ThreadHistory
from concview.model import NO_WAIT, Frame, Stack, State
from concview.session.work import title
from concview.tui import editor
from concview.tui.app import ConcviewApp
from concview.tui.screens.dashboard import Dashboard
from concview.tui.views.flame import Flame
from concview.tui.widgets.calls import MODES, mode_line
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.icicle import Order, layout, matched_ns
from concview.tui.widgets.table import Table

FRAMES = st.sampled_from([Frame(n, f"{n}.py", i, "", "user" if i % 2 else "library") for i, n in enumerate("abcdef")])
STACKS = st.lists(FRAMES, min_size=1, max_size=7).map(lambda f: Stack(tuple(f)))


async def opened(pilot: Pilot[Any], subject: object = None) -> Flame:
    board = pilot.app.screen
    assert isinstance(board, Dashboard)
    await fake.until(pilot, lambda: board.view.ready)
    board.show_view("flame", subject)
    await fake.until(pilot, lambda: isinstance(board.view, Flame) and board.view.ready)
    view = board.view
    assert isinstance(view, Flame)
    await fake.until(pilot, lambda: view.source is None or view.calls is not None or bool(view.error))
    await fake.drawn(pilot)
    return view


async def answered(pilot: Pilot[Any], view: Flame) -> None:
    await fake.until(pilot, lambda: view._answered == view._number)
    await fake.drawn(pilot)


def busy() -> CallSession:
    return CallSession([fake.busy(20), fake.busy(20, tick=24)])


# ---------------------------------------------------------------- boxes


@given(st.lists(st.tuples(STACKS, st.integers(1, 1000)), min_size=1, max_size=30), st.integers(1, 200))
def test_boxes_lie_within_their_callers_and_do_not_overlap(pieces: list[tuple[Stack, int]], width: int) -> None:
    rows = layout(calltree.tree(pieces), width, Order())
    assert rows[0][0].width == width
    for row in rows:
        x = 0
        for box in row:
            assert box.width > 0 and box.x >= x
            x = box.x + box.width
            if box.parent is not None:
                assert box.x >= box.parent.x and x <= box.parent.x + box.parent.width


def test_the_width_of_a_box_is_its_share() -> None:
    a, b, c = (Frame(n, "app.py", i) for i, n in enumerate("abc", 1))
    rows = layout(calltree.tree([(Stack((b, a)), 50), (Stack((c, a)), 25), (Stack((a,)), 25)]), 80, Order())
    assert [(box.node.key[0], box.x, box.width) for box in rows[2]] == [("b", 0, 40), ("c", 40, 20)]


def test_many_small_calls_are_one_dotted_box() -> None:
    small = [(Stack((Frame(f"f{n}", "app.py", n),)), 1) for n in range(500)]
    (row,) = layout(calltree.tree([(Stack((Frame("big", "app.py", 1),)), 500), *small]), 40, Order())[1:]
    assert row[0].node.key[0] == "big" and row[0].width == 20
    assert [(box.x, box.width, box.rest) for box in row[1:]] == [(20, 20, 500)]


def test_boxes_of_nearly_equal_size_keep_their_places() -> None:
    a, b = Stack((Frame("a", "app.py", 1),)), Stack((Frame("b", "app.py", 2),))
    order = Order()

    def names(first: int, second: int) -> list[str]:
        return [box.node.key[0] for box in layout(calltree.tree([(a, first), (b, second)]), 80, order)[1]]

    assert names(100, 90) == ["a", "b"]
    assert names(100, 110) == ["a", "b"]
    assert names(100, 140) == ["b", "a"]
    assert names(100, 90) == ["b", "a"]


def test_matched_time_counts_every_moment_once() -> None:
    a, b = Frame("find", "app.py", 1), Frame("other", "app.py", 2)
    root = calltree.tree([(Stack((a, b, a)), 30), (Stack((b,)), 70)])
    assert matched_ns(root, "find") == 30 and matched_ns(root, "app") == 100 and matched_ns(root, "x") == 0


def test_calls_while_holding_the_gil() -> None:
    stacks = [Stack((Frame(n, "app.py", 1),)) for n in "ab"]
    thread = ThreadHistory(7, "t", 0, 0, False)
    for at, stack in ((0, stacks[0]), (100, stacks[1])):
        thread.change(at, Run(at, stack, NO_WAIT, (), Classification(State.RUNNING, "")))
    ticks = [GilTick(at, 10, 7 if at != 60 else 8, 0) for at in range(10, 200, 10)]
    found = list(calltree.stack_times(gilcalls.slices([thread], ticks, 0, 190)))
    assert sum(ns for stack, ns in found if stack is stacks[0]) == 90
    assert sum(ns for stack, ns in found if stack is stacks[1]) == 90


# ---------------------------------------------------------------- the view


async def test_a_session_without_calls_says_so() -> None:
    app = ConcviewApp(fake_without_calls())
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(pilot)
        assert "keeps no call times" in "\n".join(view.as_text())
        await pilot.press("m", "b", "f", "s", "enter", "down", "o", "escape")
        assert app.is_running


def fake_without_calls() -> Any:
    class Plain:
        """Only what every session has."""

        live = True

        def __init__(self) -> None:
            self.picture = fake.busy(5)

        def snapshot(self) -> Any:
            return self.picture

        def close(self) -> None: ...

    return Plain()


async def test_states_lines_and_libraries() -> None:
    session = busy()
    app = ConcviewApp(session)
    async with app.run_test(size=(100, 30)) as pilot:
        view = await opened(pilot)
        assert session.asked[-1] == {
            "states": None,
            "tids": None,
            "by_line": False,
            "fold": True,
            "holding": False,
            "tasks": False,
            "labels": (),
            "by_work": False,
        }
        of_threads = [mode for mode in MODES if not mode.tasks]  # there are no tasks here
        for mode in [*of_threads[1:], of_threads[0]]:
            await pilot.press("m")
            await answered(pilot, view)
            assert (session.asked[-1]["states"], session.asked[-1]["holding"]) == (mode.states, mode.holding)
        await pilot.press("M")
        await answered(pilot, view)
        assert session.asked[-1]["states"] == of_threads[-1].states
        await pilot.press("m", "b")
        await answered(pilot, view)
        assert session.asked[-1]["by_line"]
        await pilot.press("f")
        await answered(pilot, view)
        assert not session.asked[-1]["fold"]


async def test_an_empty_state_says_what_next() -> None:
    app = ConcviewApp(CallSession([fake.deadlock()]))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(pilot)
        for _ in MODES:
            await pilot.press("m")
            await answered(pilot, view)
            if not view.graph.rows:
                said = " ".join("\n".join(view.graph.as_text()).split())
                assert said.startswith(("No thread ", "Who holds"))
                assert "m shows another state" in said
                return
    pytest.fail("a deadlock shows something in every state")


async def test_a_failure_is_told_and_the_next_look_may_succeed() -> None:
    session = busy()
    session.fails = RuntimeError("[/red] broken")
    app = ConcviewApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(pilot)
        assert "could not be added up: RuntimeError: [/red] broken" in " ".join(view.as_text())
        session.fails = None
        await pilot.press("m", "M")
        await answered(pilot, view)
        assert view.graph.rows


async def test_moving_zooming_and_coming_back() -> None:
    app = ConcviewApp(busy())
    async with app.run_test(size=(100, 30)) as pilot:
        view = await opened(pilot)
        graph = view.graph

        def at() -> tuple[int, str]:
            box = graph.box
            assert box is not None
            return len(graph.base + box.path), box.node.key[0]

        assert at() == (0, "all")
        await pilot.press("down", "j")
        assert at()[0] == 2
        await pilot.press("k")
        assert at()[0] == 1
        row = [b.node.key[0] for b in graph.rows[1] if not b.rest]
        if len(row) > 1:
            await pilot.press("right")
            assert at() == (1, row[1])
            await pilot.press("h")
            assert at() == (1, row[0])
        await pilot.press("enter")
        assert graph.rows[0][0].node.key[0] == row[0] and graph.rows[0][0].width == graph.room
        await pilot.press("down", "enter", "escape", "escape")
        assert not graph.zoom and graph.rows[0][0].node.key[0] == "all"
        await pilot.press("G")
        assert at()[0] > 1
        await pilot.press("g")
        assert at()[0] == 0
        await pilot.press("escape")
        assert app.screen.active == "overview"  # type: ignore[attr-defined]


async def test_search_highlights_and_counts() -> None:
    app = ConcviewApp(busy())
    async with app.run_test(size=(160, 40)) as pilot:
        view = await opened(pilot)
        name = view.calls.entries[0].key[0]  # type: ignore[union-attr]
        await pilot.press("slash", *name[:5])
        await fake.drawn(pilot)
        bar = view.query_one(FilterBar)
        assert "% of the time" in bar.query_one("#filter-count").word  # type: ignore[attr-defined]
        assert any("◆" in view.graph.render_line(y).text for y in range(view.graph.size.height))
        await pilot.press("enter")
        assert view.graph.has_focus and bar.display
        await pilot.press("escape")
        assert not bar.display and not view.graph.needle


async def test_paused_it_stands_still() -> None:
    session = busy()
    app = ConcviewApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(pilot)
        await pilot.press("space")
        await fake.drawn(pilot)
        number, calls = len(session.asked), view.calls
        session.advance()
        view._next = 0.0
        await fake.drawn(pilot)
        view.redraw()
        assert len(session.asked) == number and view.calls is calls
        await pilot.press("m")  # a question of its own is answered, and says of when
        await answered(pilot, view)
        assert "after the pause" in view.as_text()[1]


async def test_it_asks_once_a_second_not_with_every_snapshot() -> None:
    session = busy()
    app = ConcviewApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        began = time.monotonic()
        view = await opened(pilot)
        asked = len(session.asked)
        for _ in range(5):
            session.advance()
            view.redraw()
        await fake.drawn(pilot)
        assert len(session.asked) - asked <= int(time.monotonic() - began)  # a busy machine may take seconds here


async def test_one_thread_and_all_again() -> None:
    session = busy()
    app = ConcviewApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        board = app.screen
        await fake.until(pilot, lambda: board.view.ready)  # type: ignore[attr-defined]
        board.show_view("thread", 4250)  # type: ignore[attr-defined]
        await fake.until(pilot, lambda: board.active == "thread" and board.view.ready)  # type: ignore[attr-defined]
        await fake.drawn(pilot)
        await pilot.press("c")
        await fake.until(pilot, lambda: isinstance(board.view, Flame) and board.view.calls is not None)  # type: ignore[attr-defined]
        assert session.asked[-1]["tids"] == (4250,)
        view = board.view  # type: ignore[attr-defined]
        await pilot.press("t")
        await answered(pilot, view)
        assert session.asked[-1]["tids"] is None
        await pilot.press("t")
        await answered(pilot, view)
        assert session.asked[-1]["tids"] == (4250,)
        await pilot.press("escape")
        assert board.active == "thread" and board.view.tid == 4250  # type: ignore[attr-defined]
        await pilot.press("7")
        await fake.until(pilot, lambda: board.view is view and view.calls is not None)  # type: ignore[attr-defined]
        assert session.asked[-1]["tids"] is None


async def test_one_request_and_all_again() -> None:
    session = busy()
    app = ConcviewApp(session)
    async with app.run_test(size=(160, 40)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready)
        await pilot.press("0")
        await fake.until(pilot, lambda: board.active == "work" and board.view.ready and board.view.grid.current)
        name = title(board.view.grid.current)
        await pilot.press("c")
        await fake.until(pilot, lambda: isinstance(board.view, Flame) and board.view.calls is not None)
        view = board.view
        (pattern,) = session.asked[-1]["labels"]
        assert fnmatchcase(name, pattern) and not fnmatchcase(f"{name}x", pattern)
        assert f"only {name[:20]}" in view.as_text()[1]
        await pilot.press("t")
        await answered(pilot, view)
        assert session.asked[-1]["labels"] == ()
        await pilot.press("t", "w")
        await answered(pilot, view)
        assert session.asked[-1]["labels"] == (pattern,) and session.asked[-1]["by_work"]
        await pilot.press("escape")
        assert board.active == "work"
        await pilot.press("7")
        await fake.until(pilot, lambda: board.view is view and view.calls is not None)
        assert session.asked[-1]["labels"] == ()


async def test_a_name_with_the_signs_of_a_pattern_is_a_name() -> None:
    session = busy()
    app = ConcviewApp(session)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot, "GET /a[1]/*")
        (pattern,) = session.asked[-1]["labels"]
        assert fnmatchcase("GET /a[1]/*", pattern) and not fnmatchcase("GET /a1/b", pattern)


async def test_the_table_beside_it_leads_to_the_box() -> None:
    app = ConcviewApp(busy())
    async with app.run_test(size=(120, 30)) as pilot:
        view = await opened(pilot)
        table = view.query_one("#own", Table)
        assert table.display and table.rows
        before = table.sort_by
        await pilot.press("s")
        assert table.sort_by != before
        await pilot.press("f")
        await answered(pilot, view)
        await pilot.press("tab", "enter")
        await fake.drawn(pilot)
        assert view.graph.zoom and view.graph.zoom[-1] == table.current.key and view.graph.has_focus
        await pilot.resize_terminal(80, 24)
        await fake.drawn(pilot)
        assert not table.display


@pytest.mark.parametrize("size", [(60, 12), (60, 20), (160, 50)], ids=str)
async def test_hostile_names_are_only_ugly(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = ConcviewApp(CallSession([fake.hostile()]))
    async with app.run_test(size=size) as pilot:
        view = await opened(pilot)
        assert "[/red]" in "\n".join(view.as_text())
        await pilot.press("f", "b", "down", "down", "right", "enter", "y", "slash", "[", "enter", "escape", "escape")
        await fake.drawn(pilot)
        assert app.is_running
        for y in range(view.graph.size.height):
            assert cell_len(view.graph.render_line(y).text) == view.graph.size.width


@pytest.mark.parametrize("theme", ["concview-dark", "concview-light", "ansi-dark", "ansi-light"])
async def test_themes(theme: str) -> None:
    app = ConcviewApp(busy(), theme=theme)
    async with app.run_test(size=(120, 30)) as pilot:
        view = await opened(pilot)
        app.theme = "textual-light"
        await fake.drawn(pilot)
        assert view.graph.rows


@pytest.mark.parametrize("at", range(len(MODES)))
@pytest.mark.parametrize("width", [56, 76, 156])
async def test_the_line_of_states_keeps_to_its_room(at: int, width: int) -> None:
    app = ConcviewApp(busy())
    async with app.run_test(size=(60, 20)) as pilot:
        await fake.drawn(pilot)
        from concview.tui.theme import palette_of

        line = mode_line(at, (0.1, 0.1, 0.5, 0.1, 0.1, 0.05, 0.05, 0.0), width, palette_of(app.screen))
        said = "".join(s.text for s in line)
        assert cell_len(said) <= width and MODES[at].word in said


# ---------------------------------------------------------------- the editor


def test_how_editors_are_called() -> None:
    assert editor.command("vim -R", "/a/b.py", 7) == ["vim", "-R", "+7", "/a/b.py"]
    assert editor.command("code -w", "/a/b.py", 7) == ["code", "-w", "--goto", "/a/b.py:7"]
    assert editor.command("/usr/bin/hx", "/a/b.py", 7) == ["/usr/bin/hx", "/a/b.py:7"]


async def test_why_no_editor_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "app.py"
    source.write_text("x\n")
    app = ConcviewApp(busy())
    async with app.run_test(size=(80, 24)) as pilot:
        await fake.drawn(pilot)
        monkeypatch.delenv("EDITOR", raising=False)
        assert "EDITOR is not set" in editor.open_source(app, str(source), 1)
        monkeypatch.setenv("EDITOR", f"{sys.executable} -c pass")
        assert "there is no file" in editor.open_source(app, "/nowhere/x.py", 1)
        assert "there is no file" in editor.open_source(app, "-x.py", 1)
        assert "no source file" in editor.open_source(app, "", 0)
        assert "cannot be lent" in editor.open_source(app, str(source), 1)


async def test_o_says_why_there_is_no_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDITOR", raising=False)
    app = ConcviewApp(busy())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("down", "o")
        await fake.drawn(pilot)
        assert any("EDITOR is not set" in n.message for n in app._notifications)
