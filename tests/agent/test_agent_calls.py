"""Windows of exact call counts: right numbers, no crash, no hook left behind."""

from __future__ import annotations

import json
from typing import Any

import agent_helpers as h
import pytest

from capacity import WAITS
from concview.agent.rates import Rates
from concview.agent_host.messages import CallsPart, CountingCost, Message, Opened, Refused
from interpreters import Interpreter, Process, target

pytestmark = pytest.mark.units(WAITS)

#: `work` is called a known number of times in a second thread, on request; meanwhile threads are born and die.
#: Prints ns per call of an empty function when asked for 'cost', and whether any hook is set when asked for 'hooks'.
COUNTED = """
import json, sys, threading, time
def leaf():
    pass
def work(n):
    for _ in range(n):
        leaf()
def slow():
    slower()
def slower():
    for _ in range(3):
        leaf()
        time.sleep(1)
def churn():
    while True:
        t = threading.Thread(target=leaf); t.start(); t.join(); time.sleep(0.001)
def cost():
    best = 1e9
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(2000): leaf()
        best = min(best, time.perf_counter() - began)
    return best / 2000 * 1e9
if len(sys.argv) > 1:
    threading.Thread(target=churn, daemon=True).start()
print("ready", flush=True)
import select
while True:
    while not select.select([0], [], [], 0.005)[0]:
        pass
    order = sys.stdin.readline().split()
    if order[0] == "work":
        t = threading.Thread(target=work, args=(int(order[1]),)); t.start(); t.join()
        print(json.dumps("done"), flush=True)
    elif order[0] == "slow":
        slow()
        print(json.dumps("done"), flush=True)
    elif order[0] == "cost":
        print(json.dumps(cost()), flush=True)
    else:
        print(json.dumps(sys.getprofile() is None and threading._profile_hook is None), flush=True)
"""


def ask(process: Process, order: str) -> Any:
    process.send(order)
    return process.json()


def opened(attachment: h.Attachment) -> Opened:
    """Skips the test where yappi has no build for this Python; fails on every other refusal."""

    def wanted(message: object) -> Opened | Refused | None:
        return message if isinstance(message, (Opened, Refused)) else None

    answer = h.until(attachment, wanted)
    if isinstance(answer, Refused):
        assert "yappi cannot be imported" in answer.why and answer.help.endswith("-m pip install yappi"), answer
        pytest.skip("no build of yappi for this Python was found (CONCVIEW_YAPPI names a folder with them)")
    assert isinstance(answer, Opened)
    return answer


def counts(rows: CallsPart) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows.rows:
        found[row[1]] = found.get(row[1], 0) + row[4]
    return found


@pytest.mark.parametrize("clock", ["wall", "cpu"])
def test_exact_counts(gil_python: Interpreter, clock: str) -> None:
    with target(gil_python, COUNTED) as process:
        before = float(str(ask(process, "cost")))
        attachment = h.visit(process.pid)
        attachment.open_window(clock, 30.0)
        assert opened(attachment).clock == clock
        ask(process, "work 12345")
        live = h.until(attachment, lambda m: m if isinstance(m, CallsPart) and m.running else None)
        assert live.clean
        attachment.close_window()
        final = h.account(attachment)
        assert final.clean and not final.more
        found = counts(final)
        assert found["work"] == 1 and found["leaf"] == 12345
        assert not any("concview agent" in row[2] for row in final.rows)
        (work,) = (row for row in final.rows if row[1] == "work")
        leaf = next(row for row in final.rows if row[1] == "leaf")
        assert any(row[2] == "builtins" and not row[3] for row in final.rows), "built-in ones, too"
        assert [c[:2] for c in work[9]] == [(leaf[0], 12345)]
        assert work[6] >= work[7] >= 0
        # The proof that its cost has gone: no hook, and calls are as quick as before.
        assert ask(process, "hooks") is True
        assert min(float(str(ask(process, "cost"))) for _ in range(5)) < 3 * before
        h.leave(attachment)
        assert process.errors() == "standard error: "


