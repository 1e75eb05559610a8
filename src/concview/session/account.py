"""What a report tells of a process or a recording: one moment with its evidence, and what there was besides."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from concview.catalogue.judge import PATIENCE_NS
from concview.config import RuleConfig
from concview.model import Severity
from concview.session.phrases import unseen_for
from concview.session.session import PICTURE_S, Session
from concview.session.stream_source import FileSource
from concview.snapshot import Mark, Snapshot, Status, Timeline
from concview.text import duration, short_command

#: A finding of the past is shown by the time up to its middle: so much of it at most, and at least.
MOST_NS, LEAST_NS = 20_000_000_000, 5_000_000_000
#: In a recording that is longer rules look so many times in all, but more often where something comes or goes.
LONG_S, JUDGED, NEVER_S = 60.0, 150, 1e9


@runtime_checkable
class Watched(Protocol):
    """What an account is made of: `Session` is it."""

    live: bool

    def snapshot(self) -> Snapshot: ...
    def timeline(self) -> Timeline: ...
    def at(self, end_ns: int, span_ns: int) -> Snapshot: ...


@dataclass(frozen=True, slots=True)
class Account:
    """`shown` is the picture that the report is about: the newest one, or, where nothing is wrong any more in a
    recording, one of the worst finding it had; or the moments that somebody chose. `last` is the newest."""

    shown: Snapshot
    last: Snapshot
    timeline: Timeline
    over: bool = False  #: what `shown` shows is no longer so in `last`

    @property
    def service(self) -> str:
        """What the process is called where services have names: its module or script, else its program."""
        return service_name(self.last.target.command if self.last.target is not None else ())

    @property
    def began(self) -> float:
        """The first sample, as time.time()."""
        return self.last.epoch - self.last.elapsed_s

    def seconds_of(self, at_ns: int) -> float:
        """Seconds since the first sample."""
        return self.last.elapsed_s - (self.last.at_ns - at_ns) / 1e9

    @property
    def earlier(self) -> list[Mark]:
        """Findings of the whole time that the shown picture does not have; longest first."""
        shown = {(f.id, f.title) for f in self.shown.findings}
        found = [m for m in self.timeline.marks if (m.id, m.title) not in shown]
        return sorted(found, key=lambda m: (m.severity is not Severity.WARN, m.start_ns - m.end_ns))


def service_name(command: Sequence[str]) -> str:
    words = short_command(tuple(command)).split(" ")
    name = words[1] if words[0] == "-m" and len(words) > 1 else words[0]
    return name.removesuffix(".py") or "python"


def account_of(session: Watched) -> Account:
    """Of what a session has seen until now; of a recording read to its end, of all of it. May take a second."""
    last, timeline = session.snapshot(), session.timeline()
    shown = last
    firing = any(not f.recent for f in last.findings) or (last.blame is not None and last.blame.severity is not None)
    if not firing and not session.live:
        worst = max(timeline.marks, key=lambda m: (m.severity is Severity.WARN, m.end_ns - m.start_ns), default=None)
        if worst is not None:
            # Its middle: at its end the cause may have been gone for a while.
            end = min(worst.end_ns, worst.start_ns + max(LEAST_NS, (worst.end_ns - worst.start_ns) // 2))
            try:
                shown = session.at(end, min(max(end - worst.start_ns, LEAST_NS), MOST_NS))
            except LookupError:  # no longer kept: the mark alone tells of it
                shown = last
    return Account(shown, last, timeline, over=shown is not last)


def account_of_file(
    path: Path,
    rules: RuleConfig | None = None,
    from_s: float = 0.0,
    to_s: float | None = None,
    seconds: float | None = None,
    number: int = 0,
) -> Account:
    """Of a recording, read to its end and judged on the way; of an interval of it, seconds since its first sample.
    `seconds`: how long it is, where that is known; `number`: of several processes this one. A long one is judged less
    often: nobody waits for an answer to every second of it. Raises as `Session.start` does.
    """
    source = FileSource(path, 0.0, number)
    if seconds is None:
        seconds = source.seconds()
    long = seconds > LONG_S
    session = Session(
        source,
        config=rules,
        patience_s=max(PATIENCE_NS / 1e9, seconds / JUDGED),
        blamed_every_s=NEVER_S,  # at the end, and for what is told of besides: as `read_through` does
        composed_every_s=PICTURE_S if long else 0.0,
    )
    session.start(3600.0)  # nobody else can be late: a file is read as fast as this machine can
    try:
        last = session.wait(1e9)
        if from_s <= 0 and to_s is None:
            return account_of(session)
        first_ns = last.at_ns - int(last.elapsed_s * 1e9)
        end_ns = min(last.at_ns, first_ns + int(to_s * 1e9)) if to_s is not None else last.at_ns
        try:
            shown = session.at(end_ns, max(end_ns - first_ns - int(from_s * 1e9), LEAST_NS // 10))
        except LookupError:  # nothing was kept of it
            shown = last
        return Account(shown, last, session.timeline())
    finally:
        session.close()


def clock(epoch: float) -> str:
    """'2026-11-29 08:13:05 UTC': the same for everybody who reads it."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(epoch))


def span(account: Account) -> str:
    """'2026-11-29 08:13:05 UTC, 12.0 s'."""
    return f"{clock(account.began)}, {duration(account.last.elapsed_s)}"


def unseen(account: Account) -> list[str]:
    """What was not seen, each with what would enable it; most important first."""
    snapshot, last = account.shown, account.last
    said: list[str] = []
    if last.status in (Status.EXITED, Status.LOST, Status.STOPPED) and last.ending:
        said.append(last.ending)
    if last.misses:
        said.append(f"{last.misses} of {last.samples + last.misses} samples were missed")
    if told := unseen_for(last.gaps, last.gap_s):
        said.append(told)
    if last.doubtful:
        said.append(f"{last.doubtful} stacks may be wrong in their innermost frame")
    # What only an agent sees comes last: nobody misses it who did not ask for it.
    for name, capability in sorted(snapshot.capabilities.items(), key=lambda item: item[0] in ("agent", "calls")):
        if not capability.available and capability.why and (name not in ("agent", "calls") or snapshot.agent):
            said.append(f"{name}: {capability.why}" + (f" ({capability.enable})" if capability.enable else ""))
    groups: dict[tuple[str, str], list[str]] = {}
    for rule in snapshot.not_applicable:
        groups.setdefault((rule.why, rule.enable), []).append(rule.id)
    for (why, enable), ids in sorted(groups.items(), key=lambda item: -len(item[1])):
        said.append(f"not judged: {', '.join(ids)}: {why}" + (f" ({enable})" if enable else ""))
    if snapshot.pending:
        said.append(f"not enough evidence yet: {', '.join(sorted({p.id for p in snapshot.pending}))}")
    said += [n.text for n in snapshot.notices if n.level != "info"]
    return list(dict.fromkeys(said))
