"""Blame in sentences. The same words on the command line, in the dashboard and in JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence

from concview.analysis.blame.nouns import QUIET, End, Part, Root, Step, Via
from concview.snapshot import BlameCause, BlameStep
from concview.text import file_name, percent, plural, waits

_WHAT = {
    Via.PERMIT: "a permit of {}",
    Via.SIGNAL: "{} to be set or notified",
    Via.END: "{}",
}
#: How those in the way stand to it.
_HAD = {
    Via.LOCK: "held by",
    Via.PERMIT: "held by",
    Via.RESOURCE: "all in use by",
    Via.FILE_LOCK: "held by",
    Via.DATABASE: "held by",
    Via.NATIVE: "held by",
    Via.IMPORT: "done by",
    Via.GIL: "held by",
    Via.OBJECT: "worked on by",
    Via.STOP: "asked for by",
    Via.STOPPING: "still on the way:",
    Via.SIGNAL: "by",
    Via.BARRIER: "still on the way:",
    Via.ROOM: "to be made by",
    Via.RESULT: "computed by",
    Via.END: "of",
    Via.TURN: "which is kept by",
    Via.ANSWER: "to come from",
}
#: What several have at once, fewer than all that have it over time.
_SHARED = frozenset({Via.RESOURCE, Via.PERMIT})
_ONE_AT_A_TIME = frozenset({Via.LOCK, Via.DATABASE, Via.GIL})
#: What one does at the end, and several.
_PLURAL = {
    "waits": "wait",
    "sleeps": "sleep",
    "pauses": "pause",
    "looks": "look",
    "runs": "run",
    "is": "are",
    "has": "have",
}
#: Ends that are something which others wait for; the rest say themselves what is done there.
_WAITED_FOR = frozenset({End.PEER, End.LOOKUP, End.CHILD, End.STOPPED, End.FILE, End.MEMORY})


def waited_for(step: BlameStep | Step) -> str:
    """'a permit of sem', 'self._lock'."""
    return _WHAT.get(Via(step.via), "{}").format(step.what)


def stopped(by: str) -> str:
    """'is stopped by SIGSTOP'."""
    return f"is stopped by {by}" if by else "is stopped"


def kind_of(threads: Sequence[int], tasks: Sequence[int], one: bool = False) -> str:
    """'threads', 'tasks', or both."""
    if threads and tasks:
        return "threads and tasks"
    return ("task" if tasks else "thread") + ("" if one else "s")


def had(step: BlameStep | Step) -> str:
    return _HAD[Via(step.via)]


def where(file: str, line: int, inside: str = "") -> str:
    """' (shop.py:41)'; of a line that a library's is reached from: ' (shop.py:41, in psycopg/connection.py:495)'."""
    return f" ({file_name(file)}:{line}{f', in {inside}' if inside else ''})" if file else ""


def at(what: BlameCause | BlameStep) -> str:
    return where(what.file, what.line, what.inside)


def does(cause: BlameCause, many: bool = False) -> str:
    """What is at the end of the way, with its place: 'sleeps (semN.py:7)'; of `many`: 'sleep (semN.py:7)'."""
    told = f"waits for {cause.what}" if cause.kind in _WAITED_FOR else cause.what
    verb, space, rest = told.partition(" ")
    return (f"{_PLURAL.get(verb, verb)}{space}{rest}" if many else told) + at(cause)


def they(who: str, cause: BlameCause, many: bool) -> str:
    """'web (2.0) sleep (semN.py:7)'; of what is no verb 'web (2.0): Event: nothing found that would wake it'."""
    said = does(cause, many)
    verb = said.partition(" ")[0]
    return f"{who} {said}" if verb in _PLURAL or verb in _PLURAL.values() else f"{who}: {said}"


def those(step: BlameStep, name: str) -> str:
    """Who has it: 'web-3', '8 threads (web)'."""
    owners = len(step.owners) + len(step.owning_tasks)
    return f"{owners} {kind_of(step.owners, step.owning_tasks)} ({name})" if owners > 1 else name


def had_by(step: BlameStep, name: str) -> str:
    """'held by web-3'; of what one can have at a time 'held in turn by 8 threads (web)'; of what several can have
    'all in use by 2.6 of 12 threads (web) at a time'."""
    owners = len(step.owners) + len(step.owning_tasks)
    if owners > 1 and step.via in _SHARED and 0 < step.at_a_time < owners - 0.5:
        number = f"{step.at_a_time:.1f}".removesuffix(".0")
        return f"{had(step)} {number} of {those(step, name)} at a time"
    how = had(step).replace(" by", " in turn by") if owners > 1 and step.via in _ONE_AT_A_TIME else had(step)
    return f"{how} {those(step, name)}"


def they_do(cause: BlameCause) -> str:
    """Behind those at the end of a path: ', which sleeps (semN.py:7)', ': cannot be read (semN.py:7)'."""
    last = cause.path[-1]
    said = does(cause, len(last.owners) + len(last.owning_tasks) > 1)
    verb = said.partition(" ")[0]
    return f", which {said}" if verb in _PLURAL or verb in _PLURAL.values() else f": {said}"


def they_wait(step: BlameStep, after: BlameStep, place: str) -> str:
    """The same on the way: ', which waits for self._lock (shop.py:41)'."""
    return f", which {waits(max(1, len(step.owners) + len(step.owning_tasks)))} for {waited_for(after)}{place}"


