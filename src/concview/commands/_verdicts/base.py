"""What a form of the verdict is made of: the last pictures of one or several runs, and what of them fails the check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from concview.commands._fail_on import FailOn
from concview.commands._unjudged import unjudged
from concview.model import Finding, NotApplicable, Role, Severity
from concview.session.across import Found
from concview.session.across import explained as explain
from concview.session.blame import unnamed
from concview.snapshot import Snapshot
from concview.text import plural

if TYPE_CHECKING:
    from concview.compare.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Repeated:
    """One finding, as the run shows it in which it was worst. `runs`: those in which it was, from 1 on."""

    finding: Finding
    runs: tuple[int, ...]
    fails: bool


@dataclass(frozen=True, slots=True)
class Process:
    """Which process a snapshot is of, where several were watched at once."""

    pid: int
    start_ticks: int
    parent: int  #: the nearest Python process above it; 0 for those that were given
    role: Role
    name: str
    ended: bool = False
    late: bool = False  #: it came while the others were watched already


@dataclass(frozen=True, slots=True)
class Checked:
    """What was checked. `runs` has one snapshot for each run that was seen, or for each process where several were
    watched at once (then `processes` names them); `missed` says why others were not."""

    runs: tuple[Snapshot, ...]
    fail_on: FailOn = field(default_factory=FailOn)
    missed: tuple[str, ...] = ()
    interrupted: bool = False
    brief: bool = False
    processes: tuple[Process, ...] = ()
    comparison: Comparison | None = None  #: with the baseline
    across: Found = field(default_factory=Found)  #: who waits for whom in another process

    @property
    def noun(self) -> tuple[str, str]:
        """What `runs` are, one and several."""
        return ("process", "processes") if self.processes else ("run", "runs")

    def of(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        """Of one run, and beside them a verdict that no rule names: as a warning, or where it fails the check."""
        verdict = unnamed(snapshot.blame)
        if verdict is None or not (verdict.severity is Severity.WARN or self.fail_on.fails(verdict)):
            return snapshot.findings
        return (*snapshot.findings, verdict)

    @property
    def findings(self) -> list[Repeated]:
        """Those of all runs, each once: what fails first, then the worst."""
        worst: dict[tuple[str, str, str], Finding] = {}
        seen: dict[tuple[str, str, str], list[int]] = {}
        fails: set[tuple[str, str, str]] = set()
        for number, snapshot in enumerate(self.runs, 1):
            for finding in self.of(snapshot):
                key = finding.identity if len(self.runs) > 1 else (finding.id, finding.subject, str(len(seen)))
                known = worst.get(key)
                if known is None or _rank(finding) > _rank(known):
                    worst[key] = finding
                runs = seen.setdefault(key, [])
                if not runs or runs[-1] != number:
                    runs.append(number)
                if self.fail_on.fails(finding):
                    fails.add(key)
        found = [Repeated(f, tuple(seen[key]), key in fails) for key, f in worst.items()]
        return sorted(found, key=lambda r: (not r.fails, r.finding.recent, *(-n for n in _rank(r.finding))))

    @property
    def failed(self) -> bool:
        found = any(self.fail_on.fails(f) for snapshot in self.runs for f in self.of(snapshot))
        return found or bool(self._lost and self.fail_on.level != "never")

    @property
    def _lost(self) -> int:
        """Deadlocks across processes, locks whose holder has died, and what does not come."""
        return len(self.across.circles) + self._orphans + self._standstills

    @property
    def _standstills(self) -> int:
        return sum(n.sure for n in self.across.never)

    @property
    def _orphans(self) -> int:
        return sum(o.sure for o in self.across.orphans)

    @property
    def unjudged(self) -> list[str]:
        """Why nothing can be said, of each run of which that is so. A process that came or went meanwhile may have been
        seen too shortly: that is no such reason. Nor is what one process alone cannot explain, and another one can."""
        if not self.processes:
            return [why for snapshot in self.runs if (why := unjudged(snapshot))]
        explained = {pid for pid, _ in self.across.waiters}
        return [
            f"{process.name} ({process.pid}): {why}"
            for process, snapshot in zip(self.processes, self.runs, strict=True)
            if not process.late and not process.ended and process.pid not in explained and (why := unjudged(snapshot))
        ]

    def counted(self) -> str:
        """'1 warning, 2 infos'; 'no findings'."""
        found = self.findings
        warns = sum(r.finding.severity is Severity.WARN for r in found)
        parts = [plural(warns, "warning")] if warns else []
        if len(found) > warns:
            parts.append(plural(len(found) - warns, "info"))
        return ", ".join(parts) or "no findings"

    def outcome(self) -> str:
        """What the exit code will say, in words."""
        failing = sum(r.fails for r in self.findings)
        said = f"{plural(failing, 'finding')} at or above --fail-on {self.fail_on}" if failing else ""
        if self.failed and not failing:
            failing = self._lost
            parts = [
                (len(self.across.circles), plural(len(self.across.circles), "deadlock") + " across processes"),
                (self._orphans, plural(self._orphans, "lock") + " without a living holder"),
                (self._standstills, plural(self._standstills, "standstill") + " across processes"),
            ]
            said = ", ".join(words for number, words in parts if number)
        if not said:
            said = f"nothing at or above --fail-on {self.fail_on}"
        if known := sum(self.fail_on.knows(r.finding) for r in self.findings):
            said += f" that is not in the baseline, which has {known}"
        missing = "" if failing else "; ".join(dict.fromkeys(self.unjudged))
        if missing:
            said = missing
        word = "FAILED" if failing else "NO VERDICT" if missing else "PASSED"
        return f"{word}: {said}" + ("; interrupted" if self.interrupted else "")


def explained(runs: Sequence[Snapshot], processes: Sequence[Process], across: Found) -> tuple[Snapshot, ...]:
    """The pictures, each with what only the others explain."""
    names = {p.pid: f"{p.name} ({p.pid})" for p in processes}

    def name(node: tuple[int, int]) -> str:
        return names.get(node[0], f"process {node[0]}")

    return tuple(
        explain(snapshot, process.pid, across, name) for snapshot, process in zip(runs, processes, strict=True)
    )


def _rank(finding: Finding) -> tuple[int, int]:
    return (finding.severity is Severity.WARN, finding.score)


@dataclass(frozen=True, slots=True)
class VerdictForm:
    """One form. `summary`: who reads it."""

    summary: str
    write: Callable[[Checked], str]


def relative(file: str, root: Path | None = None) -> str:
    """A path as those tools want it: of the project relative to where we were called; others as they are."""
    base = str(root or Path.cwd()).rstrip("/") + "/"
    return file.removeprefix(base) if file.startswith(base) else file


def grouped(rules: tuple[NotApplicable, ...]) -> list[tuple[list[str], NotApplicable]]:
    """Rules that cannot be judged for one and the same reason, together: with the reason, and the step that would help
    where there is one."""
    groups: dict[tuple[str, str], list[str]] = {}
    first: dict[tuple[str, str], NotApplicable] = {}
    for rule in rules:
        step = "" if rule.enable.startswith("nothing") else rule.enable
        groups.setdefault((rule.why, step), []).append(rule.id)
        first.setdefault((rule.why, step), NotApplicable(rule.id, rule.why, step))
    return [(ids, first[key]) for key, ids in groups.items()]
