"""A thread waits for an answer on a connection, without a timeout, and it does not come.

What it sees:
    A thread that has been in the same receive, send or connect on the same socket, with the same stack, for a long
    time, and the call has no timeout.

Why it hurts:
    When the other side has gone (a crashed host, a firewall that forgot the connection) nobody will ever say so. The
    thread is lost, one after the other the rest of the pool follows, and nothing is logged.

How it is measured:
    The time since the thread began this wait, read; the thread has not been woken since (its context switches stand
    still). Of one that waited before we came, the kernel says since when (/proc/PID/task/TID/sched). Thresholds 30 s
    and 120 s [S: 30 s is a common default for waiting on a pool or a request]. Demo pair: for ever (bad), 2 s (fixed).

Fix:
    Give every call that leaves the process a time limit.

        sock = socket.create_connection(address, timeout=10)
        requests.get(url, timeout=(3, 10))

When it is fine:
    Long polls, websockets, subscriptions: connections on which nothing is expected soon. TCP keep-alive finds out
    whether the other side is still there. A server that waits for its client's next request is another matter (set a
    limit there, too, and see all-workers-busy), and so are a pipe between processes of one program and a UDP socket
    at which a loop takes what anybody sends.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.known_places import is_file
from concview.analysis.records import Run
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import SOCKETS
from concview.model import Confidence, State
from concview.source.wakes import Wakes
from concview.text import duration, listed, plural

_CALLS = frozenset({"read", "recvfrom", "recvmsg", "write", "sendto", "sendmsg", "connect", "poll", "ppoll"})
#: A wait of less than this is no business of this rule.
MIN_SECONDS = 5.0
_PIPES = ("multiprocessing", "billiard")
#: A finding from here on; before, it is told as what is still to be seen.
COUNTS_FROM = 30.0
#: Peers that are named, those with the most threads first.
MOST_PEERS = 5


#: (seconds, the thread, the wait)
_Lost = tuple[float, ThreadWindow, Run]


class MissingTimeout:
    id: ClassVar[str] = "missing-timeout"
    title: ClassVar[str] = "Waiting without a time limit"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(
        COUNTS_FROM, 120.0, "s", "[S] 30 s: common default of pools and clients"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "peers")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time in one call without a timeout"
    task_twin: ClassVar[str] = ""

    def observe(self, window: Window) -> Iterable[Observation]:
        # By the line that waits: it is what has to be changed, whoever does not answer.
        lost: dict[tuple[str, int], list[_Lost]] = defaultdict(list)
        for thread in window.threads:
            run = thread.history.current
            if run is None:
                continue
            age = (window.end_ns - run.began_ns) / 1e9
            if age < MIN_SECONDS or not _endless(run) or _moved(thread, run) or _own_pair(window, thread):
                continue
            leaf = run.stack.user_leaf
            if leaf is not None and run.wait.peer is not None and not _is_open_to_all(window, run):
                lost[leaf.file, leaf.line].append((age, thread, run))
        for (file, line), waits in lost.items():
            yield self._one(window, f"{file}:{line}", sorted(waits, key=lambda w: -w[0]))

    def _one(self, window: Window, subject: str, waits: list[_Lost]) -> Observation:
        age, _, run = waits[0]
        leaf = run.stack.user_leaf
        tids = tuple(t.tid for _, t, _ in waits)
        peers = [name for name, _ in Counter(_peer(r) for _, _, r in waits).most_common()]
        have = "has" if len(tids) == 1 else "have"
        if len(peers) == 1:
            what, whom = f"{have} been {evidence.doing(run.wait)}", peers[0]
            times = f"for {duration(age)}"
        else:
            what, whom = f"{have} been waiting for {len(peers)} peers", f"{len(peers)} peers"
            times = f"for {duration(waits[-1][0])} to {duration(age)}"
        place = evidence.frame_spot(leaf)
        told = f" They are {listed(peers, MOST_PEERS)}." if len(peers) > 1 else ""
        return Observation(
            subject=subject,
            value=age,
            lower=age,
            samples=evidence.samples_in(window, min(age, window.seconds) * 1e9),
            episodes=len(waits),
            confidence=Confidence.EXACT,
            title=f"Waiting for {whom} without a time limit",
            summary=(f"{evidence.who(window, tids)} {what} in {place} {times}, with no timeout set.{told}"),
            gain=(
                f"{plural(len(tids), 'thread')} free for other work once the limit has passed, and an error that says "
                "why; it assumes that no answer is to be expected."
            ),
            check_next=(
                f"Is {peers[0]} alive, and does it know this connection? `ss -tnp` on both sides."
                if len(peers) == 1
                else "What do these peers have in common: one host, one firewall? `ss -tnp` on both sides."
            ),
            where=evidence.places(run.stack),
            threads=tids,
            stacks=tuple(
                one
                for waited, t, r in waits[:3]
                for one in evidence.shown("waits", t.tid, t.name, r.stack, f"for {duration(waited)}")
            ),
            needs=f"{COUNTS_FROM:g} s ({evidence.who(window, tids)}, without a time limit, {what} {times})"
            if age < COUNTS_FROM
            else "",
        )


def _peer(run: Run) -> str:
    return run.wait.peer.shown if run.wait.peer is not None else "an unknown peer"


def _endless(run: Run) -> bool:
    wait = run.wait
    return (
        run.state is State.IO
        and not wait.timed
        and wait.syscall in _CALLS
        and wait.peer is not None
        and wait.peer.kind in SOCKETS
        and wait.peer.status != "LISTEN"
        and not wait.peer.accepted
        and not _is_pipe(run)
    )


def _is_open_to_all(window: Window, run: Run) -> bool:
    """A UDP socket of one who takes what anybody sends, and has asked for nothing: no answer is missing."""
    peer, leaf = run.wait.peer, run.stack.user_leaf
    if peer is None or leaf is None or (peer.kind, peer.status) != ("udp", "unconnected"):
        return False
    return Wakes(window.lines_of).file(leaf.file).takes_what_comes(leaf.function, leaf.line)


def _own_pair(window: Window, thread: ThreadWindow) -> bool:
    """One of a pair of sockets that only this process has, such as one that its signals write to: there is no other
    side to crash, and no network."""
    links = window.history.relations.links()
    return any(
        link.kind == "unix" and link.peer_fds and link.complete and not link.owners
        for link in links
        if thread.tid in link.waiters
    )


def _is_pipe(run: Run) -> bool:
    """A pipe of multiprocessing, which may be a pair of sockets: when the process at the other end dies, it reads the
    end at once. No host can crash and no firewall forget it."""
    leaf = run.stack.leaf
    return leaf is not None and any(is_file(leaf, f"{package}/connection.py") for package in _PIPES)


def _moved(thread: ThreadWindow, run: Run) -> bool:
    """True when it was woken since: the same line waits again and again, each time not for long."""
    start = run.start_ns
    woken = [b.voluntary for b in thread.history.buckets if b.voluntary > 0 and b.start_ns > start]
    return sum(woken) > 2


RULE = MissingTimeout()
