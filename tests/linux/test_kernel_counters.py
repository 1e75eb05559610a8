"""Counters against what the target measured of itself, and what becomes of a process."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, cast

import pytest
from kernel_sink import Sink, eventually

from concview.errors import TargetGone
from concview.linux import CounterReader, threads
from concview.linux.threads import CounterTable
from concview.model import Counters, Notice, Target, ThreadCounters
from concview.process.discovery import start_ticks
from concview.sink import Sink as SinkProtocol
from interpreters import Interpreter, Process, current, target

MEASURES_ITSELF = r"""
import json, os, resource, sys, threading, time
results, stay, leave = {}, threading.Event(), threading.Event()
measured = threading.Barrier(4)
def burn():
    until = time.thread_time() + 0.3
    while time.thread_time() < until: pass
def nap():
    for _ in range(50): time.sleep(0.001)
def write():
    fd = os.open(os.devnull, os.O_WRONLY)
    for _ in range(3000): os.write(fd, b"x" * 4096)
def run(function):
    function()
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    results[function.__name__] = [threading.get_native_id(), time.thread_time(), usage.ru_nvcsw, usage.ru_nivcsw]
    measured.wait()
    (leave if function is nap else stay).wait()
ts = [threading.Thread(target=run, args=(f,), daemon=True) for f in (burn, nap, write)]
[t.start() for t in ts]
measured.wait()
print("ready", flush=True)
print(json.dumps(results), flush=True)
sys.stdin.readline(); leave.set(); ts[1].join()
print("left", flush=True)
sys.stdin.readline()
"""


def reader_for(pid: int, sink: Sink | None = None, ticks: int | None = None) -> CounterReader:
    known = Target(pid, "", (), 0.0, start_ticks=start_ticks(pid) if ticks is None else ticks)
    return CounterReader(known, cast(SinkProtocol, sink or Sink()))


def by_tid(counters: Counters) -> dict[int, ThreadCounters]:
    return {thread.tid: thread for thread in counters.threads}


@pytest.mark.few
def test_threads_cpu_and_switches_are_what_they_measured(any_python: Interpreter) -> None:
    yields = 5 * 40 if any_python.free_threaded else 0
    with target(any_python, MEASURES_ITSELF) as process:
        results = cast(dict[str, list[Any]], process.json())
        reader = reader_for(process.pid)
        first = reader.poll(123)
        seen = by_tid(first)
        for name, (tid, cpu_s, voluntary, involuntary) in results.items():
            thread = seen[tid]
            # After measuring, a thread still takes five locks: at most a few switches and some ten microseconds. A
            # free-threaded build yields the CPU up to 40 times before it waits for one (PyMutex).
            assert cpu_s * 1e9 <= thread.cpu_ns <= cpu_s * 1e9 + 20e6, (name, cpu_s, thread)
            assert voluntary <= thread.voluntary <= voluntary + 10, (name, voluntary, thread)
            assert involuntary <= thread.involuntary <= involuntary + 10 + yields, (name, involuntary, thread)
            assert thread.run_delay_ns >= 0
        assert seen[results["nap"][0]].voluntary >= 50
        assert first.at_ns == 123
        assert first.os_threads == len(first.threads) == 4
        assert sum(thread.cpu_ns for thread in first.threads) / 1e9 == pytest.approx(
            first.cpu_user_s + first.cpu_system_s, abs=0.1
        )
        assert first.voluntary == sum(thread.voluntary for thread in first.threads)
        assert first.rss > 1_000_000
        assert first.fds >= 3
        assert first.children == 0
        assert first.connections == 0

        process.send("leave")
        assert process.line() == "left"
        eventually(lambda: len(reader.poll(0).threads) == 3)
        last = reader.poll(1)
        assert last.os_threads == 3
        assert last.voluntary >= first.voluntary, "the switches of a thread that ended still count"
        reader.close()


HAS_THINGS = """
import socket, subprocess, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(1)
c = socket.create_connection(s.getsockname()); a, _ = s.accept()
p = subprocess.Popen(["sleep", "1000"])
print("ready", flush=True)
sys.stdin.readline()
"""


def test_children_and_connections() -> None:
    with target(current(), HAS_THINGS) as process:
        reader = reader_for(process.pid)
        counters = reader.poll(0)
        assert counters.children == 1
        assert counters.connections == 3
        reader.close()


WAITS = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"


@pytest.mark.few
def test_status_of_a_process_that_is_stopped_goes_on_and_dies(any_python: Interpreter) -> None:
    with target(any_python, WAITS) as process:
        reader = reader_for(process.pid)
        assert reader.status() == "running"
        os.kill(process.pid, signal.SIGSTOP)
        eventually(lambda: reader.status() == "stopped")
        assert reader.poll(0).os_threads == 1, "a stopped process still has counters"
        os.kill(process.pid, signal.SIGCONT)
        eventually(lambda: reader.status() == "running")
        os.kill(process.pid, signal.SIGKILL)
        eventually(lambda: reader.status() == "zombie")
        with pytest.raises(TargetGone, match="exited"):
            reader.poll(0)
        process.kill()
        assert reader.status() == "gone"
        with pytest.raises(TargetGone, match="exited"):
            reader.poll(0)
        reader.close()


CHANGES = r"""
import os, sys
again = len(sys.argv) > 1
if not again:
    # The same program under another title, as setproctitle does it.
    start = int(open("/proc/self/stat").read().rpartition(")")[2].split()[48 - 3])
    print("ready", flush=True)
    sys.stdin.readline()
    with open("/proc/self/mem", "r+b", 0) as memory:
        memory.seek(start)
        memory.write(b"title")
    print("titled", flush=True)
    sys.stdin.readline()
    os.execv(sys.executable, [sys.executable, "-u", __file__, "again"])
