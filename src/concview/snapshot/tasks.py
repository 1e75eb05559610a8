"""Tasks, event loops, and what tasks share."""

from __future__ import annotations

from concview.model import Hold, Stack, TaskState, TaskWait
from concview.snapshot.base import View


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
    due_s: float | None = None  #: a sleep is over in so many seconds; any other wait is given up
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
