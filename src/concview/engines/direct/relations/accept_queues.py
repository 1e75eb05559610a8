"""Who waits to be accepted where the process listens, and which threads have to do with that socket."""

from __future__ import annotations

from concview.engines.direct.relations.handles import MAX_USERS, user_of
from concview.engines.direct.relations.search import Search
from concview.linux import accept_queues
from concview.linux.accept_queues import Queue
from concview.model import AcceptQueue, AcceptQueues, User
from concview.text import clean

#: Frames are searched for the socket where somebody has waited so long, and again after so long.
_LONG_S, _SEARCH_NS = 1.0, 5_000_000_000
_ACCEPTS = frozenset({"accept", "_accept"})


class AcceptQueueReader:
    def __init__(self, search: Search) -> None:
        self._search = search
        self._queues = accept_queues.AcceptQueues(search.reader.memory.pid)
        self._users: dict[int, tuple[User, ...]] = {}  #: by inode
        self._searched_ns = -_SEARCH_NS
        self._last: object = None

    def report(self, at_ns: int) -> None:
        queues = self._queues.look()
        now_s = at_ns / 1e9
        long = [one for one in queues if one.since and now_s - one.since >= _LONG_S]
        if long and at_ns - self._searched_ns >= _SEARCH_NS:
            self._searched_ns = at_ns
            self._search_users(at_ns, long)
        told = tuple([self._told(one) for one in queues])
        said = (told, self._queues.why)
        if said != self._last or any(one.waiting for one in queues):
            self._last = said
            self._search.sink.emit(AcceptQueues(at_ns, *said))

    def _search_users(self, at_ns: int, queues: list[Queue]) -> None:
        """Where one of them calls `accept` on it in that very function, or in what that calls, those that do not have
        the socket for something else."""
        search = self._search
        search.begin(at_ns, set())
        inodes = {fd: one.inode for one in queues for fd in one.fds}
        objects = {a: inodes[fd] for a, fd in search.handles.with_numbers(search.finder).items() if fd in inodes}
        every: dict[int, dict[int, tuple[bool, User]]] = {one.inode: {} for one in queues}
        for found in search.finder.find(set(objects)) if objects else ():
            user, of_one = user_of(found), every[objects[found.target]]
            accepts = bool(_ACCEPTS & search.obligations.effects(user.file, user.function, user.path))
            known = of_one.get(user.tid)
            if known is None or accepts > known[0]:
                of_one[user.tid] = accepts, user
        self._users = {}
        for inode, users in every.items():
            those = [user for accepts, user in users.values() if accepts] or [user for _, user in users.values()]
            self._users[inode] = tuple(those[:MAX_USERS])

    def _told(self, one: Queue) -> AcceptQueue:
        return AcceptQueue(
            one.inode,
            one.kind,
            clean(one.name, 200),
            one.fds,
            one.waiting,
            one.most,
            one.refused,
            int(one.since * 1e9),
            one.before,
            one.epolls,
            one.shared,
            self._users.get(one.inode, ()) if one.waiting else (),
        )
