"""Call counts with sys.monitoring, for Pythons that yappi has no build for. Counts only: no times, no threads.

Runs inside targets: Python 3.12 and newer, standard library only.
"""

from __future__ import annotations

import sys
import time
from itertools import count

from .calls import LIVE_ROWS, Refused, python_name
from .cost import Meter
from .rates import Rates
from .wire import plain

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any

#: The window ends when this many functions were seen: a program that makes ever new code must not fill its memory.
MAX_FUNCTIONS = 20_000
FINAL_ROWS = 4000
_NAME = "concview"


class _Counters(dict):  # type: ignore[type-arg]
    """A counter for every code object; `next` of one is a single step that no other thread can come between."""

    def __missing__(self, code: Any) -> Any:
        return self.setdefault(code, count(1))


class CountWindow:
    """The same interface as `calls.CallWindow`."""

    source = "monitoring"
    clock = "none"
    origin = "sys.monitoring"

    def __init__(self, seconds: float) -> None:
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None:
            raise Refused("Python %s has no way to count the calls of all threads without yappi" % python_name())
        self._monitoring: Any = monitoring
        self.seconds = seconds
        self.started = 0.0
        self._meter, self._rates = Meter(), Rates()
        self._counters = _Counters()
        # 0 is for debuggers, 1 for coverage, 2 for profilers, 5 for optimisers: 3 and 4 are anybody's.
        for tool in (3, 4):
            if monitoring.get_tool(tool) is None:
                self._tool = tool
                return
        raise Refused("other tools use both free places of sys.monitoring in the target")

    def start(self) -> None:
        monitoring, tool = self._monitoring, self._tool
        self._rates.look()
        self._meter.begin()
        monitoring.use_tool_id(tool, _NAME)
        self.started = time.monotonic()
        counters = self._counters

        def started(code: Any, offset: int) -> None:
            next(counters[code])

        monitoring.register_callback(tool, monitoring.events.PY_START, started)
        monitoring.set_events(tool, monitoring.events.PY_START)
        self._meter.hooked()

    @property
    def over(self) -> bool:
        return time.monotonic() - self.started >= self.seconds or len(self._counters) > MAX_FUNCTIONS

    @property
    def contexts(self) -> int:
        return 0

    def stop(self) -> bool:
        monitoring, tool = self._monitoring, self._tool
        if not self.started or monitoring.get_tool(tool) != _NAME:
            return True
        self.ended, self._used = time.monotonic(), self._meter.used()
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, monitoring.events.PY_START, None)
        clean = monitoring.get_events(tool) == 0
        monitoring.free_tool_id(tool)
        return bool(clean)

    def clear(self) -> None:
        self._counters.clear()

    def abandon(self) -> None:
        self._rates.abandon()
        self.stop()

    def account(self, final: bool) -> dict[str, Any]:
        # repr of a count is 'count(N)', N being the next number: reading it does not take one.
        rows = [(int(repr(counter)[6:-1]) - 1, code) for code, counter in list(self._counters.items())]
        rows = [row for row in rows if row[1].co_filename.rpartition("/")[0] != _HERE]
        rows.sort(key=_calls, reverse=True)
        limit = FINAL_ROWS if final else LIVE_ROWS
        used = self._used if final else self._meter.used()
        return {
            "source": self.source,
            "clock": self.clock,
            "seconds": (self.ended if final else time.monotonic()) - self.started,
            "calls": sum(row[0] for row in rows),
            "cost": self._meter.account(
                sum(row[0] for row in rows), 0, used, self._rates.factor({code: n for n, code in rows}, used)
            ),
            "dropped": max(0, len(rows) - limit),
            "threads": [],
            "rows": [
                [
                    index,
                    plain(getattr(code, "co_qualname", code.co_name)),
                    plain(code.co_filename, 1000),
                    code.co_firstlineno,
                    calls,
                    calls,
                    0.0,
                    0.0,
                    0,
                    [],
                ]
                for index, (calls, code) in enumerate(rows[:limit])
            ],
        }


def _calls(row: Any) -> int:
    return int(row[0])


#: Where the agent's own code comes from, whose calls are not the program's.
_HERE = _calls.__code__.co_filename.rpartition("/")[0]
