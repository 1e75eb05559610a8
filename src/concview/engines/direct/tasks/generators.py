"""Asynchronous generators that stand at a `yield` inside the block of something that tasks wait for.

Such a generator is in nobody's chain of coroutines: whoever iterates it does something else between two items, and a
lock, permit or connection stays taken meanwhile. A loop keeps weak references to all that were begun in it. What one
has is told as had by the task that iterates it, exact where its frame keeps the generator on its value stack, as
`async for` does; where no task has it any more, as had by itself: an entry of its own among the tasks.

Looked for only while tasks wait for something that no task is known to have.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from concview.cpython.aio.chain import Chain, Link
from concview.cpython.aio.holders import Held
from concview.cpython.aio.values import BAD
from concview.cpython.aio.waits import Waiting
from concview.cpython.code import Place
from concview.engines.direct.tasks.records import Task
from concview.model import AT_YIELD, GENERATOR, TAKEN_VIA, UNOWNED_VIA, Outcome, TaskState

if TYPE_CHECKING:
    from concview.cpython.aio.holders import Holders
    from concview.engines.direct.tasks.tracker import TaskTracker

#: How often they are looked for, at least, and from which age of a wait on; our CPU for one look, and its share;
#: nanoseconds.
EVERY_NS, LONGEST_NS, AGE_NS, MOST_NS, SHARE = 500_000_000, 1_500_000_000, 200_000_000, 8_000_000, 0.005
#: Generators of one loop, those that have something, tasks that are searched for one, objects of one frame and members
#: of one collection, generators that iterate one another.
_GENERATORS, _MOST, _TASKS, _OBJECTS, _MEMBERS, _DEEP = 1_000, 64, 2_000, 16, 32, 8
#: Fields of a tuple among these members; code objects of which is kept where an object was found that has one.
_FIELDS, _WAYS = 4, 256
#: Variables and value stack of one frame.
_SLOTS = 256
_GENERATOR = "async_generator"
_OWNED = frozenset({TaskState.LOCK, TaskState.POOL})


@dataclass(slots=True)
class _Stands:
    """One generator at a `yield`."""

    address: int
    link: Link
    loop: int
    held: list[Held]
    check: list[tuple[int, bytes]]  #: what must read the same as long as it stands there


@dataclass(slots=True, frozen=True)
class _Given:
    """What one task has by generators that it iterates: each, and whether by its value stack, which is exact."""

    task: Task
    generators: tuple[tuple[_Stands, bool], ...]

    @property
    def held(self) -> list[Held]:
        return [hold for one, _ in self.generators for hold in one.held]

    def exactly(self) -> list[Held]:
        """The same, marked as exact no longer where the task is not seen to iterate it."""
        for one, exact in self.generators:
            for hold in one.held:
                hold.exact = hold.exact and exact
        return self.held


class Generators:
    """`look` gives tasks what generators have for them; `held` says it again of one that is walked anew."""

    def __init__(self, tracker: TaskTracker, holders: Holders) -> None:
        self._tracker, self._holders = tracker, holders
        self._values, self._chains = tracker.values, tracker.chains
        self._look_at = 0
        self._began = 0  #: this look, in our CPU's time
        self._seen = -1  #: version of the tracker's tasks in which nobody waited for something that nobody has
        self._given: dict[int, _Given] = {}  #: by the task's address
        self.iterated: dict[int, list[Link]] = {}  #: by a task's address: frames of generators that it iterates
        self._alone_at: dict[int, Place] = {}  #: at the last look: generators that no task had, and where they stood
        self._ways: dict[int, frozenset[int]] = {}  #: code object -> slots of its frames in which one was found
        #: Task -> (where it stood, generators that nothing there was found to have): one look may not do for all tasks.
        self._without: dict[int, tuple[list[Link], frozenset[int]]] = {}
        #: Generator -> (where it stood, the same).
        self._passed: dict[int, tuple[list[tuple[int, bytes]], frozenset[int]]] = {}
        self._own: dict[int, Task] = {}  #: generator -> the entry that stands for it

    def held(self, task: Task) -> list[Held]:
        """What generators that it iterates have, as far as they stand where they stood."""
        known = self._given.get(task.address)
        if known is None or known.task is not task:
            return []
        again = [(now, exact) for one, exact in known.generators if (now := self._anew(one)) is not None]
        known = self._given[task.address] = _Given(task, tuple(again))
        return known.exactly()

    def _anew(self, one: _Stands) -> _Stands | None:
        """The same generator where it stands by now; None where that is no `yield` with something taken."""
        if self._still(one):
            return one
        try:
            if self._values.type_name(one.address) != _GENERATOR:
                return None
            chain = self._chains.walk([one.address])[0]
            return self._stands(one.address, chain, one.loop) if self._at_yield(chain) else None
        except BAD:
            return None

    def look(self, now: int) -> None:
        if now < self._look_at:
            return
        self._look_at = now + EVERY_NS
        version = self._tracker.version
        if version == self._seen:
            return
        self._began = time.thread_time_ns()
        wanted, young = self._wanted(now)
        if wanted or self._given or self._own or self.iterated:
            found, frames = self._standing(wanted) if wanted else ([], {})
            if not self._late() or found:  # what a look that was cut off did not see may be there yet
                self.iterated = {}
                given, alone = self._iterated(found, frames) if frames else ({}, [])
                self._tell(now, given, alone)
        cost = time.thread_time_ns() - self._began
        # Sources are parsed at a first look alone: what follows is not put off for long by that.
        self._look_at = now + max(EVERY_NS, min(LONGEST_NS, int(cost / SHARE)))
        self._seen = -1 if young or cost > MOST_NS or self._alone_at.keys() - self._own.keys() else version

    def _late(self) -> bool:
        return time.thread_time_ns() - self._began > MOST_NS

    # ------------------------------------------------------------------ what is waited for

    def _wanted(self, now: int) -> tuple[set[int], bool]:
        """Objects that tasks wait for and no task is known to have but by a generator, and whether some have not waited
        for long enough. Of a semaphore or a pool others may have a part."""
        waited: set[int] = set()
        had: set[int] = set()
        single: set[int] = set()
        young = False
        for task in self._tracker.tasks.values():
            waiting = task.waiting
            if task.held and task.kind != GENERATOR:
                given = self._given.get(task.address)
                mine = set(given.held) if given is not None else set()
                had.update(h.object for h in task.held if h not in mine)
            if waiting is None or not waiting.object or waiting.via in UNOWNED_VIA:
                continue
            # Who takes out of a queue may do that in a generator that it iterates.
            if waiting.state not in _OWNED and waiting.via not in TAKEN_VIA:
                continue
            if now - task.since_ns < AGE_NS:
                young = True
                continue
            waited.add(waiting.object)
            if waiting.kind == "Lock":
                single.add(waiting.object)
        return waited - (had & single), young

    # ------------------------------------------------------------------ generators

    def _standing(self, wanted: set[int]) -> tuple[list[_Stands], dict[int, Link]]:
        """(those at a `yield` that have something of that, the frames of all that stand at one)."""
        found: list[_Stands] = []
        frames: dict[int, Link] = {}
        chained: set[int] | None = None
        for loop in self._tracker.loops.known.values():
            try:
                addresses = self._alive(loop.generators) if loop.generators else []
                if not addresses:
                    continue
                if chained is None:
                    chained = {k.object for t in self._tracker.tasks.values() if t.kind != GENERATOR for k in t.links}
                addresses = [a for a in addresses if a not in chained]
                chains = self._chains.walk(addresses)
            except BAD:
                continue
            for address, chain in zip(addresses, chains, strict=True):
                if len(found) >= _MOST or self._late():
                    break
                if not self._at_yield(chain):
                    continue
                frames[address] = chain.links[0]
                one = self._stands(address, chain, loop.address)
                if one is not None and not wanted.isdisjoint([h.object for h in one.held]):
                    found.append(one)
        return found, frames

    def _alive(self, references: int) -> list[int]:
        """Of a set of weak references. Raises BAD."""
        values = self._values
        every = values.set_items(references, _GENERATORS)
        parts = values.memory.read_many([(r + values.o["weakref.wr_object"], 8) for r in every])
        addresses = [int.from_bytes(part, "little") for part in parts if part is not None]
        kinds = values.type_names(addresses)
        return [a for a, kind in zip(addresses, kinds, strict=True) if kind == _GENERATOR]

    def _at_yield(self, chain: Chain) -> bool:
        """Not where it waits for something itself, or was not begun."""
        if chain.torn or not chain.links or chain.links[0].created:
            return False
        # Nobody awaits a generator itself: where one lies on top of the stack, that is what an `async for` iterates.
        if self._values.type_name(chain.links[0].top) == _GENERATOR:
            return True
        return len(chain.links) == 1 and not (chain.end and self._values.is_a(chain.end, "Future"))

    def _stands(self, address: int, chain: Chain, loop: int) -> _Stands | None:
        """None where it has nothing, or runs."""
        link = chain.links[0]
        check = list(link.stand)
        try:
            held = self._holders.of([link], check) if link.place.withs else []
            held += self._tracker.sites.inferred([link], held)
        except BAD:
            return None
        one = _Stands(address, link, loop, held, check)
        return one if held and self._still(one) else None

    def _still(self, one: _Stands) -> bool:
        parts = self._values.memory.read_many([(at, len(data)) for at, data in one.check])
        return all(part == data for part, (_, data) in zip(parts, one.check, strict=True))

    # ------------------------------------------------------------------ who iterates them

    def _iterated(self, found: list[_Stands], frames: dict[int, Link]) -> tuple[dict[int, _Given], list[_Stands]]:
        """(what tasks have by them, by the task's address; those that no task has)."""
        tasks: dict[int, tuple[Task, bool]] = {}  #: generator -> who has it, and whether on the value stack
        within: dict[int, int] = {}  #: generator -> the one that iterates it
        every = self._tracker.tasks.values()
        others = [t for t in list(every)[:_TASKS] if t.kind != GENERATOR]
        # Of a task that runs now only the outermost frame is known.
        whole = len(every) <= _TASKS and not any(t.waiting and t.waiting.state is TaskState.RUNNING for t in others)
        for task in others:
            for address, iterates in self._has(task.links, frames):
                if iterates or address not in tasks:
                    tasks[address] = task, iterates
        for outer, link in frames.items():
            for address, _ in self._has([link], frames):
                if address != outer:
                    within.setdefault(address, outer)
        # As what an object on the value stack has: dearer, and for those alone that nobody else has.
        left = {one.address for one in found if _outermost(one.address, tasks, within) not in tasks}
        # Who stands in the queue itself is the last one to look at.
        queued = {hold.object for one in found for hold in one.held}
        others.sort(key=lambda t: t.waiting is not None and t.waiting.object in queued)
        cleared, self._without = self._without, {}
        self._passed = {a: searched for a, searched in self._passed.items() if a in frames}
        for known in (True, False):
            for task in others:
                if not left:
                    break
                searched = cleared.get(task.address)
                if not known and searched is not None and searched[0] is task.links and left <= searched[1]:
                    self._without[task.address] = searched
                    continue
                if self._late():
                    whole = False
                    break
                there = self._through(task.links, left, known)
                if not known:
                    self._without[task.address] = task.links, frozenset(left - there.keys())
                tasks.update({a: (task, on) for a, on in there.items() if a not in tasks})
                left -= there.keys()
            for outer, link in frames.items() if left else ():
                earlier = self._passed.get(outer)
                if earlier is not None and earlier[0] == link.stand and left <= earlier[1]:
                    continue
                if self._late():
                    whole = False
                    break
                there = self._through([link], left, known)
                if not known:
                    self._passed[outer] = link.stand, frozenset(left - there.keys())
                within.update({a: outer for a in there if a != outer and a not in within})
            left = {a for a in left if a not in within or _outermost(a, tasks, within) not in tasks}
        given: dict[int, _Given] = {}
        alone: list[_Stands] = []
        self.iterated = {}
        for address, link in frames.items():
            at = _outermost(address, tasks, within)
            if at in tasks:
                self.iterated.setdefault(tasks[at][0].address, []).append(link)
        for one in found:
            at = _outermost(one.address, tasks, within)
            if at in tasks:
                task, iterates = tasks[at]
                before = given[task.address].generators if task.address in given else ()
                given[task.address] = _Given(task, (*before, (one, iterates)))
            else:
                alone.append(one)
        alone = self._without_managers(alone, others) if whole else [a for a in alone if a.address in self._own]
        return given, self._twice(alone)

    def _without_managers(self, alone: list[_Stands], tasks: list[Task]) -> list[_Stands]:
        """Those that are no context managers, by @asynccontextmanager, of a block that a task is in: what they have the
        task is known to have."""
        objects = {h.object for one in alone for h in one.held}
        for task in tasks if alone else ():
            if any(h.object in objects for h in task.held):
                try:
                    passed = self._holders.generators(task.links)
                except BAD:
                    return []
                alone = [one for one in alone if one.address not in passed]
        return alone

    def _twice(self, alone: list[_Stands]) -> list[_Stands]:
        """Those that stood so at the look before, too: somebody may call `__anext__` now and then."""
        before, self._alone_at = self._alone_at, {one.address: one.link.place for one in alone}
        return [one for one in alone if before.get(one.address) is one.link.place]

    def _has(self, links: Iterable[Link], wanted: Container[int]) -> Iterator[tuple[int, bool]]:
        """(a generator, whether it is on the value stack) of those that frames have."""
        for link in links:
            variables = link.place.code.nlocalsplus
            for i, value in enumerate(self._slots(link)):
                if value in wanted:
                    yield value, i >= variables

    def _slots(self, link: Link) -> list[int]:
        # Above the top of the stack lies what was there before, of other frames in the same memory, too.
        count = (link.top_at - link.slots) // 8 + 1 if link.top_at else link.place.code.nlocalsplus
        data = link.data[: 8 * min(count, _SLOTS)]
        if len(data) < 8 * min(count, _SLOTS):
            try:
                data = self._values.memory.read(link.slots, 8 * min(count, _SLOTS))
            except BAD:
                return []
        return [w & self._values.o.tag_mask for w in memoryview(data).cast("Q")]

    def _through(self, links: Iterable[Link], wanted: set[int], known: bool) -> dict[int, bool]:
        """Generators that objects have which frames have, themselves or in a collection, as what closes them at the end
        of a request does: each, and whether by the value stack. A collection that a frame has is none of these objects:
        what was forgotten lies there, too. `known`: where such an object was found before, alone.
        """
        values = self._values
        found: dict[int, bool] = {}
        for link in links:
            variables, before = link.place.code.nlocalsplus, self._ways.get(link.place.code.address, frozenset())
            if known and not before:
                continue
            slots = [(i, v) for i, v in enumerate(self._slots(link)) if v and (not known or i in before)][-_OBJECTS:]
            try:
                kinds = values.type_names([v for _, v in slots])
            except BAD:
                continue
            for (i, value), kind in zip(slots, kinds, strict=True):
                if not kind or "." in kind or not kind[:1].isupper():
                    continue
                had = list(values.attributes(value).values())
                members = [m for one in had for m in values.members(one, _MEMBERS)]
                for one in members[:_MEMBERS]:
                    members += values.members(one, _FIELDS) if values.is_a(one, "tuple") else []
                stack, here = wanted.intersection(had), wanted.intersection(members)
                found.update({**dict.fromkeys(here, False), **dict.fromkeys(stack, i >= variables)})
                if (stack or here) and len(self._ways) < _WAYS:
                    self._ways[link.place.code.address] = before | {i}
        return found

    # ------------------------------------------------------------------ telling

    def _tell(self, now: int, given: dict[int, _Given], alone: list[_Stands]) -> None:
        tracker, before = self._tracker, self._given
        self._given = given
        for address in before.keys() | given.keys():
            task = tracker.tasks.get(address)
            if task is None:
                continue
            old = set(before[address].held) if address in before else set()
            new = given[address].exactly() if address in given and given[address].task is task else []
            others = [h for h in task.held if h not in old]
            if [h.object for h in task.held] != [h.object for h in (*others, *new)]:
                task.held = [*others, *new]
                tracker.telling.anew(task)
            else:
                task.held = [*others, *new]
        there = {one.address for one in alone}
        for address, task in list(self._own.items()):
            same = tracker.tasks.get(address) is task
            if address not in there or not same:
                del self._own[address]
                if same:
                    tracker.end(now, task, Outcome.NOT_SEEN)
        for one in alone:
            self._alone(now, one)

    def _alone(self, now: int, one: _Stands) -> None:
        tracker, task = self._tracker, self._own.get(one.address)
        if task is None:
            if one.address in tracker.tasks:
                return
            task = self._own[one.address] = Task(one.address, 0, 0)
            task.kind, task.loop = GENERATOR, one.loop
            task.name = one.link.place.code.qualname
            tracker.begin(task, task.name)
        elif task.waiting is not None and task.links and task.links[0].place is one.link.place:
            return
        task.since_ns = now if task.waiting is not None else 0
        task.links, task.held, task.waiting = [one.link], one.held, Waiting(TaskState.UNKNOWN, AT_YIELD)
        tracker.telling.anew(task)


def _outermost(address: int, tasks: Container[int], within: dict[int, int]) -> int:
    """The first of the generators that iterate one another which a task has."""
    for _ in range(_DEEP):
        if address in tasks or address not in within:
            break
        address = within[address]
    return address
