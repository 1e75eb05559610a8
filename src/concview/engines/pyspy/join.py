"""Our own samples of the kernel joined by time with what py-spy saw.

A stack that py-spy saw change at a moment changed at some time since its sample before: on average 1/rate earlier, for
it samples at Poisson moments. Left alone, that delay would charge the first milliseconds of every busy phase to the
function that slept before it. The kernel's samples narrow it down: a stack cannot change while its thread stays blocked
in one call, so a change belongs to the border of a blocked episode where there is one between the two samples.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from concview.engines.pyspy.threads import Task
from concview.engines.pyspy.trace import Stack, Trace, Track
from concview.model import NO_WAIT, Wait, WaitKind
from concview.sink import Sink

#: A thread that the kernel shows like this may be executing Python code: its stack may change.
_MOVING = frozenset({WaitKind.RUNNING, WaitKind.GIL, WaitKind.UNKNOWN})
#: How far back a change is looked for, in mean sampling intervals: py-spy stays away longer once in 20,000 samples.
_REACH = 10
#: The same while the thread runs, where nothing marks the moment: it stays away longer once in 400.
_MOVING_REACH = 6
#: Two of py-spy's events this close belong to one sample.
_SAME_SAMPLE_NS = 1_000_000
#: py-spy stamps a sample when it is complete, this long after it looked (measured: 0.5 ms with 6 threads).
_STAMP_NS = 500_000
_FOREVER = 1 << 63


class WaitTable:
    """Waits by small numbers of our own, 0 unknown: the sink's numbers may be void by the time a moment is emitted."""

    LIMIT = 10_000

    def __init__(self) -> None:
        self.waits: list[Wait] = [NO_WAIT]
        self.moving: list[bool] = [True]
        self._numbers: dict[Wait, int] = {}
        self._ids: list[int] = [0]
        self._generation = -1

    def number(self, wait: Wait) -> int:
        found = self._numbers.get(wait)
        if found is None:
            found = self._numbers[wait] = len(self.waits)
            self.waits.append(wait)
            self.moving.append(wait.kind in _MOVING)
        return found

    def sink_id(self, number: int, sink: Sink) -> int:
        if self._generation != sink.generation:
            self._generation = sink.generation
            self._ids = [0]
        ids = self._ids
        if number >= len(ids):
            ids.extend([-1] * (len(self.waits) - len(ids)))
        if ids[number] < 0:
            ids[number] = sink.wait(self.waits[number])
        return ids[number]


class Moment:
    """One tick of ours. `rows`: (kernel thread id, number in `table`) of every thread; `tids`: the threads.

    `gil_state`: the holder's PyThreadState, for a holder that is not known yet (-2).
    """

    __slots__ = ("at_ns", "collecting", "gil_holder", "gil_state", "gil_switches", "rows", "table", "tids")

    def __init__(
        self,
        at_ns: int,
        gil_holder: int,
        gil_state: int,
        collecting: bool,
        rows: list[tuple[int, int]],
        table: WaitTable,
        tids: dict[int, Task],
        gil_switches: int = -1,
    ) -> None:
        self.at_ns = at_ns
        self.gil_holder = gil_holder
        self.gil_state = gil_state
        self.gil_switches = gil_switches
        self.collecting = collecting
        self.rows = rows
        self.table = table
        self.tids = tids


class Waits:
    """What one thread waited for at our ticks: parallel lists."""

    __slots__ = ("at", "moving", "number")

    def __init__(self) -> None:
        self.at: list[int] = []
        self.number: list[int] = []
        self.moving: list[bool] = []


def place(seen: list[int], samples: list[int], waits: Waits, mean_ns: int) -> list[int]:
    """When the stacks that py-spy saw from `seen[i]` on really began. The first one is left as it is.

    `samples`: moments at which py-spy is known to have looked. `mean_ns`: its mean sampling interval.
    """
    starts = seen[:1]
    for i in range(1, len(seen)):
        at = seen[i]
        before = bisect_right(samples, at - _SAME_SAMPLE_NS) - 1
        lower = max(starts[-1], at - _REACH * mean_ns, samples[before] - _STAMP_NS if before >= 0 else 0)
        until = seen[i + 1] if i + 1 < len(seen) else _FOREVER
        starts.append(max(starts[-1], min(at, _begin(starts[-1], lower, at, until, waits, mean_ns))))
    return starts


def _begin(old: int, lower: int, at: int, until: int, waits: Waits, mean_ns: int) -> int:
    """The most likely begin, after `lower` and up to `at`, of a stack that is there from `at` to `until`.

    `old`: when the stack before it began.
    """
    ticks, moving, number = waits.at, waits.moving, waits.number
    first, after = bisect_right(ticks, lower), bisect_right(ticks, at)
    if first == after:
        return at  # no tick of ours between the two samples
    last = after - 1
    lasts = after < len(ticks) and until > ticks[after]  # the new stack is still there at our next tick
    i = last
    if not moving[last]:
        if after == len(ticks) or (number[after] != number[last] and lasts):
            return at  # blocked just before, in the old stack: it changed on waking up
        while i > first and number[i - 1] == number[i]:
            i -= 1
        if i > first or (i > 0 and number[i - 1] != number[i] and old <= ticks[i - 1]):
            return ticks[i]  # blocked in the new stack: since the episode began, which the old one ran up to
        return max((lower + at) // 2, at - mean_ns)  # two calls in a row that look alike
    if lasts and not moving[after]:
        return at  # it goes on to block: most likely the call was made just now
    while i > first and moving[i - 1] and at - ticks[i - 1] < _MOVING_REACH * mean_ns:
        i -= 1
    if i > 0 and not moving[i - 1]:
        return ticks[i]  # it woke up here: the call had returned
    return max((lower + at) // 2, at - mean_ns)


class Cursor:
    """Position of one thread in its timeline."""

    __slots__ = ("_i", "_stacks", "_starts")

    def __init__(self, starts: list[int], stacks: list[Stack | None]) -> None:
        self._starts = starts
        self._stacks = stacks
        self._i = -1

    def at(self, at_ns: int) -> Stack | None:
        """The stack at a moment not before the last one asked for."""
        starts, i = self._starts, self._i
        while i + 1 < len(starts) and starts[i + 1] <= at_ns:
            i += 1
        self._i = i
        return self._stacks[i] if i >= 0 else None


def cursors(
    trace: Trace, tracks: dict[int, Track], moments: list[Moment], mean_ns: int, result: dict[int, Cursor]
) -> Iterator[None]:
    """Timelines by kernel thread id, put into `result`. Yields between pieces of work.

    `tracks`: kernel thread id -> what py-spy saw of it.
    """
    changing = {tid: Waits() for tid, track in tracks.items() if len(track.times) > 1}
    for i, moment in enumerate(moments):
        moving = moment.table.moving
        for tid, number in moment.rows:
            waits = changing.get(tid)
            if waits is not None:
                waits.at.append(moment.at_ns)
                waits.number.append(number)
                waits.moving.append(moving[number])
        if i % 16 == 15:
            yield
    for tid, track in tracks.items():
        if tid in changing:
            starts = place(track.times, trace.sample_times, changing[tid], mean_ns)
            yield
        else:
            starts = track.times
        result[tid] = Cursor(starts, track.stacks)
