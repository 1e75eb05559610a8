"""What blame costs in the session: CPU for each half second of a stream.

    python benchmarks/blame_cost.py [FILE ...] [--seconds 12] [--threads 100] [--many 10000]

Without files, a service of 100 threads that wait for each other in every way (locks, permits, a pool on a Condition,
queues, sockets inside the process, futures) is recorded first, and played as a session does it; then histories of
100, 1,000 and 10,000 threads, made up. For each: CPU of a half second (mean, 95 %, max), and of one
picture (what is in the way of every thread now), moments with a change and those that were followed, milliseconds of
parsing in all, and the share of the active time that stays unexplained.

Wanted: 100 threads at most 35 ms a half second on average, 10,000 at most 250. Exits with 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from common import find, machine, row, target
from concview.analysis.blame.tracker import Tracker
from concview.analysis.blame.window import SLICE_NS
from concview.analysis.history import History
from concview.analysis.window import Window
from concview.source.facts import SourceFacts
from concview.source.wakes import Wakes
from rule_cost import events_of, record

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "catalogue"))

from build import RUNNING, SLEEP, Scene, frame, holds, recv, site, stdlib, waits_for

#: The service of the first part. Arguments: THREADS.
SERVICE = """
import concurrent.futures, queue, socket, sys, threading, time
count = int(sys.argv[1])
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
lock, permits, pool = threading.Lock(), threading.BoundedSemaphore(4), Pool(3)
jobs, executor = queue.Queue(20), concurrent.futures.ThreadPoolExecutor(4)
def ask(a):
    a.send(b"x")
    a.recv(1)
def answering(b):
    while b.recv(1):
        time.sleep(0.004)
        b.send(b"y")
def locking():
    while True:
        with lock:
            time.sleep(0.002)
        time.sleep(0.01)
def permitted():
    a, b = socket.socketpair()
    threading.Thread(target=answering, args=(b,), daemon=True, name="answering-0").start()
    while True:
        with permits:
            ask(a)
        time.sleep(0.01)
def pooled():
    while True:
        one = pool.take()
        time.sleep(0.004)
        pool.give(one)
        time.sleep(0.01)
def making():
    while True:
        jobs.put(1)
        time.sleep(0.01)
def working():
    while True:
        jobs.get()
        time.sleep(0.012)
def submitting():
    while True:
        executor.submit(time.sleep, 0.003).result()
        time.sleep(0.01)
kinds = (locking, permitted, pooled, making, working, submitting)
number = 0
while threading.active_count() < count - 3:
    kind = kinds[number % len(kinds)]
    threading.Thread(target=kind, daemon=True, name="%s-%d" % (kind.__name__, number)).start()
    number += 1
print("ready", flush=True)
while True:
    time.sleep(0.5)
"""
#: Milliseconds a half second that are wanted at most, of 100 threads and of more.
WANTED_MS, BOUND_MS = 35.0, 250.0


class Cost:
    def __init__(self, wakes: Wakes) -> None:
        self.wakes, self.tracker = wakes, Tracker(wakes)
        self.halves: list[float] = []
        self.pictures: list[float] = []
        self.unexplained = 0.0

    def follow(self, history: History) -> None:
        """As the session does: once a window, and once a picture."""
        start = time.thread_time()
        found = self.tracker.blame(Window(history))
        self.halves.append((time.thread_time() - start) * 1000)
        start = time.thread_time()
        self.tracker.now()
        self.pictures.append((time.thread_time() - start) * 1000)
        self.unexplained = found.share(found.unexplained) if found is not None else 0.0

    def report(self, name: str) -> float:
        halves = self.halves[2:]  # the first ones look at the source
        slices = self.tracker.blamer.slices
        moments, followed = sum(s.moments for s in slices), sum(s.followed for s in slices)
        mean = statistics.mean(halves)
        row(
            name,
            f"{mean:.1f}",
            f"{statistics.quantiles(halves, n=20)[-1]:.1f}",
            f"{max(self.halves):.1f}",
            f"{statistics.median(self.pictures):.1f}",
            f"{followed} of {moments}",
            f"{self.wakes.uses.parsed_s * 1000:.0f}",
            f"{self.unexplained * 100:.1f} %",
        )
        return mean


def played(path: Path) -> Cost:
    history, looked = History(), 0
    cost: Cost | None = None
    for event in events_of(path):
        history.apply(event)
        if cost is None and history.hello is not None:
            cost = Cost(Wakes(SourceFacts(None, history.hello.target.started).lines))
        if cost is not None and history.now_ns - max(looked, history.first_ns) >= SLICE_NS:
            looked = history.now_ns
            cost.follow(history)
    assert cost is not None
    return cost


def made_up(threads: int, seconds: float, hz: float) -> Cost:
    """Threads of which a tenth changes at every tick: more than a machine can run, as the worst of all cases."""
    chance = random.Random(1)
    lock = site("LOCK", 10)
    conditions = [
        ([frame("work", 11)], RUNNING, ()),
        ([frame("work", 12)], SLEEP, ()),
        ([frame("work", 12, holds=(lock,))], recv(), holds(0x10, lock)),
        ([frame("work", 10, acquires=lock)], waits_for(0x10), ()),
        ([stdlib("Queue.get", "queue.py"), frame("serve", 20)], waits_for(0x20, via="Queue.get"), ()),
        ([stdlib("Event.wait", "threading.py"), frame("gate", 30)], waits_for(0x30, via="Event.wait"), ()),
    ]
    scene = Scene(hz=hz, rules={})
    tids = [scene.thread(f"t-{n}") for n in range(threads)]
    for tid in tids:
        scene.do(tid, *chance.choice(conditions))
    cost = Cost(Wakes(lambda _: ()))

    def script(at: float) -> None:
        for tid in chance.sample(tids, threads // 10):
            scene.do(tid, *chance.choice(conditions))

    for _ in range(int(seconds * 2)):
        scene.play(0.5, script)
        cost.follow(scene.history)
    return cost


def costs(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Cost, float]]:
    if options.files:
        for path in options.files:
            yield path.name, played(path), 0.0
        return
    python = find((3, 13)) or find((3, 12)) or find((3, 11))
    assert python is not None
    with target(python.path, SERVICE, options.threads) as process:
        path = record(process.pid, folder / "x.concview", options.seconds)
        yield f"{options.threads} threads", played(path), WANTED_MS if options.threads <= 100 else 0.0
    for threads, seconds, hz in ((100, 5.0, 100.0), (1_000, 5.0, 20.0), (options.many, 10.0, 10.0)):
        wanted = WANTED_MS if threads <= 100 else BOUND_MS
        yield f"{threads:,} threads, made up", made_up(threads, seconds, hz), wanted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--threads", type=int, default=100)
    parser.add_argument("--many", type=int, default=10_000)
    options = parser.parse_args()
    print(machine())
    row("CPU, ms", "half second", "95 %", "max", "a picture", "followed", "parsing", "unexplained")
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, cost, wanted in costs(options, Path(folder)):
            missed += 0 < wanted < cost.report(name)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
