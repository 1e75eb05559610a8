"""Which locks threads hold and which they wait for, against what the target itself says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from direct_helpers import ticks, watching

from concview.model import Confidence, WaitKind
from interpreters import Interpreter, target

LOCKS = Path(__file__).with_name("locks_target.py")
#: What the source calls a lock where that is not its label.
EXPRESSIONS = {"MANAGED": "", "STACKED": "", "CUSTOM": "", "DECORATED": "lock"}
#: Threads that the process's own threads need: their locks are none of ours.


def test_held_locks_and_waiters(direct_python: Interpreter) -> None:
    with target(direct_python, LOCKS) as process, watching(process.pid) as (engine, sink):
        truth: Any = process.json()
        ids, lines = truth["ids"], truth["lines"]
        labels = {address: label for label, address in ids.items()}
        ticks(engine, 30)
        problems: list[Any] = []
        for name, case in truth["cases"].items():
            tid = case["tid"]
            holds = sink.holds_of(tid)
            got = [labels.get(h.lock, hex(h.lock)) for h in reversed(holds)]  # outermost first
            if got != list(case["holds"]):
                problems.append((name, "holds", got, case["holds"]))
            for hold in holds:
                label = labels.get(hold.lock, "")
                exact = Confidence.INFERRED if label == "CUSTOM" else Confidence.EXACT
                if (hold.confidence, hold.site.line) != (exact, lines.get(label)):
                    problems.append((name, hold, lines.get(label)))
                if hold.site.file != str(LOCKS):
                    problems.append((name, hold.site))
                if label not in EXPRESSIONS and hold.site.expression != label:
                    problems.append((name, label, hold.site.expression))
            if case["waits"]:
                wait = sink.wait_of(tid)
                assert wait is not None
                got_wait = (wait.kind, labels.get(wait.lock, hex(wait.lock)), wait.via)
                if got_wait != (WaitKind.FUTEX, case["waits"], case["via"]):
                    problems.append((name, "waits", got_wait, wait.lock_kind, case["waits"], case["via"]))
        assert problems == []
        timed = {n: sink.wait_of(c["tid"]).timed for n, c in truth["cases"].items() if c["waits"]}  # type: ignore[union-attr]
        assert timed["wait_timeout"] and timed["condition_wait_timeout"] and timed["wait_spent"]
        assert not timed["wait_with"] and not timed["queue_get"]
