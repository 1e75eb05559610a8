"""The JSON that `check` and `dump` print. Scripts rely on it: fields may be added, never changed or removed.

A number that cannot be seen is null; percentages are of one core, shares are 0..1. docs/schema has it as JSON Schema,
written by tools/make-schema.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import msgspec

from concview.commands._output import json_text

SCHEMA = 1


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


class WakerOut(msgspec.Struct):
    kind: str  #: 'thread', 'interrupt' (a timer, the network), 'process' (another one), 'unknown'
    count: int
    tid: int = 0  #: of a thread
    name: str = ""
    pid: int = 0  #: of another process


class WakesOut(msgspec.Struct):
    """How waits ended: who woke the thread, and how long it then was until it was on a CPU. Quantiles to 25 %."""

    count: int
    median_s: float | None
    p95_s: float | None
    longest_s: float
    brief: int  #: a thread woke it, and it waited again after less than 50 µs on a CPU
    by: list[WakerOut]  #: the most often first
    confidence: str = "exact"


class PlaceWaitsOut(msgspec.Struct):
    """Waits at one place that a sample fell into. Seconds; quantiles to 25 %."""

    state: str
    reason: str
    place: str | None  #: 'cache.py:41 (Cache.get)', where the stack was seen
    waits: int
    waited_s: float
    median_s: float | None
    p95_s: float | None
    longest_s: float
    woken_by: list[WakerOut] = []  #: who ended them, the most often first; empty where the kernel does not tell
    wake_to_run_median_s: float | None = None
    back_at_once: int = 0  #: a thread woke it, and it was back in this wait after less than 50 µs on a CPU


class ExactWaitsOut(msgspec.Struct):
    """Every wait of a thread, by the kernel's records of switches. A wait counts when it ends, with all its length."""

    seconds: float  #: that this is of
    complete: bool  #: no record was lost
    runs: int
    waits: int
    waited_s: float
    median_s: float | None
    p95_s: float | None
    longest_s: float
    pushed_aside: int
    pushed_aside_s: float
    places: list[PlaceWaitsOut]  #: of the waits that were long enough for a sample
    confidence: str = "exact"
    wakes: WakesOut | None = None  #: null where the kernel does not tell who woke whom


class ThreadOut(msgspec.Struct):
    tid: int
    name: str
    shares: dict[str, float]
    pid: int = 0  #: of several processes: whose; else 0, as below
    interpreter: int = 0  #: id of the one it runs in
    exact_waits: ExactWaitsOut | None = None  #: null where the kernel's records cannot be had


class SiteOut(msgspec.Struct):
    file: str
    line: int
    function: str


class HolderOut(msgspec.Struct):
    tid: int
    name: str
    percent: float
    confidence: str


class DoingOut(msgspec.Struct):
    what: str  #: 'running', 'gil', 'io tcp 127.0.0.1:5432', 'sleep', ...
    percent: float  #: of the held time


class LockOut(msgspec.Struct):
    """Times in seconds. A hold shorter than three sampling intervals cannot be measured: null then."""

    id: str
    kind: str
    expression: str
    site: SiteOut
    held_percent: float
    waiters_mean: float
    waiters_max: int
    holders: list[HolderOut]
    sites: list[SiteOut] = []  #: everywhere it is taken
    made: str | None = None  #: 'cache.py:12', where the source tells
    resolution_s: float = 0.0  #: the sampling interval
    holds_seen: int = 0
    holds_ended: int = 0  #: of these, those whose beginning and end were seen: the quantiles are of them
    hold_p50_s: float | None = None
    hold_p95_s: float | None = None
    hold_max_s: float | None = None
    hold_max_sure: bool = True  #: false: it may have been several, given back and taken again between two samples
    waits_seen: int = 0
    wait_mean_s: float = 0.0
    wait_max_s: float = 0.0
    wait_per_waiter_s: float = 0.0
    holders_do: list[DoingOut] = []
    handoffs_per_s: float = 0.0
    workers: int = 0
    pid: int = 0
    speedup_cap: float | None = None  #: Amdahl: its workers together are at most so many times as fast as one


class EdgeOut(msgspec.Struct):
    waiter: int
    holder: int
    lock: str
    expression: str
    confidence: str
    via: str = ""


