"""Who runs the future that a thread waits for.

A worker of a ThreadPoolExecutor that runs a task stands in `_WorkItem.run`, and the work item knows its future. That is
the same object which `Future.result` of the waiting thread is a method of: the link is read, not guessed. A future that
no thread runs (still queued, or a process's, or an event loop's) has no such link.
"""

from __future__ import annotations

import contextlib
import struct
from functools import partial

import msgspec

from concview.cpython.locks import LockReader
from concview.cpython.memory import BadAddress
from concview.cpython.queues import waiting_items
from concview.cpython.read_cache import ReadCache
from concview.cpython.threads import Thread
from concview.engines.direct.thread_table import ThreadRow
from concview.model import Wait
from concview.sink import Sink
from concview.source.origin import is_module

VIA = "Future.result"
_ITEM, _WORKER, _FILE = "_WorkItem.run", "_worker", "concurrent/futures/thread.py"
#: The thread that brings a process pool its calls and their results: 3.9 and newer; 3.8, whose third argument they are.
_MANAGER_METHOD, _MANAGER_FUNCTION = "_ExecutorManagerThread.run", "_queue_management_worker"
_MANAGERS, _PROCESSES = frozenset({_MANAGER_METHOD, _MANAGER_FUNCTION}), "concurrent/futures/process.py"
#: Calls of one process pool that are looked at; queues of thread pools.
_MOST_ITEMS, _MOST_QUEUES = 256, 8
#: A worker's outermost frames, among which that of the work item is: bootstrap, run, _worker, and what wraps them.
_OUTERMOST = 12


class Futures:
    def __init__(self, reader: LockReader, sink: Sink) -> None:
        self._reader, self._sink = reader, sink
        self._waiting: dict[int, tuple[Wait, int]] = {}  #: tid -> (its wait, the id that it was given last)
        self._items = ReadCache[int](reader.memory)  #: frame of a work item -> its future

    @property
    def asks(self) -> bool:
        """Whether `name` has something to do."""
        return bool(self._waiting)

    def forget(self) -> None:
        self._waiting.clear()
        self._items.clear()

    def expire(self) -> None:
        """Drop what is known by address."""
        self._items.clear()

    def waits(self, tid: int, wait: Wait | None) -> None:
        """What a thread was found to wait for."""
        if wait is not None and wait.via == VIA and wait.lock:
            self._waiting[tid] = wait, 0
        elif self._waiting:
            self._waiting.pop(tid, None)

    def name(self, by_tid: dict[int, ThreadRow]) -> list[ThreadRow]:
        """Complete the waits of those who still wait: the future may have been taken up or finished meanwhile.

        Returns them.
        """
        if not self._waiting:
            return []
        still: list[tuple[ThreadRow, Wait, int]] = []
        for tid, (wait, given) in list(self._waiting.items()):
            row, plain = by_tid.get(tid), self._sink.wait(wait)
            if row is None or row.wait not in (plain, given):
                del self._waiting[tid]
            else:
                still.append((row, wait, plain))
        running = self.running(by_tid) if still else {}
        for row, wait, plain in still:
            target = running.get(wait.lock, 0)
            named = self._sink.wait(msgspec.structs.replace(wait, target=target)) if target else plain
            row.wait = named
            self._waiting[row.tid] = wait, named
        return [row for row, _, _ in still]

    def running(self, by_tid: dict[int, ThreadRow]) -> dict[int, int]:
        """Address of a future -> tid of the thread that runs it."""
        found: dict[int, int] = {}
        frames = [(p.tid, t, frame) for p in by_tid.values() for t in p.states if (frame := _item_frame(t))]
        known = self._items.ask_many([frame for _, _, frame in frames])
        for tid, thread, frame in frames:
            future = known.get(frame)
            if future is None:
                try:
                    future = self._items.work_out(frame, partial(self._future, thread, frame))
                except (BadAddress, struct.error):
                    continue
            if future:
                found[future] = tid
        return found

    def queued(self, by_tid: dict[int, ThreadRow]) -> list[int]:
        """Addresses of the futures of calls that lie in the queues of thread pools: the first ones of each."""
        reader, queues, found = self._reader, dict[int, None](), list[int]()
        later = reader.offsets.features.worker_context
        for thread in (t for row in by_tid.values() for t in row.states):
            walk = thread.walk
            for place, frame in zip(walk.places[-_OUTERMOST:], walk.addresses[-_OUTERMOST:], strict=True):
                if place.code.qualname == _WORKER and is_module(place.code.file, _FILE):
                    with contextlib.suppress(BadAddress, struct.error):
                        queues[reader.slots(walk, frame, 2 if later else 1, 1)[0]] = None
        for queue in list(queues)[:_MOST_QUEUES]:
            with contextlib.suppress(BadAddress, struct.error):
                items = waiting_items(reader.objects, queue, _MOST_ITEMS // _MOST_QUEUES)
                found += [f for item in items if (f := reader.objects.attribute(item, "future"))]
        return found

    def in_processes(self, by_tid: dict[int, ThreadRow]) -> set[int]:
        """Addresses of the futures of calls that were given to process pools and have not come back."""
        reader, found = self._reader, set[int]()
        for thread in (t for row in by_tid.values() for t in row.states):
            walk = thread.walk
            for place, frame in zip(walk.places[-_OUTERMOST:], walk.addresses[-_OUTERMOST:], strict=True):
                if place.code.qualname not in _MANAGERS or not is_module(place.code.file, _PROCESSES):
                    continue
                try:
                    if place.code.qualname == _MANAGER_FUNCTION:
                        items = reader.slots(walk, frame, 2, 1)[0]
                    else:
                        items = reader.objects.attribute(reader.first_local(walk, frame), "pending_work_items")
                    values = [item for _, item in reader.objects.items(items)][:_MOST_ITEMS] if items else []
                    found.update(reader.objects.attribute(item, "future") for item in values)
                except (BadAddress, struct.error):
                    continue
                break
        found.discard(0)
        return found

    def _future(self, thread: Thread, frame: int) -> int:
        item = self._reader.first_local(thread.walk, frame)
        return self._reader.objects.attribute(item, "future") if item else 0


def _item_frame(thread: Thread) -> int:
    """Address of the outermost frame in which a pool's worker runs a task; 0 when there is none."""
    walk = thread.walk
    for i in range(len(walk.places) - 1, max(-1, len(walk.places) - 1 - _OUTERMOST), -1):
        code = walk.places[i].code
        if code.qualname == _ITEM:  # distributed has a copy of the module
            return walk.addresses[i]
    return 0
