"""An agent that is there before the program's first line; and a program, with its children, that does not notice."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import agent_helpers as h
import pytest

from concview.agent_host import Attachment
from concview.agent_host.attachment import own_yappi
from concview.agent_host.inject.early import Early
from concview.agent_host.messages import CallsPart, Opened, Refused
from concview.agent_host.rendezvous import find_listener
from interpreters import Interpreter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "commands"))

from running import Terminal, one_line, run

#: Tells what it and its children of all kinds see of an agent; ends with 7.
PROGRAM = '''
import json, os, sys
def first():
    return sum(second() for _ in range(1000))
def second():
    return 1
value = first()
import multiprocessing, subprocess, threading, warnings
warnings.simplefilter("ignore")
class Thing: pass
ASK = """
import json, os, sys, threading
print(json.dumps([[m for m in sys.modules if "concview" in m], os.environ.get("PYTHONPATH"),
                  [p for p in sys.path if "concview-" in p], sys.getprofile() is None,
                  threading._profile_hook is None, threading.active_count()]))
"""
def seen():
    return [[m for m in sys.modules if "concview" in m], os.environ.get("PYTHONPATH"),
            [p for p in sys.path if "concview-" in p], sys.getprofile() is None, threading._profile_hook is None,
            threading.active_count()]
def tell(queue):
    second()
    queue.put(seen())
def forked():
    reading, writing = os.pipe()
    if not os.fork():
        os.write(writing, json.dumps(seen()).encode())
        os._exit(0)
    os.wait()
    return json.loads(os.read(reading, 10000))
def started(method):
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    process = context.Process(target=tell, args=(queue,))
    process.start()
    answer = queue.get()
    process.join()
    return answer + [process.exitcode]
if __name__ == "__main__":
    import pickle
    out = {
        "argv": sys.argv[1:], "main": sys.modules["__main__"].__file__ == sys.argv[0],
        "pickle": type(pickle.loads(pickle.dumps(Thing()))) is Thing,
        "path": os.environ.get("PYTHONPATH"), "entries": [p for p in sys.path if "concview-" in p],
        "user": getattr(sys, "user_site", None), "fork": forked(),
        "subprocess": json.loads(subprocess.check_output([sys.executable, "-c", ASK])),
        **{m: started(m) for m in ("fork", "spawn", "forkserver") if m != "fork"}, "mpfork": started("fork"),
    }
    print(json.dumps(out), flush=True)
    sys.stdin.readline()
    sys.exit(7)
'''
ALONE = [True, True]


@contextmanager
def started(
    python: Interpreter, tmp_path: Path, calls: bool, flags: tuple[str, ...] = (), path: str | None = None
) -> Iterator[tuple[subprocess.Popen[str], Early]]:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    kept = os.environ.pop("PYTHONPATH", None)
    if path is not None:
        os.environ["PYTHONPATH"] = path
    try:
        early = Early(own_yappi(), calls)
    finally:
        os.environ.pop("PYTHONPATH", None)
        if kept is not None:
            os.environ["PYTHONPATH"] = kept
    popen = subprocess.Popen(
        [python.path, *flags, str(script), "-x", "two words"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=early.environment,
    )  # fmt: skip
    try:
        yield popen, early
    finally:
        popen.kill()
        popen.wait()
        for pipe in (popen.stdin, popen.stdout, popen.stderr):
            if pipe is not None:
                pipe.close()
        early.close()


def visit(popen: subprocess.Popen[str]) -> Attachment:
    h.eventually(lambda: find_listener(popen.pid) is not None)
    attachment = Attachment(popen.pid, 20.0, [])
    attachment.start()
    assert attachment.invited
    h.eventually(lambda: attachment.poll() is not None and attachment.state == "attached")
    return attachment


def finish(popen: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    assert popen.stdout is not None and popen.stdin is not None and popen.stderr is not None
    out = json.loads(popen.stdout.readline())
    popen.stdin.write("end\n")
    popen.stdin.flush()
    assert popen.wait(20) == 7
    return out, popen.stderr.read()


@pytest.mark.parametrize("path", [None, "user"])
def test_nothing_is_seen_of_it(gil_python: Interpreter, tmp_path: Path, path: str | None) -> None:
    if path is not None:
        (tmp_path / path).mkdir()
        (tmp_path / path / "sitecustomize.py").write_text("import sys\nsys.user_site = 'ran'\n")
        path = str(tmp_path / path)
    with started(gil_python, tmp_path, False, path=path) as (popen, _):
        attachment = visit(popen)
        h.report(attachment)
        out, errors = finish(popen)
        assert errors == ""
    assert (out["argv"], out["main"], out["pickle"], out["entries"]) == (["-x", "two words"], True, True, [])
    assert out["path"] == path and out["user"] == ("ran" if path else None)
    for kind in ("fork", "mpfork", "spawn", "forkserver", "subprocess"):
        modules, theirs, entries, unset, unhooked, threads, *code = out[kind]
        # A forked child has the parent's modules, as code that does nothing; no thread, hook or path comes with it.
        assert not modules or kind in ("fork", "mpfork"), kind
        assert (theirs, entries, unset, unhooked) == (path, [], True, True), kind
        assert code in ([], [0]) and threads <= 2, kind


def test_calls_are_counted_from_the_first_line(gil_python: Interpreter, tmp_path: Path) -> None:
    with started(gil_python, tmp_path, True) as (popen, _):
        attachment = visit(popen)
        attachment.open_window("wall", 50.0)
        answer = h.until(attachment, lambda m: m if isinstance(m, Opened | Refused) else None)
        assert popen.stdout is not None
        out, errors = None, ""
        if isinstance(answer, Refused):
            pytest.skip(answer.why)
        while not select.select([popen.stdout], [], [], 0.05)[0]:
            attachment.poll()  # the agent leaves when it hears nothing
        line = popen.stdout.readline()
        attachment.close_window()
        final = h.until(attachment, lambda m: m if isinstance(m, CallsPart) and not m.running else None, 30.0)
        out = json.loads(line)
        counts = {row[1]: row[4] for row in final.rows}
        assert (counts["first"], counts["second"]) == (1, 1000) and final.clean
        assert all(out[kind][3:5] == ALONE for kind in ("fork", "mpfork", "spawn", "forkserver")), errors
        h.leave(attachment)


def test_it_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody comes: the program begins all the same, and nothing is left of the door."""
    monkeypatch.setattr("concview.agent_host.inject.early.HOLD_S", 0.5)
    python = Interpreter(sys.executable, sys.version_info[:2], sys.version_info.micro, False)
    with started(python, tmp_path, True) as (popen, _):
        out, errors = finish(popen)
        assert out["main"] and errors == "" and find_listener(popen.pid) is None


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_flags_that_leave_it_out(tmp_path: Path, flag: str) -> None:
    python = Interpreter(sys.executable, sys.version_info[:2], sys.version_info.micro, False)
    with started(python, tmp_path, True, (flag,)) as (popen, _):
        out, errors = finish(popen)
        assert out["main"] and errors == ""


def test_command_line(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import sys, time, os\n"
        "names = [open(f'/proc/self/task/{t}/comm').read().strip() for t in os.listdir('/proc/self/task')]\n"
        "print('agent' if 'concview-agent' in names else 'alone', os.environ.get('PYTHONPATH'), flush=True)\n"
        "time.sleep(4)\n"
        "sys.exit(7)\n"
    )
    output = tmp_path / "output"
    environment = [*["run", "--agent", "--from-start", "--calls", "wall:2"], "--output", str(output), str(script)]
    with Terminal(*environment) as terminal:
        terminal.wait_for("(?i)exited", 60)
        terminal.press("q")
        assert terminal.end() == 7
    word, path = output.read_text().split()
    assert word == "agent" and "concview-" not in path
    one_line(run("run", "--from-start", str(script)), 2, "--from-start goes with --agent")
