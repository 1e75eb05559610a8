"""Threads put together by pool: one line for 'worker-*' with what its threads do, foldable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from concview.model import NO_STACK, NO_WAIT, State
from concview.snapshot import NO_SHARES, Shares, ThreadView
from concview.text import plural, pool
from concview.tui.theme import WORDS

#: From so many threads on they are grouped without being asked.
MANY = 40


def _sum(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _mean(members: Sequence[ThreadView]) -> Shares:
    seen = [m.shares for m in members if any(m.shares)]
    if not seen:
        return NO_SHARES
    a, b, c, d, e, f, g, h = (sum(column) / len(seen) for column in zip(*seen, strict=True))
    return (a, b, c, d, e, f, g, h)


def pool_shares(threads: Iterable[ThreadView]) -> dict[str, Shares]:
    """Pool -> mean shares of its threads."""
    members: dict[str, list[ThreadView]] = {}
    for thread in threads:
        members.setdefault(pool(thread.name), []).append(thread)
    return {name: _mean(found) for name, found in members.items()}


def pool_of(head: ThreadView) -> str:
    """The pool that this line of a group stands for."""
    return head.name[2:]


def _strip(members: Sequence[ThreadView]) -> tuple[int, ...]:
    """Of each half second the state that most of them were in; the strips end at the same moment."""
    length = max(len(m.strip) for m in members)
    columns = zip(*((-1,) * (length - len(m.strip)) + m.strip for m in members), strict=True)
    out = []
    for column in columns:
        counted = Counter(s for s in column if s >= 0)
        out.append(counted.most_common(1)[0][0] if counted else -1)
    return tuple(out)


def _reason(members: Sequence[ThreadView], state: State) -> str:
    counted = Counter(m.state for m in members if m.alive)
    ended = sum(1 for m in members if not m.alive)
    said = [f"{n} {WORDS[s]}" for s, n in counted.most_common()] + ([f"{ended} ended"] if ended else [])
    # 'running; running' would say nothing more.
    reasons = (m.reason for m in members if m.alive and m.state is state)
    why = Counter(r for r in reasons if r != WORDS[state]).most_common(1)
    return f"{plural(len(members), 'thread')}: {', '.join(said)}" + (f"; {why[0][0]}" if why else "")


class Groups:
    """Which groups are folded, and their lines. Rows with a negative tid are groups."""

    def __init__(self) -> None:
        self.on: bool | None = None  #: None: not decided yet, grouped where there are many
        self.folded: set[str] = set()
        self.all_open = False  #: while a filter is active, everything it leaves is seen
        self._numbers: dict[str, int] = {}
        self._last = 0
        self._strips: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.phase = 0  #: number of the last half second: strips are merged once for each

    def toggle(self, name: str) -> None:
        self.folded ^= {name}

    def fold_all(self, threads: Sequence[ThreadView]) -> None:
        """All folded, or all open where none was."""
        names = {n for n, count in Counter(pool(t.name) for t in threads).items() if count > 1}
        self.folded = set() if self.folded & names else names

    def open_for(self, tid: int, threads: Sequence[ThreadView]) -> None:
        """A thread that somebody asked for is not left in a folded group."""
        self.folded -= {pool(t.name) for t in threads if t.tid == tid}

    def arrange(self, rows: list[Any], by: Callable[[Any], Any] | None, down: bool) -> list[Any]:
        """Sorted rows -> groups in the same order, each followed by its threads unless it is folded."""
        members: dict[str, list[ThreadView]] = {}
        for row in rows:
            members.setdefault(pool(row.name), []).append(row)
        self._strips = {name: strip for name, strip in self._strips.items() if name in members}
        if len(self._numbers) > 1_000:
            self._numbers = {name: number for name, number in self._numbers.items() if name in members}
        heads = [(self._head(n, m) if len(m) > 1 else m[0], n, m) for n, m in members.items()]
        if by is not None:
            heads.sort(key=lambda head: by(head[0]), reverse=down)
        heads.sort(key=lambda head: not head[0].alive)
        out: list[Any] = []
        for head, name, threads in heads:
            out.append(head)
            if len(threads) > 1 and (self.all_open or name not in self.folded):
                out += [msgspec.structs.replace(t, name=f"  {t.name}") for t in threads]
        return out

    def _head(self, name: str, members: list[ThreadView]) -> ThreadView:
        number = self._numbers.get(name)
        if number is None:
            self._last -= 1
            number = self._numbers[name] = self._last
        alive = [m for m in members if m.alive]
        state = Counter(m.state for m in alive or members).most_common(1)[0][0]
        known = self._strips.get(name)
        if known is None or known[0] != self.phase:
            known = self._strips[name] = (self.phase, _strip(members))
        mark = "▾" if self.all_open or name not in self.folded else "▸"
        return ThreadView(
            tid=number,
            name=f"{mark} {name}",
            native=all(m.native for m in members),
            alive=bool(alive),
            age_s=max(m.age_s for m in members),
            state=state,
            since_s=max((m.since_s for m in alive if m.state is state), default=0.0),
            reason=_reason(members, state),
            shares=_mean(members),
            strip=known[1],
            cpu_percent=_sum(m.cpu_percent for m in members),
            gil_held=_sum(m.gil_held for m in members),
            holds_gil=any(m.holds_gil for m in members),
            switches_per_s=_sum(m.switches_per_s for m in members),
            voluntary_per_s=_sum(m.voluntary_per_s for m in members),
            stack=NO_STACK,
            wait=NO_WAIT,
            holds=(),
        )
