"""Futures that a program or a library made by hand: who can reach them, and so will set them.

Of such a future asyncio tells nothing. But whoever will set it must have it: in a variable, in a collection that is
one, or as part of an object of which a method runs in another task or thread; or a timer of the loop has it. And where
a task waits while it enters or acquires something, those have that something who are in an `async with` of it.

What is concluded here is inferred: that somebody could set a future does not say that he will.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from concview.cpython.aio.chain import Link
from concview.cpython.aio.values import BAD
from concview.cpython.aio.waits import Waiting
from concview.cpython.code import Code, Place
from concview.cpython.threads import Thread
from concview.engines.direct.bounded import remember
from concview.engines.direct.tasks.parts import FEW, Parts
from concview.engines.direct.tasks.records import NO_THREAD, Task
from concview.engines.direct.tasks.timers import called, ends_a_wait
from concview.model import IN_PROCESSES, TaskState
from concview.source.calls import ACQUIRES

if TYPE_CHECKING:
    from concview.engines.direct.relations.frames import Frames
    from concview.engines.direct.tasks.tracker import TaskTracker

#: How often, and from which age of a wait on, it is looked for; nanoseconds. A look's CPU at most, and its share.
EVERY_NS, AGE_NS, MOST_NS, SHARE = 500_000_000, 200_000_000, 8_000_000, 0.005
#: At first, while tasks are still being taken in, more often.
FIRST_NS, SOON_NS = 1_000_000_000, 20_000_000
#: Where nothing was found, it is looked for again after so long, and twice that each time; no longer than the last.
AGAIN_NS, SELDOM_NS = 500_000_000, 16_000_000_000
#: Waiting tasks, those among them whose wait is younger (what is found of one holds for the next at its place), other
#: tasks and threads in one look; frames of one.
_TASKS, _YOUNG, _OTHERS, _THREADS, _FRAMES = 200, 4, 200, 64, 8
#: Arguments of a timer's callback.
_GIVEN = 8
#: First variables of a frame that is of no method.
_ARGUMENTS = 6
#: Objects of one frame whose attributes are looked at, and objects among these attributes.
_OBJECTS, _INNER = 4, 8
_NEVER_ASKED = 0, SOON_NS
#: Tasks that do what one did that has ended.
_ALIKE = 8
_MOST_KNOWN = 4_096
#: What everybody may have.
_OF_ALL = frozenset({"NoneType", "Task", "Future", "Context", "Loop", "_UnixSelectorEventLoop"})
_ENTERS = ACQUIRES | {"__aenter__"}
#: Who waits for other tasks is one that waits for the object, too.
_NEVER = 9
#: Of tasks that run methods of one object, those that do something come before those that wait for work.
_RANK = {
    TaskState.IO: 0, TaskState.RUNNING: 1, TaskState.READY: 1, TaskState.EXECUTOR: 1, TaskState.LOCK: 1,
    TaskState.POOL: 1, TaskState.UNKNOWN: 2, TaskState.SLEEP: 2, TaskState.QUEUE: 3, TaskState.IDLE: 3,
    TaskState.TASK: _NEVER,
}  # fmt: skip


@dataclass(slots=True)
class _Wanted:
    """One task whose future is looked for."""

    task: Task
    future: int
    owners: list[int] = field(default_factory=list)  #: objects whose methods it waits in, innermost first
    reach: set[int] = field(default_factory=set)  #: objects and collections that were seen to have the future
    keeper: int = 0  #: that of the owners which has it, or has what it was put into
    given: int = 0  #: that of the owners which its innermost function was given, being no method
    entered: int = 0  #: what it is about to enter or acquire
    beyond: set[int] = field(default_factory=set)  #: objects further in, that the entered one waits at
    #: How near those are who have it: 3 the future itself, or a collection with it, 2 what its object keeps it in, 1 a
    #: method of that object.
    near: int = 0
    tasks: list[Task] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    queued: bool = False  #: such a call lies in the queue of a pool of threads
    due_s: float = 0.0  #: of a timer that will set it
    runner: int = 0  #: tid of the thread that runs a call whose result is passed on to it; NO_THREAD: a process does
    holders: list[Task] = field(default_factory=list)

    def found(self, near: int, task: Task | None = None, tid: int = 0) -> None:
        if near < self.near:
            return
        if near > self.near:
            self.near, self.tasks, self.threads = near, [], []
        if task is not None and task not in self.tasks:
            self.tasks.append(task)
        if tid and tid not in self.threads:
            self.threads.append(tid)


class Promises:
    """`look` sets what tasks wait for; `known` says it of one that waits in the same place again."""

    def __init__(self, tracker: TaskTracker, frames: Frames) -> None:
        self._tracker, self._frames = tracker, frames
        self._values, self._chains = tracker.values, tracker.chains
        self._parts = Parts(tracker.values, tracker.waits, self._late)
        self._look_at = self._first_ns = self._turn = self._now = 0
        #: A short wait is over before the next look: where one is seen of which nothing is known yet, the next look is
        #: as soon as the last one is paid for.
        self._asked, self._paid_at = False, 0
        #: Where nothing was found of such a wait -> (not before, the pause)
        self._fruitless: dict[Place | None, tuple[int, int]] = {}
        self._seen = -1  #: version of the tracker's tasks in which nobody waited for a bare future
        self._began = 0  #: this look, in our CPU's time
        #: Task -> (its future, what it was found to wait for, where): an address is used again.
        self._concluded: dict[int, tuple[int, Waiting, Place | None]] = {}
        self._places: dict[tuple[Place, int], Waiting] = {}  #: (where in which object's method) -> the same
        self._setters: dict[tuple[Place, int], frozenset[Code]] = {}  #: the same -> what those tasks run that set it
        #: What tasks run -> some that do, as of this look of the tracker's
        self._alike_of, self._running = 0, dict[frozenset[Code], list[int]]()
        self._again: dict[int, tuple[int, int, int]] = {}  #: task -> (its future, not before, the pause)
        self.holders: dict[int, list[Task]] = {}  #: object -> tasks that are in an `async with` of it

    def forget(self) -> None:
        """Addresses may have been reused."""
        self._places.clear()
        self._setters.clear()
        self._fruitless.clear()
        alive = self._tracker.tasks
        self._concluded = {a: c for a, c in self._concluded.items() if a in alive}
        self._again = {a: c for a, c in self._again.items() if a in alive}

    # ------------------------------------------------------------------ at a walk

    def known(self, address: int, future: int, links: list[Link], waiting: Waiting) -> Waiting:
        """What was concluded of this very wait, or of one at the same place in the same object; else `waiting`."""
        if not _bare(waiting):
            return waiting
        told = self._concluded.get(address)
        if told is not None and told[0] == future and told[2] is _at(links):
            return told[1]
        here = self._of_place(links)
        if here is None:
            self._asked = self._asked or self._fruitless.get(_at(links), _NEVER_ASKED)[0] <= self._now
            return waiting
        self._concluded[address] = future, here, _at(links)
        return here

    def _of_place(self, links: list[Link]) -> Waiting | None:
        """What another one waited for in this place of the same object."""
        for place, owner in self._standing(links) if self._places else ():
            here = self._places.get((place, owner))
            if here is not None and self._holds_still(here):
                return here
            alike = self._alike(self._setters.get((place, owner), frozenset())) if here is not None else []
            if here is not None and alike:
                return replace(here, awaited=alike, total=len(alike))
        return None

    def _alike(self, codes: frozenset[Code]) -> list[int]:
        """Tasks that run one of these functions: where each request is given a task of its own, one of those that live
        now does what the last one did."""
        if self._alike_of != self._tracker.totals.looks:
            self._alike_of = self._tracker.totals.looks
            self._running.clear()
        found = self._running.get(codes)
        if found is None:
            some = islice(self._tracker.tasks.values(), _OTHERS) if codes else ()
            found = [t.address for t in some if t.links and t.links[0].place.code in codes][:_ALIKE]
            self._running[codes] = found
        return found

    def _holds_still(self, waiting: Waiting) -> bool:
        return all(address in self._tracker.tasks for address in waiting.awaited)

    def _standing(self, links: list[Link]) -> Iterator[tuple[Place, int]]:
        """Where, in methods of which objects. For the innermost function that is none, what it was given first stands:
        `ask(jobs, question)` is as good as `jobs.ask(question)`."""
        for link in reversed(links[-_FRAMES:]):
            owner = self._chains.local(link, "self")
            if not owner and link is links[-1]:
                owner = self._first(link)
            if owner:
                yield link.place, owner

    def _first(self, link: Link) -> int:
        """The first of a frame's variables that is an object with attributes of its own; 0 where there is none."""
        with contextlib.suppress(*BAD):
            for value in self._chains.bound(link, _ARGUMENTS).values():
                if self._values.attributes(value):
                    return value
        return 0

    # ------------------------------------------------------------------ a look

    def look(self, now: int, threads: list[Thread]) -> None:
        self._now = now
        if now < (self._paid_at if self._asked else self._look_at):
            return
        self._asked = False
        self._look_at = now + EVERY_NS
        if self._tracker.version == self._seen:
            return
        wanted = self._wanted(now)
        if not wanted:
            self._seen = self._tracker.version if self._first_ns and now - self._first_ns > FIRST_NS else -1
            self.holders.clear()
            if self._tracker.tasks and not self._first_ns:
                self._first_ns = now
            if now - self._first_ns < FIRST_NS:
                self._look_at = now + SOON_NS
            return
        self._began = time.thread_time_ns()
        self._owners(wanted)
        self._timers(wanted)
        self._among_calls(wanted)
        self._among_threads(wanted, threads)
        self._among_tasks(wanted)
        self._entered(wanted)
        self._tell(now, wanted)
        cost = time.thread_time_ns() - self._began
        self._paid_at = now + max(SOON_NS, int(cost / SHARE))
        self._look_at = max(self._paid_at, now + EVERY_NS)

    def _late(self) -> bool:
        return time.thread_time_ns() - self._began > MOST_NS

    def _wanted(self, now: int) -> list[_Wanted]:
        """Tasks that wait for a bare future, and those of which more than that was concluded here."""
        found: list[_Wanted] = []
        young = 0
        for task in self._tracker.tasks.values():
            waiting = task.waiting
            if waiting is None or (waiting.state is not TaskState.UNKNOWN and task.address not in self._concluded):
                continue
            if task.kind != "task" or not task.future:
                continue
            mine = self._concluded.get(task.address)
            ours = mine is not None and mine[0] == task.future and mine[1] is waiting
            if not ours and not _bare(waiting):
                continue
            if not ours and now - task.since_ns < AGE_NS:
                young += 1
                if young > _YOUNG:
                    continue
            pause = self._again.get(task.address)
            if pause is not None and pause[0] == task.future and now < pause[1]:
                continue
            # `shield` gives a future of its own, and whoever is to set the one behind it has that.
            found.append(_Wanted(task, self._tracker.waits.shielded(task.future)))
            if len(found) >= _TASKS:
                break
        return found

    # ------------------------------------------------------------------ what the waiting frames belong to

    def _owners(self, wanted: list[_Wanted]) -> None:
        by_future = _by_future(wanted)
        looked: dict[int, set[int]] = {}  #: object -> (addresses that lie in it)
        for each in wanted:
            links = each.task.links[-_FRAMES:]
            for place, owner in self._standing(links):
                if place.code.qualname.rpartition(".")[2] in _ENTERS:  # the outermost of them counts
                    each.entered, each.beyond = owner, set(each.owners) - {owner}
                if owner not in each.owners:
                    each.owners.append(owner)
                if place is links[-1].place and not self._chains.local(links[-1], "self"):
                    each.given = owner
            for owner in each.owners:
                if owner not in looked:
                    if len(looked) >= _OTHERS or self._late():
                        break
                    looked[owner] = set()
                    with contextlib.suppress(*BAD):
                        self._parts.inside(owner, by_future, looked[owner])
        for each in wanted:
            for owner in each.owners:
                inside = looked.get(owner, ())
                if each.future in inside:
                    each.keeper = each.keeper or owner
                    each.reach.add(owner)
                    each.reach |= {a for a in inside if a not in by_future}
                elif inside and not each.reach:
                    each.keeper = owner
                    # It may lie where it cannot be read: a queue written in C.
                    each.reach |= {a for a in inside if a not in by_future}

    # ------------------------------------------------------------------ timers

    def _timers(self, wanted: list[_Wanted]) -> None:
        """A timer that calls a method of the future, or of an object that has it, or is given it."""
        values, waits = self._values, self._tracker.waits
        for loop in self._tracker.loops.known.values():
            if not loop.scheduled:
                continue
            here = [w for w in wanted if w.task.loop == loop.address]
            if not here:
                continue
            with contextlib.suppress(*BAD):
                for handle in values.list_items(loop.scheduled, _OTHERS):
                    told = values.attributes(handle)
                    when = values.due(handle)
                    if values.type_name(told.get("_cancelled", 0)) != "bool" or not when:
                        continue
                    if values.integer(told["_cancelled"], 1):
                        continue
                    one = called(values, waits, told.get("_callback", 0), told.get("_args", 0), _GIVEN)
                    reached = one.reached
                    if one.kind == "method" and ends_a_wait(values, waits, one):
                        continue  # a time limit
                    for each in here:
                        if each.future in reached or (each.reach & reached and reached & set(each.owners)):
                            each.due_s = min(each.due_s or when, when)

    # ------------------------------------------------------------------ who has it

    def _among_calls(self, wanted: list[_Wanted]) -> None:
        """Calls that threads or processes run now, or that lie in a pool's queue, whose callbacks have a future."""
        by_future = _by_future(wanted)
        for call, tid in list(self._tracker.telling.calls.running().items())[:_THREADS]:
            if self._late():
                return
            for future in self._tracker.waits.passed_on(call, by_future):
                for each in by_future[future]:
                    each.runner = tid
        if all(w.runner for w in wanted):
            return
        for call in self._tracker.telling.calls.queued():
            if self._late():
                return
            for future in self._tracker.waits.passed_on(call, by_future):
                for each in by_future[future]:
                    each.queued = True

    def _among_threads(self, wanted: list[_Wanted], threads: list[Thread]) -> None:
        loops = {loop.tid for loop in self._tracker.loops.known.values()}
        others = [t for t in threads if t.tid not in loops][:_THREADS]
        if not others or self._late():
            return
        of_interest = _of_interest(wanted)
        for frame in self._frames.read(others):
            values = {*frame.values, *frame.cells.values()} & of_interest
            if not values:
                continue
            first = frame.values[0] if frame.values else 0
            for each in wanted:
                self._near(each, values, first, frame.thread.tid, None)

    def _near(self, each: _Wanted, values: set[int], first: int, tid: int, task: Task | None) -> None:
        if each.future in values:
            each.found(3, task, tid)
        elif each.reach & values - set(each.owners):
            each.found(2, task, tid)
        elif first and first in each.reach:
            each.found(1, task, tid)

    def _among_tasks(self, wanted: list[_Wanted]) -> None:
        waiting = {w.task.address for w in wanted}
        by_future = _by_future(wanted)
        others = [t for t in self._tracker.tasks.values() if t.address not in waiting and t.kind == "task" and t.links]
        of_interest = _of_interest(wanted)
        first = self._turn % max(1, len(others))
        for task in (others[first:] + others[:first])[:_OTHERS]:
            if self._late():
                break
            self._turn += 1
            for link in (*task.links[:2], *task.links[2:][-_FRAMES + 2 :]):
                with contextlib.suppress(*BAD):
                    found = self._chains.bound(link, FEW)
                    values = set(found.values())
                    own = found.get("self", 0)
                    given = 0 if own else next(iter(found.values()), 0)
                    for each in wanted if not values.isdisjoint(of_interest) else ():
                        # Who stands where it stands waits for another one of these, as it does.
                        alike = any(at.place is link.place for at in each.task.links)
                        owner = own or (given if given == each.given else 0)
                        self._near(each, values, 0 if alike else owner, 0, task)
                    self._collected(list(values), by_future, task)
        for each in wanted:
            if each.tasks:
                ranks = [_rank(t) for t in each.tasks]
                best = min(ranks)
                each.tasks = [t for t, rank in zip(each.tasks, ranks, strict=True) if rank == best < _NEVER]

    def _collected(self, values: list[int], futures: dict[int, list[_Wanted]], task: Task) -> None:
        """Collections among the variables of a task that have futures in them, and objects that have one as a part."""
        objects = inner = 0
        kinds = dict(zip(values, self._values.type_names(values), strict=True))
        for value, kind in list(kinds.items()):
            if objects < _OBJECTS and _object(kind):
                objects += 1
                with contextlib.suppress(*BAD):
                    parts = list(self._values.attributes(value).values())[:FEW]
                    self._part_of(parts, futures, task)
                    # What wraps it has it one step further.
                    for part, of in zip(parts, self._values.type_names(parts), strict=True):
                        if inner < _INNER and part not in kinds and _object(of):
                            inner += 1
                            kinds[part] = ""
                            further = list(self._values.attributes(part).values())[:FEW]
                            self._part_of(further, futures, task)
        for value, kind in kinds.items():
            if kind in ("list", "tuple", "collections.deque", "dict"):
                with contextlib.suppress(*BAD):
                    for future in futures.keys() & self._parts.members(value, kind, False):
                        for each in futures[future]:
                            each.found(3, task)

    def _part_of(self, parts: list[int], futures: dict[int, list[_Wanted]], task: Task) -> None:
        """A task has an object of these parts."""
        for future in futures.keys() & ({*parts} | self._parts.enclosed({*parts})):
            for each in futures[future]:
                each.found(2, task)

    # ------------------------------------------------------------------ who is in what is entered

    def _entered(self, wanted: list[_Wanted]) -> None:
        """Tasks that are in an `async with` of what others are about to enter."""
        self.holders = {}
        entering = [w for w in wanted if w.entered and not w.due_s and w.near < 2]
        if not entering:
            return
        waiting = {w.task.address for w in wanted}
        managers: dict[int, list[Task]] = {}
        parts: dict[int, list[Task]] = {}  #: what a manager has -> tasks
        for task in [t for t in self._tracker.tasks.values() if t.address not in waiting][: 4 * _OTHERS]:
            with contextlib.suppress(*BAD):
                for manager in self._tracker.managers(task.links):
                    managers.setdefault(manager, []).append(task)
                    for part in self._values.attributes(manager).values():
                        parts.setdefault(part, []).append(task)
        for each in entering:
            # The very one that they enter; or another one of the same thing, such as its other side.
            owner = each.entered
            each.holders = managers.get(owner, [])
            if not each.holders:
                owner = next((a for a in each.owners if a in each.beyond and a in parts), 0)
                inside = {id(t) for a in each.beyond for t in managers.get(a, ())}
                each.holders = [t for t in parts.get(owner, ()) if id(t) not in inside]
            if each.holders:
                self.holders[owner] = each.holders
                each.keeper, each.reach = owner, {owner}

    # ------------------------------------------------------------------ what it comes to

    def _tell(self, now: int, wanted: list[_Wanted]) -> None:
        concluded = [(each, self._conclusion(each)) for each in wanted]
        concluded.sort(key=lambda told: told[1] is None)  # what is found of one may hold for another at its place
        for each, waiting in concluded:
            task, old = each.task, each.task.waiting
            of_place = self._of_place(task.links) if waiting is None else None
            waiting = waiting or of_place
            if waiting is None:
                pause = self._again.get(task.address)
                longer = min(SELDOM_NS, 2 * pause[2]) if pause is not None and pause[0] == task.future else AGAIN_NS
                remember(self._again, task.address, (task.future, now + longer, longer), _MOST_KNOWN)
                place = _at(task.links)
                longer = min(SELDOM_NS, 2 * self._fruitless.get(place, _NEVER_ASKED)[1])
                remember(self._fruitless, place, (now + longer, longer), _MOST_KNOWN)
                mine = self._concluded.get(task.address)
                if mine is None or mine[0] != task.future:
                    continue
                # It was so, and is no more.
                del self._concluded[task.address]
                waiting = Waiting(TaskState.UNKNOWN, "future", kind=self._kind(each))
            else:
                remember(self._concluded, task.address, (task.future, waiting, _at(task.links)), _MOST_KNOWN)
                # Where nothing keeps it but who will set it, the next one made for the same object goes there, too.
                kept_for = each.keeper or (each.owners[0] if each.owners and each.tasks else 0)
                for place, owner in self._standing(task.links) if of_place is None else ():
                    if owner == kept_for:
                        remember(self._places, (place, owner), replace(waiting, due_s=0.0), _MOST_KNOWN)
                        setters = {t.links[0].place.code for t in each.tasks if t.links}
                        remember(
                            self._setters, (place, owner), frozenset(setters - {task.links[0].place.code}), _MOST_KNOWN
                        )
                        break
            if old is None or old != waiting:
                task.waiting = waiting
                self._tracker.telling.anew(task)
            else:
                self._concluded[task.address] = task.future, old, _at(task.links)

    def _conclusion(self, each: _Wanted) -> Waiting | None:
        if each.due_s:
            return Waiting(TaskState.SLEEP, "timer", kind=self._kind(each), due_s=each.due_s)
        if each.runner:
            kind, thread = (IN_PROCESSES, 0) if each.runner == NO_THREAD else (self._kind(each), each.runner)
            return Waiting(TaskState.EXECUTOR, "executor", kind=kind, thread=thread)
        if each.queued:
            return Waiting(TaskState.EXECUTOR, "executor", kind=self._kind(each), queued=True)
        if each.holders:
            return Waiting(TaskState.LOCK, "enter", object=each.keeper, kind=self._kind(each))
        if each.threads:
            return Waiting(TaskState.EXECUTOR, "future", kind=self._kind(each), thread=each.threads[0])
        if each.tasks:
            addresses = [t.address for t in each.tasks]
            return Waiting(TaskState.TASK, "future", awaited=addresses, total=len(addresses), kind=self._kind(each))
        ended = self._ended(each.keeper) if each.keeper else ""
        return Waiting(TaskState.UNKNOWN, "ended", kind=ended) if ended else None

    def _ended(self, owner: int) -> str:
        """A task that the object which has the future keeps, and that has ended: nobody else sets it any more."""
        values = self._values
        parts = self._parts.of(owner)
        tasks = [p for p, kind in zip(parts, values.type_names(parts), strict=True) if kind.endswith("Task")]
        told = [said for task in tasks if (said := self._tracker.ended(task))]
        return next((said for said in told if "failed" in said), told[0] if told else "")

    def _kind(self, each: _Wanted) -> str:
        return self._values.type_name(each.keeper).rpartition(".")[2] if each.keeper else "Future"


def _at(links: list[Link]) -> Place | None:
    return links[-1].place if links else None


def _object(kind: str) -> bool:
    """Whether it is one of a program's or a library's own class, by the name of its type."""
    return kind.lstrip("_")[:1].isupper() and "." not in kind and kind not in _OF_ALL


def _by_future(wanted: list[_Wanted]) -> dict[int, list[_Wanted]]:
    """Several tasks may wait for the same one."""
    found: dict[int, list[_Wanted]] = {}
    for each in wanted:
        found.setdefault(each.future, []).append(each)
    return found


def _of_interest(wanted: list[_Wanted]) -> set[int]:
    """The futures, and what has them."""
    return {w.future for w in wanted}.union(*(w.reach for w in wanted))


def _bare(waiting: Waiting) -> bool:
    return waiting.state is TaskState.UNKNOWN and waiting.via == "future"


def _rank(task: Task) -> int:
    return _RANK[task.waiting.state] if task.waiting is not None else _NEVER
