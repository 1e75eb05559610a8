"""The one sentence at the top: what is wrong, or plainly that nothing is, or what is still missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from concview import text
from concview.model import Severity
from concview.snapshot import Snapshot, Status
from concview.tui.theme import SEVERITIES

#: Until this much was observed, silence of the rules means little.
ENOUGH_S = 10.0
#: Verdicts that say that there is none.
UNKNOWN = frozenset({"unreadable", "tasks unseen", "few samples"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """`tone` names a badge of the palette."""

    symbol: str
    word: str
    tone: str
    sentence: str
    more: str = ""


def sentences(lines: Sequence[str]) -> str:
    """Lines that stand one below the other elsewhere, behind one another: each ends as a sentence does."""
    return " ".join(line if line.endswith((".", "!", "?", ":")) else f"{line}." for line in lines if line)


def verdict(snapshot: Snapshot) -> Verdict:
    firing = [f for f in snapshot.findings if not f.recent]
    if firing:
        worst = firing[0]
        symbol, word = SEVERITIES[worst.severity]
        rest = len(firing) - 1
        more = f"and {text.plural(rest, 'more finding')}" if rest else ""
        return Verdict(symbol, word, "error" if worst.severity is Severity.WARN else "warn", worst.title, more)
    if snapshot.status is Status.WAITING or snapshot.target is None:
        return Verdict("…", "ATTACHING", "info", "Waiting for the first samples of the process.")
    blame = snapshot.blame
    if blame is not None and blame.severity is not None:
        symbol, _ = SEVERITIES[blame.severity]
        tone = "error" if blame.severity is Severity.WARN else "warn"
        return Verdict(symbol, blame.verdict.upper(), tone, blame.sentence, sentences(blame.more))
    if blame is not None and blame.verdict in UNKNOWN:
        return Verdict("?", "UNKNOWN", "mute", blame.sentence, sentences(blame.more))
    if blame is not None and blame.verdict == "watches":  # clear would be said of a service that nobody looked at
        return Verdict("●", "WATCHES", "info", blame.sentence, sentences(blame.more))
    clear, pending = len(snapshot.clear), [p.id for p in snapshot.pending]
    seen_s = max(snapshot.seconds, snapshot.elapsed_s)  # a short interval that was chosen is no lack of evidence
    if seen_s < ENOUGH_S and snapshot.status in (Status.LIVE, Status.REPLAY, Status.STOPPED):
        seen = f"Gathering evidence ({seen_s:.0f} s of {ENOUGH_S:.0f} s)."
        return Verdict(
            "…", "LOOKING", "info", seen, f"{text.plural(clear, 'rule')} judged clear so far." if clear else ""
        )
    missing = len(snapshot.not_applicable)
    more = ""
    if pending:
        names = ", ".join(pending[:3]) + (" …" if len(pending) > 3 else "")
        more = f"{len(pending)} waiting for evidence ({names})."
    if missing:
        more += f"{' ' if more else ''}{missing} cannot be judged here (see Findings)."
    if not clear:
        return Verdict("?", "UNKNOWN", "mute", "No rule could be judged yet.", more)
    if blame is not None and blame.verdict in ("waits", "outside"):
        return Verdict("✓", "WAITS", "info", blame.sentence, sentences([*blame.more, more]))
    if blame is not None and blame.verdict in ("clear", "idle"):
        more = f"{blame.sentence} {more}".rstrip()
    return Verdict("✓", "CLEAR", "ok", f"No anti-pattern found: {text.plural(clear, 'rule')} judged clear.", more)
