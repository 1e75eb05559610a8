"""Where a change of stack is placed between our samples of the kernel."""

from __future__ import annotations

from concview.engines.pyspy.join import Waits, place

MS = 1_000_000
BLOCKED, RUNNING = 7, 1


def waits(text: str) -> Waits:
    """One letter a tick, every 10 ms from 0: R running, any other letter a wait of that kind."""
    found = Waits()
    for i, letter in enumerate(text):
        found.at.append(i * 10 * MS)
        found.number.append(ord(letter))
        found.moving.append(letter == "R")
    return found


def placed(text: str, seen: list[int], samples: list[int] | None = None) -> list[float]:
    at = [s * MS for s in seen]
    return [x / MS for x in place(at, [s * MS for s in samples or seen], waits(text), 10 * MS)]


def test_the_first_sight_stays() -> None:
    assert placed("RRRR", [15]) == [15]


def test_a_call_began_where_its_blocked_episode_began() -> None:
    #       0  10 20 30 40 50 60
    assert placed("RRRSSSR", [2, 45]) == [2, 30]


def test_a_stack_seen_before_the_episode_ended_starts_there_even_with_many_samples() -> None:
    assert placed("RRRSSSR", [2, 45], [2, 8, 15, 24, 45]) == [2, 30]


def test_after_a_call_the_new_stack_began_on_waking() -> None:
    assert placed("SSSRRRR", [2, 52]) == [2, 30]


def test_a_stack_seen_between_a_blocked_and_a_running_tick_belongs_to_the_running_one() -> None:
    assert placed("SSSRRRR", [2, 25]) == [2, 25]


def test_a_stack_seen_between_a_running_and_a_blocked_tick_belongs_to_the_blocked_one() -> None:
    assert placed("RRRSSSS", [2, 25, 65])[:2] == [2, 25]


def test_two_calls_that_look_alike_are_cut_between_their_sights() -> None:
    begin = placed("RSSSSSSS", [12, 52])[1]
    assert 30 <= begin <= 52


def test_begins_are_in_order_and_never_after_the_sight() -> None:
    seen = [3, 14, 15, 33, 34, 61]
    begins = placed("RSRSSRS", seen)
    assert begins == sorted(begins)
    assert all(b <= s for b, s in zip(begins, seen, strict=True))


def test_without_ticks_the_sight_stands() -> None:
    assert placed("", [5, 25]) == [5, 25]
