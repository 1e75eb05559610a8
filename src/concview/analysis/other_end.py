"""Which threads of the same process may be the ones at the other end of what a thread waits at."""

from __future__ import annotations

from concview.analysis.known_places import is_file
from concview.model import Link, Stack, User

#: Pipes and sockets between processes: what multiprocessing, and those who copied it, make.
_BETWEEN = ("multiprocessing/connection.py", "billiard/connection.py")


def users_of(link: Link, stack: Stack, tid: int) -> tuple[User, ...]:
    """Without the thread itself: a child has its parent's end, too, and often the very frame that made both.

    A queue of multiprocessing has both ends of its pipe, in every process that has the queue. Where another process has
    the end, too, that a thread here has such a queue says nothing; that it is in a call on it does.
    """
    users = tuple(u for u in link.users if u.tid != tid)
    if not link.owners or not any(is_file(f, end) for f in stack.frames[:4] for end in _BETWEEN):
        return users
    return tuple(u for u in users if u.how == "call")
