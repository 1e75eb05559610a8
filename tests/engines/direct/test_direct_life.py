"""Probing, attaching to unusual processes, and their ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from direct_helpers import tick_until, ticks, watching

from capacity import WAITS
from concview.cpython import runtime
from concview.cpython.memory import Memory
from concview.cpython.offsets import Unsupported, describe
from concview.engines.direct import DirectEngine
from concview.errors import TargetGone
from concview.model import CAPABILITIES
from interpreters import Interpreter, current, target

pytestmark = pytest.mark.units(WAITS)

SLEEP = "import time\ndef main():\n    time.sleep(100000)\nprint('ready')\nmain()\n"


def test_probe(any_python: Interpreter) -> None:
    with target(any_python, SLEEP) as process:
        probe = DirectEngine.probe(process.pid)
        major, minor = any_python.version
        assert probe.usable, probe
        # Up to 3.10 nothing in memory tells the patch release.
        assert probe.python == f"{major}.{minor}" + (f".{any_python.micro}" if minor >= 11 else "")
        assert probe.free_threaded == any_python.free_threaded
        assert set(probe.capabilities) == set(CAPABILITIES) - {"agent", "calls"}
        assert all(c.available or c.why for c in probe.capabilities.values())


def test_probe_of_other_programs() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:  # returns when the other program was started
        try:
            probe = DirectEngine.probe(process.pid)
            assert not probe.usable and "no CPython" in probe.why
        finally:
            process.kill()
    gone = DirectEngine.probe(process.pid)
    assert not gone.usable and "does not exist" in gone.why


@pytest.mark.parametrize("hexversion", [0x03100000, 0x04000000, 0x03070000, 0x02070000])
def test_versions_refused(hexversion: int) -> None:
    with pytest.raises(Unsupported, match=rf"{hexversion >> 24}\.{hexversion >> 16 & 255}"):
        describe(hexversion, b"xdebugpy" + bytes(2040))


def test_debug_offsets_of_nonsense() -> None:
    with pytest.raises(Unsupported):
        describe(0x030D0000, b"xdebugpy" + b"\xff" * 2040)
    with pytest.raises(Unsupported):
        describe(0x030D0000, bytes(2048))


def _found_by(pid: int, search: str) -> runtime.Runtime:
    """With the better ways disabled."""
    memory = Memory(pid)
    maps = list(runtime.mappings(pid))
    if search == "scan":
        found = runtime._by_scan(memory, maps)
        assert found is not None
        return found
    for path, base in runtime._modules(maps):
        result = runtime._by_file(memory, path, base)
        if result is not None:
            return runtime.Runtime(result[0], runtime._version(memory, *result[:2], path, maps), path, "file")
    raise AssertionError("not found")


@pytest.mark.parametrize("search", ["file", "scan"])
def test_every_way_finds_the_same(direct_python: Interpreter, search: str) -> None:
    with target(direct_python, SLEEP) as process:
        best = runtime.find(Memory(process.pid))
        assert best.how == "symbol"
        other = _found_by(process.pid, search)
        assert (other.address, other.version) == (best.address, best.version)


def test_deleted_and_stripped_binary(tmp_path: Path) -> None:
    """An upgrade replaced the interpreter under the running program."""
    interpreter = current()
    real = Path(interpreter.path).resolve()
    copy = tmp_path / "bin" / real.name
    copy.parent.mkdir()
    shutil.copy(real, copy)
    strip = shutil.which("strip")
    if strip:
        subprocess.run([strip, "-s", str(copy)], check=True)
    home = sys.base_prefix
    moved = Interpreter(str(copy), interpreter.version, interpreter.micro, False)
    with target(moved, SLEEP, env={"PYTHONHOME": home}) as process:
        copy.unlink()
        with watching(process.pid) as (engine, sink):
            tick_until(engine, lambda: len(sink.stack_of(process.pid)) > 1)
            assert [f[0] for f in sink.stack_of(process.pid)] == ["main", "<module>"]


@pytest.mark.few
def test_exit(direct_python: Interpreter) -> None:
    with target(direct_python, SLEEP) as process, watching(process.pid) as (engine, _):
        ticks(engine, 3)
        os.kill(process.pid, signal.SIGKILL)  # a zombie until it is waited for
        with pytest.raises(TargetGone, match="exited"):
            tick_until(engine, lambda: False)


EXEC = """
import os, sys, time
if len(sys.argv) < 2:
    print("ready")
    sys.stdin.readline()
    os.execv(sys.executable, [sys.executable, __file__, "again"])
