"""Exact waits of all threads, from the kernel's records of switches; see `linux.switches`.

Times and numbers come from the records, places from the samples: a wait that a sample fell into was where that sample
saw the thread.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Collection, Iterable

from concview.engines.direct.thread_table import ThreadRow
from concview.linux import switches
from concview.linux.switches import IN, PUSHED_ASIDE, RECORD, NotHere, rows
from concview.model import PlaceWaits, Switches, ThreadSwitches, length_class
from concview.sink import Sink

#: Threads taken in at one tick: 40 µs each.
_AT_ONCE = 100
REPORT_NS = 1_000_000_000
#: Not at once: the first picture comes first, and a look that is over soon does without.
_BEGIN_NS = 300_000_000
#: A wait costs the target 1.3 to 2.1 µs by its two records, on a machine full of others 3.2: above this rate that would
#: be more than 1 % of a core. Then they are given up for so long, twice as long each time.
MAX_RECORDS_PER_S = 6_000
AGAIN_NS, LONGEST_NS = 60_000_000_000, 3_600_000_000_000
#: A record may be written so much later than the time in it says.
_SLACK_NS = 200_000
_ON, _ASIDE, _WAITING, _UNKNOWN = range(4)
#: Places told of one thread in one report; what is left counts as not seen at a place.
_PLACES = 12
#: Looks at one thread that are kept until the records of their time have been read.
_LOOKS = 64
#: Who ran is taken from the records at every tick. What they tell of waits is worked out for so long a time at once, or
#: for so many ticks: with warm caches a record costs a third.
_TOGETHER_NS, _TOGETHER = 250_000_000, 25


def _classes(lengths: list[int]) -> tuple[int, ...]:
    """Class, number, class, number ..."""
    return tuple([n for pair in sorted(Counter(map(length_class, lengths)).items()) for n in pair])


class _Life:
    """One thread: in what state it is since when, where it was last seen, and what is to be told."""

    __slots__ = ("aside", "aside_ns", "looks", "places", "runs", "since", "state", "waits")

    def __init__(self) -> None:
        self.state, self.since = _UNKNOWN, 0
        #: (from, to, id of the stack, id of the wait): between these moments it was looked at, and was there
        self.looks: list[tuple[int, int, int, int]] = []
        self.told()

    def told(self) -> None:
        self.runs = self.aside = self.aside_ns = 0
        self.waits: list[int] = []  #: their lengths
        self.places: dict[tuple[int, int], list[int]] = {}  #: of those that were seen: by stack and wait


class SwitchWatch:
    """`poll` before the memory is read, `looked` behind it."""

    def __init__(self, pid: int, sink: Sink) -> None:
        self._pid, self._sink = pid, sink
        self._source: switches.Switches | None = None
        self.on = False  #: records are read
        self._covered = False
        self._begin_at = self._feed_at = self._unfed = 0
        self._batches: list[bytes] = []  #: read, not worked out yet
        self._before = 0  #: the tick that read the rings last began
        self._pause_ns = AGAIN_NS
        self._lives: dict[int, _Life] = {}
        self._pending: list[tuple[int, int, int]] = []
        self._gaps: tuple[int, ...] = ()
        self._gap_count = self._records = 0
        self._since = self._report_at = 0
        self._all_records = self._counted = self._counted_ns = 0  #: ever; and when their rate was last looked at
        self._seen: set[int] = set()  #: tids of records that `first_since` has read
        self._on: dict[int, int] = {}  #: CPU -> who is on it by its last record
        self._complete = False  #: nothing is missing since the last poll
        self._generation = sink.generation

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
        complete, batches, ran, on = self._complete, list[bytes](), self._seen, self._on
        self._seen = set()
        if source.read_each(batches, ran, on):
            if source.gaps != self._gaps:
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
        source, batches = self._source, list[bytes]()
        if source is None or not self._complete:
            return -1
        if not source.read_each(batches, self._seen, self._on):
            return 0
        if source.gaps != self._gaps:
            self._gap(source.gaps)
            self._complete = False
        self._batches += batches
        return min([at for batch in batches for at, _, _ in rows(batch[:RECORD])]) if self._complete and batches else -1

    def _gap(self, gaps: tuple[int, ...]) -> None:
        """Records are missing, some of those that were read just now or before them."""
        self._feed()
        self._gaps = gaps
        self._gap_count += 1
        for life in self._lives.values():
            life.state = _UNKNOWN

    def _begin(self, now: int) -> switches.Switches | None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            self._source = switches.Switches(self._pid, switches.room(files))
        except NotHere as why:
            self._give_up(now, str(why))
            return None
        self.on = True
        self._covered = self._complete = False
        self._lives.clear()
        self._pending.clear()
        self._batches.clear()
        self._seen.clear()
        self._on.clear()
        self._gaps = self._source.gaps
        self._since, self._report_at = now, now + REPORT_NS
        self._counted, self._counted_ns = self._all_records, now
        return self._source

    def _cover(self, source: switches.Switches, now: int) -> None:
        try:
            self._covered = source.cover(_AT_ONCE)
        except NotHere as why:
            self._give_up(now, str(why))
            return
        # Not all were covered until now.
        self._since = now
        for life in self._lives.values():
            life.told()

    def _give_up(self, now: int, why: str) -> None:
        self.close()
        self._complete = False
        self._lives.clear()
        self._pending.clear()
        self._batches.clear()
        self._begin_at = now + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, LONGEST_NS)
        self._sink.emit(Switches(now, self._since or now, (), self._records, self._gap_count, why))
        self._records = self._gap_count = 0

    def _feed(self) -> None:
        """Work out what was read."""
        self._unfed = 0
        if not self._batches and not self._pending:
            return
        got = self._pending
        for batch in self._batches:
            got += rows(batch)
            self._records += len(batch) // 24
            self._all_records += len(batch) // 24
        self._batches.clear()
        got.sort()  # a few ascending runs: nearly linear
        # What is younger may have older neighbours in another ring that are still to come.
        end, cut = self._before - _SLACK_NS, len(got)
        while cut and got[cut - 1][0] > end:
            cut -= 1
        self._pending = got[cut:]
        lives = self._lives
        for at, tid, word in got[:cut]:
            life = lives.get(tid)
            if life is None:
                life = lives[tid] = _Life()
            state, length = life.state, at - life.since
            if word == IN:
                if state == _ON:
                    continue  # it came twice: of a thread that was born while we took them in
                if state == _WAITING:
                    self._waited(life, at, length)
                elif state == _ASIDE:
                    life.aside_ns += length
                life.state = _ON
                life.runs += 1
            else:
                if state in (_WAITING, _ASIDE):
                    continue
                if word == PUSHED_ASIDE:
                    life.state = _ASIDE
                    life.aside += 1
                else:
                    life.state = _WAITING
            life.since = at

    def _waited(self, life: _Life, at: int, length: int) -> None:
        life.waits.append(length)
        looks = life.looks
        while looks and looks[0][1] <= at:
            from_ns, _, *where = looks.pop(0)
            if from_ns >= life.since:
                seen = where[0], where[1]
                place = life.places.get(seen)
                if place is None:
                    if len(life.places) >= _PLACES:
                        return
                    place = life.places[seen] = []
                place.append(length)
                break
        while looks and looks[0][1] <= at:
            del looks[0]

    def looked(self, threads: Iterable[ThreadRow], from_ns: int, to_ns: int) -> None:
        """These were looked at between the two moments, and are where their rows say."""
        lives = self._lives
        for row in threads:
            life = lives.get(row.tid)
            if life is None:
                life = lives[row.tid] = _Life()
            if len(life.looks) >= _LOOKS:
                del life.looks[0]
            life.looks.append((from_ns, to_ns, row.stack, row.wait))

    # ------------------------------------------------------------------ now and then

    def _report(self, now: int, alive: Collection[int]) -> None:
        elapsed = now - self._since
        self._report_at = now + REPORT_NS
        if elapsed <= 0 or self._too_many(now):
            return
        if not self._covered:
            return
        if self._sink.generation != self._generation:
            # The ids of places are void.
            self._generation = self._sink.generation
            for life in self._lives.values():
                life.places.clear()
                life.looks.clear()
        told: list[ThreadSwitches] = []
        for tid, life in list(self._lives.items()):
            if tid not in alive and now - max(life.since, life.looks[-1][1] if life.looks else 0) > REPORT_NS:
                del self._lives[tid]  # it has ended
            waits = life.waits
            if not (life.runs or life.aside or waits):
                continue
            places = tuple([
                PlaceWaits(stack, wait, len(w), sum(w), max(w), _classes(w)) for (stack, wait), w in life.places.items()
            ])  # fmt: skip
            told.append(
                ThreadSwitches(
                    tid, life.runs, len(waits), sum(waits), max(waits, default=0), life.aside, life.aside_ns,
                    _classes(waits), places,
                )
            )  # fmt: skip
            life.told()
        self._sink.emit(Switches(now, self._since, tuple(told), self._records, self._gap_count))
        self._since, self._records, self._gap_count = now, 0, 0

    def _too_many(self, now: int) -> bool:
        """Also while threads are still being taken in: whether the records have cost more than they may, and are given
        up. What the last second brought is not told then."""
        counted, self._counted = self._all_records - self._counted, self._all_records
        elapsed, self._counted_ns = now - self._counted_ns, now
        rate = counted * 1e9 / max(1, elapsed)
        if rate <= MAX_RECORDS_PER_S:
            return False
        self._give_up(
            now,
            f"the threads are switched {rate / 2:,.0f} times a second: to record that would cost the process more "
            "than 1 % of a core",
        )
        return True
