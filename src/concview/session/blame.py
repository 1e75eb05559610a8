"""Blame and findings joined: a finding that names a cause gives it its name and its fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import msgspec

from concview import registry
from concview.analysis.blame import words
from concview.analysis.blame.nouns import End, Family
from concview.analysis.blame.verdict import HELD_UP
from concview.catalogue.base import Rule, verdict_of
from concview.config import RuleConfig
from concview.model import VERDICT, Concern, Confidence, Finding, Measured, Pending, Severity, Where
from concview.session.supervisor import WATCHES
from concview.snapshot import Blame, BlameCause
from concview.text import duration, listed, percent

UNNAMED = "No rule covers this wait: it is measured, but there is no ready-made fix."
#: So begins what stands there instead while rules still look.
NOT_YET = "Not yet judged by rules: "
#: By then rules have the evidence that they need for most of what they name.
NAMES_S = 5.0
#: Verdicts whose sentence is about a cause.
_OF_A_CAUSE = frozenset({"held up", "stuck", "waits", "still"})
#: Those that say that nobody is in the way of anybody.
_CALM = frozenset({"clear", "idle", "outside", "waits", "few samples"})

#: By verdict, of one that no rule names.
_WHY = {
    "": "Who waits for others gets on no faster than they do; nobody's own work is the limit.",
    End.CYCLE: "Each of them waits for what another one of them has or would give: nothing but a restart ends that.",
    End.STOPPED: "A stopped process answers nobody: whoever waits for it waits until it goes on, or is ended.",
    End.MEMORY: "At the limit the kernel gives back what it can (file pages) and lets whoever asks for more wait, with "
    "whatever it holds. Where the OOM killer is off, until somebody gives memory back or raises the limit.",
    End.LOOKUP: "A lookup waits 5 s for each name server that does not answer, twice; the timeout of a connection, "
    "request or pool does not begin before it is over.",
    End.RETRY: "Each try fails, and what has to be done is not done meanwhile: a thread, and whatever it holds, is "
    "kept for the pauses. Tries of many threads at once are a load of their own on what they try to reach.",
    End.POLL: "One that looks again and again is told neither that it comes, nor that nobody is left to bring it.",
}
_FIX = {
    "": "See what those in the way do meanwhile, at the lines named here, and whether the others must wait for it.",
    End.CYCLE: "Take what is needed in one order everywhere, give back what one has before waiting for more, and do "
    "not wait for those that wait for oneself; where that cannot be, give the wait a time limit.",
    End.STOPPED: "Find out who stopped it, and for what. `kill -CONT PID` lets a process go on that a signal stopped; "
    "detach the debugger; unpause the container of a frozen one. Give the wait a time limit.",
    End.MEMORY: "Keep less, or raise the limit (memory.high, memory.max; memory.limit_in_bytes). memory.events, or "
    "memory.oom_control, in the folder of the cgroup counts how often it was hit.",
    End.LOOKUP: "Ask where the process runs (in its container): `getent hosts NAME`; which name server does its "
    "/etc/resolv.conf name, and does it answer? Keep connections open, so that names are not looked up for each.",
    End.RETRY: "See why it fails (the error, and whether what it asks is up). Limit the tries or the time for all of "
    "them, then fail; let pauses grow and differ; and do not try again what cannot succeed.",
    End.POLL: "See who should bring it, and whether that one is still there. Have it told (an Event, a Condition, a "
    "Future), and give the wait a limit.",
}


def named(
    blame: Blame | None,
    findings: Sequence[Finding],
    config: RuleConfig | None = None,
    pending: Sequence[Pending] = (),
) -> Blame | None:
    """As `_named`, and whether the settings accept what is left without a rule's name."""
    found = _named(blame, findings, pending)
    if found is None or config is None or found.severity is None or (found.rule and not found.hint):
        return found
    places = [(w.file, w.function) for w in _where(found)]
    accepted = config.refuses(VERDICT) or any(config.accepts(VERDICT, *place) for place in places)
    return msgspec.structs.replace(found, accepted=True) if accepted else found


