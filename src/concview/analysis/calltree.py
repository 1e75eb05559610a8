"""Where time goes, by call: the stacks of chosen threads in chosen states, merged into a tree.

Values are nanoseconds of thread time (runs weighted by how long they lasted), so several threads add up to more than
the wall time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from concview.analysis.records import ThreadHistory
from concview.model import Frame, Stack, State

#: A tree is not deeper than this; what lies below is counted to the last node.
MAX_DEPTH = 300


@dataclass(slots=True)
class Node:
    """One function, or one line of it, in one place of the tree."""

    key: tuple[str, str, int]  #: function, file, line (0 where lines are merged)
    frame: Frame  #: one that led here
    own_ns: int = 0
    total_ns: int = 0
    children: dict[tuple[str, str, int], Node] = field(default_factory=dict)
    folded: int = 0  #: library frames that this node stands for

    def sorted_children(self) -> list[Node]:
        """Largest first."""
        return sorted(self.children.values(), key=lambda n: (-n.total_ns, n.key))


ROOT = Frame("all", "", 0, "", "root")


def tree(
    stack_times: Iterable[tuple[Stack, int]], by_line: bool = False, fold: bool = False, limit: int = MAX_DEPTH
) -> Node:
    """The tree of (stack, nanoseconds) pairs, root first.

    `by_line` keeps the lines of a function apart. `fold` merges runs of library frames between user frames into one
    node, named after the outermost of them: the call that the user's own code made.
    """
    root = Node(("all", "", 0), ROOT)
    # Equal stacks are one object: add them up before walking.
    weights: dict[int, tuple[Stack, int]] = {}
    for stack, ns in stack_times:
        known = weights.get(id(stack))
        weights[id(stack)] = (stack, ns + (known[1] if known else 0))
    for stack, ns in weights.values():
        _add(root, stack, ns, by_line, fold, limit)
    return root


def _add(root: Node, stack: Stack, ns: int, by_line: bool, fold: bool, limit: int) -> None:
    node = root
    node.total_ns += ns
    in_library = False
    for frame in list(reversed(stack.frames))[:limit]:
        library = frame.origin not in ("user", "root")
        if fold and library and in_library:
            node.folded += 1
            continue
        in_library = library
        key = (frame.function, frame.file, frame.line if by_line else 0)
        child = node.children.get(key)
        if child is None:
            child = node.children[key] = Node(key, frame)
        child.total_ns += ns
        node = child
    node.own_ns += ns


class Slice(NamedTuple):
    """A stack in which somebody was from then to then."""

    node: int  #: tid of a thread, -id of a task
    stack: Stack
    start_ns: int
    end_ns: int


def slices(
    threads: Iterable[ThreadHistory],
    start_ns: int,
    end_ns: int,
    states: Collection[State] | None = None,
) -> Iterator[Slice]:
    """What these threads were in between two moments, in these states (None: all), each thread in the order of time."""
    for thread in threads:
        for run in thread.runs:
            if states is not None and run.state not in states:
                continue
            begin, end = max(run.start_ns, start_ns), min(run.end_ns or end_ns, end_ns)
            if end > begin and run.stack.frames:
                yield Slice(thread.tid, run.stack, begin, end)


def stack_times(found: Iterable[Slice]) -> Iterator[tuple[Stack, int]]:
    """(stack, nanoseconds) of each."""
    return ((one.stack, one.end_ns - one.start_ns) for one in found)


@dataclass(slots=True)
class Entry:
    """One function in the own/total table."""

    key: tuple[str, str, int]
    frame: Frame
    own_ns: int = 0
    total_ns: int = 0


def table(stack_times: Iterable[tuple[Stack, int]], by_line: bool = False) -> list[Entry]:
    """Own and total time per function; recursion is counted once in the total. Largest own time first."""
    entries: dict[tuple[str, str, int], Entry] = {}
    for stack, ns in stack_times:
        seen: set[tuple[str, str, int]] = set()
        for depth, frame in enumerate(stack.frames):
            key = (frame.function, frame.file, frame.line if by_line else 0)
            entry = entries.get(key)
            if entry is None:
                entry = entries[key] = Entry(key, frame)
            if depth == 0:
                entry.own_ns += ns
            if key not in seen:
                seen.add(key)
                entry.total_ns += ns
    return sorted(entries.values(), key=lambda e: (-e.own_ns, -e.total_ns, e.key))
