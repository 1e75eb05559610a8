"""In whose name threads and tasks did what a finding or a cause is about: which requests and jobs suffer, and which are
in the way.

Reports of work come five times a second and hold until the next one; a thread counts for one of them where it stood in
one of the given functions meanwhile. What is past does not change, so it is looked up once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from concview.analysis.history import History
from concview.analysis.records import ThreadHistory
from concview.analysis.work import KINDS, Report, outermost, title
from concview.model import NO_STACK, Served, Stack
from concview.text import plural

#: Names told of one thing, and in a sentence.
MOST, SAID = 20, 3
#: (file, function)
Place = tuple[str, str]
#: A tid, or -id of a task.
Node = int


class Names:
    """One stream, in the order of time. Not thread-safe."""

    def __init__(self) -> None:
        self._of: dict[int, dict[Node, tuple[str, str]]] = {}  #: when a report came -> node -> (kind, name)
        self._stood: dict[tuple[int, int, int], Stack] = {}  #: (report, end, tid) -> what it was in

    def served(
        self, history: History, start_ns: int, nodes: Collection[Node], places: Collection[Place] = ()
    ) -> tuple[Served, ...]:
        """Most first; a thread or task counts once, for what it served most of the time. `places`: only time that was
        spent in one of these functions; none: all. Empty where nothing is known."""
        reports = history.work.between(start_ns, history.now_ns)
        if not reports or not nodes:
            return ()
        self._forget(reports[0][0].at_ns)
        threads = {t.tid: t for t in (*history.gone, *history.threads.values())}
        spent: dict[Node, Counter[tuple[str, str]]] = defaultdict(Counter)
        fits: dict[int, bool] = {}
        for report, begin, end in reports:
            names = self._names(report)
            for node in nodes if len(nodes) < len(names) else names:
                named = names.get(node)
                if named is None or node not in nodes:
                    continue
                if places and node > 0:
                    stack = self._stack(report.at_ns, end, threads.get(node), (begin + end) // 2)
                    fit = fits.get(id(stack))
                    if fit is None:
                        fit = fits[id(stack)] = any((f.file, f.function) in places for f in stack.frames)
                    if not fit:
                        continue
                spent[node][named] += end - begin
        mostly: dict[tuple[str, str], int] = defaultdict(int)
        total: dict[tuple[str, str], int] = defaultdict(int)
        for counted in spent.values():
            mostly[counted.most_common(1)[0][0]] += 1
            for named, ns in counted.items():
                total[named] += ns
        every = sorted(total, key=lambda n: (-mostly[n], -total[n], n))
        return tuple([Served(kind, name, mostly[kind, name], total[kind, name] / 1e9) for kind, name in every[:MOST]])

    def _names(self, report: Report) -> Mapping[Node, tuple[str, str]]:
        """Of the outermost work of each: the request or job, not the query that it is in, also where that is done by
        another task of the request."""
        known = self._of.get(report.at_ns)
        if known is None:
            known = self._of[report.at_ns] = {}
            by_id = {piece.id: piece for piece in report.pieces}
            inside: dict[Node, set[int]] = defaultdict(set)
            for piece in report.pieces:
                for node in (*piece.threads, *(-t for t in piece.tasks)):
                    inside[node].add(piece.id)
            for piece in report.pieces:
                for node in (*piece.threads, *(-t for t in piece.tasks)):
                    if piece.inside not in inside[node]:
                        label = outermost(piece, by_id).label
                        known.setdefault(node, (KINDS[label.kind], title(label)))
        return known

    def _stack(self, report_ns: int, end_ns: int, thread: ThreadHistory | None, at_ns: int) -> Stack:
        if thread is None:
            return NO_STACK
        key = (report_ns, end_ns, thread.tid)
        known = self._stood.get(key)
        if known is None:
            i = bisect_right(thread.runs, at_ns, key=lambda r: r.start_ns) - 1
            known = self._stood[key] = thread.runs[i].stack if i >= 0 else NO_STACK
        return known

    def _forget(self, before_ns: int) -> None:
        for at in [at for at in self._of if at < before_ns]:
            del self._of[at]
        for key in [key for key in self._stood if key[0] < before_ns]:
            del self._stood[key]


def words(served: Sequence[Served], of: int = 0, whose: str = "thread") -> str:
    """'POST /reports (9 of 14 threads), GET /x (3)'; empty where nothing is known. Names that no thread served most of
    the time are left out. `of`: how many there are in all; 0: that does not matter."""
    told = [s for s in served if s.threads]
    if not told:
        return ""
    many = f"{told[0].threads} of {plural(of, whose)}" if of else plural(told[0].threads, whose)
    first = f"{told[0].name} ({many})"
    rest = [f"{s.name} ({s.threads})" for s in told[1:SAID]]
    more = len(told) - SAID
    return ", ".join([first, *rest]) + (f" and {plural(more, 'other name')}" if more > 0 else "")


def nodes_of(tids: Iterable[int], tasks: Iterable[int] = ()) -> set[Node]:
    return {*tids, *(-t for t in tasks)}
