"""The look itself.

What was read of a stack is believed only when all of it reads the same a second time and the frames are still where
they were; what is torn is unknown. What is known already costs one comparison of its bytes, all threads in one call; of
a task that has not moved, nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from concview.cpython.aio.chain import Checker
from concview.cpython.aio.values import BAD
from concview.cpython.code import Place
from concview.cpython.threads import Thread
from concview.engines.direct.frames.sampler import Sampler
from concview.engines.direct.labels.clock import TargetClock
from concview.engines.direct.labels.records import Item, Owner
from concview.engines.direct.labels.shares import Shares
from concview.engines.direct.tasks import TaskTracker
from concview.engines.direct.tasks.records import Task
from concview.engines.direct.thread_table import ThreadTable
from concview.labels.base import Raw
from concview.labels.policy import label
from concview.labels.reader import Candidate, Frame, LabelReader, Reading
from concview.labels.spans import Span, Spans
from concview.model import TaskState, Work, WorkItem, WorkKind
from concview.sink import Sink

#: How often; addresses may have been reused after; an item nobody was seen to work on is forgotten after.
LOOK_NS, _FORGET_NS, _KEPT_NS = 200_000_000, 30_000_000_000, 1_500_000_000
#: What a thread was in, that has run since and had no turn for so long, is not known any more.
_STALE_NS = 1_000_000_000
#: What has not changed is told again after so long: that it was looked at is news.
_AGAIN_NS = 1_000_000_000
#: Told in one report; threads and tasks of which something is kept.
MAX_ITEMS, _MAX_OWNERS = 512, 20_000
#: Stacks read before they are read again; tasks looked at in one turn.
_BATCH, _TASKS_AT_ONCE = 16, 4_000


#: Kinds of work of which nothing may tell the next one from the last.
_ALIKE = frozenset({WorkKind.QUERY, WorkKind.CALL})


class _InSpan(NamedTuple):
    """`proof`: what tells the span; `stand`: what changes when it is left."""

    span: Span | None = None
    proof: tuple[tuple[int, bytes], ...] = ()
    stand: tuple[tuple[int, bytes], ...] = ()


_NO_SPAN = _InSpan()


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
        self._sink, self._full = sink, full
        self._clock = TargetClock(pid, started)
        self._table, self._sampler, self._tracker = table, sampler, tasks
        self._off_cpu = off_cpu
        self.reader = LabelReader(tasks.values, tasks.chains, tasks.sites.origin)
        self._checker = Checker(tasks.values)
        self._spans = Spans(tasks.values, self.reader.access)
        self._start = tasks.values.o["f.localsplus"]
        self._threads: dict[int, Owner] = {}
        self._tasks: dict[int, Owner] = {}
        self._shares = Shares(tasks, self._threads, self._tasks, full)
        self._items: dict[tuple[object, ...], Item] = {}
        self._next_id = 0
        self._forget_at = self._round_ns = 0
        self._early = True  #: the first round is not over
        self._rest: list[tuple[int, bool]] = []  #: who has not had a turn in this round: (tid or task id, is a task)
        self._by_id: dict[int, Task] = {}
        self._unknown: set[tuple[int, bool]] = set()
        self._torn = 0
        self._generation = sink.generation
        self._told: object = None
        self._told_ns = 0
        self._now = 0

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
            owner = self._threads[id_] = Owner(thread)
        walk = thread.walk
        if owner.places is not walk.places:
            owner.places = walk.places
            self._candidates(owner, self.reader.candidates(self._frames(walk.places, walk.addresses)))
        if not owner.candidates:
            return ""
        owner.off_cpu = self._off_cpu(id_)
        ran = not owner.off_cpu or owner.off_cpu != owner.rested
        if ran:
            owner.ran_ns = self._now
        if owner.proof is None:
            return "read"
        if ran:
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
            owner = self._tasks[id_] = Owner()
        if owner.links is not task.links:
            owner.links = task.links
            frames = (Frame(link.code, link.slots) for link in reversed(task.links))
            self._candidates(owner, self.reader.candidates(frames))
        owner.task = task
        if owner.steps != task.steps:
            owner.steps, owner.ran_ns = task.steps, self._now
        if not owner.candidates:
            return ""
        return "read" if owner.proof is None else "check"

    def _candidates(self, owner: Owner, found: tuple[Candidate, ...]) -> None:
        if found != owner.candidates:
            owner.candidates, owner.proof = found, None
        if not found:
            owner.items, owner.raws, owner.serves = [], [], []

    def _owner(self, who: tuple[int, bool]) -> Owner | None:
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
        readings: list[tuple[tuple[int, bool], Owner, Reading, _InSpan]] = []
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
            owner.items = [self._item(raw, now, owner.task) for raw in reading.raws]
            owner.proof += inside.stand
            if inside.span is not None:
                self._in_span(owner.items, inside.span, now)

    def _span(self, owner: Owner, reading: Reading) -> _InSpan:
        """The span in which somebody works. Read with what it works on, for that has not changed
        until all of it has been read again: so both belong together."""
        if reading.failed or not reading.raws or not self._spans.worth_it:
            return _NO_SPAN
        self.reader.access.begin()
        task, thread = owner.task, owner.thread
        if task is not None and task.mark is not None:
            return _NO_SPAN  # its context is not where a task of asyncio's has it
        name = task.address + self._tracker.values.layout.name if task is not None else 0
        state = thread.address if thread is not None else 0
        try:
            span = self._spans.of_task(name) if name else self._spans.of_thread(state)
            return _InSpan(span, self.reader.access.proof(), self._spans.stand(state, name))
        except BAD:
            return _NO_SPAN

    def _in_span(self, items: Sequence[Item], span: Span, now: int) -> None:
        for item in items:
            item.span = span
        if items and span.began_s and not items[-1].started_ns:  # the first span here is the whole request's or job's
            items[-1].started_ns = self._clock.since(now - int((time.time() - span.began_s) * 1e9), now)

    def _proof(self, owner: Owner, proof: Sequence[tuple[int, bytes]]) -> Sequence[tuple[int, bytes]]:
        """What must read the same: of a task also that it still waits, in the frames that were read."""
        task, links = owner.task, owner.links
        if task is None or links is None:
            return proof
        slots = {c.frame.slots for c in owner.candidates}
        stands = (part for link in links if link.slots in slots for part in link.stand)
        return [*proof, *self._tracker.still(task), *stands]

    def _stands(self, owner: Owner) -> bool:
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

    def _item(self, raw: Raw, now: int, task: Task | None) -> Item:
        """`task`: who works on it, where that is none of the threads."""
        item = self._items.get(raw.key)
        if item is None or (task is not None and self._was_of_others(item, task.id)):
            self._next_id += 1
            item = self._items[raw.key] = Item(self._next_id, raw.key, now, self._early)
        found = label(raw, self._full)
        known = item.label
        if known is None or not found.missing or known.missing or found.after != known.after:
            item.label = found
        if not item.started_ns:
            item.started_ns = self._clock.began(raw, now)
        item.alike = raw.alike or raw.kind in _ALIKE
        item.used_ns = now
        return item

    def _was_of_others(self, item: Item, task: int) -> bool:
        """Whether all tasks that worked on it have ended: what another one has at the same addresses is the next."""
        ended = bool(item.tasks) and not item.threads
        return ended and task not in item.tasks and not any(id_ in self._by_id for id_ in item.tasks)

    # ------------------------------------------------------------------ telling

    def _tell(self, now: int) -> None:
        if self._sink.generation != self._generation:
            self._generation, self._told = self._sink.generation, None
        self._drop_stale(now)
        items = self._shares(self._by_id)
        self._surely()
        for item in items:
            item.used_ns = now
        for key in [k for k, item in self._items.items() if now - item.used_ns > _KEPT_NS]:
            del self._items[key]
        rows = tuple(
            [
                WorkItem(
                    item.id,
                    self._sink.label(item.label),
                    item.seen_ns,
                    item.started_ns,
                    tuple(item.threads),
                    tuple(item.tasks),
                    item.inside,
                    item.before,
                    item.span.trace if item.span else "",
                    item.span.span if item.span else "",
                    item.sure_ns,
                )
                for item in items[:MAX_ITEMS]
                if item.label is not None
            ]
        )
        looked = len(self._threads) + len(self._tasks)
        said = rows, len(self._unknown), max(0, len(items) - MAX_ITEMS), tuple(sorted(self.reader.seen))
        if said != self._told or ((rows or said[1]) and now - self._told_ns >= _AGAIN_NS):
            self._told, self._told_ns = said, now
            self._sink.emit(Work(now, rows, looked, len(self._unknown), self._torn, *said[2:]))

    def _surely(self) -> None:
        """Since when a query or call is surely the one that it is: since those who are in it last ran. One statement is
        executed again and again on one connection, one address asked again and again, with the same objects."""
        rested: dict[Item, int] = {}
        for owner in (*self._threads.values(), *self._tasks.values()):
            for item in owner.items:
                if item.alike and not item.started_ns:
                    rested[item] = min(rested.get(item, owner.ran_ns), owner.ran_ns)
        for item, ran_ns in rested.items():
            if ran_ns > item.seen_ns:
                item.sure_ns = max(item.sure_ns, ran_ns)

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
