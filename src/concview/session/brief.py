"""The short form of a report: what to paste into a channel, twenty lines at most.

One line of Markdown with the verdict, the rest in a block of plain text: names of the target are no markup there, and
columns stay columns. What does not fit is left to the long forms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from concview import __version__
from concview.analysis.blame import words
from concview.model import Finding, Frame, Severity, StackEvidence
from concview.session.account import Account, span, unseen
from concview.session.phrases import measured_text
from concview.session.served import line_of
from concview.snapshot import Blame, BlameCause, Snapshot
from concview.text import clean, duration, listed

MOST_LINES = 20
WIDTH = 180
#: Frames of a stack, and causes of the blame.
FRAMES, CAUSES = 3, 2
_MARK = {Severity.WARN: "▲ ", Severity.INFO: "● "}
_SPECIAL = re.compile(r"([\\`*\[\]<>#|~&])")
_HOLDERS = ("holder", "hog", "deadlocked", "owner", "blocker")


def brief(account: Account) -> str:
    """At most `MOST_LINES` lines, with a final newline."""
    snapshot = account.shown
    rows = [*_who(account), *_blame(snapshot)]
    firing = [f for f in snapshot.findings if not f.recent] or list(snapshot.findings)
    if firing:
        rows += _finding(firing[0])
    last = []
    others = [f"{f.id} ({f.severity.value})" for f in firing[1:]]
    others += list(dict.fromkeys(f"{m.id} ({m.severity.value}, before)" for m in account.earlier))
    if others:
        last.append(_row("also", listed(others, 6)))
    missing = unseen(account)
    last.append(_row("not seen", "; ".join(missing) if missing else "nothing is known to be missing"))
    room = MOST_LINES - 3 - len(last)
    rows = [*rows[:room], *last]
    longest = max((len(run) for row in rows for run in re.findall("`+", row)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([_verdict(account), f"{fence}text", *rows, fence]) + "\n"


def _row(label: str, text: str) -> str:
    return clean(f"{label:<9} {' '.join(text.split())}".rstrip(), WIDTH)


def _verdict(account: Account) -> str:
    """What is wrong, in one line; no name in it can address somebody or be markup."""
    snapshot = account.shown
    blame = snapshot.blame
    firing = [f for f in snapshot.findings if not f.recent]
    severity = blame.severity if blame is not None else None
    sentence = blame.sentence if blame is not None else ""
    if severity is None and firing:
        severity, sentence = firing[0].severity, firing[0].title + "."
    if not sentence:
        sentence = "Nothing could be judged yet."
    told = f"{_MARK[severity] if severity is not None else ''}{clean(' '.join(sentence.split()), 400)}"
    when = ""
    if snapshot is not account.last:
        over = "; over at the end" if account.over else ""
        when = f" (at {duration(account.seconds_of(snapshot.at_ns))}{over})"
    escaped = _SPECIAL.sub(r"\\\1", told).replace("@", "(at)")
    return f"**{escaped}**{when}"


def _who(account: Account) -> list[str]:
    last = account.last
    target = last.target
    if target is None:
        return []
    place = ", ".join(p for p in (f"on {target.host}" if target.host else "", target.place) if p)
    free = ", free-threaded" if target.free_threaded else ""
    missed = f", {last.misses} missed" if last.misses else ""
    hz = last.samples / last.elapsed_s if last.elapsed_s > 0 else 0.0
    return [
        _row("service", f"{account.service}, PID {target.pid}{', ' + place if place else ''}"),
        _row("command", " ".join(target.command)),
        _row("versions", f"Python {target.python}{free}, concview {__version__}, engine {last.engine}"),
        _row("time", f"{span(account)}, {last.samples} samples ({hz:.0f} Hz{missed})"),
    ]


def _blame(snapshot: Snapshot) -> list[str]:
    blame = snapshot.blame
    if blame is None:
        return []
    rows: list[str] = []
    causes = [c for c in blame.causes if c.share >= 0.05][:CAUSES]
    for number, cause in enumerate(causes):
        first, *steps = chain(cause, blame)
        rows.append(_row("blame" if not number else "", f"{cause.share * 100:3.0f} % {first}"))
        rows += [clean(f"{'':<16} {step}", WIDTH) for step in steps[:2]]
    serves = next((line for cause in causes if (line := line_of(cause))), "")
    return [*rows, _row("serves", serves)] if serves else rows


def chain(cause: BlameCause, blame: Blame) -> list[str]:
    """Who waits for what, and below it, step by step, who has it and what that one does."""
    number = f"{cause.thread_s / blame.seconds if blame.seconds else 0.0:.1f}"
    threads = f"{cause.who} ({number} {words.kind_of(cause.threads, cause.tasks)})"
    several = len(cause.threads) + len(cause.tasks) > 1
    if not cause.path:
        return [words.they(threads, cause, several)]
    first = cause.path[0]
    wait = "wait" if several else "waits"
    told = [f"{threads} {wait} for {words.waited_for(first)}{words.at(first)}, {first.confidence.value}"]
    for depth, step in enumerate(cause.path):
        after = cause.path[depth + 1] if depth + 1 < len(cause.path) else None
        if after is None:
            told.append(f"{words.had_by(step, cause.ends)}{words.they_do(cause)}")
        else:
            waits = words.they_wait(step, after, words.at(after))
            told.append(f"{words.had_by(step, after.who)}{waits}")
    return told


def _finding(finding: Finding) -> list[str]:
    rows = [
        _row("finding", f"{finding.id} ({finding.severity.value} {finding.score}): {finding.title}"),
        _row("measured", f"{measured_text(finding.measured)}; {finding.confidence.value}"),
    ]
    for stacks in chosen(finding.stacks):
        first = stacks[0]
        names = listed(list(dict.fromkeys(s.name for s in stacks)), 4)
        note = f" ({first.note})" if first.note and len(stacks) == 1 else ""
        rows.append(_row("deadlock" if first.role == "deadlocked" else first.role[:9], f"{names}{note}"))
        rows += [clean(f"{'':<12} {frame.place}", WIDTH) for frame in own(first.frames)[:FRAMES]]
    rows.append(_row("fix", finding.fix.split("\n\n", 1)[0]))
    return rows


def chosen(stacks: Sequence[StackEvidence]) -> list[list[StackEvidence]]:
    """One group of those in the way, one of those who wait; equal stacks of one role are one group."""
    groups: dict[tuple[str, tuple[tuple[str, int], ...]], list[StackEvidence]] = {}
    for stack in stacks:
        key = (stack.role, tuple((f.file, f.line) for f in stack.frames))
        groups.setdefault(key, []).append(stack)
    found = list(groups.values())
    holding = [g for g in found if g[0].role in _HOLDERS][:2]
    waiting = [g for g in found if g[0].role not in _HOLDERS]
    waiting.sort(key=len, reverse=True)
    return [*holding, *waiting[: 2 - min(1, len(holding)) if len(holding) < 2 else 0]] or found[:2]


def own(frames: Sequence[Frame]) -> list[Frame]:
    """The program's own lines; where there are none, all."""
    return [f for f in frames if f.origin == "user"] or list(frames)
