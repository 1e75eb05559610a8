"""One task as it was last seen, and the pieces of memory that tell whether it has moved since."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import NamedTuple

from concview.cpython.aio.chain import Link
from concview.cpython.aio.holders import Held
from concview.cpython.aio.waits import Waiting
from concview.cpython.memory import MAX_SEGMENTS, Memory

#: Tasks read with one call: four pieces each, and a call takes 1024.
BLOCK = 250
#: A task that has not moved for so long is laid out with its neighbours, looked into this often; nanoseconds.
COOL_NS, SETTLE_NS = 500_000_000, 250_000_000
#: Where in a name (an int or a short str) lies what tells it from another: (offset, size).
NAME_PART = (16, 40)
#: The last address that there can be.
_LAST = (1 << 64) - 1
#: What stands for the tid where a call was given to a process pool.
NO_THREAD = -1


class Calls(NamedTuple):
    """Calls given to executors, by their futures of `concurrent.futures`."""

    running: Callable[[], dict[int, int]]  #: -> tid of the thread that runs each, NO_THREAD of a process pool's
    queued: Callable[[], list[int]]  #: those that lie in the queues of thread pools, some of them


#: (address, size) of each piece of a task, one behind the other.
_Pieces = tuple[int, int, int, int, int, int, int, int]
_NONE = bytes(8)
#: As told: task id, stack, wait and holds, since when, due when.
Row = tuple[int, int, int, int, int, int]


class Task:
    __slots__ = (
        "address", "again", "alive", "born_ns", "check", "coroutine", "future", "generation", "held", "holds", "id",
        "interpreter", "kind", "links", "looked", "loop", "mark", "name", "next_future", "parent", "pulse", "row",
        "serves", "since_ns", "stack", "stepped", "steps", "told_awaits", "until_ns", "wait", "waiting",
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
        #: Of what is no task of asyncio's: (address, bytes) that change when it runs, beside its innermost frame.
        self.mark: tuple[tuple[int, bytes], ...] | None = None
        self.pulse = 0  #: address of eight bytes that say where the innermost frame stands
        self.waiting: Waiting | None = None
        self.held: list[Held] = []
        self.stack = self.wait = self.holds = 0
        self.since_ns = 0
        self.looked: tuple[int, int] | None = None  #: (future, since_ns) of the wait that was looked at for a limit
        self.until_ns = 0  #: when that wait is over at the latest; 0: it has no limit
        self.row: Row | None = None  #: as last told
        self.told_awaits: tuple[int, ...] = ()
        self.next_future = 0  #: that it was just seen to wait for
        self.alive = True
        self.stepped = False  #: it has moved since it was last walked
        self.steps = 0  #: another number whenever it was seen to have moved
        self.again: Again | None = None  #: how to see cheaply that only its future is another one


class Again:
    """What to read of a task to see that it stands where it stood, if at another future."""

    __slots__ = ("constant", "name_at", "segments", "size", "slot", "waiting")

    def __init__(
        self, waiting: Waiting, waiter: int, name_at: int, slot_at: int, slot: int, parts: list[tuple[int, bytes]]
    ) -> None:
        """`waiter`: address of the task's future, coroutine and name; `slot_at`, `slot`: the variable that `waiting`
        was concluded from; `parts`: (address, bytes) of all that must be the same."""
        self.waiting, self.name_at, self.slot = waiting, name_at, slot
        self.constant = b"".join([data for _, data in parts])
        self.segments = array("Q", (waiter, 24, slot_at, 8))
        for address, data in parts:
            self.segments.extend((address, len(data)))
        self.segments.extend((waiter, 8))
        self.size = 24 + 8 + len(self.constant) + 8


class Blocks:
    """The pieces of all tasks that say whether it moved: three of each.

    Those that moved lately are read piece by piece. Those that have not for a while are laid out in the order of their
    addresses: objects of one kind lie side by side, so that a few stretches of memory hold the pieces of hundreds, and
    a read costs by the stretch.
    """

    def __init__(self, memory: Memory, span: tuple[int, int], state: int, callback: int) -> None:
        """`span`: the part of a task that changes (offset, size); `state`, `callback`: offsets of a future's."""
        self._memory = memory
        self._span, self._state, self._callback = span, state, callback
        #: Of a task: that, its future's first callback and state, its innermost frame's pulse.
        self.width = span[1] + 20
        self._hot: dict[Task, int] = {}  #: -> when it was put there
        self._cold: dict[Task, Stretches] = {}
        self._groups: list[Stretches] = []
        self._segments = array("Q")
        self._data: dict[Task, bytes] = {}
        self._settled_at = 0

    def put(self, task: Task, now: int) -> None:
        """Add a task, or follow it to its new future and frame."""
        self._leave(task)
        self._hot[task] = now
        self._data.pop(task, None)

    def drop(self, task: Task) -> None:
        self._hot.pop(task, None)
        self._data.pop(task, None)
        self._leave(task)

    def _leave(self, task: Task) -> None:
        group = self._cold.pop(task, None)
        if group is not None:
            group.tasks.pop(task, None)

    def _pieces(self, task: Task) -> _Pieces:
        """A task that does the same again may have its future and frames where they were. Callbacks are made anew for
        each future, mostly elsewhere: see `_stepped`."""
        start, size = self._span
        future, pulse = task.future or task.address, task.pulse or task.address
        callback = future + self._callback
        # Memory that is used again may have anything in the place of an address, and there is none beyond the last one.
        return (task.address + start, size, callback & _LAST, 8, (future + self._state) & _LAST, 4, pulse & _LAST, 8)

    def moved(self, now: int) -> list[Task]:
        """Tasks whose pieces read otherwise than last time."""
        found: list[Task] = []
        for group in self._groups:
            group.moved(self._memory, found)
        hot = list(self._hot)
        old = self._data
        for task, data in zip(hot, self._read(hot), strict=True):
            before = old.get(task)
            if before != data:
                old[task] = data
                if before is not None and self._stepped(before, data):
                    found.append(task)
        if now - self._settled_at >= SETTLE_NS:
            self._settled_at = now
            self._cool(now)
        return found

    def _stepped(self, before: bytes, data: bytes) -> bool:
        at = self._span[1]
        callbacks = before[at : at + 8], data[at : at + 8]
        return before[:at] != data[:at] or before[at + 8 :] != data[at + 8 :] or _another(*callbacks)

    def settle(self, tasks: Iterable[Task]) -> None:
        """What these were put to is what the next `moved` compares with: read it now."""
        wanted = [t for t in tasks if t in self._hot]
        for task, data in zip(wanted, self._read(wanted), strict=True):
            self._data[task] = data

    def _read(self, tasks: list[Task]) -> list[bytes]:
        width = self.width
        result: list[bytes] = []
        for i in range(0, len(tasks), BLOCK):
            part = tasks[i : i + BLOCK]
            words = array("Q")
            for task in part:
                words.extend(self._pieces(task))
            data = self._memory.read_joined(words, width * len(part))
            if data is None:  # a piece is gone: an empty one instead
                pairs = [(words[k], words[k + 1]) for k in range(0, len(words), 2)]
                pieces = self._memory.read_many(pairs)
                data = b"".join([p if p is not None else b"\xee" * n for p, (_, n) in zip(pieces, pairs, strict=True)])
            result += [data[k : k + width] for k in range(0, len(data), width)]
        return result

    def _cool(self, now: int) -> None:
        """Lay out anew, with those that have not moved for a while, when that is worth it."""
        ready = [t for t, since in self._hot.items() if now - since >= COOL_NS]
        there = sum(len(g.tasks) for g in self._groups)
        laid_out = sum(g.laid_out for g in self._groups)
        if len(ready) < 16 and laid_out - there < max(64, there):
            return
        tasks, kept = ready, self._groups
        if len(kept) > 4 + 2 * (there // Stretches.MOST) or laid_out - there >= max(64, there):
            # Too many small ones, or ones with holes.
            tasks, kept = [t for g in kept for t in g.tasks] + ready, []
        before = {t: self._data[t] for t in ready if t in self._data}
        for task in ready:
            del self._hot[task]
            self._data.pop(task, None)
        fresh = Stretches.lay_out({t: self._pieces(t) for t in tasks})
        self._groups = [*kept, *fresh]
        for group in fresh:
            found: list[Task] = []
            group.moved(self._memory, found)
            for task in group.tasks:
                self._cold[task] = group
        # What moved between its last comparison and now is found by the pieces that were known.
        for task, known in before.items():
            group_ = self._cold.get(task)
            if group_ is None or group_.pieces(task) != known:
                self.put(task, now)
                self._data[task] = known


class Stretches:
    """Pieces of up to `MOST` tasks in the order of their addresses, near ones in one stretch."""

    MOST = 1500
    _GAP, _LONGEST = 320, 4096

    def __init__(self) -> None:
        self.segments = array("Q")
        self.size = 0
        self.ends: list[int] = []  #: of each stretch, in the data
        self.members: list[list[Task]] = []  #: tasks with a piece in each stretch
        self.tasks: dict[Task, tuple[tuple[int, int], ...]] = {}  #: -> (where in the data, size) of its pieces
        self.laid_out = 0
        self.data: bytes | None = None

    @classmethod
    def lay_out(cls, pieces: dict[Task, _Pieces]) -> list[Stretches]:
        tasks = sorted(pieces, key=lambda t: t.address)
        return [cls()._fill({t: pieces[t] for t in tasks[i : i + cls.MOST]}) for i in range(0, len(tasks), cls.MOST)]

    def _fill(self, pieces: dict[Task, _Pieces]) -> Stretches:
        every = [(p[k], p[k + 1], task, k // 2) for task, p in pieces.items() for k in (0, 2, 4, 6)]
        every.sort(key=lambda e: e[:2])
        found: dict[Task, list[tuple[int, int]]] = {t: [(0, 0)] * 4 for t in pieces}
        start = end = 0
        for address, size, task, index in every:
            if not end or address - end > self._GAP or address + size - start > self._LONGEST:
                if end:
                    self._close(start, end)
                start, end = address, address
                self.members.append([])
            end = max(end, address + size)
            self.members[-1].append(task)
            found[task][index] = (self.size + address - start, size)
        if end:
            self._close(start, end)
        self.tasks = {t: tuple(places) for t, places in found.items()}
        self.laid_out = len(self.tasks)
        return self

    def _close(self, start: int, end: int) -> None:
        self.segments.extend((start, end - start))
        self.size += end - start
        self.ends.append(self.size)

    def moved(self, memory: Memory, found: list[Task]) -> None:
        data = self._read(memory)
        old, self.data = self.data, data
        if old is None or data == old:
            return
        seen: set[Task] = set()
        begin, tasks = 0, self.tasks
        for end, members in zip(self.ends, self.members, strict=True):
            if data[begin:end] != old[begin:end]:
                for task in members:
                    if task in tasks and task not in seen:
                        if _stepped(tasks[task], old, data):
                            found.append(task)
                        seen.add(task)
            begin = end

    def _read(self, memory: Memory) -> bytes:
        data: list[bytes] = []
        words = self.segments
        for i in range(0, len(words), 2 * MAX_SEGMENTS):
            part = words[i : i + 2 * MAX_SEGMENTS]
            size = sum(part[1::2])
            raw = memory.read_joined(part, size)
            if raw is None:
                pairs = [(part[k], part[k + 1]) for k in range(0, len(part), 2)]
                pieces = memory.read_many(pairs)
                raw = b"".join([p if p is not None else b"\xee" * n for p, (_, n) in zip(pieces, pairs, strict=True)])
            data.append(raw)
        return data[0] if len(data) == 1 else b"".join(data)

    def pieces(self, task: Task) -> bytes:
        data = self.data or b""
        return b"".join([data[at : at + n] for at, n in self.tasks[task]])


def _stepped(places: tuple[tuple[int, int], ...], old: bytes, data: bytes) -> bool:
    start, callback, state, pulse = [(old[at : at + n], data[at : at + n]) for at, n in places]
    return start[0] != start[1] or state[0] != state[1] or pulse[0] != pulse[1] or _another(*callback)


def _another(before: bytes, now: bytes) -> bool:
    """Whether a future's first callback is another one, which means another future: of one and the same, callbacks
    that are added later stand in a list, also after the first one has been taken back."""
    return before != now and _NONE not in (before, now)
