"""Programs of many threads: CPU and rate of this collector beside an earlier one and py-spy, on the same target.

    python benchmarks/many_threads.py [--old CHECKOUT] [--peer] [--seconds 8] [--rounds 3] [--only NAME] [--budget 5]

`--old` is a checkout of an earlier version (git worktree add /tmp/old e540318): its collector watches the same target
at the same moments as this one's, so that both pay the same for cold caches and for neighbours. py-spy (`--peer`) has a
turn of its own after each round: it takes whole cores here. CPU is the kernel's accounting of the collector's process
over a stretch that begins 3 s after it was started, when the budget is to hold. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from common import cpu_seconds, find, machine, row, rss_mib, target
from concview import codec
from concview.model import Stats, Tick
from sampling_cost import py_spy

#: Attaching, first stacks, source files: not counted, and the budget need not hold yet.
WARM_UP_S = 3.0
#: Arguments: ACTIVE IDLE GROWING. Active threads wake up ten times a second and work a little; idle ones wait for an
#: event; of growing ones 200 a second are born, up to that number.
TARGET = """
import sys, threading, time
active, idle, growing = map(int, sys.argv[1:4])
threading.stack_size(256 * 1024)
never = threading.Event()
def deeper(n, work):
    return work() if n == 0 else deeper(n - 1, work)
def wake():
    while True:
        sum(range(2000))
        time.sleep(0.1)
def start(work):
    threading.Thread(target=deeper, args=(6, work), daemon=True).start()
for i in range(active):
    start(wake)
    time.sleep(0.1 / active)  # their moments are spread
for _ in range(idle):
    start(never.wait)
print("ready", flush=True)
for _ in range(growing):
    start(never.wait)
    time.sleep(0.005)
never.wait()
"""


#: Arguments: CONNECTIONS WORKERS DEPTH. Like a service of sync handlers behind an asyncio server: each connection makes
#: a task for a request, which goes down DEPTH coroutines, each in a block of its own, to a worker's call.
SERVICE = """
import asyncio, contextlib, queue, sys, threading, time
connections, workers, depth = map(int, sys.argv[1:4])
jobs, lock, cache = queue.Queue(), threading.Lock(), {}
def worker():
    while True:
        loop, future = jobs.get()
        with lock:
            cache[time.time_ns() % 100] = len(cache)
        time.sleep(0.03)
        answer = sum(range(3000))
        loop.call_soon_threadsafe(lambda: future.done() or future.set_result(answer))
class Layer:
    def __init__(self, inner, n):
        self.inner, self.name, self.options, self.n = inner, "layer", {}, n
    async def __aenter__(self):
        return self
    async def __aexit__(self, *failed):
        pass
    async def __call__(self, request):
        if self.n % 3:
            return await self.inner(request)
        async with contextlib.AsyncExitStack() as stack, self:
            request["stack"] = stack
            return await self.inner(request)
async def handler(request):
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    jobs.put((loop, future))
    return await future
app = handler
for n in range(depth):
    app = Layer(app, n)
async def connection(n):
    while True:
        await asyncio.create_task(app({"n": n}))
        await asyncio.sleep(0.05)
async def main():
    for _ in range(workers):
        threading.Thread(target=worker, daemon=True).start()
    every = [asyncio.create_task(connection(n)) for n in range(connections)]
    print("ready", flush=True)
    await asyncio.gather(*every)
