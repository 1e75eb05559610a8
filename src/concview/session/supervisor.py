"""A process that only watches others: what it says of itself says nothing of the service.

None of the usual masters sits in a call that waits for a child: gunicorn waits on a queue or in select, uvicorn on an
event, a pool's threads on pipes. So it is told by what is below it and by what it does not do: it has workers, uses no
CPU to speak of, nobody in it is held up, and nothing in it is active but waits for those below, or looks again and
again whether something has come.

One that does more, but most of whose threads' time goes to its workers (a service that computes in a pool of processes)
is not judged either, as long as nobody looks at those: what takes that time is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from concview.analysis.classify import ACCEPTS
from concview.model import Concern, Finding, Role, Severity, Worker, Workers
from concview.snapshot import Blame
from concview.text import plural

#: A supervisor uses less than this, percent of a core, and has fewer threads on average that do something else.
CPU_PERCENT, ACTIVE = 5.0, 0.15
#: From this part of the active threads' time on, spent waiting for workers that nobody looks at, there is no verdict:
#: the same as for time that is not explained.
MAINLY = 0.5
#: Ends of waits of one that only watches others: for them, or for something to come, without doing anything itself.
_WATCHING = frozenset({"child", "poll"})
_CALM = frozenset({"clear", "idle", "outside", "waits", "tasks unseen", "few samples"})
#: The verdict of a process that only watches others.
WATCHES = "watches"


def judged(
    blame: Blame | None,
    workers: Workers | None,
    cpu_percent: float | None,
    findings: Sequence[Finding],
    pid: int,
    alone: bool,
) -> Blame | None:
    """The same, with what must be said of processes below. `alone`: nobody looks at those."""
    below = [w for w in workers.workers if w.role is not Role.HELPER] if workers is not None else []
    if blame is None or not below:
        return blame
    names, were = _count(below), "was" if len(below) == 1 else "were"
    if _only_watches(blame, below, cpu_percent, findings):
        # One that is at rest may wait for anything: that it waits for them is said only where it was seen to.
        waits = any(c.kind in _WATCHING for c in blame.causes)
        if not alone:
            said = f"It only waits for its {names}." if waits else f"It does next to nothing itself; it has {names}."
            return msgspec.structs.replace(blame, verdict=WATCHES, severity=None, rule="", sentence=said)
        itself = f"only waits for its {names}, which" if waits else f"does next to nothing itself, and its {names}"
        return msgspec.structs.replace(
            blame,
            verdict=WATCHES,
            severity=Severity.INFO,
            rule="",
            sentence=f"No verdict on the service: this process {itself} {were} not looked at{_busiest(below)}.",
            more=(f"All of them: concview check --tree {pid}", *blame.more),
        )
    if not alone:
        return blame
    mainly = _mainly(blame, below, findings)
    if mainly:
        return msgspec.structs.replace(
            blame,
            verdict=WATCHES,
            severity=Severity.INFO,
            rule="",
            sentence=f"No verdict on the service: active threads and tasks spend {100 * mainly:.0f} % of their time"
            f" waiting for its {names}, which {were} not looked at{_busiest(below)}.",
            more=(f"All of them: concview check --tree {pid}", *blame.more),
        )
    said = f"Its {names} {were} not looked at{_busiest(below)}: concview check --tree {pid}"
    return msgspec.structs.replace(blame, more=(*blame.more, said))


def _only_watches(
    blame: Blame, below: Sequence[Worker], cpu_percent: float | None, findings: Sequence[Finding]
) -> bool:
    if any(_is_judged(f) for f in findings):
        return False
    # What was found then is a risk: waits are calm, or the verdict would tell of them.
    if (blame.verdict not in _CALM or blame.severity is not None) and blame.verdict != "found":
        return False
    if cpu_percent is None or cpu_percent >= CPU_PERCENT:
        return False
    if any(q.what.startswith(ACCEPTS) for q in blame.quiets):
        return False  # it serves others itself
    child = [c for c in blame.causes if c.kind == "child"]
    if not child and all(w.role is not Role.WORKER for w in below):
        return False  # an idle program that has started another one
    other = sum(c.thread_s for c in blame.causes if c.kind not in _WATCHING) / blame.seconds
    return other < ACTIVE


def _mainly(blame: Blame, below: Sequence[Worker], findings: Sequence[Finding]) -> float:
    """The part of the active time that is spent waiting for workers; 0 where that is not most of it, or where the
    process itself has a verdict that says more."""
    if blame.verdict not in _CALM or blame.severity is not None or any(_is_judged(f) for f in findings):
        return 0.0
    if all(w.role is not Role.WORKER for w in below) or blame.active <= 0:
        return 0.0
    part = sum(c.thread_s for c in blame.causes if c.kind == "child") / (blame.seconds * blame.active)
    return min(1.0, part) if part >= MAINLY else 0.0


def _is_judged(finding: Finding) -> bool:
    """Whether it says of this process that it does something badly, and not just that something may go wrong later,
    or elsewhere: a master that has forked its workers beside other threads still only waits for them."""
    return not finding.recent and (finding.severity is Severity.WARN or finding.concern is not Concern.RISK)


def _count(below: Sequence[Worker]) -> str:
    """'4 workers', '1 process', '4 workers and 2 other processes'."""
    workers = sum(w.role is Role.WORKER for w in below)
    others = len(below) - workers
    if not workers:
        return plural(others, "process", "processes")
    more = f" and {plural(others, 'other process', 'other processes')}" if others else ""
    return plural(workers, "worker") + more


def _busiest(below: Sequence[Worker]) -> str:
    most = max(below, key=lambda w: w.cpu_percent)
    if most.cpu_percent < 0:
        return ""
    which = "the busiest is " if len(below) > 1 else ""
    return f" ({which}{most.name}, pid {most.pid}: {most.cpu_percent:.0f} % of a core)"
