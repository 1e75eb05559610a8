"""Streams of tasks, made up: who does what when, in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from concview.model import (
    AnyEvent,
    AsyncObject,
    AsyncObjects,
    Capability,
    Confidence,
    Counters,
    Frame,
    FrameDef,
    Hello,
    Hold,
    HoldsDef,
    Loops,
    LoopState,
    Peer,
    Site,
    StackDef,
    Target,
    TaskDef,
    TasksGone,
    TaskState,
    TaskTick,
    TaskWait,
    TaskWaitDef,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)
from concview.model.values import CAPABILITIES

S = 1_000_000_000
LOOP, TID, PID = 0x1000, 100, 100
DATABASE = Peer("tcp", "10.0.0.1:5432")
_EPOLL = Wait(WaitKind.IO, "epoll_wait", 3, Peer("epoll", "epoll"), timed=True)
_IDLE_LOOP = (
    Frame("EpollSelector.select", "/usr/lib/python3.12/selectors.py", 468, "", "stdlib"),
    Frame("BaseEventLoop._run_once", "/usr/lib/python3.12/asyncio/base_events.py", 1949, "", "stdlib"),
    Frame("BaseEventLoop.run_forever", "/usr/lib/python3.12/asyncio/base_events.py", 639, "", "stdlib"),
    Frame("<module>", "/srv/app.py", 90, "asyncio.run(main())"),
)


def site(name: str, line: int = 10) -> Site:
    return Site(name, "/srv/app.py", line, "work", "app.py::Work")


def held(address: int, name: str, kind: str = "Lock", line: int = 10) -> Hold:
    return Hold(address, kind, site(name, line), Confidence.EXACT)


@dataclass
class Stream:
    """`task` makes one, `does` says what it does from now on, `run` lets time pass."""

    events: list[AnyEvent] = field(default_factory=list)
    at: int = 10 * S
    loop: LoopState | None = None
    objects: dict[int, AsyncObject] = field(default_factory=dict)
    loop_stack: tuple[Frame, ...] = _IDLE_LOOP
    thread_wait: Wait = _EPOLL
    failures: int = 0
    unseen: tuple[str, ...] = ()
    why: str = ""

    def __post_init__(self) -> None:
        self._ids = count(1)
        self._frames: dict[Frame, int] = {}
        self._stacks: dict[tuple[int, ...], int] = {}
        self._changes: list[int] = []
        self._awaits: list[int] = []
        self._alive: set[int] = set()
        self._seen = self._ended = 0
        self._threads_told = False
        self._told_ns = 0
        capabilities = {name: Capability(True) for name in CAPABILITIES if name not in ("agent", "calls")}
        target = Target(PID, "3.12.1", ("python", "app.py"), 1.7e9)
        self.events.append(Hello(1, "0", target, "direct", 100.0, 5.0, self.at, 1.7e9, capabilities))
        self.events.append(ThreadDef(TID, "MainThread"))
        if self.loop is None:
            self.loop = LoopState(LOOP, "asyncio", TID, True, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.01, 10)

    def frame(self, frame: Frame) -> int:
        if frame not in self._frames:
            self._frames[frame] = next(self._ids)
            self.events.append(FrameDef(self._frames[frame], frame))
        return self._frames[frame]

    def stack(self, *frames: Frame) -> int:
        ids = tuple(self.frame(f) for f in frames)
        if ids not in self._stacks:
            self._stacks[ids] = next(self._ids)
            self.events.append(StackDef(self._stacks[ids], ids))
        return self._stacks[ids]

    def task(self, name: str, function: str = "work", line: int = 1, **more: int) -> int:
        number = next(self._ids)
        self._alive.add(number)
        self._seen += 1
        first = self.frame(Frame(function, "/srv/app.py", line))
        born = self.at if self._told_ns else 0
        self.events.append(TaskDef(number, name, first, LOOP, born, **more))  # type: ignore[arg-type]
        return number

    def does(
        self,
        task: int,
        wait: TaskWait,
        line: int = 10,
        function: str = "work",
        holds: tuple[Hold, ...] = (),
        awaits: tuple[int, ...] = (),
        awaited: int = -1,
        since: int | None = None,
        inner: tuple[Frame, ...] = (),
        text: str = "",
        stack: tuple[Frame, ...] | None = None,
    ) -> None:
        at = 0
        if wait.state is not TaskState.RUNNING:
            whole = (*inner, Frame(function, "/srv/app.py", line, text or f"line {line}"))
            at = self.stack(*(whole if stack is None else stack))
        number = next(self._ids)
        self.events.append(TaskWaitDef(number, wait))
        holding = 0
        if holds:
            holding = next(self._ids)
            self.events.append(HoldsDef(holding, holds))
        began = self.at if since is None else since
        self._changes += (task, at, number, holding, began if self._told_ns else 0, 0)
        if awaits or awaited >= 0:
            self._awaits += (task, max(awaited, len(awaits)), len(awaits), *awaits)

    def end(self, *tasks: int, outcome: int = 1) -> None:
        self._alive -= set(tasks)
        self._ended += len(tasks)
        self.events.append(TasksGone(self.at, tuple(x for t in tasks for x in (t, outcome))))

    def run(self, seconds: float, step: float = 0.1) -> None:
        """Ticks of threads and tasks, and every half second the reports."""
        for _ in range(round(seconds / step)):
            self.at += round(step * S)
            changes: tuple[int, ...] = ()
            if not self._threads_told:
                self._threads_told = True
                number = next(self._ids)
                self.events.append(WaitDef(number, self.thread_wait))
                changes = (TID, self.stack(*self.loop_stack), number, 0)
            self.events.append(Tick(self.at, round(step * S), 0, False, changes))
            dt = round(step * S) if self._told_ns else 0
            self.events.append(TaskTick(self.at, dt, tuple(self._changes), tuple(self._awaits), len(self._alive)))
            self._changes, self._awaits = [], []
            if self.at - self._told_ns >= S // 2:
                self._report()

    def _report(self) -> None:
        dt = self.at - self._told_ns if self._told_ns else 0
        self._told_ns = self.at
        self.events.append(Counters(self.at, self.at / S / 100, 0.0, 1, 5, 1, (), voluntary=0, involuntary=0))
        assert self.loop is not None
        rows = () if self.why else (self.loop,)
        self.events.append(
            Loops(
                self.at,
                dt,
                rows,
                -1,
                self._seen,
                self._ended,
                self.failures,
                0,
                10,
                0,
                10,
                (),
                self.failures,
                self.why,
                "",
                self.unseen,
            )
        )
        if self.objects:
            self.events.append(AsyncObjects(self.at, tuple(self.objects.values())))
