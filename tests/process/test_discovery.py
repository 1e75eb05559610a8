"""Finding Python processes and describing one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from nobody import NOBODY, as_nobody, needs_root

import capacity
from concview.errors import NoSuchProcess, NotPermitted, NotPython, TargetError, Zombie
from concview.process import discovery
from concview.process.discovery import Discovery, describe, human_name, is_own
from concview.process.instead import other_python
from concview.process.pythons import looks_like_python, python_of
from interpreters import Interpreter, current, target

WAITS = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"


def full(interpreter: Interpreter) -> str:
    return f"{interpreter.version[0]}.{interpreter.version[1]}.{interpreter.micro}"


def test_a_python_is_found_with_its_version(any_python: Interpreter) -> None:
    with target(any_python, WAITS, "an argument") as process:
        found = {c.pid: c for c in Discovery().list()}
        assert os.getpid() not in found, "we are not a target"
        candidate = found[process.pid]
        assert candidate.python == full(any_python)
        assert candidate.free_threaded == any_python.free_threaded
        assert (candidate.name, candidate.threads, candidate.embedded) == ("target.py", 1, False)
        assert candidate.command[-1] == "an argument"
        assert candidate.attachable and not candidate.why and not candidate.remedy
        assert candidate.user == psutil.Process().username()
        assert candidate.cpu_percent >= 0 and candidate.switches_per_s > 0
        assert abs(candidate.started - time.time()) < 3600


def test_describe(any_python: Interpreter) -> None:
    with target(any_python, WAITS) as process:
        found = describe(process.pid)
        assert found.python == full(any_python)
        assert found.free_threaded == any_python.free_threaded
        assert found.command[0] == any_python.path and found.command[-1].endswith("target.py")
        assert found.executable == os.path.realpath(any_python.path)
        assert found.start_ticks == discovery.start_ticks(process.pid) > 0
        assert 0 < found.cpus <= found.machine_cpus == psutil.cpu_count()
        assert found.fd_limit > 0 and found.memory_limit > 0
        assert found.user


def test_affinity_limits_the_cpus() -> None:
    with target(current(), WAITS) as process:
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
        assert describe(process.pid).cpus <= 1.0


BUSY = """
import sys, threading, time
def nap():
    while True: time.sleep(0.001)
