"""Is "without this wait at most N times the throughput" true? Pairs of programs, predicted against real.

    python benchmarks/gain_truth.py [--seconds 8] [--only permits pool] [--python 3.12]

Of each pair the bad program is watched, and its largest held-up cause says how many times as many rounds its loops
could do at most. Then the rounds of the bad and of the fixed program are counted by themselves, unwatched. The fix
removes the wait and nothing else, so the two should agree within 5 %; `mixed` has a second thing to wait for, which the
formula does not know of and which limits the real gain: there the prediction is a bound, as it says. Exits with 1 where
the real gain is beyond the bound by more than the tolerance, or, of a pair that is not mixed, not within it.

On a machine that others keep busy the bad program loses more than the wait: at each hand-over, who was woken waits for
a CPU as well. The load average is printed for that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common import find, machine, row
from concview.session.session import Session
from concview.session.stream_source import LiveSource

TOLERANCE = 0.05
#: What all programs share. Arguments: VARIANT SECONDS (0: until it is killed). It prints its rounds a second.
HEAD = """
import contextlib, fcntl, queue, sys, tempfile, threading, time
bad, seconds = sys.argv[1] == "bad", float(sys.argv[2])
counts = [0] * 64
def loop(number, once):
    while True:
        once(number)
        counts[number] += 1
def start(workers, once):
    for number in range(workers):
        threading.Thread(target=loop, args=(number, once), daemon=True, name="web-%d" % number).start()
    print("ready", flush=True)
    time.sleep(1)
    before, at = sum(counts), time.monotonic()
    time.sleep(seconds or 600)
    print((sum(counts) - before) / (time.monotonic() - at), flush=True)
"""


@dataclass(frozen=True)
class Pair:
    name: str
    what: str
    source: str
    bound: bool = False  #: something else becomes the limit


PAIRS = (
    Pair(
        "permits",
        "a semaphore of 3, then of 12",
        """
permits = threading.Semaphore(3 if bad else 12)
def once(number):
    with permits:
        time.sleep(0.04)
start(12, once)
""",
    ),
    Pair(
        "pool",
        "a pool on a Condition with 2, then 8",
        """
class Pool:
    def __init__(self, size): self.cond, self.free = threading.Condition(), list(range(size))
    def take(self):
        with self.cond:
            while not self.free:
                self.cond.wait()
            return self.free.pop()
    def give(self, one):
        with self.cond:
            self.free.append(one)
            self.cond.notify()
pool = Pool(2 if bad else 8)
def once(number):
    one = pool.take()
    time.sleep(0.04)
    pool.give(one)
start(8, once)
""",
    ),
    Pair(
        "file-lock",
        "one locked file, then one each",
        """
folder = tempfile.mkdtemp()
def once(number):
    with open("%s/%d" % (folder, 0 if bad else number), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        time.sleep(0.04)
        fcntl.flock(file, fcntl.LOCK_UN)
start(5, once)
""",
    ),
    Pair(
        "lock-across-call",
        "a lock held across a call, then not",
        """
lock = threading.Lock()
def once(number):
    with lock if bad else contextlib.nullcontext():
        time.sleep(0.03)
    time.sleep(0.01)
start(6, once)
""",
    ),
    Pair(
        "queue-as-pool",
        "2 connections in a queue, then 8",
        """
connections = queue.Queue()
for number in range(2 if bad else 8):
    connections.put(number)
def once(number):
    connection = connections.get()
    time.sleep(0.04)
    connections.put(connection)
start(8, once)
""",
    ),
    Pair(
        "mixed",
        "a semaphore of 2, then of 8, behind it 4 permits of another",
        """
outer, inner = threading.Semaphore(2 if bad else 8), threading.Semaphore(4)
def once(number):
    with outer:
        with inner:
            time.sleep(0.04)
start(8, once)
""",
        bound=True,
    ),
)


def started(python: str, script: Path, variant: str, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [python, str(script), variant, str(seconds)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    return process


def rounds(python: str, script: Path, variant: str, seconds: float) -> float:
    process = started(python, script, variant, seconds)
    try:
        assert process.stdout is not None
        return float(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def predicted(python: str, script: Path, seconds: float) -> tuple[float | None, str]:
    """What the largest held-up cause says, and what it is."""
    process = started(python, script, "bad", 0)
    try:
        session = Session(LiveSource(process.pid))
        session.start()
        try:
            blame = session.wait(seconds).blame
        finally:
            session.close()
    finally:
        process.kill()
        process.wait()
    held = [c for c in blame.causes if c.at_most is not None and c.kind != "unexplained"] if blame is not None else []
    if not held:
        return None, blame.verdict if blame is not None else "nothing"
    return held[0].at_most, f"{held[0].path[0].via} {held[0].path[0].what}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--python", default="3.12")
    options = parser.parse_args()
    major, minor = options.python.split(".")
    python = find((int(major), int(minor)))
    assert python is not None, "no such Python here"
    print(f"{machine()}, targets on Python {options.python}, load average {os.getloadavg()[0]:.1f}")
    row("pair", "predicted", "real", "off by", "", "")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for pair in PAIRS:
            if options.only and pair.name not in options.only:
                continue
            script = Path(folder) / f"{pair.name.replace('-', '_')}.py"
            script.write_text(HEAD + pair.source)
            at_most, what = predicted(python.path, script, options.seconds)
            bad = rounds(python.path, script, "bad", options.seconds)
            real = rounds(python.path, script, "fixed", options.seconds) / bad
            if at_most is None:
                row(pair.name, "nothing", f"{real:.2f}", "", "", what)
                failed += 1
                continue
            off = at_most / real - 1
            wrong = off < -TOLERANCE or (off > TOLERANCE and not pair.bound)
            failed += wrong
            row(
                pair.name, f"<= {at_most:.2f}", f"{real:.2f}", f"{off * 100:+.1f} %",
                "WRONG" if wrong else "a bound" if pair.bound else "right", f"{what}: {pair.what}",
            )  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
