"""Threads by pool, and what a filter can ask."""

from __future__ import annotations

from typing import Any

import fake
import pytest
from group_keys import CHECKS
from textual.pilot import Pilot

from concview.model import State
from concview.snapshot import ThreadView
from concview.text import pool
from concview.tui.app import ConcviewApp
from concview.tui.keys import KEYS
from concview.tui.search import matcher
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.groups import Groups
from concview.tui.widgets.threads import FIELDS, haystack


async def _threads(pilot: Pilot[Any]) -> Any:
    board: Any = pilot.app.screen
    board.show_view("threads")
    await fake.until(pilot, lambda: board.active == "threads" and board.view.ready and bool(board.view.grid.rows))
    await fake.drawn(pilot)
    return board.view


@pytest.mark.parametrize(("key", "stroke"), [(k.id, s) for k in KEYS if k.id in CHECKS for s in k.keys.split(",")])
async def test_key(key: str, stroke: str) -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]))
    async with app.run_test(size=(120, 40)) as pilot:
        await fake.until(pilot, lambda: app.screen.view.ready)  # type: ignore[attr-defined]

        async def press() -> None:
            await pilot.press(stroke)
            await fake.drawn(pilot)

        await CHECKS[key](pilot, press)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("worker-3", "worker-*"),
        ("ThreadPoolExecutor-0_11", "ThreadPoolExecutor-0_*"),
        ("asyncio_2", "asyncio_*"),
        ("Thread-7 (serve)", "Thread-* (serve)"),
        ("worker12", "worker*"),
        ("ThreadPoolExecutor-0_12", "ThreadPoolExecutor-0_*"),
        ("AnyIO worker thread", "AnyIO worker thread"),
        ("MainThread", "MainThread"),
        ("", ""),
        *((name, pool(name)) for name in fake.HOSTILE),
    ],
)
def test_pool_of_a_name(name: str, expected: str) -> None:
    assert pool(name) == expected


def test_a_group_adds_up_its_threads() -> None:
    threads = list(fake.busy(20).threads)
    workers = [t for t in threads if t.name.startswith("worker")]
    groups = Groups()
    rows = groups.arrange(threads, None, False)
    head = next(t for t in rows if t.tid < 0)
    assert head.cpu_percent == pytest.approx(sum(t.cpu_percent or 0 for t in workers))
    assert head.switches_per_s == pytest.approx(sum(t.switches_per_s or 0 for t in workers))
    assert sum(head.shares) == pytest.approx(1)
    assert head.shares[State.LOCK] == pytest.approx(sum(t.shares[State.LOCK] for t in workers) / len(workers))
    assert head.reason.startswith("20 threads: ") and " lock, " in head.reason
    at = rows.index(head)
    assert [t.tid for t in rows[at + 1 : at + 21]] == [t.tid for t in workers]
    groups.toggle("worker-*")
    folded = groups.arrange(threads, None, False)
    assert len(folded) == len(threads) - 20 + 1 and folded[at].name == "▸ worker-*"
    groups.open_for(workers[3].tid, threads)
    assert len(groups.arrange(threads, None, False)) == len(rows)


def test_groups_are_sorted_like_their_lines() -> None:
    def by(thread: ThreadView) -> float:
        return thread.cpu_percent or 0.0

    rows = Groups().arrange(sorted(fake.busy(20).threads, key=by, reverse=True), by, True)
    heads = [t for t in rows if not t.name.startswith("  ")]
    placed = [(not t.alive, -by(t)) for t in heads]
    assert placed == sorted(placed) and not heads[-1].alive
    inner = [by(t) for t in rows if t.name.startswith("  ")]
    assert len(inner) == 20 and inner == sorted(inner, reverse=True)


async def test_many_threads_are_grouped_without_being_asked() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(60), fake.busy(60, tick=1)]))
    async with app.run_test(size=(120, 40)) as pilot:
        view = await _threads(pilot)
        grid = view.grid
        assert "▾ worker-*" in [t.name for t in grid.rows]
        grid.move_to(next(i for i, t in enumerate(grid.rows) if t.tid < 0))
        await pilot.press("enter")
        await fake.drawn(pilot)
        assert "▸ worker-*" in [t.name for t in grid.rows] and len(grid.rows) < 10
        assert grid.current.tid < 0, "the selection stays on the group"
        pilot.app.screen.session.advance()  # type: ignore[attr-defined]
        await fake.drawn(pilot)
        assert len(grid.rows) < 10, "new data do not open it"
        await pilot.press("slash", *"worker-1")
        await fake.drawn(pilot)
        await pilot.press("enter", "down")
        assert "  worker-1" in [t.name for t in grid.rows], "what a filter leaves is seen"
        await pilot.press("escape", "f", "f")
        await fake.drawn(pilot)
        assert [t.name[:1] for t in grid.rows if t.tid < 0] == ["▸"]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("tid 1\\b", set()),
        ("GRPC", {"grpc_poller"}),
        ("state:idle", {t.name for t in fake.busy(12).threads if t.alive and t.state is State.IDLE}),
        ("name:r-1 state:lock", {"worker-1", "worker-10", "worker-11"}),
        ("~\\bworker-[01]\\b 4", {"worker-0", "worker-1"}),
        ("~^(main|grpc)", {"MainThread", "grpc_poller"}),
        ("in:_bootstrap name:r-7", {"worker-7"}),
    ],
)
def test_what_a_filter_leaves(typed: str, names: set[str]) -> None:
    ask, wrong = matcher(typed, haystack, FIELDS)
    assert ask is not None and not wrong
    assert {t.name for t in fake.busy(12).threads if ask(t)} == names


@pytest.mark.parametrize("typed", ["~(", "~" + "a" * 200])
def test_a_pattern_that_is_wrong_says_so_and_hides_nothing(typed: str) -> None:
    ask, wrong = matcher(typed, str, {})
    assert ask is None and wrong


async def test_a_wrong_pattern_is_shown() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(12)]))
    async with app.run_test(size=(120, 40)) as pilot:
        view = await _threads(pilot)
        await pilot.press("slash", "~", "(")
        await fake.drawn(pilot)
        assert len(view.grid.rows) == 15
        assert "pattern" in view.query_one(FilterBar).query_one("#filter-count").word
