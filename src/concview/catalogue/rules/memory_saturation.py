"""The process has nearly all the memory that it may have, and takes more.

What it sees:
    Memory in use against the tightest of the limits: the cgroup's or the machine's memory, and the process's own
    (RLIMIT_AS, RLIMIT_DATA) where they are set.

Why it hurts:
    At a cgroup's or the machine's limit the kernel ends the process without a word, in the middle of whatever it does;
    before that, everything slows down while memory is searched for. At a limit of its own, the next allocation fails
    with a MemoryError, wherever it happens to come.

How it is measured:
    Resident memory over the cgroup's or the machine's, mapped memory over RLIMIT_AS, private writable memory over
    RLIMIT_DATA, the largest of the three; all read from the kernel, the limits when concview attached. The page cache
    is not part of resident memory. Thresholds 80 % and 95 % [S: common alerting limits]: on the demo pair 96 % to 99 %
    and rising (bad), 25 % (fixed). What does not rise by at least 0.1 % of the limit in the window is INFO
    at most, unless the kernel lets threads wait for more. Memory of other processes under the same limit is not
    counted: this is the least it can be.

Fix:
    Bound what is kept, and hand on what comes in instead of collecting it.

        @functools.lru_cache(maxsize=10_000)       # instead of a dictionary that only grows
        jobs = queue.Queue(maxsize=1_000)          # the producer waits when the consumer falls behind

    Then, if that much is really needed: a higher limit, or fewer workers under one limit.

When it is fine:
    A cache that was sized for the limit: it stays below it and does not rise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Confidence, Counters, Frame, State, Target, WaitKind
from concview.text import duration, percent, size, waits

#: Of the limit, over the window: what rises less stands still.
RISING = 0.001
MIN_SECONDS = 2.0
_KEEPS = re.compile(r"\.(append|appendleft|extend|add|update|setdefault|put|put_nowait|insert)\(|\w\] \+?= |\w \+= ")


@dataclass(frozen=True, slots=True)
class _Use:
    """Bytes in use against one limit."""

    what: str
    at_limit: str  #: what happens there
    used: int
    before: int
    limit: int

    @property
    def share(self) -> float:
        return self.used / self.limit


class MemorySaturation:
    id: ClassVar[str] = "memory-saturation"
    title: ClassVar[str] = "Nearly all memory is in use"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.8, 0.95, "share of the limit", "[S] common alerting limits")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "counters")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "memory in use"

    def observe(self, window: Window) -> Iterable[Observation]:
        now = window.history.counters
        counted = [b.before for b in window.buckets if b.before is not None]
        if now is None or not counted or (now.at_ns - counted[0].at_ns) / 1e9 < MIN_SECONDS:
            return
        uses = _uses(window.target, counted[0], now)
        if not uses:
            return
        worst = max(uses, key=lambda u: u.share)
        seconds = (now.at_ns - counted[0].at_ns) / 1e9
        grown = worst.used - worst.before
        rising = grown >= RISING * worst.limit
        lines = _lines(window)
        named = evidence.frame_spot(lines[0]) if lines else ""
        left = (worst.limit - worst.used) * seconds / grown if rising else 0.0
        waiting = [t.tid for t in window.threads if any(s.run.wait.kind is WaitKind.MEMORY for s in t.slices)]
        yield Observation(
            subject="process",
            value=worst.share,
            lower=worst.share,
            samples=window.samples,
            episodes=1,
            confidence=Confidence.EXACT,
            title=f"{percent(worst.share)} of {worst.what} is in use",
            summary=(
                f"{size(worst.used)} of {size(worst.limit)} are in use ({percent(worst.share)} of {worst.what})"
                + (
                    f", {size(grown)} more than {seconds:.0f} s ago: at this rate the rest lasts {duration(left)}"
                    if rising
                    else ", and it does not rise"
                )
                + (f"; {evidence.who(window, waiting)} {waits(len(waiting))} for more" if waiting else "")
                + (f". Lines that keep something, or ran meanwhile: {named}." if named else ".")
            ),
            gain=worst.at_limit,
            check_next=(
                "What is kept? In the process: tracemalloc.start(), later take_snapshot().statistics('lineno'); from "
                f"outside: grep -E 'Rss|Anon' /proc/{window.target.pid}/smaps_rollup."
            ),
            where=tuple(evidence.at(f) for f in lines[:3]),
            threads=tuple(waiting),
            severity_cap="" if rising or waiting else "info",
        )


def _uses(target: Target, before: Counters, now: Counters) -> list[_Use]:
    killed = "At the limit the kernel ends the process."
    refused = "At the limit the next allocation fails with a MemoryError."
    every = [
        _Use("the memory it may have", killed, now.rss, before.rss, target.memory_limit),
        _Use("its address space (RLIMIT_AS)", refused, now.address_space, before.address_space, target.address_limit),
        _Use("its private memory (RLIMIT_DATA)", refused, now.data, before.data, target.data_limit),
    ]
    return [u for u in every if u.limit > 0 and u.used > 0 and u.before >= 0]


def _lines(window: Window) -> list[Frame]:
    """The user's lines that keep something, most time first; where none was seen, those that ran."""
    busy = evidence.hot(window.threads, State.RUNNING, State.RUNNABLE, State.GIL)
    hot = [f for f, _ in busy or evidence.hot(window.threads, State.IO, State.LOCK, State.SLEEP) if f.origin == "user"]
    stacks = {id(c.stack): c.stack for t in window.threads for c in t.wait_profiles}  # each is searched once
    keeping = {
        f: None for stack in stacks.values() for f in stack.frames[:4] if f.origin == "user" and _KEEPS.search(f.text)
    }
    lines = {(f.file, f.line): f for f in reversed([*keeping, *hot])}
    return list(reversed(lines.values()))[:3]


RULE = MemorySaturation()
