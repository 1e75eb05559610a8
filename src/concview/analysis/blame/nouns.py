"""The nouns of blame: an end, a step on the way to it, a link to others, and a part of one thread's moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from concview.model import Confidence, Frame, Stack
from concview.text import file_name

#: Something that makes progress, or does not: a thread by its tid. Others (tasks) may take numbers no thread has.
Node = int


class End(StrEnum):
    """What a thread's own condition is in the end."""

    CPU = "cpu"  #: runs
    STARVED = "starved"  #: wants a CPU, has none
    PEER = "peer"  #: another process, over a socket or a pipe
    LOOKUP = "name lookup"  #: a name server, inside getaddrinfo() and its like
    CHILD = "child"  #: a child process
    STOPPED = "stopped process"  #: another process, which a signal, a debugger or its cgroup keeps from running
    FILE = "file"  #: a disk or a device
    MEMORY = "memory"  #: more than its cgroup may have
    NATIVE = "native"  #: inside a C library, for something of its own: which library was read, for what was not
    RETRY = "retry"  #: a pause between two tries of what fails
    POLL = "poll"  #: a pause between two looks whether something has come
    SLEEP = "sleep"  #: a sleep that somebody's work contains
    IDLE = "idle"  #: no work, with evidence
    PACE = "pace"  #: a pause of its own choice
    DORMANT = "dormant"  #: waits since before anybody looked, and nobody is on the way to wake it
    CYCLE = "cycle"  #: those that it waits for wait for it
    NOBODY = "nobody"  #: what it waits for was looked for in all of the process, and nobody is left to give it
    UNEXPLAINED = "unexplained"  #: a row of its own; never spread over the others


#: Costs nobody anything, unless somebody waits for it.
QUIET = frozenset({End.IDLE, End.PACE, End.DORMANT})


class Via(StrEnum):
    """What it is that another has, or has yet to give."""

    LOCK = "lock"
    PERMIT = "permit"
    RESOURCE = "resource"  #: something out of a pool, whatever that is built of
    FILE_LOCK = "file lock"
    DATABASE = "database lock"
    NATIVE = "native lock"  #: of a C library, which records who has it
    IMPORT = "import lock"
    GIL = "gil"
    OBJECT = "object lock"  #: in the head of an object, in builds without a GIL
    STOP = "stop"  #: all threads are stopped, in builds without a GIL
    STOPPING = "stopping"  #: all threads are to stop, and not all have
    SIGNAL = "signal"  #: an Event, a Condition
    BARRIER = "barrier"
    ROOM = "room"  #: in a full queue
    RESULT = "result"  #: of a future
    END = "end"  #: of a thread (join), of work in a queue (Queue.join)
    TURN = "turn"  #: in an event loop that is in another callback
    ANSWER = "answer"  #: over a socket or pipe whose other end is in this process


#: Somebody else has it.
TAKEN = frozenset(
    {
        Via.LOCK,
        Via.PERMIT,
        Via.RESOURCE,
        Via.FILE_LOCK,
        Via.DATABASE,
        Via.NATIVE,
        Via.IMPORT,
        Via.GIL,
        Via.OBJECT,
        Via.STOP,
    }
)
#: Somebody else has yet to make it, and it is no plain call and return.
STALLS = frozenset({Via.SIGNAL, Via.BARRIER, Via.ROOM, Via.TURN, Via.STOPPING})


class Family(StrEnum):
    """Of a path: what it means that somebody waits so."""

    OWN = "own"  #: nobody in the program is in the way
    TAKEN = "taken"  #: somewhere on it something is had by another: held up
    STALL = "stall"
    MADE = "made"  #: a call and its return


class Place(NamedTuple):
    """`inside`: the library's line, where `file` and `line` are the program's own that called it."""

    file: str
    line: int
    function: str
    inside: str = ""

    @property
    def short(self) -> str:
        """'semN.py:7'."""
        return f"{file_name(self.file)}:{self.line}" if self.file else ""


NOWHERE = Place("", 0, "")


def place_of(frame: Frame | None) -> Place:
    return Place(frame.file, frame.line, frame.function) if frame is not None else NOWHERE


