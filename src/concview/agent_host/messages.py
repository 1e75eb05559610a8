"""What an agent may say, as it arrives: JSON objects told apart by `t`. Anything else ends the connection.

Times in seconds. Strings are the target's: they are cleaned where they become events.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

#: No message is longer (bytes); a longer length is not a length.
MAX_MESSAGE = 8 << 20

Text = Annotated[str, msgspec.Meta(max_length=2000)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Place = tuple[Text, int]  #: file, line
Spot = tuple[Text, Text, int]  #: function, file, line


class Hello(msgspec.Struct, tag_field="t", tag="hello"):
    protocol: int
    pid: int
    token: Text
    python: Text
    gil: bool
    library: Text  #: 'gevent', 'eventlet' or ''
    asyncio: bool
    tid: int


class Occupied(msgspec.Struct, tag_field="t", tag="occupied"):
    """Another dashboard's agent is in the process already."""

    protocol: int
    pid: int
    token: Text


class AgentBye(msgspec.Struct, tag_field="t", tag="bye"):
    why: Text


class Refused(msgspec.Struct, tag_field="t", tag="refused"):
    what: Text
    why: Text
    help: Text
    code: Text = ""


class Opened(msgspec.Struct, tag_field="t", tag="opened"):
    """A window of exact profiling has begun."""

    source: Text
    clock: Text
    seconds: float
    origin: Text


class ThreadQueue(msgspec.Struct):
    id: int
    kind: Text
    size: Natural
    most: int
    unfinished: int
    get: list[int]
    put: list[int]
    join: list[int]
    where: Spot | None


class ThreadPool(msgspec.Struct):
    id: int
    name: Text
    most: Natural
    backlog: Natural
    busy: list[int]
    idle: list[int]


class TaskQueue(msgspec.Struct):
    id: int
    kind: Text
    size: Natural
    most: int
    how: Text


class Task(msgspec.Struct):
    name: Text
    state: Text
    age: float
    chain: list[Spot]
    created: Place | None
    queue: TaskQueue | None


class TaskGroup(msgspec.Struct):
    function: Text
    file: Text
    line: int
    tasks: Natural
    ended: Natural


class Loop(msgspec.Struct):
    tid: int
    kind: Text
    tasks: Natural
    ready: Natural
    timers: Natural
    lag: float
    debug: bool
    told: list[Task]
    groups: list[TaskGroup] = []


class Report(msgspec.Struct, tag_field="t", tag="report"):
    queues: list[ThreadQueue]
    pools: list[ThreadPool]
    loops: list[Loop]
    pauses: list[tuple[float, float, float, float]]
    late: float
    wall: float
    cpu: float
    blocks: int
    problem: Text


Callee = tuple[int, int, int, float, float]


class CountingCost(msgspec.Struct):
    """What `agent.cost.Meter.account` says."""

    spent: float
    bare: float
    used: float
    drag: float
    factor: float
    functions: Natural


class CallsPart(msgspec.Struct, tag_field="t", tag="calls"):
    source: Text
    clock: Text
    seconds: float
    calls: Natural
    dropped: Natural
    running: bool
    clean: bool
    threads: list[tuple[int, int]]
    rows: list[tuple[int, Text, Text, int, int, int, float, float, int, list[Callee]]]
    cost: CountingCost
    more: bool = False


Message = Hello | Occupied | AgentBye | Refused | Opened | Report | CallsPart
_decode = msgspec.json.Decoder(Message).decode


class BadMessage(Exception):
    """Not what an agent of ours says."""


def decode(data: bytes) -> Message:
    try:
        message: Message = _decode(data)
        return message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(str(error)) from None
