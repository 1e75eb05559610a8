"""How soon there is something to see: the list of processes, a live process, a recording, beside an empty Textual app.

    python benchmarks/startup.py [--runs 9]

In a pseudo-terminal, medians: from the start of the process to the first picture (painted before Textual is imported),
to the dashboard's own first picture, to the full screen. CPU is that of the program's own process up to then, without
the collector: on a busy machine it says more than the time. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import TARGET, find, machine, row, target
from terminal import CONCVIEW, SIZE, Terminal

EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    BINDINGS = [("q", "quit", "")]
    def compose(self):
        yield Static("Nothing here")
Empty().run()
"""


def interpreter(runs: int) -> float:
    took = []
    for _ in range(runs):
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        took.append(time.monotonic() - start)
    return statistics.median(took)


def measure(name: str, command: tuple[str, ...], marks: dict[str, str], runs: int) -> None:
    """`marks`: words on the screen -> what they mean."""
    found: dict[str, list[tuple[float, float]]] = {mark: [] for mark in marks}
    missed = 0
    for _ in range(runs):
        terminal = Terminal(command, list(marks))
        missed += not terminal.wait()
        for mark in marks:
            if mark in terminal.seen:
                found[mark].append((terminal.seen[mark], terminal.spent[mark]))
        terminal.quit()
    for mark, meaning in marks.items():
        if found[mark]:
            wall, cpu = (statistics.median(values) for values in zip(*found[mark], strict=True))
            row(f"{name}: {meaning}", f"{wall * 1000:.0f} ms", f"{cpu * 1000:.0f} ms of CPU")
    if missed:
        row(name, f"{missed} of {runs} runs", "did not get so far within 30 s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    python = find((3, 13)) or find((3, 12)) or find((3, 11))
    assert python is not None
    print(f"{machine()}\nterminal {SIZE[1]}x{SIZE[0]}, medians of {runs} runs; goal: first picture below 500 ms")
    row("an interpreter that does nothing", f"{interpreter(runs) * 1000:.0f} ms")
    with tempfile.TemporaryDirectory() as folder, target(python.path, TARGET, 20, 20, 1) as process:
        empty, recording = Path(folder) / "empty.py", Path(folder) / "recording"
        empty.write_text(EMPTY)
        record = [*CONCVIEW, "record", str(process.pid), "-o", str(recording), "--duration", "5"]
        subprocess.run(record, check=True, capture_output=True)
        measure("an empty Textual app", (sys.executable, str(empty)), {"Nothing here": "first picture"}, runs)
        measure("concview", CONCVIEW, {"concview": "first picture", "ATTACH": "the list"}, runs)
        marks = {"concview": "first picture", "Overview": "the dashboard", "Where the time": "full screen"}
        measure("replay", (*CONCVIEW, "replay", str(recording)), marks, runs)
        measure("attach", (*CONCVIEW, "attach", str(process.pid)), marks, runs)


if __name__ == "__main__":
    main()
