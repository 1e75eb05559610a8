"""An item out of an empty queue: no work."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.blame.ties import ties
from concview.analysis.blame.world import Look, Waiter
from concview.text import plural

_TAKES = frozenset({"get", "get_nowait"})


class Work:
    order: ClassVar[int] = 53
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via in ("Queue.get", "SimpleQueue.get", "Queue.join")

    def follow(self, waiter: Waiter) -> Root | Link:
        address = waiter.wait.lock
        known = waiter.world.history.depths.last(address) if address else None
        name = known[0].name if known is not None and known[0].name else ""
        if waiter.look.via == "Queue.join":
            return self._join(waiter, name)
        return waiter.end(End.IDLE, f"no work: {name or 'its queue'} is empty")

    @staticmethod
    def _join(waiter: Waiter, name: str) -> Root | Link:
        """Work that is not done yet: those that take it out and are not at an empty queue now."""
        moment, seen = waiter.moment, waiter.world.seen
        takers = [t for t in seen.getters.get(waiter.wait.lock, ()) if t in moment.runs and t != waiter.tid]
        busy = [t for t in takers if moment.runs[t].wait.lock != waiter.wait.lock]
        told = ties(waiter)
        if told is not None and told.have:
            busy = [t for t in told.have if t != waiter.tid]  # took something, and has yet to say that it is done
        what = f"all work of {name or 'a queue'} to be done"
        if told is not None and not takers:
            takers = [r.tid for r in told.row.references if r.will in _TAKES and r.tid in moment.runs]
        nobody = "those that take it out wait for more of it" if takers else "nobody takes it out"
        otherwise = waiter.end(End.UNEXPLAINED, f"{what}: {nobody}")
        idle = all(moment.runs[t].wait.lock == waiter.wait.lock for t in takers)
        if told is not None and told.row.complete and told.row.unfinished > 0 and idle and not busy:
            lost = f"{plural(told.row.unfinished, 'item')} not reported as done"
            otherwise = waiter.end(End.NOBODY, f"{lost}, and {nobody}")
        return waiter.link(Via.END, what, busy, otherwise=otherwise)


KIND = Work()
