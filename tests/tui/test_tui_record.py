"""The key that saves the minutes in memory as a recording."""

from __future__ import annotations

from pathlib import Path

import fake
import pytest

from concview.tui.app import ConcviewApp


class Recordable(fake.FakeSession):
    """Saves nothing but a mark, or fails."""

    error: Exception | None = None

    def save(self, path: Path, seconds: float | None = None) -> float:
        with path.open("x") as file:
            if self.error is not None:
                path.unlink()
                raise self.error
            file.write("kept")
        return 90.0


def _said(app: ConcviewApp) -> str:
    return " ".join(str(n.message) for n in app._notifications)


async def test_it_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session = Recordable()
    app = ConcviewApp(session)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("E")
        await fake.until(pilot, lambda: len(list(tmp_path.iterdir())) == 1)
        await pilot.press("E")
        await fake.until(pilot, lambda: len(list(tmp_path.iterdir())) == 2)
        await fake.until(pilot, lambda: _said(app).count("saved the last 1 min 30 s") == 2)
        session.error = OSError(28, "No space left on device")
        await pilot.press("E")
        await fake.until(pilot, lambda: "could not save: No space left on device" in _said(app))
    names = sorted(p.name for p in tmp_path.iterdir())
    assert [n.rpartition("-")[2] for n in names] == ["1.concview", "2.concview"]


async def test_a_recording_is_one_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = ConcviewApp(Recordable(live=False))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("E")
        await fake.until(pilot, lambda: "recording already" in _said(app))
    assert list(tmp_path.iterdir()) == []
