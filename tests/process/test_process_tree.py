"""What is below a process, and what each of them is for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from concview.model import Role
from concview.process.tree import Member, Tree
from interpreters import Interpreter, target

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


def eventually(find: Callable[[], list[Member]], right: Callable[[list[Member]], bool]) -> list[Member]:
    deadline = time.monotonic() + 60
    while True:
        found = find()
        if right(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def workers(members: list[Member]) -> list[Member]:
    return [m for m in members if m.role is Role.WORKER]


@pytest.mark.few
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_roles(interpreter: Interpreter, method: str) -> None:
    with target(interpreter, POOL, method) as process:
        tree = Tree(process.pid)
        settled = eventually(tree.members, lambda found: len(workers(found)) == 2 and len(found) >= 4)
        root, *below = settled
        assert (root.pid, root.role, root.parent, root.name) == (process.pid, Role.PROGRAM, 0, "target.py")
        assert [m.name for m in below if m.role is Role.PROGRAM] == ["-c import time; time.sleep(1000)"]
        helpers = sorted(m.name for m in below if m.role is Role.HELPER)
        assert helpers == {"fork": [], "spawn": ["resource tracker"]}.get(method, ["fork server", "resource tracker"])
        assert sorted(m.name for m in workers(below)) == ["worker 1", "worker 2"]
        server = next((m.pid for m in below if m.name == "fork server"), process.pid)
        assert {m.parent for m in workers(below)} == {server}
        # One ends, the pool makes another one: the number of the one that stays does not change.
        ended, stays = sorted(workers(below), key=lambda m: m.name)
        os.kill(ended.pid, signal.SIGKILL)

        def replaced(found: list[Member]) -> bool:
            now = workers(found)
            return len(now) == 2 and ended.key not in {m.key for m in now}

        after = {m.key: m.name for m in workers(eventually(tree.members, replaced))}
        assert after[stays.key] == "worker 2" and sorted(after.values()) == ["worker 1", "worker 2"]


def test_gone() -> None:
    assert Tree(2**22 + 1).members() == []
