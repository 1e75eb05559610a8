"""`check --agent` and demos whose rule needs the view from inside."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import agent_helpers as h
from test_agent_stream import gather

from concview.control import AttachAgent
from concview.demos.base import demos
from concview.model import AgentStatus, AnyEvent
from concview.session import LiveSource
from interpreters import current, target
from waiting import given_time

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "commands"))

import pytest
from running import Terminal, one_line, run

from capacity import WAITS

pytestmark = pytest.mark.units(WAITS)

CALLS = """
import time
def work(): return 1
while True:
    for _ in range(100): work()
    time.sleep(0.01)
"""


def test_check_looks_inside_a_command_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "calls.py"
    script.write_text(CALLS)

    def counted(seconds: float) -> None:
        options = ("--duration", seconds, "--agent", "--calls", "wall:3", "--format", "json")
        done = run("check", *options, "--", sys.executable, script)
        assert done.returncode in (0, 1), done
        refused = {rule["id"]: rule["why"] for rule in json.loads(done.stdout)["not_applicable"]}
        assert not any("no calls were counted" in why for why in refused.values()), refused

    given_time(counted, 6, 12, 24)


def test_check_needs_consent_for_what_runs_already() -> None:
    with target(current(), h.STATES, "idle") as process:
        assert "one more thread" in one_line(run("check", process.pid, "--agent"), 2, "--agent --yes")
    one_line(run("check", "/nowhere/x.concview", "--agent", "--yes"), 2, "--agent")
    one_line(run("check", process.pid, "--calls", "wall"), 2, "--calls goes with --agent")


def test_a_demo_that_needs_the_agent_lets_it_in() -> None:
    assert "retry-storm" in demos()
    with Terminal("demo", "retry-storm", columns=120, rows=34) as terminal:
        terminal.wait_for("Overview", 60)
        terminal.press("8")
        terminal.wait_for("attached", 60)
        terminal.press("q")


def test_a_demo_that_needs_counted_calls_is_named() -> None:
    with Terminal("demo", "retry-storm", columns=120, rows=34) as terminal:
        terminal.wait_for("are retries", 120)
        terminal.press("q")


#: A queue that nobody but the program's own threads may ask.
SHY = """
import queue, threading, time
class Shy(queue.Queue):
    def _qsize(self):
        if threading.get_ident() not in known:
            raise RuntimeError("not for strangers")
        return super()._qsize()
known = {threading.main_thread().ident}
def take():
    known.add(threading.get_ident())
    while True: shy.get()
shy = Shy()
threading.Thread(target=take, daemon=True).start()
print("ready")
while True: time.sleep(0.05)
"""


def test_a_report_that_could_not_look_says_why() -> None:
    events: list[AnyEvent] = []
    with target(current(), SHY) as process:
        source = LiveSource(process.pid)
        source.open()
        reader = gather(source, events)
        source.order(AttachAgent(30))
        h.eventually(lambda: any(isinstance(e, AgentStatus) and "not for strangers" in e.text for e in events))
        source.request_end()
        reader.join(10)
        source.close()
