"""Requests per second of a service with concview and without, in alternation. The service is yours, and runs.

    python benchmarks/service_cost.py URL PID... [--pairs 12] [--seconds 8] [--connections 4] [--tree]

Needs wrk. Each pair is two stretches of load, one of them with `concview record` on the given processes; which comes
first changes from pair to pair, since neighbours on the machine come and go. Printed are requests per second of both, and
the difference in percent, median over pairs with a 95 % interval by bootstrap.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine

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


def watched(arguments: argparse.Namespace, folder: Path, number: int) -> float:
    out = folder / f"{number}.concview"
    line = [sys.executable, "-m", "concview", "record", *(["--tree"] if arguments.tree else []), *arguments.pid]
    process = subprocess.Popen([*line, "-o", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        time.sleep(WARM_UP_S)
        if process.poll() is not None:
            raise SystemExit(process.stderr.read().decode() if process.stderr else "record has ended")
        return load(arguments.url, arguments.seconds, arguments.connections)
    finally:
        process.terminate()
        process.wait(30)


def interval(values: list[float]) -> tuple[float, float]:
    """95 %, of the median."""
    pick = random.Random(1)
    medians = sorted(statistics.median(pick.choices(values, k=len(values))) for _ in range(5_000))
    return medians[125], medians[-126]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("pid", nargs="+")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--tree", action="store_true")
    arguments = parser.parse_args()
    print(machine())
    load(arguments.url, 3, arguments.connections)
    alone: list[float] = []
    both: list[float] = []
    differences: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.pairs):
            if number % 2:
                with_us = watched(arguments, Path(folder), number)
                without = load(arguments.url, arguments.seconds, arguments.connections)
            else:
                without = load(arguments.url, arguments.seconds, arguments.connections)
                with_us = watched(arguments, Path(folder), number)
            alone.append(without)
            both.append(with_us)
            differences.append(100 * (with_us - without) / without)
            print(f"  {without:8.1f} without, {with_us:8.1f} with: {differences[-1]:+.1f} %", flush=True)
    low, high = interval(differences)
    print(f"{statistics.median(alone):.1f} requests a second without, {statistics.median(both):.1f} with; ", end="")
    print(f"difference {statistics.median(differences):+.1f} % ({low:+.1f} to {high:+.1f} %)")


if __name__ == "__main__":
    main()
