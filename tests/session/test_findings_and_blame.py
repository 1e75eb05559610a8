"""A finding that names a cause of blame tells the same bound as the verdict."""

from __future__ import annotations

import msgspec

from concview.model import Confidence, Finding, Measured, Severity
from concview.session.blame import bounded
from concview.snapshot import Blame, BlameCause

FINDING = Finding(
    "a", "", Severity.WARN, 50, Confidence.EXACT, "", "", "", "", Measured("", 1, 1, 1, ""), gain="If so."
)
CAUSE = BlameCause("taken", "lock", "lock", "x.py", 1, "wait", 1.0, 10.0, (1,), rule="a", at_most=5.34)


def blame(*causes: BlameCause) -> Blame:
    return Blame(10.0, 8.0, 8.0, 0.2, 0.8, 0.0, 0.0, 0.0, 0.0, verdict="held up", causes=causes)


def test_the_largest_cause_gives_the_bound() -> None:
    smaller = msgspec.structs.replace(CAUSE, at_most=1.2)
    (one,) = bounded([FINDING], blame(CAUSE, smaller))
    assert one.gain == "Without this wait at most 5.3 times as many rounds. If so."


def test_nothing_is_said_where_nothing_is_known() -> None:
    unknown = msgspec.structs.replace(CAUSE, at_most=None)
    other = msgspec.structs.replace(CAUSE, rule="b")
    past = msgspec.structs.replace(FINDING, recent=True)
    assert bounded([FINDING], None) == (FINDING,)
    assert bounded([FINDING], blame(unknown, other)) == (FINDING,)
    assert bounded([past], blame(CAUSE)) == (past,)
