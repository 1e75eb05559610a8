"""Forked children: told from other children, and those that hang from those that work or wait."""

from __future__ import annotations

import time

import pytest

from concview.linux.children import Children
from interpreters import Interpreter, target
from waiting import passes

CHILDREN = r"""
import multiprocessing as mp, os, signal, subprocess, sys, threading, time
context = mp.get_context("fork")
lock, ready = threading.Lock(), context.Queue()
def child(name, wait):
    ready.put((name, os.getpid()))
    wait()
def in_other_threads():
    threading.Thread(target=lock.acquire).start()
    time.sleep(3600)
alone = context.Process(target=child, args=("before threads", lambda: time.sleep(3600)), daemon=True)
alone.start()
time.sleep(0.05)  # its start time is a hundredth of a second earlier than that of the threads
work = context.Queue()
threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
lock.acquire()
time.sleep(0.05)
waits = {
    "stuck": lock.acquire,
    "with timeout": lambda: lock.acquire(timeout=3600),
    "waits for work": work.get,
    "sleeps": lambda: time.sleep(3600),
    "one thread is free": in_other_threads,
}
for name, wait in waits.items():
    context.Process(target=child, args=(name, wait), daemon=True).start()
program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
import json
pids = dict(ready.get() for _ in range(len(waits) + 1))
pids["program"] = program.pid
print("ready", flush=True)
print(json.dumps(pids), flush=True)
sys.stdin.readline()
for pid in pids.values(): os.kill(pid, signal.SIGKILL)
"""


@pytest.mark.few
def test_children_are_told_apart(gil_python: Interpreter) -> None:
    with target(gil_python, CHILDREN) as process:
        pids = process.json()
        names = {pid: name for name, pid in pids.items()}
        children = Children(process.pid)
        assert children.probe().available
        try:

            def told_apart() -> None:
                copies = children.poll(time.monotonic_ns())
                forked = {names[c.pid] for c in copies}
                assert forked == set(names.values()) - {"before threads", "program"}
                assert {names[c.pid] for c in copies if c.stuck_ns} == {"stuck"}
                assert children.seen == len(copies)
                # The queue's own feeder threads are among them in the parent.
                assert all(c.others >= 1 for c in copies)
                assert all(0 < c.started_ns < time.monotonic_ns() for c in copies)

            passes(told_apart)
        finally:
            process.send("")
