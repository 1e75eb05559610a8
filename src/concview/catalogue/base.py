"""What a rule is.

A rule is one file in this package, offering `RULE`. Its docstring is its documentation, under the fixed headings
*What it sees*, *Why it hurts*, *How it is measured*, *Fix*, *When it is fine* (see `docs.py`). `observe` looks at a
window and reports what it measured, per subject; whether that fires is decided by the engine (`judge.py`), the same
way for every rule: gates, confidence bound, score, hysteresis, suppression.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from concview.analysis.window import Window
from concview.model import Concern, Confidence, StackEvidence, Where

#: Ends the name of a measure that is a length of time, of a core file.
UNTOLD = "which a core file does not tell"
#: Common gates (catalogue, head): the subject needs this many samples and distinct wait episodes.
MIN_SAMPLES = 200
MIN_EPISODES = 5


class Inapplicable(Exception):
    """Raised by `observe` when the rule has no meaning for this target, whatever the engine can see.

    `enable`: the step after which it would have one; '' there is none, as nothing is missing."""

    def __init__(self, why: str, enable: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.enable = enable


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`source`: [S] a published source, [D] arithmetic, [M] measured, [H] a guess calibrated on the demo pair."""

    info: float
    warn: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What a rule measured of one subject. The texts are only used when it fires.

    `value` is the point estimate; `lower` the lower end of its 95 % interval (equal to `value` where the value is
    read, not estimated). `samples` and `episodes` are the evidence behind it, checked against the gates.
    Texts left empty come from the rule's docstring.
    """

    subject: str
    value: float
    lower: float
    samples: int
    episodes: int
    confidence: Confidence
    title: str = ""
    summary: str = ""
    fix: str = ""
    gain: str = ""
    check_next: str = ""
    where: tuple[Where, ...] = ()
    threads: tuple[int, ...] = ()
    stacks: tuple[StackEvidence, ...] = ()
    #: subjects of other rules that this one explains: (rule id, subject), '*' for every subject of that rule.
    explains: tuple[tuple[str, str], ...] = ()
    score: int | None = None  #: overrides the curve (an exact deadlock scores 100)
    floor: int = 0  #: the score is at least this, once it fires
    severity_cap: str = ""  #: 'info': never more than info
    needs: str = ""  #: what is still missing, in words: the rule itself holds this back
    #: threads whose wait has lasted so long without a break that it is evidence by its length (`evidence.lasting`):
    #: with one of them, no number of samples or episodes is asked for.
    lasting: int = 0
    tasks: tuple[int, ...] = ()  #: ids of tasks
    label: str = ""  #: the subject in a few words, for where many are found in one place


def concern_of(rule: Rule) -> Concern:
    found: Concern = getattr(rule, "concern", Concern.OTHER)
    return found


def task_twin_of(rule: Rule) -> str | None:
    """None for a rule that is about more than threads."""
    found: str | None = getattr(rule, "task_twin", None)
    return found


def verdict_of(rule: Rule) -> str:
    """The verdict that its findings name where that has no cause; '' for most."""
    found: str = getattr(rule, "names_verdict", "")
    return found


class Rule(Protocol):
    """One anti-pattern. Class attributes are its metadata; instances hold nothing."""

    id: ClassVar[str]
    title: ClassVar[str]
    group: ClassVar[str]  #: 'GIL and scheduler', 'Locks', 'Work distribution', 'Async and I/O'
    thresholds: ClassVar[Thresholds]
    needs: ClassVar[tuple[str, ...]]  #: capabilities without which it cannot judge, by name (`model.CAPABILITIES`)
    permanent: ClassVar[bool]  #: a permanent state: no minimum of samples or episodes
    measure: ClassVar[str]  #: what the value is, in words
    #: A rule may have `concern`: what its findings say of the waits that they are about.
    #: A rule with `moment` True also judges a core file: what it finds there cannot end, whatever time would tell.
    #: A rule that looks at what threads do to each other has `task_twin`: the id of the rule that judges the same of
    #: tasks, '' where none does. Where all is done in tasks, it has not judged anything.
    #: A rule may have `names_verdict`: the verdict without a cause ('starved') that its findings are about.

    def observe(self, window: Window) -> Iterable[Observation]: ...
