"""The process uses, or wants, all the CPU that it may use.

What it sees:
    A process whose threads keep all of its CPUs busy without a pause: those of the machine that its affinity allows,
    or what a cgroup's quota gives.

Why it hurts:
    Nothing is left for a busier hour, for an answer that is wanted quickly, for a retry. Close to the limit, queues
    grow faster than the load does.

How it is measured:
    CPU time as the kernel counts it, over the CPUs it may use; run-queue delay is added for threads that keep a CPU for
    2 ms and more when they have it, since what they wait for is work that is there to be done. (A thread that is woken
    for microseconds also waits, but that is no work.) The lowest of three stretches of five seconds, so that a short
    burst does not count. Thresholds 80 % and 95 % [S: common alerting limits]: on the demo pair 97 % to 100 % (bad), 5
    % to 20 % (fixed). Where the process itself got less than 80 %, because others took the CPU, it is INFO at
    most.

Fix:
    Do less, or have more: the lines that use the CPU are below.

        @functools.lru_cache(maxsize=1024)     # do not compute it twice
        def thumbnail(picture, size): ...

    More instances behind one entrance; a higher quota (resources.limits.cpu, CPUQuota=).

When it is fine:
    A batch job that should be done as soon as possible.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.records import ProcessBucket
from concview.analysis.scheduler import Schedule, schedule
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Concern, Confidence, State
from concview.text import percent

#: Sustained over three stretches of so long.
STRETCH_NS = 5_000_000_000
STRETCHES = 3
#: A stretch made of half-second buckets may be a bucket short.
COMPLETE = 0.85
#: A thread that keeps the CPU so long whenever it gets it has work that waits.
MIN_BURST_NS = 2_000_000
#: Below this part of its CPUs it is others that leave it no more.
OWN = 0.8


class CpuSaturation:
    id: ClassVar[str] = "cpu-saturation"
    title: ClassVar[str] = "All CPU time it may use is used"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.8, 0.95, "share of the CPUs it may use", "[S] common alerting limits"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "counters")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "CPU used or waited for"
    concern: ClassVar[Concern] = Concern.CPU
    names_verdict: ClassVar[str] = "starved"

    def observe(self, window: Window) -> Iterable[Observation]:
        parts = [schedule(part) for part in _stretches(window)]
        complete = [p for p in parts if p is not None and p.seconds >= COMPLETE * STRETCH_NS / 1e9]
        cpus = window.cpus
        if cpus <= 0 or not complete:
            return
        share = min(min(1.0, _wanted(p) / cpus) for p in complete)
        if share < self.thresholds.info / 2:
            return  # nothing that more time would turn into a finding
        seconds = sum(p.seconds for p in complete)
        own = sum(p.cpus * p.seconds for p in complete) / seconds
        busiest = sorted(window.threads, key=lambda t: -t.share(State.RUNNING, State.RUNNABLE))
        busiest = [t for t in busiest if t.share(State.RUNNING, State.RUNNABLE) > 0.05][:20]
        hot = evidence.hot(busiest, State.RUNNING, State.RUNNABLE)
        mostly = f" {percent(hot[0][1])} of it in {evidence.frame_spot(hot[0][0])}." if hot else ""
        others = own < OWN * cpus
        enough = len(complete) == STRETCHES
        yield Observation(
            subject="process",
            value=share,
            lower=share,  # the kernel's own account
            samples=window.samples,
            episodes=len(complete),
            confidence=Confidence.EXACT,
            title=f"{percent(share)} of the CPU it may use is in use" if not others else "No CPU time is left for it",
            summary=(
                f"For {seconds:.0f} s this process has used {own:.1f} of the {cpus:g} CPUs it may use"
                + (" and waited for the rest, which other processes took." if others else ".")
                + mostly
            ),
            gain="Room for a higher load. Any further load makes everything slower by as much.",
            check_next=(
                "Who else runs on these CPUs? See cpu-starvation."
                if others
                else "Which of these lines are needed, and for each, how often? Then: how many more CPUs can it have?"
            ),
            where=tuple(evidence.at(f) for f, _ in hot[:3]),
            threads=tuple(t.tid for t in busiest),
            stacks=tuple(
                s
                for t in busiest[:3]
                for s in evidence.shown(
                    "uses CPU",
                    t.tid,
                    t.name,
                    evidence.heaviest_in(t.wait_profiles, State.RUNNING, State.RUNNABLE),
                    f"{percent(t.share(State.RUNNING))} of a core",
                )
            ),
            severity_cap="info" if others else "",
            needs="" if enough else f"{STRETCHES * STRETCH_NS / 1e9:.0f} s of it (has {seconds:.0f} s)",
        )


def _stretches(window: Window) -> list[list[ProcessBucket]]:
    """The buckets of the last stretches, newest first."""
    out: list[list[ProcessBucket]] = [[] for _ in range(STRETCHES)]
    for bucket in reversed(window.history.buckets):
        age = max(0, (window.end_ns - bucket.end_ns) // STRETCH_NS)
        if age >= STRETCHES:
            break
        out[age].insert(0, bucket)
    return out


def _wanted(part: Schedule) -> float:
    """CPUs that were used, or waited for with work to be done."""
    waited = sum(
        max(0, t.delay_ns) for t in part.threads if t.cpu_ns and t.cpu_ns >= MIN_BURST_NS * max(0, t.voluntary)
    )
    return part.cpus + waited / 1e9 / part.seconds


RULE = CpuSaturation()
