"""Core files of real programs, written by gdb: the same answers as of the running process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interpreters import Interpreter, Process, target

pytestmark = pytest.mark.skipif(shutil.which("gcore") is None, reason="gdb is not installed: no core file can be made")

#: Few threads with small stacks: a core file of some MB.
PROGRAM = """
import asyncio, queue, threading, time
threading.stack_size(256 << 10)
A, B, R, Q = threading.Lock(), threading.Lock(), threading.RLock(), queue.Queue(maxsize=1)
both = threading.Barrier(2)

def first():
    with A:
        both.wait()
        with B: pass

def second():
    with B:
        both.wait()
        with A: pass

def owner():
    with R:
        with R: time.sleep(10000)

def asker():
    with R: pass

def producer():
    while True: Q.put(1)

def loop():
    async def main():
        lock = asyncio.Lock()
        async def holds():
            async with lock: await asyncio.sleep(10000)
        async def asks():
            async with lock: pass
        holder = asyncio.ensure_future(holds())
        await asyncio.sleep(0.05)
        waiter = asyncio.ensure_future(asks())
        await asyncio.sleep(0.05)
        looped.set()
        await asyncio.gather(holder, waiter)
    asyncio.run(main())

looped = threading.Event()
threads = [threading.Thread(target=f, name=f.__name__, daemon=True) for f in (first, second, owner, producer, loop)]
for thread in threads: thread.start()
looped.wait()
while not Q.full() or R.acquire(blocking=False): time.sleep(0.01)
threading.Thread(target=asker, name="asker", daemon=True).start()
print("ready", flush=True)
time.sleep(10000)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cores")


@pytest.fixture
def process(any_python: Interpreter, folder: Path) -> Iterator[Process]:
    script = folder / "target.py"  # written once: source that is newer than the core file is not believed
    if not script.exists():
        script.write_text(PROGRAM)
    small = {"MALLOC_ARENA_MAX": "1"} | ({} if any_python.free_threaded else {"PYTHONMALLOC": "malloc"})
    with target(any_python, script, env=small, settled=True) as process:
        yield process


def _core(process: Process, folder: Path) -> Path:
    made = subprocess.run(
        ["gcore", "-o", str(folder / "core"), str(process.pid)], capture_output=True, text=True, timeout=120
    )  # fmt: skip
    path = folder / f"core.{process.pid}"
    if not path.exists() and "Operation not permitted" in made.stderr:
        pytest.skip("gdb may not attach here: no core file can be made")
    assert path.exists(), made.stdout + made.stderr
    return path


def _concview(*words: str, code: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "concview", *words], capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if "json" in words else done.stdout


@pytest.mark.some(8, 12, 15)
def test_a_core_tells_what_the_process_would(process: Process, folder: Path) -> None:
    path = _core(process, folder)
    try:
        dump = _concview("dump", "--core", str(path), "--format", "json")
        check = _concview("check", "--core", str(path), "--format", "json", code=1)
        text = _concview("dump", "--core", str(path))
    finally:
        path.unlink()
    assert dump["target"]["pid"] == process.pid
    assert dump["target"]["core"] == str(path)
    assert dump["target"]["command"][-1] == process.script
    threads = {t["name"]: t for t in dump["threads"]}
    assert {"MainThread", "first", "second", "owner", "asker", "producer", "loop"} <= threads.keys()
    assert threads["first"]["frames"][0]["function"] == "first"
    assert [(h["expression"], h["confidence"]) for h in threads["first"]["holds"]] == [("A", "exact")]
    assert [(h["expression"], h["kind"]) for h in threads["owner"]["holds"]] == [("R", "RLock")]
    circle = {edge["tid"]: edge["waits_for"] for edge in dump["deadlocks"][0]}
    assert circle.keys() == {threads["first"]["tid"], threads["second"]["tid"]}
    assert threads["asker"]["waiting_for"]["holder"] == threads["owner"]["tid"]
    waits = threads["producer"]["waiting_for"]["text"]
    assert "room in Q: Queue(maxsize=1)" in waits and (", 1 in it" in waits or not _whole(dump)), waits
    tasks = {t["function"].rpartition(".")[2]: t for t in dump["tasks"]}
    assert tasks["asks"]["waiting_for"]["holders"] == [tasks["holds"]["id"]]
    headings = [line for line in text.splitlines() if line.startswith('"') or " tid " in line]
    assert headings and not any(" for " in line for line in headings), headings  # no length of time is told
    assert ("lacks the stacks" in text) == (not _whole(dump))
    if _whole(dump):
        assert [f["id"] for f in check["findings"]] == ["deadlock"]
        assert check["findings"][0]["confidence"] == "exact"
        assert check["blame"]["verdict"] == "stuck"
    reasons = {n["why"] for n in check["not_applicable"] if n["id"] == "lock-contention"}
    assert reasons == {"a core file is one moment, and this takes time to tell"}


