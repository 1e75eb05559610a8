"""The engine on real targets that write down what they do."""

from __future__ import annotations

import bisect
import gc
import os
import random
import signal
import time
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from pyspy_sink import KeepingSink, watch

from capacity import BUSY, MEASURES, WAITS
from concview.engines.pyspy import PySpyEngine
from concview.engines.pyspy.observe import KernelSide
from concview.engines.pyspy.threads import Tasks
from concview.errors import TargetGone
from concview.model import Notice, Target
from concview.process.discovery import describe
from interpreters import Interpreter, Process, target

#: Each phase is a function; the moment of every change is written down by the target itself.
PHASES = """
import select, threading, time, sys
log = []
def sleeping(s):
    time.sleep(s)
def busy(s):
    end = time.monotonic() + s
    while time.monotonic() < end:
        pass
def locked(s):
    lock.acquire(timeout=s)
def idle():
    threading.Event().wait()
lock = threading.Lock()
lock.acquire()
for i in range(3):
    threading.Thread(target=idle, name="idler-%d" % i, daemon=True).start()
print("ready")
while not select.select([0], [], [], 0)[0]:
    for f, s in ((sleeping, 0.1), (busy, 0.15), (locked, 0.12)):
        log.append(time.monotonic_ns())
        f(s)
log.append(time.monotonic_ns())
print(",".join(map(str, log)))
"""
NAMES = ("sleeping", "busy", "locked")
KIND = {"sleeping": "sleep", "busy": "running", "locked": "futex"}
#: So long each phase takes when it gets its CPU in time.
ASKED_NS = (100_000_000, 150_000_000, 120_000_000)
#: So far apart two ticks are at most where we got our CPU in time.
SELDOM_NS = 20_000_000

RESTLESS = """
import threading, time
def rest():
    while True:
        time.sleep(0.01)
for i in range(4):
    threading.Thread(target=rest, name="rester-%d" % i, daemon=True).start()
print("ready")
while True:
    time.sleep(0.005)
"""


@pytest.mark.units(BUSY)
@pytest.mark.few
@pytest.mark.python(8, 14, False)
def test_time_per_function_and_state_agrees_with_the_target(interpreter: Interpreter) -> None:
    """Over the rounds of the three phases in which the target, we and py-spy waited least for a CPU: what was told may
    be wrong for as long as that, and a little more."""
    quiet = sorted(rounds(interpreter))[:5]
    true: Counter[tuple[str, str]] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    right = total = 0
    for name, weight, function, kind in (one for _, pieces in quiet for one in pieces):
        total += weight
        true[name, KIND[name]] += weight
        seen[function, kind] += weight
        right += weight * (function == name)
    errors = {key: 100 * (seen[key] - true[key]) / total for key in sorted(true.keys() | seen.keys())}
    rounded = {" ".join(k): round(v, 2) for k, v in errors.items()}
    late = sum(waited for waited, _ in quiet) / total
    print(
        f"{interpreter.label}: errors in percentage points {rounded}; {100 * right / total:.1f} % of time in the "
        f"true function; {late:.1%} of it somebody waited for a CPU"
    )
    assert right / total > 0.9 - late
    assert all(abs(error) < 4 + 100 * late for error in errors.values()), rounded


#: What was told of a piece of time: the function that was true, nanoseconds, function and kind of wait that were told.
Piece = tuple[str, int, str, str]


