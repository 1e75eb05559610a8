"""Several threads want to run Python at once, and the GIL lets one.

What it sees:
    Two or more threads that mostly run or wait for the GIL, and spend much of that time waiting, while together they
    use no more than about one core.

Why it hurts:
    Of k threads that compute in Python, each waits for (k-1)/k of the time: the work takes as long as with one
    thread, plus the switching. Threads that should answer quickly queue behind it, five milliseconds a turn.

How it is measured:
    Over the threads that run or wait for the GIL at least half of the time: waiting for the GIL divided by running plus
    waiting for it, on the lower end of the 95 % interval. The wait is told from every other by the address the thread
    sleeps on, inside the interpreter's GIL. Thresholds 0.30 and 0.45 [D: two such threads wait 0.5, four 0.75; M: demo
    pair 0.76 to 0.88 bad, none fixed]. Threads that run on more than 1.2 cores together have released the GIL; those
    that do not have the GIL for half of the time in which anybody has it wait for somebody else: see gil-convoy and
    native-gil-hold. Where more compute than wait because of it, this explains gil-convoy.

Fix:
    Move the computation into processes, which have a GIL each.

        with ProcessPoolExecutor() as pool:
            results = pool.map(compute, parts, chunksize=8)

    Or into native code that releases the GIL (NumPy, zlib, hashlib on large inputs do), or run a free-threaded build.

When it is fine:
    A short burst; a process that may use one CPU only, where processes win nothing; threads in native code that
    released the GIL (they use more than one core, and wait for it rarely).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.statistics import lower_share
from concview.analysis.window import GilWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._gil import gils, parties, shown
from concview.model import Confidence, Frame, State
from concview.text import percent

#: A thread that runs or waits for the GIL for this share of the time is busy.
BUSY = 0.5
#: Threads that run on more cores than this together do not hold the GIL meanwhile.
MAX_CORES = 1.2
#: Those who compute have the GIL for at least this part of the time in which a thread is known to have it.
MIN_HELD = 0.5
_SHOWN = 4


class GilContention:
    id: ClassVar[str] = "gil-contention"
    title: ClassVar[str] = "Threads compete for the GIL"
    group: ClassVar[str] = "GIL and scheduler"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.3, 0.45, "share of the busy threads' time", "[D] k threads that compute wait (k-1)/k of the time"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "gil")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "waiting for the GIL"

    def observe(self, window: Window) -> Iterable[Observation]:
        for gil in gils(window):
            yield from self._one(window, gil)

    def _one(self, window: Window, gil: GilWindow) -> Iterable[Observation]:
        busy = [t for t in gil.threads if t.share(State.RUNNING, State.GIL) >= BUSY]
        # A thread that hardly runs when it gets the GIL is a victim, not a hog: see gil-convoy.
        most = max((t.share(State.RUNNING, State.RUNNABLE) for t in busy), default=0.0)
        hogs = [t for t in busy if t.share(State.RUNNING, State.RUNNABLE) > 0.2 * most]
        if len(hogs) < 2:
            return
        running = sum(t.nanoseconds[State.RUNNING] for t in hogs)
        waiting = sum(t.nanoseconds[State.GIL] for t in hogs)
        wall = max(sum(t.nanoseconds) for t in hogs)
        cores = running / wall
        held = sum(t.gil_held_ns for t in hogs)
        if cores > MAX_CORES or held < MIN_HELD * sum(t.gil_held_ns for t in gil.threads):
            return
        share = waiting / (running + waiting)
        hogs.sort(key=lambda t: -t.nanoseconds[State.RUNNING])
        samples = evidence.samples_in(window, running + waiting)
        episodes = sum(t.episodes(State.GIL) for t in hogs)
        names = evidence.who(window, [t.tid for t in hogs])
        hot = evidence.hot(hogs, State.RUNNING, State.GIL)
        useful = min(float(len(hogs)), window.cpus)
        computing, victims = parties(gil.threads)
        yield Observation(
            subject=gil.subject,
            value=share,
            lower=lower_share(share, samples, episodes),
            samples=samples,
            episodes=episodes,
            confidence=Confidence.STATISTICAL,
            title=f"{len(hogs)} threads compete for the GIL{gil.where}",
            summary=(
                f"{names} want to run Python, but spend {percent(share)} of that time waiting for the GIL{gil.where}; "
                f"together they get {cores:.1f} cores"
                + (f". Most of it runs in {evidence.frame_spot(hot[0][0])} ({percent(hot[0][1])})." if hot else ".")
            ),
            fix=_fix(hot[0][0] if hot else None, gil),
            gain=(
                f"Up to {useful / max(cores, 1.0):.1f} x with processes on the {window.cpus:g} CPUs this process may "
                "use, if the work can be divided and what is sent between processes is small."
                if window.cpus >= 1.5
                else "None from processes: this process may use one CPU only."
            ),
            check_next="How large are the arguments and results? They are pickled on the way to a process and back.",
            where=tuple(evidence.at(f) for f, _ in hot[:3]),
            threads=tuple(t.tid for t in hogs),
            stacks=shown("hog", hogs[:_SHOWN], State.RUNNING, State.GIL),
            explains=() if len(victims) >= len(computing) else (("gil-convoy", gil.subject),),
            severity_cap="" if window.cpus >= 1.5 else "info",
        )


def _fix(hot: Frame | None, gil: GilWindow) -> str:
    name = hot.function.rpartition(".")[2] if hot is not None and hot.function.isidentifier() else "compute"
    if gil.id:
        return (
            "Threads of one interpreter share its GIL: give each of them an interpreter of its own.\n\n"
            "    with InterpreterPoolExecutor() as pool:\n"
            f"        results = pool.map({name}, parts, chunksize=8)\n\n"
            "A worker of that pool has an interpreter of its own; threads that it starts in there do not."
        )
    return (
        f"Move the computation into processes, which have a GIL each.\n\n"
        f"    with ProcessPoolExecutor() as pool:\n"
        f"        results = pool.map({name}, parts, chunksize=8)\n\n"
        "Or into native code that releases the GIL, or run it on a free-threaded build."
    )


RULE = GilContention()
