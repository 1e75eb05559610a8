"""Every way to block, on every Python: the right kind, system call, descriptor and peer."""

from __future__ import annotations

import os
import signal
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from blocking import EXPECTED, SOURCE
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_sink import Sink, eventually

from concview.linux import WaitReader, syscalls
from concview.linux.decode import _MUSL, Decoder
from concview.model import Peer, Wait, WaitKind
from concview.sink import Sink as SinkProtocol
from interpreters import Interpreter, Process, current, target

Facts = dict[str, dict[str, Any]]


def reader_for(pid: int, sink: Sink, **options: Any) -> WaitReader:
    return WaitReader(pid, cast(SinkProtocol, sink), **options)


def wrong(name: str, wait: Wait | None, fact: dict[str, Any]) -> str:
    """What is not as it should be; '' when all is."""
    kinds, calls, timed = EXPECTED[name]
    if wait is None:
        return "not read"
    if wait.kind not in kinds.split() or wait.syscall not in calls.split() or wait.timed is not timed:
        return f"expected {kinds} / {calls} / timed={timed}"
    if fact["fd"] is not None and wait.fd != fact["fd"]:
        return f"expected fd {fact['fd']}"
    peer = fact["peer"]
    parts = [peer] if isinstance(peer, str) else peer or []
    named = wait.peer.name if wait.peer else ""
    if (isinstance(peer, str) and named != peer) or any(part not in named for part in parts):
        return f"expected peer {peer}"
    if name == "connect" and (wait.peer is None or wait.peer.status != "SYN_SENT"):
        return "expected SYN_SENT"
    lacks = {"fifo_open": "no writer", "fifo_open_to_write": "no reader", "fifo_read": ""}.get(name)
    if lacks is not None and (wait.peer is None or (wait.peer.kind, wait.peer.status) != ("fifo", lacks)):
        return f"expected a FIFO with {lacks or 'both'}"
    if name in ("flock", "record_lock") and (wait.peer is None or wait.peer.kind != "file lock"):
        return "expected a file lock"
    return ""


def test_every_way_to_block(any_python: Interpreter) -> None:
    with target(any_python, SOURCE) as process:
        facts = cast(Facts, process.json())
        sink = Sink()
        reader = reader_for(process.pid, sink)

        def complaints() -> dict[str, str]:
            found = {}
            for name, fact in facts.items():
                reader.invalidate(fact["tid"])  # socket tables are rationed: an early answer may be provisional
                wait = sink.waits[reader.read(fact["tid"])]
                if said := wrong(name, wait, fact):
                    found[name] = f"{said}, got {wait}"
            return found

        latest: dict[str, str] = {}

        def settled() -> bool:
            latest.clear()
            latest.update(complaints())
            return not latest

        try:
            eventually(settled)
        except AssertionError:
            pytest.fail("\n".join(f"{name}: {said}" for name, said in latest.items()) + "\n" + process.errors())
        assert set(facts) >= set(EXPECTED) - {"recv_six"}
        assert not reader.denied

        # Nothing changes any more: equal lines are not parsed again, but for the rare check of descriptors.
        # `child_timeout` is left out: up to 3.14 it sleeps and looks in turn.
        tids = [fact["tid"] for name, fact in facts.items() if name != "child_timeout"]
        first = [reader.read(tid) for tid in tids]
        parsed = reader.parsed
        assert [reader.read(tid) for tid in tids] == first
        assert reader.parsed == parsed
        reader.close()


QUEUE, SEMAPHORES = (
    Peer("message queue", "message queue 3 (System V)"),
    Peer("semaphore set", "semaphore set 9 (System V)"),
)


@pytest.mark.parametrize(
    ("line", "wait"),
    [
        ("70 0x3 0x7f0 0x5c 0x0", Wait(WaitKind.IO, "msgrcv", peer=QUEUE)),
        ("69 0x3 0x7f0 0x5c 0x0", Wait(WaitKind.IO, "msgsnd", peer=QUEUE)),
        ("65 0x9 0x7f0 0x1 0x0", Wait(WaitKind.IO, "semop", peer=SEMAPHORES)),
        ("220 0x9 0x7f0 0x1 0x7f8", Wait(WaitKind.IO, "semtimedop", peer=SEMAPHORES, timed=True)),
    ],
)
def test_system_v(line: str, wait: Wait) -> None:
    """Real ones would outlive the test."""
    line += " 0x0 0x0 0x7fff0000 0x400000"
    assert Decoder(os.getpid(), machine="x86_64").parse(os.getpid(), line.encode())[0] == wait


