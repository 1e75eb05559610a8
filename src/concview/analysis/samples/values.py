"""What slices consist of: threads, what they do, who is in their way."""

from __future__ import annotations

from dataclasses import dataclass, field

from concview.analysis.classify import Classification
from concview.analysis.work import IN_NOBODYS_NAME, Doing
from concview.model import OUR_THREADS, STATES, Confidence, Site, Stack, State, Wait


@dataclass(frozen=True, slots=True)
class LockName:
    """A lock as a waiter or a holder knows it. `key`: its address, or its place in the source where that is all."""

    key: str
    kind: str
    exact: bool  #: the object itself is known
    site: Site | None
    #: By which those that wait for it may know it, as far as they do not depend on what is seen later.
    keys: tuple[str, ...]
    names: dict[str, str] = field(compare=False)  #: those of all locks, by key: most are named by their holders

    @property
    def name(self) -> str:
        """'self._lock (cache.py)', or 'Lock 0x7f..' as long as nobody was seen to call it something."""
        return self.names.get(self.key) or f"{self.kind or 'lock'} {self.key}"


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """What a thread does. One object for equal ones; compared by identity."""

    state: State
    stack: Stack
    wait: Wait
    verdict: Classification
    lock: LockName | None  #: that it waits for
    held: tuple[LockName, ...]  #: one object for equal ones
    wanted: bool  #: by the selection
    plain: bool  #: it waits for no thread that could be named, and holds nothing
    #: Of a task: its own state, of which there are more than of threads, and what it waits for beside locks and peers.
    told: tuple[str, str] | None = None
    doing: Doing = IN_NOBODYS_NAME

    @property
    def word(self) -> str:
        """The state's name."""
        return self.told[0] if self.told is not None else STATES[self.state]

    @property
    def detail(self) -> str:
        """What it waits for, in a few words: the lock, or where the call leads. Empty when that is not known."""
        if self.lock is not None:
            return self.lock.name
        peer = self.wait.peer
        if peer is not None:
            if not peer.known_as:
                return peer.described
            return peer.shown if peer.name.startswith(peer.known_as) else f"{peer.known_as} {peer.shown}"
        if self.told is not None:
            return self.told[1]
        if self.state is State.LOCK and self.verdict.via == "native":
            return self.verdict.reason.removeprefix("waits for ")
        if self.state in (State.LOCK, State.IDLE):
            return self.verdict.via
        return self.wait.syscall if self.state is State.IO else ""


@dataclass(slots=True, eq=False)
class SampledThread:
    """One thread from its first to its last sample. A tid that is used again is another one."""

    tid: int
    name: str
    native: bool = False
    started_ns: int = 0
    gone_ns: int = 0
    wanted: bool = True
    pid: int = 0  #: of its process, in a recording of several
    label: str = ""  #: what begins its name there: 'worker 2 (4712): '
    alias: str = ""  #: of a task: as the program calls it
    #: What it does now, since when, and who is in its way. For `Samples` only.
    now: Activity | None = None
    since_ns: int = 0
    since_tick: int = 0
    behind: Blocker | None = None
    doing: Doing = IN_NOBODYS_NAME
    blocks: dict[SampledThread, None] = field(default_factory=dict)
    #: It as a blocker: as was read, or as is concluded.
    exactly: Blocker = field(init=False)
    perhaps: Blocker = field(init=False)

    def __post_init__(self) -> None:
        self.exactly, self.perhaps = Blocker(self, Confidence.EXACT), Blocker(self, Confidence.INFERRED)

    @property
    def counts(self) -> bool:
        """One of the program's own Python threads."""
        return not self.native and self.own_name not in OUR_THREADS

    @property
    def own_name(self) -> str:
        """Without the process's."""
        return self.name[len(self.label) :]


@dataclass(frozen=True, slots=True, eq=False)
class Blocker:
    """The thread at the other end of a wait. One object for equal ones."""

    thread: SampledThread
    confidence: Confidence


#: thread, from, to, what it did, who was in its way (or, from the holder's side, who waited), how many samples saw it.
SampledSlice = tuple[SampledThread, int, int, Activity, "Blocker | None", int]
