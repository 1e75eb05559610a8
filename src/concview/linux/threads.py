"""Per-thread counters from /proc/PID/task/TID: schedstat, status, sched."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from os import pread
from pathlib import Path

from concview.linux.family import os_threads
from concview.linux.last_run import LastRun
from concview.linux.waits import descriptor_budget
from concview.model import FRESH_COUNTERS, ThreadCounters

#: Threads whose CPU times are read in one poll at most; the others' turn comes in the next polls. A few µs each.
MAX_TIMES = FRESH_COUNTERS
#: Of these, threads that were never read: 10 to 30 µs each, for their files are opened.
MAX_NEW = MAX_TIMES // 2
#: The same for switches, 10-20 µs each with cold caches.
MAX_STATUS = 20
#: The same for migrations, whose file is as slow and less wanted.
MAX_SCHED = 2

#: In /proc/PID/task/TID/status, near its end: two lines, "nonvoluntary_ctxt_switches:" is the second.
_SWITCHES = b"\nvoluntary_ctxt_switches:"
_MIGRATIONS = re.compile(rb"^se\.nr_migrations\s*:\s*(\d+)", re.MULTILINE)
_NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class _Thread:
    __slots__ = ("before", "counters", "fd", "migrations_at", "older", "slices", "status_at", "status_fd", "times")

    def __init__(self, tid: int, older: bool) -> None:
        self.older = older  #: there before anybody looked
        self.before = (0, 0)  #: switches that are not counted: of the time before anybody looked
        self.counters = ThreadCounters(tid, 0, -1, -1, -1)
        self.fd = -1  #: schedstat (stat where there is none)
        self.times = b""  #: its last line
        self.status_fd = -1
        self.slices = 0  #: how often it was put on a CPU
        self.status_at = -1  #: `slices` when its switches were last read
        self.migrations_at = -1


class CounterTable:
    """All threads of a process, their files kept open within a bound."""

    def __init__(self, pid: int, say: Callable[[str, str], None]) -> None:
        self._pid = pid
        self._say = say
        self._threads: dict[int, _Thread] = {}
        self._ended_voluntary = 0
        self._ended_involuntary = 0
        self._open = 0
        self._max_open = descriptor_budget(0.35)
        self._turn: Iterator[int] = iter(())
        self._sched_turn: Iterator[int] = iter(())
        self._polled = False
        self.alive = 0  #: how many threads there were at the last poll, those included that it had no room for
        self._older: set[int] = set()  #: there at the first poll, and not read yet
        self._times_from = 0
        self._last_run = LastRun(pid)
        self._has_schedstat = self._check_schedstat()
        self._has_sched = Path(f"/proc/{pid}/task/{pid}/sched").exists()

    @property
    def voluntary(self) -> int:
        """Of the whole process, ended threads included as far as they were seen. Of threads that the first poll had no
        room for, only what came after: their whole past would look like a burst."""
        known = (t for t in self._threads.values() if t.counters.voluntary >= 0)
        return self._ended_voluntary + sum(t.counters.voluntary - t.before[0] for t in known)

    @property
    def involuntary(self) -> int:
        known = (t for t in self._threads.values() if t.counters.involuntary >= 0)
        return self._ended_involuntary + sum(t.counters.involuntary - t.before[1] for t in known)

    def poll(self) -> list[ThreadCounters]:
        """Counters of every thread alive. With many threads, those of some may be a few polls old, and new ones are
        missing until there is room for them: the cost of a poll is bounded, however many are born or there."""
        alive = os_threads(self._pid)
        self.alive = len(alive)
        there = set(alive)
        for tid in self._threads.keys() - there:
            self._end(tid)
        if not self._polled:
            self._older = there
        elif self._older:
            self._older &= there
        new = [tid for tid in alive if tid not in self._threads]
        few = len(alive) <= MAX_TIMES
        new = new if few else new[:MAX_NEW]
        for tid in new:
            self._threads[tid] = thread = _Thread(tid, tid in self._older)
            self._older.discard(tid)
            self._times(tid, thread)
        first, count = self._times_from, len(alive) if few else MAX_TIMES - len(new)
        for place in range(first, first + count):
            tid = alive[place % len(alive)]
            if tid in self._threads:
                self._times(tid, self._threads[tid])
        self._times_from = (first + count) % max(1, len(alive))
        self._slow_part()
        return [thread.counters for thread in self._threads.values()]

    def close(self) -> None:
        for tid in list(self._threads):
            self._end(tid)

    # ------------------------------------------------------------------ reading

    def _times(self, tid: int, thread: _Thread) -> None:
        try:
            if self._has_schedstat:
                data = self._read(thread, tid, "schedstat")
                if data == thread.times:
                    return  # it has not run: nothing else changed either
                cpu, delay, slices = data.split()
                thread.times, thread.slices = data, int(slices)
                self._replace(thread, cpu_ns=int(cpu), run_delay_ns=int(delay), ran_ns=-1)
            else:
                data = self._read(thread, tid, "stat")
                fields = data[data.rindex(b")") + 2 :].split()
                thread.slices += 1  # unknown: its switches are read when its turn comes
                self._replace(thread, cpu_ns=(int(fields[11]) + int(fields[12])) * _NS_PER_TICK)
        except (OSError, ValueError):
            self._end(tid)  # ended between listing and reading

    def _slow_part(self) -> None:
        """Switches and migrations of threads that ran since they were last read, a bounded number of them in turn."""
        self._turn = self._in_turn(self._turn, MAX_STATUS, self._switches)
        if self._has_sched:  # its own turn: else the same few threads would be read each time
            # At first all of them, soon: from where migrations are counted, and since when those wait that wait.
            unasked = any(t.older and t.migrations_at < 0 for t in self._threads.values())
            most = MAX_STATUS if unasked else MAX_SCHED
            self._sched_turn = self._in_turn(self._sched_turn, most, self._migrations)
        self._polled = True

    def _in_turn(self, turn: Iterator[int], most: int, read: Callable[[int, _Thread], bool]) -> Iterator[int]:
        """Go on where the last poll stopped; `read` says whether there was something to read."""
        for _ in range(min(len(self._threads), MAX_TIMES)):
            tid = next(turn, None)
            if tid is None:
                turn = iter(tuple(self._threads))
                tid = next(turn, None)
                if tid is None:
                    break
            thread = self._threads.get(tid)
            if thread is None:
                continue
            try:
                most -= read(tid, thread)
            except OSError:
                self._end(tid)
            if most <= 0:
                break
        return turn

    def _switches(self, tid: int, thread: _Thread) -> bool:
        if thread.status_at == thread.slices:
            return False
        if thread.status_fd < 0 and self._open < self._max_open:
            thread.status_fd = os.open(f"/proc/{self._pid}/task/{tid}/status", os.O_RDONLY | os.O_CLOEXEC)
            self._open += 1
        data = pread(thread.status_fd, 8192, 0) if thread.status_fd >= 0 else self._once(tid, "status")
        switches = data.rfind(_SWITCHES)
        if switches >= 0:
            _, voluntary, _, involuntary = data[switches:].split(maxsplit=4)[:4]
            if thread.older and self._polled and thread.counters.voluntary < 0:
                thread.before = int(voluntary), int(involuntary)
            self._replace(thread, voluntary=int(voluntary), involuntary=int(involuntary))
        thread.status_at = thread.slices
        return True

    def _migrations(self, tid: int, thread: _Thread) -> bool:
        if not self._has_sched or thread.migrations_at == thread.slices:
            return False
        try:
            data = self._once(tid, "sched")
        except PermissionError:
            self._has_sched = False
            return False
        found = _MIGRATIONS.search(data)
        if found:
            self._replace(thread, migrations=int(found.group(1)))
        if thread.older and thread.migrations_at < 0:
            self._replace(thread, ran_ns=self._last_run.of(tid, data) if self._has_schedstat else -1)
        thread.migrations_at = thread.slices
        return True

    def _read(self, thread: _Thread, tid: int, name: str) -> bytes:
        if thread.fd >= 0:
            return pread(thread.fd, 1024, 0)
        if self._open >= self._max_open:
            return self._once(tid, name)
        thread.fd = os.open(f"/proc/{self._pid}/task/{tid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        self._open += 1
        return pread(thread.fd, 1024, 0)

    def _once(self, tid: int, name: str) -> bytes:
        fd = os.open(f"/proc/{self._pid}/task/{tid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, 8192)
        finally:
            os.close(fd)

    def _end(self, tid: int) -> None:
        """The thread is gone: its last known switches stay in the process's total."""
        thread = self._threads.pop(tid, None)
        if thread is None:
            return
        if thread.counters.voluntary >= 0:
            self._ended_voluntary += thread.counters.voluntary - thread.before[0]
            self._ended_involuntary += thread.counters.involuntary - thread.before[1]
        for fd in (thread.fd, thread.status_fd):
            if fd >= 0:
                os.close(fd)
                self._open -= 1

    def _check_schedstat(self) -> bool:
        """Whether run-queue delay is kept: without CONFIG_SCHED_INFO the file is missing or all zero."""
        try:
            with open(f"/proc/{self._pid}/task/{self._pid}/schedstat", "rb") as file:
                if int(file.read().split()[2]) > 0:
                    return True
        except (OSError, ValueError, IndexError):
            pass
        self._say(
            "schedstat",
            "this kernel keeps no per-thread run-queue delay (needs CONFIG_SCHED_INFO): time spent "
            "waiting for a CPU is shown as running",
        )
        return False

    @staticmethod
    def _replace(
        thread: _Thread,
        *,
        cpu_ns: int | None = None,
        run_delay_ns: int | None = None,
        voluntary: int | None = None,
        involuntary: int | None = None,
        migrations: int | None = None,
        ran_ns: int | None = None,
    ) -> None:
        """Counters are immutable and shared with events already written, so a new one takes their place."""
        old = thread.counters
        thread.counters = ThreadCounters(
            old.tid,
            old.cpu_ns if cpu_ns is None else cpu_ns,
            old.run_delay_ns if run_delay_ns is None else run_delay_ns,
            old.voluntary if voluntary is None else voluntary,
            old.involuntary if involuntary is None else involuntary,
            old.migrations if migrations is None else migrations,
            old.ran_ns if ran_ns is None else ran_ns,
        )
