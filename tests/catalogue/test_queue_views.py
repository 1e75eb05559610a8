"""Queues as the screen is told of them, from the same scenes that the rules about queues are tested with."""

from __future__ import annotations

import pytest
from build import SLEEP, Scene, frame
from test_queue_rules import ADDRESS, WORKER, Queues, _flow, getting, putting

from concview.analysis.window import Window
from concview.model import PoolDepth
from concview.session.queues import queue_views


def test_depth_rates_and_growth() -> None:
    (view,) = queue_views(Window(_flow(lambda at: 100 + 50 * at).history))
    assert (view.name, view.kind, view.most, view.pool) == ("jobs", "Queue", 0, False)
    assert view.size == pytest.approx(1350, abs=30) and view.sizes[0] < 150 and list(view.sizes) == sorted(view.sizes)
    assert view.put_rate == pytest.approx(100, rel=0.05) and view.get_rate == pytest.approx(50, rel=0.05)
    assert view.growth == pytest.approx(50, rel=0.1)
    (still,) = queue_views(Window(_flow(lambda at: 1000 + 200 * (at % 2)).history))
    assert still.growth == 0.0


def test_who_waits_on_which_side() -> None:
    scene = Scene()
    queue = Queues(scene, most=8)
    producer, consumer, other = scene.thread("producer"), scene.thread("consumer"), scene.thread("other")
    scene.do(producer, *putting())
    scene.do(consumer, *getting())
    scene.do(other, [frame("rest", 5, text="time.sleep(1)")], SLEEP)
    scene.play(3, lambda at: queue.tell(at, 8))
    (view,) = queue_views(Window(scene.history))
    assert view.putting == (producer,) and view.getting == (consumer,)
    assert (view.size, view.most, view.put_rate) == (8, 8, None)


def test_a_pool_and_its_workers() -> None:
    scene = Scene()
    queue = Queues(scene, kind="SimpleQueue")
    busy = scene.thread("worker_0")
    scene.do(busy, [frame("request", 5, text="time.sleep(1)"), *WORKER], SLEEP)
    queue.pool = PoolDepth(ADDRESS, "worker", 4, 1, (busy, 999))
    scene.play(3, lambda at: queue.tell(at, 17))
    (view,) = queue_views(Window(scene.history))
    assert (view.pool, view.name, view.size, view.pool_most) == (True, "worker", 17, 4)
    assert view.workers == (busy,) and view.idle == 0, "999 is not alive"
