"""What an epoll watches, and whether something outside of the process could end a wait at it.

An event loop written in C (uvloop's) keeps its timers and descriptors where nothing tells of them. The kernel does: a
thread that waits at an epoll without a time limit has no timer, and the epoll's own file lists what it watches. What
leads nowhere but into the process itself is what its threads and signal handlers wake it by: an eventfd, a pipe or a
pair of sockets of which it has both ends.
"""

from __future__ import annotations

import os
import re

from concview.linux import socket_diag
from concview.linux.other_ends import descriptors
from concview.linux.process_facts import ProcessFacts
from concview.linux.syscalls import Shape, table

_ENTRY = re.compile(rb"^tfd:\s*(\d+)", re.MULTILINE)
_MOST_TEXT = 1 << 18
_NO_LIMIT = 0xFFFFFFFF  #: -1, an int


def members(folder: str, epoll: int) -> set[int]:
    """Descriptors that an epoll of the process watches. `folder`: '/proc/PID'."""
    try:
        with open(f"{folder}/fdinfo/{epoll}", "rb") as file:
            return {int(number) for number in _ENTRY.findall(file.read(_MOST_TEXT))}
    except OSError:
        return set()


class EpollWaits:
    """Of one process. Sockets are asked for again only where another set of descriptors is watched."""

    def __init__(self, process: ProcessFacts) -> None:
        self._process = process
        self._inner: dict[frozenset[int], int] = {}
        try:
            self._table = table()
        except LookupError:
            self._table = {}

    def outside(self, tid: int) -> int:
        """How many descriptors the thread waits at, without a time limit, that lead out of the process; -1 where it
        waits otherwise, or that cannot be told."""
        epoll = self._epoll(tid)
        if epoll < 0 or not self._process.live:
            return -1
        watched = frozenset(members(self._process.folder, epoll))
        known = self._inner.get(watched)
        if known is None:
            if len(self._inner) >= 64:
                self._inner.clear()
            known = self._inner[watched] = self._leading_out(watched)
        return known

    def _epoll(self, tid: int) -> int:
        """The epoll at which a thread waits without a time limit; -1 none."""
        try:
            with open(f"{self._process.folder}/task/{tid}/syscall", "rb") as file:
                words = file.read(256).split()
            _, shape = self._table.get(int(words[0]), ("", None))
            epoll, limit = int(words[1], 16), int(words[4], 16)
        except (OSError, ValueError, IndexError):
            return -1
        if shape is Shape.EPOLL:
            return epoll if limit & _NO_LIMIT == _NO_LIMIT else -1
        return epoll if shape is Shape.EPOLL2 and limit == 0 else -1

    def _leading_out(self, watched: frozenset[int]) -> int:
        pid, folder = self._process.pid, self._process.folder
        own = descriptors(pid)
        ends = [end for end in own.values() if end[0] == "pipe"]
        sockets = {inode: fd for fd, (kind, inode) in own.items() if kind == "socket"}
        unix = self._unix(pid) if any(own.get(fd, ("", 0))[0] == "socket" for fd in watched) else {}
        found = 0
        for fd in watched:
            kind, inode = own.get(fd, ("", 0))
            if kind == "pipe" and ends.count((kind, inode)) > 1:
                continue
            if kind == "socket" and unix.get(inode, 0) in sockets:
                continue
            if not kind and self._is_eventfd(f"{folder}/fd/{fd}"):
                continue
            found += 1
        return found

    @staticmethod
    def _unix(pid: int) -> dict[int, int]:
        """Inode of a connected Unix socket -> that of its other end."""
        network = socket_diag.Network(pid)
        try:
            return {s.inode: s.peer for s in network.unix_sockets().values() if s.peer} if not network.why else {}
        except OSError:
            return {}

    @staticmethod
    def _is_eventfd(path: str) -> bool:
        try:
            return "[eventfd]" in os.readlink(path)  # noqa: PTH115
        except OSError:
            return False
