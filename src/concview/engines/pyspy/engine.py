"""The engine: py-spy's stacks, our kernel samples, one stream.

Every tick takes the kernel's sample and puts it aside. py-spy records in windows of about a second; when a window is
complete its stacks are joined with the samples put aside, a little at each tick so that no tick is late, and the past
ticks are emitted in order, about `delay_s` after they happened. The next py-spy starts before the old one is stopped.
"""

from __future__ import annotations

import contextlib
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from typing import ClassVar

from concview.engines.base import Look, Probe, Tally
from concview.engines.pyspy.emit import Emitter
from concview.engines.pyspy.failures import PySpyFailed
from concview.engines.pyspy.join import Cursor, Moment, cursors
from concview.engines.pyspy.observe import KernelSide
from concview.engines.pyspy.probe import probe
from concview.engines.pyspy.run import PySpyRun, cpu_seconds
from concview.engines.pyspy.threads import Tasks, stat_fields
from concview.engines.pyspy.trace import Interner, Trace, Track
from concview.errors import TargetGone
from concview.model import Notice, Target
from concview.sink import Sink


class PySpyEngine:
    """Stacks by py-spy, states by the kernel, the GIL from memory. Never stops the target unless `blocking`."""

    name: ClassVar[str] = "pyspy"
    #: Events come this late, in seconds, at most in the ordinary case.
    delay_s: ClassVar[float] = 1.5

    #: Length of a window. A start costs 10 ms of CPU, a longer window a later display.
    WINDOW_NS = 1_000_000_000
    FIRST_WINDOW_NS = 300_000_000
    #: The next py-spy is given this many mean sampling intervals for its first sample: e**-5 = 0.7 % come too late.
    PATIENCE = 5
    #: Work on a finished window within one tick.
    SLICE_NS = 1_500_000
    #: A py-spy that does not react is killed after this time.
    STUCK_NS = 3_000_000_000
    #: Ticks older than this are emitted without stacks.
    STARVED_NS = 6_000_000_000
    #: Time that the last window gets to write its file, and three of its sampling intervals more.
    FINISH_S = 0.5
    #: Share of a core that py-spy may take: a sample costs 0.5 ms with 6 threads and 5 ms with 100 busy ones.
    HELPER_CPU: ClassVar[float] = 0.15
    SLOWEST_HZ = 10.0
    #: How often the target is asked whether it is still the same process.
    ALIVE_NS = 100_000_000
    #: How far from py-spy's first look a thread must have begun and ended for that look's name to be surely its own.
    SURE_NS = 40_000_000

    def __init__(self, rate_hz: float = 100.0, blocking: bool = False) -> None:
        self.tally = Tally()
        self.looks: list[Look] = []
        self.budget = 0.0
        self.gentle = False
        self.filling = self.resting = self.slowed = False
        self.room_ns = 0  #: its own program is held to its part by itself
        self.rate_hz = rate_hz  #: of py-spy; follows the rate of the ticks
        self.blocking = blocking
        self.longest_gap_ns = 0  #: longest time between two windows, the first excepted
        self._interner = Interner()
        self._moments: deque[Moment] = deque()
        self._current: PySpyRun | None = None
        self._next: PySpyRun | None = None
        self._ended: deque[PySpyRun] = deque()
        self._work: Iterator[None] | None = None
        self._covered_ns = 0
        self._opened = False
        self._reaped_cpu_s = 0.0
        self._told_slow = False
        self._most_hz = 1000.0  #: what py-spy may take at most, by its cost so far
        self._retry_at_ns = 0
        self._failures = 0
        self._alive_checked_ns = 0
        self._stack_top = ""
        self._interval_ns = 0.0
        self._last_tick_ns = 0

    def coverage(self, now_ns: int) -> tuple[int, int, int]:
        return -1, -1, -1

    # ------------------------------------------------------------ life

    @classmethod
    def probe(cls, pid: int) -> Probe:
        return probe(pid)

    def open(self, target: Target, sink: Sink) -> None:
        """Start the first window. PySpyFailed when py-spy cannot read the target, TargetGone when it is gone."""
        self._target, self._sink, self._pid = target, sink, target.pid
        self._emitter = Emitter(sink, self.tally, self._pid)
        try:
            self._tasks = Tasks(self._pid)
            self._tasks.refresh(time.monotonic_ns())
            self._kernel = KernelSide(self._pid, target.free_threaded, self._tasks)
        except (FileNotFoundError, ProcessLookupError):
            raise TargetGone("exited") from None
        self._current = self._start()
        deadline = time.monotonic() + 5.0
        while not self._current.poll() and not self._current.ready_ns and time.monotonic() < deadline:
            time.sleep(0.002)
        if not self._current.ready_ns:
            failure = self._current.failure(target.python)
            self.close()
            self._still_there(time.monotonic_ns(), force=True)
            raise failure
        self._opened = True

    def close(self) -> None:
        """Emit what is still to be told (see `finish`) and end py-spy.

        The target is not touched by that: in the non-stopping mode py-spy was never attached to it.
        """
        if self._opened:
            self.finish()
            self._opened = False
            self._kernel.close()
        for window in (self._current, self._next, *self._ended):
            if window is not None:
                window.kill()
                self._reaped_cpu_s += window.cpu_s
        self._current = self._next = self._work = None
        self._ended.clear()

    def finish(self) -> None:
        """Emit everything up to now: stop the running window and join it. Bounded; what is missing is unknown."""
        if self._next is not None:
            self._forget(self._next)
            self._next = None
        if self._current is not None:
            self._current.poll()
            self._current.stop()
            self._ended.append(self._current)
            self._current = None
        self._failures += 1  # a window cut short is no news
        deadline = time.monotonic() + self.FINISH_S + min(3.0, 3 / max(1.0, self.rate_hz))
        while (self._ended or self._work) and time.monotonic() < deadline:
            self._pump(self.SLICE_NS)
            if self._ended and self._work is None:
                time.sleep(0.002)
        if self._work is not None:
            for _ in self._work:
                pass
            self._work = None
        while self._moments:
            self._emitter.moment(self._moments.popleft(), None)

    def catch_up(self, moments: list[int]) -> None:
        pass

    def helper_cpu_seconds(self) -> float:
        """CPU that our py-spy processes have used so far."""
        windows = (w for w in (self._current, self._next, *self._ended) if w is not None)
        return self._reaped_cpu_s + sum(w.cpu_s if w.ended_ns else cpu_seconds(w.child_pid) for w in windows)

    # ------------------------------------------------------------ one tick

    def tick(self, at_ns: int) -> None:
        """Take the kernel's sample, look after py-spy, work a little on what it has written."""
        try:
            self._still_there(at_ns)
            self._tasks.refresh(at_ns)
            self._moments.append(self._kernel.moment(at_ns))
        except (FileNotFoundError, ProcessLookupError):
            self._leave("exited")
        self._follow_the_rate(at_ns)
        self._windows(time.monotonic_ns())
        self._pump(self.SLICE_NS * (1 + len(self._ended)))

    def _still_there(self, at_ns: int, force: bool = False) -> None:
        if not force and at_ns - self._alive_checked_ns < self.ALIVE_NS:
            return
        self._alive_checked_ns = at_ns
        try:
            _, fields = stat_fields(f"/proc/{self._pid}/stat")
        except (FileNotFoundError, ProcessLookupError):
            self._leave("exited")
        if len(fields) < 26:
            return
        # A main thread that ended before the others also reads Z; only then are there other threads.
        if fields[0] in "ZX" and int(fields[17]) <= 1:
            self._leave("exited")
        if self._target.start_ticks and int(fields[19]) != self._target.start_ticks:
            self._leave("exited")  # the pid is another process now
        if fields[25] == "0":
            return  # the first thread has ended, and has no memory any more: that is no other program
        if self._stack_top and fields[25] != self._stack_top:
            self._leave("exec")
        self._stack_top = fields[25]

    def _leave(self, reason: str) -> None:
        self.finish()
        raise TargetGone(reason)

    def _follow_the_rate(self, at_ns: int) -> None:
        """py-spy samples as often as we are ticked: the collector's back-off then applies to both."""
        if self._last_tick_ns:
            passed = at_ns - self._last_tick_ns
            self._interval_ns += (passed - self._interval_ns) * 0.02 if self._interval_ns else passed
            if self._interval_ns > 0:
                self.rate_hz = min(1000.0, max(1.0, 1e9 / self._interval_ns))
        self._last_tick_ns = at_ns

    # ------------------------------------------------------------ py-spy's windows

    def _start(self) -> PySpyRun:
        return PySpyRun(self._pid, round(min(self.rate_hz, self._most_hz)), self.blocking)

    def _limit(self, window: PySpyRun, seconds: float) -> None:
        """Learn from a window's cost how often py-spy may sample: slower at once, faster again by and by."""
        looks = seconds * 1e9 / window.mean_ns
        if looks < 10 or window.cpu_s <= 0:
            return
        most = max(self.SLOWEST_HZ, self.HELPER_CPU / (window.cpu_s / looks))
        slower = most < min(self.rate_hz, self._most_hz) * 0.8
        self._most_hz = min(most, self._most_hz * 1.25) if self._most_hz < 1000.0 else most
        if slower and not self._told_slow:
            self._told_slow = True
            text = (
                f"py-spy looks at the stacks {most:.0f} times a second only, to take at most "
                f"{self.HELPER_CPU * 100:.0f} % of a core; wait states are still read {self.rate_hz:.0f} times a second"
            )
            self._sink.emit(Notice(time.monotonic_ns(), "info", text))

    def _windows(self, now: int) -> None:
        current = self._current
        if current is None:
            if now >= self._retry_at_ns:
                with self._failing(now):
                    self._current = self._start()
            return
        if current.poll():  # by itself: its life is over, or it failed
            self._ended.append(current)
            self._current, self._next = self._next, None
            return
        if not current.ready_ns:
            if now - current.started_ns > self.STUCK_NS:
                self._forget(current)
                self._current = None
                self._failed(now, PySpyFailed("py-spy does not get ready", "see whether the target is stopped"))
            return
        length = self.FIRST_WINDOW_NS if not self._covered_ns else self.WINDOW_NS
        following = self._next
        if following is None:
            if now - current.ready_ns >= length and now >= self._retry_at_ns:
                with self._failing(now):
                    self._next = self._start()
            return
        if following.poll():
            self._failed(now, following.failure(self._target.python))
            self._forget(following)
            self._next = None
        elif not following.ready_ns:
            if now - following.started_ns > self.STUCK_NS:
                self._forget(following)
                self._next = None
        elif now - following.ready_ns >= min(self.PATIENCE * following.mean_ns, self.STUCK_NS):
            current.stop()
            self._ended.append(current)
            self._current, self._next = following, None

    @contextlib.contextmanager
    def _failing(self, now: int) -> Iterator[None]:
        try:
            yield
        except PySpyFailed as failure:
            self._failed(now, failure)

    def _failed(self, now: int, failure: PySpyFailed) -> None:
        """Say it once, try again later and later."""
        if not self._failures:
            self._sink.emit(Notice(now, "warn", f"no stacks for now: {failure}; {failure.remedy}"))
        self._failures += 1
        self._retry_at_ns = now + min(60, 2**self._failures) * 125_000_000

    def _forget(self, window: PySpyRun) -> None:
        window.kill()
        self._reaped_cpu_s += window.cpu_s

    # ------------------------------------------------------------ what they wrote

    def _pump(self, budget_ns: int) -> None:
        """Work on finished windows for at most about `budget_ns`."""
        end = time.monotonic_ns() + budget_ns
        while True:
            if self._work is None:
                if not self._ended or not self._finished(self._ended[0]):
                    break
                window = self._ended.popleft()
                self._work = self._join(window)
            if next(self._work, self) is self:  # exhausted
                self._work = None
            if time.monotonic_ns() >= end:
                return
        while self._moments and self._moments[0].at_ns < self._last_tick_ns - self.STARVED_NS:
            self._emitter.moment(self._moments.popleft(), None)

    def _finished(self, window: PySpyRun) -> bool:
        if window.poll():
            return True
        if window.asked_to_stop_ns and time.monotonic_ns() - window.asked_to_stop_ns > self.STUCK_NS:
            window.kill()
        return bool(window.ended_ns)

    def _join(self, window: PySpyRun) -> Iterator[None]:
        """Read the file, place the changes, emit the moments; a yield after each piece of work."""
        self._reaped_cpu_s += window.cpu_s
        self.tally.misses += window.misses
        trace = Trace(window.data(), window.zero_ns, self._interner)
        window.close()
        if not window.succeeded:
            now = time.monotonic_ns()
            self._failed(now, window.failure(self._target.python))
            return
        while not trace.feed():
            yield
        self.tally.dropped += trace.broken
        if not trace.first_ns:
            return
        self._failures = 0
        tracks = self._by_tid(trace)
        stop = min(window.asked_to_stop_ns or trace.written_ns, trace.written_ns)
        self._limit(window, (trace.written_ns - trace.first_ns) / 1e9)
        if self._covered_ns:
            self.longest_gap_ns = max(self.longest_gap_ns, trace.first_ns - self._covered_ns)
        moments: list[Moment] = []
        while self._moments and self._moments[0].at_ns <= stop:
            moments.append(self._moments.popleft())
        timelines: dict[int, Cursor] = {}
        yield from cursors(trace, tracks, moments, window.mean_ns, timelines)
        self._name(window, tracks, moments)
        for moment in moments:
            # Between the end of the window before and our first sample nobody looked.
            self._kernel.name_the_holder(moment)
            seen = timelines if moment.at_ns >= trace.first_ns else None
            self._emitter.moment(moment, seen, natives=seen is not None)
            yield
        self._covered_ns = stop

    def _name(self, window: PySpyRun, tracks: dict[int, Track], moments: list[Moment]) -> None:
        """A handle passes to a new thread when its owner ends, and py-spy tells one name for it, mostly that of whoever
        was alive when it first saw the handle, now and then that of a later one. No name is better than a wrong one:
        py-spy reads names, stacks and the clock one after the other, on a full machine long apart, so the thread has
        to have been there well before and after, and nobody else may have had its handle since py-spy was started."""
        times = [moment.at_ns for moment in moments]
        for tid, track in tracks.items():
            if not track.times or not moments:
                continue
            # By a list of threads that is surely younger than the look: one may be that old.
            after = track.times[0] + self.SURE_NS + Tasks.RELIST_NS
            moment = moments[min(bisect_left(times, after), len(moments) - 1)]
            task = moment.tids.get(tid)
            if task is None:
                continue
            alone = not self._kernel.passed_on(tid, window.started_ns)
            there = task.started_ns <= track.times[0] - self.SURE_NS and after <= moment.at_ns
            if tid == self._pid or (there and alone):
                self._emitter.name(tid, track.name, task.started_ns)

    def _by_tid(self, trace: Trace) -> dict[int, Track]:
        native = {handle: track.native_tid for handle, track in trace.tracks.items() if track.native_tid}
        if not self._kernel.learn(trace.tracks, native) and not self._failures:
            text = "py-spy's threads cannot be told apart from outside on this platform: stacks are unknown"
            self._failures = 1
            self._sink.emit(Notice(time.monotonic_ns(), "warn", text))
        return {tid: trace.tracks[handle] for tid, handle in self._kernel.handles.items() if handle in trace.tracks}
