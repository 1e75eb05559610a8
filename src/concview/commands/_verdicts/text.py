"""For people: everything, with the verdict once more at the end, where a terminal stands; or only that (--brief)."""

from __future__ import annotations

from concview.commands._text import check_text, headline
from concview.commands._text_writer import BOLD, DIM, RED, YELLOW, Pen
from concview.commands._tree_text import finding_line, tree_text, verdicts
from concview.commands._verdicts.base import Checked, Repeated, VerdictForm, grouped
from concview.model import Severity
from concview.text import listed, plural, short_path

#: Rules named of those that wait for evidence or cannot be judged; the long form has them all, with what they need.
MOST_NAMES = 6


def write(checked: Checked, pen: Pen | None = None) -> str:
    pen = pen or Pen()
    if checked.processes:
        (verdicts if checked.brief else tree_text)(checked, pen)
        for repeated in checked.findings:
            pen.line(*finding_line(repeated, checked))
        pen.line(f"{checked.outcome()} ({checked.counted()})", RED if checked.failed else BOLD)
        return pen.text()
    out = []
    for number, snapshot in enumerate(checked.runs, 1):
        if len(checked.runs) > 1:
            pen.line(f"── run {number} of {len(checked.runs)}", BOLD)
        if checked.brief or len(checked.runs) > 1:
            headline(snapshot, pen)
        else:
            out.append(check_text(snapshot, Pen(pen.styled, pen.width)) + "\n")
        if len(checked.runs) > 1 and snapshot.blame is not None:
            pen.paragraph(snapshot.blame.sentence)
    if checked.comparison is not None:
        from concview.commands._comparison import comparison_text

        pen.line("Against the baseline", BOLD)
        comparison_text(checked.comparison, pen)
    closing(checked, pen)
    return "".join(out) + pen.text()


def closing(checked: Checked, pen: Pen) -> None:
    """The last lines: what was found in one line each, what could not be judged, and how it ends."""
    last = checked.runs[-1] if checked.runs else None
    if len(checked.runs) > 1:
        pen.line()
    for why in checked.missed:
        pen.paragraph(f"not seen: {why}", "")
    if last is not None and len(checked.runs) == 1:
        if last.blame is not None:
            pen.paragraph(last.blame.sentence, "", "verdict")
        for ids, rule in grouped(last.not_applicable):
            enable = f" ({rule.enable})" if rule.enable else ""
            pen.paragraph(f"{listed(ids, MOST_NAMES)}: {rule.why}{enable}", "", "not judged")
        if last.pending:
            pen.paragraph(listed(sorted({p.id for p in last.pending}), MOST_NAMES), "", "not enough evidence yet")
    for repeated in checked.findings:
        pen.line(_one(repeated, len(checked.runs)), RED if repeated.finding.severity is Severity.WARN else YELLOW)
    pen.line(f"{checked.outcome()} ({checked.counted()})", RED if checked.failed else BOLD)
    if len(checked.runs) == 1 and checked.brief:
        pen.line("without --brief: numbers, stacks and fixes", DIM)


def _one(repeated: Repeated, runs: int) -> str:
    finding = repeated.finding
    mark = "▲ WARN" if finding.severity is Severity.WARN else "● INFO"
    where = f" ({short_path(finding.where[0].file, 40)}:{finding.where[0].line})" if finding.where else ""
    often = f", in {len(repeated.runs)} of {plural(runs, 'run')}" if runs > 1 else ""
    recent = " (recent)" if finding.recent else ""
    return f"{mark} {finding.score:3d}  {finding.id}: {finding.title}{where}{often}{recent}"


VERDICT = VerdictForm("people", write)
