"""Queues over time: rates from counters with gaps, growth, bounds of memory."""

import pytest

from concview import codec
from concview.analysis.classify import Classification
from concview.analysis.history import History
from concview.analysis.queues import MAX_QUEUES, POINTS, Point, QueueHistories, growth, rate
from concview.analysis.records import Run
from concview.model import NO_STACK, Depths, Hello, PoolDepth, QueueDepth, State, Target, Wait, WaitKind
from concview.session.queues import queue_words

S = 1_000_000_000


def depth(size: int, address: int = 0xA0, kind: str = "Queue", most: int = 0, puts: int = -1, gets: int = -1) -> Depths:
    return Depths(0, (QueueDepth(address, kind, "jobs", size, most, 0, puts, gets, (1,)),))


def test_rate_leaves_out_what_was_not_counted() -> None:
    puts = [0, 10, -1, 500, 520]
    points = [Point(i * S, 0, total, 0) for i, total in enumerate(puts)]
    assert rate(points, lambda p: p.puts) == 15.0  # ten in the first second, twenty in the last
    assert rate(points[1:4], lambda p: p.puts) is None
    assert rate([], lambda p: p.puts) is None
    assert rate([Point(0, 0, 9, 0), Point(S, 0, 1, 0)], lambda p: p.puts) is None, "another queue at its address"


@pytest.mark.parametrize(
    ("sizes", "grows"),
    [
        ([10 * i for i in range(40)], True),
        ([5000 - 10 * i for i in range(40)], False),
        ([10 * i for i in range(20)] + [200 - 10 * i for i in range(20)], False),
        ([100 * (i % 10) for i in range(40)], False),
        ([100] * 40, False),
        ([1, 2, 3], False),
    ],
)
def test_growth_must_go_on_all_the_time(sizes: list[int], grows: bool) -> None:
    mean, least = growth([Point(i * S, size, -1, -1) for i, size in enumerate(sizes)])
    assert (least > 0) is grows
    if grows:
        assert mean == pytest.approx(10, rel=0.05) and least == pytest.approx(10, rel=0.1)


def test_memory_is_bounded_and_addresses_are_used_again() -> None:
    known = QueueHistories()
    for i in range(POINTS + 50):
        known.add(Depths(i * S, tuple(QueueDepth(a, "Queue", "", i, 0, 0, i, i) for a in range(MAX_QUEUES + 10))))
    windows = known.window(0, (POINTS + 50) * S)
    assert len(windows) == MAX_QUEUES and all(len(w.points) == POINTS for w in windows)
    now = (POINTS + 50) * S
    known.add(Depths(now, (QueueDepth(0, "LifoQueue", "", 3, 5, 0, -1, -1),)))
    (same,) = [w for w in known.window(0, now) if w.address == 0]
    assert len(same.points) == 1 and same.size == 3, "a queue of another kind is another queue"
    known.add(Depths(now + 100 * S, ()))
    assert known.window(0, now + 100 * S) == []


def test_pools_belong_to_their_queue() -> None:
    known = QueueHistories()
    pool = PoolDepth(0xA0, "web", 4, 4, (1, 2))
    known.add(Depths(S, (QueueDepth(0xA0, "SimpleQueue", "", 7, 0, -1, 5, 5),), (pool,)))
    (one,) = known.window(0, S)
    assert one.pool is not None and one.pool.name == "web" and one.size == 7


@pytest.mark.parametrize(
    ("via", "most", "size", "words"),
    [
        ("Queue.get", 8, 0, "waits for an item of jobs: Queue(maxsize=8), 0 in it"),
        ("Queue.put", 8, 8, "waits for room in jobs: Queue(maxsize=8), 8 in it"),
        ("Queue.get", 0, 1, "waits for an item of jobs: Queue(no bound), 1 in it"),
        ("Event.wait", 0, 1, ""),
    ],
)
def test_what_a_waiting_thread_is_said_to_wait_for(via: str, most: int, size: int, words: str) -> None:
    known = QueueHistories()
    known.add(depth(size, most=most))
    run = Run(0, NO_STACK, Wait(WaitKind.FUTEX, lock=0xA0, via=via), (), Classification(State.IDLE, "", via=via))
    assert queue_words(run, known) == words
    later = Run(5, NO_STACK, Wait(WaitKind.FUTEX, lock=0xA0, via=via), (), Classification(State.IDLE, "", via=via))
    assert queue_words(later, known) == words.partition(",")[0], "read before the wait began"
    other = Run(0, NO_STACK, Wait(WaitKind.FUTEX, lock=0xB0, via=via), (), Classification(State.IDLE, "", via=via))
    assert queue_words(other, known) == ""


def test_recordings_of_the_version_before_are_read() -> None:
    old = Hello(1, "0", Target(1, "3.13.0", (), 0.0), "direct", 100, 5, 0, 0.0, {})
    (event,) = codec.decode_payload(codec.encode_block([old])[12:])
    history = History()
    history.apply(event)
    assert history.hello == old and history.depths.window(0, S) == []


def test_a_hostile_recording_is_cleaned() -> None:
    queue, pool = QueueDepth(1, "Que\x1bue", "a\u202eb", -5, -1, -1, -1, -1, (1,)), PoolDepth(1, "\x07", 0, 0, ())
    (event,) = codec.decode_payload(codec.encode_block([Depths(1, (queue,), (pool,))])[12:])
    assert isinstance(event, Depths)
    assert (event.queues[0].kind, event.queues[0].name, event.pools[0].name) == ("Que\\x1bue", "a\\u202eb", "\\x07")
