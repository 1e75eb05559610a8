"""A master with its workers under one budget, side by side with `py-spy record --subprocesses`; and attaching to many.

    python benchmarks/tree_cost.py [--python PATH] [--workers 8] [--threads 20] [--seconds 15] [--attach 16]

Both record the same tree at the same rate and at the same time, so that both have the same machine. Told is the CPU of
the tool with all its processes by the kernel's account, after what it takes to start; the ratio; what rate each reached
(py-spy says how many samples it took, of all processes together); and how long `Group.start` takes for many processes,
with the CPU of all that takes part, and their memory.
py-spy runs with --nonblocking: by default it stops every process for each sample.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from common import machine
from concview.process.tree import Member
from concview.session import LiveSource, Session
from concview.session.group import Group
from concview.session.launcher import Launcher
from concview.session.recording import Recording
from concview.session.several import cast_of

WARM_UP_S = 15.0
#: Of each worker's threads one computes now and then, a quarter naps, the rest waits for a socket.
TREE = """
import multiprocessing, os, signal, socket, sys, threading, time
workers, threads = map(int, sys.argv[1:3])
def naps():
    while True:
        sum(range(2000))
        time.sleep(0.02)
def blocked():
    a, b = socket.socketpair()
    while True:
        a.recv(1)
def down(n, work):
    return down(n - 1, work) if n else work()
def work(ready):
    for i in range(threads - 1):
        threading.Thread(target=down, args=(15, naps if i < threads // 4 else blocked), daemon=True).start()
    ready.release()
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)
parent = os.getpid()
context = multiprocessing.get_context("fork")
ready = context.Semaphore(0)
for _ in range(workers):
    context.Process(target=work, args=(ready,)).start()
for _ in range(workers):
    ready.acquire()
print("ready", flush=True)
time.sleep(10_000)
"""


def used(pid: int) -> float:
    """CPU seconds of a process and of all below it; ended children included."""
    total = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:2])
    return total + sum(psutil.Process(pid).cpu_times()[2:4])


def tree(python: str, workers: int, threads: int, folder: Path) -> subprocess.Popen[str]:
    script = folder / "tree.py"
    script.write_text(TREE)
    process = subprocess.Popen([python, str(script), str(workers), str(threads)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def side_by_side(python: str, workers: int, threads: int, seconds: float, rate: int, folder: Path) -> None:
    target = tree(python, workers, threads, folder)
    ours = folder / "ours.concview"
    commands = {
        "concview record --tree": [
            sys.executable, "-m", "concview", "record", "--tree", str(target.pid), "-o", str(ours), "--rate", str(rate),
        ],
        "py-spy record --subprocesses": [
            "py-spy", "record", "--subprocesses", "--nonblocking", "--pid", str(target.pid), "--rate", str(rate),
            "--format", "raw", "--idle", "--output", str(folder / "theirs"), "--duration", "100000",
        ],
    }  # fmt: skip
    tools = {
        name: subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name, command in commands.items()
    }
    try:
        time.sleep(WARM_UP_S)
        before = {name: used(tool.pid) for name, tool in tools.items()}
        began = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        cpu = {name: 100 * (used(tool.pid) - before[name]) / passed for name, tool in tools.items()}
    finally:
        for tool in tools.values():
            tool.send_signal(signal.SIGINT)
        for tool in tools.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                tool.wait(30)
            if tool.poll() is None:
                tool.kill()
        os.kill(target.pid, signal.SIGKILL)
        target.wait()
    print(f"{workers} workers x {threads} threads, {rate} Hz asked of each process, {passed:.0f} s")
    for name, percent in cpu.items():
        print(f"  {name:<30} {percent:7.1f} % of a core")
    first, second = cpu.values()
    print(f"  ratio {second / first if first else float('inf'):.1f} (goal 20); concview's budget 5 %")
    rates = []
    for process in cast_of(ours).watched:
        samples = Recording(ours, process.number).samples()
        for _ in samples:
            pass
        rates.append(samples.ticks / samples.seconds if samples.seconds else 0.0)
    print(f"  concview reached {min(rates):.0f} to {max(rates):.0f} Hz in each of {len(rates)} processes")
    taken = sum(int(line.rpartition(" ")[2]) for line in (folder / "theirs").read_text().splitlines())
    each = taken / (WARM_UP_S + passed) / (workers * threads)
    print(f"  py-spy took {taken} stacks: about {each:.0f} Hz of each thread")


def attaching(python: str, processes: int, folder: Path) -> None:
    target = tree(python, processes - 1, 4, folder)

    def make(member: Member, budget: float, launcher: Launcher) -> Session:
        return Session(LiveSource(member.pid, budget=budget, launcher=launcher), alone=False)

    group = Group([target.pid], True, 5.0, make)
    try:
        began, cpu = time.monotonic(), time.process_time()
        group.start()
        passed = time.monotonic() - began
        collectors = psutil.Process().children(recursive=True)
        collectors = [p for p in collectors if any("concview.collector" in part for part in p.cmdline())]
        spent = time.process_time() - cpu + sum(sum(p.cpu_times()[:2]) for p in collectors)
        time.sleep(5.0)
        shared = sum(p.memory_full_info().pss for p in collectors) >> 20
        print(f"attached to {len(group.parts())} processes in {passed:.2f} s (goal below 2), {spent:.2f} s of CPU;")
        print(f"  {len(collectors)} processes of ours with {shared} MB together (proportional set size)")
    finally:
        group.close()
        os.kill(target.pid, signal.SIGKILL)
        target.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--threads", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--attach", type=int, default=16)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        side_by_side(options.python, options.workers, options.threads, options.seconds, options.rate, Path(folder))
        attaching(options.python, options.attach, Path(folder))


if __name__ == "__main__":
    main()
