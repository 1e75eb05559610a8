"""A rule as a lesson: its documentation, its thresholds in words, where they come from, and what to look at next."""

from __future__ import annotations

import re

from concview import registry
from concview.catalogue.base import Rule
from concview.catalogue.docs import documentation
from concview.model import Finding
from concview.text import duration, fine_percent, of_unit

#: What the letters before a threshold's source mean.
SOURCES = {
    "[S]": "from a published source",
    "[D]": "follows by arithmetic",
    "[M]": "measured",
    "[H]": "an estimate, calibrated on the demo's two variants",
}
#: '[H]', '[M: 0.4 ms, 3.11]', '[S: a published limit; H where to begin]'.
_BRACKETS, _LETTER = re.compile(r"\[([SDMH](?=[\]:;])[^\]]*)\]"), re.compile(r"(?:^|; )([SDMH])(?![A-Za-z])")
#: Where to look next, by the group of the rule.
_NEXT = {
    "GIL and scheduler": "The views Threads (who runs, who waits for the GIL or a CPU) and Flame (which calls).",
    "Locks": "The view Locks: who holds it, for how long, and what the holders do meanwhile.",
    "Work distribution": "The views Queues (depth, rates, free workers) and Threads, sorted by pool.",
    "Async and I/O": "The views Tasks (what they wait for), I/O (which peers) and Queues.",
}


def rule_of(name: str) -> Rule | None:
    """The rule with this id; None for a lesson that is no anti-pattern."""
    rules: dict[str, Rule] = {r.id: r for r in registry.everything("concview.catalogue.rules", "RULE").values()}
    return rules.get(name)


def limit(value: float, unit: str) -> str:
    """A threshold with its unit: '20 %', '0.1 s', '16 locks'."""
    if unit.startswith("share"):
        return fine_percent(value)
    if unit == "s":
        return duration(value)
    return f"{value:g} {of_unit(value, unit)}".strip()


def thresholds(rule: Rule) -> str:
    """'the holder in I/O ...: INFO from 20 %, WARN from 50 % (share of the hold time)'."""
    limits = rule.thresholds
    info, warn = limit(limits.info, limits.unit), limit(limits.warn, limits.unit)
    of = f" ({limits.unit})" if limits.unit.startswith("share of") else ""
    both = f"INFO from {info}, WARN from {warn}" if info != warn else f"WARN from {warn}"
    return f"{rule.measure}: {both}{of}"


def source(rule: Rule) -> str:
    """Where the thresholds come from, without letters: 'an estimate, ...: calibrated on the demo pair'."""
    told = rule.thresholds.source.replace("[H] calibrated on the demo pair", "[H]")  # which the letter says already
    for letters, words in SOURCES.items():
        told = told.replace(f"{letters} ", f"{words}: ").replace(letters, words)
    return told


def letters(text: str) -> str:
    """What the letters in a text mean; '' where it has none."""
    used = {letter for inside in _BRACKETS.findall(text) for letter in _LETTER.findall(inside)}
    return "; ".join(f"{letter} {words}" for letter, words in SOURCES.items() if letter[1] in used)


def sections(rule: Rule, finding: Finding | None = None) -> list[tuple[str, str]]:
    """(heading, text). With a finding its own fix, gain and next step come where they belong."""
    documented = documentation(rule)
    found = [("", documented.summary), ("What it sees", documented.sees), ("Why it hurts", documented.why)]
    if finding is not None:
        found.append(("Here", finding.summary))
    found.append(("When it is reported", f"{thresholds(rule)}.\nThe limits: {source(rule)}."))
    found.append(("Fix", finding.fix if finding is not None and finding.fix else documented.fix))
    if finding is not None and finding.gain:
        found.append(("Gain", finding.gain))
    found.append(("When it is fine", documented.fine))
    further = finding.check_next if finding is not None and finding.check_next else _NEXT.get(rule.group, "")
    if further:
        found.append(("Look at next", further))
    measured = documented.measured
    explained = letters(measured)
    found.append(("How it is measured", f"{measured}\n\n({explained})" if explained else measured))
    return found
