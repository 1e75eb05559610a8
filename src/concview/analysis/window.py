"""What a rule looks at: the last seconds of a process, joined and clipped, computed once and shared by all rules."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from concview.analysis import accounting, graph, locks
from concview.analysis.classify import Verdict
from concview.analysis.history import (
    RUNS_NS,
    Bucket,
    GilTick,
    History,
    ProcessBucket,
    ThreadHistory,
    Whole,
)
from concview.analysis.history import Piece as Piece  # rules take it from here
from concview.analysis.lock_stats import LockStats, stats
from concview.analysis.locks import LockWindow
from concview.analysis.queues import QueueWindow
from concview.model import Capability, Counters, Stack, State, Target, Wait
from concview.snapshot import Shares

#: Seconds that the common gates ask for.
WINDOW_NS = 10_000_000_000
#: More runs than this are not looked at in one window: at 1 kHz with many busy threads it is shortened, down to
#: `SHORTEST_NS`, which then still holds thousands of samples. 20,000 runs take about 50 ms to judge.
MAX_RUNS = 20_000
SHORTEST_NS = 2_000_000_000
#: A report of the agent, who reports once a second, is evidence for so long.
REPORT_NS = 3_000_000_000
#: Call counts are evidence for so long after they were taken.
CALLS_NS = 60_000_000_000
_T = TypeVar("_T")
ENABLE_AGENT = "attach the agent: a in the view Inside, or --agent on the command line"
ENABLE_CALLS = "count them: w in the view Inside, or record --agent --yes --calls wall"


@dataclass(slots=True)
class Condition:
    """All pieces of one thread with the same stack and the same wait, added up: there are few of them, whatever the
    rate. In which order they came, only the pieces tell."""

    stack: Stack
    wait: Wait
    verdict: Verdict
    state: State
    ns: int = 0
    times: int = 0  #: pieces
    locked: bool = False  #: a lock was held in some of them, or they wait for one


class ThreadWindow:
    """One thread over the window."""

    def __init__(self, history: ThreadHistory, start_ns: int, end_ns: int) -> None:
        self.history = history
        self.tid = history.tid
        self.name = history.name
        self.native = history.native
        self.alive = history.gone_ns == 0
        self.start_ns = start_ns
        self.end_ns = end_ns

    @cached_property
    def pieces(self) -> list[Piece]:
        """Its runs in the window, in time order."""
        first, last = self.start_ns, self.end_ns
        known = self.history.whole
        if known is None or first < known.start_ns or last < known.end_ns:
            known = Whole(first, last, deque())
        whole = known.pieces
        latest = whole[-1].run if whole else None
        fresh: list[Piece] = []
        lasting: list[Piece] = []
        for run in reversed(self.history.runs):  # the list goes further back than the window
            start, end = run.start_ns, run.end_ns
            if run is latest or 0 < end <= first:
                break
            if 0 < end <= last:
                if end > start:
                    fresh.append(Piece(start, end, run))
            elif last > start:
                lasting.append(Piece(max(start, first), last, run))
        whole.extend(reversed(fresh))
        while whole and whole[0].end_ns <= first:
            whole.popleft()
        known.start_ns, known.end_ns = first, last
        self.history.whole = known
        out = list(whole)
        if out and out[0].start_ns < first:
            out[0] = Piece(first, out[0].end_ns, out[0].run)
        lasting.reverse()
        return out + lasting

    @cached_property
    def conditions(self) -> list[Condition]:
        """Its pieces added up, in the order in which each condition was first seen."""
        found: dict[tuple[int, int], Condition] = {}
        for piece in self.pieces:
            run = piece.run
            key = (id(run.stack), id(run.wait))  # both are interned: equal ones are one object
            one = found.get(key)
            if one is None:
                verdict = run.verdict
                one = found[key] = Condition(run.stack, run.wait, verdict, verdict.state)
                one.locked = run.stack.holding or verdict.state is State.LOCK
            one.ns += piece.end_ns - piece.start_ns
            one.times += 1
            if run.holds:
                one.locked = True
        return list(found.values())

    def pieces_of(self, wanted: Callable[[Condition], _T | None]) -> Iterator[tuple[Piece, _T]]:
        """The pieces in conditions of which `wanted` says something, with what it says. The pieces of a thread
        without such a condition are not looked at."""
        found: dict[tuple[int, int], _T] = {}
        for one in self.conditions:
            said = wanted(one)
            if said is not None:
                found[id(one.stack), id(one.wait)] = said
        if found:
            for piece in self.pieces:
                said = found.get((id(piece.run.stack), id(piece.run.wait)))
                if said is not None:
                    yield piece, said

    @cached_property
    def buckets(self) -> list[Bucket]:
        return accounting.since(self.history.buckets, self.start_ns)

    @cached_property
    def nanoseconds(self) -> list[float]:
        """Corrected nanoseconds per state over the window's buckets."""
        return accounting.total(self.buckets)[0]

    @cached_property
    def shares(self) -> Shares:
        return accounting.to_shares(self.nanoseconds)

    def share(self, *states: State) -> float:
        shares = self.shares
        if len(states) == 1:
            return shares[states[0]]
        return sum([shares[s] for s in states])

    @cached_property
    def gil_held_ns(self) -> int:
        return sum(b.gil_ns for b in self.buckets)

    def episodes(self, state: State) -> int:
        """How often it entered the state: neighbouring runs in it are one."""
        if all(c.state is not state for c in self.conditions):
            return 0
        found, previous = 0, None
        for piece in self.pieces:
            now = piece.run.verdict.state
            if now is state and previous is not state:
                found += 1
            previous = now
        return found


