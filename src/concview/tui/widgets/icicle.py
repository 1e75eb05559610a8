"""Where the boxes of a flame graph lie: a call tree laid out in cells, outermost calls on top."""

from __future__ import annotations

from dataclasses import dataclass, field

from concview.analysis.calltree import Node

Key = tuple[str, str, int]
Path = tuple[Key, ...]

#: A box overtakes its left neighbour when it is larger by this factor: boxes of nearly equal size keep their places
#: from one second to the next.
OVERTAKES = 1.25


@dataclass(slots=True)
class Box:
    """`node` in cells `x` to `x + width` of its row. `rest` > 0: so many calls too small for a box of their own."""

    node: Node
    x: int
    width: int
    parent: Box | None = None
    rest: int = 0
    children: list[Box] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """The way from the root of the layout, itself not included."""
        keys: list[Key] = []
        box = self
        while box.parent is not None:
            keys.append(box.node.key)
            box = box.parent
        return tuple(reversed(keys))


class Order:
    """Remembers how children were ordered, so that a live picture does not jump."""

    def __init__(self) -> None:
        self._before: dict[int, dict[Key, int]] = {}
        self._now: dict[int, dict[Key, int]] = {}

    def turn(self) -> None:
        """A new layout begins; what the last one did not show is forgotten."""
        self._before, self._now = self._now, {}

    def sort(self, at: int, node: Node) -> list[Node]:
        children = node.sorted_children()
        rank = self._before.get(at)
        if rank:
            children.sort(key=lambda n: rank.get(n.key, len(rank)))
            for i in range(1, len(children)):
                j = i
                while j and children[j].total_ns > children[j - 1].total_ns * OVERTAKES:
                    children[j - 1], children[j] = children[j], children[j - 1]
                    j -= 1
        if len(children) > 1:
            self._now[at] = {n.key: i for i, n in enumerate(children)}
        return children


def layout(root: Node, width: int, order: Order, at: int = 0) -> list[list[Box]]:
    """Rows of boxes, left to right; the first row is the root. What is left free below a box is its own time.

    `at` tells this root from others to `order`.
    """
    order.turn()
    if width <= 0 or root.total_ns <= 0:
        return []
    scale = width / root.total_ns
    rows: list[list[Box]] = []
    row: list[tuple[Box, float, int]] = [(Box(root, 0, width), 0.0, at)]
    while row:
        rows.append([box for box, _, _ in row])
        below: list[tuple[Box, float, int]] = []
        for box, begin, number in row:
            if not box.rest:
                below += _children(box, begin, number, scale, order)
        row = below
    return rows


def _children(box: Box, begin: float, number: int, scale: float, order: Order) -> list[tuple[Box, float, int]]:
    placed: list[tuple[Box, float, int]] = []
    if not box.node.children:
        return placed
    drawn = box.x  #: cells up to here are taken
    small = 0

    def fill(until: int) -> None:
        # Many calls that are too small for a cell each must not look like the caller's own time.
        nonlocal small, drawn
        if small and until > drawn:
            placed.append((Box(box.node, drawn, until - drawn, box, rest=small), 0.0, 0))
            drawn, small = until, 0

    end = box.x + box.width
    for node in order.sort(number, box.node):
        start, finish = begin, begin + node.total_ns * scale
        begin = finish
        left, right = max(drawn, round(start)), min(end, round(finish))
        # Below half a cell rounding would give a cell to whichever call happens to lie across its middle.
        if right <= left or finish - start < 0.5:
            small += 1
            continue
        fill(left)
        child = Box(node, left, right - left, box)
        box.children.append(child)
        placed.append((child, start, hash((number, node.key))))
        drawn, small = right, 0
    fill(min(end, round(begin)))
    return placed


def descend(node: Node, path: Path) -> tuple[Node, Path]:
    """Follow a path as far as the tree still has it."""
    found: list[Key] = []
    for key in path:
        child = node.children.get(key)
        if child is None:
            break
        node = child
        found.append(key)
    return node, tuple(found)


def matches(node: Node, needle: str) -> bool:
    return needle in node.key[0].lower() or needle in node.key[1].lower()


def matched_ns(root: Node, needle: str) -> int:
    """Time below boxes that match, each moment counted once."""
    total, todo = 0, list(root.children.values())
    while todo:
        node = todo.pop()
        if matches(node, needle):
            total += node.total_ns
        else:
            todo.extend(node.children.values())
    return total


def largest(root: Node, key: Key) -> Path:
    """The path to the largest box of one function; () where a folded one hides it."""
    best: tuple[int, Path] = (0, ())
    todo: list[tuple[Node, Path]] = [(root, ())]
    while todo:
        node, path = todo.pop()
        if node.key == key and path:
            best = max(best, (node.total_ns, path))
        elif node.total_ns > best[0]:
            todo += [(child, (*path, child.key)) for child in node.children.values()]
    return best[1]
