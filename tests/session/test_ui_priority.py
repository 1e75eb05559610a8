"""The reader steps aside while a key is answered, and keeps up while one is held down."""

from __future__ import annotations

import pytest

from concview.session import ui_priority
from concview.session.ui_priority import UiPriority


class Clock:
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(ui_priority, "time", clock)
    return clock


def test_it_waits_only_when_asked_and_only_so_long(clock: Clock) -> None:
    reader = UiPriority()
    reader.give_way()
    assert clock.now == 100.0
    reader.ask()
    reader.give_way()
    assert clock.now == pytest.approx(100.0 + ui_priority.ASIDE_S, abs=0.003)
    asked_again = clock.now
    reader.give_way()
    assert clock.now == asked_again


def test_a_key_that_is_held_down_takes_half_of_the_time_at_most(clock: Clock) -> None:
    reader, worked = UiPriority(), 0.0
    while clock.now < 110.0:
        reader.ask()  # more often than any keyboard repeats
        reader.give_way()
        clock.now += 0.001
        worked += 0.001
    assert worked >= 0.49 * 10


def test_what_was_asked_long_ago_is_over(clock: Clock) -> None:
    reader = UiPriority()
    reader.ask()
    clock.now += 2 * ui_priority.ASIDE_S
    before = clock.now
    reader.give_way()
    assert clock.now == before
