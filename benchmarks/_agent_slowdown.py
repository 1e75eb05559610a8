"""The slowdown that concview shows while calls are counted, against what the program measures of itself."""

from __future__ import annotations

import select
import time
from itertools import pairwise
from statistics import median

import agent_helpers as h

from concview.agent_host.messages import CallsPart, Opened, Refused
from concview.model import Calls
from concview.tui.agent_requests import derived
from interpreters import Interpreter, Process, target

#: One thread works in rounds; on request the program says how many it has done, and the thread's CPU for them.
PROGRAM = """
import json, select, sys, threading, time
def leaf(): pass
def add(a, b): return a + b
class Thing:
    def __init__(self): self.n = 0
    def step(self, k):
        self.n += k
        return len(str(self.n))
def calls():
    for _ in range(200): leaf()
def objects():
    t = Thing(); d = {}
    for i in range(40):
        t.step(i); d[i] = add(i, 1); sorted(d.values())[:1]
def recursion(n=11):
    return n if n < 2 else recursion(n - 1) + recursion(n - 2)
def loop():
    x = 0
    for i in range(3000): x += i * i
def io():
    time.sleep(0.002); objects()
def mixed():
    objects(); objects(); time.sleep(0.0005); loop()
kind = globals()[sys.argv[1]]
done, cpu = 0, 0.0
def work():
    global done, cpu
    while True:
        kind(); done += 1
        if done % 20 == 0: cpu = time.thread_time()
threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
while True:
    while not select.select([0], [], [], 0.02)[0]: pass
    sys.stdin.readline()
    print(json.dumps([done, cpu, time.monotonic()]), flush=True)
"""
KINDS = ("calls", "recursion", "objects", "loop", "mixed", "io")
#: Windows of each, and stretches without one between them (seconds).
WINDOWS, STRETCH_S = 5, 0.6


def _told(process: Process, attachment: h.Attachment) -> list[float]:
    process.send("")
    assert process.popen.stdout is not None
    while not select.select([process.popen.stdout], [], [], 0.05)[0]:
        attachment.poll()  # the agent leaves when it hears nothing
    return process.json()  # type: ignore[return-value]


def _stretch(process: Process, attachment: h.Attachment) -> tuple[float, float]:
    """(rounds per second, CPU seconds per round)."""
    before = _told(process, attachment)
    end = time.monotonic() + STRETCH_S
    while time.monotonic() < end:
        attachment.poll()
        time.sleep(0.05)
    after = _told(process, attachment)
    rounds = max(1.0, after[0] - before[0])
    return rounds / (after[2] - before[2]), (after[1] - before[1]) / rounds


def slowdown(python: Interpreter, kind: str) -> None:
    """One row: the program's own rounds, and its CPU for one, without and with counting, beside what is shown."""
    with target(python, PROGRAM, kind) as process:
        attachment = h.visit(process.pid)
        source = "yappi"
        without, within, parts = [_stretch(process, attachment)], [], []
        while len(parts) < WINDOWS:
            attachment.open_window("wall", 30.0, source)
            answer = h.until(attachment, lambda m: m if isinstance(m, Opened | Refused) else None)
            if isinstance(answer, Refused):
                if source == "monitoring" or python.version < (3, 12):
                    print(f"{python.label:6} {kind:9} {answer.why}", flush=True)
                    return
                source = "monitoring"
                continue
            within.append(_stretch(process, attachment))
            attachment.close_window()
            parts.append(_whole(attachment))
            without.append(_stretch(process, attachment))
        h.leave(attachment)
    around = [[(a[i] + b[i]) / 2 for a, b in pairwise(without)] for i in (0, 1)]
    rate = median(a / b[0] for a, b in zip(around[0], within, strict=True))
    cpu = [b[1] / a for a, b in zip(around[1], within, strict=True)]
    shown = [part.cost.factor for part in parts if part.cost.factor]
    low, high = (median(both) for both in zip(*map(_derived, parts), strict=True))
    measured = f"{median(shown):6.2f}" if shown else "     -"
    print(
        f"{python.label:6} {kind:9} {source:10} {rate:6.2f}  {median(cpu):6.2f} ({min(cpu):5.2f} to {max(cpu):5.2f})"
        f"  {measured} ({len(shown)}/{len(parts)})  {low:5.2f} to {high:5.2f}",
        flush=True,
    )


def _whole(attachment: h.Attachment) -> CallsPart:
    """The end of the account: nothing of it is left to be read."""
    return h.until(attachment, lambda m: m if isinstance(m, CallsPart) and not m.running and not m.more else None, 60.0)


def _derived(part: CallsPart) -> tuple[float, float]:
    cost = part.cost
    share = cost.spent / part.seconds
    return derived(
        Calls(
            0,
            part.source,
            part.clock,
            part.seconds,
            False,
            True,
            part.calls,
            0,
            share,
            (),
            cost.used,
            cost.bare,
            cost.drag,
        )
    )


def table(chosen: list[Interpreter]) -> None:
    print(
        "\npython program   profiler   rounds/s  CPU per round           shown:       shown:"
        "\n                            x fewer   x more (5 windows)      measured     derived",
        flush=True,
    )
    for python in chosen:
        for kind in KINDS:
            slowdown(python, kind)
