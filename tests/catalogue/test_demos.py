"""Every rule on its demo: it fires on `bad` in time and names the right lines, and nothing fires on `fixed`.

The first six rules are tried on a few Pythons, the others on the newest that can be judged; fixed variants for three
seconds. With CONCVIEW_FULL=1 everything on all of them, for thirty seconds, and it is asked how soon.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from capacity import BUSY, USUAL, WAITS
from collectors import nursery
from concview import registry
from concview.control import AttachAgent, CountCalls, SetBudget
from concview.demos.base import Demo, demos
from concview.model import Finding, Severity
from concview.session.session import Session
from concview.session.stream_source import LiveSource
from interpreters import FULL, Interpreter, few, interpreters

QUIET_S = 30.0 if FULL else 3.0
#: Rules that judge the machine as much as the program: on a busy one they may fire on anything, and are right.
MACHINE = {"cpu-starvation"}
#: What may come true while a demo runs: on a machine busy enough the two meet, and then it is a deadlock, which
#: explains what the demo is about.
COMES_TRUE = {"lock-order-inversion": "deadlock"}
#: That, and what is seen of the same from outside, where the rule itself is only an information.
RELATED = {"lock-order-inversion": {"deadlock"}, "object-pool-overhead": {"unbatched-sync"}}
#: Whatever the machine is busy with, a test ends.
PATIENCE_S = 40.0
#: Demos that take longer to be recognised than this are left to CONCVIEW_FULL.
SOON_S = 15.0
#: Tried on more than one Python, always.
CORE = {
    "lock-held-across-io", "lock-contention", "gil-contention", "thread-explosion", "blocked-event-loop", "deadlock",
}  # fmt: skip
#: Demos whose line is in a module that they write.
ELSEWHERE = {"import-contention": "remote_settings.py", "import-deadlock": "rates.py"}
RULES = {rule.id: rule for rule in registry.everything("concview.catalogue.rules", "RULE").values()}
#: Their `bad` keeps CPUs busy: few of them at once.
HOGS = {
    "gil-contention", "gil-convoy", "lock-contention", "thread-explosion", "busy-wait", "gc-storm", "cpu-starvation",
    "cpu-saturation", "native-gil-hold", "native-oversubscription", "context-switch-storm", "cpu-migration",
    "tiny-tasks", "unbatched-sync", "aggregator-bottleneck", "pool-per-call", "straggler",
    "object-pool-overhead", "stop-the-world-storm", "critical-section-contention",
}  # fmt: skip
#: A quarter of a CPU and more, measured; what is in neither list takes less in both variants.
LIVELY = {"actor-for-trivial-state", "disk-wait", "lock-per-call-counter", "rwlock-short-reads", "thread-churn"}
DEMOS = [d for d in demos().values() if d.id in RULES]


def _some(every: tuple[Interpreter, ...]) -> list[Interpreter]:
    """Those the test is run on: of each engine one where time is short."""
    ordinary = [i for i in every if not i.free_threaded]
    return ordinary if FULL or len(ordinary) < 3 else [ordinary[0], ordinary[-1]]


def _ours() -> list[Interpreter]:
    """The version that we run on ourselves: there the agent surely finds a build of yappi, ours."""
    return [i for i in interpreters() if i.version == sys.version_info[:2] and not i.free_threaded]


def _tried(demo: Demo) -> list[Interpreter]:
    """The oldest and the newest for the first six rules, one of them for the others: the newest that can be judged.
    Demos of builds without a GIL on all of those that there are."""
    if demo.free_threaded:
        return [i for i in interpreters() if i.free_threaded]
    some = _some(interpreters())
    if FULL:
        return list(dict.fromkeys([*some, *_ours()]))
    if demo.id in CORE:
        return some
    return _ours() if "calls" in RULES[demo.id].needs else some[-1:]


def _bad() -> list[object]:
    """What takes longest is left to CONCVIEW_FULL."""
    ordinary = [i for i in interpreters() if not i.free_threaded]
    return _nowhere() + [
        pytest.param(demo, python, id=f"{demo.id}-{python.label}", marks=pytest.mark.units(_units(demo)))
        for demo in DEMOS
        for python in (few(ordinary) if demo.id in CORE else _tried(demo))
        if FULL or demo.needs_seconds <= SOON_S
    ]


def _nowhere() -> list[object]:
    """Demos for which this machine has no interpreter: skipped by name, not left out."""
    skip = pytest.mark.skip("needs a free-threaded build (CONCVIEW_PYTHONS)")
    return [pytest.param(demo, None, id=f"{demo.id}-none", marks=skip) for demo in DEMOS if not _tried(demo)]


def _fixed() -> list[object]:
    return _nowhere() + [
        pytest.param(demo, python, id=f"{demo.id}-{python.label}", marks=pytest.mark.units(_units(demo, USUAL)))
        for demo in DEMOS
        for python in _tried(demo)
    ]


def _units(demo: Demo, of_hogs: int = BUSY) -> int:
    return of_hogs if demo.id in HOGS else USUAL if demo.id in LIVELY else WAITS


@contextlib.contextmanager
def watched(demo: Demo, variant: str, python: Interpreter) -> Iterator[Session]:
    process = subprocess.Popen(demo.command(variant, python.path), stdout=subprocess.PIPE, text=True)
    session: Session | None = None
    more: threading.Timer | None = None
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        session = Session(LiveSource(process.pid, "auto", 100.0, 5.0, launcher=nursery()))
        session.start()
        # On a full machine a sample costs several times as much, and the usual budget has few of them.
        more = threading.Timer(PATIENCE_S / 2, session.order, [SetBudget(50.0)])
        more.daemon = True
        more.start()
        look_inside(session, demo.id, python)
        yield session
    finally:
        if more is not None:
            more.cancel()
        if session is not None:
            session.close()
        process.kill()
        process.wait()


def look_inside(session: Session, rule_id: str, python: Interpreter) -> None:
    """Give a rule what it needs beyond the view from outside: the agent, and a window of counted calls."""
    needs = RULES[rule_id].needs
    if not {"agent", "calls"} & set(needs):
        return
    if python.free_threaded and python.version < (3, 14):
        pytest.skip("the agent is refused there")
    session.order(AttachAgent(30))
    if "calls" in needs:
        session.order(CountCalls("wall", 4))
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        snapshot = session.snapshot()
        if snapshot.refusal is not None:
            pytest.skip(f"not applicable here: {snapshot.refusal.text}")
        if not {n.id for n in snapshot.not_applicable} & {rule_id} and snapshot.capabilities[needs[-1]].available:
            return
        time.sleep(0.05)


def wait_for(session: Session, rule_id: str, patience: float) -> tuple[Finding | None, float]:
    """The rule's finding when it fires, and how much of the target had been seen by then."""
    names = {rule_id, COMES_TRUE.get(rule_id)}
    began = time.monotonic()
    while time.monotonic() < began + 2 * PATIENCE_S + patience and not session.ended:
        snapshot = session.snapshot()
        for refusal in snapshot.not_applicable:
            if refusal.id == rule_id:
                assert "failed" not in refusal.why
                pytest.skip(f"not applicable here: {refusal.why}")
        for finding in snapshot.findings:
            if finding.id in names:
                return finding, snapshot.elapsed_s
        time.sleep(0.05)
    return None, PATIENCE_S


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("demo", "python"), _bad())
def test_bad_is_named(demo: Demo, python: Interpreter) -> None:
    with watched(demo, "bad", python) as session:
        finding, seen = wait_for(session, demo.id, demo.needs_seconds)
        assert finding is not None, session.snapshot().pending
        print(f"\n{demo.id} on {python.label}: {finding.severity} {finding.score} after {seen:.1f} s")
        # How soon, depends on the machine: it is asked on a quiet one.
        assert not FULL or demo.id in MACHINE or seen <= demo.needs_seconds
        if demo.id != "fd-saturation":  # a property of the whole process; lines are named when they were seen
            assert finding.where, "names a line"
            assert os.path.basename(finding.where[0].file) == ELSEWHERE.get(demo.id, os.path.basename(demo.path))  # noqa: PTH119
        assert finding.summary and finding.fix and finding.why
        allowed = {demo.id, *MACHINE, *RELATED.get(demo.id, ())}

        def others() -> list[Finding]:
            return [f for f in session.snapshot().findings if f.severity is Severity.WARN and f.id not in allowed]

        # What explains what is known a little later where there are few samples.
        deadline = time.monotonic() + PATIENCE_S
        while others() and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not others(), "names nothing else as a warning"


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("demo", "python"), _fixed())
def test_fixed_is_silent(demo: Demo, python: Interpreter) -> None:
    with watched(demo, "fixed", python) as session:
        judged: set[str] = set()
        began = time.monotonic()
        while time.monotonic() < began + 2 * PATIENCE_S + QUIET_S:
            snapshot = session.snapshot()
            assert {f.id for f in snapshot.findings} <= MACHINE
            # Where nobody gets a CPU, some rules say so instead of an answer.
            starved = {p.id for p in snapshot.pending if "see cpu-starvation" in p.needs}
            judged = {*snapshot.clear, *MACHINE, *(n.id for n in snapshot.not_applicable), *starved}
            if snapshot.elapsed_s >= QUIET_S and demo.id in judged:
                break
            time.sleep(0.1)
        assert snapshot.elapsed_s >= QUIET_S
        assert demo.id in judged, [p for p in snapshot.pending if p.id == demo.id]
        assert not [n for n in snapshot.not_applicable if "failed" in n.why]
