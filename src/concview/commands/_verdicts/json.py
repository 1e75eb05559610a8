"""For scripts: docs/schema/check-1.json; of several runs (--runs) docs/schema/runs-1.json."""

from __future__ import annotations

import msgspec

from concview import __version__
from concview.commands import _build, _schema
from concview.commands._verdicts.base import Checked, VerdictForm


def write(checked: Checked) -> str:
    if checked.processes:
        return _schema.encode(several(checked))
    if len(checked.runs) == 1 and not checked.missed:
        out = _build.check_out(checked.runs[0])
        out.comparison = _compared(checked)
        out.failed = checked.failed
        return _schema.encode(out)
    return _schema.encode(
        _schema.RunsOut(
            schema=_schema.SCHEMA,
            concview=__version__,
            failed=checked.failed,
            missed=list(checked.missed),
            findings=[
                _schema.RepeatedOut(
                    r.finding.id,
                    r.finding.severity.value,
                    r.finding.title,
                    [_build.site_out(w) for w in r.finding.where],
                    list(r.runs),
                    r.fails,
                )
                for r in checked.findings
            ],
            runs=[_build.check_out(snapshot) for snapshot in checked.runs],
            comparison=_compared(checked),
        )
    )


def _compared(checked: Checked) -> _schema.ComparisonOut | None:
    from concview.commands._comparison import comparison_out

    return comparison_out(checked.comparison, checked.failed) if checked.comparison is not None else None


def several(checked: Checked) -> _schema.CheckOut:
    """Threads, locks and findings of all processes in one; a finding that several have once, as it is worst."""
    every = [_build.check_out(snapshot) for snapshot in checked.runs]
    out = every[0]
    merged = []
    for repeated in checked.findings:
        pids = [checked.processes[n - 1].pid for n in repeated.runs]
        worst = _build.finding_out(repeated.finding)
        worst.pids = pids
        worst.pid = next(
            (p.pid for p, s in zip(checked.processes, checked.runs, strict=True) if repeated.finding in s.findings), 0
        )
        merged.append(worst)
    threads, locks = [], []
    for process, one in zip(checked.processes, every, strict=True):
        for thread in one.threads:
            thread.pid = process.pid
        for lock in one.locks:
            lock.pid = process.pid
        threads += one.threads
        locks += one.locks
    parts = [
        _schema.ProcessPartOut(
            p.pid,
            p.start_ticks,
            p.parent,
            p.role.value,
            p.name,
            p.ended,
            p.late,
            one.target,
            one.sampling,
            one.process,
            one.ending,
            one.blame,
        )
        for p, one in zip(checked.processes, every, strict=True)
    ]
    return msgspec.structs.replace(
        out,
        failed=checked.failed,
        threads=threads,
        locks=locks,
        findings=merged,
        processes=parts,
        missed=list(checked.missed),
        across=[
            _schema.AcrossOut(
                _schema.NodeOut(*e.waiter),
                _schema.NodeOut(*e.holder),
                e.via,
                e.what,
                e.does,
                e.confidence.value,
                e.timed,
            )
            for e in checked.across.edges
        ],
        orphans=[
            _schema.OrphanOut(o.what, o.why, o.sure, [_schema.NodeOut(*node) for node in o.waiters])
            for o in checked.across.orphans
        ],
        circles=[[_schema.NodeOut(*node) for node in circle] for circle in checked.across.circles],
    )


VERDICT = VerdictForm("scripts; docs/schema", write)
