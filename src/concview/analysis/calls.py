"""Exact call counts: rows of all threads put together, and the two file formats that other tools read.

pstat: what `python -m pstats FILE`, snakeviz and gprof2dot read. callgrind: KCachegrind and QCachegrind.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from dataclasses import dataclass, field

from concview.model import CallInfo, Calls


@dataclass(slots=True, eq=False)
class Function:
    """One function over all threads. Times in seconds of the window's clock; `own_calls` without recursive ones."""

    name: str
    file: str
    line: int
    calls: int = 0
    own_calls: int = 0
    total_s: float = 0.0
    own_s: float = 0.0
    threads: set[int] = field(default_factory=set)
    #: index of the callee -> calls, own calls, total, own
    callees: dict[int, tuple[int, int, float, float]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int, str]:
        """As pstats names a function; '~' is its file name for built-in ones."""
        return (self.file if self.line else "~", self.line, self.name)

    @property
    def average_s(self) -> float:
        """Total time per call; of a recursive function per outermost call."""
        return self.total_s / self.own_calls if self.own_calls else 0.0


def by_function(rows: Iterable[CallInfo]) -> dict[int, Function]:
    """index -> function, largest total time first. The index is that of the function's first row."""
    rows = list(rows)
    # yappi numbers a function anew in every thread.
    first: dict[tuple[str, str, int], int] = {}
    same = {row.index: first.setdefault((row.function, row.file, row.line), row.index) for row in rows}
    found: dict[int, Function] = {}
    for row in rows:
        index = same[row.index]
        one = found.get(index)
        if one is None:
            one = found[index] = Function(row.function, row.file, row.line)
        one.calls += row.calls
        one.own_calls += row.own_calls
        one.total_s += row.total_s
        one.own_s += row.own_s
        one.threads.add(row.tid)
        for callee in row.callees:
            to = same.get(callee.index, callee.index)
            calls, own_calls, total, own = one.callees.get(to, (0, 0, 0.0, 0.0))
            one.callees[to] = (
                calls + callee.calls, own_calls + callee.own_calls, total + callee.total_s, own + callee.own_s,
            )  # fmt: skip
    return dict(sorted(found.items(), key=lambda item: (-item[1].total_s, -item[1].calls)))


def pstat(calls: Calls) -> bytes:
    """The content of a file for pstats. ValueError when there are no times to save."""
    _with_times(calls)
    functions = by_function(calls.rows)
    callers: dict[int, dict[tuple[str, int, str], tuple[int, int, float, float]]] = {i: {} for i in functions}
    for function in functions.values():
        for index, (count, own_count, total, own) in function.callees.items():
            if index in callers:
                callers[index][function.key] = (own_count, count, own, total)
    return marshal.dumps(
        {f.key: (f.own_calls, f.calls, f.own_s, f.total_s, callers[index]) for index, f in functions.items()}
    )


def callgrind(calls: Calls, command: str = "") -> str:
    """The content of a callgrind file; costs in microseconds. ValueError when there are no times to save."""
    _with_times(calls)
    functions = by_function(calls.rows)
    lines = ["version: 1", "creator: concview", f"cmd: {command or 'python'}", "part: 1", "", "events: Microseconds"]
    lines.append("")
    for index, function in functions.items():
        lines += [f"fl={_file(function)}", f"fn={_name(index, function)}", f"{function.line} {_us(function.own_s)}"]
        for callee, (count, _, total, _) in function.callees.items():
            other = functions.get(callee)
            if other is not None:
                lines += [
                    f"cfl={_file(other)}",
                    f"cfn={_name(callee, other)}",
                    f"calls={count} {other.line}",
                    f"{function.line} {_us(total)}",
                ]
        lines.append("")
    return "\n".join(lines)


def _with_times(calls: Calls) -> None:
    if calls.clock == "none":
        raise ValueError("calls were counted, not timed: there are no times to save")


def _file(function: Function) -> str:
    return function.file if function.line else "~"


def _name(index: int, function: Function) -> str:
    # Numbered: two functions of one name in one file are two functions.
    return f"({index}) {function.name}"


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
