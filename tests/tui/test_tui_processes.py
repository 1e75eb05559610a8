"""The list of a service's processes: which worker is it, and into one of them and back."""

from __future__ import annotations

from dataclasses import replace

import fake
import msgspec
import pytest
from rich.segment import Segment

from concview.model import Role
from concview.session import across
from concview.session.service import ServiceRow, merged, of_how_many, row_of, told
from concview.snapshot import Snapshot, Status
from concview.tui.app import ConcviewApp
from concview.tui.ports import Picker
from concview.tui.screens.dashboard import Dashboard
from concview.tui.screens.picker import PickerScreen
from concview.tui.screens.processes import ProcessesScreen
from concview.tui.text_render import signed
from concview.tui.widgets.bars import Bar


def row(pid: int, snapshot: Snapshot, parent: int = 10, state: str = "") -> ServiceRow:
    role = Role.WORKER if parent else Role.PROGRAM
    return row_of((pid, 1), parent, f"worker {pid}" if parent else "gunicorn", role, snapshot, state)


class FakeService:
    """One master and its workers; two of them are in a deadlock."""

    live = True
    name = "gunicorn app:app"

    def __init__(self) -> None:
        waiting = Snapshot(Status.WAITING)
        self.pictures = [
            (row(10, fake.healthy(), 0), fake.healthy()),
            (row(11, fake.deadlock()), fake.deadlock()),
            (row(12, fake.healthy()), fake.healthy()),
            (row(13, fake.deadlock()), fake.deadlock()),
            (row(14, waiting, state="cannot be watched: not permitted"), waiting),
        ]
        self.looked: list[tuple[int, int]] = []
        self.left = 0
        self.closed = False
        self.found = across.Found()

    def rows(self) -> list[ServiceRow]:
        return [r for r, _ in self.pictures]

    def said(self) -> list[tuple[str, str]]:
        return told([p for p in self.pictures if not p[0].state], self.found, self.rows())

    def cost(self) -> tuple[float, float]:
        return 3.2, 5.0

    def session(self, key: tuple[int, int]) -> fake.FakeSession | None:
        picture = next((s for r, s in self.pictures if r.key == key and not r.state), None)
        if picture is None:
            return None
        self.looked.append(key)
        self.session_given = fake.FakeSession([picture])
        return self.session_given

    def leave(self) -> None:
        self.left += 1

    def close(self) -> None:
        self.closed = True


def shown(app: ConcviewApp) -> object:
    return app.screen


def picture(app: ConcviewApp) -> str:
    return app.export_screenshot(simplify=True).replace("&#160;", " ")


async def test_into_a_worker_and_back() -> None:
    service = FakeService()
    app = ConcviewApp(service=service)
    async with app.run_test(size=(120, 30)) as pilot:
        screen = app.screen
        assert isinstance(screen, ProcessesScreen)
        await fake.drawn(pilot)
        seen = picture(app)
        # The master stands above its workers, those with something wrong first.
        assert [r.pid for r in screen.table.rows][:3] == [10, 11, 13]
        assert "2 of 4 workers" in seen and "cannot be watched: not permitted" in seen and "budget 5 %" in seen
        # The first one that is worst is selected, not its master above it.
        await pilot.press("enter")
        await fake.drawn(pilot)
        assert isinstance(app.screen, Dashboard) and service.looked == [(11, 1)]
        await pilot.press("p")
        await fake.drawn(pilot)
        assert shown(app) is screen and service.left and not service.session_given.closed
        # One comes, one goes.
        ended = replace(service.pictures[3][0], state="ended")
        service.pictures[3] = (ended, service.pictures[3][1])
        service.pictures.append((row(15, fake.healthy()), fake.healthy()))
        screen.look()
        await fake.drawn(pilot)
        assert "1 ended" in picture(app) and 15 in {r.pid for r in screen.table.rows}
        await pilot.press("slash", *"14", "enter")
        await pilot.press("enter")
        await fake.drawn(pilot)
        assert shown(app) is screen, "there is nothing to look at, and that is said"


