"""The deep look at one thread: what is read, when it asks first, and why it may not be there."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import fake
import msgspec
import pytest
from textual.pilot import Pilot

from concview.snapshot import Status
from concview.tui.app import ConcviewApp
from concview.tui.ports import DeepFrame, DeepLocal
from concview.tui.screens.deep import DeepScreen, why_not
from concview.tui.widgets.page import Page

FRAMES = (
    DeepFrame("pthread_cond_wait", "/lib/libc.so.6", 0, True),
    DeepFrame(
        "[/red]Cache.get",
        "/srv/shop/cache.py",
        41,
        locals=(DeepLocal("total", "[bold]" + "9" * 180), DeepLocal("self", "<Cache>", True)),
    ),
)


class Looked:
    """Records what was asked; `go` holds the answer back."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.asked: list[tuple[int, int, bool]] = []
        self.fails = fails
        self.go = threading.Event()
        self.go.set()

    def __call__(self, pid: int, tid: int, native: bool) -> Sequence[DeepFrame]:
        self.asked.append((pid, tid, native))
        self.go.wait(10)
        if self.fails is not None:
            raise self.fails
        return FRAMES if native else FRAMES[1:]


async def thread_view(pilot: Pilot[Any]) -> None:
    board = pilot.app.screen
    await fake.until(pilot, lambda: board.view.ready)  # type: ignore[attr-defined]
    board.show_view("thread", 4250)  # type: ignore[attr-defined]
    await fake.until(pilot, lambda: board.active == "thread" and board.view.ready)  # type: ignore[attr-defined]
    await fake.drawn(pilot)


async def deep(pilot: Pilot[Any], key: str) -> DeepScreen:
    await thread_view(pilot)
    await pilot.press(key)
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, DeepScreen))
    screen = pilot.app.screen
    assert isinstance(screen, DeepScreen)
    await fake.until(pilot, lambda: not screen.reading)
    await fake.drawn(pilot)
    return screen


def said(screen: DeepScreen) -> str:
    return "\n".join(screen.query_one(Page).as_text())


@pytest.mark.parametrize("size", [(60, 20), (160, 50)], ids=str)
async def test_variables_are_read_without_stopping(size: tuple[int, int]) -> None:
    look = Looked()
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]), deep_look=look)
    async with app.run_test(size=size) as pilot:
        screen = await deep(pilot, "d")
        assert look.asked == [(4242, 4250, False)]
        text = said(screen)
        assert "[/red]Cache.get" in text and "self (argument) = <Cache>" in text and "total = [bold]9" in text
        assert text.index("self (argument)") < text.index("total =")
        await pilot.press("d")
        await fake.until(pilot, lambda: len(look.asked) == 2 and not screen.reading)
        await pilot.press("escape")
        await fake.drawn(pilot)
        assert app.screen is not screen and app.screen.active == "thread"  # type: ignore[attr-defined]


async def test_native_frames_only_after_a_yes() -> None:
    look = Looked()
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]), deep_look=look)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await deep(pilot, "n")
        assert not look.asked and "Stop process 4242 for a moment?" in said(screen)
        await pilot.press("escape")
        await fake.drawn(pilot)
        assert app.screen is not screen and not look.asked
        screen = await deep(pilot, "d")
        await pilot.press("n", "escape")
        assert "Cache.get" in said(screen) and len(look.asked) == 1
        await pilot.press("n", "y")
        await fake.until(pilot, lambda: len(look.asked) == 2 and not screen.reading)
        await fake.drawn(pilot)
        assert look.asked[-1] == (4242, 4250, True)
        assert "pthread_cond_wait" in said(screen) and "stood still" in said(screen)


async def test_the_dashboard_goes_on_while_it_reads() -> None:
    look = Looked()
    look.go.clear()
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]), deep_look=look)
    async with app.run_test(size=(80, 24)) as pilot:
        await thread_view(pilot)
        await pilot.press("d")
        await fake.until(pilot, lambda: bool(look.asked))
        await fake.drawn(pilot)
        assert "Reading thread 4250" in said(app.screen)  # type: ignore[arg-type]
        await pilot.press("d", "escape")
        await fake.drawn(pilot)
        assert not isinstance(app.screen, DeepScreen) and len(look.asked) == 1
        look.go.set()
        await fake.until(pilot, lambda: not any(t.name == "concview-deep" for t in threading.enumerate()))
        await fake.drawn(pilot)
        assert app.is_running


async def test_a_refusal_is_one_sentence_with_its_remedy() -> None:
    class Refused(Exception):
        remedy = "run it as [/root]"

    app = ConcviewApp(fake.FakeSession([fake.busy(20)]), deep_look=Looked(Refused("py-spy may not read 4242")))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await deep(pilot, "d")
        assert said(screen).strip() == "py-spy may not read 4242.\nrun it as [/root]"


def test_why_not() -> None:
    look, live = Looked(), fake.busy(20)
    assert why_not(look, True, live, 4250) == ""
    assert "recording" in why_not(look, False, live, 4250)
    assert "without py-spy" in why_not(None, True, live, 4250)
    assert "exited" in why_not(look, True, fake.exited(), 4250)
    assert "not permitted" in why_not(look, True, fake.lost(), 4250)
    assert "ended" in why_not(look, True, live, 1)
    assert "recording" in why_not(look, True, msgspec.structs.replace(live, status=Status.REPLAY), 4250)
    assert why_not(look, True, None, 1)


async def test_the_keys_say_why_there_is_no_deep_look() -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(20)]))
    async with app.run_test(size=(80, 24)) as pilot:
        await thread_view(pilot)
        await pilot.press("d", "n")
        await fake.drawn(pilot)
        assert [n.message for n in app._notifications][-1].startswith("this dashboard was opened without py-spy")
        assert not isinstance(app.screen, DeepScreen)
