"""Walking tasks: everything about a few of them, read, concluded, and read again."""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Collection

from concview.cpython.aio.chain import Chains, Checker, Link
from concview.cpython.aio.holders import Held, Holders
from concview.cpython.aio.layout import CANCELLED, FINISHED, PENDING, Mismatch, TaskLayout, proves
from concview.cpython.aio.values import BAD, FAR_S, Values
from concview.cpython.aio.waits import TASK, Waiting, Waits
from concview.cpython.memory import MAX_SEGMENTS
from concview.engines.direct.tasks.records import NAME_PART, Again, Task
from concview.model import Outcome, TaskState

_WORD = struct.Struct("<Q").unpack_from
_INT = struct.Struct("<i").unpack_from
_DOUBLE = struct.Struct("<d").unpack_from
_HEAD = struct.Struct("<4Q").unpack_from
_NAME = NAME_PART
#: No sleep is due so much later than one before it at the same place, seconds.
_LONG = 1e9
#: Tasks that must make sense before the layout is believed.
_PROOFS = 3


class Seen:
    """One living task."""

    __slots__ = (
        "address", "check", "coroutine", "future", "held", "links", "loop", "name", "name_at", "name_part", "stands",
        "truncated", "waiting",
    )  # fmt: skip

    def __init__(self, address: int, head: bytes, at: TaskLayout, name: str, part: bytes) -> None:
        self.address, self.name = address, name
        self.name_at: int = _WORD(head, at.name)[0]
        self.name_part = part  #: what tells the name, from `_NAME` on
        self.stands = 0  #: entries of `check` that say where its frames stand
        self.loop: int = _WORD(head, at.loop)[0]
        self.future: int = _WORD(head, at.waiter)[0]
        self.coroutine: int = _WORD(head, at.coroutine)[0]
        self.links: list[Link] = []
        self.truncated = False
        self.waiting = Waiting()
        self.held: list[Held] = []
        #: (address, bytes) of all that this was concluded from: its own links first and last
        self.check: list[tuple[int, bytes]] = [(address + at.waiter, head[at.waiter : at.waiter + 16])]


class Walked:
    """What one walk found."""

    __slots__ = ("ended", "seen", "torn")

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.ended: dict[int, Outcome] = {}  #: no living tasks (any more)
        self.torn: list[int] = []  #: they moved meanwhile


_NUMBERED = re.compile(r"Task-\d+$")
#: Words after the head of a coroutine among which its name and, behind that, its qualified name are (3.8 to 3.15).
_NAMES = 7


