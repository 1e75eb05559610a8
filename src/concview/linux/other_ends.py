"""Which descriptors, of this process and of others, are the other end of a pipe or a socket."""

# ruff: noqa: PTH115, PTH208 - names under /proc stay text

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from concview.linux import socket_diag, syscall_line
from concview.linux.socket_diag import UnixSocket
from concview.linux.syscalls import Shape
from concview.model import Peer

#: Descriptors of one process that are looked at; other processes; threads of one of these.
MAX_FDS, MAX_PROCESSES, MAX_THREADS = 4096, 1000, 32
#: The descriptors of other processes are looked through again after so long: of those that are new, and of those that
#: had one of the ends asked for. Of all where another end is asked for, at most for this share of the time (6 ms for
#: 170 processes, almost all of it in the kernel), and anyhow after so long.
_OTHERS_S, _SHARE, _ALL_S = 2.0, 0.002, 10.0
_LINK = re.compile(r"^(socket|pipe):\[(\d+)\]$")


@dataclass(slots=True)
class End:
    """The other end of one descriptor. `kind`: 'unix', 'tcp', 'pipe'."""

    kind: str
    inode: int
    peer_inode: int = 0
    own: list[int] = field(default_factory=list)  #: descriptors of this process that are the other end
    others: dict[int, list[int]] = field(default_factory=dict)  #: pid -> its descriptors that are
    complete: bool = False  #: every process of this host was looked at
    received: int = -1
    sent: int = -1
    peer_received: int = -1
    peer_sent: int = -1
    unsent: int = -1  #: of `sent`, and of `peer_sent`: bytes that the kernel holds back
    peer_unsent: int = -1
    backlog: int = -1  #: connections that wait to be accepted where this one was
    #: Nobody has accepted this one yet: so many wait with it, and the other end is the socket that listens. Else 0.
    pending: int = 0
    local: str = ""
    remote: str = ""
    sent_ms: int = -1  #: TCP: so long ago something was last sent, and came; -1 not told
    came_ms: int = -1
    writes: bool = False  #: of a pipe: this end is the one that is written to


