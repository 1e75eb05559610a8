"""Pythons older than the direct engine reads: `auto` takes py-spy, and says why."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from capacity import WAITS
from concview.session import LiveSource, Session
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

SOURCE = """
import threading, time
def naps():
    while True:
        time.sleep(0.01)
thread = threading.Thread(target=naps, name="napper")
thread.daemon = True
thread.start()
print("ready")
time.sleep(1000)
"""


def older() -> list[Interpreter]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [(path, path.parts[-3].split(".")) for path in sorted(root.glob("3.7.*/bin/python3"))]
    return [Interpreter(str(path), (int(number[0]), int(number[1])), int(number[2]), False) for path, number in found]


@pytest.mark.parametrize(
    "python", older() or [pytest.param(None, marks=pytest.mark.skip(reason="NOT TESTED: no Python 3.7 found"))]
)
def test_auto_takes_py_spy(python: Interpreter) -> None:
    with target(python, SOURCE) as process:
        session = Session(LiveSource(process.pid, "auto", 100.0, 20.0), rules={})
        session.start()
        try:

            def napper() -> bool:
                now = {t.name: t.current for t in session.history.threads.values()}.get("napper")
                return now is not None and any(frame.function == "naps" for frame in now.stack.frames)

            deadline = time.monotonic() + 60
            while not napper():
                assert time.monotonic() < deadline, "no stack of its thread is told"
                time.sleep(0.05)
            snapshot = session.snapshot()
            assert session.history.hello is not None and session.history.hello.engine == "pyspy"
            assert any("3.8 to 3.15" in notice.text for notice in session.history.notices)
            assert not snapshot.capabilities["held-locks"].available
        finally:
            session.close()
