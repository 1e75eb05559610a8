"""Threads are moved from CPU to CPU all the time.

What it sees:
    Threads that the kernel moves to another CPU at nearly every turn.

Why it hurts:
    The caches of the new CPU know nothing of the thread: its data come from memory again. With several sockets the
    memory may even be at the other end of the machine. Threads that write to the same cache lines from several CPUs
    (false sharing) pay at every write.

How it is measured:
    The kernel's count of migrations of every thread (/proc/PID/task/TID/sched), and their share of its context
    switches. It counts from 30 % of the switches on: an idle machine moves threads too, and rightly, but seldom so
    many. Threshold 1,000 migrations a second [H]: on the demo pair 2,000 to 3,000, half of the switches (bad), none
    (fixed). INFO only: perf tells whether it costs anything.

Fix:
    Leave threads where they are, or pin each once.

        os.sched_setaffinity(0, {cpu})      # at the thread's start, not for every request

    Per-thread totals that are added up at the end, instead of counters that all threads write to.

When it is fine:
    Threads that hand the GIL to each other: the one that waits is woken where a CPU is free.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.scheduler import schedule
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Inapplicable, Observation, Thresholds
from concview.catalogue.rules._kinds import ACTIVE
from concview.model import Concern, Confidence, State
from concview.text import count, percent, plural

#: Migrations that are fewer of the switches than this are the scheduler's business.
MIN_SHARE = 0.3
#: A thread that waits for the GIL so much of its active time is moved by the hand-over.
GIL_HANDOVER = 0.3
MIN_SECONDS = 2.0


class CpuMigration:
    id: ClassVar[str] = "cpu-migration"
    title: ClassVar[str] = "Threads are moved from CPU to CPU"
    group: ClassVar[str] = "GIL and scheduler"
    thresholds: ClassVar[Thresholds] = Thresholds(
        1_000, 10_000, "migrations a second", "[H] calibrated on the demo pair; INFO only"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "counters")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "migrations"
    concern: ClassVar[Concern] = Concern.CPU

    def observe(self, window: Window) -> Iterable[Observation]:
        counted = schedule(window.buckets)
        if counted is None or counted.seconds < MIN_SECONDS:
            return
        known = [t for t in counted.threads if t.migrations >= 0]
        if not known:
            raise Inapplicable(
                "the kernel does not show migrations (/proc/PID/task/TID/sched)", "use a kernel with CONFIG_SCHED_DEBUG"
            )
        threads = {t.tid: t for t in window.threads}
        moved = [t for t in known if t.tid in threads and threads[t.tid].share(State.GIL) < GIL_HANDOVER]
        migrations = sum(t.migrations for t in moved)
        switches = sum(max(0, t.voluntary) + max(0, t.involuntary) for t in moved)
        if not switches or migrations < MIN_SHARE * switches:
            return
        rate = migrations / counted.seconds
        moved = sorted((t for t in moved if t.migrations > 0.02 * migrations), key=lambda t: -t.migrations)
        busiest = [threads[t.tid] for t in moved]
        hot = evidence.hot(busiest, State.RUNNING, State.RUNNABLE) or evidence.hot(busiest, *ACTIVE)
        rates = {t.tid: t.migrations / counted.seconds for t in moved}
        yield Observation(
            subject="process",
            value=rate,
            lower=rate,  # the kernel's own count
            samples=window.samples * max(1, len(busiest)),
            episodes=window.samples,
            confidence=Confidence.EXACT,
            title=f"{count(rate)} migrations a second",
            summary=(
                f"{evidence.who(window, [t.tid for t in moved])} are moved to another CPU {count(rate)} times a "
                f"second, at {percent(migrations / switches)} of their context switches, among "
                f"{plural(round(window.cpus), 'CPU')}"
                + (f". They run mostly in {evidence.frame_spot(hot[0][0])}." if hot else ".")
            ),
            gain="It cannot be measured from outside: the cost is cache misses. See what to look at next.",
            check_next=(
                f"perf stat -e migrations,cache-misses -p {window.target.pid} before and after pinning; perf c2c "
                "shows false sharing. Does the program set its affinity itself?"
            ),
            where=tuple(evidence.at(f) for f, _ in hot[:3]),
            threads=tuple(t.tid for t in moved),
            stacks=tuple(
                s
                for t in busiest[:3]
                for s in evidence.shown(
                    "moved",
                    t.tid,
                    t.name,
                    evidence.heaviest_in(t.wait_profiles, *ACTIVE),
                    f"{count(rates[t.tid])} migrations a second",
                )
            ),
            severity_cap="info",
        )


RULE = CpuMigration()