@pytest.mark.parametrize(
    ("channel", "kind"),
    [
        ("mem_cgroup_oom_synchronize", WaitKind.MEMORY),
        ("__mem_cgroup_handle_over_high", WaitKind.MEMORY),
        ("folio_wait_bit_common", WaitKind.DISK),
        ("0", WaitKind.DISK),
    ],
)
def test_where_in_the_kernel_an_uninterruptible_thread_stands(
    channel: str, kind: WaitKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"stat": "1 (job) D 0", "wchan": channel}
    monkeypatch.setattr(Decoder, "_proc", lambda self, tid, name: told[name])
    decoder = Decoder(os.getpid(), read=lambda address, size: b"/srv/data\0")
    assert decoder.parse(1, b"-1 0x7fff0000 0x400000")[0] == Wait(kind, "page fault")
    opened, _ = decoder.parse(1, line(os.uname().machine, "openat", 0xFFFFFF9C, 0x7000, 0))
    assert opened == Wait(kind, "openat", peer=Peer("file", "/srv/data"))


LOCKS = """
import threading, time, sys
held = threading.Lock(); held.acquire()
def waiter():
    held.acquire(); held.release()
def timed():
    held.acquire(timeout=100000); held.release()
a, b = threading.Thread(target=waiter, daemon=True), threading.Thread(target=timed, daemon=True)
a.start(); b.start()
print("ready", a.native_id, b.native_id, flush=True)
sys.stdin.readline()
held.release()
a.join(); b.join()
print("done", flush=True)
sys.stdin.readline()
"""


@dataclass
class Somebody:
    tid: int
    wait: int = -1


def lock_waiters(process: Process, reader: WaitReader, sink: Sink) -> tuple[int, int]:
    _, one, two = process.line().split()
    for tid in (int(one), int(two)):
        eventually(lambda tid=tid: (w := sink.waits[reader.read(tid)]) and w.kind is WaitKind.FUTEX)  # type: ignore[misc]
    eventually(lambda: (w := sink.waits[reader.read(process.pid)]) and w.kind is WaitKind.IO)
    reader.forget(process.pid)
    return int(one), int(two)


def raw(pid: int, tid: int) -> list[int]:
    return [int(word, 0) for word in Path(f"/proc/{pid}/task/{tid}/syscall").read_text().split()]


@pytest.mark.few
def test_locks_of_many_threads_are_asked_for_at_once(any_python: Interpreter) -> None:
    with target(any_python, LOCKS, ready=None) as process:
        sink = Sink()
        one, two = lock_waiters(process, reader_for(process.pid, sink), sink)
        alone, together = reader_for(process.pid, sink), reader_for(process.pid, sink)
        named = Wait(WaitKind.FUTEX, "futex", lock=0x1234, lock_kind="Lock")
        asked: list[list[tuple[int, int, bool, int]]] = []

        def resolve(tid: int, address: int, timed: bool, stack: int) -> Wait | None:
            return named if tid == one else None

        def resolve_many(questions: list[tuple[int, int, bool, int]]) -> list[Wait | None]:
            asked.append(questions)
            return [resolve(*question) for question in questions]

        for reader in (alone, together):
            reader.futex_resolver = resolve
        together.futexes_resolver = resolve_many
        everyone = [process.pid, one, two, 1 << 30]
        found = {person.tid: wait for person, wait in together.news([Somebody(tid) for tid in everyone])}
        assert found == {tid: alone.read(tid) for tid in everyone}
        assert sink.waits[found[one]] == named and found[1 << 30] == 0
        lines = {tid: raw(process.pid, tid) for tid in (one, two)}
        (questions,) = asked
        assert [q for q in questions if q[0] in lines] == [
            (tid, lines[tid][1], tid == two, lines[tid][-2]) for tid in (one, two)
        ]
        known = Somebody(one, found[one])
        assert together.news([known]) == [] and len(asked) == 1, "an equal line"
        together.invalidate(one)
        together.gil_range = [(lines[one][1], lines[one][1] + 4)]
        ((_, wait),) = together.news([known])
        gil = sink.waits[wait]
        assert gil is not None and gil.kind is WaitKind.GIL and len(asked) == 1
        alone.close()
        together.close()


