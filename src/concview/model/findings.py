"""What the rules say."""

from __future__ import annotations

import enum

from concview.model.values import Confidence, Frame, Severity, Struct

#: Where findings are listed by their rules' ids, a verdict that no rule names stands under this one.
VERDICT = "verdict"


class Concern(enum.Enum):
    """What a finding can say of a wait that it is about."""

    OTHER = "other"
    #: Those that want a CPU: no name for what is in the way of somebody else.
    CPU = "cpu"
    #: Who ought to give what is waited for, and does not: it explains the wait.
    GIVER = "giver"
    #: What may go wrong one day: as information, it says nothing of how anybody gets on now.
    RISK = "risk"


class Where(Struct, frozen=True):
    file: str
    line: int
    function: str
    text: str = ""


class StackEvidence(Struct, frozen=True):
    """A stack shown as evidence. `role`: 'holder', 'waiter', 'hog', 'blocked', 'creator', ..."""

    role: str
    tid: int
    name: str
    frames: tuple[Frame, ...]  #: leaf first
    note: str = ""
    task: int = 0  #: id of the task whose await chain it is; `tid` is 0 then


class Measured(Struct, frozen=True):
    """The number that decided, beside its thresholds."""

    name: str
    value: float
    info: float
    warn: float
    unit: str
    lower: float | None = None  #: lower end of the 95 % interval, where it applies
    samples: int = 0
    episodes: int = 0


class Served(Struct, frozen=True, array_like=True):
    """In whose name threads or tasks are in something: a request, a job; where there is none, the query or call."""

    kind: str  #: 'request', 'job', 'query', 'call'
    name: str  #: 'POST /reports'
    threads: int  #: threads and tasks that served it most of that time
    seconds: float  #: of all of them together, in the window


class Finding(Struct, frozen=True):
    """An anti-pattern that fires. `subject` tells two findings of one rule apart and is stable over time."""

    id: str
    subject: str
    severity: Severity
    score: int  #: 0..100
    confidence: Confidence
    title: str
    summary: str  #: one sentence with numbers
    why: str
    fix: str
    measured: Measured
    where: tuple[Where, ...] = ()
    threads: tuple[int, ...] = ()
    stacks: tuple[StackEvidence, ...] = ()
    gain: str = ""  #: what could be won, with its assumption
    check_next: str = ""
    since_ns: int = 0
    recent: bool = False  #: no longer fires; kept for a minute
    tasks: tuple[int, ...] = ()  #: ids of tasks
    concern: Concern = Concern.OTHER
    work: tuple[Served, ...] = ()  #: in whose name these threads and tasks are at the places in `where`

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it the same finding in another run of the program, and in another version of it: rule, file and
        function; lines move, addresses and numbers of threads change."""
        if self.where:
            return (self.id, self.where[0].file, self.where[0].function)
        return (self.id, "", self.subject)

    @property
    def place(self) -> tuple[str, str, str]:
        """The same on another machine or in another folder, where only the file's name is the same."""
        rule, file, function = self.identity
        return (rule, file.rpartition("/")[2], function)


class Pending(Struct, frozen=True):
    """Not enough evidence yet."""

    id: str
    needs: str  #: 'at least 200 samples (has 40)'
    subject: str = ""


class NotApplicable(Struct, frozen=True):
    """Cannot be judged here, and what would enable it."""

    id: str
    why: str
    enable: str
