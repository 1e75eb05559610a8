"""What the dashboard costs: the real program in a pseudo-terminal, attached to a target with 100 threads.

    python benchmarks/dashboard_cost.py [--threads 100] [--seconds 20] [--minutes 10]

Prints the time from the command to the first full screen (state, findings and thread rows drawn), the CPU of the
dashboard process, the bytes it sends to the terminal, and the memory of both processes; with --minutes also the memory
after that long. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import statistics
import struct
import sys
import termios
import threading
import time
from pathlib import Path

from common import TARGET, cpu_seconds, find, machine, row, rss_mib, target

SIZE = (50, 160)


class Terminal:
    """`concview attach PID` in a terminal of its own; what it draws is read and thrown away."""

    def __init__(self, pid: int, *options: str) -> None:
        self.started = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.execv(sys.executable, [sys.executable, "-m", "concview", "attach", str(pid), *options])
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
        self.received = 0
        self._seen = b""
        self.first_paint = self.first_full = 0.0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                select.select([self._fd], [], [])
                data = os.read(self._fd, 1 << 16)
            except OSError:
                return
            if not data:
                return
            self.received += len(data)
            now = time.monotonic() - self.started
            if not self.first_full:
                self._seen += data
                if not self.first_paint and b"Overview" in self._seen:
                    self.first_paint = now
                if b"LIVE" in self._seen and b"worker-" in self._seen and b"Where the time" in self._seen:
                    self.first_full = now

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def quit(self) -> float:
        """Seconds that leaving takes."""
        start = time.monotonic()
        self.press("q")
        os.waitpid(self.pid, 0)
        os.close(self._fd)
        return time.monotonic() - start


def collector_of(pid: int) -> int:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"concview.collector" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--minutes", type=float, default=0.0)
    options = parser.parse_args()
    python = find((3, 13)) or find((3, 12)) or find((3, 11))
    assert python is not None
    print(f"{machine()}\n{options.threads} threads x 20 frames on Python {python.label}, terminal {SIZE[1]}x{SIZE[0]}")
    with target(python.path, TARGET, options.threads, 20, 1) as process:
        starts = []
        for _ in range(5):
            terminal = Terminal(process.pid)
            deadline = time.monotonic() + 20
            while not terminal.first_full and time.monotonic() < deadline:
                time.sleep(0.01)
            starts.append((terminal.first_paint, terminal.first_full))
            terminal.quit()
        row("first paint", f"{statistics.median(p for p, _ in starts):.2f} s")
        row("attach to first full screen", f"{statistics.median(f for _, f in starts):.2f} s", "(goal below 1 s)")
        terminal = Terminal(process.pid)
        time.sleep(5)
        collector = collector_of(terminal.pid)
        for view, key in (("overview", "1"), ("threads", "2")):
            terminal.press(key)
            time.sleep(1)
            before, sampled, sent, start = (
                cpu_seconds(terminal.pid), cpu_seconds(collector), terminal.received, time.monotonic(),
            )  # fmt: skip
            time.sleep(options.seconds)
            elapsed = time.monotonic() - start
            used = (cpu_seconds(terminal.pid) - before) / elapsed
            own = (cpu_seconds(collector) - sampled) / elapsed
            row(f"dashboard, {view}", f"{used:.1%} of a core", "(goal below 10 %)")
            row(f"collector, {view}", f"{own:.1%} of a core")
            row(f"to the terminal, {view}", f"{(terminal.received - sent) / elapsed / 1024:.1f} KiB/s")
        row("memory now", f"{rss_mib(terminal.pid):.0f} MiB", f"collector {rss_mib(collector):.0f} MiB")
        if options.minutes:
            time.sleep(options.minutes * 60)
            row(f"memory after {options.minutes:g} min", f"{rss_mib(terminal.pid):.0f} MiB",
                f"collector {rss_mib(collector):.0f} MiB (goal 100)")  # fmt: skip
        row("leaving takes", f"{terminal.quit():.2f} s")


if __name__ == "__main__":
    main()
