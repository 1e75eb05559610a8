"""A worker lives on after the process that started it has ended.

bad:   the master is killed; this process, its worker, waits for the next job for ever.
fixed: the master lives, and sends jobs.

Look at: which process the worker was started by, and whether it is still there.

As with a fork server, the worker is no child of the master's: it is sent a process object through a pipe, and runs it.
So the worker is this process, which is the one to look at.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import time
from multiprocessing import context, reduction
from typing import Any, Callable

from _stage import perform  # type: ignore[import-not-found]

ID = "orphaned-workers"
GROUP = "Work distribution"
NEEDS_SECONDS = 14

PR_SET_PDEATHSIG = 1

#: Jobs come through it. Both ends are here, as after every fork: its reader never sees an end.
reader, writer = multiprocessing.Pipe(duplex=False)


def work() -> None:
    while True:
        reader.recv()
        time.sleep(0.01)


def master(told: int, dies: bool) -> None:
    """A process of its own. What it starts remembers it as its parent."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    job = multiprocessing.Process(target=work)
    context.set_spawning_popen(object())  # type: ignore[arg-type]  # as the fork server's client does: it may be sent
    with os.fdopen(told, "wb") as out:
        reduction.dump(job, out)
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        writer.send("job")
        time.sleep(0.1)


def worker(dies: bool) -> Callable[[], Any]:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the master's end
    receives, sends = os.pipe()
    if not os.fork():
        os.close(receives)
        try:
            master(sends, dies)
        finally:
            os._exit(0)
    os.close(sends)
    with os.fdopen(receives, "rb") as incoming:
        job: Any = pickle.load(incoming)
    return job._bootstrap  # type: ignore[no-any-return]


def bad() -> Callable[[], Any]:
    return worker(dies=True)


def fixed() -> Callable[[], Any]:
    return worker(dies=False)


if __name__ == "__main__":
    perform(bad, fixed)
