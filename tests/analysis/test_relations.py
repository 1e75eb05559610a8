"""Reports of who has to do with what threads wait for: through the stream, and kept over time."""

import io
from typing import Any

from concview import codec
from concview.analysis.history import History
from concview.analysis.relations import REPORTS
from concview.analysis.replay_buffer import ReplayBuffer
from concview.analysis.window import Window
from concview.model import (
    Child,
    Children,
    FileLock,
    FileLocks,
    Hello,
    Link,
    Links,
    NativeWait,
    NativeWaits,
    Owner,
    Reference,
    Related,
    Relations,
    Target,
    Tick,
    User,
)

HELLO = Hello(codec.STREAM_VERSION, "0", Target(1, "3.13.0", (), 0.0), "direct", 100, 5, 1, 0.0, {})
REFERENCE = Reference(
    12, 1, "local", "pool._cond", "work", "a.py", 7, (4, 20), True, "get", 5, "put", 9, "put", "body", True
)
OBJECT = Related(4096, "Condition", "Condition", "self._cond", (11,), 1, references=(REFERENCE,), complete=True, lent=2)
EVENTS = [
    Relations(10, (OBJECT,), 3, 3),
    Links(10, (Link(5, "unix", (11,), 77, True, (6,), 78, (User(12, "self", "self.sock", "peer", "a.py", 3),),
                    (Owner(99, "worker", "write"),), True, 0, 0, 5, 0, "a", "b", "client"),)),
    FileLocks(10, (FileLock("/tmp/x", "flock", "WRITE", (11,), 99, "other", (User(12, "call"),), (98,), 0, -1, 5),)),
    Children(10, (Child(99, "sleep", "S", (11,), "write", 1, "pipe:[7]", True, 0.5),)),
    NativeWaits(10, (NativeWait(11, 4096, "libc.so.6", "/lib/libc.so.6", 5, (Owner(99, "x"),), "Lock", 99),)),
]  # fmt: skip


def test_round_trip_and_the_strings_in_them_are_cleaned() -> None:
    out = io.BytesIO()
    writer = codec.Writer(out)
    evil = "\x1b[31m"
    hostile = Relations(11, (Related(1, evil, evil, evil, (), references=(Reference(1, 0, evil, evil, "", "", 1),)),))
    for event in (HELLO, *EVENTS, hostile):
        writer.add(event)
    writer.flush()
    out.seek(0)
    try:
        for events in codec.read_blocks(out):
            got: list[Any] = events
    except codec.Damaged:
        pass  # no farewell
    assert got[1:-1] == EVENTS
    assert "\x1b" not in repr(got[-1]) and "\\x1b" in got[-1].objects[0].name


def test_the_report_of_a_moment_is_the_last_one_before_it() -> None:
    history = History()
    history.apply(HELLO)
    assert not history.relations.told and history.relations.objects() == ()
    for at in range(10, 10 * (REPORTS + 20), 10):
        history.apply(Relations(at, (OBJECT,) if at % 20 else ()))
    end = 10 * (REPORTS + 19)
    assert history.relations.told
    assert bool(history.relations.objects()) is bool(end % 20)
    assert bool(history.relations.objects(end - 5)) is not bool(end % 20)
    reports = history.relations.reports(Relations, end - 35, end - 10)
    assert [r.at_ns for r in reports] == [end - 40, end - 30, end - 20, end - 10]
    assert len(history.relations.reports(Relations)) == REPORTS
    history.apply(Relations(5, ()))  # time runs backwards in a recording that somebody made up
    assert history.relations.at(Relations).at_ns == end


def test_looking_back_shows_what_was_known_then() -> None:
    history, rolling = History(), ReplayBuffer()
    later: list[Any] = [Tick(20, 10, 0, False, ()), Relations(30, ()), Tick(40, 10, 0, False, ())]
    for event in (HELLO, *EVENTS, *later):
        history.apply(event)
        rolling.add(event, history)
    past = rolling.plan(history, 20, 20, 20).build()
    assert Window(past).relations == (OBJECT,)
    assert past.relations.links() and past.relations.file_locks() and past.relations.children()
    assert Window(history).relations == () and history.relations.natives()
