"""`check` of what nobody is left to give: to the only thread of a process, to those at a lock that is a sign, to those
at a lock whose holder's process is gone. And what looks alike and is none."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from running import together

from capacity import WAITS
from interpreters import Interpreter, current, target
from waiting import given_time

pytestmark = pytest.mark.units(WAITS)

ALONE = """
import concurrent.futures, multiprocessing, queue, signal, sys, threading
kind = sys.argv[1]
jobs, lines = queue.Queue(), multiprocessing.SimpleQueue()
def rotate(number, frame):
    jobs.put(number)
if kind == "handler":
    signal.signal(signal.SIGUSR1, rotate)
if kind == "lambda":
    signal.signal(signal.SIGUSR1, lambda number, frame: jobs.put(number))
print("ready", flush=True)
if kind == "futures":
    futures = [concurrent.futures.Future() for _ in range(2)]
    futures[0].cancel()
    concurrent.futures.wait(futures)
elif kind == "pipe":
    lines.get()
else:
    job = jobs.get()
"""


ENDED = """
import queue, signal, sys
jobs = queue.Queue()
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
print("ready", flush=True)
job = jobs.get()
"""


@pytest.mark.few
def test_the_only_thread_of_a_process(any_python: Interpreter) -> None:

    def right(seconds: float) -> None:
        found = checked(any_python, seconds, ALONE, "queue", "futures", "pipe", "handler", "lambda")
        for kind in ("queue", "futures", "pipe"):
            assert (found[kind]["verdict"], found[kind]["severity"]) == ("stuck", "warn"), found[kind]
            assert "only thread" in found[kind]["sentence"], found[kind]["sentence"]
        for kind in ("handler", "lambda"):
            assert (found[kind]["verdict"], found[kind]["severity"]) == ("idle", None), found[kind]["sentence"]

    given_time(right, 7, 14, 28)


def test_a_handler_that_is_not_seen_to_give_it() -> None:

    def right(seconds: float) -> None:
        said = checked(current(), seconds, ENDED, "ended")["ended"]
        assert said["verdict"] == "dormant" and "the handlers of 1 signal" in said["sentence"], said["sentence"]

    given_time(right, 7, 14, 28)


#: The usual way to hand a signal to a loop, and a handler that is not seen to write.
BELL = """
import os, select, signal, socket, sys
kind = sys.argv[1]
here, there = socket.socketpair()
there.setblocking(False)
def ring(number, frame):
    there.send(b"x")
signal.signal(signal.SIGTERM, ring if kind == "handler" else lambda number, frame: sys.exit(0))
if kind == "wakeup":
    signal.set_wakeup_fd(there.fileno())
print("ready", flush=True)
here.recv(1)
"""
RUNG = BELL.replace('there.send(b"x")', "pass").replace("signal.set_wakeup_fd(there.fileno())", "pass")


def test_the_only_thread_at_a_connection_that_its_signals_write_to() -> None:

    def right(seconds: float) -> None:
        found = checked(current(), seconds, BELL, "handler", "wakeup")
        for kind in ("handler", "wakeup"):
            said = found[kind]["sentence"]
            assert (found[kind]["verdict"], found[kind]["severity"]) == ("idle", None), said
        said = checked(current(), seconds, RUNG, "other")["other"]
        assert said["verdict"] == "dormant" and "the handlers of 1 signal may write to it" in said["sentence"], said

    given_time(right, 7, 14, 28)


SIGN = """
import sys, threading, time
kind = sys.argv[1]
loaded, ping, pong = threading.Lock(), threading.Lock(), threading.Lock()
loaded.acquire()
pong.acquire()
def load():
    if kind == "works":
        time.sleep(1000)
    if kind == "failed":
        sys.exit()
    loaded.release()
def show():
    with loaded:
        pass
def serve():
    while True:
        ping.acquire()
        time.sleep(0.02)
        pong.release()
def answer():
    while True:
        pong.acquire()
        time.sleep(0.02)
        ping.release()
if kind == "turns":
    for one in (serve, answer):
        threading.Thread(target=one, daemon=True).start()
