"""The corpus run under one interpreter, watched, and what was said of its locks compared with its own diary.

The target notes on its clock when it asks for a lock, has it, is about to leave it and has left it; we note on the same
clock when each sample began and ended. A sample lies somewhere in between, so a named holder is wrong when the diary
excludes it for the whole sample, and a holder is missed when the diary guarantees it for the whole sample.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import tempfile
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from concview.analysis import graph
from concview.analysis.history import History
from concview.analysis.locks import holds_of
from concview.analysis.records import Run
from concview.collector.recorder import Recorder
from concview.engines.direct import DirectEngine
from concview.engines.pyspy import PySpyEngine
from concview.model import AnyEvent, Confidence, Hello, State, Tick, WaitKind
from concview.process.discovery import describe
from concview.source.facts import SourceFacts
from interpreters import Interpreter, target

CORPUS = Path(__file__).with_name("corpus")
_ALL = sorted(p.stem for p in CORPUS.glob("*.py") if p.stem != "diary")
#: Programs that use a library -> that library: they say NEEDS = "name".
_NEEDS = re.compile(r'^NEEDS = "(\w+)"', re.MULTILINE)
LIBRARIES = {name: found[1] for name in _ALL if (found := _NEEDS.search((CORPUS / f"{name}.py").read_text()))}
PROGRAMS = [name for name in _ALL if name not in LIBRARIES or importlib.util.find_spec(LIBRARIES[name])]
#: Not run, because the library is not installed beside this Python.
MISSING = {name: library for name, library in LIBRARIES.items() if name not in PROGRAMS}
#: Programs that run in one process: few enough that a sample of all threads stays short.
TOGETHER = 10
#: Styles in which a `with` statement of the program's own code takes the lock.
WITH = "with"


@dataclass
class Score:
    """Counts of (thread, lock, sample). `named` and so on are exact holders, `guessed` inferred ones."""

    samples: int = 0
    named: int = 0
    named_wrong: int = 0
    placed: int = 0
    placed_wrong: int = 0
    due: Counter[str] = field(default_factory=Counter)  #: surely held, by style
    seen: Counter[str] = field(default_factory=Counter)  #: of these, named exactly
    guessed_seen: Counter[str] = field(default_factory=Counter)  #: of these, at least inferred
    guessed: int = 0
    guessed_wrong: int = 0
    waits: int = 0  #: waits for a lock the diary knows
    waits_wrong: int = 0
    blocked: int = 0  #: surely blocked in the lock's futex
    blocked_named: int = 0
    other: int = 0  #: waits for something else, by the diary
    other_wrong: int = 0
    edges: int = 0  #: 'A waits for B' with exact confidence
    edges_wrong: int = 0
    unlisted: int = 0  #: locks of the library's own, not in the diary
    wrong: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)

    def add(self, other: Score) -> None:
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(value)
            else:
                setattr(self, name, mine + value)

    @property
    def precision(self) -> float:
        return share(self.named - self.named_wrong, self.named)

    @property
    def recall(self) -> float:
        """Of locks surely held in a `with`."""
        return share(self.seen[WITH], self.due[WITH])

    def row(self) -> list[str]:
        inferred = share(self.guessed_seen[WITH], self.due[WITH])
        others = sum(n for style, n in self.due.items() if style != WITH)
        told = sum(self.seen[s] + self.guessed_seen[s] for s in self.due if s != WITH)
        return [
            f"{self.precision:.3%} of {self.named}" if self.named else "none",
            f"{self.recall:.2%} of {self.due[WITH]}" if self.named else f"inferred {inferred:.1%} of {self.due[WITH]}",
            f"{share(self.guessed - self.guessed_wrong, self.guessed):.1%} of {self.guessed}",
            f"{share(told, others):.0%} of {others}",
            *(
                f"{share(right, whole):.2%} of {whole}" if self.named else "n/a"
                for right, whole in (
                    (self.waits - self.waits_wrong, self.waits),
                    (self.blocked_named, self.blocked),
                    (self.edges - self.edges_wrong, self.edges),
                    (self.other - self.other_wrong, self.other),
                )
            ),
            f"{share(self.placed - self.placed_wrong, self.placed):.2%}" if self.placed else "n/a",
        ]


HEADER = ["exact holders right", "with: recall", "inferred right", "other styles told", "waiter's lock right",
          "blocked: named", "waits-for right", "Event, join.. right", "place right"]  # fmt: skip


def share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


# ---------------------------------------------------------------- watching


def usable(python: Interpreter, names: list[str]) -> list[str]:
    """Without those whose library this interpreter cannot import: ours is installed for another version."""
    return [name for name in names if name not in LIBRARIES or _imports(python.path, LIBRARIES[name])]


@cache
def _imports(python: str, library: str) -> bool:
    command = [python, "-c", f"import {library}"]
    return subprocess.run(command, env=_environment([library]), capture_output=True, check=False).returncode == 0


def _environment(libraries: Iterable[str]) -> dict[str, str]:
    folders = [str(CORPUS)]
    for library in libraries:
        spec = importlib.util.find_spec(library)
        if spec is not None and spec.origin:
            folders.append(str(Path(spec.origin).parents[1]))
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(folders)), "PYTHONSAFEPATH": ""}


class _Straight:
    """A writer that applies events at once: what a session would make of the stream, at the moment of the sample."""

    def __init__(self, history: History) -> None:
        self._history = history

    def add(self, event: AnyEvent) -> None:
        self._history.apply(event)


@dataclass
class Sample:
    begin_ns: int
    end_ns: int
    runs: list[tuple[int, Run]]
    edges: list[graph.Edge]


def watch(
    pid: int, seconds: float, hz: float, done: Callable[[list[Sample]], object] = lambda samples: True
) -> list[Sample]:
    """Sample with the engine and everything behind it, in this process: so the moment of a sample is known. For so
    long, and then until `done`, which a busy machine may keep us waiting for."""
    history = History()
    described = describe(pid)
    recorder = Recorder(_Straight(history), SourceFacts(pid, described.started))  # type: ignore[arg-type]
    engine = DirectEngine()
    capabilities = DirectEngine.probe(pid).capabilities
    history.apply(Hello(1, "", described, "direct", hz, 100.0, time.monotonic_ns(), time.time(), capabilities))
    engine.open(described, recorder)
    samples: list[Sample] = []
    missed = 0
    try:
        end = time.monotonic() + seconds
        warm = time.monotonic() + 0.3  # names, code and source are read for the first time
        while time.monotonic() < end or (not done(samples) and time.monotonic() < end + 60):
            begin, misses = time.monotonic_ns(), engine.tally.misses
            engine.tick(begin)
            after = time.monotonic_ns()
            missed += engine.tally.misses - misses
            # A sample that could not be taken is counted as a miss in the stream and says nothing new.
            if time.monotonic() > warm and engine.tally.misses == misses:
                runs = [(t.tid, t.current) for t in history.threads.values() if t.current is not None]
                edges = graph.edges(history.threads.values(), True)
                samples.append(Sample(begin, after, runs, edges))
            time.sleep(max(0.0, 1 / hz - (time.monotonic_ns() - begin) / 1e9))
    finally:
        engine.close()
    if os.environ.get("LOCK_TRUTH_VERBOSE"):
        print(f"  missed {missed}, {engine.tally}")
    return samples


class _Late(_Straight):
    """For an engine whose ticks come later than what they tell: a sample is taken when its tick arrives."""

    def __init__(self, history: History, skip_before_ns: int) -> None:
        super().__init__(history)
        self.samples: list[Sample] = []
        self._before = 0
        self._skip = skip_before_ns

    def add(self, event: AnyEvent) -> None:
        self._history.apply(event)
        if isinstance(event, Tick):
            # A stack belongs to some moment between the tick before and the tick after.
            interval = event.at_ns - self._before if self._before else 0
            self._before = event.at_ns
            if event.at_ns > self._skip and interval:
                runs = [(t.tid, t.current) for t in self._history.threads.values() if t.current is not None]
                self.samples.append(Sample(event.at_ns - interval, event.at_ns + interval, runs, []))


def watch_with_pyspy(pid: int, seconds: float, hz: float) -> list[Sample]:
    """The same with py-spy: every holder is inferred from the source."""
    history = History()
    described = describe(pid)
    writer = _Late(history, time.monotonic_ns() + 1_000_000_000)
    recorder = Recorder(writer, SourceFacts(pid, described.started))  # type: ignore[arg-type]
    engine = PySpyEngine(hz)
    capabilities = PySpyEngine.probe(pid).capabilities
    history.apply(Hello(1, "", described, "pyspy", hz, 100.0, time.monotonic_ns(), time.time(), capabilities))
    engine.open(described, recorder)
    try:
        end = time.monotonic() + seconds + 1.0
        while time.monotonic() < end:
            begin = time.monotonic_ns()
            engine.tick(begin)
            time.sleep(max(0.0, 1 / hz - (time.monotonic_ns() - begin) / 1e9))
    finally:
        engine.close()
    return writer.samples


def run(python: Interpreter, names: list[str], seconds: float, hz: float = 150.0, pyspy: bool = False) -> Score:
    """Watch these programs for so long, and compare."""
    names = usable(python, names)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "diary.json"
        environment = _environment(LIBRARIES[name] for name in names if name in LIBRARIES)
        with target(python, CORPUS / "diary.py", str(path), *names, env=environment) as process:
            samples = watch_with_pyspy(process.pid, seconds, 100.0) if pyspy else watch(process.pid, seconds, hz)
            process.send("enough")
            assert process.line(60) == "written"
        written = json.loads(path.read_text())
    assert written["stuck"] == [], f"programs that did not end: {written['stuck']}"
    return compare(samples, Diary(written), not pyspy)


def groups() -> list[list[str]]:
    count = -(-len(PROGRAMS) // TOGETHER)
    return [PROGRAMS[i::count] for i in range(count)]


# ---------------------------------------------------------------- the diary


@dataclass
class Span:
    """One hold: perhaps from `asked` to `left`, surely from `has` to `leaves`."""

    lock: int
    asked: int
    has: int
    leaves: int
    left: int
    style: str
    file: str
    first: int  #: line of `asks`
    last: int  #: line of `has`
    function: str  #: that notes them, without its class


class Diary:
    def __init__(self, written: dict[str, Any]) -> None:
        self.holds: dict[int, list[Span]] = defaultdict(list)
        self.waits: dict[int, list[tuple[int, int, int, str]]] = defaultdict(list)  #: (from, to, object, how)
        self.asking: dict[int, list[tuple[int, int, int]]] = defaultdict(list)  #: (from, to, lock)
        self.known: dict[int, list[list[int]]] = defaultdict(list)  #: lock -> [[from, to], ...]
        self._places: set[tuple[str, int]] = set()
        self.names = {t["tid"]: t["name"] for t in written["threads"]}
        freed: dict[int, list[int]] = defaultdict(list)
        for lock, at in written["forgotten"]:
            freed[lock].append(at)
        for thread in written["threads"]:
            self._thread(thread["tid"], thread["events"])
        for spans in self.holds.values():
            for span in spans:
                ends = sorted(freed.get(span.lock, []))
                after = bisect_right(ends, span.asked)
                self.known[span.lock].append([span.asked, ends[after] if after < len(ends) else 1 << 63])

    def _thread(self, tid: int, events: list[list[Any]]) -> None:
        asked: dict[int, tuple[int, str, int]] = {}
        had: dict[int, tuple[int, int, str, str, int, int, str]] = {}
        open_: dict[int, Span] = {}
        waiting: tuple[int, int, str] | None = None
        for what, lock, how, file, line, function, at in events:
            if what == "asks":
                asked[lock] = (at, file, line)
            elif what == "has":
                begun, begun_file, first = asked.get(lock, (at, "", 0))
                if begun:
                    self.asking[tid].append((begun, at, lock))
                place = begun_file if begun_file == file else ""
                had[lock] = (begun or at, at, how, place, first, line, function)
            elif what == "leaves":
                begun, has, *where = had.pop(lock)
                span = open_[lock] = Span(lock, begun, has, at, 1 << 63, *where)  # type: ignore[arg-type]
                self.holds[tid].append(span)
                asked[lock] = (at, "", 0)  # taken again without being asked for: after Condition.wait
            elif what in ("left", "failed"):
                if lock in open_:
                    open_.pop(lock).left = at
                elif lock in asked:
                    self.asking[tid].append((asked[lock][0], at, lock))
                    if what == "left":  # a library took it and gave it back somewhere in between
                        self.holds[tid].append(Span(lock, asked[lock][0], 1 << 63, 0, at, "", "", 0, 0, ""))
                asked.pop(lock, None)
            elif what == "waits":
                waiting = (at, lock, how)
            elif what == "done" and waiting is not None:
                self.waits[tid].append((waiting[0], at, lock, waiting[2]))
        for lock, (begun, has, *where) in had.items():
            self.holds[tid].append(Span(lock, begun, has, 1 << 63, 1 << 63, *where))  # type: ignore[arg-type]
        self.holds[tid].sort(key=lambda s: s.asked)

    def spans(self, tid: int, begin: int, end: int) -> list[Span]:
        """The thread's holds that may overlap with the sample."""
        return [s for s in self.holds.get(tid, ()) if s.asked <= end and s.left >= begin]

    def notes(self, file: str, line: int) -> bool:
        """Whether some hold of the diary was taken there."""
        if not self._places:
            every = [span for spans in self.holds.values() for span in spans]
            self._places = {(s.file, line) for s in every for line in range(s.first, s.last + 1)}
        return (file, line) in self._places

    def knows(self, lock: int, at: int) -> bool:
        """Whether the address is that of a lock of the diary at that time."""
        return any(begin <= at <= end for begin, end in self.known.get(lock, ()))


