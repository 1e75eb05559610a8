"""What an agent inside the target says. Only in the stream when the user asked for one."""

from __future__ import annotations

import msgspec

from concview.model.events import Event

#: The name of the agent's thread, of the program's ones it is none. `agent.core`, which stands alone, gives it.
AGENT_THREAD = "concview-agent"
#: The one by which the pytest plugin reads what its watcher says. `pytest_plugin._client`, which stays light, gives it.
WATCHER_THREAD = "concview-watcher"
#: Threads of ours inside a target: none of the program's.
OUR_THREADS = frozenset({AGENT_THREAD, WATCHER_THREAD})


class AgentStatus(Event, frozen=True, tag=14):
    """The agent comes, is there, or has gone. `state`: 'asking', 'attached', 'refused', 'ended'."""

    at_ns: int
    state: str
    text: str = ""  #: why, in a sentence
    remedy: str = ""  #: the exact step that would help
    library: str = ""  #: 'gevent' or 'eventlet', where the program runs on one
    cost_percent: float = 0.0  #: CPU of the agent over the last second, of one core
    late_s: float = 0.0  #: how late its thread got the GIL after a wake-up
    window: str = ""  #: exact profiling that runs: 'yappi wall', 'yappi cpu', 'monitoring'; '' none
    code: str = ""  #: of a refusal, see `errors.Code`


class Await(msgspec.Struct, frozen=True, array_like=True):
    """One coroutine of an await chain and the line it waits at."""

    function: str
    file: str
    line: int


class TaskInfo(msgspec.Struct, frozen=True, array_like=True):
    """One asyncio task. `state`: 'running', 'ready', 'waiting', 'done'. `age_s` since the agent saw it first."""

    name: str
    state: str
    age_s: float
    chain: tuple[Await, ...]  #: the task's own coroutine first
    created_file: str = ""  #: where it was created; only known when the loop is in debug mode
    created_line: int = 0


class TaskGroup(msgspec.Struct, frozen=True, array_like=True):
    """The tasks of one coroutine function. `ended` of them did since the last report."""

    function: str
    file: str
    line: int  #: first line of the function
    count: int
    ended: int


class LoopInfo(msgspec.Struct, frozen=True, array_like=True):
    """One running event loop. `lag_s`: how late it comes to a callback; -1 not known yet."""

    tid: int
    kind: str
    count: int  #: of tasks; `tasks` holds at most the 200 oldest
    ready: int
    timers: int
    lag_s: float
    tasks: tuple[TaskInfo, ...]
    groups: tuple[TaskGroup, ...] = ()  #: the 20 with most tasks; all tasks are counted
    debug: bool = False  #: the loop is in debug mode: it remembers where tasks were created


class Tasks(Event, frozen=True, tag=15):
    at_ns: int
    loops: tuple[LoopInfo, ...]


class QueueInfo(msgspec.Struct, frozen=True, array_like=True):
    """A queue that something waits at. `most` 0: unbounded. The tids of those who wait; for asyncio queues 0s."""

    address: int
    kind: str
    size: int
    most: int
    getting: tuple[int, ...]
    putting: tuple[int, ...]
    where: Await | None = None


class PoolInfo(msgspec.Struct, frozen=True, array_like=True):
    """A ThreadPoolExecutor. `backlog`: work items that no worker has taken."""

    address: int
    name: str
    most: int
    backlog: int
    busy: tuple[int, ...]
    idle: tuple[int, ...]


class Queues(Event, frozen=True, tag=16):
    at_ns: int
    queues: tuple[QueueInfo, ...]
    pools: tuple[PoolInfo, ...]


class Pauses(Event, frozen=True, tag=17):
    """Garbage collections of the last second: (generation, how many, seconds in all, longest)."""

    at_ns: int
    rows: tuple[tuple[int, int, float, float], ...]


class Callee(msgspec.Struct, frozen=True, array_like=True):
    index: int  #: of its own row
    calls: int
    own_calls: int  #: without recursive ones
    total_s: float
    own_s: float


class CallInfo(msgspec.Struct, frozen=True, array_like=True):
    """One function in one thread, counted exactly. `index` names the row; callees refer to it."""

    index: int
    function: str
    file: str
    line: int
    calls: int
    own_calls: int
    total_s: float
    own_s: float
    tid: int  #: 0 not known, or all threads together
    callees: tuple[Callee, ...] = ()


class Calls(Event, frozen=True, tag=18):
    """Exact call counts of one window: live once a second (the largest rows only), in full at its end."""

    at_ns: int
    source: str  #: 'yappi', or 'monitoring': counts only, no times
    clock: str  #: 'wall', 'cpu' or 'none'
    seconds: float
    running: bool
    clean: bool  #: at the end: the profiler was proved to be gone
    calls: int
    dropped: int  #: rows that did not fit
    cost_share: float  #: what the counting costs the target: seconds of CPU per second; cost per call times calls
    rows: tuple[CallInfo, ...]
    #: CPU seconds that the program used in the window. 0: not measured, as in older recordings, whose cost per call was
    #: not measured in the target either.
    used_s: float = 0.0
    bare_s: float = 0.0  #: what the calls take uncounted even if they do nothing
    drag: float = 1.0  #: how many times as long code takes between its calls; above 1 on 3.11
    #: CPU per call of the program's own functions in the window, as a multiple of what it was before; told by so many
    #: functions. 0: not measured (before 3.12, or a program that does not work steadily).
    slower: float = 0.0
    slower_by: int = 0
