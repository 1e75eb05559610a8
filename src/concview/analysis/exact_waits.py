"""Exact waits over a window: what the kernel's records say of each thread, and of the places that samples saw it at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from concview.analysis.classify import Classification, classify
from concview.model import (
    INTERRUPT,
    NO_STACK,
    NO_WAIT,
    NOBODY_KNOWN,
    Stack,
    Switches,
    ThreadSwitches,
    Wait,
    class_middle_ns,
)
from concview.snapshot import PlaceWaitTimes, WaitTimes, WakerView, WakeTimes

#: Reports that are kept: one a second.
_REPORTS = 60
#: Places told of one thread, the longest waited at first.
MAX_PLACES = 8
#: Wakers told of one thread and at one place.
MAX_WAKERS, MAX_PLACE_WAKERS = 8, 3


class _Place(NamedTuple):
    """Where a thread waited, worked out while the ids were good."""

    stack: Stack
    wait: Wait
    classification: Classification


class _Report(NamedTuple):
    since_ns: int
    at_ns: int
    gaps: int
    threads: dict[int, ThreadSwitches]
    places: dict[tuple[int, int], _Place]
    begun: dict[int, list[Begun]]  #: waits for peers, by thread


class Begun(NamedTuple):
    """A thread began to wait for a peer."""

    at_ns: int
    cause: int  #: who woke it before, when it had been away for long: as in `model.Switches`


class _Sum:
    """Waits of several reports together."""

    def __init__(self) -> None:
        self.waits = self.total = self.longest = 0
        self.lengths: dict[int, int] = {}
        self.wakers: dict[int, int] = {}
        self.back = 0

    def woken(self, wakers: tuple[int, ...]) -> None:
        for waker, count in zip(wakers[::2], wakers[1::2], strict=False):
            self.wakers[waker] = self.wakers.get(waker, 0) + count

    def shown(self, name: Callable[[int], str], most: int) -> tuple[WakerView, ...]:
        """The most often first; those beyond `most` are left out."""
        best = sorted(self.wakers.items(), key=lambda one: (-one[1], one[0]))[:most]
        return tuple([_waker(waker, name, count) for waker, count in best])

    def add(self, waits: int, total: int, longest: int, lengths: tuple[int, ...]) -> None:
        self.waits += waits
        self.total += total
        self.longest = max(self.longest, longest)
        for number, count in zip(lengths[::2], lengths[1::2], strict=False):
            self.lengths[number] = self.lengths.get(number, 0) + count

    def quantile_s(self, share: float) -> float | None:
        """To the width of a class (up to 25 %), and never more than the longest; None when there was no wait."""
        left = share * sum(self.lengths.values())
        for number in sorted(self.lengths):
            left -= self.lengths[number]
            if left <= 0:
                return min(class_middle_ns(number), self.longest) / 1e9
        return None


def _waker(waker: int, name: Callable[[int], str], count: int) -> WakerView:
    if waker > 0:
        return WakerView("thread", waker, name(waker), count)
    if waker == INTERRUPT:
        return WakerView("interrupt", 0, "a timer or the network", count)
    if waker == NOBODY_KNOWN:
        return WakerView("unknown", 0, "others", count)
    return WakerView("process", -waker, f"process {-waker}", count)


def _begun(event: Switches) -> dict[int, list[Begun]]:
    found: dict[int, list[Begun]] = {}
    for at, tid, cause in zip(event.begun[::3], event.begun[1::3], event.begun[2::3], strict=False):
        found.setdefault(tid, []).append(Begun(at, cause))
    return found


class ExactWaits:
    """`add` what comes, `of` one thread."""

    def __init__(self) -> None:
        self._reports: deque[_Report] = deque(maxlen=_REPORTS)
        self._ended = ""

    @property
    def ended(self) -> str:
        """Why there are none any more; empty while there are."""
        return self._ended

    def add(
        self,
        event: Switches,
        stacks: dict[int, Stack],
        waits: dict[int, Wait],
        known: dict[tuple[int, int], Classification],
    ) -> None:
        self._ended = event.ended
        if event.ended:
            return
        places: dict[tuple[int, int], _Place] = {}
        for thread in event.threads:
            for place in thread.places:
                key = place.stack, place.wait
                if key in places:
                    continue
                stack, wait = stacks.get(place.stack, NO_STACK), waits.get(place.wait, NO_WAIT)
                classification = known.get(key)
                if classification is None:
                    classification = known[key] = classify(wait, stack)
                places[key] = _Place(stack, wait, classification)
        self._reports.append(
            _Report(event.since_ns, event.at_ns, event.gaps, {t.tid: t for t in event.threads}, places, _begun(event))
        )

    def window(self, start_ns: int) -> list[_Report]:
        """The reports that begin after that moment, or the last one."""
        found = [report for report in self._reports if report.since_ns >= start_ns]
        return found or list(self._reports)[-1:]

    def began(self, tid: int, start_ns: int, end_ns: int) -> Begun | None:
        """The last time between these moments at which a thread began to wait for a peer, of waits that have ended;
        None: none is known."""
        found: Begun | None = None
        for report in self._reports:
            # A wait is told when it has ended, which may be later.
            for begun in report.begun.get(tid, ()) if report.at_ns >= start_ns else ():
                if start_ns <= begun.at_ns <= end_ns and (found is None or begun.at_ns > found.at_ns):
                    found = begun
        return found

    @staticmethod
    def of(tid: int, reports: Iterable[_Report], name: Callable[[int], str] = str) -> WaitTimes | None:
        """What is known of a thread; None where nothing is: it was on no CPU, or nothing is recorded. `name`: of a
        thread."""
        lates, brief = _Sum(), 0
        every, runs, aside, aside_ns, elapsed, gaps, seen = _Sum(), 0, 0, 0, 0, 0, False
        places: dict[str, tuple[_Place, _Sum, _Sum]] = {}
        for report in reports:
            elapsed += report.at_ns - report.since_ns
            gaps += report.gaps
            thread = report.threads.get(tid)
            if thread is None:
                continue
            seen = True
            runs += thread.runs
            aside += thread.aside
            aside_ns += thread.aside_ns
            every.add(thread.waits, thread.waited_ns, thread.longest_ns, thread.lengths)
            lates.add(sum(thread.lates[1::2]), thread.late_ns, thread.late_longest_ns, thread.lates)
            lates.woken(thread.wakers)
            brief += thread.brief
            for one in thread.places:
                place = report.places[one.stack, one.wait]
                known = places.setdefault(place.classification.reason, (place, _Sum(), _Sum()))
                known[1].add(one.waits, one.waited_ns, one.longest_ns, one.lengths)
                known[1].woken(one.wakers)
                known[1].back += one.back
                known[2].add(0, 0, one.longest_ns, one.lates)
        if not seen or not elapsed:
            return None
        best = sorted(places.items(), key=lambda each: -each[1][1].total)[:MAX_PLACES]
        return WaitTimes(
            seconds=elapsed / 1e9,
            complete=not gaps,
            runs=runs,
            waits=every.waits,
            waited_s=every.total / 1e9,
            median_s=every.quantile_s(0.5),
            p95_s=every.quantile_s(0.95),
            longest_s=every.longest / 1e9,
            aside=aside,
            aside_s=aside_ns / 1e9,
            places=tuple(
                [
                    PlaceWaitTimes(
                        place.classification.state,
                        reason,
                        place.stack.frames[0] if place.stack.frames else None,
                        total.waits,
                        total.total / 1e9,
                        total.quantile_s(0.5),
                        total.quantile_s(0.95),
                        total.longest / 1e9,
                        total.shown(name, MAX_PLACE_WAKERS),
                        late.quantile_s(0.5),
                        total.back,
                    )
                    for reason, (place, total, late) in best
                ]
            ),
            wakes=WakeTimes(
                lates.waits,
                lates.quantile_s(0.5),
                lates.quantile_s(0.95),
                lates.longest / 1e9,
                lates.shown(name, MAX_WAKERS),
                brief,
            )
            if lates.waits
            else None,
        )