async def test_from_the_list_of_all_processes_and_back() -> None:
    """A master's workers, chosen where all processes are listed: one of them, the workers, all processes again."""
    service, asked = FakeService(), list[int]()

    def watch_tree(pid: int) -> FakeService:
        asked.append(pid)
        return service

    app = ConcviewApp(picker=Picker(lambda: fake.PROCESSES, fake.refuse, watch_tree=watch_tree))
    async with app.run_test(size=(80, 24)) as pilot:
        picker = app.screen
        assert isinstance(picker, PickerScreen)
        await fake.until(pilot, lambda: picker.listed)
        await fake.drawn(pilot)
        pid = picker.table.current.pid
        await pilot.press("w")
        await fake.until(pilot, lambda: isinstance(app.screen, ProcessesScreen))
        await fake.drawn(pilot)
        assert asked == [pid] and "2 of 4 workers" in picture(app)
        await pilot.press("down", "enter")
        await fake.until(pilot, lambda: isinstance(app.screen, Dashboard))
        await pilot.press("p")
        await fake.until(pilot, lambda: isinstance(app.screen, ProcessesScreen))
        assert service.left and not service.closed
        await pilot.press("escape")
        await fake.until(pilot, lambda: shown(app) is picker and service.closed)
        await pilot.press("escape")
        assert app.is_running


async def test_what_is_wrong_is_told_before_anything_is_chosen() -> None:
    app = ConcviewApp(service=FakeService())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = app.screen
        assert isinstance(screen, ProcessesScreen)
        await fake.drawn(pilot)
        assert screen.table.current.pid == 11 and "worker 11 (11): " in picture(app)
        await pilot.press("up")
        await fake.drawn(pilot)
        assert screen.table.current.pid == 10 and "worker 11 (11): " not in picture(app)


async def test_the_worst_is_selected_until_somebody_chooses() -> None:
    service = FakeService()
    calm = [(replace(r, severity="", verdict="clear") if not r.state else r, s) for r, s in service.pictures]
    bad, service.pictures = service.pictures, calm
    app = ConcviewApp(service=service)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = app.screen
        assert isinstance(screen, ProcessesScreen)
        await fake.drawn(pilot)
        selected = screen.table.current
        assert selected.worker and not selected.state
        # The one that is no worse than the others stays; one that is worse is selected, in its place in the list.
        service.pictures = [*calm[:3], (replace(bad[3][0], cpu_percent=0.0), bad[3][1]), calm[4]]
        screen.look()
        await fake.drawn(pilot)
        assert screen.table.current.pid == 13
        service.pictures = bad
        screen.look()
        await fake.drawn(pilot)
        assert screen.table.current.pid == 13


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_a_long_title_says_that_it_is_cut(width: int) -> None:
    service = FakeService()
    service.name = "gunicorn --workers 4 --worker-class gthread --bind 127.0.0.1:8000 --max-requests 9 shop:app"
    app = ConcviewApp(service=service)
    async with app.run_test(size=(width, 24)) as pilot:
        await fake.drawn(pilot)
        title = app.screen.query_one("#title", Bar).as_text()[0]
        assert "…" in title and "5 processes, 4 of them workers" in title and "shop:app" in title


def test_a_line_that_is_cut_says_so() -> None:
    line = [Segment("one two "), Segment("three   ")]
    assert [s.text for s in signed(line, 13)] == ["one two ", "three   "], "only blanks are lost"
    assert "".join(s.text for s in signed(line, 11)) == "one two th…"
    assert signed(line, 40) is line


@pytest.mark.parametrize("size", [(60, 12), (80, 24), (200, 50), (40, 8)])
async def test_any_size(size: tuple[int, int]) -> None:
    app = ConcviewApp(service=FakeService())
    async with app.run_test(size=size) as pilot:
        await fake.drawn(pilot)
        assert isinstance(app.screen, ProcessesScreen)
        assert "needs" in picture(app) if size[0] < 60 else "gunicorn" in picture(app)


def test_what_several_have_is_told_once() -> None:
    service = FakeService()
    every = merged(service.pictures)
    (deadlock,) = [(f, rows) for f, rows in every if f.id == "deadlock"]
    assert [r.pid for r in deadlock[1]] == [11, 13]
    # What is over is told by each process, not of all.
    over = msgspec.structs.replace(
        fake.deadlock(), findings=tuple(msgspec.structs.replace(f, recent=True) for f in fake.deadlock().findings)
    )
    assert merged([(row(11, over), over)]) == []


def test_how_many() -> None:
    rows = FakeService().rows()
    assert of_how_many(rows[1:4:2], rows) == "2 of 4 workers (worker 11 11, worker 13 13)"
    assert of_how_many(rows[1:2], rows) == "worker 11 (11)"
    assert of_how_many(rows[:2], rows).startswith("2 of 5 processes")


def test_a_deadlock_across_processes_comes_first() -> None:
    service = FakeService()
    service.found = across.Found(circles=(((11, 1), (13, 1)),))
    tone, words = service.said()[0]
    assert tone == "error" and "deadlock across processes" in words and "worker 11 (11)" in words
