"""The view Inside: what it asks before it does anything, what it shows, and what it says when it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake
import inside_fake
import msgspec
import pytest
from inside_fake import COUNTED, COUNTING, REFUSAL, WITHOUT_TIMES, Obeying, opened, picture
from inside_keys import CHECKS

from concview.model import AgentStatus, Calls, Frame
from concview.snapshot import Status
from concview.tui import agent_requests
from concview.tui.app import ConcviewApp
from concview.tui.keys import KEYS, by_id
from concview.tui.screens.agent import AgentQuestion
from concview.tui.widgets.exact import Counted

SIZES = ((60, 20), (80, 24), (160, 50))


@pytest.mark.parametrize(("key", "stroke"), [(k, s) for k in CHECKS for s in by_id(k).keys.split(",")])
async def test_key(key: str, stroke: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = ConcviewApp(Obeying([picture()]))
    async with app.run_test(size=(100, 24)) as pilot:
        await fake.until(pilot, lambda: app.screen.view.ready)  # type: ignore[attr-defined]

        async def press() -> None:
            await pilot.press(stroke)
            await fake.drawn(pilot)

        await CHECKS[key](pilot, press)


def test_no_key_of_theirs_is_forgotten() -> None:
    assert {k.id for k in KEYS if k.scope in ("inside", "agent", "window")} <= set(CHECKS)


async def test_the_palette_offers_everything_from_any_view() -> None:
    session = Obeying([picture(agent=None)])
    app = ConcviewApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready)
        titles = [c.title for c in app.get_system_commands(board)]
        for key in (k for k in KEYS if k.scope == "inside"):
            assert any(t.endswith(f"({key.shown})") and t[1:].startswith(key.help[1:]) for t in titles), key.id
        assert board.active == "overview"
        await app.press(by_id("agent"))
        await fake.until(pilot, lambda: isinstance(app.screen, AgentQuestion))
        assert board.active == "inside" and not session.orders


@pytest.mark.parametrize("key", ["a", "w"])
async def test_a_recording_says_why_nothing_can_be_asked(key: str) -> None:
    session = Obeying([picture(status=Status.REPLAY, calls=COUNTED)], live=False)
    app = ConcviewApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(pilot)
        assert "this is a recording" in "\n".join(view.as_text())
        await pilot.press(key)
        await fake.drawn(pilot)
        assert not session.orders and app.screen is not None and not isinstance(app.screen, AgentQuestion)
        assert [n.message for n in app._notifications][-1].startswith("this is a recording")


def test_why_not() -> None:
    live = picture()
    assert agent_requests.why_not(Obeying(), live) == ""
    assert "recording" in agent_requests.why_not(Obeying(live=False), live)
    assert "exited" in agent_requests.why_not(Obeying(), fake.exited())
    assert "not permitted" in agent_requests.why_not(Obeying(), fake.lost())
    assert "without a way" in agent_requests.why_not(fake.FakeSession(), live)
    assert agent_requests.why_not(Obeying(), fake.empty())


async def test_without_an_agent_calls_are_not_counted() -> None:
    session = Obeying([picture(agent=None, tasks=None, queues=None)])
    app = ConcviewApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(pilot)
        assert "only read from outside" in "\n".join(view.as_text())
        await pilot.press("w", "S")
        await fake.drawn(pilot)
        assert not session.orders
        said = [n.message for n in app._notifications]
        assert any("a asks it in" in m for m in said) and any("no counts to save" in m for m in said)


@pytest.mark.parametrize(
    ("python", "offered"), [("3.9.18", False), ("3.11.7", False), ("3.12.1", True), ("3.15.2", True)]
)
async def test_counts_without_times_are_offered_where_there_are_any(python: str, offered: bool) -> None:
    shown = picture(refusal=REFUSAL)
    assert shown.target is not None
    target = msgspec.structs.replace(shown.target, python=python)
    app = ConcviewApp(Obeying([msgspec.structs.replace(shown, target=target)]))
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot)
        assert ("w, then n" in "\n".join(view.as_text())) is offered


async def test_a_refusal_stays_until_it_is_settled() -> None:
    app = ConcviewApp(Obeying([picture(refusal=REFUSAL)]))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(pilot)
        said = "\n".join(view.as_text())
        assert "cannot be imported" in said and "-m pip install yappi" in said and "w, then n" in said


async def test_tasks_are_listed_with_their_chain() -> None:
    app = ConcviewApp(Obeying([picture()]))
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot)
        said = "\n".join(view.as_text())
        assert "lag 134 ms" in said and "the 32 oldest are listed" in said
        await pilot.press("down")
        await fake.drawn(pilot)
        said = "\n".join(view.as_text())
        assert "[/red]Session.wait" in said and "PYTHONASYNCIODEBUG=1" in said
        await pilot.press("G")
        await fake.drawn(pilot)
        assert "/srv/shop/server.py:140" in "\n".join(view.as_text())
        await pilot.press("slash", *"session-7")
        await fake.drawn(pilot)
        assert [r.task.name for r in view.grid.rows] == ["session-7"]


async def test_calls_are_put_together_over_threads() -> None:
    app = ConcviewApp(Obeying([picture(calls=COUNTED)]))
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot)
        await pilot.press("m")
        await fake.drawn(pilot)
        view.grid.choose(("/srv/shop/cache.py", 39, "Cache.get"))
        view.draw_detail()
        said = "\n".join(view.as_text())
        assert "200k" in said and "worker-0" in said and "120k" in said and "Called by" not in said
        view.grid.choose(("/srv/shop/templates.py", 118, "render"))
        view.draw_detail()
        assert "Called by" in "\n".join(view.as_text())
        before = view.grid.sort_by
        await pilot.press("s")
        assert view.grid.sort_by != before


def test_a_sampled_frame_finds_its_function() -> None:
    counted = Counted(COUNTED)
    assert counted.functions[counted.find("Cache.get", "/srv/shop/cache.py", 41) or 0].calls == 200_000
    assert counted.find("Cache.get", "/srv/shop/cache.py", 20) is None  # above its first line: another one
    assert counted.find("Cache.get", "/elsewhere/cache.py", 41) is None


async def test_a_window_without_its_agent_is_cut_off() -> None:
    """It is not counting any more, whatever its last words were."""
    gone = AgentStatus(0, "ended", "the agent has gone")
    for agent, word in ((picture().agent, "counting"), (gone, "cut off")):
        app = ConcviewApp(Obeying([picture(calls=COUNTING, agent=agent)]))
        async with app.run_test(size=(120, 40)) as pilot:
            view = await opened(pilot)
            await pilot.press("m")
            await fake.drawn(pilot)
            assert f"{word}  yappi, wall clock, 2.0 s" in "\n".join(view.as_text())


async def test_a_frame_that_was_not_called_is_said() -> None:
    app = ConcviewApp(Obeying([picture(calls=COUNTED)]))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(pilot)
        app.screen.show_view("inside", Frame("main", "/srv/shop/server.py", 203))  # type: ignore[attr-defined]
        await fake.until(pilot, lambda: bool(app._notifications))
        assert "main was not called" in [n.message for n in app._notifications][-1]
        assert view.section == "calls"


def test_how_much_slower() -> None:
    """A tenth of a core of its own, as much for counting: twice as long; and never more than the calls allow."""

    def counted(**changes: float) -> Calls:
        unknown = msgspec.structs.replace(COUNTED, calls=1_000_000, seconds=5.0, used_s=0.0, bare_s=0.0, slower=0.0)
        return msgspec.structs.replace(unknown, **changes)

    low, high = agent_requests.derived(counted(cost_share=0.1, used_s=1.0, bare_s=0.04))
    assert low == pytest.approx(2.0) and high == pytest.approx(1.0 / 0.35)
    assert agent_requests.derived(counted(cost_share=0.6, used_s=3.0, bare_s=0.4)) == pytest.approx(
        (3.4 / 0.4, 4.3 / 0.4)
    )
    # 3.11: no calls, and slower all the same, if it is bytecode
    assert agent_requests.derived(counted(cost_share=0.0, used_s=1.0, drag=1.5)) == pytest.approx((1.0, 1.5))
    assert agent_requests.derived(counted(cost_share=0.1)) == (0, 0)  # an old recording

    said = agent_requests.cost(counted(cost_share=0.1, used_s=1.0, slower=2.44, slower_by=3))
    assert said.startswith("200k calls/s, 500 ns each for counting: 10 % of a core.")
    assert said.endswith("Code takes 2.4 times the CPU that it took before (measured by 3 functions)")
    assert "2.0 to 2.9 times the CPU (derived" in agent_requests.cost(counted(cost_share=0.1, used_s=1.0, bare_s=0.04))
    assert "(estimated)" in agent_requests.cost(counted(cost_share=0.1))


def test_counts_without_times_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no times"):
        agent_requests.save_calls(WITHOUT_TIMES, 1, "", tmp_path)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- pictures


@pytest.fixture
def drawn(snapshot: Any) -> Any:
    from syrupy.extensions.image import SVGImageSnapshotExtension

    return snapshot.use_extension(SVGImageSnapshotExtension)


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("part", ["none", "tasks", "calls", "queues", "counting", "counts", "refused"])
async def test_parts(part: str, size: tuple[int, int], drawn: Any) -> None:
    more: dict[str, Any] = {  # type: ignore[assignment]
        "none": {"agent": None, "tasks": None, "queues": None},
        "counting": {"calls": COUNTING, "agent": inside_fake.AgentStatus(0, "attached", window="yappi wall")},
        "counts": {"calls": WITHOUT_TIMES},
        "refused": {"refusal": REFUSAL},
    }.get(part, {"calls": COUNTED})
    app = ConcviewApp(Obeying([picture(**more)]))
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press(*{"calls": "m", "counting": "m", "counts": "m", "queues": "mm"}.get(part, ""))
        await fake.drawn(pilot)
        assert app.export_screenshot(simplify=True) == drawn


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("key", ["a", "w"])
async def test_questions(key: str, size: tuple[int, int], drawn: Any) -> None:
    more = {"agent": None} if key == "a" else {}
    app = ConcviewApp(Obeying([picture(calls=None, **more)]))
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press(key)
        await fake.drawn(pilot)
        assert app.export_screenshot(simplify=True) == drawn


async def test_a_key_while_nothing_has_the_keyboard_is_for_the_view() -> None:
    app = ConcviewApp(Obeying([picture(agent=None)]))
    async with app.run_test(size=(100, 24)) as pilot:
        view = await opened(pilot)
        app.screen.set_focus(None)
        await pilot.press("a")
        await fake.until(pilot, lambda: isinstance(app.screen, AgentQuestion))
        assert view.is_attached


@pytest.mark.parametrize("how", ["not made yet", "made beforehand", "without a picture"])
async def test_a_key_before_its_view_is_there_waits_for_it(how: str) -> None:
    """A view is made when it is first shown, or beforehand, when it has no place yet and what was shown before still
    has the keyboard; or it is there, and was not yet told what to show."""
    app = ConcviewApp(Obeying([picture(agent=None)]))
    async with app.run_test(size=(100, 24)) as pilot:
        board: Any = app.screen
        await fake.until(pilot, lambda: board.view.ready)
        if how == "made beforehand" and not board.query("#view-inside"):
            board._make("inside").display = False
        await fake.drawn(pilot)
        board.show_view("inside")
        if how == "without a picture":
            await fake.until(pilot, lambda: board.view.ready)
            board.view.snapshot = None
            board.set_focus(None)
        assert not board.view.ready or board.view.snapshot is None
        app.simulate_key("a")
        if how == "without a picture":
            await pilot.pause()
            board.on_view_ready()
        await fake.until(pilot, lambda: isinstance(app.screen, AgentQuestion))
