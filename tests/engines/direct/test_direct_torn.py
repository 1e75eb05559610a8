"""Running threads: copies can be torn. What comes out must be legal, and nearly always right."""

from __future__ import annotations

import itertools
import json
import math
import random
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from direct_helpers import tick_until, ticks, watching

from capacity import BUSY, MEASURES
from concview.linux.waits import WaitReader
from interpreters import Interpreter, target

LEVELS, WIDTH = 10, 12


def _program() -> tuple[str, dict[tuple[str, int], str]]:
    """A target in which every (function, line) calls one known function, and the calls are as fast as can be."""
    rng = random.Random(1)
    lines = ["import threading, sys, time"]
    calls: dict[tuple[str, int], str] = {}
    for level in reversed(range(LEVELS)):
        for i in range(WIDTH):
            name = f"f{level}_{i}"
            lines += [f"def {name}(n):", "    a = n; b = (n, n); c = [b]"]
            if level < LEVELS - 1:
                for k in range(3):
                    callee = f"f{level + 1}_{rng.randrange(WIDTH)}"
                    lines.append(f"    if (n >> {level * 2}) % 3 == {k}: {callee}(n + {k})")
                    calls[name, len(lines)] = callee
            else:
                lines.append("    for i in range(3): c.append(i)")
            lines.append("    return a")
    lines += ["def spin(n):", "    while True:", "        n = (n * 1103515245 + 12345) & 0x3fffffff"]
    for k in range(3):
        lines.append(f"        if n % 3 == {k}: f0_{k}(n)")
        calls["spin", len(lines)] = f"f0_{k}"
    lines += [
        "for i in range(2): threading.Thread(target=spin, args=(i,), name='spin', daemon=True).start()",
        "print('ready')",
        "time.sleep(100000)",
    ]
    return "\n".join(lines) + "\n", calls


@pytest.mark.units(MEASURES)
def test_call_churn(direct_python: Interpreter, tmp_path: Path) -> None:
    """The worst case: nothing but calls of 100 ns.

    Measured wrong: up to 3.13 0 to 3 %, on a starved machine (where the copy itself is interrupted) up to 8 %;
    from 3.14 on, where popped frames are cleared, at most one in a thousand.
    """
    source, calls = _program()
    with target(direct_python, source) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: sum(n == "spin" for n, _ in sink.names.values()) == 2)
        tids = [t for t, (n, _) in sink.names.items() if n == "spin"]
        good = wrong = unknown = cut = 0
        deadline = time.monotonic() + 60
        last: dict[int, int] = {}
        while good + wrong < 600 and time.monotonic() < deadline:
            ticks(engine, 1, pause=0.0003)
            for tid in tids:
                if sink.rows[tid][1] == last.get(tid):
                    continue
                last[tid] = sink.rows[tid][1]
                stack = sink.stack_of(tid)
                if not stack:
                    unknown += 1
                    continue
                own = [f for f in stack if f[0] == "spin" or f[0].startswith("f")]
                cut += own[-1][0] != "spin" or stack[-1][0] != "Thread._bootstrap"
                legal = all(calls.get((b[0], b[2])) == a[0] for a, b in itertools.pairwise(own))
                good, wrong = good + legal, wrong + (not legal)
        report = {"good": good, "wrong": wrong, "unknown": unknown, "cut": cut, "tally": str(engine.tally)}
        print(direct_python.label, json.dumps(report))
        assert good > 100, report
        assert wrong <= (0.15 if direct_python.version < (3, 14) else 0.01) * good, report
        assert unknown <= 0.02 * good and cut == 0, report


MIXED = """
import contextlib, threading, time
lock, other = threading.Lock(), threading.RLock()
condition = threading.Condition()
def numbers(n):
    for i in range(n):
        yield sum(x for x in range(3))
@contextlib.contextmanager
def managed():
    with other:
        yield
def deep(n):
    return sorted([n], key=lambda x: deep(x - 1) if x else 0)
def churn():
    while True:
        for _ in numbers(5):
            with lock:
                with managed():
                    deep(3)
        with condition:
            condition.wait(0.0001)
def births():
    while True:
        threads = [threading.Thread(target=deep, args=(20,)) for _ in range(3)]
        for t in threads: t.start()
        for t in threads: t.join()
for i in range(3): threading.Thread(target=churn, daemon=True).start()
threading.Thread(target=births, daemon=True).start()
print("ready")
time.sleep(100000)
"""


@pytest.mark.units(BUSY)
@pytest.mark.some(8, 11, 13, 15)  # one of each way in which frames lie; the other tests here run on all
def test_nothing_breaks(direct_python: Interpreter) -> None:
    """Generators, locks, C calls, births and ends, all at full speed: no exception, no lost engine, sane locks."""
    with target(direct_python, MIXED) as process, watching(process.pid) as (engine, sink):
        # Neighbours that take the CPU in the middle of a copy spoil it: the best of three rounds counts.
        shares: list[tuple[float, float]] = []
        for _ in range(3):
            before = replace(engine.tally)
            for _ in range(400):
                ticks(engine, 1, pause=0.0002)
                for tid in sink.rows:
                    for hold in sink.holds_of(tid):
                        assert hold.kind in ("Lock", "RLock", "Condition"), hold
            tally = engine.tally
            samples = tally.samples - before.samples
            shares.append(((tally.misses - before.misses) / samples, (tally.dropped - before.dropped) / samples))
            if max(shares[-1]) <= 0.1:
                break
        print(direct_python.label, tally, len(sink.gone), shares)
        assert min(max(pair) for pair in shares) <= 0.1
        assert len(sink.frames) < 2000, "frames that do not exist were seen"


