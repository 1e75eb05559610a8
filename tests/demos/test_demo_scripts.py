"""Every demo runs, ends when told to, and takes its children with it."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from capacity import WAITS
from concview.demos.base import GROUPS, VARIANTS, Demo, demos, interpreter_for, is_free_threaded, read
from interpreters import Interpreter, interpreters, target

DEMOS = list(demos().values())

#: Demos that start processes, as far as their source tells
PARENTS = [d for d in DEMOS if any(word in Path(d.path).read_text() for word in ("database(", "get_context("))]
#: Those that come to a stand as a whole: no Python code is left that could answer a signal
DEAF = {d.id for d in DEMOS if "deaf=True" in Path(d.path).read_text()}


def _family(session: int) -> list[int]:
    """Processes of a session that live: a demo is its own session's leader, and all it starts stays in there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, *_, sid = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(sid) == session and state not in "ZX":
                found.append(int(entry.name))
    return found


def _gone(session: int) -> list[int]:
    """Waits a little; what is left of the session then."""
    deadline = time.monotonic() + 30
    while (left := _family(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _ends(python: Interpreter, demo: Demo, number: signal.Signals, code: int) -> None:
    """Both variants at once, because most of the time is waiting."""
    with target(python, demo.path, "bad") as bad, target(python, demo.path, "fixed") as fixed:
        time.sleep(0.2)
        for process in (bad, fixed):
            assert process.popen.poll() is None, process.errors()
            process.popen.send_signal(number)
        for process in (bad, fixed):
            assert process.popen.wait(30) == code, process.errors()
            assert not _gone(process.pid)
            # What a demo prints would end up on somebody's screen
            assert process.errors() == "standard error: "


def _pairs() -> list[object]:
    """One demo runs on every Python; what they share is the same. The others take the oldest (the newest is what the
    rules are tried on), and all of them with CONCVIEW_FULL=1."""
    every = list(interpreters())
    ends = every if os.environ.get("CONCVIEW_FULL") else every[:1]
    free = [python for python in every if python.free_threaded]
    return [
        pytest.param(python, demo, id=f"{python.label}-{demo.id}")
        for demo in DEMOS
        for python in (free if demo.free_threaded else every if demo.id == "lock-held-across-io" else ends)
    ]


FREE_THREADED = [d for d in DEMOS if d.free_threaded]


@pytest.mark.parametrize("demo", FREE_THREADED, ids=lambda demo: demo.id)
def test_a_build_with_a_gil_is_told_what_is_missing(demo: Demo) -> None:
    assert not is_free_threaded(sys.executable)
    done = subprocess.run(demo.command("bad"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("needs a free-threaded build")
    with pytest.raises(LookupError, match="has a GIL"):
        interpreter_for(demo, interpreters()[0].path)


@pytest.mark.parametrize(("python", "demo"), _pairs())
def test_runs_and_ends(python: Interpreter, demo: Demo) -> None:
    _ends(python, demo, signal.SIGTERM, -signal.SIGTERM if demo.id in DEAF else 0)


def test_one_that_stands_as_a_whole_ends_when_told() -> None:
    (demo,) = [d for d in DEMOS if d.id in DEAF]
    with target(interpreters()[0], demo.path, "bad") as process:
        looks, deadline = 0, time.monotonic() + 60
        while looks < 10:  # both of its threads in futex(), time and again: one of them has the GIL
            assert time.monotonic() < deadline
            calls = [_syscall(task) for task in Path(f"/proc/{process.pid}/task").iterdir()]
            looks = looks + 1 if calls.count("202" if platform.machine() == "x86_64" else "98") >= 2 else 0
            time.sleep(0.05)
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(30) == -signal.SIGTERM


def _syscall(task: Path) -> str:
    return (task / "syscall").read_text().partition(" ")[0].strip()


@pytest.mark.units(WAITS)
@pytest.mark.parametrize("demo", PARENTS, ids=lambda demo: demo.id)
def test_children_do_not_survive_a_kill(demo: Demo) -> None:
    _ends(interpreters()[-1], demo, signal.SIGKILL, -signal.SIGKILL)


@pytest.mark.parametrize("variant", VARIANTS)
def test_ends_by_itself_when_asked(variant: str) -> None:
    began = time.monotonic()
    command = demos()["lock-held-across-io"].command(variant, seconds=1)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")
    assert time.monotonic() - began >= 1


def test_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "concview.demos.lock_held_across_io", "fixed", "--seconds", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")


def test_ctrl_c_is_quiet() -> None:
    """As in a terminal: the signal reaches the demo's children too."""
    command = demos()["gil-contention"].command("fixed")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


USED = """
import os, runpy, sys
for path in sys.argv[1:]:
    sys.argv, sys.path[0] = [path], os.path.dirname(path)
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        print(path, end.code, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.id)
def test_can_be_shown(demo: Demo) -> None:
    source = Path(demo.path).read_text("utf-8")
    assert len(source.split("\n")) <= 120, "a few dozen lines, to be read from the back row"
    assert max(map(len, source.split("\n"))) <= 120
    assert "import concview" not in source and "from concview" not in source
    for word in ("bad:", "fixed:", "Look at:"):
        assert word in demo.story


def test_how_each_is_used_is_said() -> None:
    """All in one process, which takes each for its main program."""
    done = subprocess.run(
        [sys.executable, "-c", USED, *(demo.path for demo in DEMOS)], capture_output=True, text=True, timeout=120
    )  # fmt: skip
    told = [line.split() for line in done.stdout.splitlines()]
    assert [code for _, code in told] == ["2"] * len(DEMOS) and [path for path, _ in told] == [d.path for d in DEMOS]
    assert done.stderr.count("usage") == len(DEMOS)


def test_order_is_the_catalogues() -> None:
    groups = [GROUPS.index(demo.group) for demo in DEMOS]
    assert groups == sorted(groups)
    assert all(demo.id == key for key, demo in demos().items())


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("'''T.\n\nstory'''\nGROUP = 'Locks'\n", "ID"),
        ("'''T.\n\nstory'''\nID = 'other'\nGROUP = 'Locks'\n", "ID"),
        ("'''T.\n\nstory'''\nID = 'a-b'\nGROUP = 'Keys'\n", "GROUP"),
        ("'''T.'''\nID = 'a-b'\nGROUP = 'Locks'\n", "story"),
        ("ID = 'a-b'\nGROUP = 'Locks'\n", "title"),
        ("'''T.\n\nstory'''\nID = 'a-b'\nGROUP = 'Locks'\nNEEDS_SECONDS = 'x'\n", "NEEDS_SECONDS"),
    ],
)
def test_incomplete_metadata_is_refused(tmp_path: Path, source: str, complaint: str) -> None:
    file = tmp_path / "a_b.py"
    file.write_text(source)
    with pytest.raises(ValueError, match=complaint):
        read(file)


def test_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="variant"):
        DEMOS[0].command("worse")
