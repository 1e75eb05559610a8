"""The words of a cause: how many it is of."""

from __future__ import annotations

import pytest

from concview.analysis.blame.words import story
from concview.snapshot import BlameCause


@pytest.mark.parametrize(
    ("threads", "waiting", "among", "said"),
    [
        ((1,), 0.6, 0, "1 thread (web, 60 % of the time) runs (a.py:3)"),
        ((1,), 1.0, 0, "1 thread (web) runs (a.py:3)"),
        ((1,), 0.6, 2, "0.6 threads (web) run (a.py:3)"),
        ((1, 2), 0.6, 0, "0.6 threads (web) run (a.py:3)"),
        ((1, 2), 2.0, 0, "2 threads (web) run (a.py:3)"),
    ],
)
def test_one_alone_is_one(threads: tuple[int, ...], waiting: float, among: int, said: str) -> None:
    cause = BlameCause("own", "cpu", "runs", "a.py", 3, "work", 1.0, 1.0, threads, who="web")
    assert story(cause, waiting, among) == said
