"""What following needs to know beside one moment: the stream so far, who was seen to use what, and the source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from concview.analysis.blame.kernel import Kernel
from concview.analysis.blame.lately import Lately, SeenSets
from concview.analysis.blame.nouns import (
    QUIET,
    End,
    Link,
    Node,
    Place,
    Root,
    Settle,
    Step,
    Via,
    called_from,
    place_of,
)
from concview.analysis.blame.tasks.moment import TaskMoment
from concview.analysis.blame.tasks.names import task_name
from concview.analysis.blame.ties import Objects
from concview.analysis.classify import via_of
from concview.analysis.known_places import MACHINERY, is_any
from concview.model import NO_WAIT, Confidence, Frame, Stack, State, Wait, WaitKind
from concview.source.wakes import File, Wakes
from concview.text import group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from concview.analysis.blame.kinds.base import Kind
    from concview.analysis.history import History
    from concview.analysis.records import Run
    from concview.analysis.tasks.records import TaskRun

#: What a wait is for by its place, whatever primitive it is built of.
_SURE = frozenset({"pool", "import", "database", "futures.wait"})
_NO_FRAME = Frame("?", "", 0)
#: Conditions and answers kept, of this while and of the one before; those that come back later are made again.
MOST_LOOKS, MOST_ANSWERS, WHILE_NS = 8_000, 50_000, 30_000_000_000
#: Sockets, pipes and locks of which it is remembered who was seen at them.
MOST_SEEN = 4_000
#: Waited for by the program's line that asks, in whatever library that waits. A lock has its name from the file that it
#: is taken in, be that a library's.
_BY_CALLER = frozenset({Via.RESOURCE, Via.ANSWER, Via.DATABASE})
#: Of more that are in the way of one, so many stand for all.
MOST_OTHERS = 64
#: Lines that are remembered to take answers out of queues.
MOST_PLACES = 500


def is_machinery(frame: Frame) -> bool:
    if frame.origin == "frozen":
        return is_any(frame, MACHINERY) or frame.file.startswith("<frozen importlib")
    return frame.origin == "stdlib" and is_any(frame, MACHINERY)


def own(frame: Frame) -> bool:
    return frame.origin in ("user", "library")


@dataclass(slots=True, eq=False)
class Look:
    """One condition (stack and wait), looked at once."""

    stack: Stack
    wait: Wait
    state: State
    reason: str
    via: str
    frame: Frame  #: the innermost that is not the machinery of a standard primitive
    place: Place
    told: Place  #: the same for people: of a line in a library the program's own that led there
    own: tuple[Frame, ...]  #: frames of the program and its libraries, innermost first
    kinds: tuple[Kind, ...] = ()
    end: Root | None = None  #: where it ends whatever the others do

    @property
    def functions(self) -> frozenset[tuple[str, str]]:
        return frozenset((f.file, f.function) for f in self.own)


class Seen:
    """Who was seen at what since anybody looked. Learned condition by condition; of ever new sockets and locks, which
    threads that stay go through, the latest ones."""

    def __init__(self) -> None:
        self.descriptors = SeenSets[str, Node](MOST_SEEN)  #: 'socket:[12]', 'pipe:[3]'
        self.writers = SeenSets[str, Node](MOST_SEEN)
        self.tcp = SeenSets[tuple[str, str], Node](MOST_SEEN)  #: (own address, other's address)
        self.getters = SeenSets[int, Node](MOST_SEEN)
        self.putters = SeenSets[int, Node](MOST_SEEN)
        self.waiters = SeenSets[int, Node](MOST_SEEN)  #: address of a lock
        self.holders = SeenSets[int, Node](MOST_SEEN)
        self.pollers = SeenSets[int, Node](MOST_SEEN)  #: descriptor of an epoll -> who waited at it
        self.listening: set[str] = set()  #: ports

    def learn(self, tid: Node, run: Run) -> None:
        for hold in run.holds:
            if hold.lock:
                self.holders.add(hold.lock, tid)
        wait = run.wait
        if wait.lock:
            if wait.via in ("Queue.get", "SimpleQueue.get"):
                self.getters.add(wait.lock, tid)
            elif wait.via == "Queue.put":
                self.putters.add(wait.lock, tid)
            else:
                self.waiters.add(wait.lock, tid)
        if wait.syscall.startswith("epoll") and wait.fd >= 0:
            self.pollers.add(wait.fd, tid)
        peer = wait.peer
        if peer is None:
            return
        if peer.kind == "tcp":
            self.tcp.add((peer.local, peer.name), tid)
            if peer.status == "LISTEN" or wait.syscall.startswith("accept"):
                self.listening.add((peer.local or peer.name).rpartition(":")[2])
        elif "[" in peer.name:
            self.descriptors.add(peer.name, tid)
            if wait.syscall in ("write", "writev", "sendto", "sendmsg"):
                self.writers.add(peer.name, tid)

    def forget(self, alive: set[Node]) -> None:
        """Drop those that are gone; called now and then."""
        for names in (self.descriptors, self.writers):
            names.keep(alive)
        self.tcp.keep(alive)
        for numbers in (self.getters, self.putters, self.waiters, self.holders, self.pollers):
            numbers.keep(alive)


@dataclass(slots=True)
class Answers:
    """Of a line that takes answers out of queues: what such a queue is called there, and functions that answer."""

    name: str
    makers: set[tuple[str, str]] = field(default_factory=set)  #: (file, function)


class World:
    """One target. `history` may be another one for each look (a look back has its own)."""

    def __init__(self, history: History, wakes: Wakes) -> None:
        self.history = history
        self.wakes = wakes
        self.seen = Seen()
        self.objects = Objects()
        self.kernel = Kernel()
        self.answers: dict[Place, Answers] = {}
        self._looks = Lately[tuple[Stack, Wait], Look](MOST_LOOKS)
        self._standing = Lately[tuple[Stack, Frame | None], Look](MOST_LOOKS)
        self._answers = Lately[object, tuple[object]](MOST_ANSWERS)
        self._turned_ns = 0
        self._answers_of = 0  #: files of source that had been read then

    @property
    def main(self) -> Node:
        return self.history.hello.target.pid if self.history.hello is not None else 0

    def learn_answer(self, place: Place, name: str, makers: set[tuple[str, str]]) -> Answers:
        if len(self.answers) >= MOST_PLACES:
            self.answers.clear()
        known = self.answers.setdefault(place, Answers(name))
        if len(known.makers) < MOST_OTHERS:
            known.makers |= makers
        return known

    def name(self, tid: Node) -> str:
        """Threads named alike have one name here: 'web' for 'web-3'; so have tasks."""
        if tid < 0:
            return task_name(self, tid)
        thread = self.history.threads.get(tid)
        return group(thread.name) if thread is not None else f"thread {tid}"

    def file(self, name: str) -> File:
        return self.wakes.file(name)

    def look(self, run: Run, kinds: Sequence[Kind]) -> Look:
        key = (run.stack, run.wait)
        known = self._looks.get(key)
        if known is None:
            known = self._looked_at(run, kinds)
            self._looks.put(key, known)
        return known

    def standing(self, stack: Stack, asks: Frame | None = None) -> Look:
        """Where a task stands: its stack alone. `asks`: the frame that waits, where that is a library's; else the
        innermost of the program's own."""
        known = self._standing.get((stack, asks))
        if known is None:
            every = tuple(f for f in stack.frames if own(f))
            frame = asks or next((f for f in every if f.origin == "user"), every[0] if every else _NO_FRAME)
            known = Look(
                stack, NO_WAIT, State.UNKNOWN, "", "", frame, place_of(frame), called_from(stack, frame), every
            )
            self._standing.put((stack, asks), known)
        return known

    def _looked_at(self, run: Run, kinds: Sequence[Kind]) -> Look:
        frames = run.stack.frames
        frame = next((f for f in frames if not is_machinery(f)), frames[0] if frames else _NO_FRAME)
        place = run.classification.via
        via = place if place in _SURE else run.wait.via or place
        via = via or (via_of(run.stack) if run.wait.kind is WaitKind.FUTEX else "")
        look = Look(
            run.stack, run.wait, run.classification.state, run.classification.reason, via, frame, place_of(frame),
            called_from(run.stack, frame),
            tuple(f for f in frames if own(f)),
        )  # fmt: skip
        look.kinds = tuple(k for k in kinds if k.applies(look))
        first = look.kinds[0] if look.kinds else None
        if first is not None and first.fixed:
            said = first.follow(Waiter(Moment(0, {}, self, kinds), 0, run, look))
            look.end = said if isinstance(said, Root) else None
        return look

    def remembered(self, key: object, make: Callable[[], object]) -> object:
        """An answer that depends on nothing that changes but the source; bounded."""
        if self._answers_of != self.wakes.uses.changes:
            self._answers_of = self.wakes.uses.changes
            self._answers.clear()
        known = self._answers.get(key)
        if known is None:
            known = (make(),)
            self._answers.put(key, known)
        return known[0]

    def turn(self, now_ns: int) -> None:
        """Now and then what has not been asked for lately is forgotten."""
        if not 0 <= now_ns - self._turned_ns < WHILE_NS:
            self._turned_ns = now_ns
            for table in (self._looks, self._standing, self._answers):
                table.turn()