# ---------------------------------------------------------------- the comparison


def compare(samples: list[Sample], diary: Diary, exact: bool = True) -> Score:
    score = Score(samples=len(samples))
    for sample in samples:
        begin, end = sample.begin_ns, sample.end_ns
        perhaps = {tid: diary.spans(tid, begin, end) for tid in diary.names}
        surely = {tid: [s for s in spans if s.has <= begin and s.leaves >= end] for tid, spans in perhaps.items()}
        for tid, run_ in sample.runs:
            if tid in perhaps:
                _holders(score, diary, diary.names[tid], sample, run_, perhaps[tid], surely[tid], exact)
                _waiter(score, diary, tid, sample, run_, perhaps, surely)
        for edge in sample.edges:
            if edge.confidence is Confidence.EXACT and edge.holder in perhaps and edge.waiter in perhaps:
                lock = edge.wait_run.wait.lock
                if diary.knows(lock, begin):
                    score.edges += 1
                    if not any(s.lock == lock for s in perhaps[edge.holder]):
                        score.edges_wrong += 1
                        score.wrong[f"edge {diary.names[edge.waiter]} -> {diary.names[edge.holder]}"] += 1
    return score


def _holders(
    score: Score,
    diary: Diary,
    name: str,
    sample: Sample,
    run_: Run,
    perhaps: list[Span],
    surely: list[Span],
    exact_seen: bool,
) -> None:
    exact: set[int] = set()
    inferred: set[tuple[str, int]] = set()
    possible = {s.lock for s in perhaps}
    for hold in holds_of(run_, exact_seen):
        site = hold.site
        if hold.confidence is Confidence.EXACT:
            if hold.lock not in possible and not diary.knows(hold.lock, sample.begin_ns):
                score.unlisted += 1
                continue
            score.named += 1
            exact.add(hold.lock)
            if hold.lock not in possible:
                score.named_wrong += 1
                score.wrong[f"{name} does not hold {site.expression} ({site.file.rpartition('/')[2]}:{site.line})"] += 1
                continue
            spans = [s for s in perhaps if s.lock == hold.lock and s.file == site.file and s.style == WITH]
            # A generator that takes it for its caller is seen at its own `with` while it runs: of that no diary.
            if any(s.function == site.function.rpartition(".")[2] for s in spans):
                score.placed += 1
                if not any(s.first <= site.line <= s.last for s in spans):
                    score.placed_wrong += 1
                    score.wrong[f"{name}: {site.expression} placed at {site.line}"] += 1
        elif site.file.startswith(str(CORPUS)) and not exact_seen and not diary.notes(site.file, site.line):
            score.unlisted += 1  # a lock taken again, where the diary says nothing
        elif site.file.startswith(str(CORPUS)):
            score.guessed += 1
            at_place = [s for s in perhaps if s.file == site.file and s.first <= site.line <= s.last]
            right = any(s.lock == hold.lock for s in perhaps) if hold.lock else bool(at_place)
            if right:
                inferred.update((s.file, s.first) for s in (perhaps if hold.lock else at_place))
            else:
                score.guessed_wrong += 1
                score.wrong[f"{name} inferred {site.expression} ({site.file.rpartition('/')[2]}:{site.line})"] += 1
    for span in surely:
        score.due[span.style] += 1
        if span.lock in exact:
            score.seen[span.style] += 1
        elif (span.file, span.first) in inferred:
            score.guessed_seen[span.style] += 1
        else:
            score.missed[f"{name} ({span.style})"] += 1


