"""A thread waits for a lock that is taken, and that no thread of this process has.

What it sees:
    A thread in `with lock:` or lock.acquire(), without a time limit, for a lock that is locked while nobody here holds
    it: in a forked child the thread that held it was not copied; elsewhere it ended without giving it back.

Why it hurts:
    Nobody can ever release it. The child of a fork hangs in its first log line or its first look into a cache, and its
    parent waits for it.

How it is measured:
    The lock's state, the locks that every thread holds, and every frame that refers to the lock are read from memory:
    it is locked, nobody holds it, and nobody has a release() ahead. It must stand for five seconds [D: nobody can
    release it; the time excludes a hand-over]. Demo pair: for ever (bad), never (fixed: the child is spawned).

Fix:
    Start children by spawn or forkserver, or before the first thread.

        context = multiprocessing.get_context("spawn")
        os.register_at_fork(after_in_child=lambda: globals().update(lock=threading.Lock()))   # where fork must stay

When it is fine:
    A lock used as a signal, which another process or a callback releases: it is not taken with `with` then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.known_places import in_child
from concview.analysis.window import WaitProfile, Window
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _crowd
from concview.catalogue.rules._crowd import Crowd
from concview.model import Concern, Confidence, Reference, Related, State
from concview.source import takers
from concview.source.takers import Taken
from concview.text import duration, file_name, plural, waits

_KINDS = frozenset({"Lock", "RLock"})


class LostAtFork:
    id: ClassVar[str] = "lost-at-fork"
    title: ClassVar[str] = "A lock is locked, and no thread holds it"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(5.0, 5.0, "s", "[D] nobody can release it")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "locks", "held-locks", "relations")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time waited for a lock that no thread holds"
    concern: ClassVar[Concern] = Concern.GIVER

    def observe(self, window: Window) -> Iterable[Observation]:
        held = {h.lock for t in window.threads for p in t.slices[-1:] for h in p.run.holds}
        for crowd in _crowd.crowds(window, _wanted):
            lock = _crowd.related(window, crowd)
            if not crowd.stuck or lock is None or lock.kind not in _KINDS or lock.value != 1 or not lock.complete:
                continue
            if lock.address in held or any(_releases(r, lock) for r in lock.references):
                continue
            # The only thread there is waits for no signal that another one gives.
            alone = len(window.history.threads) == 1
            if not alone and not all(
                p.run.classification.site.how == "with" or t.tid in _pairs(lock)
                for t, p in crowd.waits
                if p.run.classification.site is not None
            ):
                continue
            if lock.owner and any(t.tid == lock.owner and t.alive for t in window.threads):
                continue
            if _in_tasks(window, crowd):
                continue
            yield _one(window, crowd)


def _wanted(profile: WaitProfile) -> tuple[str, str] | None:
    wait, user = profile.wait, profile.stack.user_leaf
    if profile.state is not State.LOCK or wait.via or wait.timed or not wait.lock or wait.lock_kind not in _KINDS:
        return None
    return _crowd.named(profile, "a lock") if profile.classification.site is not None and user is not None else None


def _pairs(lock: Related) -> set[int]:
    """Threads that will release what they wait for, in the same function. acquire() with no release() behind it may
    well be a way to wait for a signal that somebody gives by release()."""
    return {r.tid for r in lock.references if r.tid in lock.waiters and r.source and r.will == "release"}


def _releases(one: Reference, lock: Related) -> bool:
    """Somebody who has it, or will release it without waiting for it now."""
    return bool(one.past) or (one.will == "release" and one.tid not in lock.waiters)


def _in_tasks(window: Window, crowd: Crowd) -> bool:
    """Whether a task is in the function that waits: it may have it across an `await`, which no thread's frame shows."""
    frame = crowd.frame
    runs = [run for task in window.history.aio.tasks.values() if (run := task.current) is not None]
    return frame is not None and any(
        (f.file, f.function) == (frame.file, frame.function) for run in runs for f in run.stack.frames
    )


def _forked(window: Window) -> bool:
    """Whether the stacks tell that this process was forked from another one."""
    return any(
        in_child(c.stack.frames) or any("fork(" in f.text for f in c.stack.frames)
        for t in window.threads
        for c in t.wait_profiles
    )


def _who(window: Window, crowd: Crowd) -> str:
    """Functions of the file that waits which, by their source, take it and may leave without giving it back."""
    frame = crowd.frame
    name = crowd.name.rpartition(".")[2]
    if frame is None or not name:
        return ""
    found = takers.takers(window.lines_of(frame.file), Taken(name, "acquire"), frozenset({"release"}))
    file = file_name(frame.file)
    told = [
        f"{t.function} ({file}:{t.line}) takes it and gives it back "
        + (f"in line {t.back}, not in a finally" if t.how == "early" else "nowhere")
        for t in found[:3]
    ]
    return f" By the source, {'; '.join(told)}." if told else ""


def _one(window: Window, crowd: Crowd) -> Observation:
    forked = _forked(window)
    why = (
        "This process was forked: it was taken before, by a thread that was not copied."
        if forked
        else "The thread that took it has ended without giving it back, or it was taken before a fork."
    )
    return replace(
        crowd.for_ever(Confidence.EXACT, 95),
        title=f"{plural(len(crowd.tids), 'thread waits', 'threads wait')} for {crowd.name}, which no thread here holds",
        summary=(
            f"{crowd.who} {waits(len(crowd.tids))} for {crowd.name} in {crowd.spot} for "
            f"{duration(crowd.least)}. It is locked, and no thread of this process holds it. {why}{_who(window, crowd)}"
        ),
        check_next=(
            f"Who holds {crowd.name} in the parent when it forks? See fork-with-threads there."
            if forked
            else f"Which thread took {crowd.name} and ended? Take it with `with`, and it is released."
        ),
        explains=(("lock-contention", crowd.key),),
    )


RULE = LostAtFork()
