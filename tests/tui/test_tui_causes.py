"""The tree of causes: roots first, nothing cut, and what the verdict at the top says without a finding."""

from __future__ import annotations

import fake
import msgspec
import pytest
from rich.segment import Segment

from concview.model import Severity
from concview.snapshot import Blame
from concview.tui.theme import _ansi_palette
from concview.tui.verdict import verdict
from concview.tui.widgets.causes import blame_legend, tree_lines, worth_drawing
from concview.tui.widgets.columns import layout
from concview.tui.widgets.threads import COLUMNS, columns_of, fit_cause


def told(lines: list[list[Segment]]) -> list[str]:
    return ["".join(segment.text for segment in line) for line in lines]


def blame() -> Blame:
    found = fake.held_up().blame
    assert found is not None
    return found


def test_roots_come_first_and_who_waits_is_below_whom_it_waits_for() -> None:
    lines, spots = tree_lines(blame(), 100, _ansi_palette(True), 6)
    assert told(lines) == [
        " 60 %  peer: sleeps (peer.py:18)",
        "       ← 1.2 threads (web) wait for the other end of a connection (db.py:7), inferred",
        "         ← 7.2 threads (web) wait for self._lock (cache.py:41)",
    ]
    assert [(s.view, s.subject) for s in spots] == [("thread", 4242)]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("room", [1, 2, 3, 9])
def test_lines_are_whole_and_no_more_than_there_is_room(width: int, room: int) -> None:
    lines, _ = tree_lines(blame(), width, _ansi_palette(True), room)
    assert 1 <= len(lines) <= room
    assert all(len(line) <= width and "…" not in line for line in told(lines))


def test_the_legend_names_every_part_that_is_there() -> None:
    (line,) = told(blame_legend(blame(), 120, _ansi_palette(True)))
    parts = ("own work", "held up", "waits for others", "a CPU", "unexplained", "idle")
    assert [word for word in parts if word in line] == [p for p in parts if p != "a CPU"]
    assert worth_drawing(blame())
    assert not worth_drawing(msgspec.structs.replace(blame(), held_up=0.0, waits=0.0, unexplained=0.0))


def test_without_a_finding_the_verdict_is_what_blame_says() -> None:
    picture = msgspec.structs.replace(fake.healthy(), blame=blame())
    said = verdict(picture)
    assert (said.word, said.tone) == ("HELD UP", "error") and said.sentence.startswith("Held up, 72 %")
    unread = msgspec.structs.replace(blame(), verdict="unreadable", severity=None, sentence="No verdict: 80 %.")
    said = verdict(msgspec.structs.replace(picture, blame=unread))
    assert (said.word, said.sentence) == ("UNKNOWN", "No verdict: 80 %.")
    quiet = msgspec.structs.replace(blame(), verdict="clear", severity=None, sentence="Clear: held up 0 %.")
    said = verdict(msgspec.structs.replace(picture, blame=quiet))
    assert said.word == "CLEAR" and said.more.startswith("Clear: held up 0 %.")
    watches = msgspec.structs.replace(
        blame(), verdict="watches", severity=None, sentence="It only waits for 2 workers."
    )
    said = verdict(msgspec.structs.replace(picture, blame=watches))
    assert (said.word, said.sentence) == ("WATCHES", "It only waits for 2 workers."), "nothing is clear of the service"
    hint = msgspec.structs.replace(blame(), severity=Severity.INFO)
    assert verdict(msgspec.structs.replace(picture, blame=hint)).tone == "warn"


def test_the_end_of_the_way_stays_however_narrow_it_is() -> None:
    because = "self._lock (lock) (cache.py:41) <- answer (answer) (db.py:7) <- sleeps (peer.py:18)"
    for width in (24, 30, 40, 60, 100):
        said = fit_cause(because, "sleeps (peer.py:18)", width)
        assert len(said) == width and "sleeps (peer.py:18)" in said and ("self" in said or width < 30)


@pytest.mark.parametrize("width", [132, 140, 160])
def test_the_reason_has_the_room_that_the_cause_does_not_need(width: int) -> None:
    reason, root = "waits for room in done: Queue(maxsize=4), 4 in it", "sleeps (x.py:14)"
    waiter = msgspec.structs.replace(
        fake.held_up().threads[0], reason=reason, because=f"room in done (x.py:10) <- {root}", root=root, waiting=0
    )
    picture = msgspec.structs.replace(fake.held_up(), threads=(waiter,))
    widths = {c.id: cells for c, cells in layout(columns_of(picture, width, COLUMNS), width)}
    assert widths["why"] >= len(reason) and widths["cause"] >= len(root)
