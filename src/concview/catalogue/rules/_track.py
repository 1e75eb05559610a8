"""The memory of the judge: one subject of one rule over time, from the first window that fires to `recent`."""

from __future__ import annotations

from dataclasses import dataclass

from concview.catalogue.base import MIN_EPISODES, MIN_SAMPLES, UNTOLD, Observation, Rule, Thresholds, concern_of
from concview.catalogue.docs import documentation
from concview.catalogue.evidence import amount
from concview.model import Finding, Measured, Severity

#: Windows in a row that must fire before a finding is raised.
RAISE_AFTER = 3
#: A finding is cleared after so long below this part of its info threshold, then kept as recent.
CLEAR_BELOW = 0.7
CLEAR_NS = 5_000_000_000
RECENT_NS = 60_000_000_000
#: Score at the info and at the warn threshold.
INFO_SCORE = 25
WARN_SCORE = 75


def curve(value: float, info: float, warn: float) -> float:
    """0..25 below the info threshold, 25 there, 75 at the warn threshold, then towards 100."""
    if value < info:
        return max(0.0, INFO_SCORE * value / info)
    if warn <= info:
        return 100.0
    return float(INFO_SCORE + 75 * (1 - 3 ** -((value - info) / (warn - info))))


def what_is_missing(rule: Rule, one: Observation, limits: Thresholds, at_once: bool = False) -> str:
    """What is missing before the observation may be believed; empty when nothing is."""
    if one.needs:
        return one.needs
    if not rule.permanent and not one.lasting:
        if one.samples < MIN_SAMPLES:
            return f"at least {MIN_SAMPLES} samples (has {one.samples})"
        if one.episodes < MIN_EPISODES:
            return f"at least {MIN_EPISODES} separate episodes (has {one.episodes})"
    if one.lower < limits.info and not at_once:
        return (
            f"more evidence: {rule.measure} is {amount(one.value, limits.unit)}, but may be as low as "
            f"{amount(one.lower, limits.unit)}; it counts from {amount(limits.info, limits.unit)}"
        )
    return ""


@dataclass(slots=True)
class Track:
    """One subject of one rule over time."""

    streak: int = 0  #: windows in a row that fired
    warn_streak: int = 0
    since_ns: int = 0
    seen_ns: int = -1
    raised: bool = False
    below_ns: int = 0  #: since when it has been below the level at which it is cleared
    cleared_ns: int = 0
    finding: Finding | None = None
    explains: tuple[tuple[str, str], ...] = ()
    severe: bool = False  #: a warning, or about to be one
    label: str = ""
    explained_by: str = ""  #: the rule that explained it last, and when that was
    explained_ns: int = 0

    def observed(
        self, rule: Rule, one: Observation, limits: Thresholds, lacks: str, now: int, at_once: bool = False
    ) -> None:
        self.seen_ns = now
        if lacks:
            # Not enough to fire, but above the lower level it stays raised.
            self._quiet(now, one.lower < CLEAR_BELOW * limits.info or lacks == one.needs)
            return
        self.below_ns = 0
        if not self.streak and not self.raised:
            self.since_ns = now
        self.streak = RAISE_AFTER if at_once else self.streak + 1
        self.warn_streak = self.warn_streak + 1 if one.lower >= limits.warn else 0
        self.explains, self.label = one.explains, one.label
        strong = one.lower >= limits.warn or one.floor >= WARN_SCORE or (one.score or 0) >= WARN_SCORE
        self.severe = (strong or self._warned()) and one.severity_cap != "info"
        if self.streak >= RAISE_AFTER and not self.raised:
            self.raised = True
            self.cleared_ns = 0
            self.finding = None  # what was said a minute ago has no say in how severe this is
        if self.raised:
            self.finding = self._found(rule, one, limits, at_once)

    def unseen(self, now: int) -> None:
        self._quiet(now, True)

    def _quiet(self, now: int, below: bool) -> None:
        self.streak = self.warn_streak = 0
        if not below:
            self.below_ns = 0
            return
        if self.raised and not self.below_ns:
            self.below_ns = now
        if self.raised and now - self.below_ns >= CLEAR_NS:
            self.raised = False
            self.cleared_ns = now
            self.explains = ()

    @property
    def settled(self) -> bool:
        """Whether nothing of it is coming or going: it need not be looked at for a while."""
        if not self.raised:
            return not self.streak
        return not self.below_ns and (not self.warn_streak or self.warn_streak >= RAISE_AFTER)

    def forgotten(self, now: int) -> bool:
        if self.raised or self.streak:
            return False
        return not self.cleared_ns or now - self.cleared_ns > RECENT_NS

    def _found(self, rule: Rule, one: Observation, limits: Thresholds, at_once: bool) -> Finding:
        score = max(curve(one.lower, limits.info, limits.warn), float(one.floor))
        if one.score is not None:
            score = float(one.score)
        severe = score >= WARN_SCORE
        if severe and one.score is None and not one.floor:
            # A warning is as slow to come and to go as the finding itself.
            severe = self.warn_streak >= RAISE_AFTER or self._warned()
        elif not severe and self._warned():
            severe = one.lower >= CLEAR_BELOW * limits.warn
        if one.severity_cap == "info":
            severe = False
        points = min(100, round(score))
        points = max(points, WARN_SCORE) if severe else min(points, WARN_SCORE - 1)
        documented = documentation(rule)
        measured = Measured(
            f"{rule.measure}, {UNTOLD}" if at_once else rule.measure,
            0.0 if at_once else one.value,
            limits.info,
            limits.warn,
            limits.unit,
            None if one.lower == one.value else one.lower,
            one.samples,
            one.episodes,
        )
        return Finding(
            rule.id,
            one.subject,
            Severity.WARN if severe else Severity.INFO,
            points,
            one.confidence,
            one.title or rule.title,
            one.summary or documented.summary,
            documented.why,
            one.fix or documented.fix,
            measured,
            one.where,
            one.threads,
            one.stacks,
            one.gain,
            one.check_next,
            self.since_ns,
            tasks=one.tasks,
            concern=concern_of(rule),
        )

    def _warned(self) -> bool:
        return self.finding is not None and self.raised and self.finding.severity is Severity.WARN
