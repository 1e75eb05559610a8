"""Whether a task still waits for what it waited for, where the address of its future says nothing."""

from __future__ import annotations

import random
from collections import deque

import pytest

from concview.engines.direct.tasks.wait_order import still


def test_who_stays_keeps_the_place() -> None:
    # The first of four went (a removal counts three), and came back with its future where the last one lay.
    assert still([1, 2, 3, 4], [2, 3, 4, 1], 3 + 1, (3,)) == {2, 3, 4}
    assert still([1, 2, 3, 4], [2, 4], 3 + 3, (3,)) == {2, 4}  # one more was cancelled
    assert still([1, 2], [1, 2, 3], 1, (3,)) == {1, 2}


def test_a_whole_turn_leaves_nobody() -> None:
    """All were served once: they stand as they stood, at the same addresses; the count alone tells."""
    assert still([1, 2, 3], [1, 2, 3], 3 * (3 + 1), (3,)) == set()
    assert still([1, 2, 3], [1, 2, 3], 0, (3,)) == {1, 2, 3}


@pytest.mark.parametrize("cost", [1, 3])
def test_waits_that_are_taken_for_the_same_are_the_same(cost: int) -> None:
    """A row of waiters with its true waits beside it, served and cancelled at random, looked at now and then."""
    choice = random.Random(cost)
    wrong = right = 0
    for _ in range(300):
        row = deque((n, 0) for n in range(choice.randint(2, 12)))
        idle, count, wait = list(range(20, 26)), 0, 0
        for _ in range(20):
            before, then = [n for n, _ in row], (dict(row), count)
            for _ in range(choice.randint(0, 3 * len(row))):
                if row and choice.random() < 0.6:
                    taken = row[0] if cost == 1 or choice.random() < 0.9 else choice.choice(list(row))
                    row.remove(taken)
                    count += cost
                    idle.append(taken[0])
                elif idle:
                    wait, count = wait + 1, count + 1
                    # The address that was freed last is given out first.
                    row.append((idle.pop(), wait))
            truth = {n for n, w in row if then[0].get(n) == w}
            found = still(before, [n for n, _ in row], count - then[1], (cost,))
            wrong, right = wrong + len(found - truth), right + len(found & truth)
    assert right > 500
    assert not wrong
