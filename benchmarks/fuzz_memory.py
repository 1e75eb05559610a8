"""Does anything that is read from a target's memory make the engine raise, hang or take much memory? Exit code 1 then.

    python benchmarks/fuzz_memory.py [--seconds 60] [--python 3.12 ...] [--seed N] [--quiet]

The direct engine watches a real program that has one of nearly all that is read: threads at locks, queues, futures,
sockets and children, tasks, asynchronous generators, pools, context managers. What the kernel copies out of its memory
is changed on the way: words become other words that were read before (cycles, objects of other types), wild pointers,
huge and negative counts; reads end early or fail. Shares from one changed read in a thousand to every second one come
in turn. Only what a target's end or refusal raises may come out, one sample or look may take ten seconds of CPU, and
all of it 400 MB. In between nothing is changed: within 15 s the stacks must be right again.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import gc
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/engines/direct"))

from direct_helpers import KeepingSink

from concview.collector.looks import Looks
from concview.cpython import memory
from concview.engines.direct import DirectEngine
from concview.errors import TargetError, TargetGone
from concview.linux.own_memory import own_peak
from concview.process.discovery import describe
from interpreters import interpreters, target

TARGET = r"""
import asyncio, concurrent.futures, contextlib, logging, os, queue, socket, sqlite3, subprocess, sys, threading, time

class Own:
    def __init__(self):
        self.lock, self.cond, self.event = threading.RLock(), threading.Condition(), threading.Event()
        self.jobs, self.done = queue.Queue(2), queue.PriorityQueue()
        self.permits, self.barrier = threading.BoundedSemaphore(2), threading.Barrier(3)
        self.files = {"a": [1, 2], "own": self}

own = Own()
pool = concurrent.futures.ThreadPoolExecutor(2)

@contextlib.contextmanager
def taken(lock):
    with lock:
        yield lock

def holds():
    while True:
        with own.lock, taken(own.permits):
            time.sleep(0.02)
def wants():
    while True:
        with own.lock:
            own.jobs.put(len(own.files))
def takes():
    while True:
        own.jobs.get(); own.done.put((1, "x"))
def polls():
    while True:
        if own.lock.acquire(False): own.lock.release()
        time.sleep(0.01)
def notified():
    with own.cond: own.cond.wait()
def listens():
    a, b = socket.socketpair()
    a.recv(10)
def child():
    subprocess.run([sys.executable, "-c", "import time; time.sleep(1000)"])
def nested():
    return pool.submit(time.sleep, 1000).result()
def met():
    own.barrier.wait()
def computes():
    while True: sum(n * n for n in range(300))
def deeper(n, work):
    return work() if not n else deeper(n - 1, work)

async def items(lock):
    async with lock:
        for n in range(10**9):
            yield n
@contextlib.asynccontextmanager
async def lent(semaphore):
    async with semaphore:
        yield semaphore
async def iterates(lock):
    async for _ in items(lock):
        await asyncio.sleep(1000)
kept = []
async def begins(lock):
    generator = items(lock); kept.append(generator)
    await generator.__anext__()
    del generator
async def waits(lock):
    async with lock:
        pass
async def pooled(semaphore):
    async with lent(semaphore):
        await asyncio.sleep(0.05)
async def brief(n):
    await asyncio.sleep(0.001 * n)
    return n
async def busy(q):
    while True:
        await asyncio.gather(*[brief(n) for n in range(5)])
        await q.put(1)
async def gets(q):
    while True: await q.get()
async def future():
    return await asyncio.get_running_loop().create_future()
async def executor():
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 1000)
async def served():
    async def one(r, w):
        while line := await r.readline(): w.write(line)
    server = await asyncio.start_server(one, "127.0.0.1", 0)
    r, w = await asyncio.open_connection(*server.sockets[0].getsockname())
    while True:
        w.write(b"x\n"); await r.readline(); await asyncio.sleep(0.01)
async def main():
    locks = [asyncio.Lock() for _ in range(3)]
    semaphore, q, event = asyncio.Semaphore(2), asyncio.Queue(1), asyncio.Event()
    work = [iterates(locks[0]), waits(locks[0]), begins(locks[1]), waits(locks[1]), waits(locks[1]), busy(q), gets(q),
            event.wait(), future(), executor(), served(), *(pooled(semaphore) for _ in range(5))]
    tasks = [asyncio.ensure_future(w) for w in work]
    await asyncio.sleep(0.2)
    print("ready", flush=True)
    await asyncio.gather(*tasks)

db = sqlite3.connect(":memory:")
for work in (holds, wants, wants, takes, polls, notified, listens, child, nested, met, computes, own.event.wait):
    threading.Thread(target=deeper, args=(8, work), name=getattr(work, "__name__", "wait"), daemon=True).start()
threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
def anchor():
    sys.stdin.read()
