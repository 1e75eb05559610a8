"""What a view shows: one immutable picture of the target at one moment, made by the session, live or on replay.

Shares are 0..1 and sum to 1 over `model.State`; percentages are of one CPU core. A value that cannot be seen is None,
and `Snapshot.capabilities` says why and what would enable it.
"""

from __future__ import annotations

import signal

import msgspec

from concview.model import (
    AgentStatus,
    Calls,
    Capability,
    Finding,
    NotApplicable,
    Notice,
    Pending,
    Queues,
    Target,
    Tasks,
)
from concview.snapshot.base import NO_SHARES, Shares, Status, View
from concview.snapshot.blame import Blame, BlameCause, BlameStep, QuietView
from concview.snapshot.locks import ANOTHER_PROCESS, ChainView, EdgeView, HolderView, LockView
from concview.snapshot.resources import GilView, InterpreterView, ListeningView, PeerView, QueueView
from concview.snapshot.tasks import AioView, LoopView, SharedView, TaskGroupView, TaskView
from concview.snapshot.threads import PlaceWaitTimes, ThreadView, WaitTimes, WakerView, WakeTimes
from concview.snapshot.time import Gap, Mark, Point, Timeline
from concview.snapshot.work import RouteView, WorkSummary, WorkTotal, WorkView

__all__ = [
    "ANOTHER_PROCESS",
    "NO_SHARES",
    "AioView",
    "Blame",
    "BlameCause",
    "BlameStep",
    "ChainView",
    "EdgeView",
    "Gap",
    "GilView",
    "HolderView",
    "InterpreterView",
    "ListeningView",
    "LockView",
    "LoopView",
    "Mark",
    "PeerView",
    "PlaceWaitTimes",
    "Point",
    "QueueView",
    "QuietView",
    "RouteView",
    "SharedView",
    "Shares",
    "Snapshot",
    "Status",
    "TaskGroupView",
    "TaskView",
    "ThreadView",
    "Timeline",
    "View",
    "WaitTimes",
    "WakeTimes",
    "WakerView",
    "WorkSummary",
    "WorkTotal",
    "WorkView",
]

#: Not known; exit code 0; signals that ask for an end.
_AS_WANTED = frozenset({-1, 0, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


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
    capabilities: dict[str, Capability] = msgspec.field(default_factory=dict)
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
    gaps: tuple[Gap, ...] = ()  #: stretches without any sample, the longest ones, in the order of time
    gap_s: float = 0.0  #: all of them together
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