def unnamed(blame: Blame | None) -> Finding | None:
    """The verdict in the form of a finding, where no rule names what it is about, or one that takes it for a hint only;
    None where one does, where there is nothing to look into, or where the settings accept it."""
    if (
        blame is None
        or blame.severity is None
        or (blame.rule and not blame.hint)
        or blame.accepted
        or blame.verdict == WATCHES
    ):
        return None
    if blame.seconds < NAMES_S:
        return None  # a rule may yet name it
    top = _about_what(blame)
    share = top.share if top is not None else 1.0
    about = End.CYCLE if top is not None and top.kind == End.CYCLE else blame.verdict
    return Finding(
        id=VERDICT,
        subject=blame.verdict,
        severity=blame.severity,
        score=min(100, round(100 * share)),
        confidence=Confidence.EXACT if top is not None and top.exact else Confidence.INFERRED,
        title=f"{blame.verdict.capitalize()}; "
        + (f"to {blame.rule} alone it is a hint" if blame.rule else "no rule covers this"),
        summary=blame.sentence,
        why=_WHY.get(about, _WHY[""]),
        fix=_FIX.get(about, _FIX[""]),
        measured=Measured("share of the active time", share, HELD_UP[0], HELD_UP[0], "of the time"),
        where=_where(blame),
        threads=top.threads if top is not None else (),
        tasks=top.tasks if top is not None else (),
        work=top.work if top is not None else (),
    )


def _about_what(blame: Blame) -> BlameCause | None:
    if blame.verdict in _OF_A_CAUSE:
        return _top(blame, blame.causes)
    return next((c for c in blame.causes if c.kind == blame.verdict), None)


def _where(blame: Blame) -> tuple[Where, ...]:
    """The lines that wait, from the first to the end of the way."""
    top = _about_what(blame)
    if top is None:
        return ()
    found = [Where(s.file, s.line, s.function) for s in top.path if s.file]
    if top.file:
        found.append(Where(top.file, top.line, top.function))
    return tuple(dict.fromkeys(found))


def _unnamed_so_far(pending: Sequence[Pending], circle: bool) -> str:
    """That no rule covers it is said when all have judged."""
    if circle:
        return _FIX[End.CYCLE]
    ids = sorted({p.id for p in pending if p.subject})
    return f"{NOT_YET}{listed(ids, 3)} {'needs' if len(ids) == 1 else 'need'} more evidence." if ids else UNNAMED


def _named(blame: Blame | None, findings: Sequence[Finding], pending: Sequence[Pending]) -> Blame | None:
    """Each cause with the id of the finding about it, and the verdict with its fix, or that no rule covers it.

    A finding explains what nothing else does: its cause counts as a wait, not as unexplained time. And where rules have
    found something, nobody is told that all is clear.
    """
    if blame is None:
        return None
    live = [f for f in findings if not f.recent]
    past = [f for f in findings if f.recent]
    causes = tuple(
        msgspec.structs.replace(c, rule=found.id) if (found := _about(c, live) or _about(c, past)) is not None else c
        for c in blame.causes
    )
    told = {f.id: f for f in (*past, *live)}
    blame = _explained(msgspec.structs.replace(blame, causes=causes), told)
    if blame.severity is None:
        return _found(blame, live) if live and blame.verdict in _CALM else blame
    if blame.verdict in _OF_A_CAUSE:
        top = _top(blame, blame.causes)
        finding = told.get(top.rule) if top is not None else None
        rule = finding.id if finding is not None else ""
        unnamed = _unnamed_so_far(pending, top.kind == End.CYCLE if top is not None else False)
        more = f"{finding.id}: {_first(finding.fix)}" if finding is not None else unnamed
        hint = finding is not None and _less(finding, blame)
        return msgspec.structs.replace(blame, rule=rule, hint=hint, more=(more, *blame.more))
    about = _rules_about(blame.verdict)
    return msgspec.structs.replace(blame, rule=next((f.id for f in (*live, *past) if f.id in about), ""))


@cache
def _rules_about(verdict: str) -> frozenset[str]:
    """The rules that name a verdict without a cause."""
    rules: Iterable[Rule] = registry.everything("concview.catalogue.rules", "RULE").values()
    return frozenset(rule.id for rule in rules if verdict_of(rule) == verdict)


