"""Threads being born, named, renamed and ending; subinterpreters; threads without a Python state."""

from __future__ import annotations

import time

import pytest
from direct_helpers import tick_until, tick_until_passes, ticks, watching

from concview.engines.direct.thread_table import PATIENCE_NS
from interpreters import Interpreter, target

NAMES = r"""
import threading, time
class Named(str):
    pass
hostile = ["", "\x1b[2J\x1b[31mred", "a" * 10000, "\u202egnp.exe", "line\nbreak", "emoji \U0001f600", "null\0byte",
           "\udc80 surrogate", "latin \xe9", "bmp \u4e2d\u6587", Named("subclass"), Named("sub \U0001f600")]
threads = []
for name in hostile:
    t = threading.Thread(target=time.sleep, args=(100000,), daemon=True)
    t.start()
    t._name = name
    threads.append(t)
class Odd(threading.Thread):
    name = property(lambda self: 1 / 0)
    def run(self):
        time.sleep(100000)
odd = Odd(daemon=True)
odd.start()
odd._name = 12345
print("ready")
for t in threads:
    print(t.native_id)
print(odd.native_id)
input()
threads[0].name = "renamed"
print("done")
time.sleep(100000)
"""


@pytest.mark.few
def test_names_even_hostile_ones(direct_python: Interpreter) -> None:
    with target(direct_python, NAMES) as process, watching(process.pid) as (engine, sink):
        tids = [int(process.line()) for _ in range(13)]
        # Each has its name: the last one's is no text, and the first one's is empty.
        tick_until(engine, lambda: all(t in sink.names for t in tids) and sink.names[tids[11]][0] == "sub \U0001f600")
        names = [sink.names[t][0] for t in tids]
        assert names[1] == "\x1b[2J\x1b[31mred"  # the sink cleans, not the engine
        assert names[2].startswith("a" * 1000) and len(names[2]) <= 4096
        assert names[3:7] == ["\u202egnp.exe", "line\nbreak", "emoji \U0001f600", "null\0byte"]
        assert names[7].endswith(" surrogate")
        assert names[8:12] == ["latin \xe9", "bmp \u4e2d\u6587", "subclass", "sub \U0001f600"]
        assert all(sink.names[t][1] is False for t in tids)
        assert names[0] and names[12]  # the kernel's name stands in
        process.send("")
        tick_until(engine, lambda: sink.names[tids[0]][0] == "renamed")


LATE = """
import _thread, threading, time
def run():
    tid = threading.get_native_id()
    print(tid, flush=True)
    input()
    with open("/proc/self/task/%d/comm" % tid, "w") as file:
        file.write("late-name")
    time.sleep(100000)
_thread.start_new_thread(run, ())
time.sleep(100000)
"""


@pytest.mark.few
def test_a_thread_that_names_itself_after_it_was_seen(direct_python: Interpreter) -> None:
    """Unknown to `threading`: what the kernel calls it is all there is."""
    with target(direct_python, LATE, ready=None) as process:
        tid = int(process.line())  # it runs: before that there is no interpreter to attach to
        with watching(process.pid) as (engine, sink):
            tick_until(engine, lambda: tid in sink.names)
            assert sink.names[tid][0] not in ("", "late-name")
            process.send("")
            tick_until(engine, lambda: sink.names[tid][0] == "late-name")


BIRTHS = """
import threading, time, sys
def finished():
    time.sleep(100000)
print("ready")
sys.stdin.readline()
enough = [threading.Event() for i in range(60)]
threads = [threading.Thread(target=e.wait, name=f"worker-{i}") for i, e in enumerate(enough)]
for t in threads:
    t.start()
    time.sleep(0.005)
sys.stdin.readline()
for e, t in zip(enough, threads):
    e.set()
    t.join()
finished()
"""


def test_births_and_ends(direct_python: Interpreter) -> None:
    with target(direct_python, BIRTHS) as process, watching(process.pid) as (engine, sink):
        ticks(engine, 2)
        begun = time.monotonic_ns()
        process.send("")
        seen: dict[int, str] = {}
        born: dict[int, int] = {}

        def workers() -> int:
            seen.update({t: n for t, (n, _) in sink.names.items()})
            born.update(sink.started)
            return sum(name.startswith("worker-") for name, _ in sink.names.values())

        def over() -> bool:
            return any(f[0] == "finished" for f in sink.stack_of(process.pid)) and not workers()

        tick_until(engine, lambda: workers() == 60, pause=0.001)
        process.send("")
        tick_until(engine, over, pause=0.001)
        assert sink.names == {process.pid: ("MainThread", False)}
        assert len(sink.gone) == len(set(sink.gone)) == len(seen) - 1
        assert sorted(seen.values()) == sorted(["MainThread", *(f"worker-{i}" for i in range(60))])
        now = time.monotonic_ns()
        assert born[process.pid] < begun
        assert all(begun - 20_000_000 <= born[t] <= now for t in sink.gone)


POOL = """
import threading, time
def work(i):
    time.sleep(100000)
threading.stack_size(256 * 1024)
for i in range(560):
    threading.Thread(target=work, args=(i,), daemon=True).start()
print("ready")
n = 0
while True:
    n += 1
"""


CHURN = """
import threading, time
def work(n): time.sleep(0.002 * (n % 4))
def starts():
    n = 0
    while True:
        n += 1
        thread = threading.Thread(target=work, args=(n,))
        thread.start()
        if n % 5 == 0: thread.join()
for _ in range(3): threading.Thread(target=starts, daemon=True).start()
for _ in range(40): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
print("ready", flush=True)
time.sleep(1000)
"""


