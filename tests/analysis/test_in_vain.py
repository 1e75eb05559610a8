"""Waiting in vain: nobody is there who could give it, and that was seen for long, not for the moment of a hand-over."""

from __future__ import annotations

import pytest

from concview.analysis.blame.verdict import _is_stuck
from concview.model import Confidence
from concview.snapshot import BlameCause, BlameStep


def _joins(thread_s: float, stuck_s: float) -> BlameCause:
    """Who joins a worker that waits for a lock which nobody has."""
    steps = (
        BlameStep("end", "its end", "main", "app.py", 8, "main", Confidence.EXACT, (1,), (2,)),
        BlameStep("lock", "lock", "w", "app.py", 5, "work", Confidence.EXACT, (2,), ()),
    )
    return BlameCause(
        "stall",
        "nobody",
        "no thread of this process has it",
        "app.py",
        5,
        "work",
        0.1,
        thread_s,
        (1,),
        steps,
        "main",
        stuck_s=stuck_s,
    )


@pytest.mark.parametrize(
    ("thread_s", "stuck_s", "seconds", "stuck"),
    [
        (0.6, 5.7, 6.0, False),  # others starve the worker of the lock: now and then nobody seems to have it
        (5.2, 5.7, 6.0, True),
        (9.8, 600.0, 10.0, True),  # it began long before the window
        (4.0, 4.0, 10.0, False),  # not for long yet
    ],
)
def test_that_nobody_is_there_was_seen_for_long(thread_s: float, stuck_s: float, seconds: float, stuck: bool) -> None:
    assert _is_stuck(_joins(thread_s, stuck_s), seconds) is stuck
