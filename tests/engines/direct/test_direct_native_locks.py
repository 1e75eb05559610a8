"""Who has the lock of a C library, against what the threads that have them say of themselves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from direct_helpers import KeepingSink, tick_until_passes, watching

from concview.cpython.memory import Memory
from concview.cpython.threads import Thread
from concview.engines.direct.relations import natives
from concview.engines.direct.thread_table import ThreadRow
from concview.linux.pthread_locks import lock_of
from concview.linux.syscall_line import SyscallLine
from concview.linux.syscalls import Shape
from concview.model import NativeWaits
from interpreters import Interpreter, target

TARGET = Path(__file__).with_name("native_locks_target.py")

#: glibc records owners; what other C libraries do is not read.
pytestmark = pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="needs glibc")


def _last(sink: KeepingSink) -> NativeWaits | None:
    return next((e for e in reversed(sink.events) if isinstance(e, NativeWaits)), None)


def test_the_owner_is_who_took_it(direct_python: Interpreter) -> None:
    with target(direct_python, TARGET) as process, watching(process.pid) as (engine, sink):
        tids: dict[str, int] = json.loads(process.line())
        waiters = {tid for who, tid in tids.items() if who.startswith("wants")}

        def told() -> None:
            last = _last(sink)
            assert last is not None
            waits = {wait.tid: wait for wait in last.waits}
            assert waits.keys() == waiters

            for name in ("plain", "recursive", "checked", "robust", "inherits"):
                wait = waits[tids[f"wants {name}"]]
                assert (name, wait.kind, wait.owner, wait.lost) == (name, "mutex", tids[f"has {name}"], False)
                assert not wait.shared and not wait.others
            for who in ("wants written", "wants to read"):
                assert (waits[tids[who]].kind, waits[tids[who]].owner) == ("rwlock", tids["has written"]), who

            stream = waits[tids["wants stream"]]
            assert (stream.kind, stream.owner, stream.lost) == ("stdio lock", tids["has stream"], False)
            buffered = waits[tids["wants buffered"]]
            assert (buffered.kind, buffered.owner, buffered.lost) == ("lock", tids["has buffered"], False)
            assert buffered.what == "a lock inside a BufferedWriter"
            too = waits[tids["wants buffered, too"]]
            assert (too.address, too.owner) == (buffered.address, buffered.owner), (
                "one lock, also where each has its own futex"
            )

            shared = waits[tids["wants shared"]]
            child = tids["has shared"]  # its only thread has the number of the process
            assert shared.shared and (shared.kind, shared.owner, shared.lost) == ("mutex", child, False)
            assert [owner.pid for owner in shared.others] == [child]

            lost = waits[tids["wants lost"]]
            assert (lost.kind, lost.owner, lost.lost) == ("mutex", tids["has lost"], True)

            none = waits[tids["wants none"]]
            assert (none.kind, none.owner, none.lost) == ("", 0, False)

        tick_until_passes(engine, told, looks=True, pause=0.05)


def _line(value: int, command: int = 128) -> SyscallLine:
    return SyscallLine("futex", Shape.FUTEX, (0x10000, command, value, 0, 0, 0), 0)


def test_what_is_no_lock_is_taken_for_none() -> None:
    taken = bytes.fromhex("02000000 00000000 d2040000 01000000 00000000 00000000") + bytes(16)
    found = lock_of(_line(2), lambda address, size: taken[address - 0x10000 :][:size] if address >= 0x10000 else b"")
    assert found is not None and found.owner == 1234
    for at in (0, 12, 16, 24, 32):  # not contended, no user, no such kind, in a list
        other = bytearray(taken)
        other[at : at + 4] = bytes(4) if at in (0, 12) else b"\x0c\x00\x00\x7f"
        data = bytes(other)
        assert lock_of(_line(2), lambda a, size, d=data: d[:size] if a == 0x10000 else b"") is None, at  # type: ignore[misc]
    assert lock_of(_line(2), lambda address, size: b"") is None
    assert lock_of(_line(0), lambda address, size: taken[:size]) is None  # waits for no lock to be given back
    assert lock_of(_line(2, 1), lambda address, size: taken[:size]) is None  # wakes


@pytest.mark.parametrize(
    ("module", "python_thread", "told"),
    [
        ("/srv/prog.bin", True, False),  # compiled to C with the interpreter in it: it may well be a lock of Python's
        ("/srv/prog.bin", False, True),  # a thread of the program that Python does not know
        ("/usr/lib/libblas.so.3", True, True),
        ("/usr/bin/python3.13", True, False),
    ],
)
def test_a_wait_in_the_program_that_the_interpreter_lies_in_is_not_taken_for_one_of_a_library(
    module: str, python_thread: bool, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits in a library of C's is no matter of the program's; a lock of Python's that could not be found is."""
    memory = Memory(os.getpid())
    memory.interpreter = "/srv/prog.bin"
    line = SyscallLine("futex", Shape.FUTEX, (0x7F00_1000, 0, 0, 0, 0, 0), 0x7FFF_0000)
    monkeypatch.setattr(natives.syscall_line, "read", lambda *_: line)
    monkeypatch.setattr(natives.pthread_locks, "lock_of", lambda *_: None)
    monkeypatch.setattr(natives.NativeReader, "module", lambda *_: module)
    sink, row = KeepingSink(), ThreadRow(7, 0)
    row.states = [Thread(0x1000, 0x2000, 0)] if python_thread else []
    natives.NativeReader(memory, sink).report(1, [row])
    last = _last(sink)
    assert last is not None and bool(last.waits) == told


FULL_QUEUE = """
import json, multiprocessing, threading, time
queue, tids = multiprocessing.Queue(1), {}
queue.put(0)
def put(name):
    tids[name] = threading.get_native_id()
    queue.put(1)
for n in range(2):
    threading.Thread(target=put, args=(n,), daemon=True).start()
while len(tids) < 2: time.sleep(0.01)
print("ready", flush=True)
print(json.dumps(list(tids.values())), flush=True)
time.sleep(1000)
"""


@pytest.mark.few
def test_who_took_a_semaphore_last_is_no_owner(direct_python: Interpreter) -> None:
    """multiprocessing notes that beside it; who waits for room in its queue waits for whoever takes something out."""
    with target(direct_python, FULL_QUEUE) as process, watching(process.pid) as (engine, sink):
        waiters = set(json.loads(process.line()))

        def told() -> None:
            last = _last(sink)
            assert last is not None
            assert sorted((w.tid, w.kind, w.owner) for w in last.waits if w.tid in waiters) == sorted(
                (tid, "", 0) for tid in waiters
            )

        tick_until_passes(engine, told, looks=True, pause=0.05)