class ChainOut(msgspec.Struct):
    """Everybody who waits, directly or behind others, for one thread, the root."""

    root: int
    text: str
    edges: list[EdgeOut]
    cycle: list[int] = []


class MeasuredOut(msgspec.Struct):
    name: str
    value: float
    info: float
    warn: float
    unit: str


class StackOut(msgspec.Struct):
    role: str
    tid: int
    frames: list[str]
    task: int | None = None  #: id of the task whose await chain it is; `tid` is 0 then
    name: str = ""


class ServedOut(msgspec.Struct):
    """In whose name threads or tasks did something."""

    kind: str  #: 'request', 'job', 'query', 'call'
    name: str
    threads: int  #: threads and tasks that served it most of that time
    thread_s: float  #: of all together


class FindingOut(msgspec.Struct):
    id: str
    severity: str
    score: int
    confidence: str
    title: str
    summary: str
    why: str
    fix: str
    measured: MeasuredOut
    where: list[SiteOut]
    threads: list[int]
    stacks: list[StackOut]
    #: It fired while the process was watched, and no longer did at the end.
    recent: bool = False
    gain: str = ""  #: what could be won, with its assumption
    check_next: str = ""
    tasks: list[int] = []
    pid: int = 0  #: of several processes: of the one in which it is worst
    pids: list[int] = []  #: all that have it
    work: list[ServedOut] = []  #: in whose name its threads and tasks are at these places


class PendingOut(msgspec.Struct):
    id: str
    needs: str
    subject: str = ""  #: what it is about, when a rule judges several things


class NotApplicableOut(msgspec.Struct):
    id: str
    why: str
    enable: str


class BlameStepOut(msgspec.Struct):
    via: str
    what: str
    site: SiteOut
    waiters: list[int]
    owners: list[int]
    confidence: str
    waiting_tasks: list[int] = []
    owning_tasks: list[int] = []
    library: str = ""  #: the library's line, where `site` is the program's own that called it


class BlameRootOut(msgspec.Struct):
    kind: str
    what: str
    site: SiteOut
    library: str = ""  #: the library's line, where `site` is the program's own that called it


class BlameCauseOut(msgspec.Struct):
    """`share` of the time of active threads; `at_most`: without this wait its threads get at most
    so many times as much done."""

    root: BlameRootOut
    family: str
    share: float
    thread_s: float
    threads: list[int]
    path: list[BlameStepOut]
    at_most: float | None
    limits: dict[str, float]
    stuck_s: float
    exact: bool
    rule: str | None
    tasks: list[int] = []  #: ids, of those whose time it is
    work: list[ServedOut] = []  #: in whose name they wait
    work_ahead: list[ServedOut] = []  #: and those that they wait for


class BlameQuietOut(msgspec.Struct):
    kind: str
    evidence: str
    threads: float
    site: SiteOut


class BlameOut(msgspec.Struct):
    """`held_up`, `waits`, `starved`, `unexplained`: shares of the time of the `active` threads."""

    window_s: float
    threads: float
    active: float
    held_up: float
    waits: float
    starved: float
    unexplained: float
    exact: float
    verdict: str
    severity: str | None
    sentence: str
    more: list[str]
    still_s: float
    quiet: list[BlameQuietOut]
    causes: list[BlameCauseOut]
    moments: int
    sampled_moments: int
    rule: str | None = None  #: that names what the verdict is about; null: no rule does, and as a warning it fails


class WorkOut(msgspec.Struct):
    """One request, job, query or call in progress. `age_s` is since a beginning that was read where `age_exact`, else
    since it was first seen; `age_at_least`: it was there before anybody looked."""

    id: int
    kind: str
    system: str
    name: str
    missing: str
    trace: str
    age_s: float
    age_exact: bool
    age_at_least: bool
    threads: list[int]
    tasks: list[int]
    state: str
    doing: str
    inside: int | None = None  #: id of the work that it is a part of
    after_response: bool = False
    detail: str | None = None  #: with labels = "full" only
    because: str | None = None  #: who and what is in its way, in the words of work; null: nobody
    behind: list[int] = []  #: ids of the work in its way, the nearest first
    trace_id: str | None = None  #: of OpenTelemetry, as the W3C writes it
    span_id: str | None = None


