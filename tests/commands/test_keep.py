"""The flight recorder: a file around a finding, one when asked, one when the process ends; the hook; bad input."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import CONCVIEW, one_line, run

from capacity import WAITS
from concview.commands._fail_on import FailOn
from concview.commands._keep import Trigger, condition, span, words_of
from concview.commands.base import CommandError
from concview.model import Confidence, Finding, Measured, Severity
from concview.snapshot import Snapshot, Status
from interpreters import current, target

pytestmark = pytest.mark.units(WAITS)

#: Begins to deadlock when it is told to.
PROGRAM = """
import sys, threading, time
first, second = threading.Lock(), threading.Lock()
both = threading.Barrier(2)
def take(own, other):
    with own:
        both.wait()
        with other:
            pass
print("ready", flush=True)
sys.stdin.readline()
for own, other in ((first, second), (second, first)):
    threading.Thread(target=take, args=(own, other), daemon=True).start()
sys.stdin.readline()
"""


def test_around_a_finding(tmp_path: Path) -> None:
    verdict = tmp_path / "verdict.json"
    hook = tmp_path / "hook.py"
    hook.write_text(
        "import os, sys\n"
        f"name = {str(verdict)!r}\n"
        "open(name + '.part', 'w').write(sys.stdin.read())\n"
        "open(name + '.env', 'w').write(os.environ['CONCVIEW_FINDING'] + ' ' + os.environ['CONCVIEW_FILE'])\n"
        "os.rename(name + '.part', name)\n"
    )
    with target(current(), PROGRAM) as process:
        recorder = subprocess.Popen(
            [*CONCVIEW, "record", str(process.pid), "--keep", "12s", "-o", str(tmp_path / "x.concview"), "--when",
             "deadlock", "--on-finding", f"{sys.executable} {hook}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert recorder.stderr is not None
            assert "keeping the last 12.0 s" in recorder.stderr.readline()
            os.kill(recorder.pid, signal.SIGUSR1)
            assert "as asked" in recorder.stderr.readline()
            process.send("now")
            said = recorder.stderr.readline()
            assert said.startswith("concview: deadlock: the last "), said
            deadline = time.monotonic() + 60
            while not verdict.exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send("end")
            assert "exited" in recorder.stderr.readline()
            assert "3 files written" in recorder.stderr.readline()
            assert recorder.wait(30) == 0
        finally:
            recorder.kill()
            recorder.communicate()
    told = json.loads(verdict.read_text())
    assert [f["id"] for f in told["findings"]] == ["deadlock"] and told["schema"] == 1
    finding, _, file = Path(f"{verdict}.env").read_text().partition(" ")
    assert finding == "deadlock" and Path(file).parent == tmp_path
    again = run("check", file, "--format", "json")
    assert again.returncode == 1, again.stderr
    assert [f["id"] for f in json.loads(again.stdout)["findings"]] == ["deadlock"]
    assert len(list(tmp_path.glob("x-*.concview"))) == 3


def test_bad_input(tmp_path: Path) -> None:
    out = str(tmp_path / "x")
    one_line(run("record", os.getpid(), "-o", out, "--keep", "soon"), 2, "--keep", "soon")
    one_line(run("record", os.getpid(), "-o", out, "--when", "deadlock"), 2, "--when: only with --keep")
    one_line(run("record", os.getpid(), "-o", out, "--keep", "1m", "--when", "nosuch"), 2, "--when: no such rule")
    one_line(run("record", os.getpid(), "-o", out, "--keep", "1m", "--on-finding", "'"), 2, "--on-finding")
    for shell in ("cat >> log", "cat | mail root", "mail root; date", "notify $CONCVIEW_FILE"):
        refused = run("record", os.getpid(), "-o", out, "--keep", "1m", "--on-finding", shell)
        assert refused.returncode == 2 and "sh -c" in refused.stderr
    one_line(run("record", os.getpid(), "-o", "/nowhere/x", "--keep", "1m"), 74, "/nowhere")


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("10m", 600), ("1h", 3600), ("90", 90), ("1.5m", 90)])
def test_spans(text: str, seconds: float) -> None:
    assert span(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1m", "2h", "3s", "nan", "10d"])
def test_no_spans(text: str) -> None:
    with pytest.raises(CommandError):
        span(text)


def test_which_findings_count() -> None:
    assert condition([]) == FailOn()
    only = condition(["lock-*"])
    assert only.level == "never" and only.rules == (("lock-*", "info"),)


def _seen(*ids: str) -> dict[int, Snapshot]:
    measured = Measured("", 1, 1, 1, "")
    found = tuple(Finding(i, "", Severity.WARN, 90, Confidence.EXACT, "", "", "", "", measured) for i in ids)
    return {1: Snapshot(Status.LIVE, findings=found)}


def test_one_file_for_what_comes_together_and_none_too_soon() -> None:
    trigger = Trigger(FailOn(), after_s=5, apart_s=30)
    trigger.look(_seen("a"), 100)
    assert trigger.due(101) == ""
    trigger.look(_seen("a", "b"), 103)
    assert trigger.due(105) == "a, b"
    assert trigger.due(106) == ""
    trigger.look(_seen("a", "b"), 150)  # still there: no new one
    assert trigger.due(160) == ""
    trigger.look(_seen(), 161)
    trigger.look(_seen("a"), 162)
    assert trigger.due(167) == "a"
    trigger.look(_seen("a", "c"), 170)  # too soon after the last file
    assert (trigger.due(180), trigger.skipped) == ("", 1)
    trigger.look(_seen("d"), 300)
    assert trigger.due(301, ending=True) == "d"


@pytest.mark.parametrize(
    "command",
    ["note 'a > b'", 'note "<" x', "note '|' '&&' ';'", r"note \> x", "note '$HOME'", "note 'it; is'", "note ''"],
)
def test_what_is_quoted_is_for_no_shell(command: str) -> None:
    assert words_of(command) == shlex.split(command)


@pytest.mark.parametrize(
    "command", ["note a > b", "note a | b", "a 'b' && c", 'note "$HOME/x"', "note $HOME", "note 'a > b' > c", "a b; c"]
)
def test_what_a_shell_would_do_is_refused(command: str) -> None:
    with pytest.raises(CommandError, match="no shell runs it"):
        words_of(command)
