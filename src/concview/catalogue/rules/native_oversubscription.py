"""More threads compute at the same time than there are CPUs.

What it sees:
    Threads that are on a CPU or in the run queue most of the time, more of them than the process has CPUs. They run
    without the GIL: in NumPy and its BLAS, OpenMP, compression, hashing, or on a free-threaded build.

Why it hurts:
    No more gets done than with one thread a CPU, but each takes several times as long, caches are shared by more
    than they were made for, and whatever has to answer quickly waits in the same queue. Two thread pools that do not
    know of each other multiply: eight workers that each start eight BLAS threads are sixty-four.

How it is measured:
    From the kernel's accounts of every thread, also of those that a C library started. Threads that want a CPU at
    least half of the time, and keep it for 2 ms and more when they have it, compute. If together they want more than
    115 % of the CPUs there are [S: a run queue above that is overload], the part of what they want that this many
    CPUs cannot give: 1 - CPUs/wanted, and no more than they did spend in the queue. One that also blocks wants what it
    would use if it never waited for a CPU. Thresholds 0.2 and 0.5 [D: 1.25 and 2 computing threads for a CPU]: on the
    demo pair 0.87 (bad, eight for every CPU), none (fixed). What other processes take is not counted. A cgroup's quota
    counts as the number of CPUs.

Fix:
    One computing thread for a CPU; where pools nest, only one of them should have threads.

        with threadpoolctl.threadpool_limits(1): pool.map(work, parts)   # BLAS and OpenMP in each worker: one thread
        OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python app.py           # the same, from outside

    ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) for what computes.

When it is fine:
    A batch job that has the machine to itself: it loses little but memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.scheduler import Scheduled, schedule
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Inapplicable, Observation, Thresholds
from concview.model import Concern, Confidence, State
from concview.text import percent, plural

#: A thread that wants a CPU for this share of the time computes, if it does not block all the time: one that is woken
#: for a few microseconds at a time spends as long in a full run queue, but no pool size would help it.
BUSY = 0.5
MIN_BURST_NS = 2_000_000
ALWAYS = 0.95
#: [S] Run queues above this part of the CPUs are called overload.
OVERLOAD = 1.15
MIN_SECONDS = 2.0


class NativeOversubscription:
    id: ClassVar[str] = "native-oversubscription"
    title: ClassVar[str] = "More threads compute than there are CPUs"
    group: ClassVar[str] = "GIL and scheduler"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.2, 0.5, "share of the CPU time wanted", "[D] 1.25 and 2 computing threads for every CPU"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "counters")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "waiting for a CPU behind threads of its own"
    concern: ClassVar[Concern] = Concern.CPU

    def observe(self, window: Window) -> Iterable[Observation]:
        counted = schedule(window.buckets)
        if counted is None or counted.seconds < MIN_SECONDS:
            return
        if not counted.knows_delay:
            raise Inapplicable("this kernel keeps no run-queue delay", "use a kernel with CONFIG_SCHED_INFO")
        computing = [t for t in counted.threads if _computes(t, counted.seconds)]
        wanted = sum(_alone(t, counted.seconds) for t in computing)
        cpus = window.cpus
        if cpus <= 0 or len(computing) < 2 or wanted <= OVERLOAD * cpus:
            return
        queued = sum(max(0, t.delay_ns) for t in computing) / sum(t.wanted_ns for t in computing)
        share = min(1 - cpus / wanted, queued)
        known = {t.tid: t for t in window.threads}
        python = [known[t.tid] for t in computing if t.tid in known]
        native = len(computing) - len(python)
        python.sort(key=lambda t: -t.share(State.RUNNING, State.RUNNABLE))
        hot = evidence.hot(python, State.RUNNING, State.RUNNABLE)
        who = (
            evidence.who(window, [t.tid for t in python])
            if python
            else plural(native, "thread of a C library", "threads of C libraries")
        )
        if python and native:
            who += f" and {plural(native, 'thread of a C library', 'threads of C libraries')}"
        yield Observation(
            subject="process",
            value=share,
            lower=share,  # the kernel's own account
            samples=window.samples * len(computing),
            episodes=window.samples,
            confidence=Confidence.EXACT,
            title=f"{len(computing)} threads compute on {cpus:g} CPUs",
            summary=(
                f"{who} want {wanted:.1f} CPUs at once and may use {cpus:g}: they wait in the run queue "
                f"{percent(queued)} of that time; {percent(share)} they would wait even if nobody else ran"
                + (f". Most of it is in {evidence.frame_spot(hot[0][0])}." if hot else ".")
            ),
            gain=(
                f"With one thread for a CPU each piece of work takes up to {wanted / cpus:.1f} x less time and as much "
                "gets done, if the work can be divided that way and no other process takes the CPUs."
            ),
            check_next=(
                "Which libraries bring threads of their own? threadpoolctl.threadpool_info() in the process, or "
                f"grep -oE 'lib(openblas|gomp|iomp5|mkl|tbb)[^ ]*' /proc/{window.target.pid}/maps."
                if native
                else "Which pool makes these threads, and with what size? Does what they call bring threads of its own?"
            ),
            where=tuple(evidence.at(f) for f, _ in hot[:3]),
            threads=tuple(t.tid for t in computing[:50]),
            stacks=tuple(
                s
                for t in python[:3]
                for s in evidence.shown(
                    "computes",
                    t.tid,
                    t.name,
                    evidence.heaviest_in(t.wait_profiles, State.RUNNING, State.RUNNABLE),
                    f"waits for a CPU {percent(t.share(State.RUNNABLE))}",
                )
            ),
            # Whoever has the GIL meanwhile waits for a CPU, too, and with it those who want the GIL.
            explains=(("cpu-starvation", "*"), ("cpu-saturation", "*"), ("gil-convoy", "*"), ("gil-contention", "*")),
        )


def _alone(thread: Scheduled, seconds: float) -> float:
    """CPUs that it would use if it never had to wait for one: by its own doing it blocks as long as it does now.

    The kernel counts a delay when it ends, and with it what was before this time: no thread wants more than one.
    """
    wall = seconds * 1e9
    if thread.wanted_ns >= ALWAYS * wall:
        return 1.0
    return thread.cpu_ns / max(1.0, wall - max(0, thread.delay_ns))


def _computes(thread: Scheduled, seconds: float) -> bool:
    wall = seconds * 1e9
    if thread.wanted_ns < BUSY * wall:
        return False
    return thread.wanted_ns >= ALWAYS * wall or thread.cpu_ns >= MIN_BURST_NS * max(0, thread.voluntary)


RULE = NativeOversubscription()
