"""What the keys of the flame view and the deep look do, for the test that presses every key of the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import fake
from flame_fake import CallSession
from textual.pilot import Pilot

from concview.tui.ports import DeepFrame
from concview.tui.screens.deep import DeepScreen

Press = Callable[[], Awaitable[None]]
Check = Callable[[Pilot[Any], Press], Awaitable[None]]


async def _show(pilot: Pilot[Any], name: str, subject: Any = None) -> Any:
    board: Any = pilot.app.screen
    board.session = CallSession([fake.busy(20)])
    board.show_view(name, subject)
    await fake.until(pilot, lambda: board.active == name and board.view.ready and board.focused is not None)
    await fake.until(pilot, lambda: name != "flame" or bool(board.view.graph.rows))
    await fake.drawn(pilot)
    return board.view


def _depth(view: Any) -> int:
    return len(view.graph.base + view.graph.box.path)


def _moves(first: str, ok: Callable[[int, int], bool]) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        view = await _show(pilot, "flame")
        view.graph.move(first)
        before = _depth(view)
        await press()
        assert ok(before, _depth(view))

    return check


def _beside(step: int) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        view = await _show(pilot, "flame")
        row = next(r for r in view.graph.rows if sum(not b.rest for b in r) > 1)
        start, goal = (row[0], row[1]) if step > 0 else (row[1], row[0])
        view.graph.choose(start)
        await press()
        assert view.graph.box is goal

    return check


async def _zoom(pilot: Pilot[Any], press: Press) -> None:
    view = await _show(pilot, "flame")
    view.graph.move("down")
    name = view.graph.box.node.key
    await press()
    assert view.graph.rows[0][0].node.key == name
    await pilot.press("escape")
    assert view.graph.rows[0][0].node.key[0] == "all"


def _mode(step: int) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        view = await _show(pilot, "flame")
        view.mode = 2
        await press()
        assert view.mode == 2 + step

    return check


async def _by_line(pilot: Pilot[Any], press: Press) -> None:
    view = await _show(pilot, "flame")
    await press()
    await fake.until(pilot, lambda: pilot.app.screen.session.asked[-1]["by_line"])  # type: ignore[attr-defined]
    assert view.by_line


async def _by_work(pilot: Pilot[Any], press: Press) -> None:
    view = await _show(pilot, "flame")
    await press()
    await fake.until(pilot, lambda: pilot.app.screen.session.asked[-1]["by_work"])  # type: ignore[attr-defined]
    assert any("by request and job" in line for line in view.as_text())


async def _one_thread(pilot: Pilot[Any], press: Press) -> None:
    view = await _show(pilot, "flame", 4250)
    assert view.tid == 4250
    await press()
    assert view.tid == 0
    await press()
    assert view.tid == 4250


async def _source(pilot: Pilot[Any], press: Press) -> None:
    view = await _show(pilot, "flame")
    view.graph.move("bottom")
    await press()
    said = [n.message for n in pilot.app._notifications]
    assert any("EDITOR is not set" in s or "there is no file" in s for s in said)


async def _calls(pilot: Pilot[Any], press: Press) -> None:
    await _show(pilot, "thread", 4250)
    await press()
    board: Any = pilot.app.screen
    await fake.until(pilot, lambda: board.active == "flame" and board.view.ready)
    await fake.until(pilot, lambda: board.session.asked and board.session.asked[-1]["tids"] == (4250,))


async def _deep(pilot: Pilot[Any], open_with: str = "") -> list[bool]:
    asked: list[bool] = []

    def look(pid: int, tid: int, native: bool) -> list[DeepFrame]:
        asked.append(native)
        return [DeepFrame("get", "/srv/cache.py", 41)]

    pilot.app.deep_look = look  # type: ignore[attr-defined]
    await _show(pilot, "thread", 4250)
    if open_with:
        await pilot.press(open_with)
        await fake.until(pilot, lambda: isinstance(pilot.app.screen, DeepScreen))
        await fake.drawn(pilot)
    return asked


async def _opens(pilot: Pilot[Any], press: Press) -> None:
    asked = await _deep(pilot)
    await press()
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, DeepScreen) and asked == [False])


async def _opens_native(pilot: Pilot[Any], press: Press) -> None:
    asked = await _deep(pilot)
    await press()
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, DeepScreen) and pilot.app.screen.asking)
    assert not asked


async def _again(pilot: Pilot[Any], press: Press) -> None:
    asked = await _deep(pilot, "d")
    await press()
    await fake.until(pilot, lambda: asked == [False, False])


async def _native(pilot: Pilot[Any], press: Press) -> None:
    asked = await _deep(pilot, "d")
    await press()
    assert pilot.app.screen.asking and asked == [False]  # type: ignore[attr-defined]


async def _yes(pilot: Pilot[Any], press: Press) -> None:
    asked = await _deep(pilot, "n")
    await press()
    await fake.until(pilot, lambda: asked == [True])


async def _close(pilot: Pilot[Any], press: Press) -> None:
    await _deep(pilot, "d")
    await press()
    await fake.until(pilot, lambda: not isinstance(pilot.app.screen, DeepScreen))
    assert pilot.app.is_running


async def _heat(pilot: Pilot[Any], press: Press) -> None:
    view = await _show(pilot, "flame")
    view.graph.move("down")
    await press()
    await fake.until(pilot, lambda: bool(view.lines) and view.query_one("#lines").display)
    await press()
    assert not view.query_one("#lines").display


CHECKS: dict[str, Check] = {
    "calls": _calls,
    "deep": _opens,
    "native": _opens_native,
    "zoom": _zoom,
    "box_up": _moves("bottom", lambda a, b: b == a - 1),
    "box_down": _moves("top", lambda a, b: b == a + 1),
    "box_left": _beside(-1),
    "box_right": _beside(1),
    "box_top": _moves("bottom", lambda a, b: b == 0),
    "box_bottom": _moves("top", lambda a, b: b > a + 1),
    "mode": _mode(1),
    "mode_back": _mode(-1),
    "by_line": _by_line,
    "by_work": _by_work,
    "one_thread": _one_thread,
    "heat": _heat,
    "source": _source,
    "deep_again": _again,
    "deep_native": _native,
    "deep_yes": _yes,
    "deep_back": _close,
}
