"""What `check` and `report` print, of one run and of several."""

from __future__ import annotations

import msgspec

from concview.commands._schema.blame import BlameOut
from concview.commands._schema.compare import ComparisonOut
from concview.commands._schema.findings import FindingOut, NotApplicableOut, PendingOut
from concview.commands._schema.process import ListeningOut, ProcessOut, RefusalOut, SamplingOut, TargetOut
from concview.commands._schema.tasks import LoopOut, TasksOut
from concview.commands._schema.threads import ChainOut, LockOut, SiteOut, ThreadOut
from concview.commands._schema.tree import AcrossOut, NodeOut, OrphanOut, ProcessPartOut
from concview.commands._schema.work import WorkSummaryOut


class CheckOut(msgspec.Struct):
    """`concview check --format json`."""

    schema: int
    concview: str
    target: TargetOut
    sampling: SamplingOut
    process: ProcessOut
    threads: list[ThreadOut]
    locks: list[LockOut]
    findings: list[FindingOut]
    pending: list[PendingOut]
    not_applicable: list[NotApplicableOut]
    #: Who waits behind whom at the end of the watching.
    chains: list[ChainOut] = []
    #: How the watching ended when not by its duration: 'the target exited', 'the recording breaks off: ...'.
    ending: str = ""
    #: Where the time of all threads went, followed to the end; null: nothing was seen of them.
    blame: BlameOut | None = None
    #: With --tree, or of several PIDs: each of them. Threads, locks and findings above are then those of all, with
    #: `pid`; what else is above is of the first one.
    processes: list[ProcessPartOut] = []
    #: Who waits for a thread of another process at the end, and circles of threads over borders of processes that wait
    #: for each other without a time limit.
    across: list[AcrossOut] = []
    circles: list[list[NodeOut]] = []
    orphans: list[OrphanOut] = []
    #: Processes that were not seen, each with the reason.
    missed: list[str] = []
    #: What the agent would not do, when it was asked for.
    refusal: RefusalOut | None = None
    #: Tasks of asyncio and trio, read from memory; null: there are none, or nothing of them can be seen.
    tasks: TasksOut | None = None
    loops: list[LoopOut] = []
    #: Requests, jobs, queries and calls; null: not told (switched off, or by an engine that does not see them).
    work: WorkSummaryOut | None = None
    #: Sockets that listen, with the connections that nobody has accepted; of several processes those of the first one.
    listening: list[ListeningOut] = []
    #: With --baseline: what differs from it.
    comparison: ComparisonOut | None = None
    #: What the exit code says: something is at or above --fail-on, a finding or a verdict that no rule names; null
    #: where nothing is checked (in a report).
    failed: bool | None = None


class MarkOut(msgspec.Struct):
    """When a finding was there: seconds since the first sample."""

    id: str
    severity: str
    title: str
    start_s: float
    end_s: float


class ReportOut(msgspec.Struct):
    """`concview report --format json`. `began` is a time as time.time() gives it; `at_s`: the end of the moments that
    `check` is about, in seconds since the first sample; `text`: the report in twenty lines of Markdown."""

    schema: int
    concview: str
    service: str
    began: float
    seconds: float
    at_s: float
    over: bool  #: what `check` shows was over at the end of the recording
    text: str
    unseen: list[str]
    marks: list[MarkOut]
    check: CheckOut


class RepeatedOut(msgspec.Struct):
    """One finding of several runs. `runs`: in which of them, from 1 on; `fails`: it is at or above --fail-on."""

    id: str
    severity: str
    title: str
    where: list[SiteOut]
    runs: list[int]
    fails: bool


class RunsOut(msgspec.Struct):
    """`concview check --runs N --format json`. `missed`: why runs were not seen."""

    schema: int
    concview: str
    failed: bool
    missed: list[str]
    findings: list[RepeatedOut]
    runs: list[CheckOut]
    comparison: ComparisonOut | None = None
