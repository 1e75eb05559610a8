"""Where one task's wait ends, or whom it waits for, by its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from concview.analysis.blame.nouns import End, Link, Node, Root, Via
from concview.analysis.blame.tasks.connections import other_end
from concview.analysis.blame.tasks.names import name_of
from concview.analysis.blame.tasks.objects import at_object, at_queue
from concview.analysis.blame.tasks.results import of_call, of_tasks
from concview.analysis.blame.tasks.signals import at_signal
from concview.analysis.blame.tasks.turns import in_the_loop, sleeping
from concview.analysis.classify import waits_for_work
from concview.analysis.known_places import TOLD_TO_END, of_a_library
from concview.model import AT_YIELD, MESSAGES, SENDS, UNOWNED_VIA, Confidence, Peer, TaskState

if TYPE_CHECKING:
    from concview.analysis.blame.tasks.moment import TaskWaiter

#: By then all were looked through for who has a future.
_SEARCHED_NS = 5_000_000_000


def answer(waiter: TaskWaiter) -> Root | Link:
    state, wait = waiter.wait.state, waiter.wait
    if state is TaskState.RUNNING or state is TaskState.READY:
        return in_the_loop(waiter)
    if state is TaskState.SLEEP:
        return sleeping(waiter)
    if state is TaskState.IDLE:
        return waiter.end(End.IDLE, f"waits for work: {wait.via}")
    if state is TaskState.IO:
        return _at_peer(waiter)
    if state is TaskState.EXECUTOR:
        return of_call(waiter)
    if state is TaskState.TASK:
        return of_tasks(waiter)
    if state is TaskState.QUEUE:
        return at_queue(waiter)
    if state is TaskState.LOCK and wait.via in UNOWNED_VIA:
        return at_signal(waiter)
    if state in (TaskState.LOCK, TaskState.POOL):
        return at_object(waiter)
    return _at_future(waiter)


def _at_peer(waiter: TaskWaiter) -> Root | Link:
    wait = waiter.wait
    peer = wait.peer
    at_the_other_end = other_end(waiter)
    if at_the_other_end is not None:
        return at_the_other_end
    if peer is not None and peer.kind == "process":
        takes = ", which does not read what it is sent" if SENDS.search(wait.via) else ""
        return waiter.end(End.CHILD, f"process {peer.name}{takes}")
    if wait.kind == MESSAGES:
        return _at_messages(waiter)
    # What its client does not take is in the way of all that the task has.
    sends = peer is not None and SENDS.search(wait.via) is not None
    # Of a socket that was gone before its other end was known, nobody can say whose it was.
    known = peer is not None and not peer.nameless
    served = peer.accepted if peer is not None and known else not waiter.tasks.wanted(waiter.node)
    if of_a_library(waiter.run.stack) and served and not sends:
        what = "a request" if known else "what comes at a socket" if peer is not None else wait.via or "what it watches"
        return waiter.end(End.IDLE, f"a library's own task waits for {what}")
    if peer is not None and peer.accepted and not sends:
        # Its client has not sent anything yet: nothing here is in the way of that.
        return waiter.end(End.IDLE, "waits for what its client sends")
    if peer is None:
        return waiter.end(End.PEER, wait.via)
    if not sends and _is_open_to_all(waiter, peer):
        return waiter.end(End.IDLE, f"waits for what comes at {peer.kind} {peer.name}")
    takes = ", which does not take what it is sent" if sends else ""
    other = waiter.world.kernel.names.other(peer, does=takes)
    return waiter.end(End.PEER, f"{peer.kind} {peer.known_as or peer.name}{takes}")._replace(other=other)


def _is_open_to_all(waiter: TaskWaiter, peer: Peer) -> bool:
    """Connected to nobody, by one who has not asked for anything there: whoever wants something sends it."""
    leaf = waiter.run.leaf
    if peer.kind != "udp" or peer.status != "unconnected" or leaf is None:
        return False
    return waiter.world.file(leaf.file).takes_what_comes(leaf.function, leaf.line)


def _at_messages(waiter: TaskWaiter) -> Root:
    """At a socket for messages, which tells nothing of its other ends. Who has asked there before waits for an answer;
    anybody else, for work to come."""
    what, leaf = f"over a socket of {MESSAGES}", waiter.run.leaf
    if waiter.wait.via == "send":
        return waiter.end(End.PEER, f"a message to be taken {what}: no peer is connected, or its queue is full")
    role = waiter.world.file(leaf.file).role(leaf.function, leaf.line) if leaf is not None else ""
    if role == "client":
        return waiter.end(End.PEER, f"an answer {what}")
    return waiter.end(End.IDLE, f"waits for a message {what}")


def _at_future(waiter: TaskWaiter) -> Root | Link:
    wait = waiter.wait
    if wait.via == "ended":
        who, _, how = wait.kind.rpartition(": ")
        nobody = waiter.end(End.NOBODY, f"{who} {how}, and nobody else is seen to have it")
        return waiter.link(Via.RESULT, f"what {who} would set", [], ("ended", wait.kind), otherwise=nobody)
    if wait.via == AT_YIELD:
        kept = f"{name_of(waiter.task)} has it, an asynchronous generator that no task iterates"
        return waiter.end(End.NOBODY, kept)
    what = f"a future ({wait.kind or 'that tells no more'})"
    if waiter.tasks.of_a_library(waiter.node, waiter.run):
        return waiter.end(End.IDLE, f"a library's own task waits for {what}")
    call = _of_a_call(waiter)
    if call is not None:
        return call
    unseen = "not seen who sets it"
    if waiter.run.since_ns and waiter.moment.at_ns - waiter.run.since_ns > _SEARCHED_NS:
        unseen = "no task, thread or timer is seen to have it: who was to set it may have ended without"
    return _until_told(waiter) or waiter.end(End.UNEXPLAINED, f"{what}: {unseen}")


def _until_told(waiter: TaskWaiter) -> Root | None:
    """That it stays until the program is told to end is all it is for: at a future that is made where it is awaited
    (`await asyncio.Future()`), which nobody else has, and at one that a signal's handler sets."""
    leaf = waiter.run.leaf
    if leaf is None or leaf.origin != "user":
        return None
    file = waiter.world.file(leaf.file)
    on = file.awaited(leaf.function, leaf.line)
    if on == "":
        return waiter.end(End.IDLE, "waits until it is cancelled: for a future that nobody else has")
    if on is None and (items := file.item_awaited(leaf.function, leaf.line)):
        return waiter.end(End.IDLE, f"no work in {items}")  # a queue that gives a future for each item, as tornado's
    if on is not None and file.by_descriptor(on):
        return waiter.end(End.PEER, f"what the loop watches for it (add_reader or add_writer), which sets {on}")
    if on is not None and (TOLD_TO_END.search(on) or file.by_signal(on)):
        return waiter.end(End.IDLE, f"waits for {on}, to be told to end")
    return None


