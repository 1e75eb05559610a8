"""Shares of tasks' time by state, against the diaries that the tasks keep themselves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tasks_helpers import watched

from capacity import CAPACITY
from concview.engines.direct.tasks import tracker
from interpreters import Interpreter, Process, target

SOURCE = (Path(__file__).parent / "diary.py").read_text()
SECONDS = 5.0
#: The mean error of all shares may be so large: 3 points.
MOST = 0.03


def page(process: Process) -> tuple[float, dict[str, dict[str, float]]]:
    assert process.popen.stdin is not None
    process.popen.stdin.write(b"\n")
    process.popen.stdin.flush()
    at, found = json.loads(process.line())
    return at, found


@pytest.mark.few
@pytest.mark.units(CAPACITY)
def test_shares_are_those_of_the_tasks_own_diaries(gil_python: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    # A few seconds must do here: as many looks as can be, which the budget would spread over a minute.
    monkeypatch.setattr(tracker, "SHARE", 1.0)
    monkeypatch.setattr(tracker, "LOOK_NS", 5_000_000)
    for _ in range(3):  # the diary counts as sleep what is waiting for the loop: on a full machine that is much
        error, late, worst = measured(gil_python)
        if error <= MOST + late:
            return
    raise AssertionError(
        f"shares are off by {100 * error:.1f} points on average ({late:.1%} without a CPU), most {worst}"
    )


def waited(*pids: int) -> int:
    """Nanoseconds for which the first threads of these processes waited for a CPU until now."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) for pid in pids)


def measured(python: Interpreter) -> tuple[float, float, list[tuple[float, str, str]]]:
    """(mean error, share of the time for which the target or we waited for a CPU, largest errors)."""
    with target(python, SOURCE) as process, watched(process.pid) as watch:
        told = watch.told
        watch.until(lambda: told.complete and sum("-" in r.name for r in told.tasks.values()) > 30)
        _, named = page(process)  # those that note what they do: on a full machine some are born late
        watch.until(lambda: {name for name in named if not name.startswith("Task-")} <= told.by_name().keys())
        watch.run(0.5)
        began, before, queued = *page(process), waited(process.pid, os.getpid())
        seconds = {row.name: dict(row.seconds) for row in told.tasks.values()}
        watch.run(SECONDS)
        ended, after = page(process)
        late = (waited(process.pid, os.getpid()) - queued) / 1e9 / (ended - began)
        errors: list[tuple[float, str, str]] = []
        for name, row in told.by_name().items():
            if name.startswith("Task-") or name not in after or name not in seconds:
                continue
            true = {s: (v - before.get(name, {}).get(s, 0.0)) / (ended - began) for s, v in after[name].items()}
            seen = {s: v - seconds[name].get(s, 0.0) for s, v in row.seconds.items()}
            whole = sum(seen.values())
            # Up to the last look; the target told its own a little later, on a full machine by what was waited for.
            assert abs(whole - (ended - began)) <= 1.0 + late * (ended - began), "shares sum to the time"
            # Ready to run: the diary has it where the wait was, mostly asleep.
            waits = seen.pop("ready", 0.0)
            for state in true.keys() | seen.keys():
                apart = seen.get(state, 0.0) / whole - true.get(state, 0.0)
                slack = waits / whole if apart < 0 else 0.0
                errors.append((max(0.0, abs(apart) - slack), name, state))
        assert len(errors) > 50
        return sum(e[0] for e in errors) / len(errors), late, sorted(errors)[-4:]
