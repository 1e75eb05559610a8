"""Connections of which both ends are in this process: which task is at the other end of the one that a task waits for.

A client that asks a server of the same process waits for one of its tasks, and for all that stops that one. A server's
task has its end in a variable: a stream, a transport, or an object that leads to one. It is looked for only while some
task waits for a peer at an address of this machine, and what was found is kept for as long as both tasks live.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from concview.engines.direct.bounded import remember
from concview.model import SENDS, Peer, TaskState

if TYPE_CHECKING:
    from concview.cpython.aio.transports import Transports
    from concview.engines.direct.tasks.records import Task
    from concview.engines.direct.tasks.tracker import TaskTracker

#: How often, and how much more seldom for each task, nanoseconds; a look's CPU at most, and its share.
EVERY_NS, EACH_NS, MOST_NS, SHARE = 250_000_000, 150_000, 8_000_000, 0.01
#: A task that was seen to have no such end is looked at again after so long, and twice that each time, up to the last;
#: one that has, after the last.
AGAIN_NS, SELDOM_NS = 250_000_000, 16_000_000_000
_MOST_KNOWN, _MOST_ALIKE = 4_096, 8
#: Who is at the other end, best first: the program's own code that works; who waits to read there (another one may
#: have taken the request from it), and the program's own code that sleeps (it may only keep the connection alive); a
#: library's.
_WORKS, _RESTS, _LIBRARY = range(3)


class Connections:
    def __init__(self, tracker: TaskTracker, transports: Transports) -> None:
        self._tracker, self._transports = tracker, transports
        self._look_at = 0
        self._seen = -1  #: version of the tracker's tasks in which nobody's other end was missing
        #: Address of the client, as its server sees it -> tasks that have its connection -> the rank of each.
        self._ends: dict[str, dict[Task, int]] = {}
        self._clients: dict[str, list[Task]] = {}  #: address of a client -> tasks of this process that wait there
        self._again: dict[int, tuple[int, int]] = {}  #: id of a task without such an end -> (not before, the pause)

    def at(self, task: Task) -> tuple[int, ...]:
        """Addresses of the tasks at the other end of the connection that this one waits for."""
        client = _sent_to(task)
        if client:
            return tuple(
                [other.address for other in self._clients.get(client, ()) if other.alive and other is not task]
            )
        peer = _asked(task)
        ends = self._ends.get(peer.local) if peer is not None else None
        if not ends:
            return ()
        alive = {other: rank for other, rank in ends.items() if other.alive and other is not task}
        best = min(alive.values(), default=0)
        return tuple([other.address for other, rank in alive.items() if rank == best])

    def look(self, now: int) -> None:
        if now < self._look_at or self._tracker.version == self._seen:
            return
        pause = EVERY_NS + len(self._tracker.tasks) * EACH_NS
        self._look_at = now + pause
        asking: dict[str, list[Task]] = {}
        sending: list[Task] = []
        for task in self._tracker.tasks.values():
            peer = _asked(task)
            if peer is not None:
                asking.setdefault(peer.local, []).append(task)
            elif _sent_to(task):
                sending.append(task)
        before, self._clients = self._clients, asking
        for task in sending:
            if before.get(_sent_to(task)) != asking.get(_sent_to(task)):
                self._tracker.telling.touch(task)
        missing = {name for name in asking if not any(map(_busy, self._ends.get(name, ())))}
        self._seen = -1 if missing else self._tracker.version
        if not missing:
            return
        began = time.thread_time_ns()
        for rank, name, task in self._found(now, began, missing):
            ends = self._ends.get(name, {})
            if ends.get(task) == rank:
                continue
            known = {other: rank for other, rank in ends.items() if other.alive and other is not task}
            remember(self._ends, name, dict(list({task: rank, **known}.items())[:_MOST_ALIKE]), _MOST_KNOWN)
            for client in asking.get(name, ()):
                self._tracker.telling.touch(client)
        self._look_at = now + max(pause, int((time.thread_time_ns() - began) / SHARE))

    def _found(self, now: int, began: int, missing: set[str]) -> list[tuple[int, str, Task]]:
        """(rank, address of the client, task): several may have one connection, such as those that keep it alive."""
        found: list[tuple[int, str, Task]] = []
        for task in self._tracker.tasks.values():
            peer = task.waiting.peer if task.waiting is not None else None
            if peer is not None and peer.accepted:
                if peer.name in missing:
                    found.append((_RESTS, peer.name, task))
                continue
            not_before, pause = self._again.get(task.id, (0, AGAIN_NS // 2))
            if task.kind != "task" or not task.links or now < not_before:
                continue
            own = any(self._tracker.sites.is_own(link) for link in task.links)
            sleeps = task.waiting is not None and task.waiting.state is TaskState.SLEEP
            names = self._transports.accepted(task.links) if own or not sleeps else set[str]()
            rank = _LIBRARY if not own else _RESTS if sleeps else _WORKS
            found += [(rank, name, task) for name in names]
            pause = min(SELDOM_NS, 2 * pause) if not names else SELDOM_NS
            remember(self._again, task.id, (now + pause, pause), _MOST_KNOWN)
            if time.thread_time_ns() - began > MOST_NS:
                break
        return found


def _busy(task: Task) -> bool:
    """It lives, and does not wait to read there: nobody else is to be looked for."""
    return task.alive and (task.waiting is None or task.waiting.peer is None or not task.waiting.peer.accepted)


def _sent_to(task: Task) -> str:
    """Address of the client that is to take what a server's task has sent; '' for any other wait."""
    waiting = task.waiting
    peer = waiting.peer if waiting is not None and waiting.state is TaskState.IO else None
    return peer.name if waiting is not None and peer is not None and peer.accepted and SENDS.search(waiting.via) else ""


def _asked(task: Task) -> Peer | None:
    """The connection that it waits for, where that leads to this machine; None for any other wait."""
    waiting = task.waiting
    if waiting is None or waiting.state is not TaskState.IO or waiting.peer is None:
        return None
    peer = waiting.peer
    if peer.kind != "tcp" or peer.accepted or not peer.local:
        return None
    return peer if peer.local.rpartition(":")[0] == peer.name.rpartition(":")[0] else None
