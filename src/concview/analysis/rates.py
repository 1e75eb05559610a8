"""The process's own counters over some buckets, per second; None before they were read twice."""

from __future__ import annotations

from collections.abc import Callable

from concview.analysis.records import ProcessBucket
from concview.model import Counters


def ends(buckets: list[ProcessBucket]) -> tuple[Counters, Counters] | None:
    """The counters at both ends of the buckets; None before there are two."""
    measured = [b for b in buckets if b.before is not None and b.after is not None]
    if not measured:
        return None
    before, after = measured[0].before, measured[-1].after
    assert before is not None and after is not None
    return (before, after) if after.at_ns > before.at_ns else None


def _per_s(buckets: list[ProcessBucket], total: Callable[[Counters], float]) -> float | None:
    """What a total grew by, per second."""
    span = ends(buckets)
    if span is None:
        return None
    before, after = span
    return max(0.0, (total(after) - total(before)) * 1e9 / (after.at_ns - before.at_ns))


def cpu_percent(buckets: list[ProcessBucket]) -> float | None:
    """CPU of the process over the buckets, percent of one core."""
    return _per_s(buckets, lambda c: 100.0 * (c.cpu_user_s + c.cpu_system_s))


def switches_per_s(buckets: list[ProcessBucket]) -> float | None:
    """Context switches of all threads per second over the buckets."""
    return _per_s(buckets, lambda c: c.voluntary + c.involuntary)


def gil_switches_per_s(buckets: list[ProcessBucket]) -> float | None:
    """How often the GIL went to another thread, per second over the buckets; None where that is not counted."""
    span = ends(buckets)
    if span is None or span[0].gil_switches < 0:
        return None
    before, after = span
    return (after.gil_switches - before.gil_switches) * 1e9 / (after.at_ns - before.at_ns)


def run_delay(buckets: list[ProcessBucket]) -> float | None:
    """Seconds of run-queue delay per second, all threads that lived through the buckets."""
    span = ends(buckets)
    if span is None:
        return None
    before, after = span
    then = {t.tid: t.run_delay_ns for t in before.threads}
    grown = sum(t.run_delay_ns - then[t.tid] for t in after.threads if t.run_delay_ns >= 0 and t.tid in then)
    return max(0.0, grown / (after.at_ns - before.at_ns))
