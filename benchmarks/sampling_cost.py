"""What a sample costs: concview, py-spy and Python 3.15's own profiler side by side on the same target.

    python benchmarks/sampling_cost.py [--seconds 8] [--only NAME]
    python benchmarks/sampling_cost.py --only builds --build /other/venv/bin/python

`--build` is the Python of another concview, an earlier one say (git worktree add /tmp/old e540318; python -m venv
/tmp/venv; /tmp/venv/bin/pip install -e /tmp/old): its collector and this one's, with labels and without, watch one
program at the same moments.

CPU is the kernel's own accounting of the sampling process (schedstat), over a stretch that begins after it has
attached; divided by the samples that it really took in that stretch. Absolute times depend on the machine: the ratios
are what counts. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import mmap
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import BUSY_TARGET, LOCKING_TARGET, TARGET, cpu_seconds, find, machine, row, rss_mib, target
from concview import codec
from concview.model import Stats
from interpreters import Interpreter, interpreters

WARM_UP = 2.0
ROUNDS = 3
_wanted: tuple[int, int] | None = None
_build: Path | None = None  #: the Python of another concview


def ours(pid: int, hz: float, seconds: float, *, engine: str = "direct") -> tuple[float, float, float]:
    """(microseconds of CPU per sample, achieved Hz, memory in MiB) of our collector, everything included."""
    command = [sys.executable, "-m", "concview.collector", "--pid", str(pid), "--rate", str(hz), "--budget", "100",
               "--engine", engine]  # fmt: skip
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out)
        time.sleep(WARM_UP)
        before, start = cpu_seconds(process.pid), time.monotonic()
        time.sleep(seconds)
        used, elapsed = cpu_seconds(process.pid) - before, time.monotonic() - start
        memory = rss_mib(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        out.seek(0)
        stats = [e for block in codec.read_blocks(out) for e in block if isinstance(e, Stats)]
    rate = statistics.median(s.achieved_hz for s in stats[2:-1])
    return used / (rate * elapsed) * 1e6, rate, memory


def stacks_alone(pid: int, hz: float, seconds: float) -> tuple[float, float]:
    """(microseconds per sample, achieved Hz) of the memory reader alone: no wait states, no stream."""
    script = Path(__file__).with_name("_stacks_alone.py")
    done = subprocess.run([sys.executable, str(script), str(pid), str(hz), str(seconds)], stdout=subprocess.PIPE,
                          text=True, check=True)  # fmt: skip
    cost, rate = map(float, done.stdout.split())
    return cost, rate


def py_spy(pid: int, hz: float, seconds: float) -> tuple[float, float, float]:
    """The same of `py-spy record --nonblocking`, idle threads included."""
    executable = shutil.which("py-spy", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert executable is not None
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [executable, "record", "--pid", str(pid), "--rate", str(int(hz)), "--nonblocking", "--idle", "--threads",
             "--format", "raw", "--output", f"{folder}/out", "--duration", str(int(seconds + WARM_UP + 1))],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        started = time.monotonic()
        time.sleep(WARM_UP)
        before, start = cpu_seconds(process.pid), time.monotonic()
        time.sleep(seconds)
        used, elapsed = cpu_seconds(process.pid) - before, time.monotonic() - start
        memory = rss_mib(process.pid)
        said, _ = process.communicate()
        counted = Path(folder, "out").read_text()
    # Idle threads included, the main thread is in every sample: its lines add up to the number of samples.
    main = sum(int(line.rsplit(" ", 1)[1]) for line in counted.splitlines() if "MainThread" in line)
    found = re.search(r"Samples: (\d+)", said)
    samples = main or (int(found[1]) if found else 0)
    rate = samples / (time.monotonic() - started)
    return used / (rate * elapsed) * 1e6, rate, memory


def tachyon(python: str, pid: int, hz: float, seconds: float) -> tuple[float, float, float]:
    """The same of Python 3.15's `profiling.sampling`, all threads."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [python, "-m", "profiling.sampling", "attach", "-a", "-r", str(int(hz)), "-d",
             str(int(seconds + WARM_UP + 1)), "--binary", "-o", f"{folder}/out", str(pid)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        time.sleep(WARM_UP)
        before, start = cpu_seconds(process.pid), time.monotonic()
        time.sleep(seconds)
        used, elapsed = cpu_seconds(process.pid) - before, time.monotonic() - start
        memory = rss_mib(process.pid)
        said, _ = process.communicate()
    found = re.search(r"Captured ([\d,]+) samples in ([\d.]+)", said)
    if found is None:
        print(f"  (profiling.sampling said: {said.strip()[-300:]})")
        return float("nan"), float("nan"), memory
    rate = int(found[1].replace(",", "")) / float(found[2])
    return used / (rate * elapsed) * 1e6, rate, memory


