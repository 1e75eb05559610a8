"""What threads wait for beside locks: peers, connections, queues, the GIL."""

from __future__ import annotations

from concview.model import Peer
from concview.snapshot.base import View


class PeerView(View, frozen=True):
    peer: Peer
    share: float  #: thread-seconds of I/O wait per second of the window
    waiters_now: int
    threads: tuple[int, ...]


class ListeningView(View, frozen=True):
    """A socket of the process that listens, over the window, with those that nobody has accepted yet."""

    kind: str  #: 'tcp', 'unix'
    name: str  #: its address or path
    waiting: int  #: connections in the queue, at the last look
    mean: float
    most: int  #: in the window
    limit: int  #: so many the queue has room for; -1 not told
    refused: int  #: attempts that were turned away in the window, for it was full; -1 not told
    waited_s: float  #: the longest time for which one connection was seen in the queue: it waited longer than that
    oldest_s: float  #: the same of those that wait now
    threads: tuple[int, ...]  #: those that accept there; empty: none is known to
    exact: bool  #: that was seen
    shared: tuple[int, ...]  #: other processes that have it, where that was looked for


class QueueView(View, frozen=True):
    """A queue of the target, or the work queue of a pool. Rates are per second; None: not known."""

    key: str
    name: str  #: what its users call it; '' where only library frames know it
    kind: str
    size: int
    most: int  #: its bound; 0: none
    sizes: tuple[int, ...]  #: over the last two minutes at most, oldest first
    put_rate: float | None
    get_rate: float | None
    growth: float  #: items a second it grew by all the time; 0: it does not
    putting: tuple[int, ...]  #: tids that wait for room now
    getting: tuple[int, ...]  #: tids that wait for an item now
    users: tuple[int, ...]  #: tids whose frames refer to it
    pool: bool = False
    pool_most: int = 0  #: threads it may have; 0: not known
    workers: tuple[int, ...] = ()  #: tids
    idle: int = 0  #: of these, waiting for work now
    address: int = 0


class InterpreterView(View, frozen=True):
    """One interpreter of a process that has several."""

    id: int  #: the main one is 0
    gil: int  #: id of the interpreter whose GIL it uses
    threads: tuple[int, ...]  #: tids of those that run in it now; of the main one not told
    held_share: float = 0.0  #: of its own GIL; where it has none these are 0
    holder_now: int = 0
    waiters_now: int = 0
    waiters_mean: float = 0.0
    waiters_max: int = 0

    @property
    def own_gil(self) -> bool:
        return self.gil == self.id


class GilView(View, frozen=True):
    """The main interpreter's, beside the others' where there are several."""

    available: bool
    held_share: float = 0.0
    holder_now: int = 0
    waiters_now: int = 0
    waiters_mean: float = 0.0
    waiters_max: int = 0
    collecting_share: float = 0.0
    switches_per_s: float | None = None
    interpreters: tuple[InterpreterView, ...] = ()  #: empty where there is one

    @property
    def others(self) -> tuple[InterpreterView, ...]:
        """Those beside the main one that have a GIL of their own, most waited for first."""
        own = [i for i in self.interpreters if i.id and i.own_gil]
        return tuple(sorted(own, key=lambda i: (-i.waiters_mean, -i.held_share, i.id)))

    @property
    def elsewhere(self) -> bool:
        """Whether threads wait for the GIL for longer than anybody has it, and nothing is told of other interpreters:
        theirs is a subinterpreter's, in a recording by a version that did not look at those."""
        return (
            self.available
            and not self.interpreters
            and self.waiters_mean / max(1, self.waiters_max) > self.held_share + 0.2
        )
