"""An item out of an empty queue: no work, or an answer that somebody is about to put in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from concview.analysis.blame.kinds._ways import own_callback
from concview.analysis.blame.nouns import QUIET, End, Link, Node, Part, Root, Settle, Via
from concview.analysis.blame.ties import Ties, ties
from concview.analysis.blame.world import Look, Waiter
from concview.model import Reference
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
        circle = own_callback(waiter, waiter.source.waited(waiter.frame.function, waiter.frame.line)[1], "get")
        if circle:
            nobody = waiter.end(End.CYCLE, circle)
            return waiter.link(Via.RESULT, f"an item of {name or 'a queue'}", [], otherwise=nobody)
        idle = waiter.end(End.IDLE, f"no work: {name or 'its queue'} is empty")
        return self._reply(waiter, idle) or idle

    @staticmethod
    def _reply(waiter: Waiter, idle: Root) -> Link | None:
        """An answer, not work: the queue was made for it by the very function that waits, which alone takes from it, as
        in a future made by hand. Then whoever will put something in is in the way; of one whose request still lies in a
        queue, whoever answers at that line. What was read once of a line is remembered: such waits may be too short to
        be looked at."""
        told, place, moment = ties(waiter), waiter.look.place, waiter.moment
        known = waiter.world.answers.get(place)
        makers: list[Node] = []
        name = told.row.name if told is not None else ""
        if told is not None and not waiter.world.seen.getters.get(waiter.wait.lock, set()) - {waiter.tid}:
            mine = [r for r in told.row.references if r.tid == waiter.tid and r.by == "local"]
            made = [r for r in mine if _made_there(waiter, r)]
            makers = [t for t in told.make if t != waiter.tid] if made else []
            if makers:
                there = {(r.file, r.function) for r in told.row.references if r.tid in makers and r.will}
                known = waiter.world.learn_answer(place, name, there)
            elif made and told.row.complete and not told.row.more and len(moment.runs) == 1:
                nobody = waiter.end(End.NOBODY, "this is the only thread, and the queue is known in it alone")
                return waiter.link(Via.RESULT, f"an answer in {name or 'a queue'}", [], otherwise=nobody)
            elif made and known is None and waiter.tid != waiter.world.main:
                if any(waiter.world.file(r.file).loop(r.function, r.line) is not None for r in made):
                    return None  # it takes from the same one again and again: a letter box
                known = waiter.world.learn_answer(place, name, set())
        if known is None:
            return None
        name = name or known.name
        if not makers:
            found = [t for at in known.makers for t, _ in moment.standing.get(at, ())]
            makers = [t for t in dict.fromkeys(found) if t != waiter.tid]
        what = f"an answer in {name or 'a queue'}"
        nobody = waiter.end(End.UNEXPLAINED, f"{what}: not seen who puts it in")
        return waiter.link(Via.RESULT, what, makers, otherwise=nobody, settle=no_work(idle), key=("answer", place))

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


def lies_in_a_queue(waiter: Waiter, told: Ties) -> bool:
    """Whether what it waits at was made by the very function that waits, and given away with a request that nobody has
    taken up: nobody else's variable has it, and those that have one of that name answer others now."""
    mine = [r for r in told.row.references if r.tid == waiter.tid and r.by == "local"]
    others = any(r.tid != waiter.tid for r in told.row.references)
    return not others and any(_made_there(waiter, r) for r in mine)


def _made_there(waiter: Waiter, one: Reference) -> bool:
    """Whether it is a variable of the function's own: not what it was given, nor an attribute of its object."""
    first = one.path.partition(".")[0]
    parsed = waiter.world.wakes.uses.file(one.file)
    function = parsed.function(one.function, one.line) if parsed is not None else None
    return function is not None and first not in ("self", "cls", *function.parameters)


def no_work(idle: Root) -> Settle:
    """Nobody is asked for anything while those that would answer have nothing to do."""

    def settle(parts: Sequence[Part]) -> Root | None:
        return idle if all(p.root.kind in QUIET and len(p.path) == 1 for p in parts) else None

    return settle


KIND = Work()
