"""A lock of the kernel on a file (flock, fcntl): threads past the call in the same function."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Node, Via
from concview.analysis.blame.world import Look, Waiter


class FileLock:
    order: ClassVar[int] = 34
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.wait.peer is not None and look.wait.peer.kind == "file lock"

    def follow(self, waiter: Waiter) -> Link:
        name = waiter.wait.peer.name if waiter.wait.peer is not None else ""
        what = f"the lock on {name.rpartition('/')[2]}" if name else "a file lock"
        have = waiter.moment.once(("file lock", waiter.look.stack), lambda: self._past(waiter))
        others = [t for t in have if t != waiter.tid]
        otherwise = waiter.end(End.UNEXPLAINED, f"{what}: not seen who has it")
        return waiter.link(Via.FILE_LOCK, what, others, otherwise=otherwise, key=("file lock", name))

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
