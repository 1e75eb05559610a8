"""What one process of several tells of itself, for what is concluded about all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from concview.analysis.jobs import awaiting, awaits_since
from concview.model import Child, FileLock, Link, Loans, Semaphore, Worker
from concview.snapshot import Snapshot

if TYPE_CHECKING:
    from concview.session.session import Session


@dataclass(frozen=True, slots=True)
class Side:
    """What is told of one process for this, at one moment."""

    snapshot: Snapshot
    children: tuple[Child, ...] = ()
    links: tuple[Link, ...] = ()
    file_locks: tuple[FileLock, ...] = ()
    semaphores: tuple[Semaphore, ...] = ()
    workers: tuple[Worker, ...] = ()
    loans: Loans | None = None  #: of the process of a multiprocessing.Manager
    #: tid -> (library, seconds) of workers that wait in a job for the result of another job of that library: since when
    #: without a break, as far as it was watched. What one does to look again is a part of that.
    awaits: Mapping[int, tuple[str, float]] = field(default_factory=dict)
    caught: int = -1  #: signals with a handler; -1 not known


def side_of(session: Session) -> Side:
    known, below = session.history.relations, session.history.workers
    return Side(
        session.snapshot(),
        known.children(),
        known.links(),
        known.file_locks(),
        known.semaphores(),
        below.workers if below is not None else (),
        known.loans(),
        _awaits(session),
        session.history.counters.caught if session.history.counters is not None else -1,
    )


def _awaits(session: Session) -> dict[int, tuple[str, float]]:
    history, found = session.history, dict[int, tuple[str, float]]()
    for tid, thread in list(history.threads.items()):
        run = thread.current
        library = awaiting(run.stack) if run is not None else None
        if run is None or library is None:
            continue
        earlier = [(r.stack, r.start_ns) for r in reversed(tuple(thread.runs))]
        since_ns = awaits_since(library, run.began_ns, earlier)
        found[tid] = library.name, max(0, history.now_ns - since_ns) / 1e9
    return found
