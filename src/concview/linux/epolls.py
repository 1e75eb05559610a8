"""What an epoll watches, and whether something outside of the process could end a wait at it.

An event loop written in C (uvloop's) keeps its timers and descriptors where nothing tells of them. The kernel does: a
thread that waits at an epoll without a time limit has no timer, and the epoll's own file lists what it watches. What
leads nowhere but into the process itself is what its threads and signal handlers wake it by: an eventfd, a pipe or a
pair of sockets of which it has both ends, and nobody else has the other one (a child that was forked or given it may).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from itertools import islice

from concview.linux.other_ends import OtherEnds
from concview.linux.process_facts import ProcessFacts
from concview.linux.syscalls import Shape, table

_ENTRY = re.compile(rb"^tfd:\s*(\d+)", re.MULTILINE)
_MOST_TEXT = 1 << 18
EPOLL = "anon_inode:[eventpoll]"
_MOST_FDS, _MOST_EPOLLS = 8_192, 64
_NO_LIMIT = 0xFFFFFFFF  #: -1, an int
#: What is watched is asked anew after so long: the other end of a pipe may be given to a child, or closed. Seconds.
_AGAIN_S, _MOST_KNOWN = 2.0, 64


def watched_in(text: bytes) -> list[int]:
    """Descriptors that an epoll watches, by its /proc/PID/fdinfo/FD."""
    return [int(number) for number in _ENTRY.findall(text)]


def members(folder: str, epoll: int) -> set[int]:
    """Descriptors that an epoll of the process watches. `folder`: '/proc/PID'."""
    try:
        with open(f"{folder}/fdinfo/{epoll}", "rb") as file:
            return set(watched_in(file.read(_MOST_TEXT)))
    except OSError:
        return set()


def processes(folder: str, epoll: int) -> list[int]:
    """Descriptors of processes (pidfd) that an epoll of the process watches."""
    return [fd for fd in sorted(members(folder, epoll)) if _leads_to(f"{folder}/fd/{fd}", "[pidfd]")]


def _leads_to(path: str, kind: str) -> bool:
    try:
        return kind in os.readlink(path)  # noqa: PTH115
    except OSError:
        return False


class Watchers:
    """Which epolls of one process watch a descriptor. Looked through again after a while, and only when asked."""

    def __init__(self, folder: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._again = 0.0
        self._watched: dict[int, set[int]] = {}  #: epoll -> descriptors

    def of(self, fds: Iterable[int]) -> tuple[int, ...]:
        """Those that watch one of these."""
        now = self._clock()
        if now >= self._again:
            self._again = now + _AGAIN_S
            self._watched = {epoll: members(self._folder, epoll) for epoll in self._epolls()}
        wanted = set(fds)
        return tuple(sorted(epoll for epoll, watched in self._watched.items() if watched & wanted))

    def _epolls(self) -> list[int]:
        found: list[int] = []
        try:
            with os.scandir(f"{self._folder}/fd") as entries:
                for entry in islice(entries, _MOST_FDS):
                    if _leads_to(entry.path, EPOLL):
                        found.append(int(entry.name))
        except OSError:
            return []
        return found[:_MOST_EPOLLS]


class EpollWaits:
    """Of one process. What leads out of it is asked for again where other descriptors are watched, and now and then."""

    def __init__(self, process: ProcessFacts, clock: Callable[[], float] = time.monotonic) -> None:
        self._process, self._clock = process, clock
        #: Of a core there is none: a process that runs under its number is another one.
        self._ends = OtherEnds(process.pid) if process.live else None
        self._known: dict[frozenset[int], tuple[float, int]] = {}  #: descriptors -> (asked when, those that lead out)
        try:
            self._table = table()
        except LookupError:
            self._table = {}

    def outside(self, tid: int) -> int:
        """How many descriptors the thread waits at, without a time limit, that lead out of the process; -1 where it
        waits otherwise, or that cannot be told."""
        if self._ends is None:
            return -1
        epoll = self._epoll(tid)
        if epoll < 0:
            return -1
        watched = frozenset(members(self._process.folder, epoll))
        now = self._clock()
        asked, found = self._known.get(watched, (0.0, -1))
        if found < 0 or now - asked >= _AGAIN_S:
            found = self._leading_out(watched, self._ends)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[watched] = now, found
        return found

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

    def _leading_out(self, watched: frozenset[int], others: OtherEnds) -> int:
        """Who may not be looked at is of another user, and has nothing that was made in here."""
        fds = [fd for fd in watched if not _leads_to(f"{self._process.folder}/fd/{fd}", "[eventfd]")]
        ends = others.of(dict.fromkeys(fds)) if fds else {}
        # A loop has one eventfd, for its own threads. Of others the kernel does not tell who writes to them.
        more = max(0, len(watched) - len(fds) - 1)
        return more + sum(1 for fd in fds if (end := ends.get(fd)) is None or not end.own or end.others)
