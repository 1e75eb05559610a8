"""Lessons, two programs side by side, large print, and how much there is to read on the first screen."""

from __future__ import annotations

import re

import fake
import msgspec
import pytest

from concview.catalogue import lesson
from concview.tui.app import ConcviewApp
from concview.tui.ports import Picker
from concview.tui.screens.comparison import Comparison, Side, tops
from concview.tui.screens.dashboard import Dashboard
from concview.tui.screens.lesson import LessonScreen
from concview.tui.widgets.page import Page
from concview.tui.widgets.states import GAUGES


def _app(**more: object) -> ConcviewApp:
    return ConcviewApp(fake.FakeSession([fake.busy(12)]), **more)  # type: ignore[arg-type]


async def _ready(pilot) -> Dashboard:  # type: ignore[no-untyped-def]
    shown = pilot.app.screen
    assert isinstance(shown, Dashboard)
    await fake.until(pilot, lambda: shown.view.ready and shown.view.snapshot is not None)
    return shown


async def _text(pilot, kind: type) -> str:  # type: ignore[no-untyped-def]
    await fake.until(pilot, lambda: isinstance(pilot.app.screen, kind))
    page = pilot.app.screen.query_one(Page)
    await fake.until(pilot, lambda: len(page.as_text()) > 3)
    return "\n".join(page.as_text())


async def test_the_lesson_of_a_finding_and_back() -> None:
    async with _app().run_test(size=(80, 24)) as pilot:
        shown = await _ready(pilot)
        first = shown.shown.findings[0]
        await pilot.press("L")
        told = await _text(pilot, LessonScreen)
        rule = lesson.rule_of(first.id)
        assert rule is not None and told.startswith(f"{first.id}: {rule.title}")
        assert "When it is fine" in told and "When it is reported" in told
        await pilot.press("escape")
        assert pilot.app.screen is shown


async def test_the_lesson_of_the_demo_that_runs() -> None:
    demo = ("deadlock", "Two.")
    picker = Picker(list_processes=list, attach=lambda pid: fake.FakeSession([]), demo=lambda: demo)
    app = ConcviewApp(fake.FakeSession([fake.healthy()]), picker=picker)
    async with app.run_test(size=(80, 24)) as pilot:
        await _ready(pilot)
        await pilot.press("L")
        told = await _text(pilot, LessonScreen)
        assert "This demo" in told and "Two." in told and "Fix" in told


@pytest.mark.parametrize("name", ["lock-held-across-io", "blocked-event-loop", "over-sharded-locks"])
def test_a_lesson_has_no_riddles(name: str) -> None:
    rule = lesson.rule_of(name)
    assert rule is not None
    told = dict(lesson.sections(rule))
    assert not re.search(r"\[[SDMH]\]", told["When it is reported"]), "letters are words there"
    for letters in re.findall(r"\[[SDMH]\]", told["How it is measured"]):
        assert f"{letters} {lesson.SOURCES[letters]}" in told["How it is measured"], "or explained where they stand"
    assert told["Look at next"]


def test_limits_have_units() -> None:
    assert [lesson.limit(*v) for v in ((0.2, "share of time"), (0.1, "s"), (16, "locks"))] == [
        "20 %",
        "100 ms",
        "16 locks",
    ]


async def test_two_programs_are_on_the_same_axes() -> None:
    calm = fake.busy(4)
    wild = msgspec.structs.replace(
        calm, series=tuple(msgspec.structs.replace(p, switches_per_s=90_000.0) for p in calm.series)
    )
    sides = (Side("bad", fake.FakeSession([wild])), Side("fixed", fake.FakeSession([calm])))
    assert tops([wild, calm])["Switches/s"] >= 90_000 and set(tops([calm])) == {g.title for g in GAUGES}
    app = ConcviewApp(pair=("demo x", *sides))
    async with app.run_test(size=(100, 30)) as pilot:
        told = await _text(pilot, Comparison)
        assert "bad, pid" in told and "fixed, pid" in told
        (line,) = [x for x in told.splitlines() if x.startswith("Switches/s")]
        left, right = line.split("│")
        assert "█" in left or "▆" in left
        assert "█" not in right and "▆" not in right, "flat beside the other"
        await pilot.press("2")
        await fake.until(pilot, lambda: isinstance(pilot.app.screen, Dashboard))
        assert (await _ready(pilot)).session is sides[1].session
        await pilot.press("p")
        await fake.until(pilot, lambda: isinstance(pilot.app.screen, Comparison))
    assert not any(side.session.closed for side in sides), "whoever made them closes them"  # type: ignore[attr-defined]


async def test_large_print_has_the_verdict_and_the_causes_alone() -> None:
    app = ConcviewApp(fake.FakeSession([fake.held_up()]))
    async with app.run_test(size=(80, 24)) as pilot:
        shown = await _ready(pilot)
        await pilot.press("P")
        told = "\n".join(shown.view.as_text())
        assert "held up" in told and "NAME" not in told
        assert any(len(set(line.strip())) <= 6 and len(line) > 70 for line in told.splitlines()), "a bar"
        await pilot.press("P")
        assert "NAME" in "\n".join(shown.view.as_text())


FIRST = {"held up": fake.held_up, "busy": lambda: fake.busy(40), "deadlock": fake.deadlock, "healthy": fake.healthy}


@pytest.mark.parametrize("make", FIRST.values(), ids=FIRST)
async def test_the_first_screen_has_at_most_120_words(make) -> None:  # type: ignore[no-untyped-def]
    """Header, verdict, causes, findings and keys; the rows of the list of threads say the same of one after another.
    A word has two letters; bars are looked at."""
    async with ConcviewApp(fake.FakeSession([make()])).run_test(size=(80, 24)) as pilot:
        shown = await _ready(pilot)
        await fake.drawn(pilot)
        lines = [strip.text for strip in shown._compositor.render_strips()]
        at = next(at for at, line in enumerate(lines) if line.startswith("  NAME "))
        told = " ".join([*lines[: at + 1], lines[-1]])
        words = [token for token in told.split() if re.search(r"[^\W\d_]{2,}", token)]
        assert 40 < len(words) <= 120, words