def story(cause: BlameCause, waiting: float, among: int = 0) -> str:
    """'9.0 threads (rpc) wait for a permit of sem (semN.py:10), had by rpc, which waits for ..., which sleeps'.

    `waiting`: how many on average; `among`: how many different ones, if not those of the cause. One alone is one,
    for a part of the time: '1 thread (rpc, 60 % of the time) waits for ...'."""
    number = f"{waiting:.0f}" if waiting >= 9.5 or abs(waiting - round(waiting)) < 0.05 else f"{waiting:.1f}"
    who = cause.who
    if number != "1" and waiting < 1 and (among or len(cause.threads) + len(cause.tasks)) == 1:
        number, who = "1", f"{who}, {percent(waiting)} of the time" if who else f"{percent(waiting)} of the time"
    verb = "waits" if number == "1" else "wait"
    threads = kind_of(cause.threads, cause.tasks, number == "1")
    if not cause.path and cause.kind in _WAITED_FOR:
        return f"{number} {threads} ({who}) {verb} for {cause.what}{at(cause)}"
    if not cause.path:
        verb = does(cause).partition(" ")[0]
        return f"{number} {threads} ({who}){' ' if verb in _PLURAL else ': '}{does(cause, number != '1')}"
    first = cause.path[0]
    told = f"{number} {threads} ({who}) {verb} for {waited_for(first)}{at(first)}"
    alike = 0  #: steps that were left out, as they say what the one before has said
    for i, step in enumerate(cause.path):
        if cause.kind == End.CYCLE and i == len(cause.path) - 1:
            break
        after = cause.path[i + 1] if i + 1 < len(cause.path) else None
        if after is None and cause.kind == End.NOBODY:
            return f"{told}: {cause.what}"
        if after is None and not cause.ends:
            return f"{told}, {had(step)} {cause.what}"  # that is outside of the process
        if after is not None and (after.via, after.what, after.line, after.who) == (
            step.via,
            step.what,
            step.line,
            step.who,
        ):
            alike += 1
            continue
        if alike:
            told += f", and so on from one {step.who} to the next"
            alike = 0
        who = after.who if after is not None else cause.ends
        told += f"{' ' if step.via == Via.END else ', '}{had_by(step, who)}"
        if after is not None:
            told += they_wait(step, after, at(after))
    return f"{told}: {does(cause)}" if cause.kind == End.CYCLE else f"{told}{they_do(cause)}"


#: A gain that is told is at least so many times the throughput at most.
LEAST_GAIN = 1.05


def gained(cause: BlameCause) -> str:
    """'without this wait an estimated 4.1 times the throughput (1.3 to at most 5.3)'; '' where there is little or
    nothing to win. The last figure is a bound: nothing else becomes the limit."""
    if cause.at_most is None or cause.at_most < LEAST_GAIN:
        return ""
    low, about, most = (f"{v or cause.at_most:.1f}" for v in (cause.at_least, cause.estimate, cause.at_most))
    if low == most:
        return f"without this wait {most} times the throughput (estimate and upper limit)"
    return f"without this wait an estimated {about} times the throughput ({low} to at most {most})"


def gained_sentence(cause: BlameCause) -> str:
    """`gained` as a sentence of its own, or ''."""
    said = gained(cause)
    return f"{said[0].upper()}{said[1:]}." if said else ""


def gain_range(cause: BlameCause) -> str:
    """What the ends of that range mean, or '' where there is none."""
    if not gained(cause) or cause.at_least is None or f"{cause.at_least:.1f}" == f"{cause.at_most:.1f}":
        return ""
    return (
        "The low end assumes that what they go on to (a server, a disk, another lock) can do no more at once than it "
        "was seen to do; the high end, that nothing else becomes the limit."
    )


def end(root: Root) -> str:
    """'sleeps (semN.py:7)'; what costs nobody anything says so: 'idle: no work'."""
    said = f"{root.kind}: {root.what}" if root.kind in QUIET or root.kind is End.UNEXPLAINED else root.what
    return said + where(root.place.file, root.place.line, root.place.inside)


def largest(parts: Sequence[Part]) -> Part:
    return max(parts, key=lambda p: p.weight)


#: What is waited for says itself what it is: 'a connection of psycopg's pool', 'the import of app'.
_NAMED = frozenset({*Via} - {Via.LOCK, Via.PERMIT, Via.SIGNAL, Via.BARRIER, Via.ROOM, Via.TURN})


def _named(step: Step) -> bool:
    return step.via in _NAMED or str(step.via) in re.findall(r"\w+", step.what.lower())


def because(parts: Sequence[Part]) -> str:
    """One thread now: 'sem (permit) <- an answer of rpc <- peer: sleeps (semN.py:7)', the largest part of it."""
    part = largest(parts)
    told = " <- ".join(
        f"{s.what}{'' if _named(s) else f' ({s.via})'}{where(s.place.file, s.place.line, s.place.inside)}"
        for s in part.path[:8]
    )
    more = f" (and {plural(len(parts) - 1, 'other cause')})" if len(parts) > 1 else ""
    return f"{told} <- {end(part.root)}{more}" if told else end(part.root)