def _explained(blame: Blame, told: Mapping[str, Finding]) -> Blame:
    """The same where what was unexplained is told by findings."""
    tells = {f.id for f in told.values() if f.concern is Concern.GIVER}
    by = [c for c in blame.causes if c.kind == End.UNEXPLAINED and c.rule in tells]
    if not by or blame.threads <= 0:
        return blame
    part = min(blame.unexplained, sum(c.thread_s for c in by) / blame.seconds / blame.threads)
    causes = tuple(
        [msgspec.structs.replace(c, kind=End.NOBODY, family=Family.MADE) if c in by else c for c in blame.causes]
    )
    fresh = msgspec.structs.replace(
        blame, causes=causes, unexplained=blame.unexplained - part, waits=blame.waits + part
    )
    if blame.verdict not in ("unexplained", "still"):
        return fresh
    finding = told[by[0].rule]
    waiting = sum(c.thread_s for c in by if c.rule == finding.id) / blame.seconds
    share = percent(blame.share(part))
    still = f"Nothing has moved for {duration(blame.still_s)}. " if blame.still_s else ""
    return msgspec.structs.replace(
        fresh,
        verdict="stuck" if finding.severity is Severity.WARN else "waits",
        severity=finding.severity,
        sentence=f"{still}{finding.title}, {share} of the time: {words.story(by[0], waiting)}.",
    )


def _found(blame: Blame, live: Sequence[Finding]) -> Blame:
    """Nobody is in anybody's way, and something is wrong all the same."""
    worst = next((f for f in live if f.severity is Severity.WARN), live[0])
    names = listed(list(dict.fromkeys(f.id for f in live)), 4)
    first, _, rest = blame.sentence.partition(": ")
    rest = rest if first in ("Clear", "Idle") else blame.sentence
    if worst.severity is Severity.INFO and all(f.concern is Concern.CPU for f in live):
        # A hint that CPUs are short says little where threads want them little: what they do comes first.
        said = f"Nobody is in another's way: {rest} Found besides: {names}."
    else:
        said = f"Found: {worst.title} ({names}). Apart from this: {rest}"
    return msgspec.structs.replace(
        blame,
        verdict="found",
        severity=worst.severity,
        rule=worst.id,
        sentence=said,
        more=(f"{worst.id}: {_first(worst.fix)}", *blame.more),
    )


def bounded(findings: Sequence[Finding], blame: Blame | None) -> tuple[Finding, ...]:
    """The findings, those that name a cause with what its end would bring: one estimate for one thing."""
    if blame is None:
        return tuple(findings)
    gains: dict[str, str] = {}
    for cause in blame.causes:
        if cause.rule and (gained := words.gained_sentence(cause)):
            gains.setdefault(cause.rule, f"{gained} {words.gain_range(cause)}".rstrip())  # causes come largest first
    return tuple(
        msgspec.structs.replace(f, gain=f"{gains[f.id]} {f.gain}".strip()) if f.id in gains and not f.recent else f
        for f in findings
    )


def _less(finding: Finding, blame: Blame) -> bool:
    """Whether the rule, which looks at its own measure, takes for a hint what the verdict warns of."""
    return finding.severity is Severity.INFO and blame.severity is Severity.WARN


def _top(blame: Blame, causes: Sequence[BlameCause]) -> BlameCause | None:
    """What the verdict is about."""
    if blame.verdict == "held up":
        return next((c for c in causes if c.family == Family.TAKEN and c.kind != End.UNEXPLAINED), None)
    if blame.verdict == "waits":
        stall = next((c for c in causes if c.family == Family.STALL), None)
        return stall or next((c for c in causes if c.family == Family.MADE), None)
    circle = next((c for c in causes if c.kind == End.CYCLE), None)
    lost = next((c for c in causes if c.kind == End.NOBODY), None)
    return circle or lost or max(causes, key=lambda c: c.stuck_s, default=None)


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
        if cause.path and cause.kind != "starved" and finding.concern is Concern.CPU:
            continue
        if cause.kind == End.CYCLE and finding.severity is Severity.INFO:
            continue  # what may be as it is meant is not what keeps a circle
        theirs = {(w.file, w.line) for w in finding.where}
        theirs |= {(f.file, f.line) for s in finding.stacks for f in s.frames}
        shared = len(lines & theirs)
        about = bool(finding.threads or finding.tasks)
        same = tids & set(finding.threads) or tasks & set(finding.tasks)
        # Of thousands of tasks at one line, finding and cause name some, which need not be the same ones.
        if not shared or (about and not same and not (tasks and finding.tasks)):
            continue
        if best is None or shared > best[0]:
            best = (shared, finding)
    return best[1] if best is not None else None
