"""How a process ended that is nobody's child of the reader's: beside what its parent was told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from concview.linux import exit_status
from concview.linux.exit_status import UNKNOWN, ExitWatch


@pytest.mark.parametrize("how", [0, 3, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGTERM])
def test_as_its_parent_was_told(how: int) -> None:
    code = "import sys; input(); sys.exit(int(sys.argv[1]))"
    child = subprocess.Popen([sys.executable, "-c", code, str(max(0, how))], stdin=subprocess.PIPE)
    watch = ExitWatch(child.pid)
    try:
        assert child.stdin is not None and watch.status(0.0) == UNKNOWN
        if how < 0:
            child.send_signal(-how)
        else:
            child.stdin.write(b"\n")
            child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        of_zombie = watch.status(0.0)
        assert child.wait(20) == how
        of_pidfd = watch.status(0.0)
    finally:
        child.kill()
        watch.close()
    assert os.waitstatus_to_exitcode(of_zombie & 0xFF7F) == how
    if tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) >= (6, 15):
        assert of_pidfd == of_zombie
    else:
        assert of_pidfd == UNKNOWN
    said = watch.words(of_zombie)
    assert said == (f"was killed by {signal.Signals(-how).name}" if how < 0 else f"exited with code {how}")


def test_a_parent_that_takes_its_time_is_waited_for_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = ExitWatch(os.getpid())
    naps: list[float] = []
    monkeypatch.setattr(exit_status.time, "sleep", naps.append)
    monkeypatch.setattr(exit_status.time, "monotonic", iter(range(100)).__next__)
    assert watch.status(3.0) == UNKNOWN and naps
    watch.close()
    assert watch.words(UNKNOWN) == "exited"


def test_memory_is_named_where_the_kernel_killed_for_want_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = ExitWatch(os.getpid())
    watch.close()
    before = exit_status.oom_kills()
    assert before >= 0
    monkeypatch.setattr(exit_status, "oom_kills", lambda: before + 1)
    assert "want of memory" in watch.words(signal.SIGKILL) and "memory" not in watch.words(signal.SIGSEGV)
    watch.note()
    assert watch.words(signal.SIGKILL) == "was killed by SIGKILL"
