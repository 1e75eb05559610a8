"""Inside native code: in a futex that is no Python lock.

In which C library is read from the thread's own stack: that is where it ends, for what the library waits only it knows.
Where not even that could be read, it is unexplained.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.model import WaitKind


class Native:
    order: ClassVar[int] = 70
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.wait.kind is WaitKind.FUTEX

    def follow(self, waiter: Waiter) -> Root:
        told = waiter.world.kernel.natives.of(waiter.moment, waiter.tid)
        if told is not None and told.library:
            shared = ", which other processes share" if told.shared else ""
            return waiter.end(End.NATIVE, f"waits inside {told.library}{shared}")
        return waiter.end(End.UNEXPLAINED, "waits inside native code: for what cannot be read")


KIND = Native()
