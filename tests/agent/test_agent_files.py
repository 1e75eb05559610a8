"""Exact counts in the formats of other tools."""

from __future__ import annotations

import pstats
from pathlib import Path

import agent_helpers as h
import pytest
from test_agent_calls import COUNTED, ask, opened

from concview.agent_host.messages import CallsPart
from concview.analysis.calls import by_function, callgrind, pstat
from concview.collector.agent import AgentControl
from concview.model import Callee, CallInfo, Calls, Event
from interpreters import current, target

ROWS = (
    CallInfo(1, "work", "/a/b.py", 5, 1, 1, 2.0, 0.5, 11, (Callee(2, 10, 10, 1.5, 1.5),)),
    CallInfo(1, "work", "/a/b.py", 5, 2, 2, 3.0, 1.0, 12, (Callee(2, 20, 20, 2.0, 2.0),)),
    CallInfo(2, "sleep", "time", 0, 30, 30, 3.5, 3.5, 11),
)
CALLS = Calls(1, "yappi", "wall", 5.0, False, True, 33, 0, 0.0, ROWS)


def test_threads_are_put_together() -> None:
    functions = by_function(ROWS)
    assert list(functions) == [1, 2]
    work = functions[1]
    assert (work.calls, work.total_s, work.own_s, work.threads) == (3, 5.0, 1.5, {11, 12})
    assert work.callees == {2: (30, 30, 3.5, 3.5)} and work.average_s == pytest.approx(5 / 3)


def test_pstat(tmp_path: Path) -> None:
    file = tmp_path / "x.pstat"
    file.write_bytes(pstat(CALLS))
    stats = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
    assert stats[("/a/b.py", 5, "work")][:4] == (3, 3, 1.5, 5.0)
    assert stats[("~", 0, "sleep")] == (30, 30, 3.5, 3.5, {("/a/b.py", 5, "work"): (30, 30, 3.5, 3.5)})


def test_callgrind() -> None:
    text = callgrind(CALLS)
    assert "fl=/a/b.py\nfn=(1) work\n5 1500000\ncfl=~\ncfn=(2) sleep\ncalls=30 0\n5 3500000\n" in text


def test_counts_have_no_times() -> None:
    counted = Calls(1, "monitoring", "none", 5.0, False, True, 3, 0, 0.0, ROWS)
    for write in (pstat, callgrind):
        with pytest.raises(ValueError, match="no times"):
            write(counted)


def test_a_real_window(tmp_path: Path) -> None:
    """From the target's yappi to pstats."""
    events: list[Event] = []
    with target(current(), COUNTED) as process:
        attachment = h.visit(process.pid)
        attachment.open_window("wall", 30.0)
        opened(attachment)
        ask(process, "work 777")
        attachment.close_window()
        inside = AgentControl(process.pid, events.append)
        h.until(attachment, lambda m: inside._calls(1, m) or m if isinstance(m, CallsPart) else None)  # type: ignore[func-returns-value]
        h.leave(attachment)
    (calls,) = (e for e in events if isinstance(e, Calls) and not e.running)
    file = tmp_path / "x.pstat"
    file.write_bytes(pstat(calls))
    stats = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
    (leaf,) = (value for key, value in stats.items() if key[2] == "leaf")
    assert leaf[0] == leaf[1] == 777 and [key[2] for key in leaf[4]] == ["work"]
    assert "fn=" in callgrind(calls)


def test_a_function_has_another_number_in_every_thread() -> None:
    """As yappi numbers them: (index of work, of leaf) is (1, 2) in one thread and (3, 4) in the other."""
    rows = (
        CallInfo(1, "work", "/a/b.py", 5, 1, 1, 2.0, 0.5, 11, (Callee(2, 10, 10, 1.5, 1.5),)),
        CallInfo(3, "work", "/a/b.py", 5, 2, 2, 3.0, 1.0, 12, (Callee(4, 20, 20, 2.0, 2.0),)),
        CallInfo(2, "leaf", "/a/b.py", 9, 10, 10, 1.5, 1.5, 11),
        CallInfo(4, "leaf", "/a/b.py", 9, 20, 20, 2.0, 2.0, 12),
    )
    functions = by_function(rows)
    assert [(i, f.calls, f.threads) for i, f in functions.items()] == [(1, 3, {11, 12}), (2, 30, {11, 12})]
    assert functions[1].callees == {2: (30, 30, 3.5, 3.5)}
    assert b"leaf" in pstat(Calls(1, "yappi", "wall", 5.0, False, True, 33, 0, 0.0, rows))
