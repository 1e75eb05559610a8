"""Children that are copies of the process: forked, and never replaced by another program.

Exec places code and stack anew at random, fork keeps both: a child whose addresses are its parent's is a copy of it.
One look costs a file a thread of the parent, and four files a child; both are bounded.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from concview.linux import syscalls
from concview.linux.family import MAX_PARENT_THREADS, children_of, os_threads
from concview.model import Capability

#: Children that are watched at once, and their threads that are looked at.
MAX_CHILDREN = 32
MAX_THREADS = 16
#: Fields of /proc/PID/stat counted after the command's closing parenthesis.
_STATE, _START_TICKS, _START_CODE, _START_STACK = 0, 22 - 3, 26 - 3, 28 - 3
_NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PRIVATE = 128  #: FUTEX_PRIVATE_FLAG: no other process can wake it


@dataclass(slots=True)
class Copy:
    """One forked child. Times in nanoseconds of CLOCK_MONOTONIC, to 10 ms."""

    pid: int
    ticks: int
    started_ns: int
    others: int  #: threads that the parent had at the fork besides the one that forked; ended ones are not counted
    threads: int = 0
    still: dict[int, bytes] = field(default_factory=dict)  #: thread -> how it slept at the last look
    looked_ns: int = 0
    stuck_ns: int = 0  #: since when every thread sleeps where nobody outside can wake it; 0 when not


class Children:
    """`poll` now and then. `seen` counts every copy ever seen that was made while other threads ran."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: dict[tuple[int, int], Copy | None] = {}
        self.seen = 0

    def probe(self) -> Capability:
        fields = _stat(self._pid)
        if not fields:
            return Capability(False, "the process ended", "")
        if int(fields[_START_STACK]) <= 1:
            return Capability(
                False,
                f"the kernel does not show where /proc/{self._pid} has its code and stack",
                f"concview doctor {self._pid} says what would allow it",
            )
        return Capability(True)

    def poll(self, now_ns: int) -> list[Copy]:
        """Copies alive that were made while the parent had other threads."""
        own = _stat(self._pid)
        if not own or int(own[_START_STACK]) <= 1:
            return []
        image = own[_START_CODE], own[_START_STACK]
        found: dict[tuple[int, int], Copy | None] = {}
        for pid in children_of(self._pid)[:MAX_CHILDREN]:
            fields = _stat(pid)
            if not fields or fields[_STATE] in "ZX":
                continue
            key = pid, int(fields[_START_TICKS])
            if (fields[_START_CODE], fields[_START_STACK]) != image:
                continue
            copy = self._known[key] if key in self._known else self._met(key, own)
            found[key] = copy
            if copy is not None:
                _look(copy, now_ns)
        self._known = found
        return [copy for copy in found.values() if copy is not None]

    def _met(self, key: tuple[int, int], own: list[str]) -> Copy | None:
        """None for one that was made while its parent had one thread: it copied no lock that another one held."""
        pid, ticks = key
        tasks = os_threads(self._pid)[:MAX_PARENT_THREADS]
        starts = (_stat(self._pid, tid) for tid in tasks)
        # A thread of the same hundredth of a second may have come after the fork.
        others = sum(1 for fields in starts if fields and int(fields[_START_TICKS]) < ticks) - 1
        if others < 1:
            return None
        self.seen += 1
        suspended = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        return Copy(pid, ticks, ticks * _NS_PER_TICK - suspended, others)


def _look(copy: Copy, now_ns: int) -> None:
    """Whether all of its threads sleep for ever, unless one of themselves wakes them: then nobody does."""
    tasks = os_threads(copy.pid)
    copy.threads = len(tasks)
    still = {tid: sleep for tid in tasks[:MAX_THREADS] if (sleep := _sleep(copy.pid, tid))}
    if not tasks or len(still) < len(tasks) or still != copy.still:
        copy.stuck_ns = 0  # one of them ran, or can be woken
    elif not copy.stuck_ns:
        copy.stuck_ns = copy.looked_ns
    copy.still, copy.looked_ns = still, now_ns


def _sleep(pid: int, tid: int) -> bytes:
    """How a thread sleeps that waits without a timeout on a futex of its own process; empty for every other."""
    try:
        line = Path(f"/proc/{pid}/task/{tid}/syscall").read_bytes()
        # Its run count tells a thread that has slept on from one that came back to the same place.
        schedule = Path(f"/proc/{pid}/task/{tid}/schedstat").read_bytes()
        fields = line.split()
        if len(fields) != 9:
            return b""
        name, _ = syscalls.table().get(int(fields[0]), ("", None))
        operation, timeout = int(fields[2], 16), int(fields[4], 16)
    except (OSError, ValueError, LookupError):
        return b""
    waits = operation & syscalls.FUTEX_COMMAND_MASK in syscalls.FUTEX_WAITS
    return line + schedule if name == "futex" and waits and operation & _PRIVATE and not timeout else b""


def _stat(pid: int, tid: int = 0) -> list[str]:
    """/proc/PID/stat from the state on; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/task/{tid}/stat" if tid else f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split() if ")" in text else []
