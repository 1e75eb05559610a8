"""`check --tree`: who has a lock that the process of a multiprocessing.Manager lends."""

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

PROGRAM = """
import multiprocessing, os, sys, time
kind = sys.argv[1]
def has(lock, other, ready, both):
    if kind == "acquire":
        lock.acquire()
        ready.release()
        time.sleep(1000)
    with lock:
        ready.release()
        if kind == "killed":
            os.kill(os.getpid(), 9)
        if kind == "asks":
            other.append(1)
        if kind == "circle":
            both.wait()
            with other:
                pass
        time.sleep(1000)
def wants(lock, ready):
    ready.release()
    with lock:
        pass
if __name__ == "__main__":
    manager = multiprocessing.Manager()
    ready, both = multiprocessing.Semaphore(0), multiprocessing.Barrier(2)
    make = {"rlock": manager.RLock, "condition": manager.Condition}.get(kind, manager.Lock)
    lock, other = make(), manager.list() if kind == "asks" else manager.Lock()
    first = multiprocessing.Process(target=has, args=(lock, other, ready, both))
    first.start()
    ready.acquire()
    if kind == "killed":
        first.join()
    if kind == "circle":
        second = multiprocessing.Process(target=has, args=(other, lock, ready, both))
    else:
        second = multiprocessing.Process(target=wants, args=(lock, ready))
    second.start()
    ready.acquire()
    print("ready", flush=True)
    print(manager._process.pid, first.pid, second.pid, flush=True)
    second.join()
"""


#: For how long is looked, one after the other: on a full machine less is seen in the same time.
SECONDS = (4, 7, 14, 28)


@pytest.mark.few
def test_who_has_it(any_python: Interpreter) -> None:
    def right(seconds: float) -> None:
        for (manager, first, second), said in checked(any_python, seconds, "with", "acquire"):
            edges = [(e["waiter"]["pid"], e["holder"]["pid"], e["holder"]["tid"]) for e in said["across"]]
            assert (manager, first, first) in edges, edges
            assert [e[1] for e in edges if e[0] == second] == [manager]
            for told in (sentence(said, manager), sentence(said, second)):
                assert "a Manager's lock" in told and f"({first})" in told, told

    given_time(right, *SECONDS)


@pytest.mark.parametrize("kind", ["asks", "rlock", "condition"])
def test_who_asked_for_other_things_since(kind: str) -> None:
    def right(seconds: float) -> None:
        (((manager, first, second), said),) = checked(current(), seconds, kind)
        assert (manager, first) in [(e["waiter"]["pid"], e["holder"]["pid"]) for e in said["across"]]
        assert f"({first})" in sentence(said, second)

    given_time(right, *SECONDS)


def test_whoever_took_it_was_killed() -> None:
    def right(seconds: float) -> None:
        (((manager, _, second), said),) = checked(current(), seconds, "killed")
        (orphan,) = said["orphans"]
        assert orphan["sure"] and {w["pid"] for w in orphan["waiters"]} == {manager, second}
        assert "has died" in sentence(said, second) and "has died" in sentence(said, manager)

    given_time(right, *SECONDS)


def test_a_circle_by_way_of_the_manager() -> None:
    def right(seconds: float) -> None:
        (((manager, first, second), said),) = checked(current(), seconds, "circle")
        (circle,) = said["circles"]
        assert [n["pid"] for n in circle].count(manager) == 2 and {first, second} < {n["pid"] for n in circle}

    given_time(right, *SECONDS)


NAMESAKES = """
import multiprocessing, threading, time
def export(lock):
    with lock:
        time.sleep(1000)
def rates(lock):
    with lock:
        pass
if __name__ == "__main__":
    managed = multiprocessing.Manager().Lock()
    taken = multiprocessing.Semaphore(0)
    def keep(lock, taken):
        with lock:
            taken.release()
            time.sleep(1000)
    holder = multiprocessing.Process(target=keep, args=(managed, taken))
    holder.start()
    taken.acquire()
    threading.Thread(target=rates, args=(managed,), name="rates").start()
    print("ready", flush=True)
    export(multiprocessing.Lock())
"""


def test_another_lock_of_the_same_name_is_not_the_one_of_a_manager() -> None:
    """A thread inside `with lock` of multiprocessing has not got the Manager's, which is called so elsewhere."""
    with target(current(), NAMESAKES) as process:

        def right(seconds: float) -> None:
            (ran,) = together(("check", process.pid, "--duration", seconds, "--format", "json"))
            said = str(next(c for c in json.loads(ran.stdout)["blame"]["causes"] if "Manager" in str(c)))
            assert "another process" in said and "MainThread" not in said, said

        given_time(right, 3, 6, 12, 24)


def checked(interpreter: Interpreter, seconds: float, *kinds: str) -> list[tuple[tuple[int, ...], Any]]:
    """Of each kind of program its processes and what is said of them, all at the same time."""
    with contextlib.ExitStack() as running:
        processes = [running.enter_context(target(interpreter, PROGRAM, kind)) for kind in kinds]
        pids = [tuple(map(int, process.line().split())) for process in processes]
        found = together(*(("check", "--tree", p.pid, "--duration", seconds, "--format", "json") for p in processes))
        return [(numbers, json.loads(each.stdout)) for numbers, each in zip(pids, found, strict=True)]


def sentence(said: Any, pid: int) -> str:
    return str(next(p["blame"]["sentence"] for p in said["processes"] if p["pid"] == pid))
