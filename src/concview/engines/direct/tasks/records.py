"""One task as it was last seen, and the pieces of memory that tell whether it has moved since."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from concview.cpython.aio.chain import Link
from concview.cpython.aio.holders import Held
from concview.cpython.aio.waits import Waiting
from concview.cpython.memory import Memory

#: Tasks read with one call: three pieces each, and a call takes 1024.
BLOCK = 250
#: What no id is.
Row = tuple[int, int, int, int, int, int]


class Task:
    __slots__ = (
        "address", "block", "born_ns", "check", "coroutine", "future", "generation", "held", "holds", "id", "index",
        "interpreter", "kind", "links", "loop", "name", "parent", "pulse", "row", "serves", "since_ns", "stack",
        "told_awaits", "wait", "waiting",
    )  # fmt: skip

    def __init__(self, address: int, interpreter: int, born_ns: int) -> None:
        self.address = address
        self.interpreter = interpreter
        self.born_ns = born_ns  #: 0: it was there before the first look
        self.id = 0  #: 0: not told yet
        self.name = ""
        self.kind = "task"
        self.loop = self.coroutine = self.future = self.parent = self.serves = 0
        self.generation = -1  #: of the sink, when it was announced
        self.links: list[Link] = []  #: outermost first
        self.check: list[tuple[int, bytes]] = []  #: what they were concluded from
        self.pulse = 0  #: address of eight bytes that say where the innermost frame stands
        self.waiting: Waiting | None = None
        self.held: list[Held] = []
        self.stack = self.wait = self.holds = 0
        self.since_ns = 0
        self.row: Row | None = None  #: as last told
        self.told_awaits: tuple[int, ...] = ()
        self.block: Block | None = None
        self.index = -1


class Block:
    __slots__ = ("data", "segments", "tasks")

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.segments = array("Q")
        self.data: bytes | None = None  #: as last read


class Blocks:
    """The pieces of all tasks, in blocks that are read and compared as one."""

    def __init__(self, memory: Memory, span: tuple[int, int], state: int) -> None:
        """`span`: the part of a task that changes (offset, size); `state`: offset of a future's."""
        self._memory = memory
        self._span, self._state = span, state
        self.width = span[1] + 12  #: of a task: that, its future's state, its innermost frame's pulse
        self.blocks: list[Block] = []
        self._room: list[Block] = []

    def put(self, task: Task) -> None:
        """Add a task, or follow it to its new future and frame."""
        at, size = self._span
        future, pulse = task.future or task.address, task.pulse or task.address
        pieces = (task.address + at, size, future + self._state, 4, pulse, 8)
        block = task.block
        if block is None:
            if not self._room:
                self.blocks.append(Block())
                self._room.append(self.blocks[-1])
            block = task.block = self._room[-1]
            task.index = len(block.tasks)
            block.tasks.append(task)
            block.segments.extend(pieces)
            if len(block.tasks) >= BLOCK:
                self._room.pop()
        else:
            block.segments[6 * task.index : 6 * task.index + 6] = array("Q", pieces)

    def drop(self, task: Task) -> None:
        block = task.block
        if block is None:
            return
        last, tail = block.tasks.pop(), block.segments[-6:]
        del block.segments[-6:]
        if last is not task:
            block.tasks[task.index] = last
            block.segments[6 * task.index : 6 * task.index + 6] = tail
            last.index = task.index
        if block.data is not None:
            data, width = block.data, self.width
            end = len(data) - width
            if last is not task:
                at = width * task.index
                data = data[:at] + data[end:] + data[at + width : end]
            block.data = data[:end]
        task.block, task.index = None, -1
        if not block.tasks:
            self.blocks.remove(block)
            if block in self._room:
                self._room.remove(block)
        elif block not in self._room:
            self._room.append(block)

    def moved(self) -> list[Task]:
        """Tasks whose pieces read otherwise than last time."""
        found: list[Task] = []
        width, memory = self.width, self._memory
        for block in self.blocks:
            data = memory.read_joined(block.segments, width * len(block.tasks))
            if data is None:
                data = self._apart(block)
            old, block.data = block.data, data
            if data == old:
                continue
            if old is None or len(old) != len(data):
                found += block.tasks
                continue
            tasks = block.tasks
            found += [
                tasks[i // width] for i in range(0, len(data), width) if data[i : i + width] != old[i : i + width]
            ]
        return found

    def _apart(self, block: Block) -> bytes:
        """Where a piece is gone: an empty one instead."""
        words = block.segments
        pairs = [(words[i], words[i + 1]) for i in range(0, len(words), 2)]
        parts = self._memory.read_many(pairs)
        return b"".join([p if p is not None else b"\xee" * size for p, (_, size) in zip(parts, pairs, strict=True)])

    def settle(self, tasks: Iterable[Task]) -> None:
        """What these were put to is what the next `moved` compares with: read it now."""
        for block in {id(t.block): t.block for t in tasks if t.block is not None}.values():
            data = self._memory.read_joined(block.segments, self.width * len(block.tasks))
            if block.data is None or data is None:
                block.data = data
                continue
            # Only of those that were looked at: what has moved among the others is still to be noticed.
            width = self.width
            merged = bytearray(block.data.ljust(len(data), b"\0"))
            for task in tasks:
                if task.block is block:
                    at = width * task.index
                    merged[at : at + width] = data[at : at + width]
            block.data = bytes(merged)
