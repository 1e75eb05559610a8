"""It waits for a child process."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.model import Child as Process
from concview.model import WaitKind


class Child:
    order: ClassVar[int] = 35
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        peer = look.wait.peer
        return look.wait.kind is WaitKind.CHILD or look.via == "child" or (peer is not None and peer.kind == "process")

    def follow(self, waiter: Waiter) -> Root:
        peer = waiter.wait.peer
        told = waiter.world.kernel.children.of(waiter.moment, waiter.tid)
        if told is not None:
            return waiter.end(End.CHILD, f"process {told.name or '?'} (pid {told.pid}){_does(told)}")
        return waiter.end(End.CHILD, f"process {peer.name}" if peer is not None else "a child process")


def _does(child: Process) -> str:
    if child.back:
        return f", which is in {child.syscall} on a pipe whose other end only this process has"
    if child.state == "Z":
        return ", which has ended"
    if child.state == "T":
        return ", which is stopped"
    if child.state == "R":
        return ", which runs"
    return f", which is in {child.syscall}" if child.syscall else ""


KIND = Child()
