"""The Python API: on a stored recording, on a real process, and what its page promises."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

import concview
from concview import codec
from concview.api import recorded
from concview.config import Config
from concview.model import Bye, Hello, Measured, Target, ThreadDef, Tick
from interpreters import Interpreter, target

ROOT = Path(__file__).resolve().parents[2]
RECORDING = ROOT / "tests" / "model" / "recordings" / "version3.concview"

HELD = """
import threading, time
LOCK = threading.Lock()
def wait():
    with LOCK:
        pass
with LOCK:
    threading.Thread(target=wait, name="waiter", daemon=True).start()
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_recording_stands_still_until_it_is_asked_for() -> None:
    with concview.open(RECORDING) as recording:
        assert not recording.live and not recording.ended
        first = recording.snapshot()
        assert first.elapsed_s < 1
        second = recording.observe(1.0)
        assert 1.0 <= second.elapsed_s < 3.0 and not recording.ended
        last = recording.finish()
        assert recording.ended and last.status is concview.Status.FINISHED
        assert last.elapsed_s == pytest.approx(3.029, abs=0.001)
        assert {t.name for t in last.threads} == {"working", "waiting", "MainThread"}
        (lock,) = [lock for lock in last.locks if lock.waiters_now]
        assert lock.site.expression == "lock" and lock.waiting == (
            next(t.tid for t in last.threads if t.name == "waiting"),
        )
        assert recording.observe(5).at_ns == last.at_ns  # there is no more


def test_a_recording_that_is_left_in_the_middle_is_judged_as_far_as_it_was_read() -> None:
    """Ctrl-C: also where nothing was judged on the way, because only the end was asked for."""
    with recorded(RECORDING, Config(), to_end=True) as recording:
        recording.observe(1.0)
        last = recording.leave()
        assert recording.ended and 1.0 <= last.elapsed_s < 3.0
        assert last.status is concview.Status.REPLAY and not last.ending
        assert last.blame is not None and last.blame.sentence
        assert recording.leave().at_ns == last.at_ns


def test_windows_follow_each_other_and_miss_nothing() -> None:
    with concview.open(RECORDING) as recording:
        windows = list(recording.windows(1))
    assert len(windows) == 3  # of 3.029 s
    for before, after in pairwise(windows):
        assert after.at_ns - before.at_ns == pytest.approx(1e9, abs=0.1e9)
    for window in windows:
        assert window.seconds == pytest.approx(1, abs=0.1)
        waiting = next(t for t in window.threads if t.name == "waiting")
        assert waiting.shares[concview.State.LOCK] == pytest.approx(1, abs=0.01)
    with concview.open(RECORDING) as recording:
        assert len(list(recording.windows(1, count=2))) == 2
        with pytest.raises(ValueError, match="at least"):
            next(recording.windows(0.5))


def test_a_window_without_a_sample_is_part_of_the_next(tmp_path: Path) -> None:
    """A sample every two and a half seconds."""
    path, second = tmp_path / "rare.concview", 1_000_000_000
    with path.open("wb") as out:
        writer = codec.Writer(out)
        target = Target(7, "3.12.1", ("/usr/bin/python3", "/srv/app.py"), 1.7e9)
        writer.add(Hello(codec.STREAM_VERSION, "0", target, "direct", 0.4, 5, 10 * second, 1.7e9, {}))
        writer.add(ThreadDef(100, "worker"))
        for n in range(1, 5):
            at = 10 * second + n * 5 * second // 2
            writer.add(Tick(at, 5 * second // 2, 0, False, (100, 0, 0, 0) if n == 1 else ()))
            writer.flush()
        writer.add(Bye(at, "stopped"))
        writer.flush()
    with concview.open(path) as recording:
        windows = list(recording.windows(1))
    assert [(w.at_ns - 10 * second) / second for w in windows] == [2.5, 5.0, 7.5, 10.0]
    assert all(2 <= w.seconds <= 3 for w in windows)


def test_what_fired_once_is_told_at_the_end() -> None:
    """A finding is forgotten a minute after it is over; a long check must tell it all the same."""
    with concview.open(RECORDING) as recording:
        recording.observe(1.0)
        measured = Measured("x", 1.0, 0.1, 0.5, "s")
        over = concview.Finding(
            "deadlock", "a", concview.Severity.WARN, 90, concview.Confidence.EXACT, "t", "s", "w", "f", measured
        )
        recording.session._fired["deadlock", "a"] = over
        last = recording.finish()
    assert [(f.id, f.recent) for f in last.findings] == [("deadlock", True)]
    assert last.findings[0].title == "t" and not over.recent


def test_what_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(concview.StreamError):
        concview.open(__file__)
    with pytest.raises(FileNotFoundError):
        concview.open(tmp_path / "none")
    cut = tmp_path / "cut"
    cut.write_bytes(RECORDING.read_bytes()[:-10])
    with concview.open(cut) as recording:
        last = recording.finish()
    assert last.status is concview.Status.LOST and "breaks off" in last.ending and last.threads


@pytest.mark.some(12)
def test_a_process(direct_python: Interpreter) -> None:
    began = time.monotonic()
    with target(direct_python, HELD) as process, concview.attach(process.pid) as watched:
        assert watched.live
        (window,) = watched.windows(1, count=1)
        # It ends with its last sample, and where there is none in it, on a full machine, it is longer.
        assert 0 < window.seconds <= time.monotonic() - began
        while not (snapshot := watched.observe(0.2)).chains:
            assert not watched.ended and snapshot.elapsed_s < 60
        (chain,) = snapshot.chains
        waiter = snapshot.thread(chain.edges[0].waiter)
        assert waiter is not None and waiter.name == "waiter" and not chain.deadlock
        assert watched.finish().status is concview.Status.FINISHED


def test_wrong_arguments_are_told(tmp_path: Path) -> None:
    with pytest.raises(concview.TargetError) as caught:
        concview.attach(2**22 + 1)
    assert caught.value.code == "no-such-process"
    for arguments in ({"rate": 0}, {"engine": "magic"}, {"budget": -1}):
        with pytest.raises(concview.ConfigError):
            concview.attach(1, **arguments)
    settings = tmp_path / "s.toml"
    settings.write_text('rules.disable = ["no-such-rule"]\n')
    with pytest.raises(concview.ConfigError, match="no-such-rule"):
        concview.open(RECORDING, settings=settings)


def test_nothing_is_loaded_before_it_is_used() -> None:
    code = (
        "import sys, concview; assert 'concview.api' not in sys.modules, 'eager'\n"
        f"concview.open({str(RECORDING)!r}).finish()\n"
        "assert 'textual' not in sys.modules and 'rich' not in sys.modules, 'the dashboard'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_names_are_all_there_and_typed() -> None:
    stub = (ROOT / "src/concview/__init__.pyi").read_text()
    typed = set(re.findall(r"import \w+ as (\w+)", stub))
    assert typed == set(concview.__all__)  # type: ignore[attr-defined]
    for name in concview.__all__:  # type: ignore[attr-defined]
        assert getattr(concview, name) is not None and name in dir(concview)
    with pytest.raises(AttributeError):
        concview.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_documented_fields_exist() -> None:
    """docs/api.md promises these: one that is renamed must fail here."""
    page = (ROOT / "docs/api.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (`.*`) \|$", page, re.M)
    assert len(rows) == 8
    for name, fields in rows:
        known = set(getattr(concview, name).__struct_fields__)
        assert set(re.findall(r"`(\w+)`", fields)) <= known, name
