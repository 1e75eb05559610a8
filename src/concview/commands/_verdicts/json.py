"""For scripts: docs/schema/check-1.json; of several runs (--runs) docs/schema/runs-1.json."""

from __future__ import annotations

from concview import __version__
from concview.commands import _build, _schema
from concview.commands._verdicts.base import Checked, Verdict


def write(checked: Checked) -> str:
    if len(checked.runs) == 1 and not checked.missed:
        return _schema.encode(_build.check_out(checked.runs[0]))
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
        )
    )


VERDICT = Verdict("scripts; docs/schema", write)
