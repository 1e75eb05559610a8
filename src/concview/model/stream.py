"""Everything that can be in a stream, and under which number.

Each event names its tag where it is defined, because the decoder needs it there; this table is where a free one is
found, and a test compares both. A number is never used again: kept recordings hold its old meaning.
"""

from __future__ import annotations

from concview.model.accept_queues import AcceptQueues
from concview.model.agent import AgentStatus, Calls, Pauses, Queues, Tasks
from concview.model.events import (
    Bye,
    Counters,
    Forget,
    FrameDef,
    Hello,
    HoldsDef,
    Interpreters,
    Notice,
    OtherGils,
    ProcessStatus,
    StackDef,
    Stats,
    ThreadDef,
    ThreadGone,
    Tick,
    WaitDef,
)
from concview.model.forks import Forks
from concview.model.loans import Loans
from concview.model.processes import Of, ProcessDef
from concview.model.queues import Depths
from concview.model.relations import Children, FileLocks, Links, NativeWaits, Relations, Semaphores
from concview.model.switches import Switches
from concview.model.tasks import AsyncObjects, Loops, TaskDef, TasksGone, TaskTick, TaskWaitDef
from concview.model.work import LabelDef, Work
from concview.model.workers import Parent, Workers

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
    | Switches
    | Workers
    | TaskDef
    | TaskWaitDef
    | TaskTick
    | TasksGone
    | Loops
    | AsyncObjects
    | LabelDef
    | Work
    | ProcessDef
    | Of
    | Semaphores
    | Parent
    | Interpreters
    | OtherGils
    | AcceptQueues
    | Loans
)

#: tag -> event
TAGS: dict[int, type[AnyEvent]] = {
    0: Hello,
    1: FrameDef,
    2: StackDef,
    3: WaitDef,
    4: HoldsDef,
    5: ThreadDef,
    6: ThreadGone,
    7: Tick,
    8: Counters,
    9: Stats,
    10: Notice,
    11: Bye,
    12: Forget,
    13: ProcessStatus,
    14: AgentStatus,
    15: Tasks,
    16: Queues,
    17: Pauses,
    18: Calls,
    19: Forks,
    20: Depths,
    21: Semaphores,
    22: Parent,
    24: TaskDef,
    25: TaskWaitDef,
    26: TaskTick,
    27: TasksGone,
    28: Loops,
    29: AsyncObjects,
    30: Relations,
    31: Links,
    32: FileLocks,
    33: Children,
    34: NativeWaits,
    35: Switches,
    36: Workers,
    37: ProcessDef,
    38: LabelDef,
    39: Work,
    40: Of,
    41: Interpreters,
    42: OtherGils,
    43: AcceptQueues,
    44: Loans,
}
