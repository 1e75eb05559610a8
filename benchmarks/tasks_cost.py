"""What a look at all tasks costs, beside Python 3.15's own sampler in its mode for asyncio, on the same target.

    python benchmarks/tasks_cost.py [--python PATH] [--seconds 8]

1,001 tasks of which 10 wake every 10 ms, at 50 Hz; 5,001 tasks that all sleep. Concview's figure is the CPU of its task
tracker alone (thread_time), reports included; the sampler's is its process's CPU between two runs of different length,
so that its start does not count. The sampler gives stacks; concview gives states, what is waited for, and holders too.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from concview.collector.recorder import Recorder
from concview.engines.direct import DirectEngine
from concview.engines.direct.tasks import tracker as tracking
from concview.model import Event
from concview.process.discovery import describe
from concview.source.facts import SourceFacts

HZ = 50
TARGET = Path(__file__).parent / "tasks_target.py"


class Nothing:
    """A writer that keeps nothing."""

    def add(self, event: Event) -> None: ...


def concview(pid: int, seconds: float) -> tuple[float, float]:
    """(milliseconds of CPU a look, looks a second)."""
    described = describe(pid)
    engine = DirectEngine()
    engine.open(described, Recorder(Nothing(), SourceFacts(pid, described.started)))  # type: ignore[arg-type]
    tracker = engine._tasks
    spent = 0.0
    poll = tracker.poll

    def timed(*arguments: object) -> None:
        nonlocal spent
        began = time.thread_time()
        poll(*arguments)  # type: ignore[arg-type]
        spent += time.thread_time() - began

    tracker.poll = timed  # type: ignore[method-assign]

    def run(duration: float) -> None:
        end = time.monotonic() + duration
        while time.monotonic() < end:
            engine.tick(time.monotonic_ns())
            time.sleep(1 / HZ)

    until = time.monotonic() + 60
    while not tracker.filled and time.monotonic() < until:  # all have been walked
        run(0.5)
    run(4)  # those that rest have been laid out
    spent, looks = 0.0, tracker.totals.looks
    run(seconds)
    engine.close()
    looks = tracker.totals.looks - looks
    return 1000 * spent / looks, looks / seconds


def sampler(python: str, pid: int, seconds: float) -> float:
    """Milliseconds of CPU a sample of `profiling.sampling --async-aware`."""

    def cpu(duration: float) -> tuple[float, int]:
        """(seconds of CPU, samples taken)."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [python, "-m", "profiling.sampling", "attach", "--async-aware", "--async-mode", "all", "-r", str(HZ),
                 "-d", str(int(duration)), "--collapsed", "-o", f"{folder}/out", str(pid)],
                check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken = re.search(r"Captured (\d+) samples", done.stdout)
        if taken is None:
            sys.exit(f"profiling.sampling says no longer how many samples it took:\n{done.stdout}")
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, int(taken[1])

    (short, few), (whole, many) = cpu(2), cpu(2 + seconds)
    return 1000 * (whole - short) / max(1, many - few)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=shutil.which("python3.15"), help="a Python 3.15")
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    if not options.python:
        sys.exit("no Python 3.15: name one with --python")
    tracking.SHARE = 1.0  # how far the budget reaches is not the question here
    for tasks, active in ((1001, 10), (5001, 0)):
        process = subprocess.Popen(
            [options.python, str(TARGET), str(tasks), str(active)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            own, rate = concview(process.pid, options.seconds)
            print(
                f"{tasks} tasks, {active} active: concview {own:.2f} ms a look at {rate:.0f} looks a second", flush=True
            )
            theirs = sampler(options.python, process.pid, options.seconds)
            print(f"  profiling.sampling --async-aware {theirs:.2f} ms a sample: {theirs / own:.1f} times as much")
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