class Walker:
    def __init__(self, values: Values, chains: Chains, waits: Waits, holders: Holders) -> None:
        self._values, self._chains, self._waits, self._holders = values, chains, waits, holders
        self._memory, self._at = values.memory, values.layout
        self._type, self._mask = values.o["ob.type"], values.o.tag_mask
        self._checker = Checker(values)
        self._proofs = 0
        self.problem = ""  #: why the layout is not believed

    def walk(self, addresses: list[int], running: Collection[int]) -> Walked:
        at, memory = self._at, self._memory
        result = Walked()
        living: list[tuple[int, bytes]] = []
        for address, head in zip(addresses, memory.read_many([(a, at.head) for a in addresses]), strict=True):
            if head is None or not self.is_task(head):
                result.ended[address] = Outcome.NOT_SEEN
            elif _INT(head, at.state)[0] != PENDING:
                result.ended[address] = self._outcome(head)
            else:
                living.append((address, head))
        if not self._proved(living):
            return result
        names = self._names([_WORD(head, at.name)[0] for _, head in living])
        seen = [Seen(a, head, at, *name) for (a, head), name in zip(living, names, strict=True)]
        still = [s for s in seen if s.address not in running]
        for s in seen:
            if s.address in running:
                s.waiting = Waiting(TaskState.RUNNING)
                link = self._chains.frame(s.coroutine) if s.coroutine else None
                s.links = [link] if link is not None else []
                s.check.clear()
                result.seen.append(s)
        self._conclude(still, result)
        return result

    def is_task(self, head: bytes) -> bool:
        return self._values.derives(_WORD(head, self._type)[0], TASK)

    def _conclude(self, still: list[Seen], result: Walked) -> None:
        at, memory = self._at, self._memory
        chains = self._chains.walk([s.coroutine for s in still])
        heads = memory.read_many([(s.future, at.size) if s.future else (0, 0) for s in still])
        asked: list[Seen] = []
        for s, chain, head in zip(still, chains, heads, strict=True):
            if chain.torn:
                result.torn.append(s.address)
                continue
            s.links, s.truncated = chain.links, chain.truncated
            for link in chain.links:
                s.check += link.stand
            s.stands = len(s.check)
            try:
                s.waiting = self._waits.of(chain, s.future, head if s.future else None)
                s.held = self._holders.of(chain.links, s.check)
            except BAD:
                result.torn.append(s.address)
                continue
            s.check.append(s.check[0])
            asked.append(s)
        for s, same in zip(asked, self._checker.same([s.check for s in asked]), strict=True):
            if same:
                result.seen.append(s)
            else:
                result.torn.append(s.address)

    # ------------------------------------------------------------------ details

    def _names(self, addresses: list[int]) -> list[tuple[str, bytes]]:
        """Names, and the bytes that tell them, read anew each time: a name's address is used again, as a task's is."""
        values, start, size = self._values, *_NAME
        parts = self._memory.read_many([(a, start + size) if a else (0, 0) for a in addresses])
        found: list[tuple[str, bytes]] = []
        for address, part in zip(addresses, parts, strict=True):
            kind = values.name_of(_WORD(part, self._type)[0]) if part else values.type_name(address)
            try:
                if kind == "int":
                    name = f"Task-{values.objects.integers([address])[0]}"
                elif kind == "str":
                    name = values.objects.string_of(part, address)[:200] if part else values.text(address)
                else:
                    # Named by an object that is no string: 3.12 and older keep what they are given.
                    name = f"<{kind}>" if kind else ""
            except BAD:
                name = ""
            found.append((name, part[start:] if part else b""))
        return found

    # ------------------------------------------------------------------ where it stood before

    def same_place(self, tasks: list[Task]) -> dict[int, Waiting]:
        """Of tasks that moved, those that stand where they stood, at another future: address -> what they wait for.
        All that a walk would conclude from is read in one call, between two reads of the future."""
        found: dict[int, Waiting] = {}
        batch: list[Task] = []
        segments = array("Q")
        for task in tasks:
            again = task.again
            if again is None:
                continue
            if len(segments) + len(again.segments) > 2 * MAX_SEGMENTS:
                self._same(batch, segments, found)
                batch, segments = [], array("Q")
            batch.append(task)
            segments.extend(again.segments)
        if batch:
            self._same(batch, segments, found)
        return found

    def _same(self, batch: list[Task], segments: array[int], found: dict[int, Waiting]) -> None:
        memory, at, header = self._memory, self._at, self._values.o.header
        data = memory.read_joined(segments, sum([t.again.size for t in batch if t.again is not None]))
        if data is None:
            return
        stand: list[tuple[Task, Again, int, int]] = []
        start = 0
        for task in batch:
            again = task.again
            if again is None:
                continue
            begin, start = start, start + again.size
            future, coroutine, name, slot = _HEAD(data, begin)
            if (
                future
                and coroutine == task.coroutine
                and name == again.name_at
                and data[start - 8 : start] == data[begin : begin + 8]
                and data[begin + 32 : start - 8] == again.constant
            ):
                stand.append((task, again, future, slot))
        states = memory.read_many([(future + at.state, 4) for _, _, future, _ in stand])
        timed = [(task, again, future, slot) for task, again, future, slot in stand if again.waiting.due_s]
        floats = memory.read_many([((slot & self._mask) + at.when, 8) for _, _, _, slot in timed])
        whens = memory.read_many([(_WORD(f)[0] + header, 8) if f is not None else (0, 0) for f in floats])
        due = {t.address: _DOUBLE(w)[0] for (t, _, _, _), w in zip(timed, whens, strict=True) if w}
        for (task, again, future, slot), state in zip(stand, states, strict=True):
            if state is None:
                continue
            task.next_future = future
            old = again.waiting
            if _INT(state)[0] != PENDING:
                found[task.address] = Waiting(TaskState.READY)
            elif not old.due_s:
                if slot == again.slot:
                    found[task.address] = old
            else:
                when = due.get(task.address, 0.0)
                if 0 < when < min(FAR_S, old.due_s + _LONG):
                    found[task.address] = Waiting(
                        old.state, old.via, due_s=when, began_s=when - (old.due_s - old.began_s) if old.began_s else 0.0
                    )

    def _outcome(self, head: bytes) -> Outcome:
        at = self._at
        state = _INT(head, at.state)[0]
        if state == CANCELLED:
            return Outcome.CANCELLED
        if state != FINISHED:
            return Outcome.NOT_SEEN
        return Outcome.FAILED if _WORD(head, at.exception)[0] else Outcome.RETURNED

    def unretrieved(self, address: int) -> str:
        """The class of the exception that a task ended with, while nobody has asked for it; '' otherwise."""
        at, memory = self._at, self._memory
        try:
            head = memory.read(address, at.head)
            if not self.is_task(head) or _INT(head, at.state)[0] != FINISHED or not head[at.state + 4] & 1:
                return ""
            return self._values.type_name(_WORD(head, at.exception)[0]).rpartition(".")[2]
        except BAD:
            return ""

    def name(self, address: int) -> str:
        """A task's name; where that is only a number, its coroutine's."""
        try:
            head = self._memory.read(address, self._at.head)
            given = self._names([_WORD(head, self._at.name)[0]])[0][0]
            if given and not _NUMBERED.match(given):
                return given
            coroutine = _WORD(head, self._at.coroutine)[0]
            words = self._memory.words(coroutine + self._values.o.header, _NAMES)
            strings = [w for w, kind in zip(words, self._values.type_names(words), strict=True) if kind == "str"]
            return self._values.text(strings[:2][-1]) if strings else given
        except BAD:
            return ""

    def ended(self, address: int) -> str:
        """How a task has ended: 'failed with ValueError', 'was cancelled', 'has ended'; '' while it has not, or is no
        task."""
        try:
            head = self._memory.read(address, self._at.head)
            if not self.is_task(head) or _INT(head, self._at.state)[0] == PENDING:
                return ""
            outcome = self._outcome(head)
            if outcome is Outcome.FAILED:
                kind = self._values.type_name(_WORD(head, self._at.exception)[0]).rpartition(".")[2]
                return f"failed with {kind or 'an exception'}"
            return {Outcome.CANCELLED: "was cancelled", Outcome.RETURNED: "has ended"}.get(outcome, "")
        except BAD:
            return ""

    def serves(self, address: int) -> int:
        """The future of `concurrent.futures` that gets a task's result: run_coroutine_threadsafe made it; 0 none."""
        try:
            return self._waits.destination(self._memory.read(address, self._at.head))
        except BAD:
            return 0

    def _proved(self, living: list[tuple[int, bytes]]) -> bool:
        """Whether the layout holds on this interpreter. False: `problem` says why not."""
        if self._proofs >= _PROOFS or not living:
            return not self.problem
        at = self._at
        for address, head in living[:_PROOFS]:
            words = [_WORD(head, where)[0] for where in (at.loop, at.waiter, at.coroutine, at.name)]
            try:
                again = self._memory.read(address, at.head)
                if again != head:
                    continue  # it moves: no proof
                proves(at, head, self._values.type_names(words))
            except Mismatch as mismatch:
                self.problem = str(mismatch)
                return False
            except BAD:
                continue
            self._proofs += 1
        self.problem = ""
        return True
