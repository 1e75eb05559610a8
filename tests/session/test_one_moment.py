"""What a snapshot says of locks is of the same tick as what it says of the threads beside them."""

from __future__ import annotations

import time

import pytest

from capacity import WAITS
from concview.model import State
from concview.session import LiveSource, Session
from interpreters import interpreters, target

pytestmark = pytest.mark.units(WAITS)

CONVOY = """
import threading, time
LOCK = threading.Lock()
def work():
    while True:
        with LOCK:
            time.sleep(0.004)
for i in range(4):
    threading.Thread(target=work, name="worker-%d" % i, daemon=True).start()
print("ready", flush=True)
time.sleep(600)
"""


def test_holder_and_waiters_are_those_of_the_threads_shown() -> None:
    python = next(p for p in interpreters() if p.version >= (3, 11) and not p.free_threaded)
    seen = changes = 0
    with target(python, CONVOY) as process:
        session = Session(LiveSource(process.pid))
        session.start()
        try:
            end, last, before = time.monotonic() + 60, None, 0
            while time.monotonic() < end and (seen < 20 or changes < 3):
                snapshot = session.snapshot()
                if snapshot is last or not snapshot.locks:
                    time.sleep(0.01)
                    continue
                last = snapshot
                threads = {t.tid: t for t in snapshot.threads}
                for lock in snapshot.locks:
                    assert lock.waiters_now == len(lock.waiting)
                    assert all(threads[tid].state is State.LOCK for tid in lock.waiting)
                    if lock.holder_now:
                        assert lock.address in {h.lock for h in threads[lock.holder_now].holds}
                        seen += 1
                        changes += lock.holder_now != before
                        before = lock.holder_now
                for edge in (e for chain in snapshot.chains for e in chain.edges):
                    assert threads[edge.waiter].state is State.LOCK
                    assert threads[edge.waiter].blocked_by == edge.holder
        finally:
            session.close()
    assert seen >= 20 and changes >= 3
