"""Shares the machine among the tests that run at the same time.

Most tests wait for a target most of their time, so more of them run at once than there are CPUs; some measure, or keep
a CPU busy, and must not be in each other's way. Each test takes units of a common capacity before it begins:

    @pytest.mark.units(2)   # of CAPACITY; without the mark 1

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

#: As many as pytest has workers (pyproject.toml: two a CPU of the smallest machine, as most tests wait; with three, too
#: much of what is read of threads that never stop is wrong). A test that keeps a CPU busy takes half of it, one that
#: measures leaves room for one other.
CAPACITY = 4
BUSY = CAPACITY // 2
MEASURES = CAPACITY - 1


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
