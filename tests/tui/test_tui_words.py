"""Words that say something once."""

from __future__ import annotations

import fake
import msgspec
import pytest

from concview.model import State
from concview.tui.theme import _ansi_palette
from concview.tui.verdict import sentences
from concview.tui.views.locks import _holder, _object, holders_now
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


def test_who_has_the_connections_of_a_pool_stands_in_the_view_of_locks() -> None:
    """Nobody holds the condition that is waited at; what the waiting threads need, others have."""
    snapshot = fake.busy(6)
    first, second, third, fourth = (t.tid for t in snapshot.threads[:4])
    threads = tuple(
        msgspec.structs.replace(t, blocked_by=0, held_by={third: first, fourth: second}.get(t.tid, 0))
        for t in snapshot.threads
    )
    lock = msgspec.structs.replace(
        snapshot.locks[0], kind="Condition", holder_now=0, waiting=(third, fourth), waiters_now=2
    )
    snapshot = msgspec.structs.replace(snapshot, threads=threads, locks=(lock,))
    palette = _ansi_palette(True)
    assert [t.tid for t in holders_now(lock, snapshot)] == [first, second]
    (cell,) = _holder(lock, 14, palette, snapshot)
    assert cell.text == f"{threads[0].name} +1".ljust(14)
    free = msgspec.structs.replace(lock, waiting=(first,))
    assert _holder(free, 14, palette, snapshot)[0].text.strip() == "not known"
    shared = msgspec.structs.replace(free, kind="multiprocessing.Lock")
    assert _holder(shared, 16, palette, snapshot)[0].text.strip() == "another process"


def test_lines_become_sentences_where_they_stand_behind_one_another() -> None:
    assert sentences(["Its 1 process was not looked at: concview check --tree 7", "", "21 cannot be judged here."]) == (
        "Its 1 process was not looked at: concview check --tree 7. 21 cannot be judged here."
    )
