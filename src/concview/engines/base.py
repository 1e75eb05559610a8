"""What an engine is: something that turns moments into events, and says beforehand what it can see.

The collector owns the clock, the stream and the back-off; an engine only looks. `Recorder` (collector side) interns
what an engine found and writes it; engines see it as a `sink.Sink`, so that they can be tried alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from concview.errors import Code, Refusal
from concview.model import Capability, Target
from concview.sink import Sink


@dataclass(slots=True)
class Tally:
    """What an engine counts of its own work: totals since the start."""

    samples: int = 0
    misses: int = 0
    repaired: int = 0
    dropped: int = 0
    doubtful: int = 0
    system_calls: int = 0
    gil_switches: int = -1  #: how often the GIL went to another thread, as the interpreter counts; -1: not seen


@dataclass(frozen=True, slots=True)
class Probe:
    """What an engine says of a process before it attaches. `usable` False: `refusal` says the rest."""

    engine: str
    usable: bool
    why: str = ""
    enable: str = ""
    python: str = ""
    free_threaded: bool = False
    capabilities: dict[str, Capability] = field(default_factory=dict)
    code: Code = Code.UNKNOWN  #: of why it is not usable

    @property
    def refusal(self) -> Refusal:
        return Refusal(self.why, self.enable, self.code)

    @classmethod
    def refused(cls, engine: str, refusal: Refusal) -> Probe:
        return cls(engine, False, refusal.reason, refusal.remedy, code=refusal.code)


class Look(Protocol):
    """Something that is looked for now and then, beside the samples: as often as the budget allows."""

    name: str
    every_ns: int  #: how often it would like to have its turn

    def look(self, at_ns: int, allowed_ns: int) -> bool:
        """Look for about `allowed_ns` of CPU time. False: there was more than could be looked at; the next turn, which
        comes as soon as it can be afforded, goes on there."""
        ...


class Engine(Protocol):
    """One way of looking at the Python side of a process.

    Life: `probe(pid)` (static, read-only, cheap) -> `open` -> `tick` at jittered moments -> `close`.
    `tick` raises TargetGone when there is nothing left to read. It must not block longer than a tick may last.
    """

    name: ClassVar[str]
    #: Share of a core that processes of its own are held to, which the budget does not steer; 0: it has none.
    HELPER_CPU: ClassVar[float]
    tally: Tally
    #: What it looks for beside its samples; complete when it is open.
    looks: list[Look]
    #: Set before `open`: nothing is to be opened that costs the process anything.
    gentle: bool
    #: CPU time that the next tick may take, nanoseconds; 0: no bound. An engine that can look at a part does so.
    room_ns: int
    #: What may be spent in all, as a share of a core; 0: not bounded. What is done now and then keeps to its part.
    budget: float
    #: The budget does not let the asked rate be kept: what is looked at beside threads takes a smaller part of it.
    slowed: bool
    #: Most threads have not been looked at yet: it has no room for that.
    filling: bool
    #: For a while no thread has been on a CPU, and it would be known if one had: moments may be let pass.
    resting: bool

    @classmethod
    def probe(cls, pid: int) -> Probe: ...

    def open(self, target: Target, sink: Sink) -> None: ...

    def tick(self, at_ns: int) -> None: ...

    def catch_up(self, moments: list[int]) -> None:
        """Moments that were let pass since the last tick because it was `resting`, in order: those until which nobody
        was on a CPU become ticks of what was there."""
        ...

    def helper_cpu_seconds(self) -> float:
        """What the processes of its own have used since `open`."""
        ...

    def coverage(self, now_ns: int) -> tuple[int, int, int]:
        """Since the last call: (how many threads there are, of how many it was known where they were, stacks read); -1
        where that is not told."""
        ...

    def close(self) -> None:
        """Leave the target as it was; end every child process of ours."""
        ...