@pytest.mark.few
def test_a_call_in_progress_is_counted_once(gil_python: Interpreter) -> None:
    """yappi gives a function that has not returned yet a call when it is asked, and does not take it back."""
    with target(gil_python, COUNTED) as process:
        attachment = h.visit(process.pid)
        attachment.open_window("wall", 30.0)
        opened(attachment)
        process.send("slow")
        seen = h.until(
            attachment, lambda m: m if isinstance(m, CallsPart) and m.running and counts(m).get("slow") else None
        )
        assert counts(seen)["slow"] == 1 and counts(seen)["slower"] == 1
        process.send("work 1")  # read when "slow" is over
        assert [process.json(), process.json()] == ["done", "done"]
        attachment.close_window()
        final = h.account(attachment)
        assert {name: counts(final)[name] for name in ("slow", "slower", "leaf")} == {"slow": 1, "slower": 1, "leaf": 4}
        (slow,) = (row for row in final.rows if row[1] == "slow")
        assert [callee[1] for callee in slow[9]] == [1]
        h.leave(attachment)


@pytest.mark.few
def test_windows_while_threads_are_born(gil_python: Interpreter) -> None:
    """yappi's own sequence crashes here on 3.12 and newer, about once in a thousand times."""
    with target(gil_python, COUNTED, "churn") as process:
        attachment = h.visit(process.pid)
        for _ in range(8):
            attachment.open_window("wall", 0.2)
            opened(attachment)
            assert h.account(attachment).clean
        assert ask(process, "hooks") is True
        h.leave(attachment)
        for _ in range(20):  # threads have been born since
            assert ask(process, "hooks") is True
        assert process.errors() == "standard error: "


@pytest.mark.few
@pytest.mark.parametrize("source", ["yappi", "monitoring"])
def test_how_much_slower_is_measured(gil_python: Interpreter, source: str) -> None:
    """By the CPU for a call of the program's own function, before and in the window; older ones than 3.12 derive it."""
    if source == "monitoring" and gil_python.version < (3, 12):
        pytest.skip("there is no sys.monitoring")
    program = (
        "import threading, time\n"
        "def leaf(): pass\n"
        "def step():\n    for _ in range(3000): leaf()\n"
        "def work():\n    while True:\n        step(); time.sleep(0.002)\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "print('ready', flush=True)\nwhile True: time.sleep(0.01)\n"
    )
    with target(gil_python, program) as process:
        attachment = h.visit(process.pid)
        attachment.open_window("wall", 30.0, source)
        opened(attachment)
        derived = gil_python.version >= (3, 12)

        def measured(message: Message) -> CountingCost | None:
            """The account once it is told, and where it is derived, once its times stand out of a busy machine's."""
            if not isinstance(message, CallsPart) or message.calls <= 100_000 or message.cost is None:
                return None
            return message.cost if not derived or message.cost.factor > 1.2 else None

        cost = h.until(attachment, measured)
        assert cost.used >= cost.spent > 0 and cost.bare > 0 and cost.drag >= 1
        if derived:
            assert cost.functions >= 1
        else:
            assert (cost.factor, cost.functions) == (0, 0)
        attachment.close_window()
        final = h.account(attachment)
        assert final.clean
        # The look before left `leaf` alone after a while: now every call counts again.
        found = counts(final)
        assert 3000 * (found["step"] - 1) <= found["leaf"] <= 3000 * (found["step"] + 1)
        h.leave(attachment)


def test_a_program_that_does_not_work_steadily() -> None:
    """Where its functions do not agree, nothing is said."""
    rates = Rates()
    rates._before = {"a": (1000, 0.1), "b": (1000, 0.1), "c": (30, 0.1)}
    assert rates.factor({"a": 1000, "b": 1000, "c": 30}, 0.3) == (pytest.approx(3.0), 3)  # type: ignore[comparison-overlap]
    assert rates.factor({"a": 1000, "b": 500, "c": 3}, 0.3) == (0, 0)
    assert rates.factor({"a": 3}, 0.3) == (0, 0) and rates.factor({}, 0.3) == (0, 0)


@pytest.mark.python(12)
def test_counts_without_yappi(interpreter: Interpreter) -> None:
    h.skip_unless_askable(interpreter)
    with target(interpreter, COUNTED, "churn") as process:
        before = float(str(ask(process, "cost")))
        attachment = h.visit(process.pid)
        attachment.open_window("wall", 30.0, "monitoring")
        assert opened(attachment).source == "monitoring"
        ask(process, "work 4321")
        attachment.close_window()
        final = h.account(attachment)
        assert final.source == "monitoring" and final.clock == "none" and final.clean
        assert counts(final)["work"] == 1 and counts(final)["leaf"] >= 4321
        assert all(row[6] == row[7] == 0 for row in final.rows)
        assert min(float(str(ask(process, "cost"))) for _ in range(5)) < 3 * before
        h.leave(attachment)