@pytest.mark.few
@pytest.mark.parametrize("room_ns", [0, 50_000])
def test_who_has_ended_is_not_told_of_again(direct_python: Interpreter, room_ns: int) -> None:
    """Whoever reads the stream would take it for alive, for ever. The sink complains of a row of nobody."""
    with target(direct_python, CHURN) as process, watching(process.pid) as (engine, sink):
        engine.room_ns = room_ns  # with little, threads have their turns
        tick_until(engine, lambda: len(sink.gone) > 60)


@pytest.mark.few
def test_hundreds_of_threads(direct_python: Interpreter) -> None:
    """More segments than one call takes."""
    with target(direct_python, POOL) as process, watching(process.pid) as (engine, sink):

        def all_told() -> None:
            main = sink.stack_of(process.pid)
            assert main[-1][0] == "<module>"
            stacks = [tuple(f[0] for f in sink.stack_of(t)) for t in sink.names if t != process.pid]
            assert len(stacks) == 560
            assert set(stacks) == {("work", "Thread.run", "Thread._bootstrap_inner", "Thread._bootstrap")}

        tick_until_passes(engine, all_told)
        engine._sampler.batch.copy()
        assert engine._sampler.batch.calls >= 2


@pytest.mark.few
def test_names_that_are_looked_up_late_are_looked_up(direct_python: Interpreter) -> None:
    """Naming the first threads may have used up its share of the budget, until the others are no longer young."""
    with target(direct_python, POOL) as process, watching(process.pid) as (engine, sink):
        engine._table._names_paid = 1 << 62

        def named() -> int:
            return sum(row.named for row in engine._table.by_tid.values())

        tick_until(engine, lambda: len(sink.names) == 561)
        assert named() == 0
        old = time.monotonic_ns() + PATIENCE_NS
        tick_until(engine, lambda: time.monotonic_ns() > old)
        assert named() == 0
        engine._table._names_paid = time.monotonic_ns()
        tick_until(engine, lambda: named() == 561, pause=0.05)
        assert sum(name.startswith("Thread-") for name, _ in sink.names.values()) == 560


NATIVE = """
import ctypes, threading, time
libc = ctypes.CDLL(None)
tid = ctypes.c_ulong()
# A thread of the C library's own: pause() needs no Python.
libc.pthread_create(ctypes.byref(tid), None, ctypes.cast(libc.pause, ctypes.c_void_p), None)
print("ready")
time.sleep(100000)
"""


@pytest.mark.few
def test_threads_of_c_libraries(direct_python: Interpreter) -> None:
    with target(direct_python, NATIVE) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: any(native for _, native in sink.names.values()))
        tid = next(t for t, (_, native) in sink.names.items() if native)
        assert sink.stack_of(tid) == []
        tick_until(engine, lambda: (wait := sink.wait_of(tid)) and wait.syscall == "pause")


CALLBACKS = """
import ctypes, threading, time
libc = ctypes.CDLL(None)
def called(argument):
    time.sleep(100000)
    return 0
callback = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(called)
tid = ctypes.c_ulong()
libc.pthread_create(ctypes.byref(tid), None, callback, None)
print("ready")
time.sleep(100000)
"""


def test_python_called_from_a_c_thread(direct_python: Interpreter) -> None:
    with target(direct_python, CALLBACKS) as process, watching(process.pid) as (engine, sink):
        tid = tick_until(engine, lambda: next((t for t in sink.names if t != process.pid), 0))
        tick_until(engine, lambda: [f[0] for f in sink.stack_of(tid)] == ["called"])
        assert sink.names[tid][1] is False


SUBINTERPRETER = """
import sys, threading, time
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = '''
import time
def inside():
    time.sleep(100000)
inside()
'''
def outside():
    other = interpreters.create()
    run = getattr(interpreters, "exec", None) or interpreters.run_string
    run(other, code)
threading.Thread(target=outside, name="outside", daemon=True).start()
print("ready")
time.sleep(100000)
"""


def test_subinterpreters(direct_python: Interpreter) -> None:
    """A thread that runs a subinterpreter has two Python stacks: one on top of the other is what it does."""
    with target(direct_python, SUBINTERPRETER) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: len(engine._sampler.interpreters) == 2)
        tid = tick_until(engine, lambda: next((t for t, (n, _) in sink.names.items() if n == "outside"), 0))

        def both_stacks() -> None:
            functions = [f[0] for f in sink.stack_of(tid)]
            assert functions[:2] == ["inside", "<module>"]
            assert "outside" in functions and functions[-1] == "Thread._bootstrap"
            assert set(sink.names) == {process.pid, tid}
            assert sink.names[process.pid][0] == "MainThread"

        tick_until_passes(engine, both_stacks)


EXCHANGED = """
import threading
def wait(end):
    end.wait()
def crew():
    end = threading.Event()
    threads = [threading.Thread(target=wait, args=(end,), daemon=True) for _ in range(60)]
    for t in threads:
        t.start()
    return end, threads
end, threads = crew()
print("ready")
while True:
    print(*[t.native_id for t in threads], flush=True)
    input()
    end.set()
    for t in threads:
        t.join()
    end, threads = crew()
"""


@pytest.mark.few
def test_new_threads_whose_states_lie_where_those_of_ended_ones_lay(direct_python: Interpreter) -> None:
    """Where a tick has no room for all threads, only those of a known thread or of none are asked: a state that has
    got another thread is seen to have."""
    with target(direct_python, EXCHANGED) as process, watching(process.pid) as (engine, sink):
        engine.room_ns = 100_000
        for _ in range(4):
            now = {int(tid) for tid in process.line().split()}

            def everyone(now: set[int] = now) -> bool:
                return {t for t in sink.names if t != process.pid} == now and all(
                    tid in sink.rows and sink.rows[tid][1] for tid in now
                )

            tick_until(engine, everyone)
            process.send("")
