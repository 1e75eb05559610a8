"""Several processes for the dashboard: a row for each, what several have in common, and the session of one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from concview.config import RuleConfig
from concview.model import Finding, Role, Severity
from concview.session import across, standstill
from concview.session.group import Group
from concview.session.session import Session
from concview.session.several import Cast
from concview.session.side import side_of
from concview.session.stream_source import FileSource
from concview.snapshot import Snapshot, Status
from concview.text import listed, plural

#: Of processes that nobody looks at closely, a picture and a judgement come this often, seconds.
FAR_S = 2.0
#: How often it is looked who waits for whom across processes, seconds.
ACROSS_S = 3.0
#: Findings and waits that are told of.
MOST_FINDINGS, MOST_EDGES, MOST_NAMED = 6, 6, 3
#: Processes that have ended and are still in the list: the latest ones, where workers are replaced all the time.
MOST_ENDED = 8
Key = tuple[int, int]  #: (pid, start time)


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One process of a service, as a list of them shows it. Values that are not known are None. `state`: why there is
    nothing new of it ('ended', 'cannot be watched: ...'); empty while it is watched."""

    key: Key
    pid: int
    parent: int
    name: str
    worker: bool = False
    cpu_percent: float | None = None
    threads: int | None = None
    requests: int | None = None  #: requests, jobs and queries in progress
    verdict: str = ""
    severity: str = ""  #: 'warn', 'info', ''
    state: str = ""
    late: bool = False  #: it came while the others were watched already
    died: str = ""  #: that it ended by a signal or with an error: 'was killed by SIGKILL'


def row_of(
    key: Key, parent: int, name: str, role: Role, snapshot: Snapshot, state: str = "", late: bool = False
) -> ServiceRow:
    """`state`: in place of what the snapshot says."""
    blame, work = snapshot.blame, snapshot.work
    severity = blame.severity if blame is not None else None
    verdict = blame.sentence if blame is not None else ""
    standing = [f for f in snapshot.findings if not f.recent and f.severity is not Severity.INFO]
    if standing and severity is not Severity.WARN:
        severity = Severity.WARN
        verdict = standing[0].title + (f". {verdict}" if verdict else "")
    over = {Status.EXITED: "ended", Status.LOST: "lost", Status.STOPPED: "stopped"}.get(snapshot.status, "")
    return ServiceRow(
        key,
        key[0],
        parent,
        name,
        role is Role.WORKER,
        snapshot.cpu_percent,
        sum(t.alive for t in snapshot.threads) if snapshot.threads else None,
        len(work.now) + work.more if work is not None else None,
        verdict,
        severity.value if severity is not None else "",
        state or over,
        late,
        snapshot.died,
    )


def merged(pictures: Sequence[tuple[ServiceRow, Snapshot]]) -> list[tuple[Finding, list[ServiceRow]]]:
    """Findings that stand, each once, as the process shows it in which it is worst; warnings first, then those that
    most processes have."""
    worst: dict[tuple[str, str, str], Finding] = {}
    having: dict[tuple[str, str, str], list[ServiceRow]] = {}
    for row, snapshot in pictures:
        for finding in snapshot.findings:
            if finding.recent:
                continue
            key = finding.identity
            known = worst.get(key)
            if known is None or (finding.severity is Severity.WARN, finding.score) > (
                known.severity is Severity.WARN,
                known.score,
            ):
                worst[key] = finding
            rows = having.setdefault(key, [])
            if row not in rows:
                rows.append(row)
    every = [(finding, having[key]) for key, finding in worst.items()]
    return sorted(every, key=lambda e: (e[0].severity is not Severity.WARN, -len(e[1]), -e[0].score))


def of_how_many(those: Sequence[ServiceRow], rows: Iterable[ServiceRow]) -> str:
    """'3 of 8 workers', '2 of 9 processes', 'app.py (4711)'."""
    alive = [r for r in rows if r.state != "ended"]
    workers = [r for r in alive if r.worker]
    if len(those) == 1:
        return f"{those[0].name} ({those[0].pid})"
    whole = (
        plural(len(workers), "worker") if all(r.worker for r in those) else plural(len(alive), "process", "processes")
    )
    return f"{len(those)} of {whole} ({listed([f'{r.name} {r.pid}' for r in those], MOST_NAMED)})"


def told(
    pictures: Sequence[tuple[ServiceRow, Snapshot]], found: across.Found, rows: Sequence[ServiceRow]
) -> list[tuple[str, str]]:
    """(tone, words) of what concerns several, worst first."""
    names = {row.pid: f"{row.name} ({row.pid})" for row in rows}

    def name(node: standstill.Node) -> str:
        return names.get(node[0], f"process {node[0]}")

    said: list[tuple[str, str]] = []
    for circle in found.circles:
        said.append(("error", f"▲ deadlock across processes: {' → '.join(map(name, (*circle, circle[0])))}"))
    for orphan in found.orphans:
        those = plural(len(orphan.waiters), "thread")
        said.append(
            ("error", f"▲ {those} of {listed(list(dict.fromkeys(map(name, orphan.waiters))), 3)}: {orphan.why}")
        )
    every = merged(pictures)
    for finding, having in every[:MOST_FINDINGS]:
        warn = finding.severity is Severity.WARN
        said.append(
            ("error" if warn else "warn", f"{'▲' if warn else '●'} {of_how_many(having, rows)}: {finding.title}")
        )
    if len(every) > MOST_FINDINGS:
        said.append(("dim", f"{len(every) - MOST_FINDINGS} more findings; enter shows those of one process"))
    for edge in found.edges[:MOST_EDGES]:
        does = f": {edge.does}" if edge.does else ""
        what = "the end of" if edge.via == "child" else f"{edge.what} of"
        said.append(("base", f"{name(edge.waiter)} waits for {what} {name(edge.holder)}{does}"))
    if len(found.edges) > MOST_EDGES:
        said.append(("dim", f"{len(found.edges) - MOST_EDGES} more waits across processes"))
    return said


