"""What stopped a process: a signal, which one; a debugger, which one."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_sink import eventually

from concview.linux.stopped import stopped_by

_PTRACE_SEIZE, _PTRACE_INTERRUPT = 0x4206, 0x4207


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    # A process group of its own, whose parent is of the same session in another one: only that can be stopped by the
    # terminal's signals (in an orphaned group they do nothing).
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGSTOP, "SIGSTOP"),
        (signal.SIGTSTP, "SIGTSTP (Ctrl-Z)"),
        (signal.SIGTTIN, "SIGTTIN (it reads the terminal from the background)"),
    ],
)
def test_which_signal(sleeper: subprocess.Popen[bytes], number: signal.Signals, said: str) -> None:
    assert stopped_by(sleeper.pid) == ""
    sleeper.send_signal(number)
    eventually(lambda: stopped_by(sleeper.pid) == said, said)
    sleeper.send_signal(signal.SIGCONT)
    eventually(lambda: stopped_by(sleeper.pid) == "")


def test_a_parent_that_waits_for_it_takes_the_number(sleeper: subprocess.Popen[bytes]) -> None:
    """As a shell does for what is stopped by Ctrl-Z."""
    sleeper.send_signal(signal.SIGSTOP)
    assert os.WIFSTOPPED(os.waitpid(sleeper.pid, os.WUNTRACED)[1])
    assert stopped_by(sleeper.pid).startswith("a signal")


def test_which_debugger(sleeper: subprocess.Popen[bytes]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    tracer = os.fork()
    if not tracer:
        seized = libc.ptrace(_PTRACE_SEIZE, sleeper.pid, None, None) == 0
        if not seized or libc.ptrace(_PTRACE_INTERRUPT, sleeper.pid, None, None):
            os._exit(1)
        time.sleep(600)
        os._exit(0)
    try:
        name = Path(f"/proc/{tracer}/comm").read_text("utf-8").strip()
        eventually(lambda: stopped_by(sleeper.pid) == f"the debugger {name} (pid {tracer})", "a debugger")
    finally:
        os.kill(tracer, signal.SIGKILL)
        os.waitpid(tracer, 0)
    eventually(lambda: stopped_by(sleeper.pid) == "", "the sleeper goes on")


def test_of_nobody() -> None:
    assert stopped_by(1 << 30) == ""
