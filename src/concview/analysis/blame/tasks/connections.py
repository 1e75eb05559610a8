"""A connection of which both ends are in this process: each of its two tasks waits for what the other one does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from concview.analysis.blame.nouns import QUIET, End, Link, Node, Part, Root, Settle, Via, place_of
from concview.analysis.blame.tasks.names import node_of, task_name
from concview.analysis.blame.tasks.turns import OVERDUE_NS
from concview.model import SENDS, AcceptQueues, Confidence, Peer, State, TaskState

if TYPE_CHECKING:
    from concview.analysis.blame.tasks.moment import TaskWaiter

#: What a socket that listens at every address is called.
_ANY = ("0.0.0.0", "[::]", "::")
#: Within one process nothing is on its way for longer.
_WAY_NS = 1_000_000_000


def other_end(waiter: TaskWaiter) -> Link | None:
    """The task at the other end of a connection; None where that is not in this process, or not known, or where it is
    a client that has not sent anything."""
    peer, tasks = waiter.wait.peer, waiter.tasks
    if peer is None or peer.kind != "tcp" or (peer.accepted and not SENDS.search(waiter.wait.via)):
        return None
    others = [n for t in waiter.run.awaits if (n := node_of(t)) in tasks.runs and n != waiter.node]
    connection = f"{peer.kind} {peer.known_as or peer.name}"
    sends = SENDS.search(waiter.wait.via)
    if not others:
        return None if sends else _own_server(waiter, peer, connection)
    what = f"room for what it sends over {connection}" if sends else f"an answer over {connection}"
    if not sends and (threads := _kept(waiter, others)):
        return waiter.link(Via.ANSWER, what, threads, ("connection", peer.local), Confidence.INFERRED)
    settle = None if sends else _transit(waiter, others, connection)
    return waiter.link(Via.ANSWER, what, others, ("connection", peer.local), settle=settle)


def _kept(waiter: TaskWaiter, others: Sequence[Node]) -> list[Node]:
    """The threads of their loops, where all of them wait to read while their loops are kept by something else for long:
    what was sent to them may have come, they cannot see it. None where one can."""
    found: dict[Node, None] = {}
    for other in others:
        wait, tid = waiter.tasks.runs[other].wait, waiter.tasks.thread(other)
        if wait.state is not TaskState.IO or SENDS.search(wait.via) or not _stays(waiter, tid):
            return []
        found[tid] = None
    return list(found)


def _stays(waiter: TaskWaiter, tid: Node) -> bool:
    """Whether a loop's thread is in something else than its wait for events, and has been for long."""
    thread = waiter.moment.runs.get(tid)
    return thread is not None and thread.state is not State.IDLE and waiter.moment.at_ns - thread.since_ns >= OVERDUE_NS


def _own_server(waiter: TaskWaiter, peer: Peer, connection: str) -> Link | None:
    """The loop of this process that listens where the connection leads to, while it is kept by something else: no task
    has the other end before it accepts and reads. None where it waits for events, or others listen there, too."""
    host, _, port = peer.name.rpartition(":")
    if host != peer.local.rpartition(":")[0]:
        return None
    report = waiter.world.history.relations.at(AcceptQueues, waiter.moment.at_ns)
    queues = [q for q in report.queues if q.kind == "tcp" and q.name.rpartition(":")[2] == port] if report else []
    if len(queues) != 1 or queues[0].shared or queues[0].name.rpartition(":")[0] not in (host, *_ANY):
        return None
    pollers = waiter.world.seen.pollers
    loops = {t for epoll in queues[0].epolls for t in pollers.get(epoll, set()) if t in waiter.moment.runs}
    # One that never came to wait for events was not seen at an epoll: of the loops it is the one that is at no other.
    running = {s.tid for s in waiter.world.history.aio.loops if s.tid in waiter.moment.runs}
    loops = loops or {t for t in running if not pollers.keys_of(t)}
    if len(loops) != 1 or not _stays(waiter, min(loops)):
        return None
    key = ("own server", peer.name)
    return waiter.link(Via.ANSWER, f"an answer over {connection}", [*loops], key, Confidence.INFERRED)


def _transit(waiter: TaskWaiter, others: Sequence[Node], connection: str) -> Settle:
    """Where both ends wait to read, an answer or a request may be on its way. Later, each leaves it to the other one
    to begin: so rests a chat, and so stand two still that misunderstood each other."""

    def settle(parts: Sequence[Part]) -> Root | None:
        runs = [waiter.tasks.runs[o] for o in others]
        reads = [r.wait.state is TaskState.IO and not SENDS.search(r.wait.via) for r in runs]
        if not any(reads) or not all(p.root.kind in QUIET and len(p.path) == 1 for p in parts):
            return None
        began = max(r.since_ns or r.start_ns for r in (waiter.run, *runs))
        if waiter.moment.at_ns - began < _WAY_NS:
            return waiter.end(End.PEER, connection)
        first = reads.index(True)
        there = place_of(runs[first].leaf)
        who = task_name(waiter.world, others[first]) + (f" ({there.short})" if there.short else "")
        return waiter.end(End.PEER, f"{connection}, and {who} at its other end waits to read, too")

    return settle
