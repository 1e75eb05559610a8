"""A sink that keeps everything, and the shares that follow from it."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from concview.engines.pyspy import PySpyEngine
from concview.model import NO_WAIT, Event, Hold, Label, Target, TaskWait, Wait


class KeepingSink:
    def __init__(self) -> None:
        self.generation = 0
        self.frames: dict[int, tuple[str, str, int]] = {}
        self.stacks: dict[int, tuple[int, ...]] = {}
        self.waits: dict[int, Wait] = {}
        self.names: dict[int, str] = {}
        self.natives: set[int] = set()
        self.gone: list[int] = []
        self.ticks: list[tuple[int, int, list[tuple[int, int, int, int]]]] = []
        self.events: list[Event] = []

    def _id(self, table: dict[int, Any], value: object) -> int:
        for number, known in table.items():
            if known == value:
                return number
        table[len(table) + 1] = value
        return len(table)

    def frame(self, function: str, file: str, line: int, native: bool = False) -> int:
        return self._id(self.frames, (function, file, line))

    def stack(self, frames: tuple[int, ...], truncated: bool = False) -> int:
        return self._id(self.stacks, frames)

    def task_wait(self, wait: TaskWait) -> int:
        return 0

    def label(self, label: Label) -> int:
        return 0

    def wait(self, wait: Wait) -> int:
        return self._id(self.waits, wait)

    def waited(self, number: int) -> Wait:
        return self.waits.get(number, NO_WAIT)

    def holds(self, holds: tuple[Hold, ...]) -> int:
        return 0

    def thread(self, tid: int, name: str, started_ns: int = 0, native: bool = False) -> None:
        self.names[tid] = name
        (self.natives.add if native else self.natives.discard)(tid)

    def thread_gone(self, tid: int, at_ns: int) -> None:
        self.gone.append(tid)

    def tick(
        self,
        at_ns: int,
        gil_holder: int,
        collecting: bool,
        rows: list[tuple[int, int, int, int]],
        gil_switches: int = -1,
    ) -> None:
        assert not self.ticks or at_ns > self.ticks[-1][0], "ticks are out of order"
        self.ticks.append((at_ns, gil_holder, rows))

    def emit(self, event: Event) -> None:
        self.events.append(event)

    # ------------------------------------------------------------ reading it

    def functions(self, stack: int) -> tuple[str, ...]:
        return tuple(self.frames[f][0] for f in self.stacks.get(stack, ()))

    def timeline(self, tid: int) -> Iterator[tuple[int, int, int, int, int]]:
        """(moment, weight, stack id, wait id, GIL holder) of every tick after the first."""
        state, before = (0, 0), 0
        for at, holder, rows in self.ticks:
            for row in rows:
                if row[0] == tid:
                    state = row[1], row[2]
            if before:
                yield at, at - before, *state, holder
            before = at

    def kinds(self, tid: int) -> Counter[str]:
        """Share of time per kind of wait."""
        total: Counter[str] = Counter()
        for _, weight, _, wait, _ in self.timeline(tid):
            total[str(self.waits[wait].kind) if wait else "?"] += weight
        span = sum(total.values())
        return Counter({k: v / span for k, v in total.items()})


def waited_ns(pid: int) -> int:
    """For how long the threads of a process waited for a CPU until now; 0 when it has ended."""
    total = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[1])
    return total


def watch(
    engine: PySpyEngine,
    sink: KeepingSink,
    pid: int,
    seconds: float,
    done: Callable[[], object] = lambda: True,
) -> dict[int, int]:
    """Open, tick at jittered moments of 100 Hz for so long and then until `done`, close.

    A busy machine gives py-spy its turn late: what is waited for is named in `done`, not hoped for within `seconds`.
    Returns for how many nanoseconds py-spy waited for a CPU since the tick before, by the moment of each tick.
    """
    engine.FINISH_S = 20.0  # the end of the last window, too, is waited for
    engine.open(Target(pid, "3", (), 0.0), sink)
    late: dict[int, int] = {}
    waited: dict[int, int] = {}
    try:
        began = due = looked = time.monotonic()
        while True:
            now = time.monotonic()
            if now > began + seconds and now > looked + 0.1:
                looked = now
                if done():
                    return late
                assert now < began + seconds + 60, "what is waited for did not happen"
            due = max(due, now) + random.uniform(0.005, 0.015)
            time.sleep(max(0.0, due - time.monotonic()))
            at = time.monotonic_ns()
            engine.tick(at)
            late[at] = 0
            for spy in (engine._current, engine._next):
                if spy is not None:
                    now_waited = waited_ns(spy.child_pid)
                    late[at] += max(0, now_waited - waited.setdefault(spy.child_pid, now_waited))
                    waited[spy.child_pid] = now_waited
    finally:
        engine.close()