print("again", flush=True)
sys.stdin.readline()
"""


@pytest.mark.few
def test_exec_of_the_same_program_is_seen_and_a_new_title_is_not_one(any_python: Interpreter) -> None:
    with target(any_python, CHANGES) as process:
        reader = reader_for(process.pid)
        process.send("title")
        assert process.line() == "titled"
        reader.poll(0)
        assert reader.changed() == ""
        process.send("exec")
        assert process.line() == "again"
        assert reader.status() == "running"
        assert reader.changed() == "exec"
        with pytest.raises(TargetGone, match="exec"):
            reader.poll(0)
        reader.close()


def test_another_process_under_the_same_number_is_not_taken_for_it() -> None:
    with target(current(), WAITS) as process, pytest.raises(TargetGone, match="exited"):
        reader_for(process.pid, ticks=start_ticks(process.pid) + 1)


LEADERLESS = """
import ctypes, sys, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
print("ready", flush=True)
sys.stdin.readline()
ctypes.PyDLL(None).pthread_exit(None)
"""


def test_a_process_lives_on_behind_its_dead_first_thread() -> None:
    with target(current(), LEADERLESS) as process:
        reader = reader_for(process.pid)

        def leader_is_dead() -> bool:
            with open(f"/proc/{process.pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "Z"

        process.send("")
        eventually(leader_is_dead)
        assert reader.status() == "running"
        assert reader.changed() == "", "what cannot be read any more is no other program"
        reader.close()


def many(count: int) -> str:
    return f"""
import sys, threading, time
stop = threading.Event()
def nap():
    while not stop.is_set(): time.sleep(0.005)
