"""Who waits for a second connection while it has one: by a `with` around the one that asks, or called back by the
library that works with one."""

from __future__ import annotations

import pytest
from build import Scene, frame, recv, stdlib, waits_for

from concview.analysis.blame.tracker import Tracker
from concview.analysis.second import has_one
from concview.analysis.window import Window
from concview.catalogue.rules.connection_starvation import RULE
from concview.catalogue.rules.pool_leak import RULE as LEAK
from concview.model import Frame
from concview.source.uses import Uses
from concview.source.wakes import Wakes

TEXT = """\
def audit(what):
    with engine.connect() as c:
        c.execute(what)
def handle(n):
    with engine.connect() as c:
        c.execute(n)
        audit(n)
def listing():
    with other.connect() as c:
        audit(1)
def plain():
    audit(1)
"""
LINES = TEXT.split("\n")
LIBRARY = "/site-packages/sqlalchemy"
POOL = [
    stdlib("Condition.wait", "threading.py"),
    frame("QueuePool._do_get", 155, f"{LIBRARY}/pool/impl.py", "library"),
    frame("Engine.connect", 3279, f"{LIBRARY}/engine/base.py", "library"),
]
AUDIT = frame("audit", 2, text="with engine.connect() as c:")
FLUSH = frame("Session.flush", 4626, f"{LIBRARY}/orm/session.py", "library")


def source(file: str) -> list[str]:
    return LINES if file == AUDIT.file else []


@pytest.mark.parametrize(("outer", "has"), [
    ([frame("handle", 7)], True),
    ([FLUSH, frame("save", 90)], True),
    ([frame("listing", 10)], False),  # of another pool
    ([frame("plain", 12)], False),
    ([frame("handle", 4)], False),
])  # fmt: skip
def test_who_has_one_already(outer: list[Frame], has: bool) -> None:
    scene = Scene(rules={})
    tid = scene.thread("w-0")
    scene.do(tid, [*POOL, AUDIT, *outer], waits_for(0x10, via="Condition.wait"))
    scene.play(0.1)
    run = scene.history.threads[tid].current
    assert run is not None and has_one(run.stack, Uses(source).file) == has


@pytest.mark.parametrize("busy", [False, True])
def test_where_each_has_one_nobody_gets_a_second(busy: bool) -> None:
    """But where another thread is at work with the library, that may give one back."""
    scene = Scene(rules={RULE.id: RULE, LEAK.id: LEAK})
    for n in range(3):
        wait = waits_for(0x10, via="Condition.wait", kind="Condition")
        scene.do(scene.thread(f"w-{n}"), [*POOL, AUDIT, frame("handle", 7)], wait)
    if busy:
        cursor = frame("Cursor.execute", 1, f"{LIBRARY}/engine/cursor.py", "library")
        scene.do(scene.thread("report"), [cursor, frame("report", 70)], recv())
    scene.play(9)
    found = Tracker(Wakes(source)).blame(Window(scene.history))
    assert found is not None
    assert (found.verdict == "stuck" and "3 threads have one and wait for a second one" in found.sentence) != busy
    window = Window(scene.history, lines_of=source)
    assert not list(LEAK.observe(window)), "each is with a thread that would give it back"
    (one,) = RULE.observe(window)
    assert "3 of them have one and wait for a second one" in one.summary
    assert one.fix.startswith("Hand the connection on")
