"""A lock that is tried for again and again, with a pause in between: filelock, portalocker, redis, a spin lock by hand.

The kernel says only that the thread sleeps, and whoever has the lock may be on another machine. That it is a lock says
the name of the function whose loop the pause is in.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.attempts import acquiring, again_and_again, by_server, lock_of, of_what
from concview.analysis.blame.kinds._ways import inside_block
from concview.analysis.blame.nouns import End, Link, Via
from concview.analysis.blame.words import stopped
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import server_lock
from concview.model import Confidence, FileLock, State, WaitKind


class Polled:
    order: ClassVar[int] = 29
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        if look.wait.kind in (WaitKind.IO, WaitKind.SLEEP) and server_lock(look.stack) is not None:
            return True
        return look.state is State.SLEEP and look.wait.via != "native" and acquiring(look.own) is not None

    def follow(self, waiter: Waiter) -> Link | None:
        world, look = waiter.world, waiter.look
        kept = server_lock(look.stack)
        frame = kept or acquiring(look.own)
        if frame is None or (kept is None and not again_and_again(world, look.own, frame)):
            return None
        told = world.kernel.polled(waiter.tid) if kept is None else None
        if told is not None:
            return self._told(waiter, told, of_what(frame))
        what = lock_of(frame, kept is not None)
        inside, asked = inside_block(waiter), _asked(waiter)
        if not inside and (kept is not None or asked):
            end = waiter.end(End.PEER, by_server(asked))
            return waiter.outside(Via.LOCK, what, Confidence.INFERRED, end)
        if not inside and len(world.history.threads) == 1 and not waiter.moment.tasks.runs:
            end = waiter.end(End.PEER, "another process, or one that has ended and left it: this is the only thread")
            return waiter.outside(Via.LOCK, what, Confidence.INFERRED, end)
        otherwise = waiter.end(End.UNEXPLAINED, f"{what}: not seen who has it")
        return waiter.link(Via.LOCK, what, inside, otherwise=otherwise)

    @staticmethod
    def _told(waiter: Waiter, told: FileLock, of: str) -> Link:
        """Which file it is about was found in its frames, and who has the lock in the kernel's table."""
        what = f"the lock{of} on {told.path.rpartition('/')[2]}, tried for again and again"
        if told.holder not in (0, waiter.world.main):
            who = f"process {told.holder_name or '?'} (pid {told.holder})"
            end = waiter.end(End.STOPPED, f"{who}, which {stopped(told.stopped)}") if told.stopped else None
            return waiter.outside(Via.FILE_LOCK, what, Confidence.INFERRED, end or waiter.end(End.PEER, who))
        users = [t for t in dict.fromkeys(u.tid for u in told.users) if t in waiter.moment.runs and t != waiter.tid]
        users = inside_block(waiter) or users
        otherwise = waiter.end(End.UNEXPLAINED, f"{what}: this process has it, not seen in which thread")
        return waiter.link(Via.FILE_LOCK, what, users, otherwise=otherwise, key=("polled", told.path))


def _asked(waiter: Waiter) -> str:
    """The one peer that this thread was seen to talk to: a lock that is kept there (redis and its like)."""
    peers = {other for _, other in waiter.world.seen.tcp.keys_of(waiter.tid)}
    return f"tcp {peers.pop()}" if len(peers) == 1 else ""


KIND = Polled()
