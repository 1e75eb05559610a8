"""Sockets of a process that listen, with those that wait there until somebody accepts them.

The kernel makes connections by itself and keeps them in a queue; `accept` only takes one out. Whoever waits there has a
connection and no answer. Each of them is known by its other end, so that it can be said how long one has waited, at
least: since the look that was the first to find it.
"""

# ruff: noqa: PTH115, PTH208 - names under /proc stay text

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from concview.linux import other_ends, socket_diag, sockets
from concview.linux.epolls import EPOLL, members
from concview.linux.socket_diag import Listening

#: The descriptors of the process are looked through again after so long where no socket listens that is new, and those
#: of all processes, for who else has one of them. Seconds.
_OWN_S, _OTHERS_S = 5.0, 10.0
#: Sockets that listen, of one process; waiting connections that are told apart.
MAX_QUEUES, MAX_WAITING = 64, 4096
#: /proc/PID/net/tcp: bytes read.
_TABLE = 16 << 20


@dataclass(slots=True)
class Queue:
    """One socket that listens. Moments in seconds of the clock."""

    inode: int
    kind: str  #: 'tcp', 'unix'
    name: str  #: '127.0.0.1:8000', '/run/app.sock', '@name'; not clean
    fds: tuple[int, ...]  #: of this process
    waiting: int
    most: int  #: the queue is full where `waiting` is above it; -1 not told
    refused: int  #: how often somebody was turned away for that since the first look, at most; -1 not told
    since: float = 0.0  #: when the oldest of those that wait was seen first; 0 nobody waits, or it cannot be told
    before: bool = False  #: it waited already when we came
    epolls: tuple[int, ...] = ()  #: descriptors of epolls of this process that watch it
    shared: tuple[int, ...] = ()  #: other processes that have it

    @property
    def full(self) -> bool:
        return 0 <= self.most < self.waiting


@dataclass(slots=True)
class _Known:
    """Of one socket, what holds from look to look."""

    begun: float = 0.0  #: it has not been seen empty since; 0 it was
    drops: int = -1  #: as the kernel counted them at the last look
    refused: int = 0  #: those of them, since the first look, that may have found the queue full
    callers: dict[object, float] = field(default_factory=dict)  #: who waits -> seen first


