"""The healthy programs run and end with all they started."""

from __future__ import annotations

import ast
import signal
import time
from pathlib import Path

import pytest

from capacity import WAITS
from interpreters import Interpreter, interpreters, target

pytestmark = pytest.mark.units(WAITS)

PROGRAMS = sorted(p for p in Path(__file__).parent.glob("*.py") if not p.name.startswith(("_", "test_")))


def _alive(session: int) -> bool:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            return True
    return False


@pytest.mark.parametrize("python", dict.fromkeys((interpreters()[0], interpreters()[-1])), ids=lambda i: i.label)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_runs_and_ends(python: Interpreter, program: Path) -> None:
    """On the oldest and the newest Python."""
    with target(python, program) as process:
        time.sleep(0.5)
        assert process.popen.poll() is None, process.errors()
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(30) == 0, process.errors()
        deadline = time.monotonic() + 30
        while _alive(process.pid):
            assert time.monotonic() < deadline, "something is left"
            time.sleep(0.05)
        assert process.errors() == "standard error: "


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_says_what_it_is(program: Path) -> None:
    assert ast.get_docstring(ast.parse(program.read_text("utf-8")))
