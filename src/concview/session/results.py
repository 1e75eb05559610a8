"""Results of tasks in a pool of processes: who waits for one, and which workers are in a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from concview.analysis.jobs import hands_over
from concview.analysis.known_places import PROCESS_POOLS, is_any, is_pool_result
from concview.model import Role
from concview.session.side import Side
from concview.session.standstill import Node, in_queue
from concview.snapshot import ThreadView

#: Ways to wait for a future that a pool of processes fulfils.
_FUTURES = frozenset({"Future.result", "futures.wait"})


def results(sides: Mapping[int, Side]) -> Iterable[tuple[Node, Node]]:
    """(who waits for a result of the pool of its process, a worker of that which is in a task). Which task is whose is
    not told: of several it may be any."""
    for pid, side in sides.items():
        threads = [t for t in side.snapshot.threads if t.alive and not t.native]
        if not any(hands_over(t.stack) or any(is_any(f, PROCESS_POOLS) for f in t.stack.frames) for t in threads):
            continue
        parents = {pid, *(w.pid for w in side.workers if w.role is Role.HELPER and w.parent == pid)}
        busy: list[Node] = []
        for worker in side.workers:
            if worker.role is Role.WORKER and worker.parent in parents and worker.pid in sides:
                first = sides[worker.pid].snapshot.thread(worker.pid)
                if first is not None and first.alive and not in_queue(first.stack, "get"):
                    busy.append((worker.pid, first.tid))
        for thread in threads:
            if _asks(thread):
                yield from (((pid, thread.tid), node) for node in busy)


def _asks(thread: ThreadView) -> bool:
    return thread.wait.via in _FUTURES or is_pool_result(thread.stack)
