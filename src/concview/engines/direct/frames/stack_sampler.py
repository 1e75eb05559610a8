"""Threads whose frames lie one behind the other in chunks (3.11 and newer): copied whole, judged, predicted."""

from __future__ import annotations

import os
import struct
from array import array

from concview.cpython.code import Codes
from concview.cpython.heap.layout import PTHREAD_TID
from concview.cpython.memory import Memory
from concview.cpython.offsets import Offsets
from concview.cpython.runtime import Runtime
from concview.cpython.threads import Thread
from concview.cpython.walk import MAX_CHUNK, MAX_OUTSIDE, Outcome, Walker
from concview.engines.base import Tally
from concview.engines.direct.frames.batch import Batch
from concview.engines.direct.frames.sampler import TRIES, Sampler
from concview.linux.namespaces import ThreadNumbers

#: Bytes read beyond the known end of a stack, so that a few more calls do not need a second read.
_SLACK = 1024
#: Smallest size of a stack chunk (DATA_STACK_CHUNK_SIZE); larger ones are multiples.
_CHUNK = 16384
#: Outside frames no longer on the stack that are still copied: they often come back.
_STALE_OUTS = 8
#: 3.11 and 3.12: places of the frame pointer that are copied, the latest ones.
_CFRAMES = 2
#: More than a thread state takes.
_STATE_SIZE = 1024

_WORD = struct.Struct("<Q").unpack_from
_TWO_WORDS = struct.Struct("<2Q").unpack_from


