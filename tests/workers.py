"""A master with workers of multiprocessing, for tests that look at a tree of processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from interpreters import Process, current, target

_SOURCE = """
import multiprocessing, os, sys, time
def work(ready):
    ready.release()
    time.sleep(1000)
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    ready = context.Semaphore(0)
    workers = [context.Process(target=work, args=(ready,)) for _ in range(int(sys.argv[2]))]
    for worker in workers:
        worker.start()
    for worker in workers:
        ready.acquire()
    print("ready", flush=True)
    print(*[w.pid for w in workers], flush=True)
    time.sleep(1000)
"""


@contextmanager
def master(count: int, method: str = "spawn") -> Iterator[tuple[Process, list[int]]]:
    """The master and the pids of its workers, all of which are at work; `method`: how they are started."""
    with target(current(), _SOURCE, method, str(count)) as process:
        yield process, [int(pid) for pid in process.line().split()]