def test_resolver_gil_range_invalidate_and_generation(any_python: Interpreter) -> None:
    with target(any_python, LOCKS, ready=None) as process:
        sink = Sink()
        reader = reader_for(process.pid, sink)
        one, two = lock_waiters(process, reader, sink)
        asked: list[tuple[int, int, bool, int]] = []
        named = Wait(WaitKind.FUTEX, "futex", lock=0x1234, lock_kind="Lock")

        def resolve(tid: int, address: int, timed: bool, stack: int) -> Wait | None:
            asked.append((tid, address, timed, stack))
            return named if tid == one else None

        reader.futex_resolver = resolve
        plain = reader.read(one)
        assert not asked, "an equal line is not worked out again by itself"
        for tid in (one, two):
            reader.invalidate(tid)
        assert sink.waits[reader.read(one)] == named
        answer = sink.waits[reader.read(two)]
        assert answer is not None and answer.kind is WaitKind.FUTEX and answer.timed
        lines = {tid: raw(process.pid, tid) for tid in (one, two)}
        assert asked == [(tid, lines[tid][1], tid == two, lines[tid][-2]) for tid in (one, two)]
        reader.read(one)
        assert len(asked) == 2
        assert reader.read(one) != plain

        address = lines[two][1]
        reader.gil_range = [(address + 4, address + 8), (address, address + 4)]
        reader.invalidate(two)
        gil = sink.waits[reader.read(two)]
        assert gil is not None and gil.kind is WaitKind.GIL
        reader.gil_range = []  # both wait for one lock, at one address in most versions

        before = reader.read(one)
        sink.forget()
        sink.wait(Wait(WaitKind.SLEEP))  # ids mean something else now
        sink.wait(Wait(WaitKind.DISK))
        sink.wait(Wait(WaitKind.CHILD))
        after = reader.read(one)
        assert after != before and sink.ids[named] == after
        reader.close()


def own_descriptors(pid: int) -> int:
    count = 0
    for fd in Path("/proc/self/fd").iterdir():
        try:
            count += str(fd.readlink()).startswith(f"/proc/{pid}/task/")
        except FileNotFoundError:
            continue
    return count


def test_descriptors_are_bounded_and_closed() -> None:
    with target(current(), SOURCE) as process:
        facts = cast(Facts, process.json())
        sink = Sink()
        reader = reader_for(process.pid, sink, max_cached=3)
        tids = {fact["tid"] for fact in facts.values()}
        for _ in range(3):
            assert all(reader.read(tid) for tid in tids)
        assert own_descriptors(process.pid) == 3
        reader.retain(set())
        assert own_descriptors(process.pid) == 0
        reader.read(min(tids))
        reader.close()
        assert own_descriptors(process.pid) == 0


def test_thread_and_process_that_end_while_they_are_read() -> None:
    with target(current(), LOCKS, ready=None) as process:
        sink = Sink()
        reader = reader_for(process.pid, sink)
        one, two = lock_waiters(process, reader, sink)
        process.send("go")
        assert process.line() == "done"
        eventually(lambda: reader.read(one) == 0 and reader.read(two) == 0)
        assert own_descriptors(process.pid) == 0
        assert reader.read(process.pid)
        process.kill()
        assert reader.read(process.pid) == 0
        assert not reader.denied
        assert not WaitReader.probe(process.pid).available
        reader.close()


STOPPED = """
import threading, time, sys
def spin():
    while True: pass
threading.Thread(target=spin, daemon=True).start()
def nap():
    while True: time.sleep(1000)
t = threading.Thread(target=nap, daemon=True); t.start()
print("ready", t.native_id, flush=True)
sys.stdin.readline()
"""


