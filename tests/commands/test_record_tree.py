"""`record --tree` for real: a master with its workers in one file, and what reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from running import one_line, run
from test_check_tree import MASTER

from interpreters import current, target
from waiting import given_time


def test_a_master_with_its_workers(tmp_path: Path) -> None:
    file = tmp_path / "tree.concview"
    with target(current(), MASTER) as process:
        master, first, fine, second = map(int, process.line().split())

        def recorded(seconds: float) -> set[int]:
            done = run("record", "--tree", master, "-o", file, "--duration", seconds, "--force")
            assert done.returncode == 0 and "4 processes" in done.stderr, done
            found = run("check", file, "--format", "json")
            said: Any = json.loads(found.stdout)
            assert found.returncode == 1
            parts = {p["pid"]: p for p in said["processes"]}
            assert set(parts) == {master, first, fine, second}
            assert {p["parent"] for p in parts.values()} == {0, master}
            (deadlock,) = [f for f in said["findings"] if f["id"] == "deadlock"]
            assert sorted(deadlock["pids"]) == sorted((first, second))
            # The master waits for its child, also in a recording.
            across = [(e["waiter"]["pid"], e["holder"]["pid"], e["via"]) for e in said["across"]]
            assert across == [(master, first, "child")]
            return set(parts)

        parts = given_time(recorded, 4, 8, 16)

    alone: Any = json.loads(run("check", file, "--process", fine, "--format", "json").stdout)
    assert alone["target"]["pid"] == fine and not [f for f in alone["findings"] if f["id"] == "deadlock"]
    text = run("report", file).stdout
    assert "Stuck" in text and "of 4 processes" in text and str(fine) in text
    report: Any = json.loads(run("report", file, "--format", "json").stdout)
    assert {p["pid"] for p in report["check"]["processes"]} == parts
    lines = tmp_path / "lines"
    assert run("export", file, "-o", lines, "--format", "collapsed").returncode == 0
    assert {line.partition(")")[0].rpartition("(")[2] for line in lines.read_text().splitlines()} == {
        str(pid) for pid in parts
    }

    # What needs one process says which there are.
    one_line(run("export", file, "-o", tmp_path / "x.html", "--format", "html"), 2, "--process PID", str(fine))
    one_line(run("check", file, "--process", 1), 2, "no process 1", str(fine))
    one_line(run("record", "--tree", master, "-o", file), 4, "no process")


def test_bad_input(tmp_path: Path) -> None:
    one_line(run("record", "--tree", 2**22 + 7, "-o", tmp_path / "x"), 4, "no process")
    one_line(run("record", "1", "x", "-o", tmp_path / "x"), 2, "not a process id")
    one_line(run("check", "--process", "1", "--", "true"), 2, "--process")
    assert not (tmp_path / "x").exists()
