"""Waits on descriptors: the other end on this host, file locks, children; who waits where the process listens."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from msgspec.structs import replace

from concview.cpython.code import Code
from concview.cpython.memory import BadAddress
from concview.engines.direct.relations.accept_queues import AcceptQueueReader
from concview.engines.direct.relations.handles import MAX_USERS, Users
from concview.engines.direct.relations.managers import LoanReader
from concview.engines.direct.relations.natives import NativeReader
from concview.engines.direct.relations.noted_owners import NotedOwners
from concview.engines.direct.relations.parents import ParentReader
from concview.engines.direct.relations.polled import PolledLocks, Tried
from concview.engines.direct.relations.search import LOOK_NS, Pace, Search, Waiting, Waits
from concview.engines.direct.thread_table import ThreadRow
from concview.linux import kernel_locks, other_ends, socket_diag, syscall_line, syscalls
from concview.linux.family import children_of
from concview.linux.namespaces import ThreadNumbers
from concview.linux.other_ends import OtherEnds
from concview.linux.stopped import stopped_by
from concview.linux.syscalls import Shape
from concview.model import (
    Child,
    Children,
    FileLock,
    FileLocks,
    Link,
    Links,
    Owner,
    Peer,
    TaskLink,
    User,
    Wait,
)
from concview.sink import Sink
from concview.source.calls import CHILDREN
from concview.text import clean

#: In one report.
MAX_LINKS, MAX_LOCKS, MAX_CHILDREN, MAX_OWNERS = 128, 32, 32, 16
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
#: How long it stays known which processes share an open file. Every process of the host is asked for it.
HEIRS_S = 5.0
#: Innermost frames in which it is looked for what process a thread waits for.
_JOIN_FRAMES = 8
_LOCKING = frozenset({"flock", "lockf", "fcntl"})


class DescriptorReader:
    """Implements `engines.base.Look`: what threads wait for in the kernel, and inside C code."""

    name: str = "descriptors"
    every_ns: int = 2 * LOOK_NS

    def __init__(self, search: Search, peers: Callable[[], Mapping[int, Peer]]) -> None:
        """`peers`: connections of TCP at which tasks wait, by their ids."""
        self._search, self._peers = search, peers
        pid, sink = search.reader.memory.pid, search.sink
        self._links = LinkReader(pid, sink)
        self._file_locks = FileLockReader(pid, sink, search)
        self._polled = PolledLocks(search, pid)
        self._children = ChildReader(search)
        memory, table = search.reader.memory, search.table
        noted = NotedOwners(search.reader.objects, lambda: table.by_ident, memory.read_some)
        self._natives = NativeReader(memory, sink, noted)
        self._parent = ParentReader(search)
        self._loans = LoanReader(search)
        self._accept_queues = AcceptQueueReader(search)
        self._joined: dict[int, int] = {}
        self._before: Waits | None = None  #: at the last look
        self._pace = Pace()

    def look(self, at_ns: int, allowed_ns: int) -> bool:
        search = self._search
        waits = search.waits(at_ns)
        chosen = waits.both(self._before)
        self._before = waits
        asked = {**chosen.descriptors, **{-1 - fd: who for fd, who in chosen.file_locks.items()}}
        # One transaction follows another with the same threads waiting: where they sleep so, each look is a search.
        polls = self._polled.due(at_ns, chosen.pollers)
        if self._pace.due(at_ns, asked) or chosen.sleepers or polls:
            if asked or chosen.sleepers or polls:
                search.begin(at_ns, chosen.tids())
            users = Users(search.handles, search.finder, search.sink, search.everyone())
            self._links.report(at_ns, chosen.descriptors, users)
            self._joined = self._children.joins(row for who in asked.values() for row, _ in who)
            databases = search.databases.locks(chosen.sleepers, search.finder) if chosen.sleepers else []
            if polls:
                self._polled.look(at_ns, chosen.pollers)
            self._file_locks.report(at_ns, chosen.file_locks, users, databases, self._polled.of(chosen.pollers))
        self._links.report_tasks(at_ns, self._peers())
        tids = chosen.tids() if self._joined else ()
        joined = {tid: pid for tid, pid in self._joined.items() if tid in tids}
        self._children.report(at_ns, chosen.children, self._links.speakers, joined)
        self._natives.report(at_ns, chosen.natives)
        self._parent.report(at_ns)
        self._loans.report(at_ns)
        self._accept_queues.report(at_ns)
        return True


class LinkReader:
    def __init__(self, pid: int, sink: Sink) -> None:
        self._sink = sink
        self._ends = OtherEnds(pid)
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


class FileLockReader:
    def __init__(self, pid: int, sink: Sink, search: Search) -> None:
        self._pid, self._sink, self._search = pid, sink, search
        self._last: object = None
        #: (pid of who took it, inode) -> when it was looked for who else has it, and their pids
        self._heirs: dict[tuple[int, int], tuple[float, list[int]]] = {}
        self._seen_at: dict[tuple[int, int], int] = {}  #: (pid, inode) -> the descriptor by which it has the lock

    def report(
        self, now: int, waiting: Waiting, users: Users, databases: Sequence[FileLock] = (), tried: Tried | None = None
    ) -> None:
        locks: list[FileLock] = list(databases)
        why = ""
        if waiting or tried:
            try:
                table = kernel_locks.read()
            except OSError as error:
                table, why = [], f"/proc/locks: {error.strerror}"
            by_inode: dict[int, list[tuple[ThreadRow, Wait]]] = {}
            for fd, who in waiting.items():
                if inode := kernel_locks.inode_of(self._pid, fd):
                    by_inode.setdefault(inode, []).extend(who)
            for inode, who in list(by_inode.items())[:MAX_LOCKS]:
                locks += self._of_file(inode, who, table, users)
            for inode, (path, who) in list((tried or {}).items())[:MAX_LOCKS]:
                had = [one for one in self._of_file(inode, who, table, users) if one.holder]
                locks += [replace(one, path=clean(path, 1000), polled=True) for one in had]
        said = (tuple(locks), why)
        if said != self._last:
            self._last = said
            self._sink.emit(FileLocks(now, *said))

    def _of_file(
        self, inode: int, who: list[tuple[ThreadRow, Wait]], table: list[kernel_locks.KernelLock], every: Users
    ) -> list[FileLock]:
        tids = tuple(sorted(row.tid for row, _ in who))
        peer = who[0][1].peer
        path = peer.name if peer is not None else ""
        held = [lock for lock in table if lock.inode == inode]
        held = [lock for lock in held if self._pid in lock.waiters] or held
        found: list[FileLock] = []
        for lock in held[:MAX_LOCKS]:
            users: tuple[User, ...] = ()
            holder, shared = self._holder(lock)
            if holder == self._pid:
                users = self._users(inode, set(tids), every)
            name = other_ends.name_of(holder) if holder > 0 else ""
            if shared > 1:
                name += f", one of {shared} with the descriptor"
            others = tuple([pid for pid in lock.waiters if pid != self._pid][:MAX_OWNERS])
            stopped = stopped_by(holder) if holder not in (0, self._pid) else ""
            found.append(
                FileLock(
                    path,
                    lock.kind,
                    lock.mode,
                    tids,
                    holder,
                    clean(name),
                    users,
                    others,
                    lock.start,
                    lock.end,
                    inode,
                    stopped,
                )
            )
        return found or [FileLock(path, "", "", tids, 0, "", inode=inode)]

    def _holder(self, lock: kernel_locks.KernelLock) -> tuple[int, int]:
        """Pid of who has it, 0: not seen; and how many share the open file it belongs to, where that was looked for."""
        if lock.kind == "posix":
            return max(0, lock.holder), 1
        key, now = (lock.holder, lock.inode), time.monotonic()
        known = self._heirs.get(key)
        if known is None or now - known[0] > HEIRS_S:
            self._heirs.pop(key, None)
            if self._has_it(*key):
                return lock.holder, 1
            if len(self._heirs) >= MAX_LOCKS:
                self._heirs.clear()
            known = self._heirs[key] = (now, kernel_locks.heirs(lock.inode))
        pids = known[1]
        if not pids and lock.holder > 0 and kernel_locks.hidden(lock.holder):
            return lock.holder, 1  # the table is all that can be seen of it
        return (self._pid if self._pid in pids else pids[0] if pids else 0), len(pids)

    def _has_it(self, pid: int, inode: int) -> bool:
        """Whether this process has the file open; where it had it is looked at first."""
        if pid <= 0:
            return False
        fd = kernel_locks.descriptor(pid, inode, self._seen_at.pop((pid, inode), -1))
        if fd >= 0:
            if len(self._seen_at) >= MAX_LOCKS:
                self._seen_at.clear()
            self._seen_at[pid, inode] = fd
        return fd >= 0

    def _users(self, inode: int, waiters: set[int], found: Users) -> tuple[User, ...]:
        """Threads with the descriptor that has the lock: in an object, or as a number that they handed to flock()."""
        every = kernel_locks.same_file(self._pid, inode)
        fds = kernel_locks.holding_fds(self._pid, every) or every
        users = [user for each in found.of(fds).values() for user in each if user.how != "call"]
        known = {user.tid for user in users}
        for frame in self._search.finder.frames:
            tid, code, line = frame.thread.tid, frame.code, frame.place.line
            if tid in known or tid in waiters or self._search.frames.stdlib(code.file):
                continue
            names = self._search.obligations.handed(code.qualname, code.file, line, _LOCKING)
            for name in sorted(names):
                if self._number(code, frame.values, name) in fds:
                    known.add(tid)
                    users.append(User(tid, "local", clean(name), clean(code.qualname), clean(code.file, 1000), line))
                    break
        return tuple(users[:MAX_USERS])

    def _number(self, code: Code, values: tuple[int, ...], name: str) -> int:
        """The number in a variable, or of the object in it; -1."""
        objects = self._search.reader.objects
        for i, value in enumerate(values):
            if value and self._search.frames.name(code, i) == name:
                if objects.type_name(value) != "int":
                    return self._search.handles.number(value)
                try:
                    return objects.integers([value])[0]
                except struct.error:
                    return -1
        return -1


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
            watched = other_ends.watched(self._pid, line.arguments[0] & 0xFFFFFFFF)
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