@pytest.mark.few
def test_what_goes_on_after_a_stop(any_python: Interpreter) -> None:
    """A sleep that a stop interrupted is restarted under another number; what it was is still told."""
    with target(any_python, STOPPED, ready=None) as process:
        tid = int(process.line().split()[1])
        sink = Sink()
        reader = reader_for(process.pid, sink)

        def sleeps() -> bool:
            wait = sink.waits[reader.read(tid)]
            return wait is not None and wait.kind is WaitKind.SLEEP

        eventually(sleeps)
        os.kill(process.pid, signal.SIGSTOP)
        state = Path(f"/proc/{process.pid}/stat")
        eventually(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")

        def spinner_stands_still() -> bool:
            """The first thread may stop a moment before the others do."""
            tids = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]
            found = [wait.kind for tid in tids if (wait := sink.waits[reader.read(tid)])]
            return len(found) == 3 and WaitKind.RUNNING not in found

        eventually(spinner_stands_still)
        os.kill(process.pid, signal.SIGCONT)
        eventually(sleeps)
        reader.close()


def line(machine: str, name: str, *arguments: int, stack_pointer: int = 0x7FFF0000) -> bytes:
    number = next(n for n, (found, _) in syscalls.table(machine).items() if found == name)
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    return f"{number} {' '.join(hex(a) for a in (*padded, stack_pointer, 0x7FFF1000))}\n".encode()


@pytest.mark.parametrize("machine", syscalls.MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "kind", "timed"),
    [
        ("clock_nanosleep", (0, 0, 1), WaitKind.SLEEP, True),
        ("futex", (64, 0x189, 0, 0), WaitKind.FUTEX, False),
        ("futex", (64, 0x89, 0, 0x7000), WaitKind.FUTEX, True),
        ("futex", (64, 0x81, 1, 0x7000), WaitKind.FUTEX, False),  # FUTEX_WAKE has a count there
        ("futex_wait", (64, 0, 0, 2, 0x7000, 1), WaitKind.FUTEX, True),
        ("futex_waitv", (8, 1, 0, 0), WaitKind.FUTEX, False),
        ("ppoll", (0, 0, 0x7000), WaitKind.SLEEP, True),
        ("ppoll", (0, 0, 0), WaitKind.OTHER, False),
        ("pselect6", (0, 0, 0, 0, 0x7000), WaitKind.SLEEP, True),
        ("pselect6", (0, 0, 0, 0, 0), WaitKind.OTHER, False),
        ("epoll_pwait", (99999, 8, 1, 0xFFFFFFFF), WaitKind.IO, False),
        ("epoll_pwait", (99999, 8, 1, 0xFFFFFFFFFFFFFFFF), WaitKind.IO, False),
        ("epoll_pwait", (99999, 8, 1, 0), WaitKind.IO, True),
        ("epoll_pwait2", (99999, 8, 1, 0x7000), WaitKind.IO, True),
        ("fsync", (99999,), WaitKind.DISK, False),
        ("fcntl", (99999, 7), WaitKind.IO, False),
        ("fcntl", (99999, 3), WaitKind.OTHER, False),
        ("wait4", (0xFFFFFFFF,), WaitKind.CHILD, False),
        ("waitid", (1, 1), WaitKind.CHILD, False),
        ("munmap", (4096, 4096), WaitKind.OTHER, False),
    ],
)
def test_lines(machine: str, name: str, arguments: tuple[int, ...], kind: WaitKind, timed: bool) -> None:
    reader = reader_for(os.getpid(), Sink(), machine=machine, read=lambda address, size: bytes(size))
    wait, _ = reader.parse(os.getpid(), line(machine, name, *arguments))
    assert (wait.kind, wait.syscall, wait.timed, wait.peer and wait.peer.kind == "epoll") == (
        kind,
        name,
        timed,
        wait.peer and wait.peer.kind == "epoll",
    )
    reader.close()


