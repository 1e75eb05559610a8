"""A picture tells of one moment: a window that was judged before it must not say otherwise."""

from __future__ import annotations

from concview.analysis.classify import classify
from concview.analysis.history import History
from concview.analysis.records import Run, ThreadHistory
from concview.analysis.window import Window
from concview.catalogue.judge import Judgement
from concview.model import (
    Capability,
    Confidence,
    Depths,
    Frame,
    Hello,
    Hold,
    Peer,
    QueueDepth,
    Site,
    Stack,
    Target,
    Wait,
    WaitKind,
)
from concview.session.compose import Composer
from concview.session.phrases import lasting

LOCK = 0x1000
SITE = Site("self._lock", "/srv/cache.py", 41, "Cache.get", "/srv/cache.py::Cache")
STACK = Stack((Frame("Cache.get", "/srv/cache.py", 42, "self._load()"),))
HELD = (Hold(LOCK, "Lock", SITE, Confidence.EXACT),)
SOCKET = Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "127.0.0.1:5432"))
WAITS = Wait(WaitKind.FUTEX, "futex", lock=LOCK, lock_kind="Lock")


def does(history: History, tid: int, wait: Wait, holds: tuple[Hold, ...]) -> None:
    history.now_ns += 10_000_000
    thread = history.threads.setdefault(tid, ThreadHistory(tid, f"web-{tid}", 1, 0, False))
    thread.change(history.now_ns, Run(history.now_ns, STACK, wait, holds, classify(wait, STACK)))


def test_who_waits_for_whom_is_told_of_the_moment_of_the_reasons() -> None:
    history = History()
    able = {"held-locks": Capability(True)}
    history.apply(Hello(1, "0", Target(1, "3.13.0", (), 0.0), "direct", 100.0, 5.0, 1, 0.0, able))
    does(history, 5, SOCKET, HELD)
    does(history, 6, WAITS, ())
    composer = Composer(live=True)
    window = Window(history)
    before = composer.compose(history, window, Judgement(), False)
    (chain,) = before.chains
    assert chain.text == "web-6 waits for web-5, which waits for tcp 127.0.0.1:5432"
    # The lock changes hands; the window is the same for up to a second.
    does(history, 6, SOCKET, HELD)
    does(history, 5, WAITS, ())
    after = composer.compose(history, window, Judgement(), False)
    (chain,) = after.chains
    assert chain.text == "web-5 waits for web-6, which waits for tcp 127.0.0.1:5432"
    reasons = {t.tid: t.reason for t in after.threads}
    assert "5432" in reasons[chain.root]
    assert "held by web-6" in reasons[5]
    (lock,) = after.locks
    assert (lock.holder_now, lock.waiting) == (6, (5,))
    # Nobody waits any more: no chain is left standing.
    does(history, 5, SOCKET, ())
    assert composer.compose(history, window, Judgement(), False).chains == ()


def test_peers_and_queues_tell_of_the_same_moment() -> None:
    history = History()
    history.apply(Hello(1, "0", Target(1, "3.13.0", (), 0.0), "direct", 100.0, 5.0, 1, 0.0, {}))
    history.apply(Depths(2, (QueueDepth(0x2000, "Queue", "jobs", 3, 3, 9, 9, 6, (5,)),), ()))
    put = Wait(WaitKind.FUTEX, "futex", lock=0x2000, lock_kind="Queue", via="Queue.put")
    does(history, 5, SOCKET, ())
    does(history, 6, put, ())
    does(history, 5, SOCKET, ())
    composer, window = Composer(live=True), Window(history)
    before = composer.compose(history, window, Judgement(), False)
    assert [p.waiters_now for p in before.peers] == [1] and [q.putting for q in before.depths] == [(6,)]
    does(history, 5, put, ())
    does(history, 6, SOCKET, ())
    after = composer.compose(history, window, Judgement(), False)
    assert [p.waiters_now for p in after.peers] == [1] and [q.putting for q in after.depths] == [(5,)]
    does(history, 6, put, ())
    after = composer.compose(history, window, Judgement(), False)
    assert [p.waiters_now for p in after.peers] == [0] and sorted(after.depths[0].putting) == [5, 6]


def test_how_long_is_said_as_well_as_it_is_known() -> None:
    history = History()
    history.apply(Hello(1, "0", Target(1, "3.13.0", (), 0.0), "direct", 100.0, 5.0, 1, 0.0, {}))
    does(history, 5, SOCKET, ())
    run = history.threads[5].current
    assert run is not None
    composer = Composer(live=True)

    def said() -> str:
        return lasting(composer.compose(history, None, Judgement(), False).threads[0])

    history.now_ns += 3_000_000_000
    assert said() == "3.0 s"
    run.wake(history.now_ns, 200_000_000)
    assert said() == "<200 ms"
    history.now_ns += 5_000_000_000
    assert said() == "5.0 s"
