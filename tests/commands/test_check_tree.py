"""`check` and `dump` of a master with its workers, and of several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import psutil
import pytest
from running import Terminal, one_line, run, together

from capacity import WAITS
from concview.commands import _tree_text
from concview.commands._text_writer import Pen
from concview.commands._verdicts.base import Checked, Process
from concview.model import Role
from concview.session.group import shares
from concview.snapshot import Blame, BlameCause, Snapshot, Status
from interpreters import current, target
from waiting import given_time

pytestmark = pytest.mark.units(WAITS)

#: Two of three workers have a deadlock; a tracker is below, too.
MASTER = """
import multiprocessing, os, sys, threading, time
def stuck():
    first, second = threading.Lock(), threading.Lock()
    both = threading.Barrier(2)
    def take(own, other):
        with own:
            both.wait()
            with other:
                pass
    for own, other in ((first, second), (second, first)):
        threading.Thread(target=take, args=(own, other)).start()
def work(kind, ready):
    if kind == "stuck":
        stuck()
    ready.release()
    time.sleep(1000)
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ready = context.Semaphore(0)
    workers = [context.Process(target=work, args=(kind, ready)) for kind in ("stuck", "fine", "stuck")]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    print("ready", flush=True)
    print(os.getpid(), *[w.pid for w in workers], flush=True)
    for worker in workers:
        worker.join()
    time.sleep(1000)
"""


def test_a_master_with_its_workers() -> None:
    with target(current(), MASTER) as process:
        master, first, fine, second = map(int, process.line().split())

        def right(seconds: float) -> None:
            found, told, alone, dump = together(
                ("check", "--tree", master, "--duration", seconds, "--format", "json"),
                ("check", "--tree", master, "--duration", seconds),
                ("check", master, "--duration", seconds),
                ("dump", "--tree", master, "--format", "json"),
            )
            assert found.returncode == 1, found.stderr
            said: Any = json.loads(found.stdout)
            parts = {p["pid"]: p for p in said["processes"]}
            assert set(parts) == {master, first, fine, second} and said["missed"] == []
            assert {pid for pid, p in parts.items() if p["role"] == "worker"} == {first, fine, second}
            assert {p["parent"] for p in parts.values() if p["pid"] != master} == {master}
            assert said["target"]["pid"] == master and parts[master]["blame"]["verdict"] == "watches"
            assert {t["pid"] for t in said["threads"]} == set(parts)
            (deadlock,) = [f for f in said["findings"] if f["id"] == "deadlock"]
            assert sorted(deadlock["pids"]) == sorted((first, second)) and deadlock["pid"] in (first, second)

            text = told.stdout
            assert "2 of 3 workers" in text and "deadlock" in text and "It only waits for its 3 workers." in text
            # Without the tree it is no verdict on the service, and no success.
            assert alone.returncode == 6 and f"check --tree {master}" in alone.stdout and "NO VERDICT" in alone.stdout

            dumped: Any = json.loads(dump.stdout)
            dumps = {p["pid"]: p["dump"] for p in dumped["processes"]}
            assert set(dumps) == set(parts) and dumps[first]["deadlocks"] and not dumps[fine]["deadlocks"]

        given_time(right, 3, 6, 12, 24)
        # One that ends meanwhile does not end the rest; given ones are looked at without those below.
        os.kill(second, signal.SIGKILL)
        rest = run("check", first, fine, "--duration", 3, "--format", "json")
        assert {p["pid"] for p in json.loads(rest.stdout)["processes"]} == {first, fine}


def test_bad_input() -> None:
    one_line(run("check", "--tree", "nothing.concview"), 2, "--tree")
    one_line(run("check", "1", "nothing.concview"), 2, "only of processes")
    one_line(run("check", "--tree", "--", "true"), 2, "--tree")
    one_line(run("check", "--tree", 2**22 + 7), 4, "no process")
    one_line(run("dump", os.getpid(), "x"), 2, "not a process id")


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([], []),
        ([(100.0, 100.0)], [5.0]),
        ([(100.0, 100.0), (100.0, 100.0)], [2.5, 2.5]),
        ([(20.0, 100.0), (20.0, 100.0)], [2.5, 2.5]),
        # What those with little to do leave goes to those who sample less often than was asked for.
        ([(100.0, 100.0), (100.0, 100.0), (100.0, 100.0), (20.0, 100.0)], [0.625, 0.625, 0.625, 3.125]),
    ],
)
def test_one_budget(rates: list[tuple[float, float]], expected: list[float]) -> None:
    assert shares(5.0, rates) == pytest.approx(expected)
    assert sum(shares(5.0, rates)) == pytest.approx(5.0 if rates else 0.0)


#: Two processes take two locks, each in its own order; a third one waits for a lock on a file that a fourth has.
ACROSS = """
import fcntl, multiprocessing, os, sys, tempfile, time
def take(own, other, both, ready):
    with own:
        both.wait()
        ready.release()
        with other:
            pass
def has(path, ready):
    file = open(path, "a")
    fcntl.flock(file, fcntl.LOCK_EX)
    ready.release()
    time.sleep(1000)
