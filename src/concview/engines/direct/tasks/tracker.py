"""Looking at tasks again and again at the price of those that moved.

At every look: the loops' ready queues and the running tasks; where nothing was appended, popped or runs, no task can
have changed, and the look is done. Otherwise three short pieces of every task are read, many with one call, and
compared as bytes; only tasks whose pieces differ are walked. What a walk found is read a second time, and dropped when
it differs.
"""

from __future__ import annotations

import random
import re
import struct
import time
from collections.abc import Callable, Collection
from itertools import islice
from typing import NamedTuple

from concview.cpython.aio.chain import Chains, Link
from concview.cpython.aio.holders import Holders
from concview.cpython.aio.layout import layout
from concview.cpython.aio.listing import MAX_TASKS, Listing
from concview.cpython.aio.loops import Loops as LoopReader
from concview.cpython.aio.transports import Transports
from concview.cpython.aio.trio import Trio
from concview.cpython.aio.values import BAD, Values
from concview.cpython.aio.waits import Waiting, Waits
from concview.cpython.code import Codes
from concview.cpython.objects import Objects
from concview.cpython.threads import Interpreter, Thread
from concview.engines.direct.relations.frames import Frames
from concview.engines.direct.tasks.connections import Connections
from concview.engines.direct.tasks.failures import Failures
from concview.engines.direct.tasks.generators import Generators
from concview.engines.direct.tasks.greenlet_tasks import GreenletTasks
from concview.engines.direct.tasks.limits import Limits
from concview.engines.direct.tasks.promises import Promises
from concview.engines.direct.tasks.records import NAME_PART, Again, Blocks, Calls, Task
from concview.engines.direct.tasks.report import Reporter
from concview.engines.direct.tasks.sites import Sites
from concview.engines.direct.tasks.stacks import TaskStacks
from concview.engines.direct.tasks.telling import Telling
from concview.engines.direct.tasks.trio_tasks import TrioTasks
from concview.engines.direct.tasks.wait_order import WaitOrder
from concview.engines.direct.tasks.walker import Seen, Walker
from concview.linux.process_facts import ProcessFacts
from concview.model import Outcome, Peer, TaskState
from concview.sink import Sink
from concview.source.facts import SourceFacts

#: A program at rest is read so often all the same, nanoseconds: records of switches are believed for no longer.
_BELIEVED_NS = 250_000_000
#: Intervals in nanoseconds. A look; asyncio's modules; caches by address; a look although nothing seems to have moved.
LOOK_NS = 20_000_000
#: While there is neither a loop nor a task, only modules: they are looked for so often, and the whole is looked at.
NOBODY_NS, _ANYBODY_NS = 200_000_000, 1_000_000_000
FIND_NS = 500_000_000
FORGET_NS = 30_000_000_000
FULL_NS = 5_000_000_000
#: Whether waits at locks and queues are still the same ones.
ORDER_NS = 500_000_000
_FULL_EACH_NS = 500_000  #: later by so much for each task
#: Looking at tasks may take this share of a core where the budget is 5 % of one, and more or less as that is; a look
#: that cost more is followed by a longer pause. Looking for asyncio's modules: this share of the budget.
SHARE, _DEFAULT_BUDGET = 0.02, 0.05
#: The same where the budget does not let the asked rate of samples be kept.
_SLOWED_SHARE = 0.0125
_FIND_SHARE = 0.05
#: The same while the tasks that were there at the beginning are walked for the first time, for so long at most.
FILL_SHARE, FILL_NS = 0.2, 15_000_000_000
#: ... but no longer one than this, and so much for each task.
LONGEST_PAUSE_NS, _PAUSE_EACH_NS = 400_000_000, 15_000
#: Walks of one look, in nanoseconds of our CPU: what does not fit is left for the next ones, in random order.
WALK_NS = 8_000_000
#: Tasks walked together: the less, the more of them go on meanwhile. In parts of a batch: where more of one than the
#: first moved while it was walked, the next ones are half as large, where no more than the second, twice.
_BATCH, _LEAST_BATCH = 64, 4
_MANY_TORN, _FEW_TORN = 0.2, 0.05
#: New tasks taken up at one look: more do not fit into its time.
_MOST_NEW = 1024
#: Addresses of ended tasks that are asked at a look whether another one lies there, and of what was no task.
MOST_REVIVED = 1_000
_PENDING = bytes(4)
#: Where a loop waits for events: asyncio's own, and uvloop's, which is no Python code, under `asyncio.run`.
_SELECTORS, _RUNNERS = ("/selectors.py",), ("asyncio/runners.py", "uvloop/__init__.py")
_PAIR = struct.Struct("<QQ")
_DEFAULT_NAME = re.compile(r"Task-(\d{1,15})$")


