"""What somebody sees and gets who looks for the first time: where Enter leads, whole words, nothing untrue."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import fake
import msgspec
import pytest
from rich.cells import cell_len
from rich.style import Style

from concview.tui.app import ConcviewApp
from concview.tui.screens import dashboard
from concview.tui.text_render import fit_place
from concview.tui.views.process import own_cost
from concview.tui.widgets.bars import Tabs
from concview.tui.widgets.header import second_line
from concview.tui.widgets.table import Table


@pytest.mark.parametrize("touched", [False, True])
async def test_enter_leads_to_the_first_finding(touched: bool) -> None:
    """It comes while the keyboard is with the threads; who chose a thread keeps it."""
    session = fake.FakeSession([fake.healthy(), fake.busy(10)])
    app = ConcviewApp(session)
    async with app.run_test(size=(100, 40)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready and board.focused is not None)
        assert board.focused.id == "threads"
        if touched:
            await pilot.press("down")
        session.advance()
        await fake.until(pilot, lambda: board.shown is session.snapshot())
        await fake.drawn(pilot)
        assert board.focused.id == ("threads" if touched else "findings")
        await pilot.press("enter")
        await fake.until(pilot, lambda: board.active == ("thread" if touched else "findings"))


async def test_views_are_made_before_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "PREPARE_S", 0.05)
    monkeypatch.setattr(dashboard, "PREPARE_EVERY_S", 0.01)
    app = ConcviewApp(fake.FakeSession([fake.busy(10)]))
    async with app.run_test(size=(100, 40)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: len(board.query_one("#views").children) == len(board.specs))
        await fake.drawn(pilot)
        assert [v.id for v in board.query_one("#views").children if v.display] == ["view-overview"]
        await pilot.press("4")
        await fake.until(pilot, lambda: board.active == "locks" and board.view.ready and board.focused is not None)
        await fake.until(pilot, lambda: bool(board.view.query_one(Table).rows))


def test_an_empty_table_says_nothing_before_it_is_known_to_be_empty() -> None:
    table: Table = Table((), str, empty="nothing fires")
    assert table.said == ""


async def test_why_a_table_is_empty_stays_with_new_data() -> None:
    session = fake.FakeSession([fake.healthy(), fake.healthy()])
    app = ConcviewApp(session)
    async with app.run_test(size=(100, 40)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready)
        await pilot.press("9")
        await fake.until(pilot, lambda: board.active == "queues" and board.view.snapshot is not None)
        for _ in range(3):
            session.advance()
            board.poll()
            await fake.drawn(pilot)
            assert "no queue.Queue" in board.view.grid.render_line(1).text


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (160, "Overview Threads Findings Locks Process Flame Inside Queues"),
        (80, "Overview Threads Finds ▲1 Locks Proc Flame Inside Queues"),
        (60, "Ove Thr Fin ▲1 Loc I/O Pro Fla Ins Que"),
    ],
)
async def test_titles_of_tabs(width: int, titles: str) -> None:
    app = ConcviewApp(fake.FakeSession([fake.deadlock()]))
    async with app.run_test(size=(width, 24)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready)
        await pilot.press("2")
        await fake.until(pilot, lambda: board.active == "threads" and board.view.ready)
        said = board.query_one(Tabs).render_line(0).text
        assert set(titles.split()) <= set(said.split()), said
        assert cell_len(said) == width


@pytest.mark.parametrize(
    ("said", "width", "shown"),
    [
        ("Cache.get (cache.py:41)", 30, "Cache.get (cache.py:41)       "),
        ("Cache.get (cache.py:41)", 18, "Cache.get (ca…:41)"),
        (
            "tcp 127.0.0.1:5432 (process x, pid 7) (cache_of_prices.py:41)",
            40,
            "tcp 127.0.0.1:5432 … (cache_of_pric…:41)",
        ),
        ("tcp 127.0.0.1:5432 (process x, pid 7) (cache.py:41)", 40, "tcp 127.0.0.1:5432 (proce… (cache.py:41)"),
        ("threading.py:1002", 13, "threadi…:1002"),
        ("threading.py:1002", 6, "threa…"),
        ("built in, a long name", 10, "built in,…"),
    ],
)
def test_a_line_number_is_never_cut(said: str, width: int, shown: str) -> None:
    assert fit_place(said, width) == shown


@pytest.mark.parametrize(
    ("width", "said"),
    [(120, "own cost 13.1 % (py-spy 11.0 of 15, else 2.1 of 5)"), (70, "own 13.1 % (py-spy 11.0)")],
)
def test_the_cost_of_py_spy_is_not_measured_against_the_budget(width: int, said: str) -> None:
    palette: Any = SimpleNamespace(bar=Style(), bar_dim=Style(), bar_bright=Style(bold=True))
    costs = {"own_cpu_percent": 13.1, "helper_cpu_percent": 11.0, "helper_limit_percent": 15.0}
    snapshot = msgspec.structs.replace(fake.busy(4), engine="pyspy", **costs)
    line = second_line(snapshot, width, palette)
    assert said in "".join(s.text for s in line)
    assert not any(s.style.bold for s in line if "py-spy" in s.text and s.style)
    assert "py-spy 11.0, which is held to 15" in own_cost(snapshot)


@pytest.mark.parametrize(
    ("width", "said"),
    [(120, "4 of 100 Hz (concview had no CPU 83 % of the time)"), (80, "4 of 100 Hz (no CPU 83 % of the time)")],
)
def test_why_samples_are_missing_on_a_full_machine(width: int, said: str) -> None:
    palette: Any = SimpleNamespace(bar=Style(), bar_dim=Style(), bar_bright=Style(bold=True))
    rates = {"rate_hz": 100.0, "target_hz": 100.0, "own_wait_percent": 83.0}
    starved = msgspec.structs.replace(fake.busy(4), achieved_hz=4.0, **rates)
    assert said in "".join(s.text for s in second_line(starved, width, palette))
    good = msgspec.structs.replace(fake.busy(4), achieved_hz=98.0, **rates)
    assert "CPU" not in "".join(s.text for s in second_line(good, width, palette))
