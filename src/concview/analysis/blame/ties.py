"""Who has to do with what a thread waits for, by the object itself: who refers to its address, and who does not.

Reports come twice a second at most and tell where each thread stood then. What they tell of names lasts longer: where
`pool.cond` of a function is that object, any thread in that function has to do with it. So whoever stands there at
another moment is asked of the source again: is it past the call that takes it, and will it come by the one that gives
it back?
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from concview.analysis.blame.nouns import Node
from concview.model import Reference, Related, Relations
from concview.source.obligations import BY_METHOD, Will

if TYPE_CHECKING:
    from concview.analysis.blame.world import Moment, Waiter

#: Objects that names are remembered of, and rows kept of one.
MOST_OBJECTS, MOST_ROWS = 2_000, 48
_LOCKS = frozenset({"Lock", "RLock"})
#: Names of one object that are remembered.
MOST_NAMES, MOST_OWNERS = 64, 8


class Owner(NamedTuple):
    """Where one that waits knows what the object is an attribute of."""

    file: str
    function: str
    line: int
    variable: str


class Name(NamedTuple):
    """What a function calls an object."""

    file: str
    function: str
    path: str


@dataclass(slots=True)
class Known:
    """One object: what was told of it, and by which names threads know it."""

    kind: str
    rows: list[tuple[int, Related]] = field(default_factory=list)  #: oldest first
    names: dict[Name, set[Node]] = field(default_factory=dict)  #: who was seen to; a global: anybody in that function
    everybody: set[Name] = field(default_factory=set)
    owners: dict[Owner, None] = field(default_factory=dict)


class Objects:
    """All that was told of objects so far. `learn` in the order of time."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Known] = OrderedDict()
        self._until = -1
        self._by_name: dict[tuple[str, str], dict[str, set[int]]] = {}  #: (file, function) -> path -> addresses

    def learn(self, reports: Iterable[Relations]) -> None:
        for report in reports:
            if report.at_ns <= self._until:
                continue
            self._until = report.at_ns
            for row in report.objects:
                self._learn(report.at_ns, row)

    def _learn(self, at_ns: int, row: Related) -> None:
        known = self._known.get(row.address)
        if known is None or known.kind != row.kind:  # the address was used again
            known = self._known[row.address] = Known(row.kind)
        self._known.move_to_end(row.address)
        while len(self._known) > MOST_OBJECTS:
            self._known.popitem(last=False)
        known.rows.append((at_ns, row))
        del known.rows[:-MOST_ROWS]
        for one in row.references:
            if one.by == "with":
                continue
            attribute = one.tid in row.waiters and one.by == "local" and one.path.count(".") == 1
            if attribute and len(known.owners) < MOST_OWNERS:
                known.owners[Owner(one.file, one.function, one.line, one.path.partition(".")[0])] = None
            name = Name(one.file, one.function, one.path)
            if name not in known.names and len(known.names) >= MOST_NAMES:
                continue
            known.names.setdefault(name, set()).add(one.tid)
            if one.by == "global":
                known.everybody.add(name)
            paths = self._by_name.setdefault((one.file, one.function), {})
            addresses = paths.setdefault(one.path, set())
            if len(paths) > MOST_NAMES or len(addresses) > MOST_ROWS:
                paths.clear()
            addresses.add(row.address)
        if len(self._by_name) > MOST_OBJECTS:
            self._by_name.clear()

    def of(self, address: int, kind: str) -> Known | None:
        known = self._known.get(address)
        return known if known is not None and known.kind == kind else None

    def row(self, waiter: Waiter) -> tuple[int, Related] | None:
        """The last report before the moment with the object that it waits for, else the first after it. Those made
        during this very wait come first: what lay there before may have been another object. And of a lock those made
        while it was taken."""
        known, run, at_ns = self.of(waiter.wait.lock, waiter.wait.lock_kind), waiter.run, waiter.moment.at_ns
        if known is None:
            return None
        rows = [r for r in known.rows if not (known.kind in _LOCKS and r[1].value == 0)] or known.rows
        rows = [r for r in rows if run.start_ns <= r[0] and (not run.end_ns or r[0] <= run.end_ns)] or rows
        return next((r for r in reversed(rows) if r[0] <= at_ns), rows[0])

    def another(self, waiter: Waiter, tid: Node, on: str) -> bool:
        """Whether what that thread calls by this name is another object than the one waited for."""
        for frame in waiter.moment.look(tid).own:
            for path, addresses in self._by_name.get((frame.file, frame.function), {}).items():
                if path.rpartition(".")[2] == on and addresses and waiter.wait.lock not in addresses:
                    return True
        return False


