"""The one source of samples: who did what from when to when, as a stream of resolved pieces.

Exporters, reports and comparisons read this and nothing below it. A piece is one thread in one condition (stack,
state, wait, locks held) behind one blocker, merged over all samples that saw it so, and weighted by the time that
passed. Nothing is kept but what is going on now and the tables of what was named, so a recording of any length is read
in bounded memory; of counters only the process's own are decoded.

Times are nanoseconds of the stream's clock. What a sample sees is taken to be so since the sample before, as the
history of a session does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from concview import codec
from concview.analysis.classify import Classification, classify
from concview.analysis.locks import SHARED_KINDS, all_holds
from concview.analysis.work import title
from concview.model import (
    AGENT_THREAD,
    NO_STACK,
    NO_WAIT,
    STATES,
    AnyEvent,
    Bye,
    Confidence,
    Forget,
    Frame,
    FrameDef,
    Hello,
    Hold,
    HoldsDef,
    Label,
    LabelDef,
    Notice,
    Site,
    Stack,
    StackDef,
    State,
    Stats,
    ThreadDef,
    ThreadGone,
    Tick,
    Wait,
    WaitDef,
    Work,
)
from concview.text import file_name

#: So many different stacks, and as many conditions, are kept apart; what comes later is told as left out. About 100 MB.
MOST_STACKS = 100_000
MOST_CONDITIONS = 200_000
#: Different names of work.
MOST_DOINGS = 2_000
SIDES = ("waiter", "holder")
_UNKEPT = Frame("(one of very many lines of code)", "", 0, "", "native")


class ProcessCounters(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """The first fields of `model.Counters`: the process's own, without those of its threads."""

    at_ns: int
    cpu_user_s: float
    cpu_system_s: float
    rss: int
    fds: int
    os_threads: int


_lean: list[object] = []


def read(source: codec.Readable, of: int = 0) -> Iterator[list[AnyEvent]]:
    """The blocks of a recording (`of`: of one process among several) with the events that `Samples` looks at, and
    placeholders for the others. Raises as `codec.read_blocks` does."""
    if not _lean:
        wanted = (
            Tick, FrameDef, StackDef, WaitDef, HoldsDef, ThreadDef, ThreadGone, Forget, Notice, Stats, ProcessCounters,
            LabelDef, Work,
        )  # fmt: skip
        _lean.append(codec.lean_decoder(wanted))
    return codec.read_blocks(source, _lean[0], of)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class LockName:
    """A lock as a waiter or a holder knows it. `key`: its address, or its place in the source where that is all."""

    key: str
    kind: str
    exact: bool  #: the object itself is known
    site: Site | None
    names: dict[str, str] = field(compare=False)  #: those of all locks, by key: most are named by their holders

    @property
    def name(self) -> str:
        """'self._lock (cache.py)', or 'Lock 0x7f..' as long as nobody was seen to call it something."""
        return self.names.get(self.key) or f"{self.kind or 'lock'} {self.key}"


class Doing(NamedTuple):
    """In whose name: the outermost piece of work (request, job), and the innermost one (query, call) inside it."""

    work: str = ""  #: 'GET /orders/<id>'
    inner: str = ""  #: 'SELECT a FROM t'; '' where the work is all there is


IN_NOBODYS_NAME = Doing()


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """What a thread does. One object for equal ones; compared by identity."""

    state: State
    stack: Stack
    wait: Wait
    verdict: Classification
    lock: LockName | None  #: that it waits for
    held: tuple[LockName, ...]
    wanted: bool  #: by the selection
    plain: bool  #: it waits for no thread that could be named, and holds nothing
    #: Of a task: its own state, of which there are more than of threads, and what it waits for beside locks and peers.
    told: tuple[str, str] | None = None
    doing: Doing = IN_NOBODYS_NAME

    @property
    def word(self) -> str:
        """The state's name."""
        return self.told[0] if self.told is not None else STATES[self.state]

    @property
    def detail(self) -> str:
        """What it waits for, in a few words: the lock, or where the call leads. Empty when that is not known."""
        if self.lock is not None:
            return self.lock.name
        peer = self.wait.peer
        if peer is not None:
            kind = peer.known_as or peer.kind
            return peer.name if peer.name.startswith(kind) else f"{kind} {peer.name}"
        if self.told is not None:
            return self.told[1]
        if self.state in (State.LOCK, State.IDLE):
            return self.verdict.via
        return self.wait.syscall if self.state is State.IO else ""


