"""The forms of the verdict that other tools read: each by its real reader, with hostile names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import junitparser
import msgspec
import pytest
from markdown_it import MarkdownIt
from running import Terminal, run
from test_text import finding, snapshot, thread

from capacity import WAITS
from concview import registry
from concview.commands import _fail_on
from concview.commands._text_writer import Pen
from concview.commands._verdicts import github, junit, md, sarif, text
from concview.commands._verdicts import json as as_json
from concview.commands._verdicts.base import Checked
from concview.commands.base import CommandError
from concview.commands.check import FORMATS
from concview.model import Finding, NotApplicable, Pending, Severity, Where
from concview.snapshot import Blame, Snapshot

#: What a target's names may hold once they are clean: no control characters, but everything else.
HOSTILE = "<b>&\"'`|*_[x](y)%0A::error::,:é\u2028\U0001f512\ufffe```" + "n" * 300
NOT_JUDGED = (
    NotApplicable("retry-storm", "no agent is inside the target", "--agent"),
    NotApplicable("task-leak", "no agent is inside the target", "--agent"),
)
BLAME = Blame(
    10, 1, 1, 0, 1, 0, 0, 0, 0, verdict="held up", severity=Severity.WARN, rule="lock-contention",
    sentence=f"Held up by {HOSTILE}.",
)  # fmt: skip


def hostile(severity: Severity = Severity.WARN, rule: str = "lock-contention") -> Finding:
    where = (Where(f"/srv/{HOSTILE}.py", 0, HOSTILE), Where(str(Path.cwd() / "src" / "a b.py"), 7, "f"))
    return msgspec.structs.replace(finding(severity), id=rule, title=HOSTILE, summary=HOSTILE, where=where)


def seen(*findings: Finding) -> Snapshot:
    return snapshot(
        thread(1),
        findings=findings,
        clear=("deadlock", "gc-storm"),
        pending=(Pending("thread-leak", "20 s more"),),
        not_applicable=NOT_JUDGED,
        blame=BLAME,
    )


def test_every_format_is_a_file_and_offered() -> None:
    assert sorted(FORMATS) == sorted(registry.names("concview.commands._verdicts"))
    for form in FORMATS:
        written = registry.load("concview.commands._verdicts", form, "VERDICT").write(Checked((seen(hostile()),)))
        assert written.endswith("\n") and "lock-contention" in written


# ---------------------------------------------------------------- what fails


@pytest.mark.parametrize("recent", [False, True])
@pytest.mark.parametrize(
    ("words", "severity", "fails"),
    [
        ([], Severity.WARN, True),
        ([], Severity.INFO, False),
        (["info"], Severity.INFO, True),
        (["never"], Severity.WARN, False),
        (["never,lock-*=warn"], Severity.WARN, True),
        (["lock-contention=never"], Severity.WARN, False),
        (["lock-*=never", "lock-contention=info"], Severity.INFO, True),
        (["lock-contention=info", "lock-*=never"], Severity.WARN, False),
        (["deadlock=never"], Severity.WARN, True),
    ],
)
def test_fail_on(words: list[str], severity: Severity, fails: bool, recent: bool) -> None:
    checked = Checked((snapshot(findings=(finding(severity, recent),)),), _fail_on.parse(words))
    assert checked.failed is fails and [r.fails for r in checked.findings] == [fails]


@pytest.mark.parametrize("word", ["", "bad", "no-such-rule=warn", "deadlock=", "deadlock=bad", "x-*=info"])
def test_what_fail_on_refuses(word: str) -> None:
    with pytest.raises(CommandError) as caught:
        _fail_on.parse([word])
    assert caught.value.code == 2 and caught.value.remedy


def test_findings_of_several_runs_are_one_each() -> None:
    moved = msgspec.structs.replace(hostile(), subject="0x7f00", score=95)
    checked = Checked((seen(hostile()), seen(), seen(moved, hostile(Severity.INFO, "thread-churn"))))
    first, second = checked.findings
    assert (first.finding.score, first.runs, first.fails) == (95, (1, 3), True)
    assert (second.finding.id, second.runs, second.fails) == ("thread-churn", (3,), False)
    assert checked.counted() == "1 warning, 1 info"


# ---------------------------------------------------------------- readers


def test_junit_is_read_by_junitparser() -> None:
    low = hostile(Severity.INFO, "thread-churn")
    twice = msgspec.structs.replace(hostile(), subject="another lock")
    (suite,) = junitparser.JUnitXml.fromstring(junit.write(Checked((seen(hostile(), twice, low),))).encode())
    cases = {case.name: case for case in suite}
    assert (suite.tests, suite.failures, suite.skipped, suite.errors) == (8, 2, 3, 0)
    for name in ("lock-contention", "lock-contention another lock"):
        (result,) = cases[name].result
        assert isinstance(result, junitparser.Failure)
        assert result.message == HOSTILE.replace("\ufffe", "\ufffd") and "fix: Hold it" in result.text
    assert cases["deadlock"].is_passed and cases["thread-churn"].is_passed
    assert cases["thread-leak"].is_skipped and "20 s more" in cases["thread-leak"].result[0].message
    assert cases["task-leak"].is_skipped and "--agent" in cases["task-leak"].result[0].message


def test_junit_has_a_suite_for_every_run_and_an_error_for_one_that_was_not_seen() -> None:
    written = junit.write(Checked((seen(hostile()), seen()), missed=("run 3 of 3: it ended",)))
    suites = list(junitparser.JUnitXml.fromstring(written.encode()))
    assert [s.failures for s in suites] == [1, 0, 0] and [s.errors for s in suites] == [0, 0, 1]


def test_sarif_is_read_by_sarif_tools(tmp_path: Path) -> None:
    pytest.importorskip("sarif", reason="sarif-tools is not installed: NOT TESTED that it reads our SARIF")
    file = tmp_path / "out.sarif"
    low = hostile(Severity.INFO, "thread-churn")
    file.write_text(sarif.write(Checked((seen(hostile(), low),))))
    command = [sys.executable, "-m", "sarif", "summary", str(file)]
    summary = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.search(r"error: 1\b", summary) and re.search(r"note: 1\b", summary), summary
    listed = tmp_path / "out.csv"
    subprocess.run([sys.executable, "-m", "sarif", "csv", str(file), "-o", str(listed)], check=True, timeout=60)
    assert "lock-contention" in listed.read_text(encoding="utf-8-sig") and "thread-churn" in listed.read_text()
    for check, code in (("error", 1), ("warning", 1)):
        done = subprocess.run([sys.executable, "-m", "sarif", "--check", check, "summary", str(file)], timeout=60)
        assert done.returncode == code
    file.write_text(sarif.write(Checked((seen(),))))
    done = subprocess.run([sys.executable, "-m", "sarif", "--check", "note", "summary", str(file)], timeout=60)
    assert done.returncode == 0


def test_sarif_names_places_as_code_scanning_wants_them() -> None:
    (log,) = json.loads(sarif.write(Checked((seen(hostile()),))))["runs"]
    (result,) = log["results"]
    (place,) = result["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"].startswith("file:///srv/%3Cb%3E")
    assert place["physicalLocation"]["region"] == {"startLine": 1}
    related = result["relatedLocations"][0]["physicalLocation"]
    assert related["artifactLocation"] == {"uri": "src/a%20b.py", "uriBaseId": "SRCROOT"}
    assert log["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "lock-contention"
    said = [n["message"]["text"] for n in log["invocations"][0]["toolExecutionNotifications"]]
    assert any("task-leak was not judged" in s for s in said)
    moved = msgspec.structs.replace(hostile(), where=(msgspec.structs.replace(hostile().where[0], line=99),))
    (again,) = json.loads(sarif.write(Checked((seen(moved),))))["runs"][0]["results"]
    assert again["partialFingerprints"] == result["partialFingerprints"]


def test_github_has_one_command_a_line_and_nothing_of_the_target_is_one() -> None:
    lines = github.write(Checked((seen(hostile(), hostile(Severity.INFO, "thread-churn")),))).rstrip("\n").split("\n")
    commands = [line for line in lines if line.startswith("::")]
    assert [c.split(" ")[0] for c in commands] == ["::error", "::notice", "::notice"]
    assert all(re.match(r"::\w+ [^\n]*?::", c) for c in commands)
    error = commands[0]
    assert ",line=1,title=lock-contention%3A" in error and "%250A%3A%3Aerror%3A%3A%2C%3A" in error
    assert lines[-1].startswith("FAILED: 1 finding")


def test_markdown_takes_nothing_of_the_target_for_markup() -> None:
    written = md.write(Checked((seen(hostile()),)))
    tokens = MarkdownIt("commonmark").enable("table").parse(written)
    inline = [child for token in tokens for child in token.children or ()]
    assert {t.type for t in inline} <= {
        "text",
        "text_special",
        "code_inline",
        "strong_open",
        "strong_close",
        "hardbreak",
    }
    assert sum(t.type == "td_open" for t in tokens) == 3
    blocks = [t.content for t in tokens if t.type == "html_block"]
    assert len(blocks) == 2 and re.findall(r"<[^>]*>", "".join(blocks)) == [
        "<details>",
        "<summary>",
        "</summary>",
        "</details>",
    ]
    assert any(HOSTILE[:9] in t.content for t in inline if t.type == "text")
    assert "Not judged: retry-storm, task-leak: no agent" in written


def test_the_verdict_stands_last_and_rules_with_one_reason_are_one_line() -> None:
    written = text.write(Checked((seen(finding()),)), Pen(False, 100))
    last = written.splitlines()[-3:]
    assert last[0] == "not enough evidence yet: thread-leak"
    assert last[1] == "▲ WARN  90  lock-contention: Threads queue (/srv/cache.py:41)"
    assert last[2].startswith("FAILED: 1 finding at or above --fail-on warn")
    assert written.count("no agent is inside the target") == 1
    assert "why: It serialises." in written
    brief = text.write(Checked((seen(finding()),), brief=True), Pen(False, 100))
    assert len(brief.splitlines()) < 16 and "why: It" not in brief and last[1] in brief and last[2] in brief


@pytest.mark.parametrize(
    ("words", "fails"),
    [([], True), (["info"], True), (["never"], False), (["verdict=never"], False), (["never,verdict=warn"], True)],
)
def test_a_verdict_that_no_rule_names_fails_a_check_as_a_finding_does(words: list[str], fails: bool) -> None:
    alone = msgspec.structs.replace(seen(), blame=msgspec.structs.replace(BLAME, rule=""))
    checked = Checked((alone,), _fail_on.parse(words))
    assert checked.failed is fails and [r.finding.id for r in checked.findings] == ["verdict"]
    last = text.write(checked, Pen(False, 120)).splitlines()[-1]
    assert last.startswith("FAILED: 1 finding" if fails else "PASSED")
    assert json.loads(as_json.write(checked))["failed"] is fails
    (suite,) = junitparser.JUnitXml.fromstring(junit.write(checked).encode())
    assert suite.failures == fails and "verdict" in {case.name for case in suite}
    assert all("no rule covers this" in form.write(checked) for form in (sarif, github, md))
    assert not Checked((seen(),)).failed and not Checked((seen(),)).findings


def test_a_hint_that_no_rule_names_fails_where_hints_do() -> None:
    hint = msgspec.structs.replace(seen(), blame=msgspec.structs.replace(BLAME, severity=Severity.INFO, rule=""))
    assert not Checked((hint,)).failed and not Checked((hint,)).findings
    assert Checked((hint,), _fail_on.parse(["info"])).failed


# ---------------------------------------------------------------- on real programs

BUSY = """
import threading, time
lock = threading.Lock()
def work():
    while True:
        with lock:
            time.sleep(0.02)
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
time.sleep({seconds})
"""


@pytest.mark.units(WAITS)
def test_runs_are_watched_anew_each(tmp_path: Path) -> None:
    script = tmp_path / "busy.py"
    script.write_text(BUSY.format(seconds=600))
    saved = tmp_path / "junit.xml"
    more = ["--format", "json", "--save", f"junit={saved}", "--output", "/dev/null"]
    for seconds in (4, 8, 16, 32):  # on a full machine four seconds do not show enough in both runs
        arguments = ["--runs", 2, "--duration", seconds, *more, "--fail-on", "never,lock-held-across-io=warn"]
        done = run("check", *arguments, "--", script)
        out = json.loads(done.stdout)
        assert len({r["target"]["pid"] for r in out["runs"]}) == 2
        found = next((f for f in out["findings"] if f["id"] == "lock-held-across-io"), None)
        if found is not None and found["runs"] == [1, 2]:
            break
    assert found is not None and found["runs"] == [1, 2] and found["fails"]
    assert done.returncode == 1, done
    assert [s.failures for s in junitparser.JUnitXml.fromfile(str(saved))] == [1, 1]


def test_ctrl_c_prints_what_was_found(tmp_path: Path) -> None:
    script = tmp_path / "busy.py"
    script.write_text(BUSY.format(seconds=600))
    arguments = ["--duration", "600", "--brief", "--output", "/dev/null", "--", str(script)]
    with Terminal("check", *arguments) as terminal:
        terminal.wait_for(r"watching [1-9]")
        terminal.press("\x03")
        assert terminal.end() == 130
        assert "Python 3." in terminal.text and "without --brief" in terminal.text
        assert re.search(r"(PASSED|FAILED): .*; interrupted \(", " ".join(terminal.text.split()))


@pytest.mark.parametrize(
    "arguments",
    [
        ["1", "--runs", "2"],
        ["--runs", "0", "--", "true"],
        ["--runs", "x", "--", "true"],
        ["1", "--save", "junit"],
        ["1", "--save", "bad=x"],
        ["1", "--brief", "--format", "json"],
        ["1", "--fail-on", "bad"],
    ],
)
def test_wrong_options(arguments: list[str]) -> None:
    done = run("check", *arguments)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr


# ---------------------------------------------------------------- what could not be judged


def test_what_could_not_be_judged_neither_passes_nor_fails() -> None:
    read = msgspec.structs.replace(BLAME, verdict="clear", severity=None, sentence="Clear.")
    blind = msgspec.structs.replace(read, unread=0.9, verdict="unreadable", sentence="No verdict.")
    dark = msgspec.structs.replace(read, own=0.4, held_up=0, unexplained=0.6, sentence="Unexplained.")
    fine = snapshot(thread(1), clear=("deadlock",), blame=read)
    for one, why in (
        (msgspec.structs.replace(fine, blame=blind), "90 % of the thread time could not be read"),
        (msgspec.structs.replace(fine, blame=dark), "60 % of the thread time is unexplained"),
        (msgspec.structs.replace(fine, samples=0), "no thread's time was seen"),
    ):
        checked = Checked((one,))
        assert why in checked.outcome() and checked.outcome().startswith("NO VERDICT: ")
        assert "::error title=concview::not judged" in github.write(checked)
        assert '"executionSuccessful": false' in sarif.write(checked).replace('":false', '": false')
        assert 'type="not-judged"' in junit.write(checked)
        # Whatever was found is a verdict.
        found = Checked((msgspec.structs.replace(one, findings=(finding(),)),))
        assert not found.unjudged and found.failed
    assert not Checked((fine,)).unjudged and Checked((fine,)).outcome().startswith("PASSED")
