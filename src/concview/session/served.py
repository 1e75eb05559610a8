"""Findings and verdicts with the requests and jobs that suffer, and those in the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from concview.analysis.served import Names, Place, nodes_of, words
from concview.analysis.window import Window
from concview.model import Finding
from concview.snapshot import Blame, BlameCause

#: Causes of one verdict that are looked at: those that people see.
MOST_CAUSES = 12


def found(
    findings: Iterable[Finding], names: Names, window: Window, before: Mapping[tuple[str, str], Finding]
) -> tuple[Finding, ...]:
    """Each that fires now with in whose name its threads and tasks are at its places, also in its words. `before`: as
    they were, by rule and subject: one that is over keeps what was told."""
    return tuple([_over(f, before) if f.recent else _finding(f, names, window) for f in findings])


def _over(finding: Finding, before: Mapping[tuple[str, str], Finding]) -> Finding:
    known = before.get((finding.id, finding.subject))
    if known is None or not known.work:
        return finding
    return msgspec.structs.replace(finding, work=known.work, summary=known.summary)


def _finding(finding: Finding, names: Names, window: Window) -> Finding:
    nodes = nodes_of(finding.threads, finding.tasks)
    places = {(w.file, w.function) for w in finding.where}
    served = names.served(window.history, window.start_ns, nodes, places)
    if not served:
        return finding
    told = words(served, len(nodes), _whose(finding.threads, finding.tasks))
    summary = f"{finding.summary} They serve: {told}." if told else finding.summary
    return msgspec.structs.replace(finding, work=served, summary=summary)


def blamed(blame: Blame | None, names: Names, window: Window) -> Blame | None:
    """The same of causes: who waits, and who is in the way. The largest is told in words."""
    if blame is None or window.history.work.now is None:
        return blame
    causes = tuple([_cause(c, names, window) if i < MOST_CAUSES else c for i, c in enumerate(blame.causes)])
    said = next((line for c in causes if (line := line_of(c))), "")
    return msgspec.structs.replace(blame, causes=causes, more=(*blame.more, said) if said else blame.more)


def _cause(cause: BlameCause, names: Names, window: Window) -> BlameCause:
    history, start = window.history, window.start_ns
    first = cause.path[0] if cause.path else None
    at = {(first.file, first.function)} if first is not None else {(cause.file, cause.function)}
    work = names.served(history, start, nodes_of(cause.threads, cause.tasks), at)
    if first is None:
        return msgspec.structs.replace(cause, work=work) if work else cause
    then: set[Place] = {(s.file, s.function) for s in cause.path[1:2]} or {(cause.file, cause.function)}
    ahead = names.served(history, start, nodes_of(first.owners, first.owning_tasks), then)
    return msgspec.structs.replace(cause, work=work, work_ahead=ahead) if work or ahead else cause


def line_of(cause: BlameCause) -> str:
    """Who waits for whom, as a sentence; empty where that is not known."""
    if not cause.path:
        return ""
    first = cause.path[0]
    waiting = words(cause.work, len(cause.threads) + len(cause.tasks), _whose(cause.threads, cause.tasks))
    ahead = words(cause.work_ahead, whose=_whose(first.owners, first.owning_tasks))
    if not waiting:
        return f"The holders serve {ahead}." if ahead else ""
    kind = {"thread": "threads", "task": "tasks"}.get(_whose(cause.threads, cause.tasks), "threads and tasks")
    return f"The waiting {kind} serve {waiting}" + (f"; those that they wait for serve {ahead}." if ahead else ".")


def _whose(threads: Sequence[int], tasks: Sequence[int]) -> str:
    return "thread" if not tasks else "task" if not threads else "thread or task"