class Totals:
    """Since attach."""

    __slots__ = ("ended", "failed", "looks", "seen", "skipped", "torn", "walks")

    def __init__(self) -> None:
        self.ended = self.failed = self.looks = self.seen = self.skipped = self.torn = self.walks = 0


class _Refused(NamedTuple):
    at_ns: int
    interpreter: int


#: Connections that are told.
MOST_PEERS = 16


class TaskTracker:
    """`poll` at every tick of the engine. What it finds is written by `Telling` and `Reporter`."""

    def __init__(
        self,
        process: ProcessFacts,
        objects: Objects,
        codes: Codes,
        sink: Sink,
        facts: SourceFacts,
        calls: Calls,
        outer: Callable[[int], int],
        frames: Frames,
    ) -> None:
        """`outer`: our number of a thread as the process numbers it; `frames`: reads variables of threads' frames."""
        self._layout = at = layout(objects.offsets.version, objects.offsets.header)
        self._memory, self._o = objects.memory, objects.offsets
        self.values = Values(objects, at)
        self.chains = Chains(self.values, codes)
        self.process = process
        self._transports = Transports(self.values, self.chains, process)
        self.waits = Waits(self.values, self.chains, codes, self._transports)
        self.sites = Sites(facts, self.values, self.chains)
        self._holders = Holders(self.values, self.chains, self.sites.inferred)
        self._walker = Walker(self.values, self.chains, self.waits, self._holders)
        self.listing = Listing(self.values)
        self.loops = LoopReader(self.values)
        self._blocks = Blocks(self._memory, at.span, at.state, at.callback)
        self.totals = Totals()
        self.budget, self.slowed = 0.0, False  #: as the engine's
        self.version = 0  #: changes when any task does
        self.tasks: dict[int, Task] = {}  #: by address
        self.top_number = self.first_number = -1  #: greatest N of a 'Task-N' so far, and the first
        self._pending: dict[int, int] = {}  #: address -> interpreter: seen in a list, not walked yet
        self._moved: dict[int, None] = {}  #: addresses of tasks that moved, and were not walked yet, or were torn
        self._refused: dict[int, _Refused] = {}  #: listed, but no living task; those found last at the end
        self.running: dict[int, int] = {}
        self._next_id = 0
        self.filled = False  #: all tasks that were there at the beginning have been walked
        self._first_ns = 0
        self._stirred = True  #: something may have moved since the last look
        self._believed_until = 0
        self._stepped = -1  #: loops that the last step has read
        self._seen_running: tuple[dict[int, int], dict[int, int]] = {}, {}  #: as `Listing.running` said last
        self._look_at = self._find_at = self._forget_at = self._full_at = 0
        self.due = 0  #: when `poll` has something to do
        self._full_look_at = 0  #: until then, where there is nobody, only the lists are looked through
        self.unseen = 0
        self._batch = _BATCH
        self._random = random.Random(process.pid)
        trio = Trio(self.values, self.chains, self._holders, self._transports)
        self._trio = TrioTasks(self, trio)
        self._order, self._order_at, self._ordered = WaitOrder(self.values), 0, 0
        self._greenlets = GreenletTasks(self, self._holders, self._transports)
        self.failures = Failures(self, self._walker, sink)
        self.telling = Telling(self, sink, calls, outer)
        self.reporter = Reporter(self, sink)
        self.promises = Promises(self, frames)
        self.connections = Connections(self, self._transports)
        self.generators = Generators(self, self._holders)
        self.limits = Limits(self, self._holders)
        self.stacks = TaskStacks(self)

    def close(self) -> None:
        self._transports.close()

    @property
    def active(self) -> bool:
        """Whether there is something to look at, or to say of what cannot be looked at."""
        return self.listing.any or self._trio.any or self._greenlets.any or bool(self.unseen_kinds)

    @property
    def problem(self) -> str:
        """Why tasks cannot be seen though asyncio is there."""
        return self.listing.problem or self._walker.problem

    @property
    def unseen_kinds(self) -> tuple[str, ...]:
        """Kinds of tasks that are left out, a sentence each."""
        greenlets = self._greenlets.unseen
        return (*self.listing.unseen, greenlets) if greenlets else self.listing.unseen

    # ------------------------------------------------------------------ one tick of the engine

    def poll(
        self,
        now: int,
        interpreters: list[Interpreter],
        threads: list[Thread],
        idents: dict[int, int],
        still: bool = False,
    ) -> None:
        """`idents`: threading.get_ident() -> tid. `still`: no thread was on a CPU since the last call."""
        if now >= self._find_at:
            began = time.thread_time_ns()
            self.listing.look_for(interpreters)
            self._trio.look_for(now, threads)
            self._greenlets.look_for(interpreters, threads, self.listing.greenlets)
            cost = time.thread_time_ns() - began
            self._find_at = now + max(FIND_NS, int(cost / (_FIND_SHARE * self.budget)) if self.budget else 0)
            if now >= self._forget_at:
                self._forget(now)
        if not self.active:
            self.due = self._find_at
            return
        if self.telling.void:
            self._renew()
        still = still and self._stepped == len(self.loops.known) and now < self._believed_until
        running, loops = self._seen_running if still else self.listing.running(threads)
        self._seen_running = running, loops
        if (
            now < self._full_look_at
            and not self._anybody(running, loops)
            and not self._trio.any
            and not self._greenlets.any
        ):
            self._list(now, threads)
            if not self._pending:
                self.due = now + NOBODY_NS
                return
            self._look_at = 0
        if still:
            for loop in self.loops.known.values():
                loop.again(now)
                self._stirred = self._stirred or loop.ready > 0
            self._stirred = self._stirred or bool(running)
        else:
            self._believed_until = now + _BELIEVED_NS
            self._step(now, running, loops, threads)
        if now >= self._look_at:
            began = time.thread_time_ns()
            self._look(now, threads, running, loops, idents)
            self.reporter.poll(now, loops, idents, self.running)
            cost = time.thread_time_ns() - began
            self._first_ns = self._first_ns or now
            filling = (not self.filled or self._greenlets.searching) and now - self._first_ns < FILL_NS
            longest = LONGEST_PAUSE_NS + _PAUSE_EACH_NS * len(self.tasks)
            share = _SLOWED_SHARE if self.slowed else SHARE
            share = FILL_SHARE if filling else share * (self.budget or _DEFAULT_BUDGET) / _DEFAULT_BUDGET
            self._look_at = now + max(LOOK_NS, min(longest, int(cost / share)))
            self._full_look_at = now + _ANYBODY_NS
        # A program that merely has asyncio among its modules pays for no look at every tick.
        self.due = 0 if self._anybody(running, loops) else now + NOBODY_NS

    def _anybody(self, running: dict[int, int], loops: dict[int, int]) -> bool:
        """Whether there is a loop or a task, or something that may be one."""
        return bool(running or loops or self.loops.known or self.tasks or self._pending or self._moved)

    def _step(self, now: int, running: dict[int, int], loops: dict[int, int], threads: list[Thread]) -> None:
        """The loops' counters, and whether something may have moved since the last look (or it cannot be told)."""
        known = self.loops.known
        for address in loops.keys() - known.keys():
            self.loops.open(address, 0, now)
        busy = {task.loop for address in running if (task := self.tasks.get(address)) is not None}
        stirred = bool(running) or not known
        every, self._stepped = list(known.values()), 0
        for loop, part in zip(every, self._memory.read_many(self.loops.segments(every)), strict=True):
            if part is None or not loop.ready_at:
                stirred = True
                continue
            size, state = self.loops.parse(part)
            if size < 1 << 40:
                runs = loop.address in busy
                asleep = size > 0 and not runs and _selects(threads, loops.get(loop.address, loop.tid))
                loop.step(now, size, state, size > 0 or runs, asleep)
                self._stepped += 1
                stirred = stirred or loop.moved or size > 0
        self._stirred = self._stirred or stirred

    def refresh(self, now: int, interpreters: list[Interpreter], threads: list[Thread], idents: dict[int, int]) -> None:
        """Look at once, for who reads more of the tasks. What that costs makes the next look come later."""
        if self.active:
            self._look_at = 0
            self._trio.ask(now)
            self.poll(now, interpreters, threads, idents)

    def ended(self, address: int) -> str:
        """'read_loop: failed with ValueError', of a task that has ended; '' of anything else."""
        how = self._walker.ended(address)
        return f"{self._walker.name(address) or 'a task'}: {how}" if how else ""

    def peers(self) -> dict[int, Peer]:
        """Connections of TCP that the program has made and tasks wait at, by the tasks' ids; at most so many."""
        found: dict[int, Peer] = {}
        for task in self.tasks.values():
            peer = task.waiting.peer if task.waiting is not None else None
            if peer is not None and peer.kind == "tcp" and peer.local and not peer.accepted and task.id:
                found[task.id] = peer
                if len(found) >= MOST_PEERS:
                    break
        return found

    def managers(self, links: list[Link]) -> list[int]:
        """Addresses of the context managers whose blocks a task's frames are in. Raises BAD."""
        return self._holders.managers(links)

    def still(self, task: Task) -> tuple[tuple[int, bytes], ...]:
        """What must read the same as long as a task waits where it was seen to: (address, bytes). Of asyncio's the
        future and the coroutine; of others where their innermost frame stands."""
        if task.mark is not None:
            return (*task.mark, *(task.links[-1].stand if task.links else ()))
        return ((task.address + self._layout.waiter, _PAIR.pack(task.future, task.coroutine)),)

    # ------------------------------------------------------------------ one look

    def _look(
        self, now: int, threads: list[Thread], running: dict[int, int], loops: dict[int, int], idents: dict[int, int]
    ) -> None:
        self.totals.looks += 1
        before, self.running = self.running, self._with_threads(running, idents)
        full = now >= self._full_at
        if self._stirred or full or running or before or self._pending or self._moved:
            self._stirred = False
            if full:
                self._full_at = now + FULL_NS + len(self.tasks) * _FULL_EACH_NS
                self.listing.forget_tables()
            for task in self._blocks.moved(now):
                self._moved[task.address] = None
                task.stepped = True
            for address in running.keys() ^ before.keys():
                if address in self.tasks:
                    self._moved[address] = None
                elif address in running:
                    self._pending.setdefault(address, 0)
            self._list(now, threads)
            torn = self._work(now)
        else:
            self.totals.skipped += 1
            torn = 0
        if self._trio.any:
            torn += self._trio.poll(now, time.thread_time_ns())
        if self._greenlets.any:
            torn += self._greenlets.poll(now, idents)
        if now >= self._order_at and self.totals.looks - self.totals.skipped != self._ordered:
            self._order_at, self._ordered = now + ORDER_NS, self.totals.looks - self.totals.skipped
            for task in self._order.anew(now, list(self.tasks.values())):
                task.since_ns = now
                self.telling.touch(task)
        self.telling.changing(now)
        self.promises.look(now, threads)
        self.connections.look(now)
        self.generators.look(now)
        self.limits.look(now)
        self.telling.tell(now, torn, self.unseen + self._greenlets.behind)

    def _with_threads(self, running: dict[int, int], idents: dict[int, int]) -> dict[int, int]:
        """Running task -> tid; up to 3.13 its loop knows the thread."""
        found: dict[int, int] = {}
        for address, tid in running.items():
            task = self.tasks.get(address)
            loop = self.loops.known.get(task.loop) if task is not None and not tid else None
            if loop is not None and not loop.tid:
                loop.tid = self.loops.idents(loop, idents)
            found[address] = tid or (loop.tid if loop is not None else 0)
        return found

    def _revive(self) -> None:
        """Tasks that lie where others have ended: memory is used again, last freed first, and a list does not tell the
        one from the other. A task that runs for its first time is pending, one that has ended never is again; what is
        no task, for between two tasks something else may have lain there, can read the same there."""
        some = list(islice(reversed(self._refused), MOST_REVIVED))
        parts = self._memory.read_many([(a + self._layout.state, 4) for a in some])
        maybe = []
        for address, part in zip(some, parts, strict=True):
            if part is None:
                del self._refused[address]
            elif part == _PENDING:
                maybe.append(address)
        heads = self._memory.read_many([(a, self._layout.head) for a in maybe]) if maybe else []
        for address, head in zip(maybe, heads, strict=True):
            if head is not None and self._walker.is_task(head):
                self._pending.setdefault(address, self._refused.pop(address).interpreter)

    def _list(self, now: int, threads: list[Thread]) -> None:
        if self._refused:
            self._revive()
        room = MAX_TASKS - len(self.tasks) - len(self._pending)
        for address, interpreter in self.listing.fresh(self.tasks, _AnyOf(self._pending, self._refused), threads):
            if room <= 0:
                break
            room -= 1
            self._pending[address] = interpreter

    def _work(self, now: int) -> int:
        """Walk who moved, then who is new, as far as time allows; how many were torn."""
        began = time.thread_time_ns()
        old, new = list(self._moved), list(islice(self._pending, _MOST_NEW))
        if len(old) > _BATCH:
            self._random.shuffle(old)
        every, at, torn = old + new, 0, 0
        while at < len(every):
            batch = every[at : at + self._batch]
            at += len(batch)
            lost = self._walk(now, batch)
            torn += lost
            if lost > _MANY_TORN * len(batch):
                self._batch = max(_LEAST_BATCH, self._batch // 2)
            elif lost <= _FEW_TORN * len(batch) and len(batch) == self._batch:
                self._batch = min(_BATCH, 2 * self._batch)
            if time.thread_time_ns() - began > WALK_NS:
                break
        self.unseen = max(0, len(self._moved) + len(self._pending) - torn)
        self.filled = self.filled or not self.unseen
        return torn

    def _walk(self, now: int, addresses: list[int]) -> int:
        moved = [task for a in addresses if a not in self.running and (task := self.tasks.get(a)) is not None]
        same = self._walker.same_place(moved)
        if same:
            self.totals.walks += len(same)
            accepted = [self._moved_on(now, self.tasks[a], waiting) for a, waiting in same.items()]
            self._blocks.settle(accepted)
            addresses = [a for a in addresses if a not in same]
            if not addresses:
                return 0
        found = self._walker.walk(addresses, self.running)
        origin = {a: self._pending.pop(a, 0) for a in addresses}
        for address in addresses:
            self._moved.pop(address, None)
        self.totals.walks += len(addresses)
        self.totals.torn += len(found.torn)
        for address, outcome in found.ended.items():
            task = self.tasks.get(address)
            if task is not None:
                self.end(now, task, outcome)
            else:
                if len(self._refused) >= MAX_TASKS:
                    self._refused.clear()
                self._refused.pop(address, None)
                self._refused[address] = _Refused(now, origin[address])
                if outcome is Outcome.FAILED:
                    self.failures.before(now, address)
        for address in found.torn:
            if address in self.tasks:
                self._moved[address] = None
            else:
                self._pending[address] = origin[address]
        accepted = [self._accept(now, seen, origin[seen.address]) for seen in found.seen]
        self._blocks.settle(accepted)
        return len(found.torn)

    # ------------------------------------------------------------------ what a walk found

    def _accept(self, now: int, seen: Seen, interpreter: int) -> Task:
        task = self.tasks.get(seen.address)
        if task is not None and task.name != seen.name and task.coroutine != seen.coroutine:
            self.end(now, task, Outcome.NOT_SEEN)  # another one at the same address
            task = None
        if task is None:
            task = self._begin(now, seen, interpreter)
        elif task.name != seen.name:
            task.generation = -1  # told again
        task.name = seen.name
        if seen.links:
            task.links = seen.links
        waiting, old = seen.waiting, task.waiting
        waiting = self.promises.known(seen.address, seen.future, seen.links, waiting)
        # A future's address is used again: where the task has moved meanwhile, it waits for another one.
        again = old is not None and old.state is waiting.state and task.future == seen.future and not task.stepped
        task.stepped = False
        task.steps += 1
        if waiting.began_s:
            task.since_ns = int(waiting.began_s * 1e9)
        elif not again:
            task.since_ns = now if old is not None else task.born_ns
        task.coroutine, task.future, task.loop = seen.coroutine, seen.future, seen.loop
        task.waiting = waiting
        if waiting.state is not TaskState.RUNNING:
            task.check, task.held = seen.check, seen.held
            task.held += self.sites.inferred(seen.links, seen.held)
            task.held += self.generators.held(task)
            if waiting.via == "Condition.wait":
                self.give_up(task, waiting.object)
            task.again = self._again(task, seen)
            task.pulse = self.chains.pulse(seen.links[-1]) if seen.links else 0
        if task.loop not in self.loops.known:
            self.loops.open(task.loop, self.telling.number(task.interpreter), now)
        self.telling.describe(task, seen.truncated)
        self._blocks.put(task, now)
        self.telling.touch(task, changes=waiting.changes)
        return task

    def _moved_on(self, now: int, task: Task, waiting: Waiting) -> Task:
        """It stands where it stood, at another future."""
        self._moved.pop(task.address, None)
        old = task.waiting
        if waiting.began_s:
            task.since_ns = int(waiting.began_s * 1e9)
        elif old is None or old.state is not waiting.state or task.future != task.next_future or task.stepped:
            task.since_ns = now
        task.stepped = False
        task.steps += 1
        task.future, task.waiting = task.next_future, waiting
        if old is None or (old.state, old.via, old.object) != (waiting.state, waiting.via, waiting.object):
            self.telling.describe(task)
        self._blocks.put(task, now)
        self.telling.touch(task)
        return task

    def _again(self, task: Task, seen: Seen) -> Again | None:
        """How to see that it stands there again; None where that would not tell what it waits for."""
        waiting = seen.waiting
        if waiting.subject is None or waiting.changes or not seen.name_part or not seen.links or seen.truncated:
            return None
        link, slot = waiting.subject
        try:
            raw = self.chains.raw(link, slot)
        except BAD:
            return None
        last = seen.links[-1]
        stands = [part for part in seen.check[1 : seen.stands] if part[0] != last.top_at]
        parts = [*stands, *seen.check[seen.stands : -1], (seen.name_at + NAME_PART[0], seen.name_part)]
        if len(parts) > 400:
            return None
        waiter = seen.address + self._layout.waiter
        return Again(waiting, waiter, seen.name_at, link.slots + 8 * slot, raw, parts)

    def doubt(self, task: Task) -> None:
        """It cannot be where it was: to be walked anew, though its block says nothing."""
        if task.kind == "task":
            self._moved[task.address] = None

    def give_up(self, task: Task, condition: int) -> None:
        """A condition's lock is given back while its `wait` waits."""
        lock = self.values.attribute(condition, "_lock")
        task.held = [h for h in task.held if h.object not in (lock, condition)]

    def _begin(self, now: int, seen: Seen, interpreter: int) -> Task:
        task = Task(seen.address, interpreter, now if self.filled else 0)
        task.serves = self._walker.serves(seen.address)
        self._refused.pop(seen.address, None)
        self.begin(task, seen.name)
        return task

    def begin(self, task: Task, name: str) -> None:
        """A task that is new here."""
        task.id = self.next_id()
        self.tasks[task.address] = task
        self.totals.seen += 1
        number = _DEFAULT_NAME.match(name) if task.kind == "task" else None
        if number:
            value = int(number[1])
            if self.first_number < 0:
                self.first_number = value
            self.top_number = max(self.top_number, value)

    def next_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def spent(self, since: int) -> int:
        """CPU of ours since that moment of `thread_time_ns`."""
        return time.thread_time_ns() - since

    def end(self, now: int, task: Task, outcome: Outcome) -> None:
        self.telling.ended(task, outcome)
        del self.tasks[task.address]
        self.version += 1
        task.alive = False
        self._blocks.drop(task)
        self.totals.ended += 1
        if outcome is Outcome.FAILED:
            self.totals.failed += 1
            self.failures.add(now, task)
        if outcome is not Outcome.NOT_SEEN:
            # Still listed as long as somebody holds it; after that, the next one may lie there.
            self._refused.pop(task.address, None)
            self._refused[task.address] = _Refused(now, task.interpreter)

    # ------------------------------------------------------------------ now and then

    def _renew(self) -> None:
        """The sink's ids are void: tell everything again, as it is walked again."""
        self.telling.renew()
        self.sites.forget()
        for task in self.tasks.values():
            task.row = None
            task.told_awaits = ()
            if task.kind != "task":
                task.generation, task.waiting = -1, None  # looked at whole again
                continue
            self._moved[task.address] = None
        self._greenlets.renew()

    def _forget(self, now: int) -> None:
        """Addresses may have been reused."""
        self._forget_at = now + FORGET_NS
        self.values.forget()
        self.waits.forget()
        self._holders.forget()
        self.promises.forget()
        self.sites.forget()
        for address in [a for a, then in self._refused.items() if now - then.at_ns > FORGET_NS]:
            del self._refused[address]
        for loop in list(self.loops.known.values()):
            used = any(task.loop == loop.address for task in self.tasks.values())
            if not self.loops.refresh(loop) and not used:
                del self.loops.known[loop.address]


def _selects(threads: list[Thread], tid: int) -> bool:
    """Whether the thread of an asyncio loop waits for events, by its innermost frame: no callback has one there."""
    for thread in threads:
        if thread.tid == tid and thread.walk.places:
            code = thread.walk.places[0].code
            return code.file.endswith(_SELECTORS) or (code.name == "run" and code.file.endswith(_RUNNERS))
    return False


class _AnyOf:
    """Whether an address is in one of these."""

    def __init__(self, *parts: Collection[int]) -> None:
        self._parts = parts

    def __contains__(self, address: object) -> bool:
        return any(address in part for part in self._parts)
