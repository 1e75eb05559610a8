"""Histories written by hand: threads, what they do when, and a judge that looks at them as the session does.

scene = Scene()
a = scene.thread("web-0")
scene.play(3, lambda at: scene.do(a, [frame("work")], RUNNING))
scene.judgement.findings
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from concview.analysis.history import History
from concview.analysis.window import Window
from concview.catalogue.base import Rule
from concview.catalogue.judge import Judge, Judgement
from concview.config import RuleConfig
from concview.model import (
    CAPABILITIES,
    Capability,
    Confidence,
    Counters,
    Finding,
    Forget,
    Frame,
    FrameDef,
    Hello,
    Hold,
    HoldsDef,
    Peer,
    Site,
    StackDef,
    Target,
    ThreadCounters,
    ThreadDef,
    ThreadGone,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)

START_NS = 1_000_000_000_000
RUNNING = Wait(WaitKind.RUNNING)
GIL = Wait(WaitKind.GIL, "futex")
SLEEP = Wait(WaitKind.SLEEP, "clock_nanosleep")
SELECT = Wait(WaitKind.IO, "epoll_wait", 5, Peer("epoll", "epoll"))
DB = Peer("tcp", "127.0.0.1:5432", status="ESTABLISHED")


def frame(
    function: str,
    line: int = 1,
    file: str = "/srv/app.py",
    origin: str = "user",
    text: str = "",
    holds: tuple[Site, ...] = (),
    acquires: Site | None = None,
    checkout: Site | None = None,
) -> Frame:
    return Frame(function, file, line, text, origin, holds, acquires, checkout)


def stdlib(function: str, file: str, line: int = 1) -> Frame:
    return Frame(function, f"/usr/lib/python3.13/{file}", line, "", "stdlib")


def recv(fd: int = 7, peer: Peer | None = DB) -> Wait:
    return Wait(WaitKind.IO, "recvfrom", fd, peer)


def waits_for(address: int = 0, timed: bool = False, via: str = "", kind: str = "Lock") -> Wait:
    return Wait(WaitKind.FUTEX, "futex", timed=timed, lock=address, lock_kind=kind if address else "", via=via)


def site(
    expression: str = "LOCK", line: int = 10, function: str = "work", scope: str = "app.py", how: str = "with"
) -> Site:
    return Site(expression, "/srv/app.py", line, function, scope, how)


def holds(address: int, of: Site, kind: str = "Lock", confidence: Confidence = Confidence.EXACT) -> tuple[Hold, ...]:
    return (Hold(address, kind, of, confidence),)


LOOP = (
    stdlib("BaseEventLoop._run_once", "asyncio/base_events.py", 1900),
    stdlib("BaseEventLoop.run_forever", "asyncio/base_events.py", 640),
    stdlib("Runner.run", "asyncio/runners.py", 118),
    frame("<module>", 60),
)
IDLE_LOOP = (stdlib("EpollSelector.select", "selectors.py", 468), *LOOP)


def in_loop(*frames: Frame) -> list[Frame]:
    """A stack in which the event loop has called a callback; leaf first."""
    return [*frames, stdlib("Handle._run", "asyncio/events.py", 84), *LOOP]


class Scene:
    """A process that is sampled. Time starts at 0 s."""

    def __init__(
        self,
        hz: float = 100.0,
        cpus: float = 2.0,
        without: Sequence[str] = (),
        free_threaded: bool = False,
        rules: Mapping[str, Rule] | None = None,
        config: RuleConfig | None = None,
        target: Target | None = None,
    ) -> None:
        self.history = History()
        self.judge = Judge(rules, config)
        self.judgement = Judgement()
        self.log: list[tuple[float, Judgement]] = []
        self.now_ns = START_NS
        self._dt = int(1e9 / hz)
        self._ids: dict[object, int] = {}
        self._now: dict[int, tuple[int, int, int]] = {}
        self._told: dict[int, tuple[int, int, int]] = {}
        self._waits: dict[int, Wait] = {}
        self._cpu: dict[int, int] = {}
        self._books = True
        self._delay: dict[int, int] = {}
        self._counted_ns = START_NS
        self._evaluated_ns = START_NS
        self._next_tid = 100
        self.collecting = False
        self.native = False  #: the holder of the GIL is in native code that does not let go
        self.keeps = 0  #: this thread has the GIL, whatever it does
        self._holder = 0
        self._switches = 0
        self.fds = 10
        self.unseen = 0  #: threads that the kernel counts, and that nobody has had room to look at yet
        self._voluntary: dict[int, int] = {}
        self._starved: dict[int, float] = {}
        self._throttled = False
        capabilities = {
            n: Capability(n not in without, *(() if n not in without else ("cannot be seen", "enable it")))
            for n in CAPABILITIES
        }
        target = target or Target(1, "3.13.0", ("python", "app.py"), 0.0, free_threaded=free_threaded, cpus=cpus)
        self.history.apply(Hello(1, "0", target, "direct", hz, 5.0, START_NS, 0.0, capabilities))
        self._count()

    # ------------------------------------------------------------ what happens

    def thread(self, name: str, started_s: float = -100.0) -> int:
        self._next_tid += 1
        tid = self._next_tid
        self.history.apply(ThreadDef(tid, name, self.now_ns + int(started_s * 1e9)))
        self._cpu[tid] = self._delay[tid] = 0
        return tid

    def gone(self, tid: int) -> None:
        self.history.apply(ThreadGone(tid, self.now_ns))
        for known in (self._now, self._told, self._waits, self._cpu, self._delay):
            known.pop(tid, None)

    def do(self, tid: int, frames: Sequence[Frame], wait: Wait = RUNNING, held: tuple[Hold, ...] = ()) -> None:
        """From the next tick on, the thread is there."""
        stack = self._define(("stack", tuple(frames)), lambda i: StackDef(i, tuple(map(self._frame, frames))))
        waiting = self._define(("wait", wait), lambda i: WaitDef(i, wait))
        holding = self._define(("holds", held), lambda i: HoldsDef(i, held)) if held else 0
        self._now[tid] = (stack, waiting, holding)
        self._waits[tid] = wait

    def forget(self) -> None:
        """All ids are void from here on, as after a table in the collector grew too large."""
        self.history.apply(Forget(self.now_ns))
        self._ids.clear()
        self._now.clear()
        self._told.clear()

    def _frame(self, one: Frame) -> int:
        return self._define(("frame", one), lambda i: FrameDef(i, one))

    def _define(self, key: object, event: Callable[[int], object]) -> int:
        if key not in self._ids:
            # Reserve first: a definition may need others.
            number = self._ids[key] = len(self._ids) + 1
            self.history.apply(event(number))  # type: ignore[arg-type]
        return self._ids[key]

    def switch(self, tid: int) -> None:
        """The thread goes to sleep in the kernel once."""
        self._voluntary[tid] = self._voluntary.get(tid, 0) + 1

    def used(self, tid: int, cpu_ns: int) -> None:
        """The thread was on a CPU between two ticks."""
        self._cpu[tid] += cpu_ns

    def starve(self, tid: int, share: float, throttled: bool, booked: bool = True) -> None:
        """While it runs the thread gets no CPU for this share of the time, which the kernel books at once or never."""
        self._starved[tid] = share
        self._books = booked
        self._throttled = throttled

    # ------------------------------------------------------------ time

    @property
    def at(self) -> float:
        return (self.now_ns - START_NS) / 1e9

    def play(self, seconds: float, script: Callable[[float], None] | None = None) -> Judgement:
        """Let so much time pass; `script(at)` is called before every tick."""
        end = self.now_ns + int(seconds * 1e9)
        while self.now_ns + self._dt <= end:
            if script is not None:
                script(self.at)
            self._tick()
        return self.judgement

    def _tick(self) -> None:
        self.now_ns += self._dt
        changes: list[int] = []
        for tid, now in self._now.items():
            if self._told.get(tid) != now:
                changes.extend((tid, *now))
                self._told[tid] = now
        running = [tid for tid, wait in self._waits.items() if wait.kind is WaitKind.RUNNING]
        for tid in running:
            queued = int(self._dt * self._starved.get(tid, 0.0))
            self._delay[tid] += queued if self._books else 0
            self._cpu[tid] += self._dt - queued
        holder = self.keeps or (running[0] if running else 0)
        if not self.native or holder != self._holder:
            self._switches += 1
        self._holder = holder
        self.history.apply(Tick(self.now_ns, self._dt, holder, self.collecting, tuple(changes), self._switches))
        if self.now_ns - self._counted_ns >= 200_000_000:
            self._count()
        step = 250_000_000 if self.at < 10 else 1_000_000_000
        if self.now_ns - self._evaluated_ns >= step:
            self._evaluated_ns = self.now_ns
            self.judgement = self.judge.evaluate(Window(self.history))
            self.log.append((self.at, self.judgement))

    def _count(self) -> None:
        self._counted_ns = self.now_ns
        threads = tuple(
            ThreadCounters(t, c, self._delay[t], self._voluntary.get(t, 0), 0) for t, c in self._cpu.items()
        )
        cpu = sum(self._cpu.values()) / 1e9
        throttled = self.at * 0.5 if self._throttled else 0.0
        self.history.apply(
            Counters(
                self.now_ns, cpu, 0.0, 1 << 20, self.fds, len(threads) + self.unseen, threads, throttled_s=throttled
            )
        )

    # ------------------------------------------------------------ what was said

    def found(self, rule_id: str) -> Finding | None:
        """The finding that stands now."""
        return next((f for f in self.judgement.findings if f.id == rule_id and not f.recent), None)

    def first(self, rule_id: str, severity: str = "") -> float | None:
        """When the rule first fired."""
        for at, judgement in self.log:
            if any(f.id == rule_id and severity in ("", f.severity) for f in judgement.findings):
                return at
        return None

    def ever(self) -> set[str]:
        """Ids of all rules that fired at any time."""
        return {f.id for _, judgement in self.log for f in judgement.findings}
