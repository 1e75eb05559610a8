"""Exact waits over a window: sums, quantiles, places, and what is said where something is missing."""

from __future__ import annotations

from collections import Counter

import pytest

from concview.analysis.exact_waits import ExactWaits
from concview.model import (
    Frame,
    PlaceWaits,
    Stack,
    State,
    Switches,
    ThreadSwitches,
    Wait,
    WaitKind,
    length_class,
)
from concview.snapshot import WaitTimes

S, MS = 1_000_000_000, 1_000_000
STACKS = {1: Stack((Frame("nap", "app.py", 7, "time.sleep(1)"),), False)}
WAITS = {2: Wait(WaitKind.SLEEP, "clock_nanosleep")}


def lengths(*ns: int) -> tuple[int, ...]:
    counts = Counter(length_class(x) for x in ns)
    return tuple(n for pair in sorted(counts.items()) for n in pair)


def report(exact: ExactWaits, second: int, *ns: int, gaps: int = 0, places: tuple[PlaceWaits, ...] = ()) -> None:
    thread = ThreadSwitches(5, len(ns), len(ns), sum(ns), max(ns), 1, 4 * MS, lengths(*ns), places)
    exact.add(Switches((second + 1) * S, second * S, (thread,), 2 * len(ns), gaps), STACKS, WAITS, {})


def told(exact: ExactWaits, start_ns: int = 0) -> WaitTimes:
    waits = exact.of(5, exact.window(start_ns))
    assert waits is not None
    return waits


def test_sums_are_those_of_all_reports_and_quantiles_those_of_all_lengths() -> None:
    exact = ExactWaits()
    report(exact, 10, *[1 * MS] * 90)
    report(exact, 11, *[1 * MS] * 4, *[20 * MS] * 6)
    waits = told(exact)
    assert (waits.waits, waits.seconds, waits.complete) == (100, 2.0, True)
    assert waits.waited_s == pytest.approx(0.214)
    assert waits.median_s == pytest.approx(0.001, rel=0.25)
    assert waits.p95_s == pytest.approx(0.020, rel=0.25) and waits.longest_s == 0.02
    assert (waits.aside, waits.aside_s) == (2, 0.008)
    assert told(exact, 11 * S).waits == 10, "of the window alone"


def test_a_median_is_never_above_the_longest() -> None:
    exact = ExactWaits()
    report(exact, 1, 1_290_000)
    waits = told(exact)
    assert waits.median_s is not None and waits.median_s <= waits.longest_s


def test_a_gap_is_said() -> None:
    exact = ExactWaits()
    report(exact, 1, MS, gaps=1)
    assert not told(exact).complete


def test_places_bear_what_the_samples_saw() -> None:
    exact = ExactWaits()
    place = PlaceWaits(1, 2, 2, 8 * MS, 5 * MS, lengths(3 * MS, 5 * MS))
    report(exact, 1, 3 * MS, 5 * MS, 1 * MS, places=(place,))
    (seen,) = told(exact).places
    assert seen.state is State.SLEEP and seen.waits == 2 and seen.longest_s == 0.005
    assert seen.frame is not None and seen.frame.line == 7


def test_who_was_on_no_cpu_and_a_stream_without_records_are_not_known() -> None:
    exact = ExactWaits()
    assert exact.of(5, exact.window(0)) is None
    report(exact, 1, MS)
    assert exact.of(6, exact.window(0)) is None
    exact.add(Switches(3 * S, 2 * S, (), 0, 0, "they are switched too often"), {}, {}, {})
    assert exact.ended == "they are switched too often"
