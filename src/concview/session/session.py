"""The session: reads a source in a thread of its own and keeps the latest snapshot ready.

Nothing is pushed to a view: it polls `snapshot()`, which never blocks and returns the same object until there is a
new one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec

from concview import codec
from concview.analysis import by_name, calltree, gilcalls, rates
from concview.analysis.blame.tracker import Tracker
from concview.analysis.history import History
from concview.analysis.replay_buffer import KEPT_NS, REPLAY_NS, HistoricalView, ReplayBuffer
from concview.analysis.served import Names
from concview.analysis.tasks import flame
from concview.analysis.window import WINDOW_NS, Window
from concview.analysis.work_totals import Totals
from concview.catalogue.base import Rule
from concview.catalogue.judge import PATIENCE_NS, Judge, Judgement
from concview.config import RuleConfig
from concview.control import Command
from concview.costs import constants as costs
from concview.costs.constants import CostTable
from concview.model import AnyEvent, Finding, Hello, Severity, Stack, State
from concview.session import allowance, moment, served, supervisor
from concview.session.allowance import Allowance
from concview.session.blame import bounded, named
from concview.session.compose import Composer
from concview.session.historical import Judged, Said, look_back, sums_ns
from concview.session.stream_source import AttachError, FileSource, LiveSource, Patience, StreamSource
from concview.session.ui_priority import UiPriority
from concview.snapshot import Blame, Snapshot, Status, Timeline
from concview.source.facts import SourceFacts
from concview.source.wakes import Wakes

#: Snapshots are made at most this often, in stream time: faster than a person reads, and a third of the cost of 10 Hz.
SNAPSHOT_NS = 300_000_000
#: Rules are evaluated this often at first, so that a clear case is named within seconds, and later.
EARLY_NS, EARLY_STEP_NS, STEP_NS = 10_000_000_000, 250_000_000, 1_000_000_000
#: A recording that is read to its end is looked at so often on the way, in its own time: before threads forget the half
#: seconds (`records.THREAD_BUCKETS`) of which the time line is made.
PICTURE_S = 50.0
#: A recording that is longer may be judged with patience, but for its end.
LONG_NS, CLOSELY_NS = 60_000_000_000, 5_000_000_000
#: Findings remembered when they are over.
MOST_FIRED = 500


@dataclass(frozen=True, slots=True)
class CallReport:
    """A call tree and the own/total table of the same time; `seconds` of wall time, up to `at_ns`."""

    root: calltree.Node
    entries: list[calltree.Entry]
    seconds: float
    at_ns: int


class Session:
    """`start()` -> `snapshot()` ... -> `close()`. One reader thread; every public method may be called from any."""

    def __init__(
        self,
        source: StreamSource,
        rules: Mapping[str, Rule] | None = None,
        config: RuleConfig | None = None,
        alone: bool = True,
        patience_s: float = 0.0,
        blamed_every_s: float = 0.0,
        composed_every_s: float = 0.0,
        looks_back: bool = True,
        totals: Totals | None = None,
    ) -> None:
        """`alone`: nobody looks at the processes below, so what is said must say that. Waits are followed no more often
        than every `blamed_every_s`, and pictures made than `composed_every_s`; at the end always. `patience_s`: in a
        long recording a rule of which nothing comes or goes is asked no more often (`Judge.evaluate`). Without
        `looks_back` nothing is kept for `at`, which then raises LookupError. `totals`: counts of work are kept in it.
        """
        self.source = source
        self.live = source.live
        self.history = History()
        self._rules, self._config, self._alone = rules, config, alone
        self._judged_every_ns, self._blamed_every_ns = 0, int(blamed_every_s * 1e9)
        self._patience_ns = int(patience_s * 1e9)
        self._patient_until_ns = -1  #: on the stream's clock; -1: not known yet
        self._blamed_ns = 0
        self._snapshot_every_ns = max(SNAPSHOT_NS, int(composed_every_s * 1e9))
        self._looks_back = looks_back
        if config is not None and config != RuleConfig():
            _ = self._judge  # settings can contradict themselves: that is told at once
        self._judgement = Judgement()
        self._ui_priority = UiPriority()
        self._composer = Composer(source.live, totals=totals)
        self._replay_buffer = ReplayBuffer()
        self._judged = Judged()
        self._names = Names()  #: in whose name threads are where findings are
        self._timeline = Timeline()
        self._past: tuple[int, int, HistoricalView] | None = None  #: end, span and history of the last look back
        self._snapshot = Snapshot(Status.WAITING)
        self._window: Window | None = None
        self._tracker: Tracker | None = None
        self._source: SourceFacts | None = None  #: what rules look into
        self._past_wakes: Wakes | None = None  #: looking back is done in other threads: it has files of its own
        self._blame: Blame | None = None
        self._evaluated_ns = 0
        self._composed_ns = 0
        self._judging, self._pictures = Allowance(), Allowance()
        self._fired: dict[tuple[str, str], Finding] = {}  #: every finding that ever fired, as it was at its worst
        self._wanted_ns = 0  #: somebody waits for a snapshot of this moment
        self._progress = threading.Condition()
        self._history_lock = threading.Lock()  #: the reader writes the history; `calls` reads it
        self._begun = False
        self._ended = False
        self._closing = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._read, name="concview-session", daemon=True)

    # ------------------------------------------------------------ for views and commands

    def start(self, timeout_s: float = 20.0) -> None:
        """Open the source and wait for the first events.

        AttachError when the target cannot be attached, codec.StreamError when a file is no recording, OSError when it
        cannot be opened.
        """
        self.source.open()
        self._thread.start()
        patience = Patience(self.source, timeout_s)
        with self._progress:
            while not self._begun and not self._ended and not patience.over():
                self._progress.wait(0.2)
        if not self._begun:
            failure = self._failure or patience.error()
            self.close()
            raise failure

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def wait(self, seconds: float) -> Snapshot:
        """Block until that much stream time was observed or the stream ended; the snapshot then."""
        target_ns = self.history.first_ns + int(seconds * 1e9)
        with self._progress:
            while not self._ended and self.history.now_ns < target_ns:
                self._progress.wait(0.25)
        return self._snapshot

    def fired(self) -> tuple[Finding, ...]:
        """Every finding since the beginning: those that are there in the latest snapshot, and then, as recent ones,
        those that are over, each as it was at its worst: at its end it may have been a hint only."""
        now = [f for f in self._snapshot.findings if not f.recent]
        there = {(f.id, f.subject) for f in now}
        gone = [msgspec.structs.replace(f, recent=True) for key, f in list(self._fired.items()) if key not in there]
        return (*now, *sorted(gone, key=lambda f: -f.score))

    def wait_until(self, at_ns: int, timeout_s: float, fresh: bool = False) -> bool:
        """Block until that moment of the stream was seen, the stream ended or the time is over; whether it was seen.

        `fresh`: until there is a snapshot of it or of later.
        """
        if fresh:
            self._wanted_ns = at_ns

        def seen() -> int:
            return self._snapshot.at_ns if fresh else self.history.now_ns

        with self._progress:
            self._progress.wait_for(lambda: self._ended or seen() >= at_ns, timeout_s)
        return seen() >= at_ns

    def calls(
        self,
        states: Collection[State] | None = None,
        tids: Collection[int] | None = None,
        by_line: bool = False,
        fold: bool = False,
        holding: bool = False,
        back: tuple[int, int] | None = None,
        tasks: bool = False,
        labels: Sequence[str] = (),
        by_work: bool = False,
    ) -> CallReport:
        """Where the time of these threads (None: all) in these states (None: all) went, over the window.

        `holding`: instead of states, the time in which they held the GIL. `back`: instead of the last window, the
        interval (end, length; nanoseconds) that was looked back to, as far as it is known in detail. `tasks`: instead
        of threads, the await chains of all tasks that wait, each with what it waits for at its end. `labels`: only the
        time spent on requests, jobs, queries and calls of these names (with * and ?). `by_work`: a root for each
        request and job, above its calls.
        """

        def taken(history: History, start: int, end: int) -> list[tuple[Stack, int]]:
            found = self._slices(history, start, end, states, tids, holding, tasks)
            if labels or by_work:
                found = by_name.cut(found, history.work, start, end, labels, by_work)
            return list(calltree.stack_times(found))

        if back is not None:
            past = self._past_of(*back)
            end = past.now_ns
            start = max(past.detail_ns, end - min(back[1], REPLAY_NS))
            times = taken(past, start, end)
        else:
            with self._history_lock:
                end = self.history.now_ns
                start = max(self.history.first_ns, end - WINDOW_NS)
                times = taken(self.history, start, end)
        return CallReport(calltree.tree(times, by_line, fold), calltree.table(times, by_line), (end - start) / 1e9, end)

    def runs(
        self, back: tuple[int, int] | None = None
    ) -> tuple[list[tuple[int, str, int, int, State, Stack]], int, float]:
        """What every thread did in the last window, or in the interval that was looked back to as far as it is known in
        detail: (tid, name, from, to, state, stack). Then the moment at which that begins, on the stream's clock and in
        seconds since the first sample."""
        past = self._past_of(*back) if back is not None else None
        with self._history_lock:
            history = past if past is not None else self.history
            end = history.now_ns
            if past is not None and back is not None:
                start = max(past.detail_ns, end - min(back[1], REPLAY_NS))
            else:
                start = max(self.history.first_ns, end - WINDOW_NS)
            found = [
                (t.tid, t.name, max(r.start_ns, start), min(r.end_ns or end, end), r.state, r.stack)
                for t in history.threads.values()
                if t.counts
                for r in t.runs
                if (r.end_ns or end) > start and r.start_ns < end
            ]
        return found, start, (start - self.history.first_ns) / 1e9

    @staticmethod
    def _slices(
        history: History,
        start: int,
        end: int,
        states: Collection[State] | None,
        tids: Collection[int] | None,
        holding: bool,
        tasks: bool,
    ) -> Iterator[calltree.Slice]:
        if tasks:
            return flame.slices(history.aio, max(start, history.aio.first_ns, history.aio.detail_ns), end)
        every = (*history.gone, *history.threads.values())  # a server may start a thread for each request
        threads = [t for t in every if (t.counts if tids is None else t.tid in tids)]
        if holding:
            return gilcalls.slices(threads, history.gil, start, end)
        return calltree.slices(threads, start, end, states)

    # ------------------------------------------------------------ looking back

    def timeline(self) -> Timeline:
        """What is kept, for choosing an interval of it. Never blocks."""
        return self._timeline

    def _draw_timeline(self) -> None:
        hello = self.history.hello
        assert hello is not None
        self._timeline = Timeline(
            first_ns=max(self._replay_buffer.first_ns, self.history.now_ns - KEPT_NS),
            last_ns=self.history.now_ns,
            detail_ns=self._replay_buffer.detail_ns,
            epoch_ns=int(hello.epoch * 1e9) - hello.at_ns,
            points=self._composer.points,
            marks=self._judged.marks(),
        )

    def at(self, end_ns: int, span_ns: int) -> Snapshot:
        """The snapshot of the interval of `span_ns` that ended then, with the findings as judged then.

        Takes up to a second or two where much happened. LookupError when nothing was kept yet.
        """
        with self._history_lock:
            plan = self._replay_buffer.plan(self.history, end_ns, span_ns, sums_ns(span_ns))
            points, said = self._composer.points, self._judged.at(end_ns)
            if self._past_wakes is None:
                self._past_wakes = self._wakes()
        snapshot, past = look_back(plan, span_ns, points, said, self.live, self._past_wakes)
        self._past = (end_ns, span_ns, past)
        return snapshot

    def _past_of(self, end_ns: int, span_ns: int) -> HistoricalView:
        known = self._past
        if known is None or known[:2] != (end_ns, span_ns):
            self.at(end_ns, span_ns)
            known = self._past
        assert known is not None
        return known[2]

    @property
    def player(self) -> FileSource | None:
        """What plays a recording; None for a live process."""
        return self.source if isinstance(self.source, FileSource) else None

    @property
    def ended(self) -> bool:
        return self._ended

    def slow_down(self, seconds: float) -> None:
        """From now on a picture and a judgement no more often than so, in stream time; 0: whenever there is something
        new. For one of many that nobody looks at closely."""
        self._judged_every_ns = self._blamed_every_ns = int(seconds * 1e9)
        self._snapshot_every_ns = max(SNAPSHOT_NS, int(seconds * 1e9))

    def hurry(self) -> None:
        """Somebody pressed a key: the reader leaves the CPU to those that answer it, for a moment."""
        self._ui_priority.ask()

    def order(self, command: Command) -> bool:
        """Pass a command on to the collector; False at a recording, where there is none."""
        if not isinstance(self.source, LiveSource) or self._ended:
            return False
        self.source.order(command)
        return True

    def save(self, path: Path, seconds: float | None = None) -> float:
        """Write the last `seconds` of what was kept (None: all) as a recording; the seconds that it has.

        FileExistsError when the file is there, OSError when it cannot be written; LookupError where nothing is kept: a
        recording, or a source that keeps none.
        """
        rolling = self.source.rolling if isinstance(self.source, LiveSource) else None
        if rolling is None:
            raise LookupError("this is a recording already")
        with path.open("xb") as out:
            try:
                return rolling.save(out, seconds)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def request_end(self) -> None:
        """Ask a live collector to write its last block; `finish` waits for it."""
        if isinstance(self.source, LiveSource) and not self._ended:
            self.source.request_end()

    def finish(self, timeout_s: float = 3.0) -> Snapshot:
        """Watch a process no longer; the last picture, with the totals. At a recording: the picture as it is."""
        last = self._snapshot
        if not isinstance(self.source, LiveSource) or self._ended:
            return last
        # The last block carries the totals; its cost figure covers a moment only, so the one before it stands.
        self.source.request_end()
        deadline = time.monotonic() + timeout_s
        while not self._ended and time.monotonic() < deadline:
            time.sleep(0.01)
        end = self._snapshot
        if last.own_cpu_percent:
            end = msgspec.structs.replace(
                end, own_cpu_percent=last.own_cpu_percent, helper_cpu_percent=last.helper_cpu_percent
            )
        if last.status is Status.STOPPED:  # that the target stands still matters more than that we ended
            end = msgspec.structs.replace(end, status=last.status, ending=last.ending)
        return end

    def leave(self, timeout_s: float) -> Snapshot:
        """Read a recording no further; the picture and verdict of what was read."""
        self._closing = True
        if isinstance(self.source, FileSource):
            self.source.stop()
        with self._progress:
            self._progress.wait_for(lambda: self._ended, timeout_s)
        return self._snapshot

    def close(self) -> None:
        """End the collector or close the file. The last snapshot stays."""
        self._closing = True
        self.source.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(2.0)

    # ------------------------------------------------------------ the reader

    @cached_property
    def _costs(self) -> CostTable:
        # A recording may be of another machine: only of a live process is it known that what was measured here holds.
        hello = self.history.hello
        return costs.table(hello.target.python) if self.live and hello is not None else CostTable()

    @cached_property
    def _judge(self) -> Judge:
        # When there is something to judge: importing all the rules takes longer than the rest of the session.
        return Judge(self._rules, self._config)

    def _read(self) -> None:
        try:
            for events in self.source.blocks():
                self._feed(events)
                if self._closing:
                    break
        except (AttachError, codec.StreamError) as error:
            self._failure = error
        except (OSError, ValueError) as error:  # the source was closed under the reader
            self._failure = None if self._closing else error
        except Exception as error:  # of our own: whoever waits must not wait for ever
            self._failure = error
            raise
        finally:
            self._finish()

    def _feed(self, events: list[AnyEvent]) -> None:
        history = self.history
        for event in events:
            self._ui_priority.give_way()
            with self._history_lock:
                history.apply(event)
                if self._looks_back:
                    self._replay_buffer.add(event, history)
            # A block may hold a second of ticks (py-spy's windows): judge along the way, in stream time. Only this
            # thread changes the history: no view has to wait until all is judged.
            if history.now_ns - self._evaluated_ns >= EARLY_STEP_NS:
                self._evaluate()
        wanted = self._composed_ns < self._wanted_ns <= history.now_ns
        every = max(self._snapshot_every_ns, self._pictures.gap_ns(allowance.LONGEST_PICTURES_NS))
        if history.now_ns - self._composed_ns >= every or wanted or not self._begun:
            self._ui_priority.give_way()
            self._compose()
        with self._progress:
            self._begun = True
            self._progress.notify_all()

    def _evaluate(self, force: bool = False) -> None:
        history = self.history
        if history.hello is None:
            return
        if not self._evaluated_ns and not force:
            self._evaluated_ns = history.now_ns  # the first look is a step after the beginning
            return
        if not force and history.now_ns - self._evaluated_ns < self._step_ns():
            return
        self._evaluated_ns = history.now_ns
        self._judging.begin()
        self._judge_now(history, history.hello, force)
        self._judging.end()

    def _step_ns(self) -> int:
        """How long after the last judgement the next one comes."""
        now, live = self.history.now_ns, self._judging
        if now - self.history.first_ns < EARLY_NS:
            return max(EARLY_STEP_NS, self._judged_every_ns, live.gap_ns(allowance.LONGEST_EARLY_NS, allowance.EARLY))
        return max(STEP_NS, self._judged_every_ns, live.gap_ns(allowance.LONGEST_JUDGING_NS))

    def _judge_now(self, history: History, hello: Hello, force: bool) -> None:
        if self.live:
            self._judging.share = allowance.JUDGING * hello.budget_percent / 100
            self._pictures.share = allowance.PICTURES * hello.budget_percent / 100
        patience = self._patience_ns if not force and self._patient_at(history.now_ns) else 0
        if patience and not self._judge.due(history.now_ns, patience):
            return
        if self._source is None:
            target = hello.target
            self._source = SourceFacts(target.pid if self.live else None, target.started)
        self._window = Window(history, costs=self._costs, lines_of=self._source.lines)
        judged = self._judge.evaluate(self._window, self._ui_priority.give_way, patience)
        self._judgement = replace(
            judged, findings=served.found(judged.findings, self._names, self._window, self._fired)
        )
        for finding in self._judgement.findings:
            known = self._fired.get((finding.id, finding.subject))
            if known is None and len(self._fired) >= MOST_FIRED:
                continue
            if known is None or _weight(finding) >= _weight(known):
                self._fired[finding.id, finding.subject] = finding
        if force or history.now_ns - self._blamed_ns >= self._blamed_every_ns:
            self._blamed_ns = history.now_ns
            self._follow(self._window, hello.target.pid)
        self._judgement = replace(self._judgement, findings=bounded(self._judgement.findings, self._blame))
        if not self._looks_back:
            return
        if self._judged.add(history.now_ns, Said(self._judgement, self._blame)) and self.player is not None:
            self.player.found()
            self._composed_ns = -self._snapshot_every_ns  # it may be held now: what was found is shown at once

    def _patient_at(self, now_ns: int) -> bool:
        """Whether rules may be asked seldom: in a recording that is long, and not at its end, where what has just begun
        must still be seen in several windows."""
        if not self._patience_ns:
            return False
        if self._patient_until_ns < 0:
            last = 0
            with contextlib.suppress(OSError):
                last = self.source.last_ns() if isinstance(self.source, FileSource) else 0
            long = last - self.history.first_ns > LONG_NS
            self._patient_until_ns = last - CLOSELY_NS if long else 0
        return now_ns < self._patient_until_ns

    def _follow(self, window: Window, pid: int) -> None:
        """Every wait to its end: by far the most expensive part of a judgement where much happens."""
        if self._tracker is None:
            self._tracker = Tracker(self._wakes())
        findings, pending = self._judgement.findings, self._judgement.pending
        blame = named(self._tracker.blame(window, self._ui_priority.give_way), findings, self._config, pending)
        blame = served.blamed(blame, self._names, window)
        if window.moment:
            self._blame = moment.judged(blame, findings, window.target)
            return
        self._blame = supervisor.judged(blame, self.history.workers, self._cpu_percent(), findings, pid, self._alone)

    def _cpu_percent(self) -> float | None:
        """Of the window, percent of a core."""
        start_ns = self.history.now_ns - WINDOW_NS
        return rates.cpu_percent([b for b in self.history.buckets if b.end_ns > start_ns])

    def _wakes(self) -> Wakes:
        """The source of the target's files."""
        hello = self.history.hello
        assert hello is not None
        target = hello.target
        if target.core:  # when it began is not known; it was written before it was looked at
            return Wakes(SourceFacts(None, hello.epoch).lines)
        return Wakes(SourceFacts(target.pid if self.live else None, target.started).lines)

    def _compose(self, ended: bool = False) -> None:
        self._composed_ns = self.history.now_ns
        self._pictures.begin()
        # Of this very moment: what is in the way of a thread must fit the state beside it.
        because = self._tracker.now() if self._tracker is not None else {}
        snapshot = self._composer.compose(self.history, self._window, self._judgement, ended, self._blame, because)
        if self.history.hello is not None:
            self._draw_timeline()
        self._snapshot = snapshot
        self._pictures.end()

    def _finish(self) -> None:
        try:
            if self.history.hello is not None:
                self._evaluate(force=True)
                # A recording that was left before its end has not ended.
                self._compose(ended=self.live or not self._closing)
        except Exception as error:
            self._failure = self._failure or error
            raise
        finally:
            self._say_how_it_ended()
            with self._progress:
                self._ended = True
                self._progress.notify_all()

    def _say_how_it_ended(self) -> None:
        failure = self._failure
        if failure is None or self.history.hello is None:
            return
        ending = str(failure)
        if isinstance(failure, codec.StreamError):
            ending = f"the recording breaks off: {failure}"
        elif not isinstance(failure, (AttachError, OSError, ValueError)):
            ending = f"an error of concview's own ended it: {type(failure).__name__}: {failure}"
        self._snapshot = msgspec.structs.replace(self._snapshot, status=Status.LOST, ending=ending)


def _weight(finding: Finding) -> tuple[bool, int]:
    return finding.severity is Severity.WARN, finding.score


def read_through(source: FileSource, config: RuleConfig | None = None, alone: bool = True) -> Session:
    """A session, not yet started, for a recording of which only what is known at its end is asked for: on the way rules
    are asked with patience, waits are not followed to their ends, pictures are few, and nothing is kept to look back
    at."""
    never_s = 1e9
    return Session(
        source,
        config=config,
        alone=alone,
        patience_s=PATIENCE_NS / 1e9,
        blamed_every_s=never_s,
        composed_every_s=PICTURE_S,
        looks_back=False,
    )


def attach(pid: int, engine: str = "auto", rate: float = 100.0, budget: float = 5.0) -> Session:
    """A started live session. AttachError when that is not possible."""
    session = Session(LiveSource(pid, engine, rate, budget))
    session.start()
    return session