def _waiter(
    score: Score,
    diary: Diary,
    tid: int,
    sample: Sample,
    run_: Run,
    perhaps: dict[int, list[Span]],
    surely: dict[int, list[Span]],
) -> None:
    begin, end, wait, name = sample.begin_ns, sample.end_ns, run_.wait, diary.names[tid]
    asking = [lock for a, b, lock in diary.asking.get(tid, ()) if a <= end and b >= begin]
    plain = wait.via in ("", "Semaphore.acquire")
    if wait.kind is WaitKind.FUTEX and plain and wait.lock and diary.knows(wait.lock, begin):
        score.waits += 1
        if wait.lock not in asking and not any(s.lock == wait.lock for s in perhaps[tid]):
            score.waits_wrong += 1
            score.wrong[f"{name} does not wait for that {wait.lock_kind}"] += 1
    still = [lock for a, b, lock in diary.asking.get(tid, ()) if a <= begin - 2_000_000 and b >= end]
    held = {s.lock for other, spans in surely.items() if other != tid for s in spans}
    if wait.kind is WaitKind.FUTEX and len(still) == 1 and still[0] in held and run_.state is State.LOCK and plain:
        score.blocked += 1
        if wait.lock == still[0]:
            score.blocked_named += 1
        else:
            score.missed[f"{name} waits ({wait.lock_kind or 'lock'} {'another' if wait.lock else 'unknown'})"] += 1
    if wait.kind is WaitKind.FUTEX:
        for a, b, thing, how in diary.waits.get(tid, ()):
            if a <= begin - 2_000_000 and b >= end:
                score.other += 1
                if (wait.lock, wait.via) != (thing, how):
                    score.other_wrong += 1
                    score.wrong[f"{name}: {wait.via or 'nothing'} {wait.lock_kind}, not {how}"] += 1


# ---------------------------------------------------------------- printing


def table(scores: Iterable[tuple[str, Score]]) -> str:
    rows = [["Python", *HEADER]] + [[label, *score.row()] for label, score in scores]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows)


def details(score: Score, most: int = 12) -> str:
    lines = [f"    {n:5d} wrong   {what}" for what, n in score.wrong.most_common(most)]
    lines += [f"    {n:5d} missed  {what}" for what, n in score.missed.most_common(most)]
    by_style = ", ".join(
        f"{style} {share(score.seen[style], n):.1%} exact + {share(score.guessed_seen[style], n):.1%} inferred of {n}"
        for style, n in sorted(score.due.items())
    )
    return "\n".join([f"    {score.samples} samples, {score.unlisted} holds of the library's own; {by_style}", *lines])
