"""A program in namespaces of its own, looked at from outside, as a container is from its host."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from direct_helpers import tick_until, tick_until_passes, watching

from concview.engines.pyspy.deep import deep_look
from concview.linux.family import children_of
from concview.linux.namespaces import numbers
from concview.model import Children, Links, WaitKind
from concview.process.discovery import describe
from interpreters import Interpreter, current, settle, target

APART = ("unshare", "--pid", "--mount", "--net", "--fork", "--kill-child", "--mount-proc")
PROGRAM = """
import json, os, socket, subprocess, sys, threading, time
first, second = threading.Lock(), threading.Lock()
ready = threading.Barrier(2)
def takes(own, other):
    with own:
        ready.wait()
        with other:
            pass
def waits_for_a_child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    child.wait()
def joins():
    one.join()
def reads():
    ends[0].recv(1)
ends = socket.socketpair()
one = threading.Thread(target=takes, args=(first, second), name="one", daemon=True)
two = threading.Thread(target=takes, args=(second, first), name="two", daemon=True)
rest = [threading.Thread(target=f, name=f.__name__, daemon=True) for f in (waits_for_a_child, joins, reads)]
for t in [one, two, *rest]:
    t.start()
print("ready", flush=True)
print(json.dumps({"pid": os.getpid(), "tids": {t.name: t.native_id for t in threading.enumerate()}}), flush=True)
time.sleep(1000)
"""


@pytest.fixture
def apart() -> Iterator[tuple[str, ...]]:
    if shutil.which("unshare") is None or subprocess.run([*APART, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to make namespaces: " + " ".join(APART))
    yield APART


@pytest.mark.few
def test_threads_locks_children_and_sockets(direct_python: Interpreter, apart: tuple[str, ...]) -> None:
    with target(direct_python, PROGRAM, prefix=apart) as process:
        truth: Any = process.json()
        pid = children_of(process.pid)[0]
        settle(pid)
        about = describe(pid)
        assert truth["pid"] == about.inner_pid == 1 != pid
        with watching(pid) as (engine, sink):

            def named() -> dict[str, int]:
                found = {name: tid for tid, (name, native) in sink.names.items() if not native}
                return found if truth["tids"].keys() <= found.keys() else {}

            tids: dict[str, int] = tick_until(engine, named)
            assert {name: numbers(f"/proc/{pid}/task/{tids[name]}")[-1] for name in truth["tids"]} == truth["tids"]
            # Every thread once, by our number.
            assert sorted(sink.names) == sorted(int(p.name) for p in Path(f"/proc/{pid}/task").iterdir())

            child = children_of(pid)[0]

            def at_rest() -> None:
                waits = {name: sink.wait_of(tid) for name, tid in tids.items()}
                kinds = {name: wait.kind for name, wait in waits.items() if wait is not None}
                assert kinds["MainThread"] is WaitKind.SLEEP
                assert kinds["one"] is kinds["two"] is kinds["joins"] is WaitKind.FUTEX
                assert kinds["waits_for_a_child"] is WaitKind.CHILD and kinds["reads"] is WaitKind.IO
                held = {name: {h.lock for h in sink.holds_of(tids[name])} for name in ("one", "two")}
                assert waits["one"] is not None and waits["two"] is not None and waits["joins"] is not None
                assert waits["one"].lock in held["two"] and waits["two"].lock in held["one"]
                assert waits["joins"].target == tids["one"]

                peer = waits["waits_for_a_child"].peer if waits["waits_for_a_child"] is not None else None
                assert peer is not None and str(child) in peer.name, peer

            tick_until_passes(engine, at_rest)

            def told() -> None:
                said = [e for e in sink.events if isinstance(e, Children) and e.children][-1]
                assert [c.pid for c in said.children] == [child]
                assert said.children[0].waiters == (tids["waits_for_a_child"],)
                # The kernel tells of another network's sockets to whoever goes there to ask.
                linked = [e for e in sink.events if isinstance(e, Links) and e.links][-1]
                assert linked.why == "" and linked.links[0].waiters == (tids["reads"],)
                assert linked.links[0].peer_fds, "the other end is in the same process"

            tick_until_passes(engine, told, looks=True)


def test_pyspys_numbers(apart: tuple[str, ...]) -> None:
    """py-spy gives the numbers that the process knows."""
    with target(current(), PROGRAM, prefix=apart) as process:
        truth: Any = process.json()
        pid = children_of(process.pid)[0]
        tids = {thread.name: thread.tid for thread in deep_look(pid)}
        for name in ("one", "two", "joins"):
            assert numbers(f"/proc/{pid}/task/{tids[name]}")[-1] == truth["tids"][name]
