"""The gates, the score, the memory and the suppression, on a rule whose measurement the test dictates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar

import pytest
from build import RUNNING, Scene, frame

from concview.analysis.window import Window
from concview.catalogue.base import Inapplicable, Observation, Thresholds
from concview.catalogue.judge import PATIENCE_NS
from concview.catalogue.rules._track import curve
from concview.config import Limits, RuleConfig, RuleOptions
from concview.model import Confidence, ProcessStatus, Severity, Where

INFO, WARN = 0.2, 0.5


def make(rule_id: str = "made-up", permanent: bool = False, needs: tuple[str, ...] = ("stacks",)) -> Any:
    """A rule that reports what its `now` holds. Its documentation is borrowed."""
    metadata = (rule_id, permanent, needs)

    class Made:
        __module__ = "concview.catalogue.rules.lock_contention"
        id: ClassVar[str] = metadata[0]
        title: ClassVar[str] = "Made up"
        group: ClassVar[str] = "Locks"
        thresholds: ClassVar[Thresholds] = Thresholds(INFO, WARN, "share of nothing", "[D] a test")
        permanent: ClassVar[bool] = metadata[1]
        needs: ClassVar[tuple[str, ...]] = metadata[2]
        measure: ClassVar[str] = "nothing"

        def __init__(self) -> None:
            self.now: list[Observation] = []
            self.error: Exception | None = None

        def observe(self, window: Window) -> Iterable[Observation]:
            if self.error is not None:
                raise self.error
            return self.now

    return Made()


def saw(lower: float, subject: str = "it", **more: Any) -> Observation:
    fields: dict[str, Any] = {"value": lower, "samples": 1000, "episodes": 50, **more}
    return Observation(subject, lower=lower, confidence=Confidence.STATISTICAL, **fields)


def scene(*rules: Any, config: RuleConfig | None = None) -> Scene:
    made = Scene(rules={r.id: r for r in rules}, config=config)
    made.do(made.thread("main"), [frame("work")], RUNNING)
    return made


def test_score_curve() -> None:
    assert curve(0, INFO, WARN) == 0
    assert curve(INFO / 2, INFO, WARN) == pytest.approx(12.5)
    assert curve(INFO, INFO, WARN) == 25
    assert curve(WARN, INFO, WARN) == pytest.approx(75)
    assert 99 < curve(10 * WARN, INFO, WARN) <= 100
    assert curve(1, 1, 1) == 100


def test_raised_after_three_windows() -> None:
    rule = make()
    made = scene(rule)
    made.play(3)
    rule.now = [saw(0.6)]
    made.play(0.51)
    assert made.found("made-up") is None
    assert [p.needs for p in made.judgement.pending] == ["the same in 3 windows in a row (has 2)"]
    made.play(0.25)
    finding = made.found("made-up")
    assert finding is not None
    assert finding.severity is Severity.WARN
    assert finding.score > 75
    assert finding.measured.info == INFO
    assert finding.why and finding.fix
    assert made.judgement.clear == ()


def test_two_windows_are_not_three() -> None:
    rule = make()
    made = scene(rule)

    def flicker(at: float) -> None:
        rule.now = [saw(0.6)] if int(at * 4) % 3 else []

    made.play(6, flicker)
    assert made.ever() == set()


def test_clears_with_hysteresis_and_is_kept_as_recent() -> None:
    rule = make()
    made = scene(rule)
    made.play(11)
    rule.now = [saw(0.6)]
    made.play(4)
    assert made.found("made-up") is not None
    rule.now = [saw(0.75 * INFO)]  # below the threshold, above what clears
    made.play(20)
    assert made.found("made-up") is not None
    rule.now = [saw(0.6 * INFO)]
    made.play(4)
    assert made.found("made-up") is not None
    made.play(3)
    assert made.found("made-up") is None
    recent = made.judgement.findings[0]
    assert recent.recent
    assert recent.measured.value == 0.6
    assert made.judgement.clear == ("made-up",)
    made.play(50)
    assert made.judgement.findings
    made.play(12)
    assert made.judgement.findings == ()


def test_a_short_gap_does_not_clear() -> None:
    rule = make()
    made = scene(rule)
    rule.now = [saw(0.6)]
    made.play(15)
    for _ in range(5):
        rule.now = []
        made.play(3)
        rule.now = [saw(0.6)]
        made.play(2)
        assert made.found("made-up") is not None


def test_a_warning_is_slow_to_come_and_to_go() -> None:
    rule = make()
    made = scene(rule)
    rule.now = [saw(0.3)]
    made.play(12)
    assert made.found("made-up").severity is Severity.INFO  # type: ignore[union-attr]
    rule.now = [saw(0.55)]
    made.play(2)
    assert made.found("made-up").severity is Severity.INFO  # type: ignore[union-attr]
    made.play(1.1)
    assert made.found("made-up").severity is Severity.WARN  # type: ignore[union-attr]
    rule.now = [saw(0.45)]
    made.play(5)
    assert made.found("made-up").severity is Severity.WARN  # type: ignore[union-attr]
    rule.now = [saw(0.3)]
    made.play(2)
    finding = made.found("made-up")
    assert finding is not None
    assert (finding.severity, finding.score < 75) == (Severity.INFO, True)


@pytest.mark.parametrize(
    ("observation", "needs"),
    [
        (saw(0.6, samples=40), "at least 200 samples (has 40)"),
        (saw(0.6, episodes=2), "at least 5 separate episodes (has 2)"),
        (saw(0.1, value=0.3), "more evidence: nothing is 30 % of nothing, but may be as low as 10 % of nothing"),
        (saw(0.9, needs="a longer look"), "a longer look"),
    ],
)
def test_pending_says_what_is_missing(observation: Observation, needs: str) -> None:
    rule = make()
    made = scene(rule)
    rule.now = [observation]
    made.play(5)
    assert made.ever() == set()
    (pending,) = made.judgement.pending
    assert pending.needs.startswith(needs)
    assert pending.subject == "it"


def test_a_permanent_state_needs_no_samples() -> None:
    rule = make(permanent=True)
    made = scene(rule)
    rule.now = [saw(0.9, samples=1, episodes=1)]
    made.play(1)
    assert made.found("made-up") is not None


def test_nothing_is_clear_at_once() -> None:
    made = scene(make())
    made.play(1)
    assert made.judgement.clear == ()
    assert made.judgement.pending[0].needs.startswith("at least 200 samples (has ")
    made.play(3)
    assert made.judgement.clear == ("made-up",)  # type: ignore[comparison-overlap]
    assert made.judgement.pending == ()


def test_a_cause_explains_its_symptoms() -> None:
    cause, symptom, other = make("cause"), make("symptom"), make("other")
    made = scene(cause, symptom, other)
    symptom.now = [saw(0.9, "a"), saw(0.9, "b")]
    other.now = [saw(0.9, "a")]
    made.play(3)
    assert {(f.id, f.subject) for f in made.judgement.findings} == {("symptom", "a"), ("symptom", "b"), ("other", "a")}
    cause.now = [saw(0.8, "a", explains=(("symptom", "a"), ("other", "*")))]
    made.play(3)
    assert {(f.id, f.subject) for f in made.judgement.findings} == {("cause", "a"), ("symptom", "b")}
    assert made.judgement.explained == (("other", "cause"), ("symptom", "cause"))
    assert made.judgement.clear == ()


def test_a_symptom_does_not_flash_up_before_its_cause() -> None:
    cause, symptom = make("cause"), make("symptom")
    made = scene(cause, symptom)
    made.play(3)
    symptom.now = [saw(0.9)]
    cause.now = [saw(0.9, explains=(("symptom", "*"),))]
    made.play(3)
    assert made.ever() == {"cause"}


def test_what_is_explained_is_not_pending_either() -> None:
    cause, symptom = make("cause"), make("symptom")
    made = scene(cause, symptom)
    symptom.now = [saw(0.9, episodes=1)]
    cause.now = [saw(0.9, explains=(("symptom", "it"),))]
    made.play(3)
    assert made.judgement.pending == ()
    assert made.judgement.clear == ()
    assert made.judgement.explained == (("symptom", "cause"),)


def test_a_hint_does_not_explain_a_warning_away() -> None:
    cause, symptom = make("cause"), make("symptom")
    made = scene(cause, symptom)
    symptom.now = [saw(0.9)]
    cause.now = [saw(0.25, explains=(("symptom", "*"),))]
    made.play(3)
    assert [f.id for f in made.judgement.findings] == ["symptom", "cause"]
    cause.now = [saw(0.8, explains=(("symptom", "*"),))]
    made.play(3)
    assert [f.id for f in made.judgement.findings] == ["cause"]


def test_worst_first_and_recent_last() -> None:
    a, b, c = make("a"), make("b"), make("c")
    made = scene(a, b, c)
    c.now = [saw(0.9)]
    made.play(3)
    c.now = []
    a.now, b.now = [saw(0.3)], [saw(0.6)]
    made.play(10)
    assert [(f.id, f.recent) for f in made.judgement.findings] == [("b", False), ("a", False), ("c", True)]


def test_missing_capability() -> None:
    rule = make(needs=("gil",))
    made = Scene(rules={"made-up": rule}, without=("gil",))
    made.play(3)
    (entry,) = made.judgement.not_applicable
    assert (entry.id, entry.why, entry.enable) == ("made-up", "cannot be seen", "enable it")
    assert made.judgement.clear == ()


def test_inapplicable_and_failing_rules() -> None:
    rule, good = make(), make("good")
    made = scene(rule, good)
    rule.error = Inapplicable("no such thing here", "nothing")
    made.play(1)
    assert made.judgement.not_applicable[0].why == "no such thing here"
    rule.error = ZeroDivisionError("oops")
    good.now = [saw(0.9)]
    made.play(2)
    assert made.judgement.not_applicable[0].why == "this rule failed: ZeroDivisionError: oops"
    assert made.found("good") is not None


def test_configuration() -> None:
    one, two = make("one"), make("two")
    config = RuleConfig(disable=("two",), thresholds={"one": Limits(info=0.7, warn=0.8)}, exclude_threads=("main*",))
    made = scene(one, two, config=config)
    seen: list[int] = []
    one.observe = lambda window: [seen.append(len(window.threads)), saw(0.6)][1:]  # type: ignore[func-returns-value]
    two.now = [saw(0.9)]
    made.play(4)
    assert made.ever() == set()
    assert [n.id for n in made.judgement.not_applicable] == ["two"]
    assert set(seen) == {0}
    with pytest.raises(ValueError, match="no such rule: three"):
        scene(one, config=RuleConfig(disable=("three",)))
    with pytest.raises(ValueError, match="0 < info <= warn"):
        scene(one, config=RuleConfig(thresholds={"one": Limits(info=0.9)}))


def test_a_rule_may_leave_out_threads_and_places() -> None:
    """For itself: other rules see them still."""
    one, two = make("one"), make("two")
    options = {"one": RuleOptions(exclude_threads=("main*",), exclude_places=("cache.py:Cache.*",))}
    made = scene(one, two, config=RuleConfig(options=options))
    seen: dict[str, int] = {}
    accepted = dataclasses.replace(saw(0.9), where=(Where("/srv/cache.py", 4, "Cache.get"),))

    both = [accepted, dataclasses.replace(accepted, subject="other", where=(Where("/srv/cache.py", 9, "get"),))]

    one.observe = lambda window: seen.update(one=len(window.threads)) or both
    two.observe = lambda window: seen.update(two=len(window.threads)) or both
    made.play(4)
    assert seen["one"] == 0 and seen["two"] > 0
    found = {(f.id, f.subject) for f in made.judgement.findings}
    assert found == {("one", "other"), ("two", "other"), ("two", accepted.subject)}


def test_only_what_is_allowed_is_judged() -> None:
    one, two = make("one"), make("two")
    one.now = two.now = [saw(0.9)]
    made = scene(one, two, config=RuleConfig(only=("t*",)))
    made.play(4)
    assert made.ever() == {"two"}
    assert [(n.id, "rules.only" in n.why) for n in made.judgement.not_applicable] == [("one", True)]


def test_the_same_moment_is_judged_once_and_time_may_go_back() -> None:
    rule = make()
    made = scene(rule)
    rule.now = [saw(0.9)]
    made.play(3)
    window = Window(made.history)
    assert made.judge.evaluate(window) is made.judge.evaluate(window)
    earlier = Window(made.history)
    earlier.end_ns -= 1_000_000_000
    assert made.judge.evaluate(earlier).findings == ()


def test_many_of_one_place_are_said_once() -> None:
    """A hundred locks of one line: one finding, by the strongest, which stays the one that speaks."""
    rule, other = make("one"), make("other")
    place = (Where("/srv/bank.py", 7, "transfer"),)
    names = [f"lock {n:02}" for n in range(99)]
    weak = [saw(0.3, name, where=place, label=name, threads=(n, 1000), title="T") for n, name in enumerate(names)]
    strong = saw(0.9, "lock 99", where=place, label="lock 99", threads=(99,), title="T")
    elsewhere = saw(0.3, "lock 100", where=(Where("/srv/bank.py", 8, "transfer"),), label="lock 100", title="T")
    rule.now = [*weak, strong, elsewhere]
    other.now = [saw(0.3, f"queue {n}") for n in range(3)]  # of no place: each is its own
    made = scene(rule, other)
    made.play(3)
    found = [f for f in made.judgement.findings if f.id == "one"]
    assert [(f.subject, f.severity, f.title) for f in found] == [
        ("lock 99", Severity.WARN, "T (and 99 more)"),
        ("lock 100", Severity.INFO, "T"),
    ]
    assert found[0].summary.endswith("There are 99 others like it: lock 00, lock 01, lock 02, lock 03, lock 04, ….")
    assert found[0].threads == (99, 0, 1000, *range(1, 99))
    assert len([f for f in made.judgement.findings if f.id == "other"]) == 3
    rule.now = [*weak[:-1], saw(0.95, "lock 98", where=place, title="T"), strong, elsewhere]
    made.play(3)
    assert found[0].subject in {f.subject for f in made.judgement.findings if f.id == "one"}
    rule.now = [*weak[:1], strong]
    made.play(7)
    assert made.found("one").title == "T (and 1 more)"  # type: ignore[union-attr]
    assert [f.subject for f in made.judgement.findings if f.id == "one" and f.recent] == ["lock 100"]


def test_few_of_many_pending_are_told() -> None:
    rule = make()
    rule.now = [saw(0.6, f"lock {n}", samples=1) for n in range(50)]
    made = scene(rule)
    made.play(3)
    assert [p.subject for p in made.judgement.pending] == ["lock 0", "lock 1", "lock 2", ""]
    assert made.judgement.pending[-1].needs == "evidence about 47 more subjects, too"


def test_of_a_process_in_which_nothing_moves_only_what_is_for_ever_is_judged() -> None:
    lasting, other = make("lasting"), make("other")
    lasting.permanent = True
    made = scene(lasting, other)
    other.now = [saw(0.9)]
    lasting.now = [saw(0.9)]
    made.history.apply(ProcessStatus(made.now_ns, "frozen"))
    made.play(4)
    assert made.judgement.findings and {f.id for f in made.judgement.findings} == {"lasting"}
    assert [(n.id, "frozen" in n.why) for n in made.judgement.not_applicable] == [("other", True)]


def test_a_rule_that_only_lacks_evidence_is_asked_again_soon() -> None:
    rule = make()
    made = scene(rule)
    made.play(3)
    soon, later = made.now_ns + 1_000_000_000, made.now_ns + PATIENCE_NS
    assert not made.judge.due(soon, PATIENCE_NS) and made.judge.due(later, PATIENCE_NS)
    rule.now = [saw(0.6, needs="the same twice (has 1)")]  # seldom enough that it may be gone in five seconds
    made.play(0.25)
    assert made.judge.due(soon, PATIENCE_NS)
    rule.now = [saw(INFO / 10)]
    made.play(0.25)
    assert not made.judge.due(soon, PATIENCE_NS)
