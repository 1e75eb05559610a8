"""Names of threads that tell them apart: pools give many threads one name, and short of room names are cut."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment

from concview.model import State
from concview.snapshot import Snapshot, ThreadView
from concview.tui.text_render import Line, fit, fit_name
from concview.tui.theme import Palette


def apart(names: Sequence[str], width: int) -> dict[str, str]:
    """Different names in at most `width` cells each, cut so that what tells them apart stays, where there is room."""
    shown = {name: fit_name(name, width) for name in names}
    alike = defaultdict[str, list[str]](list)
    for name, said in shown.items():
        alike[said].append(name)
    for group in alike.values():
        if len(group) > 1:
            shown |= _differing(group, width)
    return {name: said.rstrip() for name, said in shown.items()}


def _differing(names: Sequence[str], width: int) -> dict[str, str]:
    """These look the same when they are cut in the middle: cut at the end where that tells them apart, else shown from
    shortly before where they begin to differ."""
    plain = {name: fit(name, width) for name in names}
    if len(set(plain.values())) == len(names):
        return plain
    first, last = min(names), max(names)  # what these two begin with, all do
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    head = min(same, max(1, width // 3))
    shown = {name: fit(f"{name[:head]}…{name[max(head, same - 1) :]}", width) for name in names}
    alike = defaultdict[str, list[str]](list)
    for name, said in shown.items():
        alike[said].append(name)
    for group in alike.values():
        if 1 < len(group) < len(names):  # these have more in common
            shown |= _differing(group, width)
    return shown


class Names:
    """Of the threads of one process. A name that several of them have is told with the thread's id."""

    def __init__(self, threads: Iterable[tuple[int, str]]) -> None:
        self._threads = tuple(threads)
        self.twins = frozenset(name for name, count in Counter(n for _, n in self._threads).items() if count > 1)
        self._at: dict[int, dict[int, str]] = {}

    def full(self, tid: int, name: str) -> str:
        return f"{name} {tid}" if name in self.twins else name

    def longest(self) -> int:
        return max((cell_len(self.full(tid, name)) for tid, name in self._threads), default=0)

    def fit(self, tid: int, name: str, width: int) -> str:
        """In exactly `width` cells."""
        full = self.full(tid, name)
        if cell_len(full) <= width:
            return fit(full, width)
        if width not in self._at:
            self._at[width] = self._cut(width)
        return fit(self._at[width].get(tid) or _with_id(name, tid, width), width)

    def _cut(self, width: int) -> dict[int, str]:
        shown = apart([n for n in dict.fromkeys(n for _, n in self._threads) if n not in self.twins], width)
        seen = Counter(shown.values())
        return {
            tid: shown[name] if name in shown and seen[shown[name]] == 1 else _with_id(name, tid, width)
            for tid, name in self._threads
        }

    def draw(self, thread: ThreadView, width: int, palette: Palette, context: Any) -> Line:
        """A cell of a table. In a group the name is indented."""
        mark = "●" if thread.holds_gil else " "
        style = palette.base if thread.alive and not thread.native else palette.dim
        name = thread.name.lstrip(" ")
        indent = len(thread.name) - len(name)
        said = " " * indent + self.fit(thread.tid, name, max(1, width - 1 - indent))
        return [Segment(mark, palette.states[State.RUNNING]), Segment(fit(said, width - 1), style)]


def _with_id(name: str, tid: int, width: int) -> str:
    """'AnyIO wor… 22841': of the two the id is never cut."""
    room = width - len(str(tid)) - 1
    return f"{fit(name, room).rstrip()} {tid}" if tid > 0 and room >= 2 else fit_name(name, width)


@lru_cache(4)
def _names(threads: tuple[tuple[int, str], ...]) -> Names:
    return Names(threads)


def names_of(snapshot: Snapshot) -> Names:
    """The same object as long as there are the same threads: what was drawn with it can be kept."""
    return _names(tuple([(t.tid, t.name) for t in snapshot.threads if t.alive]))
