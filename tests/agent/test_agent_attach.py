"""Attaching and detaching, on every Python and in every state a program can be in."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from pathlib import Path

import agent_helpers as h
import pytest

from concview.agent_host import Attachment, CannotInject
from concview.agent_host.inject import boot
from interpreters import Interpreter, Process, target


@pytest.mark.parametrize("state", ["busy", "threads"])
def test_comes_and_goes(any_python: Interpreter, state: str) -> None:
    comes_and_goes(any_python, state)


@pytest.mark.few
@pytest.mark.parametrize("state", ["idle", "native", "fight", "births", "asyncio"])
def test_comes_and_goes_in_other_states(any_python: Interpreter, state: str) -> None:
    comes_and_goes(any_python, state)


def comes_and_goes(python: Interpreter, state: str) -> None:
    h.skip_unless_askable(python)
    if not h.reachable(python, state):
        pytest.skip("before 3.12 only the main thread takes requests")
    with target(python, h.STATES, state) as process:
        if state != "births":
            before = h.settled(process.pid)
        for _ in range(2):
            attachment = h.visit(process.pid)
            assert attachment.hello is not None and attachment.hello.pid == process.pid
            h.report(attachment)
            h.leave(attachment)
        if state != "births":
            h.eventually(lambda: (h.threads(process.pid), h.sockets(process.pid)) == before)
        h.ends_as_ever(process)


@pytest.mark.few
def test_nothing_runs_python(any_python: Interpreter) -> None:
    """Said and withdrawn; the program notices nothing, also when it wakes up later, and can be asked again."""
    h.skip_unless_askable(any_python)
    source = h.STATES.replace("time.sleep(1000)", "signal.signal(signal.SIGUSR1, print); signal.pause(); naps()")
    with target(any_python, source, "asleep") as process:
        asleep(process)
        attachment = Attachment(process.pid, patience_s=1.0)
        attachment.start()
        heard = ""
        while attachment.state == "asking":
            attachment.poll()
            heard = attachment.text if attachment.state == "asking" else heard
            time.sleep(0.01)
        assert "waits or is in native code" in heard
        assert attachment.state == "ended" and "withdrawn" in attachment.text and attachment.remedy
        process.popen.send_signal(signal.SIGUSR1)
        assert process.line().startswith(str(signal.SIGUSR1.value))
        attachment = h.visit(process.pid)
        h.leave(attachment)
        h.ends_as_ever(process)


@pytest.mark.python(14)
def test_a_signal_is_not_swallowed_while_waiting(interpreter: Interpreter) -> None:
    """CPython 3.14 and 3.15 lose the exception of a signal handler while a debugger script is pending."""
    with target(interpreter, h.STATES, "asleep") as process:
        asleep(process)
        attachment = Attachment(process.pid, patience_s=60.0)
        attachment.start()
        end = time.monotonic() + 30
        while not attachment._request._main_next:  # type: ignore[union-attr]  # past the first 300 ms, not yet in the next short moment
            assert time.monotonic() < end
            attachment.poll()
            time.sleep(0.002)
        h.ends_as_ever(process)
        attachment.close()


def asleep(process: Process) -> None:
    """It said that it was ready, and has gone to sleep since."""
    h.eventually(lambda: Path(f"/proc/{process.pid}/syscall").read_text().split()[0] not in ("running", "0", "1"))


@pytest.mark.few
def test_a_second_dashboard_is_told(any_python: Interpreter) -> None:
    h.skip_unless_askable(any_python)
    with target(any_python, h.STATES, "idle") as process:
        first = h.visit(process.pid)
        with pytest.raises(CannotInject, match="another concview"):
            h.visit(process.pid)
        h.report(first)
        h.leave(first)
        h.ends_as_ever(process)


@pytest.mark.few
def test_shutdown_does_not_wait(any_python: Interpreter) -> None:
    h.skip_unless_askable(any_python)
    source = (
        "import select, sys, threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
        "print('ready', flush=True)\nwhile not select.select([0], [], [], .01)[0]: pass\nprint('end')\nsys.exit(7)\n"
    )
    with target(any_python, source) as process:
        attachment = h.visit(process.pid)
        h.report(attachment)
        process.send("go")
        assert process.line() == "end"
        end = time.monotonic() + 30
        while process.popen.poll() is None and time.monotonic() < end:
            attachment.poll()  # the dashboard stays: an agent that is waited for would stay as well
            time.sleep(0.01)
        assert process.popen.wait(1) == 7
        assert process.errors() == "standard error: "
        attachment.close()


@pytest.mark.few
def test_no_folder_is_left(gil_python: Interpreter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with target(gil_python, h.STATES, "idle") as process:
        attachment = Attachment(process.pid)
        attachment.start()
        (folder,) = (script.parent for script in tmp_path.glob("*/boot.py"))
        assert folder.stat().st_mode & 0o777 == 0o700
        while attachment.state == "asking":
            attachment.poll()
        assert attachment.state == "attached" and not folder.exists()
        h.leave(attachment)


@pytest.mark.few
def test_a_late_thread_finds_its_request_answered(
    gil_python: Interpreter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From 3.14 on several threads may take one request. One that comes when the agent has left must not take the place
    of the next one, which may be on its way already."""
    source = (
        "import select, sys, threading\nprint('ready', flush=True)\n"
        "while True:\n"
        "    while not select.select([0], [], [], .005)[0]: pass\n"
        "    exec(open(sys.stdin.readline().strip()).read(), {'__name__': '_cv'})\n"
        "    print('_concview_agent' in sys.modules, flush=True)\n"
    )
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with target(gil_python, source) as process:
        attachment = Attachment(process.pid, 20.0)
        attachment.start()
        (script,) = tmp_path.glob("*/boot.py")
        script = script.rename(tmp_path / "late.py")
        h.eventually(lambda: attachment.taken_at or attachment.poll())
        assert attachment.hello is None
        process.send(str(script))
        assert process.line() == "True"  # the first to come starts the agent
        h.eventually(lambda: attachment.poll() or attachment.state == "attached")
        h.leave(attachment)
        process.send(str(script))
        assert process.line() == "False"
        h.leave(h.visit(process.pid))
        assert process.errors() == "standard error: "


