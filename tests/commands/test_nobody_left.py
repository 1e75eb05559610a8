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


def checked(interpreter: Interpreter, seconds: float, program: str, *kinds: str) -> dict[str, Any]:
    """Of each kind of program the verdict, with the rules that fired, all at the same time."""
    with contextlib.ExitStack() as running:
        processes = [running.enter_context(target(interpreter, program, kind)) for kind in kinds]
        done = together(*(("check", p.pid, "--duration", seconds, "--format", "json") for p in processes))
        found = {kind: json.loads(each.stdout) for kind, each in zip(kinds, done, strict=True)}
    return {kind: {**one["blame"], "fired": [f["id"] for f in one["findings"]]} for kind, one in found.items()}
