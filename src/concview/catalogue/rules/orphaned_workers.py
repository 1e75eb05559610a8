"""A worker lives on after the process that started it has ended.

What it sees:
    A process that multiprocessing started (a worker of a pool, of ProcessPoolExecutor, uvicorn or celery), whose master
    has ended, and which still waits for work.

Why it hurts:
    Nobody sends it work any more, and nobody ends it: it keeps its memory, connections, locks and ports. A service that
    is started again finds its port taken, or shares a queue with workers that were left over.

How it is measured:
    The process object remembers who asked for it (`_parent_pid`); that process is gone, or its number belongs to one
    that began later. It must have been so for five seconds [D: a master that ends properly ends its workers before].
    Demo pair: for ever (bad), never (fixed: the master lives).

Fix:
    End these processes now. Then let a worker end with its master, or the master end its workers however it ends.

        import multiprocessing.connection as mpc
        mpc.wait([tasks, multiprocessing.parent_process().sentinel])     # in the worker: the sentinel is ready: leave
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))            # in the master: so that its `with pool` ends

    From outside: systemd's KillMode=control-group, or `docker run --init`, end all that belong together.

When it is fine:
    A job that is meant to outlive the one that started it: better started by subprocess, in a session of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Confidence, State
from concview.text import duration

_WAITS = frozenset({State.IO, State.LOCK, State.IDLE, State.SLEEP})


class OrphanedWorkers:
    id: ClassVar[str] = "orphaned-workers"
    title: ClassVar[str] = "A worker has outlived its master"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(5.0, 5.0, "s", "[D] a master ends its workers before it ends")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "relations")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time without its master"

    def observe(self, window: Window) -> Iterable[Observation]:
        parent = window.history.parent
        if parent is None or parent.alive:
            return
        main = next((t for t in window.threads if t.alive and t.tid == window.target.pid), None)
        last = main.slices[-1] if main is not None and main.slices else None
        if main is None or last is None or last.run.state not in _WAITS:
            return  # it works: on what it was given before
        alone_s = (window.end_ns - parent.at_ns) / 1e9
        reason = last.run.classification.reason
        waits = f"; it {reason}" if reason else ""
        yield Observation(
            subject=str(window.target.pid),
            value=alone_s,
            lower=alone_s,
            samples=window.samples,
            episodes=1,
            confidence=Confidence.EXACT,
            title=f"The master (pid {parent.pid}) has ended, and this worker still waits",
            summary=(
                f"Process {parent.pid}, which started this one by multiprocessing, is gone for at least "
                f"{duration(alone_s)}; its parent is now process {parent.ppid}{waits}. Nobody will send it work, and "
                "nobody will end it."
            ),
            gain="What it keeps: memory, connections, locks, ports.",
            check_next=f"Why did process {parent.pid} end before its workers: SIGKILL, out of memory, os._exit?",
            where=evidence.places(last.run.stack),
            threads=(main.tid,),
            stacks=evidence.shown("waiter", main.tid, main.name, last.run.stack, "nobody sends it anything"),
            score=90,
        )


RULE = OrphanedWorkers()
