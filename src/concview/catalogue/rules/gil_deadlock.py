"""A thread keeps the GIL while it waits for a lock whose owner needs the GIL.

What it sees:
    The thread that has the GIL waits, inside a C library, for a mutex of the library's; the thread that has the mutex
    waits for the GIL.

Why it hurts:
    Neither can ever go on, and nobody else either: without the GIL no thread of the process runs Python. No signal
    handler of Python's runs, no timeout fires, no health check is answered; SIGKILL is what ends it.

How it is measured:
    Who has the GIL and who waits for it is read from the interpreter, who has the mutex from the mutex itself (exact).
    The circle must stand unchanged for one second and three samples [D: nobody in it can move; the second excludes torn
    reads]: score 100. Demo pair: stands until the end (bad), never seen (fixed).

Fix:
    Let go of the GIL before a lock that others have while they call into Python.

        Py_BEGIN_ALLOW_THREADS                 /* in the extension that waits */
        pthread_mutex_lock(&mutex);
        Py_END_ALLOW_THREADS

        library = ctypes.CDLL(path)            # with ctypes: CDLL lets go of the GIL, PyDLL keeps it

    Or let the library call into Python only after it has given its lock back. Where neither is yours to change, use
    one object of the library in one thread only, or guard it with a lock of Python's of your own.

When it is fine:
    Never: nothing but the end of the process ends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.window import GilWindow, ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Concern, Confidence, NativeWait, State
from concview.text import duration, plural

MIN_SAMPLES = 3


class GilDeadlock:
    id: ClassVar[str] = "gil-deadlock"
    title: ClassVar[str] = "Deadlock of the GIL and a lock of a C library"
    group: ClassVar[str] = "GIL and scheduler"
    thresholds: ClassVar[Thresholds] = Thresholds(
        1.0, 1.0, "s", "[D] nobody in the circle can move; a second and three samples exclude torn reads"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "gil", "peers")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "how long the circle has lasted"
    concern: ClassVar[Concern] = Concern.GIVER

    def observe(self, window: Window) -> Iterable[Observation]:
        evidence.require_gil(window)
        waits = {one.tid: one for one in window.history.relations.natives(window.end_ns) if one.owner}
        if not waits:
            return
        for gil in window.gils:
            threads = {t.tid: t for t in gil.threads}
            holder = threads.get(gil.ticks[-1].holder) if gil.ticks else None
            lock = waits.get(holder.tid) if holder is not None else None
            owner = threads.get(lock.owner) if lock is not None and not lock.others else None
            if holder is None or lock is None or owner is None or owner.tid == holder.tid:
                continue
            run = owner.history.current
            if run is not None and run.state is State.GIL:
                yield self._one(window, gil, holder, owner, lock)

    def _one(
        self, window: Window, gil: GilWindow, holder: ThreadWindow, owner: ThreadWindow, lock: NativeWait
    ) -> Observation:
        age, ticks = _kept(gil, holder.tid)
        wanted = max(self.thresholds.warn, MIN_SAMPLES * evidence.tick_ns(window) / 1e9)
        have, needs = holder.history.current, owner.history.current
        assert have is not None and needs is not None
        others = [t.tid for t in gil.threads if t.tid not in (holder.tid, owner.tid) and _wants(t)]
        what = lock.what
        behind = f" {plural(len(others), 'more thread waits', 'more threads wait')} for the GIL." if others else ""
        leaf = have.stack.user_leaf
        return Observation(
            subject=gil.subject,
            value=age,
            lower=age,
            samples=ticks,
            episodes=1,
            confidence=Confidence.EXACT,
            title=f"Deadlock of {holder.name} and {owner.name}: the GIL{gil.where} and {what}",
            summary=(
                f"{holder.name} has the GIL and waits for {what} ({evidence.frame_spot(leaf)}), which {owner.name} "
                f"has; {owner.name} waits for the GIL ({evidence.frame_spot(needs.stack.user_leaf)})."
                f"{evidence.unchanged(window, age)}{behind}"
            ),
            gain=f"{plural(2 + len(others), 'thread')} that will not move again before a restart.",
            check_next="Which call of the library waits for its lock without letting go of the GIL?",
            where=evidence.places(have.stack, needs.stack),
            threads=(holder.tid, owner.tid, *others),
            stacks=(
                *evidence.shown("deadlocked", holder.tid, holder.name, have.stack, f"has the GIL, waits for {what}"),
                *evidence.shown("deadlocked", owner.tid, owner.name, needs.stack, f"has {what}, waits for the GIL"),
            ),
            explains=(
                *((("native-gil-hold", f"{leaf.file}:{leaf.function}"),) if leaf is not None else ()),
                ("gil-contention", gil.subject),
                ("gil-convoy", gil.subject),
                ("native-lock-contention", f"{lock.library} {lock.address:#x}"),
            ),
            score=100,
            needs=""
            if age >= wanted
            else f"a circle to be seen to stand for {duration(wanted)} (was for {duration(age)})",
        )


def _wants(thread: ThreadWindow) -> bool:
    run = thread.history.current
    return run is not None and run.state is State.GIL


def _kept(gil: GilWindow, tid: int) -> tuple[float, int]:
    """Seconds and samples for which this thread has had the GIL, with somebody waiting, without a change of hands."""
    last = gil.ticks[-1]
    first, samples = last, 0
    for tick in reversed(gil.ticks):
        if tick.holder != tid or tick.switches != last.switches:
            break
        first, samples = tick, samples + 1
    return (last.at_ns - first.at_ns) / 1e9, samples


RULE = GilDeadlock()
