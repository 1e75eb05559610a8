"""What `compare` prints."""

from __future__ import annotations

import msgspec

from concview.commands._schema.process import TargetOut
from concview.commands._schema.threads import SiteOut


class ComparedRunOut(msgspec.Struct):
    name: str
    target: TargetOut
    seconds: float
    windows: int
    ending: str


class ComparedFindingOut(msgspec.Struct):
    id: str
    severity: str
    title: str
    where: list[SiteOut]


class ComparisonRowOut(msgspec.Struct):
    """`better`: 'less', 'more' or ''. Intervals are of 95 %; `p` null: no test was possible. `change`: 0.1 is 10 %
    more, null from 0. `verdict`: 'better', 'worse', 'differs', or '~' for not significant."""

    group: str
    name: str
    unit: str
    better: str
    base: float
    new: float
    base_interval: tuple[float, float] | None
    new_interval: tuple[float, float] | None
    change: float | None
    p: float | None
    verdict: str


class ComparedPlaceOut(msgspec.Struct):
    """Where threads spent time, `base` and `new` as threads on average: the program's innermost function and the state.
    `p` null: no test was possible."""

    function: str
    file: str
    state: str
    lock: str
    base: float
    new: float
    p: float | None


class ComparisonOut(msgspec.Struct):
    """`concview compare --format json`. `unit`: what was repeated, 'runs' or 'time'. `unjudged`: findings of the base
    whose rule could not judge the new side."""

    schema: int
    concview: str
    unit: str
    notes: list[str]
    base: list[ComparedRunOut]
    new: list[ComparedRunOut]
    rows: list[ComparisonRowOut]
    geomeans: dict[str, float]
    came: list[ComparedFindingOut]
    went: list[ComparedFindingOut]
    stayed: list[ComparedFindingOut]
    unjudged: list[ComparedFindingOut]
    failed: bool
    places: list[ComparedPlaceOut] = []
