"""What the stream names, once for equal ones: stacks, waits, locks, and what threads do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from concview.analysis.classify import classify, in_native_lock
from concview.analysis.locks import all_holds
from concview.analysis.samples.selection import Selection
from concview.analysis.samples.values import Activity, LockName
from concview.analysis.work import IN_NOBODYS_NAME, Doing
from concview.model import (
    NO_STACK,
    NO_WAIT,
    TASK_STATES,
    Confidence,
    Frame,
    FrameDef,
    Hold,
    HoldsDef,
    Label,
    LabelDef,
    Site,
    Stack,
    StackDef,
    State,
    Wait,
    WaitDef,
)
from concview.text import file_name

#: So many different stacks, and as many activities, are kept apart; what comes later is told as left out. About 100 MB.
MOST_STACKS = 100_000
MOST_ACTIVITIES = 200_000
#: Different names of work.
MOST_DOINGS = 2_000
#: What a line calls a method of: 'self.jobs' and 'put' of 'self.jobs.put(item)'.
_CALL = re.compile(r"([A-Za-z_][\w.]*)\s*\.\s*(\w+)\s*\(")
_UNKEPT = Frame("(one of very many lines of code)", "", 0, "", "native")


@dataclass(slots=True)
class Tables:
    """What the stream's ids stand for; void after Forget, while the objects stay."""

    frames: dict[int, Frame] = field(default_factory=dict)
    stacks: dict[int, Stack] = field(default_factory=lambda: {0: NO_STACK})
    waits: dict[int, Wait] = field(default_factory=lambda: {0: NO_WAIT})
    holds: dict[int, tuple[Hold, ...]] = field(default_factory=lambda: {0: ()})
    activities: dict[tuple[int, int, int], Activity] = field(default_factory=dict)
    labels: dict[int, Label] = field(default_factory=dict)


