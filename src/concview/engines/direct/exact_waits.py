"""Exact waits of all threads, and who ended them, out of the kernel's records of switches.

Times and numbers come from the records, places from the samples: a wait that a sample fell into was where that sample
saw the thread.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable
from operator import itemgetter

from concview.engines.direct.thread_table import ThreadRow
from concview.linux.switches import IN, PUSHED_ASIDE, WAKING, Row
from concview.model import PlaceWaits, ThreadSwitches, length_class
from concview.model.switches import AWAY_NS, BRIEF_NS, MOST_BEGUN, NOBODY_KNOWN
from concview.sink import Sink

#: A record may be written so much later than the time in it says.
SLACK_NS = 200_000
#: Of a row of the records.
TID = itemgetter(1)
_ON, _ASIDE, _WAITING, _UNKNOWN = range(4)
#: Places told of one thread in one report; what is left counts as not seen at a place. It is forgotten so long after
#: it has ended.
_PLACES, _KEPT_NS = 12, 1_000_000_000
#: Of those who woke a thread, so many are told, and so many at one place.
_WAKERS, _PLACE_WAKERS = 8, 4
#: Looks at one thread that are kept until the records of their time have been read.
_LOOKS = 64
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


class Place:
    """Waits of one thread that were seen at one place."""

    __slots__ = ("back", "lates", "lengths", "wakers")

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.lates: list[int] = []
        self.wakers: dict[int, int] = {}
        self.back = 0


class Life:
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
        self.places: dict[tuple[int, int], Place] = {}  #: of those that were seen: by stack and wait


class ExactWaits:
    """`looked` says where threads were, `work_out` takes the records, `told` what both tell together."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.holes = 0  #: how often a thread left a CPU onto which no record saw it come
        self._lives: dict[int, Life] = {}
        self._begun: list[int] = []  #: as in `Switches`
        self._peers: dict[int, bool] = {}  #: by id of a wait: whether it is for a peer
        self._generation = sink.generation

    def clear(self) -> None:
        self.holes = 0
        self._lives.clear()
        self._begun.clear()

    def gap(self) -> None:
        """Records are missing."""
        for life in self._lives.values():
            life.state = _UNKNOWN

    def begin_anew(self) -> None:
        """Nothing is to be told of what has been so far."""
        for life in self._lives.values():
            life.told()

    def work_out(self, rows: list[Row]) -> None:
        """Sorted by thread, those of each by time."""
        lives = self._lives
        for tid, own in itertools.groupby(rows, TID):
            life = lives.get(tid)
            if life is None:
                life = lives[tid] = Life(tid)
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
                            known = woken >= since - SLACK_NS
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
                    self.holes += 1
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

    def _waited(self, life: Life, at: int, length: int) -> None:
        life.waits.append(length)
        woken, life.woken = life.woken, 0
        # It may be woken while it leaves the CPU; longer before, it was for something else.
        known = woken >= life.since - SLACK_NS
        waker = life.waker if known else NOBODY_KNOWN
        woken = max(woken, life.since) if known else at
        looks, last, seen = life.looks, life.place, None
        while looks and looks[0][1] <= at:
            look = looks.pop(0)
            # Who has been woken and has no CPU yet waits for that alone.
            if seen is None and look[0] >= life.since and look[1] <= woken:
                seen = look[2], look[3]
        place: Place | None = None
        if seen is not None:
            place = life.places.get(seen)
            if place is None and len(life.places) < _PLACES:
                place = life.places[seen] = Place()
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
                life = lives[row.tid] = Life(row.tid)
            if len(life.looks) >= _LOOKS:
                del life.looks[0]
            life.looks.append((from_ns, to_ns, row.stack, row.wait))

    def told(self, now: int, alive: Collection[int]) -> tuple[tuple[ThreadSwitches, ...], tuple[int, ...]]:
        """(a row for each thread that was switched since the last call, what `Switches` says of waits that began).
        `alive`: tids."""
        if self._sink.generation != self._generation:
            # The ids of places are void.
            self._generation = self._sink.generation
            self._peers.clear()
            for life in self._lives.values():
                life.places.clear()
                life.looks.clear()
        rows: list[ThreadSwitches] = []
        for tid, life in list(self._lives.items()):
            if tid not in alive and now - max(life.since, life.looks[-1][1] if life.looks else 0) > _KEPT_NS:
                del self._lives[tid]  # it has ended
            waits = life.waits
            if not (life.runs or life.aside or waits):
                continue
            lengths, lates = _classes(waits), _classes(life.lates)
            # Most have been at one place all the time: what is told of it is then what is told of the thread.
            places = tuple(
                [
                    PlaceWaits(
                        stack,
                        wait,
                        len(p.lengths),
                        sum(p.lengths),
                        max(p.lengths),
                        lengths if len(p.lengths) == len(waits) else _classes(p.lengths),
                        _most(p.wakers, _PLACE_WAKERS),
                        lates if len(p.lates) == len(life.lates) else _classes(p.lates),
                        p.back,
                    )
                    for (stack, wait), p in life.places.items()
                ]
            )
            rows.append(
                ThreadSwitches(
                    tid,
                    life.runs,
                    len(waits),
                    sum(waits),
                    max(waits, default=0),
                    life.aside,
                    life.aside_ns,
                    lengths,
                    places,
                    _most(life.wakers, _WAKERS),
                    lates,
                    sum(life.lates),
                    max(life.lates, default=0),
                    life.brief,
                )
            )
            life.told()
        begun = tuple(self._begun) if len(self._begun) <= 3 * MOST_BEGUN else ()
        self._begun.clear()
        return tuple(rows), begun