asyncio.run(main())
"""


class Case(NamedTuple):
    name: str
    active: int
    idle: int
    growing: int = 0
    source: str = TARGET


CASES = (
    Case("at rest, 20 threads", 0, 20),
    Case("10 that wake 10 times/s", 10, 0),
    Case("100 that wake 10 times/s", 100, 0),
    Case("151 that wake 10 times/s", 151, 0),
    Case("500 that wake 10 times/s", 500, 0),
    Case("1,000 that wake 10 times/s", 1000, 0),
    Case("10 active, 990 idle", 10, 990),
    Case("10 active, 2,990 idle", 10, 2990),
    Case("10,000 idle", 0, 10_000),
    Case("10 active, growing by 200/s", 10, 0, 4000),
    Case("a service: 41 threads, 30 to 60 tasks", 30, 40, 9, SERVICE),
)


class Watch(NamedTuple):
    """What one collector did in the stretch."""

    cpu: float  #: share of a core
    hz: float  #: ticks a second
    memory: float  #: MiB

    @property
    def each_us(self) -> float:
        return 1e6 * self.cpu / self.hz if self.hz else float("nan")


class Collector:
    """The collector of a checkout at work on a process."""

    def __init__(self, source: Path, pid: int, hz: float, budget: float) -> None:
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process runs
        command = [sys.executable, "-m", "concview.collector", "--pid", str(pid), "--rate", str(hz),
                   "--budget", str(budget), "--engine", "direct"]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._out, env=os.environ | {"PYTHONPATH": str(source)}
        )

    def attached(self) -> None:
        """Wait until it has written something: it greets when it knows what it can see."""
        while os.fstat(self._out.fileno()).st_size == 0 and self._process.poll() is None:
            time.sleep(0.02)

    def begin(self) -> None:
        self._cpu, self._at = cpu_seconds(self._process.pid), time.monotonic_ns()

    def end(self) -> Watch:
        now = time.monotonic_ns()
        cpu = cpu_seconds(self._process.pid) - self._cpu
        memory = rss_mib(self._process.pid)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._out.seek(0)
        events = [e for block in codec.read_blocks(self._out) for e in block]
        self._out.close()
        ticks = sum(isinstance(e, Tick) and self._at <= e.at_ns < now for e in events)
        self.stats = [e for e in events if isinstance(e, Stats)]
        elapsed = (now - self._at) / 1e9
        return Watch(cpu / elapsed, ticks / elapsed, memory)


def watch(sources: dict[str, Path], pid: int, hz: float, budget: float, seconds: float) -> dict[str, Watch]:
    """All at once on one target."""
    collectors = {name: Collector(source, pid, hz, budget) for name, source in sources.items()}
    for collector in collectors.values():
        collector.attached()
    time.sleep(WARM_UP_S)
    for collector in collectors.values():
        collector.begin()
    time.sleep(seconds)
    found = {name: collector.end() for name, collector in collectors.items()}
    for name, collector in collectors.items():
        if os.environ.get("VERBOSE"):
            for s in collector.stats:
                print("   ", name, s.achieved_hz, s.own_cpu_percent, s.threads, s.seen, s.stacks, s.looks)
    return found


def compare(case: Case, sources: dict[str, Path], options: argparse.Namespace, python: str) -> None:
    rounds: list[dict[str, Watch]] = []
    peers: list[tuple[float, float, float]] = []
    for _ in range(options.rounds):
        with target(python, case.source, case.active, case.idle, case.growing) as process:
            rounds.append(watch(sources, process.pid, options.rate, options.budget, options.seconds))
            if options.peer:
                with contextlib.suppress(ZeroDivisionError):
                    peers.append(py_spy(process.pid, options.rate, options.seconds))
    print(f"\n{case.name}")
    for name in sources:
        each = [r[name] for r in rounds]
        cpu, hz, memory = (statistics.median(values) for values in zip(*each, strict=True))
        ratio = ""
        if name == "now" and "old" in sources:
            per = statistics.median(r["old"].each_us / r["now"].each_us for r in rounds)
            used = statistics.median(r["old"].cpu / r["now"].cpu for r in rounds)
            ratio = f"old/now: {per:.2f} a tick, {used:.2f} CPU"
        row(f"  {name}", f"{cpu:.1%}", f"{hz:.0f} Hz", f"{1e6 * cpu / max(hz, 0.1):.0f} us", f"{memory:.0f} MiB", ratio)
    if peers:
        cost, hz, memory = (statistics.median(values) for values in zip(*peers, strict=True))
        mine = statistics.median(r["now"].each_us for r in rounds)
        row(
            "  py-spy --nonblocking",
            f"{cost * hz / 1e6:.1%}",
            f"{hz:.0f} Hz",
            f"{cost:.0f} us",
            f"{memory:.0f} MiB",
            f"py-spy/now: {cost / mine:.1f} a tick",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, help="a checkout of an earlier version")
    parser.add_argument("--peer", action="store_true", help="py-spy, too")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--budget", type=float, default=5.0, help="percent of a core; 100: what a tick costs")
    parser.add_argument("--only", action="append", help="part of a case's name")
    parser.add_argument("--python", default="3.13", help="the target's version")
    options = parser.parse_args()
    major, minor = map(int, options.python.split("."))
    python = find((major, minor))
    assert python is not None, "no such Python"
    sources = {"now": Path(__file__).resolve().parents[1] / "src"}
    if options.old:
        sources["old"] = options.old.resolve() / "src"
    print(f"{machine()}; targets on Python {python.label}; {options.rate:g} Hz asked, budget {options.budget:g} %")
    row("", "CPU", "achieved", "each", "memory", "")
    for case in CASES:
        if not options.only or any(part in case.name for part in options.only):
            compare(case, sources, options, python.path)


if __name__ == "__main__":
    main()
