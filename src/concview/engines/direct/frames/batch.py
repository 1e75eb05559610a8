"""What one sample copies, laid out for as few process_vm_readv calls as may be."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Iterable
from time import monotonic_ns
from typing import NamedTuple, TypeAlias

from concview.cpython.memory import MAX_SEGMENTS, IoVec, Memory
from concview.cpython.offsets import Offsets
from concview.cpython.runtime import Runtime
from concview.cpython.threads import Interpreter, Thread

#: Threads compared at once before they are compared one by one.
_GROUP = 16
#: Sets of threads whose common layout is kept.
_SOME = 128
#: Memory in which short-lived objects lie is copied in pieces of this size (bytes), so many at most.
PAGE = 4096
MAX_PAGES = 8
#: Nanoseconds: a system call that takes longer was interrupted. Others take 0.05 to 0.8 ms, a slice of the kernel's
#: scheduler is 1.4 ms on 2 CPUs and more on others. A copy in the middle of which we lost the CPU is of several
#: moments, and looks as good as any where the target came back to the same objects meanwhile: it is made again, once.
LOST_NS = 1_200_000


#: Where each thread's part begins and ends in a copy, bytes.
Parts: TypeAlias = tuple[tuple[Thread, int, int], ...]


class Selection(NamedTuple):
    """The common layout of some threads."""

    words: array[int]  #: its segments; they must live as long as `copy`
    copy: Callable[[], int] | None  #: into the buffer: the bytes copied, or -1; None: too many segments for one call
    size: int  #: bytes
    view: memoryview  #: where they are then
    parts: Parts


class Batch:
    """The layout. In front the links of the lists, the GILs and the collectors; then each thread's part, see `_lay`.

    Before the first thread and behind the last one the pages in which the objects lie that `with` blocks keep on the
    stack: what is equal in both was so when the stacks were copied.
    The allocator puts objects of one size side by side, so that a page or two serve all threads.
    """

    def __init__(self, memory: Memory, runtime: Runtime, o: Offsets) -> None:
        self._memory, self._runtime, self._o = memory, runtime, o
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
        self._interpreters: list[Interpreter] = []
        self._threads: list[Thread] = []
        self._outdated = True  #: a copy of everything must be laid out anew first
        self._head_words = array("Q")
        self._page_words = array("Q")
        self._words: dict[Thread, array[int]] = {}  #: of each thread alone
        self._arrays: list[array[int]] = []  # keeps the segments alive: the kernel reads them
        self._some: dict[tuple[Thread, ...], Selection] = {}
        self._total = 0
        self._capacity = 1  #: bytes there are
        self._buffer = ctypes.create_string_buffer(self._capacity)
        self._view = memoryview(self._buffer)
        self._base = ctypes.addressof(self._buffer)
        self._local = IoVec(0, 0)
        self._local_p = ctypes.byref(self._local)
        self._everything = IoVec(self._base, self._capacity)  #: the whole buffer

    @property
    def calls(self) -> int:
        """System calls of one copy of everything."""
        return len(self._calls)

    def begin(self, interpreters: list[Interpreter], threads: list[Thread]) -> None:
        """Needed when the lists or the pages changed. Parts of the threads are laid out when they are copied."""
        self._interpreters, self._threads = interpreters, threads
        self._outdated = True
        o = self._o
        head: list[int] = [self._runtime.address + o["rt.interpreters_head"], 8]
        for each in interpreters:
            head += (each.address + o["is.next"], 8, each.address + o["is.threads_head"], 8)
            head += (each.gil or each.address, self.gil_size, each.collecting, 4)
        self._head_words = array("Q", head)
        self.head_size = offset = sum(head[1::2])
        self._page_words = array("Q", [word for page in self.pages for word in (page, PAGE)])
        self._page_at = {page: i * PAGE for i, page in enumerate(self.pages)}
        self.first = offset + PAGE * len(self.pages)
        known = self._words
        self._words = {thread: known[thread] for thread in threads if thread in known}
        self._some.clear()

    def relay(self, threads: Iterable[Thread]) -> None:
        """What is to be copied of these has changed."""
        for thread in threads:
            self._words.pop(thread, None)
        self._some.clear()
        self._outdated = True

    def _build(self) -> None:
        """Lay out a copy of everything. Threads laid out as before keep their `segment`."""
        threads = self._threads
        words, offset = self._head_words + self._page_words, self.first
        self._calls, self._arrays, self.groups = [], [], []
        begun = 0
        self._words = {}
        self._some.clear()
        for thread in threads:
            part = self._lay(thread, offset)
            if (len(words) + len(part)) // 2 + MAX_PAGES > MAX_SEGMENTS:
                self._add(words, begun)
                words, begun = array("Q"), offset
            words += part
            offset = thread.end
            self._words[thread] = part
        words += self._page_words
        offset += PAGE * len(self.pages)
        self._add(words, begun)
        self._total = offset
        self._reserve(offset)
        self._outdated = False
        for i in range(0, len(threads), _GROUP):
            group = threads[i : i + _GROUP]
            self.groups.append((group[0].start, group[-1].end, group))

    def _reserve(self, size: int) -> None:
        """The kernel writes where it is told to: never let it be told more than there is."""
        if size > self._capacity:
            self._capacity = size * 5 // 4
            self._some.clear()
            self._buffer = ctypes.create_string_buffer(self._capacity)
            self._view = memoryview(self._buffer).cast("B")
            self._base = ctypes.addressof(self._buffer)
            self._everything = IoVec(self._base, self._capacity)

    def _lay(self, thread: Thread, offset: int) -> array[int]:
        """One thread's segments, (address, size) in turn, of a copy in which they begin at `offset`. Says in the thread
        where what is, and makes it be looked at again when that is not what it was."""
        raise NotImplementedError

    def _add(self, words: array[int], start: int) -> None:
        """Copy these in one call, or in as many as are needed."""
        for first in range(0, len(words), 2 * MAX_SEGMENTS):
            segments = words[first : first + 2 * MAX_SEGMENTS]
            size = sum(segments[1::2])
            self._arrays.append(segments)
            self._calls.append((segments.buffer_info()[0], len(segments) // 2, start, size))
            start += size

    def copy(self) -> bytes | None:
        """Everything there is. None when a segment is gone: see `fault`."""
        if self._outdated:
            self._build()
        base, local, memory = self._base, self._local, self._memory
        for attempt in (1, 2):
            began = monotonic_ns()
            for segments, count, start, size in self._calls:
                local.base, local.len = base + start, size
                memory.calls += 1
                got = memory.readv(memory.pid, self._local_p, 1, segments, count, 0)
                if got != size:
                    self.fault = start + (got if got >= 0 else memory.failed())
                    return None
            if attempt == 2 or monotonic_ns() - began < LOST_NS * len(self._calls):
                break
        data = self._view[: self._total].tobytes()
        return self._keep_pages(data) if self.pages else data

    def _keep_pages(self, data: bytes) -> bytes:
        size = PAGE * len(self.pages)
        self.before, self.after = data[self.head_size : self.head_size + size], data[-size:]
        return data

    def copy_some(self, threads: list[Thread]) -> tuple[bytes, Parts] | None:
        """The head, the pages, the parts of these threads, the pages; and where in that each thread's part is.

        None when a segment is gone, or they are too many for one call: copy everything then. All in one piece, and the
        layout kept: the same few threads run again and again, and it is this that most samples consist of.
        """
        which = tuple(threads)
        _words, copy, size, view, parts = self._some.get(which) or self._lay_out(which)
        if copy is None:
            return None
        self._memory.calls += 1
        began = monotonic_ns()
        got = copy()
        if got == size and monotonic_ns() - began >= LOST_NS:
            self._memory.calls += 1
            got = copy()
        if got != size:
            return None
        data = view.tobytes()
        return (self._keep_pages(data) if self.pages else data), parts

    def _lay_out(self, threads: tuple[Thread, ...]) -> Selection:
        words = self._head_words + self._page_words
        at = self.first
        parts: list[tuple[Thread, int, int]] = []
        for thread in threads:
            part = self._words.get(thread)
            if part is None:
                part = self._words[thread] = self._lay(thread, 0)
            words += part
            end = at + thread.end - thread.start
            parts.append((thread, at, end))
            at = end
        words += self._page_words
        if len(self._some) >= _SOME:
            self._some.clear()
        size = at + PAGE * len(self.pages)
        self._reserve(size)
        fits = len(words) // 2 <= MAX_SEGMENTS
        copy = self._memory.prepared(self._everything, words) if fits else None
        layout = self._some[threads] = Selection(words, copy, size, self._view[:size], tuple(parts))
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
