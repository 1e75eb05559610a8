"""Who may have changed since the last tick: those who were on a CPU.

A thread that was blocked and has not been on a CPU since stands where it stood. The kernel's count of runs (schedstat)
says so, at a third of the price of a wait state.

Where a tick has no room for all threads (`ask` with a bound), it asks and looks at the next ones of a ring. Everyone's
turn comes equally often, whatever they do: else those that wait for long would be seen more often, or less, than they
should. A thread counts as where it was last seen until its next turn.
"""

from __future__ import annotations

from collections.abc import Collection
from os import pread
from time import thread_time_ns

from concview.engines.direct.thread_table import ThreadRow
from concview.linux.waits import SHORT_LINE, Slot, WaitReader

#: Everything is read this often all the same, nanoseconds: answers that were provisional get another chance.
_FULL_NS = 500_000_000
#: While most threads run all the time, up to so many ticks look at everybody without asking first who ran.
_NOT_ASKED = 16
#: In parts: who has not run is looked at again after so long, sooner where the answer was provisional.
_AGAIN_NS, _PROVISIONAL_NS = 5_000_000_000, 500_000_000
#: What asking one and looking at one is taken to cost before it was measured, nanoseconds, and what is believed.
_ASK_NS, _LOOK_NS = 1_500, 60_000
_CHEAPEST_NS, _DEAREST_NS = 5_000, 500_000
#: What a tick that looks at nobody is taken to cost.
_TICK_NS = 300_000
#: The whole is looked at again when a round has fitted into so much of a tick's room so many times in a row.
_WHOLE_SHARE, _WHOLE_TICKS = 0.6, 8


