"""A target that rewrites its own interpreter structures: no error of ours, no hang, no memory without bounds, and the
target is as it would be without us."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from concview.cpython.memory import Memory
from concview.cpython.runtime import find, layout
from interpreters import FULL, Interpreter, interpreters, target

TARGET = Path(__file__).with_name("hostile_memory_target.py")
IDLE = "print('ready', flush=True)\nimport sys\nsys.stdin.readline()\n"
NAMES = (
    "ts.next", "ts.thread_id", "ts.datastack_chunk", "ts.cframe", "dict.ma_keys", "str.length", "co.filename",
    "co.linetable", "co.qualname", "co.firstlineno",
)  # fmt: skip
#: Bytes that a command of ours may take, whatever it reads.
MOST = 400 << 20
#: Seconds of CPU for three seconds of watching at 5 % and for starting.
MOST_CPU = 60
COMMANDS = (
    ["check", "--duration", "3", "--rate", "200"],
    ["dump"],
    ["dump", "--format", "json"],
)
CHOSEN = [
    i for i in interpreters() if not i.free_threaded and (FULL or i.version in ((3, 8), (3, 11), (3, 12), (3, 14)))
]
#: Each version has its own seed.
PAIRS = [(python, seed) for n, python in enumerate(CHOSEN) for seed in (range(8) if FULL else (n,))]


def offsets(python: Interpreter) -> str:
    with target(python, IDLE) as process:
        memory = Memory(process.pid)
        o = layout(memory, find(memory))
    return json.dumps({name: o.get(name) for name in NAMES})


#: Between us and the command: the kernel counts what a process had before its `exec`, so that a child of ours would
#: seem to have what we have.
LAUNCHER = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
print(json.dumps([code, used.ru_maxrss << 10, used.ru_utime + used.ru_stime]))
"""


def watch(pid: int, command: list[str]) -> tuple[int, str, int, float]:
    """(exit code, standard error, most memory in bytes, CPU seconds) of one command and all that it started."""
    words = [sys.executable, "-m", "concview", command[0], str(pid), *command[1:]]
    done = subprocess.run([sys.executable, "-c", LAUNCHER, *words], capture_output=True, text=True)
    code, memory, cpu = json.loads(done.stdout)
    return code, done.stderr, memory, cpu


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("python", "seed"), PAIRS, ids=lambda v: v if isinstance(v, int) else v.label)
def test_a_target_that_scribbles_over_itself(python: Interpreter, seed: int) -> None:
    with target(python, TARGET, offsets(python), str(seed)) as process:
        # All at once: what the target scribbles meanwhile costs most of this test.
        with ThreadPoolExecutor(len(COMMANDS)) as pool:
            done = list(pool.map(lambda command: watch(process.pid, command), COMMANDS))
        for command, (code, errors, memory, cpu) in zip(COMMANDS, done, strict=True):
            assert code in (0, 1, 6), (command, code, errors)
            assert "Traceback" not in errors
            assert memory < MOST and cpu < MOST_CPU, (command, memory >> 20, cpu)
        process.send("end")
        assert int(process.line()) > 0
        assert process.popen.wait(20) == 0, process.errors()
