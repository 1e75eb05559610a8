"""How much slower counting makes the program, measured: the CPU it uses per call of its own functions, before and while
calls are counted. From Python 3.12 on; older ones cannot count some calls only.

For a moment before the window sys.monitoring counts the first calls of every function, and then leaves that function
alone: that costs at most LIMIT small callbacks for each.

Runs inside targets: Python 3.12 and newer, standard library only.
"""

from __future__ import annotations

import sys
import time
from itertools import count

from .originals import original

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any

#: Length of the look before (seconds), in parts: it is over when a function was called ENOUGH times.
PART_S, PARTS = 0.2, 4
ENOUGH = 100
#: A function is counted up to so many calls.
LIMIT = 1_000
#: Fewer calls, before or in the window, say nothing.
FEWEST = 20
#: CPU of one callback (seconds), taken off. [M] 0.15 to 0.25 µs. Where they were more than this share, nothing is said.
CALLBACK_S, MOST = 0.2e-6, 0.3
#: Where the functions do not agree better (half of them, by weight, within this ratio), the program does not work
#: steadily enough for a comparison.
AGREE = 1.5
_NAME = "concview"
_SUSPENDED = 0x20 | 0x80 | 0x200  # generators: a profiler counts when they go on, too


class Rates:
    """`look` once; then `factor` as often as wanted."""

    def __init__(self) -> None:
        self._before: dict[Any, tuple[int, float]] = {}  #: code -> calls, CPU seconds that the program used in them
        self._tool = -1

    def look(self) -> None:
        """Blocks for PART_S to PARTS times as long. Does nothing where it cannot, or where a debugger or the like uses
        sys.monitoring."""
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None or any(monitoring.get_tool(t) is not None for t in range(6)):
            return
        tool = 3  # as in counts.py
        counters: dict[Any, Any] = {}
        first: dict[Any, tuple[float, int]] = {}
        full: dict[Any, tuple[int, float, int]] = {}
        disable, now = monitoring.DISABLE, time.process_time
        everything = [0]  # roughly: not worth a lock

        def started(code: Any, offset: int) -> Any:
            everything[0] += 1
            counter = counters.get(code)
            if counter is None:
                first[code] = now(), everything[0]
                counter = counters.setdefault(code, count(1))
            n = next(counter)
            if n == LIMIT:
                full[code] = n - 1, now() - first[code][0], everything[0] - first[code][1]
            return disable if n >= LIMIT else None

        monitoring.use_tool_id(tool, _NAME)
        self._tool = tool
        own = time.thread_time()
        began = now()
        try:
            monitoring.register_callback(tool, monitoring.events.PY_START, started)
            monitoring.set_events(tool, monitoring.events.PY_START)
            for _ in range(PARTS):
                original("time", "sleep")(PART_S)
                if any(_calls(counter) >= ENOUGH for counter in list(counters.values())):
                    break
        finally:
            self.abandon()
        used = now() - began - (time.thread_time() - own)
        found = {code: (_calls(c), used, everything[0]) for code, c in list(counters.items())}
        found.update(full)
        self._before = {
            code: (calls, cpu - callbacks * CALLBACK_S)
            for code, (calls, cpu, callbacks) in found.items()
            if calls >= FEWEST and not code.co_flags & _SUSPENDED and 0 < callbacks * CALLBACK_S < MOST * cpu
        }

    def abandon(self) -> None:
        """In a forked child, too."""
        tool, self._tool = self._tool, -1
        monitoring = getattr(sys, "monitoring", None)
        if tool >= 0 and monitoring is not None and monitoring.get_tool(tool) == _NAME:
            monitoring.set_events(tool, 0)
            # What was left alone is to be counted again by whoever comes next; nobody else is concerned.
            monitoring.restart_events()
            monitoring.register_callback(tool, monitoring.events.PY_START, None)
            monitoring.free_tool_id(tool)

    def factor(self, calls: dict[Any, int], used: float) -> tuple[float, int]:
        """How many times the CPU a unit of work takes, and by how many functions that is told; (0, 0): not known.
        `calls` of each code object in the window, in which the program used so much CPU."""
        ratios = []
        for code, (n, cpu) in self._before.items():
            m = calls.get(code, 0)
            if m >= FEWEST:
                ratios.append(((used / m) / (cpu / n), min(n, m, LIMIT)))
        if not ratios or used <= 0:
            return 0.0, 0
        ratios.sort(key=_first)
        low, middle, high = (_quantile(ratios, q) for q in (0.25, 0.5, 0.75))
        return (middle, len(ratios)) if high <= AGREE * low else (0.0, 0)


def _calls(counter: Any) -> int:
    """repr of a count is 'count(N)', N being the next number: reading it does not take one."""
    return int(repr(counter)[6:-1]) - 1


def _quantile(sorted_pairs: list[tuple[float, int]], q: float) -> float:
    """Of (value, weight)."""
    left = q * sum(weight for _, weight in sorted_pairs)
    for value, weight in sorted_pairs:
        left -= weight
        if left <= 0:
            return value
    return sorted_pairs[-1][0]


def _first(pair: tuple[float, int]) -> float:
    return pair[0]
