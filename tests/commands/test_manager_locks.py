"""`check --tree`: who has a lock that the process of a multiprocessing.Manager lends."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from running import together

from capacity import WAITS
from interpreters import Interpreter, current, target

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


@pytest.mark.few
def test_who_has_it(any_python: Interpreter) -> None:
    for (manager, first, second), said in checked(any_python, "with", "acquire"):
        edges = [(e["waiter"]["pid"], e["holder"]["pid"], e["holder"]["tid"]) for e in said["across"]]
        assert (manager, first, first) in edges, edges
        assert [e[1] for e in edges if e[0] == second] == [manager]
        for pid in (manager, second):
            assert "a Manager's lock" in sentence(said, pid) and f"({first})" in sentence(said, pid), sentence(
                said, pid
            )


@pytest.mark.parametrize("kind", ["asks", "rlock", "condition"])
def test_who_asked_for_other_things_since(kind: str) -> None:
    (((manager, first, second), said),) = checked(current(), kind)
    assert (manager, first) in [(e["waiter"]["pid"], e["holder"]["pid"]) for e in said["across"]]
    assert f"({first})" in sentence(said, second)


def test_whoever_took_it_was_killed() -> None:
    (((manager, _, second), said),) = checked(current(), "killed")
    (orphan,) = said["orphans"]
    assert orphan["sure"] and {w["pid"] for w in orphan["waiters"]} == {manager, second}
    assert "has died" in sentence(said, second) and "has died" in sentence(said, manager)


def test_a_circle_by_way_of_the_manager() -> None:
    (((manager, first, second), said),) = checked(current(), "circle")
    (circle,) = said["circles"]
    assert [n["pid"] for n in circle].count(manager) == 2 and {first, second} < {n["pid"] for n in circle}


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
        (ran,) = together(("check", process.pid, "--duration", 3, "--format", "json"))
        said = str(next(c for c in json.loads(ran.stdout)["blame"]["causes"] if "Manager" in str(c)))
        assert "another process" in said and "MainThread" not in said, said


def checked(interpreter: Interpreter, *kinds: str) -> list[tuple[tuple[int, ...], Any]]:
    """Of each kind of program its processes and what is said of them, all at the same time."""
    with contextlib.ExitStack() as running:
        processes = [running.enter_context(target(interpreter, PROGRAM, kind)) for kind in kinds]
        pids = [tuple(map(int, process.line().split())) for process in processes]
        found = together(*(("check", "--tree", p.pid, "--duration", 7, "--format", "json") for p in processes))
        return [(numbers, json.loads(each.stdout)) for numbers, each in zip(pids, found, strict=True)]


def sentence(said: Any, pid: int) -> str:
    return str(next(p["blame"]["sentence"] for p in said["processes"] if p["pid"] == pid))
