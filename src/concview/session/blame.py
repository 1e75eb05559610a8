"""Blame and findings joined: a finding that names a cause gives it its name and its fix."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from concview.analysis.blame import words
from concview.model import Finding
from concview.snapshot import Blame, BlameCause

#: Verdicts whose sentence is about a cause.
_OF_A_CAUSE = frozenset({"held up", "stuck", "waits", "still"})


def named(blame: Blame | None, findings: Sequence[Finding]) -> Blame | None:
    """Each cause with the id of the finding about it, and the verdict with its fix, or that no rule knows the shape."""
    if blame is None:
        return None
    live = [f for f in findings if not f.recent]
    causes = tuple(
        msgspec.structs.replace(c, rule=found.id) if (found := _about(c, live)) is not None else c for c in blame.causes
    )
    more = blame.more
    if blame.verdict in _OF_A_CAUSE:
        top = _top(blame, causes)
        finding = next((f for f in live if top is not None and f.id == top.rule), None)
        if finding is not None:
            more = (f"{finding.id}: {_first(finding.fix)}", *more)
        else:
            more = ("No rule knows this shape.", *more)
    elif blame.verdict == "unexplained":
        ids = [c.rule for c in causes if c.kind == "unexplained" and c.rule]
        finding = next((f for f in live if ids and f.id == ids[0]), None)
        if finding is not None:
            more = (f"{finding.id}: {_first(finding.fix)}", *more)
    return msgspec.structs.replace(blame, causes=causes, more=more)


def bounded(findings: Sequence[Finding], blame: Blame | None) -> tuple[Finding, ...]:
    """The findings, those that name a cause with the bound of what its end would bring: one number for one thing."""
    if blame is None:
        return tuple(findings)
    most: dict[str, float] = {}
    for cause in blame.causes:
        if cause.rule and cause.at_most is not None and cause.at_most > 1:
            most.setdefault(cause.rule, cause.at_most)  # causes come largest first
    return tuple(
        msgspec.structs.replace(f, gain=" ".join((words.bound_sentence(most[f.id]), f.gain)).strip())
        if f.id in most and not f.recent
        else f
        for f in findings
    )


def _top(blame: Blame, causes: Sequence[BlameCause]) -> BlameCause | None:
    """What the verdict is about."""
    if blame.verdict in ("held up",):
        return next((c for c in causes if c.family == "taken" and c.kind != "unexplained"), None)
    if blame.verdict == "waits":
        return next((c for c in causes if c.family == "stall"), None)
    circle = next((c for c in causes if c.kind == "cycle"), None)
    return circle or max(causes, key=lambda c: c.stuck_s, default=None)


def _first(fix: str) -> str:
    """The first sentence, or paragraph, of a fix."""
    return " ".join(fix.split("\n\n", 1)[0].split())


def _about(cause: BlameCause, findings: Sequence[Finding]) -> Finding | None:
    """The finding about the same lines, and at least some of the same threads."""
    if not cause.path and cause.family == "own" and cause.kind in ("cpu", "sleep", "file"):
        return None
    lines = {(s.file, s.line) for s in cause.path if s.file} | ({(cause.file, cause.line)} if cause.file else set())
    tids = set(cause.threads).union(*(s.owners for s in cause.path))
    tasks = set(cause.tasks).union(*(s.owning_tasks for s in cause.path))
    best: tuple[int, Finding] | None = None
    for finding in findings:
        theirs = {(w.file, w.line) for w in finding.where}
        theirs |= {(f.file, f.line) for s in finding.stacks for f in s.frames}
        shared = len(lines & theirs)
        about = bool(finding.threads or finding.tasks)
        if not shared or (about and not (tids & set(finding.threads) or tasks & set(finding.tasks))):
            continue
        if best is None or shared > best[0]:
            best = (shared, finding)
    return best[1] if best is not None else None
