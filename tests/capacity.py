"""Shares the machine among the tests that run at the same time.

Most tests wait for a target half of their time, so more of them run at once than there are CPUs; some hardly do
anything but wait, some measure, or keep a CPU busy, and must not be in each other's way. Each test takes units of a
common capacity before it begins:

    @pytest.mark.units(WAITS)   # or BUSY, MEASURES; without the mark USUAL

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

#: Five usual tests at a time, on the smallest machine of two CPUs: they use some 90 % of these, as together they are
#: counted (a usual test takes a third of a CPU on average). pytest has workers for more (pyproject.toml), which those
#: take that hardly use a CPU.
USUAL = 2
CAPACITY = 5 * USUAL
#: Under a quarter of a CPU with all its processes, on a quiet machine: the most of it is a wait of seconds.
WAITS = 1
#: A test whose target computes all the time takes half of it: beside six usual ones on two CPUs too much of what was
#: read of threads that never stop was wrong. One that measures leaves room for a usual one, or for two that wait.
BUSY = CAPACITY // 2
MEASURES = CAPACITY - USUAL


def _folder() -> Path | None:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if not run:
        return None
    folder = Path(tempfile.gettempdir(), f"concview-tests-{os.getuid()}-{run}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


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
            free = list(range(CAPACITY))
            while count > 0:
                for unit in list(free):
                    file = (folder / str(unit)).open("w")
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        file.close()
                        continue
                    held.enter_context(file)
                    free.remove(unit)
                    count -= 1
                    if count == 0:
                        break
                else:
                    time.sleep(0.02)
        yield
