"""Who wakes the threads of one process, and every switch of theirs: by two small programs inside the kernel (BPF).

They run at the kernel's tracepoints sched_waking and sched_switch, look whether the thread belongs to the process, and
write one record into a ring that we map: a few descriptors whatever the number of threads and CPUs, nothing is asked
thread by thread, and whoever is born later is covered from its first moment. Root, or CAP_BPF with CAP_PERFMON.

Nothing is stopped. See `programs` for what is left out of an answer rather than guessed.
"""

from __future__ import annotations

import errno
import mmap
import os
import platform
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar

from concview.linux import bpf
from concview.linux.btf import STRUCT, TYPEDEF, VAR, Types, Unreadable, kernel_types
from concview.linux.switches import IN, OUT, PUSHED_ASIDE, WAKING, Batch, NotHere, Row, Switches
from concview.model import INTERRUPT, NOBODY_KNOWN, Capability

_WANTED = frozenset({
    (STRUCT, "task_struct"), (TYPEDEF, "btf_trace_sched_switch"), (TYPEDEF, "btf_trace_sched_waking"),
    (STRUCT, "sched_entity"), (STRUCT, "cfs_rq"), (VAR, "runqueues"), (VAR, "current_task"), (VAR, "__preempt_count"),
})  #: of the kernel's types  # fmt: skip
#: How many arguments sched_switch has since Linux 5.18, the one that the kernel itself hands over included.
_ARGUMENTS = 5
#: Bits of `__preempt_count` (include/linux/preempt.h): in a soft interrupt, in a hard one, in an NMI.
_IN_INTERRUPT = 0x00FF_0100
#: The PID namespace of the machine (PROC_PID_INIT_INO): numbers of threads in records are of this one.
_FIRST_NAMESPACE = "pid:[4026531836]"
#: What a record carries: IN, OUT, PUSHED_ASIDE or WAKING; thread; when; of WAKING: by whom.
_BODY = struct.Struct("<IIQq")
#: With the ring's own header (length and two bits, distance).
RECORD = 8 + _BODY.size
_WORDS, _QWORDS = RECORD // 4, RECORD // 8
#: Bytes: 32,768 records, 0.3 s at 100,000 switches a second.
_RING = 1 << 20
#: A program runs at every switch of the machine, whosever it is, for 0.02 to 0.05 µs: so many of ours at most.
_NAME, _TOGETHER = "concview_waking", 8


def waking_program(pid: int, types: Types, ring: int, lost: int) -> bytes:
    """For sched_waking, with the descriptors of the ring and of the map that counts what did not fit.

    Who wakes is who runs on that CPU then. But an interrupt borrows whatever thread is on its CPU, and that one has
    woken nobody: so what is woken in an interrupt (a timer, the network) is told as that. Whether one runs stands in a
    variable of that CPU, `__preempt_count`. Its place follows from that of the CPU's run queue, which the running
    thread knows, and from the kernel's description of its variables; the thread that is said to run, which lies
    beside it, tells whether that is right. If not, it is not known who woke it.
    """
    section, queues = ".data..percpu", types.offset(".data..percpu", "runqueues")
    c = bpf.Code()
    c.load(8, 6, 1, 0)  # who is woken
    c.load(4, 2, 6, types.member("task_struct", "tgid"))
    c.jump_differs(2, pid, "end")
    c.load(4, 2, 6, types.member("task_struct", "pid"))
    c.put(4, 10, _RECORD_AT, WAKING)
    c.store(4, 10, _RECORD_AT + 4, 2)
    c.put(8, 10, _RECORD_AT + 16, NOBODY_KNOWN)
    c.call(bpf.CURRENT)
    c.copy(7, 0)
    c.load(8, 8, 7, types.member("task_struct", "se") + types.member("sched_entity", "cfs_rq"))
    c.load(8, 8, 8, types.member("cfs_rq", "rq"))
    _read(c, 8, types.offset(section, "current_task") - queues)
    c.load(8, 1, 10, _READ_AT)
    c.jump_other(1, 7, "when")
    _read(c, 4, types.offset(section, "__preempt_count") - queues)
    c.load(4, 1, 10, _READ_AT)
    c.put(8, 10, _RECORD_AT + 16, INTERRUPT)
    c.both(1, _IN_INTERRUPT)
    c.jump_differs(1, 0, "when")
    c.call(bpf.WHO)
    c.copy(1, 0)
    c.shift_right(1, 32)
    c.low(2, 0)
    c.jump_equal(1, pid, "ours")
    c.copy(2, 1)
    c.negate(2)
    c.label("ours")
    c.store(8, 10, _RECORD_AT + 16, 2)
    c.label("when")
    _write(c, ring, lost, "it")
    c.label("end")
    c.leave()
    return c.built()


