"""A reader-writer lock guards reads that are shorter than the lock itself.

What it sees:
    Code that takes a reader-writer lock for reading, tens of thousands of times a second and more, and gives it back
    within a few microseconds.

Why it hurts:
    A reader-writer lock written in Python takes an inner lock twice for every read, and counts. That is five times the
    cost of a plain lock; and two threads that hold the GIL one after the other do not read at the same time anyway.
    What it is made for, long reads side by side, does not happen here.

How it is measured:
    Reads a second, counted exactly by yappi, times 0.71 µs, which a plain lock would save [M: 0.89 against 0.18 µs,
    3.11], as a share of a core. A read is a call of a function whose name says so (acquire_read, read_acquire, ...)
    from a caller that gives it back as often. Time between the two is the caller's, less both of them: below 10 µs on
    average, the cost of counting included, or below 100 µs and what both of them took. Which functions belong to a
    reader-writer lock is inferred from their names.
    Where the reading is a generator (`with lock.reader():`), its length cannot be told, and nothing is said.
    Thresholds 2 % and 10 % of a core [H]: on the demo pair 12 % to 15 % (bad) and none (fixed).

Fix:
    A plain lock, or none: build a new value and put it in place with one assignment; readers take what is there.

        def update(self, key, value):
            with self._lock:
                self._table = {**self._table, key: value}

        def get(self, key):
            return self._table[key]

When it is fine:
    Reads that wait for I/O or compute for milliseconds, and more readers than writers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.calls import Function
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _exact
from concview.model import Confidence
from concview.text import count, percent

#: What a plain lock would save of a read (seconds). [M] 3.11 on a 2-core machine.
SAVED_S = 0.71e-6
SHORT_S = 10e-6
#: Where threads wait for a CPU all times grow alike: up to here reads count as short that the lock itself outlasts.
LONGEST_S = 100e-6
#: So many of the reads must be given back by the same caller.
PAIRED = 0.9
_TAKE = re.compile(
    r"^_*(acquire_?(read|reader|shared)|(read|reader|shared|r)_?acquire|lock_?(read|shared)|read_?lock"
    r"|start_?read)(_?lock)?$",
    re.I,
)
_GIVE = re.compile(
    r"^_*(release_?(read|reader|shared)|(read|reader|shared|r)_?release|unlock_?(read|shared)"
    r"|read_?unlock|(end|stop|finish)_?read)(_?lock)?$",
    re.I,
)


def takes(function: Function) -> bool:
    return bool(_TAKE.match(_exact.bare(function.name)))


def gives(function: Function) -> bool:
    return bool(_GIVE.match(_exact.bare(function.name)))


class RwlockShortReads:
    id: ClassVar[str] = "rwlock-short-reads"
    title: ClassVar[str] = "A reader-writer lock guards reads shorter than itself"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(0.02, 0.10, "share of a core", "[M] 0.71 µs a read; [H] the shares")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "calls")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "CPU that a plain lock would save"

    def observe(self, window: Window) -> Iterable[Observation]:
        exact = _exact.Exact(window)
        for caller in exact.functions.values():
            reads, taking_s = exact.calls_of(caller, takes)
            returned, giving_s = exact.calls_of(caller, gives)
            if (
                reads < _exact.MIN_CALLS
                or reads < PAIRED * caller.calls
                or not reads * PAIRED < returned < reads / PAIRED
            ):
                continue
            held_s = max(0.0, caller.total_s - taking_s - giving_s) / reads
            seen = _exact.seen_in(window, caller)
            thread = window.thread(seen[0]) if seen is not None else None
            on_cpu = _exact.on_cpu(thread) if thread is not None else 1.0
            if held_s * on_cpu > SHORT_S and held_s > min((taking_s + giving_s) / reads, LONGEST_S):
                continue
            taken = next(f for f, _, _ in exact.callees(caller) if takes(f))
            share = exact.rate(reads) * SAVED_S
            yield Observation(
                subject=f"{caller.file}:{caller.line}:{caller.name}",
                value=share,
                lower=share,
                samples=window.samples,
                episodes=reads,
                confidence=Confidence.INFERRED,
                title=f"{taken.name}: {count(exact.rate(reads))} times a second for reads of {_exact.micro(held_s)}",
                summary=(
                    f"{_exact.spot(caller)} read {count(exact.rate(reads))} times a second under a reader-writer lock. "
                    f"It held the lock for {_exact.micro(held_s)} on average; taking it and giving it back took "
                    f"{_exact.micro((taking_s + giving_s) / reads)}."
                ),
                gain=f"At least {percent(share)} of a core with a plain lock, more with an immutable value and none.",
                check_next="How often is there a write? If seldom, readers need no lock at all.",
                where=(_exact.place(caller), _exact.place(taken)),
                threads=(seen[0],) if seen else (),
                stacks=evidence.shown("reader", *seen) if seen else (),
                explains=(("lock-per-call-counter", "*"),),
            )


RULE = RwlockShortReads()
