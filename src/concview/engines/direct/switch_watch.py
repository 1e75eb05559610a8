"""Exact waits of all threads, and who ended them, from the kernel's records: `linux.wakeups`, else `linux.switches`.

Times and numbers come from the records, places from the samples: a wait that a sample fell into was where that sample
saw the thread.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
from collections import Counter
from collections.abc import Collection, Iterable
from operator import itemgetter
from time import thread_time_ns

from concview.engines.direct.thread_table import ThreadRow
from concview.linux import switches, wakeups
from concview.linux.switches import IN, PUSHED_ASIDE, WAKING, Batch, NotHere, Row, Source
from concview.model import PlaceWaits, Switches, ThreadSwitches, length_class
from concview.model.switches import AWAY_NS, BRIEF_NS, MOST_BEGUN, NOBODY_KNOWN
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
#: A record may be written so much later than the time in it says.
_SLACK_NS = 200_000
_ON, _ASIDE, _WAITING, _UNKNOWN = range(4)
#: Of a row of the records.
_TID = itemgetter(1)
#: Places told of one thread in one report; what is left counts as not seen at a place.
_PLACES = 12
#: Of those who woke a thread, so many are told, and so many at one place.
_WAKERS, _PLACE_WAKERS = 8, 4
#: Looks at one thread that are kept until the records of their time have been read.
_LOOKS = 64
#: Who ran is taken from the records at every tick. What they tell of waits is worked out for so long a time at once, or
#: for so many ticks: with warm caches a record costs a third.
_TOGETHER_NS, _TOGETHER = 250_000_000, 25


_FEW = 32


def _classes(lengths: list[int]) -> tuple[int, ...]:
    """Class, number, class, number ..."""
    if not lengths:
        return ()
    counts: dict[int, int] = {}
    if len(lengths) > _FEW:
        counts = Counter(map(length_class, lengths))
    else:  # what a counter takes for itself is more
        for each in map(length_class, lengths):
            counts[each] = counts.get(each, 0) + 1
    return tuple([n for pair in sorted(counts.items()) for n in pair])


def _most(wakers: dict[int, int], most: int) -> tuple[int, ...]:
    """Who, how often, who, how often ...; those beyond `most` as NOBODY_KNOWN."""
    if len(wakers) > most:
        kept = dict(sorted(wakers.items(), key=lambda one: -one[1])[: most - 1])
        kept[NOBODY_KNOWN] = kept.get(NOBODY_KNOWN, 0) + sum(wakers.values()) - sum(kept.values())
        wakers = kept
    return tuple([n for pair in sorted(wakers.items(), key=lambda one: -one[1]) for n in pair])


class _Place:
    """Waits of one thread that were seen at one place."""

    __slots__ = ("back", "lates", "lengths", "wakers")

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.lates: list[int] = []
        self.wakers: dict[int, int] = {}
        self.back = 0


class _Life:
    """One thread: in what state it is since when, where it was last seen, and what is to be told."""

    __slots__ = (
        "aside",
        "aside_ns",
        "brief",
        "by_thread",
        "cause",
        "lates",
        "looks",
        "place",
        "places",
        "runs",
        "since",
        "state",
        "tid",
        "waits",
        "waker",
        "wakers",
        "woken",
    )  # fmt: skip

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self.state, self.since = _UNKNOWN, 0
        self.woken, self.waker = 0, NOBODY_KNOWN  #: the last time, and by whom
        self.cause = NOBODY_KNOWN  #: who ended its last wait that was long
        self.by_thread = False  #: another thread of the process ended its last wait
        #: Where it was in its last wait, when it has run but briefly since: a stack and a wait
        self.place: tuple[int, int] | None = None
        #: (from, to, id of the stack, id of the wait): between these moments it was looked at, and was there
        self.looks: list[tuple[int, int, int, int]] = []
        self.told()

    def told(self) -> None:
        self.runs = self.aside = self.aside_ns = self.brief = 0
        self.waits: list[int] = []  #: their lengths
        self.lates: list[int] = []  #: from being woken to being on a CPU
        self.wakers: dict[int, int] = {}
        self.places: dict[tuple[int, int], _Place] = {}  #: of those that were seen: by stack and wait


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
        self._lives: dict[int, _Life] = {}
        self._pending: list[Row] = []
        self._begun: list[int] = []  #: as in `Switches`
        self._dear = False  #: performance events cost too much
        self._incomplete = False  #: programs do not see everything here
        self._holes = 0  #: how often a thread left a CPU onto which no record saw it come
        self._peers: dict[int, bool] = {}  #: by id of a wait: whether it is for a peer
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
        for life in self._lives.values():
            life.state = _UNKNOWN

    def _begin(self, now: int) -> Source | None:
        try:
            self._source = self._open()
        except NotHere as why:
            self._give_up(now, str(why))
            return None
        self.on = True
        self._off_until = self._spent_ns = self._too_dear = 0
        self._covered = self._complete = False
        self._holes = 0
        self._lives.clear()
        self._pending.clear()
        self._batches.clear()
        self._begun.clear()
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
        end, cut = self._before - _SLACK_NS, len(got)
        while cut and got[cut - 1][0] > end:
            cut -= 1
        self._pending = got[cut:]
        got = got[:cut]
        # One thread after the other, each in the order of time: what is known of it is then taken up once.
        got.sort(key=_TID)
        self._work_out(got)
        if began:
            self._spent_ns += thread_time_ns() - began

    def _work_out(self, rows: list[Row]) -> None:
        """Sorted by thread, those of each by time."""
        lives = self._lives
        for tid, own in itertools.groupby(rows, _TID):
            life = lives.get(tid)
            if life is None:
                life = lives[tid] = _Life(tid)
            state, since, woken, waker, looks = life.state, life.since, life.woken, life.waker, life.looks
            for at, _, word, who in own:
                if word == WAKING:
                    woken, waker = at, who
                elif word == IN:
                    if state == _ON:
                        continue  # it came twice: of a thread that was born while we took them in
                    if state == _WAITING:
                        length = at - since
                        if looks and looks[0][1] <= at:
                            life.since, life.woken, life.waker = since, woken, waker
                            self._waited(life, at, length)
                        else:
                            # As in `_waited`, of a wait that no sample fell into: nearly all are.
                            life.waits.append(length)
                            known = woken >= since - _SLACK_NS
                            if length >= AWAY_NS:
                                life.cause = waker if known else NOBODY_KNOWN
                            life.place, life.by_thread = None, known and waker > 0
                            if known:
                                life.lates.append(at - (woken if woken > since else since))
                                wakers = life.wakers
                                wakers[waker] = wakers.get(waker, 0) + 1
                        woken = 0
                    elif state == _ASIDE:
                        life.aside_ns += at - since
                    state, since = _ON, at
                    life.runs += 1
                elif state in (_WAITING, _ASIDE):
                    self._holes += 1
                else:
                    if word == PUSHED_ASIDE:
                        life.aside += 1
                        state = _ASIDE
                    else:
                        if life.by_thread and state == _ON and at - since < BRIEF_NS:
                            life.brief += 1
                        else:
                            life.place = None
                        life.by_thread = False
                        state = _WAITING
                    since = at
            life.state, life.since, life.woken, life.waker = state, since, woken, waker

    def _waited(self, life: _Life, at: int, length: int) -> None:
        life.waits.append(length)
        woken, life.woken = life.woken, 0
        # It may be woken while it leaves the CPU; longer before, it was for something else.
        known = woken >= life.since - _SLACK_NS
        waker = life.waker if known else NOBODY_KNOWN
        woken = max(woken, life.since) if known else at
        looks, last, seen = life.looks, life.place, None
        while looks and looks[0][1] <= at:
            look = looks.pop(0)
            # Who has been woken and has no CPU yet waits for that alone.
            if seen is None and look[0] >= life.since and look[1] <= woken:
                seen = look[2], look[3]
        place: _Place | None = None
        if seen is not None:
            place = life.places.get(seen)
            if place is None and len(life.places) < _PLACES:
                place = life.places[seen] = _Place()
            if place is not None:
                place.lengths.append(length)
                place.back += seen == last
            if self._for_peer(seen[1]) and len(self._begun) <= 3 * MOST_BEGUN:
                self._begun += (life.since, life.tid, life.cause)
        if length >= AWAY_NS:
            life.cause = waker
        if not known:
            life.by_thread, life.place = False, None
            return
        late = at - woken
        life.by_thread, life.place = waker > 0, seen
        for told in (life, place) if place is not None else (life,):
            told.lates.append(late)
            told.wakers[waker] = told.wakers.get(waker, 0) + 1

    def _for_peer(self, wait: int) -> bool:
        if self._sink.generation != self._generation:
            return False  # ids are void
        known = self._peers.get(wait)
        if known is None:
            known = self._peers[wait] = self._sink.waited(wait).peer is not None
        return known

    def looked(self, threads: Iterable[ThreadRow], from_ns: int, to_ns: int) -> None:
        """These were looked at between the two moments, and are where their rows say."""
        lives = self._lives
        for row in threads:
            life = lives.get(row.tid)
            if life is None:
                life = lives[row.tid] = _Life(row.tid)
            if len(life.looks) >= _LOOKS:
                del life.looks[0]
            life.looks.append((from_ns, to_ns, row.stack, row.wait))

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
        if self._sink.generation != self._generation:
            # The ids of places are void.
            self._generation = self._sink.generation
            self._peers.clear()
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
                PlaceWaits(
                    stack, wait, len(p.lengths), sum(p.lengths), max(p.lengths), _classes(p.lengths),
                    _most(p.wakers, _PLACE_WAKERS), _classes(p.lates), p.back,
                ) for (stack, wait), p in life.places.items()
            ])  # fmt: skip
            told.append(
                ThreadSwitches(
                    tid, life.runs, len(waits), sum(waits), max(waits, default=0), life.aside, life.aside_ns,
                    _classes(waits), places, _most(life.wakers, _WAKERS), _classes(life.lates), sum(life.lates),
                    max(life.lates, default=0), life.brief,
                )
            )  # fmt: skip
            life.told()
        begun = tuple(self._begun) if len(self._begun) <= 3 * MOST_BEGUN else ()
        self._begun.clear()
        self._sink.emit(Switches(now, self._since, tuple(told), self._records, self._gap_count, "", begun))
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
        self._lives.clear()
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
            if source is None or source.certain or not self._holes:
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
