"""Who waits in front of the process: the words, the JSON, the metrics."""

from __future__ import annotations

from pathlib import Path

import msgspec

from concview.commands._work import listening_out
from concview.session.work import queues_in_front
from concview.snapshot import ListeningView, Snapshot, Status

QUIET = ListeningView("tcp", "127.0.0.1:80", 0, 0.0, 0, 129, 0, 0.0, 0.0, (), True, ())
BUSY = ListeningView("tcp", "127.0.0.1:8000", 3, 2.5, 4, 129, 0, 4.2, 3.1, (), False, (7,))
FULL = ListeningView("unix", "/run/app.sock", 6, 6.0, 6, 6, 12, 0.01, 0.0, (), False, ())
OVER = ListeningView("tcp", "[::1]:9000", 0, 0.2, 1, -1, -1, 2.0, 0.0, (), True, ())


def _of(*views: ListeningView) -> list[str]:
    return queues_in_front(Snapshot(Status.LIVE, listening=views))


def test_words() -> None:
    assert _of() == []
    assert _of(QUIET) == ["nobody waits to be accepted at 127.0.0.1:80"]
    busy, quiet = _of(BUSY, QUIET)
    assert quiet.startswith("nobody waits")
    assert busy == (
        "3 connections wait to be accepted at 127.0.0.1:8000 (2.5 on average, at most 4; room for 129), the oldest for "
        "more than 3.1 s, one did for more than 4.2 s"
    )
    (full,) = _of(FULL)
    assert full.endswith("room for 6); 12 attempts to connect turned away: the queue was full")
    (over,) = _of(OVER)
    assert over.startswith("nobody waits") and over.endswith("one did for more than 2.0 s")


def test_json_says_null_where_nothing_is_known() -> None:
    over, busy = listening_out(Snapshot(Status.LIVE, listening=(OVER, BUSY)))
    assert (over.limit, over.refused) == (None, None)
    assert (busy.address, busy.waiting, busy.limit, busy.refused, busy.shared) == ("127.0.0.1:8000", 3, 129, 0, [7])
    schema = (Path(__file__).parents[2] / "docs/schema/check-1.json").read_text()
    properties = msgspec.json.decode(schema)["$defs"]["ListeningOut"]["properties"]
    assert set(properties) == set(msgspec.structs.asdict(over))
