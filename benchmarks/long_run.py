"""Does our own memory stay as it is while a dashboard, a recorder and `serve` watch for hours? Exit code 1 when not.

    python benchmarks/long_run.py [--minutes 120] [--warm-up 15] [--only NAME ...] [--python 3.12]

Two targets: 100 threads that lock, queue, read and compute a little; and one whose threads come and go, 200 a second.
Once a minute the resident memory (RssAnon) and CPU of every process of ours is printed, by target and command. The
first ten minutes fill the history that is kept; after `--warm-up` minutes the trend (Theil-Sen: the median of the
slopes between all pairs of minutes) must be below 3 MB an hour for each.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from interpreters import interpreters

STEADY = """
import os, queue, threading, time
threading.stack_size(256 << 10)
lock, items, (r, w) = threading.Lock(), queue.Queue(10), os.pipe()
def locks(n):
    while True:
        with lock: time.sleep(0.002)
        time.sleep(0.2)
def puts(n):
    while True: items.put(n); time.sleep(0.1)
def takes(n):
    while True: items.get()
def writes(n):
    while True: os.write(w, b"x"); time.sleep(0.1)
def reads(n):
    while True: os.read(r, 1)
def computes(n):
    while True: sum(i * i for i in range(1000 + n * 37)); time.sleep(0.3)
def deep(n, more=30):
    if more: return deep(n, more - 1)
    while True: time.sleep(0.05)
each = [locks] * 25 + [puts] * 10 + [takes] * 10 + [writes] * 10 + [reads] * 10 + [computes] * 20 + [deep] * 15
for n, work in enumerate(each):
    threading.Thread(target=work, args=(n,), name=f"{work.__name__}-{n}", daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""
CHURN = """
import threading, time
threading.stack_size(256 << 10)
def work(n):
    time.sleep(0.01 + n % 7 / 500)
def starts(k):
    n = 0
    while True:
        n += 1
        threading.Thread(target=work, args=(n,), name=f"request-{k}-{n}", daemon=True).start()
        time.sleep(0.02)
for k in range(4): threading.Thread(target=starts, args=(k,), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""
TARGETS = {"100 threads": STEADY, "threads come and go": CHURN}
#: MB an hour.
MOST = 3.0


class Watcher:
    """One command of ours, at a terminal that somebody reads."""

    def __init__(self, target: str, name: str, command: list[str], folder: Path) -> None:
        self.target, self.name, self.folder = target, name, folder
        self.trail: list[tuple[float, float]] = []  # minutes, MB
        self.token = f"{os.getpid()}-{target}-{name}"
        here, there = pty.openpty()
        env = {**os.environ, "LONG_RUN": self.token, "TERM": "xterm-256color", "XDG_CONFIG_HOME": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "concview", *command], stdin=there, stdout=there, stderr=there, env=env,
            start_new_session=True,
        )  # fmt: skip
        os.close(there)
        threading.Thread(target=self._read, args=(here,), daemon=True).start()

    @staticmethod
    def _read(here: int) -> None:
        with contextlib.suppress(OSError):
            while os.read(here, 1 << 16):
                pass

    def look(self) -> tuple[float, float]:
        """MB and seconds of CPU of all its processes."""
        kilobytes, ticks = 0, 0
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError, StopIteration):
                if f"LONG_RUN={self.token}".encode() not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                lines = (entry / "status").read_text().splitlines()
                kilobytes += next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return kilobytes / 1024, ticks / os.sysconf("SC_CLK_TCK")

    def scrape(self) -> None:
        """Ask `serve` for its metrics, as Prometheus does."""
        place = self.folder / "s"
        if place.exists():
            with socket.socket(socket.AF_UNIX) as asks:
                asks.settimeout(30)
                asks.connect(str(place))
                asks.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                while asks.recv(1 << 16):
                    pass

    def trend(self, since: float) -> float:
        """MB an hour, after `since` minutes."""
        late = [(at, mb) for at, mb in self.trail if at >= since]
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(late, 2)]
        return 60 * statistics.median(slopes) if slopes else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--warm-up", type=float, default=15.0)
    every = ["attach", "record", "serve"]
    parser.add_argument("--only", nargs="*", choices=every, default=every)
    parser.add_argument("--python", default="3.12")
    options = parser.parse_args()
    python = next(p for p in interpreters() if p.label == options.python)
    watchers: list[Watcher] = []
    targets: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as name:
        try:
            for label, source in TARGETS.items():
                target = subprocess.Popen([python.path, "-c", source], stdout=subprocess.PIPE, text=True)
                targets.append(target)
                assert target.stdout is not None and target.stdout.readline() == "ready\n"
                folder = Path(name) / str(target.pid)
                folder.mkdir()
                commands = {
                    "attach": ["attach", str(target.pid)],
                    "record": ["record", str(target.pid), "-o", str(folder / "r"), "--keep", "10m"],
                    "serve": ["serve", str(target.pid), "--socket", str(folder / "s")],
                }
                watchers += [Watcher(label, each, commands[each], folder) for each in options.only]
            return 0 if watch(watchers, options.minutes, options.warm_up) else 1
        finally:
            for watcher in watchers:
                watcher.process.terminate()
            for watcher in watchers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    watcher.process.wait(20)
            for target in targets:
                target.kill()
                target.wait()


def watch(watchers: list[Watcher], minutes: float, warm_up: float) -> bool:
    print("minute  load  " + "  ".join(f"{w.target[:7]}, {w.name:>7}: MB  CPU%" for w in watchers), flush=True)
    began, before = time.monotonic(), [w.look()[1] for w in watchers]
    last = began
    while time.monotonic() - began < 60 * minutes:
        time.sleep(60)
        at, row = time.monotonic(), []
        for n, watcher in enumerate(watchers):
            if watcher.process.poll() is not None:
                print(f"{watcher.target}, {watcher.name}: ended with {watcher.process.returncode}")
                return False
            if watcher.name == "serve":
                watcher.scrape()
            mb, seconds = watcher.look()
            watcher.trail.append(((at - began) / 60, mb))
            row.append(f"{mb:26.1f} {100 * (seconds - before[n]) / (at - last):5.1f}")
            before[n] = seconds
        last = at
        print(f"{(at - began) / 60:6.1f} {os.getloadavg()[0]:5.1f}  " + "  ".join(row), flush=True)
    fine = True
    for watcher in watchers:
        trend = watcher.trend(warm_up)
        fine &= trend < MOST
        print(
            f"{watcher.target:20} {watcher.name:7} {watcher.trail[0][1]:6.1f} MB after a minute, "
            f"{watcher.trail[-1][1]:6.1f} MB at the end, {trend:+.2f} MB an hour after {warm_up:g} minutes"
            f"{'' if trend < MOST else ': GROWS'}"
        )
    return fine


if __name__ == "__main__":
    sys.exit(main())
