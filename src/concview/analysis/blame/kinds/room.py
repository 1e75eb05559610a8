"""Room in a full queue: those that were seen to get from it, or whose frames will."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.kinds._ways import on_the_way
from concview.analysis.blame.nouns import End, Link, Node, Via
from concview.analysis.blame.ties import ties
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import LOOPS, among, bare, is_file
from concview.model import Confidence

_BETWEEN = "multiprocessing/queues.py"
_TAKES = frozenset({"get", "get_nowait"})


class Room:
    order: ClassVar[int] = 52
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via == "Queue.put"

    def follow(self, waiter: Waiter) -> Link:
        world, address, frame = waiter.world, waiter.wait.lock, waiter.frame
        alive = waiter.moment.runs
        known = world.history.depths.last(address) if address else None
        name = known[0].name if known is not None and known[0].name else ""
        takers: set[Node] = {t for t in world.seen.getters.get(address, ()) if t in alive}
        method, on = waiter.source.waited(frame.function, frame.line)
        told = ties(waiter)
        if not takers and told is not None:
            takers = {*told.have, *told.make}
        itself = on in ("self", "cls", "super")  # by that name any object of the class is known
        if not takers and on and method == "put" and not itself:
            owners, makers = on_the_way(waiter, on, "put")
            takers = {*owners, *makers}
        if not takers and known is not None:
            nothing = told.not_it if told is not None else ()
            putters = world.seen.putters.get(address, set())
            takers = {t for t in known[0].users if t in alive and t not in putters and t not in nothing}
        on = "" if itself else on
        what = f"room in {name or on or (told.row.name if told is not None else '') or 'a full queue'}"
        # Its only reader may be one of those that wait for room in it: then it is in its own way.
        others = [t for t in takers if t != waiter.tid]
        otherwise = waiter.end(End.UNEXPLAINED, f"{what}: nobody seen to take anything out")
        if len(alive) == 1:
            otherwise = waiter.end(End.NOBODY, "no thread is left that takes anything out of it")
        if not takers and told is not None:
            takers = {r.tid for r in told.row.references if r.will in _TAKES and r.tid in alive}
            others = [t for t in takers if t != waiter.tid]
            # Of code whose source is not read: a library's own thread that takes things out in its main loop.
            unread = {r.tid for r in told.row.references if not r.source and r.tid in alive} - set(told.row.waiters)
            others = others or [t for t in unread if any(among(f, LOOPS) for f in alive[t].stack.frames)]
            if not takers and not others and told.row.complete and not itself:
                otherwise = waiter.end(End.NOBODY, "no thread is left that takes anything out of it")
        if not others and any(bare(f.function) == "put" and is_file(f, _BETWEEN) for f in waiter.look.stack.frames[:8]):
            semaphore = world.kernel.semaphores.of(waiter.moment, waiter.tid)
            if semaphore is not None and semaphore.sharers == 0:
                gone = waiter.end(
                    End.NOBODY, "no other process has it any more: who took something out of it has ended"
                )
                return waiter.link(Via.ROOM, "room in a queue between processes", [], otherwise=gone, told=True)
            end = waiter.end(End.PEER, "a process that takes something out of it")
            return waiter.outside(Via.ROOM, "room in a queue between processes", Confidence.INFERRED, end)
        if takers == {waiter.tid}:
            name = world.name(waiter.tid)
            otherwise = waiter.end(End.CYCLE, f"{name} waits for {what} itself, and nobody else takes anything out")
        return waiter.link(Via.ROOM, what, others, otherwise=otherwise)


KIND = Room()
