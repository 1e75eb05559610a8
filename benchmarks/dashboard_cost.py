"""What the dashboard costs: the real program in a pseudo-terminal, attached to a target with 100 threads.

    python benchmarks/dashboard_cost.py [--threads 100] [--seconds 20] [--minutes 10]

Prints the time from the command to the first full screen (state, findings and thread rows drawn), the CPU of the
dashboard process, the bytes it sends to the terminal, and the memory of both processes; with --minutes also the memory
after that long. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from common import TARGET, cpu_seconds, find, machine, row, rss_mib, target
from terminal import CONCVIEW, SIZE, Terminal

#: The words that a full screen shows.
FULL = ("LIVE", "worker-", "Where the time")


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
        attach = (*CONCVIEW, "attach", str(process.pid))
        starts = []
        for _ in range(5):
            terminal = Terminal(attach, FULL)
            if terminal.wait():
                starts.append(max(terminal.seen.values()))
            terminal.quit()
        row("attach to first full screen", f"{statistics.median(starts):.2f} s", "(goal below 1 s)")
        terminal = Terminal(attach)
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
            row(
                f"memory after {options.minutes:g} min",
                f"{rss_mib(terminal.pid):.0f} MiB",
                f"collector {rss_mib(collector):.0f} MiB (goal 100)",
            )
        row("leaving takes", f"{terminal.quit():.2f} s")


if __name__ == "__main__":
    main()
