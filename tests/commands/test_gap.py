"""A collector that could not run for a while: which time that was, is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
from running import CONCVIEW, run

from interpreters import current, target


def test_a_collector_that_stands_still(tmp_path: Path) -> None:
    file = tmp_path / "x.concview"
    with target(current(), "import time\nprint('ready', flush=True)\ntime.sleep(120)\n") as process:
        recorder = subprocess.Popen([*CONCVIEW, "record", str(process.pid), "-o", str(file)], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not (file.exists() and file.stat().st_size > 5_000) and time.monotonic() < deadline:
                time.sleep(0.1)
            collectors = psutil.Process(recorder.pid).children(recursive=True)
            assert collectors
            stopped = time.monotonic()
            for one in collectors:
                os.kill(one.pid, signal.SIGSTOP)
            time.sleep(2)
            for one in collectors:
                os.kill(one.pid, signal.SIGCONT)
            lasted = time.monotonic() - stopped
            size = file.stat().st_size
            while file.stat().st_size < size + 2_000 and time.monotonic() < deadline + 30:
                time.sleep(0.1)
        finally:
            recorder.send_signal(signal.SIGINT)
            recorder.wait(60)
    done = run("check", file, "--format", "json", "--fail-on", "never")
    longest = max(json.loads(done.stdout)["sampling"]["gaps"], key=lambda g: g["seconds"])
    assert longest["seconds"] > 1.8 and longest["start_s"] > 0 and lasted > 2
    assert "no sample for " in run("check", file, "--fail-on", "never").stdout
    assert "no sample for " in run("export", file, "--format", "collapsed", "-o", "-").stderr
