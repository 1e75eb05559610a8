"""What one rule finds many times in one place is said once: by the strongest, with how many more there are and which.

A lock for each account, a queue for each client, a loop for each shard: hundreds of subjects come from one line of the
program, and are mended there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from concview.model import Finding, Pending, Severity
from concview.text import listed, plural

#: Subjects that are named; of the others only the number is said.
MOST_NAMED = 5
#: Subjects of one rule that are told to wait for evidence.
MOST_PENDING = 3

#: (rule, file, line) of the first line that a finding names; of one without a line the subject.
_Place = tuple[str, str, int]


class Fold:
    """Remembers who speaks for a place, so that a view's selection and the timeline do not jump between equals."""

    def __init__(self) -> None:
        self._speakers: dict[_Place, str] = {}

    def findings(self, found: Iterable[tuple[Finding, str]]) -> list[Finding]:
        """One for each place. With every finding comes a label: what it is about, in a few words, or ''."""
        places: dict[_Place, list[tuple[Finding, str]]] = defaultdict(list)
        for finding, label in found:
            first = finding.where[0] if finding.where else None
            key = (finding.id, first.file, first.line) if first is not None else (finding.id, finding.subject, 0)
            places[key].append((finding, label))
        out = []
        speakers: dict[_Place, str] = {}
        for place, those in places.items():
            firing = [one for one in those if not one[0].recent] or those
            firing.sort(key=lambda one: _order(one[0], self._speakers.get(place)))
            speakers[place] = firing[0][0].subject
            out.append(_said_once(firing))
        self._speakers = speakers
        return out


def _order(finding: Finding, speaker: str | None) -> tuple[bool, bool, int, int, str]:
    return (
        finding.severity is not Severity.WARN,
        finding.subject != speaker,
        -finding.score,
        finding.since_ns,
        finding.subject,
    )


def _said_once(those: list[tuple[Finding, str]]) -> Finding:
    (first, own), *others = those
    if not others:
        return first
    names = list(dict.fromkeys(label for _, label in others if label and label != own))
    more = f"{plural(len(others), 'other')} like it" + (f": {listed(names, MOST_NAMED)}." if names else ".")
    return msgspec.structs.replace(
        first,
        title=f"{first.title} (and {len(others)} more)",
        summary=f"{first.summary} There {'is' if len(others) == 1 else 'are'} {more}",
        score=max(f.score for f, _ in those),
        since_ns=min(f.since_ns for f, _ in those),
        threads=tuple(dict.fromkeys(tid for f, _ in those for tid in f.threads)),
    )


def pending(waiting: Iterable[Pending]) -> list[Pending]:
    """A few of every rule, and how many more."""
    rules: dict[str, list[Pending]] = defaultdict(list)
    for one in waiting:
        rules[one.id].append(one)
    out = []
    for rule_id, those in rules.items():
        out += those[:MOST_PENDING]
        if len(those) > MOST_PENDING:
            out.append(Pending(rule_id, f"evidence about {len(those) - MOST_PENDING} more subjects, too"))
    return out
