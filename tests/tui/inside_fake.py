"""Pictures of a target with an agent inside, and a session that notes what it is ordered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import fake
import msgspec
from textual.pilot import Pilot

from concview.model import (
    AgentStatus,
    Await,
    Callee,
    CallInfo,
    Calls,
    LoopInfo,
    PoolInfo,
    QueueInfo,
    Queues,
    TaskGroup,
    TaskInfo,
    Tasks,
)
from concview.snapshot import Snapshot
from concview.tui.views.inside import Inside

ATTACHED = AgentStatus(0, "attached", cost_percent=0.12)
CHAIN = (
    Await("serve", "/srv/shop/server.py", 88),
    Await("[/red]Session.wait", "/srv/shop/session.py", 31),
    Await("Event.wait", "/usr/lib/python3.13/asyncio/locks.py", 213),
)
TASKS = Tasks(
    0,
    (
        LoopInfo(
            4242,
            "_UnixSelectorEventLoop",
            230,
            3,
            12,
            0.134,
            (
                TaskInfo("Task-1", "running", 88.0, CHAIN[:1]),
                *(TaskInfo(f"session-{n}", "waiting", 60.0 - n, CHAIN) for n in range(30)),
                TaskInfo("[bold]", "ready", 0.5, CHAIN[:2], "/srv/shop/server.py", 140),
            ),
            (TaskGroup("serve", "/srv/shop/server.py", 80, 230, 0),),
        ),
    ),
)
QUEUES = Queues(
    0,
    (QueueInfo(0x7F00, "Queue", 12, 0, (4250, 4251), (), Await("worker", "/srv/shop/jobs.py", 9)),),
    (PoolInfo(0x7F01, "render", 8, 5, (4250,), (4251,)),),
)
ROWS = (
    CallInfo(7, "Cache.get", "/srv/shop/cache.py", 39, 120_000, 120_000, 1.2, 0.4, 4250,
             (Callee(9, 120_000, 120_000, 0.8, 0.8),)),
    CallInfo(8, "Cache.get", "/srv/shop/cache.py", 39, 80_000, 80_000, 0.9, 0.3, 4251,
             (Callee(10, 80_000, 80_000, 0.6, 0.6),)),
    CallInfo(9, "render", "/srv/shop/templates.py", 118, 120_000, 120_000, 0.8, 0.8, 4250),
    CallInfo(10, "render", "/srv/shop/templates.py", 118, 80_000, 80_000, 0.6, 0.6, 4251),
    CallInfo(11, "<method 'acquire' of '_thread.lock' objects>", "_thread", 0, 9, 9, 4.9, 4.9, 4251),
    *(CallInfo(20 + n, f"[/red]helper_{n}", "/srv/shop/util.py", 5 * n + 5, 10 + n, 10 + n, 1e-7 * n, 1e-7 * n, 4250)
      for n in range(30)),
)  # fmt: skip
COUNTED = Calls(
    620_000_000_000, "yappi", "wall", 5.0, False, True, 400_300, 0, 0.024, ROWS, 0.31, 0.016, 1.0, 1.62, 12
)  # fmt: skip
COUNTING = msgspec.structs.replace(COUNTED, running=True, seconds=2.0, cost_share=0.06, slower=0.0, slower_by=0)
WITHOUT_TIMES = msgspec.structs.replace(
    COUNTED,
    source="monitoring",
    clock="none",
    rows=tuple(msgspec.structs.replace(r, total_s=0.0, own_s=0.0, tid=0, callees=()) for r in ROWS),
)
REFUSAL = AgentStatus(
    0,
    "refused",
    "yappi cannot be imported in the target (Python 3.15, cpython-315)",
    "/srv/bin/python -m pip install yappi",
    code="missing",
)


def picture(**more: Any) -> Snapshot:
    """A server with an agent inside."""
    values = {"agent": ATTACHED, "tasks": TASKS, "queues": QUEUES, **more}
    return msgspec.structs.replace(fake.busy(20), **values)


@dataclass
class Obeying(fake.FakeSession):
    orders: list[Any] = field(default_factory=list)

    def order(self, line: str) -> bool:
        self.orders.append(line)
        return True


async def opened(pilot: Pilot[Any]) -> Inside:
    """The view, drawn."""
    board = pilot.app.screen
    await fake.until(pilot, lambda: board.view.ready)  # type: ignore[attr-defined]
    await pilot.press("8")
    await fake.until(pilot, lambda: board.active == "inside" and board.view.ready)  # type: ignore[attr-defined]
    await fake.drawn(pilot)
    view = board.view  # type: ignore[attr-defined]
    assert isinstance(view, Inside)
    return view
