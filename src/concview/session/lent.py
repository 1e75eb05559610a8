"""Locks that the process of a multiprocessing.Manager lends: who has one, of the processes that are connected to it.

Of a lock that is taken it is told by a client's `with`, which knows the lock's address in the Manager's process; or by
what the thread that serves a client was asked for last: `acquire`, and the answer was True.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from concview.model import LENT, LENT_KIND, Loan, WaitKind
from concview.session.side import Side
from concview.session.standstill import Node

_TAKES, _GIVES = "acquire", "release"


@dataclass(frozen=True, slots=True)
class Lent:
    """A lock that clients of a Manager wait for."""

    server: int  #: pid of the Manager's process
    lock: int  #: its address there
    waiters: tuple[int, ...]  #: tids of the threads there that wait for it, each for one client
    holders: tuple[Node, ...]  #: clients that have it; tid 0: which of its threads is not told
    #: No client has it, by what each has asked for last: whoever took it has ended.
    lost: bool


def lent(sides: Mapping[int, Side]) -> Iterable[Lent]:
    for pid, side in sides.items():
        loans = side.loans
        if loans is None:
            continue
        by_lock: dict[int, list[Loan]] = {}
        for loan in loans.loans:
            thread = side.snapshot.thread(loan.tid)
            # A Condition has a lock of its own, which is what the thread waits for.
            if (
                not loan.answered
                and loan.method == _TAKES
                and thread is not None
                and thread.wait.kind is WaitKind.FUTEX
            ):
                by_lock.setdefault(loan.object, []).append(loan)
        for lock, waiting in by_lock.items():
            holders = dict.fromkeys(_having(pid, lock, sides))
            for loan in loans.loans:
                if loan.given and loan.method == _TAKES and loan.object == lock:
                    holders.update(
                        (node, None) for node in _clients(pid, loan, sides) if node[0] not in {h[0] for h in holders}
                    )
            # Who has asked for something else since may have it yet.
            asked = all(x in waiting or (x.method == _GIVES and x.object == lock) for x in loans.loans)
            lost = not holders and asked and loans.complete
            yield Lent(pid, lock, tuple(x.tid for x in waiting), tuple(holders), lost)


def serving(side: Side, inode: int) -> int:
    """The thread that serves the client at the other end of a connection; 0."""
    if side.loans is None or not inode:
        return 0
    return next((x.tid for x in side.loans.loans if x.inode == inode), 0)


def _having(server: int, lock: int, sides: Mapping[int, Side]) -> Iterable[Node]:
    """Threads of clients inside a `with` over it."""
    for pid, side in sides.items():
        for thread in side.snapshot.threads:
            if thread.alive and any(h.kind == LENT_KIND and h.lock == LENT | lock for h in thread.holds):
                # Another Manager may have a lock at the same address.
                servers = {p for p, other in sides.items() if other.loans is not None}
                if servers == {server} or pid in _connected(server, sides):
                    yield pid, thread.tid


def _connected(server: int, sides: Mapping[int, Side]) -> set[int]:
    """Clients of a Manager's process, as far as its threads wait for their requests."""
    loans = sides[server].loans
    inodes = {x.inode for x in loans.loans} if loans is not None else set()
    return {owner.pid for link in sides[server].links if link.inode in inodes for owner in link.owners}


def _clients(server: int, loan: Loan, sides: Mapping[int, Side]) -> Iterable[Node]:
    """Who is at the other end of that connection: after a fork it may be several."""
    for link in sides[server].links:
        if link.inode == loan.inode:
            for owner in link.owners:
                if owner.pid in sides:
                    threads = [t for t in sides[owner.pid].snapshot.threads if t.alive and not t.native]
                    yield owner.pid, threads[0].tid if len(threads) == 1 else 0
