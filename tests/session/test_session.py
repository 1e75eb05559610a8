"""Live and replayed, the same code says the same; and nothing of ours stays behind."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from capacity import WAITS
from concview import codec
from concview.model import Bye, Counters, Hello, State, Stats, Tick
from concview.session import AttachError, FileSource, LiveSource, Session
from concview.snapshot import Status
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

CONVOY = """
import threading, time
LOCK = threading.Lock()
def work():
    while True:
        with LOCK:
            time.sleep(0.02)
        time.sleep(0.001)
for i in range(4):
    threading.Thread(target=work, name="worker-%d" % i, daemon=True).start()
print("ready", flush=True)
time.sleep(600)
"""


def record(pid: int, seconds: float, at_least: int = 0) -> bytes:
    """The raw stream of a collector over some seconds, more where a busy machine needs them for so many bytes."""
    source = LiveSource(pid)
    source.open()
    data, end = b"", time.monotonic() + seconds
    while part := os.read(source.stream.fileno(), 65536):
        data += part
        if time.monotonic() > end and len(data) >= at_least:
            source.request_end()
    source.close()
    return data


@pytest.mark.few
def test_replay_says_what_the_live_view_said(direct_python: Interpreter, tmp_path: Path) -> None:
    with target(direct_python, CONVOY) as process:
        data = record(process.pid, 5.0, 20_000)  # some 400 ticks
    file = tmp_path / "x.concview"
    file.write_bytes(data)
    events = [e for block in codec.read_blocks(io.BytesIO(data)) for e in block]
    assert isinstance(events[0], Hello) and isinstance(events[-1], Bye) and events[-1].reason == "stopped"
    ticks = [e for e in events if isinstance(e, Tick)]
    assert len(ticks) > 200 and sum(isinstance(e, Counters) for e in events) >= 4
    assert any(isinstance(e, Stats) for e in events)
    # Weights are the elapsed time: they add up to it.
    assert sum(t.dt_ns for t in ticks) == ticks[-1].at_ns - ticks[0].at_ns
    snapshots = []
    for speed in (0.0, 20.0):
        session = Session(FileSource(file, speed))
        session.start()
        while speed and not session.ended:  # with a key held down
            session.hurry()
            time.sleep(0.01)
        session.wait(1e9)
        snapshots.append(session.snapshot())
        session.close()
    fast, paced = snapshots
    assert fast.status is Status.FINISHED
    assert msgspec.to_builtins(fast.threads) == msgspec.to_builtins(paced.threads)
    assert fast.findings == paced.findings and fast.samples == paced.samples and fast.series == paced.series
    workers = [t for t in fast.threads if t.name.startswith("worker")]
    assert len(workers) == 4
    for thread in fast.threads:
        assert sum(thread.shares) == pytest.approx(1, abs=1e-6)
    assert sum(w.shares[State.LOCK] for w in workers) / 4 == pytest.approx(0.71, abs=0.1)
    # On a busy machine that is found, too, and is right.
    assert {f.id for f in fast.findings} - {"cpu-starvation"} == {"lock-held-across-io"}


@pytest.mark.few
def test_a_cut_recording_shows_what_there_is(direct_python: Interpreter, tmp_path: Path) -> None:
    with target(direct_python, CONVOY) as process:
        data = record(process.pid, 1.0, 4_000)
    file = tmp_path / "x.concview"
    file.write_bytes(data[:-10])
    session = Session(FileSource(file, 0))
    session.start()
    snapshot = session.wait(1e9)
    assert snapshot.status is Status.LOST and "breaks off" in snapshot.ending
    assert snapshot.threads
    file.write_bytes(b"not a recording at all")
    with pytest.raises(codec.StreamError):
        Session(FileSource(file, 0)).start()


def test_no_such_process_is_one_sentence() -> None:
    with pytest.raises(AttachError) as caught:
        Session(LiveSource(2**22 - 1)).start()
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)


@pytest.mark.few
def test_the_targets_end_is_said_and_the_last_state_kept(direct_python: Interpreter) -> None:
    with target(direct_python, CONVOY) as process:
        session = Session(LiveSource(process.pid))
        session.start()
        _until(lambda: session.snapshot().threads)
        process.kill()
        _until(lambda: session.ended)
        snapshot = session.snapshot()
        session.close()
    assert snapshot.status is Status.EXITED and snapshot.ending
    assert snapshot.threads


@pytest.mark.few
def test_a_stopped_target_is_said_to_be(direct_python: Interpreter) -> None:
    with target(direct_python, CONVOY) as process:
        session = Session(LiveSource(process.pid))
        session.start()
        os.kill(process.pid, signal.SIGSTOP)
        try:
            _until(lambda: session.snapshot().status is Status.STOPPED)
        finally:
            os.kill(process.pid, signal.SIGCONT)
        _until(lambda: session.snapshot().status is Status.LIVE)
        session.close()


@pytest.mark.few
def test_exec_is_said(direct_python: Interpreter) -> None:
    source = (
        "import os, sys\nprint('ready', flush=True)\nsys.stdin.readline()\nos.execv('/bin/sleep', ['sleep', '60'])\n"
    )
    with target(direct_python, source) as process:
        session = Session(LiveSource(process.pid))
        session.start()
        process.send("now")
        _until(lambda: session.ended)
        assert session.snapshot().status is Status.EXITED
        assert "exec" in session.snapshot().ending
        session.close()


@pytest.mark.few
def test_sigkill_of_the_dashboard_leaves_nothing(direct_python: Interpreter) -> None:
    """The target goes on unchanged; the collector dies with its parent."""
    with target(direct_python, CONVOY) as process:
        code = (
            "import sys, time\nfrom concview.session import *\n"
            f"s = Session(LiveSource({process.pid})); s.start()\n"
            "print(s.source.collector_pid, flush=True); time.sleep(60)"
        )
        dashboard = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert dashboard.stdout is not None
        collector = int(dashboard.stdout.readline())
        dashboard.kill()
        dashboard.wait()
        _until(lambda: not psutil.pid_exists(collector) or psutil.Process(collector).status() == "zombie")
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "TracerPid:\t0" in status and "State:\tT" not in status and "State:\tt" not in status
        dashboard.stdout.close()


@pytest.mark.few
def test_a_slow_reader_is_survived(direct_python: Interpreter) -> None:
    """Nobody reads for a while: the collector waits, counts what it missed, and goes on."""
    with target(direct_python, CONVOY) as process:
        source = LiveSource(process.pid, rate=1000, budget=100)
        source.open()
        pipe = source.stream.fileno()
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
        seen: list[int] = []

        def stands() -> bool:
            """What lies in the pipe is no longer more, in thirty looks."""
            seen.append(int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder))
            return seen[-1] > 0 and len(seen) > 30 and len(set(seen[-30:])) == 1

        _until(stands)
        threading.Timer(1.0, source.request_end).start()
        data = source.stream.read()
        source.close()
        events = [e for block in codec.read_blocks(io.BytesIO(data)) for e in block]
        assert isinstance(events[-1], Bye)


def _until(condition: object, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