def test_first_address_of_a_vector_is_what_counts() -> None:
    reader = reader_for(os.getpid(), Sink(), read=lambda address, size: struct.pack("<QQII", 1, 0xABC0, 2, 0)[:size])
    reader.gil_range = [(0xABC0, 0xABC4)]
    wait, _ = reader.parse(os.getpid(), line(os.uname().machine, "futex_waitv", 0x5000, 1))
    assert wait.kind is WaitKind.GIL


@pytest.mark.parametrize("musl", [True, False])
def test_who_waits_for_the_gil_with_musl_waits_on_his_own_stack(musl: bool) -> None:
    """A list of nodes (prev, next, state, barrier, notify), the newest at the condition's head; another one is in a
    condition of somebody else's."""
    gil, first, second, other = 0x5000, 0x7F00_0000_1000, 0x7F00_0000_2000, 0x7F00_0000_3000
    memory = {gil + 8: second, second + 8: first, first + 8: 0, gil + 88 + 8: 0, other + 8: 0}
    reader = reader_for(
        os.getpid(), Sink(), read=lambda address, size: struct.pack("<Q", memory.get(address, 0))[:size]
    )
    vars(reader._decoder)["musl"] = musl
    reader.gil_range = [(gil, gil + 176)]

    def kind(node: int) -> WaitKind:
        text = line(os.uname().machine, "futex", node + 20, 0x80, 2, stack_pointer=node - 0xD8)
        return reader.parse(os.getpid(), text)[0].kind

    gil_kind = WaitKind.GIL if musl else WaitKind.FUTEX
    assert [kind(node) for node in (first, second, other)] == [gil_kind, gil_kind, WaitKind.FUTEX]
    memory[gil + 88 + 8] = other
    assert kind(other) is gil_kind, "it has given the GIL up, and waits until somebody has taken it"
    memory.update({first + 8: second})
    assert kind(0x7F00_0000_4000) is WaitKind.FUTEX, "a list that goes round in a circle has an end"
    reader.close()


@pytest.mark.parametrize(
    ("path", "musl"),
    [
        ("/lib/ld-musl-x86_64.so.1", True),
        ("/lib/ld-musl-aarch64.so.1", True),
        ("/lib/libc.musl-x86_64.so.1", True),
        ("/usr/lib/x86_64-linux-musl/libc.so", True),
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", False),
        ("/srv/musl-notes/server", False),
    ],
)
def test_musl_is_told_by_what_is_mapped(path: str, musl: bool) -> None:
    assert (
        _MUSL.search(f"7f00-7f01 r-xp 00000000 fe:00 12       {path}\n7ffd-7ffe rw-p\n".encode()) is not None
    ) == musl


def test_lines_without_arguments_and_of_unknown_calls() -> None:
    reader = reader_for(os.getpid(), Sink())
    assert reader.parse(os.getpid(), b"running\n")[0].kind is WaitKind.RUNNING
    assert reader.parse(os.getpid(), b"")[0].kind is WaitKind.UNKNOWN
    unknown, _ = reader.parse(os.getpid(), b"9999 0x0 0x0 0x0 0x0 0x0 0x0 0x7fff 0x7fff\n")
    assert (unknown.kind, unknown.syscall) == (WaitKind.OTHER, "syscall 9999")


WORD = st.one_of(st.integers(0, 64), st.integers(0, 2**64 - 1))


@settings(max_examples=300)
@given(number=st.sampled_from(sorted(syscalls.table())), words=st.lists(WORD, min_size=8, max_size=8))
def test_no_arguments_can_break_it(number: int, words: list[int]) -> None:
    """Arguments are what a hostile or broken target put into its registers; addresses are read for real."""
    reader = reader_for(os.getpid(), Sink())
    try:
        wait, left = reader.parse(os.getpid(), f"{number} {' '.join(hex(word) for word in words)}\n".encode())
    finally:
        reader.close()
    assert isinstance(wait, Wait) and left >= -1
    assert wait.peer is None or wait.peer.name.isprintable()


def test_machines_that_are_not_known_are_refused() -> None:
    with pytest.raises(LookupError, match="riscv64"):
        syscalls.table("riscv64")
    for machine in syscalls.MACHINES:
        names = [name for name, _ in syscalls.table(machine).values()]
        assert len(names) == len(set(names))
