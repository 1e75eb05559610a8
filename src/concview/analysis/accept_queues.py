"""Connections that nobody has accepted, over a window, and who should: what the kernel tells of each queue, joined with
what threads were seen to do."""

from __future__ import annotations

from dataclasses import dataclass

from concview.analysis.blame.verdict import runs_loop
from concview.analysis.history import History
from concview.analysis.records import Run, ThreadHistory
from concview.model import AcceptQueue, AcceptQueues, User, WaitKind

#: A report holds for so long at most: while somebody waits there is one at each look, and looks may be rare.
_HOLDS_NS = 3_000_000_000
#: Frames that only name the socket's owner as a global say little where other processes have the socket, too.
_OF_ONES_OWN = frozenset({"local", "self", "cell", "with"})


@dataclass(frozen=True, slots=True)
class QueueWindow:
    """One socket that listens, over a window."""

    last: AcceptQueue
    at_ns: int  #: when that was
    mean: float  #: connections that waited, over the time that was seen
    most: int
    waited_s: float  #: the longest time for which one was seen to wait, at least
    share: float  #: of the time that was seen, that in which somebody waited
    refused: int  #: attempts turned away in the window; -1 not told
    full: bool  #: the queue was full at some look
    #: Threads that accept there: seen to wait there, to run an event loop that watches it, or to have it in a frame; of
    #: a process with one thread, that one. Empty: nobody is known to.
    threads: tuple[int, ...]
    exact: bool  #: they were seen to, or are the only ones there are

    @property
    def shared(self) -> tuple[int, ...]:
        return self.last.shared


def queues(history: History, start_ns: int, end_ns: int) -> list[QueueWindow]:
    """Those that were there at the last report, in its order."""
    reports = history.relations.reports(AcceptQueues, start_ns, end_ns)
    if not reports:
        return []
    found = []
    for number, last in enumerate(reports[-1].queues):
        rows = [(r, q) for r in reports for q in r.queues if q.inode == last.inode]
        total = weight = waited = 0.0
        for (report, queue), until in zip(rows, [*(r.at_ns for r, _ in rows[1:]), end_ns], strict=True):
            begin = max(start_ns, report.at_ns)
            span = until - begin if not queue.waiting else min(until - begin, _HOLDS_NS)
            if span > 0:
                total += span
                weight += span * queue.waiting
                waited += span if queue.waiting else 0
        inside = [(r, q) for r, q in rows if r.at_ns >= start_ns] or rows[-1:]
        longest = max((r.at_ns - q.since_ns for r, q in inside if q.since_ns), default=0)
        refused = -1 if last.refused < 0 else max(0, last.refused - rows[0][1].refused)
        tids, exact = accepting(history, last, number, len(reports[-1].queues), start_ns)
        found.append(
            QueueWindow(
                last,
                reports[-1].at_ns,
                weight / total if total else 0.0,
                max(q.waiting for _, q in inside),
                max(0, longest) / 1e9,
                waited / total if total else 0.0,
                refused,
                any(0 <= q.most < q.waiting for _, q in inside),
                tids,
                exact,
            )
        )
    return found


def accepting(
    history: History, queue: AcceptQueue, number: int, of: int, start_ns: int
) -> tuple[tuple[int, ...], bool]:
    """(threads that accept at a socket, whether that was seen). The strongest sign decides."""
    alive = [t for t in history.threads.values() if t.counts]
    seen = tuple([t.tid for t in alive if any(_waits_there(run, queue, of) for run in _runs(t))])
    if seen:
        return seen, True
    if queue.epolls:
        known = {loop.tid for loop in history.aio.report.loops} if history.aio.report is not None else set()
        loops = tuple([t.tid for t in alive if t.tid in known or (t.current and runs_loop(t.current.stack))])
        if loops:
            return loops, len(loops) == 1
        if len(alive) == 1:
            return (alive[0].tid,), True
    users = [u for u in queue.users if not queue.shared or u.how in _OF_ONES_OWN]
    tids = {t.tid for t in alive}
    near = [u for u in users if u.how in _OF_ONES_OWN] or users
    if near:
        return tuple(dict.fromkeys(u.tid for u in near if u.tid in tids)), False
    if len(alive) == 1 and not queue.shared:
        return (alive[0].tid,), True
    return (), False


def _runs(thread: ThreadHistory) -> list[Run]:
    return [*thread.runs, thread.current] if thread.current is not None else list(thread.runs)


def _waits_there(run: Run, queue: AcceptQueue, of: int) -> bool:
    """`of`: how many sockets of the process listen."""
    wait = run.wait
    if wait.kind is not WaitKind.IO or wait.peer is None or wait.peer.status != "LISTEN":
        return wait.fd in queue.epolls if wait.kind is WaitKind.IO and wait.fd >= 0 else False
    if wait.fd in queue.fds or wait.fd in queue.epolls:
        return True
    if wait.fd >= 0 and wait.peer.kind in ("tcp", "unix"):
        return False
    # A set of descriptors that are waited for together, told by names.
    return of == 1 or queue.name in wait.peer.name.split(", ")


def refers(queue: AcceptQueue, tid: int) -> User | None:
    """How a thread has the socket, where that is known from its frames."""
    return next((u for u in queue.users if u.tid == tid), None)