class RouteOut(msgspec.Struct):
    """Work of one name over the window. `seen`: different ones, as far as looks saw them. Ages of those that ended."""

    kind: str
    system: str
    name: str
    missing: str
    seen: int
    in_flight: float
    p50_s: float | None
    p95_s: float | None
    age_exact: bool
    shares: dict[str, float]  #: of the time of its threads
    tasks_share: float


class WorkSummaryOut(msgspec.Struct):
    """`labels`: 'safe' or 'full'. `unknown`: threads and tasks of which nothing is known, for they moved."""

    labels: str
    now: list[WorkOut]
    routes: list[RouteOut]
    window_s: float
    looked: int
    unknown: int
    torn: int
    more: int
    libraries: list[str] = []  #: those that it knows and has seen in a stack


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


class RefusalOut(msgspec.Struct):
    """What was asked for and could not be done. `code`: see `errors.Code`; '' where there is none."""

    reason: str
    remedy: str
    code: str


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


class ProcessPartOut(msgspec.Struct):
    """One of several processes. With `start_ticks` its pid names it for ever; `parent`: the nearest Python process
    above it, 0 for those that were given. `role`: 'program', 'worker'."""

    pid: int
    start_ticks: int
    parent: int
    role: str
    name: str
    ended: bool
    late: bool  #: it came while the others were watched already
    target: TargetOut
    sampling: SamplingOut
    process: ProcessOut
    ending: str
    blame: BlameOut | None


class NodeOut(msgspec.Struct):
    """A thread of one of several processes; `tid` 0: which one is not known."""

    pid: int
    tid: int


class AcrossOut(msgspec.Struct):
    """A thread that waits for one of another process. `via`: 'lock', 'child', 'pipe', 'tcp', 'unix', 'file lock'."""

    waiter: NodeOut
    holder: NodeOut
    via: str
    what: str
    does: str  #: what the holder does
    confidence: str
    timed: bool  #: the wait has a time limit


class OrphanOut(msgspec.Struct):
    """A lock of multiprocessing that is taken, and that none of the processes has. `sure`: no other process shares it,
    so whoever took it has died."""

    what: str
    why: str
    sure: bool
    waiters: list[NodeOut]


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


class ComparedRunOut(msgspec.Struct):
    name: str
    target: TargetOut
    seconds: float
    windows: int
    ending: str


class ComparedFindingOut(msgspec.Struct):
    id: str
    severity: str
    title: str
    where: list[SiteOut]


class ComparisonRowOut(msgspec.Struct):
    """`better`: 'less', 'more' or ''. Intervals are of 95 %; `p` null: no test was possible. `change`: 0.1 is 10 %
    more, null from 0. `verdict`: 'better', 'worse', 'differs', or '~' for not significant."""

    group: str
    name: str
    unit: str
    better: str
    base: float
    new: float
    base_interval: tuple[float, float] | None
    new_interval: tuple[float, float] | None
    change: float | None
    p: float | None
    verdict: str


class ComparedPlaceOut(msgspec.Struct):
    """Where threads spent time, `base` and `new` as threads on average: the program's innermost function and the state.
    `p` null: no test was possible."""

    function: str
    file: str
    state: str
    lock: str
    base: float
    new: float
    p: float | None


class ComparisonOut(msgspec.Struct):
    """`concview compare --format json`. `unit`: what was repeated, 'runs' or 'time'. `unjudged`: findings of the base
    whose rule could not judge the new side."""

    schema: int
    concview: str
    unit: str
    notes: list[str]
    base: list[ComparedRunOut]
    new: list[ComparedRunOut]
    rows: list[ComparisonRowOut]
    geomeans: dict[str, float]
    came: list[ComparedFindingOut]
    went: list[ComparedFindingOut]
    stayed: list[ComparedFindingOut]
    unjudged: list[ComparedFindingOut]
    failed: bool
    places: list[ComparedPlaceOut] = []


class GilOut(msgspec.Struct):
    held: bool | None
    holder: int | None
    interpreters: list[InterpreterOut] = []  #: as in `check`; the GIL beside is the main one's


