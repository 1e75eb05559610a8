"""A terminal: somebody who types, or one that takes no output."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.model import State

_WRITES = frozenset({"write", "writev"})


class Terminal:
    order: ClassVar[int] = 36
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        peer = look.wait.peer
        return peer is not None and peer.kind == "tty" and look.state is not State.IDLE

    def follow(self, waiter: Waiter) -> Root:
        wait = waiter.wait
        name = wait.peer.name if wait.peer is not None else ""
        if wait.syscall in _WRITES:
            return waiter.end(End.FILE, f"the terminal {name}, which takes no more output: Ctrl-S, or nobody reads it")
        return waiter.end(End.FILE, f"somebody to type at the terminal {name}")


KIND = Terminal()
