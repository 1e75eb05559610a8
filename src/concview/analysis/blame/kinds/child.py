"""It waits for a child process."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.words import stopped
from concview.analysis.blame.world import Look, Waiter
from concview.model import Child as Process
from concview.model import Children, WaitKind

_WRITES = frozenset({"write", "writev", "sendto", "sendmsg"})
#: A wait of less than this may be one for a reader that is busy.
STANDS_NS = 5_000_000_000


class Child:
    order: ClassVar[int] = 35
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        peer = look.wait.peer
        return look.wait.kind is WaitKind.CHILD or look.via == "child" or (peer is not None and peer.kind == "process")

    def follow(self, waiter: Waiter) -> Root:
        peer = waiter.wait.peer
        told = waiter.world.kernel.children.of(waiter.moment, waiter.tid)
        if told is not None and told.back and told.syscall in _WRITES and self._stands(waiter, told):
            return waiter.end(
                End.CYCLE,
                f"waits for process {told.name or '?'} (pid {told.pid}), and that for somebody to read what it writes: "
                "only this process could, and no thread of it does",
            )
        if told is not None:
            who = f"process {told.name or '?'} (pid {told.pid})"
            # Of several children that it would take the end of, another one may come first.
            if told.stopped and (peer is None or str(told.pid) in peer.name):
                return waiter.end(End.STOPPED, f"{who}, which {stopped(told.stopped)}")
            return waiter.end(End.CHILD, f"{who}{_does(told)}")
        return waiter.end(End.CHILD, f"process {peer.name}" if peer is not None else "a child process")

    @staticmethod
    def _stands(waiter: Waiter, child: Process) -> bool:
        """Whether nothing has moved for long: else a reader may be busy with the piece before."""
        history, same = waiter.world.history, None
        for report in reversed(history.relations.reports(Children)):
            if (child.pid, child.syscall, child.peer, child.cpu_s) not in {
                (c.pid, c.syscall, c.peer, c.cpu_s) for c in report.children
            }:
                break
            same = report.at_ns  # a report stands until the next one
        runs = waiter.moment.runs.values()
        read = any(r.wait.peer is not None and r.wait.peer.name == child.peer for r in runs)
        return not read and same is not None and history.now_ns - same >= STANDS_NS


def _does(child: Process) -> str:
    if child.back:
        return f", which is in {child.syscall} on a pipe whose other end only this process has"
    if child.state == "Z":
        return ", which has ended"
    if child.state == "T":
        return f", which {stopped(child.stopped)}"
    if child.state == "R":
        return ", which runs"
    return f", which is in {child.syscall}" if child.syscall else ""


KIND = Child()
