"""Who may have changed since the last tick: those who were on a CPU.

A thread that was blocked and has not been on a CPU since stands where it stood. The kernel's count of runs (schedstat)
says so, at a third of the price of a wait state.
"""

from __future__ import annotations

from collections.abc import Collection
from os import pread

from concview.engines.direct.thread_table import ThreadRow
from concview.linux.waits import SHORT_LINE, Slot, WaitReader

#: Everything is read this often all the same, nanoseconds: answers that were provisional get another chance.
_FULL_NS = 500_000_000
#: While most threads run all the time, up to so many ticks look at everybody without asking first who ran.
_NOT_ASKED = 16


class ScheduledThreads:
    def __init__(self, waits: WaitReader) -> None:
        self._waits = waits
        self.awake: tuple[int, ...] = (0,)  #: ids of waits that mean: on a CPU, or not known
        self._full_at = 0
        #: Those off the CPU with their files, and those on it, as of the last tick; None: someone changed sides.
        self._still: list[tuple[ThreadRow, Slot]] | None = None
        self._up: list[ThreadRow] = []
        self._not_asked = self._pause = 0  #: ticks left that do not ask, and how many the next time

    def changed_sides(self) -> None:
        """Someone began or stopped to wait, came or went."""
        self._still = None

    def everybody(self) -> None:
        """The next tick looks at everybody."""
        self._full_at = 0
        self._still = None

    def ask(self, at_ns: int, everyone: Collection[ThreadRow]) -> list[ThreadRow] | None:
        """Who may have changed since the last tick; None: look at everybody, because it is time or they are many.

        Who is not among them certainly was not on a CPU, if it was off it when its wait state was read after the last
        call: it stands where it stood, in memory and in the kernel. (One that was woken and has no CPU yet counts as
        not having run.) 1 µs each, where the wait state takes 2-3. Also those of whom it cannot be told.
        """
        if at_ns >= self._full_at:
            self._full_at = at_ns + _FULL_NS
            return None
        left = self._not_asked
        if left:
            self._not_asked = left - 1
            if left > 1:
                return None
        still, up = self._still, self._up
        if still is None or len(still) + len(up) != len(everyone):
            still, up = self._sides(everyone)
        ran: list[ThreadRow] = []
        for row, slot in still:
            try:
                schedule = pread(slot.schedule_fd, SHORT_LINE, 0)
            except OSError:  # it ended, or cannot be asked
                ran.append(row)
                continue
            if schedule != slot.schedule:
                slot.schedule = schedule
                ran.append(row)
        if left:
            return None  # they may have run at any time since they were last asked
        ran += up
        if 2 * len(ran) <= len(everyone):
            self._pause = 0
            return ran
        self._not_asked = self._pause
        self._pause = min(_NOT_ASKED, 2 * self._pause or 2)
        return None

    def _sides(self, everyone: Collection[ThreadRow]) -> tuple[list[tuple[ThreadRow, Slot]], list[ThreadRow]]:
        awake, slot_of = self.awake, self._waits.slot
        self._still = [(row, slot_of(row.tid)) for row in everyone if row.wait not in awake]
        self._up = [row for row in everyone if row.wait in awake]
        return self._still, self._up
