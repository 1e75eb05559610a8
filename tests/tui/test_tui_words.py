"""Words that say something once."""

from __future__ import annotations

import fake
import msgspec
import pytest

from concview.model import State
from concview.tui.views.locks import _object
from concview.tui.views.process import _sampling
from concview.tui.widgets.groups import _reason
from concview.tui.widgets.threads import doing


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        (State.SLEEP, "sleeps", "sleeps"),
        (State.RUNNING, "running", "running"),
        (State.GIL, "waits for the GIL", "waits for the GIL"),
        (State.IO, "recvfrom db:5432", "I/O: recvfrom db:5432"),
    ],
)
def test_what_a_holder_does_is_said_once(state: State, reason: str, said: str) -> None:
    assert doing(msgspec.structs.replace(fake.busy(4).threads[0], state=state, reason=reason)) == said


def test_a_group_does_not_repeat_its_state() -> None:
    one = msgspec.structs.replace(fake.busy(4).threads[0], state=State.RUNNING, reason="running", alive=True)
    assert _reason([one, one], State.RUNNING) == "2 threads: 2 running"


def test_no_more_is_missed_than_was_due() -> None:
    snapshot = msgspec.structs.replace(fake.busy(4), samples=800, misses=1_200)
    assert dict(_sampling(snapshot))["missed"] == "1200 (60.00 %)"


def test_an_address_that_is_not_known_is_not_shown() -> None:
    lock = fake.busy(4).locks[0]
    assert _object(msgspec.structs.replace(lock, kind="Lock", address=0x7F00)) == "Lock at 0x7f00"
    assert "0x" not in _object(msgspec.structs.replace(lock, kind="", address=0))