@dataclass(slots=True, eq=False)
class SampledThread:
    """One thread from its first to its last sample. A tid that is used again is another one."""

    tid: int
    name: str
    native: bool = False
    started_ns: int = 0
    gone_ns: int = 0
    wanted: bool = True
    pid: int = 0  #: of its process, in a recording of several
    label: str = ""  #: what begins its name there: 'worker 2 (4712): '
    alias: str = ""  #: of a task: as the program calls it
    #: What it does now, since when, and who is in its way. For `Samples` only.
    now: Condition | None = None
    since_ns: int = 0
    since_tick: int = 0
    behind: Blocker | None = None
    doing: Doing = IN_NOBODYS_NAME
    blocks: dict[SampledThread, None] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """One of the program's own Python threads."""
        return not self.native and self.own_name != AGENT_THREAD

    @property
    def own_name(self) -> str:
        """Without the process's."""
        return self.name[len(self.label) :]


@dataclass(frozen=True, slots=True, eq=False)
class Blocker:
    """The thread at the other end of a wait. One object for equal ones."""

    thread: SampledThread
    confidence: Confidence


#: thread, from, to, what it did, who was in its way (or, from the holder's side, who waited), how many samples saw it.
Piece = tuple[SampledThread, int, int, Condition, "Blocker | None", int]


@dataclass(frozen=True, slots=True)
class Selection:
    """`threads`: names with * and ?, or tids; empty: all Python threads of the program. `states`: empty: all.
    `labels`: names of requests, jobs, queries and calls with * and ?; empty: all time, in whosever name. `from_s`,
    `to_s`: seconds since the first sample."""

    threads: tuple[str, ...] = ()
    states: frozenset[int] = frozenset()
    from_s: float = 0.0
    to_s: float | None = None
    labels: tuple[str, ...] = ()

    def takes_doing(self, doing: Doing) -> bool:
        return not self.labels or any(fnmatchcase(name, p) for name in doing if name for p in self.labels)

    def takes(self, thread: SampledThread) -> bool:
        if not self.threads:
            return thread.counts
        names = {thread.name, thread.own_name, thread.alias}
        return any(p == str(thread.tid) or any(fnmatchcase(name, p) for name in names) for p in self.threads)

    def takes_state(self, state: State) -> bool:
        return not self.states or state in self.states


@dataclass(slots=True)
class _Tables:
    """Ids of the stream; void after Forget, while the objects stay."""

    frames: dict[int, Frame] = field(default_factory=dict)
    stacks: dict[int, Stack] = field(default_factory=lambda: {0: NO_STACK})
    waits: dict[int, Wait] = field(default_factory=lambda: {0: NO_WAIT})
    holds: dict[int, tuple[Hold, ...]] = field(default_factory=lambda: {0: ()})
    conditions: dict[tuple[int, int, int], Condition] = field(default_factory=dict)
    labels: dict[int, Label] = field(default_factory=dict)


