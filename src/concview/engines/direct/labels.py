"""In whose name threads and tasks work, as a look beside the samples.

What was read of a stack is believed only when all of it reads the same a second time and the frames are still where
they were; what is torn is unknown. What is known already costs one comparison of its bytes, all threads in one call; of
a task that has not moved, nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from concview.cpython.aio.chain import Checker, Link
from concview.cpython.aio.values import BAD
from concview.cpython.code import Place
from concview.cpython.threads import Thread
from concview.engines.direct.frames.sampler import Sampler
from concview.engines.direct.tasks import TaskTracker
from concview.engines.direct.tasks.records import Task
from concview.engines.direct.thread_table import ThreadTable
from concview.labels.base import Raw
from concview.labels.policy import label
from concview.labels.reader import Candidate, Frame, LabelReader, Reading, join, same
from concview.labels.spans import Span, Spans
from concview.model import Label, TaskState, Work, WorkItem
from concview.sink import Sink

#: How often; addresses may have been reused after; an item nobody was seen to work on is forgotten after.
LOOK_NS, _FORGET_NS, _KEPT_NS = 200_000_000, 30_000_000_000, 1_500_000_000
#: What a thread was in, that has run since and had no turn for so long, is not known any more.
_STALE_NS = 1_000_000_000
#: Told in one report; threads and tasks of which something is kept.
MAX_ITEMS, _MAX_OWNERS = 512, 20_000
#: Stacks read before they are read again; tasks looked at in one turn.
_BATCH, _TASKS_AT_ONCE = 16, 4_000
#: Tasks that one waits for, and tasks between one and who waits for it in the end, that are looked at.
_MOST_AWAITED, _MOST_BETWEEN = 1_000, 8


class _Owner:
    """A thread or a task, and what its stack said last."""

    __slots__ = (
        "candidates",
        "items",
        "links",
        "off_cpu",
        "places",
        "proof",
        "raws",
        "rested",
        "serves",
        "sure_ns",
        "task",
        "thread",
    )

    def __init__(self, thread: Thread | None = None) -> None:
        self.thread = thread
        self.places: list[Place] | None = None  #: the walk that the candidates are of
        self.links: list[Link] | None = None
        self.task: Task | None = None
        self.candidates: tuple[Candidate, ...] = ()
        self.proof: tuple[tuple[int, bytes], ...] | None = None  #: None: nothing is known
        self.raws: list[Raw] = []
        self.serves: list[int] = []
        self.items: list[_Item] = []  #: innermost first
        #: The kernel's times of a thread that was off the CPU, before `proof` was last found to be so, and now: as long
        #: as they are the same it has not run, and its own variables are what they were. b'': it ran, or is not known.
        self.rested = self.off_cpu = b""
        self.sure_ns = 0  #: when `items` was last found to be so


class _InSpan(NamedTuple):
    """`proof`: what tells the span; `stand`: what changes when it is left."""

    span: Span | None = None
    proof: tuple[tuple[int, bytes], ...] = ()
    stand: tuple[tuple[int, bytes], ...] = ()


_NO_SPAN = _InSpan()


class _Item:
    __slots__ = (
        "before", "id", "inside", "key", "label", "seen_ns", "span", "started_ns", "tasks", "threads", "used_ns",
    )  # fmt: skip

    def __init__(self, id_: int, key: tuple[object, ...], now: int, before: bool) -> None:
        self.id, self.key, self.seen_ns, self.before = id_, key, now, before
        self.label: Label | None = None
        self.started_ns = self.inside = self.used_ns = 0
        self.span: Span | None = None
        self.threads: list[int] = []
        self.tasks: list[int] = []


class LabelLook:
    """Implements `engines.base.Look`."""

    name: str = "labels"
    every_ns: int = LOOK_NS

    def __init__(
        self,
        pid: int,
        started: float,
        sink: Sink,
        table: ThreadTable,
        sampler: Sampler,
        tasks: TaskTracker,
        full: bool,
        off_cpu: Callable[[int], bytes],
    ) -> None:
        """`off_cpu`: what changes whenever the thread with that tid runs; b'' while it does, or where it is not
        known."""
        self._pid, self._started, self._sink, self._full = pid, started, sink, full
        self._table, self._sampler, self._tracker = table, sampler, tasks
        self._off_cpu = off_cpu
        self.reader = LabelReader(tasks.values, tasks.chains, tasks.sites.origin)
        self._checker = Checker(tasks.values)
        self._spans = Spans(tasks.values, self.reader.access)
        self._start = tasks.values.o["f.localsplus"]
        self._threads: dict[int, _Owner] = {}
        self._tasks: dict[int, _Owner] = {}
        self._items: dict[tuple[object, ...], _Item] = {}
        self._next_id = 0
        self._forget_at = self._round_ns = 0
        self._early = True  #: the first round is not over
        self._rest: list[tuple[int, bool]] = []  #: who has not had a turn in this round: (tid or task id, is a task)
        self._by_id: dict[int, Task] = {}
        self._unknown: set[tuple[int, bool]] = set()
        self._torn = 0
        self._generation = sink.generation
        self._told: object = None
        self._now = 0
        self._zone: bool | None = None

    # ------------------------------------------------------------------ one turn

    def look(self, at_ns: int, allowed_ns: int) -> bool:
        """False: not everybody had a turn. Costs next to nothing where no stack has a frame that a kind knows."""
        began = time.thread_time_ns()
        self._now = at_ns
        if at_ns >= self._forget_at:
            self._forget_at = at_ns + _FORGET_NS
            self.reader.forget()
            self._spans.forget()
        if not self._rest:
            self._begin(at_ns)
        waiting: list[tuple[int, bool]] = []
        check: list[tuple[int, bool]] = []
        rest = self._rest
        while rest:
            who = rest.pop()
            todo = self._prepare(*who)
            if todo == "read":
                waiting.append(who)
            elif todo == "check":
                check.append(who)
            if not len(rest) & 127 and time.thread_time_ns() - began > allowed_ns:
                break
        waiting += self._check(check)
        for i in range(0, len(waiting), _BATCH):
            if i and time.thread_time_ns() - began > allowed_ns:
                rest += waiting[i:]
                break
            self._read(waiting[i : i + _BATCH], at_ns)
        if rest and at_ns - self._round_ns < 4 * LOOK_NS:
            return False
        self._tell(at_ns)
        self._early = self._early and bool(rest)
        return not rest

    def _begin(self, now: int) -> None:
        """A round: every thread and task once."""
        self._round_ns = now
        if self._tracker.tasks:
            sampler = self._sampler
            self._tracker.refresh(now, sampler.interpreters, sampler.threads, self._table.by_ident)
        self._unknown.clear()
        table = self._table.by_tid
        for tid in [t for t in self._threads if t not in table]:
            del self._threads[tid]
        self._by_id = {t.id: t for t in self._tracker.tasks.values()}
        for id_ in [t for t in self._tasks if t not in self._by_id]:
            del self._tasks[id_]
        self._rest = [(t, True) for t in list(self._by_id)[:_MAX_OWNERS]]
        self._rest += [(tid, False) for tid, row in table.items() if row.states]

    def _prepare(self, id_: int, is_task: bool) -> str:
        """What is to be done about this one: 'read', 'check' or '' (nothing)."""
        if is_task:
            return self._prepare_task(id_)
        row = self._table.by_tid.get(id_)
        if row is None or not row.states:
            self._threads.pop(id_, None)
            return ""
        thread = row.states[0]
        owner = self._threads.get(id_)
        if owner is None or owner.thread is not thread:
            owner = self._threads[id_] = _Owner(thread)
        walk = thread.walk
        if owner.places is not walk.places:
            owner.places = walk.places
            self._candidates(owner, self.reader.candidates(self._frames(walk.places, walk.addresses)))
        if not owner.candidates:
            return ""
        owner.off_cpu = self._off_cpu(id_)
        if owner.proof is None:
            return "read"
        if not owner.off_cpu or owner.off_cpu != owner.rested:
            return "check"
        owner.sure_ns = self._now
        return ""

    def _frames(self, places: Sequence[Place], addresses: Sequence[int]) -> Iterator[Frame]:
        start = self._start
        for place, address in zip(places, addresses, strict=True):
            yield Frame(place.code, address + start)

    def _prepare_task(self, id_: int) -> str:
        task = self._by_id.get(id_)
        if task is None or not task.alive or task.waiting is None or task.waiting.state is TaskState.RUNNING:
            self._tasks.pop(id_, None)  # of a running one the thread's stack tells
            return ""
        owner = self._tasks.get(id_)
        if owner is None:
            owner = self._tasks[id_] = _Owner()
        if owner.links is not task.links:
            owner.links = task.links
            frames = (Frame(link.code, link.slots) for link in reversed(task.links))
            self._candidates(owner, self.reader.candidates(frames))
        owner.task = task
        if not owner.candidates:
            return ""
        return "read" if owner.proof is None else "check"

    def _candidates(self, owner: _Owner, found: tuple[Candidate, ...]) -> None:
        if found != owner.candidates:
            owner.candidates, owner.proof = found, None
        if not found:
            owner.items, owner.raws, owner.serves = [], [], []

    def _owner(self, who: tuple[int, bool]) -> _Owner | None:
        return (self._tasks if who[1] else self._threads).get(who[0])

    # ------------------------------------------------------------------ reading

    def _check(self, who: list[tuple[int, bool]]) -> list[tuple[int, bool]]:
        """Those that must be read anew: something of what they were concluded from has changed."""
        known = [(w, owner) for w in who if (owner := self._owner(w)) is not None]
        same = self._checker.same([self._proof(owner, owner.proof or ()) for _, owner in known])
        for (_, owner), ok in zip(known, same, strict=True):
            if ok:
                owner.rested, owner.sure_ns = owner.off_cpu, self._now
        return [w for (w, _), ok in zip(known, same, strict=True) if not ok]

    def _read(self, batch: list[tuple[int, bool]], now: int) -> None:
        readings: list[tuple[tuple[int, bool], _Owner, Reading, _InSpan]] = []
        threads: list[Thread] = []
        for who in batch:
            owner = self._owner(who)
            if owner is None:
                continue
            reading = self.reader.read(owner.candidates)
            readings.append((who, owner, reading, self._span(owner, reading)))
            if owner.thread is not None:
                threads.append(owner.thread)
        if threads:
            self._sampler.once_more(threads)
        asked = [self._proof(owner, (*reading.proof, *inside.proof)) for _, owner, reading, inside in readings]
        same = self._checker.same(asked)
        for (who, owner, reading, inside), ok in zip(readings, same, strict=True):
            if reading.failed or not ok or not self._stands(owner):
                self._torn += 1
                self._unknown.add(who)
                owner.proof, owner.items, owner.raws, owner.serves = None, [], [], []
                owner.rested = b""
                continue
            owner.rested, owner.sure_ns = owner.off_cpu, now
            owner.proof, owner.raws, owner.serves = reading.proof, reading.raws, reading.serves
            owner.items = [self._item(raw, now) for raw in reading.raws]
            owner.proof += inside.stand
            if inside.span is not None:
                self._in_span(owner.items, inside.span, now)

    def _span(self, owner: _Owner, reading: Reading) -> _InSpan:
        """The span in which somebody works. Read with what it works on, for that has not changed
        until all of it has been read again: so both belong together."""
        if reading.failed or not reading.raws or not self._spans.worth_it:
            return _NO_SPAN
        self.reader.access.begin()
        task, thread = owner.task, owner.thread
        name = task.address + self._tracker.values.layout.name if task is not None else 0
        state = thread.address if thread is not None else 0
        try:
            span = self._spans.of_task(name) if name else self._spans.of_thread(state)
            return _InSpan(span, self.reader.access.proof(), self._spans.stand(state, name))
        except BAD:
            return _NO_SPAN

    def _in_span(self, items: Sequence[_Item], span: Span, now: int) -> None:
        for item in items:
            item.span = span
        if items and span.began_s and not items[-1].started_ns:  # the first span here is the whole request's or job's
            items[-1].started_ns = self._since(now - int((time.time() - span.began_s) * 1e9), now)

    def _proof(self, owner: _Owner, proof: Sequence[tuple[int, bytes]]) -> Sequence[tuple[int, bytes]]:
        """What must read the same: of a task also that it still waits, in the frames that were read."""
        task, links = owner.task, owner.links
        if task is None or links is None:
            return proof
        slots = {c.frame.slots for c in owner.candidates}
        stands = (part for link in links if link.slots in slots for part in link.stand)
        return [*proof, self._tracker.still(task), *stands]

    def _stands(self, owner: _Owner) -> bool:
        """Whether a thread is still in the frames that were read, as it was just copied again."""
        thread = owner.thread
        if thread is None:
            return True
        walk = thread.walk
        there = {address + self._start: place.code for place, address in zip(walk.places, walk.addresses, strict=True)}
        if any(there.get(c.frame.slots) is not c.frame.code for c in owner.candidates):
            return False
        if walk.places is not owner.places:
            owner.places = walk.places
            again = self.reader.candidates(self._frames(walk.places, walk.addresses))
            return again == owner.candidates
        return True

    # ------------------------------------------------------------------ items

    def _item(self, raw: Raw, now: int) -> _Item:
        item = self._items.get(raw.key)
        if item is None:
            self._next_id += 1
            item = self._items[raw.key] = _Item(self._next_id, raw.key, now, self._early)
        found = label(raw, self._full)
        known = item.label
        if known is None or not found.missing or known.missing or found.after != known.after:
            item.label = found
        if not item.started_ns:
            item.started_ns = self._began(raw, now)
        item.used_ns = now
        return item

    def _began(self, raw: Raw, now: int) -> int:
        """On CLOCK_MONOTONIC; 0 where it is not told, or cannot be."""
        if raw.started_s:
            at = int(raw.started_s * 1e9)
        elif raw.wall_s:
            at = now - int((time.time() - raw.wall_s) * 1e9)
        elif raw.local is not None and self._same_zone():
            wall = datetime.fromtimestamp(raw.local, UTC).replace(tzinfo=None).timestamp()
            at = now - int((time.time() - wall) * 1e9)
        else:
            return 0
        return self._since(at, now)

    def _since(self, at: int, now: int) -> int:
        """A beginning that was read; 0 where it cannot be one."""
        late = time.monotonic_ns()
        born = late - int((time.time() - self._started) * 1e9)
        # A clock that was set, or a value that is none.
        return min(at, now) if born - 1_000_000_000 <= at <= late + 1_000_000 else 0

    def _same_zone(self) -> bool:
        """Whether the target's local time is ours."""
        if self._zone is None:
            try:
                variables = Path(f"/proc/{self._pid}/environ").read_bytes().split(b"\0")
                theirs = next((v[3:] for v in variables if v.startswith(b"TZ=")), None)
                ours = os.environ.get("TZ")
                self._zone = theirs == (ours.encode() if ours is not None else None)
                if self._zone and theirs is None:
                    root = f"/proc/{self._pid}/root"
                    self._zone = _zone_file(root) == _zone_file("")
            except OSError:
                self._zone = False
        return self._zone

    # ------------------------------------------------------------------ telling

    def _tell(self, now: int) -> None:
        if self._sink.generation != self._generation:
            self._generation, self._told = self._sink.generation, None
        self._drop_stale(now)
        items = self._shares(now)
        for key in [k for k, item in self._items.items() if now - item.used_ns > _KEPT_NS]:
            del self._items[key]
        rows = tuple(
            [
                WorkItem(
                    item.id, self._sink.label(item.label), item.seen_ns, item.started_ns, tuple(item.threads),
                    tuple(item.tasks), item.inside, item.before, item.span.trace if item.span else "",
                    item.span.span if item.span else "",
                )
                for item in items[:MAX_ITEMS]
                if item.label is not None
            ]
        )  # fmt: skip
        looked = len(self._threads) + len(self._tasks)
        said = rows, len(self._unknown), max(0, len(items) - MAX_ITEMS), tuple(sorted(self.reader.seen))
        if said != self._told:
            self._told = said
            self._sink.emit(Work(now, rows, looked, len(self._unknown), self._torn, *said[2:]))

    def _drop_stale(self, now: int) -> None:
        """On a full machine a round takes long: what somebody was in seconds ago may be over long since."""
        for tid, owner in self._threads.items():
            if not owner.items or now - owner.sure_ns <= _STALE_NS:
                continue
            if owner.rested and self._off_cpu(tid) == owner.rested:
                owner.sure_ns = now
                continue
            self._unknown.add((tid, False))
            owner.proof, owner.items, owner.raws, owner.serves = None, [], [], []
        for id_, owner in self._tasks.items():
            if owner.items and now - owner.sure_ns > _STALE_NS:
                self._unknown.add((id_, True))
                owner.proof, owner.items, owner.raws, owner.serves = None, [], [], []

    def _shares(self, now: int) -> list[_Item]:
        """Items in progress, oldest first, with who works on each and what it is a part of."""
        found: dict[int, _Item] = {}
        serves: dict[int, _Owner] = {}  #: future -> the task that it is done for
        awaiters = self._awaiters()
        for id_, owner in self._tasks.items():
            task = self._by_id.get(id_)
            whose = owner if owner.items else awaiters.get(id_)
            if whose is not None and task is not None and task.waiting is not None:
                for future in (task.future, task.waiting.call):
                    if future:
                        serves[future] = whose
        inherited: list[tuple[int, bool, _Item | None, list[_Item]]] = []
        parts: dict[int, _Item] = {}  #: what turned out to be another one's, as somebody else tells it -> that one
        every = [(id_, owner, True) for id_, owner in self._tasks.items()]
        every += [(tid, owner, False) for tid, owner in self._threads.items()]
        for _, owner, _ in every:
            for item in owner.items:
                item.threads, item.tasks, item.inside = [], [], 0
        for id_, owner, is_task in every:
            outer = next((serves[f] for f in owner.serves if f in serves), None)
            if outer is None:
                outer = awaiters.get(id_ if is_task else -id_)
            own, around = self._chain(owner, outer, parts) if outer is not None else (owner.items, [])
            if around:
                inherited.append((id_, is_task, own[-1] if own else None, around))
            _put(own, id_, is_task, found)
        for id_, is_task, last, around in inherited:  # behind those whose own frames tell it
            _put(around, id_, is_task, found)
            if last is not None and last is not around[0]:
                last.inside = around[0].id
        _join(found, parts)
        for item in found.values():
            item.used_ns = now
        return sorted(found.values(), key=lambda item: item.started_ns or item.seen_ns)

    def _awaiters(self) -> dict[int, _Owner]:
        """Task id, or -tid of the thread that runs it -> who waits for that task alone, and has work. It may be some
        tasks away: `asyncio.wait_for` and `gather` put others between. One that several wait for is nobody's."""
        direct: dict[int, int] = {}
        shared: set[int] = set()
        for id_, owner in self._tasks.items():
            task = owner.task or self._by_id.get(id_)
            waiting = task.waiting if task is not None else None
            for address in waiting.awaited[:_MOST_AWAITED] if waiting is not None else ():
                child = self._tracker.tasks.get(address)
                if child is not None and direct.setdefault(child.id, id_) != id_:
                    shared.add(child.id)
        found: dict[int, _Owner] = {}
        running = {t.id: tid for a, tid in self._tracker.running.items() if (t := self._tracker.tasks.get(a))}
        for child_id in direct:
            at, steps = child_id, 0
            while at in direct and at not in shared and steps < _MOST_BETWEEN:
                at, steps = direct[at], steps + 1
                owner = self._tasks[at]
                if owner.items:
                    found[-running[child_id] if child_id in running else child_id] = owner
                    break
        return found

    def _chain(self, owner: _Owner, outer: _Owner, parts: dict[int, _Item]) -> tuple[list[_Item], list[_Item]]:
        """What is done here, and what that is done for. A request that the task has from its server and the thread
        from its framework is one."""
        inner = list(owner.items)
        if owner.raws and outer.raws and same(outer.raws[0], owner.raws[-1]):
            whole = outer.items[0]
            found = label(join(outer.raws[0], owner.raws[-1]), self._full)
            if inner[-1] is not whole:
                parts[inner[-1].id] = whole
                if not found.missing:
                    whole.label = found
            inner.pop()
        return inner, [i for i in outer.items if i not in inner]


def _put(chain: Sequence[_Item], id_: int, is_task: bool, found: dict[int, _Item]) -> None:
    """Somebody works on these, innermost first."""
    for item, around in zip(chain, [*chain[1:], None], strict=False):
        found[item.id] = item
        (item.tasks if is_task else item.threads).append(id_)
        if around is not None:
            item.inside = around.id


def _join(found: dict[int, _Item], parts: dict[int, _Item]) -> None:
    """Whoever works on a part works on the whole: where tasks wait for tasks, another one may tell which that is."""
    for id_ in [id_ for id_ in found if id_ in parts]:
        item = found[id_]
        whole, steps = parts[id_], 0
        while whole.id in parts and steps < _MOST_BETWEEN:
            whole, steps = parts[whole.id], steps + 1
        if whole.id not in found or whole is item:
            continue
        del found[id_]
        whole.threads += [t for t in item.threads if t not in whole.threads]
        whole.tasks += [t for t in item.tasks if t not in whole.tasks]
        for other in found.values():
            if other.inside == id_:
                other.inside = whole.id


def _zone_file(root: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"{root}/etc/localtime").read_bytes()
    return b""