class Naming:
    """One object for equal ones, of all that the stream names; bounded, and `left_out` counts what had no room."""

    def __init__(self, selection: Selection, gil_blockers: bool) -> None:
        self._selection, self._gil_blockers = selection, gil_blockers
        self.tables = Tables()
        self.left_out = 0  #: stacks and activities that were too many to be kept apart
        self.exact = False  #: whether who holds a lock is read from memory
        self.names: dict[str, str] = {}  #: of locks, by key
        self.addresses: dict[str, dict[str, None]] = defaultdict(dict)  #: key of a site -> keys of objects seen there
        self.activities: dict[tuple[int, int, int], Activity] = {}
        self.doings: dict[Doing, Doing] = {}
        self._frames: dict[Frame, Frame] = {}
        self._stacks: dict[tuple[int, ...], Stack] = {}
        self._waits: dict[Wait, Wait] = {}
        self._holds: dict[tuple[Hold, ...], tuple[Hold, ...]] = {}
        self._held: dict[tuple[LockName, ...], tuple[LockName, ...]] = {}
        self._named: dict[tuple[Activity, Doing], Activity] = {}  #: activities with in whose name they are
        self._in_c: dict[tuple[Activity, str], Activity] = {}  #: those that wait for a lock in C
        self._bare: dict[Activity, Activity] = {}  #: the other way round
        self._too_many = Stack((Frame(f"(more than {MOST_STACKS:,} different stacks)", "", 0, "", "native"),))

    def forget(self) -> None:
        """The ids mean nothing any more."""
        self.tables = Tables()

    def define(self, event: FrameDef | StackDef | WaitDef | HoldsDef | LabelDef) -> None:
        tables = self.tables
        if isinstance(event, FrameDef):
            if len(self._frames) < MOST_STACKS:
                tables.frames[event.id] = self._frames.setdefault(event.frame, event.frame)
            else:
                tables.frames[event.id] = self._frames.get(event.frame, _UNKEPT)
        elif isinstance(event, StackDef):
            tables.stacks[event.id] = self._stack(event)
        elif isinstance(event, WaitDef):
            wait = event.wait if len(self._waits) < MOST_STACKS else Wait(event.wait.kind)
            tables.waits[event.id] = self._waits.setdefault(wait, wait)
        elif isinstance(event, HoldsDef):
            holds = event.holds if len(self._holds) < MOST_STACKS else ()
            tables.holds[event.id] = self._holds.setdefault(holds, holds)
        else:
            tables.labels[event.id] = event.label

    def activity(self, ids: tuple[int, int, int]) -> Activity:
        tables = self.tables
        stack = tables.stacks.get(ids[0], NO_STACK)
        wait = tables.waits.get(ids[1], NO_WAIT)
        holds = tables.holds.get(ids[2], ())
        if len(self.activities) >= MOST_ACTIVITIES:
            self.left_out += 1
            stack = self._too_many
        key = (id(stack), id(wait), id(holds))
        found = self.activities.get(key)
        if found is None:
            found = self.activities[key] = self._judged(stack, wait, holds)
        return found

    def in_name(self, bare: Activity, doing: Doing) -> Activity:
        if doing is IN_NOBODYS_NAME:
            return bare
        found = self._named.get((bare, doing))
        if found is None:
            if len(self._named) >= MOST_ACTIVITIES:
                self.left_out += 1
                return bare
            # Of a task its own state is asked for.
            state = TASK_STATES.index(bare.told[0]) if bare.told is not None else bare.state
            wanted = self._selection.takes_state(state) and self._selection.takes_doing(doing)
            found = self._named[bare, doing] = replace(bare, doing=doing, wanted=wanted)
            self._bare[found] = bare
        return found

    def in_c(self, bare: Activity, lock: str) -> Activity:
        """The same, once it is known that what it waits for in C is that lock."""
        verdict = in_native_lock(bare.verdict, lock)
        if verdict is bare.verdict or len(self._in_c) >= MOST_ACTIVITIES:
            return bare
        found = self._in_c.get((bare, lock))
        if found is None:
            wanted = self._selection.takes_state(verdict.state) and self._selection.takes_doing(bare.doing)
            found = self._in_c[bare, lock] = replace(bare, state=verdict.state, verdict=verdict, wanted=wanted)
        return found

    def bare(self, activity: Activity) -> Activity:
        """The same in nobody's name."""
        return self._bare.get(activity, activity)

    def one_doing(self, doing: Doing) -> Doing:
        """One object for equal ones; of too many different ones no more are told apart."""
        if doing == IN_NOBODYS_NAME:
            return IN_NOBODYS_NAME
        if doing not in self.doings and len(self.doings) >= MOST_DOINGS:
            doing = Doing("(one of very many)")
        return self.doings.setdefault(doing, doing)

    def lock(self, address: int, kind: str, site: Site | None, exact: bool) -> LockName:
        named = site if site is not None and site.expression else None
        key = f"{address:#x}" if address else named.key if named is not None else ""
        if named is not None:
            if address:
                self.addresses[named.key][key] = None
            file = file_name(named.file)
            # One object has one name, whatever its users call it.
            self.names.setdefault(key, named.expression + (f" ({file})" if file else ""))
        keys = (key,) if named is None or named.key == key else (key, named.key)
        return LockName(key, kind, exact and bool(address), named, keys, self.names)

    def held(self, locks: Iterable[LockName]) -> tuple[LockName, ...]:
        """One object for equal ones."""
        held = tuple(locks)
        return self._held.setdefault(held, held)

    def _judged(self, stack: Stack, wait: Wait, holds: tuple[Hold, ...]) -> Activity:
        verdict = classify(wait, stack)
        state = verdict.state
        lock = None
        if state is State.LOCK and (wait.lock or (verdict.site is not None and verdict.site.expression)):
            lock = self.lock(wait.lock, wait.lock_kind, verdict.site, bool(wait.lock))
            if lock.site is None and (called := _as_called(stack, verdict.via)):
                self.names.setdefault(lock.key, called)
        every = all_holds(holds, stack, self.exact) if holds or stack.holding else []
        locks = [self.lock(h.lock, h.kind, h.site, h.confidence is Confidence.EXACT) for h in every]
        if lock is not None:  # it cannot hold what it waits for: that is the line which is still acquiring
            locks = [h for h in locks if h.key != lock.key and (h.exact or h.site != lock.site)]
        held = self.held(locks)
        involved = lock is not None or bool(held) or bool(wait.target)
        wanted = self._selection.takes_state(state) and self._selection.takes_doing(IN_NOBODYS_NAME)
        plain = not involved and not (self._gil_blockers and state is State.GIL)
        return Activity(state, stack, wait, verdict, lock, held, wanted, plain)

    def _stack(self, event: StackDef) -> Stack:
        known = self.tables.frames
        frames = tuple(known[f] for f in event.frames if f in known)
        key = (*(id(f) for f in frames), event.truncated)
        found = self._stacks.get(key)
        if found is None:
            if len(self._stacks) >= MOST_STACKS:
                self.left_out += 1
                return self._too_many
            found = self._stacks[key] = Stack(frames, event.truncated)
        return found


def _as_called(stack: Stack, via: str) -> str:
    """'self.jobs (mail.py)' of a thread in 'self.jobs.put(item)': the name of what has no place in the source where it
    is taken, as a queue or a barrier. '' where the line that called the library names none, or several."""
    method = via.rpartition(".")[2]
    caller = next((f for f in stack.frames if f.origin not in ("stdlib", "frozen")), None)
    if not method or caller is None:
        return ""
    found = {match[1] for match in _CALL.finditer(caller.text) if match[2] == method}
    return f"{found.pop()} ({file_name(caller.file)})" if len(found) == 1 else ""
