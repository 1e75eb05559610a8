"""Which Python processes are below the target: a master that only waits for them must not look like all there is."""

from __future__ import annotations

import time

from concview.collector.recorder import Recorder
from concview.model import Worker, Workers
from concview.process.tree import Tree

EVERY_NS = 2_000_000_000
#: Looking may take this share of the time at most.
_SHARE = 0.003
#: Ended ones that are told.
MOST_ENDED = 32


class WorkerWatch:
    """`poll` at any rate."""

    def __init__(self, pid: int, recorder: Recorder) -> None:
        self._tree = Tree(pid)
        self._recorder = recorder
        self._due_ns = self._at_ns = 0
        self._cpu: dict[tuple[int, int], float] = {}
        self._told = False

    def poll(self, now: int) -> None:
        if now < self._due_ns:
            return
        began = time.monotonic_ns()
        below = [m for m in self._tree.members() if m.parent]
        self._due_ns = now + max(EVERY_NS, int((time.monotonic_ns() - began) / _SHARE))
        elapsed = (now - self._at_ns) / 1e9 if self._at_ns else 0.0
        rows = tuple(
            Worker(
                m.pid,
                m.start_ticks,
                m.parent,
                m.role,
                m.name,
                100 * (m.cpu_s - self._cpu[m.key]) / elapsed if elapsed and m.key in self._cpu else -1.0,
                m.threads,
            )
            for m in below
        )
        self._cpu = {m.key: m.cpu_s for m in below}
        self._at_ns = now
        ended = tuple(self._tree.ended[:MOST_ENDED])
        if rows or ended or self._told:
            self._told = bool(rows or ended)
            self._recorder.emit(Workers(now, rows, self._tree.more, ended))
