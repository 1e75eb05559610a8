"""What a compiled core would give: the same source, compiled by mypyc in a copy, beside itself.

    python benchmarks/compiled.py RECORDING [--rounds 3] [--python 3.13]

Needs setuptools (mypyc comes with mypy) and a C compiler. Three parts, each its own build: reading the recording into
samples, `check` of it, and the collector on 100 threads that wake ten times a second, both at the same moments. Then
the inner step of the collector where the kernel gives no records: asking each of 1,000 threads whether it has run, in
Python and in C. Ratios are pure to compiled CPU; above 1 compiled is cheaper. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from common import find, machine, row, target
from many_threads import TARGET, watch

SOURCE = Path(__file__).resolve().parents[1] / "src"
BUILD = """
import sys
from setuptools import setup
from mypyc.build import mypycify
files, sys.argv = sys.argv[1:], ["setup.py", "-q", "build_ext", "--inplace"]
setup(name="compiled", ext_modules=mypycify(["--ignore-missing-imports", *files], opt_level="2", debug_level="0"))
"""
READ = """
import sys, time
from pathlib import Path
from concview.session.recording import Recording
began = time.process_time()
for pieces in Recording(Path(sys.argv[1])).samples():
    pass
print(time.process_time() - began)
"""
CHECK = """
import sys, time
from concview.__main__ import main
sys.argv = ["concview", "check", sys.argv[1], "--fail-on", "never"]
out, sys.stdout = sys.stdout, open("/dev/null", "w")
began = time.process_time()
main()
print(time.process_time() - began, file=out)
"""
READING = ("analysis/samples/stream", "analysis/samples/values")
#: Of those in which `check` of a recording spends most, the ones without cached properties: mypyc (2.4.1) makes plain
#: ones of them, which are worked out at every use.
JUDGING = (
    "analysis/accounting", "analysis/history", "analysis/records", "analysis/blame/engine", "analysis/blame/window",
    "catalogue/evidence", "catalogue/rules/_stampede", "catalogue/rules/thundering_herd",
)  # fmt: skip
#: Those of a tick that mypyc takes as they are.
TICK = (
    "collector/budget", "collector/loop", "collector/pace", "collector/recorder", "cpython/threads", "cpython/walk",
    "engines/direct/engine", "engines/direct/exact_waits", "engines/direct/scheduled", "engines/direct/switch_watch",
    "engines/direct/thread_table", "linux/waits",
)  # fmt: skip
ASK = """
#include <string.h>
#include <unistd.h>
int ask(int n, const int *fds, char (*last)[64], int *sizes) {
    char line[64];
    int changed = 0;
    for (int i = 0; i < n; i++) {
        int got = pread(fds[i], line, 64, 0);
        if (got < 0 || got != sizes[i] || memcmp(line, last[i], got)) {
            changed++;
            sizes[i] = got;
            if (got > 0) memcpy(last[i], line, got);
        }
    }
    return changed;
}
"""


def compiled(folder: Path, modules: tuple[str, ...]) -> Path:
    """A copy of the source with these modules compiled."""
    copy = folder / modules[0].replace("/", ".") / "src"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    files = [f"concview/{module}.py" for module in modules]
    subprocess.run([sys.executable, "-c", BUILD, *files], cwd=copy, check=True, capture_output=True)
    return copy


def seconds(source: Path, program: str, recording: Path) -> float:
    environment = os.environ | {"PYTHONPATH": str(source)}
    command = [sys.executable, "-c", program, str(recording)]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def told(name: str, pairs: list[tuple[float, float]], unit: str) -> None:
    pure, built = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    row(name, f"{pure:.3g} {unit}", f"{built:.3g} {unit}", f"{statistics.median(ratios):.2f}",
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}")  # fmt: skip


def tick(source: Path, python: str, rounds: int) -> list[tuple[float, float]]:
    pairs: list[tuple[float, float]] = []
    for _ in range(rounds):
        with target(python, TARGET, 100, 0, 0) as process:
            found = watch({"pure": SOURCE, "compiled": source}, process.pid, 100, 80, 8)
            pairs.append((found["pure"].each_us, found["compiled"].each_us))
    return pairs


def ask(folder: Path, threads: int = 1000, times: int = 100) -> list[tuple[float, float]]:
    """Microseconds for all of them, 10 ms apart, in Python and in C."""
    (folder / "ask.c").write_text(ASK)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "ask.c", "-o", "ask.so"], cwd=folder, check=True)
    library, end = ctypes.CDLL(str(folder / "ask.so")), threading.Event()
    threading.stack_size(256 * 1024)
    sleepers = [threading.Thread(target=end.wait, daemon=True) for _ in range(threads)]
    for one in sleepers:
        one.start()
    files = [os.open(f"/proc/self/task/{one.native_id}/schedstat", os.O_RDONLY) for one in sleepers]
    last = dict.fromkeys(files, b"")
    fds, sizes = (ctypes.c_int * threads)(*files), (ctypes.c_int * threads)()
    lines = ctypes.create_string_buffer(64 * threads)
    pairs: list[tuple[float, float]] = []
    for _ in range(times):
        time.sleep(0.01)
        began = time.thread_time_ns()
        for fd, line in last.items():
            now = os.pread(fd, 64, 0)
            if now != line:
                last[fd] = now
        middle = time.thread_time_ns() - began
        time.sleep(0.01)
        began = time.thread_time_ns()
        library.ask(threads, fds, lines, sizes)
        pairs.append((middle / 1e3, (time.thread_time_ns() - began) / 1e3))
    end.set()
    for one in sleepers:
        one.join()
    for fd in files:
        os.close(fd)
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", default="3.13", help="the watched program's version")
    options = parser.parse_args()
    major, minor = map(int, options.python.split("."))
    python, recording = find((major, minor)), options.recording.resolve()
    assert python is not None, "no such Python"
    print(machine())
    row("", "pure", "compiled", "ratio", "of each pair")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, program, modules in (("reading", READ, READING), ("check", CHECK, JUDGING)):
            built = compiled(folder, modules)
            pairs = [(seconds(SOURCE, program, recording), seconds(built, program, recording))
                     for _ in range(options.rounds)]  # fmt: skip
            told(what, pairs, "s")
        told("a tick, 100 threads", tick(compiled(folder, TICK), python.path, options.rounds), "us")
        told("1,000 asked who ran", ask(folder), "us")


if __name__ == "__main__":
    main()
