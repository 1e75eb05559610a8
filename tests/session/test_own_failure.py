"""A session whose own part fails ends, and says so: whoever waits for it must not wait for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from concview.session import FileSource, Session
from concview.snapshot import Status

RECORDING = Path(__file__).parents[1] / "model" / "recordings" / "version3.concview"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("which", ["_follow", "_evaluate"])
def test_it_ends_and_says_so(monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise StopIteration("nothing left")

    source = FileSource(RECORDING, 0.0)
    source.hold(True)
    session = Session(source)
    session.start()
    monkeypatch.setattr(session, which, fails)
    source.hold(False)
    session.wait(1e9)  # without an end of it
    snapshot = session.snapshot()
    assert session.ended and snapshot.status is Status.LOST
    assert "StopIteration: nothing left" in snapshot.ending and "concview's own" in snapshot.ending
    session.close()
