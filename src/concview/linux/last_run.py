"""When a thread last was on a CPU: since when one waits that waited before anybody looked.

The kernel notes it in `se.exec_start` of /proc/PID/task/TID/sched, on the clock of the run queue that the thread was on
last. Every CPU has its own such clock, which stands still while the hypervisor has the CPU or, on some kernels, an
interrupt is served. So a thread of ours goes to that CPU and compares; what stands between then and now makes the
answer too late, never too early: the thread has waited at least so long.
"""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

#: Milliseconds with six digits.
_EXEC_START = re.compile(rb"^se\.exec_start\s*:\s*(\d+)\.(\d{6})", re.MULTILINE)
#: A comparison holds for so long, ns.
_COMPARE_NS = 10_000_000_000
#: A CPU that cannot be visited within this time (seconds) is not compared.
_VISIT_S = 0.02
#: Field of /proc/PID/task/TID/stat counted after the command's closing parenthesis: 39, processor.
_PROCESSOR = 39 - 3


class LastRun:
    """Moments on CLOCK_MONOTONIC, ns."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ahead: dict[int, tuple[int | None, int]] = {}  #: CPU -> (CLOCK_MONOTONIC less its clock, until when)

    def of(self, tid: int, sched: bytes) -> int:
        """Of a thread, with what its file `sched` says. -1: not to be told. OSError when it ended."""
        started = _EXEC_START.search(sched)
        if started is None:
            return -1
        stat = Path(f"/proc/{self._pid}/task/{tid}/stat").read_bytes()
        fields = stat[stat.rindex(b")") + 2 :].split()
        ahead = self._compare(int(fields[_PROCESSOR])) if len(fields) > _PROCESSOR else None
        moment = _ns(started)
        return moment + ahead if ahead is not None and moment else -1

    def _compare(self, cpu: int) -> int | None:
        ahead, until = self._ahead.get(cpu, (None, 0))
        if time.monotonic_ns() >= until:
            visit = _Visit(cpu)
            visit.start()
            visit.join(_VISIT_S)
            ahead = visit.ahead
            self._ahead[cpu] = ahead, time.monotonic_ns() + _COMPARE_NS
        return ahead


class _Visit(threading.Thread):
    """To a CPU, to read its clock: our own last switch there is now."""

    def __init__(self, cpu: int) -> None:
        super().__init__(name="concview-clock", daemon=True)
        self._cpu = cpu
        self.ahead: int | None = None

    def run(self) -> None:
        try:
            os.sched_setaffinity(0, {self._cpu})  # of this thread alone
            time.sleep(0)
            now = time.monotonic_ns()
            own = _EXEC_START.search(Path("/proc/thread-self/sched").read_bytes())
            self.ahead = now - _ns(own) if own is not None else None
        except OSError:
            self.ahead = None  # a CPU that we may not use, or that was taken away


def _ns(found: re.Match[bytes]) -> int:
    return int(found.group(1)) * 1_000_000 + int(found.group(2))
