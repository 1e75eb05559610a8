"""A chain of the wait-for graph, drawn with box characters: text for the dashboard and for `dump` alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from concview.analysis.graph import LINKS
from concview.model import Confidence
from concview.session.phrases import lasting
from concview.snapshot import ChainView, EdgeView, Snapshot
from concview.text import clean, plural

#: Waiters of one lock that are drawn before '... more'.
MOST_WAITERS = 6
#: Steps from the root that are drawn.
MOST_STEPS = 8


def tree(chain: ChainView, snapshot: Snapshot, most: int = MOST_WAITERS) -> list[str]:
    """The root, below it each lock it holds, below that who waits for it, and so on. A circle is drawn as one."""
    threads = {t.tid: t for t in snapshot.threads}

    def name(tid: int) -> str:
        return clean(threads[tid].name, 40) if tid in threads else f"thread {tid}"

    def since(tid: int) -> str:
        return f" for {lasting(threads[tid])}" if tid in threads and threads[tid].since_s > 0 else ""

    behind: dict[int, list[EdgeView]] = defaultdict(list)
    circle = set(chain.cycle)
    for edge in chain.edges:
        if not (edge.holder in circle and edge.waiter in circle):
            behind[edge.holder].append(edge)
    drawing = _Drawing(behind, name, since, most)
    if chain.cycle:
        drawing.circle(chain)
        return drawing.lines
    root = threads.get(chain.root)
    doing = f": {root.reason}" if root is not None and root.reason else ""
    drawing.lines.append(name(chain.root) + doing)
    drawing.below(chain.root, "", 0)
    return drawing.lines


class _Drawing:
    def __init__(
        self,
        behind: dict[int, list[EdgeView]],
        name: Callable[[int], str],
        since: Callable[[int], str],
        most: int,
    ) -> None:
        self._behind, self._name, self._since, self._most = behind, name, since, most
        self.lines: list[str] = []

    def circle(self, chain: ChainView) -> None:
        wanted = {e.waiter: e for e in chain.edges}
        held = {e.holder: e for e in chain.edges if e.waiter in chain.cycle}
        last = len(chain.cycle) - 1
        for i, tid in enumerate(chain.cycle):
            edge = "┌▶ " if i == 0 else "└─ " if i == last else "│  "
            if last == 0:
                edge = "↻  "
            holds = f" holds {_label(held[tid])}," if tid in held else ""
            waits = f" waits for {_label(wanted[tid])}{self._since(tid)}" if tid in wanted else ""
            self.lines.append(f"{edge}{self._name(tid)}{holds}{waits}")
            self.below(tid, "│  " if i < last else "   ", 0)

    def below(self, tid: int, indent: str, step: int) -> None:
        groups: dict[tuple[str, str], list[EdgeView]] = defaultdict(list)
        for edge in self._behind.get(tid, ()):
            groups[edge.key, edge.via].append(edge)
        if groups and step >= MOST_STEPS:
            self.lines.append(f"{indent}└─ ...")
            return
        for i, edges in enumerate(groups.values()):
            final = i == len(groups) - 1
            via = edges[0].via
            what = LINKS[via].behind if via else f"holds {_label(edges[0])}, wanted by"
            self.lines.append(f"{indent}{'└─' if final else '├─'} {what}")
            inner = indent + ("   " if final else "│  ")
            # Those with others behind them are what one looks for.
            edges.sort(key=lambda e: e.waiter not in self._behind)
            shown = edges if len(edges) <= self._most + 1 else edges[: self._most]
            for j, edge in enumerate(shown):
                ends = j == len(edges) - 1
                branch = "└─" if ends else "├─"
                self.lines.append(f"{inner}{branch} {self._name(edge.waiter)}{self._since(edge.waiter)}")
                self.below(edge.waiter, inner + ("   " if ends else "│  "), step + 1)
            if len(shown) < len(edges):
                self.lines.append(f"{inner}└─ and {plural(len(edges) - len(shown), 'more thread')}")


def _label(edge: EdgeView) -> str:
    return edge.what + ("" if edge.confidence is Confidence.EXACT else f" ({edge.confidence.value})")
