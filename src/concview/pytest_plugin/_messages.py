"""What the plugin and the watcher beside it tell each other: JSON, a line each, over the watcher's input and output.

Moments are of time.monotonic_ns(), which is the stream's clock.
"""

from __future__ import annotations

import msgspec


class Attach(msgspec.Struct, tag=True, frozen=True):
    """First: watch this process, which has allowed it by now."""

    pid: int
    rate: float
    settings: str | None


class TestBegan(msgspec.Struct, tag=True, frozen=True):
    test: str
    at_ns: int


class TestEnded(msgspec.Struct, tag=True, frozen=True):
    """`wants`: Findings, of what was found up to this moment."""

    test: str
    at_ns: int
    wants: bool


class Explain(msgspec.Struct, tag=True, frozen=True):
    """Who held what at the end of this time. `tids`: of these threads above all."""

    from_ns: int
    to_ns: int
    tids: tuple[int, ...] = ()


class Finish(msgspec.Struct, tag=True, frozen=True):
    pass


Asked = Attach | TestBegan | TestEnded | Explain | Finish


class Found(msgspec.Struct, frozen=True):
    """A finding. `test`: which ran when it came; '' for none."""

    rule: str
    severity: str
    title: str
    test: str
    began_ns: int  #: when that test began
    at_ns: int
    text: str  #: everything, for a report
    fails: bool = False


class Watching(msgspec.Struct, tag=True, frozen=True):
    engine: str


class Failed(msgspec.Struct, tag=True, frozen=True):
    """It cannot be watched."""

    reason: str
    remedy: str


class Deadlock(msgspec.Struct, tag=True, frozen=True):
    """Threads that can never go on. `main`: the main thread is one of them, or waits behind them without a limit."""

    test: str
    text: str
    tids: tuple[int, ...]
    exact: bool
    main: bool


class Explained(msgspec.Struct, tag=True, frozen=True):
    text: str
    threads: dict[int, str]  #: for those asked for: what each waits for


class Findings(msgspec.Struct, tag=True, frozen=True):
    """All that were found so far. `seconds`, `samples`: what that rests on; `stuck`: who is deadlocked now."""

    found: list[Found]
    seconds: float
    samples: int
    stuck: list[int]


Told = Watching | Failed | Deadlock | Explained | Findings
