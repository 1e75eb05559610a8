"""A master that only waits for its workers is not judged as if it were the service."""

from __future__ import annotations

import msgspec
import pytest

from concview.commands._unjudged import unjudged
from concview.model import Concern, Confidence, Finding, Measured, Role, Severity, Worker, Workers
from concview.session.supervisor import WATCHES, judged
from concview.snapshot import Blame, BlameCause, QuietView, Snapshot, Status

IDLE = Blame(10.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, verdict="idle", sentence="Idle.")
WORKERS = Workers(
    1,
    (
        Worker(10, 5, 1, Role.HELPER, "resource tracker", 90.0),
        Worker(11, 5, 1, Role.WORKER, "worker 1", 3.0),
        Worker(12, 6, 1, Role.WORKER, "worker 2", 98.4),
    ),
)
CHILD = BlameCause("own", "child", "process python", "popen.py", 27, "wait", 1.0, 10.0, (1,))
OTHER = msgspec.structs.replace(CHILD, kind="peer", what="tcp 10.0.0.1:5432", thread_s=5.0)
POLL = msgspec.structs.replace(CHILD, kind="poll", what="looks again and again for what has not come")
FINDING = Finding("busy-wait", "", Severity.INFO, 50, Confidence.EXACT, "", "", "", "", Measured("", 1, 1, 1, ""))


def test_it_names_the_busiest_and_offers_the_tree() -> None:
    said = judged(IDLE, WORKERS, 0.3, (), 1, alone=True)
    assert said is not None and (said.verdict, said.severity) == (WATCHES, Severity.INFO)
    assert "2 workers" in said.sentence and "worker 2, pid 12: 98 % of a core" in said.sentence
    assert said.more[0].endswith("concview check --tree 1")
    assert "only waits" not in said.sentence, "what it rests for was not seen"


def test_in_a_tree_it_is_calm() -> None:
    said = judged(IDLE, WORKERS, 0.3, (), 1, alone=False)
    assert said is not None and (said.verdict, said.severity) == (WATCHES, None)
    assert "looked" not in said.sentence and "only waits" not in said.sentence
    waits = judged(msgspec.structs.replace(IDLE, verdict="clear", causes=(CHILD,)), WORKERS, 0.3, (), 1, alone=False)
    assert waits is not None and waits.sentence == "It only waits for its 2 workers."


def test_one_that_polls_for_its_workers_only_watches() -> None:
    polls = msgspec.structs.replace(IDLE, verdict="clear", active=1.0, causes=(POLL,))
    said = judged(polls, WORKERS, 0.3, (), 1, alone=True)
    assert said is not None and said.verdict == WATCHES and "only waits for its 2 workers" in said.sentence
    helper = msgspec.structs.replace(WORKERS, workers=(msgspec.structs.replace(WORKERS.workers[1], role=Role.PROGRAM),))
    said = judged(polls, helper, 0.3, (), 1, alone=True)
    assert said is not None and said.verdict == "clear"  # what it looks for may be anything


def test_a_service_whose_time_goes_to_its_workers_has_no_verdict_without_them() -> None:
    busy = msgspec.structs.replace(
        IDLE, verdict="clear", active=4.0, causes=(msgspec.structs.replace(CHILD, thread_s=25.0), OTHER)
    )
    said = judged(busy, WORKERS, 40.0, (), 1, alone=True)
    assert said is not None and (said.verdict, said.severity) == (WATCHES, Severity.INFO)
    assert "62 % of their time" in said.sentence and "--tree 1" in said.more[0]
    less = msgspec.structs.replace(busy, causes=(msgspec.structs.replace(CHILD, thread_s=15.0), OTHER))
    for blame, findings, alone in ((less, (), True), (busy, (FINDING,), True), (busy, (), False)):
        said = judged(blame, WORKERS, 40.0, findings, 1, alone=alone)
        assert said is not None and said.verdict == "clear"


@pytest.mark.parametrize(
    ("blame", "cpu", "findings"),
    [
        (IDLE, 40.0, ()),  # it works
        (IDLE, None, ()),  # not known
        (IDLE, 0.1, (FINDING,)),
        (msgspec.structs.replace(IDLE, verdict="clear", causes=(OTHER,)), 0.1, ()),
        (
            msgspec.structs.replace(
                IDLE, quiets=(QuietView("idle", "waits for connections tcp 0.0.0.0:80", 1.0, "", 0, (1,), ()),)
            ),
            0.1,
            (),
        ),
        (msgspec.structs.replace(IDLE, verdict="stuck", severity=Severity.WARN, causes=(CHILD,)), 0.1, ()),
    ],
)
def test_a_program_of_its_own_keeps_its_verdict(blame: Blame, cpu: float, findings: tuple[Finding, ...]) -> None:
    said = judged(blame, WORKERS, cpu, findings, 1, alone=True)
    assert said is not None and (said.verdict, said.severity) == (blame.verdict, blame.severity)
    assert "worker 2" in said.more[-1] and "--tree 1" in said.more[-1]


def test_a_program_beside_another_one() -> None:
    """Whoever has only started another program is idle, unless it waits for its end."""
    beside = Workers(1, (Worker(11, 5, 1, Role.PROGRAM, "other.py", 0.0),))
    said = judged(IDLE, beside, 0.1, (), 1, alone=True)
    assert said is not None and said.verdict == "idle"
    waits = judged(msgspec.structs.replace(IDLE, verdict="clear", causes=(CHILD,)), beside, 0.1, (), 1, alone=True)
    assert waits is not None and waits.verdict == WATCHES


@pytest.mark.parametrize("workers", [None, Workers(1, ()), Workers(1, WORKERS.workers[:1])])
def test_helpers_are_no_workers(workers: Workers | None) -> None:
    assert judged(IDLE, workers, 0.1, (), 1, alone=True) is IDLE


def test_a_risk_in_a_master_is_no_verdict_on_its_service() -> None:
    """Workers forked beside older threads: it is found, and the master still only waits for them."""
    risk = msgspec.structs.replace(FINDING, id="fork-with-threads", concern=Concern.RISK)
    found = msgspec.structs.replace(
        IDLE, verdict="found", severity=Severity.INFO, rule=risk.id, sentence="Found: forked.", causes=(CHILD,)
    )
    said = judged(found, WORKERS, 0.3, (risk,), 1, alone=True)
    assert said is not None and (said.verdict, said.severity) == (WATCHES, Severity.INFO)
    assert "No verdict on the service" in said.sentence
    assert unjudged(Snapshot(Status.EXITED, samples=400, findings=(risk,), blame=said)), "check passes nobody by that"
    for other in (FINDING, msgspec.structs.replace(risk, severity=Severity.WARN)):
        kept = judged(found, WORKERS, 0.3, (risk, other), 1, alone=True)
        assert kept is not None and kept.verdict == "found"
