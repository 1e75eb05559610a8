"""Costs of this machine: what is measured, how it is reckoned, and that the rules use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from concview.costs import constants
from concview.costs.constants import SHIPPED, CostTable
from concview.costs.measure import DESCRIBED, CannotMeasure, interval, measure, version_of
from interpreters import Interpreter


@pytest.mark.parametrize(
    ("n", "first", "last"),
    [(1, 1, 1), (5, 1, 5), (6, 1, 6), (8, 1, 8), (9, 2, 8), (15, 4, 12), (20, 6, 15), (30, 10, 21)],
)
def test_the_interval_is_the_one_of_the_sign_test(n: int, first: int, last: int) -> None:
    """As in tables of the confidence interval of a median by order statistics, 95 %."""
    assert interval([float(i) for i in range(1, n + 1)]) == (first, last)


@pytest.mark.python(8)
def test_every_version_is_measured(interpreter: Interpreter) -> None:
    """What needs no second process; the order of things is that of nature, the figures are the machine's."""
    found = dict(measure(interpreter.path, 3, ["call", "lock_free", "future", "thread", "task"]))
    failed = {name: why for name, why in found.items() if isinstance(why, str)}
    assert not failed
    seconds = {name: cost.cpu_s for name, cost in found.items() if not isinstance(cost, str)}
    assert 0 < seconds["call"] < seconds["future"]
    assert seconds["lock_free"] < seconds["thread"]
    assert (
        version_of(interpreter.path).rstrip("t")
        == f"{interpreter.version[0]}.{interpreter.version[1]}.{interpreter.micro}"
    )


def _concview(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "concview", "costs", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(home)},
        timeout=120,
        check=False,
    )


def test_what_was_measured_is_what_rules_reckon_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = _concview(tmp_path, "--rounds", "3", "--format", "json")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert {c["name"] for c in measured["costs"]} == set(DESCRIBED) and not measured["failed"]
    assert all(c["wall_low_s"] <= c["wall_s"] <= c["wall_high_s"] for c in measured["costs"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    table = constants.table(measured["python"])
    (thread,) = [c["cpu_s"] for c in measured["costs"] if c["name"] == "thread"]
    assert table["thread"] == thread and "measured on this machine" in table.source
    assert constants.table("3.99.0") == CostTable() and CostTable()["thread"] == SHIPPED["thread"]


def test_a_damaged_file_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = constants.cache_file("3.11.7")
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"schema": 1, "machine"')
    assert constants.table("3.11.7") == CostTable()


def test_what_is_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotMeasure, match="not a Python"):
        version_of("/bin/true")
    for wrong in (["--python", "/nowhere/python"], ["--only", "locks"], ["--rounds", "0"], ["--only", ""]):
        done = _concview(tmp_path, *wrong)
        assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr.startswith("concview: ")
