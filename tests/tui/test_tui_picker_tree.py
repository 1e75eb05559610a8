"""The list of processes as a tree: workers under their master, whatever it is sorted by and filtered for."""

from __future__ import annotations

from dataclasses import dataclass

import fake
import pytest

from concview.tui.app import ConcviewApp
from concview.tui.ports import Picker
from concview.tui.screens.picker import PickerScreen
from concview.tui.widgets.bars import Bar
from concview.tui.widgets.process_rows import depths, under_masters


@dataclass
class Row(fake.Process):
    parent: int = 0
    container: str = ""


def row(pid: int, parent: int = 0, cpu: float = 0.0, name: str = "", container: str = "") -> Row:
    return Row(pid, name or f"p{pid}", ("python", f"{pid}.py"), cpu_percent=cpu, parent=parent, container=container)


#: 10 has 11 and 12, 12 has 13; 20 is alone; the parent of 30 is not in the list.
ROWS = [row(10), row(11, 10), row(12, 10), row(13, 12, cpu=99), row(20, cpu=50), row(30, 29)]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([10, 11, 12, 13, 20, 30], [10, 11, 12, 13, 20, 30]),
        ([13, 20, 10, 11, 12, 30], [10, 12, 13, 11, 20, 30]),  # by CPU: its family comes first with the busiest
        ([30, 20, 12, 11, 10, 13], [30, 20, 10, 12, 13, 11]),
        ([13], [10, 12, 13]),  # a filter left one: its masters stay
        ([], []),
    ],
)
def test_order(order: list[int], expected: list[int]) -> None:
    by_pid = {r.pid: r for r in ROWS}
    assert [r.pid for r in under_masters([by_pid[pid] for pid in order], ROWS)] == expected


def test_depths() -> None:
    assert depths(ROWS) == {10: 0, 11: 1, 12: 1, 13: 2, 20: 0, 30: 0}


def test_a_circle_ends() -> None:
    """Numbers are used again while the list is made."""
    circle = [row(1, 2), row(2, 1)]
    assert sorted(r.pid for r in under_masters(circle, circle)) == [1, 2]
    assert set(depths(circle)) == {1, 2}


async def test_on_screen() -> None:
    rows = [
        row(10, name="gunicorn", container="docker 0123456789ab"), row(11, 10, cpu=90, name="worker 1"), row(20, cpu=5)
    ]  # fmt: skip
    app = ConcviewApp(None, Picker(lambda: rows, fake.refuse, lambda: fake.DEMOS, fake.start_demo))
    async with app.run_test(size=(120, 24)) as pilot:
        screen = app.screen
        assert isinstance(screen, PickerScreen)
        await fake.until(pilot, lambda: screen.listed)
        await fake.drawn(pilot)
        assert [r.pid for r in screen.table.rows] == [10, 11, 20]
        picture = app.export_screenshot(simplify=True).replace("&#160;", " ")
        assert "└ worker 1" in picture and "docker 0123456789ab" in picture
        await pilot.press("slash", *"worker", "enter")
        await fake.drawn(pilot)
        assert [r.pid for r in screen.table.rows] == [10, 11]
        assert screen.table.current.pid == 11, "what was looked for, not its master"
        assert screen.table.matched == 1


async def test_the_command_of_the_selected_process_is_told_whole_without_moving_the_list() -> None:
    long = "-w 2 --threads 8 -b 127.0.0.1:8303"
    rows = [
        Row(10, "gunicorn", ("gunicorn", *long.split(), "store:app"), cpu_percent=9),
        Row(11, "gunicorn", ("gunicorn", *long.split(), "other:app"), cpu_percent=5),
        row(12, 11),
    ]
    app = ConcviewApp(None, Picker(lambda: rows, fake.refuse, lambda: fake.DEMOS, fake.start_demo))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = app.screen
        assert isinstance(screen, PickerScreen)
        await fake.until(pilot, lambda: screen.listed)
        await fake.drawn(pilot)
        title, place = screen.query_one("#title", Bar), screen.table.region
        assert f"gunicorn {long} store:app" in title.as_text()[1]
        picture = app.export_screenshot(simplify=True).replace("&#160;", " ")
        assert "store:app" in picture and "other:app" in picture, "told apart in the list"
        await pilot.press("down")
        await fake.drawn(pilot)
        assert "other:app" in title.as_text()[1] and "w: with the 1 below it" in title.as_text()[1]
        assert screen.table.region == place


@pytest.mark.parametrize(("selected", "watched"), [(11, 10), (10, 10), (22, 20), (31, 31), (42, 42)])
def test_of_a_worker_all_workers_of_its_master_are_watched(selected: int, watched: int) -> None:
    serve, spawned = ("gunicorn", "shop:app"), ("python", "-c", "from multiprocessing.spawn import spawn_main")
    rows = [
        Row(10, "gunicorn", serve), Row(11, "gunicorn", serve, parent=10), Row(12, "gunicorn", serve, parent=10),
        Row(20, "main.py", ("python", "main.py")), Row(22, "-c", spawned, parent=20),
        # A program that some other one has started is on its own; and numbers that go round.
        Row(30, "pytest", ("pytest",)), Row(31, "app.py", ("python", "app.py"), parent=30),
        Row(42, "x", ("x",), parent=40), Row(40, "x", ("y",), parent=41), Row(41, "x", ("y",), parent=40),
    ]  # fmt: skip
    screen = PickerScreen(Picker(lambda: rows, fake.refuse))
    screen.rows = rows
    assert screen._root(next(r for r in rows if r.pid == selected)).pid == watched
