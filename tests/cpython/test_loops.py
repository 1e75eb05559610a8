"""How long callbacks wait, told from the counters of a loop's ready queue at looks that are far apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from concview.cpython.aio.loops import Loop

MS = 1_000_000


@given(st.integers(1, 40), st.integers(1, 200), st.integers(5, 50))
def test_a_callback_waits_for_those_in_front_of_it_however_far_apart_the_looks_are(
    ready: int, each_us: int, apart_ms: int
) -> None:
    """A loop that runs one callback after another, each for so long, with always so many ready: who comes waits for
    all that are there, and no longer."""
    each = each_us * 1_000
    loop = Loop(1, "asyncio")
    for look in range(40):
        ran = look * apart_ms * MS // each
        loop.step(
            look * apart_ms * MS, ready, 2 * ran + ready, True
        )  # the deque counts what goes in and what comes out
    told = loop.times(40 * apart_ms * MS)
    true = ready * each
    if true < apart_ms * MS:
        assert abs(told.p50 - true) <= each + 2, (told.p50, true)
    assert told.busy == 1


def test_what_is_in_the_queue_and_not_run_waits_since_it_was_seen() -> None:
    loop = Loop(1, "asyncio")
    for look in range(10):
        loop.step(look * 10 * MS, 3, 3, True)
    assert loop.times(100 * MS).longest >= 90 * MS