class Moment:
    """All nodes at one moment, and who stands where, found when first asked for."""

    def __init__(
        self,
        at_ns: int,
        runs: Mapping[Node, Run],
        world: World,
        kinds: Sequence[Kind],
        tasks: Mapping[Node, TaskRun] | None = None,
    ) -> None:
        self.at_ns = at_ns
        self.runs = runs
        self.world = world
        self.tasks = TaskMoment(self, tasks or {})
        self._kinds = kinds
        self._cache: dict[object, list[Node]] = {}
        self._found: dict[object, object] = {}

    def look(self, node: Node) -> Look:
        """How a thread waits and where; of a task, where it stands."""
        if node < 0:
            return self.world.standing(self.tasks.runs[node].stack)
        return self.world.look(self.runs[node], self._kinds)

    def waiter(self, tid: Node) -> Waiter:
        run = self.runs[tid]
        return Waiter(self, tid, run, self.world.look(run, self._kinds))

    def answer(self, tid: Node) -> Root | Link:
        """Where this node ends, or whom it waits for."""
        if tid < 0:
            return self.tasks.answer(tid)
        run = self.runs[tid]
        look = self.world.look(run, self._kinds)
        if look.end is not None:
            return look.end
        waiter = Waiter(self, tid, run, look)
        for kind in look.kinds:
            said = kind.follow(waiter)
            if said is not None:
                return said
        return Root(End.UNEXPLAINED, look.reason or "cannot be told", look.told)

    def once(self, key: object, make: Callable[[], list[Node]]) -> list[Node]:
        """The same question of the same moment is answered once."""
        known = self._cache.get(key)
        if known is None:
            known = self._cache[key] = make()
        return known

    def remember(self, key: object, make: Callable[[], object]) -> object:
        """As `once`, of any answer."""
        try:
            return self._found[key]
        except KeyError:
            found = self._found[key] = make()
            return found

    @cached_property
    def holders(self) -> dict[int, list[Node]]:
        """Address of a lock -> who holds it, by what was read."""
        found: dict[int, list[Node]] = defaultdict(list)
        for tid, run in self.runs.items():
            for hold in run.holds:
                if hold.lock:
                    found[hold.lock].append(tid)
        return found

    @cached_property
    def inferred_holders(self) -> dict[str, list[Node]]:
        """Key of a site -> who holds it, by what the source around its lines says."""
        found: dict[str, list[Node]] = defaultdict(list)
        for tid, run in self.runs.items():
            if run.stack.holding:
                waits = run.classification.site.key if run.state is State.LOCK and run.classification.site else ""
                for key in {h.key for f in run.stack.frames for h in f.holds}:
                    if key != waits:
                        found[key].append(tid)
        return found

    @cached_property
    def waiting(self) -> dict[int, list[Node]]:
        """Address of what is waited for -> who waits for it."""
        found: dict[int, list[Node]] = defaultdict(list)
        for tid, run in self.runs.items():
            if run.wait.lock:
                found[run.wait.lock].append(tid)
        return found

    @cached_property
    def standing(self) -> dict[tuple[str, str], list[tuple[Node, int]]]:
        """(file, function) of the program and its libraries -> who is in it, at which line."""
        found: dict[tuple[str, str], list[tuple[Node, int]]] = defaultdict(list)
        for tid in self.runs:
            for frame in self.look(tid).own:
                found[frame.file, frame.function].append((tid, frame.line))
        return found


