"""What the descriptors of a process lead to.

A descriptor number is read through its link in /proc/PID/fd each time (2 µs), so a number that was closed and opened
again never shows its old peer; what the link names (a socket's inode) is kept for a while.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from concview.linux.epolls import watched_in
from concview.linux.mounts import Mounts
from concview.linux.namespaces import ThreadNumbers
from concview.linux.process_facts import ProcessFacts, facts_of
from concview.linux.sockets import SocketTables
from concview.model import Peer
from concview.text import clean

#: Sockets remembered at most.
MAX_SOCKETS = 4096
#: Seconds a socket's peer is believed. A connection keeps its ends for life, but inode numbers are used again.
SETTLED_AGE = 30.0
#: The same for states that will change soon (SYN_SENT) and sockets that were not found.
PASSING_AGE = 1.0
#: Descriptors of a poll set or an epoll that are listed by name; more are counted.
LISTED = 3
#: Descriptors of a set that are looked at to know whether a server waits for connections: its own are low.
ASKED = 16

_SETTLED = frozenset({"ESTABLISHED", "LISTEN"})
_PIDFD_PID = re.compile(rb"^Pid:\s*(-?\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Known:
    peer: Peer
    until: float


class Peers:
    """Descriptors of one process. All answers are clean; None means the descriptor is not open (any more)."""

    def __init__(self, process: int | ProcessFacts, clock: Callable[[], float] = time.monotonic) -> None:
        self._facts = facts = facts_of(process)
        self._numbers = ThreadNumbers(facts)
        self._clock = clock
        self._tables = SocketTables(facts.pid, clock)
        self._mounts = Mounts(facts.pid, clock)
        self._sockets: dict[int, _Known] = {}
        self._folder = -1
        #: The last answer is worth asking again soon: a table could not be read yet, or a connection is being made.
        self.provisional = False
        self.problem = ""  #: why descriptors cannot be read; empty when they can

    def close(self) -> None:
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def of(self, fd: int) -> Peer | None:
        """The peer of one descriptor."""
        self.provisional = False
        return self._of(fd)

    def of_many(self, fds: Sequence[int], kind: str, total: int | None = None) -> Peer | None:
        """One peer for a set that is waited for together: 'a, b, c +4'. The peer itself when there is one only."""
        self.provisional = False
        total = len(fds) if total is None else total
        if total == 1 and fds:
            return self._of(fds[0])
        found = [peer for fd in fds[:ASKED] if (peer := self._of(fd, nested=True)) is not None]
        names = list(dict.fromkeys(peer.name for peer in found[:LISTED]))
        rest = total - len(names)
        listens = "LISTEN" if any(peer.status == "LISTEN" for peer in found) else ""
        name = clean(", ".join(names) + (f" +{rest}" if rest > 0 else ""), 160) if total else "nothing"
        return Peer(kind, name, status=listens)

    def link(self, fd: int) -> str | None:
        """The raw text of the descriptor's link. None when it is closed, or may not be read (see `problem`)."""
        try:
            if self._folder < 0:
                self._folder = os.open(f"{self._facts.folder}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            return os.readlink(str(fd), dir_fd=self._folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problem = f"{self._facts.folder}/fd: {error.strerror}"
            return None

    def _of(self, fd: int, nested: bool = False) -> Peer | None:
        link = self.link(fd)
        if link is None:
            return None
        if link.startswith("socket:["):
            return self._socket(fd, link)
        if link.startswith("pipe:["):
            return Peer("pipe", link)
        if link.startswith("anon_inode:"):
            return self._anonymous(fd, link[len("anon_inode:") :].strip("[]"), nested)
        if link.startswith(("/memfd:", "/dev/shm/")):
            return Peer("memory", clean(link))
        if link.startswith(("/dev/pts/", "/dev/tty", "/dev/console")):
            return Peer("tty", clean(link))
        if link.startswith("/dev/mqueue/"):
            return Peer("mqueue", clean(link))
        if link.startswith("/dev/"):
            return Peer("device", clean(link))
        if link.startswith("/"):
            return self.file(link)
        return Peer(clean(link.partition(":")[0], 20), clean(link))  # 'net:[...]', 'mnt:[...]'

    def file(self, path: str) -> Peer:
        """A file by its absolute path, with the server of the file system that it is on."""
        mount = self._mounts.remote(path)
        return Peer("file", clean(path), known_as=mount.name if mount is not None else "")

    def _socket(self, fd: int, link: str) -> Peer:
        inode = int(link[8:-1])
        now = self._clock()
        known = self._sockets.get(inode)
        if known is not None and now < known.until:
            self.provisional |= known.peer.status not in _SETTLED
            return known.peer
        peer, read_at = self._tables.find(inode, self._protocol(fd), newer_than=now - PASSING_AGE)
        if peer is None and known is not None:
            peer = known.peer  # better an old answer than none while the tables may not be read
        age = PASSING_AGE
        if peer is None:
            self.provisional = True
            return Peer("socket", link)  # asked again at the next parse, when the tables may be read again
        if peer.status in _SETTLED or peer.kind != "tcp":
            age = SETTLED_AGE
        else:
            self.provisional = True
        while len(self._sockets) >= MAX_SOCKETS:
            del self._sockets[next(iter(self._sockets))]
        self._sockets[inode] = _Known(peer, read_at + age)
        return peer

    def _protocol(self, fd: int) -> str:
        """'TCP', 'UNIX-STREAM', ...: which table to look in; '' where the kernel does not say."""
        with contextlib.suppress(OSError):
            raw = os.getxattr(f"{self._facts.folder}/fd/{fd}", "system.sockprotoname")
            return raw.rstrip(b"\0").decode("ascii", "replace")
        return ""

    def _anonymous(self, fd: int, name: str, nested: bool) -> Peer:
        if name == "eventpoll":
            return Peer("epoll", "epoll") if nested else self.epoll(fd)
        if name == "pidfd":
            found = _PIDFD_PID.search(self._fdinfo(fd))
            return self.process(int(found.group(1))) if found else Peer("process", "pidfd")
        return Peer(clean(name, 20), clean(name))

    def epoll(self, fd: int) -> Peer:
        """An epoll descriptor with what it watches, by name when that is little."""
        watched = watched_in(self._fdinfo(fd))
        if not watched:
            return Peer("epoll", "epoll of nothing")
        if len(watched) > LISTED:
            return Peer("epoll", f"epoll of {len(watched)} descriptors")
        found = [peer for one in watched if (peer := self._of(one, nested=True)) is not None]
        names = ", ".join(dict.fromkeys(peer.name for peer in found))
        listens = "LISTEN" if any(peer.status == "LISTEN" for peer in found) else ""
        return Peer("epoll", clean("epoll of " + (names or "closed descriptors"), 160), status=listens)

    def process(self, pid: int) -> Peer:
        """A child process, by its name and number (as we see it)."""
        if not self._facts.live:  # a process of that number that runs here is another one
            return Peer("process", f"pid {pid}" if pid > 0 else "any child")
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read(512)
            comm = stat[stat.index(b"(") + 1 : stat.rindex(b")")].decode("utf-8", "replace")
            parent = int(stat[stat.rindex(b")") + 2 :].split()[1])
            if parent == self._facts.pid:
                return Peer("process", clean(f"{comm} (pid {pid})"))
        return Peer("process", f"pid {pid}" if pid > 0 else "any child")

    def child(self, inner: int) -> Peer:
        """The same of a number as the target itself knows its children by; 0 and below: any child."""
        pid = self._numbers.child(inner)
        return Peer("process", "a child that cannot be seen from here") if inner > 0 and not pid else self.process(pid)

    def _fdinfo(self, fd: int) -> bytes:
        try:
            with open(f"{self._facts.folder}/fdinfo/{fd}", "rb") as file:
                return file.read(1 << 16)
        except OSError:
            return b""
