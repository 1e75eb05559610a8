"""Sampling on CPU time that nobody else wants, as long as there is some.

Threads of the target that wake up, to ask for the GIL as a rule, are placed by the kernel where a CPU is idle. One that
runs us is not, so that they are put on the CPU of the thread that holds the GIL and push it aside: sampling then costs
the target more than the CPU it takes (`benchmarks/sampling_cost.py --only slowdown`). A CPU that runs nothing but
SCHED_IDLE counts as idle (`sched_idle_cpu` of the kernel's fair scheduler), and we are pushed aside instead.

On a machine without idle CPU we would get next to nothing that way. Who has lowered its policy may not raise it again
without privilege, so a thread of its own does that part, and the first one goes on when that is starved.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

#: How often the idle-class thread is looked after, seconds.
CHECK_S = 0.25
SURE_S = 0.05
#: It is starved when a sample is late by this, or when it waited for a CPU for this share of the time.
LATE_NS = 200_000_000
WAITED = 0.1
#: Tried again after so long, twice as long each time.
AGAIN_NS = 30_000_000_000
LONGEST_NS = 600_000_000_000
#: Machines busier than this, in percent of all CPUs, have none to spare.
FULL_PERCENT = 90.0


class IdleScheduling:
    """Drives the steps of a loop. `due_ns` says when the next one is expected, `machine_percent` how busy all CPUs are.

    Times in nanoseconds of CLOCK_MONOTONIC.
    """

    def __init__(self, due_ns: Callable[[], int], machine_percent: Callable[[], float], not_before_ns: int) -> None:
        self._due_ns = due_ns
        self._machine_percent = machine_percent
        self._not_before = not_before_ns
        self._pause_ns = AGAIN_NS
        self.possible = hasattr(os, "SCHED_IDLE") and _kept()
        self.starved = 0  #: how often

    def drive(self, steps: Iterator[None]) -> None:
        """To their end, on this thread or on an idle-class one. What a step raises is raised here."""
        while True:
            for _ in steps:
                if self._wanted():
                    break
            else:
                return
            if _Stretch(steps).last(self._starving):
                return
            self.starved += 1
            self._not_before = time.monotonic_ns() + self._pause_ns
            self._pause_ns = min(2 * self._pause_ns, LONGEST_NS)

    def _wanted(self) -> bool:
        return self.possible and time.monotonic_ns() >= self._not_before and self._machine_percent() < FULL_PERCENT

    def _starving(self, waited: float) -> bool:
        return waited > WAITED or time.monotonic_ns() > self._due_ns() + LATE_NS


class _Stretch:
    """Some steps, on a thread that runs on idle CPUs only. Looking after it takes few steps, because they are cold."""

    def __init__(self, steps: Iterator[None]) -> None:
        self._steps = steps
        self._leave = self._ended = False
        self._error: BaseException | None = None
        self._going = threading.Lock()  #: held while it goes on
        self._tid = 0
        self._schedstat = -1

    def last(self, starving: Callable[[float], bool]) -> bool:
        """Until the steps end (True) or the thread is starved (False); that is told the share of time it waited."""
        self._going.acquire()
        thread = threading.Thread(target=self._run, name="concview-idle", daemon=True)
        thread.start()
        then, before = time.monotonic_ns(), 0
        while not self._going.acquire(timeout=CHECK_S):
            now, delay = time.monotonic_ns(), _run_delay_ns(self._schedstat) or 0
            share = (delay - before) / (now - then)
            # Asked twice: all of us may just have been stopped (SIGSTOP, a suspended machine).
            if starving(share):
                if self._going.acquire(timeout=SURE_S):
                    break
                if starving(share):
                    self._leave = True
                    self._hurry()
                    self._going.acquire()
                    break
            then, before = now, delay
        thread.join()
        if self._schedstat >= 0:
            os.close(self._schedstat)
        if self._error is not None:
            raise self._error
        return self._ended

    def _hurry(self) -> None:
        """It has a sample to finish, and no CPU to do it on. Where we may, we give it an ordinary share."""
        with contextlib.suppress(OSError):
            os.sched_setscheduler(self._tid, os.SCHED_OTHER, os.sched_param(0))

    def _run(self) -> None:
        try:
            self._tid = threading.get_native_id()
            self._schedstat = _open_schedstat()
            with contextlib.suppress(OSError):  # forbidden in a sandbox: then it is an ordinary thread
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            for _ in self._steps:
                if self._leave:
                    return
            self._ended = True
        except BaseException as error:  # raised again where the loop was started
            self._error = error
        finally:
            self._going.release()


def _open_schedstat() -> int:
    """The calling thread's file; -1 where the kernel has none."""
    try:
        return os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _run_delay_ns(schedstat: int) -> int | None:
    """How long the thread whose file that is has waited for a CPU; None where the kernel does not keep that."""
    try:
        return int(os.pread(schedstat, 64, 0).split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _kept() -> bool:
    """Whether this kernel keeps run-queue delays."""
    return _ask_once() is not None


def own_run_delay_ns() -> int:
    """How long the calling thread has waited for a CPU so far; 0 where the kernel does not keep that."""
    return _ask_once() or 0


def _ask_once() -> int | None:
    schedstat = _open_schedstat()
    try:
        return _run_delay_ns(schedstat)
    finally:
        if schedstat >= 0:
            os.close(schedstat)