class Window:
    """The last `WINDOW_NS` of a history. Everything is computed when first asked for."""

    def __init__(self, history: History, window_ns: int = WINDOW_NS) -> None:
        self.history = history
        self.end_ns = history.now_ns
        runs = sum(len(t.runs) for t in history.threads.values())
        kept = max(1, min(RUNS_NS, self.end_ns - history.first_ns))
        expected = runs * window_ns / kept
        if expected > MAX_RUNS:
            window_ns = max(SHORTEST_NS, int(window_ns * MAX_RUNS / expected))
        self.start_ns = max(history.first_ns, self.end_ns - window_ns)

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    @cached_property
    def target(self) -> Target:
        if self.history.hello is None:
            raise LookupError("the stream has not begun")
        return self.history.hello.target

    @property
    def cpus(self) -> float:
        return self.target.cpus

    @cached_property
    def capabilities(self) -> dict[str, Capability]:
        return {**self.history.hello.capabilities, **inside(self.history)} if self.history.hello else {}

    def can(self, name: str) -> bool:
        capability = self.capabilities.get(name)
        return capability is not None and capability.available

    @cached_property
    def threads(self) -> list[ThreadWindow]:
        """Python threads: alive ones, and those that ended within the window."""
        gone = [t for t in self.history.gone if t.gone_ns > self.start_ns]
        every = [*self.history.threads.values(), *gone]
        return [ThreadWindow(t, self.start_ns, self.end_ns) for t in every if not t.native]

    @cached_property
    def native_threads(self) -> list[ThreadWindow]:
        every = self.history.threads.values()
        return [ThreadWindow(t, self.start_ns, self.end_ns) for t in every if t.native]

    def thread(self, tid: int) -> ThreadWindow | None:
        return self._by_tid.get(tid)

    @cached_property
    def _by_tid(self) -> dict[int, ThreadWindow]:
        # Of two with one number, the kernel used it again: the first one is alive.
        return {t.tid: t for t in reversed(self.threads)}

    def name(self, tid: int) -> str:
        thread = self.thread(tid)
        return thread.name if thread is not None else f"thread {tid}"

    @cached_property
    def buckets(self) -> list[ProcessBucket]:
        return [b for b in self.history.buckets if b.end_ns > self.start_ns]

    @cached_property
    def samples(self) -> int:
        """Ticks in the window."""
        return sum(b.ticks for b in self.buckets)

    @cached_property
    def gil_ticks(self) -> list[GilTick]:
        return [g for g in self.history.gil if g.at_ns > self.start_ns]

    @cached_property
    def locks(self) -> dict[str, LockWindow]:
        every = [t.history for t in self.threads if any(c.locked for c in t.conditions)]
        return locks.locks(every, self.start_ns, self.end_ns, self.can("held-locks"))

    @cached_property
    def queues(self) -> list[QueueWindow]:
        """Queues that were reported within the window; empty where the engine sees none."""
        return self.history.depths.window(self.start_ns, self.end_ns)

    @cached_property
    def edges(self) -> list[graph.Edge]:
        """The wait-for graph at the end of the window."""
        return graph.edges(self.history.threads.values(), self.can("held-locks"))

    @cached_property
    def chains(self) -> list[graph.Chain]:
        """Who waits behind whom at the end of the window, the longest queue first."""
        return graph.chains(self.edges)

    @cached_property
    def tick_ns(self) -> float:
        """Mean time between two samples of the window."""
        if self.samples:
            return sum(b.sampled_ns for b in self.buckets) / self.samples
        rate = self.history.hello.rate_hz if self.history.hello else 0.0
        return 1e9 / rate if rate > 0 else 1e7

    def lock_stats(self, lock: LockWindow) -> LockStats:
        """A lock in numbers; computed once for each."""
        known = self._stats.get(lock.key)
        if known is None:
            known = self._stats[lock.key] = stats(lock, self.tick_ns, self._busy_ns)
        return known

    @cached_property
    def _stats(self) -> dict[str, LockStats]:
        return {}

    @cached_property
    def _busy_ns(self) -> dict[int, float]:
        """tid -> time in the window in which the thread was not idle."""
        return {t.tid: sum(c.ns for c in t.conditions if c.state is not State.IDLE) for t in self.threads}

    @cached_property
    def cpu_percent(self) -> float | None:
        """Of one core, over the window; None before two counters."""
        return cpu_percent(self.buckets)

    def pieces(self) -> Iterator[tuple[ThreadWindow, Piece]]:
        for thread in self.threads:
            for piece in thread.pieces:
                yield thread, piece


