"""Stretches without a sample: which they were, not only how many samples were missed."""

from __future__ import annotations

from concview.analysis.gaps import LEAST_NS, MOST, Gaps
from concview.analysis.history import History
from concview.analysis.samples import Samples
from concview.model import AnyEvent, Hello, Stats, Target, Tick
from concview.session.phrases import unseen_for
from concview.snapshot import Gap

S = 1_000_000_000


def _stats(at_ns: int, hz: float) -> Stats:
    return Stats(at_ns, 1, 0, 0, 0, 0, hz, 100, 1.0)


def _stream(hz: float, *seconds: float) -> list[AnyEvent]:
    """Samples that come after so many seconds each; a report of `hz` before each of them."""
    at = 10 * S
    target = Target(1, "3.13.0", ("python3",), 0.0)
    out: list[AnyEvent] = [Hello(1, "0", target, "direct", 100, 5, at, 0.0, {})]
    for dt in seconds:
        out.append(_stats(at, hz))
        at += int(dt * S)
        out.append(Tick(at, int(dt * S), 0, False, ()))
    return out


def _both(stream: list[AnyEvent]) -> tuple[tuple[Gap, ...], tuple[Gap, ...]]:
    """As a session sees them, and as exports do, from the first sample on."""
    history, samples = History(), Samples([stream])
    for event in stream:
        history.apply(event)
    assert list(samples) == []
    return history.gaps.longest(), samples.gaps.longest()


def test_those_that_are_long_for_the_rate() -> None:
    wanted = (Gap(0.02, 3.0), Gap(3.03, 0.6))
    assert _both(_stream(100, 0.01, 0.01, 3, 0.01, 0.6, 0.1, 0.4)) == (wanted, wanted)
    assert _both(_stream(1, 1, 1, 1.5, 1)) == ((), ())  # the budget has room for one a second
    assert [[g.seconds for g in found] for found in _both(_stream(1, 1, 1, 6, 1))] == [[6.0], [6.0]]


def test_the_first_sample_follows_nothing() -> None:
    assert _both(_stream(100, 5, 0.01)) == ((), ())


def test_the_longest_are_kept_and_all_are_counted() -> None:
    gaps = Gaps()
    gaps.begin(0)
    for n in range(MOST + 5):
        gaps.add((n + 1) * 10 * S, LEAST_NS + n)
    kept = gaps.longest()
    assert len(kept) == MOST and gaps.count == MOST + 5
    assert [g.start_s for g in kept] == sorted(g.start_s for g in kept) and kept[0].seconds >= (LEAST_NS + 5) / 1e9
    assert gaps.seconds > sum(g.seconds for g in kept)


def test_words() -> None:
    assert unseen_for((), 0.0) == ""
    assert unseen_for((Gap(12.4, 3.1),), 3.1) == "no sample for 3.1 s from 12.4 s on"
    assert unseen_for((Gap(0.0, 1.3),), 1.3) == "no sample for 1.3 s at the start"
    many = (Gap(1, 0.6), Gap(5, 2.0), Gap(70, 1.0), Gap(80, 0.7))
    assert unseen_for(many, 4.3) == (
        "no sample for 2.0 s from 5.0 s on, for 1.0 s from 1 min 10 s on, for 700 ms from 1 min 20 s on, "
        "and 600 ms more"
    )
