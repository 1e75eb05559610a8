"""Which slices are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from concview.analysis.samples.values import SampledThread
from concview.analysis.work import Doing


@dataclass(frozen=True, slots=True)
class Selection:
    """`threads`: names with * and ?, or tids; empty: all Python threads of the program. `states`: empty: all.
    `labels`: names of requests, jobs, queries and calls with * and ?; empty: all time, in whosever name. `from_s`,
    `to_s`: seconds since the first sample."""

    threads: tuple[str, ...] = ()
    states: frozenset[int] = frozenset()
    from_s: float = 0.0
    to_s: float | None = None
    labels: tuple[str, ...] = ()

    def takes_doing(self, doing: Doing) -> bool:
        return doing.is_of(self.labels)

    def labels_without(self, names: Iterable[str]) -> list[str]:
        """Those of `labels` that none of these names is."""
        known = set(names)
        return [p for p in self.labels if not any(fnmatchcase(name, p) for name in known)]

    def takes(self, thread: SampledThread) -> bool:
        if not self.threads:
            return thread.counts
        names = {thread.name, thread.own_name, thread.alias}
        return any(p == str(thread.tid) or any(fnmatchcase(name, p) for name in names) for p in self.threads)

    def takes_state(self, state: int) -> bool:
        return not self.states or state in self.states
