"""The processes that are watched: given ones, and those that a pattern finds, as they come and go."""

from __future__ import annotations

import fnmatch
import functools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from concview.process.discovery import Discovery
from concview.session import AttachError, LiveSource, Session
from concview.session.across import Found, explained
from concview.session.group import Group
from concview.session.launcher import Nursery
from concview.session.service import ACROSS_S
from concview.snapshot import Snapshot
from concview.text import clean, short_command

#: At most so many processes at a time: each has a collector of its own. More are counted, not watched.
MOST = 32
#: How often a pattern is looked for, seconds.
LOOK_S = 5.0


@dataclass(slots=True)
class Watched:
    """One process. `session` is None where it could not be attached; `why` says the rest."""

    pid: int
    name: str
    session: Session | None = None
    why: str = ""
    given: bool = False  #: named on the command line: it stays on the page when it has ended
    #: What the other processes that are watched with it explain of its picture.
    explain: Callable[[Snapshot], Snapshot] | None = None

    def snapshot(self) -> Snapshot | None:
        """None where it could not be attached."""
        if self.session is None:
            return None
        snapshot = self.session.snapshot()
        return snapshot if self.explain is None else self.explain(snapshot)


@dataclass
class Watch:
    """`start()` attaches to what is given, then follows the pattern; every method may be called from any thread.

    `open_session` makes a session that is not started; `tell` is given a line when a process comes, goes or fails.
    """

    pids: list[int]
    pattern: str
    open_session: Callable[[LiveSource], Session]
    engine: str
    rate: float
    budget: float
    tell: Callable[[str], None]
    labels: str = "safe"
    _watched: dict[int, Watched] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _told_full: bool = False
    _nursery: Nursery | None = None  #: for one process alone it would cost more than it saves

    def start(self) -> None:
        """AttachError when a single given process cannot be attached: then there is nothing to serve."""
        if self.pattern or len(self.pids) > 1:
            self._nursery = Nursery()
        for pid in self.pids:
            failure = self._attach(pid, f"process {pid}", given=True)
            if failure is not None and len(self.pids) == 1 and not self.pattern:
                raise failure
        if self.pattern:
            self._look()
        self._thread = threading.Thread(target=self._follow, name="concview-watch", daemon=True)
        self._thread.start()

    def watched(self) -> list[Watched]:
        with self._lock:
            return list(self._watched.values())

    def all_ended(self) -> bool:
        """Whether there is nothing left and nothing can come."""
        return not self.pattern and all(w.session is None or w.session.ended for w in self.watched())

    def close(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(2 * LOOK_S)
        for each in self.watched():
            if each.session is not None:
                each.session.close()
        if self._nursery is not None:
            self._nursery.close()

    # ------------------------------------------------------------ its own thread

    def _follow(self) -> None:
        while not self._over.wait(LOOK_S):
            self._drop()
            if self.pattern:
                self._look()

    def _drop(self) -> None:
        for each in self.watched():
            session = each.session
            if session is not None and session.ended and not each.given:
                session.close()
                with self._lock:
                    self._watched.pop(each.pid, None)
                self.tell(f"{each.name} ({each.pid}) has ended")

    def _look(self) -> None:
        for found in Discovery().list():
            line = " ".join(found.command)
            with self._lock:
                known, number = self._watched.get(found.pid), len(self._watched)
            if known is not None or not (
                fnmatch.fnmatchcase(line, self.pattern) or fnmatch.fnmatchcase(line, f"*{self.pattern}*")
            ):
                continue
            if number >= MOST:
                if not self._told_full:
                    self._told_full = True
                    self.tell(f"more than {MOST} processes match; the others are not watched")
                return
            self._attach(found.pid, found.name)

    def _attach(self, pid: int, name: str, given: bool = False) -> AttachError | None:
        session = self.open_session(
            LiveSource(pid, self.engine, self.rate, self.budget, labels=self.labels, launcher=self._nursery)
        )
        watched = Watched(pid, name, session, given=given)
        failure: AttachError | None = None
        try:
            session.start()
        except AttachError as error:
            session.close()
            watched.session, watched.why, failure = None, str(error), error
            self.tell(f"{name} ({pid}) cannot be watched: {error}" + (f" ({error.remedy})" if error.remedy else ""))
        else:
            target = session.snapshot().target
            if target is not None:
                watched.name = clean(short_command(target.command), 80)
            self.tell(f"watching {watched.name} ({pid})")
        with self._lock:
            self._watched[pid] = watched
        return failure


class Together:
    """A master with all below it, or given processes: a `Group`, as what metrics are made of."""

    def __init__(self, group: Group, clock: Callable[[], float] = time.monotonic) -> None:
        self.group = group
        self._clock = clock
        self._lock = threading.Lock()
        self._found, self._due = Found(), 0.0

    def start(self) -> None:
        """AttachError when none can be watched."""
        self.group.start()

    def watched(self) -> list[Watched]:
        return [
            Watched(
                p.member.pid,
                p.member.name,
                p.session,
                p.why,
                not p.member.parent,
                functools.partial(self._explained, p.member.pid),
            )
            for p in self.group.parts()
            if not p.ended or not p.member.parent
        ]

    def _explained(self, pid: int, snapshot: Snapshot) -> Snapshot:
        """Who waits for whom across processes is looked at every few seconds at most: a page asks for all of them."""
        with self._lock:
            if self._clock() >= self._due:
                self._found = self.group.look_across()
                self._due = self._clock() + ACROSS_S
            found = self._found
        names = {p.member.pid: f"{p.member.name} ({p.member.pid})" for p in self.group.parts()}
        return explained(snapshot, pid, found, lambda node: names.get(node[0], f"process {node[0]}"))

    def all_ended(self) -> bool:
        return self.group.ended

    def close(self) -> None:
        self.group.close()
