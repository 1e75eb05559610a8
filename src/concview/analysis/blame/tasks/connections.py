"""A connection of which both ends are in this process: each of its two tasks waits for what the other one does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from concview.analysis.blame.nouns import QUIET, End, Link, Node, Part, Root, Settle, Via, place_of
from concview.analysis.blame.tasks.names import node_of, task_name
from concview.model import SENDS, TaskState

if TYPE_CHECKING:
    from concview.analysis.blame.tasks.moment import TaskWaiter

#: Within one process nothing is on its way for longer.
_WAY_NS = 1_000_000_000


def other_end(waiter: TaskWaiter) -> Link | None:
    """The task at the other end of a connection; None where that is not in this process, or not known, or where it is
    a client that has not sent anything."""
    peer, tasks = waiter.wait.peer, waiter.tasks
    if peer is None or peer.kind != "tcp" or (peer.accepted and not SENDS.search(waiter.wait.via)):
        return None
    others = [n for t in waiter.run.awaits if (n := node_of(t)) in tasks.runs and n != waiter.node]
    if not others:
        return None
    connection = f"{peer.kind} {peer.known_as or peer.name}"
    sends = SENDS.search(waiter.wait.via)
    what = f"room for what it sends over {connection}" if sends else f"an answer over {connection}"
    settle = None if sends else _transit(waiter, others, connection)
    return waiter.link(Via.ANSWER, what, others, ("connection", peer.local), settle=settle)


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