@pytest.mark.few
def test_opted_out_is_left_alone(any_python: Interpreter) -> None:
    with target(any_python, h.STATES, "idle", env={"PYTHON_DISABLE_REMOTE_DEBUG": "1"}) as process:
        with pytest.raises(CannotInject, match="left alone"):
            h.visit(process.pid)
        h.ends_as_ever(process)


@pytest.mark.python(14)
def test_opted_out_by_option(interpreter: Interpreter) -> None:
    options = ("-X", "disable-remote-debug")
    with target(interpreter, h.STATES, "idle", flags=options) as process, pytest.raises(CannotInject, match="left"):
        h.visit(process.pid)


def test_what_cannot_be_asked_is_refused(free_threaded_python: Interpreter) -> None:
    if h.can_be_asked(free_threaded_python):
        pytest.skip("this one can be asked")
    with target(free_threaded_python, h.STATES, "idle") as process, pytest.raises(CannotInject, match="free-threaded"):
        h.visit(process.pid)


def test_not_python() -> None:
    with subprocess.Popen(["sleep", "30"]) as process:
        with pytest.raises(CannotInject):
            h.visit(process.pid)
        process.kill()


def test_the_line_binds_nothing_and_raises_nothing(any_python: Interpreter) -> None:
    """Also where the script cannot be read; and it is one expression."""
    line = boot.line("/nowhere/boot.py")
    assert "\n" not in line and line.isascii() and len(line) < 600
    code = f"before = set(globals()) | {{'before', 'time'}}\n{line}\nimport time; time.sleep(0.2)\n"
    code += "print(set(globals()) - before)"
    done = subprocess.run([any_python.path, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == ("set()\n", "", 0)
