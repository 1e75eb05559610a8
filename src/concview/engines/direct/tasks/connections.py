"""Connections of which both ends are in this process: which task is at the other end of the one that a task waits for.

A client that asks a server of the same process waits for one of its tasks, and for all that stops that one. A server's
task has its end in a variable: a stream, a transport, or an object that leads to one. It is looked for only while some
task waits for a peer at an address of this machine, and what was found is kept for as long as both tasks live.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from concview.engines.direct.bounded import remember
from concview.model import Peer, TaskState

if TYPE_CHECKING:
    from concview.cpython.aio.transports import Transports
    from concview.engines.direct.tasks.records import Task
    from concview.engines.direct.tasks.tracker import TaskTracker

#: How often, nanoseconds; a look's CPU at most, and its share.
EVERY_NS, MOST_NS, SHARE = 250_000_000, 8_000_000, 0.01
#: A task that was seen to have no such end is looked at again after so long, and twice that each time, up to the last;
#: one that has, after the last.
AGAIN_NS, SELDOM_NS = 250_000_000, 16_000_000_000
_MOST_KNOWN, _MOST_ALIKE = 4_096, 4
#: Who is at the other end, best first: who waits to read there, the program's own code, a library's.
_READS, _OWN, _LIBRARY = range(3)


class Connections:
    def __init__(self, tracker: TaskTracker, transports: Transports) -> None:
        self._tracker, self._transports = tracker, transports
        self._look_at = 0
        #: Address of the client, as its server sees it -> the server's task, or several that have it all the same.
        self._ends: dict[str, list[Task]] = {}
        self._again: dict[int, tuple[int, int]] = {}  #: id of a task without such an end -> (not before, the pause)

    def at(self, task: Task) -> tuple[int, ...]:
        """Addresses of the tasks at the other end of the connection that this one waits for."""
        peer = _asked(task)
        others = self._ends.get(peer.local, ()) if peer is not None else ()
        return tuple([other.address for other in others if other.alive and other is not task])

    def look(self, now: int) -> None:
        if now < self._look_at:
            return
        self._look_at = now + EVERY_NS
        asking: dict[str, list[Task]] = {}
        for task in self._tracker.tasks.values():
            peer = _asked(task)
            if peer is not None:
                asking.setdefault(peer.local, []).append(task)
        missing = {name for name in asking if not any(task.alive for task in self._ends.get(name, ()))}
        if not missing:
            return
        began = time.thread_time_ns()
        best: dict[str, tuple[int, list[Task]]] = {}
        for rank, name, task in self._found(now, began, missing):
            known, tasks = best.get(name, (rank, []))
            if rank < known:
                known, tasks = rank, []
            if rank == known and len(tasks) < _MOST_ALIKE:
                best[name] = rank, [*tasks, task]
        for name, (_, tasks) in best.items():
            remember(self._ends, name, tasks, _MOST_KNOWN)
            for client in asking.get(name, ()):
                self._tracker.telling.touch(client)
        self._look_at = now + max(EVERY_NS, int((time.thread_time_ns() - began) / SHARE))

    def _found(self, now: int, began: int, missing: set[str]) -> list[tuple[int, str, Task]]:
        """(rank, address of the client, task): several may have one connection, such as those that keep it alive."""
        found: list[tuple[int, str, Task]] = []
        for task in self._tracker.tasks.values():
            peer = task.waiting.peer if task.waiting is not None else None
            if peer is not None:
                if peer.accepted and peer.name in missing:
                    found.append((_READS, peer.name, task))
                continue  # of one that waits for another connection this is not known: it is looked at when it goes on
            not_before, pause = self._again.get(task.id, (0, AGAIN_NS // 2))
            if task.kind != "task" or not task.links or now < not_before:
                continue
            own = any(self._tracker.sites.is_own(link) for link in task.links)
            sleeps = task.waiting is not None and task.waiting.state is TaskState.SLEEP
            names = self._transports.accepted(task.links) if own or not sleeps else set[str]()
            found += [(_OWN if own else _LIBRARY, name, task) for name in names]
            pause = min(SELDOM_NS, 2 * pause) if not names else SELDOM_NS
            remember(self._again, task.id, (now + pause, pause), _MOST_KNOWN)
            if time.thread_time_ns() - began > MOST_NS:
                break
        return found


def _asked(task: Task) -> Peer | None:
    """The connection that it waits for, where that leads to this machine; None for any other wait."""
    waiting = task.waiting
    if waiting is None or waiting.state is not TaskState.IO or waiting.peer is None:
        return None
    peer = waiting.peer
    if peer.kind != "tcp" or peer.accepted or not peer.local:
        return None
    return peer if peer.local.rpartition(":")[0] == peer.name.rpartition(":")[0] else None