threading.Thread(target=nap, daemon=True).start()
print('ready', flush=True)
while True: pass
"""


@pytest.mark.units(capacity.BUSY)
def test_rates_are_taken_between_two_listings() -> None:
    with target(current(), BUSY) as process:
        lister = Discovery()

        def look() -> tuple[float, float]:
            """(CPU seconds so far, now)"""
            used = psutil.Process(process.pid).cpu_times()
            return used.user + used.system, time.monotonic()

        before = look()
        lister.list()
        after = look()
        deadline = time.monotonic() + 60
        while look()[0] < after[0] + 0.5:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        late = look()
        candidate = next(c for c in lister.list() if c.pid == process.pid)
        last = look()
        # Each listing looked at some moment between two looks of ours; the kernel counts hundredths.
        least = (late[0] - after[0] - 0.02) / (last[1] - before[1]) * 100
        most = (last[0] - before[0] + 0.02) / (late[1] - after[1]) * 100
        assert least <= candidate.cpu_percent <= most
        assert candidate.threads == 2
        assert candidate.switches_per_s > 0


def test_hostile_command_lines_are_cleaned(tmp_path: Path) -> None:
    script = tmp_path / "\x1b]0;owned\x07[red].py"
    script.write_text(WAITS)
    with target(current(), str(script), "x" * 10_000, "[/red]\u202e\n\x9b31m") as process:
        candidate = next(c for c in Discovery().list() if c.pid == process.pid)
        for text in (candidate.name, *candidate.command, *describe(process.pid).command):
            assert text.isprintable() and len(text) <= 300
        assert candidate.name == "\\x1b]0;owned\\x07[red].py"


@pytest.mark.few
def test_another_program_with_python_inside(any_python: Interpreter, tmp_path: Path) -> None:
    """As uwsgi or a database does it; here the interpreter itself under another program's name."""
    program = tmp_path / "server"
    shutil.copy(os.path.realpath(any_python.path), program)
    asked = "import sys,os,sysconfig;print(sys.base_prefix);print(sysconfig.get_config_var('LIBDIR') or '')"
    home, libraries = subprocess.run(
        [any_python.path, "-c", asked], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    environment = {"PYTHONHOME": home, "LD_LIBRARY_PATH": libraries}
    embedded = Interpreter(str(program), any_python.version, any_python.micro, any_python.free_threaded)
    with target(embedded, WAITS, env=environment) as process:
        candidate = next(c for c in Discovery().list() if c.pid == process.pid)
        assert candidate.embedded
        assert candidate.name == "server"
        assert candidate.python in (full(any_python), ".".join(map(str, any_python.version)))


def test_an_executable_that_was_replaced(tmp_path: Path) -> None:
    """As after an upgrade under a running program: the file is deleted, the process still has it."""
    program = tmp_path / f"python3.{sys.version_info[1]}"
    shutil.copy(os.path.realpath(sys.executable), program)
    environment = {"PYTHONHOME": sys.base_prefix, "LD_LIBRARY_PATH": f"{sys.base_prefix}/lib"}
    interpreter = Interpreter(str(program), sys.version_info[:2], sys.version_info.micro, False)
    with target(interpreter, WAITS, env=environment) as process:
        program.unlink()
        found = python_of(process.pid)
        assert found is not None and found.version.startswith(f"3.{sys.version_info[1]}")


def test_what_is_not_there_or_not_python() -> None:
    for pid in (0, -5, 2**22 + 1, 2**40):
        with pytest.raises(NoSuchProcess, match=f"no process {pid}"):
            describe(pid)
    with subprocess.Popen(["sleep", "100"]) as other:
        # Popen returns when the new program is there; the kernel gives it its command line a moment later.
        while not Path(f"/proc/{other.pid}/cmdline").read_bytes():
            time.sleep(0.01)
        try:
            with pytest.raises(NotPython, match=r"sleep 100\) is not a Python process"):
                describe(other.pid)
            assert other.pid not in {c.pid for c in Discovery().list()}
        finally:
            other.kill()
    assert (NotPython("x").exit_code, NoSuchProcess("x").exit_code, NotPermitted("x", "y").exit_code) == (4, 4, 3)


def test_of_a_launcher_the_python_below_it_is_named() -> None:
    """A shell, a supervisor, the starter of a program in one file: its number is the one that `systemctl` tells."""
    program = f"{sys.executable} -c 'import time; print(1, flush=True); time.sleep(100)'"
    with subprocess.Popen(["sh", "-c", f'sh -c "{program}; true"; true'], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None and shell.stdout.readline() == "1\n"
        middle = psutil.Process(shell.pid).children()[0]
        (python,) = middle.children()
        try:
            for launcher in (shell.pid, middle.pid):
                with pytest.raises(NotPython, match=f"but process {python.pid} below it is") as refused:
                    describe(launcher)
                assert str(python.pid) in refused.value.remedy
        finally:
            python.kill()
            middle.wait()
    several = f"{program} & {program} & wait"
    with subprocess.Popen(["sh", "-c", several], stdout=subprocess.PIPE, text=True) as shell:
        # Each prints "1" and the end of a line, and these may come in any order.
        assert shell.stdout is not None and sorted(shell.stdout.read(4)) == sorted("1\n" * 2)
        pythons = psutil.Process(shell.pid).children()
        try:
            with pytest.raises(NotPython, match="but 2 below it are") as refused:
                describe(shell.pid)
            assert all(str(p.pid) in refused.value.remedy for p in pythons)
        finally:
            for python in pythons:
                python.kill()


@pytest.mark.parametrize(
    ("mapped", "name"),
    [
        ("/usr/lib/x86_64-linux-gnu/libpypy3.9-c.so", "PyPy"),
        ("/opt/pypy3.10/bin/pypy3.10", "PyPy"),
        ("/opt/graalpy-24/bin/graalpy", "GraalPy"),
        ("/usr/lib/jvm/java-17/lib/server/libjvm.so", "Jython"),
        ("/usr/bin/micropython", "MicroPython"),
        ("/srv/pypy-notes/bin/server", ""),
        ("/usr/bin/bash", ""),
    ],
)
def test_which_other_python_it_is(mapped: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"55d0c0a00000-55d0c0a01000 r-xp 00000000 fe:00 1234    {mapped}\n".encode()
    monkeypatch.setattr(Path, "read_bytes", lambda _: line + b"7ffd0000-7ffd1000 rw-p 00000000 00:00 0   [stack]\n")
    assert name in other_python(1)[0] and bool(other_python(1)[0]) == bool(name)


def test_a_zombie() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        with pytest.raises(Zombie, match="has ended"):
            describe(child.pid)
        assert child.pid not in {c.pid for c in Discovery().list()}
    finally:
        child.wait()


def test_a_stopped_process_is_still_a_candidate() -> None:
    with target(current(), WAITS) as process:
        os.kill(process.pid, signal.SIGSTOP)
        assert process.pid in {c.pid for c in Discovery().list()}
        assert describe(process.pid).pid == process.pid


def test_processes_that_end_while_they_are_listed() -> None:
    """Many short lives; nothing may be raised, whatever is caught halfway."""
    forks = "while True:\n p=os.fork()\n if p==0: os._exit(0)\n os.waitpid(p,0)\n"
    churn = f"import os,sys\nprint('ready',flush=True)\n{forks}"
    with target(current(), churn) as process:
        lister = Discovery()
        for _ in range(20):
            assert process.pid in {c.pid for c in lister.list()}


@needs_root
def test_somebody_elses_process() -> None:
    with target(current(), WAITS) as process:

        def look() -> list[object]:
            candidate = next(c for c in Discovery().list() if c.pid == process.pid)
            try:
                describe(process.pid)
            except TargetError as error:
                told = [type(error).__name__, str(error), error.remedy]
                return [candidate.attachable, candidate.why, candidate.remedy, *told]
            return [candidate.attachable]

        attachable, why, remedy, kind, message, other_remedy = as_nobody(look)
        assert not attachable and kind == "NotPermitted"
        assert why == message == f"process {process.pid} belongs to root, concview runs as nobody"
        assert remedy == other_remedy == f"sudo {sys.executable} -m concview attach {process.pid}"


@needs_root
def test_root_sees_a_process_of_nobody(tmp_path: Path) -> None:
    script = f"import os,sys\nos.setuid({NOBODY})\nprint('ready', flush=True)\nsys.stdin.readline()\n"
    with target(current(), script) as process:
        assert describe(process.pid).user == "nobody"


@pytest.mark.parametrize(
    ("command", "own"),
    [
        (("/x/bin/python3", "-m", "concview", "attach", "1"), True),
        (("/x/bin/python3", "-m", "concview.collector", "--pid", "1"), True),
        (("/x/bin/python3", "-X", "dev", "/x/bin/concview", "attach", "1"), False),
        (("/x/bin/python3", "-u", "/x/bin/concview", "attach", "1"), True),
        (("concview", "check", "1"), True),
        (("/x/bin/python3", "/x/bin/concview", "demo", "deadlock", "--headless"), False),
        (("/x/bin/python3", "-m", "concview.demos.deadlock"), False),
        (("/x/bin/python3", "-m", "concviewer"), False),
        (("/x/bin/python3", "app.py", "concview"), False),
        (("/x/bin/python3",), False),
        ((), False),
    ],
)
def test_concview_itself_is_told_by_its_command_line(command: tuple[str, ...], own: bool) -> None:
    assert is_own(-1, command) is own


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("/x/python3", "-u", "/srv/app/main.py", "--port", "1"), "main.py"),
        (("/x/python3", "-X", "dev", "-W", "error", "main.py"), "main.py"),
        (("/x/python3", "-m", "http.server", "80"), "-m http.server"),
        (("/x/python3", "-c", "import time"), "-c import time"),
        (("/x/python3", "/srv/app/"), "app"),
        (("/x/python3",), "python3.12"),
        (("gunicorn: worker [app]",), "gunicorn: worker [app]"),
        ((), "python3.12"),
    ],
)
def test_names_are_what_a_person_would_say(command: tuple[str, ...], name: str) -> None:
    assert human_name(command, "python3.12", embedded=False) == name
    assert human_name(command, "uwsgi", embedded=True) == "uwsgi"


@pytest.mark.parametrize(
    ("name", "command", "version"),
    [
        ("python", ("/srv/venv/bin/python", "app.py"), ""),
        ("python3.11", ("/usr/bin/python3.11", "-m", "x"), "3.11"),
        ("python", (), ""),
        ("pythonista", ("/usr/bin/pythonista",), None),
    ],
)
def test_a_name_alone_tells_python(name: str, command: tuple[str, ...], version: str | None) -> None:
    found = looks_like_python(name, command)
    assert (found.version if found is not None else None) == version


def test_whether_a_process_lives() -> None:
    """A zombie, and another process with its number, do not."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        started = discovery.start_ticks(child.pid)
        assert discovery.lives(child.pid, started) and not discovery.lives(child.pid, started + 1)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not discovery.lives(child.pid, started)
    assert not discovery.lives(child.pid, started)
