"""The source beside the flame graph: the time of every line, and only a file that is the one that ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake
import msgspec
import pytest
from flame_fake import CallSession
from rich.cells import cell_len

from concview.analysis.calltree import Entry
from concview.model import Frame
from concview.snapshot import Snapshot
from concview.tui.app import ConcviewApp
from concview.tui.theme import palette_of
from concview.tui.widgets.page import Page
from concview.tui.widgets.sourcelines import believed, source_lines, times_of
from concview.tui.widgets.threads import fit_reason

FILE = "x.py"
SOURCE = ["import os", "", "def work():", "    first()", "    second(\x1b)", "    return", ""]


def _entry(line: int, ns: int, text: str, function: str = "work") -> Entry:
    return Entry((function, FILE, line), Frame(function, FILE, line, text), 0, ns)


ENTRIES = [
    _entry(4, 3_000_000_000, "first()"),
    _entry(5, 1_000_000_000, "second(\\x1b)"),
    _entry(1, 9_000_000_000, "import os", "other"),
]


async def _said(source: list[str], entries: list[Entry] = ENTRIES, width: int = 60) -> tuple[list[str], int]:
    app = ConcviewApp(fake.FakeSession())
    async with app.run_test():
        times = times_of(entries, ("work", FILE, 0))
        lines, hottest = source_lines(times, source, 10.0, width, palette_of(app.screen))
    said = ["".join(s.text for s in line) for line in lines]
    assert all(cell_len(line) <= width for line in said)
    return said, hottest


async def test_every_line_with_its_time() -> None:
    said, hottest = await _said(SOURCE)
    assert len(said) == 7 and "first()" in said[hottest]
    assert said[hottest].startswith("██████   300  75 %    4     first()")
    assert "100  25 %    5     second(\\x1b)" in said[hottest + 1], "what is in a file is made safe"
    assert said[2].strip() == "3 def work():"


@pytest.mark.parametrize("source", [[], ["something", "else"], [*SOURCE[:3], "    changed()", *SOURCE[4:]]])
async def test_a_file_that_is_not_the_one_that_ran_is_not_shown(source: list[str]) -> None:
    assert not believed(times_of(ENTRIES, ("work", FILE, 0)), source)
    said, _ = await _said(source)
    assert "only lines that were sampled" in " ".join(said) and "changed()" not in " ".join(said)
    assert any("first()" in line for line in said) and not any("def work" in line for line in said)


async def test_nothing_was_seen() -> None:
    assert "no line of this call was seen" in (await _said(SOURCE, []))[0][0]


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=str)
async def test_in_the_flame_view(size: tuple[int, int], tmp_path: Path) -> None:
    file = tmp_path / "cache.py"
    file.write_text("\n" * 39 + "    def get(self):\n        with self._lock:\n            pass\n")

    def moved(snapshot: Snapshot) -> Snapshot:
        """The same threads, in a file that there is."""
        threads = []
        for thread in snapshot.threads:
            frames = tuple(
                msgspec.structs.replace(f, file=str(file), line=41, text="with self._lock:") if "cache" in f.file else f
                for f in thread.stack.frames
            )
            threads.append(msgspec.structs.replace(thread, stack=type(thread.stack)(frames)))
        target = msgspec.structs.replace(snapshot.target, started=4e9)  # type: ignore[type-var]
        return msgspec.structs.replace(snapshot, threads=tuple(threads), target=target)

    session = CallSession([moved(fake.busy(20))])
    session.live = False
    app = ConcviewApp(session)
    async with app.run_test(size=size) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready)
        board.show_view("flame")
        await fake.until(pilot, lambda: board.view.ready and bool(board.view.graph.rows))
        await pilot.press("v")
        await fake.until(pilot, lambda: bool(board.view.lines))
        page = board.view.query_one("#lines", Page)
        for _ in range(12):
            if "with self._lock:" in "\n".join(page.as_text()):
                break
            await pilot.press("j")
            await fake.drawn(pilot)
        said = "\n".join(page.as_text())
        assert "def get(self):" in said and "100 %   41         with self._lock:" in said
        assert page.size.width >= 30 and page.size.height >= 6
        await pilot.press("v")
        await fake.drawn(pilot)
        assert not page.display or not page.size


# ---------------------------------------------------------------- who holds it is never cut


@pytest.mark.parametrize("width", [18, 24, 30, 40, 60, 100])
@pytest.mark.parametrize("holder", ["worker-3", "MainThread"])
def test_the_holder_is_never_cut(width: int, holder: str) -> None:
    reason = f"waits for self._registry_of_connections_lock (cache.py:41), held by {holder}"
    said = fit_reason(reason, width)
    assert cell_len(said) == width and said.rstrip().endswith(holder)


async def test_the_holder_is_on_screen_at_80_columns() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]))
    async with app.run_test(size=(80, 24)) as pilot:
        board: Any = app.screen
        for view in ("overview", "threads"):
            board.show_view(view)
            await fake.until(pilot, lambda: board.active == view and board.view.ready)  # noqa: B023
            await fake.drawn(pilot)
            screen = app.export_screenshot(simplify=True).replace("&#160;", " ")
            assert "by worker-3" in screen, view