def switch_program(pid: int, types: Types, ring: int, lost: int) -> bytes:
    """For sched_switch: a record for the thread that loses the CPU and for the one that gets it."""
    tgid, tid = types.member("task_struct", "tgid"), types.member("task_struct", "pid")
    c = bpf.Code()
    c.copy(6, 1)
    c.load(8, 7, 6, 8)  # who leaves
    c.load(8, 8, 6, 16)  # who comes
    c.put(8, 10, _RECORD_AT + 16, 0)
    c.load(4, 2, 7, tgid)
    c.jump_differs(2, pid, "comes")
    # It wanted to go on when the kernel took the CPU, or when its state is still "running".
    c.load(8, 3, 6, 0)
    c.load(8, 4, 6, 24)
    c.both(3, 0xFF)
    c.set(5, PUSHED_ASIDE)
    c.jump_differs(3, 0, "left")
    c.jump_equal(4, 0, "left")
    c.set(5, OUT)
    c.label("left")
    c.load(4, 2, 7, tid)
    c.store(4, 10, _RECORD_AT, 5)
    c.store(4, 10, _RECORD_AT + 4, 2)
    _write(c, ring, lost, "left")
    c.label("comes")
    c.load(4, 2, 8, tgid)
    c.jump_differs(2, pid, "end")
    c.load(4, 2, 8, tid)
    c.put(4, 10, _RECORD_AT, IN)
    c.store(4, 10, _RECORD_AT + 4, 2)
    _write(c, ring, lost, "came")
    c.label("end")
    c.leave()
    return c.built()


#: Places on a program's stack: the record, what was read.
_RECORD_AT, _READ_AT = -24, -32


def _write(c: bpf.Code, ring: int, lost: int, name: str) -> None:
    c.call(bpf.NOW)
    c.store(8, 10, _RECORD_AT + 8, 0)
    c.constant(1, bpf.MAP, ring)
    c.copy(2, 10)
    c.add(2, _RECORD_AT)
    c.set(3, _BODY.size)
    c.set(4, bpf.NO_WAKEUP)
    c.call(bpf.PUT)
    c.jump_null(0, f"{name} written")
    c.constant(1, bpf.MAP_VALUE, lost)
    c.set(2, 1)
    c.count(1, 2)
    c.label(f"{name} written")


def _read(c: bpf.Code, size: int, distance: int) -> None:
    c.put(8, 10, _READ_AT, 0)
    c.copy(1, 10)
    c.add(1, _READ_AT)
    c.set(2, size)
    c.copy(3, 8)
    c.add(3, distance)
    c.call(bpf.READ)


class _Ring:
    """The records of programs that are let run until `close`. OSError, Unreadable, NotHere."""

    def __init__(self, pid: int, switches: bool) -> None:
        """`switches`: of these too, not of wakings alone."""
        self._fds: list[int] = []
        self._maps: list[mmap.mmap] = []
        self._views: list[memoryview] = []
        try:
            self._open(pid, switches)
        except BaseException:
            self.close()
            raise

    def _open(self, pid: int, switches: bool) -> None:
        if os.readlink("/proc/self/ns/pid") != _FIRST_NAMESPACE:  # noqa: PTH115
            raise NotHere(
                "concview runs in a container with numbers of processes of its own",
                "run concview on the host, or in a container started with --pid host",
            )
        if platform.machine() != "x86_64":
            raise NotHere("whether an interrupt woke a thread is only known how to tell on x86-64")
        fds = self._fds
        fds.append(bpf.create(bpf.RING, 0, 0, _RING))
        if bpf.loaded(_NAME) >= _TOGETHER:
            raise NotHere(f"{_TOGETHER} processes are watched in this way already: more would slow the machine down")
        types = kernel_types(_WANTED)
        fds.append(bpf.create(bpf.ARRAY, 4, 8, 1, bpf.MAPPABLE))
        ring, lost = fds
        fds.append(bpf.load(waking_program(pid, types, ring, lost), _NAME, types.ids["btf_trace_sched_waking"]))
        if switches:
            number = types.ids["btf_trace_sched_switch"]
            if types.arguments("btf_trace_sched_switch") < _ARGUMENTS:
                raise NotHere("this kernel does not tell at a switch whether the thread blocked", "use Linux 5.18")
            fds.append(bpf.load(switch_program(pid, types, ring, lost), "concview_switch", number))
        self._map(ring, lost)
        fds += [bpf.attach(program) for program in fds[2:]]

    def _map(self, ring: int, lost: int) -> None:
        page = mmap.PAGESIZE
        # The data lie there twice in a row: what goes over the end is in one piece all the same.
        made = self._maps
        made.append(mmap.mmap(ring, page))
        made.append(mmap.mmap(ring, page + 2 * _RING, prot=mmap.PROT_READ, offset=page))
        made.append(mmap.mmap(lost, page))
        plain = [memoryview(one) for one in made]
        self._read, self._written, self._lost = quads = [one.cast("Q") for one in plain]
        self._data = plain[1][page:]
        self._views += [self._data, *quads, *plain]
        self._tail = self._read[0]

    @property
    def lost(self) -> int:
        """Records that found no room."""
        return self._lost[0]

    def read(self) -> bytes:
        """What came since the last call."""
        tail, head = self._tail, self._written[0]
        if tail == head:
            return b""
        start = tail % _RING
        data = bytes(self._data[start : start + head - tail])
        lengths = memoryview(data).cast("I")[::_WORDS].tolist()
        if lengths.count(_BODY.size) != len(lengths):
            # One is still being written, on another CPU: what comes behind it is for the next time.
            data = data[: RECORD * next(i for i, length in enumerate(lengths) if length != _BODY.size)]
        self._tail = self._read[0] = tail + len(data)
        return data

    def close(self) -> None:
        for view in self._views:
            view.release()
        for one in self._maps:
            one.close()
        self._views, self._maps = [], []
        for fd in reversed(self._fds):
            os.close(fd)
        self._fds = []


