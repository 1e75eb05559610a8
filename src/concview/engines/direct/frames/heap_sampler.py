"""Threads whose frames are heap objects (3.8 to 3.10): copied, judged, predicted."""

from __future__ import annotations

import struct
from typing import ClassVar

from concview.cpython.heap.code import HeapCodes
from concview.cpython.heap.native import NativeIds
from concview.cpython.heap.walk import HeapWalker
from concview.cpython.memory import Memory
from concview.cpython.offsets import Offsets
from concview.cpython.runtime import Runtime
from concview.cpython.threads import Thread
from concview.cpython.walk import Outcome
from concview.engines.base import Tally
from concview.engines.direct.frames.heap_batch import STALE, HeapBatch, HeapThread
from concview.engines.direct.frames.sampler import TRIES, Sampler

_WORD = struct.Struct("<Q").unpack_from
_INT = struct.Struct("<i").unpack_from


class HeapSampler(Sampler):
    _thread: ClassVar[type[Thread]] = HeapThread
    batch: HeapBatch

    def __init__(
        self, memory: Memory, runtime: Runtime, offsets: Offsets, codes: HeapCodes, native: NativeIds, tally: Tally
    ) -> None:
        super().__init__(memory, runtime, offsets, HeapBatch(memory, runtime, offsets), tally)
        self._codes = codes
        self._walker = HeapWalker(memory, offsets, codes)
        self._native = native
        self._bottoms: dict[int, HeapThread] = {}  #: outermost frame -> whose it is
        o, low = offsets, offsets["ts.next"]
        self._o_tracing = o["ts.tracing"] - low
        self._o_frame, self._o_ident, self._o_id = (
            o["ts.current_frame"] - low, o["ts.thread_id"] - low, o["ts.id"] - low,
        )  # fmt: skip

    def _look(self, thread: Thread, segment: bytes) -> None:
        assert isinstance(thread, HeapThread)
        walk, alone = thread.walk, False
        thread.objects, thread.again = [], False
        data: bytes | None = segment
        for attempt in range(2 * TRIES):
            outcome = Outcome.TORN
            if data is not None:
                outcome = self._parse(thread, data)
                if outcome is not Outcome.TORN and self._predict(thread) and attempt < TRIES:
                    outcome = Outcome.TORN  # copy it once more, all of it this time
            if outcome is not Outcome.TORN:
                self._tally.repaired += outcome is Outcome.REPAIRED
                if alone or walk.missing:
                    walk.sure = False
                    thread.segment = None  # what is walked now is later than that
                if not thread.tid:
                    thread.segment = None  # it may become known without a change here
                return
            alone = True
            data = self.batch.one(thread)
            if data is None:
                thread.forget_prediction()
                self._relay(thread, [], {}, 0)
        self._tally.dropped += 1
        walk.clear()
        thread.segment = None

    def _parse(self, thread: HeapThread, data: bytes) -> Outcome:
        at, walk = thread.at_state, thread.walk
        frame = _WORD(data, at + self._o_frame)[0]
        self._who(thread, _WORD(data, at + self._o_ident)[0], _WORD(data, at + self._o_id)[0], frame)
        if not frame:
            walk.clear()
            return Outcome.EXACT
        tracing = _INT(data, at + self._o_tracing)[0] > 0
        outcome = self._walker.walk(walk, frame, data, thread.copies, tracing)
        if walk.young and outcome is not Outcome.TORN and not self._codes.check(walk.young):
            walk.clear()  # a code object's address belongs to another one now
            outcome = self._walker.walk(walk, frame, data, thread.copies, tracing)
        if outcome is not Outcome.TORN and self._strayed(thread):
            outcome = Outcome.TORN
        self._tally.doubtful += outcome is not Outcome.TORN and not walk.sure
        return outcome

    def _strayed(self, thread: HeapThread) -> bool:
        """Whether the walk went into another thread's stack: a frame that was freed may be that one's now. Then it ends
        at that one's outermost frame, which is nobody else's."""
        walk = thread.walk
        if walk.steady:
            if thread.bottom != walk.bottom:
                self._bottoms.pop(thread.bottom, None)
                thread.bottom = walk.bottom
            self._bottoms[walk.bottom] = thread
            return False
        owner = self._bottoms.get(walk.bottom)
        return owner is not None and owner is not thread and self._by_address.get(owner.address) is owner

    def _who(self, thread: HeapThread, ident: int, serial: int, frame: int) -> None:
        """Which thread it is. Until a new thread runs, its state bears the handle of the one that made it."""
        if ident == thread.ident and serial == thread.serial and thread.tid:
            return
        tid = self._native.tid(ident)
        if not frame and any(
            t is not thread and t.interpreter == thread.interpreter and t.ident == ident for t in self.threads
        ):
            tid = 0
        thread.serial = serial
        if tid != thread.tid or ident != thread.ident:
            self._bind(thread, tid, ident if tid else 0)

    # ------------------------------------------------------------------ predictions

    def _predict(self, thread: HeapThread) -> bool:
        """Copy its frames along from now on. True when more must be copied than was."""
        walk = thread.walk
        needed = walk.needed
        if not walk.missing:
            sizes = thread.sizes
            if len(sizes) - len(needed) <= 2 * STALE:
                return False
        stale = [a for a in thread.frames if a not in needed][:STALE]
        sizes = {a: thread.sizes[a] for a in stale} | needed
        self._relay(thread, [*stale, *needed], sizes, len(stale))
        return walk.missing

    def _relist(self) -> None:
        super()._relist()
        alive = self._by_address
        self._bottoms = {frame: t for frame, t in self._bottoms.items() if alive.get(t.address) is t}

    def _relay(self, thread: HeapThread, frames: list[int], sizes: dict[int, int], stale: int) -> None:
        self.batch.predict(thread, frames, sizes, stale)
        self._last = b""