print("again")
time.sleep(100000)
"""


@pytest.mark.few
def test_exec(direct_python: Interpreter) -> None:
    with target(direct_python, EXEC) as process, watching(process.pid) as (engine, _):
        ticks(engine, 3)
        process.send("")
        with pytest.raises(TargetGone, match="exec"):
            tick_until(engine, lambda: False)
        process.line()
        with watching(process.pid) as (again, other):
            tick_until(again, lambda: other.stack_of(process.pid))


@pytest.mark.few
def test_attach_while_it_starts(direct_python: Interpreter) -> None:
    """Whatever moment of its start is caught: it works, or it says that there is nothing yet."""
    for delay in (0, 0.002, 0.005, 0.01, 0.02):
        with target(direct_python, SLEEP, ready=None) as process:
            time.sleep(delay)
            deadline = time.monotonic() + 60
            while not DirectEngine.probe(process.pid).usable:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            try:
                with watching(process.pid) as (engine, sink):
                    tick_until(engine, lambda sink=sink, pid=process.pid: sink.stack_of(pid))  # type: ignore[misc]
            except TargetGone as gone:
                assert str(gone) == "exec"  # the shell before it


def test_finalizing(direct_python: Interpreter) -> None:
    """An interpreter that shuts down while threads sleep."""
    source = """
import threading, time
threading.Thread(target=time.sleep, args=(1e5,), daemon=True).start()
print("ready")
input()
"""
    with target(direct_python, source) as process, watching(process.pid) as (engine, _):
        ticks(engine, 3)
        process.send("")
        with pytest.raises(TargetGone, match="exited"):
            tick_until(engine, lambda: False, pause=0)


@pytest.mark.few
def test_the_sink_forgets(direct_python: Interpreter) -> None:
    """After `generation` changed everything is told anew with new ids."""
    with target(direct_python, SLEEP, settled=True) as process, watching(process.pid) as (engine, sink):
        ticks(engine, 3)
        before = sink.stack_of(process.pid)
        sink.reset()
        sink.generation += 1
        ticks(engine, 3)
        assert sink.stack_of(process.pid) == before
        assert sink.wait_of(process.pid) is not None


def test_a_code_object_gives_way_to_another(direct_python: Interpreter) -> None:
    """Code made and freed all the time: addresses are reused, names must not be stale."""
    source = """
import time
print("ready")
n = 0
while True:
    n += 1
    space = {"time": time}
    exec(compile(f"def unique_{n}():\\n    time.sleep(0.01)\\n", f"file_{n}", "exec"), space)
    print(n)
    space[f"unique_{n}"]()
    del space
"""
    with target(direct_python, source) as process, watching(process.pid) as (engine, sink):
        stale = fresh = 0
        deadline = time.monotonic() + 60
        latest = 0
        while fresh < 200 and time.monotonic() < deadline:
            ticks(engine, 1, pause=0.003)
            leaf = (sink.stack_of(process.pid) or [("", "", 0)])[0]
            if leaf[0].startswith("unique_"):
                number = int(leaf[0][7:])
                assert leaf[1] == f"file_{number}"
                stale += number < latest
                fresh += number >= latest
                latest = max(latest, number)
        assert fresh > 20
        assert stale <= fresh / 10, (stale, fresh)


@pytest.mark.few
def test_a_changed_budget_is_that_of_all_that_is_done_now_and_then(direct_python: Interpreter) -> None:
    with target(direct_python, SLEEP) as process, watching(process.pid) as (engine, _):
        engine.budget = 0.05
        tick_until(engine, lambda: engine._tasks.budget == 0.05)
        engine.budget = 0.3
        tick_until(engine, lambda: engine._tasks.budget == engine._queue_finder.budget == engine._table.budget == 0.3)
