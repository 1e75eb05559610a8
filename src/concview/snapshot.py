"""What a view shows: one immutable picture of the target at one moment, made by the session, live or on replay.

Shares are 0..1 and sum to 1 over `model.State`; percentages are of one CPU core. A value that cannot be seen is None,
and `Snapshot.capabilities` says why and what would enable it.
"""

from __future__ import annotations

import signal
from enum import StrEnum

import msgspec

from concview.model import (
    AgentStatus,
    Calls,
    Capability,
    Confidence,
    Finding,
    Frame,
    Hold,
    NotApplicable,
    Notice,
    Peer,
    Pending,
    Queues,
    Served,
    Severity,
    Site,
    Stack,
    State,
    Target,
    Tasks,
    TaskState,
    TaskWait,
    Wait,
    WorkKind,
)
from concview.text import file_name

Shares = tuple[float, float, float, float, float, float, float, float]
NO_SHARES: Shares = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


#: Not known; exit code 0; signals that ask for an end.
_AS_WANTED = frozenset({-1, 0, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class Status(StrEnum):
    WAITING = "waiting"  #: nothing has arrived yet
    LIVE = "live"
    REPLAY = "replay"
    STOPPED = "stopped"  #: the target is stopped (SIGSTOP, a debugger)
    EXITED = "exited"  #: the target exited, or became another program; `ending` says which
    LOST = "lost"  #: the collector ended or the recording breaks off
    FINISHED = "finished"  #: the recording is at its end


class View(msgspec.Struct, frozen=True):
    """Base of the parts."""


class WakerView(View, frozen=True):
    """Who woke a thread, and how often."""

    kind: str  #: 'thread', 'interrupt' (a timer, the network), 'process' (another one), 'unknown'
    number: int  #: tid or pid; 0 of the other kinds
    name: str  #: of a thread; ready to be shown
    count: int


class WakeTimes(View, frozen=True):
    """How waits ended: who woke the thread, and how long it took from there to a CPU. Exact; quantiles to 25 %."""

    wakes: int
    median_s: float | None
    p95_s: float | None
    longest_s: float
    wakers: tuple[WakerView, ...]  #: the most often first
    brief: int  #: how often a thread woke it, and it waited again after less than 50 µs on a CPU


class PlaceWaitTimes(View, frozen=True):
    """Exact waits of a thread at one place: those that a sample fell into. Quantiles to the width of a class, 25 %."""

    state: State
    reason: str
    frame: Frame | None
    waits: int
    waited_s: float
    median_s: float | None
    p95_s: float | None
    longest_s: float
    wakers: tuple[WakerView, ...] = ()  #: who ended them, where that is seen ("wakers"); the most often first
    late_s: float | None = None  #: the median from being woken to being on a CPU
    back: int = 0  #: how often a thread woke it, and it was back in this wait after less than 50 µs on a CPU


class WaitTimes(View, frozen=True):
    """Exact waits of a thread, by the kernel's records of every switch; short ones between two samples included.

    A wait counts when it ends, with all its length: from the moment the thread left the CPU until it was on one again.
    """

    seconds: float  #: that this is of
    complete: bool  #: no record was lost
    runs: int  #: how often it came onto a CPU
    waits: int
    waited_s: float
    median_s: float | None
    p95_s: float | None
    longest_s: float
    aside: int  #: how often it was pushed aside
    aside_s: float
    places: tuple[PlaceWaitTimes, ...] = ()  #: longest waited at first; the other waits were too short to be seen
    wakes: WakeTimes | None = None  #: None: the kernel does not tell ("wakers")


class ThreadView(View, frozen=True):
    tid: int
    name: str
    native: bool  #: no Python thread state
    alive: bool
    age_s: float
    state: State  #: now
    since_s: float  #: how long it has certainly been in that state without a break
    reason: str  #: 'waits for self._lock (cache.py:41), held by worker-3', 'recv from 127.0.0.1:5432'
    shares: Shares  #: over the window
    strip: tuple[int, ...]  #: dominant State per half second, oldest first, up to the last minute; -1 before birth
    cpu_percent: float | None
    gil_held: float | None  #: share of the window in which it held the GIL
    holds_gil: bool
    switches_per_s: float | None
    voluntary_per_s: float | None
    stack: Stack
    wait: Wait
    holds: tuple[Hold, ...]  #: exact and inferred
    unsure_s: float = 0.0  #: `since_s` may be longer by so much
    since_open: bool = False  #: it was so before anybody looked: since when, the kernel does not say
    blocked_by: int = 0  #: tid of the holder of what it waits for, where known
    blocked_confidence: Confidence = Confidence.UNKNOWN
    because: str = ""  #: who and what is in its way now, followed to the end: 'sem (permit) <- rpc sleeps (x.py:7)'
    root: str = ""  #: the end alone
    waiting: int = 0  #: threads and tasks that wait now, directly or behind others, until it goes on
    interpreter: int = 0  #: id of the one that it runs in now; the main one is 0
    exact: WaitTimes | None = None  #: None: it was on no CPU, or the kernel's records cannot be had ("switches")
    #: tid of one that has what it waits for, by what `because` tells; 0: none, a task, or outside of the process.
    held_by: int = 0
    held_confidence: Confidence = Confidence.UNKNOWN
    c_lock: int = 0  #: address of the lock inside a C library that it waits for


class HolderView(View, frozen=True):
    tid: int
    name: str
    share: float  #: of the lock's held time
    confidence: Confidence


class LockView(View, frozen=True):
    key: str  #: stable identity: address, or scope and expression
    address: int
    kind: str
    site: Site
    held_share: float
    waiters_now: int
    waiters_mean: float
    waiters_max: int
    wait_s: float  #: total over all waiters in the window
    holders: tuple[HolderView, ...]
    waiting: tuple[int, ...]  #: tids now
    holder_now: int
    confidence: Confidence
    places: tuple[Site, ...] = ()  #: everywhere it is taken; `site` is one of them
    made: str = ""  #: 'cache.py:12': the assignment that makes it, where the source tells
    holds: int = 0  #: holds that were seen
    holds_ended: int = 0  #: of these, those seen from beginning to end: the quantiles are of them
    resolution_s: float = 0.0  #: the sampling interval; times below three of them are None
    hold_p50_s: float | None = None
    hold_p95_s: float | None = None
    hold_max_s: float | None = None
    hold_sure: bool = True  #: that was one hold; else it may have been given back and taken again between two samples
    waits: int = 0
    wait_mean_s: float = 0.0  #: of one wait
    wait_max_s: float = 0.0
    wait_each_s: float = 0.0  #: all waits of one waiter, on average
    doing: tuple[tuple[str, float], ...] = ()  #: what holders do -> share of the held time
    handoffs_per_s: float = 0.0
    workers: int = 0  #: threads that held it or waited for it
    speedup_cap: float | None = None  #: they can together be so many times as fast as one at most


class EdgeView(View, frozen=True):
    """`waiter` waits for `holder`. `via`: 'Thread.join' where it is no lock."""

    waiter: int
    holder: int
    key: str  #: of the lock
    what: str  #: the lock as its user wrote it
    confidence: Confidence
    via: str = ""


class ChainView(View, frozen=True):
    """Everybody who waits, directly or behind others, for one thread."""

    root: int
    text: str  #: '12 threads wait for worker-3, which waits for tcp 127.0.0.1:5432'
    edges: tuple[EdgeView, ...]  #: nearest to the root first
    cycle: tuple[int, ...]  #: the circle in which it ends; the root is its first
    exact: bool
    deadlock: bool = False  #: nobody in the circle can ever go on: no wait of it has a timeout


class PeerView(View, frozen=True):
    peer: Peer
    share: float  #: thread-seconds of I/O wait per second of the window
    waiters_now: int
    threads: tuple[int, ...]


class ListeningView(View, frozen=True):
    """A socket of the process that listens, over the window, with those that nobody has accepted yet."""

    kind: str  #: 'tcp', 'unix'
    name: str  #: its address or path
    waiting: int  #: connections in the queue, at the last look
    mean: float
    most: int  #: in the window
    limit: int  #: so many the queue has room for; -1 not told
    refused: int  #: attempts that were turned away in the window, for it was full; -1 not told
    waited_s: float  #: the longest time for which one connection was seen in the queue: it waited longer than that
    oldest_s: float  #: the same of those that wait now
    threads: tuple[int, ...]  #: those that accept there; empty: none is known to
    exact: bool  #: that was seen
    shared: tuple[int, ...]  #: other processes that have it, where that was looked for


class QueueView(View, frozen=True):
    """A queue of the target, or the work queue of a pool. Rates are per second; None: not known."""

    key: str
    name: str  #: what its users call it; '' where only library frames know it
    kind: str
    size: int
    most: int  #: its bound; 0: none
    sizes: tuple[int, ...]  #: over the last two minutes at most, oldest first
    put_rate: float | None
    get_rate: float | None
    growth: float  #: items a second it grew by all the time; 0: it does not
    putting: tuple[int, ...]  #: tids that wait for room now
    getting: tuple[int, ...]  #: tids that wait for an item now
    users: tuple[int, ...]  #: tids whose frames refer to it
    pool: bool = False
    pool_most: int = 0  #: threads it may have; 0: not known
    workers: tuple[int, ...] = ()  #: tids
    idle: int = 0  #: of these, waiting for work now
    address: int = 0


class InterpreterView(View, frozen=True):
    """One interpreter of a process that has several."""

    id: int  #: the main one is 0
    gil: int  #: id of the interpreter whose GIL it uses
    threads: tuple[int, ...]  #: tids of those that run in it now; of the main one not told
    held_share: float = 0.0  #: of its own GIL; where it has none these are 0
    holder_now: int = 0
    waiters_now: int = 0
    waiters_mean: float = 0.0
    waiters_max: int = 0

    @property
    def own_gil(self) -> bool:
        return self.gil == self.id


class GilView(View, frozen=True):
    """The main interpreter's, beside the others' where there are several."""

    available: bool
    held_share: float = 0.0
    holder_now: int = 0
    waiters_now: int = 0
    waiters_mean: float = 0.0
    waiters_max: int = 0
    collecting_share: float = 0.0
    switches_per_s: float | None = None
    interpreters: tuple[InterpreterView, ...] = ()  #: empty where there is one

    @property
    def others(self) -> tuple[InterpreterView, ...]:
        """Those beside the main one that have a GIL of their own, most waited for first."""
        own = [i for i in self.interpreters if i.id and i.own_gil]
        return tuple(sorted(own, key=lambda i: (-i.waiters_mean, -i.held_share, i.id)))

    @property
    def elsewhere(self) -> bool:
        """Whether threads wait for the GIL for longer than anybody has it, and nothing is told of other interpreters:
        theirs is a subinterpreter's, in a recording by a version that did not look at those."""
        return (
            self.available
            and not self.interpreters
            and self.waiters_mean / max(1, self.waiters_max) > self.held_share + 0.2
        )


class TaskView(View, frozen=True):
    """One task of asyncio or trio, or a greenlet, as read from memory."""

    id: int  #: ours; never used twice
    name: str
    kind: str  #: 'task', 'trio', 'greenlet'
    function: str  #: its coroutine function, with its first line
    file: str
    line: int
    loop: int  #: id of its loop
    age_s: float
    state: TaskState
    since_s: float  #: how long this wait has lasted
    since_open: bool  #: it was so before anybody looked
    reason: str
    shares: tuple[float, ...]  #: over the window, by `TaskState`
    stack: Stack  #: what it awaits, innermost first; of a running task empty: its thread has it
    wait: TaskWait
    holds: tuple[Hold, ...] = ()
    awaits: tuple[int, ...] = ()  #: ids of the tasks that it waits for, as far as they are known
    awaited: int = 0  #: how many it waits for in all
    due_s: float | None = None  #: a sleep is over in so many seconds
    blocked_by: tuple[int, ...] = ()  #: ids of the tasks that have what it waits for
    behind: int = 0  #: tasks that wait for what it holds
    because: str = ""  #: who and what is in its way, followed to the end
    root: str = ""  #: the end alone


class TaskGroupView(View, frozen=True):
    """Tasks of one coroutine function that do the same at the same line."""

    function: str
    file: str
    line: int
    state: TaskState
    via: str
    at_file: str  #: the line of the program's own where they stand
    at_line: int
    what: str  #: what they do, as of one of them
    now: int
    mean: float  #: over the window
    longest_s: float  #: of those there are now
    object: int = 0  #: id of the one thing that all of them wait for; 0: none, or several
    tasks: tuple[int, ...] = ()  #: ids, some of them
    holds: tuple[str, ...] = ()  #: what they hold
    behind: int = 0  #: tasks that wait for that


class SharedView(View, frozen=True):
    """Something that tasks share. -1 and None: not known."""

    id: int
    kind: str
    name: str  #: what its users call it, else what it is
    library: str
    limit: int
    used: int
    usage: str  #: in words
    waiting: int  #: tasks, now
    waiters_mean: float
    wait_s: float  #: of all waiters together, in the window
    held: float  #: holders on average
    holders: tuple[int, ...]  #: ids of tasks, now
    exact: bool
    file: str = ""
    line: int = 0
    function: str = ""
    put_rate: float | None = None
    get_rate: float | None = None
    backlog: int = -1
    threads: tuple[int, ...] = ()  #: of an executor: workers that run a call for a task


class LoopView(View, frozen=True):
    """One event loop over the window. None: not known, or not counted by this kind of loop."""

    id: int
    kind: str
    tid: int
    thread: str
    running: bool
    tasks: int
    ready: int
    callbacks_per_s: float | None
    busy: float | None  #: share of the time in callbacks
    p50_s: float | None  #: how long a callback that is due waits until it runs
    p95_s: float | None
    max_s: float | None
    late_s: float | None  #: how late timers are, 95 %
    task: str = ""  #: that runs now
    top: str = ""  #: the task that ran most
    top_share: float = 0.0


class AioView(View, frozen=True):
    """Tasks, loops and what tasks share: read from memory, no agent takes part."""

    alive: int
    shares: tuple[float, ...]  #: of all tasks' time over the window, by `TaskState`
    seconds: float  #: that the window covers
    loops: tuple[LoopView, ...] = ()
    groups: tuple[TaskGroupView, ...] = ()  #: holders and waiters first
    more_groups: int = 0
    tasks: tuple[TaskView, ...] = ()  #: in the order of groups, as many as are told
    objects: tuple[SharedView, ...] = ()  #: most waited for first
    born_per_s: float | None = None  #: None: the numbers in names tell nothing
    ended_per_s: float = 0.0
    failed: int = 0  #: ended with an exception, since attach
    unretrieved: int = 0  #: of these, whose exception nobody has asked for
    torn: float = 0.0  #: share of reads that were dropped because the task moved
    unseen_now: int = 0  #: tasks that changed and were not looked at, to stay within the budget
    left_out: int = 0  #: living tasks that are not followed
    unseen: tuple[str, ...] = ()  #: kinds of tasks that cannot be seen, a sentence each
    why: str = ""  #: why tasks cannot be seen though a loop is there
    enable: str = ""

    def task(self, id_: int) -> TaskView | None:
        return next((t for t in self.tasks if t.id == id_), None)


class BlameStep(View, frozen=True):
    """`waiters` cannot go on at this place before `owners` give them `what`."""

    via: str  #: 'lock', 'permit', 'resource', 'file lock', ..., 'signal', 'room', 'result', 'end', 'answer'
    what: str  #: as its user wrote it: 'self._lock', 'sem'
    who: str  #: what the waiters' names have in common
    file: str
    line: int
    function: str
    confidence: Confidence
    waiters: tuple[int, ...] = ()  #: tids
    owners: tuple[int, ...] = ()
    waiting_tasks: tuple[int, ...] = ()  #: ids of tasks, likewise
    owning_tasks: tuple[int, ...] = ()
    inside: str = ""  #: 'psycopg_pool/pool.py:887': the library's line, where file and line are the program's own
    at_a_time: float = 0.0  #: of `owners` and `owning_tasks`, on average; 0: not known


class BlameCause(View, frozen=True):
    """One end with the ways that lead to it over the same first step. Without a path: what threads do themselves."""

    family: str  #: 'taken' (held up), 'stall', 'made' (a call and its return), 'own'
    #: Of the end: 'cpu', 'starved', 'peer', 'name lookup', 'child', 'stopped process', 'file', 'retry', 'poll',
    #: 'sleep', 'idle', 'cycle', 'unexplained'...
    kind: str
    what: str  #: the end in words
    file: str
    line: int
    function: str
    share: float  #: of the time of threads that do or want something
    thread_s: float  #: thread-seconds in the window
    threads: tuple[int, ...]  #: whose time it is, most first; at most 100
    path: tuple[BlameStep, ...] = ()
    who: str = ""  #: what their names have in common
    ends: str = ""  #: the same of those at the end of the path
    exact: bool = False  #: every step was read, none inferred
    at_most: float | None = None  #: without this wait its threads do at most so many times as many rounds
    stuck_s: float = 0.0  #: some have waited so, without a break and without a time limit, for so long
    rule: str = ""  #: the finding that names it
    tasks: tuple[int, ...] = ()  #: ids of tasks whose time it is, most first; at most 100
    inside: str = ""  #: 'psycopg/connection.py:495': the library's line, where file and line are the program's own
    work: tuple[Served, ...] = ()  #: in whose name they wait
    work_ahead: tuple[Served, ...] = ()  #: and those that they wait for
    #: Of waits at connections, each of which is short, with a time limit or begun anew: for how long nothing has been
    #: sent and nothing has come there while one of them stood in this line.
    silent_s: float = 0.0
    #: Beside `at_most`: with what is known of the next thing that they would wait for; and where all of which it is not
    #: known whether it can do more at once can not.
    estimate: float | None = None
    at_least: float | None = None

    @property
    def place(self) -> str:
        return f"{file_name(self.file)}:{self.line}" if self.file else ""


class QuietView(View, frozen=True):
    """Threads with nothing to do, by their evidence."""

    kind: str  #: 'idle', 'pace', 'dormant'
    what: str
    threads: float  #: on average
    file: str = ""
    line: int = 0
    tids: tuple[int, ...] = ()
    tasks: tuple[int, ...] = ()  #: ids


class Blame(View, frozen=True):
    """Where the time of all threads of the window went, followed to the end. Shares of all thread time: `own`,
    `held_up`, `waits`, `starved`, `quiet`, `unexplained` sum to 1; those of `active` leave out what is quiet."""

    seconds: float
    threads: float  #: on average
    active: float  #: on average: that do or want something
    own: float
    held_up: float
    waits: float
    starved: float
    quiet: float
    unexplained: float
    stalled: float = 0.0  #: the part of `waits` that is no call and its return
    exact: float = 0.0  #: of the time with somebody in the way: the part of which every step was read
    unread: float = 0.0  #: of all thread time: the state could not be read
    verdict: str = (
        "none"  #: 'clear', 'held up', 'stuck', 'waits', 'starved', 'unexplained', 'idle', 'tasks unseen', ...
    )
    severity: Severity | None = None  #: of the verdict; None: nothing to look into
    rule: str = ""  #: that names what the verdict is about; '' none does
    hint: bool = False  #: that rule takes it for a hint only, and the verdict is a warning
    accepted: bool = False  #: the settings say that it is not to be reported
    sentence: str = ""  #: the verdict, for people
    more: tuple[str, ...] = ()  #: what else must be known
    still_s: float = 0.0  #: nothing has moved for so long; 0: something has
    gil_held: float = 0.0  #: the part of the window in which the GIL was held
    cpu_used: float = 0.0  #: the part of its CPUs that the process used
    causes: tuple[BlameCause, ...] = ()  #: most first
    quiets: tuple[QuietView, ...] = ()
    moments: int = 0  #: at which something changed
    sampled_moments: int = 0  #: of these, those that were followed
    tasks: float = 0.0  #: of `threads`, those that are tasks; on average

    def share(self, part: float) -> float:
        """A share of all thread time as one of the active time."""
        return part * self.threads / self.active if self.active > 0 else 0.0


class WorkView(View, frozen=True):
    """One request, job, query or call in progress."""

    id: int
    kind: WorkKind
    system: str  #: the library that told it
    name: str  #: 'GET /orders/{id}'; '' where nothing of it may be told, or is known
    missing: str  #: what of its name is not known: 'route', 'statement', 'name', 'host'; '' nothing
    trace: str  #: of a job its id, of a span the trace's; '' none that a library made
    detail: str  #: with labels = "full" only
    age_s: float
    exact: bool  #: the age is since a beginning that was read; else since it was first seen
    before: bool  #: not exact, and it was there before anybody looked: it is older by an unknown time
    threads: tuple[int, ...]
    tasks: tuple[int, ...]
    doing: str  #: what its thread or task does or waits for, and who is in its way
    state: State  #: of its thread; UNKNOWN where tasks work on it, or it cannot be told
    inside: int = 0  #: id of the work that it is a part of
    parts: tuple[int, ...] = ()  #: ids of what it consists of now
    after: bool = False  #: a request whose response has been sent
    #: Who is in its way in the words of work: 'waits for pool, ..., had by POST /reports, which has run SELECT ... for
    #: 29 s'; '' where nobody is.
    because: str = ""
    behind: tuple[int, ...] = ()  #: ids of the work in its way, the nearest first, as far as it is known
    otel_trace: str = ""  #: ids of OpenTelemetry's trace and span in which it runs, hexadecimal; '' none is known
    otel_span: str = ""


class RouteView(View, frozen=True):
    """Work of one name over the window. `p50_s`, `p95_s` of those that ended in it; None: none did."""

    kind: WorkKind
    system: str
    name: str
    missing: str
    seen: int  #: different ones, as far as looks saw them: those that are shorter than a look may not be among them
    in_flight: float  #: on average
    p50_s: float | None
    p95_s: float | None
    exact: bool  #: these are since beginnings that were read
    shares: Shares  #: of the time of its threads
    tasks_share: float  #: of its time, the part in which no thread but a task worked on it


class WorkTotal(View, frozen=True):
    """Work of one name since the beginning, as far as looks saw it; or of all names without a place of their own
    (`name` is 'other', `system` is ''). What is here only grows, while the name is here."""

    kind: WorkKind
    system: str
    name: str
    missing: str
    seen: int  #: different ones
    over: int  #: how many were seen to end
    over_s: float  #: how long those lasted, together
    busy_s: float  #: how long all of them were in flight, together
    states_s: tuple[float, ...]  #: seconds of their threads, by state
    tasks_s: float  #: for which tasks worked on them, and no thread


class WorkSummary(View, frozen=True):
    """In whose name threads and tasks work. `mode`: 'safe', 'full'."""

    mode: str
    now: tuple[WorkView, ...] = ()  #: oldest first
    routes: tuple[RouteView, ...] = ()  #: busiest first
    seconds: float = 0.0  #: of the window that `routes` are of
    looked: int = 0  #: threads and tasks
    unknown: int = 0  #: of these, those that moved while they were read: nothing is known of them
    torn: int = 0
    more: int = 0  #: in progress, and left out
    systems: tuple[str, ...] = ()  #: libraries that it knows and has seen in a stack
    totals: tuple[WorkTotal, ...] = ()  #: where they are wanted
    read_s: float = 0.0  #: how long ago that was read


class Point(View, frozen=True):
    """One half second of the process, for sparklines. None: not measured then."""

    at_ns: int
    cpu_percent: float | None
    gil_held: float | None
    gil_waiters: float | None
    threads: int
    switches_per_s: float | None
    run_delay: float | None  #: seconds of run-queue delay per second, all threads together
    rss: int
    fds: int
    states: Shares  #: of all Python threads' time


class Mark(View, frozen=True):
    """When a finding was there."""

    start_ns: int
    end_ns: int
    severity: Severity
    id: str
    title: str


class Timeline(View, frozen=True):
    """The time that was kept. Moments on the stream's clock."""

    first_ns: int = 0
    last_ns: int = 0
    detail_ns: int = 0  #: from here on everything is kept; before it sums of half seconds only
    epoch_ns: int = 0  #: add it to a moment for nanoseconds since the epoch
    points: tuple[Point, ...] = ()  #: oldest first
    marks: tuple[Mark, ...] = ()  #: oldest first


class Snapshot(View, frozen=True):
    """Everything a screen needs. `seconds` is how much of the window was observed."""

    status: Status
    at_ns: int = 0  #: stream time
    epoch: float = 0.0  #: the same moment as time.time()
    elapsed_s: float = 0.0  #: since the first sample
    ending: str = ""  #: why the stream ended, for people
    exit_status: int = -1  #: of a process that exited, as `wait` gives it; -1: not known
    target: Target | None = None
    engine: str = ""
    capabilities: dict[str, Capability] = {}
    rate_hz: float = 0.0  #: asked for
    target_hz: float = 0.0  #: what the back-off allows
    achieved_hz: float = 0.0
    budget_percent: float = 0.0
    own_cpu_percent: float = 0.0
    helper_cpu_percent: float = 0.0  #: the part of it that the budget does not steer, and what it is held to
    helper_limit_percent: float = 0.0
    threads_there: int = -1  #: native ones included; -1: not told
    threads_seen: int = -1  #: of how many it is known where they were in the last second
    own_wait_percent: float = 0.0  #: of the last second, for which the collector itself waited for a CPU
    samples: int = 0
    misses: int = 0
    repaired: int = 0
    dropped: int = 0
    doubtful: int = 0
    seconds: float = 0.0
    detail_s: float = 0.0  #: of these seconds, the last that locks, peers and calls are known of
    threads: tuple[ThreadView, ...] = ()  #: alive ones first seen first; those that ended in the window at the end
    births_per_s: float = 0.0
    gil: GilView = GilView(False)
    locks: tuple[LockView, ...] = ()  #: most waited for first
    chains: tuple[ChainView, ...] = ()  #: circles first, then the longest queue
    peers: tuple[PeerView, ...] = ()  #: most waited for first
    listening: tuple[ListeningView, ...] = ()  #: longest queue first
    depths: tuple[QueueView, ...] = ()  #: queues read from memory, those that something waits at first
    states: Shares = NO_SHARES  #: all Python threads together
    cpu_percent: float | None = None
    switches_per_s: float | None = None
    series: tuple[Point, ...] = ()  #: last two minutes, oldest first
    rss: int = 0
    fds: int = 0
    findings: tuple[Finding, ...] = ()  #: worst first; recent ones last
    pending: tuple[Pending, ...] = ()
    clear: tuple[str, ...] = ()  #: ids of the rules that were judged and found nothing
    not_applicable: tuple[NotApplicable, ...] = ()
    notices: tuple[Notice, ...] = ()  #: latest last, at most 50
    agent: AgentStatus | None = None  #: of the agent inside the target; None: none was asked for
    aio: AioView | None = None  #: tasks as read from memory; None: there are none
    tasks: Tasks | None = None  #: what it said last; its `at_ns` says when
    queues: Queues | None = None
    calls: Calls | None = None
    refusal: AgentStatus | None = None  #: what was asked of it last and could not be done
    blame: Blame | None = None  #: where all thread time went; None: not known yet
    work: WorkSummary | None = None  #: requests, jobs, queries in progress; None: not told, see `capabilities`

    @property
    def died(self) -> str:
        """How it ended, by a signal or with an error: 'was killed by SIGKILL', 'exited with code 3'. '' of one that
        lives or ended as it was asked to, and where the kernel did not tell."""
        return "" if self.exit_status in _AS_WANTED else self.ending.removeprefix("the target ")

    def thread(self, tid: int) -> ThreadView | None:
        return next((t for t in self.threads if t.tid == tid), None)
