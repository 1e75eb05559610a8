"""--agent on the command line: with consent only, and the program runs as it would without."""

from __future__ import annotations

import sys
from pathlib import Path

import agent_helpers as h
import pytest

from concview import codec
from concview.model import AgentStatus, Queues
from interpreters import current, target

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "commands"))

from running import Terminal, one_line, run

from waiting import given_time


def test_consent_is_needed() -> None:
    with target(current(), h.STATES, "idle") as process:
        for command in (["attach", process.pid], ["record", process.pid, "-o", "/nowhere/x"]):
            assert "one more thread" in one_line(run(*command, "--agent"), 2, "--agent --yes")
        assert not h.inside(process.pid)


def test_recorded(tmp_path: Path) -> None:
    file = tmp_path / "x.concview"
    with target(current(), h.STATES, "threads") as process:

        def recorded(seconds: float) -> None:
            done = run("record", process.pid, "-o", file, "--duration", seconds, "--agent", "--yes", "--force")
            assert done.returncode == 0, done
            h.eventually(lambda: not h.inside(process.pid))
            with file.open("rb") as stream:
                events = [event for block in codec.read_blocks(stream) for event in block]
            assert [e.state for e in events if isinstance(e, AgentStatus)].count("attached") >= 1
            assert any(isinstance(e, Queues) for e in events)

        given_time(recorded, 4, 8, 16, 32)
        h.ends_as_ever(process)


@pytest.mark.parametrize("agent", [True, False])
def test_run(tmp_path: Path, agent: bool) -> None:
    """argv, __main__, pickling, output and exit code with an agent inside are those without one."""
    script, go = tmp_path / "program.py", tmp_path / "go"
    script.write_text(
        "import os, pickle, sys, time\n"
        "class Thing: pass\n"
        "print(sys.argv[1:], __name__, __file__ == sys.argv[0], type(pickle.loads(pickle.dumps(Thing()))) is Thing)\n"
        "def names():\n"
        "    found = []\n"
        "    for task in os.listdir('/proc/self/task'):\n"
        "        try: found.append(open(f'/proc/self/task/{task}/comm').read().strip())\n"
        "        except OSError: pass  # it has just ended\n"
        "    return found\n"
        "end = time.time() + 60\n"
        f"while time.time() < end and ('concview-agent' in names()) is not {agent}: time.sleep(0.05)\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.05)\n"
        "print('agent inside:', 'concview-agent' in names(), [m for m in os.environ if 'CONCVIEW_A' in m])\n"
        "sys.exit(7)\n"
    )
    output = tmp_path / "output"
    options = ["--agent"] if agent else []
    arguments = ["run", *options, "--output", output, "--python", sys.executable, "--", script, "-x", "two words"]
    with Terminal(*map(str, arguments)) as terminal:
        terminal.wait_for("LIVE")
        terminal.read(1)
        go.touch()
        terminal.wait_for("EXITED")
        terminal.press("q")
        assert terminal.end() == 7
    assert output.read_text().splitlines() == ["['-x', 'two words'] __main__ True True", f"agent inside: {agent} []"]
