"""Several processes at once: given ones, or one with everything below it, as workers come and go.

Each has a collector and a session of its own; together they share one budget. What a process with little to do does not
need, those get that would sample more often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from concview.control import Command, SetBudget
from concview.errors import Code
from concview.model import Role
from concview.process.discovery import lives
from concview.process.shared import sharers, untaken
from concview.process.tree import Member, Tree
from concview.session import across
from concview.session.launcher import Launcher, Nursery
from concview.session.session import Session
from concview.session.side import side_of
from concview.session.stream_source import AttachError
from concview.snapshot import Snapshot, Status

#: At most so many processes are watched at a time: each has a collector and 40 MB. More are counted, not watched.
MOST = 48
#: Ended ones whose last picture is kept.
MOST_ENDED = 100
#: How often it is looked who is there, and how often the budget is shared out anew, seconds.
LOOK_S, SHARE_S = 1.0, 2.0
#: One that has just been forked may become another program: it is watched when it is this old.
YOUNG_S = 0.4
#: Attached at the same time.
AT_ONCE = 6
#: One below this share of the rate asked for would use more of the budget, if it had it.
HUNGRY = 0.95


class Watched(Protocol):
    """One process that is watched: a `Session`, or whatever else reads its collector's stream."""

    def start(self) -> None:
        """AttachError when it cannot be watched."""
        ...

    def snapshot(self) -> Snapshot: ...

    @property
    def ended(self) -> bool: ...

    def order(self, command: Command) -> bool: ...

    def request_end(self) -> None: ...

    def finish(self, timeout_s: float) -> Snapshot: ...

    def close(self) -> None: ...


S = TypeVar("S", bound=Watched)


@dataclass(slots=True)
class Part(Generic[S]):
    """One process. Without a session it is not watched: `why`, and what would help."""

    member: Member
    session: S | None = None
    why: str = ""
    remedy: str = ""
    code: Code = Code.UNKNOWN
    ended: bool = False
    late: bool = False  #: it came while the others were watched already
    last: Snapshot = field(default_factory=lambda: Snapshot(Status.WAITING))  #: kept when it has ended

    def snapshot(self) -> Snapshot:
        return self.session.snapshot() if self.session is not None else self.last


