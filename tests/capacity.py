"""Shares the machine among the tests that run at the same time.

Most tests wait for a target half of their time, so more of them run at once than there are CPUs; some hardly do
anything but wait, some measure, or keep a CPU busy, and must not be in each other's way. Each test takes units of a
common capacity before it begins:

    @pytest.mark.units(WAITS)   # or BUSY, MEASURES; without the mark USUAL

How much a test computes differs by machine and moment, and marks are made by hand: while CPUs are seen idle, a few more
tests run than the capacity is for, except beside those that measure.

Without pytest-xdist there is one test at a time and nothing to share. Waiting is not counted in a test's time limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

#: Four usual tests at a time: two a CPU of the smallest machine (with three, too much of what is read of threads that
#: never stop is wrong). pytest has workers for more (pyproject.toml), which those take that hardly use a CPU.
USUAL = 2
CAPACITY = 4 * USUAL
#: Under a quarter of a CPU with all its processes, on a quiet machine: the most of it is a wait of seconds.
WAITS = 1
#: A test that keeps a CPU busy takes half of it, one that measures leaves room for one other.
BUSY = CAPACITY // 2
MEASURES = CAPACITY - USUAL
#: Units beyond the capacity, while so much of the machine's CPU time was idle for so long (a part of 1, seconds): what
#: one test of a CPU's own needs is left of two.
SPARE = 2 * USUAL
IDLE, IDLE_S = 0.4, 0.4


def _folder() -> Path | None:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if not run:
        return None
    folder = Path(tempfile.gettempdir(), f"concview-tests-{os.getuid()}-{run}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class _Machine:
    """How idle the CPUs are, as the kernel counts it."""

    def __init__(self) -> None:
        self._since, self._idle, self._all = time.monotonic(), *self._read()

    @staticmethod
    def _read() -> tuple[int, int]:
        """(idle, all) in ticks since the machine started."""
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)  # idle, and idle while a disk works

    def idle(self) -> bool:
        """Of the time since it was last asked and answered; False before there is enough of that."""
        now = time.monotonic()
        if now - self._since < IDLE_S:
            return False
        idle, everything = self._read()
        share = (idle - self._idle) / max(1, everything - self._all)
        self._since, self._idle, self._all = now, idle, everything
        return share >= IDLE


def _take(folder: Path, name: str, how: int) -> TextIO | None:
    """The lock, until the file is closed; None where others have it."""
    file = (folder / name).open("w")
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _nobody_has(folder: Path, name: str) -> bool:
    file = _take(folder, name, fcntl.LOCK_EX)
    if file is not None:
        file.close()
    return file is not None


@contextlib.contextmanager
def units(count: int) -> Iterator[None]:
    """Hold so many units. Locks of the kernel: a worker that dies gives them back."""
    folder = _folder()
    if folder is None:
        yield
        return
    with contextlib.ExitStack() as held:
        with (folder / "queue").open("w") as queue:
            # Who is first in the queue gathers what it needs; nobody overtakes it, so large ones are not starved.
            fcntl.flock(queue, fcntl.LOCK_EX)
            machine = _Machine()
            measures = count > BUSY
            free, beyond = list(range(CAPACITY)), False
            while count > 0:
                if not measures and not beyond and machine.idle() and _nobody_has(folder, "measures"):
                    free += range(CAPACITY, CAPACITY + SPARE)
                    beyond = True
                for unit in list(free):
                    file = _take(folder, str(unit), fcntl.LOCK_EX)
                    if file is None:
                        continue
                    held.enter_context(file)
                    free.remove(unit)
                    count -= 1
                    if unit >= CAPACITY:
                        held.enter_context(_shared(folder, "beyond"))
                    if count == 0:
                        break
                else:
                    time.sleep(0.02)
            if measures:
                while not _nobody_has(folder, "beyond"):
                    time.sleep(0.02)
                held.enter_context(_shared(folder, "measures"))
        yield


def _shared(folder: Path, name: str) -> TextIO:
    """Only the first in the queue asks whether nobody has it, and only it takes it: there is always a share left."""
    file = _take(folder, name, fcntl.LOCK_SH)
    assert file is not None
    return file