def _python() -> Interpreter:
    """The version asked for, else a recent one."""
    versions = [_wanted] if _wanted is not None else [(3, 13), (3, 12), (3, 11)]
    python = next(filter(None, map(find, versions)), None)
    assert python is not None, "no such Python"
    return python


def against_py_spy(seconds: float) -> None:
    """In turn, three times each: what a machine charges for cold caches changes from minute to minute."""
    python = _python()
    print(f"\n9 threads x 20 frames on Python {python.label}, wait states included (py-spy has none)")
    row("", "us/sample", "Hz", "MiB", "ratio")
    for hz, goal in ((100, 10), (1000, 20)):
        with target(python.path, TARGET, 9, 20, 1) as process:
            pairs = [(ours(process.pid, hz, seconds), py_spy(process.pid, hz, seconds)) for _ in range(ROUNDS)]
        mine, peer = (
            [statistics.median(numbers) for numbers in zip(*each, strict=True)] for each in zip(*pairs, strict=True)
        )
        row(f"concview at {hz} Hz", f"{mine[0]:.0f}", f"{mine[1]:.0f}", f"{mine[2]:.0f}")
        each = ", ".join(f"{theirs[0] / own[0]:.1f}" for own, theirs in pairs)
        row(
            f"py-spy --nonblocking at {hz} Hz",
            f"{peer[0]:.0f}",
            f"{peer[1]:.0f}",
            f"{peer[2]:.0f}",
            f"{peer[0] / mine[0]:.1f} (goal {goal}; pair by pair: {each})",
        )


def against_tachyon(seconds: float) -> None:
    python = find((3, 15))
    if python is None:
        print("\nPython 3.15 is not on this machine: its profiler is not compared")
        return
    print("\n9 threads x 20 frames on Python 3.15 at 1 kHz")
    row("", "us/sample", "Hz", "ratio")
    with target(python.path, TARGET, 9, 20, 1) as process:
        alone, rate = stacks_alone(process.pid, 1000, seconds)
        peer = tachyon(python.path, process.pid, 1000, seconds)
        whole = ours(process.pid, 1000, seconds)
    row("profiling.sampling", f"{peer[0]:.0f}", f"{peer[1]:.0f}")
    row("concview, stacks alone", f"{alone:.0f}", f"{rate:.0f}", f"{alone / peer[0]:.2f} (goal 1)")
    row("concview, everything", f"{whole[0]:.0f}", f"{whole[1]:.0f}", f"{whole[0] / peer[0]:.2f} (goal 2)")


def many_threads(seconds: float) -> None:
    python = _python()
    print(f"\n100 threads x 20 frames on Python {python.label}")
    row("", "us/sample", "Hz", "MiB")
    with target(python.path, TARGET, 100, 20, 1) as process:
        for hz in (100, 1000):
            cost, rate, memory = ours(process.pid, hz, seconds)
            row(f"concview at {hz} Hz", f"{cost:.0f}", f"{rate:.0f}", f"{memory:.0f}")


def slowdown(seconds: float) -> None:
    """Throughput of 100 busy threads, watched and not, in turn for a third of a second each, with the collector stopped
    (SIGSTOP) in between. The machine's own unrest is larger than what is measured: many short pairs, of which the
    outer fifths are left out; the standard error says what is known, and the same with nothing to watch is printed
    beside it."""
    python = _python()
    print(f"\n100 busy threads on Python {python.label}: work lost while watched by default (goal: below 1 %)")
    row("", "lost", "collector, share of a core")
    pairs = max(20, int(seconds * 20))
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(8 * 100)
        counts = memoryview(mmap.mmap(file.fileno(), 8 * 100)).cast("Q")
        with target(python.path, BUSY_TARGET, 100, 10, file.name) as process:
            for name, rate in (("not watched at all", 0), ("watched at 100 Hz, within 5 %", 100)):
                lost, cpu, idle = _pairs(pairs, counts, process.pid, rate)
                middle, error = trimmed(lost)
                row(
                    name,
                    f"{middle:+.2%} ± {1.96 * error:.2%}",
                    f"{cpu:.1%}",
                    f"({len(lost)} pairs, {idle:.0%} of them on idle CPU time only)",
                )