class WaitingForOut(msgspec.Struct):
    kind: str
    lock: str | None = None
    holder: int | None = None
    confidence: str | None = None
    peer: str | None = None
    text: str = ""  #: the same for people


class HoldOut(msgspec.Struct):
    lock: str
    kind: str
    expression: str
    file: str
    line: int
    confidence: str


class FrameOut(msgspec.Struct):
    function: str
    file: str
    line: int
    text: str = ""
    locals: dict[str, str] | None = None


class DumpThreadOut(msgspec.Struct):
    tid: int
    name: str
    state: str
    waiting_for: WaitingForOut | None
    holds: list[HoldOut]
    frames: list[FrameOut]
    because: str = ""  #: who and what is in its way, followed to the end
    waiting: int = 0  #: threads and tasks that wait, directly or behind others, until it goes on
    interpreter: int = 0  #: id of the one it runs in
    exact_waits: ExactWaitsOut | None = None  #: as in `check`; of the moments that `dump` looked at


class TaskWaitingOut(msgspec.Struct):
    """`kind`: the state. `object`: id of what is waited at; `holders`: ids of the tasks that have it."""

    kind: str
    via: str
    object: str | None = None
    name: str = ""
    holders: list[int] = []
    confidence: str | None = None
    peer: str | None = None
    tid: int | None = None  #: of the thread that runs the call
    tasks: list[int] = []  #: ids of the tasks that are awaited
    count: int = 0  #: how many are, those included that are no known tasks
    due_s: float | None = None
    text: str = ""


class DumpTaskOut(msgspec.Struct):
    """`frames`: what it awaits, innermost first; empty while it runs: its thread has the stack."""

    id: int
    name: str
    kind: str
    function: str
    state: str
    since_s: float
    since_open: bool
    loop: str
    tid: int | None
    waiting_for: TaskWaitingOut | None
    holds: list[HoldOut]
    frames: list[FrameOut]
    because: str = ""


class CycleOut(msgspec.Struct):
    """One thread of a circle, in the order in which they wait. `via` says how it waits for the next one where that is
    no lock ('Thread.join', 'Future.result', 'Queue.put'). `holds` is what the one before it wants; null where that one
    wants no lock but the thread's end, a result or room in a queue."""

    tid: int
    holds: str | None
    waits_for: str
    via: str = ""


class DumpPartOut(msgspec.Struct):
    """One of several processes."""

    pid: int
    start_ticks: int
    parent: int
    role: str
    name: str
    dump: DumpOut


class DumpOut(msgspec.Struct):
    """`concview dump --format json`."""

    schema: int
    target: TargetOut
    gil: GilOut
    threads: list[DumpThreadOut]
    deadlocks: list[list[CycleOut]]
    chains: list[ChainOut] = []
    #: Tasks of asyncio and trio, those with others behind them first.
    tasks: list[DumpTaskOut] = []
    more_tasks: int = 0
    objects: list[SharedOut] = []
    loops: list[LoopOut] = []
    unseen: list[str] = []
    work: WorkSummaryOut | None = None
    listening: list[ListeningOut] = []  #: as in `check`
    #: With --tree, or of several PIDs: each of them; what is above is of the first one.
    processes: list[DumpPartOut] = []
    missed: list[str] = []


#: What is published under docs/schema, by its name there without the version.
PUBLISHED: dict[str, type[msgspec.Struct]] = {
    "check": CheckOut,
    "dump": DumpOut,
    "report": ReportOut,
    "runs": RunsOut,
    "compare": ComparisonOut,
}


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what `name` prints. It allows more fields than it knows: later versions add some."""
    (reference,), parts = msgspec.json.schema_components([PUBLISHED[name]], ref_template="#/$defs/{name}")
    for part in parts.values():
        if "description" in part:
            part["description"] = cleandoc(part["description"])  # msgspec does so from 0.23 on
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:concview:{name}:{SCHEMA}",
        "title": f"concview {name} --format json, schema {SCHEMA}",
        **reference,
        "$defs": parts,
    }


def encode(value: msgspec.Struct) -> str:
    """Indented JSON with a final newline."""
    return json_text(value)
