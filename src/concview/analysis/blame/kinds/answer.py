"""A socket or a pipe: a request that has not come, the other end inside this process, or a peer outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from concview.analysis.blame.kinds.alone import alone, besides
from concview.analysis.blame.nouns import End, Link, Node, Part, Root, Settle, Via
from concview.analysis.blame.words import stopped
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import serves
from concview.analysis.other_end import users_of
from concview.model import Confidence, Peer, State, WaitKind
from concview.model import Link as Ends
from concview.text import listed

_READS = frozenset({"recvfrom", "recv", "read", "recvmsg", "poll", "ppoll", "readv"})
#: Within one machine nothing is on its way for longer.
_WAY_NS = 1_000_000_000
_WRITES = frozenset({"write", "writev", "sendto", "sendmsg"})


class Answer:
    order: ClassVar[int] = 42
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.wait.kind is WaitKind.IO and look.wait.peer is not None and look.state is not State.IDLE

    def follow(self, waiter: Waiter) -> Root | Link | None:
        wait, frame, seen = waiter.wait, waiter.frame, waiter.world.seen
        peer = wait.peer
        if peer is None:
            return None
        role = waiter.source.role(frame.function, frame.line)
        accepted = peer.kind == "tcp" and peer.local.rpartition(":")[2] in seen.listening
        if wait.syscall in _READS and peer.kind != "pipe" and (role == "server" or (accepted and role != "client")):
            return waiter.end(End.IDLE, "waits for a request")
        if (
            (wait.syscall in _READS and peer.kind == "udp" and peer.status == "unconnected")
            and not wait.timed
            and waiter.source.takes_what_comes(frame.function, frame.line)
        ):
            return waiter.end(End.IDLE, f"waits for what comes at udp {peer.name}")
        others = [o for o in sorted(self._other_end(waiter)) if o in waiter.moment.runs and o != waiter.tid]
        kind = "pipe" if peer.kind == "pipe" else "connection"
        what, sure = f"the other end of a {kind}", Confidence.EXACT
        told = waiter.world.kernel.link(waiter.moment, waiter.tid)
        if not others and told is not None:
            others = _at_the_other_end(waiter, told)
            # Several may have it in a variable; which of them will use it is not told by that.
            sure = Confidence.EXACT if len(others) == 1 else Confidence.INFERRED
            if told.pending:
                what, sure = "a connection to be accepted", Confidence.INFERRED
        rest = others and all(waiter.moment.look(o).state is State.IDLE for o in others)
        if rest and told is not None and (queued := _by_workers(waiter, told)) is not None:
            return queued  # a server's own loop has it, and nobody to hand it to
        if others:
            return waiter.link(Via.ANSWER, what, others, sure, settle=_transit(waiter, kind))
        tasks = _tasks_there(waiter, peer)
        if tasks:
            return waiter.link(Via.ANSWER, what, tasks, sure, settle=_transit(waiter, kind))
        if told is not None and told.peer_fds and not told.owners and (told.pending or told.complete):
            itself = _by_watchers(waiter, told, what, kind) or _by_loops(waiter, what, kind)
            itself = itself or _by_workers(waiter, told)
            if itself is not None:
                return itself
        return _outside(waiter, told, kind) if told is not None else None

    @staticmethod
    def _other_end(waiter: Waiter) -> set[Node]:
        """Threads of this process that were seen at the other end."""
        peer, seen = waiter.wait.peer, waiter.world.seen
        if peer is None:
            return set()
        if peer.kind == "tcp":
            return seen.tcp.get((peer.name, peer.local), set())
        if peer.kind == "pipe":
            writers = seen.writers.get(peer.name, set())
            at = seen.descriptors.get(peer.name, set())
            return at - writers if waiter.wait.syscall in _WRITES else writers
        return set()


def _at_the_other_end(waiter: Waiter, link: Ends) -> list[Node]:
    """Threads of this process that are in a call on it, else those whose frames have it."""
    runs = waiter.moment.runs
    users = [u for u in users_of(link, waiter.look.stack, waiter.tid) if u.tid in runs]
    if link.pending:  # a listening socket is often global; who accepts has it at hand
        users = [u for u in users if u.how != "global"] or users
    having = list(dict.fromkeys(u.tid for u in users))
    others = [t for t in having if runs[t].wait.fd != link.fd]
    return [t for t in others if runs[t].wait.fd in link.peer_fds] or others


def _tasks_there(waiter: Waiter, peer: Peer) -> list[Node]:
    """Tasks of a server in this process that wait at the other end of the very connection."""
    runs = waiter.moment.tasks.runs.items() if peer.kind == "tcp" and peer.local else ()
    ends = ((node, run.wait.peer) for node, run in runs)
    # What a server has accepted is known by its client's address.
    return [n for n, p in ends if p is not None and p.kind == "tcp" and p.accepted and p.name == peer.local]


def _by_watchers(waiter: Waiter, link: Ends, what: str, kind: str) -> Link | None:
    """A loop of this process watches the other end by an epoll, and whoever waits at that epoll is in one of its calls:
    it serves many, one after the other. One that waits there would have been woken. Where nobody was seen to wait there
    since anybody looked, the one thread that is in such a loop by its source."""
    moment, seen = waiter.moment, waiter.world.seen.pollers
    if not link.epolls:
        return None
    those = sorted({t for epoll in link.epolls for t in seen.get(epoll, set()) if t in moment.runs})
    if not those:
        loops = moment.once(("select",), lambda: [t for t in moment.runs if _selects(waiter, t)])
        those = loops if len(loops) == 1 else []
    others = [t for t in those if t != waiter.tid and moment.runs[t].state is not State.IDLE]
    return waiter.link(Via.ANSWER, what, others, settle=_transit(waiter, kind)) if others else None


def _selects(waiter: Waiter, tid: Node) -> bool:
    file = waiter.world.file
    return any(file(f.file).selects(f.function, f.line) for f in waiter.moment.look(tid).own)


def _by_loops(waiter: Waiter, what: str, kind: str) -> Link | None:
    """The other end is in this process, and no thread's frames have it: a loop's transports have theirs. None where no
    loop runs here."""
    loops = {s.tid for s in waiter.world.history.aio.loops if s.tid in waiter.moment.runs}
    # One that waits for events would have been woken by this one.
    others = sorted(t for t in loops - {waiter.tid} if waiter.moment.runs[t].state is not State.IDLE)
    if others:
        return waiter.link(Via.ANSWER, what, others, Confidence.INFERRED, settle=_transit(waiter, kind))
    if waiter.tid not in loops:
        return None
    text = "it waits for itself: this process has the other end, and its only event loop runs this very call"
    return waiter.link(Via.ANSWER, what, [], Confidence.INFERRED, otherwise=waiter.end(End.CYCLE, text))


def _by_workers(waiter: Waiter, link: Ends) -> Link | None:
    """The other end is at a server of this process, and no thread's frames have it: it lies in a queue before those who
    serve. None where one of them is free, or none is known to be one."""
    moment = waiter.moment
    if link.kind != "tcp" or link.role != "client":
        return None
    workers = moment.once(("serve",), lambda: [t for t, r in moment.runs.items() if serves(r.stack)])
    if not workers or any(moment.look(t).state is State.IDLE for t in workers):
        return None
    what = f"an answer of this process's own server, all {len(workers)} workers of which are busy"
    others = [t for t in workers if t != waiter.tid]
    itself = waiter.end(End.CYCLE, "it waits for itself: it is the only worker of the server that it asks")
    return waiter.link(Via.ANSWER, what, others, Confidence.INFERRED, otherwise=itself)


def _outside(waiter: Waiter, link: Ends, kind: str) -> Root | Link | None:
    """What is known of the other end where no thread of this process was found at it; None: nothing."""
    if link.owners:
        first, more = link.owners[0], len(link.owners) - 1
        does = _does(link)
        others = f" and {more} more" if more else ""
        what = f"process {first.name or '?'} (pid {first.pid}){others}{does}, over a {kind}"
        end = End.STOPPED if all(o.stopped for o in link.owners) else End.PEER
        return waiter.end(end, what)._replace(other=waiter.world.kernel.names.other(waiter.wait.peer, link, does))
    if link.peer_fds and link.pending:
        what = f"a {kind} that nobody has accepted: this process listens for it, and no thread is seen to accept"
        return waiter.end(End.PEER, what)
    if link.peer_fds and link.complete:
        counters = alone(waiter)
        who = besides(counters) if counters is not None and not waiter.wait.timed else None
        if who == []:
            nobody = waiter.end(End.NOBODY, "only this process has it, and this is its only thread")
            return waiter.link(Via.ANSWER, f"the other end of a {kind}", [], otherwise=nobody)
        if counters is not None and counters.caught > 0 and waiter.source.signals_write():
            return waiter.end(End.IDLE, f"waits for a signal, which writes to the other end of a {kind}")
        if who:
            said = f"the other end of a {kind}, which only this process has: this is its only thread"
            return waiter.end(End.DORMANT, f"{said}; {listed(who, 2)} may write to it")
        what = f"a {kind} whose other end only this process has, where no thread is seen to use it"
        return waiter.end(End.PEER, f"{what}; a task may" if waiter.moment.tasks.runs else what)
    return None


def _does(link: Ends) -> str:
    """What the process at the other end does that it is in the way: ', which has not accepted the connection (2
    wait)'; ''."""
    first = link.owners[0]
    if first.stopped:
        return f", which {stopped(first.stopped)}"
    if first.waits:
        return f", which is in {first.waits} on it"
    if link.pending:
        wait = "waits" if link.pending == 1 else "wait"
        return f", which has not accepted the connection ({link.pending} {wait})"
    return "" if link.reads else ", which does not read what it is sent"


def _transit(waiter: Waiter, kind: str) -> Settle:
    """A client and a server that both read: what was sent is on its way."""

    def settle(parts: Sequence[Part]) -> Root | None:
        if all(p.root.kind is End.IDLE and len(p.path) == 1 for p in parts):
            both = f"a {kind} of which both ends wait to read"
            young = waiter.moment.at_ns - (waiter.run.since_ns or waiter.run.start_ns) < _WAY_NS
            return waiter.end(End.PEER, f"{both}: what was sent is on its way" if young else both)
        return None

    return settle


KIND = Answer()
