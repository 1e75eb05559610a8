"""Verdict and findings together: one number for one thing, the rule's name, and what is said where no rule has one."""

from __future__ import annotations

import msgspec
import pytest

from concview.config import RuleConfig
from concview.model import Concern, Confidence, Finding, Measured, Pending, Severity, Where
from concview.session.blame import NOT_YET, UNNAMED, bounded, named, unnamed
from concview.snapshot import Blame, BlameCause, BlameStep

FINDING = Finding(
    "a", "", Severity.WARN, 50, Confidence.EXACT, "T", "", "", "", Measured("", 1, 1, 1, ""), gain="If so."
)
CAUSE = BlameCause("taken", "lock", "lock", "x.py", 1, "wait", 1.0, 10.0, (1,), rule="a", at_most=5.34)


def blame(*causes: BlameCause) -> Blame:
    return Blame(10.0, 8.0, 8.0, 0.2, 0.8, 0.0, 0.0, 0.0, 0.0, verdict="held up", causes=causes)


def test_the_largest_cause_gives_the_gain_with_its_range() -> None:
    smaller = msgspec.structs.replace(CAUSE, at_most=1.2)
    wide = msgspec.structs.replace(CAUSE, estimate=4.1, at_least=1.3)
    (one,) = bounded([FINDING], blame(wide, smaller))
    assert one.gain.startswith(
        "Without this wait an estimated 4.1 times the throughput (1.3 to at most 5.3). The low end"
    )
    assert one.gain.endswith(" If so.")


def test_a_gain_without_a_range_is_one_number() -> None:
    (one,) = bounded([FINDING], blame(CAUSE))
    assert one.gain == "Without this wait 5.3 times the throughput (estimate and upper limit). If so."


def test_nothing_is_said_where_nothing_is_known() -> None:
    unknown = msgspec.structs.replace(CAUSE, at_most=None)
    other = msgspec.structs.replace(CAUSE, rule="b")
    past = msgspec.structs.replace(FINDING, recent=True)
    assert bounded([FINDING], None) == (FINDING,)
    assert bounded([FINDING], blame(unknown, other)) == (FINDING,)
    assert bounded([past], blame(CAUSE)) == (past,)


# ---------------------------------------------------------------- who names it

STEP = BlameStep("lock", "lock", "web", "x.py", 1, "wait", Confidence.EXACT, (1,), (2,))
HELD = msgspec.structs.replace(CAUSE, kind="sleep", path=(STEP,), rule="")
ABOUT_IT = msgspec.structs.replace(FINDING, where=(Where("x.py", 1, "wait"),), threads=(1,), fix="Do less.")


def judged(verdict: str, severity: Severity | None, *causes: BlameCause, unexplained: float = 0.0) -> Blame:
    return Blame(
        10.0,
        8.0,
        8.0,
        0.2,
        0.8 - unexplained,
        0.0,
        0.0,
        0.0,
        unexplained,
        verdict=verdict,
        severity=severity,
        sentence="Said: so.",
        causes=causes,
    )


@pytest.mark.parametrize("recent", [False, True])
def test_a_finding_about_the_same_lines_names_the_verdict_also_when_it_has_just_ended(recent: bool) -> None:
    found = named(judged("held up", Severity.WARN, HELD), [msgspec.structs.replace(ABOUT_IT, recent=recent)])
    assert found is not None and found.rule == "a" and found.causes[0].rule == "a"
    assert found.more == ("a: Do less.",) and unnamed(found) is None


def test_a_verdict_that_no_rule_names_is_a_finding_at_the_lines_that_wait() -> None:
    found = named(judged("held up", Severity.WARN, HELD), [FINDING])
    one = unnamed(found)
    assert one is not None and (one.id, one.severity, one.threads) == ("verdict", Severity.WARN, (1,))
    assert one.where[0] == Where("x.py", 1, "wait") and one.summary == "Said: so."
    assert "no rule covers this" in one.title
    assert found is not None and unnamed(msgspec.structs.replace(found, seconds=4.0)) is None  # a rule may yet name it


@pytest.mark.parametrize(
    "config",
    [RuleConfig(disable=("verdict",)), RuleConfig(only=("lock-*",)), RuleConfig(exclude_places=("x.py",))],
)
def test_settings_accept_a_verdict_as_they_do_a_finding(config: RuleConfig) -> None:
    assert unnamed(named(judged("held up", Severity.WARN, HELD), [], config)) is None
    other = RuleConfig(disable=("deadlock",), exclude_places=("y.py",))
    assert unnamed(named(judged("held up", Severity.WARN, HELD), [], other)) is not None


@pytest.mark.parametrize("verdict", ["clear", "idle", "outside", "waits", "tasks unseen", "watches"])
def test_what_is_nothing_to_look_into_is_no_finding(verdict: str) -> None:
    assert unnamed(named(judged(verdict, None), [])) is None


@pytest.mark.parametrize("verdict", ["clear", "idle", "outside"])
def test_where_a_rule_has_found_something_nobody_is_told_that_all_is_clear(verdict: str) -> None:
    found = named(judged(verdict, None), [FINDING])
    assert found is not None and (found.verdict, found.severity, found.rule) == ("found", Severity.WARN, "a")
    assert found.sentence == "Found: T (a). Apart from this: Said: so."
    past = named(judged(verdict, None), [msgspec.structs.replace(FINDING, recent=True)])
    assert past is not None and past.verdict == verdict


