"""Exact calls as rules look at them: functions over all threads, their rates, who calls what how often."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from concview.analysis.calls import Function, by_function
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue.base import Inapplicable
from concview.model import Frame, Stack, State, Where
from concview.text import duration, file_name

#: Below so many calls in the whole window nothing is concluded.
MIN_CALLS = 200


class Exact:
    """The last window of counted calls. Times are of the wall clock and contain what counting costs: 0.1 to 0.3 µs a
    call; rates are lower than without it. Both make what is measured the least that can be."""

    def __init__(self, window: Window) -> None:
        account = window.history.account
        if account is None:
            raise Inapplicable("no calls were counted")
        self.seconds = max(account.seconds, 1e-3)
        self.functions: dict[int, Function] = by_function(account.rows)
        self.rows = account.rows

    def rate(self, calls: float) -> float:
        """Calls a second."""
        return calls / self.seconds

    def at(self, frame: Frame) -> Function | None:
        """The function that a sampled frame is in."""
        name = bare(frame.function)
        fits = [f for f in self.functions.values() if f.file == frame.file and bare(f.name) == name]
        above = [f for f in fits if f.line <= frame.line]
        return max(above, key=lambda f: f.line) if above else None

    def callees(self, function: Function) -> Iterator[tuple[Function, int, float]]:
        """(callee, calls, total seconds) of the calls that it makes itself."""
        for index, (calls, _, total, _) in function.callees.items():
            other = self.functions.get(index)
            if other is not None:
                yield other, calls, total

    def calls_of(self, function: Function, wanted: Callable[[Function], bool]) -> tuple[int, float]:
        """(calls, total seconds) of those callees."""
        found = [(n, s) for f, n, s in self.callees(function) if wanted(f)]
        return sum(n for n, _ in found), sum(s for _, s in found)


def on_cpu(thread: ThreadWindow) -> float:
    """The part of a computing thread's time that it had a CPU and the GIL: the clock of calls runs on without them."""
    running = thread.share(State.RUNNING)
    wanted = running + thread.share(State.RUNNABLE, State.GIL)
    return running / wanted if wanted > 0 else 1.0


def had_cpu(thread: ThreadWindow) -> float:
    """The part of the time in which a thread wanted a CPU that it had one: on a machine that others keep busy, all it
    does is done less often. Not less than a twentieth: below that, too little was seen of it to multiply by."""
    running = thread.share(State.RUNNING)
    wanted = running + thread.share(State.RUNNABLE)
    return max(0.05, running / wanted) if wanted > 0 else 1.0


def micro(seconds: float) -> str:
    """Short times with a digit more than elsewhere: '0.9 µs'."""
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-5 else duration(seconds)


def bare(name: str) -> str:
    """'get' for 'Cache.get'."""
    return name.rpartition(".")[2]


def place(function: Function) -> Where:
    return Where(function.file, function.line, function.name)


def spot(function: Function) -> str:
    """'Cache.get (cache.py:39)'."""
    return f"{function.name} ({file_name(function.file)}:{function.line})"


def seen_in(window: Window, function: Function) -> tuple[int, str, Stack] | None:
    """(tid, name, stack) of a sample in that function, for the evidence; None when it never was in one."""
    for thread, slice_ in window.slices():
        for frame in slice_.run.stack.frames:
            if frame.file == function.file and bare(frame.function) == bare(function.name):
                return thread.tid, thread.name, slice_.run.stack
    return None