HOLDING = """
import threading, time
lock, rlock, condition = threading.Lock(), threading.RLock(), threading.Condition()
print("ready")
print(id(lock), id(rlock), id(condition._lock))
def work(n):
    for i in range(n): pass
def hold_lock():
    work(200)
    with lock:
        inside_lock()
    work(200)
def hold_rlock():
    with rlock:
        inside_rlock()
    work(200)
def hold_condition():
    with condition:
        inside_condition()
    work(200)
def inside_lock(): work(3000)
def inside_rlock(): work(3000)
def inside_condition(): work(3000)
def run():
    while True:
        hold_lock(); hold_rlock(); hold_condition()
for i in range(2): threading.Thread(target=run, daemon=True).start()
time.sleep(100000)
"""


@pytest.mark.units(BUSY)
def test_locks_of_running_threads(direct_python: Interpreter) -> None:
    """Held exactly while the function inside the `with` is on the stack."""
    with target(direct_python, HOLDING) as process, watching(process.pid) as (engine, sink):
        kinds = ("lock", "rlock", "condition")
        ids = dict(zip(kinds, map(int, process.line().split()), strict=True))
        detected = missed = false = free = 0
        last: dict[int, tuple[int, ...]] = {}
        deadline = time.monotonic() + 60
        pushed_aside = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
        while detected < 300 and time.monotonic() < deadline:
            ticks(engine, 1, pause=0.0005)
            for tid, row in sink.rows.items():
                if row == last.get(tid):
                    continue
                last[tid] = row
                functions = {f[0] for f in sink.stack_of(tid)}
                if "run" not in functions:
                    continue
                held = {h.lock for h in sink.holds_of(tid)}
                for kind in kinds:
                    inside, seen = f"inside_{kind}" in functions, ids[kind] in held
                    detected += inside and seen
                    missed += inside and not seen
                    # On the line of the `with` itself both are right.
                    false += seen and not inside and f"hold_{kind}" not in functions
                    free += not inside and not seen
        pushed_aside = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw - pushed_aside
        report = (detected, missed, false, free, pushed_aside)
        print(direct_python.label, report)
        assert detected > 50, report
        # A copy that was interrupted half-way can pair a frame with the next frame's slots. Up to 3.10 frames lie apart
        # and are copied one by one: 0 to 3 % when measured beside three busy neighbours. That is a mean: three
        # standard deviations (of a Poisson count) beside it are chance. Where others push us aside in the middle of a
        # copy, one more may be spoilt each time.
        mean = (0.03 if direct_python.version >= (3, 11) else 0.08) * detected
        assert false <= mean + 3 * math.sqrt(mean) + pushed_aside, report
        # Missed is what the thread had already left when its locks were looked at: these are held for microseconds, a
        # busy machine makes it more, and up to 3.13 a slot that was left names nothing, not somebody else's lock.
        assert missed <= (2 if direct_python.version < (3, 14) else 0.5) * detected + 2, report


TURNS = """
import threading, time
lock = threading.Lock()
def work():
    while True:
        with lock:
            time.sleep(0.004)
def waits_for_itself():
    own = threading.Lock()
    with own:
        own.acquire()
for i in range(3):
    threading.Thread(target=work, daemon=True).start()
threading.Thread(target=waits_for_itself, name="itself", daemon=True).start()
print("ready", flush=True)
time.sleep(100000)
"""


@pytest.mark.few
def test_nobody_has_the_lock_that_it_waits_for(direct_python: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full machine time passes between the copy of a stack and the question what its thread waits for: one that
    had the lock has come for it again by then. One that waits for itself does so all the time."""
    news = WaitReader.news

    def late(self: WaitReader, rows: Any) -> Any:
        rows = list(rows)
        time.sleep(0.006)
        return news(self, rows)

    monkeypatch.setattr(WaitReader, "news", late)
    with target(direct_python, TURNS) as process, watching(process.pid) as (engine, sink):
        itself = tick_until(engine, lambda: next((t for t, (n, _) in sink.names.items() if n == "itself"), 0))
        held: set[int] = set()

        def wrong() -> list[int]:
            found = []
            for tid in sink.names:
                wait, holds = sink.wait_of(tid), {hold.lock for hold in sink.holds_of(tid)}
                held.update({tid} if holds else ())
                if wait is not None and wait.lock and wait.lock in holds:
                    found.append(tid)
            return found

        tick_until(engine, lambda: wrong() == [itself])
        for _ in range(150):
            ticks(engine, 1)
            assert wrong() == [itself]
        assert len(held) >= 3, "the others had it, too"
