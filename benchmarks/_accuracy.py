"""What `catalogue_accuracy.py` runs and what it saw, and how that is printed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from _cases import right, told
from concview import registry
from concview.demos.base import demos
from concview.snapshot import Blame

RULES = {rule.id: rule for rule in registry.everything("concview.catalogue.rules", "RULE").values()}
#: Rules that need the agent or counted calls.
INSIDE = {id_ for id_, rule in RULES.items() if {"agent", "calls"} & set(rule.needs)}
#: What may come true while a demo runs: on a machine busy enough the two meet, and then it is a deadlock.
#: And what is seen of the same from outside, until or where calls cannot be counted.
RELATED = {
    "lock-order-inversion": {"deadlock"},
    "object-pool-overhead": {"unbatched-sync"},
    "actor-for-trivial-state": {"unbatched-sync", "context-switch-storm"},
}
#: Rules that judge the machine as much as the program: on a busy one they may fire on anything, and are right.
MACHINE = {"cpu-starvation"}
#: A rule names its demo in so many seconds, or in those the demo says it needs.
SOON_S = 10.0


@dataclass
class Subject:
    """One program. `rule`: the rule that must fire; '' none may. `last`: it is looked inside at last."""

    name: str
    command: list[str]
    rule: str = ""
    seconds: float = 0.0
    needs: tuple[str, ...] = ()
    kind: str = "healthy"
    last: bool = False
    expects: str = ""  #: of a case: see `_cases.expected`


@dataclass
class Outcome:
    """Stream seconds at which each rule first fired, by severity; what was not judged, and what would enable it; why
    it failed."""

    seen_s: float = 0.0
    info: dict[str, float] = field(default_factory=dict)
    warn: dict[str, float] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    failure: str = ""
    blame: Blame | None = None  #: of the last window

    def first(self, rule: str) -> float | None:
        times = [t[rule] for t in (self.info, self.warn) if rule in t]
        return min(times) if times else None

    def fired(self) -> set[str]:
        return {*self.info, *self.warn}


Results = list[tuple[Subject, Outcome]]


def verdict(subject: Subject, outcome: Outcome) -> str:
    """One row in words."""
    if outcome.failure:
        return f"FAILED: {outcome.failure}"
    parts = []
    if subject.expects:
        parts.append(
            f"{'right' if right(subject.expects, outcome.blame, outcome.fired()) else 'WRONG'} ({told(outcome.blame)})"
        )
    if subject.rule in RULES:
        at = outcome.first(subject.rule)
        if at is not None:
            severity = "warn" if subject.rule in outcome.warn else "info"
            parts.append(f"named as {severity} after {at:.1f} s")
        elif subject.rule in outcome.refused:
            parts.append(f"not applicable: {outcome.refused[subject.rule][0]}")
        else:
            parts.append(f"NOT NAMED in {outcome.seen_s:.0f} s")
    elif subject.rule:
        parts.append("no such rule yet")
    if subject.kind in ("fixed", "healthy") and outcome.blame is not None and outcome.blame.severity is not None:
        parts.append(f"BLAME says {told(outcome.blame)}")
    warned, hinted = alarms(subject, outcome)
    parts += [f"WARNS {rule} ({outcome.warn[rule]:.1f} s)" for rule in sorted(warned)]
    parts += [f"hints {rule} ({outcome.info[rule]:.1f} s)" for rule in sorted(hinted)]
    excused = outcome.fired() & (MACHINE | RELATED.get(subject.rule, set())) - {subject.rule}
    parts += [f"[{rule}]" for rule in sorted(excused)]
    parts += [f"BROKEN {rule}" for rule, (why, _) in outcome.refused.items() if "this rule failed" in why]
    return ", ".join(parts) or "silent"


def alarms(subject: Subject, outcome: Outcome) -> tuple[set[str], set[str]]:
    """Rules that fired and should not have: as a warning, and as a hint at most."""
    fine = {subject.rule, *MACHINE, *RELATED.get(subject.rule, ())}
    warned = set(outcome.warn) - fine
    return warned, set(outcome.info) - fine - warned


def table(results: Results) -> None:
    """One row per rule: its own demo, and on how many other programs it fired (warnings + hints)."""
    cells = "  {:<26} {:>14} {:>12} {:>12} {:>12}".format
    print("\n" + cells("rule", "its own demo", "other bad", "fixed", "healthy"))
    for rule in sorted(RULES):
        own = next((o for s, o in results if s.rule == rule and not o.failure), None)
        at = own.first(rule) if own is not None else None
        unnamed = "not run" if own is None else "n/a" if rule in own.refused else "MISSED"
        named = f"{at:.1f} s" if at is not None else unnamed
        row = []
        for kind in ("bad", "fixed", "healthy"):
            others = [o for s, o in results if s.kind == kind and s.rule != rule]
            warned = sum(rule in o.warn for o in others)
            hinted = sum(rule in o.info and rule not in o.warn for o in others)
            row.append(f"{warned} + {hinted}" if warned or hinted else ".")
        print(cells(rule + (" (machine)" if rule in MACHINE else ""), named, *row))


def summary(results: Results) -> None:
    bad = [(s, o) for s, o in results if s.rule in RULES and not o.failure]
    judged = [(s, o) for s, o in bad if s.rule not in o.refused]
    times = sorted(t for s, o in judged if (t := o.first(s.rule)) is not None)
    print(f"\n  recall: {len(times)} of {len(judged)} rules named their demo", end="")
    if times:
        print(f", median after {times[len(times) // 2]:.1f} s, at most {times[-1]:.1f} s", end="")
    skipped = len(bad) - len(judged)
    print(f"; {skipped} not applicable here" if skipped else "")
    for kind, words in (
        ("bad", "unrelated rules on bad demos"),
        ("fixed", "false alarms on fixed demos"),
        ("healthy", "false alarms on healthy programs"),
    ):
        those = [(s, o) for s, o in results if s.kind == kind and not o.failure]
        warned = sum(len(alarms(s, o)[0]) for s, o in those)
        hinted = sum(len(alarms(s, o)[1]) for s, o in those)
        seen = sum(o.seen_s for _, o in those)
        print(f"  {words}: {warned} warnings, {hinted} hints ({len(those)} programs, {seen:.0f} s)")
    cases = [(s, o) for s, o in results if s.expects and not o.failure]
    if cases:
        named = sum(right(s.expects, o.blame, o.fired()) for s, o in cases)
        print(f"  cases whose cause is known: {named} of {len(cases)} right, by blame or by the rule they name")
    _unexplained(results)
    failed = [s.name for s, o in results if o.failure]
    if failed:
        print(f"  FAILED: {', '.join(failed)}")
    slow = [f"{s.rule} {t:.1f} s" for s, o in judged if (t := o.first(s.rule)) is not None and t > _due(s.rule)]
    if slow:
        print(f"  later than the {SOON_S:g} s, or what the demo needs: {', '.join(slow)}")
    quiet = [o for s, o in results if s.last and not o.failure]
    looked = sum(len(INSIDE - o.refused.keys()) for o in quiet)
    of = f"{len(INSIDE) * len(quiet)} (rules x programs)"
    print(f"  {len(INSIDE)} rules look inside, and judged {looked} of {of} that they must be silent about")
    _programs(results)
    _refusals(results)


def _due(rule: str) -> float:
    return max(SOON_S, demos()[rule].needs_seconds)


def _unexplained(results: Results) -> None:
    """Of the time of threads that do or want something, over all programs, and where it is most."""
    known = [(s, o.blame) for s, o in results if o.blame is not None and not o.failure]
    active = sum(b.active * b.seconds for _, b in known)
    if active <= 0:
        return
    lost = sum(b.unexplained * b.threads * b.seconds for _, b in known)
    worst = sorted(known, key=lambda each: -each[1].unexplained * each[1].threads)[:3]
    most = ", ".join(f"{s.name} {b.share(b.unexplained) * 100:.1f} %" for s, b in worst)
    print(f"  unexplained: {lost / active * 100:.2f} % of the active time of {len(known)} programs; most: {most}")


def _programs(results: Results) -> None:
    """False alarms of every healthy program."""
    healthy = [(s, o) for s, o in results if s.kind == "healthy" and not o.failure]
    if healthy:
        print("\n  healthy program                 seen   warnings   hints")
    for subject, outcome in healthy:
        warned, hinted = alarms(subject, outcome)
        print(f"  {subject.name:<28} {outcome.seen_s:>5.0f} s {len(warned):>10} {len(hinted):>7}")


def _refusals(results: Results) -> None:
    """What was not judged, why, and the remedy; once, with how many programs it was so for."""
    seen: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for _, outcome in results:
        for rule, said in outcome.refused.items():
            if not outcome.failure:
                seen[said][rule] += 1
    total = sum(not o.failure for _, o in results)
    for (why, remedy), rules in sorted(seen.items(), key=lambda kv: -max(kv[1].values())):
        print(f"\n  not judged: {why}")
        print(f"      remedy: {remedy or 'NONE SAID'}")
        print(f"      {_listed(rules.items(), total)}")


def _listed(rules: Iterable[tuple[str, int]], total: int) -> str:
    """'deadlock, straggler (12 of 80)'."""
    by_number: dict[int, list[str]] = defaultdict(list)
    for rule, number in sorted(rules):
        by_number[number].append(rule)
    return "; ".join(f"{', '.join(names)} ({number} of {total})" for number, names in sorted(by_number.items()))
