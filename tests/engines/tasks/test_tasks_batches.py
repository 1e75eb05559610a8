"""So many tasks are walked together as stand still for so long."""

from __future__ import annotations

from typing import Any

from concview.engines.direct.tasks import tracker as tracking
from concview.engines.direct.tasks.tracker import TaskTracker


class Walks:
    """A tracker whose walks are lost from a certain size on."""

    def __init__(self, most: int, tasks: int = 100) -> None:
        self.sizes: list[int] = []
        tracker: Any = TaskTracker.__new__(TaskTracker)
        tracker._moved, tracker._pending = dict.fromkeys(range(tasks)), {}
        tracker._batch, tracker.filled, tracker.unseen = tracking._BATCH, True, 0
        tracker._random = type("Random", (), {"shuffle": lambda self, items: None})()
        tracker._walk = self.walk
        self.tracker, self.most = tracker, most

    def walk(self, now: int, batch: list[int]) -> int:
        self.sizes.append(len(batch))
        return len(batch) // 2 if len(batch) > self.most else 0

    def look(self) -> list[int]:
        self.sizes = []
        self.tracker._work(0)
        return self.sizes


def test_batches_shrink_while_tasks_move_under_the_walk_and_grow_again() -> None:
    walks = Walks(most=10)
    first = walks.look()
    assert first[0] == tracking._BATCH and min(first) <= 10 and sum(first) == 100
    walks.most = 0
    walks.look()
    assert walks.tracker._batch == tracking._LEAST_BATCH
    walks.most = 1000
    while walks.tracker._batch < tracking._BATCH:
        before = walks.tracker._batch
        walks.look()
        assert walks.tracker._batch > before
    assert walks.look() == [64, 36]


def test_a_few_that_were_walked_together_say_nothing_of_many() -> None:
    walks = Walks(most=1000, tasks=3)
    walks.tracker._batch = 4
    walks.look()
    assert walks.tracker._batch == 4