def inside(history: History) -> dict[str, Capability]:
    """What can be seen because an agent is inside: unlike what an engine can do, this comes and goes.

    Its last words are evidence for a while longer: a recording ends with the agent leaving.
    """
    now, tasks, account = history.now_ns, history.tasks, history.account
    there = history.agent is not None and history.agent.state == "attached"
    if not there:
        there = tasks is not None and now - tasks.at_ns < REPORT_NS
    agent = Capability(True) if there else Capability(False, "no agent is inside the target", ENABLE_AGENT)
    if account is None or now - account.at_ns > CALLS_NS:
        calls = Capability(False, "no calls were counted in the last minute", ENABLE_CALLS) if there else agent
    elif account.clock != "wall":
        calls = Capability(False, "the calls of the last minute have no wall-clock times", ENABLE_CALLS)
    else:
        calls = Capability(True)
    return {"agent": agent, "calls": calls}


def ends(buckets: list[ProcessBucket]) -> tuple[Counters, Counters] | None:
    """The counters at both ends of the buckets; None before there are two."""
    measured = [b for b in buckets if b.before is not None and b.after is not None]
    if not measured:
        return None
    before, after = measured[0].before, measured[-1].after
    assert before is not None and after is not None
    return (before, after) if after.at_ns > before.at_ns else None


def cpu_percent(buckets: list[ProcessBucket]) -> float | None:
    """CPU of the process over the buckets, percent of one core."""
    span = ends(buckets)
    if span is None:
        return None
    before, after = span
    used = after.cpu_user_s + after.cpu_system_s - before.cpu_user_s - before.cpu_system_s
    return max(0.0, used * 1e11 / (after.at_ns - before.at_ns))


def switches_per_s(buckets: list[ProcessBucket]) -> float | None:
    """Context switches of all threads per second over the buckets."""
    span = ends(buckets)
    if span is None:
        return None
    before, after = span
    switched = after.voluntary + after.involuntary - before.voluntary - before.involuntary
    return max(0.0, switched * 1e9 / (after.at_ns - before.at_ns))


def gil_switches_per_s(buckets: list[ProcessBucket]) -> float | None:
    """How often the GIL went to another thread, per second over the buckets; None where that is not counted."""
    span = ends(buckets)
    if span is None or span[0].gil_switches < 0:
        return None
    before, after = span
    return (after.gil_switches - before.gil_switches) * 1e9 / (after.at_ns - before.at_ns)


def run_delay(buckets: list[ProcessBucket]) -> float | None:
    """Seconds of run-queue delay per second, all threads that lived through the buckets."""
    span = ends(buckets)
    if span is None:
        return None
    before, after = span
    then = {t.tid: t.run_delay_ns for t in before.threads}
    grown = sum(t.run_delay_ns - then[t.tid] for t in after.threads if t.run_delay_ns >= 0 and t.tid in then)
    return max(0.0, grown / (after.at_ns - before.at_ns))
