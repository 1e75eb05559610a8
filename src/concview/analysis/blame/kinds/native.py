"""Inside native code: in a futex that is no Python lock.

In which C library is read from the thread's own stack. Where it waits for a pthread mutex or rwlock, that records its
owner: a thread of this process or another one. What else a library waits for only it knows: there the path ends. Where
not even the library could be read, it is unexplained.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.blame.ties import still
from concview.analysis.blame.words import stopped
from concview.analysis.blame.world import Look, Waiter
from concview.model import Confidence, NativeWait, State, WaitKind

#: Of a thread with no frame of the program's own: its target is no Python function.
_COMPILED = "code that shows no frames (C, or compiled by Cython, Nuitka or mypyc)"


class Native:
    order: ClassVar[int] = 70
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.wait.kind is WaitKind.FUTEX

    def follow(self, waiter: Waiter) -> Root | Link:
        told, at_ns = waiter.world.kernel.native(waiter.moment, waiter.tid)
        if told is None or not (told.library or told.kind):
            where = "native code" if waiter.look.own else _COMPILED
            return waiter.end(End.UNEXPLAINED, f"waits inside {where}: for what cannot be read")
        if told.kind:
            return self._owned(waiter, told, at_ns)
        shared = ", which other processes share" if told.shared else ""
        return waiter.end(End.NATIVE, f"waits inside {told.library}{shared}")

    @staticmethod
    def _owned(waiter: Waiter, told: NativeWait, at_ns: int) -> Root | Link:
        what = told.what
        for process in told.others:
            who = f"process {process.name or '?'} (pid {process.pid})"
            end = waiter.end(End.PEER, who)
            if process.stopped:
                end = waiter.end(End.STOPPED, f"{who}, which {stopped(process.stopped)}")
            return waiter.outside(Via.NATIVE, what, Confidence.EXACT if at_ns else Confidence.INFERRED, end)
        if told.lost and at_ns:
            whose = "a process that has ended" if told.shared else "a thread that has ended, or one before a fork"
            return waiter.end(End.NOBODY, f"{what}: {whose} has taken it")
        owner = told.owner
        exact = bool(at_ns) and _stands(waiter, owner, at_ns)
        others = [owner] if owner != waiter.tid and owner in waiter.moment.runs else []
        if others and _waits_there(waiter, owner, told):
            others, exact = [], False  # it has given it back and wants it again
        otherwise = waiter.end(End.NATIVE, f"waits for {what}")
        confidence = Confidence.EXACT if exact else Confidence.INFERRED
        return waiter.link(Via.NATIVE, what, others, confidence, otherwise, key=("native", told.address))


def _stands(waiter: Waiter, owner: int, at_ns: int) -> bool:
    """Whether the owner has been in one wait since the lock was read: one that runs may have given it back."""
    run = waiter.moment.runs.get(owner)
    if run is None or run.state in (State.RUNNING, State.RUNNABLE) or not still(waiter.moment, owner, at_ns):
        return False
    return run.since_ns <= at_ns


def _waits_there(waiter: Waiter, tid: int, told: NativeWait) -> bool:
    """Also by what was seen of an earlier wait of the same thread, where nothing else accounts for this one."""
    other, _ = waiter.world.kernel.native(waiter.moment, tid)
    wait = waiter.moment.runs[tid].wait
    if wait.kind is not WaitKind.FUTEX or wait.lock or other is None:
        return False
    return other.address == told.address and other.owner != tid  # a mutex that is taken twice by one stays his


KIND = Native()
