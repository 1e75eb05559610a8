"""Whatever tasks do, looking at them ends, says what it saw, and keeps to its bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from tasks_helpers import watched
from test_tasks_standing import GIL

from concview.model import Outcome
from concview.text import clean
from interpreters import Interpreter, target

SOURCE = (Path(__file__).parent / "hostile.py").read_text()
SOME = [i for i in GIL if i.version in ((3, 9), (3, 12), GIL[-1].version)]


@pytest.mark.parametrize("python", SOME, ids=[i.label for i in SOME])
def test_hostile_tasks(python: Interpreter) -> None:
    with target(python, SOURCE, "300") as process, watched(process.pid) as watch:
        told = watch.told

        def still() -> list[str]:
            return [row.function for row in told.tasks.values() if row.function in ("forever", "deep", "circle")]

        def right() -> None:
            assert len(still()) >= 307
            rows = list(told.tasks.values())
            assert all(row.name == clean(row.name) and len(row.name) <= 300 for row in rows)
            assert any("markup" in row.name for row in rows) and any("escape" in row.name for row in rows)
            deep = next(row for row in rows if row.function == "deep")
            assert deep.state == "sleep" and [f.function for f in deep.stack].count("deep") == 701
            assert next(row for row in rows if row.function == "circle").wait.via == "gather"
            # Most of the fifty at a time are gone before the next look; their number is known all the same.
            assert told.loops is not None and told.loops.unretrieved and told.loops.born > told.loops.seen
            assert {f.exception for f in told.loops.failures} == {"LookupError"}
            assert Outcome.FAILED in told.gone.values()
            # Another loop is made, run and closed all the time.
            assert 1 <= len(told.loops.loops) < 50

        watch.until_passes(right)
