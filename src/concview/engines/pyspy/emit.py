"""Past moments, turned into the stream's events in time order."""

from __future__ import annotations

import contextlib

from concview.engines.base import Tally
from concview.engines.pyspy.join import Cursor, Moment
from concview.engines.pyspy.threads import Task, stat_fields
from concview.engines.pyspy.trace import FrameKey, Stack
from concview.sink import Sink
from concview.source.facts import absolute

#: What a thread with neither a seen stack nor a wait looks like; differs from every real pair.
_NOTHING = (None, -1)


class Emitter:
    """Keeps what the sink knows already, so that only changes are passed on."""

    def __init__(self, sink: Sink, tally: Tally, pid: int) -> None:
        self._sink = sink
        self._tally = tally
        self._pid = pid
        self._generation = sink.generation
        self._frames: dict[FrameKey, int] = {}
        self._last: dict[int, tuple[Stack | None, int]] = {}
        self._named: dict[int, tuple[str, bool]] = {}
        self._table: object = None
        self._paths: dict[str, str] = {}

    def moment(self, moment: Moment, timelines: dict[int, Cursor] | None, natives: bool = False) -> None:
        """One tick. Without `timelines` the stacks are unknown (0).

        `natives`: a thread that py-spy does not show is a C library's, for it has lived long enough to be seen.
        """
        sink = self._sink
        if self._generation != sink.generation or self._table is not moment.table:
            self._forget(moment)
        last, tasks = self._last, moment.tids
        at = moment.at_ns
        rows: list[tuple[int, int, int, int]] = []
        seen = 0
        for tid, number in moment.rows:
            cursor = timelines.get(tid) if timelines is not None else None
            stack = cursor.at(at) if cursor is not None else None
            if tid not in self._named:
                self._first(tasks[tid])
            if cursor is None and natives and not self._named[tid][1]:
                self._native(tasks[tid], at)
            seen += 1
            before = last.get(tid, _NOTHING)
            if before[0] is not stack or before[1] != number:
                last[tid] = (stack, number)
                shown = self._stack(stack) if stack is not None else 0
                rows.append((tid, shown, moment.table.sink_id(number, sink), 0))
        if len(last) > seen:
            self._ended(moment)
        sink.tick(at, moment.gil_holder, moment.collecting, rows, moment.gil_switches)
        self._tally.samples += 1

    def name(self, tid: int, name: str, started_ns: int) -> None:
        """py-spy says how a Python thread is called."""
        if self._named.get(tid) != (name, False):
            self._named[tid] = (name, False)
            self._sink.thread(tid, name or self._nameless(tid), started_ns)

    def _nameless(self, tid: int) -> str:
        """A program that never imports threading has no names, nor has a thread that threading did not start."""
        if tid == self._pid:
            return "MainThread"
        with contextlib.suppress(OSError):
            return stat_fields(f"/proc/{self._pid}/task/{tid}/stat")[0] or f"thread {tid}"
        return f"thread {tid}"

    def _first(self, task: Task) -> None:
        """A thread that py-spy has not named yet goes by the kernel's name."""
        self._named[task.tid] = (task.comm, False)
        self._sink.thread(task.tid, task.comm, task.started_ns)

    def _native(self, task: Task, at_ns: int) -> None:
        if at_ns - task.started_ns > 500_000_000:
            self._named[task.tid] = (task.comm, True)
            self._sink.thread(task.tid, task.comm, task.started_ns, native=True)

    def _ended(self, moment: Moment) -> None:
        alive = {tid for tid, _ in moment.rows}
        for tid in [t for t in self._last if t not in alive]:
            del self._last[tid]
            self._named.pop(tid, None)
            self._sink.thread_gone(tid, moment.at_ns)

    def _forget(self, moment: Moment) -> None:
        """Ids, or the numbers behind them, are void: everything is told again."""
        if self._generation != self._sink.generation:
            self._generation = self._sink.generation
            self._frames.clear()
        self._table = moment.table
        for tid in self._last:
            self._last[tid] = _NOTHING

    def _stack(self, stack: Stack) -> int:
        if stack.generation != self._generation:
            stack.generation = self._generation
            stack.id = self._sink.stack(tuple(map(self._frame, stack.frames)), stack.truncated)
        return stack.id

    def _frame(self, key: FrameKey) -> int:
        found = self._frames.get(key)
        if found is None:
            function, file, line = key
            if len(self._frames) > 50_000:
                self._frames.clear()
            found = self._frames[key] = self._sink.frame(function, self._path(file), line)
        return found

    def _path(self, file: str) -> str:
        """Absolute where that can be."""
        if file.startswith(("/", "<")) or not file:
            return file
        found = self._paths.get(file)
        if found is None:
            if len(self._paths) > 10_000:
                self._paths.clear()
            found = self._paths[file] = absolute(self._pid, file)
        return found
