"""The wait-for graph of one moment: thread -> lock -> holder, its chains and its cycles.

A thread that joins another waits for it as well, and so does one that waits for a future which another runs, or for a
module that another imports: edges without a lock, whose `via` says so. One that waits for room in a queue waits for
whoever empties it: that is inferred where a single thread was seen to. One that waits for a plain lock which it holds
itself waits for itself: a circle of one. Whoever speaks of circles (the rule, `dump` as text and JSON, the views) has
them from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from concview.analysis.lock_identity import Registry
from concview.analysis.locks import SHARED_KINDS, held_by_itself, holds_of, waited_lock
from concview.analysis.records import Run, ThreadHistory
from concview.model import Confidence, Hold, Site


@dataclass(frozen=True, slots=True)
class Link:
    """How to speak of an edge without a lock."""

    kind: str  #: of what is waited for
    what: str  #: short: 'its end (join)'
    waits_for: str  #: '... waits for the end of {holder}'
    behind: str  #: in a tree, below the holder: 'joined by'


LINKS = {
    "Thread.join": Link("Thread", "its end (join)", "the end of {}", "joined by"),
    "Future.result": Link("Future", "its result (future)", "a future that {} runs", "runs a future wanted by"),
    "Queue.put": Link("Queue", "room in a queue", "room in a queue that only {} empties", "must empty a queue for"),
    "import": Link("ModuleLock", "a module (import)", "a module that {} imports", "imports a module wanted by"),
}


@dataclass(frozen=True, slots=True)
class Edge:
    """`waiter` waits for the lock, `holder` has it."""

    waiter: int
    holder: int
    key: str
    wait_run: Run
    hold: Hold
    hold_run: Run
    confidence: Confidence
    via: str = ""  #: a key of `LINKS` where it is no lock that is waited for

    @property
    def site(self) -> Site | None:
        return self.wait_run.classification.site or self.hold.site


def edges(threads: Iterable[ThreadHistory], exact_available: bool) -> list[Edge]:
    """The edges now. A lock that several threads seem to hold (one expression, many objects) gives no edge."""
    threads = list(threads)
    current = [(t.tid, t.current) for t in threads if t.current is not None]
    registry = Registry()
    held: list[tuple[int, Run, Hold]] = []
    for tid, run in current:
        site, address = waited_lock(run)
        registry.learn(site, address)
        for hold in holds_of(run, exact_available):
            registry.learn(hold.site, hold.lock)
            held.append((tid, run, hold))
    holders: dict[str, list[tuple[int, Run, Hold]]] = {}
    for tid, run, hold in held:
        key, _ = registry.key(hold.site, hold.lock)
        if key:
            holders.setdefault(key, []).append((tid, run, hold))
    out: list[Edge] = []
    alive = dict(current)
    for tid, run in current:
        if run.wait.target and run.wait.target != tid and run.wait.target in alive:
            out.append(_link(tid, run, run.wait.target, alive, Confidence.EXACT))
            continue
        if run.wait.via == "Queue.put" and run.wait.lock:
            emptier = _emptier(run.wait.lock, tid, threads)
            if emptier in alive:
                out.append(_link(tid, run, emptier, alive, Confidence.INFERRED))
            continue
        site, address = waited_lock(run)
        key, _ = registry.key(site, address)
        own = held_by_itself(run)
        if own is not None:
            out.append(Edge(tid, tid, key, run, own, run, Confidence.EXACT))
            continue
        owners = [h for h in holders.get(key, ()) if h[0] != tid] if key else []
        if len({o[0] for o in owners}) != 1 and not (owners and owners[0][2].kind in SHARED_KINDS):
            continue
        holder, hold_run, hold = owners[0]
        exact = hold.confidence is Confidence.EXACT and bool(address)
        out.append(Edge(tid, holder, key, run, hold, hold_run, Confidence.EXACT if exact else Confidence.INFERRED))
    return out


def _link(tid: int, run: Run, target: int, alive: dict[int, Run], confidence: Confidence) -> Edge:
    via = run.wait.via if run.wait.via in LINKS else "Thread.join"
    link = LINKS[via]
    hold = Hold(run.wait.lock, link.kind, Site(link.what, "", 0, ""), confidence)
    return Edge(tid, target, f"{run.wait.lock:#x}", run, hold, alive[target], confidence, via)


def _emptier(queue: int, waiter: int, threads: list[ThreadHistory]) -> int:
    """The one thread that was seen to wait for an item of this queue; 0 when there are several, or none was seen.

    A consumer that always found an item was not seen to wait: so this is no proof.
    """
    seen = {
        t.tid for t in threads for r in t.runs if r.wait.lock == queue and r.wait.via == "Queue.get" and t.tid != waiter
    }
    return seen.pop() if len(seen) == 1 else 0


@dataclass(frozen=True, slots=True)
class Chain:
    """All that wait, directly or behind others, for one thread: the root, which waits for none of them."""

    root: int
    run: Run  #: what the root does
    edges: tuple[Edge, ...]  #: nearest to the root first; the waiters of one thread one after the other
    cycle: tuple[int, ...] = ()  #: the threads of the circle in which it ends; the root is the first of them
    deadlock: bool = False  #: nothing but a restart ends that circle, see `for_ever`

    @property
    def waiters(self) -> list[int]:
        return [e.waiter for e in self.edges]

    @property
    def exact(self) -> bool:
        return all(e.confidence is Confidence.EXACT for e in self.edges)

    def depth(self) -> dict[int, int]:
        """tid -> how many steps it is from the root."""
        found = {self.root: 0}
        for edge in self.edges:
            found.setdefault(edge.waiter, found.get(edge.holder, 0) + 1)
        return found


def chains(graph: list[Edge]) -> list[Chain]:
    """Who is to blame: each root with everybody behind it, the longest queue first. A circle has one root as well."""
    behind: dict[int, list[Edge]] = {}
    for edge in graph:
        behind.setdefault(edge.holder, []).append(edge)
    waiting = {e.waiter for e in graph}
    circles = [(tuple(e.waiter for e in c), for_ever(c)) for c in cycles(graph)]
    roots: list[tuple[int, Run, tuple[int, ...], bool]] = []
    for tid, edges_ in behind.items():
        if tid not in waiting:
            roots.append((tid, edges_[0].hold_run, (), False))
    roots += [(circle[0], behind[circle[0]][0].hold_run, circle, stuck) for circle, stuck in circles]
    found: list[Chain] = []
    for root, run, circle, stuck in roots:
        out: list[Edge] = []
        known, todo = {root}, [root]
        while todo:
            for edge in behind.get(todo.pop(0), ()):
                if edge.waiter not in known:
                    known.add(edge.waiter)
                    out.append(edge)
                    todo.append(edge.waiter)
                elif edge.waiter == root:
                    out.append(edge)  # closes the circle
        found.append(Chain(root, run, tuple(out), circle, stuck))
    # Only joins: that is how a program waits for its end.
    found = [c for c in found if c.cycle or any(e.via != "Thread.join" for e in c.edges)]
    return sorted(found, key=lambda c: (not c.cycle, -len(c.edges)))


def cycles(graph: list[Edge]) -> list[list[Edge]]:
    """Cycles, each once, beginning at its smallest tid. Every thread waits for one lock at a time."""
    by_waiter = {e.waiter: e for e in graph}
    found: list[list[Edge]] = []
    done: set[int] = set()
    for start in sorted(by_waiter):
        path: list[Edge] = []
        at: int = start
        position: dict[int, int] = {}
        while at in by_waiter and at not in done and at not in position:
            position[at] = len(path)
            path.append(by_waiter[at])
            at = by_waiter[at].holder
        if at in position:
            cycle = path[position[at] :]
            first = min(range(len(cycle)), key=lambda i: cycle[i].waiter)
            found.append(cycle[first:] + cycle[:first])
        done.update(position)
    return found


def for_ever(cycle: list[Edge]) -> bool:
    """Whether nobody in the circle can ever go on: a timed wait gives up by itself, and a semaphore may be given back
    by anybody."""
    return not any(e.wait_run.wait.timed or e.hold.kind in SHARED_KINDS for e in cycle)
