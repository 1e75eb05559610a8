"""The stream's ticks, as slices of threads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from concview import codec
from concview.analysis.gaps import Gaps
from concview.analysis.locks import SHARED_KINDS
from concview.analysis.samples.naming import Naming
from concview.analysis.samples.reading import ProcessCounters
from concview.analysis.samples.selection import Selection
from concview.analysis.samples.values import Activity, Blocker, LockName, SampledSlice, SampledThread
from concview.analysis.work import IN_NOBODYS_NAME, Doing, doings, title
from concview.model import (
    AnyEvent,
    Bye,
    Confidence,
    Forget,
    FrameDef,
    Hello,
    HoldsDef,
    LabelDef,
    NativeWaits,
    Notice,
    StackDef,
    State,
    Stats,
    ThreadDef,
    ThreadGone,
    Tick,
    WaitDef,
    Work,
    WorkItem,
)

SIDES = ("waiter", "holder")


class Samples:
    """Iterate once: lists of slices, those of one thread in the order of time and without gaps or overlaps.

    `side='holder'` turns waits around: the thread and activity of a slice are the blocker's while somebody waited for
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
        self.gaps = Gaps()  #: stretches without a sample
        self.first_ns = self.last_ns = 0
        self.gil_seen_ns = self.gil_held_ns = self.collecting_ns = 0
        self._alive: dict[int, SampledThread] = {}
        self._naming = Naming(self.selection, gil_blockers)
        self._owners: dict[str, dict[SampledThread, bool]] = defaultdict(dict)
        self._waiting: dict[str, dict[SampledThread, None]] = defaultdict(dict)
        self._dirty: dict[str, None] = {}  #: in the order of the stream, so that the same file reads the same
        self._gil_waiters: dict[SampledThread, None] = {}
        self._gil_holder = 0
        self._c_locks: dict[int, str] = {}  #: tid -> the lock in C that it waits for
        self._out: list[SampledSlice] = []

    @property
    def doings(self) -> list[Doing]:
        """In whose names threads were seen until now."""
        return list(self._naming.doings)

    @property
    def left_out(self) -> int:
        """Stacks and activities that were too many to be kept apart."""
        return self._naming.left_out

    @property
    def seconds(self) -> float:
        """From the first sample to the last."""
        return (self.last_ns - self.first_ns) / 1e9

    # ------------------------------------------------------------ reading

    def __iter__(self) -> Iterator[list[SampledSlice]]:
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

    def _clipped(self) -> list[SampledSlice]:
        zero = self._zero_ns or self.first_ns
        first = zero + int(self.selection.from_s * 1e9)
        last = zero + int(self.selection.to_s * 1e9) if self.selection.to_s is not None else 1 << 62
        out: list[SampledSlice] = []
        for thread, start, end, activity, blocker, seen in self._out:
            a, b = max(start, first), min(end, last)
            if b > a:
                out.append((thread, a, b, activity, blocker, max(1, round(seen * (b - a) / (end - start)))))
        return out

    def _apply(self, event: AnyEvent) -> None:
        if isinstance(event, (FrameDef, StackDef, WaitDef, HoldsDef, LabelDef)):
            self._naming.define(event)
        elif isinstance(event, ThreadDef):
            thread = self._alive.get(event.tid)
            if thread is None:
                thread = self._new(event.tid, event.name)
            thread.name, thread.native, thread.started_ns = self._label + event.name, event.native, event.started_ns
            thread.wanted = self.selection.takes(thread)
            if thread.now is None:  # nothing was done before its birth, however long nobody looked
                thread.since_ns = max(thread.since_ns, event.started_ns)
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
            self.gaps.rate(event.achieved_hz)
        elif isinstance(event, Notice):
            self.notices.append(event)
        elif isinstance(event, Work):
            self._work(event)
        elif isinstance(event, NativeWaits):
            self._in_c(event)
        elif isinstance(event, Forget):
            self._naming.forget()
        elif isinstance(event, Hello):
            self.hello = event
            self.gaps.rate(event.rate_hz)
            self.first_ns = self.last_ns = event.at_ns
            held = event.capabilities.get("held-locks")
            self._naming.exact = held is not None and held.available
        elif isinstance(event, Bye):
            self.bye = event

    def _work(self, event: Work) -> None:
        """From now on threads work in these names."""
        labels = self._naming.tables.labels

        def titled(item: WorkItem) -> str:
            label = labels.get(item.label)
            return title(label) if label is not None else ""

        tasks = self.whose == "task"
        named = doings(event.items, titled, tasks)
        found = {-n if tasks else n: self._naming.one_doing(doing) for n, doing in named.items()}
        touched: dict[SampledThread, None] = {}
        at = min(event.at_ns, self.last_ns)
        for thread in self._alive.values():
            doing = found.get(thread.tid, IN_NOBODYS_NAME)
            if doing is thread.doing:
                continue
            thread.doing = doing
            if thread.now is not None:
                self._change(thread, at, self._naming.in_name(self._naming.bare(thread.now), doing))
                if not thread.now.plain:
                    touched[thread] = None
        if touched:
            self._settle(at, touched)

    def _in_c(self, event: NativeWaits) -> None:
        """What is known of a wait in C only once somebody has looked holds from its beginning."""
        self._c_locks = {one.tid: one.what for one in event.waits if one.kind}
        for tid, lock in self._c_locks.items():
            thread = self._alive.get(tid)
            if thread is not None and thread.now is not None:
                known = self._naming.in_c(self._naming.bare(thread.now), lock)
                thread.now = self._naming.in_name(known, thread.doing)

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
            self.gaps.begin(start)
        elif dt >= self.gaps.least_ns:
            self.gaps.add(at, dt)
        changes = tick.changes
        known, alive, out, turned = self._naming.tables.activities, self._alive, self._out, self._turned
        touched: dict[SampledThread, None] = {}
        numbers = iter(changes)
        for tid, stack, wait, holds in zip(numbers, numbers, numbers, numbers, strict=False):
            thread = alive.get(tid)
            if thread is None:
                thread = self._new(tid, f"thread {tid}")
            now = known.get((stack, wait, holds))
            if now is None:
                now = known[stack, wait, holds] = self._naming.activity((stack, wait, holds))
            if tid in self._c_locks:
                now = self._naming.in_c(now, self._c_locks[tid])
            if thread.doing is not IN_NOBODYS_NAME:
                now = self._naming.in_name(now, thread.doing)
            old = thread.now
            if old is None and thread.since_ns > at:
                thread.since_ns = at
            if old is now:
                if now.state is State.UNKNOWN:  # what will be known of this wait is not known of the one before
                    self._flush(thread, start)
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
        """What it did until now is a slice, and a new one begins."""
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
                    waiter = thread.exactly if behind.confidence is Confidence.EXACT else thread.perhaps
                    self._out.append((owner, since, at_ns, does, waiter, seen))
            thread.since_ns, thread.since_tick = at_ns, self.ticks

    def _change(self, thread: SampledThread, at_ns: int, now: Activity | None) -> None:
        old = thread.now
        if self._turned:
            for waiter in thread.blocks:
                self._flush(waiter, min(at_ns, self.last_ns))
        self._flush(thread, at_ns)
        behind = thread.behind
        if behind is not None:
            behind.thread.blocks.pop(thread, None)
            thread.behind = None
        before = old.held if old is not None else ()
        after = now.held if now is not None else ()
        if old is not None:
            if old.lock is not None:
                self._waiting[old.lock.key].pop(thread, None)
            elif old.state is State.GIL:
                self._gil_waiters.pop(thread, None)
        thread.now = now
        if now is not None:
            if now.lock is not None:
                self._waiting[now.lock.key][thread] = None
            elif now.state is State.GIL and not now.plain:
                self._gil_waiters[thread] = None
        if before is not after:
            for lock in before:
                self._owners[lock.key].pop(thread, None)
                self._stir(lock)
            for lock in after:
                self._owners[lock.key][thread] = lock.exact
                self._stir(lock)

    def _stir(self, lock: LockName) -> None:
        """Who waits for it may wait for somebody else now."""
        dirty = self._dirty
        for key in lock.keys:
            dirty[key] = None
        if lock.site is not None and lock.key == lock.site.key:
            dirty |= self._naming.addresses[lock.key]

    def _settle(self, at_ns: int, touched: dict[SampledThread, None]) -> None:
        """Who is in whose way, once everything of a moment is known."""
        waiting, blocker_of = self._waiting, self._blocker_of
        for key in self._dirty:
            if key in waiting:
                touched.update(waiting[key])
        self._dirty.clear()
        for thread in touched:
            behind, before = blocker_of(thread), thread.behind
            if behind is not before:
                if at_ns > thread.since_ns:
                    self._flush(thread, at_ns)
                if before is not None:
                    before.thread.blocks.pop(thread, None)
                thread.behind = behind
                if behind is not None:
                    behind.thread.blocks[thread] = None

    def _blocker_of(self, thread: SampledThread) -> Blocker | None:
        now = thread.now
        if now is None:
            return None
        other = now.wait.target
        if not other:
            if now.lock is not None:
                return self._owner(now.lock, thread)
            if now.state is State.GIL and self._gil_blockers:
                other = self._gil_holder
        found = self._alive.get(other) if other > 0 else None
        return found.exactly if found is not None and found is not thread else None

    def _owner(self, lock: LockName, waiter: SampledThread) -> Blocker | None:
        """Who holds it; nobody when several seem to: one expression, many objects."""
        owners = self._owners.get(lock.key)
        if not owners and lock.site is not None:
            known = self._naming.addresses[lock.site.key]
            if len(known) == 1:  # one name, one object
                (address,) = known
                owners = self._owners.get(lock.site.key if lock.exact else address)
        if not owners:
            return None
        others = list(owners) if waiter not in owners else [t for t in owners if t is not waiter]
        if not others or (len(others) > 1 and lock.kind not in SHARED_KINDS):
            return None
        owner = others[0]
        return owner.exactly if lock.exact and owners[owner] else owner.perhaps
