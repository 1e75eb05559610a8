"""Work by its name since the beginning: what counters of metrics are made of.

A name that has a place keeps it, and so its counters only grow; names without one are added up under "other". There are
so few places because each becomes a handful of series in somebody's database for as long as that keeps them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from concview.analysis.records import ThreadHistory
from concview.analysis.work import Doing, Key, Route, Sums, TaskOf, WorkHistory, no_task, title
from concview.model import Label, WorkKind

#: Names at a time. A place is given to another name when nothing was added to it for so long.
MOST, IDLE_NS = 50, 3_600_000_000_000
OTHER = "other"


@dataclass(slots=True)
class Total(Route):
    """Of one name, or of all that have no place of their own (`name` is OTHER, `system` is "")."""

    over: int = 0  #: how many have ended, of those of which is known how long they lasted
    over_s: float = 0.0  #: how long those lasted, together
    added_ns: int = 0  #: when something was added last

    def add_ended(self, seconds: float, exact: bool) -> None:
        self.over += 1
        self.over_s += seconds
        self.exact += exact


class Totals(Sums[Total]):
    """`patterns`: only names that one of these fits get a place; none: all may."""

    def __init__(self, patterns: Collection[str] = (), most: int = MOST) -> None:
        super().__init__()
        self._patterns, self._most = patterns, most
        self._named: dict[Key, Total] = {}
        self._others: dict[WorkKind, Total] = {}
        self._until_ns = 0

    def every(self) -> list[Total]:
        return [*self._named.values(), *self._others.values()]

    def follow(
        self, work: WorkHistory, now_ns: int, threads: Mapping[int, ThreadHistory], task: TaskOf = no_task
    ) -> None:
        """Add what happened since the last time, which must be less than `KEPT_NS` ago."""
        for report, begin, end in work.between(self._until_ns, now_ns):
            self._until_ns = end
            self.add(report, begin, end, threads, task)
            for total in self.running:
                total.added_ns = end

    def of(self, label: Label) -> Total:
        key = (label.kind, label.system, label.name)
        return self._named.get(key) or self._place(label, key)

    def _place(self, label: Label, key: Key) -> Total:
        wanted = Doing(title(label)).is_of(self._patterns)
        if wanted and len(self._named) >= self._most:
            longest = min(self._named, key=lambda k: self._named[k].added_ns)
            if self._until_ns - self._named[longest].added_ns >= IDLE_NS:
                del self._named[longest]
        if wanted and len(self._named) < self._most:
            total = self._named[key] = Total(label.kind, label.system, label.name, label.missing)
            total.added_ns = self._until_ns
            return total
        other = self._others.get(label.kind)
        if other is None:
            other = self._others[label.kind] = Total(label.kind, "", OTHER, "")
        return other
