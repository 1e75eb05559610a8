"""What the history of tasks is made of. Made by `history`, read by everybody, changed by nobody else."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from concview.analysis.known_places import TASK_TIMEOUTS, among
from concview.analysis.records import Record
from concview.model import AsyncObject, Frame, Hold, Loops, Outcome, Site, Stack, TaskState, TaskWait

NO_TASK_WAIT = TaskWait(TaskState.UNKNOWN)
#: Runs that one task keeps at most.
MAX_TASK_RUNS = 1_000


class TaskRun(Record):
    """One task in one condition from `start_ns` to `end_ns` (0: it lasts). Waits at the same place one after another
    are one run; `since_ns` is when the last of them began (0: before anybody looked), `waits` how many were seen."""

    start_ns: int
    stack: Stack
    wait: TaskWait
    holds: tuple[Hold, ...]
    since_ns: int = 0
    due_ns: int = 0
    end_ns: int = 0
    waits: int = 1
    awaits: tuple[int, ...] = ()  #: ids of the tasks it waits for, as far as they are known
    awaited: int = 0  #: how many it waits for in all

    @property
    def state(self) -> TaskState:
        return self.wait.state

    @property
    def limited(self) -> bool:
        """Whether it gives up by itself at some time. Older streams tell it of `wait_for` alone, by the stack."""
        if self.wait.state is TaskState.SLEEP:
            return False
        return self.due_ns != 0 or any(among(f, TASK_TIMEOUTS) for f in self.stack.frames)

    def sites(self, how: str) -> list[Site]:
        """Of queues used as pools: where its frames ask for something ('get'), or have it ('kept')."""
        return [f.checkout for f in self.stack.frames if f.checkout is not None and f.checkout.how == how]

    @property
    def began_ns(self) -> int:
        """Since when it has certainly been so: the beginning of the last wait, else when it was first seen so."""
        return self.since_ns or self.start_ns

    @property
    def leaf(self) -> Frame | None:
        """The innermost line of the program's own; where there is none, of a library."""
        leaf = self.stack.user_leaf
        if leaf is None or leaf.origin == "user":
            return leaf
        return next((f for f in self.stack.frames if f.origin == "library"), leaf)


class TaskHistory:
    """What one task did. Times on the stream's monotonic clock, nanoseconds."""

    __slots__ = (
        "awaited", "awaits", "born_ns", "current", "function", "gone_ns", "id", "interpreter", "kind", "loop", "name",
        "outcome", "parent", "runs", "seen_ns", "serves",
    )  # fmt: skip

    def __init__(self, id_: int, name: str, seen_ns: int) -> None:
        self.id, self.name, self.seen_ns = id_, name, seen_ns
        self.kind = "task"
        self.function: Frame | None = None  #: the coroutine function, with its first line
        self.loop = self.parent = self.serves = self.interpreter = self.born_ns = self.gone_ns = 0
        self.outcome = Outcome.NOT_SEEN
        self.runs: deque[TaskRun] = deque(maxlen=MAX_TASK_RUNS)
        self.current: TaskRun | None = None
        self.awaits: tuple[int, ...] = ()
        self.awaited = 0

    @property
    def alive(self) -> bool:
        return not self.gone_ns


@dataclass(frozen=True, slots=True)
class TaskKey:
    """One task at the beginning of a stretch that may be looked back to."""

    id: int
    name: str
    kind: str
    function: Frame | None
    loop: int
    parent: int
    serves: int
    interpreter: int
    born_ns: int
    seen_ns: int
    run: TaskRun | None


@dataclass(frozen=True, slots=True)
class SharedObject:
    """An object as it was reported, with the place that its report names."""

    told: AsyncObject
    place: Frame | None


@dataclass(frozen=True, slots=True)
class ObjectsReport:
    at_ns: int
    objects: dict[int, SharedObject]
    more: int


@dataclass(frozen=True, slots=True)
class Keyframe:
    """All that is needed to go on from one moment."""

    tasks: tuple[TaskKey, ...]
    loops: Loops | None
    objects: ObjectsReport | None
    more: int


NO_KEYFRAME = Keyframe((), None, None, 0)
