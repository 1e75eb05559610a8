"""The collector's loop: one engine for the stacks, the kernel's counters beside it, one stream out."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import time
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from concview import __version__, control
from concview.codec import STREAM_VERSION, Writer
from concview.collector import huge_pages
from concview.collector.agent import AgentControl
from concview.collector.budget import Budget
from concview.collector.forks import ForkWatch
from concview.collector.idle_scheduling import IdleScheduling, own_run_delay_ns
from concview.collector.looks import Looks
from concview.collector.pace import FILL_HZ, MIN_HZ, PARTS_HZ, Pace
from concview.collector.recorder import Recorder
from concview.collector.workers import WorkerWatch
from concview.engines import choose
from concview.engines.base import Engine, Probe
from concview.errors import CannotAttach, Code, TargetError, TargetGone
from concview.linux import CounterReader
from concview.linux.exit_status import UNKNOWN, ExitWatch
from concview.linux.freezer import Freezer
from concview.linux.own_memory import own_peak
from concview.linux.stopped import stopped_by
from concview.model import Bye, Capability, Hello, Notice, ProcessStatus, Stats, Target
from concview.process import discovery
from concview.source.facts import SourceFacts
from concview.text import clean

#: Events go out this often: the latency of the live view, and the grain of a recording.
FLUSH_NS = 100_000_000
COUNTERS_NS = 200_000_000
STATS_NS = 1_000_000_000
STATUS_NS = 500_000_000
COLLECT_NS = 60_000_000_000
#: Of the budget, a tick has what everything beside the samples leaves, and this share at least. While we warm up, this
#: share of a core.
TICK_SHARE, WARM_SHARE = 0.4, 0.5
#: The rate counts as slowed by the budget below this share of what was asked.
SLOWED = 0.8
#: With cold caches the question how much CPU was used takes as long as a small part of a sample.
SETTLE_NS = 40_000_000
#: At rest: so long nobody looks, and so seldom is looked for what can have changed from outside only.
REST_NS, RESTED_LOOK_NS, RESTED_COUNTERS_NS, RESTED_FLUSH_NS = 50_000_000, 1_000_000_000, 1_000_000_000, 250_000_000
#: ... which is so once each look has had a turn that began so long after somebody ran: two of those who look at waits
#: that last.
STAYS_NS = 260_000_000
#: ... and after so long at rest, so long: a program with a heartbeat of a second or two never gets there. What has been
#: spent is asked for less often, too.
LONG_REST_NS, LONG_REST_AFTER_NS, RESTED_SETTLE_NS = 100_000_000, 2_500_000_000, 250_000_000
#: Counters may take this share of the budget; where there are many threads, they come less often.
COUNTERS_SHARE = 0.1
#: Cost is not judged before this: imports, first stacks and source files are paid once.
WARM_UP_NS = 2_000_000_000


class Collector:
    """`begin` attaches and greets, `run` samples until the target or the reader is gone or `stop` is called."""

    def __init__(
        self,
        pid: int,
        engine: str,
        rate_hz: float,
        budget_percent: float,
        blocking: bool = False,
        labels: str = "safe",
        gentle: bool = False,
        forked: bool = False,
    ) -> None:
        """`forked`: what was imported is shared with others."""
        self._pid = pid
        self._forked = forked
        self._engine_name = engine
        self._blocking = blocking
        self._labels = labels
        self._gentle = gentle
        self._pace = Pace(rate_hz, budget_percent)
        self._budget = Budget(budget_percent)
        self._stopping = False
        self._heard = b""  #: the beginning of a command whose end has not arrived
        self._status = "running"
        self._held_ns = self._stats_ns = 0
        self._beside_ns = self._beside_told = 0  #: CPU time beside the ticks: in total, and at the last statistics

    def stop(self) -> None:
        self._stopping = True

    # ------------------------------------------------------------ attach

    def begin(self, out: BinaryIO) -> None:
        """Attach and write the greeting. CannotAttach when that is not possible."""
        try:
            target = discovery.describe(self._pid)
            self._engine, probe = self._choose()
        except TargetError as error:
            raise CannotAttach(*error.refusal) from None
        target = _with_probe(target, probe)
        self._writer = Writer(out)
        facts = SourceFacts(target.pid, target.started)
        self._recorder = Recorder(self._writer, facts)
        now = time.monotonic_ns()
        self._recorder.emit(
            Hello(
                STREAM_VERSION,
                __version__,
                target,
                self._engine.name,
                self._pace.asked_hz,
                self._pace.budget,
                now,
                time.time(),
                _told(probe.capabilities, self._labels, self._gentle),
                self._labels,
            )
        )
        if probe.why:
            self._recorder.emit(Notice(now, "info", f"engine {self._engine.name}, because {probe.why}"))
        self._engine.gentle = self._gentle
        try:
            self._engine.open(target, self._recorder)
            self._watch(target)
        except TargetError as error:
            raise CannotAttach(*error.refusal) from None
        except TargetGone as error:
            raise CannotAttach(f"process {self._pid} is gone ({error})", "", Code.NO_SUCH_PROCESS) from None
        # Nothing refuses any more. Whoever waits is told before the first look at all threads, which may take long.
        self._writer.flush()

    def _watch(self, target: Target) -> None:
        """What is read beside the samples. Raises TargetGone."""
        self._pace.least_hz = MIN_HZ if self._engine.HELPER_CPU else PARTS_HZ
        self._looks = Looks(self._engine.looks, self._budget.earned)
        self._counters = CounterReader(target, self._recorder)
        self._exit = ExitWatch(target.pid)
        self._freezer = Freezer(target.pid)
        self._agent = AgentControl(target.pid, self._recorder.emit)
        self._forks = ForkWatch(target, self._recorder)
        self._forks.poll(time.monotonic_ns())
        self._workers = WorkerWatch(target.pid, self._recorder)
        self._workers.poll(time.monotonic_ns())
        self._recorder.emit(self._counters.poll(time.monotonic_ns()))

    def _choose(self) -> tuple[Engine, Probe]:
        engine, probe = choose(self._pid, self._engine_name, self._pace.asked_hz, self._blocking, self._labels)
        if engine is None:
            raise CannotAttach(*probe.refusal)
        return engine, probe

    # ------------------------------------------------------------ loop

    def run(self, control_fd: int) -> None:
        """Sample until something ends it; the last event is a Bye."""
        now = time.monotonic_ns()
        self._pace.start(now)
        self._due_ns = now
        self._cost = _Cost(self._engine, now)
        idle = IdleScheduling(lambda: self._due_ns, lambda: self._counters.machine_cpu_percent, now + WARM_UP_NS)
        # An engine with processes of its own would hand its policy down to them, and not get it back.
        idle.possible = idle.possible and not self._engine.HELPER_CPU
        reason, text, status = "stopped", "", UNKNOWN
        try:
            idle.drive(self._steps(control_fd, now))
        except TargetGone as gone:
            reason, text = "exec", "the target became another program (exec)"
            if str(gone) != "exec":
                status = self._exit.status()
                reason, text = "exited", f"the target {self._exit.words(status)}"
        except TargetError as refused:
            reason, text = "lost", f"the target cannot be read any more: {refused}"
        finally:
            self._exit.close()
            self._end(reason, text, status)

    def _steps(self, control_fd: int, now: int) -> Iterator[None]:
        """One sample each, with what is due beside it."""
        pace, engine, budget, looks = self._pace, self._engine, self._budget, self._looks
        chores = self._chores = _Chores(now)
        cpu_ns = time.process_time_ns
        engine.budget = pace.budget / 100
        engine.room_ns = int(1e9 * WARM_SHARE / min(PARTS_HZ, pace.asked_hz))
        settle_at = owed = rested_look = rests_since = 0
        active_ns = now
        while not self._stopping:
            # A sample that took long has to be paid for at once.
            if now >= settle_at or owed > now or time.monotonic_ns() - now > SETTLE_NS:
                settle_at = now + (RESTED_SETTLE_NS if engine.resting else SETTLE_NS)
                budget.settle(now)
                if now < chores.warm:
                    budget.begin(now)
                owed = budget.paid_back(now)
            due = pace.next_due(now, owed if owed > now else 0)
            passed: list[int] = []
            if engine.resting and owed <= now:
                # To wake up costs more than all that is done then: the moments are made up for afterwards.
                rest = LONG_REST_NS if now - rests_since >= LONG_REST_AFTER_NS else REST_NS
                while due - now < rest:
                    passed.append(due)
                    due = pace.next_due(now)
            self._due_ns = due
            now = time.monotonic_ns()
            while due > now:
                # A long wait is for the budget's sake: whoever listens does not wait for it.
                time.sleep((due - now if due - now < 2 * FLUSH_NS else FLUSH_NS) / 1e9)
                now = time.monotonic_ns()
                if due > now and not (self._writer.flush() >= 0 and self._listen(control_fd)):
                    return
            if passed:
                engine.catch_up([at for at in passed if at < now])
            resting = engine.resting
            engine.tick(now)
            if resting != engine.resting:
                rests_since = now
                if resting:
                    chores.awake(now)
                    settle_at = now
            if not engine.resting:
                active_ns = now
            look = now >= looks.due_ns and (
                not engine.resting or now >= rested_look or looks.behind(min(now, active_ns + STAYS_NS), now)
            )
            if look or now >= chores.due:
                before = cpu_ns()
                if look:
                    rested_look = now + RESTED_LOOK_NS
                    looks.turn(now)
                if now >= chores.due and not self._do_chores(now, control_fd):
                    return
                self._beside_ns += cpu_ns() - before
            yield

    def _do_chores(self, now: int, control_fd: int) -> bool:
        """What is due beside the samples. False when the reader has gone."""
        chores = self._chores
        self._agent.poll(now)
        if now >= chores.counters:
            before = time.process_time_ns()
            self._recorder.emit(self._counters.poll(now, self._engine.tally.gil_switches))
            self._forks.poll(now)
            self._workers.poll(now)
            spent = time.process_time_ns() - before
            every = RESTED_COUNTERS_NS if self._engine.resting else COUNTERS_NS
            chores.counters = now + max(every, int(spent / (COUNTERS_SHARE * self._pace.budget / 100)))
        if now >= chores.stats:
            chores.stats = now + STATS_NS
            self._stats(now, adapt=now > chores.warm)
        if now >= chores.status:
            chores.status = now + STATUS_NS
            self._watch_status(now)
        if now >= chores.flush:
            chores.flush = now + (RESTED_FLUSH_NS if self._engine.resting else FLUSH_NS)
            self._writer.flush()
            if not self._listen(control_fd):
                return False
        if now >= chores.warm and not chores.settled:
            chores.settled = True
            huge_pages.collapse(heap=not self._forked)
        if now >= chores.collect:
            chores.collect = now + COLLECT_NS
            gc.collect()
            self._exit.note()
        chores.due = min(chores.counters, chores.flush, chores.status, self._agent.due_ns)
        return True

    def _end(self, reason: str, text: str, status: int) -> None:
        self._agent.close()
        with contextlib.suppress(TargetGone):
            self._engine.close()  # may still deliver samples of the last moments
        now = time.monotonic_ns()
        self._stats(now, adapt=False)
        self._recorder.emit(Bye(now, reason, text, status))
        self._writer.flush()

    def _stats(self, now: int, adapt: bool) -> None:
        own, children, hz, waited = self._cost.measure(now, self._recorder.ticks)
        tally, pace, engine = self._engine.tally, self._pace, self._engine
        if adapt and self._stats_ns:
            self._make_room(now - self._stats_ns)
        # What it would have cost had no sample been put off.
        held, self._held_ns = pace.held_ns - self._held_ns, pace.held_ns
        held_share = min(0.9, held / max(1, now - self._stats_ns)) if self._stats_ns else 0.0
        self._stats_ns = now
        if adapt and pace.adapt(own / (1 - held_share)):
            self._recorder.emit(
                Notice(
                    now,
                    "info",
                    f"sampling slowed to {pace.target_hz:.0f} Hz to stay within the budget "
                    f"of {pace.budget:g} % of a core",
                )
            )
        engine.slowed = pace.target_hz < SLOWED * pace.asked_hz
        self._recorder.emit(
            Stats(
                now,
                tally.samples,
                tally.misses + pace.misses,
                tally.repaired,
                tally.dropped,
                tally.doubtful,
                hz,
                pace.target_hz,
                own + children,
                own_peak(),
                children,
                100 * engine.HELPER_CPU,
                waited,
                *engine.coverage(now),
                self._looks.report(now),
            )
        )

    def _make_room(self, elapsed_ns: int) -> None:
        """What a tick may take: of an engine that can look at a part of the threads it is the last resort, when the
        rate is as low as it gets."""
        beside, self._beside_told = (self._beside_ns - self._beside_told) / elapsed_ns, self._beside_ns
        budget = self._pace.budget / 100
        share = max(TICK_SHARE * budget, budget - beside)
        # While many threads have not been looked at yet, more of them at once: what a tick costs beside is paid rarely.
        rate = FILL_HZ if self._engine.filling else PARTS_HZ
        if not self._engine.HELPER_CPU:
            self._pace.least_hz = rate
        self._engine.room_ns = int(0.95e9 * share / min(rate, self._pace.asked_hz))

    def _watch_status(self, now: int) -> None:
        status = self._counters.status()
        if status in ("gone", "zombie"):
            raise TargetGone("exited")
        if status == "running" and self._freezer.frozen():
            status = "frozen"
        if status != self._status:
            self._status = status
            by = stopped_by(self._pid) if status == "stopped" else ""
            self._recorder.emit(ProcessStatus(now, status, by))

    def _listen(self, control_fd: int) -> bool:
        """Obey the reader; False when it has gone."""
        # Not select(): it refuses descriptors above 1023, and two files a thread are kept open.
        asked = select.poll()
        asked.register(control_fd, select.POLLIN)
        if not asked.poll(0):
            return True
        said = os.read(control_fd, 4096)
        if not said:
            return False
        *lines, self._heard = (self._heard + said).split(b"\n")
        for line in lines:
            try:
                command = control.decode(line)
            except control.BadCommand as error:
                self._recorder.emit(Notice(time.monotonic_ns(), "warn", clean(f"a command is not understood: {error}")))
                continue
            if isinstance(command, control.SetBudget):
                self._pace.budget = self._budget.percent = min(100.0, max(0.05, command.percent))
                self._engine.budget = self._pace.budget / 100
            else:
                self._agent.obey(command)
        return True


def _told(capabilities: dict[str, Capability], labels: str, gentle: bool) -> dict[str, Capability]:
    """What can be seen, less what was not wanted."""
    told = dict(capabilities)
    if labels == "off" and told.get("labels", Capability(False)).available:
        told["labels"] = Capability(False, 'labels are switched off (labels = "off")', "--labels safe")
    for name, cost in (("switches", "2 µs a wait"), ("wakers", "0.3 µs a wait")):
        if gentle and told.get(name, Capability(False)).available:
            told[name] = Capability(False, f"not opened: they cost the process {cost} (--gentle)", "no --gentle")
    return told


class _Chores:
    """When what is due next: moments in nanoseconds."""

    def __init__(self, now: int) -> None:
        self.due = self.flush = self.counters = self.stats = self.status = now
        self.collect = now + COLLECT_NS
        self.warm = now + WARM_UP_NS
        self.settled = False  #: what comes once, behind it

    def awake(self, now: int) -> None:
        """Somebody runs again: what came more seldom meanwhile."""
        self.counters, self.flush = min(self.counters, now + COUNTERS_NS), min(self.flush, now + FLUSH_NS)
        self.due = min(self.due, self.counters, self.flush)


class _Cost:
    """Our own CPU over the last interval, in percent of one core, the ticks per second, and our waits for a CPU."""

    def __init__(self, engine: Engine, now_ns: int) -> None:
        self._children = engine.helper_cpu_seconds
        self._at = now_ns
        self._cpu = time.process_time()
        self._child_cpu = self._children()
        self._ticks = 0
        self._waited = own_run_delay_ns()
        self._last = (0.0, 0.0, 0.0, 0.0)

    def measure(self, now_ns: int, ticks: int) -> tuple[float, float, float, float]:
        """(own percent, children's percent, ticks per second, percent of the time that this thread waited for a CPU)
        since the last call; the last answer again when that is too short ago to say anything, as at the end of a
        recording."""
        elapsed = (now_ns - self._at) / 1e9
        if elapsed < 0.3:
            return self._last
        cpu, child_cpu = time.process_time(), self._children()
        own = 100.0 * (cpu - self._cpu) / elapsed
        children = 100.0 * (child_cpu - self._child_cpu) / elapsed
        hz = (ticks - self._ticks) / elapsed
        waited = own_run_delay_ns()
        # Less than before: another thread samples now.
        wait = 100.0 * max(0, waited - self._waited) / (now_ns - self._at)
        self._at, self._cpu, self._child_cpu, self._ticks, self._waited = now_ns, cpu, child_cpu, ticks, waited
        self._last = (own, children, hz, min(100.0, wait))
        return self._last


def _with_probe(target: Target, probe: Probe) -> Target:
    return msgspec.structs.replace(
        target,
        # The files may tell more than memory does: up to 3.10 that has no patch level.
        python=target.python if target.python.startswith(f"{probe.python}.") else probe.python or target.python,
        free_threaded=probe.free_threaded,
    )
