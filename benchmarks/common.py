"""What the benchmarks share: targets, CPU accounting of other processes, tables."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from interpreters import Interpreter, interpreters

#: `threads` workers under `depth` frames. One computes without a pause, a quarter sleep and compute in turn, the rest
#: are blocked in recv: like a service. Arguments: THREADS DEPTH BUSY.
TARGET = """
import socket, sys, threading, time
threads, depth, busy = map(int, sys.argv[1:4])
keep = []
def down(n, work):
    if n > 0:
        return down(n - 1, work)
    return work()
def compute():
    while True:
        sum(range(200))
def naps():
    while True:
        sum(range(2000))
        time.sleep(0.005)
def blocked():
    a, b = socket.socketpair()
    keep.append(b)
    while True:
        a.recv(1)
for i in range(threads - 1):
    work = compute if i < busy else naps if i < busy + (threads - busy) // 4 else blocked
    threading.Thread(target=down, args=(depth - 3, work), daemon=True, name="worker-%d" % i).start()
print("ready", flush=True)
while True:
    time.sleep(0.5)
"""
#: The same kind of service, with locks: every thread is inside two `with` blocks most of the time, a third of them
#: waits for one shared lock, an RLock, a condition. Arguments: THREADS DEPTH.
LOCKING_TARGET = """
import sys, threading, time
threads, depth = map(int, sys.argv[1:3])
shared, again, condition = threading.Lock(), threading.RLock(), threading.Condition()
def down(n, work):
    if n > 0:
        return down(n - 1, work)
    return work()
def make(i):
    own = threading.Lock()
    kind = (shared, again, condition)[i % 3]
    def work():
        while True:
            with own:
                with kind:
                    sum(range(2000))
                    time.sleep(0.004)
            time.sleep(0.002)
    return work
for i in range(threads - 1):
    threading.Thread(target=down, args=(depth - 3, make(i)), daemon=True, name="worker-%d" % i).start()
print("ready", flush=True)
while True:
    time.sleep(0.5)
"""
#: Counts its own work in a file that the benchmark maps, too, so that no thread has to wait for the GIL to tell it.
BUSY_TARGET = """
import mmap, sys, threading, time
threads, depth = map(int, sys.argv[1:3])
with open(sys.argv[3], "r+b") as file:
    counts = memoryview(mmap.mmap(file.fileno(), 8 * threads)).cast("Q")
def down(n, i):
    if n > 0:
        return down(n - 1, i)
    while True:
        counts[i] += 1
        sum(range(500))
for i in range(threads):
    threading.Thread(target=down, args=(depth, i), daemon=True).start()
print("ready", flush=True)
time.sleep(1e6)
"""


@contextlib.contextmanager
def target(python: str, source: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A running target; killed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "workload.py"
        script.write_text(source)
        process = subprocess.Popen(
            [python, str(script), *map(str, arguments)], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "ready"
            time.sleep(0.3)
            yield process
        finally:
            process.kill()
            process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU of a process so far, user and system, to the nanosecond, with threads that have ended."""
    # The kernel's number for "the CPU clock of that process" (CPUCLOCK_SCHED, see clock_getcpuclockid(3)): the sum over
    # /proc/PID/task would lose what a thread used that ends between two looks.
    return time.clock_gettime(~pid << 3 | 2)


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def find(version: tuple[int, int]) -> Interpreter | None:
    """An interpreter of that minor version with a GIL, if the machine has one."""
    return next((i for i in interpreters() if i.version == version and not i.free_threaded), None)


def row(*cells: object) -> None:
    print("  " + "  ".join(f"{c:<34}" if i == 0 else f"{c:>12}" for i, c in enumerate(cells)), flush=True)


def machine() -> str:
    return f"{os.cpu_count()} CPUs, kernel {os.uname().release}, ours on Python {sys.version.split()[0]}"
