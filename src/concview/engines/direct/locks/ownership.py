"""What each thread holds: what its frames say, confirmed or taken back by the locks themselves, as rows have it."""

from __future__ import annotations

from collections.abc import Container

from concview.engines.direct.locks.rlock_owners import RLockOwners
from concview.engines.direct.locks.verify import Candidates, Verifier
from concview.engines.direct.thread_table import ThreadRow, ThreadTable
from concview.model import Hold
from concview.sink import Sink

_NUMBERS = 4096


class Ownership:
    """`judge` those who moved, then `confirm` once a tick. Sets `ThreadRow.holds`; `touched`: those whose it changed.

    `awake`: the wait ids of threads that run, or of which nothing is known.
    """

    def __init__(self, sink: Sink, table: ThreadTable, judge: Verifier, owners: RLockOwners) -> None:
        self._sink, self._table, self._judge, self._owners = sink, table, judge, owners
        self.awake: tuple[int, int] = (0, 0)
        self.touched: list[ThreadRow] = []
        self._framed: dict[int, tuple[Hold, ...]] = {}  #: tid -> what its frames say that it holds
        self._owned: dict[int, tuple[Hold, ...]] = {}  #: tid -> what the locks say that it holds
        self._candidates: dict[int, Candidates] = {}
        self._numbers: dict[int, tuple[tuple[Hold, ...], int]] = {}  #: by the tuple's own identity

    def renew(self) -> None:
        """The sink's ids are void."""
        for row in self._table.by_tid.values():
            row.holds = 0
        for known in (self._framed, self._owned, self._candidates, self._numbers):
            known.clear()

    def forget(self, tid: int) -> None:
        """The thread ended."""
        self._framed.pop(tid, None)

    def judge(self, moved: list[ThreadRow], looked: dict[int, Candidates | None]) -> None:
        """`looked`: tid -> what the frames of a thread whose stack has changed seem to hold."""
        for row in moved:
            tid = row.tid
            found = looked.get(tid)
            if found is None:
                if tid in self._framed or tid in self._candidates:
                    self._suspect(row, None)
            elif found is not self._candidates.get(tid) or found.holds is not self._framed.get(tid):
                self._suspect(row, found)

    def has(self, tid: int, lock: int) -> bool:
        """By what its frames say."""
        return any(hold.lock == lock for hold in self._framed.get(tid, ()))

    @property
    def asks(self) -> bool:
        """Whether `confirm` has something to do."""
        return bool(self._candidates or self._owners.any or self._owned)

    def confirm(self, moved: dict[int, Candidates | None], still: Container[int] | None = None) -> None:
        """Ask the locks themselves, where that can be: those of threads that stand still now, and RLocks.

        `still`: tids of which it is known that they have not moved; None: of all but `moved`."""
        if self.asks:
            self._confirm(moved, still)

    def _suspect(self, row: ThreadRow, found: Candidates | None) -> None:
        """Its frames say what it holds. Whether the locks' own state agrees is asked when it is seen to stand still:
        now it may have moved on already."""
        if found is None:
            self._candidates.pop(row.tid, None)
            if row.tid in self._framed:
                self._held(row, ())
            return
        holds = self._judge.judge(found, None)
        if holds is not self._framed.get(row.tid):
            self._held(row, holds)
        if found.found:
            self._candidates[row.tid] = found
        else:
            self._candidates.pop(row.tid, None)

    def _confirm(self, moved: dict[int, Candidates | None], known: Container[int] | None) -> None:
        by_tid = self._table.by_tid
        still: list[tuple[ThreadRow, Candidates]] = []
        for tid in [tid for tid in self._candidates if tid not in moved and (known is None or tid in known)]:
            row = by_tid.get(tid)
            if row is not None and row.states and row.wait in self.awake:
                continue
            found = self._candidates.pop(tid)
            if row is not None and row.states:
                still.append((row, found))
        waited = self._owners.waited(self._asleep)
        if waited:
            named = {hold.lock for holds in self._framed.values() for hold in holds}
            waited = [lock for lock in waited if lock not in named]
        states = self._judge.states([found for _, found in still], waited) if still or waited else {}
        for row, found in still:
            holds = self._judge.judge(found, states)
            if holds is not self._framed.get(row.tid):
                self._held(row, holds)
        self._own(self._owners.of(waited, states))

    def _own(self, owned: dict[int, tuple[Hold, ...]]) -> None:
        """RLocks that others wait for name their owner themselves, whichever way it took them."""
        by_tid = self._table.by_tid
        if not owned and not self._owned:
            return
        before, idents = self._owned, self._table.by_ident
        self._owned = {idents[ident]: holds for ident, holds in owned.items() if ident in idents}
        for tid in before.keys() | self._owned.keys():
            row = by_tid.get(tid)
            if row is not None and before.get(tid) != self._owned.get(tid):
                self._held(row, self._framed.get(tid, ()))

    def _asleep(self, tid: int) -> bool:
        row = self._table.by_tid.get(tid)
        return row is not None and row.wait not in self.awake

    def _held(self, row: ThreadRow, holds: tuple[Hold, ...]) -> None:
        if holds:
            self._framed[row.tid] = holds
        else:
            self._framed.pop(row.tid, None)
        owned = self._owned.get(row.tid)
        if owned:
            known = {h.lock for h in holds}
            holds += tuple([h for h in owned if h.lock not in known])
        row.holds = self._number(holds) if holds else 0
        self.touched.append(row)

    def _number(self, holds: tuple[Hold, ...]) -> int:
        """The sink's id. Most often it is the very same tuple again, and hashing its holds costs more than the rest."""
        known = self._numbers.get(id(holds))
        if known is not None and known[0] is holds:
            return known[1]
        if len(self._numbers) >= _NUMBERS:
            self._numbers.clear()
        number = self._sink.holds(holds)
        self._numbers[id(holds)] = holds, number
        return number
