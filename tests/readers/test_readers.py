"""Every format in the program that it is made for: it opens, and shows the same seconds.

Needs programs that no test should fetch: tools/fetch-readers says how to get them; what is not there is skipped, and
the last lines of the test run name it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "exporters"))

import at_hand
import made

from concview import registry
from concview.analysis.samples import Selection
from concview.exporters.base import Exporter, Request
from concview.model import STATES, State
from concview.session.recording import Recording
from interpreters import interpreters

EXPORTERS: dict[str, Exporter] = registry.everything("concview.exporters", "EXPORTER")
BROWSER = Path(__file__).with_name("browser.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers")


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    return Recording(made.write(folder / "hostile.concview"))


@pytest.fixture(scope="module")
def truth(recording: Recording) -> Counter[str]:
    """Nanoseconds a state."""
    found: Counter[str] = Counter()
    for pieces in recording.samples():
        for _, start, end, condition, *_ in pieces:
            found[STATES[condition.state]] += end - start
    return found


def export(recording: Recording, name: str, request: Request | None = None, suffix: str = "") -> Path:
    exporter = EXPORTERS[name]
    out = recording.path.with_name(f"out{suffix}{exporter.suffix}")
    assert exporter.write is not None
    with out.open("wb") as file:
        exporter.write(recording, file, request or Request(group_by=exporter.groups[0] if exporter.groups else ""))
    return out


def browse(*words: object) -> dict[str, Any]:
    python = at_hand.python()
    if python is None:
        pytest.skip("no browser: tools/fetch-readers DIR, CONCVIEW_READERS=DIR, apt-get install chromium")
    done = subprocess.run([python, BROWSER, *map(str, words)], capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _npm(name: str) -> Path:
    found = at_hand.npm(name)
    if found is None:
        pytest.skip(f"npm {name} is not here: tools/fetch-readers DIR, CONCVIEW_READERS=DIR")
    return found


# ---------------------------------------------------------------- pprof


def go(*words: object) -> str:
    if shutil.which("go") is None:
        pytest.skip("no go: apt-get install golang-go")
    done = subprocess.run(
        ["go", "tool", "pprof", *map(str, words)], capture_output=True, text=True, timeout=170,
        env={**os.environ, "PPROF_TMPDIR": "/nonexistent"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_go_tool_pprof(recording: Recording, truth: Counter[str]) -> None:
    file = export(recording, "pprof")
    top = go("-top", "-unit=ms", file)
    shown = re.search(r"of (\d+)ms total", top)
    assert shown and int(shown[1]) == sum(truth.values()) // 10**6, top
    assert "Class.function_0" in top and "<unnamed>" in top and "weights are elapsed time" in top
    tags = go("-tags", "-unit=ms", file)
    for state, ns in truth.items():
        assert re.search(rf"{ns // 10**6}(\.0*)?ms \(.*\): {state}\n", tags), tags
    assert "self._lock (cache.py)" in tags and "MainThread" in tags and "postgresql 127.0.0.1:5432" in tags
    lock = go("-top", "-unit=ms", "-tagfocus=state=^lock$", file)
    assert re.search(rf"of {sum(truth.values()) // 10**6}ms total", lock) and f"{truth['lock'] // 10**6}ms" in lock
    holder = export(recording, "pprof", Request(side="holder"), "-holder")
    assert "waiter" in go("-tags", holder)


def test_go_tool_pprof_compares(recording: Recording) -> None:
    whole = export(recording, "pprof")
    half = export(recording, "pprof", Request(Selection(to_s=0.3)), "-half")
    nothing = go("-top", "-unit=ms", f"-base={whole}", whole)
    assert re.search(r"0 of 0 total|of 0(ms)? total", nothing) or "0ms" in nothing
    assert re.search(r"of 900ms total", go("-top", "-unit=ms", f"-base={half}", whole))


def test_pprof_format(recording: Recording, truth: Counter[str]) -> None:
    module = _npm("pprof-format")
    file = export(recording, "pprof")
    program = f"""
      const {{ Profile }} = require({json.dumps(str(module))});
      const p = Profile.decode(require('zlib').gunzipSync(require('fs').readFileSync({json.dumps(str(file))})));
      const s = (i) => p.stringTable.strings[Number(i)], sums = {{}};
      for (const sample of p.sample) {{
        const label = sample.label.find((l) => s(l.key) === 'state');
        sums[s(label.str)] = (sums[s(label.str)] || 0) + Number(sample.value[1]);
      }}
      console.log(JSON.stringify(sums));
    """
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == truth


# ---------------------------------------------------------------- pages and UIs


@pytest.mark.parametrize("name", ["speedscope", "speedscope-thread", "collapsed", "pprof"])
def test_speedscope(recording: Recording, name: str) -> None:
    page = _npm("speedscope") / "dist" / "release"
    group = "thread" if name.endswith("thread") else ""
    file = export(recording, name.partition("-")[0], Request(group_by=group) if group else None)
    answer = browse("speedscope", page, file)
    text = answer["answer"]["text"]
    assert "Something went wrong" not in text and "Drag and drop" not in text, text
    # Its names are drawn on a canvas; the title has that of the profile.
    expected = {"speedscope": "all states", "speedscope-thread": "(1/3)"}.get(name, "out")
    assert expected in text, text
    assert not [e for e in answer["errors"] if "net::" not in e], answer["errors"]


def test_perfetto(recording: Recording, truth: Counter[str]) -> None:
    ui = at_hand.perfetto()
    if ui is None:
        pytest.skip("no Perfetto UI: tools/fetch-readers DIR, CONCVIEW_READERS=DIR")
    file = export(recording, "perfetto")
    states, stats, flows, threads, counters, args = browse(
        "perfetto",
        ui,
        file,
        "select slice.name, sum(dur) from slice join thread_track on slice.track_id = thread_track.id "
        "where depth = 0 and slice.name not like 'holds %' group by slice.name",
        "select name, value from stats where value > 0 and severity != 'info'",
        "select o.name, o.ts, i.name, i.ts from flow join slice o on slice_out = o.id join slice i on slice_in = i.id",
        "select name from thread where name is not null",
        "select name, count(*) from counter join counter_track on track_id = counter_track.id group by name",
        "select count(*) from args where key = 'debug.held_by' and string_value = 'MainThread'",
    )["answer"]
    assert {name: ns for name, ns in states if name in STATES} == truth
    assert stats == [], "its own complaints"
    assert flows and all(out.startswith("holds self._lock") and start < end for out, start, _, end in flows)
    assert {"MainThread", 'work"er;1 <i>\\x0a</script>', "пул-2"} <= {name for (name,) in threads}
    assert {"waiting for self._lock (cache.py)", "running"} <= {name for name, _ in counters}
    assert args[0][0] > 0


def test_perfetto_shows_what_there_is_of_a_file_that_was_cut(recording: Recording) -> None:
    ui = at_hand.perfetto()
    if ui is None:
        pytest.skip("no Perfetto UI: tools/fetch-readers DIR, CONCVIEW_READERS=DIR")
    whole = export(recording, "perfetto")
    cut = whole.with_name("cut.pftrace")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    ((found,),) = browse("perfetto", ui, cut, "select count(*) from slice")["answer"][0]
    assert found > 10


def test_firefox_profiler(recording: Recording, truth: Counter[str], tmp_path: Path) -> None:
    program = _npm("@firefox-devtools/profiler-cli") / "dist" / "profiler-cli.js"
    file = export(recording, "gecko")

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["node", program, *words],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": str(tmp_path)},
        )

    def ask(*words: str) -> str:
        done = call(*words)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    loaded = call("load", str(file))
    late = re.search(r"did not become ready.*as pid (\d+)", loaded.stderr, re.DOTALL)
    if late is not None:  # it gives its own daemon half a second, which a busy machine does not
        deadline = time.monotonic() + 60
        while call("profile", "info").returncode and time.monotonic() < deadline:
            time.sleep(0.2)
    else:
        assert loaded.returncode == 0, loaded.stderr
    try:
        threads = ask("thread", "list")
        assert "MainThread" in threads and 'work"er;1 <i>\\x0a</script>' in threads and "пул-2" in threads
        states: Counter[str] = Counter()
        for handle in sorted(set(re.findall(r"\b(t-\d+) ", threads))):
            ask("thread", "select", handle)
            shown = ask("thread", "samples", "--include-idle")
            for state, ms in re.findall(r"^  (\w+) +[█ ]+ +(\d+) +[\d.]+%", shown, re.MULTILINE):
                states[state] += int(ms) * 10**6
        assert states == truth
        assert "waits: lock" in ask("thread", "markers")
    finally:
        call("stop", "--all")
        if late is not None:
            with suppress(ProcessLookupError):
                os.kill(int(late[1]), signal.SIGTERM)


def test_tables_are_those_of_python_3_15(recording: Recording, tmp_path: Path) -> None:
    python = next((i for i in interpreters() if i.version >= (3, 15)), None)
    if python is None:
        pytest.skip("no Python 3.15: tools/fetch-pythons DIR, CONCVIEW_PYTHONS=DIR")
    script, out = tmp_path / "x.py", tmp_path / "x.json"
    script.write_text("import time\nend = time.monotonic() + 0.5\nwhile time.monotonic() < end: sum(range(1000))\n")
    done = subprocess.run(
        [python.path, "-m", "profiling.sampling", "run", "--gecko", "-o", out, script],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if not out.exists():
        pytest.skip(f"its profiler wrote nothing: {done.stderr[-300:]}")
    theirs, ours = json.loads(out.read_text()), json.loads(export(recording, "gecko").read_text())
    assert theirs.keys() <= ours.keys()
    assert theirs["meta"].keys() - ours["meta"].keys() <= {"physicalCPUs", "logicalCPUs", "CPUName"}
    assert theirs["meta"]["preprocessedProfileVersion"] == ours["meta"]["preprocessedProfileVersion"]
    mine = ours["threads"][0]
    for name, value in theirs["threads"][0].items():
        assert name in mine
        if isinstance(value, dict):
            assert value.keys() - mine[name].keys() <= {"optimizations"}, name  # gone since version 45


def test_page(recording: Recording, truth: Counter[str], folder: Path) -> None:
    file = export(recording, "html")
    picture = folder / "page.png"
    found = browse("page", file, picture)
    assert found["errors"] == [] and found["answer"]["asked"] == [file.as_uri()], "it loads nothing"
    text = found["answer"]["text"]
    total = sum(truth.values()) / 1e9
    assert f"{total:.2f} s of thread time" in text, "the flame graph was made"
    assert "What was not seen" in text and 'work"er;1 <i>\\x0a</script>' in text
    assert picture.stat().st_size > 20_000
    assert len(set(truth)) == sum(f"{s}" in found["answer"]["states"] for s in truth)


def test_states_are_all_told_of(truth: Counter[str]) -> None:
    assert {STATES[State.LOCK], STATES[State.GIL], STATES[State.IO], STATES[State.RUNNING]} <= set(truth)