def _predict(live: int) -> int:
    """Bytes of a chunk to read next time: a little more than now, never more than there is."""
    return min(live + _SLACK, (live + _CHUNK - 1) // _CHUNK * _CHUNK)


class StackBatch(Batch):
    """Of a thread: its state from the list link to the end of the stack; the cframe (3.11, 3.12); the live part of its
    stack chunk; frames elsewhere; and the frame pointer again."""

    def __init__(self, memory: Memory, runtime: Runtime, o: Offsets) -> None:
        super().__init__(memory, runtime, o)
        self.uses_cframe = "ts.cframe" in o.values
        self.at_frame = o["ts.cframe"] if self.uses_cframe else o["ts.current_frame"]
        self.low = min(o["ts.next"], self.at_frame)  #: first byte copied of a thread state
        self.size = o["ts.datastack_chunk"] + 16 - self.low  #: chunk and top of the stack are the last two words
        self.link = o["ts.next"] - self.low
        self.frame_size = o["f.localsplus"]

    def _lay(self, thread: Thread, offset: int) -> array[int]:
        start, size, header = offset, self.size, self.frame_size
        words = array("Q", (thread.address + self.low, size))
        thread.start, thread.link = start, self.link
        offset += size
        frames = thread.cframes or (thread.address + self.at_frame,)
        thread.at_frame = offset
        if self.uses_cframe:
            for frame in frames:
                words.extend((frame, 8))
            offset += 8 * len(frames)
        thread.at_chunk = offset
        if thread.length:
            words.extend((thread.chunk, thread.length))
            offset += thread.length
        thread.at_outs = offset
        for out in thread.outs:
            words.extend((out, header))
        offset += header * len(thread.outs)
        thread.at_again = offset
        for frame in frames:
            words.extend((frame, 8))
        offset += 8 * len(frames)
        thread.end = offset
        layout = (thread.chunk, thread.length, thread.outs, frames)
        if layout != thread.layout:
            thread.layout, thread.segment = layout, None
        return words

    def one(self, thread: Thread) -> tuple[bytes, bytes, bytes, bytes, bytes] | None:
        """The same of one thread alone: state, cframes, chunk, outside frames, frame pointers again."""
        frames = thread.cframes or (thread.address + self.at_frame,)
        pointers = [(frame, 8) for frame in frames]
        wanted = [(thread.address + self.low, self.size), *pointers, (thread.chunk or frames[0], thread.length)]
        wanted += [(a, self.frame_size) for a in thread.outs]
        wanted += pointers
        parts = self._memory.read_many(wanted)
        good = [p for p in parts if p is not None]
        if len(good) < len(parts):
            return None
        n = len(frames)
        return good[0], b"".join(good[1 : n + 1]), good[n + 1], b"".join(good[n + 2 : -n]), b"".join(good[-n:])


class StackSampler(Sampler):
    batch: StackBatch

    def __init__(
        self,
        memory: Memory,
        runtime: Runtime,
        offsets: Offsets,
        codes: Codes,
        numbers: ThreadNumbers,
        tally: Tally,
    ) -> None:
        batch = StackBatch(memory, runtime, offsets)
        super().__init__(memory, runtime, offsets, batch, tally)
        self._codes, self._numbers = codes, numbers
        self._walker = Walker(memory, offsets, codes)
        o = offsets
        self._o_frame = batch.at_frame - batch.low
        self._o_ident, self._o_tid = o["ts.thread_id"] - batch.low, o["ts.native_thread_id"] - batch.low
        self._o_chunk = o["ts.datastack_chunk"] - batch.low
        self._cframe_offset = o.get("cframe.current_frame", 0)
        #: Of thread states of subinterpreters up to 3.12: (native, ident) as they say themselves, see `_runner`.
        self._own: dict[Thread, tuple[int, int]] = {}

    # ------------------------------------------------------------------ one thread

    def _look(self, thread: Thread, segment: bytes) -> None:
        """Judge one thread's new bytes."""
        start, walk = thread.start, thread.walk
        at_again = thread.at_again - start
        again = segment[at_again:]
        outcome = self._parse(
            thread,
            segment,
            segment[thread.at_frame - start : thread.at_chunk - start],
            segment[thread.at_chunk - start : thread.at_outs - start],
            segment[thread.at_outs - start : at_again],
            again,
        )
        # In one frame from before its stack was copied until after.
        at, which = (thread.at_frame - start, thread.which) if self.batch.uses_cframe else (self._o_frame, 0)
        before = segment[at + 8 * which : at + 8 * which + 8]
        walk.sure = outcome is Outcome.EXACT and before == again[8 * which : 8 * which + 8]
        thread.objects, thread.again = [], False
        for _ in range(2 * TRIES):
            if outcome is not None and outcome is not Outcome.TORN:
                self._tally.repaired += outcome is Outcome.REPAIRED
                if thread.native and not thread.tid:
                    thread.segment = None  # its number may become known without a change here
                return
            # A wrong prediction or a torn copy: read this thread alone.
            walk.sure = False
            thread.segment = None  # what is walked now is later than that
            parts = self.batch.one(thread)
            if parts is None:
                thread.forget_prediction()
                self._moved_parts[thread] = None
            else:
                outcome = self._parse(thread, *parts)
        if outcome is None or outcome is Outcome.TORN:
            self._tally.dropped += 1
            walk.clear()
            thread.segment = None

    def _who(self, thread: Thread, native: int, ident: int) -> None:
        if native >= 1 << 31:
            native = ident = 0
        tid = self._numbers.outer(native)
        if native and ident and not self._lives(tid):
            tid = self._by_descriptor(ident) or tid
        if (tid, native, ident) != (thread.tid, thread.native, thread.ident):
            thread.native = native
            self._bind(thread, tid, ident)

    def _lives(self, tid: int) -> bool:
        facts = self._memory.facts
        return tid > 0 and (not facts.live or os.access(f"{facts.folder}/task/{tid}", os.F_OK))

    def _by_descriptor(self, ident: int) -> int:
        """The number of a thread by the C library's `struct pthread`; 0 where that has none. A process that C code has
        forked without telling Python (uWSGI's workers) keeps its parent's number in the thread state."""
        words = self._memory.read_many([(ident + at, 4) for at in PTHREAD_TID])
        found = (self._numbers.outer(int.from_bytes(word, "little")) for word in words if word is not None)
        return next((tid for tid in found if self._lives(tid)), 0)

    def _runner(self, thread: Thread, cframe: int, native: int, ident: int) -> tuple[int, int]:
        """Who runs a subinterpreter's thread state up to 3.12: whoever runs code in an interpreter borrows the state of
        the thread that made it, and its numbers stay that one's. But the cframe lies on the C stack of the one that
        runs, and a thread's descriptor, whose address is its ident, above its stack; the main thread's stack lies above
        everything."""
        own = self._own
        own[thread] = native, ident
        if thread.address <= cframe < thread.address + _STATE_SIZE:
            return native, ident  # nobody runs it
        if len(own) > len(self.threads):
            self._own = own = {t: own[t] for t in self.threads if t in own}
        pairs = [own.get(t) or (t.native, t.ident) for t in self.threads]
        above = [(native, ident) for native, ident in pairs if ident > cframe]
        if above:
            return min(above, key=lambda pair: pair[1])
        return next(
            (pair for t, pair in zip(self.threads, pairs, strict=True) if t.tid == self._memory.pid), own[thread]
        )

    def _parse(
        self, thread: Thread, state: bytes, frame_words: bytes, data: bytes, outs: bytes, again: bytes
    ) -> Outcome | None:
        """None: what was to be read lies elsewhere now; the thread's prediction has been put right."""
        tid, ident = _WORD(state, self._o_tid)[0], _WORD(state, self._o_ident)[0]
        (frame,), (chunk, top) = _WORD(state, self._o_frame), _TWO_WORDS(state, self._o_chunk)
        if self.batch.uses_cframe and thread.interpreter != self.interpreters[-1].address:
            tid, ident = self._runner(thread, frame, tid, ident)
        if tid != thread.native or ident != thread.ident or not thread.tid:
            self._who(thread, tid, ident)
        if self.batch.uses_cframe:
            pointer = frame + self._cframe_offset if frame else 0
            if pointer and pointer not in thread.cframes:
                thread.cframes = (pointer, *thread.cframes[: _CFRAMES - 1])
                self._moved_parts[thread] = None
                return None
            thread.which = thread.cframes.index(pointer) if pointer else 0
            frame = _WORD(frame_words, 8 * thread.which)[0] if pointer else 0
        walk = thread.walk
        if not frame:
            walk.clear()
            return Outcome.EXACT
        live = top - chunk if chunk else 0
        if chunk and not 24 <= live <= MAX_CHUNK:
            return Outcome.TORN
        thread.peak = max(thread.peak, live)
        if chunk != thread.chunk or live > thread.length:
            thread.chunk, thread.length = chunk, _predict(live)
            self._moved_parts[thread] = None
            if chunk:
                return None
            data = b""
        if _WORD(again, 8 * thread.which)[0] != frame:
            self._tally.doubtful += not self._o.features.cleared_frames
        else:
            data = data[:live]
        outcome = self._walker.walk(walk, frame, chunk, data, thread.outs, outs)
        if walk.young and outcome is not Outcome.TORN and not self._codes.check(walk.young):
            walk.clear()  # a code object's address belongs to another one now
            outcome = self._walker.walk(walk, frame, chunk, data, thread.outs, outs)
        if outcome is not Outcome.TORN and (walk.used or thread.outs):
            self._remember(thread)
        return outcome

    # ------------------------------------------------------------------ predictions

    def _remember(self, thread: Thread) -> None:
        """Read the outside frames along from now on: the new ones, and as many old ones as do no harm."""
        used, outs = thread.walk.used[:MAX_OUTSIDE], thread.outs
        known = set(outs)
        if known.issuperset(used) and (len(outs) <= _STALE_OUTS or len(known.difference(used)) <= _STALE_OUTS):
            return
        stale = [a for a in outs if a not in set(used)] if len(outs) < MAX_OUTSIDE else []
        thread.outs = tuple(used + stale[:_STALE_OUTS])
        self._moved_parts[thread] = None

    def _shrink(self) -> None:
        """Take back predictions that have been too long for a while."""
        for thread in self.threads:
            if thread.length > thread.peak + 4 * _SLACK:
                thread.length = _predict(thread.peak)
                self._moved_parts[thread] = None
            thread.peak = 0
        if self.batch.shrink():
            self._dirty = True
