"""Workflow commands of GitHub Actions: each finding is an annotation at its line."""

from __future__ import annotations

from concview.commands._verdicts.base import Checked, Repeated, VerdictForm, relative
from concview.model import Severity


def write(checked: Checked) -> str:
    lines = [_annotation(r, len(checked.runs), checked.noun[1]) for r in checked.findings]
    for snapshot in checked.runs:
        if snapshot.blame is not None:
            lines.append(f"::notice title=concview::{_message(snapshot.blame.sentence)}")
    lines += [f"::error title=concview::{_message(f'not seen: {why}')}" for why in checked.missed]
    lines += [f"::error title=concview::{_message(f'not judged: {why}')}" for why in checked.unjudged]
    return "\n".join([*lines, _plain(f"{checked.outcome()} ({checked.counted()})")]) + "\n"


def _annotation(repeated: Repeated, runs: int, noun: str) -> str:
    finding = repeated.finding
    level = "error" if repeated.fails else "warning" if finding.severity is Severity.WARN else "notice"
    places = {}
    if finding.where:
        places = {"file": relative(finding.where[0].file), "line": str(max(1, finding.where[0].line))}
    options = {**places, "title": f"{finding.id}: {finding.title}"}
    often = f"In {len(repeated.runs)} of {runs} {noun}. " if runs > 1 else ""
    told = ",".join(f"{name}={_property(value)}" for name, value in options.items())
    return f"::{level} {told}::{_message(f'{often}{finding.summary}' + chr(10) + f'Fix: {finding.fix}')}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _plain(line: str) -> str:
    """A line of the log must not be taken for a command."""
    return line if not line.startswith("::") else f" {line}"


VERDICT = VerdictForm("GitHub Actions: annotations at the lines", write)
