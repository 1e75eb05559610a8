"""Several processes in one file: writing it while they are watched, and who is in it when it is read."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from concview import __version__, codec
from concview.config import RuleConfig
from concview.control import Command
from concview.model import AnyEvent, Bye, Event, Hello, ProcessDef, Stats, Target
from concview.process.tree import Member
from concview.session import across
from concview.session.rolling_recording import RollingRecording
from concview.session.session import read_through
from concview.session.side import Side, side_of
from concview.session.stream_source import FileSource, LiveSource, Patience
from concview.snapshot import Snapshot, Status


class SeveralFile:
    """`write` is given bytes, whole blocks at a time; nothing before the first process. Any method may be called from
    any thread."""

    def __init__(
        self, write: Callable[[bytes], None], target: Target, rate: float, budget: float, at_ns: int = 0
    ) -> None:
        """`target`: the first of the processes that were given. `at_ns`: when it begins; 0: now."""
        self._write = write
        self._lock = threading.Lock()
        self._numbers = 0
        self.written = 0
        now = time.monotonic_ns()
        at = at_ns or now
        epoch = time.time() - (now - at) / 1e9
        hello = Hello(codec.SEVERAL_VERSION, __version__, target, "", rate, budget, at, epoch, {})
        self._head = codec.MAGIC + codec.encode_block([hello])

    def _put(self, data: bytes) -> None:
        with self._lock:
            data, self._head = self._head + data, b""
            self._write(data)
            self.written += len(data)

    def process(self, member: Member, late: bool = False, why: str = "", at_ns: int = 0) -> int:
        """A process that is in the file from now on, or from `at_ns`; its number."""
        with self._lock:
            self._numbers += 1
            number = self._numbers
        self._events(
            ProcessDef(
                number,
                at_ns or time.monotonic_ns(),
                member.pid,
                member.start_ticks,
                member.parent,
                member.role,
                member.name,
                late,
                why,
            )
        )
        return number

    def add(self, number: int, payload: bytes) -> None:
        """A block of its stream."""
        self._put(codec.block_of(codec.of_process(number, payload)))

    def end(self, text: str = "") -> None:
        self._events(Bye(time.monotonic_ns(), "stopped", text))

    def _events(self, *events: Event) -> None:
        self._put(codec.encode_block(list(events)))


def write_kept(
    out: BinaryIO,
    kept: Sequence[tuple[Member, RollingRecording, bool]],
    target: Target,
    rate: float,
    budget: float,
    seconds: float,
) -> float:
    """Write the last `seconds` of processes (whether they came late beside each) as one recording, one after the other;
    the seconds that it has. LookupError when nothing was kept of any; OSError when it cannot be written."""
    start_ns = time.monotonic_ns() - int(seconds * 1e9)
    known = [one for one in kept if one[1].last_ns >= start_ns]
    if not known:
        raise LookupError("nothing was kept yet")
    first_ns = max(start_ns, min(rolling.first_ns for _, rolling, _ in known))

    def write(data: bytes) -> None:
        out.write(data)

    file = SeveralFile(write, target, rate, budget, first_ns)
    last_ns = first_ns
    for member, rolling, late in known:
        cut = rolling.cut(start_ns)
        number = file.process(member, late, at_ns=max(first_ns, cut.first_ns))
        for payload in cut.payloads:
            file.add(number, payload)
        last_ns = max(last_ns, cut.last_ns)
    file.end()
    out.flush()
    return (last_ns - first_ns) / 1e9


class Stream:
    """One process's stream on its way into a file. Of its events only those are looked at that tell what it costs: a
    process that is recorded is not judged. What `group.Watched` asks for."""

    def __init__(self, source: LiveSource, begin: Callable[[], int], file: SeveralFile) -> None:
        """`begin` is called when the first block has come: the process's number."""
        self._source, self._begin, self._file = source, begin, file
        self._number = 0
        self._snapshot = Snapshot(Status.WAITING)
        self._first_ns = 0
        self._failure: Exception | None = None
        self._started = threading.Event()
        self._over = threading.Event()
        self._lean = codec.lean_decoder((Stats,))
        self._thread = threading.Thread(target=self._read, name="concview-stream", daemon=True)

    def start(self, timeout_s: float = 20.0) -> None:
        """AttachError when it cannot be watched."""
        self._source.open()
        self._thread.start()
        patience = Patience(self._source, timeout_s)
        while not self._started.wait(0.2) and not self._over.is_set() and not patience.over():
            pass
        if not self._number:
            failure = self._failure or patience.error()
            self.close()
            raise failure

    def _read(self) -> None:
        try:
            for events in codec.read_blocks(self._source.stream, self._take):
                for event in events:
                    self._look(event)
                self._started.set()
        except codec.Damaged:
            self._end(Bye(0, "lost"))
        except codec.StreamError:
            self._failure = self._source.failure()
        except (OSError, ValueError) as error:  # closed under the reader, or the file cannot be written
            self._failure = error
        finally:
            self._over.set()
            self._started.set()

    def _take(self, payload: bytes) -> list[AnyEvent]:
        events = self._lean(payload)
        if not self._number:
            self._number = self._begin()
        self._file.add(self._number, payload)
        return events

    def _look(self, event: AnyEvent) -> None:
        snapshot = self._snapshot
        if isinstance(event, Hello):
            self._first_ns = event.at_ns
            self._snapshot = msgspec.structs.replace(
                snapshot, status=Status.LIVE, target=event.target, engine=event.engine, rate_hz=event.rate_hz
            )
        elif isinstance(event, Stats):
            self._snapshot = msgspec.structs.replace(
                snapshot,
                at_ns=event.at_ns,
                samples=event.samples,
                misses=event.misses,
                target_hz=event.target_hz,
                achieved_hz=event.achieved_hz,
                own_cpu_percent=event.own_cpu_percent,
                elapsed_s=(event.at_ns - self._first_ns) / 1e9,
            )
        elif isinstance(event, Bye):
            self._end(event)

    def _end(self, bye: Bye) -> None:
        status = Status.EXITED if bye.reason in ("exited", "exec") else Status.LOST
        self._snapshot = msgspec.structs.replace(
            self._snapshot, status=status, ending=bye.text or bye.reason, exit_status=bye.status
        )

    def snapshot(self) -> Snapshot:
        snapshot = self._snapshot
        if self._first_ns and not self.ended:
            passed = (time.monotonic_ns() - self._first_ns) / 1e9
            snapshot = msgspec.structs.replace(snapshot, elapsed_s=passed)
        return snapshot

    @property
    def failed(self) -> OSError | None:
        """That the file could not be written."""
        return self._failure if isinstance(self._failure, OSError) else None

    @property
    def ended(self) -> bool:
        return self._over.is_set()

    def order(self, command: Command) -> bool:
        if self.ended:
            return False
        self._source.order(command)
        return True

    def request_end(self) -> None:
        if not self.ended:
            self._source.request_end()

    def finish(self, timeout_s: float = 3.0) -> Snapshot:
        self.request_end()
        self._over.wait(timeout_s)
        return self._snapshot

    def close(self) -> None:
        self._source.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(2.0)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who is in a recording. `processes`: empty where it is of one process alone; those that could not be watched have
    no stream. `begin_ns`: its beginning."""

    processes: tuple[ProcessDef, ...]
    begin_ns: int
    broken: str = ""

    @property
    def watched(self) -> tuple[ProcessDef, ...]:
        return tuple(p for p in self.processes if not p.why)


def cast_of(path: Path) -> Cast:
    """Raises codec.StreamError when it is no recording, OSError when it cannot be opened."""
    with path.open("rb") as file:
        found = codec.contents(file)
    return Cast(tuple(_parents_first(found.processes)), found.hello.at_ns, found.broken)


def _parents_first(processes: Sequence[ProcessDef]) -> Iterator[ProcessDef]:
    """Each before those below it, which come by their age."""
    pids = {p.pid for p in processes}
    below: dict[int, list[ProcessDef]] = defaultdict(list)
    for each in sorted(processes, key=lambda p: (p.start_ticks, p.number)):
        below[each.parent if each.parent in pids and each.parent != each.pid else 0].append(each)
    todo = below.pop(0, [])[::-1]
    while todo:
        each = todo.pop()
        yield each
        todo += below.pop(each.pid, [])[::-1]
    for rest in below.values():  # parents of each other: no file of ours has that
        yield from rest


@dataclass(frozen=True, slots=True)
class Seen:
    """One process of a recording, read to its end."""

    process: ProcessDef
    snapshot: Snapshot
    ended: bool = False  #: it ended before the recording did
    why: str = ""  #: why nothing of it can be read


def read_all(path: Path, cast: Cast, rules: RuleConfig | None) -> tuple[list[Seen], across.Found]:
    """Every process that was watched, judged on the way, one after the other; then who waited for whom in another one
    at the end. OSError when it cannot be opened; ValueError where settings contradict themselves."""
    seen: list[Seen] = []
    sides: dict[int, Side] = {}
    for process in cast.watched:
        session = read_through(FileSource(path, 0.0, process.number), rules, alone=False)
        try:
            try:
                session.start(3600.0)  # nobody else can be late: a file is read as fast as this machine can
            except codec.StreamError as error:
                seen.append(Seen(process, session.snapshot(), why=str(error)))
                continue
            session.wait(1e9)
            last = msgspec.structs.replace(session.snapshot(), findings=session.fired())
            ended = last.status is Status.EXITED
            if not ended:
                sides[process.pid] = side_of(session)
        finally:
            session.close()
        seen.append(Seen(process, last, ended))
    return seen, across.look(sides)
