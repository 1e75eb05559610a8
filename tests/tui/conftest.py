"""No key that a test presses reaches the clipboard of whoever runs the tests; which tabs are seen in pictures."""

from __future__ import annotations

import fake
import pytest

from concview.tui.screens.dashboard import Dashboard


@pytest.fixture(autouse=True)
def _nobody_takes_text(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX", "STY", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture(autouse=True)
def _tabs_of_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view that is new has its tab in its own pictures, and changes nobody else's."""
    if "snapshot" in request.fixturenames:
        whole = Dashboard._tabs
        monkeypatch.setattr(
            Dashboard, "_tabs", lambda self: [s for s in whole(self) if s.id in fake.PICTURED or s.id == self.active]
        )
