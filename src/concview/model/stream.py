"""Everything that can be in a stream."""

from __future__ import annotations

from concview.model.agent import AgentStatus, Calls, Pauses, Queues, Tasks
from concview.model.events import (
    Bye,
    Counters,
    Forget,
    FrameDef,
    Hello,
    HoldsDef,
    Notice,
    ProcessStatus,
    StackDef,
    Stats,
    ThreadDef,
    ThreadGone,
    Tick,
    WaitDef,
)
from concview.model.forks import Forks
from concview.model.queues import Depths
from concview.model.relations import Children, FileLocks, Links, NativeWaits, Relations
from concview.model.tasks import AsyncObjects, Loops, TaskDef, TasksGone, TaskTick, TaskWaitDef

AnyEvent = (
    Hello
    | FrameDef
    | StackDef
    | WaitDef
    | HoldsDef
    | ThreadDef
    | ThreadGone
    | Tick
    | Counters
    | Stats
    | Notice
    | Bye
    | Forget
    | ProcessStatus
    | AgentStatus
    | Tasks
    | Queues
    | Pauses
    | Calls
    | Forks
    | Depths
    | Relations
    | Links
    | FileLocks
    | Children
    | NativeWaits
    | TaskDef
    | TaskWaitDef
    | TaskTick
    | TasksGone
    | Loops
    | AsyncObjects
)