def _whole(dump: Any) -> bool:
    """gdb up to 13 leaves out stacks, where the C library marks their guards inside of the mapping."""
    return not dump["target"]["core_lacks"]


#: Runs concview in one process, and fails where it looks at the running process of the core's number.
WATCHED = """
import os, sys
pid, core = sys.argv[1:]
seen = []
def note(path):
    if isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(f"/proc/{pid}"): seen.append(path)
sys.addaudithook(lambda event, args: note(args[0]) if event in ("open", "os.listdir", "os.scandir") else None)
for name in "readlink stat lstat access getxattr".split():
    def wrapped(path, *a, _real=getattr(os, name), **k):
        note(path)
        return _real(path, *a, **k)
    setattr(os, name, wrapped)
from concview.cpython import memory
from concview.linux import remote_memory, decode
def refuse(*_): raise AssertionError("the memory of a running process was read")
memory.readv = refuse
memory._as_it_is = refuse
remote_memory.read_memory = decode.read_memory = refuse
from concview.__main__ import main
sys.argv = ["concview", "dump", "--core", core]
try: main()
except SystemExit as end: assert not end.code, end.code
assert not seen, seen
"""


@pytest.mark.some(8, 14)
def test_a_running_process_of_the_same_number_is_left_alone(process: Process, folder: Path) -> None:
    """The core's process still runs here: whatever is read of it would be another moment, or another program."""
    path = _core(process, folder)
    try:
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, str(process.pid), str(path)], capture_output=True, text=True, timeout=120
        )  # fmt: skip
    finally:
        path.unlink()
    assert done.returncode == 0, done.stderr
    assert '"first"' in done.stdout


@pytest.mark.some(12)
def test_what_is_missing_is_told_with_the_remedy(process: Process, folder: Path) -> None:
    path = _core(process, folder)
    size = path.stat().st_size
    nowhere = folder / "nowhere"
    nowhere.mkdir(exist_ok=True)
    try:
        for words, said, remedy in (
            (["--sysroot", str(nowhere)], "is not here", "--exe PYTHON"),
            (["--exe", str(nowhere / "python")], "no such file", ""),
        ):
            done = _failed(path, *words)
            assert said in done and remedy in done
        os.truncate(path, size * 3 // 4)
        assert "the core file is cut off" in _failed(path)
    finally:
        path.unlink()


def test_a_program_that_is_not_python(folder: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        try:
            made = ["gcore", "-o", str(folder / "sleep"), str(sleeper.pid)]
            done = subprocess.run(made, capture_output=True, text=True, timeout=120)
        finally:
            sleeper.kill()
    path = folder / f"sleep.{sleeper.pid}"
    if not path.exists():
        pytest.skip(f"gdb may not attach here: {done.stderr[-200:]}")
    assert "no CPython" in _failed(path, code=4)


def _failed(path: Path, *words: str, code: int = 5) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "concview", "dump", "--core", str(path), *words],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == code and not done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())