@dataclass(slots=True)
class Ties:
    """Of one thing that is waited for, at one moment."""

    row: Related
    at_ns: int  #: when that was told
    have: list[Node] = field(default_factory=list)  #: past the call that takes it, and yet to come by one that gives it
    make: list[Node] = field(default_factory=list)  #: yet to come by one that gives it
    #: past acquire() of a lock, with no release() to come in the function that has it: it may be given back elsewhere
    took: list[Node] = field(default_factory=list)
    sure: set[Node] = field(default_factory=set)  #: those of `have` that were read inside its `with`, and are there yet
    known: set[Node] = field(default_factory=set)  #: all that refer to it
    not_it: set[Node] = field(default_factory=set)  #: of these, those that by their source have nothing to do for it

    @property
    def counted(self) -> bool:
        """The object's own count says that those found to have it are all that can."""
        return self.row.value == 0 and 0 < self.row.most == len(self.have)

    @property
    def dry(self) -> bool:
        """None is left, every frame was searched, and nobody is on the way to give one back, as far as the source of
        all that refer to it tells."""
        row = self.row
        unknown = any(not r.source and r.tid not in row.waiters and r.by != "with" for r in row.references)
        return row.complete and not row.more and row.value == 0 and not (self.have or self.make or unknown)


def ties(waiter: Waiter) -> Ties | None:
    """None where nothing was told of the object, or it is not known which one it is."""
    moment, wait = waiter.moment, waiter.wait
    if not wait.lock:
        return None
    found = moment.remember(("ties", wait.lock, wait.lock_kind, wait.via), lambda: _ties(waiter))
    return found if isinstance(found, Ties) else None


def _ties(waiter: Waiter) -> Ties | None:
    moment, wait = waiter.moment, waiter.wait
    objects = moment.world.objects
    known = objects.of(wait.lock, wait.lock_kind)
    told = objects.row(waiter)
    if known is None or told is None:
        return None
    at_ns, row = told
    made = Ties(row, at_ns)
    kind = wait.via if wait.via in BY_METHOD else row.kind
    read = {(r.tid, r.file, r.function, r.line): r for r in row.references if r.by != "with" and r.source}
    waiting = set(moment.waiting.get(wait.lock, ()))
    # A method that waits and then notifies (get and put of a queue by hand) lets those go on that wait in another one.
    within = {moment.look(t).place.function.rpartition(".")[2] for t in waiting}
    have: dict[Node, None] = {}
    make: dict[Node, None] = {}
    for one in row.references:
        if one.by == "with" and one.past and still(moment, one.tid, at_ns):
            have[one.tid] = None
            made.sure.add(one.tid)
            made.known.add(one.tid)
    for name, tids in known.names.items():
        there = (name.file, name.function)
        for tid, line in (*moment.standing.get(there, ()), *moment.tasks.standing.get(there, ())):
            if tid not in tids and name not in known.everybody:
                continue
            made.known.add(tid)
            seen = read.get((tid, name.file, name.function, line))
            will: Will | Reference = seen if seen is not None else _asked(moment, known, name, line, kind)
            gives = bool(will.will) and not (kind == "Condition" and {will.through} == within)
            if tid in waiting:
                look = moment.look(tid)
                if (look.place.function, look.place.line) == (name.function, line):
                    continue  # where it waits itself
            if kind in ("Event", "Barrier", "Future"):
                if gives and tid not in waiting:
                    make[tid] = None
            elif (will.part == "body" and will.past) or (
                gives and will.past not in ("", will.through) and _same_thing(moment, name, line, will)
            ):
                have[tid] = None
            elif gives and tid not in waiting:
                make[tid] = None
            elif will.source:
                if kind in ("Lock", "RLock") and will.past == "acquire":
                    made.took.append(tid)
                else:
                    made.not_it.add(tid)
    made.have = list(have)
    made.make = [t for t in make if t not in have]
    return made


def _asked(moment: Moment, known: Known, name: Name, line: int, kind: str) -> Will:
    wakes = moment.world.wakes
    cls = ("", "")
    for owner in known.owners:
        parsed = wakes.uses.file(owner.file)
        found = parsed.function(owner.function, owner.line) if parsed is not None else None
        # Only in a method, whose own object has it, is it known which class the other methods are of.
        if found is not None and found.cls and found.parameters[:1] == (owner.variable,):
            cls = (owner.file, found.cls)
            break
    return wakes.obligations.of(name.function, name.file, line, -1, name.path, kind, cls)


def still(moment: Moment, tid: Node, at_ns: int) -> bool:
    """Whether the thread does what it did when something was read: then what was read holds."""
    run = moment.tasks.runs.get(tid) if tid < 0 else moment.runs.get(tid)
    return run is not None and run.start_ns <= at_ns and (not run.end_ns or at_ns <= run.end_ns)


def _same_thing(moment: Moment, name: Name, line: int, will: Will | Reference) -> bool:
    """Whether what it gives back is what it took: not where the source shows that it puts in something else, as one
    does who takes work out of a queue and puts new work in."""
    if will.past == "enter" or (not will.through and will.past not in ("get", "get_nowait")):
        return True
    return moment.world.file(name.file).gives_back(name.function, line, will.past, will.through or will.will)


def without_others(waiter: Waiter, on: str, tids: Sequence[Node]) -> list[Node]:
    """Those found by names alone, without those whose names are known to mean another object, or which were asked by
    the object itself."""
    if not on or not waiter.wait.lock:
        return list(tids)
    objects, told = waiter.world.objects, ties(waiter)
    asked = told.not_it | {*told.have, *told.make} if told is not None else set()
    return [t for t in tids if t not in asked and not objects.another(waiter, t, on)]