@pytest.mark.python(8, 11)
def test_without_yappi_before_312(interpreter: Interpreter) -> None:
    with target(interpreter, COUNTED) as process:
        attachment = h.attach_agent(process.pid, 20.0, [])
        attachment.open_window("wall", 1.0, "monitoring")
        refused = h.until(attachment, lambda m: m if isinstance(m, Refused) else None)
        assert "no way to count" in refused.why
        h.leave(attachment)


@pytest.mark.few
def test_other_profilers_are_left_alone(gil_python: Interpreter) -> None:
    source = (
        "import threading, time\nthreading.setprofile(lambda *a: None)\nprint('ready', flush=True)\n"
        "while True: time.sleep(0.01)\n"
    )
    with target(gil_python, source) as process:
        attachment = h.visit(process.pid)
        attachment.open_window("wall", 1.0)
        refused = h.until(attachment, lambda m: m if isinstance(m, Refused) else None)
        assert "another profiler" in refused.why or "yappi cannot be imported" in refused.why
        h.leave(attachment)


@pytest.mark.few
def test_forked_children_are_not_profiled(gil_python: Interpreter) -> None:
    source = """
import json, os, sys, threading, time, warnings
warnings.simplefilter("ignore")
def leaf(): pass
def cost():
    best = 1e9
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(2000): leaf()
        best = min(best, time.perf_counter() - began)
    return best / 2000 * 1e9
alone = cost()
print("ready", flush=True)
import select
while not select.select([0], [], [], 0.005)[0]: pass
sys.stdin.readline()
reading, writing = os.pipe()
pid = os.fork()
if not pid:
    import gc
    names = ["/proc/self/fd/" + f for f in os.listdir("/proc/self/fd")]
    fds = [os.readlink(name) for name in names if os.path.islink(name)]
    left = [m for m in sys.modules if "concview" in m]
    os.write(writing, json.dumps([cost() / alone, sum(f.startswith("socket") for f in fds), len(gc.callbacks),
                                  threading._profile_hook is None and sys.getprofile() is None]).encode() + b"\\n")
    os._exit(0)
os.waitpid(pid, 0)
print(os.read(reading, 1000).decode().strip(), flush=True)
while True: time.sleep(0.01)
"""
    with target(gil_python, source) as process:
        attachment = h.visit(process.pid)
        attachment.open_window("wall", 30.0)
        opened(attachment)
        process.send("fork")
        ratio, open_sockets, callbacks, unhooked = process.json()
        assert (open_sockets, callbacks, unhooked) == (0, 0, True) and ratio < 3
        attachment.close_window()
        assert h.account(attachment).clean  # the parent's goes on
        h.leave(attachment)


@pytest.mark.few
@pytest.mark.python(12)
def test_children_forked_in_the_look_before_are_not_counted(interpreter: Interpreter) -> None:
    """Before a window sys.monitoring counts for a moment, for the slowdown's sake."""
    h.skip_unless_askable(interpreter)
    source = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore")
def leaf(): pass
print("ready", flush=True)
seen = left = 0
while not seen or sys.monitoring.get_tool(3):
    leaf()
    looked = sys.monitoring.get_tool(3) is not None
    pid = os.fork()
    if not pid:
        try:
            events = sys.monitoring.get_events(3)
        except ValueError:
            events = 0  # nobody uses it
        os._exit(1 if events or sys.monitoring.get_tool(3) else 0)
    left += os.waitpid(pid, 0)[1] != 0
    seen += looked
    time.sleep(0.01)
print(left, flush=True)
while True: time.sleep(0.01)
"""
    with target(interpreter, source) as process:
        attachment = h.visit(process.pid)
        attachment.open_window("wall", 0.5, "monitoring")
        opened(attachment)
        assert h.account(attachment).clean
        assert process.line() == "0"
        h.leave(attachment)


@pytest.mark.few
def test_numbers_are_json(gil_python: Interpreter) -> None:
    """What cannot be a window is refused, and the agent lives on."""
    with target(gil_python, h.STATES, "idle") as process:
        attachment = h.visit(process.pid)
        for seconds in (0, -1, 1e9):
            attachment.open_window("wall", seconds)
            assert "up to 60" in h.until(attachment, lambda m: m if isinstance(m, Refused) else None).why
        attachment.open_window("moon", 1.0)
        assert "clock" in h.until(attachment, lambda m: m if isinstance(m, Refused) else None).why
        json.dumps(h.report(attachment).late)
        h.leave(attachment)
