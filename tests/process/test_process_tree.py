"""What is below a process, and what each of them is for."""

from __future__ import annotations

import os
import signal

import pytest

from concview.model import Role
from concview.process.tree import Member, Tree
from interpreters import Interpreter, target
from waiting import passes

POOL = """
import multiprocessing, os, subprocess, sys, time
def work(seconds):
    time.sleep(seconds)
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    shell = subprocess.Popen(["sh", "-c", "sleep 1000 & wait"])
    pool = context.Pool(2)
    pool.map_async(work, [1000, 1000])
    print("ready", flush=True)
    time.sleep(1000)
"""


def workers(members: list[Member]) -> list[Member]:
    return [m for m in members if m.role is Role.WORKER]


@pytest.mark.few
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_roles(interpreter: Interpreter, method: str) -> None:
    with target(interpreter, POOL, method) as process:
        tree = Tree(process.pid)

        def settled() -> list[Member]:
            root, *below = tree.members()
            assert (root.pid, root.role, root.parent, root.name) == (process.pid, Role.PROGRAM, 0, "target.py")
            assert [m.name for m in below if m.role is Role.PROGRAM] == ["-c import time; time.sleep(1000)"]
            helpers = sorted(m.name for m in below if m.role is Role.HELPER)
            expected = {"fork": [], "spawn": ["resource tracker"]}.get(method, ["fork server", "resource tracker"])
            assert helpers == expected
            assert sorted(m.name for m in workers(below)) == ["worker 1", "worker 2"]
            server = next((m.pid for m in below if m.name == "fork server"), process.pid)
            assert {m.parent for m in workers(below)} == {server}
            return below

        below = passes(settled)
        # One ends, the pool makes another one: the number of the one that stays does not change.
        ended, stays = sorted(workers(below), key=lambda m: m.name)
        os.kill(ended.pid, signal.SIGKILL)

        def replaced() -> None:
            now = {m.key: m.name for m in workers(tree.members())}
            assert ended.key not in now
            assert now[stays.key] == "worker 2" and sorted(now.values()) == ["worker 1", "worker 2"]

        passes(replaced)


def test_gone() -> None:
    assert Tree(2**22 + 1).members() == []
