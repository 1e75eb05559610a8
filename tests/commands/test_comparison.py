"""What a comparison says, from made-up runs; and the command on stored recordings."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from running import ROOT, run
from test_text import TARGET, finding, snapshot

from capacity import WAITS
from concview.commands import _comparison
from concview.commands._fail_on import FailOn
from concview.commands._text_writer import Pen
from concview.commands._verdicts.base import Checked
from concview.compare.comparison import compare
from concview.compare.measure import LESS, MORE, Metric, Run
from concview.model import Severity, Where

RECORDINGS = ROOT / "tests" / "model" / "recordings"
WAITERS = Metric("locks", "self._lock (cache.py, get) waiters", "threads", LESS)
OUT = Metric("queues", "jobs out", "items/s", MORE)
THREADS = Metric("process", "threads", "threads")


def made_up(seed: int, waiters: float, out: float = 100.0, windows: int = 30, **more: object) -> Run:
    source = random.Random(seed)
    series: dict[Metric, list[float | None]] = {
        WAITERS: [max(0.0, source.gauss(waiters, 0.1)) for _ in range(windows)],
        OUT: [source.gauss(out, 2) for _ in range(windows)],
        THREADS: [8.0] * windows,
    }
    run = Run(f"{seed}", TARGET, "direct", 100.0, float(windows), 1.0, windows, "", series)
    for name, value in more.items():
        setattr(run, name, value)
    return run


def verdicts(base: list[Run], new: list[Run]) -> dict[str, str]:
    return {row.metric.name: row.verdict for row in compare(base, new).rows}


def test_runs_are_compared_with_runs() -> None:
    base = [made_up(i, 1.0) for i in range(6)]
    worse = [made_up(100 + i, 2.0, out=50) for i in range(6)]
    assert verdicts(base, worse) == {WAITERS.name: "worse", OUT.name: "worse", "threads": "~"}
    assert verdicts(worse, base) == {WAITERS.name: "better", OUT.name: "better", "threads": "~"}
    assert set(verdicts(base, [made_up(50 + i, 1.0) for i in range(6)]).values()) == {"~"}
    found = compare(base, worse)
    assert found.unit == "runs"
    row = next(r for r in found.rows if r.metric == WAITERS)
    assert row.base == pytest.approx(1, abs=0.1) and row.change == pytest.approx(1, abs=0.15)
    assert row.base_interval is not None and row.base_interval[0] <= row.base <= row.base_interval[1]
    assert [r.metric for r in found.worse(10)] == [WAITERS, OUT] and not found.worse(200)
    assert found.geomean("locks") == pytest.approx(2, rel=0.1)


def test_too_few_runs_are_said_to_be() -> None:
    found = compare([made_up(i, 1.0) for i in range(3)], [made_up(10 + i, 9.0) for i in range(3)])
    assert {r.verdict for r in found.rows} == {"~"} and all(r.base_interval is None for r in found.rows)
    assert any("n too small to ever be significant" in n and "4 a side" in n for n in found.notes)


def test_one_run_a_side_is_compared_in_time_and_says_so() -> None:
    found = compare([made_up(1, 1.0)], [made_up(2, 1.5, out=100)])
    assert found.unit == "time" and any("not whether the next ones will" in n for n in found.notes)
    assert verdicts([made_up(1, 1.0)], [made_up(2, 1.5)])[WAITERS.name] == "worse"
    short = compare([made_up(1, 1.0, windows=5)], [made_up(2, 9.0, windows=5)])
    assert {r.verdict for r in short.rows} == {"~"} and all(r.p is None for r in short.rows)
    assert any("too short to tell" in n for n in short.notes)


def test_a_lock_that_was_not_there_did_nothing() -> None:
    new = [made_up(10 + i, 1.0) for i in range(6)]
    for each in new:
        del each.series[WAITERS]
    row = next(r for r in compare([made_up(i, 1.0) for i in range(6)], new).rows if r.metric == WAITERS)
    assert (row.new, row.verdict) == (0.0, "better")


def test_findings_that_came_went_and_stayed() -> None:
    def at(rule: str, file: str = "/srv/cache.py", severity: Severity = Severity.WARN) -> object:
        return msgspec.structs.replace(finding(severity), id=rule, where=(Where(file, 3, "f"),))

    def having(*found: object) -> Run:
        judged = frozenset({"gone", "stays", "new"})
        return made_up(1, 1.0, findings={f.identity: f for f in found}, judged=judged)  # type: ignore[attr-defined]

    # The file lies elsewhere on the other machine, and its lines have moved.
    found = compare(
        [having(at("gone"), at("stays"), at("blind"))], [having(at("stays", "/ci/build/cache.py"), at("new"))]
    )
    assert [f.id for f in found.came] == ["new"] and [f.id for f in found.stayed] == ["stays"]
    assert [f.id for f in found.went] == ["gone"] and [f.id for f in found.unjudged] == ["blind"]
    pen = Pen(False, 100)
    _comparison.comparison_text(found, pen)
    assert "not judged any more: ▲ blind" in pen.text() and "came: ▲ new" in pen.text()


def test_what_does_not_match_is_said() -> None:
    other = msgspec.structs.replace(TARGET, python="3.14.0", command=("python", "other.py"), cpus=4.0)
    found = compare([made_up(1, 1)], [made_up(2, 1, target=other, engine="pyspy", rate_hz=50.0, seconds=100.0)])
    for words in (
        "other program",
        "other Python",
        "number of CPUs",
        "other engine",
        "other rate",
        "30 s against 100 s",
    ):
        assert any(words in note for note in found.notes), (words, found.notes)


# ---------------------------------------------------------------- the command


def test_the_command_on_recordings(tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        for i in range(2):
            shutil.copy(RECORDINGS / "version3.concview", tmp_path / name / f"{i}.concview")
    done = run("compare", tmp_path / "before", tmp_path / "after", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    out = json.loads(done.stdout)
    jsonschema.validate(out, json.loads((ROOT / "docs/schema/compare-1.json").read_text()))
    assert out["unit"] == "runs" and len(out["base"]) == 2
    assert {row["verdict"] for row in out["rows"]} == {"~"}
    waiters = next(
        r for r in out["rows"] if r["name"].startswith("lock (recorded.py") and r["name"].endswith("waiters")
    )
    assert waiters["base"] == waiters["new"] == pytest.approx(1, abs=0.05)
    for form in ("text", "md"):
        done = run("compare", RECORDINGS / "version3.concview", RECORDINGS / "version2.concview", "--format", form)
        words = " ".join(done.stdout.split())
        assert done.returncode == 0 and "too short to tell anything" in words and "PASSED: no finding came" in words


def test_what_can_never_be_significant_has_not_passed(tmp_path: Path) -> None:
    short = [RECORDINGS / "version3.concview", RECORDINGS / "version2.concview"]
    done = run("compare", *short, "--fail-worse", "20")
    assert done.returncode == 6
    assert "NO VERDICT: --fail-worse: too short to tell anything" in " ".join(done.stdout.split())
    few = compare([made_up(s, 1) for s in (1, 2, 3)], [made_up(s, 3) for s in (4, 5, 6)])
    assert "n too small to ever be significant" in few.untellable and few.untellable in few.notes
    assert not compare([made_up(s, 1) for s in range(4)], [made_up(s, 3) for s in range(4, 8)]).untellable
    assert not compare([made_up(1, 1)], [made_up(2, 1)]).untellable


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["{r}", "{r}"], 2, "as BASE and as NEW"),
        (["{r}", "/none"], 5, "no such file"),
        (["{r}", "{tmp}"], 5, "no recordings"),
        (["{r}", "{py}"], 5, "not a readable recording"),
        (["{r}", "{r2}", "--fail-worse", "x"], 2, "number of percent"),
        (["{r}", "{empty}"], 5, ""),
    ],
)
def test_what_cannot_be_compared(tmp_path: Path, arguments: list[str], code: int, word: str) -> None:
    empty = tmp_path / "empty.file"
    empty.touch()
    names = {
        "r": RECORDINGS / "version3.concview", "r2": RECORDINGS / "version2.concview", "tmp": tmp_path,
        "py": RECORDINGS / "recorded.py", "empty": empty,
    }  # fmt: skip
    done = run("compare", *[a.format(**names) for a in arguments])
    assert done.returncode == code and word in done.stderr and done.stdout == "", done


# ---------------------------------------------------------------- check --baseline


def test_what_the_baseline_has_fails_nothing() -> None:
    found = finding()
    moved = msgspec.structs.replace(found, where=(Where("/elsewhere/cache.py", 99, "Cache.get"),), subject="other")
    fresh = msgspec.structs.replace(found, id="deadlock")
    known = FailOn("warn", (), frozenset({found.place}))
    assert Checked((snapshot(findings=(found,)),)).failed
    assert not Checked((snapshot(findings=(moved,)),), known).failed
    assert Checked((snapshot(findings=(moved, fresh)),), known).failed
    assert "not in the baseline, which has 1" in Checked((snapshot(findings=(moved,)),), known).outcome()


def test_check_against_a_baseline() -> None:
    subject, baseline = RECORDINGS / "version3.concview", RECORDINGS / "version2.concview"
    done = run("check", subject, "--baseline", baseline, "--format", "json")
    out = json.loads(done.stdout)
    assert out["comparison"]["unit"] == "time" and out["comparison"]["rows"]
    assert [r["windows"] for r in (*out["comparison"]["base"], *out["comparison"]["new"])] == [3, 3]
    done = run("check", subject, "--baseline", "/none")
    assert done.returncode == 5 and "no such file" in done.stderr and done.stdout == ""


@pytest.mark.units(WAITS)
def test_a_process_against_a_baseline(tmp_path: Path) -> None:
    script = tmp_path / "rests.py"
    script.write_text("import time\ntime.sleep(600)\n")
    arguments = ["--baseline", RECORDINGS / "version3.concview", "--duration", 4, "--format", "json"]
    done = run("check", *arguments, "--output", "/dev/null", "--", script)
    out = json.loads(done.stdout)["comparison"]
    assert out["new"][0]["windows"] >= 3 and any("other program" in note for note in out["notes"])