def _pairs(pairs: int, counts: memoryview, pid: int, rate: int) -> tuple[list[float], float, float]:
    """(share of work lost in each pair of stretches, the collector's CPU while it ran as a share of a core, share of
    the pairs in which it took only CPU that nobody else wanted)."""
    watcher = None
    if rate:
        # It is stopped half of the time and measures its cost by the clock: half of the budget of 5 % is what the real
        # one comes to while it runs. With the whole it ran at twice its cost.
        command = [sys.executable, "-m", "concview.collector", "--pid", str(pid), "--rate", str(rate),
                   "--budget", "2.5"]  # fmt: skip
        watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        time.sleep(4)  # attaching is not counted, nor what comes before it knows whether a CPU is idle

    def work() -> float:
        time.sleep(0.05)  # after a change: caches, and the ticks that are made up for
        before, then = sum(counts), time.monotonic()
        time.sleep(0.3)
        return (sum(counts) - before) / (time.monotonic() - then)

    lost, cpu, idle, began = [], 0.0, 0, time.monotonic()
    for number in range(pairs):
        speed = {}
        for watched in (True, False) if number % 2 else (False, True):  # in turn, so that drift cancels out
            if watcher:
                watcher.send_signal(signal.SIGCONT if watched else signal.SIGSTOP)
            before = cpu_seconds(watcher.pid) if watcher else 0.0
            speed[watched] = work()
            cpu += cpu_seconds(watcher.pid) - before if watcher and watched else 0.0
        lost.append(1 - speed[True] / speed[False])
        idle += watcher is not None and any(
            os.sched_getscheduler(int(task.name)) == os.SCHED_IDLE
            for task in Path(f"/proc/{watcher.pid}/task").iterdir()
        )
    if watcher:
        watcher.send_signal(signal.SIGCONT)
        assert watcher.stdin is not None
        watcher.stdin.close()
        watcher.wait()
    return lost, cpu / ((time.monotonic() - began) / 2), idle / pairs


def trimmed(values: list[float], share: float = 0.2) -> tuple[float, float]:
    """Mean without the outer `share` on either side, and its standard error (Tukey and McLaughlin, 1963)."""
    values = sorted(values)
    cut = int(len(values) * share)
    kept = values[cut : len(values) - cut]
    winsorised = [*[kept[0]] * cut, *kept, *[kept[-1]] * cut]
    return statistics.fmean(kept), statistics.stdev(winsorised) / ((1 - 2 * share) * len(values) ** 0.5)


def locks_on_top(seconds: float) -> None:
    """What locks add to stacks and wait states: the engine with and without, in turn, and what the pairs say."""
    print("\nLocks on top of stacks, 9 threads x 20 frames at 100 Hz")
    row("", "without", "with", "added (goal < 30 %)")
    script = Path(__file__).with_name("_locks_cost.py")
    for python in [_python()] if _wanted else [i for i in interpreters() if not i.free_threaded]:
        for name, source, arguments in (("", TARGET, (9, 20, 1)), (", all in locks", LOCKING_TARGET, (9, 20))):
            with target(python.path, source, *arguments) as process:
                command = [sys.executable, str(script), str(process.pid), "100", str(max(5, int(seconds * 3)))]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            off, on = zip(*(map(float, line.split()) for line in done.stdout.splitlines()), strict=True)
            added, error = trimmed([b / a - 1 for a, b in zip(off, on, strict=True)])
            without, both = statistics.median(off), statistics.median(on)
            row(f"Python {python.label}{name}", f"{without:.0f}", f"{both:.0f}", f"{added:+.0%} ± {1.96 * error:.0%}")


