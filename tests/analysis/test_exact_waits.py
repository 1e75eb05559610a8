"""Exact waits over a window: sums, quantiles, places, and what is said where something is missing."""

from __future__ import annotations

from collections import Counter

import pytest

from concview.analysis.exact_waits import ExactWaits
from concview.model import (
    INTERRUPT,
    NOBODY_KNOWN,
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


def test_who_woke_it_and_how_long_that_took() -> None:
    exact, names = ExactWaits(), {7: "worker-7"}
    for second in range(2):
        place = PlaceWaits(
            1, 2, 2, 8 * MS, 5 * MS, lengths(3 * MS, 5 * MS), (7, 2), lengths(MS // 100, MS // 100), back=1
        )
        thread = ThreadSwitches(
            5, 3, 3, 9 * MS, 5 * MS, 0, 0, lengths(MS, 3 * MS, 5 * MS), (place,), (7, 2, INTERRUPT, 1),
            lengths(MS // 100, MS // 100, MS), MS + MS // 50, MS, 1,
        )  # fmt: skip
        exact.add(Switches((second + 1) * S, second * S, (thread,), 9), STACKS, WAITS, {})
    waits = exact.of(5, exact.window(0), lambda tid: names[tid])
    assert waits is not None and waits.wakes is not None
    wakes = waits.wakes
    assert (wakes.wakes, wakes.longest_s, wakes.brief) == (6, 0.001, 2)
    assert wakes.median_s == pytest.approx(0.00001, rel=0.25) and wakes.p95_s == pytest.approx(0.001, rel=0.25)
    assert [(w.kind, w.number, w.name, w.count) for w in wakes.wakers] == [
        ("thread", 7, "worker-7", 4),
        ("interrupt", 0, "a timer or the network", 2),
    ]
    (seen,) = waits.places
    assert (seen.back, [(w.name, w.count) for w in seen.wakers]) == (2, [("worker-7", 4)])
    assert seen.late_s == pytest.approx(0.00001, rel=0.25)


def test_other_processes_and_those_that_are_not_known_are_told_apart() -> None:
    exact = ExactWaits()
    thread = ThreadSwitches(5, 3, 3, 3 * MS, MS, 0, 0, lengths(MS, MS, MS), (), (-99, 2, NOBODY_KNOWN, 1), lengths(MS))
    exact.add(Switches(S, 0, (thread,), 9), STACKS, WAITS, {})
    waits = told(exact)
    assert waits.wakes is not None
    assert [(w.kind, w.number, w.name) for w in waits.wakes.wakers] == [
        ("process", 99, "process 99"),
        ("unknown", 0, "others"),
    ]
    report(exact, 1, MS)
    assert told(exact, S).wakes is None, "not told is not none"


def test_when_a_thread_came_to_a_peer() -> None:
    exact = ExactWaits()
    exact.add(Switches(2 * S, S, (), 0, 0, "", (S, 5, 7, S + MS, 5, 8, S + MS, 6, 9)), STACKS, WAITS, {})
    assert exact.began(5, 0, 2 * S) == (S + MS, 8) and exact.began(5, 0, S) == (S, 7)
    assert exact.began(5, S + 2 * MS, 2 * S) is None and exact.began(4, 0, 2 * S) is None
