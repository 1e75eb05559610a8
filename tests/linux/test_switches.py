"""Switch records: how they are read, what is said where they cannot be had, and what would lose some silently."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from concview.linux import switches
from concview.linux.switches import IN, OUT, PUSHED_ASIDE, NotHere, Switches

ABLE = switches.probe(os.getpid())
needs_records = pytest.mark.skipif(not ABLE.available, reason=f"{ABLE.why}; {ABLE.enable}")


def record(at: int, tid: int, word: int) -> bytes:
    return struct.pack("<IIIIQ", 14, word, 1, tid, at)


def lost(count: int) -> bytes:
    return struct.pack("<IHHQQIIQ", 2, 0, 40, 7, count, 1, 1, 5)


def bare() -> Switches:
    source = Switches.__new__(Switches)
    source.lost, source.rings = 0, []
    return source


def test_a_batch_is_read_by_its_columns() -> None:
    data = record(10, 5, IN) + record(20, 6, OUT) + record(30, 5, PUSHED_ASIDE)
    assert list(switches.rows(bare()._kept(data))) == [(10, 5, IN), (20, 6, OUT), (30, 5, PUSHED_ASIDE)]


def test_what_the_kernel_threw_away_is_counted_and_left_out() -> None:
    source = bare()
    kept = source._kept(record(10, 5, IN) + lost(7) + record(20, 5, OUT))
    assert list(switches.rows(kept)) == [(10, 5, IN), (20, 5, OUT)]
    assert source.lost == 7 and source.gaps == (7,)
    assert source._kept(record(1, 5, IN) + struct.pack("<IHH", 14, 0, 3)) == record(1, 5, IN), "damage ends a batch"


@pytest.mark.parametrize(
    ("code", "paranoid", "why", "enable"),
    [
        (errno.EACCES, "3", "perf_event_paranoid is 3", "sysctl kernel.perf_event_paranoid=2"),
        (errno.EPERM, "2", "seccomp", "--cap-add PERFMON"),
        (errno.EINVAL, "2", "does not record", "5.13"),
        (errno.ENOSYS, "2", "has no perf_event_open", "CONFIG_PERF_EVENTS"),
        (errno.EMFILE, "2", "too many files", "ulimit"),
    ],
)
def test_a_refusal_says_why_and_what_would_help(
    code: int, paranoid: str, why: str, enable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(switches, "_open", refused)
    monkeypatch.setattr(switches, "_setting", lambda _: paranoid)
    able = switches.probe(os.getpid())
    assert not able.available and why in able.why and enable in able.enable
    with pytest.raises(NotHere, match=why):
        Switches(os.getpid(), 100)


def test_cpus_are_all_that_are_online() -> None:
    assert len(switches.online_cpus()) == os.sysconf("SC_NPROCESSORS_ONLN")


@needs_records
def test_too_many_threads_for_the_files_is_said() -> None:
    cpus, pid = len(switches.online_cpus()), os.getpid()
    room = cpus * (len(os.listdir(f"/proc/{pid}/task")) + 1)  # noqa: PTH208
    source = Switches(pid, room)
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with pytest.raises(NotHere, match="open files"):
            while not source.cover():
                pass
        assert not switches.fits(pid, room) and switches.fits(pid, room + 2 * cpus)
        with pytest.raises(NotHere, match="open files"):
            Switches(pid, room)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        source.close()


#: A thread that starts another one and ends; that one sleeps and counts.
FAMILY = """
import sys, threading, time
def child():
    while True:
        time.sleep(0.002)
def parent():
    sys.stdin.readline()
    threading.Thread(target=child, daemon=True).start()
t = threading.Thread(target=parent)
t.start()
print(t.native_id, flush=True)
t.join()
print("ended", flush=True)
time.sleep(1000)
"""


@needs_records
def test_children_of_a_thread_that_ended_are_still_recorded() -> None:
    """They inherited its events, which its descriptors keep alive: none of these may be closed at its end."""
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        parent = int(process.stdout.readline())
        source = Switches(process.pid, 1000)
        try:
            while not source.cover():
                pass
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"ended\n"
            until(lambda: not os.path.exists(f"/proc/{process.pid}/task/{parent}"))  # noqa: PTH110
            source.read()
            seen: set[int] = set()

            def recorded() -> bool:
                for batch in source.read():
                    seen.update(tid for _, tid, _ in switches.rows(batch))
                return bool(seen - {process.pid, parent})

            until(recorded)
        finally:
            source.close()
            process.kill()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


@needs_records
def test_a_ring_that_was_full_is_a_gap() -> None:
    """Nobody reads: the kernel says what it threw away only with the next record that fits."""
    source = Switches(os.getpid(), 1000)
    try:
        ring = source.rings[0]
        ring.words.release()  # made smaller than it is: nearly full by what has come so far
        ring.words = memoryview(ring._map).cast("Q")
        before = source.gaps
        ring.size = 0
        ring.tail = ring.words[switches._HEAD] - 48
        ring.size = 64
        ring.read()
        assert source.gaps != before
    finally:
        source.close()