def rounds(interpreter: Interpreter) -> list[tuple[int, list[Piece]]]:
    """Six seconds of them: for how many nanoseconds somebody waited for a CPU, and the pieces."""
    sink, engine = KeepingSink(), PySpyEngine()
    with target(interpreter, PHASES) as process:
        helper_late = watch(engine, sink, process.pid, 6.0)
        process.send("enough")
        log = [int(x) for x in process.line().split(",")]
        assert engine.helper_cpu_seconds() > 0
    assert engine.tally.dropped == 0
    assert sink.names[process.pid] == "MainThread"
    assert sorted(n for n in sink.names.values() if n != "MainThread") == [f"idler-{i}" for i in range(3)]
    assert not [e for e in sink.events if isinstance(e, Notice) and e.level == "warn"]
    pieces: dict[int, list[Piece]] = {}
    late: Counter[int] = Counter()
    for i in range(len(log) - 1):
        late[i // 3] += max(0, log[i + 1] - log[i] - ASKED_NS[i % 3])
    for at, weight, stack, wait, _ in sink.timeline(process.pid):
        i = bisect.bisect_right(log, at) - 1
        if not 0 <= i < len(log) - 1 or at < sink.ticks[0][0] + 400_000_000:  # before py-spy's first look
            continue
        function = next((f for f in sink.functions(stack) if f in NAMES), "?")
        pieces.setdefault(i // 3, []).append((NAMES[i % 3], weight, function, str(sink.waits[wait].kind)))
        late[i // 3] += max(0, weight - SELDOM_NS) + helper_late[at]
    # The first one is not whole.
    return [(late[i], part) for i, part in list(pieces.items())[1:]]


@pytest.mark.units(BUSY)
@pytest.mark.few
@pytest.mark.python(8, 14, False)
def test_the_gil_is_seen_exactly(interpreter: Interpreter) -> None:
    source = """
import threading
def spin():
    while True: pass
for i in range(2): threading.Thread(target=spin, name="spin", daemon=True).start()
print("ready")
threading.Event().wait()
"""
    if interpreter.free_threaded:
        pytest.skip("no GIL")
    sink, engine = KeepingSink(), PySpyEngine()
    with target(interpreter, source) as process:
        watch(engine, sink, process.pid, 2.5)
    spinners = [tid for tid, name in sink.names.items() if name.startswith("spin")]
    assert len(spinners) == 2
    holders = Counter(holder for _, holder, _ in sink.ticks)
    assert sum(holders[t] for t in spinners) > 0.9 * len(sink.ticks), holders
    # On a loaded machine the one that is not the holder mostly queues for a CPU, to look at the GIL every 5 ms.
    waiting = Counter(
        holder == tid
        for tid in spinners
        for _, _, _, wait, holder in sink.timeline(tid)
        if wait and sink.waits[wait].kind == "gil"
    )
    print(interpreter.label, holders, [sink.kinds(t) for t in spinners], waiting)
    assert waiting[False] > 0.05 * len(sink.ticks)
    assert waiting[True] < 0.1 * waiting[False], "who waits for the GIL does not hold it"
    assert sink.kinds(process.pid)["futex"] > 0.95


def restless(interpreter: Interpreter) -> AbstractContextManager[Process]:
    return target(interpreter, RESTLESS)


def progress(process: Process) -> None:
    """The target is alive and goes on: it wakes up again and again."""

    def wakings() -> int:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    before, deadline = wakings(), time.monotonic() + 30
    while wakings() < before + 20:
        assert time.monotonic() < deadline, "it stands still"
        time.sleep(0.02)
    assert Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TtZX"


@pytest.mark.units(WAITS)
def test_killing_py_spy_leaves_the_target_unchanged_and_sampling_goes_on(pyspy_python: Interpreter) -> None:
    sink, engine = KeepingSink(), PySpyEngine()
    engine.WINDOW_NS = 300_000_000
    with restless(pyspy_python) as process:
        engine.open(Target(process.pid, "", (), 0.0), sink)
        kills = 0
        end = time.monotonic() + 60
        while time.monotonic() < end:
            engine.tick(time.monotonic_ns())
            time.sleep(0.01)
            if len(sink.ticks) > 100 * (kills + 1) and kills < 2 and engine._current is not None:
                os.kill(engine._current.child_pid, signal.SIGKILL)
                kills += 1
                if kills == 2:
                    end = time.monotonic() + 2
        engine.close()
        assert kills == 2
        said = [e for e in sink.events if isinstance(e, Notice) and "no stacks" in e.text]
        assert 1 <= len(said) <= 2, sink.events  # once per failure
        progress(process)
        last = sink.ticks[-1][0]
        known = [at for at, _, stack, _, _ in sink.timeline(process.pid) if stack]
        assert max(known) > last - 1_000_000_000, "stacks came back"


def test_killing_a_py_spy_that_stops_the_target_lets_it_go_on(pyspy_python: Interpreter) -> None:
    with restless(pyspy_python) as process:
        for _ in range(10):
            engine = PySpyEngine(rate_hz=1000, blocking=True)
            engine.open(Target(process.pid, "", (), 0.0), KeepingSink())
            time.sleep(random.uniform(0.0, 0.1))
            assert engine._current is not None
            engine._current.kill()
            engine.close()
            deadline = time.monotonic() + 30
            while stopped(process.pid):  # the kernel lets it go on when py-spy has gone
                assert time.monotonic() < deadline, "a thread is left stopped"
                time.sleep(0.01)
        progress(process)


def stopped(pid: int) -> bool:
    """Whether a thread of it is stopped, by whomever."""
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return bool({"T", "t"} & set(states))


def test_our_death_ends_py_spy_and_leaves_the_target(pyspy_python: Interpreter) -> None:
    with restless(pyspy_python) as process:
        child = os.fork()
        if child == 0:  # an observer that is killed without a chance to clean up
            try:
                engine = PySpyEngine()
                engine.open(Target(process.pid, "", (), 0.0), KeepingSink())
                while True:
                    engine.tick(time.monotonic_ns())
                    time.sleep(0.01)
            finally:
                os._exit(1)
        deadline = time.monotonic() + 60
        while not (spies := children(child)) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.5)  # it looks, and there may be two of them
        spies += children(child)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert spies, "py-spy ran"
        deadline = time.monotonic() + 30
        while any(alive(pid) for pid in spies) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(alive(pid) for pid in spies)
        progress(process)


def children(pid: int) -> list[int]:
    return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_closing_leaves_no_child_and_no_descriptor(pyspy_python: Interpreter) -> None:
    gc.collect()  # what other tests left open, and will close at some moment
    before = descriptors()
    engine = PySpyEngine()
    with restless(pyspy_python) as process:
        inside = descriptors()
        watch(engine, KeepingSink(), process.pid, 1.2)
        assert len(descriptors()) == len(inside)
        assert not [p for p in children(os.getpid()) if p != process.pid and "py-spy" in command(p)]
        progress(process)
    assert len(descriptors()) <= len(before)


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def test_a_target_that_exits_within_a_window(pyspy_python: Interpreter) -> None:
    source = "import time\nprint('ready')\ndef last():\n    time.sleep(1000)\nlast()\n"
    sink, engine = KeepingSink(), PySpyEngine()
    begun: list[int] = []

    def end_it_within_the_second_window() -> None:
        window = engine._current
        if engine._covered_ns and window and window.ready_ns and time.monotonic_ns() > window.ready_ns + 300_000_000:
            begun.append(window.ready_ns)
            process.popen.kill()

    with target(pyspy_python, source) as process, pytest.raises(TargetGone, match="exited"):
        watch(engine, sink, process.pid, 0, end_it_within_the_second_window)
    known = [at for at, _, stack, _, _ in sink.timeline(process.pid) if "last" in sink.functions(stack)]
    assert max(known) > begun[0], "the last window was joined"
    assert sink.kinds(process.pid)["sleep"] > 0.9


def test_a_target_that_becomes_another_program(pyspy_python: Interpreter) -> None:
    source = "import os\nprint('ready')\ninput()\nos.execv('/bin/sleep', ['sleep', '60'])\n"
    with target(pyspy_python, source) as process, pytest.raises(TargetGone, match="exec"):
        watch(PySpyEngine(), KeepingSink(), process.pid, 0.5, lambda: process.send(""))


def test_a_target_whose_first_thread_ended_is_no_other_program(pyspy_python: Interpreter) -> None:
    """So it is, too, for a moment when a process with threads is killed."""
    source = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready")
input()
ctypes.CDLL(None).pthread_exit(None)
"""
    engine, sink = PySpyEngine(), KeepingSink()
    with target(pyspy_python, source) as process:
        engine.open(describe(process.pid), sink)
        engine._still_there(0, force=True)
        process.send("")
        state = Path(f"/proc/{process.pid}/stat")
        deadline = time.monotonic() + 20
        while state.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert state.read_text().rpartition(")")[2].split()[0] == "Z"
        engine._still_there(0, force=True)
        engine.finish()


@pytest.mark.units(MEASURES)
def test_threads_that_come_and_go_are_named(pyspy_python: Interpreter) -> None:
    source = """
import threading, time
print("ready")
for i in range(10000):  # longer and longer, until one outlives a run of py-spy
    t = threading.Thread(target=time.sleep, args=(min(5, 0.25 + 0.1 * i),), name="short-%d" % i)
    t.start(); t.join()
"""
    sink, engine = KeepingSink(), PySpyEngine()

    def short() -> list[str]:
        return [name for name in sink.names.values() if name.startswith("short-")]

    # All of them get the same pthread handle, of which py-spy tells one name per window; it must be the right one.
    with target(pyspy_python, source) as process:
        watch(engine, sink, process.pid, 1.0, lambda: len(sink.gone) >= 8 and len(short()) >= 2)
    print(sorted(short()), len(sink.gone))
    assert len(set(short())) == len(short())


def test_a_name_is_nobodys_where_two_had_the_handle_since_py_spy_was_started() -> None:
    side = KernelSide(os.getpid(), True, Tasks(os.getpid()))
    side.handles = {1: 0x7000, 2: 0x7000, 3: 0x8000}
    side._gone = {1: 500, 3: 550}
    assert side.passed_on(2, 400) and side.passed_on(1, 400) and not side.passed_on(3, 400)
    assert not side.passed_on(2, 501), "it had ended before"
    side.close()


def test_hostile_names_pass_through_unharmed(pyspy_python: Interpreter, tmp_path: Path) -> None:
    source = """
import threading, time
names = ["[/red]", "\\x1b[2J\\x1b]0;x\\x07", "n" * 3000, 'thread (0x1): q"}},{"args":{', "\\u202e\\U0001f600", ""]
space = {"time": time}
code = compile("def f():\\n    time.sleep(100)\\n", 'x"}},{"args":{[/red]\\x1b[31m', "exec")
exec(code, space)
for n in names:
    threading.Thread(target=space["f"], name=n or " ", daemon=True).start()
print("ready")
time.sleep(100)
"""
    sink, engine = KeepingSink(), PySpyEngine()
    with target(pyspy_python, source) as process:
        watch(engine, sink, process.pid, 0.3, lambda: "[/red]" in sink.names.values())
    assert engine.tally.dropped == 0
    assert any(len(name) == 3000 for name in sink.names.values())
    assert {"[/red]", "\x1b[2J\x1b]0;x\x07", 'thread (0x1): q"}},{"args":{'} <= set(sink.names.values())
    assert any(file.startswith('x"}},{"args":{[/red]\x1b') for _, file, _ in sink.frames.values())
    assert len(sink.names) == 7


def test_a_name_that_py_spy_cannot_read_costs_the_names_not_the_stacks(pyspy_python: Interpreter) -> None:
    """Of a name longer than 4096 bytes py-spy 0.4 gives up on the names of all threads."""
    source = """
import threading, time
def f():
    time.sleep(100)
threading.Thread(target=f, name="n" * 10000, daemon=True).start()
print("ready")
f()
"""
    sink, engine = KeepingSink(), PySpyEngine()

    def all_seen() -> bool:
        return all(any("f" in sink.functions(s) for _, _, s, _, _ in sink.timeline(tid)) for tid in sink.names)

    with target(pyspy_python, source) as process:
        watch(engine, sink, process.pid, 0.3, lambda: all_seen() and len(sink.names) == 2)
    assert len(sink.names) == 2 and all(sink.names.values()) and all_seen()


def test_a_relative_script_is_found(tmp_path: Path) -> None:
    """Up to 3.8 the main script's path is as typed."""
    from concview.engines.pyspy.emit import Emitter

    (tmp_path / "x.py").write_text("")
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        emitter = Emitter(KeepingSink(), PySpyEngine().tally, os.getpid())
        assert emitter._path("x.py") == str(tmp_path / "x.py")
        assert emitter._path("y.py") == "y.py"
        assert emitter._path("<string>") == "<string>"
        assert emitter._path("a\0b") == "a\0b"
    finally:
        os.chdir(before)
