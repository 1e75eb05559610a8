"""Blame of a window, step by step with the stream: `Tracker.blame` behind each window."""

from __future__ import annotations

from collections.abc import Callable

from concview.analysis.blame import words
from concview.analysis.blame.nouns import End
from concview.analysis.blame.summary import summarise
from concview.analysis.blame.verdict import judge
from concview.analysis.blame.window import MOST_NODES, Blamer
from concview.analysis.window import Window
from concview.snapshot import Blame
from concview.source.wakes import Wakes


class Tracker:
    """One stream, in the order of time. `wakes`: the source of the target's files; without, only what was read."""

    def __init__(self, wakes: Wakes | None = None, budget: int = MOST_NODES) -> None:
        self._blamer = Blamer(wakes, budget)

    @property
    def blamer(self) -> Blamer:
        return self._blamer

    def blame(self, window: Window, between: Callable[[], None] = lambda: None) -> Blame | None:
        """None before any thread was seen."""
        history = window.history
        self._blamer.advance(history, window.start_ns, between)
        # Whole slices: the window begins within one.
        slices = [s for s in self._blamer.slices if s.end_ns > window.start_ns]
        found = summarise(slices, history, _limits(window))
        return judge(found, history) if found is not None else None

    def now(self) -> dict[int, tuple[str, str]]:
        """tid -> (who and what is in its way at the end of the stream, the end alone). In words."""
        return {
            tid: (words.because(parts), words.end(parts[0].root))
            for tid, parts in self._blamer.now().items()
            if parts[0].root.kind is not End.CPU or parts[0].path
        }


def _limits(window: Window) -> tuple[float, float]:
    """The parts of the GIL and of the CPUs that are in use."""
    seen = sum(b.gil_seen_ns for b in window.buckets)
    gil = sum(b.gil_held_ns for b in window.buckets) / seen if seen else 0.0
    cpu = (window.cpu_percent or 0.0) / 100 / max(1.0, window.cpus)
    return gil, cpu
