"""Waits for child processes: what these do, and what they wait for themselves."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from concview.cpython.memory import BadAddress
from concview.engines.direct.relations.search import Search
from concview.engines.direct.thread_table import ThreadRow
from concview.linux import epolls, other_ends, socket_diag, syscall_line, syscalls
from concview.linux.family import children_of
from concview.linux.namespaces import ThreadNumbers
from concview.linux.stopped import stopped_by
from concview.linux.syscalls import Shape
from concview.model import Child, Children
from concview.source.calls import CHILDREN
from concview.text import clean

#: In one report.
MAX_CHILDREN = 32
#: Innermost frames in which it is looked for what process a thread waits for.
_JOIN_FRAMES = 8


class ChildReader:
    """Processes that threads wait for to end."""

    def __init__(self, search: Search) -> None:
        self._search, self._sink = search, search.sink
        pid = self._pid = search.reader.memory.pid
        self._numbers = ThreadNumbers(pid)
        self._network: socket_diag.Network | None = None  #: made when it is first asked
        self._last: object = None
        self._tick = os.sysconf("SC_CLK_TCK")

    def report(self, now: int, waiting: list[ThreadRow], speakers: dict[int, set[int]], joined: dict[int, int]) -> None:
        """`speakers`: processes of which threads wait to read something; children among them are told, too. `joined`:
        by tid, the process whose end it waits for at a pipe."""
        by_pid: dict[int, list[int]] = {}
        for row in waiting:
            for pid in self._awaited(row.tid):
                by_pid.setdefault(pid, []).append(row.tid)
        for tid, pid in joined.items():
            by_pid.setdefault(pid, []).append(tid)
        for pid in set(children_of(self._pid)) & speakers.keys() if speakers else ():
            reading = sorted(speakers[pid] - joined.keys())
            if reading:
                by_pid.setdefault(pid, []).extend(reading)
        said = tuple([self._child(pid, tuple(sorted(tids))) for pid, tids in list(by_pid.items())[:MAX_CHILDREN]])
        if said != self._last:
            self._last = said
            self._sink.emit(Children(now, said))

    def joins(self, rows: Iterable[ThreadRow]) -> dict[int, int]:
        """By tid, the pid that the object of multiprocessing has which a thread waits in (`Popen.pid`, 3.8 to 3.15)."""
        reader = self._search.reader
        found: dict[int, int] = {}
        for row in rows:
            for thread in row.states:
                walk = thread.walk
                for place, address in list(zip(walk.places, walk.addresses, strict=True))[:_JOIN_FRAMES]:
                    if not place.code.file.endswith(CHILDREN):
                        continue
                    try:
                        value = reader.objects.attribute(reader.first_local(walk, address), "pid")
                        inner = reader.objects.integers([value])[0] if value else 0
                    except (BadAddress, struct.error):
                        continue
                    if 0 < inner < 1 << 31 and (pid := self._numbers.child(inner)):
                        found[row.tid] = pid
        return found

    def _awaited(self, tid: int) -> list[int]:
        line = syscall_line.read(self._pid, tid)
        if line is None:
            return []
        if line.name.startswith("epoll_"):  # an event loop: asyncio waits for a child at a pidfd (3.9 on)
            if not children_of(self._pid):
                return []
            watched = epolls.processes(f"/proc/{self._pid}", line.arguments[0] & 0xFFFFFFFF)
            return [pid for fd in watched for pid in self._behind(fd)]
        first = line.arguments[0] & 0xFFFFFFFF
        if line.shape is Shape.CHILD:
            return self._numbered(first) if 0 < first < 1 << 31 else children_of(self._pid)
        if line.shape is Shape.WAITID:
            number = line.arguments[1] & 0xFFFFFFFF
            if first == syscalls.P_PID:
                return self._numbered(number)
            if first == syscalls.P_PIDFD:
                return self._behind(number)
            return children_of(self._pid)
        if line.shape in (Shape.POLL, Shape.PPOLL):
            return []  # a pidfd among others: the wait's own peer tells its number
        return []

    def _numbered(self, inner: int) -> list[int]:
        pid = self._numbers.child(inner)
        return [pid] if pid else []

    def _behind(self, fd: int) -> list[int]:
        try:
            with open(f"/proc/{self._pid}/fdinfo/{fd}", "rb") as file:
                pid = int(file.read(512).partition(b"\nPid:")[2].split()[0])
        except (OSError, ValueError, IndexError):
            return []
        return [pid] if pid > 0 else []

    def _child(self, pid: int, waiters: tuple[int, ...]) -> Child:
        name, state, cpu = "", "", -1.0
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                text = file.read(1024).decode("utf-8", "replace")
            fields = text[text.rindex(")") + 2 :].split()
            name, state = text[text.index("(") + 1 : text.rindex(")")], fields[0]
            cpu = (int(fields[11]) + int(fields[12])) / self._tick
        except (OSError, ValueError, IndexError):
            pass
        syscall, fd, peer, back = self._does(pid)
        return Child(pid, clean(name), state, waiters, syscall, fd, peer, back, cpu, stopped_by(pid))

    def _does(self, pid: int) -> tuple[str, int, str, bool]:
        """What the child's first thread waits for; or another one at a pipe that only we have the other end of: the
        first one may wait for that thread's end, as a process does that has put something into a queue."""
        first: tuple[str, int, str, bool] | None = None
        for tid in _threads(pid):
            line = syscall_line.read(pid, tid)
            fd, peer, back = -1, "", False
            if line is not None and line.shape is Shape.FD:
                fd = line.arguments[0] & 0xFFFFFFFF
                kind, inode = other_ends.descriptors(pid).get(fd, ("", 0))
                if inode:
                    peer = f"{kind}:[{inode}]"
                    back = self._only_here(pid, fd, kind, inode)
                elif (terminal := other_ends.terminal(pid, fd)) >= 0:
                    peer = f"/dev/pts/{terminal}"
                    back = terminal in other_ends.terminals_of(self._pid)
            said = line.name if line is not None else "", fd, peer, back
            if back:
                return said
            first = first or said
        return first or ("", -1, "", False)

    def _only_here(self, pid: int, fd: int, kind: str, inode: int) -> bool:
        """Whether the other end of a child's pipe, or pair of sockets, is ours."""
        if kind == "socket":
            return self._is_peer(inode)
        if kind != "pipe":
            return False
        mine = [f for f, (k, i) in other_ends.descriptors(self._pid).items() if (k, i) == (kind, inode)]
        writing = other_ends.writes(pid, fd)
        return any(other_ends.writes(self._pid, f) != writing for f in mine)

    def _is_peer(self, inode: int) -> bool:
        if self._network is None:
            self._network = socket_diag.Network(self._pid)
        try:
            other = self._network.unix_sockets().get(inode) if not self._network.why else None
        except OSError:
            return False
        ours = other_ends.descriptors(self._pid).values() if other is not None else ()
        return other is not None and ("socket", other.peer) in ours


def _threads(pid: int) -> list[int]:
    """The first one first."""
    try:
        tids = [int(name) for name in os.listdir(f"/proc/{pid}/task")[: other_ends.MAX_THREADS]]  # noqa: PTH208
    except OSError:
        return [pid]
    return sorted(tids, key=lambda tid: tid != pid)
