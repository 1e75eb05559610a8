"""Waits on descriptors: the other end on this host, file locks, children; who waits where the process listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from concview.engines.direct.relations.accept_queues import AcceptQueueReader
from concview.engines.direct.relations.children import ChildReader
from concview.engines.direct.relations.file_locks import FileLockReader
from concview.engines.direct.relations.handles import Users
from concview.engines.direct.relations.links import LinkReader
from concview.engines.direct.relations.managers import LoanReader
from concview.engines.direct.relations.natives import NativeReader
from concview.engines.direct.relations.noted_owners import NotedOwners
from concview.engines.direct.relations.parents import ParentReader
from concview.engines.direct.relations.polled import PolledLocks
from concview.engines.direct.relations.search import LOOK_NS, Pace, Search, Waits
from concview.model import Peer


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
