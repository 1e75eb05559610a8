"""Where all time went."""

from __future__ import annotations

from concview.model import Confidence, Served, Severity
from concview.snapshot.base import View
from concview.text import file_name


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
