"""Who is there: the threads of a process as the kernel lists them, with names, beginnings and ends."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from time import thread_time_ns

from concview.cpython.memory import Memory
from concview.cpython.objects import Objects
from concview.cpython.offsets import Offsets
from concview.cpython.thread_names import Names
from concview.cpython.threads import Thread
from concview.engines.direct.frames.sampler import Sampler
from concview.sink import Sink

#: How often /proc/PID/task is listed, and names are looked for, in nanoseconds.
LIST_NS = 250_000_000
SOON_NS = 20_000_000
NAMES_NS = 100_000_000
#: Threads can be renamed: a few of the names are read again this often, in turn.
RENAMED_NS = 2_000_000_000
RENAMED_AT_ONCE = 8
#: Threads without a name that are looked up at once: some 40 µs each.
NAMED_AT_ONCE = 2_000
#: Threads that Python does not know, taken in at once: 60 µs each.
_NEW_AT_ONCE = 300
#: Listing and naming may take this share of the budget each: with very many threads they come less often.
_SHARE = 0.05
#: A thread without a name is looked up at every chance until it is this old; C threads never get one.
PATIENCE_NS = 2_000_000_000


class ThreadRow:
    """One thread of the kernel's, and the row last sent for it."""

    __slots__ = (
        "asked", "born_ns", "holds", "interpreter", "looked_ns", "name", "named", "native", "sent", "stack", "states",
        "tid", "wait",
    )  # fmt: skip

    def __init__(self, tid: int, born_ns: int) -> None:
        self.tid = tid
        self.born_ns = born_ns  #: first seen
        self.looked_ns = 0  #: its turn, where a tick has room for a part of the threads only
        self.states: list[Thread] = []  #: innermost first: several when it runs a subinterpreter
        self.interpreter = 0  #: address of the one that its innermost frames run in; 0: not known yet
        self.name = ""
        self.asked = False  #: whether its name was ever looked for
        self.named = False  #: by `threading`, not by the kernel
        self.native = False
        self.stack = self.wait = self.holds = 0
        self.sent: tuple[int, int, int, int] | None = None


