"""Ownership that no `with` shows: an RLock names its owner itself, a join names the thread it waits for."""

from __future__ import annotations

import pytest
import truth

from capacity import WAITS
from concview.model import Confidence
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

SOURCE = """
import threading, time
LOCK = threading.RLock()
def take():
    LOCK.acquire()
def owner():
    take()
    time.sleep(100)
def waiter():
    with LOCK: pass
threads = [threading.Thread(target=f, name=f.__name__, daemon=True) for f in (owner, waiter)]
def joiner(): threads[0].join()
threads.append(threading.Thread(target=joiner, name="joiner", daemon=True))
for thread in threads:
    thread.start()
    while thread is threads[0] and LOCK.acquire(blocking=False): LOCK.release()  # until it has it
print("ready", flush=True)
print(*[t.native_id for t in threads], flush=True)
time.sleep(100)
"""


def test_an_rlock_and_a_join_name_their_thread(direct_python: Interpreter) -> None:
    with target(direct_python, SOURCE) as process:
        owner, waiter, joiner = map(int, process.line().split())
        sample = truth.watch(process.pid, 0.5, 50, lambda samples: samples and len(samples[-1].edges) == 2)[-1]
    found = {(e.waiter, e.holder, e.via, e.confidence) for e in sample.edges}
    assert found == {(waiter, owner, "", Confidence.EXACT), (joiner, owner, "Thread.join", Confidence.EXACT)}
