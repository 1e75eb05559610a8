"""A sink that keeps what an engine says, and ways to wait for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from concview.engines.direct import DirectEngine
from concview.model import NO_WAIT, Event, Hold, Label, TaskWait, Wait
from concview.process.discovery import describe
from waiting import passes

_T = TypeVar("_T")
FrameTuple = tuple[str, str, int]


class KeepingSink:
    """Implements `engines.base.Sink` with plain dicts."""

    def __init__(self) -> None:
        self.generation = 0
        self.reset()
        self.names: dict[int, tuple[str, bool]] = {}
        self.started: dict[int, int] = {}
        self.gone: list[int] = []
        self.ticks: list[tuple[int, int, bool]] = []
        self.events: list[Event] = []

    def reset(self) -> None:
        self.frames: list[FrameTuple | None] = [None]
        self.stacks: list[tuple[tuple[int, ...], bool]] = [((), False)]
        self.waits: list[Wait | None] = [None]
        self.hold_sets: list[tuple[Hold, ...]] = [()]
        self.task_waits: list[TaskWait | None] = [None]
        self.labels: list[Label | None] = [None]
        self._ids: dict[Any, int] = {}
        self.rows: dict[int, tuple[int, int, int, int]] = {}

    def _intern(self, table: list[Any], value: Any) -> int:
        key = (id(table), value)
        if key not in self._ids:
            self._ids[key] = len(table)
            table.append(value)
        return self._ids[key]

    def frame(self, function: str, file: str, line: int, native: bool = False) -> int:
        return self._intern(self.frames, (function, file, line))

    def stack(self, frames: tuple[int, ...], truncated: bool = False) -> int:
        assert all(0 < f < len(self.frames) for f in frames)
        return self._intern(self.stacks, (frames, truncated)) if frames else 0

    def wait(self, wait: Wait) -> int:
        return self._intern(self.waits, wait)

    def waited(self, number: int) -> Wait:
        return self.waits[number] or NO_WAIT

    def task_wait(self, wait: TaskWait) -> int:
        return self._intern(self.task_waits, wait)

    def label(self, label: Label) -> int:
        return self._intern(self.labels, label)

    def holds(self, holds: tuple[Hold, ...]) -> int:
        return self._intern(self.hold_sets, holds) if holds else 0

    def thread(self, tid: int, name: str, started_ns: int = 0, native: bool = False) -> None:
        self.names[tid] = (name, native)
        self.started[tid] = started_ns

    def thread_gone(self, tid: int, at_ns: int) -> None:
        self.gone.append(tid)
        self.names.pop(tid)
        self.rows.pop(tid, None)

    def tick(
        self,
        at_ns: int,
        gil_holder: int,
        collecting: bool,
        rows: list[tuple[int, int, int, int]],
        gil_switches: int = -1,
    ) -> None:
        self.ticks.append((at_ns, gil_holder, collecting))
        for row in rows:
            assert row[0] in self.names, "a row of a thread that was not announced"
            self.rows[row[0]] = row

    def emit(self, event: Event) -> None:
        self.events.append(event)

    # ------------------------------------------------------------------ questions

    def stack_of(self, tid: int) -> list[FrameTuple]:
        return [self.frames[f] for f in self.stacks[self.rows[tid][1]][0]] if tid in self.rows else []  # type: ignore[misc]

    def truncated(self, tid: int) -> bool:
        return self.stacks[self.rows[tid][1]][1]

    def wait_of(self, tid: int) -> Wait | None:
        return self.waits[self.rows[tid][2]] if tid in self.rows else None

    def holds_of(self, tid: int) -> tuple[Hold, ...]:
        return self.hold_sets[self.rows[tid][3]] if tid in self.rows else ()


@contextlib.contextmanager
def watching(pid: int, gentle: bool = False) -> Iterator[tuple[DirectEngine, KeepingSink]]:
    sink, engine = KeepingSink(), DirectEngine()
    engine.gentle = gentle
    engine.open(describe(pid), sink)
    try:
        yield engine, sink
    finally:
        engine.close()


def tick_until(
    engine: DirectEngine, condition: Callable[[], Any], seconds: float = 60.0, pause: float = 0.005, looks: bool = False
) -> Any:
    """Tick until the condition holds; its value. Fails at the deadline. `looks`: what is looked for beside the samples
    has its turn as well, every time."""
    deadline = time.monotonic() + seconds
    while True:
        engine.tick(time.monotonic_ns())
        if looks:
            for look in engine.looks:
                look.look(time.monotonic_ns(), 10_000_000)
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("the condition did not come true in time")
        time.sleep(pause)


def tick_until_right(engine: DirectEngine, wrong: Callable[[], Any], seconds: float = 60.0) -> None:
    """Tick until nothing of what stands still is told wrong. Fails at the deadline with what is."""
    deadline = time.monotonic() + seconds
    while True:
        engine.tick(time.monotonic_ns())
        found = wrong()
        if not found:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.005)


def tick_until_passes(
    engine: DirectEngine, check: Callable[[], _T], seconds: float = 60.0, pause: float = 0.005, looks: bool = False
) -> _T:
    """Tick until all that a function asserts is true; its value. Fails at the deadline with what is not."""

    def step() -> None:
        time.sleep(pause)
        engine.tick(time.monotonic_ns())
        for look in engine.looks if looks else ():
            look.look(time.monotonic_ns(), 10_000_000)

    return passes(check, seconds, step)


def ticks(engine: DirectEngine, count: int, pause: float = 0.002) -> None:
    for _ in range(count):
        engine.tick(time.monotonic_ns())
        time.sleep(pause)