@dataclass
class Family(Generic[S]):
    """`start()`, then `parts()`; `finish()` for the last pictures; `close()`. Any method may be called from any thread.

    `make` makes what watches one and is not started, of a process, the percent of a core that its collector may use,
    and what starts collectors.
    `below`: the processes below the given ones, too. `tell` is given a line when one comes, goes or fails.
    """

    roots: Sequence[int]
    below: bool
    budget: float
    make: Callable[[Member, float, Launcher], S]
    tell: Callable[[str], None] = lambda line: None
    most: int = MOST
    _parts: dict[tuple[int, int], Part[S]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    more: int = 0  #: processes that are there and not watched

    def __post_init__(self) -> None:
        self._trees = [Tree(pid) for pid in dict.fromkeys(self.roots)]
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="concview-attach")
        self._nursery = Nursery()
        self._shares: dict[tuple[int, int], float] = {}
        self._waited: dict[tuple[int, int], float] = {}

    # ------------------------------------------------------------ for commands and views

    def start(self) -> None:
        """Attach to all that are there. AttachError when none can be watched: that of the first one given."""
        members = self._members()
        self._take([m for m in members if m.role is not Role.HELPER], late=False)
        watched = [p for p in self.parts() if p.session is not None]
        if not watched:
            self.close()
            first = next((p for p in self.parts() if p.why), None)
            if first is None:
                raise AttachError("none of the processes is there", code=Code.NO_SUCH_PROCESS)
            raise AttachError(first.why, first.remedy, first.code)
        self._thread = threading.Thread(target=self._follow, name="concview-group", daemon=True)
        self._thread.start()

    def parts(self) -> list[Part[S]]:
        """Parents before children, ended ones last."""
        with self._lock:
            return sorted(self._parts.values(), key=lambda p: p.ended)

    @property
    def ended(self) -> bool:
        """Whether nobody is left that is watched."""
        return all(p.session is None or p.session.ended for p in self.parts())

    @property
    def orphaned(self) -> bool:
        """Whether all the processes given have ended while others below them live on."""
        parts = self.parts()
        roots = [p for p in parts if not p.member.parent]
        return (
            bool(roots) and all(_is_over(p) for p in roots) and any(not _is_over(p) for p in parts if p.member.parent)
        )

    def finish(self, timeout_s: float = 3.0) -> list[Part[S]]:
        """Watch no longer; the parts with their last pictures, totals included."""
        self._stop()
        parts = self.parts()
        alive = [p for p in parts if p.session is not None and not p.session.ended]
        for part in alive:
            assert part.session is not None
            part.session.request_end()
        deadline = time.monotonic() + timeout_s
        for part in parts:
            if part.session is not None:
                part.last = part.session.finish(max(0.05, deadline - time.monotonic()))
        return parts

    def close(self) -> None:
        self._stop()
        for part in self.parts():
            if part.session is not None:
                part.session.close()
        # Last: a collector ends with the thread that started it.
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._nursery.close()

    def _stop(self) -> None:
        self._over.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * LOOK_S)

    # ------------------------------------------------------------ who is there

    def _members(self) -> list[Member]:
        found: dict[tuple[int, int], Member] = {}
        self.more = 0
        for tree in self._trees:
            members = tree.members()
            self.more += tree.more
            for member in members if self.below else members[:1]:
                found.setdefault(member.key, member)
        return list(found.values())

    def _take(self, members: Sequence[Member], late: bool) -> None:
        with self._lock:
            room = self.most - sum(not p.ended for p in self._parts.values())
        self.more += max(0, len(members) - room)
        wanted = members[: max(0, room)]
        with self._lock:
            for member in wanted:
                self._parts[member.key] = Part(member, late=late)
            count = sum(not p.ended for p in self._parts.values())
        share = self.budget / max(1, count)
        for member in wanted:
            self._shares[member.key] = share
        for member, outcome in zip(wanted, self._pool.map(lambda m: self._attach(m, share), wanted), strict=True):
            part = self._parts[member.key]
            part.session, error = outcome
            if error is not None:
                part.why, part.remedy, part.code = str(error), error.remedy, error.code
                # One that has come and gone meanwhile is no failure, however far it was gone when it was looked at.
                gone = error.code is Code.NO_SUCH_PROCESS or not lives(member.pid, member.start_ticks)
                part.ended = gone and (late or member.parent != 0)
                if not part.ended:
                    self.tell(f"{member.name} ({member.pid}) cannot be watched: {error}")
            elif late:
                self.tell(f"{member.name} ({member.pid}) has come")

    def _attach(self, member: Member, share: float) -> tuple[S | None, AttachError | None]:
        session = self.make(member, share, self._nursery)
        try:
            session.start()
        except AttachError as error:
            session.close()
            return None, error
        target = session.snapshot().target
        if target is not None and target.start_ticks and target.start_ticks != member.start_ticks:
            session.close()
            return None, AttachError("it has ended, and its number belongs to another one", code=Code.NO_SUCH_PROCESS)
        return session, None

    def _follow(self) -> None:
        share_at = time.monotonic() + SHARE_S
        while not self._over.wait(LOOK_S):
            self._drop()
            if self.below:
                self._look()
            if time.monotonic() >= share_at:
                share_at = time.monotonic() + SHARE_S
                self._share()

    def _drop(self) -> None:
        """Those that ended keep their last picture, and nothing else."""
        for part in self.parts():
            session = part.session
            if session is not None and session.ended and not part.ended:
                part.last = session.snapshot()
                session.close()
                part.session, part.ended = None, True
                self._shares.pop(part.member.key, None)
                self.tell(f"{part.member.name} ({part.member.pid}) {part.last.died or 'has ended'}")
        with self._lock:
            ended = [key for key, p in self._parts.items() if p.ended]
            for key in ended[: max(0, len(ended) - MOST_ENDED)]:
                del self._parts[key]

    def _look(self) -> None:
        now = time.monotonic()
        members = self._members()
        with self._lock:
            fresh = [m for m in members if m.key not in self._parts and m.role is not Role.HELPER]
        for member in fresh:
            self._waited.setdefault(member.key, now)
        old = [m for m in fresh if now - self._waited[m.key] >= YOUNG_S]
        keys = {m.key for m in fresh}
        self._waited = {key: since for key, since in self._waited.items() if key in keys}
        if old and not self._over.is_set():
            self._take(old, late=True)

    # ------------------------------------------------------------ one budget

    def _share(self) -> None:
        alive = [p for p in self.parts() if p.session is not None and not p.session.ended]
        wanted = shares(self.budget, [(s.target_hz, s.rate_hz) for s in (p.snapshot() for p in alive)])
        for part, share in zip(alive, wanted, strict=True):
            before = self._shares.get(part.member.key, 0.0)
            if part.session is not None and abs(share - before) > 0.05 * before:
                self._shares[part.member.key] = share
                part.session.order(SetBudget(share))


class Group(Family[Session]):
    """Processes with a session each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.across = across.Found()  #: who waits for whom in another process, when it was finished

    def finish(self, timeout_s: float = 3.0) -> list[Part[Session]]:
        """The same; who waits for whom across processes is looked at before that: `across`."""
        self._stop()
        self.across = self.look_across()
        return super().finish(timeout_s)

    def look_across(self) -> across.Found:
        """Who waits for whom in another process now."""
        alive = {p.member.pid: p.session for p in self.parts() if p.session is not None and not p.ended}
        return across.look({pid: side_of(session) for pid, session in alive.items()}, sharers, untaken)


def shares(budget: float, rates: Sequence[tuple[float, float]]) -> list[float]:
    """Percent of a core for each: half of its equal part to everybody, the rest to those who sample less often than was
    asked for. `rates`: (reached, asked) of each, Hz."""
    if not rates:
        return []
    equal = budget / len(rates)
    hungry = [bool(asked) and reached < HUNGRY * asked for reached, asked in rates]
    if not any(hungry) or all(hungry):
        return [equal] * len(rates)
    rest = budget - 0.5 * equal * len(rates)
    return [0.5 * equal + (rest / sum(hungry) if wants else 0.0) for wants in hungry]


def _is_over(part: Part[S]) -> bool:
    return part.ended or (part.session is not None and part.session.ended)
