"""Who had to do with what threads waited for, over the last while.

Each report tells all that was known of its kind at its moment, so the state of any moment is the last report before it.
Reports are kept for as long as runs are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TypeVar

from concview.model import (
    AcceptQueues,
    Child,
    Children,
    FileLock,
    FileLocks,
    Link,
    Links,
    Loans,
    NativeWait,
    NativeWaits,
    Related,
    Relations,
    Semaphore,
    Semaphores,
)

#: Reports of one kind kept: 20 s at two a second, and the one before that.
REPORTS = 48

AnyRelation = Relations | Links | FileLocks | Children | NativeWaits | Semaphores | AcceptQueues | Loans
_R = TypeVar("_R", Relations, Links, FileLocks, Children, NativeWaits, Semaphores, AcceptQueues, Loans)


class RelationHistory:
    """The reports of every kind. Each question takes a moment in nanoseconds; None: now."""

    def __init__(self) -> None:
        self._reports: dict[type[AnyRelation], deque[AnyRelation]] = {}

    def add(self, event: AnyRelation) -> None:
        known = self._reports.setdefault(type(event), deque(maxlen=REPORTS))
        if not known or event.at_ns > known[-1].at_ns:
            known.append(event)

    def reports(self, kind: type[_R], start_ns: int = 0, end_ns: int | None = None) -> list[_R]:
        """What holds in a window: the reports in it, and the last one before it, oldest first."""
        every: list[_R] = list(self._reports.get(kind, ()))  # type: ignore[arg-type]  # filed by its type
        first = max(0, bisect_right(every, start_ns, key=_at) - 1)
        return every[first : None if end_ns is None else bisect_right(every, end_ns, key=_at)]

    def at(self, kind: type[_R], at_ns: int | None = None) -> _R | None:
        """The report that held at a moment; None before the first."""
        reports = self.reports(kind, 0, at_ns)
        return reports[-1] if reports else None

    @property
    def told(self) -> bool:
        """Whether whoever wrote the stream looks at objects at all: older recordings have none of these reports, and
        then nothing follows from a missing row."""
        return bool(self._reports)

    @property
    def last_ns(self) -> int:
        """When the last report of any kind was made; 0: there was none."""
        return max((reports[-1].at_ns for reports in self._reports.values()), default=0)

    def objects(self, at_ns: int | None = None) -> tuple[Related, ...]:
        report = self.at(Relations, at_ns)
        return report.objects if report is not None else ()

    def links(self, at_ns: int | None = None) -> tuple[Link, ...]:
        report = self.at(Links, at_ns)
        return report.links if report is not None else ()

    def moved(self, at_ns: int | None = None) -> dict[int, int]:
        """Of tasks that wait at connections of TCP which the program has made, some of them: id -> when something was
        last sent there or came, nanoseconds."""
        report = self.at(Links, at_ns)
        told = report.tasks if report is not None else ()
        return {link.task: at for link in told if (at := link.moved_ns)}

    def file_locks(self, at_ns: int | None = None) -> tuple[FileLock, ...]:
        report = self.at(FileLocks, at_ns)
        return report.locks if report is not None else ()

    def children(self, at_ns: int | None = None) -> tuple[Child, ...]:
        report = self.at(Children, at_ns)
        return report.children if report is not None else ()

    def natives(self, at_ns: int | None = None) -> tuple[NativeWait, ...]:
        report = self.at(NativeWaits, at_ns)
        return report.waits if report is not None else ()

    def semaphores(self, at_ns: int | None = None) -> tuple[Semaphore, ...]:
        report = self.at(Semaphores, at_ns)
        return report.semaphores if report is not None else ()

    def loans(self, at_ns: int | None = None) -> Loans | None:
        return self.at(Loans, at_ns)


def _at(report: AnyRelation) -> int:
    return report.at_ns
