"""A lock of the kernel on a file (flock, fcntl): whom the kernel's table names.

That is a process. Where it is this one: the thread whose frames have to do with the file; else, by the source, threads
past the call in the same function.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Node, Root, Via
from concview.analysis.blame.words import stopped
from concview.analysis.blame.world import Look, Waiter
from concview.model import Confidence
from concview.model import FileLock as Lock


class FileLock:
    order: ClassVar[int] = 34
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.wait.peer is not None and look.wait.peer.kind == "file lock"

    def follow(self, waiter: Waiter) -> Link:
        name = waiter.wait.peer.name if waiter.wait.peer is not None else ""
        what = f"the lock on {name.rpartition('/')[2]}" if name else "a file lock"
        key = ("file lock", name)
        told = waiter.world.kernel.file_locks.of(waiter.moment, waiter.tid)
        own = waiter.world.main
        if told is not None and told.holder not in (0, own):
            who = f"process {told.holder_name or '?'} (pid {told.holder})"
            end = waiter.end(End.STOPPED, f"{who}, which {stopped(told.stopped)}") if told.stopped else None
            return waiter.outside(Via.FILE_LOCK, what, Confidence.EXACT, end or waiter.end(End.PEER, who))
        have = waiter.moment.once(("file lock", waiter.look.stack), lambda: self._past(waiter))
        others = [t for t in have if t != waiter.tid]
        if told is not None and told.holder == own:
            users = list(dict.fromkeys(u.tid for u in told.users if u.tid in waiter.moment.runs))
            users = [t for t in users if t not in told.waiters]
            if len(users) == 1 and (not others or users == others):
                return waiter.link(Via.FILE_LOCK, what, users, Confidence.EXACT, key=key)
            others = others or users
        otherwise = waiter.end(End.UNEXPLAINED, f"{what}: not seen who has it")
        if told is not None and told.holder == own and not others:
            otherwise = self._itself(waiter, told, what)
        return waiter.link(Via.FILE_LOCK, what, others, otherwise=otherwise, key=key)

    @staticmethod
    def _itself(waiter: Waiter, told: Lock, what: str) -> Root:
        """flock() is had by what open() gave, not by a process or thread: one that opens the file again waits for
        itself."""
        runs = waiter.moment.runs
        if len(runs) == 1 or {u.tid for u in told.users} == {waiter.tid}:
            return waiter.end(End.CYCLE, f"{what}: this thread has it already, by another descriptor of the file")
        return waiter.end(
            End.UNEXPLAINED, f"{what}: this process has it itself, by another descriptor; not seen in which thread"
        )

    @staticmethod
    def _past(waiter: Waiter) -> list[Node]:
        frame, moment = waiter.frame, waiter.moment
        last = waiter.source.released_after(frame.function, frame.line)
        found = []
        for tid, line in moment.standing.get((frame.file, frame.function), ()):
            peer = moment.runs[tid].wait.peer
            if frame.line <= line <= last and not (peer is not None and peer.kind == "file lock"):
                found.append(tid)
        return found


KIND = FileLock()
