"""What the kernel's scheduler did with each thread over a stretch of time: differences of its own counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from concview.analysis.rates import ends
from concview.analysis.records import ProcessBucket
from concview.model import Counters, ThreadCounters


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One thread of the operating system, Python's or not. -1 where the kernel does not say."""

    tid: int
    cpu_ns: int
    delay_ns: int  #: ready to run, in the run queue
    voluntary: int
    involuntary: int
    migrations: int

    @property
    def wanted_ns(self) -> int:
        """CPU time it had, and would have had but for the queue."""
        return self.cpu_ns + max(0, self.delay_ns)


@dataclass(frozen=True, slots=True)
class Schedule:
    """All threads alive at the end of a stretch of `seconds`."""

    before: Counters
    after: Counters
    threads: tuple[Scheduled, ...]

    @property
    def seconds(self) -> float:
        return (self.after.at_ns - self.before.at_ns) / 1e9

    @property
    def knows_delay(self) -> bool:
        return any(t.delay_ns >= 0 for t in self.threads)

    @property
    def demand(self) -> float:
        """CPUs that would have been used, had there been enough."""
        return sum(t.wanted_ns for t in self.threads) / 1e9 / self.seconds

    @property
    def delayed(self) -> float:
        """Seconds in the run queue per second, of all threads."""
        return sum(max(0, t.delay_ns) for t in self.threads) / 1e9 / self.seconds

    @property
    def cpus(self) -> float:
        """CPUs that were used, by threads that ended meanwhile, too."""
        before, after = self.before, self.after
        used = after.cpu_user_s + after.cpu_system_s - before.cpu_user_s - before.cpu_system_s
        return max(0.0, used / self.seconds)

    @property
    def system(self) -> float:
        """CPUs that were used inside the kernel."""
        return max(0.0, (self.after.cpu_system_s - self.before.cpu_system_s) / self.seconds)

    @property
    def switches(self) -> float:
        """Context switches a second, of all threads."""
        before, after = self.before, self.after
        switched = after.voluntary + after.involuntary - before.voluntary - before.involuntary
        return max(0.0, switched / self.seconds)

    @property
    def throttled(self) -> float:
        """Share of the time for which the cgroup's quota was used up: at most all, for the kernel adds up CPUs."""
        return min(1.0, max(0.0, (self.after.throttled_s - self.before.throttled_s) / self.seconds))


def schedule(buckets: Sequence[ProcessBucket]) -> Schedule | None:
    """None before two readings of the counters."""
    both = ends(list(buckets))
    if both is None:
        return None
    before, after = both
    then = {t.tid: t for t in before.threads}
    # Where there was no room to read all, one that is new in the counters may have been there long before.
    every = before.os_threads <= len(then)
    return Schedule(before, after, tuple(_one(t, then.get(t.tid)) for t in after.threads if every or t.tid in then))


def _one(now: ThreadCounters, then: ThreadCounters | None) -> Scheduled:
    """A thread that was not there before began with nothing."""
    if then is None:
        return Scheduled(now.tid, now.cpu_ns, now.run_delay_ns, now.voluntary, now.involuntary, now.migrations)
    return Scheduled(
        now.tid,
        max(0, now.cpu_ns - then.cpu_ns),
        _grown(now.run_delay_ns, then.run_delay_ns),
        _grown(now.voluntary, then.voluntary),
        _grown(now.involuntary, then.involuntary),
        _grown(now.migrations, then.migrations),
    )


def _grown(now: int, then: int) -> int:
    return max(0, now - then) if now >= 0 and then >= 0 else -1
