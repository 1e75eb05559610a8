"""Which locks threads hold and which they wait for, against what the target itself says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from direct_helpers import tick_until, tick_until_right, ticks, watching

from capacity import WAITS
from concview.cpython.threads import Thread
from concview.engines.direct.locks.verify import Look
from concview.model import Confidence, WaitKind
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

LOCKS = Path(__file__).with_name("locks_target.py")
#: What the source calls a lock where that is not its label.
EXPRESSIONS = {"MANAGED": "", "STACKED": "", "CUSTOM": "", "DECORATED": "lock"}
#: Threads that the process's own threads need: their locks are none of ours.


def test_held_locks_and_waiters(direct_python: Interpreter) -> None:
    with target(direct_python, LOCKS) as process, watching(process.pid) as (engine, sink):
        truth: Any = process.json()
        ids, lines = truth["ids"], truth["lines"]
        labels = {address: label for label, address in ids.items()}

        def problems() -> list[Any]:
            found: list[Any] = []
            for name, case in truth["cases"].items():
                tid = case["tid"]
                holds = sink.holds_of(tid)
                got = [labels.get(h.lock, hex(h.lock)) for h in reversed(holds)]  # outermost first
                if got != list(case["holds"]):
                    found.append((name, "holds", got, case["holds"]))
                for hold in holds:
                    label = labels.get(hold.lock, "")
                    exact = Confidence.INFERRED if label == "CUSTOM" else Confidence.EXACT
                    if (hold.confidence, hold.site.line) != (exact, lines.get(label)):
                        found.append((name, hold, lines.get(label)))
                    if hold.site.file != str(LOCKS):
                        found.append((name, hold.site))
                    if label not in EXPRESSIONS and hold.site.expression != label:
                        found.append((name, label, hold.site.expression))
                if case["waits"]:
                    wait = sink.wait_of(tid)
                    got_wait = wait and (wait.kind, labels.get(wait.lock, hex(wait.lock)), wait.via)
                    if got_wait != (WaitKind.FUTEX, case["waits"], case["via"]):
                        found.append((name, "waits", got_wait, case["waits"], case["via"]))
            return found

        tick_until_right(engine, problems)
        ticks(engine, 30)
        assert problems() == [], "and it stays right"
        timed = {n: sink.wait_of(c["tid"]).timed for n, c in truth["cases"].items() if c["waits"]}  # type: ignore[union-attr]
        assert timed["wait_timeout"] and timed["condition_wait_timeout"] and timed["wait_spent"]
        assert not timed["wait_with"] and not timed["queue_get"]


IDLE = """
import queue, threading, time
jobs = queue.Queue()
def worker():
    while True:
        try: jobs.get(timeout=0.02)
        except queue.Empty: pass
for _ in range(6): threading.Thread(target=worker, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.few
def test_who_is_back_in_the_same_blocks_is_not_looked_at_anew(direct_python: Interpreter) -> None:
    """Workers that come back to a queue: their exit methods are others each time, their condition is the same."""
    if direct_python.version < (3, 11):
        pytest.skip("frames lie apart: what is in their slots is not copied with the stack")
    with target(direct_python, IDLE) as process, watching(process.pid) as (engine, _):
        holds, asked, anew = engine._holds, 0, 0
        quick, begin = holds._quick, holds._begin

        def count_asked(thread: Thread) -> Any:
            nonlocal asked
            asked += 1
            return quick(thread)

        def count_anew(look: Look) -> bool:
            nonlocal anew
            anew += 1
            return begin(look)

        ticks(engine, 100, 0.01)
        holds._quick, holds._begin = count_asked, count_anew  # type: ignore[method-assign]
        tick_until(engine, lambda: asked > 300)
        assert anew < 0.5 * asked
