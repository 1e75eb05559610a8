"""The kernel's records of switches, as long as they cost no more than they may: `linux.wakeups`, else
`linux.switches`. Who ran is taken from them here, what waits they tell of by `exact_waits`."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Collection, Iterable
from time import thread_time_ns

from concview.engines.direct.exact_waits import SLACK_NS, TID, ExactWaits
from concview.engines.direct.thread_table import ThreadRow
from concview.linux import switches, wakeups
from concview.linux.switches import Batch, NotHere, Row, Source
from concview.model import Switches
from concview.sink import Sink
from concview.text import percent

#: Threads taken in at one tick: 40 µs each.
_AT_ONCE = 100
REPORT_NS = 1_000_000_000
#: Not at once: the first picture comes first, and a look that is over soon does without.
_BEGIN_NS = 300_000_000
#: Where records would cost the target more than 1 % of a core, they are given up for so long, twice as long each time.
AGAIN_NS, LONGEST_NS = 60_000_000_000, 3_600_000_000_000
#: Working out what records tell may take this share of the budget; where it takes more so many seconds in a row, it is
#: left for as long as records are above. Who ran is still taken from them.
_SHARE, _TOO_DEAR = 0.3, 2
#: Who ran is taken from the records at every tick. What they tell of waits is worked out for so long a time at once, or
#: for so many ticks: with warm caches a record costs a third.
_TOGETHER_NS, _TOGETHER = 250_000_000, 25


class SwitchWatch:
    """`poll` before the memory is read, `looked` behind it."""

    def __init__(self, pid: int, sink: Sink) -> None:
        self._pid, self._sink = pid, sink
        self._source: Source | None = None
        self.on = False  #: records are read
        self._covered = False
        self._begin_at = self._feed_at = self._unfed = 0
        self._batches: list[Batch] = []  #: read, not worked out yet
        self._before = 0  #: the tick that read the rings last began
        self._pause_ns = AGAIN_NS
        self.budget = 0.0  #: what may be spent in all, as a share of a core; 0: not bounded
        self._spent_ns = self._spent_at = self._too_dear = 0
        self._off_until = 0  #: not 0: what records tell of waits is not worked out
        self._off_ns = AGAIN_NS
        self._waits = ExactWaits(sink)
        self._pending: list[Row] = []
        self._dear = False  #: performance events cost too much
        self._incomplete = False  #: programs do not see everything here
        self._gaps: tuple[int, ...] = ()
        self._gap_count = self._records = 0
        self._since = self._report_at = 0
        self._all_records = self._counted = self._counted_ns = 0  #: ever; and when their rate was last looked at
        self._seen: set[int] = set()  #: tids of records that `first_since` has read
        self._on: dict[int, int] = {}  #: CPU -> who is on it by its last record
        self._complete = False  #: nothing is missing since the last poll

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
            self.on = False

    # ------------------------------------------------------------------ one tick

    def poll(self, now: int, alive: Collection[int]) -> set[int] | None:
        """Who was on a CPU since the last call, or is: everybody else stands where he stood. A record is written before
        its thread is off its CPU, so whoever asks first and looks at the threads then misses nobody. None where that
        is not known: then everybody may have. `alive`: tids."""
        source = self._source
        if source is None:
            self._begin_at = self._begin_at or now + _BEGIN_NS
            if now < self._begin_at:
                return None
            source = self._begin(now)
            if source is None:
                return None
        complete, batches, ran, on = self._complete, list[Batch](), self._seen, self._on
        self._seen = set()
        if source.read_each(batches, ran, on) and source.gaps != self._gaps:
            complete = False
            self._gap(source.gaps)
        self._batches += batches
        self._before = now
        self._unfed += 1
        if self._unfed >= _TOGETHER or now >= self._feed_at:
            self._feed_at = now + _TOGETHER_NS
            self._feed()
        if not self._covered:
            self._cover(source, now)
        if now >= self._report_at:
            self._feed()
            self._report(now, alive)
        self._complete = self._covered and self._source is not None
        if not (complete and self._complete):
            return None
        if on:
            ran.update(on.values())
        return ran

    def first_since(self) -> int:
        """When a thread came onto a CPU, or left it, for the first time since the last poll; 0: none did. -1 where that
        is not known. What it has read is kept for the next poll."""
        source, batches = self._source, list[Batch]()
        if source is None or not self._complete:
            return -1
        if not source.read_each(batches, self._seen, self._on):
            self._batches += batches
            return 0
        if source.gaps != self._gaps:
            self._gap(source.gaps)
            self._complete = False
        self._batches += batches
        return min([next(iter(rows(data)))[0] for rows, data in batches]) if self._complete and batches else -1

    def _gap(self, gaps: tuple[int, ...]) -> None:
        """Records are missing, some of those that were read just now or before them."""
        self._feed()
        self._gaps = gaps
        self._gap_count += 1
        self._waits.gap()

    def _begin(self, now: int) -> Source | None:
        try:
            self._source = self._open()
        except NotHere as why:
            self._give_up(now, str(why))
            return None
        self.on = True
        self._off_until = self._spent_ns = self._too_dear = 0
        self._covered = self._complete = False
        self._waits.clear()
        self._pending.clear()
        self._batches.clear()
        self._seen.clear()
        self._on.clear()
        self._gaps = self._source.gaps
        self._since, self._spent_at, self._report_at = now, now, now + REPORT_NS
        self._counted, self._counted_ns = self._all_records, now
        return self._source

    def _open(self) -> Source:
        """Performance events with a program that tells of wakings; without it, where that is not allowed. Where they
        would be too many, or too many records: programs alone."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = switches.room(files)
        if not self._incomplete and (self._dear or not switches.fits(self._pid, room)):
            with contextlib.suppress(NotHere):
                return wakeups.Wakeups(self._pid)
        with contextlib.suppress(NotHere):
            return wakeups.WithWakers(self._pid, room)
        return switches.Switches(self._pid, room)

    def _cover(self, source: Source, now: int) -> None:
        try:
            self._covered = source.cover(_AT_ONCE)
        except NotHere as why:
            self._give_up(now, str(why))
            return
        # Not all were covered until now.
        self._since = now
        self._waits.begin_anew()

    def _give_up(self, now: int, why: str) -> None:
        self.close()
        self._complete = False
        self._waits.clear()
        self._pending.clear()
        self._batches.clear()
        self._begin_at = now + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, LONGEST_NS)
        self._sink.emit(Switches(now, self._since or now, (), self._records, self._gap_count, why))
        self._records = self._gap_count = 0

    def _feed(self) -> None:
        """Work out what was read."""
        self._unfed = 0
        if self._source is not None:
            # Who woke whom is of no use before.
            self._batches += self._source.wakings()
        if not self._batches and not self._pending:
            return
        if self._off_until:
            number = sum(sum(1 for _ in rows(data)) for rows, data in self._batches)
            self._records += number
            self._all_records += number
            self._batches.clear()
            return
        began = thread_time_ns() if self.budget else 0
        got = self._pending
        held_back = len(got)
        for rows, data in self._batches:
            got += rows(data)
        self._records += len(got) - held_back
        self._all_records += len(got) - held_back
        self._batches.clear()
        got.sort()  # a few ascending runs: nearly linear
        # What is younger may have older neighbours in another ring that are still to come.
        end, cut = self._before - SLACK_NS, len(got)
        while cut and got[cut - 1][0] > end:
            cut -= 1
        self._pending = got[cut:]
        got = got[:cut]
        # One thread after the other, each in the order of time: what is known of it is then taken up once.
        got.sort(key=TID)
        self._waits.work_out(got)
        if began:
            self._spent_ns += thread_time_ns() - began

    def looked(self, threads: Iterable[ThreadRow], from_ns: int, to_ns: int) -> None:
        """These were looked at between the two moments, and are where their rows say."""
        self._waits.looked(threads, from_ns, to_ns)

    # ------------------------------------------------------------------ now and then

    def _report(self, now: int, alive: Collection[int]) -> None:
        elapsed = now - self._since
        self._report_at = now + REPORT_NS
        if self._too_many(now):
            return
        if self._off_until:
            if now >= self._off_until:
                self._off_until, self._since, self.on = 0, now, True
            return
        if self._leave_off(now) or not self._covered or elapsed <= 0:
            return
        told, begun = self._waits.told(now, alive)
        self._sink.emit(Switches(now, self._since, told, self._records, self._gap_count, "", begun))
        self._since, self._records, self._gap_count = now, 0, 0

    def _leave_off(self, now: int) -> bool:
        """Whether to work out what the records tell has taken more than its part: then that is left for a while, and
        what the last second brought is not told."""
        spent, self._spent_ns = self._spent_ns, 0
        elapsed, self._spent_at = max(1, now - self._spent_at), now
        self._too_dear = self._too_dear + 1 if self.budget and spent > _SHARE * self.budget * elapsed else 0
        if self._too_dear < _TOO_DEAR:
            return False
        self._too_dear = 0
        self.on = False
        self._waits.clear()
        self._pending.clear()
        self._off_until, self._off_ns = now + self._off_ns, min(2 * self._off_ns, LONGEST_NS)
        why = (
            f"to work out what the kernel records of each switch took {percent(spent / elapsed, 1)} of a core, more "
            f"than {percent(_SHARE)} of the budget"
        )
        self._sink.emit(Switches(now, self._since, (), self._records, self._gap_count, why))
        self._records = self._gap_count = 0
        return True

    def _too_many(self, now: int) -> bool:
        """Also while threads are still being taken in: whether the records have cost more than they may, or are not all
        there, and are given up. What the last second brought is not told then."""
        counted, self._counted = self._all_records - self._counted, self._all_records
        elapsed, self._counted_ns = now - self._counted_ns, now
        rate = counted * 1e9 / max(1, elapsed)
        source = self._source
        if source is None or rate <= source.most_per_s:
            if source is None or source.certain or not self._waits.holes:
                return False
            self._incomplete = True
            self._give_up(now, "this kernel leaves out some switches when programs are to record them")
            return True
        if source.certain and not self._incomplete and wakeups.probe().available:
            # Programs record the same for a tenth of the price.
            self._dear = True
            self.close()
            self._begin_at = now
            return True
        self._give_up(
            now,
            f"the threads are switched {rate / 2:,.0f} times a second: to record that would cost the process more "
            "than 1 % of a core",
        )
        return True
