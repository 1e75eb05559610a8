"""The flight recorder of several processes: all of them in one file, those that ended included; bounded memory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from running import CONCVIEW, eventually, one_line, run, watched
from test_check_tree import MASTER

from capacity import WAITS
from concview import codec
from concview.commands import _keep_several
from concview.commands._keep_several import Kept
from concview.model import Bye, Hello, Role, Target, Tick
from concview.process.tree import Member
from concview.session.recording import Recording
from concview.session.rolling_recording import RollingRecording
from concview.session.several import cast_of
from interpreters import current, target

pytestmark = pytest.mark.units(WAITS)


@contextlib.contextmanager
def recording(master: int, keep: str, folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """The flight recorder of a tree, which writes to x-*.concview: the process, and what it says."""
    recorder = subprocess.Popen(
        [*CONCVIEW, "record", "--tree", str(master), "--keep", keep, "-o", str(folder / "x.concview"), *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert recorder.stderr is not None
        assert "and all below" in (said := recorder.stderr.readline()), said
        yield recorder, recorder.stderr
    finally:
        recorder.kill()
        recorder.communicate()


def test_around_a_finding_of_a_worker(tmp_path: Path) -> None:
    verdict, hook = tmp_path / "verdict.json", tmp_path / "hook.py"
    hook.write_text(
        f"import os, sys\nname = {str(verdict)!r}\n"
        "open(name + '.part', 'w').write(sys.stdin.read())\n"
        "open(name + '.env', 'w').write(os.environ['CONCVIEW_FINDING'] + ' ' + os.environ['CONCVIEW_FILE'])\n"
        "os.rename(name + '.part', name)\n"
    )
    with target(current(), MASTER) as process:
        master, first, fine, second = map(int, process.line().split())
        more = ("--when", "deadlock", "--on-finding", f"{sys.executable} {hook}")
        with recording(master, "60s", tmp_path, *more) as (recorder, stderr):
            said = stderr.readline()
            assert said.startswith("concview: deadlock: the last "), said
            deadline = time.monotonic() + 60
            while not verdict.exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            os.kill(fine, signal.SIGKILL)  # --when names other reasons to write
            assert f"({fine}) was killed by SIGKILL" in (said := stderr.readline()), said
            os.kill(recorder.pid, signal.SIGUSR1)
            assert "as asked" in (said := stderr.readline()), said
            recorder.send_signal(signal.SIGINT)
            assert "2 files written" in stderr.readline()
            assert recorder.wait(30) == 0
    told: Any = json.loads(verdict.read_text())
    assert {p["pid"] for p in told["processes"]} == {master, first, fine, second}
    (deadlock,) = [f for f in told["findings"] if f["id"] == "deadlock"]
    assert sorted(deadlock["pids"]) == sorted((first, second))
    finding, _, file = Path(f"{verdict}.env").read_text().partition(" ")
    assert finding == "deadlock"
    files = sorted(tmp_path.glob("x-*.concview"), key=lambda p: p.stat().st_mtime)
    assert files[0] == Path(file) and len(files) == 2
    for path in files:  # in the second one a process that had ended before it was written
        said_again: Any = json.loads(run("check", path, "--format", "json").stdout)
        parts = {p["pid"]: p for p in said_again["processes"]}
        assert set(parts) == {master, first, fine, second}
        assert any(f["id"] == "deadlock" for f in said_again["findings"])


def test_bad_input(tmp_path: Path) -> None:
    one_line(run("record", os.getpid(), os.getppid(), "-o", tmp_path / "x", "--keep", "soon"), 2, "--keep")
    one_line(run("record", "--tree", os.getpid(), "-o", "/nowhere/x", "--keep", "1m"), 74, "/nowhere")
    one_line(run("record", "--tree", 2**22 + 7, "-o", tmp_path / "x", "--keep", "1m"), 4, "no process")


TARGET = Target(1, "3.13.0", ("app.py",), 0.0)


def member(pid: int) -> Member:
    return Member(pid, pid * 10, 0, Role.WORKER, f"worker {pid}", ())


def rolled(begin_ns: int, end_ns: int, size: int = 0) -> RollingRecording:
    """A stream of a tick a second."""
    rolling = RollingRecording()
    events: list[Any] = [Hello(codec.STREAM_VERSION, "", TARGET, "direct", 1, 5, begin_ns, time.time(), {})]
    for at in range(begin_ns, end_ns + 1, 1_000_000_000):
        events.append(Tick(at, 1_000_000_000, -1, False, ()))
        rolling.add(codec.encode_events(events), events)
        events = []
    rolling.size += size
    return rolling


def test_one_file_of_all_in_their_own_time(tmp_path: Path) -> None:
    now = time.monotonic_ns()
    kept = Kept(TARGET, 1, 5, 600)
    kept.begin(member(1), rolled(now - 100_000_000_000, now))
    kept.begin(member(2), rolled(now - 50_000_000_000, now - 40_000_000_000))
    kept.begin(member(3), RollingRecording())
    kept.prune({member(1).key: True})
    seconds = kept.save(tmp_path / "x", 600)
    assert 99 <= seconds <= 101
    cast = cast_of(tmp_path / "x")
    assert [(p.pid, p.late) for p in cast.watched] == [(1, True), (2, False)] and not cast.broken
    for process, begins, lasts in zip(cast.watched, (100, 50), (100, 10), strict=True):
        assert round((now - process.at_ns) / 1e9) == begins
        events = list(Recording(tmp_path / "x", process.number).events())
        assert isinstance(events[-1], Bye) and sum(isinstance(e, Tick) for e in events) >= lasts
    assert 0 < kept.save(tmp_path / "y", 10) <= 14  # the second one had ended before that
    assert [p.pid for p in cast_of(tmp_path / "y").watched] == [1]
    with pytest.raises(FileExistsError):
        kept.save(tmp_path / "x", 600)


def test_those_that_ended_are_forgotten_in_time_and_when_they_are_too_many(tmp_path: Path) -> None:
    now = time.monotonic_ns()
    kept = Kept(TARGET, 1, 5, 60)
    kept.begin(member(1), rolled(now - 90_000_000_000, now - 70_000_000_000))
    for pid in range(2, 7):
        end = now - 40_000_000_000 + pid * 1_000_000_000
        kept.begin(member(pid), rolled(end - 5_000_000_000, end, _keep_several.ENDED_BYTES // 3))
    kept.prune({})
    kept.save(tmp_path / "x", 60)
    assert [p.pid for p in cast_of(tmp_path / "x").watched] == [5, 6]
    with pytest.raises(LookupError):
        Kept(TARGET, 1, 5, 60).save(tmp_path / "y", 60)
    assert not (tmp_path / "y").exists()


def test_a_worker_that_dies_is_written_without_a_finding(tmp_path: Path) -> None:
    code = (
        "import os, signal, time\n"
        "pids = []\n"
        "for _ in range(3):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        signal.signal(signal.SIGUSR2, lambda *_: os._exit(0))\n"
        "        while True: time.sleep(0.05)\n"
        "    pids.append(pid)\n"
        "print('ready'); print(os.getpid(), *pids, flush=True)\n"
        "while True:\n"
        "    try: os.wait()\n"
        "    except ChildProcessError: time.sleep(0.05)\n"
    )
    with target(current(), code) as process:
        master, bad, leaving, last = map(int, process.line().split())
        with recording(master, "10s", tmp_path) as (recorder, stderr):
            eventually(lambda: all(watched(recorder.pid, pid) for pid in (master, bad, leaving, last)))
            os.kill(leaving, signal.SIGUSR2)  # as it should be: nothing is written
            assert f"({leaving}) has ended\n" in stderr.readline()
            os.kill(bad, signal.SIGKILL)
            assert f"({bad}) was killed by SIGKILL" in (said := stderr.readline()), said
            assert (said := stderr.readline()).startswith("concview: process-died: the last "), said
            recorder.send_signal(signal.SIGINT)
            assert "1 file written" in stderr.read()
            assert recorder.wait(30) == 0
        (file,) = tmp_path.glob("x-*.concview")
        told: Any = json.loads(run("check", file, "--format", "json").stdout)
        parts = {p["pid"]: p for p in told["processes"]}
        assert set(parts) == {master, bad, leaving, last}
        assert "was killed by SIGKILL" in json.dumps(parts[bad])
