"""accept-backlog: connections in the kernel's queue, and who should take them out."""

from __future__ import annotations

from build import LOOP, RUNNING, SELECT, SLEEP, Scene, frame, recv

from concview.analysis.accept_queues import queues
from concview.model import (
    AcceptQueue,
    AcceptQueues,
    Confidence,
    Finding,
    Peer,
    Severity,
    User,
    Wait,
    WaitKind,
)

AT = "127.0.0.1:8000"
ACCEPTS = Wait(WaitKind.IO, "accept4", 3, Peer("tcp", AT, AT, "LISTEN"))
RULE = "accept-backlog"


class Port:
    """A socket that listens; reported at each look of a scene, twice a second."""

    def __init__(self, scene: Scene, **more: object) -> None:
        self.scene, self.more = scene, more
        self.waiting, self.since_ns, self.refused, self._at = 0, 0, 0, 0.0

    def look(self, at: float) -> None:
        if at < self._at:
            return
        self._at = at + 0.5
        queue = AcceptQueue(
            77,
            "tcp",
            AT,
            (3,),
            self.waiting,
            100,
            self.refused,
            self.since_ns,
            **self.more,  # type: ignore[arg-type]
        )
        self.scene.history.apply(AcceptQueues(self.scene.now_ns, (queue,)))

    def come(self, number: int) -> None:
        self.waiting = number
        self.since_ns = self.scene.now_ns if number else 0


def _told(scene: Scene) -> Finding:
    finding = scene.found(RULE)
    assert finding is not None
    return finding


def test_one_that_accepts_and_is_busy() -> None:
    scene = Scene()
    server = scene.thread("server")
    port = Port(scene)
    scene.do(server, [frame("serve", 20)], ACCEPTS)
    scene.play(2, port.look)
    scene.do(server, [frame("answer", 30), frame("serve", 21)], recv())
    port.come(3)
    scene.play(7, port.look)
    found = _told(scene)
    assert (found.severity, found.confidence, found.threads) == (Severity.WARN, Confidence.EXACT, (server,))
    assert found.title == f"3 connections wait at {AT}, and nobody accepts them"
    assert "server, the only thread of this process that accepts there, is mostly in app.py:30" in found.summary
    assert found.measured.value >= 5


def test_short_stays_in_the_queue_are_the_queues_purpose() -> None:
    """Always somebody there, and never the same for long."""
    scene = Scene()
    server = scene.thread("server")
    port = Port(scene)
    scene.do(server, [frame("answer", 30)], RUNNING)

    def others(at: float) -> None:
        if at >= port._at:
            port.come(4)
        port.look(at)

    scene.play(12, others)
    assert scene.ever() == set()
    (window,) = queues(scene.history, scene.now_ns - 5_000_000_000, scene.now_ns)
    assert (window.most, window.waited_s, round(window.mean)) == (4, 0.0, 4)


def test_a_full_queue_weighs_more() -> None:
    scene = Scene()
    scene.do(scene.thread("server"), [frame("answer", 30)], recv())
    port = Port(scene)
    port.come(101)

    def refuse(at: float) -> None:
        port.refused = int(3 * at)
        port.look(at)

    scene.play(4, refuse)
    found = _told(scene)
    assert found.score >= 90 and "room for 101, and was full" in found.summary and "turned away" in found.summary


def test_one_that_was_turned_away_has_waited_a_second() -> None:
    scene = Scene()
    scene.do(scene.thread("server"), [frame("answer", 30)], RUNNING)
    port = Port(scene)
    scene.play(2, port.look)
    port.refused = 4
    scene.play(6, port.look)
    assert _told(scene).severity is Severity.INFO


def test_an_event_loop_that_watches_the_socket() -> None:
    scene = Scene()
    scene.do(scene.thread("other"), [frame("sleep", 5)], SLEEP)
    loop = scene.thread("loop")
    scene.do(loop, [frame("blocked", 40), *LOOP], recv())
    port = Port(scene, epolls=(9,), users=(User(loop + 100, "local", "s"),))
    port.come(2)
    scene.play(6, port.look)
    assert (_told(scene).threads, _told(scene).confidence) == ((loop,), Confidence.EXACT)


def test_waiting_in_that_epoll_is_to_accept() -> None:
    scene = Scene()
    loop = scene.thread("loop")
    scene.do(scene.thread("other"), [frame("sleep", 5)], SLEEP)
    port = Port(scene, epolls=(SELECT.fd,))
    scene.do(loop, [frame("run", 1)], SELECT)
    scene.play(1, port.look)
    scene.do(loop, [frame("blocked", 40)], recv())
    port.come(2)
    scene.play(6, port.look)
    assert _told(scene).threads == (loop,)


def test_who_only_made_the_socket_for_others_is_not_meant() -> None:
    """A master with workers that accept."""
    scene = Scene()
    scene.do(scene.thread("MainThread"), [frame("wait", 50)], SLEEP)
    port = Port(scene, shared=(500, 501), users=(User(101, "global", "server"),))
    port.come(5)
    scene.play(8, port.look)
    assert scene.ever() == set()


def test_a_socket_that_nobody_accepts_at() -> None:
    scene = Scene()
    for number in range(2):
        scene.do(scene.thread(f"t-{number}"), [frame("sleep", 5)], SLEEP)
    port = Port(scene)
    port.come(1)
    scene.play(6, port.look)
    assert "No thread of this process is seen to accept there" in _told(scene).summary


def test_those_that_have_the_socket_in_a_frame() -> None:
    scene = Scene()
    scene.do(scene.thread("other"), [frame("sleep", 5)], SLEEP)
    server = scene.thread("server")
    scene.do(server, [frame("answer", 30)], recv())
    port = Port(scene, users=(User(server, "local", "self.sock", "serve", "/srv/app.py", 20),))
    port.come(1)
    scene.play(6, port.look)
    assert (_told(scene).threads, _told(scene).confidence) == ((server,), Confidence.INFERRED)


def test_it_is_over_when_they_are_accepted() -> None:
    scene = Scene()
    server = scene.thread("server")
    port = Port(scene)
    scene.do(server, [frame("answer", 30)], recv())
    port.come(3)
    scene.play(6, port.look)
    assert scene.found(RULE) is not None
    port.come(0)
    scene.do(server, [frame("serve", 20)], ACCEPTS)
    scene.play(20, port.look)
    found = scene.found(RULE)
    assert found is None or found.recent


def test_who_was_turned_away_where_nobody_was_seen_to_wait() -> None:
    scene = Scene()
    server = scene.thread("server")
    port = Port(scene)
    scene.do(server, [frame("serve", 20)], ACCEPTS)
    scene.play(3, port.look)
    port.refused = 4
    scene.play(3, port.look)
    finding = _told(scene)
    assert finding.title == f"4 attempts to connect to {AT} were turned away: the queue was full"
    assert "Nobody was seen to wait" in finding.summary
