"""`check --tree` of processes that all wait for each other, and of such that only look so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from running import run

from capacity import WAITS
from interpreters import current, target
from waiting import given_time

pytestmark = pytest.mark.units(WAITS)

#: A worker that takes with it what it had taken. Then all others wait; or one of them still does something.
PROGRAM = """
import multiprocessing, os, signal, sys, time
kind, method, rest = sys.argv[1:4]
def dies(kind, it, ready):
    if kind in ("queue", "join"):
        it.get()
    if kind == "semaphore":
        it.acquire()
    ready.release()
    os.kill(os.getpid(), 9)
def waits(kind, it, results, ready):
    ready.release()
    if kind == "lent":
        it.get()
    elif kind in ("queue", "join"):
        results.put(it.get())
    elif kind == "semaphore":
        it.acquire()
    else:
        it.wait()
def works():
    time.sleep(1000)
if __name__ == "__main__":
    context = multiprocessing.get_context(method)
    if rest == "handler":
        signal.signal(signal.SIGUSR1, lambda number, frame: it.set())
    makes = {"queue": context.Queue, "join": context.JoinableQueue, "semaphore": lambda: context.Semaphore(1),
             "barrier": lambda: context.Barrier(3), "event": context.Event,
             "lent": lambda: multiprocessing.Manager().Queue()}
    it, results, ready = makes[kind](), context.Queue(), context.Semaphore(0)
    if kind in ("queue", "join"):
        it.put(1)
    first = context.Process(target=dies, args=(kind, it, ready))
    first.start()
    ready.acquire()
    first.join()
    others = [context.Process(target=waits, args=(kind, it, results, ready)) for _ in range(2)]
    if rest == "works":
        others.append(context.Process(target=works))
    for other in others:
        other.start()
    for _ in range(2):
        ready.acquire()
    print("ready", flush=True)
    print(os.getpid(), *[o.pid for o in others], flush=True)
    if kind == "queue":
        results.get()
    if kind == "join":
        it.join()
    for other in others:
        other.join()
"""


@pytest.mark.parametrize(
    ("kind", "method", "rest", "words"),
    [
        ("queue", "fork", "", "something to come out of a queue between processes, and 2 workers of this process wait"),
        ("join", "forkserver", "", "all items of a queue between processes to be reported as done, and 2 workers"),
        ("semaphore", "spawn", "", "a multiprocessing.Semaphore, and all 3 processes that have it wait"),
        ("barrier", "fork", "", "a multiprocessing.Barrier to be reached by others, and all 3 processes"),
        ("queue", "fork", "works", ""),
        ("barrier", "fork", "works", ""),
        ("event", "fork", "", "a multiprocessing.Event to be set, and all 3 processes that have it wait"),
        ("event", "fork", "handler", ""),  # which may set it
        ("lent", "fork", "", "an item of a Manager's queue, and all 4 processes of this service wait: nobody is left"),
        ("lent", "fork", "works", ""),
    ],
)
def test_everybody_waits_for_each_other(kind: str, method: str, rest: str, words: str) -> None:
    with target(current(), PROGRAM, kind, method, rest) as process:
        master, *workers = map(int, process.line().split())

        def right(seconds: float) -> None:
            found = run("check", "--tree", master, "--duration", seconds, "--format", "json")
            said: Any = json.loads(found.stdout)
            parts = {p["pid"]: p for p in said["processes"] if p["role"] != "helper"}
            # A Manager's process is one of them.
            assert {master, *workers} <= set(parts) and len(parts) == 1 + len(workers) + (kind == "lent")
            verdicts = {pid: p["blame"]["verdict"] for pid, p in parts.items()}
            stuck = {pid for pid, verdict in verdicts.items() if verdict == "stuck"}
            if not words:
                assert not stuck and found.returncode in (0, 1), verdicts
                return
            assert found.returncode == 1, found.stderr
            assert stuck == ({master} if kind in ("queue", "join") else set(workers)), verdicts
            assert all(words in parts[pid]["blame"]["sentence"] for pid in stuck)
            assert all(parts[pid]["blame"]["severity"] == "warn" for pid in stuck)

        given_time(right, *((8, 16, 32) if words else (8,)))