def test_a_hint_that_cpus_are_short_does_not_come_before_what_threads_do() -> None:
    hint = msgspec.structs.replace(FINDING, id="cpu-starvation", concern=Concern.CPU, severity=Severity.INFO)
    found = named(judged("clear", None), [hint])
    assert found is not None and (found.verdict, found.severity, found.rule) == (
        "found",
        Severity.INFO,
        "cpu-starvation",
    )
    assert found.sentence == "Nobody is in another's way: Said: so. Found besides: cpu-starvation."
    both = named(judged("clear", None), [hint, FINDING])
    assert both is not None and both.sentence.startswith("Found: T (cpu-starvation, a).")


def test_what_a_finding_tells_is_not_unexplained() -> None:
    alone = msgspec.structs.replace(
        CAUSE, family="own", kind="unexplained", rule="", thread_s=64.0, path=(), stuck_s=12.0, who="web"
    )
    blame = judged("unexplained", Severity.INFO, alone, unexplained=0.8)
    leak = msgspec.structs.replace(ABOUT_IT, id="pool-leak", concern=Concern.GIVER, title="Never given back")
    found = named(blame, [leak])
    assert found is not None and (found.verdict, found.severity) == ("stuck", Severity.WARN)
    assert found.unexplained == 0 and found.waits == 0.8 and found.rule == "pool-leak"
    assert found.sentence.startswith("Never given back, 80 % of the time: 6.4 threads (web)")
    # A rule about something else at that line explains nothing; nor does none.
    other = named(blame, [ABOUT_IT])
    assert other is not None and (other.verdict, other.unexplained) == ("unexplained", 0.8)
    assert named(blame, []) == blame


def test_want_of_a_cpu_does_not_name_what_is_in_the_way_of_others() -> None:
    starved = msgspec.structs.replace(
        FINDING, id="cpu-starvation", concern=Concern.CPU, where=(Where("x.py", 1, "f"),), threads=(1,)
    )
    step = BlameStep("lock", "the lock", "t", "x.py", 2, "f", Confidence.EXACT)
    held = msgspec.structs.replace(CAUSE, rule="", path=(step,), kind="cpu")
    for kind, expected in (("cpu", ""), ("starved", "cpu-starvation")):
        found = named(blame(msgspec.structs.replace(held, kind=kind)), [starved])
        assert found is not None and found.causes[0].rule == expected


@pytest.mark.parametrize(
    ("verdict", "by"),
    [("starved", "cpu-saturation"), ("dormant", ""), ("unreadable", "")],
)
def test_a_verdict_without_a_cause_is_named_by_a_rule_about_it(verdict: str, by: str) -> None:
    findings = [
        msgspec.structs.replace(FINDING, id="lost-wakeup", recent=True, concern=Concern.GIVER),
        msgspec.structs.replace(FINDING, id="deadlock"),
        msgspec.structs.replace(FINDING, id="cpu-saturation", concern=Concern.CPU),
        msgspec.structs.replace(FINDING, id="cpu-starvation", concern=Concern.CPU),
    ]
    found = named(judged(verdict, Severity.WARN), findings[1:])
    assert found is not None and found.rule == by
    past = named(judged("dormant", Severity.WARN), findings)
    assert past is not None and past.rule == "lost-wakeup"


@pytest.mark.parametrize(("severity", "left"), [(Severity.INFO, True), (Severity.WARN, False)])
def test_a_warning_that_its_rule_takes_for_a_hint_fails_the_check_as_one_without_a_rule(
    severity: Severity, left: bool
) -> None:
    finding = msgspec.structs.replace(ABOUT_IT, severity=severity)
    found = named(judged("held up", Severity.WARN, HELD), [finding])
    assert found is not None and (found.rule, found.hint) == ("a", left)
    told = unnamed(found)
    assert (told is not None) == left
    if told is not None:
        assert told.title == "Held up; to a alone it is a hint" and told.severity is Severity.WARN


def test_that_no_rule_knows_it_is_said_when_all_have_judged() -> None:
    waiting = [Pending("lock-held-across-io", "the same in 3 windows in a row (has 1)", "self._lock")]
    told = named(judged("held up", Severity.WARN, HELD), [], pending=waiting)
    assert told is not None and told.more[0] == f"{NOT_YET}lock-held-across-io needs more evidence."
    # A rule that waits for samples in general has seen nothing of it.
    general = named(judged("held up", Severity.WARN, HELD), [], pending=[Pending("gc-storm", "at least 10 s")])
    assert general is not None and general.more[0] == UNNAMED


def test_a_circle_is_not_named_by_a_hint_and_has_advice_of_its_own() -> None:
    circle = msgspec.structs.replace(HELD, kind="cycle")
    hint = msgspec.structs.replace(ABOUT_IT, severity=Severity.INFO)
    found = named(judged("stuck", Severity.WARN, circle), [hint])
    assert found is not None and not found.rule and "in one order everywhere" in found.more[0]
    told = unnamed(found)
    assert told is not None and "in one order everywhere" in told.fix and "nothing but a restart" in told.why
    known = named(judged("stuck", Severity.WARN, circle), [ABOUT_IT])
    assert known is not None and known.rule == "a"