class AcceptQueues:
    """`look` tells the queues of one process."""

    def __init__(self, pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pid, self._clock = pid, clock
        self._network = socket_diag.Network(pid)
        self._own: dict[int, tuple[int, ...]] = {}  #: inode -> fds
        self._epolls: dict[int, tuple[int, ...]] = {}  #: inode -> epolls that watch it
        self._there: set[int] = set()  #: inodes of all sockets that listened at the last look at our descriptors
        self._own_again = self._others_again = 0.0
        self._shared: dict[int, tuple[int, ...]] = {}
        self._known: dict[int, _Known] = {}
        self._overflows = -1  #: of all queues of the network namespace; -1 not read yet, or not to be had
        self._overflows_again = 0.0
        self._began = clock()
        self.why = ""  #: why nothing can be told; '' when it can

    def look(self) -> list[Queue]:
        now = self._clock()
        try:
            listening = self._network.listening() if not self._network.why else self._by_tables()
        except OSError as error:
            self.why = f"the kernel does not tell of sockets that listen: {error.strerror}"
            return []
        self.why = ""
        there = {one.inode for one in listening}
        if now >= self._own_again or not there <= self._there:
            self._own_again, self._there = now + _OWN_S, there
            self._look_at_own(there)
        mine = [one for one in listening if one.inode in self._own][:MAX_QUEUES]
        self._known = {one.inode: self._known.get(one.inode, _Known()) for one in mine}
        waited_at = [one for one in mine if one.waiting]
        if waited_at and now >= self._others_again:
            self._others_again = now + _OTHERS_S
            self._shared = holders({one.inode for one in mine}, self._pid)
        self._count_refused(mine, now)
        return [self._queue(one, now) for one in mine]

    def _queue(self, one: Listening, now: float) -> Queue:
        known = self._known[one.inode]
        since = self._since(one, known, now)
        told = one.drops >= 0 and self._overflows >= 0
        return Queue(
            one.inode,
            one.kind,
            name_of(one),
            self._own[one.inode],
            one.waiting,
            one.most,
            known.refused if told else -1,
            since,
            0 < since <= self._began,
            self._epolls.get(one.inode, ()),
            self._shared.get(one.inode, ()),
        )

    def _count_refused(self, mine: list[Listening], now: float) -> None:
        """Not everything that a listening socket drops was turned away: of one with TCP_DEFER_ACCEPT (uWSGI, Apache)
        it is a packet of each connection. So no more of them than queues were found full meanwhile, anywhere in the
        network namespace."""
        moved = [one for one in mine if one.drops >= 0 and one.drops != self._known[one.inode].drops]
        if not moved and now < self._overflows_again:
            return
        self._overflows_again = now + _OWN_S
        before, self._overflows = self._overflows, overflows(self._pid)
        full = self._overflows - before if 0 <= before <= self._overflows else 0
        for one in moved:
            known = self._known[one.inode]
            if known.drops >= 0:
                known.refused += min(full, (one.drops - known.drops) & 0xFFFFFFFF)
            known.drops = one.drops

    def _since(self, one: Listening, known: _Known, now: float) -> float:
        """Since when the oldest of those that wait has been there, as far as looks tell. Of sockets that share a port
        it cannot be told at which of them one waits: then not longer than this one's queue has not been empty."""
        if not one.waiting:
            known.begun, known.callers = 0.0, {}
            return 0.0
        seen_at = now if known.begun or now - self._began > 1.0 else self._began
        known.begun = known.begun or seen_at
        callers: set[object] | None
        if one.kind == "unix":
            callers = set(one.callers)
        else:
            try:
                found = self._unaccepted(one)
            except OSError:
                found = None
            callers = set(found) if found is not None else None
        if not callers:
            known.callers = {}
            return 0.0
        known.callers = {who: known.callers.get(who, seen_at) for who in list(callers)[:MAX_WAITING]}
        return max(known.begun, min(known.callers.values()))

    def _unaccepted(self, one: Listening) -> list[socket_diag.End] | None:
        if not self._network.why:
            return self._network.unaccepted(one.local)
        family = "tcp" if len(one.local[0]) == 4 else "tcp6"
        rows = self._table(family)
        mine = f"{one.local[1]:04X}"
        return [
            (row[2].encode(), 0)
            for row in rows
            if row[9] == "0" and row[3] in ("01", "08") and row[1].rpartition(":")[2] == mine
        ]

    # ------------------------------------------------------------------ where the namespace may not be entered

    def _by_tables(self) -> list[Listening]:
        """The process's own view of its network, which anybody who may look at it can read: without the bound of each
        queue, and without Unix sockets' queues."""
        found = []
        for family in ("tcp", "tcp6"):
            for row in self._table(family):
                if row[3] == "0A":
                    host, port = sockets.split(row[1])
                    raw = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
                    waiting = int(row[4].partition(":")[2], 16)
                    found.append(Listening(int(row[9]), "tcp", (raw, port), waiting))
        return found

    def _table(self, family: str) -> list[list[str]]:
        try:
            with open(f"/proc/{self._pid}/net/{family}", "rb") as file:
                lines = file.read(_TABLE).decode("ascii", "replace").splitlines()[1:]
        except FileNotFoundError:
            return []  # no IPv6
        rows = (line.split(None, 10) for line in lines)
        return [row for row in rows if len(row) > 9]

    # ------------------------------------------------------------------ descriptors

    def _look_at_own(self, inodes: set[int]) -> None:
        """Which of them this process has, and which of its epolls watch them."""
        own: dict[int, list[int]] = {}
        epolls = []
        folder = f"/proc/{self._pid}/fd"
        try:
            names = os.listdir(folder)[: other_ends.MAX_FDS]
        except OSError as error:
            self.why = f"{folder}: {error.strerror}"
            names = []
        for name in names:
            try:
                link = os.readlink(f"{folder}/{name}")
            except OSError:
                continue
            if link == EPOLL:
                epolls.append(int(name))
            elif link.startswith("socket:[") and (inode := int(link[8:-1])) in inodes:
                own.setdefault(inode, []).append(int(name))
        self._own = {inode: tuple(fds) for inode, fds in own.items()}
        watched = {epoll: members(f"/proc/{self._pid}", epoll) for epoll in epolls[:MAX_QUEUES]} if own else {}
        self._epolls = {
            inode: tuple([epoll for epoll, fds in watched.items() if not fds.isdisjoint(own[inode])]) for inode in own
        }


def overflows(pid: int) -> int:
    """How often a connection found a queue full in a process's network namespace, whichever queue it was
    (TcpExtListenOverflows); -1 where that cannot be read."""
    try:
        with open(f"/proc/{pid}/net/netstat", "rb") as file:
            lines = [line.split() for line in file.read(1 << 16).splitlines() if line.startswith(b"TcpExt:")]
        names, values = lines
        return int(values[names.index(b"ListenOverflows")])
    except (OSError, ValueError, IndexError):
        return -1


def holders(inodes: set[int], but: int) -> dict[int, tuple[int, ...]]:
    """By inode of a socket: the processes that have it open, as far as they may be looked at, without `but`. Costs a
    look at the descriptors of every process."""
    links = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, set[int]] = {inode: set() for inode in inodes}
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return {}
    for pid in sorted(pids, key=lambda pid: abs(pid - but))[: other_ends.MAX_PROCESSES]:
        if pid in (but, os.getpid()):
            continue
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)[: other_ends.MAX_FDS]
        except OSError:
            continue
        for name in names:
            try:
                inode = links.get(os.readlink(f"{folder}/{name}"))
            except OSError:
                continue
            if inode is not None:
                found[inode].add(pid)
    return {inode: tuple(sorted(pids)) for inode, pids in found.items()}


def name_of(one: Listening) -> str:
    """'127.0.0.1:8000', '/run/app.sock', '@abstract'. Not clean."""
    address, port = one.local
    if one.kind == "unix":
        text = address.lstrip(b"\0").rstrip(b"\0").decode("utf-8", "replace")
        return f"@{text}" if address.startswith(b"\0") else text or f"unix:[{one.inode}]"
    try:
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        return sockets.join(socket.inet_ntop(family, address), port)
    except (ValueError, struct.error):
        return f"port {port}"
