"""Locks of multiprocessing that somebody waits for: what each process counts, found in its memory on every version."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest

from concview.cpython.heap.objects import HeapObjects
from concview.cpython.locks import LockReader
from concview.cpython.memory import Memory
from concview.cpython.objects import Objects
from concview.cpython.runtime import find, layout
from concview.engines.direct.relations.semaphores import SemaphoreReader
from concview.model import Semaphore
from concview.process.shared import sharers, untaken
from interpreters import Interpreter, settle, target

#: One has the lock and dies when told to; another one waits for it. Neither uses `with`.
PROGRAM = """
import multiprocessing, os, sys, time
def have(lock, ready):
    lock.acquire()
    ready.release()
    time.sleep(1000)
def want(lock, ready):
    ready.release()
    lock.acquire()
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    lock, ready = getattr(context, sys.argv[1])(), context.Semaphore(0)
    first = context.Process(target=have, args=(lock, ready))
    first.start()
    ready.acquire()
    second = context.Process(target=want, args=(lock, ready))
    second.start()
    ready.acquire()
    print("ready", flush=True)
    print(first.pid, second.pid, flush=True)
    second.join()
"""


def look(pid: int) -> list[Semaphore]:
    """What a look at one process says, as often as it takes until somebody waits."""
    memory = Memory(pid)
    offsets = layout(memory, find(memory))
    objects = HeapObjects(memory, offsets) if offsets.features.heap_frames else Objects(memory, offsets)
    told: list[Any] = []
    search: Any = SimpleNamespace(
        reader=LockReader(memory, offsets, objects),
        everyone=list,
        table=SimpleNamespace(by_ident={}),
        sink=SimpleNamespace(emit=told.append),
    )
    reader = SemaphoreReader(search)
    deadline = time.monotonic() + 60
    now = 10**12
    while time.monotonic() < deadline:
        done = reader.look(now, 1_000_000)
        now += 10**10
        if done and told:
            return list(told[-1].semaphores)
        time.sleep(0.05)
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.few
def test_who_has_it(interpreter: Interpreter, kind: str) -> None:
    with target(interpreter, PROGRAM, kind) as process:
        first, second = map(int, process.line().split())
        settle(second)
        (has,) = look(first)
        (wants,) = look(second)
        assert has.key == wants.key and (has.count, wants.count) == (1, 0)
        assert has.kind == wants.kind == kind and has.value == 0 and has.waiting == 1
        assert has.known and wants.known
        shared = sharers([has.key])[has.key]
        assert {first, second} <= shared
        assert not untaken({first: has, second: wants}) and untaken({second: wants})
        os.kill(first, signal.SIGKILL)
        while first in sharers([has.key])[has.key]:
            time.sleep(0.05)
        (wants,) = look(second)
        assert wants.value == 0 and not wants.count and untaken({second: wants}), "nobody gives it back"
