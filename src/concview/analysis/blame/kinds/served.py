"""In the process of a multiprocessing.Manager: a thread that waits in place of a client, for what another client gives.

Locks are told with all others: who has one, its process is asked for.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import serves_client

_WHAT = {
    "Queue.put": "room in a queue",
    "Queue.join": "all items of a queue to be reported as done",
    "Event.wait": "an Event",
    "Condition.wait": "a Condition",
    "Semaphore.acquire": "a Semaphore",
    "Barrier.wait": "others at a Barrier",
}


class Served:
    order: ClassVar[int] = 16
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via in _WHAT and serves_client(look.stack)

    def follow(self, waiter: Waiter) -> Root:
        what = _WHAT[waiter.look.via]
        return waiter.end(End.PEER, f"{what} that this Manager's process lends: another of its clients gives it")


KIND = Served()
