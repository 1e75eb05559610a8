"""Programs in the kernel: what its description of its types says, what they tell, and why they cannot be had."""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from concview.linux import bpf, wakeups
from concview.linux.btf import STRUCT, TYPEDEF, VAR, Types, Unreadable
from concview.linux.switches import IN, OUT, WAKING, Batch, NotHere
from concview.linux.wakeups import RECORD, Wakeups, rows

ABLE = wakeups.probe()
needs_programs = pytest.mark.skipif(not ABLE.available, reason=f"{ABLE.why}; {ABLE.enable}")


class Description:
    """A kernel's types as it would describe them."""

    def __init__(self) -> None:
        self.strings, self.types, self.count = b"\0", b"", 0

    def name(self, text: str) -> int:
        self.strings += text.encode() + b"\0"
        return len(self.strings) - len(text) - 1

    def add(self, kind: int, name: str, size: int, members: list[tuple[int, ...]], flag: int = 0) -> int:
        """Its number."""
        self.types += struct.pack("<III", self.name(name) if name else 0, flag << 31 | kind << 24 | len(members), size)
        for member in members:
            self.types += struct.pack(f"<{len(member)}I", *member)
        self.count += 1
        return self.count

    def data(self) -> bytes:
        header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings))
        return header + self.types + self.strings


def described() -> bytes:
    d = Description()
    d.types += struct.pack("<IIII", d.name("int"), 1 << 24, 4, 32)
    d.count += 1
    d.add(STRUCT, "task_struct", 3000, [(d.name("tgid"), 1, 8 * 1268)])
    d.add(STRUCT, "bits", 8, [(d.name("first"), 1, 1 << 24 | 64)], flag=1)
    d.add(TYPEDEF, "btf_trace_x", d.count + 2, [])
    d.add(2, "", d.count + 2, [])
    d.add(13, "", 0, [(0, 1), (0, 1), (0, 1)])
    d.types += struct.pack("<IIII", d.name("counter"), VAR << 24, 1, 1)
    d.count += 1
    d.add(15, ".data..percpu", 100, [(d.count, 48, 4)])
    return d.data()


WANTED = frozenset({(STRUCT, "task_struct"), (STRUCT, "bits"), (TYPEDEF, "btf_trace_x"), (VAR, "counter")})


def test_offsets_numbers_and_arguments_are_read_from_a_description() -> None:
    types = Types(described(), WANTED)
    assert types.ids == {"task_struct": 2, "bits": 3, "btf_trace_x": 4, "counter": 7}
    assert types.member("task_struct", "tgid") == 1268
    assert types.member("bits", "first") == 8, "a bit field's width is no part of its place"
    assert types.arguments("btf_trace_x") == 3
    assert types.offset(".data..percpu", "counter") == 48


@pytest.mark.parametrize(
    "asked",
    [
        lambda t: t.member("task_struct", "first"),
        lambda t: t.offset(".data..percpu", "bits"),
        lambda t: t.offset("first", "counter"),
        lambda t: t.arguments("counter"),
    ],
)
def test_what_is_not_in_it_is_said(asked: Callable[[Types], Any]) -> None:
    with pytest.raises(Unreadable):
        asked(Types(described(), WANTED))


def test_damage_is_said() -> None:
    whole = described()
    for data in (b"", whole[:20], b"\0" * 40, whole[:60]):
        with pytest.raises(Unreadable):
            Types(data, WANTED)
    with pytest.raises(Unreadable, match="of nothing"):
        Types(whole, frozenset({(STRUCT, "nothing")}))


@pytest.mark.parametrize(
    ("code", "why", "enable"),
    [(errno.EPERM, "only root", "as root"), (errno.ENOSYS, "no bpf", "CONFIG_BPF"), (errno.EACCES, "refuses", "")],
)
def test_a_refusal_says_why_and_what_would_help(
    code: int, why: str, enable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(bpf, "_call", refused)
    monkeypatch.setattr(wakeups.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(wakeups.os, "readlink", lambda _: wakeups._FIRST_NAMESPACE)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(NotHere, match=why) as raised:
        Wakeups(os.getpid())
    assert enable in raised.value.enable
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_numbers_of_another_namespace_are_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups.os, "readlink", lambda _: "pid:[4026532000]")
    with pytest.raises(NotHere, match="container"):
        Wakeups(os.getpid())


def test_a_record_that_is_still_being_written_ends_a_batch() -> None:
    def record(word: int, tid: int, at: int, waker: int, busy: bool = False) -> bytes:
        return struct.pack("<IIIIQq", 24 | busy << 31, 0, word, tid, at, waker)

    whole = record(IN, 5, 10, 0) + record(WAKING, 6, 11, -1)
    ring = wakeups._Ring.__new__(wakeups._Ring)
    ring._data = memoryview(whole + record(OUT, 5, 12, 0, busy=True) + record(IN, 6, 13, 0))
    ring._tail, ring._read, ring._written = 0, memoryview(bytearray(8)).cast("Q"), memoryview(bytearray(8)).cast("Q")
    ring._written[0] = 4 * RECORD
    assert list(rows(ring.read())) == [(10, 5, IN, 0), (11, 6, WAKING, -1)]
    assert ring._tail == ring._read[0] == 2 * RECORD
    assert ring.read() == b"", "not before it is written"


def _programs() -> set[str]:
    """Numbers of the kernel's programs that this process holds: others of the machine come and go."""
    told = [path.read_text() for path in Path("/proc/self/fdinfo").iterdir() if path.exists()]
    return {line for text in told for line in text.splitlines() if line.startswith("prog_id:")}


@needs_programs
def test_programs_tell_of_switches_and_wakings_and_are_gone_when_closed() -> None:
    """Of this very process: a thread that waits for a semaphore until this one releases it."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert not _programs()
    gate, passed = threading.Semaphore(0), threading.Semaphore(0)

    def wait() -> None:
        while gate.acquire() and not stop:
            passed.release()

    stop: list[int] = []
    thread = threading.Thread(target=wait)
    source = Wakeups(os.getpid())
    try:
        thread.start()
        assert len(_programs()) == 2 and bpf.loaded("concview_waking") >= 1
        batches: list[Batch] = []
        for _ in range(100):
            gate.release()
            passed.acquire()
            source.read_each(batches, set(), {})
        told = [row for made, data in batches for row in made(data)]
        me, other = threading.get_native_id(), thread.native_id
        assert (other, WAKING, me) in {row[1:] for row in told}, "who released it has woken it"
        # Who runs when another thread wakes somebody is never taken for it.
        assert {waker for _, tid, word, waker in told if word == WAKING and tid == other} <= {me, 0}
        assert any(word == OUT for _, _, word, _ in told) and source.gaps == (0,)
    finally:
        stop.append(1)
        gate.release()
        source.close()
    thread.join()
    assert not _programs()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