class Samples:
    """Iterate once: lists of pieces, those of one thread in the order of time and without gaps or overlaps.

    `side='holder'` turns waits around: the thread and condition of a piece are the blocker's while somebody waited for
    it, and its blocker is who waited. `gil_blockers`: who held the GIL counts as blocker of those that wanted it, which
    cuts their waits at every change of hands. When the iteration is over the attributes tell what was read.
    """

    whose = "thread"  #: what the rows are

    def __init__(
        self,
        blocks: Iterable[list[AnyEvent]],
        selection: Selection | None = None,
        side: str = "waiter",
        gil_blockers: bool = False,
        pid: int = 0,
        label: str = "",
        zero_ns: int = 0,
    ) -> None:
        """`pid`, `label`: what its threads have, as one process of several. `zero_ns`: what the selection's times count
        from, in place of the first sample."""
        self._blocks = blocks
        self._pid, self._label, self._zero_ns = pid, label, zero_ns
        self.selection = selection or Selection()
        self._turned = side == "holder"
        self._gil_blockers = gil_blockers
        self.hello: Hello | None = None
        self.stats: Stats | None = None
        self.bye: Bye | None = None
        self.notices: list[Notice] = []
        self.broken = ""  #: why the recording ends before its end
        self.threads: list[SampledThread] = []  #: all that were seen, also those not selected
        self.counters: list[ProcessCounters] = []
        self.ticks = 0
        self.first_ns = self.last_ns = 0
        self.gil_seen_ns = self.gil_held_ns = self.collecting_ns = 0
        self.left_out = 0  #: stacks and conditions that were too many to be kept apart
        self._exact = False
        self._alive: dict[int, SampledThread] = {}
        self._tables = _Tables()
        self._frames: dict[Frame, Frame] = {}
        self._stacks: dict[tuple[int, ...], Stack] = {}
        self._waits: dict[Wait, Wait] = {}
        self._holds: dict[tuple[Hold, ...], tuple[Hold, ...]] = {}
        self._conditions: dict[tuple[int, int, int], Condition] = {}
        self._named: dict[tuple[Condition, Doing], Condition] = {}  #: conditions with in whose name they are
        self._bare: dict[Condition, Condition] = {}  #: the other way round
        self._doings: dict[Doing, Doing] = {}
        self._too_many = Stack((Frame(f"(more than {MOST_STACKS:,} different stacks)", "", 0, "", "native"),))
        self._owners: dict[str, dict[SampledThread, bool]] = defaultdict(dict)
        self._waiting: dict[str, dict[SampledThread, None]] = defaultdict(dict)
        self._addresses: dict[str, set[str]] = defaultdict(set)  #: key of a site -> keys of objects seen there
        self._blockers: dict[tuple[SampledThread, Confidence], Blocker] = {}
        self._names: dict[str, str] = {}
        self._dirty: set[str] = set()
        self._gil_waiters: dict[SampledThread, None] = {}
        self._gil_holder = 0
        self._out: list[Piece] = []

    @property
    def doings(self) -> list[Doing]:
        """In whose names threads were seen until now."""
        return list(self._doings)

    @property
    def seconds(self) -> float:
        """From the first sample to the last."""
        return (self.last_ns - self.first_ns) / 1e9

    # ------------------------------------------------------------ reading

    def __iter__(self) -> Iterator[list[Piece]]:
        bounds = self.selection.from_s > 0 or self.selection.to_s is not None
        blocks = iter(self._blocks)
        while True:
            try:
                events = next(blocks, None)
            except codec.Damaged as error:
                self.broken = str(error)
                events = None
            if events is None:
                break
            for event in events:
                kind = type(event)
                if kind is Tick:
                    self._tick(event)  # type: ignore[arg-type]
                else:
                    self._apply(event)
            if self._out:
                yield self._clipped() if bounds else self._out
                self._out = []
        for thread in list(self._alive.values()):
            self._flush(thread, self.last_ns)
        if self._out:
            yield self._clipped() if bounds else self._out
            self._out = []

    def _clipped(self) -> list[Piece]:
        zero = self._zero_ns or self.first_ns
        first = zero + int(self.selection.from_s * 1e9)
        last = zero + int(self.selection.to_s * 1e9) if self.selection.to_s is not None else 1 << 62
        out: list[Piece] = []
        for thread, start, end, condition, blocker, seen in self._out:
            a, b = max(start, first), min(end, last)
            if b > a:
                out.append((thread, a, b, condition, blocker, max(1, round(seen * (b - a) / (end - start)))))
        return out

    def _apply(self, event: AnyEvent) -> None:
        tables = self._tables
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
        elif isinstance(event, ThreadDef):
            thread = self._alive.get(event.tid)
            if thread is None:
                thread = self._new(event.tid, event.name)
            thread.name, thread.native, thread.started_ns = self._label + event.name, event.native, event.started_ns
            thread.wanted = self.selection.takes(thread)
        elif isinstance(event, ThreadGone):
            thread = self._alive.pop(event.tid, None)
            if thread is not None:
                thread.gone_ns = max(event.at_ns, thread.since_ns)
                joined = dict(thread.blocks)
                self._change(thread, thread.gone_ns, None)
                self._settle(self.last_ns, joined)  # the others are known up to the last sample
        elif isinstance(event, ProcessCounters):
            self.counters.append(event)
        elif isinstance(event, Stats):
            self.stats = event
        elif isinstance(event, Notice):
            self.notices.append(event)
        elif isinstance(event, LabelDef):
            tables.labels[event.id] = event.label
        elif isinstance(event, Work):
            self._work(event)
        elif isinstance(event, Forget):
            self._tables = _Tables()
        elif isinstance(event, Hello):
            self.hello = event
            self.first_ns = self.last_ns = event.at_ns
            held = event.capabilities.get("held-locks")
            self._exact = held is not None and held.available
        elif isinstance(event, Bye):
            self.bye = event

    def _work(self, event: Work) -> None:
        """From now on threads work in these names."""
        labels, by_id = self._tables.labels, {item.id: item for item in event.items}
        inside = {item.inside for item in event.items}
        chains: dict[int, list[int]] = defaultdict(list)
        for item in event.items:
            for tid in item.threads:
                chains[tid].append(item.id)
        doings: dict[int, Doing] = {}
        for tid, ids in chains.items():
            outer = [i for i in ids if by_id[i].inside not in ids]
            inner = [i for i in ids if i not in inside and i not in outer]
            names = [title(label) if (label := labels.get(by_id[i[0]].label)) else "" for i in (outer, inner) if i]
            doings[tid] = self._one_doing(Doing(*names[:2]))
        touched: dict[SampledThread, None] = {}
        at = min(event.at_ns, self.last_ns)
        for thread in self._alive.values():
            doing = doings.get(thread.tid, IN_NOBODYS_NAME)
            if doing is thread.doing:
                continue
            thread.doing = doing
            if thread.now is not None:
                self._change(thread, at, self._in_name(self._bare.get(thread.now, thread.now), doing))
                if not thread.now.plain:
                    touched[thread] = None
        if touched:
            self._settle(at, touched)

    def _one_doing(self, doing: Doing) -> Doing:
        """One object for equal ones; of too many different ones no more are told apart."""
        if doing == IN_NOBODYS_NAME:
            return IN_NOBODYS_NAME
        if doing not in self._doings and len(self._doings) >= MOST_DOINGS:
            doing = Doing("(one of very many)")
        return self._doings.setdefault(doing, doing)

    def _in_name(self, bare: Condition, doing: Doing) -> Condition:
        if doing is IN_NOBODYS_NAME:
            return bare
        found = self._named.get((bare, doing))
        if found is None:
            if len(self._named) >= MOST_CONDITIONS:
                self.left_out += 1
                return bare
            wanted = self.selection.takes_state(bare.state) and self.selection.takes_doing(doing)
            found = self._named[bare, doing] = replace(bare, doing=doing, wanted=wanted)
            self._bare[found] = bare
        return found

    def _new(self, tid: int, name: str) -> SampledThread:
        thread = self._alive[tid] = SampledThread(tid, self._label + name, pid=self._pid, label=self._label)
        thread.wanted = self.selection.takes(thread)
        self.threads.append(thread)
        return thread

    def _tick(self, tick: Tick) -> None:
        at, dt = tick.at_ns, tick.dt_ns
        start = at - dt
        number = self.ticks
        if not number:
            self.first_ns = start
        changes = tick.changes
        known, alive, out, turned = self._tables.conditions, self._alive, self._out, self._turned
        touched: dict[SampledThread, None] = {}
        for i in range(0, len(changes) - 3, 4):
            thread = alive.get(changes[i])
            if thread is None:
                thread = self._new(changes[i], f"thread {changes[i]}")
            key = (changes[i + 1], changes[i + 2], changes[i + 3])
            now = known.get(key)
            if now is None:
                now = known[key] = self._condition(key)
            if thread.doing is not IN_NOBODYS_NAME:
                now = self._in_name(now, thread.doing)
            old = thread.now
            if old is now:
                continue
            if turned or not now.plain or (old is not None and not old.plain):
                self._change(thread, start, now)
                if not now.plain:
                    touched[thread] = None
                continue
            since = thread.since_ns  # most changes, by far: the same as _change does, with nobody else involved
            if old is None:
                thread.since_ns, thread.since_tick = max(start, since), number
            elif start > since:
                if thread.wanted and old.wanted:
                    out.append((thread, since, start, old, None, number - thread.since_tick))
                thread.since_ns, thread.since_tick = start, number
            thread.now = now
        self.last_ns = at
        holder = tick.gil_holder
        if holder != -1:
            self.gil_seen_ns += dt
            if holder:
                self.gil_held_ns += dt
            if self._gil_blockers and holder != self._gil_holder:
                touched.update(self._gil_waiters)
            self._gil_holder = holder
        if tick.collecting:
            self.collecting_ns += dt
        if touched or self._dirty:
            self._settle(start, touched)
        self.ticks = number + 1

    # ------------------------------------------------------------ one thread

    def _flush(self, thread: SampledThread, at_ns: int) -> None:
        """What it did until now is a piece, and a new one begins."""
        now, since = thread.now, thread.since_ns
        if now is None:
            thread.since_ns, thread.since_tick = max(at_ns, since), self.ticks
        elif at_ns > since:
            seen, behind = self.ticks - thread.since_tick, thread.behind
            if not self._turned:
                if thread.wanted and now.wanted:
                    self._out.append((thread, since, at_ns, now, behind, seen))
            elif behind is not None:
                owner = behind.thread
                does = owner.now
                if does is not None and owner.wanted and does.wanted:
                    waiter = self._blocker(thread, behind.confidence)
                    self._out.append((owner, since, at_ns, does, waiter, seen))
            thread.since_ns, thread.since_tick = at_ns, self.ticks

    def _change(self, thread: SampledThread, at_ns: int, now: Condition | None) -> None:
        old = thread.now
        if self._turned:
            for waiter in thread.blocks:
                self._flush(waiter, min(at_ns, self.last_ns))
        self._flush(thread, at_ns)
        if thread.behind is not None:
            thread.behind.thread.blocks.pop(thread, None)
            thread.behind = None
        if old is not None and not old.plain:
            if old.lock is not None:
                self._waiting[old.lock.key].pop(thread, None)
            self._gil_waiters.pop(thread, None)
            if now is None or old.held != now.held:
                for lock in old.held:
                    self._owners[lock.key].pop(thread, None)
                    self._stir(lock)
        thread.now = now
        if now is not None and not now.plain:
            if now.lock is not None:
                self._waiting[now.lock.key][thread] = None
            elif now.state is State.GIL:
                self._gil_waiters[thread] = None
            if old is None or old.held != now.held:
                for lock in now.held:
                    self._owners[lock.key][thread] = lock.exact
                    self._stir(lock)

    def _stir(self, lock: LockName) -> None:
        """Who waits for it may wait for somebody else now."""
        self._dirty.add(lock.key)
        if lock.site is not None:
            self._dirty.add(lock.site.key)
            if lock.key == lock.site.key:
                self._dirty |= self._addresses[lock.key]

    def _settle(self, at_ns: int, touched: dict[SampledThread, None]) -> None:
        """Who is in whose way, once everything of a moment is known."""
        for key in self._dirty:
            touched.update(self._waiting.get(key, ()))
        self._dirty.clear()
        for thread in touched:
            behind = self._blocker_of(thread)
            if behind is not thread.behind:
                self._flush(thread, at_ns)
                if thread.behind is not None:
                    thread.behind.thread.blocks.pop(thread, None)
                thread.behind = behind
                if behind is not None:
                    behind.thread.blocks[thread] = None

    def _blocker_of(self, thread: SampledThread) -> Blocker | None:
        now = thread.now
        if now is None:
            return None
        other = 0
        if now.wait.target:
            other = now.wait.target
        elif now.lock is not None:
            return self._owner(now.lock, thread)
        elif now.state is State.GIL and self._gil_blockers:
            other = self._gil_holder
        found = self._alive.get(other) if other > 0 else None
        return self._blocker(found, Confidence.EXACT) if found is not None and found is not thread else None

    def _owner(self, lock: LockName, waiter: SampledThread) -> Blocker | None:
        """Who holds it; nobody when several seem to: one expression, many objects."""
        owners = self._owners.get(lock.key)
        if not owners and lock.site is not None:
            known = self._addresses[lock.site.key]
            if len(known) == 1:  # one name, one object
                (address,) = known
                owners = self._owners.get(lock.site.key if lock.exact else address)
        if not owners:
            return None
        others = [(t, exact) for t, exact in owners.items() if t is not waiter]
        if not others or (len(others) > 1 and lock.kind not in SHARED_KINDS):
            return None
        owner, exact = others[0]
        return self._blocker(owner, Confidence.EXACT if exact and lock.exact else Confidence.INFERRED)

    def _blocker(self, thread: SampledThread, confidence: Confidence) -> Blocker:
        key = (thread, confidence)
        known = self._blockers.get(key)
        if known is None:
            known = self._blockers[key] = Blocker(thread, confidence)
        return known

    # ------------------------------------------------------------ what is named

    def _stack(self, event: StackDef) -> Stack:
        known = self._tables.frames
        frames = tuple(known[f] for f in event.frames if f in known)
        key = (*(id(f) for f in frames), event.truncated)
        found = self._stacks.get(key)
        if found is None:
            if len(self._stacks) >= MOST_STACKS:
                self.left_out += 1
                return self._too_many
            found = self._stacks[key] = Stack(frames, event.truncated)
        return found

    def _condition(self, ids: tuple[int, int, int]) -> Condition:
        tables = self._tables
        stack = tables.stacks.get(ids[0], NO_STACK)
        wait = tables.waits.get(ids[1], NO_WAIT)
        holds = tables.holds.get(ids[2], ())
        if len(self._conditions) >= MOST_CONDITIONS:
            self.left_out += 1
            stack = self._too_many
        key = (id(stack), id(wait), id(holds))
        found = self._conditions.get(key)
        if found is None:
            found = self._conditions[key] = self._judged(stack, wait, holds)
        return found

    def _judged(self, stack: Stack, wait: Wait, holds: tuple[Hold, ...]) -> Condition:
        verdict = classify(wait, stack)
        state = verdict.state
        lock = None
        if state is State.LOCK and (wait.lock or (verdict.site is not None and verdict.site.expression)):
            lock = self._lock(wait.lock, wait.lock_kind, verdict.site, bool(wait.lock))
        every = all_holds(holds, stack, self._exact) if holds or stack.holding else []
        held = tuple(self._lock(h.lock, h.kind, h.site, h.confidence is Confidence.EXACT) for h in every)
        if lock is not None:  # it cannot hold what it waits for: that is the line which is still acquiring
            held = tuple(h for h in held if h.key != lock.key and (h.exact or h.site != lock.site))
        involved = lock is not None or bool(held) or bool(wait.target)
        wanted = self.selection.takes_state(state) and self.selection.takes_doing(IN_NOBODYS_NAME)
        plain = not involved and not (self._gil_blockers and state is State.GIL)
        return Condition(state, stack, wait, verdict, lock, held, wanted, plain)

    def _lock(self, address: int, kind: str, site: Site | None, exact: bool) -> LockName:
        named = site if site is not None and site.expression else None
        key = f"{address:#x}" if address else named.key if named is not None else ""
        if named is not None:
            if address:
                self._addresses[named.key].add(key)
            file = file_name(named.file)
            # One object has one name, whatever its users call it.
            self._names.setdefault(key, named.expression + (f" ({file})" if file else ""))
        return LockName(key, kind, exact and bool(address), named, self._names)


