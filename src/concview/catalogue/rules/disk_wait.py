"""Threads wait for the disk: fsync after every small piece, or memory that is read back from it.

What it sees:
    Threads in fsync(), fdatasync() and their like, or in the uninterruptible sleep in which the kernel reads or writes
    for them: a file, or a page of memory that is not there.

Why it hurts:
    A disk takes some thousand of these a second, a network disk some hundred, whoever asks. Threads that each wait for
    their own write queue there, and all that they would do meanwhile waits, too. More threads do not help.

How it is measured:
    The mean number of threads that wait so at one line of the program, by the kernel's own account of what each thread
    is in, on the lower end of the 95 % interval; threads that have waited for five seconds without a break are
    counted, not estimated. Thresholds 0.5 and 1.5 [H]: demo pair 1.9 to 4 (bad), 0.0 (fixed), on a virtual disk and a
    busy machine.

Fix:
    Write many pieces, then sync once; or let one thread write for all.

        for record in batch: file.write(record)
        file.flush(); os.fsync(file.fileno())        # once for all that wait

    Where losing the last writes does not matter, do not sync at all. Page faults: less memory in use, or more of it.

When it is fine:
    A journal that must be on the disk before an answer is given, and that is fast enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.window import WaitProfile, Window
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _crowd
from concview.catalogue.rules._crowd import Crowd
from concview.model import Confidence, State, WaitKind
from concview.text import duration, percent

_SYNCS = frozenset({"fsync", "fdatasync", "sync_file_range", "msync", "sync", "syncfs"})


class DiskWait:
    id: ClassVar[str] = "disk-wait"
    title: ClassVar[str] = "Threads wait for the disk"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.5, 1.5, "threads", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of threads that wait for the disk"

    def observe(self, window: Window) -> Iterable[Observation]:
        for crowd in _crowd.crowds(window, _wanted):
            yield _one(window, crowd)


def _wanted(profile: WaitProfile) -> tuple[str, str] | None:
    wait, leaf = profile.wait, profile.stack.user_leaf
    if profile.state is State.IDLE or (wait.kind is not WaitKind.DISK and wait.syscall not in _SYNCS):
        return None
    where = f"{leaf.file}:{leaf.line}" if leaf is not None else "?"
    return where, wait.peer.name if wait.peer is not None else ""


def _one(window: Window, crowd: Crowd) -> Observation:
    syncs = sum(p.ns for _, p in crowd.waits if p.run.wait.syscall in _SYNCS)
    whole = max(1, sum(p.ns for _, p in crowd.waits))
    calls = max({p.run.wait.syscall for _, p in crowd.waits}, key=lambda c: _spent(crowd, c))
    files = sorted({p.run.wait.peer.name for _, p in crowd.waits if p.run.wait.peer is not None})
    share = crowd.mean / max(1, len(crowd.tids))
    what = calls or "a page of memory"
    on = f" of {files[0]}" if len(files) == 1 else f" of {len(files)} files" if files else ""
    each = _each(crowd, window)
    return replace(
        crowd.in_turn(Confidence.EXACT),
        episodes=crowd.episodes + _woken(crowd),
        label=crowd.spot,
        title=f"{crowd.at_once('waits', 'wait')} for the disk",
        summary=(
            f"{crowd.waiting(f'for the disk in {crowd.spot} ({what}{on})')}"
            f"{f', {percent(share)} of the time of each' if len(crowd.tids) > 1 else ''}{each}."
        ),
        gain="What is synced together is waited for once; the threads would do something else meanwhile.",
        check_next=(
            f"Must every piece be on the disk before {crowd.spot} goes on? How long one takes, `iostat -x 1` tells."
            if syncs > whole / 2
            else "Is memory short (`vmstat 1`: si, so), or is a file read that is not cached?"
        ),
        explains=(("context-switch-storm", "*"),),
    )


def _spent(crowd: Crowd, call: str) -> int:
    return sum(p.ns for _, p in crowd.waits if p.run.wait.syscall == call)


def _woken(crowd: Crowd) -> int:
    """Waits that ended and began again at the same place are one run, with moments at which the thread ran."""
    return sum(sum(p.start_ns < at < p.end_ns for at in p.run.woken or ()) for _, p in crowd.waits)


def _each(crowd: Crowd, window: Window) -> str:
    thread = window.thread(crowd.tids[0])
    times = sum(b.voluntary for b in thread.buckets if b.voluntary > 0) if thread is not None else 0
    mine = sum(p.ns for t, p in crowd.waits if t.tid == crowd.tids[0])
    return f", {duration(mine / times / 1e9)} each time" if times else ""


RULE = DiskWait()
