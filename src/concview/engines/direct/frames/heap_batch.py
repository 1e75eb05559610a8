"""What is copied of a thread whose frames are heap objects; in which order, and why: see `walk`."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from concview.cpython.heap.walk import Copies, HeapWalk
from concview.cpython.memory import MAX_READ, Memory
from concview.cpython.offsets import Offsets
from concview.cpython.runtime import Runtime
from concview.cpython.threads import Thread
from concview.engines.direct.frames.batch import Batch

#: Frames on the stack that are copied twice, the inner ones.
_TWICE = 8
#: Frames this near each other (bytes) are copied together, in pieces up to that size.
_NEAR, _RUN = 512, 4096
#: Frames no longer on the stack that are still copied: calls come back to the same addresses.
STALE = 6


def _segments(frames: Iterable[int], sizes: dict[int, int], words: array[int], where: dict[int, int], at: int) -> int:
    """Lay frames out in that order from place `at` of a copy on; the place behind them. Frames that lie near each other
    are copied in one piece: a segment costs as much as 3 KiB."""
    run: list[int] = []
    low = high = 0
    for frame in (*frames, 0):
        end = frame + sizes[frame] if frame else 0
        if run and frame and frame <= high + _NEAR and end >= low - _NEAR and max(high, end) - min(low, frame) <= _RUN:
            run.append(frame)
            low, high = min(low, frame), max(high, end)
            continue
        if run:
            words.append(low)
            words.append(high - low)
            for each in run:
                where[each] = at + each - low
            at += high - low
        run, low, high = [frame], frame, end
    return at


class HeapThread(Thread):
    __slots__ = ("at_state", "bottom", "copies", "frames", "serial", "sizes", "stale", "words")
    walk: HeapWalk

    def __init__(self, address: int, interpreter: int, after: int) -> None:
        super().__init__(address, interpreter, after)
        self.walk = HeapWalk()
        self.bottom = 0  #: its outermost frame, when last surely seen
        self.serial = -1  #: number of the thread state: addresses and handles are used again

    def forget_prediction(self) -> None:
        super().forget_prediction()
        self.frames: tuple[int, ...] = ()  #: expected, innermost first; in front the stale ones
        self.sizes: dict[int, int] = {}  #: bytes to copy of each
        self.stale = 0  #: how many are
        self.words: array[int] | None = None  #: laid out so; None: anew
        self.at_state = 0  #: in the thread's own part
        self.copies = Copies()


class HeapBatch(Batch):
    def __init__(self, memory: Memory, runtime: Runtime, o: Offsets) -> None:
        super().__init__(memory, runtime, o)
        self._low = o["ts.next"]
        self._size = o["ts.id"] + 8 - o["ts.next"]

    def _lay(self, thread: Thread, offset: int) -> array[int]:
        assert isinstance(thread, HeapThread)
        if thread.words is None:
            self._arrange(thread)
        assert thread.words is not None
        thread.start, thread.end = offset, offset + sum(thread.words[1::2])
        return thread.words

    def _arrange(self, thread: HeapThread) -> None:
        """Lay out one thread's part."""
        words, copies = array("Q"), Copies(sizes=thread.sizes)
        at = thread.at_state = thread.link = _segments(thread.frames[::-1], thread.sizes, words, copies.first, 0)
        words.extend((thread.address + self._low, self._size))
        again = thread.frames[: thread.stale + _TWICE]
        _segments(again, thread.sizes, words, copies.second, at + self._size)
        thread.words, thread.copies, thread.segment = words, copies, None

    def predict(self, thread: HeapThread, frames: Iterable[int], sizes: dict[int, int], stale: int) -> None:
        """From now on these frames of a thread are copied."""
        thread.frames, thread.sizes, thread.stale = tuple(frames), sizes, stale
        self._arrange(thread)
        assert thread.words is not None
        self.relay([thread])
        self._words[thread] = thread.words
        thread.end = thread.start + sum(thread.words[1::2])

    def one(self, thread: HeapThread) -> bytes | None:
        """One thread's part, copied now. None when some of it is gone."""
        if thread.words is None:
            self._arrange(thread)
        assert thread.words is not None
        size = sum(thread.words[1::2])
        if size > MAX_READ:
            return None
        data = self._memory.read_joined(thread.words, size)
        if data is None:
            pairs = list(zip(thread.words[::2], thread.words[1::2], strict=True))
            parts = self._memory.read_many(pairs) if len(pairs) > 1024 else [None]
            data = b"".join([p for p in parts if p is not None]) if None not in parts else None
        return data
