"""A queue used as a pool: what is taken out of it, whoever took it puts back.

Comes before what says that one at an empty queue has no work. A connection pool of a library is one by its kind; any
other only where the source shows that the very thing that was taken out is put back, or that it is entered by a `with`
in whose body others are.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.kinds._second import each_has_one, seconds
from concview.analysis.blame.kinds._ways import between, further_on, in_sessions, inside_block, on_the_way
from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.blame.ties import ties, without_others
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import bare, pool_asked
from concview.model import CONNECTION_POOL, WaitKind
from concview.text import plural

#: Frames further out that may keep what a method took out of a queue.
_CALLERS = 2
_GETS = frozenset({"pool", "Queue.get", "SimpleQueue.get", "work"})


class Resource:
    order: ClassVar[int] = 38
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.wait.kind is WaitKind.FUTEX and look.via in _GETS and bool(look.own)

    def follow(self, waiter: Waiter) -> Root | Link | None:
        frame, world = waiter.frame, waiter.world
        known = world.history.depths.last(waiter.wait.lock) if waiter.wait.lock else None
        pool = waiter.look.via == "pool" or (known is not None and known[0].kind == CONNECTION_POOL)
        what = (known[0].name if known is not None else "") or ""
        library = next((name for f in waiter.look.own if (name := pool_asked(f))), "") if pool else ""
        if library:  # inside of it the line that waits has a name of the library's own
            what = f"a connection of {library}'s pool"
        if library and (tries := world.history.depths.in_vain(waiter.tid)):
            none = f"which has none: of {plural(tries, 'attempt')} to make one all have failed"
            return waiter.end(End.RETRY, f"waits for {what}, {none}")
        inside = inside_block(waiter)
        if inside and (pool or frame.origin == "library"):
            return waiter.link(Via.RESOURCE, what or "a connection of a pool", inside)
        method, on = waiter.source.waited(frame.function, frame.line)
        reach = waiter.source.wakers(on, "get") if on and method == "get" else {}
        if not pool and not (reach and (_puts_back(waiter) or passed_back(waiter, on))):
            return None
        told = ties(waiter)
        if told is not None and told.have:
            owners = [t for t in told.have if t != waiter.tid]
        else:
            owners = without_others(waiter, on, on_the_way(waiter, on, "get")[0]) if reach else []
        if pool and not inside and not owners:
            owners = further_on(waiter) or between(waiter)[1] or in_sessions(waiter)
        what = what or on or "a pool"
        if pool and not inside and not owners and (those := seconds(waiter)):
            circle = each_has_one(waiter, what, those) if waiter.tid in those else None
            if circle is not None:
                return circle
            owners = [t for t in those if t != waiter.tid]
        otherwise = waiter.end(End.UNEXPLAINED, f"{what}: all are out, not seen who has them")
        if told is not None and told.dry:
            otherwise = waiter.end(End.NOBODY, "all are out, and no thread has one that it will give back")
        return waiter.link(Via.RESOURCE, what, inside or owners, otherwise=otherwise)


def _puts_back(waiter: Waiter) -> bool:
    return waiter.source.puts_back(waiter.frame.function, waiter.frame.line)


def passed_back(waiter: Waiter, on: str, method: str = "get") -> bool:
    """Of a method that hands on what it takes out, whoever calls it passes that to another one, which puts it back."""
    gives, take = waiter.source.puts_into(on, method), bare(waiter.frame.function)
    callers = waiter.look.own[1 : 1 + _CALLERS]
    return any(waiter.world.file(f.file).passes_back(f.function, f.line, take, gives) for f in callers)


KIND = Resource()
