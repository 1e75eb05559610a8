"""Interpreters beside the main one, and their GILs: who runs in which, who has and who waits for which GIL."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from concview.analysis.records import GilSums, GilTick, ProcessBucket
from concview.model import Interpreters, OtherGils, Tick

MAIN = 0
#: A worker comes back to the main interpreter between two calls: it counts as where it was for so long.
LEFT_NS = 2_000_000_000


class InterpreterHistory:
    """Of a process with one interpreter it is empty."""

    def __init__(self) -> None:
        self.gil_of: dict[int, int] = {}  #: interpreter -> the one whose GIL it uses; all there are, the main one too
        self.of_thread: dict[int, int] = {}  #: tid -> interpreter, of those that run in another than the main one
        self.ticks: dict[int, deque[GilTick]] = {}  #: of each GIL but the main interpreter's
        self._left: dict[int, tuple[int, int]] = {}  #: tid -> interpreter that it was in last, and when it left
        self._states: dict[int, tuple[int, int]] = {}  #: its holder and switches

    def gil(self, tid: int) -> int:
        """Id of the interpreter whose GIL that thread needs now."""
        inside = self.of_thread.get(tid, MAIN)
        return self.gil_of.get(inside, inside)

    def mostly(self, tid: int, now_ns: int) -> int:
        """As `gil`, of the last moments."""
        inside = self.of_thread.get(tid, MAIN)
        if inside == MAIN and tid in self._left:
            last, left_ns = self._left[tid]
            inside = last if now_ns - left_ns < LEFT_NS else MAIN
        return self.gil_of.get(inside, inside)

    def own(self) -> list[int]:
        """Interpreters beside the main one that have a GIL of their own."""
        return [i for i, gil in self.gil_of.items() if i == gil != MAIN]

    def apply(self, event: Interpreters | OtherGils) -> None:
        if isinstance(event, Interpreters):
            before = self.of_thread
            self.gil_of = {row.id: row.gil for row in event.rows}
            self.of_thread = {tid: row.id for row in event.rows for tid in row.threads if row.id != MAIN}
            self._left = {t: seen for t, seen in self._left.items() if event.at_ns - seen[1] < LEFT_NS}
            self._left |= {t: (i, event.at_ns) for t, i in before.items() if self.of_thread.get(t) != i}
            self.ticks = {i: self.ticks.get(i) or deque() for i in self.own()}
        else:
            flat = event.states
            self._states = {flat[i]: (flat[i + 1], flat[i + 2]) for i in range(0, len(flat) - 2, 3)}

    def tick(self, tick: Tick, waiters: Iterable[int], bucket: ProcessBucket | None) -> tuple[int, dict[int, int]]:
        """Of the threads that wait for a GIL, those that wait for the main interpreter's; and who holds another GIL:
        interpreter -> tid."""
        waiting = Counter(self.gil(tid) for tid in waiters)
        holders = {}
        for id_, ticks in self.ticks.items():
            holder, switches = self._states.get(id_, (0, -1))
            now = GilTick(tick.at_ns, tick.dt_ns, holder, waiting[id_], switches, tick.collecting)
            ticks.append(now)
            holders[id_] = holder
            if bucket is not None:
                if bucket.gils is None:
                    bucket.gils = {}
                bucket.gils.setdefault(id_, GilSums()).add(now)
        return waiting[MAIN], holders

    def prune(self, before_ns: int) -> None:
        for ticks in self.ticks.values():
            while ticks and ticks[0].at_ns < before_ns:
                ticks.popleft()
