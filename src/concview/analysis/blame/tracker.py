"""Blame of a window, step by step with the stream: `Tracker.blame` behind each window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from concview.analysis.blame import words
from concview.analysis.blame.gain import Limit
from concview.analysis.blame.nouns import TAKEN, End, Node, Part
from concview.analysis.blame.summary import as_it_is, summarise
from concview.analysis.blame.verdict import judge
from concview.analysis.blame.window import MOST_NODES, Blamer
from concview.analysis.locks import distinct, sweep
from concview.analysis.window import Window
from concview.model import Confidence
from concview.snapshot import Blame
from concview.source.wakes import Wakes

#: More threads than these are not all looked at again for every picture.
MOST_NOW = 1_000


class Ahead(NamedTuple):
    """One step of the way: what is waited for, how those in the way stand to it, and who they are."""

    what: str  #: 'a permit of sem'
    had: str  #: 'held by'
    nodes: tuple[Node, ...]
    taken: bool = False  #: they have it; else they have yet to make it
    confidence: Confidence = Confidence.INFERRED


class Told(NamedTuple):
    """Of one thread or task at this moment, in words: who and what is in its way, and the end of that alone; and how
    many wait that it goes on."""

    because: str = ""
    root: str = ""
    waiting: int = 0
    way: tuple[Ahead, ...] = ()  #: the same step by step
    end: str = ""  #: where that leads, with its place


class Tracker:
    """One stream, in the order of time. `wakes`: the source of the target's files; without, only what was read."""

    def __init__(self, wakes: Wakes | None = None, budget: int = MOST_NODES) -> None:
        self._blamer = Blamer(wakes, budget)
        self._told: dict[int, tuple[object, Told]] = {}
        self._told_ns = -1

    def blame(self, window: Window, between: Callable[[], None] = lambda: None) -> Blame | None:
        """None before any thread was seen."""
        history = window.history
        self._blamer.advance(history, window.start_ns, between)
        # Whole slices: the window begins within one.
        slices = [s for s in self._blamer.slices if s.end_ns > window.start_ns]
        world = self._blamer.world
        best = world.kernel.names.best if world is not None else as_it_is
        found = summarise(slices, history, _limits(window), _held(window), best)
        return judge(found, history) if found is not None else None

    def now(self) -> dict[int, Told]:
        """By tid, or -id of a task, at the end of the stream.

        Of very many threads, those that do what they did a moment ago are told as they were then, and the others are
        left out until all are looked at again.
        """
        world = self._blamer.world
        if world is None:
            return {}
        threads, now_ns = world.history.threads, world.history.now_ns
        tasks = world.history.aio.tasks

        def run_of(node: int) -> object:
            """What it does: the same object while it does the same. None: it has ended."""
            row = threads.get(node) if node >= 0 else tasks.get(-node)
            return row.current if row is not None else None

        if len(threads) <= MOST_NOW or not 0 <= now_ns - self._told_ns < self._blamer.slice_ns(world.history):
            self._told_ns = now_ns
            self._told = {node: (run_of(node), told) for node, told in _told(self._blamer.now()).items()}
        return {node: told for node, (run, told) in self._told.items() if run is not None and run_of(node) is run}


def _told(found: Mapping[Node, list[Part]]) -> dict[Node, Told]:
    waiting: Counter[Node] = Counter()
    for node, parts in found.items():
        waiting.update({each for part in parts for each in (*part.owners, *part.nodes)} - {node})
    told = {}
    for node, parts in found.items():
        if parts[0].root.kind is not End.CPU or parts[0].path:
            part = words.largest(parts)
            said = words.because(parts), words.end(parts[0].root), waiting[node]
            told[node] = Told(*said, _way(part), words.end(part.root))
        elif waiting[node]:
            told[node] = Told(waiting=waiting[node])
    return told


def _way(part: Part) -> tuple[Ahead, ...]:
    """Of all that have a thing, the one by which the way goes comes first."""
    found = []
    for i, step in enumerate(part.path[:8]):
        first = part.nodes[i : i + 1]
        others = tuple(n for n in part.owners if n not in first) if not i else ()
        taken = step.via in TAKEN
        found.append(Ahead(words.waited_for(step), words.had(step), (*first, *others), taken, step.confidence))
    return tuple(found)


def _held(window: Window) -> list[tuple[frozenset[int], Limit]]:
    """What is had now and then and nobody waits for: it could be what they queue for next."""
    found = []
    for lock in window.locks.values():
        if lock.waits or not lock.holds or lock.ambiguous:
            continue
        depths = sweep(distinct(lock.holds))
        used = sum([(end - start) * n for start, end, n in depths]) / lock.window_ns
        most = max([n for _, _, n in depths], default=1)
        found.append((frozenset([one.tid for one in lock.holds]), Limit(used, most)))
    return found


def _limits(window: Window) -> tuple[float, float]:
    """The parts of the GIL and of the CPUs that are in use."""
    seen = sum(b.gil_seen_ns for b in window.buckets)
    gil = sum(b.gil_held_ns for b in window.buckets) / seen if seen else 0.0
    for id_ in window.history.interpreters.ticks:  # of several, the one that is used most
        sums = [b.gils[id_] for b in window.buckets if b.gils and id_ in b.gils]
        gil = max(gil, sum(s.held_ns for s in sums) / max(1, sum(s.seen_ns for s in sums)))
    cpu = (window.cpu_percent or 0.0) / 100 / max(1.0, window.cpus)
    return gil, cpu