@dataclass(slots=True)
class Waiter:
    """One node at one moment, as the kinds see it."""

    moment: Moment
    tid: Node
    run: Run
    look: Look
    _same: set[Node] | None = field(default=None)

    @property
    def world(self) -> World:
        return self.moment.world

    @property
    def wait(self) -> Wait:
        return self.look.wait

    @property
    def frame(self) -> Frame:
        return self.look.frame

    @property
    def source(self) -> File:
        """Of the file in which it waits; nothing where that is the standard library's machinery."""
        return self.world.file(self.frame.file if not is_machinery(self.frame) else "")

    @property
    def same(self) -> set[Node]:
        """Those that wait as it does: at the same object, or at the same line. Itself is one of them."""
        if self._same is None:
            lock = self.wait.lock
            key = ("same", lock) if lock else ("same", self.frame)
            self._same = set(self.moment.once(key, self._alike))
            self._same.add(self.tid)
        return self._same

    def _alike(self) -> list[Node]:
        if self.wait.lock:
            return self.moment.waiting.get(self.wait.lock, [])
        at = self.frame
        there = self.moment.standing.get((at.file, at.function), ())
        return [t for t, line in there if line == at.line and self.moment.look(t).frame == at]

    def end(self, kind: End, what: str) -> Root:
        return Root(kind, what, self.look.place if kind in QUIET else self.look.told)

    def outside(self, via: Via, what: str, confidence: Confidence, end: Root) -> Link:
        """Another process has it."""
        return Link(Step(via, what, self.world.name(self.tid), self.look.told, confidence), outside=end)

    def link(
        self,
        via: Via,
        what: str,
        others: Sequence[Node],
        confidence: Confidence = Confidence.INFERRED,
        otherwise: Root | None = None,
        settle: Settle | None = None,
        key: object = None,
        told: bool = False,
    ) -> Link:
        """`told`: at the program's own line, where it waits in a library or the standard library."""
        if len(others) > MOST_OTHERS:
            others = others[:: len(others) // MOST_OTHERS + 1]
        place = self.look.told if told or via in _BY_CALLER else self.look.place
        step = Step(via, what, self.world.name(self.tid), place, confidence)
        return Link(step, others, key or (via, self.wait.lock or self.look.place), otherwise, settle)