def _of_a_call(waiter: TaskWaiter) -> Link | None:
    """At a line at which others are known to wait for calls in threads: of those of whom it is not known, the ones that
    have waited longest have a call in each thread that runs an unknown one, and the calls of others have not begun."""
    moment, tasks, leaf = waiter.moment, waiter.tasks, waiter.run.leaf
    known = cast("dict[Node, None]", waiter.world.remembered(("calls", leaf), dict))
    mine = tasks.calls.get(leaf, [])
    known.update(dict.fromkeys(mine))
    workers = [t for t in known if t in moment.runs and not waits_for_work(moment.runs[t].stack)]
    if not workers:
        return None
    some = [t for t in workers if t not in mine]
    first = moment.once(("unknown calls", leaf), lambda: _longest(waiter))[: len(some)]
    if waiter.node in first:
        key = ("unknown call", waiter.place, tuple(some))
        return waiter.link(Via.RESULT, "a call in a thread", some, key, Confidence.INFERRED)
    what = "a worker thread of its executor"
    return waiter.link(Via.RESOURCE, what, workers, ("not begun", waiter.place), Confidence.INFERRED)


def _longest(waiter: TaskWaiter) -> list[Node]:
    """Those that wait for a bare future at its line, who came first in front."""
    runs = waiter.tasks.runs.items()
    there = [(r.start_ns, n) for n, r in runs if r.leaf == waiter.run.leaf and r.wait.state is TaskState.UNKNOWN]
    return [n for _, n in sorted(there)]
