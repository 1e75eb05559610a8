"""What a stream says of tasks, kept as it stands now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from collectors import nursery
from concview.collector.recorder import Recorder
from concview.engines.direct import DirectEngine
from concview.model import (
    AsyncObject,
    AsyncObjects,
    Event,
    Forget,
    Frame,
    FrameDef,
    Hold,
    HoldsDef,
    Loops,
    Outcome,
    StackDef,
    TaskDef,
    TasksGone,
    TaskState,
    TaskTick,
    TaskWait,
    TaskWaitDef,
)
from concview.process.discovery import describe
from concview.session import LiveSource, Session
from concview.snapshot import Blame
from concview.source.facts import SourceFacts
from waiting import NOT_YET, passes

_T = TypeVar("_T")


@dataclass
class Row:
    """One task as last told."""

    id: int
    name: str
    function: str
    loop: int
    wait: TaskWait = field(default_factory=lambda: TaskWait(TaskState.UNKNOWN))
    stack: tuple[Frame, ...] = ()
    holds: tuple[Hold, ...] = ()
    since_ns: int = 0
    due_ns: int = 0
    awaits: tuple[int, ...] = ()
    awaited: int = 0
    seconds: dict[str, float] = field(default_factory=dict)  #: by state, weighted as ticks say

    @property
    def state(self) -> str:
        return self.wait.state.name.lower()


def blame_passes(pid: int, check: Callable[[Blame], object]) -> None:
    """What is said of a process's waits comes to be all that is asserted of it; after 38 seconds of the stream the last
    check says what it is not."""
    session = Session(LiveSource(pid, "direct", 50.0, 50.0, launcher=nursery()))
    session.start()
    try:
        for seconds in range(3, 39):
            blame = session.wait(float(seconds)).blame
            try:
                assert blame is not None
                check(blame)
                return
            except NOT_YET:
                if seconds == 38:
                    raise
    finally:
        session.close()


class Told:
    """The collector's own recorder, and a reader of what it writes."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.tasks: dict[int, Row] = {}
        self.definitions: dict[int, TaskDef] = {}
        self.gone: dict[int, Outcome] = {}
        self.loops: Loops | None = None
        self.objects: dict[int, AsyncObject] = {}
        self.more = self.alive = self.unseen = 0
        self.clock = 0  #: sum of dt_ns
        self.torn = 0
        self._reset()

    def _reset(self) -> None:
        self.frames: dict[int, Frame] = {}
        self.stacks: dict[int, tuple[Frame, ...]] = {0: ()}
        self.waits: dict[int, TaskWait] = {}
        self.holds: dict[int, tuple[Hold, ...]] = {0: ()}

    def add(self, event: Event) -> None:
        """Implements what `Recorder` needs of a `codec.Writer`."""
        self.events.append(event)
        if isinstance(event, FrameDef):
            self.frames[event.id] = event.frame
        elif isinstance(event, StackDef):
            self.stacks[event.id] = tuple(self.frames[f] for f in event.frames)
        elif isinstance(event, TaskWaitDef):
            self.waits[event.id] = event.wait
        elif isinstance(event, HoldsDef):
            self.holds[event.id] = event.holds
        elif isinstance(event, Forget):
            self._reset()
        elif isinstance(event, TaskDef):
            self.definitions[event.id] = event
            function = self.frames[event.function].function if event.function else ""
            if event.id in self.tasks:
                self.tasks[event.id].name = event.name
            else:
                assert event.id not in self.gone, "an id was used again"
                self.tasks[event.id] = Row(event.id, event.name, function, event.loop)
        elif isinstance(event, TaskTick):
            self._tick(event)
        elif isinstance(event, TasksGone):
            for id_, outcome in zip(event.tasks[::2], event.tasks[1::2], strict=True):
                self.gone[id_] = Outcome(outcome)
                del self.tasks[id_]
        elif isinstance(event, Loops):
            self.loops = event
        elif isinstance(event, AsyncObjects):
            self.objects, self.more = {o.id: o for o in event.objects}, event.more

    def _tick(self, tick: TaskTick) -> None:
        changes, awaits = tick.changes, list(tick.awaits)
        self.alive, self.unseen, self.torn = tick.alive, tick.unseen, self.torn + tick.torn
        for i in range(0, len(changes), 6):
            id_, stack, wait, holds, since, due = changes[i : i + 6]
            row = self.tasks[id_]
            row.stack, row.wait, row.holds = self.stacks[stack], self.waits[wait], self.holds[holds]
            row.since_ns, row.due_ns = since, due
            if row.state != "task":
                row.awaits, row.awaited = (), 0
        while awaits:
            id_, total, count = awaits[:3]
            self.tasks[id_].awaits, self.tasks[id_].awaited = tuple(awaits[3 : 3 + count]), total
            del awaits[: 3 + count]
        self.clock += tick.dt_ns
        for row in self.tasks.values():
            row.seconds[row.state] = row.seconds.get(row.state, 0.0) + tick.dt_ns / 1e9

    # ------------------------------------------------------------------ questions

    @property
    def complete(self) -> bool:
        """All living tasks, all that they share, and their loops have been told."""
        told = all(row.wait.object in self.objects for row in self.tasks.values() if row.wait.object)
        return bool(told and self.objects and not self.more and self.loops and not self.unseen)

    def by_name(self) -> dict[str, Row]:
        return {row.name: row for row in self.tasks.values()}

    def object(self, kind: str, name: str = "") -> AsyncObject | None:
        return next((o for o in self.objects.values() if o.kind == kind and (not name or o.name == name)), None)


class Watch:
    def __init__(self, pid: int) -> None:
        described = describe(pid)
        self.told = Told()
        self.engine = DirectEngine()
        self.recorder = Recorder(self.told, SourceFacts(pid, described.started))  # type: ignore[arg-type]
        self.engine.open(described, self.recorder)

    def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Tick until the condition holds; its value. Fails at the deadline."""
        deadline = time.monotonic() + seconds
        while True:
            self.engine.tick(time.monotonic_ns())
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, "the condition did not come true in time"
            time.sleep(0.005)

    def until_passes(self, check: Callable[[], _T], seconds: float = 60.0) -> _T:
        """Tick until all that a function asserts is true; its value. Fails at the deadline with what is not."""

        def step() -> None:
            time.sleep(0.005)
            self.engine.tick(time.monotonic_ns())

        return passes(check, seconds, step)

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.engine.tick(time.monotonic_ns())
            time.sleep(0.005)


@contextlib.contextmanager
def watched(pid: int) -> Iterator[Watch]:
    watch = Watch(pid)
    try:
        yield watch
    finally:
        watch.engine.close()
