"""A disk, a file, a device."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.model import State, WaitKind

_KINDS = frozenset({"file", "device", "memory"})


class Disk:
    order: ClassVar[int] = 36
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        peer = look.wait.peer
        return look.wait.kind is WaitKind.DISK or (
            peer is not None and peer.kind in _KINDS and look.state is not State.IDLE
        )

    def follow(self, waiter: Waiter) -> Root:
        wait = waiter.wait
        if wait.peer is not None:
            server = f" on {wait.peer.known_as}" if wait.peer.known_as else ""
            return waiter.end(End.FILE, f"{wait.syscall} {wait.peer.name}{server}".strip())
        return waiter.end(End.FILE, f"the disk ({wait.syscall or 'a page fault'})")


KIND = Disk()
