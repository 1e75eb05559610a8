"""What the kernel tells of waits: the other end of a descriptor, who has a file lock, what a child does, in which C
library a thread waits. By thread, at a moment."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from concview.analysis.blame.nouns import Node
from concview.analysis.blame.peer_names import PeerNames
from concview.model import (
    Child,
    Children,
    FileLock,
    FileLocks,
    Link,
    Links,
    NativeWait,
    NativeWaits,
    Semaphore,
    Semaphores,
)

if TYPE_CHECKING:
    from concview.analysis.blame.world import Moment
    from concview.analysis.relations import RelationHistory

#: Reports of one kind kept; other ends of descriptors that are remembered.
MOST_REPORTS, MOST_ENDS = 48, 4_000
#: The kind of a lock that is SQLite's own.
SQLITE = "SQLite"
_T = TypeVar("_T")


class Told(Generic[_T]):
    """The reports of one kind, by the threads that they are about."""

    def __init__(self) -> None:
        self._reports: list[tuple[int, dict[Node, _T]]] = []

    def add(self, at_ns: int, rows: Iterable[tuple[_T, Sequence[Node]]]) -> bool:
        """False for one that is known."""
        if self._reports and at_ns <= self._reports[-1][0]:
            return False
        self._reports.append((at_ns, {tid: row for row, tids in rows for tid in tids}))
        del self._reports[:-MOST_REPORTS]
        return True

    def of(self, moment: Moment, tid: Node) -> _T | None:
        """What was told of this thread while it did what it does at that moment; None: nothing was."""
        return self.at(moment, tid)[0]

    def at(self, moment: Moment, tid: Node) -> tuple[_T | None, int]:
        """The same, and when it was read."""
        run = moment.runs.get(tid)
        if run is None:
            return None, 0
        # The last report before the moment holds, and the first one after it when it still waited then.
        at = bisect_right(self._reports, moment.at_ns, key=lambda report: report[0])
        for at_ns, rows in (*self._reports[max(0, at - 1) : at], *self._reports[at : at + 1]):
            if tid in rows and run.start_ns <= at_ns and (not run.end_ns or at_ns <= run.end_ns):
                return rows[tid], at_ns
        return None, 0


class Kernel:
    def __init__(self) -> None:
        self._links: Told[Link] = Told()
        self.names = PeerNames()
        self._ends: dict[str, Link] = {}  #: '[12]': the end of a descriptor's name, its inode
        self.file_locks: Told[FileLock] = Told()
        self._databases: dict[Node, FileLock] = {}  #: by the thread that waits, as told last
        self.database_ns = -1
        self._polled: dict[Node, FileLock] = {}  #: by the thread that tries for it, as told last
        self.children: Told[Child] = Told()
        self.semaphores: Told[Semaphore] = Told()  #: of multiprocessing
        self._natives: Told[NativeWait] = Told()
        self._native_last: dict[Node, NativeWait] = {}  #: by the thread that waits, as told last

    def learn(self, history: RelationHistory) -> None:
        """What has come since; in the order of time."""
        for links in history.reports(Links):
            if self._links.add(links.at_ns, ((one, one.waiters) for one in links.links)):
                self.names.learn(links)
                if len(self._ends) > MOST_ENDS:
                    self._ends.clear()
                self._ends.update({f"[{one.inode}]": one for one in links.links if one.inode})
        reports = history.reports(FileLocks)
        _learn(reports, self.file_locks, lambda r: ((one, one.waiters) for one in r.locks if _waited(one)))
        if reports:
            self._polled = {t: one for one in reports[-1].locks if one.polled for t in one.waiters}
        for locks in reports:
            if locks.at_ns > self.database_ns:
                self.database_ns = locks.at_ns
                if len(self._databases) > MOST_ENDS:
                    self._databases.clear()
                self._databases.update({t: one for one in locks.locks if one.kind == SQLITE for t in one.waiters})
        _learn(history.reports(Children), self.children, lambda r: ((one, one.waiters) for one in r.children))
        _learn(history.reports(Semaphores), self.semaphores, lambda r: ((one, one.waiters) for one in r.semaphores))
        waits = history.reports(NativeWaits)
        _learn(waits, self._natives, lambda r: ((one, (one.tid,)) for one in r.waits))
        for told in waits:
            if len(self._native_last) > MOST_ENDS:
                self._native_last.clear()
            self._native_last.update({one.tid: one for one in told.waits if one.library or one.kind})

    def native(self, moment: Moment, tid: Node) -> tuple[NativeWait | None, int]:
        """Of a thread in C code: in which library, and who had its lock at which moment, 0 where that was another wait
        of the same thread, too short to be looked at: the library is most likely the same, the owner need not be."""
        told, at_ns = self._natives.at(moment, tid)
        if told is not None:
            return told, at_ns
        return self._native_last.get(tid), 0

    def database(self, tid: Node) -> FileLock | None:
        """Of a thread that waits for SQLite: its file, and who had it at the last look (`database_ns`). It sleeps and
        tries again, so that it is the same wait after a sample that saw it try."""
        return self._databases.get(tid)

    def polled(self, tid: Node) -> FileLock | None:
        """Of a thread that tries for a lock on a file again and again: the file, and who had it at the last look."""
        return self._polled.get(tid)

    def link(self, moment: Moment, tid: Node) -> Link | None:
        """The other end of what a thread waits on. That outlasts one wait: a descriptor keeps its other end."""
        told = self._links.of(moment, tid)
        peer = moment.runs[tid].wait.peer
        if told is None and peer is not None and "[" in peer.name:
            told = self._ends.get(peer.name[peer.name.rindex("[") :])
        return told


def _waited(one: FileLock) -> bool:
    """Whether threads wait for it in the kernel."""
    return one.kind != SQLITE and not one.polled


_E = TypeVar("_E", FileLocks, Children, NativeWaits, Semaphores)


def _learn(events: Iterable[_E], told: Told[_T], rows: Callable[[_E], Iterable[tuple[_T, Sequence[Node]]]]) -> None:
    for event in events:
        told.add(event.at_ns, rows(event))
