"""The direct engine: stacks, locks and the GIL out of the target's memory, wait states from the kernel, in one tick.

A thread that was blocked and has not been on a CPU since stands where it stood: neither its memory nor its wait state
is read again. The kernel's count of runs (schedstat) says so, at a third of the price of a wait state.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from concview.engines.base import NotPermitted, Probe, Sink, Tally, TargetGone
from concview.engines.direct.code import Codes
from concview.engines.direct.depths import DepthReader
from concview.engines.direct.futures import Futures
from concview.engines.direct.holds import Holds
from concview.engines.direct.locks import LockReader
from concview.engines.direct.memory import BadAddress, Memory
from concview.engines.direct.objects import Objects
from concview.engines.direct.offsets import Offsets, Unsupported
from concview.engines.direct.owners import Owners
from concview.engines.direct.people import People, Person
from concview.engines.direct.runtime import Identity, Runtime, find, layout
from concview.engines.direct.sampler import Sampler
from concview.engines.direct.suspects import GIVEN_BACK, Judge, Suspects
from concview.engines.direct.threads import Thread
from concview.engines.direct.waiters import Waiters
from concview.engines.kernel import WaitReader
from concview.model import Capability, Hold, Site, Target, Wait, WaitKind
from concview.target.source import SourceFacts

#: Everything is read this often all the same, nanoseconds: answers that were provisional get another chance.
_FULL_NS = 500_000_000
#: Intervals in nanoseconds: is it still the same program; are cached code objects still the same; forget types.
_IDENTITY_NS = 500_000_000
_RECHECK_NS = 500_000_000
_FORGET_NS = 30_000_000_000
_RECHECK_CODES = 48
_HOLD_IDS = 4096

_NO_GIL = "this build has no GIL"


class DirectEngine:
    """Implements `engines.base.Engine`."""

    name: ClassVar[str] = "direct"

    def __init__(self) -> None:
        self.tally = Tally()
        self._waits: WaitReader | None = None

    # ------------------------------------------------------------------ beforehand

    @classmethod
    def probe(cls, pid: int) -> Probe:
        try:
            memory = Memory(pid)
            runtime = find(memory)
            offsets = layout(memory, runtime)
            without_gil = offsets.free_threaded and not _gil_enabled(memory, runtime, offsets)
        except Unsupported as error:
            return Probe(cls.name, False, str(error), "use --engine pyspy")
        except NotPermitted as error:
            return Probe(cls.name, False, str(error), error.remedy)
        except TargetGone:
            return Probe(cls.name, False, f"process {pid} does not exist", "")
        waits = WaitReader.probe(pid)
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
            },
        )

    # ------------------------------------------------------------------ life

    def open(self, target: Target, sink: Sink) -> None:
        """Raises NotPermitted, TargetGone; `probe` has ruled out Unsupported."""
        pid = target.pid
        self._sink = sink
        self._generation = sink.generation
        self._identity = Identity(pid)
        self._memory = memory = Memory(pid)
        try:
            runtime = find(memory)
            self._offsets = offsets = layout(memory, runtime)
        except Unsupported as error:
            raise NotPermitted(str(error), "use --engine pyspy") from None
        self._objects = Objects(memory, offsets)
        self._codes = Codes(self._objects, sink.frame)
        self._sampler = Sampler(memory, runtime, offsets, self._codes, self.tally)
        self._waits = waits = WaitReader(pid, sink)
        self._people = People(pid, sink, self._sampler, memory, offsets, self._objects)
        reader = LockReader(memory, offsets, self._objects)
        self._facts = SourceFacts(pid, target.started)
        self._judge = Judge(reader, self._site)
        self._holds = Holds(reader, self._codes, self._judge, self._sampler.objects)
        self._owners = Owners(reader)
        self._depths = DepthReader(reader, sink)
        self._futures = Futures(reader, sink)
        self._framed: dict[int, tuple[Hold, ...]] = {}  #: tid -> what its frames say that it holds
        self._owned: dict[int, tuple[Hold, ...]] = {}  #: tid -> what the locks say that it holds
        self._waiters = Waiters(reader, self._thread_of, self._owners, self._futures)
        waits.futex_resolver, waits.futexes_resolver = self._waiters.resolve, self._waiters.resolve_many
        self._awake = (0, sink.wait(Wait(WaitKind.RUNNING)))
        self._suspects: dict[int, Suspects] = {}
        self._hold_ids: dict[int, tuple[tuple[Hold, ...], int]] = {}  #: by the tuple's own identity
        self._touched: list[Person] = []  #: what they hold has changed since the last row
        self._unbound: list[Thread] = []  #: thread states that no thread of the kernel's has taken yet
        self._full_at = 0
        self._seen_changes = -1
        self._misses = 0
        self._identity_at = self._recheck_at = self._forget_at = 0
        self._ranges(waits)

    def close(self) -> None:
        if self._waits is not None:
            self._waits.close()
            self._waits = None

    # ------------------------------------------------------------------ one tick

    def tick(self, at_ns: int) -> None:
        waits, sampler, sink = self._waits, self._sampler, self._sink
        if waits is None:
            return
        if sink.generation != self._generation:
            self._renew()
        ran = self._ran(at_ns, waits)
        changed = sampler.sample(None if ran is None else [*self._unbound, *[t for p in ran for t in p.states]])
        # At once: what lies on a running thread's stack does not stay.
        looked = self._holds.look(changed)
        self._watch(at_ns)
        people = self._people
        people.update(at_ns)
        by_tid = people.by_tid
        if sampler.list_changes != self._seen_changes:
            self._seen_changes = sampler.list_changes
            self._unbound = [t for t in sampler.threads if not t.tid]
            self._ranges(waits)
            ran = None
        if people.gone:
            for tid in people.gone:
                waits.forget(tid)
                self._framed.pop(tid, None)
            people.gone.clear()
            ran = None
        everyone = by_tid.values()
        asked = everyone if ran is None else ran
        moved: list[Person] = []
        for thread in changed:
            person = by_tid.get(thread.tid)
            if person is not None:
                waits.invalidate(thread.tid)
                moved.append(person)
        for tid, wait in waits.read_many([person.tid for person in asked]).items():
            by_tid[tid].wait = wait
        for person in moved:
            self._stack(person)
            tid = person.tid
            found = looked.get(tid)
            if found is None:
                if tid in self._framed or tid in self._suspects:
                    self._suspect(person, None)
            elif found is not self._suspects.get(tid) or found.holds is not self._framed.get(tid):
                self._suspect(person, found)
        if self._suspects or self._owners.any or self._owned:
            self._confirm(looked)
        self._touched += self._futures.name(by_tid)
        # Of the others nothing can have changed but what is kept in `_touched`.
        rows: list[tuple[int, int, int, int]] = []
        for person in asked if asked is everyone else {*asked, *moved, *self._touched}:
            row = (person.tid, person.stack, person.wait, person.holds)
            if row != person.sent:
                person.sent = row
                rows.append(row)
        self._touched.clear()
        sink.tick(at_ns, sampler.gil_holder, sampler.collecting, rows, self.tally.gil_switches)
        self._depths.poll(at_ns, sampler.threads)
        self.tally.system_calls = self._memory.calls

    def _stack(self, person: Person) -> None:
        states = person.states
        if len(states) == 1:
            walk = states[0].walk
            frames = tuple([p.frame_id for p in walk.places])
            truncated = walk.truncated
        else:
            frames = tuple([p.frame_id for t in states for p in t.walk.places])
            truncated = any(t.walk.truncated for t in states)
        person.stack = self._sink.stack(frames, truncated)

    def _suspect(self, person: Person, found: Suspects | None) -> None:
        """Its frames say what it holds. Whether the locks' own state agrees is asked when it is seen to stand still:
        now it may have moved on already."""
        if found is None:
            self._suspects.pop(person.tid, None)
            if person.tid in self._framed:
                self._held(person, ())
            return
        holds = self._judge.judge(found, None)
        if holds is not self._framed.get(person.tid):
            self._held(person, holds)
        if found.found:
            self._suspects[person.tid] = found
        else:
            self._suspects.pop(person.tid, None)

    def _confirm(self, moved: dict[int, Suspects | None]) -> None:
        """Ask the locks themselves, where that can be: those of threads that stand still now, and RLocks."""
        by_tid = self._people.by_tid
        still: list[tuple[Person, Suspects]] = []
        for tid in [tid for tid in self._suspects if tid not in moved]:
            person = by_tid.get(tid)
            if person is not None and person.states and person.wait in self._awake:
                continue
            found = self._suspects.pop(tid)
            if person is not None and person.states:
                still.append((person, found))
        waited = self._owners.waited(self._asleep)
        if waited:
            named = {hold.lock for holds in self._framed.values() for hold in holds}
            waited = [lock for lock in waited if lock not in named]
        states = self._judge.states([found for _, found in still], waited) if still or waited else {}
        for person, found in still:
            holds = self._judge.judge(found, states)
            if holds is not self._framed.get(person.tid):
                self._held(person, holds)
        self._own(self._owners.of(waited, states))

    def _own(self, owned: dict[int, tuple[Hold, ...]]) -> None:
        """RLocks that others wait for name their owner themselves, whichever way it took them."""
        by_tid = self._people.by_tid
        if not owned and not self._owned:
            return
        before, idents = self._owned, self._people.by_ident
        self._owned = {idents[ident]: holds for ident, holds in owned.items() if ident in idents}
        for tid in before.keys() | self._owned.keys():
            person = by_tid.get(tid)
            if person is not None and before.get(tid) != self._owned.get(tid):
                self._held(person, self._framed.get(tid, ()))

    def _asleep(self, tid: int) -> bool:
        person = self._people.by_tid.get(tid)
        return person is not None and person.wait not in self._awake

    def _held(self, person: Person, holds: tuple[Hold, ...]) -> None:
        if holds:
            self._framed[person.tid] = holds
        else:
            self._framed.pop(person.tid, None)
        owned = self._owned.get(person.tid)
        if owned:
            known = {h.lock for h in holds}
            holds += tuple([h for h in owned if h.lock not in known])
        person.holds = self._hold_id(holds) if holds else 0
        self._touched.append(person)

    def _hold_id(self, holds: tuple[Hold, ...]) -> int:
        """The sink's id. Most often it is the very same tuple again, and hashing its holds costs more than the rest."""
        known = self._hold_ids.get(id(holds))
        if known is not None and known[0] is holds:
            return known[1]
        if len(self._hold_ids) >= _HOLD_IDS:
            self._hold_ids.clear()
        number = self._sink.holds(holds)
        self._hold_ids[id(holds)] = holds, number
        return number

    def _thread_of(self, tid: int) -> Thread | None:
        person = self._people.by_tid.get(tid)
        return person.states[0] if person is not None and person.states else None

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

    def _ran(self, at_ns: int, waits: WaitReader) -> list[Person] | None:
        """Who may have changed since the last tick; None: look at everybody, because it is time or they are many."""
        if at_ns >= self._full_at:
            self._full_at = at_ns + _FULL_NS
            return None
        by_tid, awake = self._people.by_tid, self._awake
        still = [tid for tid, person in by_tid.items() if person.wait not in awake]
        ran = [by_tid[tid] for tid in waits.who_ran(still)]
        ran += [person for person in by_tid.values() if person.wait in awake]
        return ran if 2 * len(ran) <= len(by_tid) else None

    # ------------------------------------------------------------------ now and then

    def _renew(self) -> None:
        """The sink's ids are void: look at everything again."""
        self._generation = self._sink.generation
        self._full_at = 0
        self._codes.clear()
        self._awake = (0, self._sink.wait(Wait(WaitKind.RUNNING)))
        self._sampler.forget_stacks()
        self._suspects.clear()
        self._hold_ids.clear()
        self._futures.forget()
        self._people.announce_all()

    def _watch(self, at_ns: int) -> None:
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
            self._depths.forget()
            self._judge.forget()
            self._waiters.forget()
            self._futures.expire()

    def _ranges(self, waits: WaitReader) -> None:
        """Futexes of the GIL: from its condition variable to its end, `_gil_runtime_state` of every interpreter."""
        o = self._offsets
        gils = {i.gil for i in self._sampler.interpreters if i.gil}
        waits.gil_range = [(gil + o["gil.cond"], gil + o["gil.size"]) for gil in gils]


def _gil_enabled(memory: Memory, runtime: Runtime, offsets: Offsets) -> bool:
    """Of a free-threaded build: the GIL may have been turned on (PYTHON_GIL=1, or a module that needs it)."""
    try:
        interpreter = memory.word(runtime.address + offsets["rt.interpreters_head"])
        return bool(struct.unpack("<i", memory.read(memory.word(interpreter + offsets["is.ceval_gil"]), 4))[0])
    except BadAddress:
        return False
