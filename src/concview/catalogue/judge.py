"""From what the rules measured to what is said: the same gates, score and memory for every rule.

An observation fires when it has enough samples and episodes behind it and the lower end of its interval reaches the
info threshold. A finding is raised after three windows in a row that fired, cleared after five seconds below 0.7 times
the threshold, and kept as recent for a minute. Time is the stream's own, so live and replay judge alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import msgspec

from concview import registry
from concview.analysis.graph import Edge
from concview.analysis.window import WINDOW_NS, ThreadWindow, Window
from concview.catalogue.base import MIN_SAMPLES, Inapplicable, Observation, Rule, Thresholds, task_twin_of
from concview.catalogue.rules._aio import ONLY_TASKS, only_tasks
from concview.catalogue.rules._fold import Fold
from concview.catalogue.rules._fold import pending as few
from concview.catalogue.rules._track import RAISE_AFTER, Track, what_is_missing
from concview.config import RuleConfig
from concview.model import Finding, NotApplicable, Pending, Severity

#: Nothing is called clear before so much was seen.
CLEAR_AFTER_S = 2.0
#: A rule that may be left alone is asked again after so long: half of what it looks at, so that whatever lasts that
#: long lies wholly in one of its windows.
PATIENCE_NS = WINDOW_NS // 2
_ONE_MOMENT = "a core file is one moment, and this takes time to tell"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Every rule is in one of the lists: it fires, or is explained by one that does, or the rest."""

    findings: tuple[Finding, ...] = ()  #: worst first, recent ones last
    pending: tuple[Pending, ...] = ()
    clear: tuple[str, ...] = ()
    not_applicable: tuple[NotApplicable, ...] = ()
    explained: tuple[tuple[str, str], ...] = ()  #: (rule that fires, rule whose finding explains it)