def called_from(stack: Stack, frame: Frame) -> Place:
    """The place of a frame. Of one in a library the program's own line that led there: a driver's line is the same for
    every query. A program without a line of its own there keeps the library's."""
    mine = stack.user_leaf
    if frame.origin not in ("library", "stdlib") or mine is None or mine.origin != "user":
        return place_of(frame)
    folder, _, file = frame.file.rpartition("/")
    return Place(mine.file, mine.line, mine.function, f"{folder.rpartition('/')[2]}/{file}:{frame.line}".lstrip("/"))


class Other(NamedTuple):
    """At the other end of which descriptor a path ends: what it is called is known better later (`PeerNames`)."""

    kind: str  #: 'tcp', 'unix', 'pipe', 'socket'
    key: str  #: 'tcp 127.0.0.1:5432'; '[12]', the inode of a descriptor of which no address is known; '' nothing is
    named: str = ""  #: as it was called then, without its process; '' nothing but its kind was known
    does: str = ""  #: what stands behind the name: ', which does not read what it is sent'
    pid: int = 0  #: of which process that is said; 0: of none in particular


class Root(NamedTuple):
    """Where a path ends. `what` in words, without the place: 'sleeps', 'tcp 127.0.0.1:5432'."""

    kind: End
    what: str
    place: Place = NOWHERE
    other: Other | None = None


class Step(NamedTuple):
    """`who` (threads named alike) cannot go on at `place` before somebody else gives it `what`."""

    via: Via
    what: str
    who: str
    place: Place
    confidence: Confidence = Confidence.INFERRED


class Part(NamedTuple):
    """A part of one thread's moment. The weights of one thread's parts sum to 1.

    `nodes` are those that were found in the way, one for each step (none for the last where that leads out of the
    process), `owners` all that are in the way of the first one; they do not tell parts apart.
    """

    weight: float
    root: Root
    path: tuple[Step, ...] = ()
    nodes: tuple[Node, ...] = ()
    owners: tuple[Node, ...] = ()


#: Looks at what was found of those whom somebody waits for: the end that it is itself after all, or None.
Settle = Callable[[Sequence["Part"]], Root | None]


@dataclass(slots=True)
class Link:
    """It waits for `others`: an equal part for each of them.

    `outside`: nobody of this process has it; the path ends there, behind this step.

    Without either, what was found under the same `key` a moment ago is believed (at a hand-over nobody seems to have
    the thing), and else `otherwise` is where it ends. `settle` may look at what was found of the others and say that it
    is an end after all (None: it is not).

    `alone`: what it is itself, where those that wait for it see what it waits for: who minds tasks that go on is idle,
    and may have a lock that is missing elsewhere until they end. In a circle it is one of those that wait.
    """

    step: Step
    others: Sequence[Node] = ()
    key: object = None
    otherwise: Root | None = None
    settle: Settle | None = None
    outside: Root | None = None
    alone: Root | None = None


@dataclass(slots=True)
class Row:
    """One root and path, added up. Thread-nanoseconds by thread; the threads in the way, by step."""

    root: Root
    path: tuple[Step, ...]
    ns: dict[Node, int] = field(default_factory=dict)
    owners: list[set[Node]] = field(default_factory=list)
    #: Nanoseconds times those in the way of the first step at that moment: over time there are more than at a time.
    had_ns: int = 0

    @property
    def total(self) -> int:
        return sum(self.ns.values())


def family(path: Sequence[Step]) -> Family:
    if not path:
        return Family.OWN
    ways = {step.via for step in path}
    if ways & TAKEN:
        return Family.TAKEN
    return Family.STALL if ways & STALLS else Family.MADE


def exact(path: Sequence[Step]) -> bool:
    """A path is as exact as its weakest step; without steps it is what was read of the thread itself."""
    return all(step.confidence is Confidence.EXACT for step in path)


def quiet(root: Root, path: Sequence[Step]) -> bool:
    """Someone else's idleness at the end of a path is not quiet."""
    return root.kind in QUIET and not path
