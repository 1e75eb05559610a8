"""What the agent says of threads comes in the numbers of its own PID namespace, and goes on in ours."""

from __future__ import annotations

import os
from typing import Any

import pytest

from concview.agent_host.messages import CallsPart, CountingCost, Loop, Report, ThreadPool, ThreadQueue
from concview.collector.agent import AgentControl
from concview.linux import namespaces
from concview.model import Calls, Event, Queues, Tasks

OUTER = {1: 901, 2: 902, 3: 903}
INNER = {str(outer): (outer, inner) for inner, outer in OUTER.items()}


def test_numbers_of_its_namespace_become_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "numbers", lambda folder: INNER.get(folder.rpartition("/")[2], (901, 1)))
    monkeypatch.setattr(namespaces, "tasks", lambda pid: OUTER)
    said: list[Event] = []
    control = AgentControl(os.getpid(), said.append)
    queue = ThreadQueue(5, "Queue", 0, 0, 0, [2], [3], [], None)
    pool = ThreadPool(6, "pool", 2, 0, [2], [3])
    loop = Loop(1, "asyncio", 0, 0, 0, 0.0, False, [])
    control._report(1, Report([queue], [pool], [loop], [], 0.0, 0.0, 0.0, 0, ""))
    row: Any = (0, "f", "a.py", 1, 1, 1, 0.1, 0.1, 7, [])
    cost = CountingCost(0.0, 0.0, 0.0, 0.0, 1.0, 0)
    control._calls(2, CallsPart("yappi", "wall", 1.0, 1, 0, False, True, [(7, 3)], [row], cost))
    tasks = next(e for e in said if isinstance(e, Tasks))
    queues = next(e for e in said if isinstance(e, Queues))
    calls = next(e for e in said if isinstance(e, Calls))
    assert tasks.loops[0].tid == 901
    assert (queues.queues[0].getting, queues.queues[0].putting) == ((902,), (903,))
    assert (queues.pools[0].busy, queues.pools[0].idle) == ((902,), (903,))
    assert calls.rows[0].tid == 903
