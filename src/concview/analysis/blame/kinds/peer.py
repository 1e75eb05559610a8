"""A descriptor that leads out of the process, or to an end of which nothing is known."""

from __future__ import annotations

import re
from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import JOB_RESULTS, among
from concview.model import Peer as Descriptor
from concview.model import WaitKind
from concview.text import with_article

#: Calls that wait for a message.
_MESSAGE = re.compile(r"\.(?:recv|receive|poll)\w*\(")


class Peer:
    order: ClassVar[int] = 44
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        return look.wait.kind is WaitKind.IO

    def follow(self, waiter: Waiter) -> Root:
        wait, peer = waiter.wait, waiter.wait.peer
        if (job := _job(waiter)) is not None:
            return job
        if peer is None:
            where = f" (fd {wait.fd})" if wait.fd >= 0 else ""
            return waiter.end(End.PEER, f"{wait.syscall or 'I/O'}{where}")
        return self._at(waiter, peer)._replace(other=waiter.world.kernel.names.other(peer))

    @staticmethod
    def _at(waiter: Waiter, peer: Descriptor) -> Root:
        if peer.kind == "unix":
            return waiter.end(End.PEER, "a unix socket" + (f" {peer.known_as}" if peer.known_as else ""))
        if peer.kind == "epoll":
            ends = peer.name.removeprefix("epoll of ")
            return waiter.end(End.PEER, f"one of the connections {ends}" if "," in ends else f"the connection {ends}")
        if peer.kind == "eventfd" and _MESSAGE.search(waiter.frame.text):
            return waiter.end(End.PEER, "a message that a C library's thread brings (by an eventfd, as ZeroMQ does)")
        if "[" in peer.name:
            return waiter.end(End.PEER, with_article(peer.kind))
        if peer.kind == "fifo" and peer.status:
            lacks = {"no reader": "reading", "no writer": "writing"}[peer.status]
            return waiter.end(End.PEER, f"the FIFO {peer.name} to be opened for {lacks}, which nobody has done")
        return waiter.end(End.PEER, f"{peer.kind} {peer.known_as}" if peer.known_as else peer.described)


def _job(waiter: Waiter) -> Root | None:
    """Who waits for the result of a job asks a broker for it again and again; a worker is what it waits for."""
    frames = waiter.look.own
    if not any(among(f, JOB_RESULTS) for f in frames):
        return None
    return waiter.end(End.PEER, "the result of a celery task")


KIND = Peer()