class ThreadTable:
    """Keeps `by_tid` in step with the sampler's list and the kernel's."""

    def __init__(self, sink: Sink, sampler: Sampler, memory: Memory, o: Offsets, objects: Objects) -> None:
        self._pid, self._sink, self._sampler = memory.pid, sink, sampler
        self._tasks = f"{memory.facts.folder}/task"
        self._names = Names(memory, o, objects)
        self.by_tid: dict[int, ThreadRow] = {}
        self.by_ident: dict[int, int] = {}  #: threading.get_ident() -> tid
        self.gone: list[int] = []  #: ended since the caller last cleared it
        self._seen_changes = -1
        self._list_at = self._names_at = self._renamed_at = 0
        self._list_paid = self._names_paid = 0  #: not before, because the last time was dear
        self.due = 0  #: when `update` has something to do even if nothing changed
        self.budget = 0.0  #: what may be spent in all, as a share of a core; 0: not bounded
        self._unseen: set[int] = set()
        self._outlived: list[Thread] = []  #: states of threads that have ended: whose they are now is asked again
        self._turn = 0
        self._tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

    def update(self, now: int) -> None:
        """Called every tick; does little unless something changed or is due."""
        if self._sampler.list_changes != self._seen_changes:
            self._seen_changes = self._sampler.list_changes
            self._match(now)
            self._names_at = min(self._names_at, now)
        if now >= self._list_at and now >= self._list_paid:
            self._list_at = now + LIST_NS
            began = thread_time_ns()
            self._list(now)
            self._list_paid = now + self._paid_ns(thread_time_ns() - began)
        if now >= self._names_at and now >= self._names_paid:
            began = thread_time_ns()
            self._name(now)
            self._names_paid = now + self._paid_ns(thread_time_ns() - began)
        self.due = min(max(self._list_at, self._list_paid), max(self._names_at, self._names_paid))

    def _paid_ns(self, spent_ns: int) -> int:
        """How long the budget needs to pay for that."""
        return int(spent_ns / (_SHARE * self.budget)) if self.budget else 0

    def announce_all(self) -> None:
        """Everything again: the sink's tables were emptied."""
        for row in self.by_tid.values():
            row.sent = None

    # ------------------------------------------------------------------ Python's list

    def bind(self, now: int, threads: list[Thread]) -> None:
        """It has become known which threads of the kernel's these are."""
        if any(t.tid in self.by_tid and self.by_tid[t.tid].states for t in threads):
            self._seen_changes = -1  # another one had that number, or it runs a subinterpreter
            return
        for thread in threads:
            if thread.tid:
                self.by_ident[thread.ident] = thread.tid
                self._bind(thread.tid, [thread], now)
        self._names_at = min(self._names_at, now)

    def _bind(self, tid: int, states: list[Thread], now: int) -> None:
        row = self.by_tid.get(tid)
        if row is None:
            if self._ended(tid):
                self._outlived += states
                return
            row = self.by_tid[tid] = ThreadRow(tid, now)
        row.states = states
        if row.native or not row.name:
            row.native, row.born_ns = False, now
            self._announce(row, self._fallback(tid))

    def _match(self, now: int) -> None:
        states: dict[int, list[Thread]] = {}
        self.by_ident = {t.ident: t.tid for t in self._sampler.threads if t.tid}
        for thread in self._sampler.threads:  # newest interpreter first: its frames lie on top
            if thread.tid:
                states.setdefault(thread.tid, []).append(thread)
        for tid, threads in states.items():
            self._bind(tid, threads, now)
        for row in [p for p in self.by_tid.values() if p.states and p.tid not in states]:
            row.states = []
            row.stack = row.holds = 0
            if not Path(f"{self._tasks}/{row.tid}").exists():
                self._leave(row, now)
            else:
                self._list_at = min(self._list_at, now + SOON_NS)

    def _ended(self, tid: int) -> bool:
        """Where the kernel's list can be asked at all: a core file has none."""
        return not Path(f"{self._tasks}/{tid}").exists() and Path(self._tasks).exists()

    def _leave(self, row: ThreadRow, now: int) -> None:
        del self.by_tid[row.tid]
        self._unseen.discard(row.tid)
        self.gone.append(row.tid)
        self._sink.thread_gone(row.tid, now)

    # ------------------------------------------------------------------ the kernel's list

    def _list(self, now: int) -> None:
        try:
            tids = {int(name) for name in os.listdir(self._tasks)}  # noqa: PTH208
        except OSError:
            return  # it exits: the next sample says so
        for row in [p for p in self.by_tid.values() if p.tid not in tids]:
            self._outlived += row.states
            self._leave(row, now)
        if self._outlived:
            # Where a thread's state lay, there often lies that of a new one. Where not all are looked at in every
            # sample nobody would ask whose it is now; those of nobody are always asked.
            for state in self._outlived:
                state.tid = 0
            self._outlived.clear()
            self._sampler.expire()
        # Those of Python's that no sample has had room for yet are among them.
        stateless = {tid for tid in tids if tid not in self.by_tid or not self.by_tid[tid].states}
        # Twice in a row: a thread of Python's that just starts has no thread state yet.
        fresh = [t for t in stateless & self._unseen if (p := self.by_tid.get(t)) is None or not p.native]
        for tid in fresh[:_NEW_AT_ONCE]:
            known = self.by_tid.get(tid)
            if known is None:
                known = self.by_tid[tid] = ThreadRow(tid, now)
            known.native = True
            self._announce(known, known.name or self._comm(tid))
        if len(fresh) > _NEW_AT_ONCE or stateless - self._unseen:
            self._list_at = min(self._list_at, now + SOON_NS)
        self._unseen = stateless

    # ------------------------------------------------------------------ names

    def _name(self, now: int) -> None:
        everyone = [p for p in self.by_tid.values() if p.states]
        # One that was never asked for is asked however old: naming the first ones may have used up its share for long.
        young = [p for p in everyone if not p.named and (not p.asked or now - p.born_ns < PATIENCE_NS)][:NAMED_AT_ONCE]
        asked = young
        if now >= self._renamed_at:
            self._renamed_at = now + RENAMED_NS
            first = self._turn % len(everyone) if everyone else 0
            self._turn = first + RENAMED_AT_ONCE
            asked = young + everyone[first : first + RENAMED_AT_ONCE]
            if not first:
                self._names.forget()
        self._names_at = now + NAMES_NS if young else self._renamed_at
        idents = {t.ident: p for p in asked for t in p.states}
        for ident, name in self._names.read(self._sampler.interpreters, idents).items() if idents else ():
            row = idents[ident]
            row.named = True
            if name != row.name:
                self._announce(row, name)
        for row in young:
            row.asked = True
            # It may give itself a name (prctl) after it was first seen.
            if row.named or row.tid == self._pid:
                continue
            name = self._kernels_name(row.tid)
            if name and name != row.name:  # none: it has just ended, and keeps the name it had
                self._announce(row, name)

    def _announce(self, row: ThreadRow, name: str) -> None:
        row.name = name
        self._sink.thread(row.tid, name, self._started(row.tid) or row.born_ns, row.native)

    def _fallback(self, tid: int) -> str:
        return "MainThread" if tid == self._pid else self._comm(tid)

    def _comm(self, tid: int) -> str:
        return self._kernels_name(tid) or f"thread {tid}"

    def _kernels_name(self, tid: int) -> str:
        """15 bytes; up to 3.13 that is the program's for Python's own threads. '' when it has none or has ended."""
        with contextlib.suppress(OSError):
            return _read(f"{self._tasks}/{tid}/comm").decode("utf-8", "replace").rstrip("\n")
        return ""

    def _started(self, tid: int) -> int:
        """On the monotonic clock, to 10 ms; 0 when not known. The kernel counts from boot, suspended time included."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = _read(f"{self._tasks}/{tid}/stat")
            since_boot = int(stat.rpartition(b")")[2].split()[19]) * self._tick_ns
            return since_boot - time.clock_gettime_ns(time.CLOCK_BOOTTIME) + time.monotonic_ns()
        return 0


def _read(file: str) -> bytes:
    """A short file of the kernel's; a third of what pathlib takes."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)
