"""Who works, and on what. Made and changed by the look."""

from __future__ import annotations

from concview.cpython.aio.chain import Link
from concview.cpython.code import Place
from concview.cpython.threads import Thread
from concview.engines.direct.tasks.records import Task
from concview.labels.base import Raw
from concview.labels.reader import Candidate
from concview.labels.spans import Span
from concview.model import Label


class Owner:
    """A thread or a task, and what its stack said last."""

    __slots__ = (
        "candidates",
        "items",
        "links",
        "off_cpu",
        "places",
        "proof",
        "ran_ns",
        "raws",
        "rested",
        "serves",
        "steps",
        "sure_ns",
        "task",
        "thread",
    )

    def __init__(self, thread: Thread | None = None) -> None:
        self.thread = thread
        self.places: list[Place] | None = None  #: the walk that the candidates are of
        self.links: list[Link] | None = None
        self.task: Task | None = None
        self.candidates: tuple[Candidate, ...] = ()
        self.proof: tuple[tuple[int, bytes], ...] | None = None  #: None: nothing is known
        self.raws: list[Raw] = []
        self.serves: list[int] = []
        self.items: list[Item] = []  #: innermost first
        #: The kernel's times of a thread that was off the CPU, before `proof` was last found to be so, and now: as long
        #: as they are the same it has not run, and its own variables are what they were. b'': it ran, or is not known.
        self.rested = self.off_cpu = b""
        self.sure_ns = 0  #: when `items` was last found to be so
        self.steps = -1  #: of a task, as last seen
        self.ran_ns = 0  #: when it was last seen to have run since the look before


class Item:
    """Something that is worked on."""

    __slots__ = (
        "alike", "before", "id", "inside", "key", "label", "seen_ns", "span", "started_ns", "sure_ns", "tasks",
        "threads", "used_ns",
    )  # fmt: skip

    def __init__(self, id_: int, key: tuple[object, ...], now: int, before: bool) -> None:
        self.id, self.key, self.seen_ns, self.before = id_, key, now, before
        self.alike = False  #: the next one may look the same
        self.label: Label | None = None
        self.started_ns = self.inside = self.used_ns = self.sure_ns = 0
        self.span: Span | None = None
        self.threads: list[int] = []
        self.tasks: list[int] = []