else:
    threading.Thread(target=load, name="load", daemon=True).start()
    for number in range(3):
        threading.Thread(target=show, name=f"show-{number}", daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.few
def test_a_lock_that_others_give_back(any_python: Interpreter) -> None:

    def right(seconds: float) -> None:
        found = checked(any_python, seconds, SIGN, "failed", "works", "turns")
        said = found["failed"]["sentence"]
        assert (found["failed"]["verdict"], found["failed"]["severity"]) == ("stuck", "warn"), said
        assert "load:" in said and "no thread is there" in said and "MainThread" not in said, said
        assert "MainThread" not in found["works"]["sentence"] and "load" in found["works"]["sentence"]
        assert found["turns"]["severity"] is None, found["turns"]["sentence"]
        # Nobody gets it: to hold it for less is no help.
        assert not any("lock-contention" in f["fired"] for f in found.values()), {
            k: f["fired"] for k, f in found.items()
        }

    given_time(right, 7, 14, 28)


KILLED = """
import multiprocessing, os, sys, threading, time
kind = sys.argv[1]
def has(lock, ready):
    lock.acquire()
    ready.release()
    time.sleep(1000)
def save(lock):
    with lock:
        pass
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    lock, ready = context.Lock(), context.Semaphore(0)
    first = context.Process(target=has, args=(lock, ready), daemon=True)
    first.start()
    ready.acquire()
    if kind == "killed":
        first.kill()
        first.join()
    for number in range(3):
        threading.Thread(target=save, args=(lock,), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()
"""


def test_a_lock_of_processes_whose_holder_is_gone() -> None:

    def right(seconds: float) -> None:
        found = checked(current(), seconds, KILLED, "killed", "lives")
        assert "no other process has it any more" in found["killed"]["sentence"], found["killed"]["sentence"]
        assert "held by another process" in found["lives"]["sentence"], found["lives"]["sentence"]

    given_time(right, 7, 14, 28)


SET = """
import signal, sys, threading
kind = sys.argv[1]
class Feed:
    def __init__(self):
        self.loaded = threading.Event()
    def on_completed(self):
        self.loaded.set()
feed = Feed()
if kind == "handler":
    signal.signal(signal.SIGUSR1, lambda number, frame: feed.on_completed())
print("ready", flush=True)
if kind == "rests":
    threading.Event().wait()
feed.loaded.wait()
"""


@pytest.mark.few
def test_an_event_that_the_only_thread_would_have_to_set(any_python: Interpreter) -> None:
    def right(seconds: float) -> None:
        found = checked(any_python, seconds, SET, "stands", "handler", "rests")
        said = found["stands"]["sentence"]
        assert (found["stands"]["verdict"], found["stands"]["severity"]) == ("stuck", "warn"), said
        assert "loaded" in said and "only thread" in said, said
        for kind in ("handler", "rests"):
            assert found[kind]["severity"] is None, found[kind]["sentence"]

    given_time(right, 7, 14, 28)


FULL = """
import multiprocessing, sys, threading, time
kind = sys.argv[1]
def listen(queue):
    if kind == "works":
        time.sleep(1000)
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    queue = context.Queue(3)
    process = context.Process(target=listen, args=(queue,), daemon=True)
    process.start()
    if kind == "ended":
        process.join()
    def send():
        while True:
            queue.put("x")
    for number in range(3):
        threading.Thread(target=send, daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()
"""


def test_room_in_a_queue_whose_other_process_has_ended() -> None:
    def right(seconds: float) -> None:
        found = checked(current(), seconds, FULL, "ended", "works")
        said = found["ended"]["sentence"]
        assert found["ended"]["verdict"] == "stuck" and "no other process has it any more" in said, said
        assert "no other process" not in found["works"]["sentence"], found["works"]["sentence"]

    given_time(right, 7, 14, 28)


#: A pool is given what a generator yields, and that waits for what is given back after a result.
ROOM = """
import multiprocessing, sys, threading
kind = sys.argv[1]
room = threading.Semaphore(4)
def frames():
    for number in range(100_000):
        room.acquire()
        yield number
def encode(number):
    return number
if __name__ == "__main__":
    print("ready", flush=True)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for result in pool.imap(encode, frames(), chunksize=8):
            room.release()
"""


def test_a_generator_that_waits_for_the_results_of_what_it_has_yet_to_yield() -> None:
    def right(seconds: float) -> None:
        found = checked(current(), seconds, ROOM, "stands")["stands"]
        assert found["verdict"] == "stuck" and "they wait for each other" in found["sentence"], found["sentence"]
        assert "pool-leak" not in found["fired"], found["fired"]

    given_time(right, 7, 14, 28)


LEFT = """
import os, sys, tempfile, time
path = os.path.join(tempfile.mkdtemp(), "report.lock")
class Lock:
    def acquire(self):
        while True:
            try:
                os.mkdir(path)
            except OSError:
                time.sleep(0.05)
            else:
                return
if os.fork() == 0:
    Lock().acquire()
    os._exit(1)
os.wait()
print("ready", flush=True)
Lock().acquire()
"""


def test_a_lock_that_somebody_has_left_behind() -> None:
    def right(seconds: float) -> None:
        said = checked(current(), seconds, LEFT, "")[""]
        assert said["verdict"] == "held_up" and said["severity"] is not None, said["sentence"]
        assert "another process, or one that has ended and left it" in said["sentence"], said["sentence"]

    given_time(right, 7, 14, 28)


def checked(interpreter: Interpreter, seconds: float, program: str, *kinds: str) -> dict[str, Any]:
    """Of each kind of program the verdict, with the rules that fired, all at the same time."""
    with contextlib.ExitStack() as running:
        processes = [running.enter_context(target(interpreter, program, kind)) for kind in kinds]
        done = together(*(("check", p.pid, "--duration", seconds, "--format", "json") for p in processes))
        found = {kind: json.loads(each.stdout) for kind, each in zip(kinds, done, strict=True)}
    return {kind: {**one["blame"], "fired": [f["id"] for f in one["findings"]]} for kind, one in found.items()}
