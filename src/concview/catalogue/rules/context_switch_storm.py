"""The CPU goes into switching between threads.

What it sees:
    Tens of thousands of context switches a second, with a large part of the process's CPU time spent in the kernel,
    or its threads queueing for the CPUs it fills itself.

Why it hurts:
    A switch costs microseconds of CPU: a system call, the scheduler, cold caches. Threads that hand each other every
    little thing spend more on the handing over than on the thing; too many threads for the CPUs are taken off them
    before they are done.

How it is measured:
    The kernel's own counts, voluntary (the thread blocked) and involuntary (it was taken off) told apart. It counts
    where at least a fifth of the CPU time is the kernel's, or a tenth of the wanted CPU time is spent in the run
    queue while the process itself uses 80 % of its CPUs. Thresholds 10,000 and 20,000 a second [S: 10,000 is a
    published limit; H: twice that]: on the demo pair 150,000 to 250,000 (bad, 80 % of the CPU in the kernel) and 330
    (fixed).

Fix:
    Hand over more at a time; have fewer threads that hand over.

        out.write(b"".join(messages))        # one system call for many messages
        jobs.put(items[i:i + 1000])          # one wake-up for a thousand items

    Where switches are involuntary: no more computing threads than CPUs.

When it is fine:
    A server under high load whose CPU time is its own code's: that is not counted. Threads that write to a disk and
    wait for it are not either: see disk-wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.scheduler import Schedule, schedule
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import ACTIVE
from concview.model import Confidence, State, WaitKind
from concview.text import count, percent

#: It counts where the kernel has this share of the CPU time ...
SYSTEM_SHARE = 0.2
#: ... or the run queue this share of the wanted time, and no other process can be blamed for it.
QUEUED_SHARE = 0.1
OWN_CPUS = 0.8
MIN_SECONDS = 2.0
_SYNCS = frozenset({"fsync", "fdatasync", "sync_file_range", "msync", "sync", "syncfs"})


class ContextSwitchStorm:
    id: ClassVar[str] = "context-switch-storm"
    title: ClassVar[str] = "CPU time goes into switching threads"
    group: ClassVar[str] = "GIL and scheduler"
    thresholds: ClassVar[Thresholds] = Thresholds(
        10_000, 20_000, "switches a second", "[S] 10,000 is a published limit; [H] twice that"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "counters")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "context switches"

    def observe(self, window: Window) -> Iterable[Observation]:
        counted = schedule(window.buckets)
        if counted is None or counted.seconds < MIN_SECONDS or counted.cpus <= 0:
            return
        system = counted.system / counted.cpus
        queued = counted.delayed / counted.demand if counted.demand else 0.0
        if system < SYSTEM_SHARE and (queued < QUEUED_SHARE or counted.cpus < OWN_CPUS * window.cpus):
            return
        disk = {t.tid for t in window.threads if _on_disk(t)}
        per = {t.tid: max(0, t.voluntary) + max(0, t.involuntary) for t in counted.threads}
        of_disk = sum(n for tid, n in per.items() if tid in disk) / max(1, sum(per.values()))
        rate = counted.switches * (1 - of_disk)
        per = {tid: n for tid, n in per.items() if tid not in disk}
        every = sum(per.values())
        if not every:
            return
        busiest = sorted((t for t in window.threads if per.get(t.tid)), key=lambda t: -per[t.tid])
        busiest = [t for t in busiest if per[t.tid] > 0.02 * every]
        forced = sum(max(0, t.involuntary) for t in counted.threads) / every
        hot = evidence.hot(busiest, *ACTIVE)
        lines = " and ".join(evidence.frame_spot(f) for f, _ in hot[:2])
        yield Observation(
            subject="process",
            value=rate,
            lower=rate,  # the kernel's own count
            samples=window.samples * max(1, len(busiest)),
            episodes=window.samples,
            confidence=Confidence.EXACT,
            title=f"{count(rate)} context switches a second",
            summary=(
                f"{evidence.who(window, [t.tid for t in busiest])} are switched {count(rate)} times a second, "
                f"{percent(1 - forced)} of it because they block; {percent(system)} of the CPU time is the kernel's, "
                f"and each stay on a CPU lasts {counted.cpus / max(1.0, rate) * 1e6:.0f} µs on average"
                + (f". They are in {lines}." if lines else ".")
            ),
            fix=_fix(forced),
            gain=(
                f"Up to {counted.system:.1f} CPUs that the kernel uses now, and with them up to "
                f"{1 / max(1 - system, 0.1):.1f} x the work, if as much can be handed over with fewer calls."
            ),
            check_next="How large is what is handed over each time? Could the receiver take many at once?",
            where=tuple(evidence.at(f) for f, _ in hot[:3]),
            threads=tuple(t.tid for t in busiest),
            stacks=tuple(
                s
                for t in busiest[:3]
                for s in evidence.shown(
                    "switches", t.tid, t.name, evidence.heaviest_in(t.wait_profiles, *ACTIVE), _note(counted, t.tid)
                )
            ),
            explains=(("cpu-starvation", "*"),) if system >= SYSTEM_SHARE else (),
        )


def _on_disk(thread: ThreadWindow) -> bool:
    """Whether it blocks on a disk for most of the time that it does not run: each write switches, and that is no
    handing over of anything."""
    blocked = {True: 0, False: 0}
    for one in thread.wait_profiles:
        if one.state not in (State.RUNNING, State.RUNNABLE, State.IDLE):
            blocked[one.wait.kind is WaitKind.DISK or one.wait.syscall in _SYNCS] += one.ns
    return blocked[True] > blocked[False]


def _note(counted: Schedule, tid: int) -> str:
    one = next(t for t in counted.threads if t.tid == tid)
    blocks, forced = (max(0, n) / counted.seconds for n in (one.voluntary, one.involuntary))
    return f"blocks {count(blocks)} times a second, is taken off the CPU {count(forced)} times"


def _fix(forced: float) -> str:
    if forced > 0.5:
        return (
            "They are taken off the CPU before they are done: have no more computing threads than CPUs.\n\n"
            "    cpus = len(os.sched_getaffinity(0))\n"
            "    pool = ThreadPoolExecutor(max_workers=cpus)"
        )
    return (
        "Hand over more at a time, or have fewer threads that hand over.\n\n"
        '    out.write(b"".join(messages))        # one system call for many messages\n'
        "    jobs.put(items[i:i + 1000])          # one wake-up for a thousand items"
    )


RULE = ContextSwitchStorm()
