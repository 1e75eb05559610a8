"""What a rule looks at: the last seconds of a process, joined and clipped, computed once and shared by all rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from concview.analysis import graph, locks
from concview.analysis.history import RUNS_NS, History
from concview.analysis.interpreters import MAIN
from concview.analysis.lock_identity import Registry
from concview.analysis.lock_stats import LockStats, stats
from concview.analysis.locks import Locks, LockWindow
from concview.analysis.queues import QueueWindow
from concview.analysis.rates import cpu_percent
from concview.analysis.records import GilTick, ProcessBucket
from concview.analysis.records import Slice as Slice  # rules take it from here, and what a thread looks like
from concview.analysis.tasks.window import AioWindow
from concview.analysis.thread_window import ThreadWindow as ThreadWindow
from concview.analysis.thread_window import WaitProfile as WaitProfile
from concview.costs.constants import CostTable
from concview.model import Capability, Related, State, Target

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
ENABLE_AGENT = "attach the agent: a in the view Inside, or --agent on the command line"
ENABLE_CALLS = "count them: w in the view Inside, or record --agent --yes --calls wall"


@dataclass(frozen=True, slots=True)
class GilWindow:
    """One GIL: of the main interpreter (id 0), or of another one that has its own."""

    id: int
    threads: list[ThreadWindow]  #: those that need it
    ticks: list[GilTick]

    @property
    def subject(self) -> str:
        return "process" if self.id == MAIN else f"interpreter {self.id}"

    @property
    def where(self) -> str:
        """' of interpreter 3', or '' for the main one's."""
        return "" if self.id == MAIN else f" of interpreter {self.id}"


class Window:
    """The last `WINDOW_NS` of a history. Everything is computed when first asked for."""

    def __init__(
        self,
        history: History,
        window_ns: int = WINDOW_NS,
        costs: CostTable | None = None,
        lines_of: Callable[[str], Sequence[str]] = lambda _: (),
    ) -> None:
        self.history = history
        #: The lines of a file of the target's; none where they cannot be believed, or there are none (a recording).
        self.lines_of = lines_of
        #: What single operations cost where the target runs.
        self.costs = CostTable() if costs is None else costs
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
    def moment(self) -> bool:
        """Whether it is all of one moment, a core file's: lengths of time are not known, and nothing can move."""
        return bool(self.target.core)

    @property
    def cpus(self) -> float:
        return self.target.cpus

    @cached_property
    def capabilities(self) -> dict[str, Capability]:
        return {**self.history.hello.capabilities, **agent_capabilities(self.history)} if self.history.hello else {}

    def can(self, name: str) -> bool:
        capability = self.capabilities.get(name)
        return capability is not None and capability.available

    @cached_property
    def threads(self) -> list[ThreadWindow]:
        """The program's Python threads: alive ones, and those that ended within the window."""
        gone = [t for t in self.history.gone if t.gone_ns > self.start_ns]
        every = [*self.history.threads.values(), *gone]
        return [ThreadWindow(t, self.start_ns, self.end_ns) for t in every if t.counts]

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
    def gils(self) -> list[GilWindow]:
        """Each GIL with the threads that need it: the main interpreter's first, then others that threads ran under."""
        interpreters = self.history.interpreters
        mine: dict[int, list[ThreadWindow]] = defaultdict(list)
        for thread in self.threads:
            mine[interpreters.mostly(thread.tid, self.end_ns)].append(thread)
        found = [GilWindow(MAIN, mine[MAIN], self.gil_ticks)]
        for id_, ticks in interpreters.ticks.items():
            if mine[id_]:
                found.append(GilWindow(id_, mine[id_], [g for g in ticks if g.at_ns > self.start_ns]))
        return found

    @property
    def locks(self) -> dict[str, LockWindow]:
        return self._locks.by_key

    @property
    def lock_registry(self) -> Registry:
        """Which names in the source and which addresses are one lock."""
        return self._locks.registry

    @cached_property
    def _locks(self) -> Locks:
        return locks.locks(self.threads, self.start_ns, self.end_ns, self.can("held-locks"))

    @cached_property
    def queues(self) -> list[QueueWindow]:
        """Queues that were reported within the window; empty where the engine sees none."""
        return self.history.depths.window(self.start_ns, self.end_ns)

    @cached_property
    def aio(self) -> AioWindow:
        """Tasks, loops and what tasks share."""
        return AioWindow(self.history.aio, self.start_ns, self.end_ns)

    @cached_property
    def relations(self) -> tuple[Related, ...]:
        """Objects that threads wait for at the end of the window; descriptors, file locks and the like, and how it was
        before: `history.relations`."""
        return self.history.relations.objects(self.end_ns)

    @cached_property
    def edges(self) -> list[graph.Edge]:
        """The wait-for graph at the end of the window."""
        return graph.edges(self.history.threads.values(), self.can("held-locks"))

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
        return {t.tid: sum(c.ns for c in t.wait_profiles if c.state is not State.IDLE) for t in self.threads}

    @cached_property
    def cpu_percent(self) -> float | None:
        """Of one core, over the window; None before two counters."""
        return cpu_percent(self.buckets)

    def slices(self) -> Iterator[tuple[ThreadWindow, Slice]]:
        for thread in self.threads:
            for slice_ in thread.slices:
                yield thread, slice_


def agent_capabilities(history: History) -> dict[str, Capability]:
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
