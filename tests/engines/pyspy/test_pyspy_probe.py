"""What is said beforehand, and the deep look."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from concview.engines.pyspy import PySpyEngine, PySpyFailed, look
from concview.engines.pyspy import probe as probe_module
from concview.engines.pyspy import run as run_module
from concview.model import CAPABILITIES
from concview.text import clean
from interpreters import Interpreter, target

SOURCE = """
import threading, time
class Box:
    def hold(self, wide, count=3):
        text = "\\x1b[31m" + "v" * 5000
        time.sleep(100)
threading.Thread(target=Box().hold, args=("w",), name="boxer\\x1b[0m", daemon=True).start()
print("ready")
time.sleep(100)
"""


@pytest.mark.python(8, 14, False)
def test_probe_tells_what_can_be_seen(interpreter: Interpreter) -> None:
    with target(interpreter, SOURCE) as process:
        found = PySpyEngine.probe(process.pid)
    assert found.usable, found
    assert found.python.startswith(f"{interpreter.version[0]}.{interpreter.version[1]}")
    assert set(found.capabilities) | {"calls"} == set(CAPABILITIES)  # calls: only what is inside can count them
    can = {name for name, capability in found.capabilities.items() if capability.available}
    assert {"stacks", "waits", "peers", "counters"} <= can
    assert "gil" in can
    assert not {"locks", "held-locks"} & can
    assert all(c.available or c.why for c in found.capabilities.values())


def test_probe_of_what_is_no_python() -> None:
    with subprocess.Popen(["sleep", "30"]) as process:
        try:
            found = PySpyEngine.probe(process.pid)
        finally:
            process.kill()
    assert not found.usable and found.why and found.enable


def test_probe_of_nothing() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    found = PySpyEngine.probe(process.pid)
    assert not found.usable and "has ended" in found.why


def false_py_spy(folder: Path, script: str) -> str:
    path = folder / "py-spy"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_version_that_py_spy_cannot_read_is_told_by_trying(
    pyspy_python: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = false_py_spy(tmp_path, "echo 'Error: Unsupported version of Python: 3.16.0' >&2; exit 1")
    monkeypatch.setattr(probe_module, "executable", lambda: fake)
    monkeypatch.setattr(probe_module, "_version", lambda pid: ("3.16.0", False))
    found = PySpyEngine.probe(os.getpid())
    assert not found.usable
    assert "cannot read Python 3.16" in found.why and "--engine direct" in found.enable


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'Permission Denied: Try running again' >&2; exit 1", "may not read"),
        ("echo 'Error: Unsupported version of Python: 3.16.0' >&2; exit 1", "cannot read Python 3.16.0"),
        ("exit 0", "without a word"),
        ("head -c 3000000 /dev/urandom >&2; exit 3", "py-spy"),
    ],
)
def test_opening_fails_with_one_sentence(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyspy_sink import KeepingSink

    from concview.model import Target

    fake = false_py_spy(tmp_path, script)
    monkeypatch.setattr(run_module, "executable", lambda: fake)
    engine = PySpyEngine()
    with pytest.raises(PySpyFailed, match=said) as failure:
        engine.open(Target(os.getpid(), "3.16.0", (), 0.0), KeepingSink())
    engine.close()
    # Cleaned: what is left cannot drive a terminal, though random bytes may well be letters that no font has.
    assert failure.value.remedy and str(failure.value) == clean(str(failure.value))


@pytest.mark.python(8, 14, False)
def test_deep_look_shows_locals_without_stopping(interpreter: Interpreter) -> None:
    with target(interpreter, SOURCE) as process:
        found = look(process.pid, locals=True)
    assert not found.stopped
    assert found.threads[0].tid == process.pid and all(t.tid for t in found.threads)
    boxer = found.threads[1]
    assert boxer.name == "boxer\\x1b[0m"
    frame = next(f for f in boxer.frames if f.function.endswith("hold"))
    values = {x.name: x for x in frame.locals}
    assert values["count"].value == "3" and values["wide"].argument and not values["text"].argument
    assert "\x1b" not in values["text"].value and len(values["text"].value) <= 200
    assert frame.line == 6 and not frame.native


@pytest.mark.python(8, 13, False)
def test_native_frames_need_a_stop_and_leave_the_target_running(interpreter: Interpreter) -> None:
    with target(interpreter, SOURCE) as process:
        with pytest.raises(PySpyFailed, match="stopped for a moment"):
            look(process.pid, native=True)
        found = look(process.pid, native=True, nonblocking=False)
        state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    assert found.stopped and state in "SR"
    assert any(f.native for t in found.threads for f in t.frames)


def test_deep_look_of_a_dead_process() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(PySpyFailed, match="gone"):
        look(process.pid)


@pytest.mark.parametrize("output", ["", "[", "{}", '[{"thread_id":"x"}]', "[" * 50_000, "null"])
def test_a_dump_that_cannot_be_understood(output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concview.engines.pyspy import deep

    (tmp_path / "out").write_text(output)
    fake = false_py_spy(tmp_path, f"cat '{tmp_path}/out'")
    monkeypatch.setattr(deep, "executable", lambda: fake)
    with pytest.raises(PySpyFailed):
        look(os.getpid())
