"""What one sample copies, laid out for as few process_vm_readv calls as may be."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterable

from concview.engines.direct.memory import MAX_SEGMENTS, IoVec, Memory, readv
from concview.engines.direct.offsets import Offsets
from concview.engines.direct.runtime import Runtime
from concview.engines.direct.threads import Interpreter, Thread

#: Threads compared at once before they are compared one by one.
_GROUP = 16
#: Sets of threads whose common layout is kept.
_SOME = 128
#: Memory in which short-lived objects lie is copied in pieces of this size (bytes), so many at most.
PAGE = 4096
MAX_PAGES = 8


class Batch:
    """The layout. In front the links of the lists, the GILs and the collectors; then, per thread:

    its state from the list link to the end of the stack; the cframe (3.11, 3.12); the live part of its stack chunk;
    frames elsewhere; and the frame pointer again. Before the first thread and behind the last one the pages in which
    the objects lie that `with` blocks keep on the stack: what is equal in both was so when the stacks were copied.
    The allocator puts objects of one size side by side, so that a page or two serve all threads.
    """

    def __init__(self, memory: Memory, runtime: Runtime, o: Offsets) -> None:
        self._memory, self._runtime, self._o = memory, runtime, o
        self.uses_cframe = "ts.cframe" in o.values
        self.at_frame = o["ts.cframe"] if self.uses_cframe else o["ts.current_frame"]
        self.low = min(o["ts.next"], self.at_frame)  #: first byte copied of a thread state
        self.size = o["ts.datastack_chunk"] + 16 - self.low  #: chunk and top of the stack are the last two words
        self.frame_size = o["f.localsplus"]
        self.gil_size = o["gil.cond"]  #: the fields before the condition variable
        self.head_size = 0
        self.first = 0  #: where the first thread's part begins in a copy
        self.pages: tuple[int, ...] = ()  #: addresses
        self._page_at: dict[int, int] = {}  #: page -> its place among the pages, bytes
        self._page_used: set[int] = set()
        self.before = self.after = b""  #: the pages, as the last copy has them
        self.groups: list[tuple[int, int, list[Thread]]] = []  #: start, end, threads
        self.fault = 0  #: offset of what could not be copied
        self._calls: list[tuple[int, int, int, int]] = []
        self._head_words = array("Q")
        self._page_words = array("Q")
        self._words: dict[Thread, array[int]] = {}  # of each thread alone
        self._arrays: list[array[int]] = []  # keeps the segments alive: the kernel reads them
        self._some: dict[tuple[Thread, ...], tuple[array[int], int, int, int]] = {}
        self._total = 0
        self._buffer = ctypes.create_string_buffer(1)
        self._view = memoryview(self._buffer)
        self._base = ctypes.addressof(self._buffer)
        self._local = IoVec(0, 0)
        self._local_p = ctypes.byref(self._local)

    @property
    def calls(self) -> int:
        """System calls of one copy."""
        return len(self._calls)

    def build(self, interpreters: list[Interpreter], threads: list[Thread]) -> None:
        """Needed when the lists or something predicted changed. Threads laid out as before keep their `segment`."""
        o = self._o
        words: list[int] = [self._runtime.address + o["rt.interpreters_head"], 8]
        for each in interpreters:
            words += (each.address + o["is.next"], 8, each.address + o["is.threads_head"], 8)
            words += (each.gil or each.address, self.gil_size, each.address + o["is.gc"] + o["gc.collecting"], 4)
        self._head_words = array("Q", words)
        self.head_size = offset = sum(words[1::2])
        pages = [word for page in self.pages for word in (page, PAGE)]
        self._page_at = {page: i * PAGE for i, page in enumerate(self.pages)}
        words += pages
        offset += PAGE * len(self.pages)
        self._calls, self._arrays, self.groups = [], [], []
        begun, header, size = 0, self.frame_size, self.size
        self._words = {}
        self._some.clear()
        for thread in threads:
            first_word = len(words)
            if len(words) // 2 + len(thread.outs) + 6 + MAX_PAGES > MAX_SEGMENTS:
                self._add(words, begun, offset)
                words, begun, first_word = [], offset, 0
            thread.start = offset
            words += (thread.address + self.low, size)
            offset += size
            frames = thread.cframes or (thread.address + self.at_frame,)
            thread.at_frame = offset
            if self.uses_cframe:
                for frame in frames:
                    words += (frame, 8)
                offset += 8 * len(frames)
            thread.at_chunk = offset
            if thread.length:
                words += (thread.chunk, thread.length)
                offset += thread.length
            thread.at_outs = offset
            for out in thread.outs:
                words += (out, header)
            offset += header * len(thread.outs)
            thread.at_again = offset
            for frame in frames:
                words += (frame, 8)
            offset += 8 * len(frames)
            thread.end = offset
            self._words[thread] = array("Q", words[first_word:])
            layout = (thread.chunk, thread.length, thread.outs, frames)
            if layout != thread.layout:
                thread.layout, thread.segment = layout, None
        self._page_words = array("Q", pages)
        words += pages
        offset += PAGE * len(self.pages)
        self._add(words, begun, offset)
        self._total = offset
        self.first = self.head_size + PAGE * len(self.pages)
        if offset > len(self._buffer):
            self._buffer = ctypes.create_string_buffer(offset * 5 // 4)
            self._view = memoryview(self._buffer).cast("B")
            self._base = ctypes.addressof(self._buffer)
        for i in range(0, len(threads), _GROUP):
            group = threads[i : i + _GROUP]
            self.groups.append((group[0].start, group[-1].end, group))

    def _add(self, words: list[int], start: int, end: int) -> None:
        segments = array("Q", words)
        self._arrays.append(segments)
        self._calls.append((segments.buffer_info()[0], len(words) // 2, start, end - start))

    def copy(self) -> bytes | None:
        """Everything that is laid out. None when a segment is gone: see `fault`."""
        base, local, memory = self._base, self._local, self._memory
        for segments, count, start, size in self._calls:
            local.base, local.len = base + start, size
            memory.calls += 1
            got = readv(memory.pid, self._local_p, 1, segments, count, 0)
            if got != size:
                self.fault = start + (got if got >= 0 else memory.failed())
                return None
        data = self._view[: self._total].tobytes()
        return self._keep_pages(data) if self.pages else data

    def _keep_pages(self, data: bytes) -> bytes:
        size = PAGE * len(self.pages)
        self.before, self.after = data[self.head_size : self.head_size + size], data[-size:]
        return data

    def copy_some(self, threads: list[Thread]) -> bytes | None:
        """The head, the pages, the parts of these threads one behind the other from `start` to `end`, the pages.

        None when a segment is gone, or they are too many for one call: copy everything then.
        """
        which = tuple(threads)
        _words, address, count, size = self._some.get(which) or self._lay_out(which)
        if count > MAX_SEGMENTS:
            return None
        local, memory = self._local, self._memory
        local.base, local.len = self._base, size
        memory.calls += 1
        if readv(memory.pid, self._local_p, 1, address, count, 0) != size:
            return None
        data = self._view[:size].tobytes()
        return self._keep_pages(data) if self.pages else data

    def _lay_out(self, threads: tuple[Thread, ...]) -> tuple[array[int], int, int, int]:
        """Of `copy_some`: the segments, their address and number, the bytes. The same few threads run again and
        again."""
        words = self._head_words + self._page_words
        size = self.head_size + 2 * PAGE * len(self.pages)
        for thread in threads:
            words += self._words[thread]
            size += thread.end - thread.start
        words += self._page_words
        if len(self._some) >= _SOME:
            self._some.clear()
        layout = self._some[threads] = words, words.buffer_info()[0], len(words) // 2, size
        return layout

    # ------------------------------------------------------------------ short-lived objects

    def want(self, addresses: Iterable[int]) -> bool:
        """Copy what lies there from now on. True when the layout must change for it."""
        new = {a & -PAGE for a in addresses if 4096 < a < 1 << 47} - self._page_used
        self._page_used |= new
        if new <= set(self.pages) or len(self.pages) >= MAX_PAGES:
            return False
        self.pages = tuple(dict.fromkeys((*self.pages, *new)))[:MAX_PAGES]
        return True

    def object(self, address: int, size: int) -> bytes | None:
        """What lay there while the stacks were copied; None when that was not copied, or changed meanwhile."""
        return self.objects([address], size)[0]

    def objects(self, addresses: list[int], size: int) -> list[bytes | None]:
        """`object` of many."""
        page_at, used, before, after = self._page_at, self._page_used, self.before, self.after
        objects: list[bytes | None] = []
        for address in addresses:
            inside = address & PAGE - 1
            at = page_at.get(address - inside)
            if at is None or inside + size > PAGE:
                objects.append(None)
                continue
            used.add(address - inside)
            at += inside
            found = after[at : at + size]
            objects.append(found if found and found == before[at : at + size] else None)
        return objects

    def shrink(self) -> bool:
        """Drop the pages of which nothing was wanted lately. True when the layout must change for it."""
        kept = tuple(page for page in self.pages if page in self._page_used)
        changed, self.pages = kept != self.pages, kept
        self._page_used.clear()
        return changed

    def drop_pages(self) -> None:
        """One of them is gone."""
        self.pages = ()
        self._page_used.clear()

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