#: How often builds are compared, and for how long before nothing is counted.
WINDOWS, SETTLED_S = 16, 12.0
#: Counts the samples of stretches in a recording: by each build's own Python, which knows its own stream.
COUNT = """
import json, sys
from concview import codec
from concview.model import Tick
at = [e.at_ns for block in codec.read_blocks(sys.stdin.buffer) for e in block if isinstance(e, Tick)]
print(json.dumps([sum(a <= t < b for t in at) for a, b in json.loads(sys.argv[1])]))
"""


def builds(seconds: float) -> None:
    """Builds beside each other on the demo lock-held-across-io, at 100 Hz and the default budget: each stretch gives a
    ratio of CPU per sample, in which neighbours and cold caches cancel out."""
    if _build is None:
        return
    here = Path(sys.executable)
    every: dict[str, tuple[Path, tuple[str, ...]]] = {
        "the other build": (_build, ()), "this one": (here, ()), "this one, --labels off": (here, ("--labels", "off")),
    }  # fmt: skip
    with subprocess.Popen(
        [str(here), "-m", "concview", "demo", "lock-held-across-io", "--headless"], stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        found = re.search(r"\d+", demo.stdout.readline())
        assert found is not None, "the demo did not say its number"
        try:
            rows = _stretches(every, int(found[0]), seconds / 2)
        finally:
            demo.terminate()
    print(f"\nBuilds beside each other on {found[0]} (lock-held-across-io), {WINDOWS} stretches of {seconds / 2:g} s")
    row("", "us/sample", "Hz", "% of a core", "ratio (quartiles)")
    first = next(iter(rows.values()))
    for name, cells in rows.items():
        ratios = sorted(mine[0] / other[0] for mine, other in zip(cells, first, strict=True))
        cost, rate, share = (statistics.median(values) for values in zip(*cells, strict=True))
        quarter = len(ratios) // 4
        row(
            name,
            f"{cost:.0f}",
            f"{rate:.0f}",
            f"{share:.2f}",
            f"{statistics.median(ratios):.2f} ({ratios[quarter]:.2f} to {ratios[-1 - quarter]:.2f})",
        )


def _stretches(
    every: dict[str, tuple[Path, tuple[str, ...]]], pid: int, seconds: float
) -> dict[str, list[tuple[float, float, float]]]:
    """Of each build, by stretch: (CPU microseconds per sample, samples per second, percent of a core)."""
    running = []
    for name, (python, more) in every.items():
        out = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process runs
        command = [str(python), "-m", "concview.collector", "--pid", str(pid), "--rate", "100", "--engine", "direct"]
        process = subprocess.Popen([*command, *more], stdin=subprocess.PIPE, stdout=out)
        running.append((name, python, process, out))
    time.sleep(SETTLED_S)
    marks: dict[str, list[tuple[int, float]]] = {name: [] for name in every}
    for number in range(WINDOWS + 1):
        for name, _, process, _ in running:
            marks[name].append((time.monotonic_ns(), cpu_seconds(process.pid)))
        if number < WINDOWS:
            time.sleep(seconds)
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for name, python, process, out in running:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        out.seek(0)
        between = list(itertools.pairwise(marks[name]))
        stretches = json.dumps([(a[0], b[0]) for a, b in between])
        done = subprocess.run([str(python), "-c", COUNT, stretches], stdin=out, stdout=subprocess.PIPE, check=True)
        out.close()
        rows[name] = [
            (1e6 * (b[1] - a[1]) / max(1, count), 1e9 * count / (b[0] - a[0]), 1e11 * (b[1] - a[1]) / (b[0] - a[0]))
            for (a, b), count in zip(between, json.loads(done.stdout), strict=True)
        ]
    return rows


PARTS = {"builds": builds, "py-spy": against_py_spy, "tachyon": against_tachyon, "many": many_threads,
         "slowdown": slowdown, "locks": locks_on_top}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", choices=sorted(PARTS))
    parser.add_argument("--python", help="the target's version, as 3.8, where more than one would do")
    parser.add_argument("--build", type=Path, help="the Python of another concview, to compare with")
    options = parser.parse_args()
    global _wanted, _build
    _build = options.build
    if options.python:
        major, minor = map(int, options.python.split("."))
        _wanted = major, minor
    print(machine())
    for name, part in PARTS.items():
        if options.only in (None, name):
            part(options.seconds)


if __name__ == "__main__":
    main()
