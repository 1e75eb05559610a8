"""Threads that could run wait for a CPU.

What it sees:
    Threads in the kernel's run queue: ready to run, with no CPU for them.

Why it hurts:
    Everything takes longer by the time spent in the queue, locks and the GIL included if their holder is in it. No
    change to the program's own waiting helps.

How it is measured:
    Run-queue delay divided by CPU time plus delay, of all Python threads, as the kernel counts both, where together
    they make up at least half a core. Thresholds 10 % and 30 % [H]: on the demo pair 94 % (bad); the fixed one
    depends on what else the machine does. Cgroup throttling and the load of other processes are told apart: where
    others take the CPU, it is INFO at most, since this program cannot help it.

Fix:
    Give the process the CPU it needs: a higher quota, fewer neighbours, fewer threads or processes than CPUs.

        ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0)))
        # kubernetes: resources.requests.cpu for what it uses, and no limit or a higher one

When it is fine:
    Start-up, and batch jobs that are meant to take what is left (nice).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.scheduler import Schedule, schedule
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Concern, Confidence, State
from concview.text import percent

#: Threads that want less than this of a core lose little by waiting for it.
MIN_DEMAND = 0.5
MIN_SECONDS = 2.0


class CpuStarvation:
    id: ClassVar[str] = "cpu-starvation"
    title: ClassVar[str] = "Threads wait for a CPU"
    group: ClassVar[str] = "GIL and scheduler"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.1, 0.3, "share of the time a CPU is wanted", "[H] calibrated on the demo pair"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "counters")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "waiting in the run queue"
    concern: ClassVar[Concern] = Concern.CPU
    names_verdict: ClassVar[str] = "starved"

    def observe(self, window: Window) -> Iterable[Observation]:
        running = sum(t.nanoseconds[State.RUNNING] for t in window.threads)
        queued = sum(t.nanoseconds[State.RUNNABLE] for t in window.threads)
        counted = schedule(window.buckets)
        seconds = counted.seconds if counted is not None else 0.0
        if counted is None or seconds < MIN_SECONDS or running + queued < MIN_DEMAND * seconds * 1e9:
            return
        share = queued / (running + queued)
        waiting = sorted(window.threads, key=lambda t: -t.nanoseconds[State.RUNNABLE])
        waiting = [t for t in waiting if t.nanoseconds[State.RUNNABLE] > 0.05 * queued]
        hot = evidence.hot(waiting, State.RUNNING)
        why, check, others = _why(window, counted)
        yield Observation(
            subject="process",
            value=share,
            lower=share,  # the kernel's own account
            samples=window.samples * max(1, len(waiting)),
            episodes=window.samples,
            confidence=Confidence.EXACT,
            severity_cap="info" if others else "",
            summary=(
                f"{_who(window, [t.tid for t in waiting])} wanted a CPU for "
                f"{(running + queued) / 1e9 / seconds:.1f} cores' worth of time and waited in the run queue for "
                f"{percent(share)} of it. {why}"
            ),
            gain=f"On a free CPU what these threads compute would take {percent(1 - share)} of the time it takes now.",
            check_next=check,
            where=tuple(evidence.at(f) for f, _ in hot[:2]),
            threads=tuple(t.tid for t in waiting),
            stacks=tuple(
                s
                for t in waiting[:2]
                for s in evidence.shown(
                    "starved",
                    t.tid,
                    t.name,
                    evidence.heaviest_in(t.wait_profiles, State.RUNNING),
                    f"waits for a CPU {percent(t.share(State.RUNNABLE))}",
                )
            ),
        )


def _who(window: Window, tids: list[int]) -> str:
    # Among very many, each may have waited for less than is worth a name.
    return evidence.who(window, tids) if tids else f"{len(window.threads)} threads together"


def _why(window: Window, counted: Schedule) -> tuple[str, str, bool]:
    """Throttled, too many of its own, or crowded out by other processes, and what to look at; True for the last."""
    own, cpus = counted.cpus, f"{window.cpus:g} {'CPU' if window.cpus == 1 else 'CPUs'}"
    if counted.throttled > 0.02:
        return (
            f"Its cgroup was throttled for {percent(counted.throttled)} of the time: the quota of {cpus} is used up.",
            "Who else is in this cgroup? cpu.max and cpu.stat there: nr_throttled of nr_periods.",
            False,
        )
    if own >= 0.8 * window.cpus:
        return (
            f"It uses {own:.1f} of its {cpus} itself: it has more running threads than CPUs.",
            "Which of these threads must compute at the same time?",
            False,
        )
    return (
        f"It uses {own:.1f} of its {cpus}: the rest is taken by other processes.",
        "Who else runs on these CPUs? `top`, and cpu.stat of the cgroup.",
        True,
    )


RULE = CpuStarvation()
