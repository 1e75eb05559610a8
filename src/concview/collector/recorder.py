"""The sink of the engines: interns what they saw and writes it as events."""

from __future__ import annotations

from concview.codec import Writer
from concview.model import (
    NO_WAIT,
    Event,
    Forget,
    Frame,
    FrameDef,
    Hold,
    HoldsDef,
    Label,
    LabelDef,
    StackDef,
    TaskWait,
    TaskWaitDef,
    ThreadDef,
    ThreadGone,
    Tick,
    Wait,
    WaitDef,
)
from concview.source.facts import SourceFacts
from concview.text import clean

#: Tables larger than this are forgotten as a whole: a program that makes ever new stacks (deep recursion with changing
#: lines, generated code) must not make us grow. About 20 MB at the limit.
MAX_FRAMES = 40_000
MAX_STACKS = 40_000
MAX_WAITS = 20_000
MAX_LABELS = 5_000
#: A stack is shown up to this depth.
MAX_DEPTH = 2_000

_Row = tuple[int, int, int, int]


class Recorder:
    """Implements `engines.base.Sink`. Times in nanoseconds of CLOCK_MONOTONIC."""

    def __init__(self, writer: Writer, facts: SourceFacts) -> None:
        self.generation = 0
        self._writer = writer
        self._facts = facts
        self._frames: dict[tuple[str, str, int, bool], int] = {}
        self._stacks: dict[tuple[tuple[int, ...], bool], int] = {}
        self._waits: dict[Wait, int] = {}
        self._task_waits: dict[TaskWait, int] = {}
        self._waited: dict[int, Wait] = {}
        self._holds: dict[tuple[Hold, ...], int] = {(): 0}
        self._labels: dict[Label, int] = {}
        self._names: dict[int, tuple[str, bool]] = {}
        self._last: dict[int, _Row] = {}
        self._previous_ns = 0
        self._next = 1
        self._grown = False  #: a table has a new entry since the bounds were last looked at
        self.ticks = 0

    def _id(self) -> int:
        self._grown = True
        self._next += 1
        return self._next

    def frame(self, function: str, file: str, line: int, native: bool = False) -> int:
        key = (function, file, line, native)
        known = self._frames.get(key)
        if known is not None:
            return known
        function_, file_ = clean(function), clean(file, 1000)
        if native:
            frame = Frame(function_, file_, line, origin="native")
        else:
            facts = self._facts.lookup(function, file, line)
            text, checkout = clean(facts.text), facts.checkout
            frame = Frame(function_, file_, line, text, facts.origin, facts.holds, facts.acquires, checkout)
        number = self._frames[key] = self._id()
        self._writer.add(FrameDef(number, frame))
        return number

    def stack(self, frames: tuple[int, ...], truncated: bool = False) -> int:
        if not frames:
            return 0
        key = (frames, truncated)
        known = self._stacks.get(key)
        if known is not None:
            return known
        number = self._stacks[key] = self._id()
        self._writer.add(StackDef(number, frames[:MAX_DEPTH], truncated or len(frames) > MAX_DEPTH))
        return number

    def wait(self, wait: Wait) -> int:
        known = self._waits.get(wait)
        if known is not None:
            return known
        number = self._waits[wait] = self._id()
        self._waited[number] = wait
        self._writer.add(WaitDef(number, wait))
        return number

    def waited(self, number: int) -> Wait:
        return self._waited.get(number, NO_WAIT)

    def task_wait(self, wait: TaskWait) -> int:
        known = self._task_waits.get(wait)
        if known is not None:
            return known
        number = self._task_waits[wait] = self._id()
        self._writer.add(TaskWaitDef(number, wait))
        return number

    def holds(self, holds: tuple[Hold, ...]) -> int:
        known = self._holds.get(holds)
        if known is not None:
            return known
        number = self._holds[holds] = self._id()
        self._writer.add(HoldsDef(number, holds))
        return number

    def label(self, label: Label) -> int:
        known = self._labels.get(label)
        if known is not None:
            return known
        number = self._labels[label] = self._id()
        self._writer.add(LabelDef(number, label))
        return number

    def thread(self, tid: int, name: str, started_ns: int = 0, native: bool = False) -> None:
        name = clean(name)
        if self._names.get(tid) != (name, native):
            self._names[tid] = (name, native)
            self._writer.add(ThreadDef(tid, name, started_ns, native))

    def thread_gone(self, tid: int, at_ns: int) -> None:
        if self._names.pop(tid, None) is not None:
            self._last.pop(tid, None)
            self._writer.add(ThreadGone(tid, at_ns))

    def tick(self, at_ns: int, gil_holder: int, collecting: bool, rows: list[_Row], gil_switches: int = -1) -> None:
        last = self._last
        changes: list[int] = []
        for row in rows:
            if last.get(row[0]) != row:
                last[row[0]] = row
                changes += row
        elapsed = at_ns - self._previous_ns if self._previous_ns else 0
        self._previous_ns = at_ns
        self.ticks += 1
        self._writer.add(Tick(at_ns, elapsed, gil_holder, collecting, tuple(changes), gil_switches))
        # Only between ticks: the ids an engine just used must stay valid within one.
        if self._grown:
            self._grown = False
            if (
                len(self._frames) > MAX_FRAMES
                or len(self._stacks) > MAX_STACKS
                or len(self._waits) + len(self._task_waits) + len(self._holds) > MAX_WAITS
                or len(self._labels) > MAX_LABELS
            ):
                self._forget(at_ns)

    def emit(self, event: Event) -> None:
        self._writer.add(event)

    def _forget(self, at_ns: int) -> None:
        self.generation += 1
        for table in (
            self._frames,
            self._stacks,
            self._waits,
            self._waited,
            self._task_waits,
            self._labels,
            self._last,
        ):
            table.clear()
        self._holds = {(): 0}
        self._next = 1
        self._writer.add(Forget(at_ns))