class LiveService:
    """A group that is watched. `tui.ports.Service`."""

    live = True

    def __init__(self, group: Group, name: str) -> None:
        """`group` was started."""
        self.name = name
        self._group = group
        self._near: Key | None = None
        self._across = across.Found()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="concview-service", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(ACROSS_S):
            self._across = self._group.look_across()

    def rows(self) -> Sequence[ServiceRow]:
        return [row for row, _ in self._pictures()]

    def _named(self, node: standstill.Node) -> str:
        names = (p.member.name for p in self._group.parts() if p.member.pid == node[0])
        return f"{next(names, 'process')} ({node[0]})"

    def _pictures(self) -> list[tuple[ServiceRow, Snapshot]]:
        found = []
        for part in self._group.parts():
            member, snapshot = (
                part.member,
                across.explained(part.snapshot(), part.member.pid, self._across, self._named),
            )
            state = "ended" if part.ended else f"cannot be watched: {part.why}" if part.why else ""
            row = row_of(member.key, member.parent, member.name, member.role, snapshot, state, part.late)
            found.append((row, snapshot))
        return found

    def said(self) -> Sequence[tuple[str, str]]:
        pictures = self._pictures()
        said = told([p for p in pictures if not p[0].state], self._across, [row for row, _ in pictures])
        if self._group.orphaned:
            said.insert(0, ("error", "▲ what was given has ended; processes below it live on without it"))
        if self._group.more:
            more = plural(self._group.more, "process", "processes")
            said.append(("warn", f"{more} beyond the first {self._group.most}: not watched"))
        return said

    def cost(self) -> tuple[float, float]:
        alive = [p for p in self._group.parts() if p.session is not None and not p.session.ended]
        return sum(p.snapshot().own_cpu_percent for p in alive), self._group.budget

    def session(self, key: Key) -> Session | None:
        self.leave()
        part = next((p for p in self._group.parts() if p.member.key == key), None)
        session = part.session if part is not None else None
        if session is not None:
            session.slow_down(0.0)
            self._near = key
        return session

    def leave(self) -> None:
        near, self._near = self._near, None
        for part in self._group.parts():
            if part.member.key == near and part.session is not None:
                part.session.slow_down(FAR_S)

    def close(self) -> None:
        self._over.set()
        self._group.close()


class RecordedService:
    """A recording of several processes, played: all at the same moment of it. `tui.ports.Service`."""

    live = False

    def __init__(self, path: Path, cast: Cast, speed: float, rules: RuleConfig | None, name: str) -> None:
        """ValueError where settings contradict themselves."""
        self.name = name
        self._cast = cast
        self._sessions: Mapping[int, Session] = {
            p.number: Session(FileSource(path, speed, p.number, cast.begin_ns), config=rules, alone=False)
            for p in cast.watched
        }
        self._failed: dict[int, str] = {}
        for number, session in self._sessions.items():
            session.slow_down(FAR_S)
            self._begin(lambda n=number, s=session: self._start(n, s))  # type: ignore[misc]

    @staticmethod
    def _begin(work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="concview-play", daemon=True).start()

    def _start(self, number: int, session: Session) -> None:
        try:
            session.start(1e9)  # one that came late begins late
        except Exception as error:  # whatever is wrong with its part of the file is told in its row
            self._failed[number] = str(error) or type(error).__name__

    def _pictures(self) -> list[tuple[ServiceRow, Snapshot]]:
        found = []
        for process in self._cast.processes:
            session = self._sessions.get(process.number)
            snapshot = session.snapshot() if session is not None else Snapshot(Status.WAITING)
            state = f"could not be watched: {process.why}" if process.why else self._failed.get(process.number, "")
            if not state and snapshot.status is Status.WAITING:
                state = "not there yet"
            key = (process.pid, process.start_ticks)
            found.append(
                (row_of(key, process.parent, process.name, process.role, snapshot, state, process.late), snapshot)
            )
        return found

    def rows(self) -> Sequence[ServiceRow]:
        return [row for row, _ in self._pictures()]

    def said(self) -> Sequence[tuple[str, str]]:
        pictures = self._pictures()
        alive = [(row, snapshot) for row, snapshot in pictures if not row.state]
        sides = {
            p.pid: side_of(self._sessions[p.number])
            for p in self._cast.watched
            if any(row.key == (p.pid, p.start_ticks) for row, _ in alive)
        }
        said = told(alive, across.look(sides), [row for row, _ in pictures])
        if self._cast.broken:
            said.append(("warn", f"the recording breaks off: {self._cast.broken}"))
        return said

    def cost(self) -> tuple[float, float]:
        return 0.0, 0.0

    def session(self, key: Key) -> Session | None:
        self.leave()
        for process in self._cast.watched:
            if (process.pid, process.start_ticks) == key:
                session = self._sessions[process.number]
                if session.snapshot().status is Status.WAITING:
                    return None
                session.slow_down(0.0)
                return session
        return None

    def leave(self) -> None:
        for session in self._sessions.values():
            session.slow_down(FAR_S)

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()
