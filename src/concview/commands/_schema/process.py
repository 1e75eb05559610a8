"""What is said of the process and of how it was watched."""

from __future__ import annotations

import msgspec


class TargetOut(msgspec.Struct):
    pid: int
    python: str
    command: list[str]
    started: float
    inner_pid: int = 0  #: how its own PID namespace numbers it; 0 where that is `pid`
    container: str = ""  #: 'docker 0123456789ab'; empty outside of any
    pod: str = ""  #: Kubernetes' uid of the pod
    host: str = ""  #: the name of the machine it was watched from
    core: str = ""  #: the core file that it was read from; then `started` is 0, not known, and no length of time is
    core_lacks: str = ""  #: what of the threads that file lacks, in words


class GapOut(msgspec.Struct):
    """What happened from `start_s` (since the first sample) on, for `seconds`, nobody saw."""

    start_s: float
    seconds: float


class SamplingOut(msgspec.Struct):
    engine: str
    seconds: float
    rate_hz: float
    achieved_hz: float
    samples: int
    misses: int
    own_cpu_percent: float
    pyspy_cpu_percent: float  #: the part of it that py-spy took: not under the budget but under a limit of its own
    threads: int | None = None  #: how many there are, native ones included; null: not told
    #: Of how many it is known where they were in the last second. Fewer than there are: the budget has no room for all,
    #: which have their turn one after the other.
    threads_seen: int | None = None
    gaps: list[GapOut] = []  #: stretches without any sample though some were due: the longest, in the order of time


class InterpreterOut(msgspec.Struct):
    """One interpreter of a process that has several. What is told of a GIL is null where it uses the main one's."""

    id: int  #: the main one is 0
    own_gil: bool
    threads: list[int]  #: tids of those that run in it now; of the main one not told
    held: bool | None = None  #: now
    holder: int | None = None  #: tid
    waiters: int | None = None  #: now
    held_percent: float | None = None  #: over the time that was watched, as below
    waiters_mean: float | None = None


class ProcessOut(msgspec.Struct):
    cpu_percent: float | None
    threads: int
    context_switches_per_s: float | None
    gil_held_percent: float | None
    gil_waiters_mean: float | None
    interpreters: list[InterpreterOut] = []  #: empty where there is one; the GIL above is the main one's


class RefusalOut(msgspec.Struct):
    """What was asked for and could not be done. `code`: see `errors.Code`; '' where there is none."""

    reason: str
    remedy: str
    code: str


class ListeningOut(msgspec.Struct):
    """A socket of the process that listens, over the window. `waiting`: connections that nobody has accepted, now;
    `mean`, `most`: in the window; `limit`: what the queue has room for; `refused`: attempts that were turned away
    meanwhile, for it was full. `waited_s`: the longest time for which one connection was seen to wait, `oldest_s` the
    same of those that wait now: at least so long. `threads`: those that accept there, `exact` where that was seen.
    `shared`: other processes that have the socket, where that was looked for."""

    kind: str
    address: str
    waiting: int
    mean: float
    most: int
    limit: int | None
    refused: int | None
    waited_s: float
    oldest_s: float
    threads: list[int]
    exact: bool
    shared: list[int]
