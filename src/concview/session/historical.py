"""Looking back: what was judged when, the timeline of what is kept, and the snapshot of a moment that has passed."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from concview.analysis.blame.tracker import Told, Tracker
from concview.analysis.replay_buffer import KEPT_NS, REPLAY_NS, HistoricalView, Plan
from concview.analysis.window import WINDOW_NS, Window
from concview.catalogue.judge import Judgement
from concview.session.blame import bounded, named
from concview.session.compose import Composer
from concview.session.thread_views import STRIP
from concview.snapshot import Blame, Mark, Point, Snapshot
from concview.source.wakes import Wakes

#: Judgements come once a second at most in the long run, and four times a second at first.
MOST_JUDGED = 1_000
#: Marks of findings on the timeline.
MOST_MARKS = 500


class Said(msgspec.Struct, frozen=True, array_like=True):
    """The findings and the verdict of one moment."""

    judgement: Judgement = Judgement()
    blame: Blame | None = None


NOTHING_SAID = Said()
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Said).decode


class Judged:
    """What was said when. Times on the stream's clock. What was said last of a moment is what counts.

    Kept packed: each judgement holds the stacks that its findings show, and those of ten minutes, second by second,
    were most of the dashboard's memory with 100 threads.
    """

    def __init__(self) -> None:
        self._said: deque[tuple[int, bytes]] = deque(maxlen=MOST_JUDGED)
        self._open: dict[tuple[str, str], Mark] = {}
        self._closed: deque[Mark] = deque(maxlen=MOST_MARKS)

    def add(self, at_ns: int, said: Said) -> bool:
        """True when a finding is there that was not there before."""
        judgement = said.judgement
        while self._said and self._said[0][0] < at_ns - KEPT_NS:
            self._said.popleft()
        self._said.append((at_ns, zlib.compress(_encode(said), 1)))
        now = {}
        fresh = False
        for finding in judgement.findings:
            if finding.recent:
                continue
            key = (finding.id, finding.subject)
            known = self._open.get(key)
            fresh = fresh or known is None
            start = known.start_ns if known is not None else at_ns
            now[key] = Mark(start, at_ns, finding.severity, finding.id, finding.title)
        self._closed.extend(mark for key, mark in self._open.items() if key not in now)
        self._open = now
        return fresh

    def at(self, at_ns: int) -> Said:
        """What was said last before this moment."""
        at = bisect_right(self._said, at_ns, key=lambda said: said[0]) - 1
        return _decode(zlib.decompress(self._said[at][1])) if at >= 0 else NOTHING_SAID

    def marks(self) -> tuple[Mark, ...]:
        """Oldest first; those that are still there end at the last judgement."""
        return tuple(sorted([*self._closed, *self._open.values()], key=lambda m: (m.start_ns, m.id)))


def sums_ns(span_ns: int) -> int:
    """How far back half seconds are needed: for the interval, and for the strips of a minute."""
    return max(span_ns, STRIP * 500_000_000)


def look_back(
    plan: Plan,
    span_ns: int,
    points: Iterable[Point],
    said: Said,
    live: bool,
    wakes: Wakes | None = None,
) -> tuple[Snapshot, HistoricalView]:
    """The snapshot of the `span_ns` up to the plan's end, and the history that it was made of.

    Times of threads and of the process cover the whole interval; locks, peers and calls its last `detail_s`. Of the
    window that is always judged, the verdict is the one that was given then; of any other it is made now.
    """
    judgement = said.judgement
    past = plan.build()
    window = blame = None
    because: dict[int, Told] = {}
    detail = min(span_ns, REPLAY_NS, past.now_ns - past.detail_ns)
    if past.complete and detail > 0:
        window = Window(past, detail)
        tracker = Tracker(wakes)
        blame = named(tracker.blame(window), judgement.findings, pending=judgement.pending)
        because = tracker.now()
        if said.blame is None:  # waits were not followed then, so that no finding has its bound
            judgement = replace(judgement, findings=bounded(judgement.findings, blame))
        elif span_ns == WINDOW_NS:
            blame = said.blame
    composer = Composer(live, span_ns, [p for p in points if p.at_ns <= past.now_ns])
    return composer.compose(past, window, judgement, False, blame, because), past
