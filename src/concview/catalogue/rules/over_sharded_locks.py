"""State is divided among many locks that nobody ever waits for.

What it sees:
    One line of code that picks its lock out of a table, such as `with self._locks[key % 64]:`, sixteen or more of these
    locks in use, and no thread that waits for any of them.

Why it hurts:
    Dividing a lock helps when threads queue for it. When they would not, the parts only cost: memory, a sum over all
    parts for every question about the whole, an order in which to take several of them, and no way to see all parts
    at one moment.

How it is measured:
    Different lock objects seen held by one such expression, read from the frames: no agent is needed. Sixteen or more
    [H] count, if two things are certain. Nobody waits: of the samples of the threads that use the locks, below 0.1 %
    [H] are waits for one, on the upper end of Wilson's 95 % interval, which takes 3,900 samples without a wait. And at
    one lock hardly anybody would: with r locks held at a time on average (upper end, too), a queue of r²/(1 - r) would
    stand at a single one (M/M/1); that, and the locks really seen held at the same time beyond the first, must both be
    below 0.1 waiters, half of what lock-contention counts from [H]. Never more than INFO. On the demo pair
    18 to 39 locks within ten seconds, at most 0.04 waiters expected at one (bad), and a single lock (fixed).
    Only locks that the `with` line itself picks by a key or an argument are judged, not a lock in every object, nor
    one that was put into a variable first.

Fix:
    One lock. It is held as briefly as any of the parts was.

        with self._lock:
            self._table[key] = value

    Divide it again when lock-contention names it.

When it is fine:
    A lock for each key that is held across something long, so that other keys go on; preparation for a load that is
    known to come; builds without a GIL, where even a free lock costs more when many cores take it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

from concview.analysis.locks import SHARED_KINDS, LockSlice, LockWindow, distinct, sweep
from concview.analysis.statistics import independent, wilson
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Confidence, Site
from concview.text import percent, plural

#: Share of the threads' time in which they may wait, and waiters there may be if all parts were one lock.
CONTENDED = 0.001
WAITERS = 0.1


@dataclass(slots=True, eq=False)
class _Table:
    """The locks that are picked out of one table."""

    site: Site
    locks: list[LockWindow] = field(default_factory=list)

    @property
    def holds(self) -> list[LockSlice]:
        """Each thread once at a time, however many of the locks it holds."""
        return distinct([h for lock in self.locks for h in lock.holds])

    @property
    def waits(self) -> list[LockSlice]:
        return distinct([w for lock in self.locks for w in lock.waits])


class OverShardedLocks:
    id: ClassVar[str] = "over-sharded-locks"
    title: ClassVar[str] = "Many locks where one would do"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(16, 256, "locks", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "locks", "held-locks")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "different locks of one table seen held"
    task_twin: ClassVar[str] = ""

    def observe(self, window: Window) -> Iterable[Observation]:
        for key, table in _tables(window).items():
            held = [lock for lock in table.locks if lock.holds]
            if not held:
                continue
            contended, most_contended, samples = _contended(window, table)
            expected, most_expected, part = _at_one_lock(window, table)
            if contended >= CONTENDED or expected >= WAITERS:
                continue
            tids = sorted({h.tid for h in table.holds})
            stack = evidence.heaviest((h.run.stack, h.ns) for h in table.holds)
            of = next(h.tid for h in table.holds if h.run.stack is stack)
            yield Observation(
                subject=key,
                value=len(held),
                lower=len(held),
                samples=window.samples,
                episodes=len(table.holds),
                confidence=Confidence.STATISTICAL,
                title=f"{table.site.expression} is one of {len(held)} locks or more that nobody waits for",
                summary=(
                    f"{plural(len(tids), 'thread')} took {len(held)} different locks by {table.site.expression} in "
                    f"{evidence.spot(table.site.file, table.site.line, table.site.function)}. They waited for "
                    f"them less than {percent(most_contended, 2)} of the time ({samples} samples). Together the locks "
                    f"were held {percent(part)} of the time: at a single one there would be fewer than "
                    f"{most_expected:.2f} waiters on average."
                ),
                gain="Simpler code rather than speed: one lock guards all of the state.",
                check_next="Is there a load, not seen here, at which threads would queue for one lock?",
                where=evidence.places(stack, first=table.site),
                threads=tuple(tids),
                stacks=evidence.shown("holder", of, window.name(of), stack, "holds one of them"),
                severity_cap="info",
                needs=_needs(samples, most_contended, most_expected) if len(held) >= self.thresholds.info else "",
            )


def _needs(samples: int, contended: float, expected: float) -> str:
    if contended >= CONTENDED:
        return (
            f"more samples (has {samples}): waiting may still be {percent(contended, 2)} of the time, and must surely "
            f"be below {percent(CONTENDED, 1)}; a higher --rate gives more"
        )
    if expected >= WAITERS:
        return f"more samples: at one lock there may be {expected:.2f} waiters, and must surely be below {WAITERS}"
    return ""


def _tables(window: Window) -> dict[str, _Table]:
    found: dict[str, _Table] = {}
    for lock in window.locks.values():
        if not lock.address or lock.kind in SHARED_KINDS or lock.confidence is not Confidence.EXACT:
            continue
        for site in lock.places:
            table = picked(site.expression)
            if table:
                found.setdefault(f"{site.scope}::{table}", _Table(site)).locks.append(lock)
                break
    return found


@lru_cache(maxsize=1000)
def picked(expression: str) -> str:
    """'self._locks' for 'self._locks[key % 64]': where an expression picks by a key; '' where it does not."""
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # shortened, or made up
        return ""
    for node in ast.walk(tree.body):
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant):
            return ast.unparse(node.value)
        if isinstance(node, ast.Call) and (node.args or node.keywords):
            return ast.unparse(node.func)
    return ""


def _contended(window: Window, table: _Table) -> tuple[float, float, int]:
    """(share of the users' time in which they wait, the most it may be, samples). Waits shorter than the distance of
    two samples are seen independently; longer ones alone exceed what is asked."""
    users = {i.tid for i in (*table.holds, *table.waits)}
    whole = sum(slice_.ns for t in window.threads if t.tid in users for slice_ in t.slices)
    samples = evidence.samples_in(window, whole)
    share = sum(w.ns for w in table.waits) / max(1, whole)
    return share, wilson(share, samples)[1], samples


def _at_one_lock(window: Window, table: _Table) -> tuple[float, float, float]:
    """Mean number of waiters if all were one lock: the estimate, the most it may be; and the share of the time in which
    any is held."""
    span = max(1, window.end_ns - window.start_ns)
    holds = table.holds
    slices = sweep(holds)
    share = sum(end - start for start, end, _ in slices) / span
    mean = sum(h.ns for h in holds) / span
    together = mean - share
    upper = wilson(share, independent(window.samples, len(holds), share))[1]
    return max(_queue(mean), together), max(_queue(mean * upper / share), together), share


def _queue(load: float) -> float:
    return load * load / (1 - load) if load < 1 else float("inf")


RULE = OverShardedLocks()
