"""Counters of a process and its threads a few times a second: psutil for what it offers, /proc for the rest.

Costs (µs per thread): schedstat 1; status 8-10, and read only for threads that ran since the last time.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import psutil

from concview.errors import TargetGone
from concview.linux.caught_signals import counted
from concview.linux.family import children_of, os_threads
from concview.linux.limits import parse_throttled, throttle_files
from concview.linux.threads import CounterTable
from concview.model import Counters, Notice, Target
from concview.sink import Sink

#: Slow readings may take this share of the time at most.
_SHARE = 0.001
_CHILDREN_EVERY_S = 2.0
#: Gauges that move slowly are read once a second: with cold caches each costs 50-200 µs.
_GAUGES_EVERY_S = 1.0
#: Connections are counted this often where descriptors come and go, else (a descriptor may have changed its meaning)
#: more seldom: it takes 4 ms, because the kernel lists those of all processes.
_CONNECTIONS_EVERY_S = 3.0
_CONNECTIONS_ANYHOW_S = 15.0
#: Fields of /proc/PID/stat counted after the command's closing parenthesis (proc(5) numbers them from 1 = pid).
_STATE, _UTIME, _STIME, _START_TICKS, _START_CODE, _START_STACK = 0, 14 - 3, 15 - 3, 22 - 3, 26 - 3, 28 - 3
_CAUGHT = 34 - 3
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class _Rationed:
    """A reading that is repeated no sooner than `every` seconds, and later when it is slow."""

    def __init__(self, every: float, value: int) -> None:
        self.every = every
        self.value = value
        self.not_before = 0.0

    def due(self, now: float) -> bool:
        return now >= self.not_before

    def took(self, started: float) -> None:
        done = time.monotonic()
        self.not_before = done + max(self.every, (done - started) / _SHARE)


class CounterReader:
    """Counters of one process. Its files belong to this very process: a reused pid is never mistaken for it."""

    def __init__(self, target: Target, sink: Sink) -> None:
        """TargetGone when the process ended, or its pid is another process's now."""
        self._pid = target.pid
        self._sink = sink
        self._told: set[str] = set()
        try:
            self._stat = os.open(f"/proc/{target.pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            raise TargetGone("exited") from None
        self._first_stat = -1
        with contextlib.suppress(OSError):
            self._first_stat = os.open(f"/proc/{target.pid}/task/{target.pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        fields = self._fields()
        if not fields or (target.start_ticks and int(fields[_START_TICKS]) != target.start_ticks):
            os.close(self._stat)
            raise TargetGone("exited")
        self._image = self._image_of(fields)
        try:
            self._process = psutil.Process(target.pid)
        except psutil.Error:
            os.close(self._stat)
            raise TargetGone("exited") from None
        self._threads = CounterTable(target.pid, self._say)
        self._gauges_due = 0.0
        self._rss = 0
        self._address_space = self._data = -1
        self._load1 = 0.0
        self.machine_cpu_percent = 0.0  #: of all CPUs, over the last second
        self._throttled_s = 0.0
        self._children = _Rationed(_CHILDREN_EVERY_S, 0)
        self._connections = _Rationed(_CONNECTIONS_EVERY_S, -1)
        self._descriptors = self._counted_with = -1
        self._count_anyhow = 0.0
        self._throttle = throttle_files(target.pid)
        psutil.cpu_percent(None)  # the first call only sets the starting point

    # ------------------------------------------------------------------ identity

    def status(self) -> str:
        """'running', 'stopped' (a signal or a debugger), 'zombie' or 'gone'. About 5 µs, however many threads there
        are: asked of the first thread alone, the kernel does not add up the times of all."""
        return self._status_of(self._fields(self._first_stat))

    def _status_of(self, fields: list[str]) -> str:
        if not fields:
            return "gone"
        state = fields[_STATE]
        if state in ("T", "t"):
            return "stopped"
        if state == "X":
            return "gone"
        if state == "Z":
            # The first thread may end before the others do: then the process lives on behind a dead leader.
            return "running" if len(os_threads(self._pid)) > 1 else "zombie"
        return "running"

    def changed(self) -> str:
        """'' while it is the program we know, 'exec' when it runs another one, 'exited' when it is gone."""
        return self._change(self._fields())

    def _change(self, fields: list[str]) -> str:
        if self._status_of(fields) in ("gone", "zombie"):
            return "exited"
        image = self._image_of(fields)
        # Nothing, or less than before, is readable of a process whose first thread has ended: no other program.
        return "exec" if len(image) == len(self._image) and image != self._image else ""

    def _fields(self, file: int = -1) -> list[str]:
        """/proc/PID/stat from the state on; empty when the process is gone."""
        try:
            text = os.pread(file if file >= 0 else self._stat, 2048, 0).decode("utf-8", "replace")
        except OSError:
            return []
        return text[text.rindex(")") + 2 :].split() if ")" in text else []

    def _image_of(self, fields: list[str]) -> tuple[str, ...]:
        """What exec changes and nothing else does: where the kernel put code and stack (random at each exec).

        Not the command line, which programs rewrite to show a title; not the executable, which an exec of itself
        keeps. The addresses read as 0 or 1 without permission; then the executable must do.
        """
        if int(fields[_START_STACK]) > 1:
            return fields[_START_CODE], fields[_START_STACK]
        with contextlib.suppress(OSError):
            return (str(Path(f"/proc/{self._pid}/exe").readlink()),)
        return ()

    # ------------------------------------------------------------------ counters

    def poll(self, at_ns: int, gil_switches: int = -1) -> Counters:
        """All counters of one moment, with what the engine counts of the GIL.

        TargetGone when the process ended or became another program.
        """
        fields = self._fields()
        reason = self._change(fields)
        if reason:
            raise TargetGone(reason)
        try:
            now = time.monotonic()
            if now >= self._gauges_due:
                self._gauges_due = now + _GAUGES_EVERY_S
                self._read_gauges()
        except psutil.Error:
            raise TargetGone("exited") from None
        threads = self._threads.poll()
        return Counters(
            at_ns=at_ns,
            # What psutil's cpu_times() reads too, out of the line that was needed anyway.
            cpu_user_s=int(fields[_UTIME]) / _TICKS_PER_S,
            cpu_system_s=int(fields[_STIME]) / _TICKS_PER_S,
            rss=self._rss,
            fds=self._descriptors,
            os_threads=self._threads.alive,
            threads=tuple(threads),
            children=self._count_children(now),
            connections=self._count_connections(now),
            load1=self._load1,
            machine_cpu_percent=self.machine_cpu_percent,
            throttled_s=self._throttled_s,
            voluntary=self._threads.voluntary,
            involuntary=self._threads.involuntary,
            address_space=self._address_space,
            data=self._data,
            gil_switches=gil_switches,
            caught=counted(int(fields[_CAUGHT])),
        )

    def close(self) -> None:
        self._threads.close()
        if self._stat >= 0:
            os.close(self._stat)
            self._stat = -1
        if self._first_stat >= 0:
            os.close(self._first_stat)
            self._first_stat = -1

    def _read_gauges(self) -> None:
        memory = self._process.memory_info()
        self._rss, self._address_space, self._data = memory.rss, memory.vms, memory.data
        self._descriptors = self._count_descriptors()
        self._load1 = os.getloadavg()[0]
        self.machine_cpu_percent = psutil.cpu_percent(None)
        self._throttled_s = self._throttled()

    def _count_descriptors(self) -> int:
        try:
            return self._process.num_fds()
        except psutil.AccessDenied:
            self._say("fds", f"/proc/{self._pid}/fd may not be read, so descriptors are not counted")
        except psutil.Error:
            pass  # ended within this poll; the next one says so
        return -1

    def _count_children(self, now: float) -> int:
        if self._children.due(now):
            self._children.value = len(children_of(self._pid))
            self._children.took(now)
        return self._children.value

    def _count_connections(self, now: float) -> int:
        if self._connections.due(now) and (self._descriptors != self._counted_with or now >= self._count_anyhow):
            self._counted_with, self._count_anyhow = self._descriptors, now + _CONNECTIONS_ANYHOW_S
            try:
                self._connections.value = len(self._process.net_connections("inet"))
            except psutil.AccessDenied:
                self._connections.value = -1
                self._say("connections", f"/proc/{self._pid}/fd may not be read, so connections are not counted")
            except (psutil.Error, OSError):
                self._connections.value = -1
            self._connections.took(now)
        return self._connections.value

    def _throttled(self) -> float:
        total = 0.0
        for file in self._throttle:
            with contextlib.suppress(OSError, ValueError):
                total += parse_throttled(file.read_text("ascii", "replace"))
        return total

    def _say(self, topic: str, text: str) -> None:
        """One notice a topic: what is missing in the counters, and why."""
        if topic not in self._told:
            self._told.add(topic)
            self._sink.emit(Notice(time.monotonic_ns(), "warn", text))
