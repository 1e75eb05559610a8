"""Threads queue for a lock inside a C library.

What it sees:
    Threads in a C library (a database driver, a linear algebra library, an embedded store) that wait for a pthread
    mutex or rwlock of its own, or for one that C code notes the owner of: that of a buffered file, of a FILE of C's
    stdio, a re-entrant lock of Cython's (h5py, lxml). No `Lock` is to be seen in the program: what looks like a slow
    call is a queue.

Why it hurts:
    What the library does under its lock is done one at a time, however many threads call it, and whether or not the
    GIL is free.

How it is measured:
    The mean number of threads that wait for the lock at one address, on the lower end of the 95 % interval; threads
    that have waited for five seconds without a break are counted, not estimated. Who has it is read from the lock,
    which records the number of the thread that took it, twice a second. A wait that is too short to be looked at
    (0.3 s) is taken for the same lock as the thread's last one; where that is more than a twentieth of the waiting, the
    finding is inferred. Thresholds 0.5 and 1.5 [H]: demo pair 2.8 to 3.0
    (bad), none (fixed).

Fix:
    Share no object of the library between threads, or keep short what is done under its lock.

        connections = threading.local()           # SQLite, libpq: a connection for each thread
        OPENBLAS_NUM_THREADS=1 python ...         # OpenBLAS: many small products at once, each in its own thread
        with env.begin(write=True) as txn: ...    # LMDB: one writer at a time; prepare outside, write many at once

When it is fine:
    Where the library's work would be done one at a time anyway: writers of one file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from concview.analysis.window import Slice, WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _crowd
from concview.catalogue.rules._crowd import Crowd
from concview.model import Confidence, NativeWait, NativeWaits, WaitKind
from concview.text import percent, plural

_EACH = "Give each thread a connection of its own: one connection does one thing at a time."
_BLAS = (
    "OpenBLAS spreads one product at a time over its threads. Where many are computed at once, let each stay in the "
    "thread that wants it.\n\n    OPENBLAS_NUM_THREADS=1 python ...   # or threadpoolctl.threadpool_limits(1)"
)
#: What helps with a library that is known, by the beginning of its name. SQLite: https://sqlite.org/threadsafe.html;
#: libpq: its manual, "Behavior in Threaded Programs"; OpenBLAS: its README, "Setting the number of threads"; LMDB: its
#: lmdb.h (one writer at a time); HDF5: its page on the thread-safe library.
_KNOWN = (
    ("libsqlite3", _EACH + "\n\n"
     "    local = threading.local()\n"
     "    def connection():\n"
     "        if not hasattr(local, 'db'): local.db = sqlite3.connect(path)\n"
     "        return local.db"),
    ("libpq", _EACH + " Out of a pool:\n\n    with pool.connection() as connection: ..."),
    ("libscipy_openblas", _BLAS),
    ("libopenblas", _BLAS),
    ("lmdb", "LMDB has one writer at a time, in all processes. Prepare outside, write many at once.\n\n"
     "    values = list(compute())\n    with env.begin(write=True) as txn: txn.cursor().putmulti(values)"),
    ("a Buffered", "Let one thread write the file, and the others put into a queue; or give each a file of its own.\n\n"
     "    logging.handlers.QueueHandler(queue)   # and a QueueListener that writes"),
    ("libhdf5", "HDF5 does one call at a time in a process. Let processes do it, each with files of its own.\n\n"
     "    ProcessPoolExecutor().map(convert, files)"),
)  # fmt: skip


#: So much of the waiting must be in waits in which the lock was looked at, for the number to be exact.
READ_SHARE = 0.95


class NativeLockContention:
    id: ClassVar[str] = "native-lock-contention"
    title: ClassVar[str] = "Threads queue for a lock inside a C library"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(0.5, 1.5, "waiters", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "peers")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of threads that wait for the lock"

    def observe(self, window: Window) -> Iterable[Observation]:
        told = _Told(window)
        crowds: dict[int, _Queue] = {}
        for thread in window.threads:
            rows = told.of_thread.get(thread.tid, [])
            if not any(_is_lock(row) for _, row in rows):
                continue
            for slice_, _ in thread.slices_of(_native):
                lock, seen = _lock_of(slice_, rows)
                if lock is None:
                    continue
                crowd = crowds.get(lock.address)
                if crowd is None:
                    key = f"{lock.library} {lock.address:#x}"
                    crowd = crowds[lock.address] = _Queue(Crowd(window, key, lock.what), lock)
                crowd.crowd.waits.append((thread, slice_))
                crowd.seen_ns += slice_.ns * seen
        for queue in crowds.values():
            yield _one(window, queue, told.of_lock[queue.lock.address])


@dataclass
class _Queue:
    crowd: Crowd
    lock: NativeWait
    seen_ns: int = 0  #: of the waits, those in which the lock was looked at


def _native(profile: WaitProfile) -> bool | None:
    return True if profile.wait.kind is WaitKind.FUTEX and not profile.wait.lock else None


def _is_lock(row: NativeWait) -> bool:
    return bool(row.kind) and not row.lost


class _Told:
    """What was told within the window, oldest first."""

    def __init__(self, window: Window) -> None:
        self.of_thread: dict[int, list[tuple[int, NativeWait]]] = defaultdict(list)  #: with the moment
        self.of_lock: dict[int, list[NativeWait]] = defaultdict(list)  #: by address
        for report in window.history.relations.reports(NativeWaits, window.start_ns, window.end_ns):
            for row in report.waits:
                self.of_thread[row.tid].append((report.at_ns, row))
                if row.kind:
                    self.of_lock[row.address].append(row)


def _lock_of(slice_: Slice, rows: list[tuple[int, NativeWait]]) -> tuple[NativeWait | None, bool]:
    """The lock that is waited for, and whether that was read in this very wait; else it is the one before or, at first,
    after. None where what was read is no lock."""
    run = slice_.run
    within = [row for at, row in rows if run.start_ns <= at and (not run.end_ns or at <= run.end_ns)]
    if within:
        return (within[-1], True) if _is_lock(within[-1]) else (None, True)
    near = next((row for at, row in reversed(rows) if at <= run.start_ns), rows[0][1])
    return (near, False) if _is_lock(near) else (None, False)


def _owners(rows: list[NativeWait]) -> tuple[list[int], list[NativeWait]]:
    """Threads of this process that had it, most often seen first, and waits for which another process had it."""
    seen = Counter(one.owner for one in rows if not one.others and one.owner)
    return [tid for tid, _ in seen.most_common()], [one for one in rows if one.others]


def _one(window: Window, queue: _Queue, rows: list[NativeWait]) -> Observation:
    crowd, lock = queue.crowd, queue.lock
    owners, outside = _owners(rows)
    read = queue.seen_ns >= READ_SHARE * sum(s.ns for _, s in crowd.waits)
    meanwhile = _crowd.doing(crowd.beside(owners))
    summary = crowd.waiting(f"for {crowd.name} in {crowd.spot}")
    process = outside[-1].others[0] if outside else None
    if process is not None and not owners:
        summary += f"; process {process.pid} ({process.name or 'its name could not be read'}) has it"
    elif owners and meanwhile.words:
        summary += f"; {evidence.who(window, owners)} {'has' if len(owners) == 1 else 'have'} it in turn, mostly "
        summary += f"{meanwhile.words} ({percent(meanwhile.share)})"
    return replace(
        crowd.in_turn(Confidence.EXACT if read else Confidence.INFERRED, owners, meanwhile),
        title=f"{crowd.at_once('queues', 'queue')} for {crowd.name}",
        summary=summary + crowd.lasting_words + ".",
        fix=_fix(lock),
        gain=(
            f"Of these {plural(len(crowd.tids), 'thread')} only one proceeds at a time inside the library; what each "
            "does with an object of its own could overlap."
        ),
        check_next=(
            f"What does process {process.pid} do with it? Look at it with concview, too."
            if process is not None and not owners
            else "Which object of the library do these threads share?"
        ),
        stacks=meanwhile.shown("holder") + crowd.evidence(),
    )


def _fix(lock: NativeWait) -> str:
    """'' : the rule's own."""
    return next((fix for name, fix in _KNOWN if lock.library.startswith(name)), "")


RULE = NativeLockContention()
