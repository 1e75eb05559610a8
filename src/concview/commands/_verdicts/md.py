"""Markdown, for a job's summary or a comment: the verdict, a row a finding, what to do behind a fold."""

from __future__ import annotations

import re
from html import escape

from concview.commands._text_writer import Pen
from concview.commands._verdicts.base import Checked, Repeated, VerdictForm, grouped, relative
from concview.model import Severity
from concview.snapshot import Snapshot
from concview.text import clean, plural, short_command

MOST_FRAMES = 6
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@])")


def write(checked: Checked) -> str:
    lines = [f"### concview: {checked.counted()}", ""]
    for number, snapshot in enumerate(checked.runs, 1):
        of = checked.processes[number - 1] if checked.processes else None
        head = f"{of.name} ({of.pid}): " if of is not None else f"Run {number}: " if len(checked.runs) > 1 else ""
        lines += [_run(snapshot, _text(head)), ""]
    lines += [f"- not seen: {_text(why)}" for why in checked.missed]
    found = checked.findings
    if found:
        often = "" if len(checked.runs) == 1 else f" {checked.noun[1]} |"
        lines += [f"| | finding | where |{often}", "|---|---|---|" + ("---|" if often else "")]
        lines += [_row(r, len(checked.runs)) for r in found]
        lines.append("")
        for repeated in found:
            lines += _details(repeated)
    for ids, rule in grouped(checked.runs[-1].not_applicable) if checked.runs else []:
        enable = f" ({_text(rule.enable)})" if rule.enable else ""
        lines += [f"Not judged: {', '.join(ids)}: {_text(rule.why)}{enable}", ""]
    if checked.runs and (pending := sorted({p.id for p in checked.runs[-1].pending})):
        lines += [f"Not enough evidence yet: {', '.join(pending)}", ""]
    if checked.comparison is not None:
        from concview.commands._comparison import comparison_text

        pen = Pen(False, 110)
        comparison_text(checked.comparison, pen)
        lines += ["Against the baseline:", "", *_fenced(pen.text().splitlines())]
    lines.append(f"**{_text(checked.outcome())}**")
    return "\n".join(lines) + "\n"


def _run(snapshot: Snapshot, head: str) -> str:
    target = snapshot.target
    what = f"{_code(short_command(target.command))}, Python {target.python}, " if target is not None else ""
    said = f"{head}{what}{snapshot.elapsed_s:.1f} s, {snapshot.samples} samples"
    if snapshot.blame is None:
        return said
    return f"{said}  \n**{_text(snapshot.blame.sentence)}**"


def _row(repeated: Repeated, runs: int) -> str:
    finding = repeated.finding
    mark = "▲ warn" if finding.severity is Severity.WARN else "● info"
    where = f"{_code(f'{relative(finding.where[0].file)}:{finding.where[0].line}')}" if finding.where else ""
    often = f" {len(repeated.runs)} of {runs} |" if runs > 1 else ""
    return f"| {mark} | **{finding.id}**: {_text(finding.title)} | {where} |{often}"


def _details(repeated: Repeated) -> list[str]:
    finding = repeated.finding
    lines = [f"<details><summary>{finding.id}: {escape(finding.title)}</summary>", "", _text(finding.summary), ""]
    for stack in finding.stacks[:4]:
        frames = [f"    {f.function} ({relative(f.file)}:{f.line})" for f in stack.frames[:MOST_FRAMES]]
        more = (
            [f"    ... {plural(len(stack.frames) - MOST_FRAMES, 'frame')}"] if len(stack.frames) > MOST_FRAMES else []
        )
        lines += _fenced([f"{stack.role}: {stack.name}", *frames, *more])
    lines += ["Fix:", "", *_fenced(finding.fix.splitlines()), "</details>", ""]
    return lines


def _fenced(rows: list[str]) -> list[str]:
    """A block that no backticks in it can end."""
    longest = max((len(m) for row in rows for m in re.findall("`+", row)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *rows, fence, ""]


def _code(text: str) -> str:
    longest = max((len(m) for m in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{' '.join(clean(text, 200).split()).replace('|', chr(92) + '|')}{pad}{fence}"


def _text(text: str) -> str:
    """Names of the target are no markup, and one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


VERDICT = VerdictForm("a job's summary, a comment", write)
