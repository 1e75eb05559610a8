"""Threads or processes queue for a lock on a file.

What it sees:
    Threads in flock(), lockf() or fcntl() that wait for a lock on a file which another thread or process has; or that
    try for it again and again, with a pause in between (filelock, portalocker, fasteners).

Why it hurts:
    What is done under it is done one at a time, on the whole machine: any number of workers and processes together does
    the work of one. Nothing of it shows in the process that waits but a system call that does not return.

How it is measured:
    The mean number of threads of this process that wait for the lock on one file, read from the kernel, on the lower
    end of the 95 % interval; threads that have waited for five seconds without a break are counted, not estimated. Who
    has the lock is told by the kernel's table of file locks (the process), and in the process by the threads in whose
    frames the descriptor is that has it, else by those at a later line of the function that waits (inferred). Of
    those that try again and again the pauses count, and which file it is about their frames tell (inferred).
    Thresholds 0.5 and 1.5 [H]: demo pair 3.9 to 4.0 (bad), 0.0 (fixed).

Fix:
    Hold it for the change of the file alone, or give every part a file of its own.

        data = prepare()                          # nobody waits for this
        with open(path, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)      # released when the file is closed
            file.write(data)

    Within one process a threading.Lock is cheaper, and is seen by debuggers.

When it is fine:
    A lock that keeps a second copy of a job from running: whoever waits there has nothing else to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.known_places import bare
from concview.analysis.window import WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _crowd
from concview.catalogue.rules._crowd import Crowd
from concview.model import Confidence, FileLock, FileLocks, State
from concview.source.calls import ACQUIRES
from concview.text import percent, plural

#: Frames from the pause outwards that may belong to one attempt.
_NEAR = 4


class FileLockContention:
    id: ClassVar[str] = "file-lock-contention"
    title: ClassVar[str] = "Threads queue for a lock on a file"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(0.5, 1.5, "waiters", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "peers")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of threads that wait for the lock"

    def observe(self, window: Window) -> Iterable[Observation]:
        for crowd in _crowd.crowds(window, _wanted):
            yield _one(window, crowd, Confidence.EXACT)
        for crowd in _polled(window):
            yield _one(window, crowd, Confidence.INFERRED)


def _polled(window: Window) -> Iterable[Crowd]:
    """Those that try for the lock on one file again and again."""
    reports = window.history.relations.reports(FileLocks, window.start_ns, window.end_ns)
    paths = {tid: one.path for r in reports for one in r.locks if one.polled and one.holder for tid in one.waiters}
    crowds: dict[str, Crowd] = {}
    for thread in window.threads:
        path = paths.get(thread.tid)
        paused = [(thread, slice_) for slice_, _ in thread.slices_of(_tries)] if path is not None else []
        if path is not None and paused:
            crowd = crowds.setdefault(path, Crowd(window, path, path.rpartition("/")[2], polls=True))
            crowd.waits += paused
    return crowds.values()


def _tries(profile: WaitProfile) -> bool | None:
    """In the pause between two tries: of a function that acquires, by its name."""
    near = profile.stack.frames[:_NEAR]
    return True if profile.state is State.SLEEP and any(bare(f.function) in ACQUIRES for f in near) else None


def _wanted(profile: WaitProfile) -> tuple[str, str] | None:
    peer = profile.wait.peer
    return (peer.name, peer.name.rpartition("/")[2]) if peer is not None and peer.kind == "file lock" else None


def _holder(window: Window, path: str) -> FileLock | None:
    found = [one for one in window.history.relations.file_locks(window.end_ns) if one.path == path and one.holder]
    return found[0] if found else None


def _threads(window: Window, crowd: Crowd) -> set[int]:
    """Threads of this process in whose frames the descriptor was that had the lock."""
    reports = window.history.relations.reports(FileLocks, window.start_ns, window.end_ns)
    locks = [one for r in reports for one in r.locks if one.path == crowd.key and one.holder == window.target.pid]
    return {user.tid for one in locks for user in one.users if user.tid not in one.waiters}


def _one(window: Window, crowd: Crowd, confidence: Confidence) -> Observation:
    lock = _holder(window, crowd.key)
    read = _threads(window, crowd)
    standing = [(t, s) for t, s in crowd.beside(read) if s.run.state is not State.RUNNING]
    kept = standing if read else crowd.beyond()
    owners = _crowd.by_time(kept)
    meanwhile = _crowd.doing(kept)
    summary = crowd.waiting(f"for the lock on {crowd.key} in {crowd.spot}")
    outside = lock is not None and lock.holder != window.target.pid
    if outside and lock is not None:
        summary += f"; process {lock.holder} ({lock.holder_name or 'its name could not be read'}) has it"
    elif owners and meanwhile.words:
        have = "has" if len(owners) == 1 else "have"
        if not read:
            have = "seems to have" if len(owners) == 1 else "seem to have"
        summary += f"; {evidence.who(window, owners)} {have} it in turn, mostly {meanwhile.words} "
        summary += f"({percent(meanwhile.share)})"
    else:
        summary += "; who has it was not seen"
    return replace(
        crowd.in_turn(confidence, owners, meanwhile),
        title=f"{crowd.at_once('queues', 'queue')} for the lock on {crowd.name}",
        summary=summary + crowd.lasting_words + ".",
        gain=(
            f"Of these {plural(len(crowd.tids), 'thread')} only one proceeds at a time; what need not be under the "
            "lock could overlap."
        ),
        check_next=(
            f"What does process {lock.holder} do with it? Look at it with concview, too."
            if outside and lock is not None
            else f"`lslocks` lists who has a lock on {crowd.name}, of every process."
        ),
        stacks=(() if outside else meanwhile.shown("holder")) + crowd.evidence(),
    )


RULE = FileLockContention()
