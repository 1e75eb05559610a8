"""unbatched-io: many little exchanges, and what only looks like them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from build import DB, RUNNING, SLEEP, Scene, frame, recv

from concview.catalogue.rules.unbatched_io import RULE
from concview.model import Frame, Label, LabelDef, Peer, Severity, Wait, Work, WorkItem, WorkKind

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


PAGE = frame("page", 9, text="return [db.execute(CUSTOMER, (i,)).fetchone() for i in orders]")
CUSTOMER = "SELECT name FROM customers WHERE id = ?"


@pytest.mark.parametrize(
    ("names", "per_tick", "title"),
    [
        ([CUSTOMER], 20, "The same query"),
        ([CUSTOMER], 2, "The same query"),  # over a network: 200 a second
        ([CUSTOMER, CUSTOMER, "SELECT id FROM orders"], 2, "The same query"),  # whose rows are gone through
        ([CUSTOMER, "SELECT a FROM b", "SELECT c FROM d"], 20, "exchanges a second"),
        ([CUSTOMER, "SELECT a FROM b", "SELECT c FROM d"], 2, ""),  # a page that asks for this and that
        (["INSERT INTO t VALUES (?)"], 20, "exchanges a second"),
        (["INSERT INTO t VALUES (?)"], 2, ""),
    ],
)
def test_a_query_for_each_row_of_another_one(names: list[str], per_tick: int, title: str) -> None:
    scene = scene_of()
    for number, name in enumerate(dict.fromkeys(names), 1):
        scene.history.apply(LabelDef(number, Label(WorkKind.QUERY, "psycopg", name)))
    ids = {name: number for number, name in enumerate(dict.fromkeys(names), 1)}
    one = exchanges(scene, PAGE, PAGE, recv(), per_tick, asleep=0)

    def script(at: float) -> None:
        one(at)
        tick = round(at * 100)
        if tick % 25 == 0:
            label = ids[names[tick // 25 % len(names)]]
            scene.history.apply(Work(scene.history.now_ns, (WorkItem(tick + 1, label, 0, 0, (101,)),)))

    scene.play(8, script)
    finding = scene.found("unbatched-io")
    assert (finding is not None) == bool(title)
    if finding is not None:
        assert title in finding.title
        assert ("N+1" in finding.summary) == finding.fix.startswith("Ask for all") == title.startswith("The same")


def test_a_batch_that_rests_between_its_queries_is_none() -> None:
    scene = scene_of()
    scene.history.apply(LabelDef(1, Label(WorkKind.QUERY, "psycopg", CUSTOMER)))
    one = exchanges(scene, PAGE, PAGE, recv(), 2, asleep=0.6)

    def script(at: float) -> None:
        one(at)
        if round(at * 100) % 25 == 0:
            scene.history.apply(Work(scene.history.now_ns, (WorkItem(int(at * 100) + 1, 1, 0, 0, (101,)),)))

    scene.play(8, script)
    assert scene.ever() == set()
