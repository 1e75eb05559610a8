"""The JSON that `check` and `dump` promise, written down a second time on purpose: a renamed field must fail a test."""

from __future__ import annotations

import msgspec

STATES = {"running", "runnable", "gil", "lock", "io", "sleep", "idle", "unknown"}


class Target(msgspec.Struct):
    pid: int
    python: str
    command: list[str]
    started: float


class Sampling(msgspec.Struct):
    engine: str
    seconds: float
    rate_hz: float
    achieved_hz: float
    samples: int
    misses: int
    own_cpu_percent: float


class Process(msgspec.Struct):
    cpu_percent: float | None
    threads: int
    context_switches_per_s: float | None
    gil_held_percent: float | None
    gil_waiters_mean: float | None


class Thread(msgspec.Struct):
    tid: int
    name: str
    shares: dict[str, float]


class Site(msgspec.Struct):
    file: str
    line: int
    function: str


class Holder(msgspec.Struct):
    tid: int
    name: str
    percent: float
    confidence: str


class Lock(msgspec.Struct):
    id: str
    kind: str
    expression: str
    site: Site
    held_percent: float
    waiters_mean: float
    waiters_max: int
    holders: list[Holder]


class Measured(msgspec.Struct):
    name: str
    value: float
    info: float
    warn: float
    unit: str


class Stack(msgspec.Struct):
    role: str
    tid: int
    frames: list[str]


class Finding(msgspec.Struct):
    id: str
    severity: str
    score: int
    confidence: str
    title: str
    summary: str
    why: str
    fix: str
    measured: Measured
    where: list[Site]
    threads: list[int]
    stacks: list[Stack]


class Pending(msgspec.Struct):
    id: str
    needs: str


class NotApplicable(msgspec.Struct):
    id: str
    why: str
    enable: str


class Check(msgspec.Struct):
    schema: int
    concview: str
    target: Target
    sampling: Sampling
    process: Process
    threads: list[Thread]
    locks: list[Lock]
    findings: list[Finding]
    pending: list[Pending]
    not_applicable: list[NotApplicable]


class WaitingFor(msgspec.Struct):
    kind: str
    lock: str | None
    holder: int | None
    confidence: str | None
    peer: str | None


class Hold(msgspec.Struct):
    lock: str
    kind: str
    expression: str
    file: str
    line: int
    confidence: str


class Frame(msgspec.Struct):
    function: str
    file: str
    line: int


class DumpThread(msgspec.Struct):
    tid: int
    name: str
    state: str
    waiting_for: WaitingFor | None
    holds: list[Hold]
    frames: list[Frame]


class Gil(msgspec.Struct):
    held: bool | None
    holder: int | None


class Edge(msgspec.Struct):
    tid: int
    holds: str | None
    waits_for: str
    via: str = ""


class Dump(msgspec.Struct):
    schema: int
    target: Target
    gil: Gil
    threads: list[DumpThread]
    deadlocks: list[list[Edge]]
