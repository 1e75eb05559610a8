"""The points of a time line are the same however seldom pictures are made."""

from __future__ import annotations

from concview.analysis.history import History
from concview.catalogue.judge import Judgement
from concview.model import (
    AnyEvent,
    Counters,
    Hello,
    Stats,
    Target,
    ThreadCounters,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)
from concview.session.compose import Composer

SECOND = 1_000_000_000


def events(seconds: int) -> list[AnyEvent]:
    """Two threads: one runs in every other second, one sleeps; the second one comes after five seconds."""
    out: list[AnyEvent] = [
        Hello(3, "0", Target(7, "3.12.1", ("/srv/app.py",), 1.7e9), "direct", 10, 5, SECOND, 1.7e9, {}),
        WaitDef(1, Wait(WaitKind.SLEEP)),
        WaitDef(2, Wait(WaitKind.RUNNING)),
        ThreadDef(100, "a"),
    ]
    cpu = 0
    for tick in range(1, seconds * 10 + 1):
        at = SECOND + tick * SECOND // 10
        runs = tick // 10 % 2
        rows = [100, 0, 1 + runs, 0]
        cpu += runs * SECOND // 10
        if tick >= 50:
            rows += [200, 0, 1, 0]
        if tick == 50:
            out.append(ThreadDef(200, "b"))
        out.append(Tick(at, SECOND // 10, 0, False, tuple(rows)))
        if tick % 2 == 0:
            each = [ThreadCounters(100, cpu, 0, tick, 0)]
            if tick >= 50:
                each.append(ThreadCounters(200, 0, 0, tick, 0))
            out.append(Counters(at, cpu / 1e9, 0.0, 10**8, 20, len(each), tuple(each)))
            out.append(Stats(at, tick, 0, 0, 0, 0, 10, 10, 1.0))
    return out


def test_points_do_not_depend_on_how_often_they_are_asked_for() -> None:
    often, seldom = History(), History()
    each, once = Composer(live=False), Composer(live=False)
    for event in events(40):
        often.apply(event)
        seldom.apply(event)
        each.compose(often, None, Judgement(), ended=False)
    once.compose(seldom, None, Judgement(), ended=True)
    assert len(each.points) > 60
    assert once.points == each.points
    running = [p.states[0] for p in once.points[-20:]]
    assert (min(running), max(running)) == (0.0, 0.5)
