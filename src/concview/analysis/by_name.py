"""Slices of time cut along the reports of work: only what was done in some names, or each name by itself."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from concview.analysis.calltree import Slice
from concview.analysis.work import IN_NOBODYS_NAME, NO_WORK, Doing, Node, WorkHistory, doings, title
from concview.model import Frame, Stack


class _Stretch(NamedTuple):
    start_ns: int
    end_ns: int
    doing: Doing


def cut(
    slices: Iterable[Slice], work: WorkHistory, start_ns: int, end_ns: int, patterns: Collection[str], named: bool
) -> Iterator[Slice]:
    """`patterns`: only what was done on a request, job, query or call that one of them fits; none: all. `named`: the
    request or job stands below each stack as its outermost frame. Slices of time before the first report, or in which
    nothing was known of somebody, are in nobody's name."""
    stretches = _stretches(work, start_ns, end_ns)
    kept: dict[Doing, bool] = {}
    made: dict[tuple[int, str], Stack] = {}
    for one in slices:
        for begin, end, doing in _within(stretches.get(one.node, []), one.start_ns, one.end_ns):
            wanted = kept.get(doing)
            if wanted is None:
                wanted = kept[doing] = doing.is_of(patterns)
            if not wanted:
                continue
            stack = one.stack
            if named:
                name = doing.work or NO_WORK
                key = (id(stack), name)
                if key not in made:
                    made[key] = Stack((*stack.frames, Frame(name, "", 0, "", "root")), stack.truncated)
                stack = made[key]
            yield Slice(one.node, stack, begin, end)


def _stretches(work: WorkHistory, start_ns: int, end_ns: int) -> Mapping[Node, list[_Stretch]]:
    found: dict[Node, list[_Stretch]] = defaultdict(list)
    for report, begin, end in work.between(start_ns, end_ns):
        for tasks in (False, True):
            for node, doing in doings(report.pieces, lambda p: title(p.label), tasks).items():
                row = found[node]
                if row and row[-1].end_ns == begin and row[-1].doing == doing:
                    row[-1] = _Stretch(row[-1].start_ns, end, doing)
                else:
                    row.append(_Stretch(begin, end, doing))
    return found


def _within(row: list[_Stretch], start_ns: int, end_ns: int) -> Iterator[_Stretch]:
    """The interval, in pieces: what of it lies in a stretch, and what between them."""
    at = start_ns
    for number in range(max(0, bisect_right(row, start_ns, key=lambda s: s.start_ns) - 1), len(row)):
        stretch = row[number]
        if stretch.start_ns >= end_ns:
            break
        begin, end = max(at, stretch.start_ns), min(end_ns, stretch.end_ns)
        if end <= begin:
            continue
        if begin > at:
            yield _Stretch(at, begin, IN_NOBODYS_NAME)
        yield _Stretch(begin, end, stretch.doing)
        at = end
    if at < end_ns:
        yield _Stretch(at, end_ns, IN_NOBODYS_NAME)
