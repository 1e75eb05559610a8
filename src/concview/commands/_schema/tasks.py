"""Tasks, their loops, and what they share."""

from __future__ import annotations

import msgspec

from concview.commands._schema.threads import SiteOut


class SharedOut(msgspec.Struct):
    """What tasks wait at or hold. `used` of `limit` are in use (of a queue: items); null: not known. `holders`: ids of
    tasks, now."""

    id: str
    kind: str
    name: str
    library: str
    limit: int | None
    used: int | None
    waiting: int
    waiters_mean: float
    wait_s: float  #: of all waiters together
    holders: list[int]
    holder_names: list[str]
    confidence: str
    site: SiteOut | None
    puts_per_s: float | None = None
    gets_per_s: float | None = None
    backlog: int | None = None  #: of an executor: calls that no worker has taken
    threads: list[int] = []


class TaskGroupOut(msgspec.Struct):
    """Tasks of one coroutine function that do the same at the same line. `mean`: over the window."""

    function: SiteOut
    state: str
    via: str
    what: str
    at: SiteOut | None
    now: int
    mean: float
    longest_s: float
    tasks: list[int]
    holds: list[str]
    waited_for_by: int


class TasksOut(msgspec.Struct):
    """All tasks over the window; `shares` of their time by state. `unseen`: kinds of tasks that cannot be seen; `why`:
    none of them can."""

    alive: int
    shares: dict[str, float]
    groups: list[TaskGroupOut]
    more_groups: int
    objects: list[SharedOut]
    born_per_s: float | None
    ended_per_s: float
    failed: int
    unretrieved: int
    torn_share: float
    unseen: list[str]
    why: str = ""
    enable: str = ""
    left_out: int = 0


class LoopOut(msgspec.Struct):
    """An event loop over the window. Latency: how long a callback that is due waits until it runs. null: not known."""

    id: str
    kind: str
    tid: int
    thread: str
    running: bool
    tasks: int
    ready: int
    callbacks_per_s: float | None
    busy: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    latency_max_s: float | None
    late_timers_p95_s: float | None
    running_task: str = ""
    top_task: str = ""
    top_share: float = 0.0
