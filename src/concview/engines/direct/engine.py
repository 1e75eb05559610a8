"""The direct engine: stacks, locks and the GIL out of the target's memory, wait states from the kernel, in one tick.

A thread that was blocked and has not been on a CPU since stands where it stood: neither its memory nor its wait state
is read again (`scheduled`). Where a tick has no room for all threads (`room_ns`), they are looked at in turn.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable
from time import monotonic_ns, thread_time_ns
from typing import ClassVar, Protocol

from concview.cpython.attributes import Attributes
from concview.cpython.code import Place
from concview.cpython.locks import LockReader
from concview.cpython.memory import BadAddress, Memory
from concview.cpython.offsets import Offsets
from concview.cpython.runtime import Identity, Runtime, find, layout
from concview.cpython.threads import Thread
from concview.engines.base import Look, Probe, Tally
from concview.engines.direct.frames.strategy import check, readers
from concview.engines.direct.interpreters import InterpreterWatch
from concview.engines.direct.labels import LabelLook
from concview.engines.direct.locks.futures import Futures
from concview.engines.direct.locks.holds import Holds
from concview.engines.direct.locks.ownership import Ownership
from concview.engines.direct.locks.rlock_owners import RLockOwners
from concview.engines.direct.locks.verify import GIVEN_BACK, Candidates, Verifier
from concview.engines.direct.locks.wait_targets import Acquired, WaitTargets
from concview.engines.direct.queue_finder import QueueFinder
from concview.engines.direct.relations import relations
from concview.engines.direct.relations.frames import Frames
from concview.engines.direct.scheduled import ScheduledThreads
from concview.engines.direct.switch_watch import SwitchWatch
from concview.engines.direct.tasks import TaskTracker
from concview.engines.direct.tasks.records import NO_THREAD, Calls
from concview.engines.direct.thread_table import ThreadRow, ThreadTable
from concview.errors import Code, NotPermitted, Refusal, TargetGone, Unsupported
from concview.linux import WaitReader, switches, wakeups
from concview.linux.family import thread_count
from concview.linux.namespaces import ThreadNumbers
from concview.linux.waits import SHORT_LINE
from concview.model import Capability, Site, Target, Wait, WaitKind
from concview.sink import Sink
from concview.source.facts import SourceFacts

#: Intervals in nanoseconds: is it still the same program (the counters tell that sooner, and a copy that fails makes it
#: be asked at once); are cached code objects still the same; forget types.
_IDENTITY_NS = 2_000_000_000
_RECHECK_NS = 500_000_000
_FORGET_NS = 30_000_000_000
_RECHECK_CODES = 48
#: After so many ticks in which nobody had been on a CPU, the program is at rest.
_RESTING = 20
#: What is due now and then has been done for the last time so long after somebody ran; then it comes so seldom.
_SETTLED_NS, _RESTED_NS = 1_500_000_000, 2_000_000_000
#: What a tick takes is measured so often at least.
_MEASURE_NS = 100_000_000
#: So many threads that were never looked at are a reason to look at more at once.
_FILLING = 200
#: In parts: what reading the lists of threads again, and naming who runs the futures that are waited for, may each take
#: of the budget.
_LISTING_SHARE, _FUTURES_SHARE = 0.15, 0.05

_NO_GIL = "this build has no GIL"
#: A line that takes a lock if it is free.
_ONLY_ASKS = re.compile(r"\bacquire\(\s*(?:blocking\s*=\s*)?(?:False|0)\b")


class SameProcess(Protocol):
    def changed(self) -> str:
        """'' while it is the same process, else 'exited' or 'exec'."""
        ...


class DirectEngine:
    """Implements `engines.base.Engine`."""

    name: ClassVar[str] = "direct"
    HELPER_CPU: ClassVar[float] = 0.0

    def __init__(self, labels: str = "safe") -> None:
        """`labels`: 'off', 'safe' or 'full', see `config.Config`."""
        self._labels = labels
        self.tally = Tally()
        self.looks: list[Look] = []
        self.room_ns = 0
        self.filling = self.resting = self.slowed = False
        self.budget = 0.0
        self.gentle = False
        self._switches: SwitchWatch | None = None
        self._waits: WaitReader | None = None

    # ------------------------------------------------------------------ beforehand

    @classmethod
    def probe(cls, pid: int) -> Probe:
        try:
            memory = Memory(pid)
            runtime = find(memory)
            offsets = layout(memory, runtime)
            check(memory, runtime, offsets)
            without_gil = offsets.free_threaded and not gil_enabled(memory, runtime, offsets)
        except Unsupported as error:
            return Probe.refused(cls.name, Refusal(str(error), "use --engine pyspy", error.code))
        except NotPermitted as error:
            return Probe.refused(cls.name, error.refusal)
        except TargetGone:
            return Probe.refused(cls.name, Refusal(f"process {pid} does not exist", "", Code.NO_SUCH_PROCESS))
        waits, able = WaitReader.probe(pid), wakeups.probe()
        yes = Capability(True)
        gil = Capability(False, _NO_GIL, "") if without_gil else yes
        return Probe(
            cls.name,
            True,
            python=runtime.python,
            free_threaded=offsets.free_threaded,
            capabilities={
                "stacks": yes,
                "waits": waits,
                "gil": gil,
                "locks": waits if not waits.available else yes,
                "held-locks": yes,
                "peers": waits,
                "counters": yes,
                "collecting": yes,
                "queues": yes,
                "relations": yes,
                "tasks": yes,
                "labels": yes,
                "switches": able if able.available else switches.probe(pid),
                "wakers": able,
            },
        )

    # ------------------------------------------------------------------ life

    def open(self, target: Target, sink: Sink) -> None:
        """Raises NotPermitted, TargetGone; Unsupported where it became another program since `probe`."""
        pid = target.pid
        waits = WaitReader(pid, sink)
        source = SourceFacts(pid, target.started)
        try:
            reader = self._open(Identity(pid), Memory(pid), source, waits, sink)
        except Unsupported as error:
            waits.close()
            raise Unsupported(str(error), "use --engine pyspy") from None
        except Exception:
            waits.close()
            raise
        self._switches = None if self.gentle or not _recorded(pid) else SwitchWatch(pid, sink)
        # What is looked for beside the samples, each in its turn and charged to the budget.
        self.looks = relations(
            reader,
            self._codes,
            sink,
            self._table,
            self._facts,
            lambda: self._active_ns,
            self._tasks.stacks,
            self._tasks.peers,
        )
        if self._labels != "off":
            full = self._labels == "full"
            self.looks.append(
                LabelLook(pid, target.started, sink, self._table, self._sampler, self._tasks, full, self._off_cpu)
            )

    def _open(
        self, identity: SameProcess, memory: Memory, source: SourceFacts, waits: WaitReader, sink: Sink
    ) -> LockReader:
        """Everything that is read in the same way wherever memory and facts come from. Raises as `open`."""
        self._sink = sink
        self._generation = sink.generation
        self._identity, self._memory, self._facts = identity, memory, source
        self._numbers = ThreadNumbers(memory.facts)
        runtime = find(memory)
        memory.interpreter = runtime.path
        self._offsets = offsets = layout(memory, runtime)
        read = readers(memory, runtime, offsets, sink.frame, source, self._numbers, self.tally)
        self._objects, self._codes, self._sampler = read
        self._scheduled = ScheduledThreads(waits)
        self._table = ThreadTable(sink, self._sampler, memory, offsets, self._objects)
        self._interpreters = InterpreterWatch(memory, offsets, sink, self._sampler)
        reader = LockReader(memory, offsets, self._objects)
        self._judge = Verifier(reader, self._site)
        self._holds = Holds(reader, self._codes, self._judge, self._sampler.objects)
        owners = RLockOwners(reader)
        self._ownership = Ownership(sink, self._table, self._judge, owners)
        self._queue_finder = QueueFinder(reader, sink)
        self._futures = Futures(reader, sink)
        self._tasks = TaskTracker(
            memory.facts,
            self._objects,
            self._codes,
            sink,
            source,
            Calls(self._calls, self._queued),
            self._numbers.outer,
            Frames(reader, self._codes, Attributes(self._objects)),
        )
        self._wait_targets = WaitTargets(
            reader, self._thread_of, self._tid_of, self._numbers.outer, owners, self._futures,
            lambda: self._sampler.threads, runtime.address, self._acquires,
        )  # fmt: skip
        waits.futex_resolver, waits.futexes_resolver = self._wait_targets.resolve, self._wait_targets.resolve_many
        self._ownership.awake = self._scheduled.awake = (0, sink.wait(Wait(WaitKind.RUNNING)))
        self._unbound: list[Thread] = []  #: thread states that no thread of the kernel's has taken yet
        self._seen_changes = -1
        self._read = 0  #: stacks looked at since `coverage`
        self._asked = 0  #: threads asked about since `coverage`
        self._turn = 0  #: ticks
        self._quiet_ticks = 0  #: in a row, in which nobody had been on a CPU
        self._measure_at = 0
        self._ticked_ns = self._active_ns = 0  #: the last tick, and the last one before which somebody ran
        self._beside_ns = 0  #: CPU time of this tick for what is not looking at threads
        self._futures_at = 0
        self._tasks_stirred = True  #: a thread was on a CPU since tasks were looked at last
        self._begun = False
        self._shared_out = 0.0  #: the budget that all of it was told last
        self._went = False  #: threads have ended that this tick may still speak of
        self._due = 0  #: until then a quiet tick is enough
        self._misses = 0
        self._watch_at = self._identity_at = self._recheck_at = self._forget_at = 0
        self._ranges(waits)
        self._waits = waits
        return reader

    def _off_cpu(self, tid: int) -> bytes:
        """A thread's times by the kernel, which change whenever it runs; b'' while it does, or where they cannot be
        told."""
        row, waits = self._table.by_tid.get(tid), self._waits
        if row is None or waits is None or row.wait in self._scheduled.awake:
            return b""
        try:
            return os.pread(waits.slot(tid).schedule_fd, SHORT_LINE, 0)
        except OSError:
            return b""

    def coverage(self, now_ns: int) -> tuple[int, int, int]:
        known = max(len(self._table.by_tid), len(self._sampler.threads))
        facts = self._memory.facts
        threads = (thread_count(facts.folder) if facts.live else 0) or known
        read, asked, self._read, self._asked = self._read, self._asked, 0, 0
        return threads, min(threads, asked), read

    def close(self) -> None:
        if self._waits is not None:
            self._waits.close()
            self._waits = None
            self._tasks.close()
            if self._switches is not None:
                self._switches.close()

    def helper_cpu_seconds(self) -> float:
        return 0.0

    # ------------------------------------------------------------------ one tick

    def tick(self, at_ns: int) -> None:
        waits, sampler, sink = self._waits, self._sampler, self._sink
        if waits is None:
            return
        if sink.generation != self._generation:
            self._renew()
        scheduled, by_tid, room_ns = self._scheduled, self._table.by_tid, self.room_ns
        if not self._begun:
            self._begin(room_ns)
        watch = self._switches
        recorded = watch.poll(at_ns, by_tid) if watch is not None else None
        # With cold caches even a question for the time costs: where all fit in it is asked now and then. Ticks that are
        # rare are dear.
        measured = room_ns and (scheduled.in_parts or not self._turn & 7 or at_ns >= self._measure_at)
        began = thread_time_ns() if measured else 0
        if measured:
            self._measure_at = at_ns + _MEASURE_NS
        self._turn += 1
        unbound = self._unbound
        if scheduled.in_parts and len(unbound) > 4:
            room_ns //= 2
            unbound = unbound[: scheduled.fits(room_ns)]
        ran = scheduled.ask(at_ns, by_tid, room_ns, recorded)
        in_parts = scheduled.in_parts
        self._ticked_ns = at_ns
        still = recorded is not None and not recorded and not in_parts and not unbound and not scheduled.computing
        if not still:
            self._active_ns, self._tasks_stirred = at_ns, True
            if self.resting:
                self._due = 0  # what was put off
        self._quiet_ticks = self._quiet_ticks + 1 if still else 0
        self.resting = self._quiet_ticks >= _RESTING
        if (
            recorded is not None
            and not ran
            and ran is not None
            and not unbound
            and not in_parts
            and self._at_rest(at_ns)
        ):
            return
        if in_parts != (sampler.listing_share > 0):
            sampler.listing_share = _LISTING_SHARE * self.budget if in_parts else 0.0
        states: list[Thread] | None = None
        may_have_run: set[Thread] | None = None
        if ran is not None:
            states = unbound.copy()
            for row in ran:
                states += row.states
        elif scheduled.ran is not None:
            may_have_run = {*self._unbound, *(t for row in scheduled.ran for t in row.states)}
        missed = self.tally.misses
        changed = sampler.sample(states, may_have_run)
        if self.tally.misses != missed:
            scheduled.missed(len(by_tid), room_ns)
        if sampler.bound or in_parts:
            # Those that it still is not known of, whoever they are in the kernel, have their next turn last.
            asked = len(unbound)
            self._unbound = [*self._unbound[asked:], *(t for t in unbound if not t.tid)]
            self.filling = in_parts and len(self._unbound) > _FILLING
        looked_at = len(states) if states is not None else len(changed)
        self._read += len(changed)
        tally, ownership, futures = self.tally, self._ownership, self._futures
        # The rule between two events: nobody's stack has changed, nothing is due. With caches that are cold after 10 ms
        # of sleep every step that is not taken counts.
        quiet = (
            not changed
            and ran is not None
            and at_ns < self._due
            and tally.misses == self._misses
            and sampler.list_changes == self._seen_changes
            and not sampler.bound
        )
        looked: dict[int, Candidates | None] = {}
        moved: list[ThreadRow] = []
        if not quiet:
            ran, moved, looked = self._notice(at_ns, waits, ran, changed, in_parts)
        everyone = by_tid.values()
        others: list[ThreadRow] = []
        for row, wait in waits.news(everyone if ran is None else [*ran, *scheduled.waits_only]):
            if (row.wait in scheduled.awake) != (wait in scheduled.awake):
                scheduled.changed_sides()
            row.wait = wait
            others.append(row)
        if self._offsets.free_threaded:
            others += self._trying(everyone)
        looked_ns = monotonic_ns() if watch is not None and watch.on else 0
        if not quiet or ownership.asks or futures.asks:
            for row in moved:
                self._stack(row)
            ownership.judge(moved, looked)
            ownership.confirm(looked, scheduled.still if in_parts else None)
            touched = ownership.touched
            if at_ns >= self._futures_at:
                touched += self._name_futures(at_ns) if in_parts else futures.name(by_tid)
            # Of the rest nothing can have changed.
            others = list(everyone if ran is None else {*ran, *moved, *touched, *others})
            touched.clear()
        if looked_ns and watch is not None:
            # Who has not run is in the wait that it was in when it was looked at before.
            who = ran if ran is not None else scheduled.ran
            watch.looked({*who, *moved} if who is not None else everyone, at_ns, looked_ns)
        if self._went:
            # What had its turn before it was known that it has ended would begin anew for whoever reads the stream.
            self._went = False
            others = [row for row in others if by_tid.get(row.tid) is row]
        news: list[tuple[int, int, int, int]] = []
        for row in others:
            sent = (row.tid, row.stack, row.wait, row.holds)
            if sent != row.sent:
                if row.holds and row.wait in waits.locks and self._moved_on(row, waits):
                    row.wait = 0
                    scheduled.changed_sides()
                    sent = (row.tid, row.stack, 0, row.holds)
                row.sent = sent
                news.append(sent)
        if not self._interpreters.idle:
            self._interpreters.tick(at_ns, everyone)
        sink.tick(at_ns, sampler.gil_holder, sampler.collecting, news, tally.gil_switches)
        self._asked += scheduled.asked
        if measured:
            beside, self._beside_ns = self._beside_ns + sampler.listed_ns, 0
            sampler.listed_ns = 0
            scheduled.cost(looked_at, thread_time_ns() - began - beside, self.room_ns)
        if not quiet:
            if at_ns >= self._queue_finder.due:
                self._queue_finder.poll(at_ns, sampler.threads)
            self._due = min(self._watch_at, self._table.due, self._queue_finder.due)
            if at_ns - self._active_ns > _SETTLED_NS:
                # All that comes of what somebody did has been looked at: nobody is born where nobody runs.
                self._due = max(self._due, at_ns + _RESTED_NS)
        if at_ns >= self._tasks.due:
            self._look_at_tasks(at_ns)
        tally.system_calls = self._memory.calls

    def _moved_on(self, row: ThreadRow, waits: WaitReader) -> bool:
        """Its stack was copied when it had a lock, and what it waits for was read later: on a full machine it may have
        given the lock back and come for it again in between. Who waits for itself does not run between two looks at
        both. Of one that has moved on it is known that it had the lock, and not what it waited for meanwhile."""
        if not self._ownership.has(row.tid, waits.locks[row.wait]):
            return False
        times = waits.times(row.tid)
        changed = self._sampler.once_more(row.states)
        return changed or waits.read(row.tid) != row.wait or waits.times(row.tid) != times

    def catch_up(self, moments: list[int]) -> None:
        first = self._switches.first_since() if self._switches is not None else -1
        if first < 0:
            return
        sampler, tally, sink = self._sampler, self.tally, self._sink
        known = [at for at in moments if at > self._ticked_ns and (not first or at < first)]
        # What is seen from now on counts from the moment at which somebody ran, not for all the time before.
        if first > (known[-1] if known else self._ticked_ns):
            known.append(first)
        for at in known:
            sink.tick(at, sampler.gil_holder, sampler.collecting, [], tally.gil_switches)
        tally.samples += len(known)
        self._asked += len(self._table.by_tid)

    def _at_rest(self, at_ns: int) -> bool:
        """No thread has been on a CPU since the last tick: nothing can have changed, neither in memory nor in the
        kernel, and nothing is read. False where something is due all the same."""
        sampler, scheduled = self._sampler, self._scheduled
        if (
            scheduled.waits_only
            or at_ns >= self._due
            or self.tally.misses != self._misses
            or self._ownership.asks
            or self._futures.asks
            or sampler.list_changes != self._seen_changes
            or sampler.bound
            or not sampler.same()
        ):
            return False
        self._sink.tick(at_ns, sampler.gil_holder, sampler.collecting, [], self.tally.gil_switches)
        self._asked += scheduled.asked
        if at_ns >= self._tasks.due:
            self._look_at_tasks(at_ns)
        return True

    def _look_at_tasks(self, at_ns: int) -> None:
        tasks, still = self._tasks, not self._tasks_stirred
        self._tasks_stirred, tasks.slowed = False, self.slowed
        tasks.poll(at_ns, self._sampler.interpreters, self._sampler.threads, self._table.by_ident, still)

    def _begin(self, room_ns: int) -> None:
        """At the first tick: what everybody may spend, and whether it has room for all threads."""
        self._begun = True
        self._share_out()
        if not room_ns:
            return
        self._sampler.prepare()
        self._scheduled.expect(len(self._sampler.threads), room_ns)
        if self._scheduled.in_parts:
            self._unbound = self._sampler.threads.copy()

    def _share_out(self) -> None:
        """What is done now and then keeps to its part of the budget."""
        self._shared_out = self._table.budget = self._tasks.budget = self._queue_finder.budget = self.budget
        if self._switches is not None:
            self._switches.budget = self.budget

    def _name_futures(self, at_ns: int) -> list[ThreadRow]:
        began = thread_time_ns()
        named = self._futures.name(self._table.by_tid)
        self._futures_at = at_ns + int((thread_time_ns() - began) / (_FUTURES_SHARE * self.budget or 1))
        return named

    def _notice(
        self, at_ns: int, waits: WaitReader, ran: list[ThreadRow] | None, changed: list[Thread], in_parts: bool
    ) -> tuple[list[ThreadRow] | None, list[ThreadRow], dict[int, Candidates | None]]:
        """What is due, who came and went, who moved: (who may have changed, whose stack has, what these seem to
        hold)."""
        sampler, table = self._sampler, self._table
        # At once: what lies on a running thread's stack does not stay.
        looked = self._holds.look(changed)
        began = thread_time_ns() if in_parts else 0
        if at_ns >= self._watch_at or self.tally.misses != self._misses:
            self._watch(at_ns)
        due = at_ns >= table.due or sampler.list_changes != self._seen_changes
        arrived: list[int] = []
        if sampler.bound:
            table.bind(at_ns, sampler.bound)
            arrived = [t.tid for t in sampler.bound] if in_parts else []
            sampler.bound.clear()
            ran = ran if in_parts else None
            due = True
        if due:
            table.update(at_ns)
        if sampler.list_changes != self._seen_changes:
            self._seen_changes = sampler.list_changes
            self._interpreters.moved = True
            self._unbound = [t for t in sampler.threads if not t.tid]
            self._ranges(waits)
            ran = ran if in_parts else None
        if in_parts:
            self._beside_ns += thread_time_ns() - began
        if table.gone:
            self._went = True
            self._scheduled.somebody_went()
            for tid in table.gone:
                waits.forget(tid)
                self._ownership.forget(tid)
            table.gone.clear()
            # No row of one that has just been taken leave of: it would be a thread again, and stay for ever.
            ran = [row for row in ran if row.tid in table.by_tid] if in_parts and ran is not None else None
        moved: list[ThreadRow] = []
        for thread in changed:
            row = table.by_tid.get(thread.tid)
            if row is not None:
                waits.invalidate(thread.tid)
                moved.append(row)
        if ran is not None:
            # Their stacks have just been read: what they wait for is read now, and their next turn comes later.
            for row in [table.by_tid[tid] for tid in arrived if tid in table.by_tid]:
                if row.looked_ns != at_ns:
                    row.looked_ns = at_ns
                    ran.append(row)
        return ran, moved, looked

    def _trying(self, rows: Iterable[ThreadRow]) -> list[ThreadRow]:
        """Of threads that run those that do so only to get the lock of an object (builds without a GIL): they wait."""
        awake = {row.tid: row for row in rows if row.wait in self._scheduled.awake and row.states}
        waits = self._wait_targets.trying(row.states[0] for row in awake.values()) if awake else {}
        told: list[ThreadRow] = []
        for tid, wait in waits.items():
            row = awake.get(tid)
            if row is not None:
                row.wait = self._sink.wait(wait)
                self._scheduled.changed_sides()
                told.append(row)
        return told

    def _stack(self, row: ThreadRow) -> None:
        states = row.states
        if len(states) == 1:
            walk = states[0].walk
            frames = tuple([p.frame_id for p in walk.places])
            truncated, inside = walk.truncated, states[0].interpreter
        else:
            frames = tuple([p.frame_id for t in states for p in t.walk.places])
            truncated = any(t.walk.truncated for t in states)
            inside = next((t.interpreter for t in states if t.walk.places), 0)
        if inside != row.interpreter:
            row.interpreter, self._interpreters.moved = inside, True
        row.stack = self._sink.stack(frames, truncated)

    def _calls(self) -> dict[int, int]:
        """Futures of `concurrent.futures` -> tid of the thread that runs each, or NO_THREAD."""
        by_tid = self._table.by_tid
        return {**dict.fromkeys(self._futures.in_processes(by_tid), NO_THREAD), **self._futures.running(by_tid)}

    def _queued(self) -> list[int]:
        return self._futures.queued(self._table.by_tid)

    def _thread_of(self, tid: int) -> Thread | None:
        row = self._table.by_tid.get(tid)
        return row.states[0] if row is not None and row.states else None

    def _tid_of(self, ident: int) -> int:
        return self._table.by_ident.get(ident, 0)

    def _acquires(self, place: Place) -> Acquired | None:
        """None where the source does not say that the line takes a lock and waits for it."""
        code = place.code
        facts = self._facts.lookup(code.qualname, code.file, place.line)
        taken = facts.acquires
        if taken is None or taken.line != place.line or _ONLY_ASKS.search(facts.text):
            return None
        return Acquired("timeout" in facts.text, taken.expression)

    def _site(self, function: str, file: str, line: int, with_line: int, nth: int) -> Site | None:
        """What the source calls the lock; None when it cannot be told."""
        facts = self._facts.lookup(function, file, line)
        early = [s for s in facts.early if s.line == with_line and s.how == "with"]
        same = [s for s in facts.holds if s.line == with_line and s.how == "with"]
        if early:
            # Given back before the block ended. Which of several on one line it was the source does not say.
            return GIVEN_BACK
        if nth < len(same):
            return same[-1 - nth]
        taken = self._facts.lookup(function, file, with_line).acquires
        return taken if taken is not None and taken.line == with_line and not nth and not same else None

    # ------------------------------------------------------------------ now and then

    def _renew(self) -> None:
        """The sink's ids are void: look at everything again."""
        self._generation = self._sink.generation
        self._scheduled.everybody()
        self._codes.clear()
        self._ownership.awake = self._scheduled.awake = (0, self._sink.wait(Wait(WaitKind.RUNNING)))
        self._sampler.forget_stacks()
        self._ownership.renew()
        self._futures.forget()
        self._interpreters.renew()
        self._table.announce_all()

    def _watch(self, at_ns: int) -> None:
        if self.budget != self._shared_out:
            self._share_out()
        missed = self.tally.misses != self._misses
        if missed or at_ns >= self._identity_at:
            self._misses = self.tally.misses
            self._identity_at = at_ns + _IDENTITY_NS
            change = self._identity.changed()
            if change:
                raise TargetGone(change)
            if any(not i.gil for i in self._sampler.interpreters):
                self._sampler.expire()  # it was just starting when the list was read
        if at_ns >= self._recheck_at:
            self._recheck_at = at_ns + _RECHECK_NS
            self._codes.recheck(_RECHECK_CODES)
        if at_ns >= self._forget_at:
            self._forget_at = at_ns + _FORGET_NS
            self._objects.forget()
            self._holds.forget()
            self._queue_finder.forget()
            self._judge.forget()
            self._wait_targets.forget()
            self._futures.expire()
        self._watch_at = min(self._identity_at, self._recheck_at, self._forget_at)

    def _ranges(self, waits: WaitReader) -> None:
        """Futexes of the GIL: from its condition variable to its end, `_gil_runtime_state` of every interpreter."""
        o = self._offsets
        gils = {i.gil for i in self._sampler.interpreters if i.gil}
        waits.gil_range = [(gil + o["gil.cond"], gil + o["gil.size"]) for gil in gils]


def _recorded(pid: int) -> bool:
    return wakeups.probe().available or switches.probe(pid).available


def gil_enabled(memory: Memory, runtime: Runtime, offsets: Offsets) -> bool:
    """Of a free-threaded build: the GIL may have been turned on (PYTHON_GIL=1, or a module that needs it)."""
    try:
        interpreter = memory.word(runtime.address + offsets["rt.interpreters_head"])
        return bool(struct.unpack("<i", memory.read(memory.word(interpreter + offsets["is.ceval_gil"]), 4))[0])
    except BadAddress:
        return False
