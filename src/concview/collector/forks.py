"""Copies of the target that it forked while it had other threads: which, where, and whether they are stuck."""

from __future__ import annotations

import time

import msgspec

from concview.collector.recorder import Recorder
from concview.engines.direct import DirectEngine
from concview.engines.pyspy.deep import deep_look
from concview.errors import TargetError, TargetGone
from concview.linux.children import Children, Copy
from concview.model import NO_WAIT, SETTLED_NS, Event, ForkedChild, Forks, Hold, Label, Struct, Target, TaskWait, Wait

EVERY_NS = 1_000_000_000
#: Looking may take this share of the time at most: with very many processes or threads it is done less often.
_SHARE = 0.002
#: The stack of a copy is read once, and once more when it is stuck; of no more copies than this (10-50 ms each).
MAX_LOOKS = 8
_MAX_FRAMES = 60
#: py-spy's dump takes 20 ms; sampling stands still meanwhile.
_PYSPY_S = 2.0


class _Place(Struct, frozen=True):
    function: str
    file: str
    line: int


class ForkWatch:
    """`poll` at any rate: it looks once a second, or less often where that is dear, and writes what has changed."""

    def __init__(self, target: Target, recorder: Recorder) -> None:
        self._target = target
        self._children = Children(target.pid)
        self._recorder = recorder
        self._due_ns = 0
        self._looks = 0
        self._stacks: dict[tuple[int, int], tuple[bool, tuple[_Place, ...]]] = {}
        self._told: tuple[object, ...] = ()

    def poll(self, now: int) -> None:
        if now < self._due_ns:
            return
        began = time.monotonic_ns()
        able = self._children.probe()
        copies = self._children.poll(now) if able.available else []
        self._due_ns = now + max(EVERY_NS, int((time.monotonic_ns() - began) / _SHARE))
        for copy in copies:
            self._look(copy)
        alive = {(c.pid, c.ticks) for c in copies}
        for key in self._stacks.keys() - alive:
            del self._stacks[key]
        recorder = self._recorder
        seen = tuple((c.pid, c.threads, c.stuck_ns, now - c.started_ns >= SETTLED_NS) for c in copies)
        state = (able, self._children.seen, recorder.generation, seen, len(self._stacks))
        if state != self._told:
            self._told = state
            rows = tuple(
                ForkedChild(c.pid, c.started_ns, c.others, c.threads, c.stuck_ns, self._stack(c)) for c in copies
            )
            recorder.emit(Forks(now, self._children.seen, rows, able.why, able.enable))

    def _look(self, copy: Copy) -> None:
        key = copy.pid, copy.ticks
        known = self._stacks.get(key)
        stuck = copy.stuck_ns > 0
        if self._looks >= MAX_LOOKS or (known is not None and known[0] >= stuck):
            return
        self._looks += 1
        self._stacks[key] = stuck, _main_stack(self._target, copy)

    def _stack(self, copy: Copy) -> int:
        _, places = self._stacks.get((copy.pid, copy.ticks), (False, ()))
        frame = self._recorder.frame
        return self._recorder.stack(tuple(frame(p.function, p.file, p.line) for p in places))


class _Catcher:
    """A sink that keeps one thread's stack."""

    generation = 0

    def __init__(self) -> None:
        self.places: list[_Place] = []
        self.stacks: list[tuple[int, ...]] = [()]
        self.rows: dict[int, int] = {}

    def frame(self, function: str, file: str, line: int, native: bool = False) -> int:
        self.places.append(_Place(function, file, line))
        return len(self.places) - 1

    def stack(self, frames: tuple[int, ...], truncated: bool = False) -> int:
        self.stacks.append(frames)
        return len(self.stacks) - 1

    def tick(
        self,
        at_ns: int,
        gil_holder: int,
        collecting: bool,
        rows: list[tuple[int, int, int, int]],
        gil_switches: int = -1,
    ) -> None:
        self.rows.update({row[0]: row[1] for row in rows})

    def wait(self, wait: Wait) -> int:
        return 0

    def waited(self, number: int) -> Wait:
        return NO_WAIT

    def holds(self, holds: tuple[Hold, ...]) -> int:
        return 0

    def task_wait(self, wait: TaskWait) -> int:
        return 0

    def label(self, label: Label) -> int:
        return 0

    def thread(self, tid: int, name: str, started_ns: int = 0, native: bool = False) -> None: ...

    def thread_gone(self, tid: int, at_ns: int) -> None: ...

    def emit(self, event: Event) -> None: ...


def _main_stack(target: Target, copy: Copy) -> tuple[_Place, ...]:
    """Where the copy's main thread is, leaf first: the outer end is where it was forked. Empty when unreadable."""
    child = msgspec.structs.replace(target, pid=copy.pid, start_ticks=copy.ticks)
    try:
        if not DirectEngine.probe(copy.pid).usable:
            return _by_pyspy(copy.pid)
        engine, catcher = DirectEngine(), _Catcher()
        try:
            engine.open(child, catcher)
            engine.tick(time.monotonic_ns())
        finally:
            engine.close()
    except (TargetError, TargetGone, OSError):  # it may be gone before it is looked at
        return ()
    frames = catcher.stacks[catcher.rows.get(copy.pid, 0)]
    if not frames:  # before 3.12 a forked thread keeps its parent's number in the interpreter's records
        frames = max(catcher.stacks, key=len)
    return tuple(catcher.places[f] for f in frames)[:_MAX_FRAMES]


def _by_pyspy(pid: int) -> tuple[_Place, ...]:
    threads = deep_look(pid, timeout_s=_PYSPY_S)
    frames = max((t.frames for t in threads), key=len, default=())
    frames = next((t.frames for t in threads if t.tid == pid and t.frames), frames)
    return tuple(_Place(f.function, f.file, f.line) for f in frames)[:_MAX_FRAMES]
