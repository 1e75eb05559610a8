"""What a live session spends on judging and on pictures is bounded: the dearer they are, the rarer they come."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from test_patient_judging import held, record

from concview.session import FileSource
from concview.session.allowance import EARLY, LONGEST_JUDGING_NS, Allowance
from concview.session.session import Session

MS = 1_000_000
S = 1_000 * MS


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def spend(allowance: Allowance, clock: Clock, *each_ms: int) -> None:
    for ms in each_ms:
        allowance.begin()
        clock.now += ms * MS
        allowance.end()


def test_what_is_dear_comes_seldom() -> None:
    clock = Clock()
    allowance = Allowance(0.03, clock)
    assert allowance.gap_ns(4 * S) == 0
    spend(allowance, clock, 900)
    assert allowance.gap_ns(4 * S) == 0, "the first one imports, and reads files: it does not count"
    spend(allowance, clock, *[30] * 20)
    assert 0.99 * S <= allowance.gap_ns(4 * S) <= S
    assert allowance.gap_ns(4 * S, EARLY) == allowance.gap_ns(4 * S) // 4, "more may be spent at first"
    spend(allowance, clock, *[3000] * 20)
    assert allowance.gap_ns(4 * S) == 4 * S, "but it comes"
    spend(allowance, clock, *[1] * 40)
    assert allowance.gap_ns(4 * S) < 0.1 * S, "and soon again when it has become cheap"
    allowance.share = 0.0
    spend(allowance, clock, 3000)
    assert allowance.gap_ns(4 * S) == 0, "no bound"


@pytest.mark.parametrize(("live", "least", "most"), [(True, 25, 33), (False, 85, 95)])
def test_judging_a_live_process_keeps_to_the_budget(
    live: bool, least: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One minute, 90 ms a judgement, 5 % of a core: every 3 s, at first every 0.75 s. A recording is judged as ever."""
    monkeypatch.setattr(FileSource, "live", live)
    session = Session(FileSource(record(tmp_path / "r", 60, held), 0.0), {})
    calls = itertools.count(0, 90 * MS)
    session._judging = Allowance(clock=lambda: next(calls))
    judged: list[int] = []
    real = session._judge_now

    def counted(*arguments: object) -> None:
        judged.append(session.history.now_ns)
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(session, "_judge_now", counted)
    session.start()
    session.wait(1e9)
    session.close()
    assert least <= len(judged) <= most
    gaps = [b - a for a, b in itertools.pairwise(judged)]
    assert max(gaps) <= LONGEST_JUDGING_NS
