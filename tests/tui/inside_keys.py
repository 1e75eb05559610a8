"""What the keys of the view Inside and of its questions do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import fake
import inside_fake
from inside_fake import Obeying
from textual.pilot import Pilot

from concview.control import AttachAgent, CountCalls, DetachAgent, StopCounting
from concview.tui.screens.agent import LENGTHS, AgentQuestion, WindowQuestion

Press = Callable[[], Awaitable[None]]
Check = Callable[[Pilot[Any], Press], Awaitable[None]]


async def _session(pilot: Pilot[Any], **more: Any) -> Obeying:
    """The view Inside on a picture made for the check, in place of the test's own."""
    session = Obeying([inside_fake.picture(**more)])
    pilot.app.session = session  # type: ignore[attr-defined]
    board: Any = pilot.app.screen
    board.session = session
    board.poll()
    await inside_fake.opened(pilot)
    return session


async def _asks(pilot: Pilot[Any], press: Press, kind: type, keys: tuple[str, ...], **more: Any) -> Obeying:
    session = await _session(pilot, **more)
    await pilot.press(*keys)
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, kind))
    await fake.drawn(pilot)
    assert not session.orders
    await press()
    return session


async def _agent(pilot: Pilot[Any], press: Press) -> None:
    session = await _session(pilot, agent=None)
    await press()
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, AgentQuestion))
    assert not session.orders
    await pilot.press("escape")
    session = await _session(pilot)
    await press()
    assert session.orders == [DetachAgent()]


async def _agent_yes(pilot: Pilot[Any], press: Press) -> None:
    session = await _asks(pilot, press, AgentQuestion, ("a",), agent=None)
    assert session.orders == [AttachAgent(60)]


async def _agent_no(pilot: Pilot[Any], press: Press) -> None:
    session = await _asks(pilot, press, AgentQuestion, ("a",), agent=None)
    assert not session.orders and not isinstance(pilot.app.screen, AgentQuestion)


async def _window(pilot: Pilot[Any], press: Press) -> None:
    session = await _session(pilot)
    await press()
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, WindowQuestion))
    await pilot.press("escape")
    running = inside_fake.AgentStatus(0, "attached", window="yappi wall")
    session = await _session(pilot, agent=running, calls=inside_fake.COUNTING)
    await press()
    assert session.orders == [StopCounting()]


def _starts(command: CountCalls | None) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        session = await _asks(pilot, press, WindowQuestion, ("w",))
        assert session.orders == ([command] if command else [])
        assert not isinstance(pilot.app.screen, WindowQuestion)

    return check


def _length(step: int) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        session = await _asks(pilot, press, WindowQuestion, ("w",))
        await pilot.press("y")
        await fake.drawn(pilot)
        assert session.orders == [CountCalls("wall", LENGTHS[LENGTHS.index(5) + step])]

    return check


async def _section(pilot: Pilot[Any], press: Press) -> None:
    await _session(pilot, calls=inside_fake.COUNTED)
    view: Any = pilot.app.screen.view  # type: ignore[attr-defined]
    seen = [view.section]
    for _ in range(3):
        await press()
        seen.append(view.section)
    assert seen == ["tasks", "calls", "queues", "tasks"]


async def _save(pilot: Pilot[Any], press: Press) -> None:
    await _session(pilot, calls=inside_fake.COUNTED)
    await press()
    await press()
    assert sorted(p.name for p in Path.cwd().iterdir()) == [
        f"concview-4242-calls-{n}.{kind}" for n in (1, 2) for kind in ("callgrind", "pstat")
    ]


async def _exact(pilot: Pilot[Any], press: Press) -> None:
    await _session(pilot, calls=inside_fake.COUNTED)
    board: Any = pilot.app.screen
    board.show_view("thread", 4250)
    await fake.until(pilot, lambda: board.active == "thread" and board.view.ready)
    await fake.drawn(pilot)
    await press()
    await fake.until(pilot, lambda: board.active == "inside" and board.view.grid.current is not None)
    await fake.until(pilot, lambda: board.view.grid.current[1].name == "Cache.get")
    await pilot.press("escape")
    await fake.until(pilot, lambda: board.active == "thread")


CHECKS: dict[str, Check] = {
    "exact": _exact,
    "agent": _agent,
    "window": _window,
    "section": _section,
    "save_calls": _save,
    "agent_yes": _agent_yes,
    "agent_no": _agent_no,
    "window_wall": _starts(CountCalls("wall", 5)),
    "window_cpu": _starts(CountCalls("cpu", 5)),
    "window_none": _starts(CountCalls("none", 5)),
    "window_more": _length(1),
    "window_less": _length(-1),
    "window_no": _starts(None),
}