#: (rule id, subject or '*') -> the rule that explains it, and whether as a warning.
_Causes = dict[tuple[str, str], tuple[str, bool]]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a rule said when it was asked last."""

    at_ns: int
    missing: tuple[Pending, ...]
    refusal: NotApplicable | None


class Judge:
    """Holds what was raised and when. One judge for one stream; `evaluate` in the order of time."""

    def __init__(self, rules: Mapping[str, Rule] | None = None, config: RuleConfig | None = None) -> None:
        found = registry.everything("concview.catalogue.rules", "RULE") if rules is None else rules
        self._rules: dict[str, Rule] = {rule.id: rule for rule in found.values()}
        self._config = config or RuleConfig()
        unknown = self._config.unknown(self._rules)
        if unknown:
            raise ValueError(f"no such rule: {', '.join(unknown)}")
        self._limits: dict[str, Thresholds] = {id_: self._thresholds(rule) for id_, rule in self._rules.items()}
        self._tracks: dict[tuple[str, str], Track] = {}
        self._answers: dict[str, _Answer] = {}
        self._unsettled: set[str] = set()  #: rules of which something is about to come or to go
        self._fold = Fold()
        self._last_ns = -1
        self._judgement = Judgement()

    def _thresholds(self, rule: Rule) -> Thresholds:
        own = rule.thresholds
        changed = self._config.thresholds.get(rule.id)
        if changed is None:
            return own
        info = own.info if changed.info is None else changed.info
        warn = own.warn if changed.warn is None else changed.warn
        if not 0 < info <= warn:
            raise ValueError(f"{rule.id}: thresholds must be 0 < info <= warn, not {info:g} and {warn:g}")
        return Thresholds(info, warn, own.unit, "configuration")

    # ------------------------------------------------------------ one evaluation

    def due(self, now: int, patience_ns: int) -> bool:
        """Whether `evaluate` at that moment would ask any rule."""
        return any(self._is_due(rule_id, now, patience_ns) for rule_id in self._rules)

    def _is_due(self, rule_id: str, now: int, patience_ns: int) -> bool:
        answer = self._answers.get(rule_id)
        return answer is None or rule_id in self._unsettled or now - answer.at_ns >= patience_ns

    def evaluate(self, window: Window, between: Callable[[], None] = lambda: None, patience_ns: int = 0) -> Judgement:
        """Judge the window, calling `between` before each rule. Asked again about the same moment, it gives the same
        answer.

        `patience_ns`, for recordings, in which nobody waits for the answer: a rule of which nothing is coming or going
        is asked again after so long, and what it said stands meanwhile. With `PATIENCE_NS` the same is raised but for
        what hardly reaches its threshold, and up to so much later.
        """
        now = window.end_ns
        if now == self._last_ns:
            return self._judgement
        if now < self._last_ns:  # time travel: what was raised later has not happened yet
            self._tracks.clear()
            self._answers.clear()
        self._last_ns = now
        windows: dict[tuple[str, ...], Window] = {}
        raised = self._raised()
        asked = [rule for rule in self._rules.values() if self._is_due(rule.id, now, patience_ns)]
        for rule in asked:
            between()
            self._ask(rule, window, windows)
        if len(asked) < len(self._rules) and self._raised() != raised:
            # What explains a new one must be known before that is said; and what one that is over explained, as it is
            # now.
            for rule in self._rules.values():
                if self._answers[rule.id].at_ns != now:
                    between()
                    self._ask(rule, window, windows)
        pending: list[Pending] = []
        not_applicable: list[NotApplicable] = []
        judged: list[str] = []
        for rule in self._rules.values():
            answer = self._answers[rule.id]
            if answer.refusal is not None:
                not_applicable.append(answer.refusal)
            elif answer.missing:
                pending.extend(answer.missing)
            else:
                judged.append(rule.id)
        causes = self._causes()
        findings, explained = self._findings(causes)
        fires = {f.id for f in findings if not f.recent}
        for one in [p for p in pending if _cause(causes, p.id, p.subject, False)]:
            pending.remove(one)
            if one.id not in fires:
                explained.setdefault(one.id, _cause(causes, one.id, one.subject, False))
        told = fires | explained.keys()
        early = _too_early(window)
        if early:
            pending.extend(Pending(rule_id, early) for rule_id in judged if rule_id not in told)
        self._judgement = Judgement(
            findings,
            tuple(few(pending)),
            () if early else tuple(rule_id for rule_id in judged if rule_id not in told),
            tuple(not_applicable),
            tuple(sorted(explained.items())),
        )
        return self._judgement

    def _raised(self) -> set[tuple[str, str]]:
        return {key for key, track in self._tracks.items() if track.raised}

    def _ask(self, rule: Rule, window: Window, windows: dict[tuple[str, ...], Window]) -> None:
        refusal = self._refusal(rule, window)
        observations: list[Observation] = []
        if refusal is None:
            try:
                seen = self._windowed(rule, window, windows)
                observations = _distinct(o for o in rule.observe(seen) if not self._accepted(rule, o))
                twin = task_twin_of(rule)
                if twin is not None and not observations and only_tasks(window):
                    raise Inapplicable(f"{ONLY_TASKS}, which {twin} judges" if twin else ONLY_TASKS)
            except Inapplicable as reason:
                refusal = NotApplicable(rule.id, reason.why, reason.enable)
            except Exception as error:  # the session's last line of defence: one bad rule must not end it
                why = f"this rule failed: {type(error).__name__}: {error}"
                refusal = NotApplicable(rule.id, why, "please report this as a bug of concview")
        missing = self._update(rule, observations, window.end_ns, window.moment)
        self._answers[rule.id] = _Answer(window.end_ns, tuple(missing), refusal)

    def _windowed(self, rule: Rule, whole: Window, known: dict[tuple[str, ...], Window]) -> Window:
        """The window as this rule may see it; rules that leave out the same threads share one."""
        patterns = self._config.thread_patterns(rule.id)
        if not patterns and not self._config.only_threads:
            return whole
        if patterns not in known:
            known[patterns] = _Filtered(whole, self._config, rule.id)
        return known[patterns]

    def _accepted(self, rule: Rule, one: Observation) -> bool:
        """True when the user said that what is found at its first line is fine."""
        place = one.where[0] if one.where else None
        return place is not None and self._config.accepts(rule.id, place.file, place.function)

    def _refusal(self, rule: Rule, window: Window) -> NotApplicable | None:
        if refused := self._config.refuses(rule.id):
            return NotApplicable(rule.id, refused, "enable it there")
        if window.moment and not getattr(rule, "moment", False):
            return NotApplicable(rule.id, _ONE_MOMENT, "concview check PID, while it runs")
        how = window.history.stopped
        if how and not rule.permanent:
            return NotApplicable(rule.id, f"the process is {how}", "let it go on, and look again")
        for name in rule.needs:
            if not window.can(name):
                capability = window.capabilities.get(name)
                if capability is None:
                    return NotApplicable(rule.id, f"this engine does not see {name}", "choose another engine")
                return NotApplicable(rule.id, capability.why, capability.enable)
        return None

    def _update(self, rule: Rule, observations: list[Observation], now: int, at_once: bool) -> list[Pending]:
        """Advance the memory of one rule's subjects; what is still pending. `at_once`: of a moment there is no second
        look, and no length."""
        limits = self._limits[rule.id]
        missing: list[Pending] = []
        for one in observations:
            key = (rule.id, one.subject)
            track = self._tracks.get(key)
            lacks = what_is_missing(rule, one, limits, at_once)
            if track is None:
                if lacks or (one.lower < limits.info and not at_once):
                    missing.extend(_pend(rule, one, limits, lacks))
                    continue
                track = self._tracks[key] = Track()
            track.observed(rule, one, limits, lacks, now, at_once)
            if not track.raised:
                lacks = lacks or f"the same in {RAISE_AFTER} windows in a row (has {track.streak})"
                missing.extend(_pend(rule, one, limits, lacks))
        self._unsettled.discard(rule.id)
        if missing:  # it would be told, but for evidence: that may be there a second later, and gone again
            self._unsettled.add(rule.id)
        for key, track in list(self._tracks.items()):
            if key[0] == rule.id:
                if track.seen_ns != now:
                    track.unseen(now)
                if track.forgotten(now):
                    del self._tracks[key]
                elif not track.settled:
                    self._unsettled.add(rule.id)
        return missing

    def _causes(self) -> _Causes:
        causes: _Causes = {}
        for (rule_id, _), track in self._tracks.items():
            if track.streak or track.raised:  # already while it is about to be raised: no symptom flashes up before it
                for explained in track.explains:
                    if track.severe or explained not in causes:
                        causes[explained] = (rule_id, track.severe)
        return causes

    def _findings(self, causes: _Causes) -> tuple[tuple[Finding, ...], dict[str, str]]:
        """What is raised, without what another finding explains; and the rules so explained, with the cause."""
        shown: list[tuple[Finding, str]] = []
        explained: dict[str, str] = {}
        there = {rule_id for (rule_id, _), track in self._tracks.items() if track.streak or track.raised}
        for (rule_id, subject), track in self._tracks.items():
            cause = _cause(causes, rule_id, subject, track.severe)
            if cause:
                track.explained_by, track.explained_ns = cause, self._last_ns
            elif track.explained_by not in there and self._last_ns - track.explained_ns < WINDOW_NS:
                cause = track.explained_by  # it is over, but the window still holds what it caused
            if cause:
                if track.raised:
                    explained[rule_id] = cause
                track.cleared_ns = 0  # an explained symptom leaves no trace of its own
            elif (finding := track.finding) is not None and (track.raised or track.cleared_ns):
                recent = not track.raised
                shown.append((msgspec.structs.replace(finding, recent=True) if recent else finding, track.label))
        findings = self._fold.findings(shown)
        findings.sort(key=lambda f: (f.recent, f.severity is not Severity.WARN, -f.score, f.since_ns, f.id, f.subject))
        return tuple(findings), explained


# ---------------------------------------------------------------- gates


def _distinct(observations: Iterable[Observation]) -> list[Observation]:
    """One a subject: the strongest."""
    best: dict[str, Observation] = {}
    for one in observations:
        known = best.get(one.subject)
        if known is None or one.lower > known.lower:
            best[one.subject] = one
    return list(best.values())


def _cause(causes: _Causes, rule_id: str, subject: str, severe: bool) -> str:
    """The rule that explains this subject; empty when there is none. A hint does not explain a warning away."""
    for key in ((rule_id, subject), (rule_id, "*")):
        cause, strong = causes.get(key, (rule_id, False))
        if cause != rule_id and (strong or not severe):
            return cause
    return ""


def _pend(rule: Rule, one: Observation, limits: Thresholds, lacks: str) -> list[Pending]:
    """Only what would count if it were certain is worth waiting for."""
    return [Pending(rule.id, lacks, one.subject)] if one.needs or one.value >= limits.info else []


def _too_early(window: Window) -> str:
    """Why nothing may be called clear yet; empty when it may."""
    if window.moment:
        return f"what this core file lacks: {window.target.core_lacks}" if window.target.core_lacks else ""
    samples = window.samples * max(1, len(window.threads))
    if samples < MIN_SAMPLES:
        return f"at least {MIN_SAMPLES} samples (has {samples})"
    if window.seconds < CLEAR_AFTER_S:
        return f"at least {CLEAR_AFTER_S:g} s (has {window.seconds:.1f} s)"
    return ""


class _Filtered(Window):
    """A window without the threads that a person excluded by name. What only counts the whole process (CPU, context
    switches, descriptors) still counts them."""

    def __init__(self, whole: Window, config: RuleConfig, rule: str) -> None:
        super().__init__(whole.history, whole.end_ns - whole.start_ns)
        self._whole = whole
        self._config = config
        self._rule = rule

    @cached_property
    def threads(self) -> list[ThreadWindow]:
        return [t for t in self._whole.threads if not self._config.excludes(t.name, self._rule)]

    @cached_property
    def native_threads(self) -> list[ThreadWindow]:
        return [t for t in self._whole.native_threads if not self._config.excludes(t.name, self._rule)]

    @cached_property
    def edges(self) -> list[Edge]:
        known = {t.tid for t in self.threads}
        return [e for e in self._whole.edges if e.waiter in known and e.holder in known]

    def name(self, tid: int) -> str:
        return self._whole.name(tid)
