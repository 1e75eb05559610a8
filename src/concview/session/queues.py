"""What a thread that waits at a queue is told to wait for: the queue's name, its bound, and what it holds."""

from __future__ import annotations

from concview.analysis.queues import QueueHistories
from concview.analysis.records import Run

_FULL, _EMPTY = frozenset({"Queue.put"}), frozenset({"Queue.get", "SimpleQueue.get"})


def queue_words(run: Run, queues: QueueHistories) -> str:
    """'waits for an item of jobs: Queue(maxsize=8), 0 in it'; '' when it waits for something else, or at a queue that
    was not read. The number is left out when it was read before the thread began to wait: it may be another by now."""
    via = run.verdict.via
    if not run.wait.lock or (via not in _FULL and via not in _EMPTY):
        return ""
    found = queues.last(run.wait.lock)
    if found is None:
        return ""
    known, at_ns = found
    bound = f"maxsize={known.most}" if known.most else "no bound" if known.kind != "SimpleQueue" else ""
    words = "waits for room in " if via in _FULL else "waits for an item of "
    words += (f"{known.name}: " if known.name else "") + f"{known.kind}({bound})"
    if at_ns >= run.start_ns:
        words += f", {known.size} in it"
    return words + (", with timeout" if run.wait.timed else "")
