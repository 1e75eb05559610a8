"""A finding as a row, as a line of text and as a page."""

from __future__ import annotations

from typing import Any

from rich.segment import Segment

from concview import text
from concview.model import Finding, Measured
from concview.session.phrases import measured_text
from concview.snapshot import Snapshot
from concview.tui.text_render import Line, fit, paragraph
from concview.tui.theme import SEVERITIES, Palette
from concview.tui.widgets.columns import Column
from concview.tui.widgets.stacks import columns as stack_columns
from concview.tui.widgets.table import Table


def key(finding: Finding) -> tuple[str, str]:
    return (finding.id, finding.subject)


def _severity(finding: Finding, width: int, palette: Palette, context: Any) -> Line:
    symbol, word = SEVERITIES[finding.severity]
    word = "past" if finding.recent else word
    return [Segment(fit(f"{symbol} {word}", width), palette.severity(finding.severity, finding.recent))]


def _score(finding: Finding, width: int, palette: Palette, context: Any) -> Line:
    # Apart from the title, which may begin with a number.
    said = fit(str(finding.score), width - 1, right=True) + " "
    return [Segment(said, palette.dim if finding.recent else palette.base)]


def _title(finding: Finding, width: int, palette: Palette, context: Any) -> Line:
    said = f"{finding.id}: where, evidence, fix" if context == key(finding) else finding.title
    return [Segment(fit(said, width), palette.dim if finding.recent else palette.bright)]


def _summary(finding: Finding, width: int, palette: Palette, context: Any) -> Line:
    return [Segment(fit("" if context == key(finding) else finding.summary, width), palette.dim)]


#: In a table whose context is the key of a finding, that one has been told above in full.
COLUMNS = (
    Column("severity", "FINDING", 7, _severity),
    Column("score", "", 4, _score),
    Column("title", "", 24, _title, most=56, want=40, data=lambda f: f.title),
    Column("summary", "", 30, _summary, most=140, want=60, drop=3, data=lambda f: f.summary),
)


def findings_table(id: str | None = None, columns: tuple[Column, ...] = COLUMNS) -> Table:  # noqa: A002
    def haystack(finding: Finding) -> str:
        return f"{finding.id} {finding.title} {finding.summary} {finding.severity}".lower()

    return Table(columns, key, haystack=haystack, empty="no anti-pattern fires", headed=False, id=id)


def finding_line(finding: Finding) -> str:
    where = finding.where[0] if finding.where else None
    at = f" at {where.file}:{where.line}" if where else ""
    return f"{SEVERITIES[finding.severity][1]} {finding.score} {finding.id}: {finding.title}. {finding.summary}{at}"


def meter(measured: Measured, width: int, palette: Palette, style: Any) -> Line:
    """The value on a line with its two thresholds marked."""
    top = max(measured.value, measured.warn, measured.info) * 1.15
    if top <= 0 or width < 20:
        return []
    room = min(60, width - 2)
    filled = round(measured.value / top * room)
    marks = {round(measured.info / top * room): "╷", round(measured.warn / top * room): "┃"}
    line: Line = [Segment("  ", palette.base)]
    for at in range(room):
        if at in marks:
            line.append(Segment(marks[at], palette.bright))
        else:
            line.append(Segment("━" if at < filled else "─", style if at < filled else palette.faint))
    return line


def _section(title: str, body: str, width: int, palette: Palette) -> list[Line]:
    if not body:
        return []
    return [[Segment(title, palette.title)], *paragraph(body, width, palette.base, 2), []]


def finding_page(finding: Finding, width: int, palette: Palette, fold: bool = True) -> list[Line]:
    symbol, word = SEVERITIES[finding.severity]
    style = palette.severity(finding.severity, finding.recent)
    badge = palette.badges["mute" if finding.recent else "error" if word == "WARN" else "warn"]
    past = " (recent: it no longer fires)" if finding.recent else ""
    lines: list[Line] = [
        [
            Segment(f" {symbol} {word} ", badge),
            Segment(f" score {finding.score} of 100, {finding.confidence} · {finding.id}{past}", palette.dim),
        ]
    ]
    lines += paragraph(finding.title, width, palette.bright)
    lines += [*paragraph(finding.summary, width, palette.base), []]
    lines += [[Segment("Measured", palette.title)], *paragraph(measured_text(finding.measured), width, palette.base, 2)]
    line = meter(finding.measured, width, palette, style)
    lines += [line, []] if line else [[]]
    if finding.where:
        lines.append([Segment("Where", palette.title)])
        for where in finding.where[:6]:
            lines.append(
                [
                    Segment(fit(f"  {where.function}", min(width, len(where.function) + 4)), palette.bright),
                    Segment(f"{text.short_path(where.file, max(16, width // 2))}:{where.line}", palette.accent),
                ]
            )
            if where.text:
                lines.append([Segment(fit("    " + where.text, width).rstrip(), palette.base)])
        lines.append([])
    if finding.stacks:
        lines.append([Segment("Evidence", palette.title)])
        blocks = [
            (f"{e.role}: {e.name}", ", ".join(filter(None, ("task" if e.task else f"tid {e.tid}", e.note))), e.frames)
            for e in finding.stacks[:8]
        ]
        lines += stack_columns(blocks, width, palette, fold)
    lines += _section("Fix", finding.fix, width, palette)
    lines += _section("Gain", finding.gain, width, palette)
    lines += _section("Why it hurts", finding.why, width, palette)
    lines += _section("Check next", finding.check_next, width, palette)
    return lines


def judged_lines(snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    """What does not fire and why: clear, still without evidence, impossible here."""
    lines: list[Line] = []
    if snapshot.target is None:
        return lines
    if snapshot.pending:
        lines.append([Segment(f"Waiting for evidence ({len(snapshot.pending)})", palette.title)])
        for pending in snapshot.pending:
            lines += paragraph(f"… {pending.id}: needs {pending.needs}", width, palette.dim, 2)
        lines.append([])
    if snapshot.not_applicable:
        lines.append([Segment(f"Cannot be judged here ({len(snapshot.not_applicable)})", palette.title)])
        alike: dict[tuple[str, str], list[str]] = {}
        for missing in snapshot.not_applicable:
            alike.setdefault((missing.why, missing.enable), []).append(missing.id)
        for (why, enable), rules in alike.items():
            lines += paragraph(f"× {', '.join(rules)}: {why}", width, palette.dim, 2)
            if enable:
                lines += paragraph(f"to enable: {enable}", width, palette.base, 4)
        lines.append([])
    lines.append([Segment(f"Judged clear ({len(snapshot.clear)})", palette.title)])
    said = f"✓ {', '.join(snapshot.clear)}" if snapshot.clear else "none yet"
    lines += paragraph(said, width, palette.dim, 2)
    return lines