def wants(path, ready):
    file = open(path, "a")
    ready.release()
    fcntl.flock(file, fcntl.LOCK_EX)
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    first, second, both, ready = context.Lock(), context.Lock(), context.Barrier(2), context.Semaphore(0)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lock")
    orders = ((first, second), (second, first))
    workers = [context.Process(target=take, args=(*order, both, ready)) for order in orders]
    workers.append(context.Process(target=has, args=(path, ready)))
    workers.append(context.Process(target=wants, args=(path, ready)))
    for number, worker in enumerate(workers):
        worker.start()
        for _ in range((0, 2, 1, 1)[number]):  # the two that need each other are waited for together
            ready.acquire()
    print("ready", flush=True)
    print(os.getpid(), *[w.pid for w in workers], flush=True)
    workers[0].join()
"""


def test_waits_across_processes() -> None:
    with target(current(), ACROSS) as process:
        master, one, two, has, wants = map(int, process.line().split())

        # Locks, children and file locks are looked for each in its turn, as often as the budget allows, and believed
        # when they were seen twice: on a full machine three seconds show one of them without another.
        def right(seconds: float) -> None:
            found = run("check", "--tree", master, "--duration", seconds, "--format", "json")
            said: Any = json.loads(found.stdout)
            edges = {(e["waiter"]["pid"], e["holder"]["pid"]): e for e in said["across"]}
            assert [{n["pid"] for n in circle} for circle in said["circles"]] == [{one, two}]
            assert found.returncode == 1
            assert edges[one, two]["via"] == edges[two, one]["via"] == "lock"
            assert edges[one, two]["confidence"] == "exact" and "target.py" in edges[one, two]["what"]
            assert edges[wants, has]["via"] == "file lock" and "sleep" in edges[wants, has]["does"]
            assert edges[master, one]["via"] == "child"

        def brief(seconds: float) -> None:
            text = run("check", "--tree", master, "--duration", seconds, "--brief")
            assert "DEADLOCK across processes" in text.stdout and text.returncode == 1

        given_time(right, 3, 6, 12, 24)
        given_time(brief, 3, 6, 12, 24)


def test_the_list_of_a_tree() -> None:
    with target(current(), MASTER) as process:
        master, *workers = map(int, process.line().split())
        with Terminal("attach", "--tree", master, columns=120, rows=30) as terminal:
            terminal.wait_for("4 processes, 3 of them workers")
            terminal.wait_for("└ worker 3")
            terminal.wait_for("2 of 3 workers")  # have a deadlock, which is told once
            for pid in (master, *workers):
                terminal.wait_for(str(pid))
            terminal.press("q")
            assert terminal.end() == 0


def test_a_worker_that_crashed_meanwhile_is_told() -> None:
    runs = [
        Snapshot(Status.LIVE),
        Snapshot(Status.EXITED, ending="the target was killed by SIGSEGV", exit_status=signal.SIGSEGV),
        Snapshot(Status.EXITED, ending="the target was killed by SIGTERM", exit_status=signal.SIGTERM),
    ]
    processes = [Process(i, 0, 1, Role.WORKER, f"worker {i}") for i in range(3)]
    pen = Pen(False)
    _tree_text.verdicts(Checked(tuple(runs), processes=tuple(processes)), pen)
    assert "▲ worker 1 (1) was killed by SIGSEGV\n" in pen.text() and "worker 2" not in pen.text()


def test_one_wait_of_several_is_told_once_with_the_longest() -> None:
    def waits(what: str, seconds: float) -> Snapshot:
        cause = BlameCause("stall", "event", what, "app.py", 2, "f", 1.0, 5.0, (1,), stuck_s=seconds)
        said = Blame(5.0, 1.0, 1.0, 0, 0, 1, 0, 0, 0, verdict="waits", sentence=f"{what}, {seconds} s", causes=(cause,))
        return Snapshot(Status.LIVE, blame=said)

    runs = (waits("ready", 13.1), waits("ready", 13.2), waits("done", 4.0))
    processes = tuple(Process(i, 0, 1, Role.WORKER, f"worker {i}") for i in range(3))
    pen = Pen(False)
    _tree_text.verdicts(Checked(runs, processes=processes), pen)
    assert "2 of 3 workers (worker 0 0, worker 1 1): ready, 13.2 s\n" in pen.text() and "13.1" not in pen.text()
    assert "1 of 3 workers (worker 2 2): done, 4.0 s\n" in pen.text()


def test_what_is_below_a_shell() -> None:
    """A shell, a supervisor, an init process is no Python: what it started is looked at."""
    program = 'for n in 1 2; do "$0" -c "import time; print(1, flush=True); time.sleep(1000)" & done; wait'
    with subprocess.Popen(
        ["sh", "-c", program, str(current().path)], stdout=subprocess.PIPE, start_new_session=True
    ) as shell:
        try:
            assert shell.stdout is not None and [shell.stdout.readline() for _ in range(2)]
            found = run("check", "--tree", shell.pid, "--duration", 2, "--format", "json")
            said: Any = json.loads(found.stdout)
            below = {p.pid for p in psutil.Process(shell.pid).children()}
            assert {p["pid"] for p in said["processes"]} == below and len(below) == 2
            assert f"process {shell.pid} is not Python: the 2 Python processes below it" in found.stderr
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