class OtherEnds:
    """`of` for the descriptors that threads wait on."""

    def __init__(self, pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pid, self._clock = pid, clock
        self._own: dict[int, tuple[str, int]] = {}  #: fd -> (kind, inode)
        self._others: dict[int, dict[int, list[int]]] = {}  #: inode -> pid -> fds
        self._others_complete = False
        self._others_again = self._all_again = self._anyhow = 0.0
        self._sought: set[int] = set()  #: inodes that all processes were asked for
        self._seen: set[int] = set()  #: processes that were looked at
        self._network = socket_diag.Network(pid)
        self.why = ""  #: what could not be asked

    def of(self, peers: Mapping[int, Peer | None]) -> dict[int, End]:
        """The other ends of these descriptors, as far as they can be known. `peers`: what is known of them already.
        Costs a look at all own descriptors."""
        self.why = ""
        self._own = descriptors(self._pid)
        wanted = {fd: self._own[fd] for fd in peers if fd in self._own}
        unix: dict[int, UnixSocket] = {}
        sockets = {fd for fd, (kind, _) in wanted.items() if kind == "socket"}
        tcp = {fd: p for fd in sockets if (p := peers[fd]) is not None and p.kind == "tcp"}
        ends: dict[int, End] = {}
        if sockets and self._network.why:
            self.why = self._network.why
            sockets.clear()
        try:
            unix = self._network.unix_sockets() if len(sockets) > len(tcp) else {}
            for fd in sockets:
                if fd in tcp:
                    self._tcp(ends, fd, wanted[fd][1], tcp[fd])
                elif wanted[fd][1] in unix:
                    ends[fd] = self._unix(unix[wanted[fd][1]], unix)
        except OSError as error:
            self.why = f"the kernel does not tell of sockets: {error.strerror}"
        ends.update({fd: self._pipe(fd, inode) for fd, (kind, inode) in wanted.items() if kind == "pipe"})
        self._elsewhere(ends)
        return ends

    def moved(self, peers: Mapping[int, Peer]) -> dict[int, tuple[int, int]]:
        """Of connections of TCP, by any key: how long ago something was last sent, and came, milliseconds, -1 not told.
        Without those that the kernel knows nothing of."""
        found: dict[int, tuple[int, int]] = {}
        if self._network.why:
            return found
        with contextlib.suppress(OSError):
            for key, peer in peers.items():
                local, remote = socket_diag.end(peer.local), socket_diag.end(peer.name)
                one = self._network.tcp_socket(local, remote) if local and remote else None
                if one is not None:
                    found[key] = one.sent_ms, one.came_ms
        return found

    def _fds(self, kind: str, inode: int) -> list[int]:
        return [fd for fd, (k, i) in self._own.items() if i == inode and k == kind]

    def _pipe(self, fd: int, inode: int) -> End:
        """The two ends have one inode, and differ by how they were opened."""
        mine = writes(self._pid, fd)
        own = [other for other in self._fds("pipe", inode) if other != fd and writes(self._pid, other) != mine]
        return End("pipe", inode, inode, own, writes=mine)

    def _unix(self, mine: UnixSocket, every: dict[int, UnixSocket]) -> End:
        end = End("unix", mine.inode, mine.peer, self._fds("socket", mine.peer), received=mine.received, sent=mine.sent)
        end.pending = mine.pending
        other = every.get(mine.peer)
        if other is not None:
            end.peer_received, end.peer_sent = other.received, other.sent
        return end

    def _tcp(self, ends: dict[int, End], fd: int, inode: int, peer: Peer) -> None:
        """The two ends of a connection inside this host are each other's, swapped."""
        local, remote = socket_diag.end(peer.local), socket_diag.end(peer.name)
        mine = self._network.tcp_socket(local, remote) if local and remote else None
        if mine is None or mine.inode != inode or local is None or remote is None:
            return
        found = ends[fd] = End("tcp", inode, local=peer.local, remote=peer.name)
        found.received, found.sent, found.unsent = mine.received, mine.sent, mine.unsent
        found.sent_ms, found.came_ms = mine.sent_ms, mine.came_ms
        if peer.accepted:
            listener = self._network.tcp_listener(local)
            found.backlog = listener.waiting if listener is not None else -1
        other = self._network.tcp_socket(remote, local)
        if other is not None:
            found.peer_inode = other.inode
            found.own = self._fds("socket", other.inode) if other.inode else []
            found.peer_received, found.peer_sent, found.peer_unsent = other.received, other.sent, other.unsent
        if other is not None and not other.inode and other.state == "ESTABLISHED":
            # The kernel has made the connection and nobody has accepted it: whoever has the listening socket may.
            listener = self._network.tcp_listener(remote)
            if listener is not None:
                found.pending, found.peer_inode = max(1, listener.waiting), listener.inode
                found.own = self._fds("socket", listener.inode)

    def _elsewhere(self, ends: dict[int, End]) -> None:
        """Other processes, also where this one has the end itself: it may be a fork's copy."""
        asked = [end for end in ends.values() if end.peer_inode]
        if not asked:
            return
        now = self._clock()
        if now >= self._others_again:
            wanted = {end.peer_inode for end in asked}
            everybody = now >= (self._anyhow if wanted <= self._sought else self._all_again)
            self._look_at_others(wanted, everybody)
            done = self._clock()
            self._others_again = done + max(_OTHERS_S, (done - now) / _SHARE)
            if everybody:
                self._all_again = self._others_again
                self._anyhow = max(self._others_again, done + _ALL_S)
        for end in asked:
            for pid, fds in self._others.get(end.peer_inode, {}).items():
                mine = [fd for fd in fds if end.kind != "pipe" or writes(pid, fd) != end.writes]
                if mine:
                    end.others[pid] = mine
            end.complete = self._others_complete and end.peer_inode in self._sought

    def _look_at_others(self, inodes: set[int], everybody: bool) -> None:
        """`everybody` False: of those that were looked at before only who had one of the ends. An end that somebody
        gets later comes by fork, to a new process, or is sent to an old one, which shows when all are looked at."""
        if everybody:
            self._others_complete, self._sought, skipped = True, inodes, set[int]()
        else:
            skipped = self._seen - {pid for owners in self._others.values() for pid in owners}
            inodes = self._sought
        self._others = {}
        try:
            pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        except OSError:
            pids, self._others_complete = [], False
        if len(pids) > MAX_PROCESSES:
            self._others_complete = False
            # The nearest numbers are the likeliest: a parent, its other children.
            pids = sorted(pids, key=lambda pid: abs(pid - self._pid))[:MAX_PROCESSES]
        self._seen = set(pids)
        for pid in pids:
            if pid == self._pid or pid == os.getpid() or pid in skipped:
                continue
            try:
                names = os.listdir(f"/proc/{pid}/fd")
            except FileNotFoundError:
                continue
            except OSError:
                self._others_complete = False
                continue
            for name in names[:MAX_FDS]:
                try:
                    found = _LINK.match(os.readlink(f"/proc/{pid}/fd/{name}"))
                except OSError:
                    continue
                if found and int(found[2]) in inodes:
                    self._others.setdefault(int(found[2]), {}).setdefault(pid, []).append(int(name))


def descriptors(pid: int) -> dict[int, tuple[str, int]]:
    """fd -> ('socket' or 'pipe', inode) of a process; without those of other kinds."""
    found: dict[int, tuple[str, int]] = {}
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return found
    for name in names[:MAX_FDS]:
        try:
            match = _LINK.match(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            continue
        if match:
            found[int(name)] = match[1], int(match[2])
    return found


def writes(pid: int, fd: int) -> bool:
    """Whether a descriptor was opened to be written to (only, as the end of a pipe is)."""
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}", "rb") as file:
            text = file.read(512)
        return int(text.partition(b"flags:")[2].split()[0], 8) & 3 == os.O_WRONLY
    except (OSError, ValueError, IndexError):
        return False


def terminal(pid: int, fd: int) -> int:
    """The number of the pseudo-terminal that a descriptor is the program's side of ('/dev/pts/3'); -1."""
    try:
        link = os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return -1
    number = link.removeprefix("/dev/pts/")
    return int(number) if number != link and number.isdecimal() else -1


def terminals_of(pid: int) -> set[int]:
    """The numbers of pseudo-terminals whose other side, /dev/ptmx, a process has: it reads what is written there. The
    kernel tells them since 4.14 (Documentation/filesystems/proc, `tty-index`)."""
    found: set[int] = set()
    for fd in _fds(pid):
        try:
            if not os.readlink(f"/proc/{pid}/fd/{fd}").endswith("/ptmx"):
                continue
            with open(f"/proc/{pid}/fdinfo/{fd}", "rb") as file:
                found.add(int(file.read(512).partition(b"tty-index:")[2].split()[0]))
        except (OSError, ValueError, IndexError):
            continue
    return found


def _fds(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")[:MAX_FDS]
    except OSError:
        return []


def waits_on(pid: int, fds: list[int]) -> str:
    """The system call that one of a process's threads is in on one of its descriptors; ''."""
    try:
        tids = os.listdir(f"/proc/{pid}/task")[:MAX_THREADS]
    except OSError:
        return ""
    for tid in tids:
        line = syscall_line.read(pid, int(tid))
        if line is not None and line.shape is Shape.FD and line.arguments[0] & 0xFFFFFFFF in fds:
            return line.name
    return ""


def name_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read(64).decode("utf-8", "replace").strip()
    except OSError:
        return ""