class Wakeups:
    """All of it by programs: switches and wakings. Implements `switches.Source`; NotHere."""

    #: A record takes 0.1 to 0.2 µs.
    most_per_s: ClassVar[int] = 60_000
    #: Kernels have been seen that do not let programs run while certain processes of theirs are on the CPU: a thread
    #: that comes behind one of these has no record.
    certain: ClassVar[bool] = False

    def __init__(self, pid: int) -> None:
        self._ring = _opened(pid, True)

    def cover(self, most: int = 0) -> bool:
        """All threads are, from the beginning."""
        return True

    @property
    def gaps(self) -> tuple[int, ...]:
        return (self._ring.lost,)

    def read_each(self, batches: list[Batch], ran: set[int], on: dict[int, int]) -> bool:
        data = self._ring.read()
        if not data:
            return False
        batches.append((rows, data))
        columns = memoryview(data).cast("I")
        words = columns[2::_WORDS].tolist()
        switched = zip(columns[3::_WORDS].tolist(), words, strict=True)
        last = {tid: word for tid, word in switched if word != WAKING}
        ran.update(last)
        for tid, word in last.items():
            if word == IN:
                on[tid] = tid
            else:
                on.pop(tid, None)
        return bool(last)

    def wakings(self) -> list[Batch]:
        return []

    def close(self) -> None:
        self._ring.close()


class WithWakers:
    """Switches as perf events record them, and wakings by a program. Implements `switches.Source`; NotHere."""

    #: Three records a wait, 3.4 µs.
    most_per_s: ClassVar[int] = 8_500
    certain: ClassVar[bool] = True

    def __init__(self, pid: int, events: int) -> None:
        """`events`: so many may be opened, as of `Switches`."""
        self._switches = Switches(pid, events)
        try:
            self._ring = _opened(pid, False)
        except BaseException:
            self._switches.close()
            raise

    def cover(self, most: int = 1 << 30) -> bool:
        return self._switches.cover(most)

    @property
    def gaps(self) -> tuple[int, ...]:
        return (self._ring.lost, *self._switches.gaps)

    def read_each(self, batches: list[Batch], ran: set[int], on: dict[int, int]) -> bool:
        return self._switches.read_each(batches, ran, on)

    def wakings(self) -> list[Batch]:
        data = self._ring.read()
        return [(rows, data)] if data else []

    def close(self) -> None:
        self._switches.close()
        self._ring.close()


def rows(data: bytes) -> Iterable[Row]:
    """Of a ring's records."""
    words, quads, signed = memoryview(data).cast("I"), memoryview(data).cast("Q"), memoryview(data).cast("q")
    return zip(
        quads[2::_QWORDS].tolist(),
        words[3::_WORDS].tolist(),
        words[2::_WORDS].tolist(),
        signed[3::_QWORDS].tolist(),
        strict=True,
    )


def _opened(pid: int, switches: bool) -> _Ring:
    try:
        return _Ring(pid, switches)
    except OSError as error:
        raise _refused(error) from None
    except Unreadable as error:
        raise NotHere(f"the kernel does not describe itself: {error}", _WITH_BTF) from None


_WITH_BTF = "use a kernel with CONFIG_DEBUG_INFO_BTF"


def _refused(error: OSError) -> NotHere:
    if error.errno == errno.EPERM:
        return NotHere("the kernel lets only root load programs into it", "run concview as root")
    if error.errno == errno.ENOSYS:
        return NotHere("this kernel has no bpf()", "use a kernel with CONFIG_BPF_SYSCALL")
    return NotHere(f"the kernel refuses the program: {error.strerror}", "")


@lru_cache(maxsize=1)
def probe() -> Capability:
    """Tried for real, once: everything is opened, for ourselves, and closed again."""
    try:
        _opened(os.getpid(), True).close()
    except NotHere as why:
        return Capability(False, str(why), why.enable)
    return Capability(True)
