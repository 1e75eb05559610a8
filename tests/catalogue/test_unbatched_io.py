"""unbatched-io: many little exchanges, and what only looks like them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from build import DB, RUNNING, SLEEP, Scene, frame, recv

from concview.catalogue.rules.unbatched_io import RULE
from concview.model import Frame, Peer, Severity, Wait

SEND = frame("insert", 26, text='db.sendall(row + b"\\n")')
ANSWER = frame("insert", 27, text="db.recv(100)")
FETCH = frame("report", 30, text="row = cursor.fetchone()")


def exchanges(
    scene: Scene, sends: Frame, answers: Frame, wait: Wait, per_tick: int = 20, asleep: float = 0.3
) -> Callable[[float], None]:
    """A thread that asks and waits in turn, `per_tick` exchanges from sample to sample."""
    tid = scene.thread("importer")

    def script(at: float) -> None:
        tick = round(at * 100)
        if at % 1.0 < asleep:
            scene.do(tid, [frame("importer", 50)], SLEEP)
            return
        for _ in range(per_tick):
            scene.switch(tid)
        scene.do(tid, [sends if tick % 3 == 0 else answers], RUNNING if tick % 3 == 0 else wait)

    return script


def scene_of() -> Scene:
    return Scene(rules={"unbatched": RULE})


def test_fires_on_the_line_and_the_peer() -> None:
    scene = scene_of()
    scene.play(8, exchanges(scene, SEND, ANSWER, recv()))
    finding = scene.found("unbatched-io")
    assert finding is not None
    assert finding.severity is Severity.WARN
    assert "127.0.0.1:5432" in finding.summary and "db.recv(100)" in finding.summary
    assert finding.measured.value == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("sends", "answers", "wait", "per_tick"),
    [
        (FETCH, FETCH, recv(), 20),  # a cursor that is read
        (SEND, ANSWER, recv(), 2),  # 5 ms each: it is the other side that takes its time
        (SEND, ANSWER, recv(peer=Peer("pipe", "pipe:[1]")), 20),
        (SEND, ANSWER, recv(peer=None), 20),
        (frame("compute", 3, text="total += x"), ANSWER, SLEEP, 20),
    ],
)
def test_what_is_no_exchange(sends: Frame, answers: Frame, wait: Wait, per_tick: int) -> None:
    scene = scene_of()
    scene.play(8, exchanges(scene, sends, answers, wait, per_tick))
    assert scene.ever() == set()


def test_several_peers_are_a_fan_out() -> None:
    scene = scene_of()
    one = exchanges(scene, SEND, ANSWER, recv())
    other = Peer("tcp", "127.0.0.1:6379")

    def script(at: float) -> None:
        one(at)
        if round(at * 100) % 6 == 1:
            scene.do(101, [ANSWER], recv(8, other if at % 2 < 1 else DB))

    scene.play(8, script)
    assert scene.ever() == set()


def test_a_thread_that_rests_after_every_exchange_is_paced_by_that() -> None:
    """Also where a busy machine makes the exchanges last longer than the rests."""
    scene = scene_of()
    one = exchanges(scene, SEND, ANSWER, recv(), asleep=0)

    def script(at: float) -> None:
        one(at)
        if round(at * 100) % 4 == 1:
            scene.do(101, [frame("ask", 50)], SLEEP)

    scene.play(8, script)
    assert scene.ever() == set()


def test_a_line_that_sends_is_enough_however_rarely_it_is_seen() -> None:
    """Where the other side lacks a CPU, nearly all the time goes into the answer."""
    scene = scene_of()
    tid = scene.thread("importer")

    def script(at: float) -> None:
        for _ in range(20):
            scene.switch(tid)
        sends = round(at * 100) % 200 == 7
        scene.do(tid, [SEND if sends else ANSWER], recv() if round(at * 100) % 3 else RUNNING)

    scene.play(8, script)
    assert scene.found("unbatched-io") is not None
