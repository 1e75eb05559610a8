"""What is particular to frames that are heap objects (3.8 to 3.10)."""

from __future__ import annotations

import ast
import ctypes
import dis
import os
import struct
import sys
from array import array
from types import CodeType

import pytest
from direct_helpers import tick_until, tick_until_right, watching

from capacity import WAITS
from concview import engines
from concview.cpython.heap import native
from concview.cpython.heap.layout import PTHREAD_TID
from concview.cpython.heap.lines import parse_linetable, parse_lnotab
from concview.cpython.memory import Memory
from concview.cpython.offsets import describe
from concview.cpython.runtime import Runtime
from concview.engines.direct.frames.heap_batch import HeapBatch, HeapThread
from concview.model import Confidence
from concview.source.qualnames import outermost, qualnames
from interpreters import Interpreter, interpreters, target

pytestmark = pytest.mark.units(WAITS)

OLD = [i for i in interpreters() if i.version < (3, 11)]
old_pythons = pytest.mark.parametrize("python", OLD, ids=[i.label for i in OLD])

SLEEP = "import time\nprint('ready')\ntime.sleep(100000)\n"


def test_line_tables() -> None:
    # Objects/lnotab_notes.txt: pairs (bytes, lines), both cumulated; 300 bytes and a line back need several pairs.
    assert parse_lnotab(bytes([6, 1, 44, 5, 255, 0, 45, 251]), 1) == ([0, 6, 50, 305, 350], [1, 2, 7, 7, 2])
    assert parse_lnotab(b"", 7) == ([0], [7])
    assert parse_lnotab(bytes([0, 3, 2, 1]), 1) == ([0, 2], [4, 5])
    # PEP 626: ranges; -128 has no line, and the next one is counted from the line before.
    assert parse_linetable(bytes([4, 0, 2, 128, 6, 1, 0, 5, 2, 255]), 10) == ([0, 4, 6, 12], [10, 0, 11, 15])


@old_pythons
def test_line_tables_are_those_of_the_interpreter(python: Interpreter) -> None:
    """Every code object of a large module, against what `dis` says there."""
    program = """
import dis, json, threading
print("ready")
found, todo = [], [compile(open(threading.__file__).read(), "f", "exec")]
while todo:
    code = todo.pop()
    todo += [c for c in code.co_consts if hasattr(c, "co_code")]
    table = getattr(code, "co_linetable", None) or code.co_lnotab
    found.append([list(table), code.co_firstlineno, list(dis.findlinestarts(code)), len(code.co_code)])
print(json.dumps(found))
"""
    parse = parse_linetable if python.version >= (3, 10) else parse_lnotab
    with target(python, program) as process:
        for table, first, wanted, size in process.json():
            starts, lines = parse(bytes(table), first)
            line_of = dict(zip(starts, lines, strict=True))
            assert max(starts) <= size
            for start, line in wanted:
                at = max(s for s in starts if s <= start)
                assert line_of[at] == line, (first, start)


def _codes(code: CodeType) -> list[CodeType]:
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return [code, *(found for c in inner for found in _codes(c))]


def test_qualified_names_from_the_source() -> None:
    """As this interpreter names them, in some large modules of its library."""
    good = wrong = 0
    for module in (ast, dis, sys.modules["threading"], sys.modules["argparse"]):
        with open(module.__file__ or "", encoding="utf-8") as file:
            source = file.read()
        names = qualnames(source)
        for code in _codes(compile(source, "f", "exec"))[1:]:
            right = names.get((code.co_name, code.co_firstlineno), code.co_name) == code.co_qualname
            good, wrong = good + right, wrong + (not right)
    assert good > 400 and wrong <= 0.01 * good, (good, wrong)  # two lambdas on one line are not told apart
    assert qualnames("def f(:") == {}
    assert outermost("async def f(x):", "f") and outermost("class f:", "f")
    assert not outermost("    def f(x):", "f") and not outermost("def g(): f()", "f")


WITHS = """
import asyncio, contextlib, threading, time
a, b, c = threading.Lock(), threading.RLock(), threading.Condition()
ids = [id(a), id(b), id(c._lock)]
stop = threading.Event()
def in_try():
    try:
        with a:
            try:
                for i in range(3):
                    with b, c:
                        try:
                            raise ValueError
                        except ValueError:
                            stop.wait()
            finally:
                pass
    finally:
        pass
class Closure:
    def method(self):
        lock = threading.Lock()
        ids.append(id(lock))
        def inner():
            return self, lock
        with lock:
            stop.wait()
def after():
    with a_free: pass
    try:
        with a_free: raise KeyError
    except KeyError:
        stop.wait()
def returning():
    with a_free:
        return stop.wait()
a_free, d = threading.Lock(), threading.Lock()
async def tasks():
    lock = asyncio.Lock()
    async with lock:
        with d:
            stop.wait()
def loop():
    asyncio.run(tasks())
ids.append(id(d))
for f in (in_try, Closure().method, after, loop):
    threading.Thread(target=f, name=f.__name__, daemon=True).start()
while len(ids) < 5: time.sleep(0.01)
print("ready")
print(ids)
time.sleep(100000)
"""


