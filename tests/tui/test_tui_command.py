"""The command line, columns of one's own, matches, half pages, tables as CSV, and what is kept for the next time."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import command_keys
import fake
import msgspec
import pytest
from textual import events
from textual.widgets import Input

from concview.snapshot import Snapshot
from concview.tui import keys, remember, verbs
from concview.tui.app import ConcviewApp
from concview.tui.ports import Picker
from concview.tui.remember import ScreenState, TableState
from concview.tui.screens.dashboard import Dashboard
from concview.tui.widgets.commandline import CommandLine
from concview.tui.widgets.page import Page
from concview.tui.widgets.table import Table

_execute = verbs.execute


def _app(snapshot: Snapshot | None = None, state: Path | None = None) -> ConcviewApp:
    return ConcviewApp(fake.FakeSession([snapshot or fake.busy(40)]), state=state)


async def _at(pilot, view: str) -> Dashboard:  # type: ignore[no-untyped-def]
    shown = pilot.app.screen
    assert isinstance(shown, Dashboard)
    await fake.until(pilot, lambda: shown.active == view and shown.view.ready and shown.view.snapshot is not None)
    return shown


async def _say(pilot, line: str) -> None:  # type: ignore[no-untyped-def]
    """Type the line, and wait until it was carried out."""
    done: list[str] = []

    def execute(app: ConcviewApp, said: str) -> None:
        _execute(app, said)
        done.append(said)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verbs, "execute", execute)
        await pilot.press("colon")
        await fake.until(pilot, lambda: pilot.app.screen.query_one(CommandLine).display)
        pilot.app.screen.query_one(CommandLine).field.value = line
        await pilot.press("enter")
        await fake.until(pilot, lambda: done == [line])
    await pilot.pause()


@pytest.mark.parametrize(("key", "field"), [("colon", "#command-input"), ("slash", "#filter-input")])
async def test_letters_stay_when_the_news_of_the_focus_comes_late(key: str, field: str) -> None:
    """As it does on a full machine."""
    async with _app().run_test(size=(100, 30)) as pilot:
        shown = await _at(pilot, "overview")
        await pilot.press(key, *"view")
        line = shown.query_one(field, Input)
        await fake.until(pilot, lambda: line.value == "view")
        line.post_message(events.Focus())
        await pilot.press("space", "x")
        await fake.until(pilot, lambda: line.value == "view x")


async def test_a_recording_is_the_baseline(tmp_path: Path) -> None:
    kept = tmp_path / "before.concview"
    program = (
        "import threading, time; threading.Thread(target=time.sleep, args=(60,), name='w').start(); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        record = [sys.executable, "-m", "concview", "record", str(process.pid), "-o", str(kept), "--duration", "2"]
        subprocess.run(record, check=True, capture_output=True, timeout=120)
        process.kill()
    async with _app().run_test(size=(120, 40)) as pilot:
        shown = await _at(pilot, "overview")
        await _say(pilot, f"baseline {tmp_path / 'none'}")
        await fake.until(pilot, lambda: any("No such file" in str(n.message) for n in pilot.app._notifications))
        assert shown.baseline is None
        await _say(pilot, f"baseline {kept}")
        await fake.until(pilot, lambda: shown.baseline is not None)
        await fake.drawn(pilot)
        base = shown.baseline
        assert base is not None and {t.name for t in base.snapshot.threads} == {"MainThread", "w"}
        assert "Against the baseline before.concview" in "\n".join(shown.view.as_text())
        await _say(pilot, "baseline")
        assert shown.baseline is None


async def test_a_view_a_sort_order_columns_and_a_thread_by_name() -> None:
    async with _app().run_test(size=(160, 40)) as pilot:
        shown = await _at(pilot, "overview")
        await _say(pilot, "view threads")
        await _at(pilot, "threads")
        table = shown.table()
        assert table is not None
        await _say(pilot, "sort cpu%")

        def most_first() -> bool:
            numbers = [(not row.alive, -(row.cpu_percent or 0.0)) for row in table.ungrouped]
            return numbers == sorted(numbers) and not table.ungrouped[-1].alive  # which used most of all

        def least_first() -> bool:
            least = [(not row.alive, -1.0 if row.cpu_percent is None else row.cpu_percent) for row in table.ungrouped]
            return least == sorted(least)

        await fake.until(pilot, most_first)
        await _say(pilot, "sort cpu up")
        await fake.until(pilot, least_first)
        await _say(pilot, "columns cpu name")
        await fake.until(pilot, lambda: [c.id for c, _ in table._layout] == ["cpu", "name"])
        await fake.until(pilot, lambda: shown.focused is table)  # it has the keyboard again behind the command line
        await pilot.press("greater_than_sign")
        await fake.until(pilot, lambda: [c.id for c, _ in table._layout] == ["name", "cpu"])
        await _say(pilot, "columns")
        await fake.until(pilot, lambda: "why" in [c.id for c, _ in table._layout])
        await _say(pilot, "thread worker-3")
        await _at(pilot, "thread")
        assert "worker-3" in "\n".join(shown.view.as_text())
        await pilot.press("escape")
        await _at(pilot, "threads")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("viwe", "no command 'viwe'"),
        ("view nowhere", "no view 'nowhere'"),
        ("sort nothing", "cannot sort by 'nothing'"),
        ("columns cpu [/x]", "no column '[/x]'"),
        ("thread [/nobody]", "no thread '[/nobody]'"),
        ("theme pink", "no theme 'pink'"),
    ],
)
async def test_what_cannot_be_is_said(line: str, said: str) -> None:
    async with _app().run_test(size=(120, 30)) as pilot:
        await _at(pilot, "overview")
        await _say(pilot, line)
        await fake.until(pilot, lambda: any(said in n.message for n in pilot.app._notifications))


async def test_keys_that_come_at_once_are_done_in_their_order() -> None:
    """Typed fast, or pasted by tmux: a tab completes what stood there when it was pressed."""
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]))
    async with app.run_test(size=(100, 30)) as pilot:
        shown = await _at(pilot, "overview")
        await pilot.press("colon")
        field = shown.query_one(CommandLine).field
        await fake.until(pilot, lambda: app.focused is field)
        for key in (*"vi", "tab", *"lo", "tab"):
            app.simulate_key(key)
        await fake.until(pilot, lambda: field.value == "view locks")
        await pilot.press("enter")
        await _at(pilot, "locks")


async def test_tab_completes_and_escape_leaves() -> None:
    async with _app().run_test(size=(120, 30)) as pilot:
        shown = await _at(pilot, "overview")
        field = shown.query_one(CommandLine).field
        await pilot.press("colon", *"vie", "tab")
        assert field.value == "view "
        await pilot.press(*"thr", "tab")
        assert field.value == "view threads"
        await pilot.press("enter")
        await _at(pilot, "threads")
        await pilot.press("colon", "up")
        assert field.value == "view threads"
        await pilot.press("escape")
        assert not shown.query_one(CommandLine).display and isinstance(shown.focused, Table)


async def test_every_key_can_be_asked_for_by_name_and_the_palette_has_the_same() -> None:
    app = _app()
    async with app.run_test(size=(120, 30)) as pilot:
        shown = await _at(pilot, "overview")
        names = {verb.name for verb in verbs.offered(app)}
        assert {"view", "sort", "filter", "thread", "save", "export", "pause", "baseline", "report"} <= names
        titles = [title for title, _, _ in verbs.palette(app)]
        assert len(set(titles)) == len(titles)
        assert f"View: Locks ({keys.by_id('tab_4').shown})" in titles and "Theme: contrast" in titles
        await _say(pilot, "pause")
        await fake.until(pilot, lambda: shown.paused)


async def test_the_next_match_and_half_pages() -> None:
    async with _app().run_test(size=(100, 20)) as pilot:
        await _at(pilot, "overview")
        await _say(pilot, "view threads")
        shown = await _at(pilot, "threads")
        table = shown.table()
        assert table is not None
        if shown.view.groups.on:  # type: ignore[attr-defined]
            await pilot.press("t")
        await pilot.press("ctrl+d")
        await fake.until(pilot, lambda: table.cursor == (table.size.height - 1) // 2)
        await pilot.press("ctrl+u")
        await fake.until(pilot, lambda: table.cursor == 0)
        await pilot.press("slash", *"worker-1", "enter")
        await fake.until(pilot, lambda: 1 < table.matched < table.total)
        await pilot.press("n")
        await fake.until(pilot, lambda: table.cursor == 1)
        await pilot.press("N", "N")
        await fake.until(pilot, lambda: table.cursor == len(table.rows) - 1)  # round at the end


@pytest.mark.parametrize(
    ("key", "stroke"), [(k, s) for k in command_keys.CHECKS for s in keys.by_id(k).keys.split(",")]
)
async def test_key(key: str, stroke: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picker = Picker(lambda: fake.PROCESSES, fake.refuse, lambda: fake.DEMOS, fake.start_demo)
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]), picker)
    async with app.run_test(size=(100, 24)) as pilot:
        await _at(pilot, "overview")

        async def press() -> None:
            await pilot.press(stroke)
            await fake.drawn(pilot)

        await command_keys.CHECKS[key](pilot, press)


async def test_any_table_as_csv(tmp_path: Path) -> None:
    snapshot = fake.busy(12)
    threads = tuple(msgspec.structs.replace(t, name="=cmd|x") if not i else t for i, t in enumerate(snapshot.threads))
    async with _app(msgspec.structs.replace(snapshot, threads=threads)).run_test(size=(80, 24)) as pilot:
        await _at(pilot, "overview")
        await _say(pilot, "view threads")
        shown = await _at(pilot, "threads")
        await _say(pilot, f"csv {tmp_path / 'a.csv'}")
        rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
        assert len(rows) == len(threads)
        names = {row["NAME"] for row in rows}
        assert "'=cmd|x" in names and {t.name for t in threads[1:]} <= names
        assert "LAST MINUTE" not in rows[0] and {"TID", "CPU%", "SW/S"} <= set(rows[0]), "also what had no room"
        assert all("…" not in value for row in rows for value in row.values())
        await _say(pilot, f"csv {tmp_path / 'a.csv'}")
        await fake.until(pilot, lambda: any("exists" in n.message for n in pilot.app._notifications))
        assert shown.table() is not None


async def test_the_mouse_wheel_scrolls_tables_and_pages() -> None:
    async with _app().run_test(size=(100, 16)) as pilot:
        shown = await _at(pilot, "overview")
        await _say(pilot, "view threads")
        await _at(pilot, "threads")
        table = shown.view.query_one(Table)
        x, y = table.region.x + 5, table.region.y + 3
        pilot.app.screen._forward_event(events.MouseScrollDown(table, x, y, 0, 1, 0, False, False, False, x, y))
        await fake.until(pilot, lambda: table.scroll_offset.y > 0)
        await pilot.press("question_mark")
        page = pilot.app.screen.query_one(Page)
        await fake.until(pilot, lambda: page.max_scroll_y > 0)
        x, y = page.region.x + 5, page.region.y + 3
        pilot.app.screen._forward_event(events.MouseScrollDown(page, x, y, 0, 1, 0, False, False, False, x, y))
        await fake.until(pilot, lambda: page.scroll_offset.y > 0)


async def test_a_notice_is_no_part_of_an_exported_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with _app().run_test(size=(100, 30), notifications=True) as pilot:
        await _at(pilot, "overview")
        pilot.app.notify("something that was said", markup=False)
        await fake.until(pilot, lambda: "something" in pilot.app.export_screenshot(simplify=True))
        await pilot.press("e")
        await fake.until(pilot, lambda: bool(list(tmp_path.glob("*.txt"))))
        (picture,) = tmp_path.glob("*.svg")
        assert "something" not in picture.read_text() and "LIVE" in picture.read_text()


# ---------------------------------------------------------------- for the next time


async def test_sort_order_columns_and_view_are_there_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "screen.json"
    async with _app(state=path).run_test(size=(120, 30)) as pilot:
        await _at(pilot, "overview")
        await _say(pilot, "view threads")
        await _at(pilot, "threads")
        await _say(pilot, "sort cpu up")
        await _say(pilot, "columns name cpu")
    async with _app(state=path).run_test(size=(120, 30)) as pilot:
        shown = await _at(pilot, "threads")
        table = shown.table()
        assert table is not None
        assert (table.sort_by, table.reversed, table.chosen) == ("cpu", True, ("name", "cpu"))
    assert list(path.parent.iterdir()) == [path], "nothing is left behind"


async def test_another_program_and_another_day_begin_with_the_verdict(tmp_path: Path) -> None:
    kept = ScreenState(program="another.py", view="threads", at=1e18)
    path = tmp_path / "screen.json"
    remember.write(path, kept)
    async with _app(state=path).run_test(size=(120, 30)) as pilot:
        await _at(pilot, "overview")
    assert kept.view_of("another.py") == "" and ScreenState(program="a", view="x", at=0.0).view_of("a") == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b'{"schema": 2}', b'{"tables": 7}', b"[" * 70_000, b'{"view": "nowhere", "program": ""}'],
    ids=["empty", "cut", "bytes", "later", "type", "large", "unknown"],
)
async def test_what_is_wrong_with_the_file_is_no_reason_to_fail(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "screen.json"
    path.write_bytes(content)
    async with _app(state=path).run_test(size=(100, 30)) as pilot:
        await _at(pilot, "overview")
    assert remember.read(path).schema == 1


def test_a_folder_that_cannot_be_written_is_none_either(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remember.write(tmp_path / "file" / "screen.json", ScreenState(program="x"))
    assert remember.read(tmp_path / "file" / "screen.json") == ScreenState()


def test_the_file_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "screen.json"
    remember.write(path, ScreenState(tables={f"t{n}": TableState(columns=("x",) * 900) for n in range(300)}))
    kept = remember.read(path)
    assert path.stat().st_size < remember.MOST_BYTES
    assert len(kept.tables) == remember.MOST_TABLES and len(kept.tables["t299"].columns) == remember.MOST_COLUMNS


@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/concview/screen.json"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/concview/screen.json"),
        ({"HOME": "/h"}, "/h/.local/state/concview/screen.json"),
        ({}, "None"),
    ],
)
def test_where_it_is_kept(environment: dict[str, str], where: str) -> None:
    assert str(remember.file(environment)) == where
