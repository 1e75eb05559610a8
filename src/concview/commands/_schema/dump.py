"""What `dump` prints: one moment."""

from __future__ import annotations

import msgspec

from concview.commands._schema.process import InterpreterOut, ListeningOut, TargetOut
from concview.commands._schema.tasks import LoopOut, SharedOut
from concview.commands._schema.threads import ChainOut, ExactWaitsOut
from concview.commands._schema.work import WorkSummaryOut


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
