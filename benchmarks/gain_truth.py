"""Is "without this wait an estimated E times the throughput (L to at most N)" true? Pairs of programs, predicted
against real.

    python benchmarks/gain_truth.py [--seconds 8] [--only permits pool] [--python 3.12]

Of each pair the bad program is watched, and its largest held-up cause says how many times as many rounds its loops
could do. Then the rounds of the bad and of the fixed program are counted by themselves, unwatched. The fix removes the
wait and nothing else, so estimate and reality should agree within 5 %. In `mixed`, `server` and `compute` something
else becomes the limit: there the real gain must lie in the range. Exits with 1 where it does not.

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
    Pair(
        "server",
        "a lock held across a call to a server that answers one at a time, then not held",
        """
import multiprocessing, os, socket
def serve(listener):
    import selectors
    look = selectors.DefaultSelector()
    look.register(listener, selectors.EVENT_READ)
    mine = os.getppid()
    while os.getppid() == mine:
        for key, _ in look.select(1):
            if key.fileobj is listener:
                look.register(listener.accept()[0], selectors.EVENT_READ)
            elif data := key.fileobj.recv(1):
                time.sleep(0.02)
                key.fileobj.send(data)
            else:
                look.unregister(key.fileobj)
listener = socket.create_server(("127.0.0.1", 0))
multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True).start()
lock, mine = threading.Lock(), threading.local()
def once(number):
    if not hasattr(mine, "link"):
        mine.link = socket.create_connection(listener.getsockname())
    with lock if bad else contextlib.nullcontext():
        mine.link.send(b"x")
        mine.link.recv(1)
    time.sleep(0.01)
start(6, once)
""",
        bound=True,
    ),
    Pair(
        "compute",
        "a lock held across a call, then not; each round computes for some milliseconds",
        """
lock = threading.Lock()
def once(number):
    with lock if bad else contextlib.nullcontext():
        time.sleep(0.03)
    end = time.thread_time() + 0.006
    while time.thread_time() < end:
        pass
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


def predicted(python: str, script: Path, seconds: float) -> tuple[tuple[float, float, float] | None, str]:
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
    top = held[0]
    assert top.at_least is not None and top.estimate is not None and top.at_most is not None
    return (top.at_least, top.estimate, top.at_most), f"{top.path[0].via} {top.path[0].what}"


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
            said, what = predicted(python.path, script, options.seconds)
            bad = rounds(python.path, script, "bad", options.seconds)
            real = rounds(python.path, script, "fixed", options.seconds) / bad
            if said is None:
                row(pair.name, "nothing", f"{real:.2f}", "", "", what)
                failed += 1
                continue
            low, about, most = said
            off = about / real - 1
            inside = low * (1 - TOLERANCE) <= real <= most * (1 + TOLERANCE)
            wrong = not inside or (abs(off) > TOLERANCE and not pair.bound)
            failed += wrong
            row(
                pair.name,
                f"{low:.2f}..{about:.2f}..{most:.2f}",
                f"{real:.2f}",
                f"{off * 100:+.1f} %",
                "WRONG" if wrong else "in range" if pair.bound else "right",
                f"{what}: {pair.what}",
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