anchor()
"""
#: Of so many reads one is changed; 0: none is.
SHARES = (1000, 0, 100, 20, 0, 5, 2, 0)
PHASE_S, RIGHT_AGAIN_S, MOST_BYTES, MOST_CPU_S = 3.0, 15.0, 400 << 20, 10
VALUES = (
    0, 1, 2, 7, 8, 255, 4096, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 47) - 8, 1 << 62, (1 << 63) - 1,
    1 << 63, (1 << 64) - 1, (1 << 64) - 8, 0xDDDDDDDDDDDDDDDD,
)  # fmt: skip


class TooLong(Exception):
    pass


class Liar:
    """In the place of process_vm_readv: the same, and what was copied changed now and then."""

    def __init__(self, real: Callable[..., int], chance: random.Random) -> None:
        self._real, self._chance = real, chance
        self.one_in = self.lies = self.reads = 0
        self._seen = [0] * 4096

    def __call__(self, pid: Any, local: Any, n: Any, segments: Any, count: Any, flags: Any) -> int:
        got = self._real(pid, local, n, segments, count, flags)
        self.reads += 1
        if got < 8 or not self.one_in:
            return got
        chance, base, number = self._chance, local._obj.base, got // 8
        words = (ctypes.c_uint64 * number).from_address(base)
        for at in (chance.randrange(number) for _ in range(2)):
            self._seen[chance.randrange(4096)] = words[at]
        if chance.randrange(self.one_in):
            return got
        self.lies += 1
        what = chance.random()
        if what < 0.05:
            return chance.randrange(got)
        if what < 0.08:
            ctypes.set_errno(errno.EFAULT)
            return -1
        if what < 0.12:
            ctypes.memmove(base, chance.randbytes(got), got)
            return got
        for _ in range(chance.choice((1, 1, 2, 5, 1 + number // 8))):
            at = chance.randrange(number)
            words[at] = self._another(words[at])
        return got

    def _another(self, word: int) -> int:
        chance = self._chance
        what = chance.randrange(6)
        if what == 0:
            return chance.choice(VALUES)
        if what == 1:
            return word ^ 1 << chance.randrange(64)
        if what == 2:
            return word + chance.choice((-8, 8, 1, -1, 16, 1 << 32)) & (1 << 64) - 1
        if what == 3:
            return word & ~0xFFFFFFFF | chance.getrandbits(32)
        return chance.choice(self._seen)


def right(engine: DirectEngine, sink: KeepingSink, pid: int) -> bool:
    """The main thread waits in `anchor`, called by the module."""
    names = [frame[0] for frame in sink.stack_of(pid) if frame is not None]
    return names[-2:] == ["anchor", "<module>"]


def watch(pid: int, liar: Liar, until: float, report: Callable[[str], None]) -> tuple[int, set[str]]:
    """(samples, what went wrong)"""
    wrong: set[str] = set()
    samples, phase = 0, 0
    while time.monotonic() < until:
        liar.one_in = 0
        engine, sink = DirectEngine(), KeepingSink()
        engine.open(describe(pid), sink)
        engine.budget = 1.0
        looks = Looks(engine.looks, lambda ns: ns)
        try:
            while time.monotonic() < until:
                share = SHARES[phase % len(SHARES)]
                phase += 1
                end = time.monotonic() + (PHASE_S if share else RIGHT_AGAIN_S)
                liar.one_in = share
                while time.monotonic() < end:
                    now = time.monotonic_ns()
                    engine.room_ns = 10_000_000 if phase & 1 else 0
                    signal.setitimer(signal.ITIMER_PROF, MOST_CPU_S)
                    engine.tick(now)
                    looks.turn(now)
                    samples += 1
                    if not share and right(engine, sink, pid):
                        break
                    time.sleep(0.002)
                else:
                    if not share:
                        wrong.add(f"stacks are not right {RIGHT_AGAIN_S:g} s after the last change")
                        report(f"{[f and f[0] for f in sink.stack_of(pid)]}")
        except (TargetGone, TargetError):
            pass  # taken for another program, or for gone: begin again
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            # Where it was read, not where reading says that it cannot be.
            last = next((f for f in reversed(frames) if not f.filename.endswith("/memory.py")), frames[-1])
            kind = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
            if kind not in wrong:
                wrong.add(kind)
                report(traceback.format_exc(limit=-6))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            liar.one_in = 0
            engine.close()
            gc.collect()
    most = own_peak()
    if most > MOST_BYTES:
        wrong.add(f"{most >> 20} MB")
    return samples, wrong


def late(*_: object) -> None:
    raise TooLong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each Python")
    parser.add_argument("--python", nargs="*", help="only these: 3.12, 3.14t")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="no tracebacks")
    options = parser.parse_args()
    signal.signal(signal.SIGPROF, late)
    failed = False
    liar = Liar(memory.readv, random.Random(options.seed))
    memory.readv = memory._as_it_is = liar
    for python in interpreters():
        if options.python and python.label not in options.python:
            continue
        report: Callable[[str], None] = (lambda _: None) if options.quiet else (lambda text: print(text, flush=True))
        with target(python, TARGET) as process:
            reads, lies = liar.reads, liar.lies
            samples, wrong = watch(process.pid, liar, time.monotonic() + options.seconds, report)
        failed = failed or bool(wrong)
        print(
            f"{python.label:6} {samples:6} samples, {liar.lies - lies} of {liar.reads - reads} reads changed: "
            f"{sorted(wrong) or 'nothing wrong'}",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