for _ in range({count}): threading.Thread(target=nap, daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
"""


def test_many_threads_are_read_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "MAX_STATUS", 10)
    monkeypatch.setattr(threads, "MAX_TIMES", 15)
    monkeypatch.setattr(threads, "MAX_NEW", 12)
    with target(current(), many(35)) as process:
        reader = reader_for(process.pid)
        first = reader.poll(0)
        assert (len(first.threads), first.os_threads) == (12, 36)
        assert sum(thread.voluntary >= 0 for thread in first.threads) == 10
        assert [len(reader.poll(0).threads) for _ in range(2)] == [24, 36]
        for _ in range(6):  # three rounds of ten each, the first ones among fewer
            last = reader.poll(0)
        assert all(thread.voluntary >= 0 for thread in last.threads)
        assert len(last.threads) == last.os_threads == 36
        before = by_tid(last)

        def all_moved() -> bool:
            """Every thread but the first, which waits for input, goes on napping."""
            now = by_tid(reader.poll(0))
            return all(now[tid].voluntary > before[tid].voluntary for tid in before if tid != process.pid)

        eventually(all_moved)
        reader.close()


def test_what_threads_did_before_they_were_first_read_is_no_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "MAX_STATUS", 10)
    monkeypatch.setattr(threads, "MAX_TIMES", 15)
    monkeypatch.setattr(threads, "MAX_NEW", 12)
    with target(current(), many(35)) as process:
        other = reader_for(process.pid)
        eventually(lambda: sum(thread.voluntary for thread in other.poll(0).threads) > 4_000)
        other.close()
        reader = reader_for(process.pid)
        began = time.monotonic()
        first = last = reader.poll(0)
        while len(last.threads) < last.os_threads or any(thread.voluntary < 0 for thread in last.threads):
            last = reader.poll(0)
        took = time.monotonic() - began
        past = sum(thread.voluntary for thread in last.threads) - sum(max(0, t.voluntary) for t in first.threads)
        assert 0 <= last.voluntary - first.voluntary < min(past, 35 * 250 * (took + 0.2)), (past, took)
        reader.close()


def test_without_schedstat_times_come_in_ticks_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: CounterTable) -> bool:
        self._say("schedstat", "no run-queue delay")
        return False

    monkeypatch.setattr(CounterTable, "_check_schedstat", missing)
    with target(current(), MEASURES_ITSELF) as process:
        results = cast(dict[str, list[Any]], process.json())
        sink = Sink()
        reader = reader_for(process.pid, sink)
        thread = by_tid(reader.poll(0))[results["burn"][0]]
        assert thread.run_delay_ns == -1
        assert thread.cpu_ns / 1e9 == pytest.approx(results["burn"][1], abs=0.05)
        assert thread.voluntary >= 0
        assert [event.text for event in sink.events if isinstance(event, Notice)] == ["no run-queue delay"]
        reader.close()


def test_a_process_that_ends_within_a_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after it was found alive and before its threads are read."""
    with target(current(), WAITS) as process:
        reader = reader_for(process.pid)
        listing = threads.os_threads

        def die_then_list(pid: int) -> list[int]:
            found = listing(pid)
            _kill(process)
            return found

        monkeypatch.setattr(threads, "os_threads", die_then_list)
        assert reader.poll(0).threads == ()
        with pytest.raises(TargetGone, match="exited"):
            reader.poll(1)
        reader.close()


def _kill(process: Process) -> None:
    process.popen.kill()
    process.popen.wait()


MOVES = r"""
import os, sys, threading, time
def move():
    os.sched_yield()
    while True: time.sleep(0.002)
for _ in range(12): threading.Thread(target=move, daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.few
def test_migrations_of_every_thread_are_read(gil_python: Interpreter) -> None:
    """Of more threads than are read in one poll."""
    with target(gil_python, MOVES) as process:
        reader = reader_for(process.pid)
        try:
            if reader.poll(1).threads[0].migrations < 0:
                pytest.skip("this kernel shows no migrations (CONFIG_SCHED_DEBUG)")
            eventually(lambda: all(t.migrations >= 0 for t in reader.poll(1).threads), "all are known")
            table = reader._threads
            before = {tid: t.migrations_at for tid, t in table._threads.items()}
            eventually(
                lambda: (
                    reader.poll(1)
                    and all(t.migrations_at > before[tid] for tid, t in table._threads.items() if tid != process.pid)
                ),
                "each has its turn",
            )
        finally:
            reader.close()