class Together(Samples):
    """Samples of several processes, one process after the other, as those of one: threads have their process's name
    before their own, and `pid`. Who waits for whom is known within a process. `counters` are told of none."""

    def __init__(
        self,
        each: Sequence[tuple[Callable[[], Iterable[list[AnyEvent]]], int, str]],
        zero_ns: int,
        selection: Selection | None = None,
        side: str = "waiter",
        gil_blockers: bool = False,
    ) -> None:
        """`each`: what makes a process's blocks, its pid, and its name. `zero_ns`: where the recording begins."""
        super().__init__((), selection, side, gil_blockers)
        self._each, self._side = each, side
        self.first_ns = self.last_ns = self._zero_ns = zero_ns

    def __iter__(self) -> Iterator[list[Piece]]:
        for blocks, pid, name in self._each:
            label = f"{name} ({pid}): "
            one = Samples(blocks(), self.selection, self._side, self._gil_blockers, pid, label, self._zero_ns)
            try:
                for pieces in one:
                    self.hello = self.hello or one.hello
                    yield pieces
            except codec.StreamError as error:
                one.broken = str(error)
            self._add(one)

    def _add(self, one: Samples) -> None:
        self.hello, self.bye = self.hello or one.hello, self.bye or one.bye
        self.stats = one.stats if self.stats is None else _sum(self.stats, one.stats)
        self.notices += one.notices
        self.broken = self.broken or one.broken
        self.threads += one.threads
        self.ticks += one.ticks
        self.last_ns = max(self.last_ns, one.last_ns)
        self.gil_seen_ns += one.gil_seen_ns
        self.gil_held_ns += one.gil_held_ns
        self.collecting_ns += one.collecting_ns
        self.left_out += one.left_out


def _sum(one: Stats, other: Stats | None) -> Stats:
    if other is None:
        return one
    return msgspec.structs.replace(one, samples=one.samples + other.samples, misses=one.misses + other.misses)
