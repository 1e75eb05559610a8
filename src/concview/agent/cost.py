"""What counting costs the program: measured where it is paid, not taken from a table.

The agent's own thread runs a few small loops before its hooks are set and again behind, and takes the CPU time of both.
That is 1 to 4 ms of work for each window. Python 3.11 runs all code slower under a profiler, calls or none; the loop
without calls tells.

Runs inside targets: Python 3.8 and newer, standard library only.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any

_TIMES = range(50)
_MORE = range(300)
#: The quickest of so many rounds: the others were disturbed.
_ROUNDS = 7


def _inner(a: Any, b: Any) -> Any:
    return a


def _outer(a: Any, b: Any) -> Any:
    return _inner(b, a)


def _python() -> None:
    for n in _TIMES:
        _outer(n, n)


def _builtin(function: Any = len, argument: Any = ()) -> None:
    for _ in _TIMES:
        function(argument)
        function(argument)


def _loop() -> None:
    x = 0
    for n in _MORE:
        x += n * n
        if x > 9000:
            x = n


def _quickest(run: Any) -> float:
    best = 1.0
    for _ in range(_ROUNDS):
        began = time.thread_time()
        run()
        best = min(best, time.thread_time() - began)
    return best


def _now() -> tuple[float, float, float]:
    """CPU seconds as things are: of a call of a Python function, of a built-in one, of a loop without calls."""
    calls = 2.0 * len(_TIMES)
    return _quickest(_python) / calls, _quickest(_builtin) / calls, _quickest(_loop)


class Meter:
    """Of one window. `begin` with the hooks not yet set, `hooked` with them set; both in the agent's thread."""

    def __init__(self) -> None:
        self._bare = self._hooked = (0.0, 0.0, 1.0)
        self._cpu = 0.0

    def begin(self) -> None:
        self._bare = _now()

    def hooked(self) -> None:
        self._hooked = _now()
        self._cpu = _program_cpu()

    def used(self) -> float:
        """CPU seconds of the program since the hooks were set."""
        return max(0.0, _program_cpu() - self._cpu)

    def account(self, python: int, builtin: int, used: float, factor: tuple[float, int]) -> dict[str, Any]:
        """For so many calls counted, in CPU seconds: what counting them took; what they take uncounted even if they do
        nothing; what the program used. `drag`: how many times as long code takes between its calls. `factor` and
        `functions`: of rates.Rates, the measured one."""
        bare, hooked = self._bare, self._hooked
        spent = python * max(0.0, hooked[0] - bare[0]) + builtin * max(0.0, hooked[1] - bare[1])
        return {
            "spent": min(spent, used),  # the small loops may have run at a worse moment than the program
            "bare": python * bare[0] + builtin * bare[1],
            "used": used,
            "drag": max(1.0, hooked[2] / bare[2]),
            "factor": factor[0],
            "functions": factor[1],
        }


def _program_cpu() -> float:
    """Of the process without the agent's thread, in which this runs."""
    return time.process_time() - time.thread_time()
