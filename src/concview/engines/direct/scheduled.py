"""Who may have changed since the last tick: those who were on a CPU.

A thread that was blocked and has not been on a CPU since stands where it stood. The kernel's count of runs (schedstat)
says so, at a third of the price of a wait state.

Where a tick has no room for all threads (`ask` with a bound), it asks and looks at the next ones of a ring. Everyone's
turn comes equally often, whatever they do: else those that wait for long would be seen more often, or less, than they
should. A thread counts as where it was last seen until its next turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Container
from os import pread
from time import thread_time_ns

from concview.engines.direct.thread_table import ThreadRow
from concview.linux.waits import SHORT_LINE, Slot, WaitReader

#: Everything is read this often all the same, nanoseconds: answers that were provisional get another chance.
_FULL_NS = 500_000_000
#: ... but so often where nobody has run since: only those whose answer was provisional are asked again, and no stack
#: is read.
_FULL_AT_REST_NS = 5_000_000_000
#: While most threads run all the time, up to so many ticks look at everybody without asking first who ran.
_NOT_ASKED = 16
#: In parts: who has not run is looked at again after so long, sooner where the answer was provisional; later where that
#: would take more than its share of a tick.
_AGAIN_NS, _PROVISIONAL_NS = 5_000_000_000, 500_000_000
#: What asking one and looking at one is taken to cost before it was measured, nanoseconds, and what is believed.
_ASK_NS, _LOOK_NS = 1_500, 60_000
_CHEAPEST_NS, _DEAREST_NS = 5_000, 500_000
#: What a tick that looks at nobody is taken to cost.
_TICK_NS = 300_000
#: The whole is looked at again when a round has fitted into so much of a tick's room so many times in a row.
_WHOLE_SHARE, _WHOLE_TICKS = 0.6, 8


#: Asking again what a thread waits for takes so long (nanoseconds), and may take this share of a tick's room.
_WAIT_NS, _AGAIN_SHARE = 3_000, 0.2
#: By records: after so many ticks somebody is looked at who has not run.
_ALL_THE_SAME = 40
#: With fewer threads, going through all of them is as cheap as keeping the book.
_BOOK_PAYS = 50


class _AllBut(Container[int]):
    def __init__(self, tids: set[int]) -> None:
        self._tids = tids

    def __contains__(self, tid: object) -> bool:
        return tid not in self._tids


class ScheduledThreads:
    def __init__(self, waits: WaitReader) -> None:
        self._waits = waits
        self.awake: tuple[int, ...] = (0,)  #: ids of waits that mean: on a CPU, or not known
        self._full_at = 0
        self._ran_since = True  #: somebody ran since everybody was looked at, by records; else when that was:
        self._whole_ns = 0
        #: Those off the CPU with their files, and those on it, as of the last tick; None: someone changed sides.
        self._still: list[tuple[ThreadRow, Slot]] | None = None
        self._up: list[ThreadRow] = []
        self._not_asked = self._pause = 0  #: ticks left that do not ask, and how many the next time
        self.ran: list[ThreadRow] | None = None  #: where all are looked at: those that may have run; None: any
        #: Who has run since he was looked at, as far as the tick had no room; None: not known by records.
        self._stale: dict[int, None] | None = None
        self._again_ns = self._ticks = 0
        self.waits_only: list[ThreadRow] = []  #: who has not run, but is to be asked again what it waits for
        self.still: Container[int] = (
            frozenset()
        )  #: in parts: tids that the last tick has asked about, and that have not run
        self.in_parts = False  #: the last tick had no room for everybody
        self.asked = 0  #: how many threads the last tick has asked about
        self._ring: list[ThreadRow] = []
        self._at = self._again_at = self._fitted = self._turn = self._members = 0
        self._ask_ns, self._look_ns = float(_ASK_NS), float(_LOOK_NS)
        self._asking_ns = 0  #: what asking took in this tick

    @property
    def computing(self) -> bool:
        """Whether somebody was on a CPU when he was last looked at."""
        return bool(self._up)

    def changed_sides(self) -> None:
        """Someone began or stopped to wait, came or went."""
        self._still = None

    def somebody_went(self) -> None:
        self._still = None
        self._ring = []

    def everybody(self) -> None:
        """The next tick looks at everybody."""
        self._full_at = 0
        self._ran_since = True
        self._stale = None
        self._still = None

    def ask(
        self, at_ns: int, by_tid: dict[int, ThreadRow], room_ns: int = 0, recorded: set[int] | None = None
    ) -> list[ThreadRow] | None:
        """Who may have changed since the last tick; None: look at everybody, because it is time or they are many.
        `room_ns`: CPU time that this tick may take; in parts then, where it has to be. 0: no bound.
        `recorded`: who ran by the kernel's own records, where there are some; then nobody is asked one by one.

        Who is not among them certainly was not on a CPU, if it was off it when its wait state was read after the last
        call: it stands where it stood, in memory and in the kernel. (One that was woken and has no CPU yet counts as
        not having run.) 1 µs each, where the wait state takes 2-3. Also those of whom it cannot be told.
        """
        everyone = by_tid.values()
        if recorded is not None and (len(by_tid) >= _BOOK_PAYS or (self.in_parts and room_ns)):
            return self._by_records(at_ns, by_tid, room_ns, recorded)
        if self._stale:
            self._full_at = 0  # some have run that were not looked at yet
            self._ran_since = True
        self._stale = None
        self.waits_only = []
        if self.in_parts and room_ns:
            return self._part(at_ns, everyone, room_ns)
        self.in_parts = False
        self.asked = len(everyone)
        if recorded is not None:
            return self._few_by_records(at_ns, everyone, recorded)
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

    # ------------------------------------------------------------------ by records

    def _few_by_records(
        self, at_ns: int, everyone: Collection[ThreadRow], recorded: set[int]
    ) -> list[ThreadRow] | None:
        still, up = self._still, self._up
        if still is None or len(still) + len(up) != len(everyone):
            still, up = self._sides(everyone)
        # Also those who compute since before anybody looked, and have no record yet.
        ran = [row for row, _ in still if row.tid in recorded] + up if recorded else up.copy()
        self._not_asked = 0
        self._ran_since = self._ran_since or bool(ran)
        if at_ns >= self._full_at:
            self._full_at = at_ns + _FULL_NS
            if not self._ran_since and at_ns - self._whole_ns < _FULL_AT_REST_NS:
                provisional = self._waits.provisional
                self.waits_only = [row for row, _ in still if provisional(row.tid)]
                self.ran = None
                return ran
        elif 2 * len(ran) <= len(everyone):
            self.ran = None
            return ran
        self._ran_since, self._whole_ns = bool(ran), at_ns
        self.ran = ran
        return None

    def _by_records(
        self, at_ns: int, by_tid: dict[int, ThreadRow], room_ns: int, ran: set[int]
    ) -> list[ThreadRow] | None:
        measured = self.in_parts and room_ns > 0
        began = thread_time_ns() if measured else 0
        stale = self._stale
        if stale is None:
            # What happened before the records began is not known.
            stale = dict.fromkeys(by_tid)
            self._still = None
        stale.update(dict.fromkeys(tid for tid in ran if tid in by_tid))
        if self._still is None or self._members != len(by_tid):
            self._still, self._members = [], len(by_tid)
            awake = self.awake
            self._up = [row for row in by_tid.values() if row.wait in awake]
        # Also those who compute since before anybody looked, and have no record yet.
        stale.update(dict.fromkeys(row.tid for row in self._up if row.tid in by_tid))
        self._once_more(at_ns, by_tid, room_ns, stale)
        most = self.fits(room_ns) if self.in_parts and room_ns else len(stale)
        if len(stale) <= most:
            tids, self._stale = list(stale), {}
        else:
            tids = self._next(stale, by_tid, most)
            self._stale = stale
        chosen = [row for tid in tids if (row := by_tid.get(tid)) is not None]
        self.still = _AllBut({*self._stale, *tids})
        self.asked = len(by_tid) - len(self._stale)
        self._asking_ns = thread_time_ns() - began if measured else 0
        if not self.in_parts and 2 * len(chosen) > len(by_tid):
            self.ran = chosen
            return None
        return chosen

    def _once_more(self, at_ns: int, by_tid: dict[int, ThreadRow], room_ns: int, stale: dict[int, None]) -> None:
        """Twice a second, as far as there is room: those who have not run, but whose wait was answered provisionally.
        Nothing on their stacks can have changed. And now and then one, whatever is known."""
        ring = self._whole_ring(by_tid)
        elapsed, self._again_ns = min(at_ns - self._again_ns, _PROVISIONAL_NS), at_ns
        count = min(len(ring), 1 + len(ring) * elapsed // _PROVISIONAL_NS)
        if room_ns:
            count = min(count, 1 + int(_AGAIN_SHARE * room_ns / _WAIT_NS))
        first = self._turn % len(ring) if ring else 0
        self._turn = first + count
        provisional = self._waits.provisional
        self.waits_only = [row for row in ring[first : first + count] if provisional(row.tid)]
        self._ticks += 1
        if ring and self._ticks % _ALL_THE_SAME == 0:
            stale[ring[first].tid] = None

    def _whole_ring(self, by_tid: dict[int, ThreadRow]) -> list[ThreadRow]:
        if len(self._ring) != len(by_tid):
            self._ring = list(by_tid.values())
        return self._ring

    def _next(self, stale: dict[int, None], by_tid: dict[int, ThreadRow], most: int) -> list[int]:
        """The next ones of the ring that are stale, which they are not any more. In this order, not the longest stale
        first: who is looked at so long after it ran would never be seen in what it does for less time than that."""
        ring = self._whole_ring(by_tid)
        tids: list[int] = []
        at = self._at % len(ring)
        for row in itertools.chain(itertools.islice(ring, at, None), itertools.islice(ring, at)):
            at += 1
            if row.tid in stale:
                del stale[row.tid]
                tids.append(row.tid)
                if len(tids) >= most:
                    break
        self._at = at % len(ring)
        for tid in [tid for tid in stale if tid not in by_tid]:
            del stale[tid]
        return tids

    # ------------------------------------------------------------------ in parts

    def expect(self, threads: int, room_ns: int) -> None:
        """So many threads have never been looked at."""
        self.in_parts = threads * self._look_ns > 4 * room_ns

    def missed(self, threads: int, room_ns: int) -> None:
        """The lists of threads changed faster than all of them could be copied: a part of them at a time then, each of
        which is good by itself. Of a few, the next copy most often is."""
        if room_ns and not self.in_parts and threads >= _BOOK_PAYS:
            self.in_parts, self._fitted, self._ring = True, 0, []

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
        if self.asked > 16 and self._stale is None:
            self._ask_ns += 0.1 * (min(_CHEAPEST_NS * 4, self._asking_ns / self.asked) - self._ask_ns)
        if looked:
            alone = spent_ns - self._asking_ns - min(_TICK_NS, spent_ns // 2)
            each = max(_CHEAPEST_NS, min(_DEAREST_NS, alone / looked))
            self._look_ns += 0.2 * (each - self._look_ns)
        whole = (
            not self._stale if self._stale is not None else self.asked >= len(self._ring)
        ) and spent_ns < _WHOLE_SHARE * room_ns
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
        still: set[int] = set()
        self.still = still
        if not ring:
            return []
        awake, slot_of, ask, look = self.awake, self._waits.slot, self._ask_ns, self._look_ns
        chosen = self._look_again(at_ns, ring, room_ns)
        room, at = room_ns - look * len(chosen), self._at % len(ring)
        asked = 0
        while asked < len(ring) and (room > 0 or not asked):
            asked += 1
            row = ring[at]
            at = at + 1 if at + 1 < len(ring) else 0
            if row.looked_ns == at_ns:
                continue
            room -= ask
            slot = slot_of(row.tid)
            ran = row.wait in awake
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

    def _look_again(self, at_ns: int, ring: list[ThreadRow], room_ns: int) -> list[ThreadRow]:
        """The next ones that have not been looked at for long, whether they ran or not: thousands that stand still take
        no more than a share of the room from those that run."""
        most = 1 + int(_AGAIN_SHARE * room_ns / self._look_ns)
        steps = min(len(ring), int(_AGAIN_SHARE * room_ns / self._ask_ns))
        at, chosen = self._again_at % len(ring), list[ThreadRow]()
        while steps > 0 and len(chosen) < most:
            steps -= 1
            row = ring[at]
            at = at + 1 if at + 1 < len(ring) else 0
            if at_ns - row.looked_ns > (_AGAIN_NS if self._waits.slot(row.tid).left < 0 else _PROVISIONAL_NS):
                row.looked_ns = at_ns
                chosen.append(row)
        self._again_at = at
        return chosen
