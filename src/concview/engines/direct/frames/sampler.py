"""All threads of a process in one system call.

In the steady state a sample is one process_vm_readv that copies the list links, the GIL, and of every thread its state
and its stack. What equals the last sample is not looked at again. How a thread's stack is copied and judged depends on
the version: `stack_sampler` and `heap.sampler`.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Collection
from time import monotonic_ns, thread_time_ns
from typing import ClassVar

from concview.cpython.memory import BadAddress, Memory
from concview.cpython.offsets import Offsets
from concview.cpython.runtime import Runtime
from concview.cpython.threads import Interpreter, Thread, read_lists
from concview.engines.base import Tally
from concview.engines.direct.frames.batch import Batch

#: Samples after which a prediction that was too generous is taken back.
_SHRINK_AFTER = 512
#: A copy of everything, or of one thread, that made no sense is tried again so often.
TRIES = 4
#: Bytes copied of an object that does not stay: enough to tell whose method a bound method is.
_OBJECT = 48

_WORD = struct.Struct("<Q").unpack_from
_INT = struct.Struct("<i").unpack_from


class Sampler:
    """Samples the Python side of all threads. `sample` gives those whose stack may have changed."""

    #: What it keeps of one thread.
    _thread: ClassVar[type[Thread]] = Thread

    def __init__(self, memory: Memory, runtime: Runtime, offsets: Offsets, batch: Batch, tally: Tally) -> None:
        self._memory, self._runtime, self._o, self._tally = memory, runtime, offsets, tally
        self._o_switches, self._o_locked, self._o_holder = (
            offsets["gil.switch_number"], offsets["gil.locked"], offsets["gil.last_holder"],
        )  # fmt: skip
        self.batch = batch
        self.interpreters: list[Interpreter] = []
        self.threads: list[Thread] = []
        self._by_address: dict[int, Thread] = {}
        self.list_changes = 0  #: grows whenever the set of threads changed
        self.collecting = False
        #: Of the interpreters beside the main one that have a GIL of their own: (address, thread state that holds the
        #: GIL or 0, how often it went to another)
        self.other_gils: list[tuple[int, int, int]] = []
        self._holder = 0  #: thread state that holds the GIL; 0 nobody, -1 there is no GIL
        self.bound: list[Thread] = []  #: whose tid has become known since the caller last cleared it
        #: Where a tick has no room for all threads: what reading the lists again may take, as a share of a core.
        #: Between two readings only threads are looked at whose place in the list is as it was. 0: no bound.
        self.listing_share = 0.0
        self.listed_ns = 0  #: CPU time that reading the lists took, since the caller last set it back
        self._relist_at = 0
        self._dirty = True
        self._moved_parts: dict[Thread, None] = {}  #: whose part of the copy must be laid out anew
        self._last = self._last_head = b""
        self._last_objects = b""
        self._changed: dict[Thread, None] = {}
        self._listed = False

    def expire(self) -> None:
        """Read the lists again at the next sample."""
        self._listed = False

    def prepare(self) -> None:
        """Read the lists before the first sample, if that can be."""
        with contextlib.suppress(BadAddress):
            self._relist()

    def _relist(self) -> None:
        """Read the lists of interpreters and threads anew, keeping what is known of threads that stay."""
        began = thread_time_ns()
        self._dirty = True
        self._last = self._last_head = b""
        self.interpreters, self.threads = read_lists(
            self._memory, self._runtime, self._o, self._by_address, self._thread
        )
        self._by_address = {t.address: t for t in self.threads}
        self.list_changes += 1
        self._listed = True
        if self.listing_share:
            # Whoever uses the lists does as much again.
            spent = thread_time_ns() - began
            self.listed_ns += spent
            self._relist_at = monotonic_ns() + int(2 * spent / self.listing_share)

    @property
    def gil_holder(self) -> int:
        """As in Tick: tid, 0 nobody, -1 cannot be seen, -2 a thread without a known tid."""
        if self._holder <= 0:
            return self._holder
        thread = self._by_address.get(self._holder)
        return thread.tid or -2 if thread is not None else -2

    def tid_of(self, state: int) -> int:
        """Of a thread state, as in `gil_holder`."""
        thread = self._by_address.get(state)
        return 0 if not state else thread.tid or -2 if thread is not None else -2

    def forget_stacks(self) -> None:
        """Walk every stack anew at the next sample: ids that were given out are void."""
        self._last = b""
        for thread in self.threads:
            thread.segment = None
            thread.walk.clear()

    def objects(self, thread: Thread, addresses: list[int]) -> list[bytes | None]:
        """First bytes of objects on the thread's stack, as they were in the very moment of its copy; None where that
        cannot be told this time. From now on they are watched: the thread counts as changed when one changes."""
        batch = self.batch
        found = batch.objects(addresses if thread.walk.sure else [0] * len(addresses), _OBJECT)
        thread.objects = list(zip(addresses, found, strict=True))
        if None in found:
            thread.objects = [each for each in thread.objects if each[1] is not None]
            thread.again = True  # one that is not watched may change where nothing else does
            if batch.want(addresses):
                self._dirty = True
        return found

    def _objects_changed(self, thread: Thread) -> bool:
        return any(self.batch.object(address, _OBJECT) != head for address, head in thread.objects)

    def _bind(self, thread: Thread, tid: int, ident: int) -> None:
        """Which thread of the kernel's and of `threading`'s it is."""
        if thread.tid:
            self.list_changes += 1
        elif tid:
            self.bound.append(thread)
        thread.tid, thread.ident = tid, ident

    # ------------------------------------------------------------------ one sample

    def sample(self, ran: list[Thread] | None = None, moved: Collection[Thread] | None = None) -> list[Thread]:
        """Threads whose stack may have changed since the last call. Raises TargetGone, NotPermitted.

        `ran`: only these can have changed (None: any); the others are not copied. `moved`, where all are copied: those
        that may have run; of the others nothing on their stacks has changed.

        A copy that could not be made or whose lists changed meanwhile is tried again; `tally.misses` counts those
        given up.
        """
        tally = self._tally
        tally.samples += 1
        if tally.samples % _SHRINK_AFTER == 0:
            self._shrink()
        in_parts = ran is not None and self.listing_share > 0
        for _ in range(TRIES):
            try:
                if not self._listed and (not in_parts or monotonic_ns() >= self._relist_at):
                    self._relist()
                whole = ran is None or (self._dirty and not in_parts)
                if self._dirty:
                    self.batch.begin(self.interpreters, self.threads)
                    self._last = b""
                    self._dirty = False
                if self._moved_parts:
                    self.batch.relay(self._moved_parts)
                    self._moved_parts.clear()
                    self._last = b""
                if self._sample(moved) if whole or ran is None else self._sample_some(ran, in_parts):
                    break
                if not in_parts:
                    ran = moved = None
                self._relist_at = 0
                self._listed = False
            except BadAddress:
                self._dirty = True  # the target is starting, ending or changing its lists right now
        else:
            tally.misses += 1
        if not self._changed:
            return []
        # Also what an earlier try of this sample, or one that was given up, has found.
        changed = list(self._changed)
        self._changed.clear()
        return changed

    def same(self) -> bool:
        """A sample of which it is known that nothing has changed. False: it has to be taken."""
        if not self._listed or self._changed:
            return False
        self._tally.samples += 1
        return True

    def once_more(self, threads: list[Thread]) -> bool:
        """Copy these beside the samples, for who must know that a stack is still what it was: whether it may not be.
        The next sample tells of what has changed as if it had seen it first."""
        self._tally.samples -= 1
        misses = self._tally.misses
        for thread in self.sample(threads):
            self._changed[thread] = None
        return self._tally.misses != misses or not self._changed.keys().isdisjoint(threads)

    def _sample(self, moved: Collection[Thread] | None) -> bool:
        """False: the lists must be read again."""
        batch = self.batch
        data = batch.copy()
        if data is None:
            culprit = next((t for t in self.threads if t.end > batch.fault), None)
            if culprit is not None and batch.fault >= batch.first:
                culprit.forget_prediction()
                self._moved_parts[culprit] = None
            elif batch.pages:
                batch.drop_pages()
                self._dirty = True
            return False
        last = self._last
        if data == last:
            return True
        head = data[: batch.head_size]
        if head != self._last_head and not self._judge_head(head):
            return False
        self._last = data
        # The objects, too: the next `with` may have its method where that of the last one was.
        same_objects = self._same_objects()
        for start, end, group in batch.groups:
            if same_objects and last and data[start:end] == last[start:end]:
                continue
            for thread in group:
                segment = data[thread.start : thread.end]
                if segment == thread.segment and (
                    (moved is not None and thread not in moved)
                    or (not thread.again and (same_objects or not self._objects_changed(thread)))
                ):
                    continue
                if _WORD(segment, thread.link)[0] != thread.next:
                    self._last = b""
                    return False
                thread.segment = segment
                self._changed[thread] = None
                self._look(thread, segment)
        return True

    def _same_objects(self) -> bool:
        """Whether the pages that are copied along are as they were last time."""
        after, last = self.batch.after, self._last_objects
        self._last_objects = after
        return after == last

    def _sample_some(self, threads: list[Thread], in_parts: bool) -> bool:
        """Head and these threads. False: the lists must be read again, at once.

        `in_parts`: where the lists have changed, those threads are looked at that are in their place all the same.
        """
        batch = self.batch
        copied = batch.copy_some(threads)
        if copied is None:
            return self._halves(threads) if in_parts else self._sample(None)
        data, parts = copied
        head = data[: batch.head_size]
        if head != self._last_head and not self._judge_head(head):
            if not in_parts or _WORD(head)[0] != self.interpreters[0].address:
                return False
            self._listed = False
            self._judge_gils(head)
        self._last = b""  # it no longer tells what the threads' segments are
        same_objects = not batch.pages or self._same_objects()
        for thread, start, end in parts:  # looking at one may change its layout for the next copy
            segment = data[start:end]
            if segment == thread.segment and not thread.again and (same_objects or not self._objects_changed(thread)):
                continue
            if _WORD(segment, thread.link)[0] != thread.next:
                if not in_parts:
                    return False
                # Its neighbour ended, or it did itself.
                self._listed, thread.segment = False, None
                continue
            thread.segment = segment
            self._changed[thread] = None
            self._look(thread, segment)
        return True

    def _halves(self, threads: list[Thread]) -> bool:
        """Too many for one call, or something that was to be copied is gone."""
        if len(threads) > 1:
            middle = len(threads) // 2
            if not self._sample_some(threads[:middle], True):
                return False
            for thread in self._changed:
                thread.walk.sure = False  # the objects that are copied with the next half are later than its stack
            return self._sample_some(threads[middle:], True)
        for thread in threads:
            thread.forget_prediction()
            self._moved_parts[thread] = None
            self._listed = False
        return bool(threads)

    def _judge_head(self, head: bytes) -> bool:
        """Links, GILs, collector. False: a list changed."""
        expected = self.interpreters[0].address if self.interpreters else 0
        if _WORD(head)[0] != expected:
            return False
        offset, step = 8, 20 + self.batch.gil_size
        for interpreter in self.interpreters:
            if _WORD(head, offset)[0] != interpreter.next or _WORD(head, offset + 8)[0] != interpreter.head:
                return False
            offset += step
        self._judge_gils(head)
        self._last_head = head
        return True

    def _judge_gils(self, head: bytes) -> None:
        offset, gil_size = 8, self.batch.gil_size
        self.collecting, self._holder = False, 0
        if self.other_gils or len(self.interpreters) > 1:
            self.other_gils = []
            main = self.interpreters[-1].gil
        for interpreter in self.interpreters:
            gil = offset + 16
            offset = gil + gil_size + 4
            if _INT(head, offset - 4)[0] == 1:
                self.collecting = True
            if not interpreter.next:  # the main interpreter is the last of the list
                self._judge_gil(head, gil)
            elif interpreter.gil and interpreter.gil != main and self._has_gil(head, gil):
                locked = _INT(head, gil + self._o_locked)[0] == 1
                holder = _WORD(head, gil + self._o_holder)[0] if locked else 0
                self.other_gils.append((interpreter.address, holder, _WORD(head, gil + self._o_switches)[0]))

    def _has_gil(self, head: bytes, at: int) -> bool:
        return not self._o.free_threaded or bool(_INT(head, at)[0])

    def _judge_gil(self, head: bytes, at: int) -> None:
        if not self._has_gil(head, at):
            self._holder = self._tally.gil_switches = -1
            return
        self._tally.gil_switches = _WORD(head, at + self._o_switches)[0]
        if _INT(head, at + self._o_locked)[0] == 1:
            self._holder = _WORD(head, at + self._o_holder)[0]

    # ------------------------------------------------------------------ one thread

    def _look(self, thread: Thread, segment: bytes) -> None:
        """Judge one thread's new bytes: fill in its walk."""
        raise NotImplementedError

    def _shrink(self) -> None:
        """Take back predictions that have been too generous for a while."""
        if self.batch.shrink():
            self._dirty = True
