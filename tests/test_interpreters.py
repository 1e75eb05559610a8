"""The helpers other tests stand on: an interpreter is what it says, and a target surely ends."""

from __future__ import annotations

from pathlib import Path

from interpreters import Interpreter, target

SCRIPT = """
import sys, os, time
print(sys.version_info[1], os.getpid())
print("ready")
print(sys.stdin.readline().strip())
time.sleep(1000)
"""


def test_a_target_talks_and_ends(any_python: Interpreter) -> None:
    with target(any_python, SCRIPT) as process:
        process.send("hello")
        assert process.line() == "hello"
        assert Path(f"/proc/{process.pid}/stat").exists()
    assert process.popen.returncode is not None
    assert not Path(f"/proc/{process.pid}").exists()