@old_pythons
def test_blocks_inside_blocks(python: Interpreter) -> None:
    """A `with` in a try, a loop, another `with`, around an exception that is handled; and none that was left."""
    with target(python, WITHS, settled=True) as process, watching(process.pid) as (engine, sink):
        a, b, c, d, lock = ast.literal_eval(process.line())
        right = {"MainThread": [], "in_try": [c, b, a], "method": [lock], "after": [], "loop": [d]}

        def wrong() -> dict[str, list[int]] | None:
            held = {
                name: [hold.lock for hold in sink.holds_of(tid) if hold.confidence is Confidence.EXACT]
                for tid, (name, _) in sink.names.items()
            }
            return held if held != right else None

        tick_until_right(engine, wrong)


@old_pythons
def test_a_thread_that_takes_over_everything_of_one_that_ended(python: Interpreter) -> None:
    """The same thread state, pthread handle and frames, but another thread of the kernel's."""
    source = """
import sys, threading, time
def work():
    go.wait()
def start():
    global go, thread
    go = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
start()
print("ready")
for line in sys.stdin:
    handle = thread.ident
    go.set(); thread.join()
    start()
    print(thread.native_id if thread.ident == handle else 0, flush=True)
"""
    with target(python, source) as process, watching(process.pid) as (engine, sink):

        def pythons() -> set[int]:
            return {tid for tid, (_, native) in sink.names.items() if not native}

        taken_over = 0
        for _ in range(10):
            process.send("next")
            tid = int(process.line())
            taken_over += tid > 0
            if tid:
                # The thread before it may be in the kernel's list a little longer: `join` returns before it has left.
                tick_until(engine, lambda: pythons() == {process.pid, tid} and len(sink.stack_of(tid)) > 4)  # noqa: B023
        assert taken_over, "the C library gave no handle a second time"


@old_pythons
def test_a_library_that_does_not_say_which_thread_is_which(
    python: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then py-spy is chosen, and that is said."""
    monkeypatch.setattr(native, "_find", lambda *_: -1)
    with target(python, SLEEP) as process:
        engine, probe = engines.choose(process.pid)
        assert engine is not None and engine.name == "pyspy" and probe.usable
        assert "C library" in probe.why
        refused = engines.choose(process.pid, "direct")
        assert refused[0] is None and "--engine pyspy" in refused[1].enable


def test_a_copy_never_exceeds_the_buffer() -> None:
    """What is copied of a thread grows without the whole being laid out anew; the kernel writes all it is asked for."""
    mine = Memory(os.getpid())
    batch = HeapBatch(mine, Runtime(0, 0x03080000, "", ""), describe(0x03080000, b""))
    here = ctypes.create_string_buffer(1 << 20)
    start = ctypes.addressof(here)
    thread = HeapThread(start, 0, 0)
    batch._head_words, batch.head_size, batch.first = array("Q", [start, 8]), 8, 8
    for count in (1, 10, 500):
        frames = [start + 2000 * i for i in range(1, count + 1)]
        batch.predict(thread, frames, dict.fromkeys(frames, 400), 0)
        copied = batch.copy_some([thread])
        assert copied is not None and len(copied[0]) == 8 + thread.end - thread.start <= len(batch._buffer)


class Structs:
    """Stands in for memory: `struct pthread` of threads, with their number at the place that glibc has on x86-64."""

    def __init__(self, numbers: dict[int, int]) -> None:
        self._numbers = numbers

    def read_many(self, wanted: list[tuple[int, int]]) -> list[bytes | None]:
        parts: list[bytes | None] = []
        for address, size in wanted:
            part = bytearray(struct.pack("<Q", address) * (size // 8))
            struct.pack_into("<i", part, PTHREAD_TID[0], self._numbers[address])
            parts.append(bytes(part))
        return parts


@pytest.mark.parametrize(
    ("ended", "begun", "at"),
    [(0, 0, PTHREAD_TID[0]), (10, 2, PTHREAD_TID[0]), (0, 8, -1), (25, 0, -1)],
    ids=["all stay", "some come and go", "too many strangers", "too few that stay"],
)
def test_where_threads_come_and_go_their_numbers_are_found_all_the_same(ended: int, begun: int, at: int) -> None:
    """A copy of many is hardly ever of one moment there: the kernel clears the number of one that has ended."""
    handles = [0x7F00_0000_0000 + 0x1000 * n for n in range(40)]
    numbers = {handle: 1000 + n for n, handle in enumerate(handles)}
    known = {number: 0 for handle, number in numbers.items() if handle not in handles[:begun]}
    numbers.update(dict.fromkeys(handles[40 - ended :], 0))
    assert native._find(Structs(numbers), handles, known) == at  # type: ignore[arg-type]
