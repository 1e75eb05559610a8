"""Threads wait for each other in a circle: none of them can ever go on.

What it sees:
    A cycle in the wait-for graph: every thread of it waits, without a timeout, for a lock that the next one holds, for
    the end of the next one, for a future that it runs, or for room in a queue that only it empties. Or a thread that
    waits for a plain Lock which it holds itself.

Why it hurts:
    Nothing but a restart ends it. The threads in the circle are lost, everything they hold stays locked, and whoever
    needs one of these locks is lost next.

How it is measured:
    Each edge is a wait read from the kernel and a hold (or the task's future) read from the holder's frames. The cycle
    must stand unchanged for one second and three samples [D: nobody in it can move; the second excludes torn reads]:
    score 100. Where one is inferred instead of read, the finding says so, asks for two seconds and scores 90. Demo
    pair: stands until the end (bad), never seen (fixed).

Fix:
    Take the locks in one order everywhere.

        first, second = sorted((a, b), key=id)
        with first, second: ...

    Or one lock for both, or acquire(timeout=...) with a way back.

When it is fine:
    Never, if it is exact. Timed waits give up by themselves and are not reported; re-entering an RLock is no wait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import ClassVar

from concview.analysis import graph
from concview.analysis.graph import Edge
from concview.analysis.records import Run
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Confidence, Hold, StackEvidence
from concview.text import duration, plural

MIN_SAMPLES = 3
#: Inferred holds ask for more patience.
INFERRED_FACTOR = 2.0
EXACT_SCORE, INFERRED_SCORE = 100, 90


class Deadlock:
    id: ClassVar[str] = "deadlock"
    title: ClassVar[str] = "Deadlock"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(
        1.0, 1.0, "s", "[D] nobody in the cycle can move; a second and three samples exclude torn reads"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "how long the cycle has lasted"
    moment: ClassVar[bool] = True
    task_twin: ClassVar[str] = "async-deadlock"

    def observe(self, window: Window) -> Iterable[Observation]:
        edges = window.edges
        known = {t.tid for t in window.threads}
        for cycle in graph.cycles(edges):
            if not graph.for_ever(cycle) or any(e.waiter not in known for e in cycle):
                continue
            behind = _behind(edges, {e.waiter for e in cycle})
            if len(cycle) == 1:
                yield self._self(window, cycle[0], behind)
            else:
                yield self._cycle(window, cycle, behind)

    def _cycle(self, window: Window, cycle: list[Edge], behind: list[int]) -> Observation:
        exact = all(e.confidence is Confidence.EXACT for e in cycle)
        tids = [e.waiter for e in cycle]
        age, needs = _age(window, [r for e in cycle for r in (e.wait_run, e.hold_run)], exact)
        told = _Names(cycle)
        parts = [_words(window, e, told) for e in cycle]
        summary = f"{'; '.join(parts)}.{evidence.unchanged(window, age)}"
        if behind:
            summary += f" {plural(len(behind), 'more thread waits', 'more threads wait')} behind them."
        if not exact:
            summary += f" {_doubt(cycle)}"
        names = list(dict.fromkeys(told.called(e) for e in cycle if not e.via))
        return Observation(
            subject="-".join(str(t) for t in sorted(tids)),
            value=age,
            lower=age,
            samples=evidence.samples_in(window, min(age, window.seconds) * 1e9),
            episodes=1,
            confidence=Confidence.EXACT if exact else Confidence.INFERRED,
            label=evidence.who(window, tids),
            title=f"Deadlock of {evidence.who(window, tids)}",
            summary=summary,
            fix=_fix(names, {e.via for e in cycle} - {""}),
            gain=f"{plural(len(tids) + len(behind), 'thread')} that will not move again before a restart.",
            check_next=_where_else(names, told.several),
            where=evidence.places(*(e.wait_run.stack for e in cycle)),
            threads=(*tids, *behind),
            stacks=_stacks(window, cycle),
            explains=(
                *(("lock-contention", e.key) for e in cycle),
                *(("lock-order-inversion", f"{a.key} {b.key}") for a in cycle for b in cycle),
            ),
            score=EXACT_SCORE if exact else INFERRED_SCORE,
            needs=needs,
        )

    def _self(self, window: Window, edge: Edge, behind: list[int]) -> Observation:
        tid, run, hold = edge.waiter, edge.wait_run, edge.hold
        age, needs = _age(window, [run], True)
        name = evidence.site_name(hold.site, hold.kind, hold.lock)
        more = f" {plural(len(behind), 'more thread waits', 'more threads wait')} behind it." if behind else ""
        return Observation(
            subject=f"{tid} itself",
            value=age,
            lower=age,
            samples=evidence.samples_in(window, min(age, window.seconds) * 1e9),
            episodes=1,
            confidence=Confidence.EXACT,
            title=f"{window.name(tid)} waits for itself",
            summary=(
                f"{window.name(tid)} waits for {name} ({evidence.frame_spot(run.stack.user_leaf)}), which it holds "
                f"itself ({_hold_spot(hold)}): a Lock cannot be taken twice.{evidence.unchanged(window, age)}{more}"
            ),
            fix=(
                f"Make {name} re-entrant, or split the function so that the inner part expects the lock to be held.\n\n"
                f"    {name} = threading.RLock()\n"
                "    def _update_locked(self): ...   # caller holds the lock"
            ),
            check_next="Which callers hold the lock already, and which do not?",
            where=evidence.places(run.stack, first=hold.site),
            threads=(tid, *behind),
            stacks=evidence.shown("blocked", tid, window.name(tid), run.stack, f"holds and waits for {name}"),
            explains=(("lock-contention", edge.key),),
            score=EXACT_SCORE,
            needs=needs,
        )


def _age(window: Window, runs: list[Run], exact: bool) -> tuple[float, str]:
    """Seconds that a cycle has stood, and what is missing before it is believed: it must have been seen to stand."""
    stood = max(0, window.end_ns - max(r.began_ns for r in runs)) / 1e9
    age = max(0, window.end_ns - max(r.start_ns for r in runs)) / 1e9
    if window.moment:
        return stood, ""
    wanted = max(1.0, MIN_SAMPLES * evidence.tick_ns(window) / 1e9)
    if not exact:
        wanted *= INFERRED_FACTOR
    missing = f"a cycle to be seen to stand for {duration(wanted)} (was for {duration(age)})" if age < wanted else ""
    return stood, missing


def _behind(edges: list[Edge], circle: set[int]) -> list[int]:
    """The threads that wait, directly or not, for one in the circle."""
    lost = set(circle)
    found: list[int] = []
    grew = True
    while grew:
        grew = False
        for edge in edges:
            if edge.holder in lost and edge.waiter not in lost:
                lost.add(edge.waiter)
                found.append(edge.waiter)
                grew = True
    return found


def _name(edge: Edge) -> str:
    """As the waiter calls it; else by the name its holder took it."""
    site = edge.site
    return evidence.site_name(site if site is not None and site.expression else edge.hold.site, edge.hold.kind)


class _Names:
    """Of the locks of a circle. Where one name stands for several of them (`src.lock` of two accounts) addresses tell
    them apart."""

    def __init__(self, cycle: list[Edge]) -> None:
        self._keys: dict[str, set[str]] = defaultdict(set)
        self._own = {e.holder: e for e in cycle if not e.via}
        for edge in cycle:
            if not edge.via:
                self._keys[self.called(edge)].add(edge.key)
                self._keys[self._taken_as(edge)].add(edge.key)

    def called(self, edge: Edge) -> str:
        """By its waiter."""
        own = self._own.get(edge.waiter)
        if own is not None and own.key != edge.key and self._taken_as(own) == _name(edge):
            return self._taken_as(edge)  # one line takes both: that is the other one's name
        return _name(edge)

    @staticmethod
    def _taken_as(edge: Edge) -> str:
        return edge.hold.site.expression or _name(edge)

    def _told(self, name: str, edge: Edge) -> str:
        several = len(self._keys[name]) > 1 and edge.key.startswith("0x") and edge.key not in name
        return f"{name} at {edge.key}" if several else name

    def wanted(self, edge: Edge) -> str:
        return self._told(self.called(edge), edge)

    def held(self, edge: Edge) -> str:
        """As its holder calls it."""
        return self._told(self._taken_as(edge), edge)

    @property
    def several(self) -> bool:
        """Whether they cannot be told apart by their names."""
        return any(len(keys) > 1 for keys in self._keys.values())


def _words(window: Window, edge: Edge, names: _Names) -> str:
    """'a waits for lock (line), held by b (line)'."""
    waits = f"{window.name(edge.waiter)} waits for"
    spot = evidence.frame_spot(edge.wait_run.stack.user_leaf)
    if edge.via:
        return f"{waits} {graph.LINKS[edge.via].waits_for.format(window.name(edge.holder))} ({spot})"
    return f"{waits} {names.wanted(edge)} ({spot}), held by {window.name(edge.holder)} ({_hold_spot(edge.hold)})"


def _doubt(cycle: list[Edge]) -> str:
    """What of a cycle is not read from memory."""
    inferred = [e for e in cycle if e.confidence is not Confidence.EXACT]
    if all(e.via for e in inferred):
        return "Who empties the queue is concluded from who was seen to."
    return "The holders are inferred from the source, not read from memory."


def _hold_spot(hold: Hold) -> str:
    """Where it was taken."""
    site = hold.site
    return f"taken at {evidence.spot(site.file, site.line, site.function)}" if site.file else "taken somewhere"


def _stacks(window: Window, cycle: list[Edge]) -> tuple[StackEvidence, ...]:
    """Every thread of the circle once, with what it holds and what it waits for; then where each hold was taken."""
    out: tuple[StackEvidence, ...] = ()
    names = _Names(cycle)
    held = {e.holder: e for e in cycle}
    for edge in cycle:
        own = held.get(edge.waiter)
        own = own if own is not None and not own.via else None
        holds = f"holds {names.held(own)} ({_hold_spot(own.hold)}), " if own is not None else ""
        what = graph.LINKS[edge.via].waits_for.format(window.name(edge.holder)) if edge.via else names.wanted(edge)
        note = f"{holds}waits for {what}"
        out += evidence.shown("deadlocked", edge.waiter, window.name(edge.waiter), edge.wait_run.stack, note)
    return out


def _where_else(names: Sequence[str], several: bool) -> str:
    if len(names) > 1 and not several:
        return f"Where else are {' and '.join(names)} taken together? All those places need one order."
    locks = f" ({names[0]})" if names else ""
    return f"Where else are two of these locks{locks} taken together? All those places need one order."


_OUTSIDE = {"Future.result": "future.result()", "Queue.put": "queue.put(item)"}


def _fix(names: Sequence[str], links: set[str]) -> str:
    """`links`: the ways of waiting in the circle that are no locks."""
    if links:
        held = names[0] if names else "lock"
        call = next((_OUTSIDE[via] for via in sorted(links) if via in _OUTSIDE), "thread.join()")
        before = f"    with {held}: stop.set()" if call == "thread.join()" else f"    with {held}: ..."
        return (
            f"Release {held} before waiting for a thread that needs it.\n\n"
            f"{before}\n"
            f"    {call:<28} # outside\n\n"
            "This process needs a restart."
        )
    pair = ", ".join(names[:2]) if len(names) > 1 else "a, b"
    return (
        "Take these locks in one order, everywhere.\n\n"
        f"    first, second = sorted(({pair}), key=id)\n"
        "    with first, second: ...\n\n"
        "Or use one lock for both, or acquire(timeout=...) with a way back. This process needs a restart."
    )


RULE = Deadlock()
