"""Requests per second of a service with concview and without, in alternation. The service is yours, and runs.

    python benchmarks/service_cost.py URL PID [--pairs 30] [--seconds 3] [--connections 4]

Needs wrk. `concview record` watches the process, and is stopped (SIGSTOP, collector and all) for one of the two
stretches of each pair; which one changes from pair to pair, since neighbours on the machine come and go. Printed are
requests per second and the CPU that the process itself took for one, of both, and the differences in percent: median
over pairs with a 95 % interval by bootstrap. What the kernel's records cost that is written meanwhile is in both.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import cpu_seconds, machine

#: After `record` has started: attaching takes more than sampling does.
WARM_UP_S = 3.0


def load(url: str, seconds: float, connections: int) -> float:
    """Requests per second."""
    line = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds:.0f}s", url]
    said = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec:\s*([\d.]+)", said)
    if found is None or "Non-2xx" in said:
        raise SystemExit(f"the service does not answer as it should:\n{said}")
    return float(found[1])


def stretch(arguments: argparse.Namespace) -> tuple[float, float]:
    """(requests per second, microseconds of the process's own CPU for one)."""
    before = cpu_seconds(arguments.pid)
    rate = load(arguments.url, arguments.seconds, arguments.connections)
    return rate, (cpu_seconds(arguments.pid) - before) / (rate * arguments.seconds) * 1e6


def interval(values: list[float]) -> tuple[float, float]:
    """95 %, of the median."""
    pick = random.Random(1)
    medians = sorted(statistics.median(pick.choices(values, k=len(values))) for _ in range(5_000))
    return medians[125], medians[-126]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("pid", type=int)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=4)
    arguments = parser.parse_args()
    print(machine())
    load(arguments.url, 3, arguments.connections)
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "concview", "record", str(arguments.pid), "-o", str(Path(folder, "it.concview"))]
        record = subprocess.Popen(line, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            time.sleep(WARM_UP_S)
            if record.poll() is not None:
                raise SystemExit("record has ended")
            for number in range(arguments.pairs):
                for on in (False, True) if number % 2 else (True, False):
                    os.killpg(record.pid, signal.SIGCONT if on else signal.SIGSTOP)
                    time.sleep(0.3)
                    found[on].append(stretch(arguments))
        finally:
            os.killpg(record.pid, signal.SIGCONT)
            record.terminate()
            record.wait(30)
    for column, what in enumerate(("requests a second", "us of CPU for one")):
        without, with_us = ([one[column] for one in found[on]] for on in (False, True))
        differences = [100 * (a - b) / b for a, b in zip(with_us, without, strict=True)]
        low, high = interval(differences)
        print(
            f"{what}: {statistics.median(without):.1f} without, {statistics.median(with_us):.1f} with; "
            f"difference {statistics.median(differences):+.1f} % ({low:+.1f} to {high:+.1f} %)"
        )


if __name__ == "__main__":
    main()
