"""--fail-on: which findings make `check` fail, by severity, for all rules and for single ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from concview.commands.base import CommandError, Exit
from concview.model import VERDICT, Finding, Severity

#: Rule, name of the file, function: what stays the same of a finding in another run, in another folder.
Place = tuple[str, str, str]

LEVELS: dict[str, tuple[Severity, ...]] = {
    "info": (Severity.INFO, Severity.WARN),
    "warn": (Severity.WARN,),
    "never": (),
}
DEFAULT = "warn"


@dataclass(frozen=True, slots=True)
class FailOn:
    """`level` for every rule that no pattern of `rules` names; of those that do, the last one counts."""

    level: str = DEFAULT
    rules: tuple[tuple[str, str], ...] = ()
    known: frozenset[Place] = frozenset()  #: findings of a baseline: these fail nothing

    def level_of(self, rule: str) -> str:
        return next((level for pattern, level in reversed(self.rules) if fnmatchcase(rule, pattern)), self.level)

    def fails(self, finding: Finding) -> bool:
        """Recent findings count: they fired while we watched."""
        return not self.knows(finding) and finding.severity in LEVELS[self.level_of(finding.id)]

    def knows(self, finding: Finding) -> bool:
        """Whether the baseline has it."""
        return finding.place in self.known

    def __str__(self) -> str:
        return ",".join([self.level, *(f"{pattern}={level}" for pattern, level in self.rules)])


def parse(values: Sequence[str]) -> FailOn:
    """From 'warn', 'lock-*=info', 'warn,deadlock=info', in any number. CommandError for what is none of that."""
    level, rules = DEFAULT, []
    for word in (w.strip() for value in values for w in value.split(",")):
        pattern, equals, which = word.rpartition("=")
        if which not in LEVELS:
            raise CommandError(
                f"--fail-on: '{word}' is no level", Exit.USAGE, f"levels: {', '.join(LEVELS)}; or RULE=LEVEL"
            )
        if equals:
            rules.append((pattern, which))
        else:
            level = which
    if rules:
        _check([pattern for pattern, _ in rules])
    return FailOn(level, tuple(rules))


def _check(patterns: list[str]) -> None:
    """A rule that does not exist would never fail anything, silently."""
    from concview import registry

    rules = [rule.id for rule in registry.everything("concview.catalogue.rules", "RULE").values()]
    known = sorted([*rules, VERDICT])
    for pattern in patterns:
        if not any(fnmatchcase(rule, pattern) for rule in known):
            raise CommandError(f"--fail-on: no such rule: {pattern}", Exit.USAGE, f"rules: {', '.join(known)}")
