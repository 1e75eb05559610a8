"""Waits on pipes and connections whose other end is on this host: who has it, and when something was last sent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from concview.engines.direct.relations.handles import MAX_USERS, Users
from concview.engines.direct.relations.search import Waiting
from concview.linux import other_ends
from concview.linux.epolls import Watchers
from concview.linux.other_ends import OtherEnds
from concview.linux.stopped import stopped_by
from concview.model import Link, Links, Owner, Peer, TaskLink
from concview.sink import Sink
from concview.text import clean

#: In one report.
MAX_LINKS = 128
#: Processes that are named for one thing.
MAX_OWNERS = 16
#: Two moments as near as this are one: the kernel tells how long ago it was in milliseconds.
_SAME_NS = 60_000_000
#: How often it is asked when something was sent over tasks' connections.
#: One that does something else at that moment is likely to come back to its connection.
TASKS_NS, _BACK_NS = 500_000_000, 5_000_000_000
#: Tasks whose connections are remembered.
_MOST_TASKS = 32
_WRITES = frozenset(
    {"write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg", "sendfile", "splice"}
)


class LinkReader:
    def __init__(self, pid: int, sink: Sink) -> None:
        self._sink = sink
        self._ends = OtherEnds(pid)
        self._watchers = Watchers(f"/proc/{pid}")
        self._last: object = None
        self._links: tuple[tuple[Link, ...], int, str] = ((), 0, "")  #: as told last
        self._tasks: tuple[TaskLink, ...] = ()
        self._tasks_due_ns = 0
        self._known: dict[int, tuple[Peer, int]] = {}  #: task -> where it waited last, and when that was seen
        #: (inode of a connection, 'sent' or 'came') -> when something last was so
        self._moved_at: dict[tuple[int, str], int] = {}
        self.speakers: dict[int, set[int]] = {}  #: process at the other end of a pipe -> tids that read what it writes

    def report(self, now: int, waiting: Waiting, users: Users) -> None:
        self.speakers = {}
        more = max(0, len(waiting) - MAX_LINKS)
        if more:
            waiting = dict(list(waiting.items())[:MAX_LINKS])
        peers = {fd: who[0][1].peer for fd, who in waiting.items()}
        ends = self._ends.of(peers) if waiting else {}
        by_fd = users.of(fd for end in ends.values() for fd in end.own)
        links: list[Link] = []
        stopped = cache(stopped_by)  # many connections may lead to one process
        for fd, end in ends.items():
            who = waiting[fd]
            tids = tuple(sorted(row.tid for row, _ in who))
            wait = who[0][1]
            mine = tuple([user for own in sorted(end.own) for user in by_fd.get(own, ())][:MAX_USERS])
            owners = tuple(
                [
                    Owner(pid, clean(other_ends.name_of(pid)), other_ends.waits_on(pid, fds), stopped(pid))
                    for pid, fds in sorted(end.others.items())[:MAX_OWNERS]
                ]
            )
            accepted = wait.peer is not None and wait.peer.accepted
            role = "" if end.kind == "pipe" else "server" if accepted else "client"
            alone = end.kind == "pipe" and bool(end.own) and not mine and not owners and end.complete
            if end.kind == "pipe" and not end.writes:
                for pid in end.others:
                    self.speakers.setdefault(pid, set()).update(tids)
            links.append(
                Link(
                    fd,
                    end.kind,
                    tids,
                    end.inode,
                    wait.syscall not in _WRITES,
                    tuple(sorted(end.own)),
                    end.peer_inode,
                    mine,
                    owners,
                    end.complete,
                    end.received,
                    end.sent,
                    end.peer_received,
                    end.peer_sent,
                    end.local,
                    end.remote,
                    role,
                    "own" if alone else "",
                    end.unsent,
                    end.peer_unsent,
                    end.backlog,
                    end.pending,
                    self._when(now, end.inode, "sent", end.sent_ms),
                    self._when(now, end.inode, "came", end.came_ms),
                    self._watchers.of(end.own) if end.own and not mine else (),
                )
            )
        there = {end.inode for end in ends.values()}
        self._moved_at = {key: at for key, at in self._moved_at.items() if key[0] in there or key[0] < 0}
        self._links = (tuple(links), more, self._ends.why if waiting else "")
        self._tell(now)

    def _tell(self, now: int) -> None:
        said = (*self._links, self._tasks)
        if said != self._last:
            self._last = said
            self._sink.emit(Links(now, *said))

    def report_tasks(self, now: int, peers: Mapping[int, Peer]) -> None:
        """When something was last sent over the connections that tasks wait at, and came."""
        if now < self._tasks_due_ns:
            return
        self._tasks_due_ns = now + TASKS_NS
        for task, peer in peers.items():
            self._known.pop(task, None)
            self._known[task] = peer, now
        self._known = {
            task: (peer, at) for task, (peer, at) in list(self._known.items())[-_MOST_TASKS:] if now - at <= _BACK_NS
        }
        moved = self._ends.moved({task: peer for task, (peer, _) in self._known.items()})
        self._tasks = tuple(
            [
                TaskLink(task, self._when(now, -1 - task, "sent", sent), self._when(now, -1 - task, "came", came))
                for task, (sent, came) in moved.items()
            ]
        )
        gone = {-1 - task for task in moved}
        self._moved_at = {key: at for key, at in self._moved_at.items() if key[0] >= 0 or key[0] in gone}
        self._tell(now)

    def _when(self, now: int, inode: int, how: str, ago_ms: int) -> int:
        """When something was last sent, or came: as it was told before, until it is another moment; 0 not known."""
        if ago_ms < 0:
            return 0
        at, before = max(1, now - ago_ms * 1_000_000), self._moved_at.get((inode, how), 0)
        if abs(at - before) > _SAME_NS:
            self._moved_at[inode, how] = before = at
        return before
