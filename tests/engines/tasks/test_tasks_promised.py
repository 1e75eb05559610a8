"""Who will set a future that was made by hand: tasks' names say it, and so must the stream."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import Row, Watch, watched

from concview.model import ThreadDef
from interpreters import Interpreter, target

SOURCE = (Path(__file__).parent / "promised.py").read_text()


#: Kinds of futures that `promised.py` makes.
KINDS = 16


def _who(watch: Watch, row: Row) -> str:
    """As in the tasks' names: KIND|WHO."""
    told = watch.told
    if row.state == "task":
        return f"task|{' '.join(sorted({told.tasks[t].name for t in row.awaits}))}"
    if row.state == "executor":
        names = [e.name for e in told.events if isinstance(e, ThreadDef) and e.tid == row.wait.tid]
        return f"executor|{names[-1] if names else '?'}"
    if row.state == "lock":
        shared = told.objects.get(row.wait.object)
        return f"lock|{' '.join(told.tasks[t].name for t in shared.holders) if shared is not None else '?'}"
    return f"{row.state}|{row.wait.kind if row.wait.via == 'ended' else ''}"


@pytest.mark.few
def test_who_sets_a_future(direct_python: Interpreter) -> None:
    with target(direct_python, SOURCE) as process, watched(process.pid) as watch:

        def found() -> set[tuple[str, str]]:
            """(name, as it is told)"""
            rows = [row for row in watch.told.tasks.values() if row.name.count("|") == 2]
            return {(row.name, _who(watch, row)) for row in rows}

        def right() -> bool:
            kinds = {row.name for row in watch.told.tasks.values() if row.name.count("|") == 2}
            return len(kinds) == KINDS and all(name.rpartition("|")[0] == told for name, told in found())

        try:
            watch.until(lambda: watch.told.complete and right())
        except AssertionError:
            assert not {f"{name}: told as {told}" for name, told in found() if name.rpartition("|")[0] != told}
            raise


@pytest.mark.some(12)
def test_a_task_that_failed_before_anybody_looked_is_told(direct_python: Interpreter) -> None:
    """From 3.14 on asyncio's lists have living tasks only."""
    if direct_python.version >= (3, 14):
        pytest.skip("NOT TESTED: tasks that have ended are not listed")
    with target(direct_python, SOURCE) as process, watched(process.pid) as watch:
        loops = watch.until(lambda: watch.told.loops and watch.told.loops.failures and watch.told.loops)
        assert [f.exception for f in loops.failures] == ["LookupError"]
        assert watch.told.definitions[loops.failures[0].task].name == "dead reader"
