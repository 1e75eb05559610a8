"""Time accounting: from sampled nanoseconds and the kernel's counters to shares that sum to one.

Sampling says which states a thread was in; the kernel's scheduler says exactly how long it was on a CPU and how long
it waited for one. Both are joined: CPU time and run-queue delay are the kernel's, and what is left of the wall time is
divided over the blocked states in the proportion in which they were sampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Reversible, Sequence

from concview.analysis.records import Bucket
from concview.model import State
from concview.snapshot import NO_SHARES, Shares

_RUNNING, _RUNNABLE, _UNKNOWN = State.RUNNING, State.RUNNABLE, State.UNKNOWN
#: The counters come several times a second, on a busy machine once: over so much time that is no longer half of it.
_LONG_NS = 2_500_000_000


def corrected(sampled: Sequence[int], cpu_ns: int, run_delay_ns: int) -> list[float]:
    """Nanoseconds per state after correction; the sum is that of `sampled`.

    `cpu_ns` and `run_delay_ns` cover the same time; -1 where the kernel does not say: then the sample stands.
    A thread that was never sampled off the CPU keeps all of its time on it, less the run-queue delay: a residue of
    milliseconds that the tick-driven counter has not booked yet is not evidence of anything else. Half of a long time
    is: the kernel books a wait in the run queue when it is over, and on a machine busy enough one lasts for seconds.
    """
    out = list(map(float, sampled))
    wall = sum(out)
    if wall <= 0 or cpu_ns < 0:
        return out
    if not cpu_ns and run_delay_ns <= 0 and not out[_RUNNING] and not out[_RUNNABLE]:
        return out  # seen off the CPU, and it was: most threads, most of the time
    delay = float(max(run_delay_ns, 0))
    cpu = float(cpu_ns)
    if cpu + delay > wall:  # the scheduler books in ticks: late by up to one
        scale = wall / (cpu + delay)
        cpu, delay = cpu * scale, delay * scale
    late = out[_RUNNING] + out[_RUNNABLE] - cpu - delay
    if wall >= _LONG_NS and 2 * late > wall:
        delay += late
    blocked = wall - out[_RUNNING] - out[_RUNNABLE]
    if blocked <= 0:
        out[_RUNNING], out[_RUNNABLE] = wall - delay, delay
        return out
    scale = max(0.0, wall - cpu - delay) / blocked  # rounding may leave a millionth below nothing
    out = [v * scale for v in out]
    out[_RUNNING], out[_RUNNABLE] = cpu, delay
    return out


def total(buckets: Iterable[Bucket]) -> tuple[list[float], int]:
    """Corrected nanoseconds per state over several buckets, and the wall time they cover."""
    buckets = list(buckets)
    sampled = list(map(sum, zip(*[b.sampled for b in buckets], strict=True))) or [0] * len(State)
    used = [b.cpu_ns for b in buckets]
    cpu = -1 if min(used, default=0) < 0 else sum(used)
    delay = sum([b.run_delay_ns for b in buckets if b.run_delay_ns > 0])
    return corrected(sampled, cpu, delay), sum(sampled)


def to_shares(nanoseconds: Iterable[float]) -> Shares:
    """Shares 0..1 that sum to 1, or all zero when there was no time."""
    values = list(nanoseconds)
    wall = sum(values)
    if wall <= 0:
        return NO_SHARES
    a, b, c, d, e, f, g, h = (v / wall for v in values)
    return (a, b, c, d, e, f, g, h)


def dominant(bucket: Bucket) -> int:
    """The state that fills most of a bucket after correction; -1 for an empty one."""
    values = corrected(bucket.sampled, bucket.cpu_ns, bucket.run_delay_ns)
    most = max(values)
    return values.index(most) if most > 0 else -1


def still(bucket: Bucket) -> int:
    """The state in which all of a bucket was spent off the CPU, while nothing that is counted happened; else -1."""
    if bucket.cpu_ns or bucket.run_delay_ns or bucket.voluntary or bucket.involuntary or bucket.gil_ns:
        return -1
    state = dominant(bucket)
    whole = state >= 0 and bucket.sampled[state] == sum(bucket.sampled)
    return state if whole and state not in (_RUNNING, _RUNNABLE) else -1


def since(buckets: Reversible[Bucket], start_ns: int) -> list[Bucket]:
    """The buckets that end after `start_ns`, of a list in the order of time."""
    found = []
    for bucket in reversed(buckets):
        if bucket.end_ns <= start_ns:
            break
        found.append(bucket)
    found.reverse()
    return found
