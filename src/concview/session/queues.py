"""What a thread that waits at a queue is told to wait for: the queue's name, its bound, and what it holds."""

from __future__ import annotations

from concview.analysis.history import Run
from concview.analysis.queues import QueueHistories

_FULL, _EMPTY = frozenset({"Queue.put"}), frozenset({"Queue.get", "SimpleQueue.get"})


def queue_words(run: Run, queues: QueueHistories) -> str:
    """'waits for an item of jobs: Queue(maxsize=8) with 0 items'; '' when it waits for something else, or at a queue
    that was not read. The number is the last report's: up to a quarter of a second old."""
    via = run.verdict.via
    if not run.wait.lock or (via not in _FULL and via not in _EMPTY):
        return ""
    known = queues.get(run.wait.lock)
    if known is None:
        return ""
    bound = f"maxsize={known.most}" if known.most else "no bound" if known.kind != "SimpleQueue" else ""
    name = f"{known.name}: " if known.name else ""
    which = f"{name}{known.kind}({bound}) with {known.size} item{'' if known.size == 1 else 's'}"
    words = f"waits for room in {which}" if via in _FULL else f"waits for an item of {which}"
    return words + (", with timeout" if run.wait.timed else "")
