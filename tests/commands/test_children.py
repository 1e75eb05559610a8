"""What we start ends with us, whatever happens; what we attach to does not."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running import CONCVIEW, Terminal, alive, children, eventually, gone, run

from capacity import WAITS
from interpreters import current, target

SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"


def test_sigkill_of_the_dashboard_leaves_the_target_alone_and_no_child_of_ours() -> None:
    with target(current(), SLEEPER) as watched:
        before = Path(f"/proc/{watched.pid}/stat").read_text().split()[21]
        with Terminal(watched.pid) as terminal:
            terminal.wait_for("LIVE")
            ours = children(terminal.pid)
            assert ours
            terminal.kill(signal.SIGKILL)
            assert all(gone(pid) for pid in ours)
        eventually(lambda: "State:\tS" in Path(f"/proc/{watched.pid}/status").read_text())
        assert alive(watched.pid)
        assert "TracerPid:\t0" in Path(f"/proc/{watched.pid}/status").read_text()
        assert Path(f"/proc/{watched.pid}/stat").read_text().split()[21] == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_never_outlives_us(number: int) -> None:
    with Terminal("demo") as terminal:
        terminal.wait_for("LIVE")
        ours = children(terminal.pid)
        grandchildren = [pid for child in ours for pid in children(child)]
        assert len(ours) == 2, "the demo and the collector"
        terminal.kill(number)
        assert all(gone(pid) for pid in ours + grandchildren)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_neither_does_a_headless_demo(number: int) -> None:
    popen = subprocess.Popen([*CONCVIEW, "demo", "--headless"], stdout=subprocess.PIPE, text=True, cwd="/")
    assert popen.stdout is not None
    pid = int(popen.stdout.readline())
    assert alive(pid)
    popen.send_signal(number)
    popen.wait(40)
    assert gone(pid)


def test_nor_does_what_check_runs() -> None:
    popen = subprocess.Popen(
        [*CONCVIEW, "check", "--duration", "60", "--", sys.executable, "-c", SLEEPER],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/",
    )  # fmt: skip
    assert popen.stderr is not None
    assert popen.stderr.readline() == "ready\n"  # what it prints goes to standard error
    eventually(lambda: len(children(popen.pid)) == 2)  # the collector, too
    ours = children(popen.pid)
    popen.kill()
    popen.wait(40)
    assert ours and all(gone(pid) for pid in ours)


def test_a_target_that_ignores_sigterm_is_ended_all_the_same(tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER)
    with Terminal("run", script) as terminal:
        terminal.wait_for("LIVE")
        ours = children(terminal.pid)
        terminal.press("q")
        assert terminal.end() == 128 + signal.SIGKILL
        assert all(gone(pid) for pid in ours)


def test_run_gives_the_targets_exit_code_and_shows_what_it_printed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    go = tmp_path / "go"
    script.write_text(
        "import os, sys, time\nprint('begun', sys.argv[1:], flush=True)\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.05)\nsys.exit(42)\n"
    )
    output = tmp_path / "out.txt"
    with Terminal("run", "--output", output, script, "--rate", "9") as terminal:
        terminal.wait_for("LIVE")
        go.touch()
        terminal.wait_for("EXITED")
        shown = terminal.raw.count(b"begun")
        terminal.press("q")
        assert terminal.end() == 42
        # Once on the screen at most, where a pane shows it; and after the dashboard has left the screen.
        assert "begun ['--rate', '9']" in terminal.text[-400:]
        assert shown == 0 or b"\x1b" in terminal.raw
    assert output.read_text() == "begun ['--rate', '9']\n"


def test_run_of_something_too_quick_to_be_seen(tmp_path: Path) -> None:
    script = tmp_path / "quick.py"
    script.write_text("print('done')\nraise SystemExit(7)\n")
    with Terminal("run", script) as terminal:
        assert terminal.end() == 7
        assert "done" in terminal.text


def test_output_without_end_does_not_grow_us(tmp_path: Path) -> None:
    script = tmp_path / "chatty.py"
    script.write_text("while True: print('y' * 1000)\n")
    with Terminal("run", script) as terminal:
        terminal.wait_for("LIVE")
        terminal.read(2)
        status = Path(f"/proc/{terminal.pid}/status").read_text()
        resident = int(status.partition("VmRSS:")[2].split()[0])
        assert resident < 150_000, "kB"
        terminal.press("q")
        terminal.end()
        assert terminal.text.count("y" * 1000) <= 25


def test_a_module_runs(tmp_path: Path) -> None:
    result = run("check", "--duration", "2", "--", sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1")
    assert result.returncode == 0, result.stderr
    assert "http.server" in result.stdout


JOINS = """
import multiprocessing, os, signal, time
fork = multiprocessing.get_context("fork")
queue = fork.JoinableQueue()
def work():
    while True:
        if queue.get() == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        queue.task_done()
for _ in range(2):
    fork.Process(target=work, daemon=True).start()
for item in range(6):
    queue.put(item)
print("ready", flush=True)
queue.join()
"""


@pytest.mark.units(WAITS)
def test_a_queue_between_processes_whose_worker_was_killed() -> None:
    with target(current(), JOINS) as process:

        def killed() -> bool:
            states = [
                Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in children(process.pid)
            ]
            return states.count("Z") == 1

        eventually(killed)
        said = " ".join(run("check", process.pid, "--duration", "10", "--fail-on", "never").stdout.split())
    assert re.search("waits? for all items of a queue between processes to be reported as done", said), said
    assert re.search(r"1 child of this process ended \(pid \d+\), and 1 worker that lives uses no CPU", said), said