class ScheduledThreads:
    def __init__(self, waits: WaitReader) -> None:
        self._waits = waits
        self.awake: tuple[int, ...] = (0,)  #: ids of waits that mean: on a CPU, or not known
        self._full_at = 0
        #: Those off the CPU with their files, and those on it, as of the last tick; None: someone changed sides.
        self._still: list[tuple[ThreadRow, Slot]] | None = None
        self._up: list[ThreadRow] = []
        self._not_asked = self._pause = 0  #: ticks left that do not ask, and how many the next time
        self.ran: list[ThreadRow] | None = None  #: where all are looked at: those that may have run; None: any
        self.still: set[int] = set()  #: in parts: tids that the last tick has asked about, and that have not run
        self.in_parts = False  #: the last tick had no room for everybody
        self.asked = 0  #: how many threads the last tick has asked about
        self._ring: list[ThreadRow] = []
        self._at = self._fitted = 0
        self._ask_ns, self._look_ns = float(_ASK_NS), float(_LOOK_NS)
        self._asking_ns = 0  #: what asking took in this tick

    def changed_sides(self) -> None:
        """Someone began or stopped to wait, came or went."""
        self._still = None

    def somebody_went(self) -> None:
        self._still = None
        self._ring = []

    def everybody(self) -> None:
        """The next tick looks at everybody."""
        self._full_at = 0
        self._still = None

    def ask(self, at_ns: int, everyone: Collection[ThreadRow], room_ns: int = 0) -> list[ThreadRow] | None:
        """Who may have changed since the last tick; None: look at everybody, because it is time or they are many.
        `room_ns`: CPU time that this tick may take; in parts then, where it has to be. 0: no bound.

        Who is not among them certainly was not on a CPU, if it was off it when its wait state was read after the last
        call: it stands where it stood, in memory and in the kernel. (One that was woken and has no CPU yet counts as
        not having run.) 1 µs each, where the wait state takes 2-3. Also those of whom it cannot be told.
        """
        if self.in_parts and room_ns:
            return self._part(at_ns, everyone, room_ns)
        self.in_parts = False
        self.asked = len(everyone)
        self.ran = None
        if at_ns >= self._full_at:
            self._full_at = at_ns + _FULL_NS
            # Their wait states are read all the same: answers that were provisional.
            self.ran = self._asked_who_ran(everyone) if not self._not_asked else None
            return None
        left = self._not_asked
        if left:
            self._not_asked = left - 1
            if left > 1:
                return None
        ran = self._asked_who_ran(everyone)
        if left:
            return None  # they may have run at any time since they were last asked
        if 2 * len(ran) <= len(everyone):
            self._pause = 0
            return ran
        self._not_asked = self._pause
        self._pause = min(_NOT_ASKED, 2 * self._pause or 2)
        return None

    def _asked_who_ran(self, everyone: Collection[ThreadRow]) -> list[ThreadRow]:
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
        return ran + up

    def _sides(self, everyone: Collection[ThreadRow]) -> tuple[list[tuple[ThreadRow, Slot]], list[ThreadRow]]:
        awake, slot_of = self.awake, self._waits.slot
        self._still = [(row, slot_of(row.tid)) for row in everyone if row.wait not in awake]
        self._up = [row for row in everyone if row.wait in awake]
        return self._still, self._up

    # ------------------------------------------------------------------ in parts

    def expect(self, threads: int, room_ns: int) -> None:
        """So many threads have never been looked at."""
        self.in_parts = threads * self._look_ns > 4 * room_ns

    def fits(self, room_ns: int) -> int:
        """How many can be looked at in so much time."""
        return max(1, int(room_ns / self._look_ns))

    def cost(self, looked: int, spent_ns: int, room_ns: int) -> None:
        """The tick has looked at so many and taken so much CPU time."""
        if not room_ns:
            return
        if not self.in_parts:
            # One that is dear by chance (many are new) would not need it.
            self._fitted = self._fitted + 1 if spent_ns > room_ns else 0
            if self._fitted > 2 or spent_ns > 4 * room_ns:
                self.in_parts, self._fitted, self._ring = True, 0, []
            return
        if self.asked > 16:
            self._ask_ns += 0.1 * (min(_CHEAPEST_NS * 4, self._asking_ns / self.asked) - self._ask_ns)
        if looked:
            alone = spent_ns - self._asking_ns - min(_TICK_NS, spent_ns // 2)
            each = max(_CHEAPEST_NS, min(_DEAREST_NS, alone / looked))
            self._look_ns += 0.2 * (each - self._look_ns)
        whole = self.asked >= len(self._ring) and spent_ns < _WHOLE_SHARE * room_ns
        self._fitted = self._fitted + 1 if whole else 0
        if self._fitted >= _WHOLE_TICKS:
            self.in_parts, self._fitted, self._still = False, 0, None
            self._not_asked = self._pause = 0

    def _part(self, at_ns: int, everyone: Collection[ThreadRow], room_ns: int) -> list[ThreadRow]:
        """The next ones, as many as there is room for: at least one."""
        began = thread_time_ns()
        ring = self._ring
        if len(ring) != len(everyone):
            ring = self._ring = list(everyone)
        self.asked = 0
        still = self.still = set()
        if not ring:
            return []
        awake, slot_of, ask, look = self.awake, self._waits.slot, self._ask_ns, self._look_ns
        room, at, chosen = float(room_ns), self._at % len(ring), list[ThreadRow]()
        asked = 0
        while asked < len(ring) and (room > 0 or not asked):
            asked += 1
            row = ring[at]
            at = at + 1 if at + 1 < len(ring) else 0
            room -= ask
            slot = slot_of(row.tid)
            since = at_ns - row.looked_ns
            ran = row.wait in awake or since > (_AGAIN_NS if slot.left < 0 else _PROVISIONAL_NS)
            try:
                schedule = pread(slot.schedule_fd, SHORT_LINE, 0)
            except OSError:  # it ended, or cannot be asked
                ran = True
            else:
                ran = ran or schedule != slot.schedule
                slot.schedule = schedule
            if ran:
                row.looked_ns = at_ns
                chosen.append(row)
                room -= look
            else:
                still.add(row.tid)
        self.asked, self._at = asked, at
        self._asking_ns = thread_time_ns() - began
        return chosen
