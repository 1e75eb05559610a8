"""Follows every node of one moment to its end.

What a node waits for is asked once (`answer`), whoever waits behind it. The links make a graph; in it, those that wait
for each other in a circle with no way out end as a cycle, and where a circle has a way out, only those nearer to it
count as being in the way (one that waits for me cannot be the first to give me something). So every path ends, no node
is on a path twice, and the cost is linear in links.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from concview.analysis.blame.lately import Lately
from concview.analysis.blame.nouns import End, Link, Node, Part, Root, Step
from concview.model import Confidence

#: At a hand-over nobody seems to have the thing for a tick or two: who was there last is believed for so long.
STALE_NS = 60_000_000
#: Steps of a path that are kept; of longer ones the middle is left out.
MOST_STEPS = 12
#: Parts of one node's moment that are told apart; of more, the small ones join a large one with the same kind of end.
MOST_PARTS = 24

Answer = Callable[[Node], Root | Link]


class Memory:
    """What was found last behind a thing, for hand-overs. Bounded."""

    MOST = 5_000

    def __init__(self) -> None:
        self._known = Lately[object, tuple[int, list[Part]]](self.MOST)
        self._turned_ns = 0

    def put(self, key: object, at_ns: int, parts: list[Part]) -> None:
        if not 0 <= at_ns - self._turned_ns < STALE_NS:
            self._turned_ns = at_ns
            self._known.turn()
        self._known.put(key, (at_ns, parts))

    def get(self, key: object, at_ns: int, without: Node) -> list[Part] | None:
        known = self._known.get(key)
        if known is None or not 0 <= at_ns - known[0] < STALE_NS:
            return None
        # A thread that has it no more and now waits for it is not in its own way.
        parts = [p for p in known[1] if without not in p.nodes]
        whole = sum(p.weight for p in parts)
        return [p._replace(weight=p.weight / whole) for p in parts] if whole > 0 else None


def follow(
    nodes: Iterable[Node], answer: Answer, at_ns: int = 0, memory: Memory | None = None
) -> dict[Node, list[Part]]:
    """node -> its parts. `answer` gives the end or the link of each; links to unknown nodes and to oneself are void."""
    memory = memory or Memory()
    known = list(nodes)
    among = set(known)
    found: dict[Node, list[Part]] = {}
    links: dict[Node, Link] = {}
    behind: dict[Node, list[Node]] = {}
    for node in known:
        said = answer(node)
        if isinstance(said, Root):
            found[node] = [Part(1.0, said)]
            continue
        if said.outside is not None:
            found[node] = [Part(1.0, said.outside, (said.step,))]
            continue
        others = [o for o in dict.fromkeys(said.others) if o != node and o in among]
        if others:
            links[node] = replace(said, others=others)
            behind[node] = others
        else:
            found[node] = _remembered(said, node, at_ns, memory)
    shared: _Known = {}
    for group in _components(behind):
        _resolve(group, links, found, at_ns, memory, shared)
    for node, link in links.items():
        if link.alone is not None and not _in_circle(found[node]):
            found[node] = [Part(1.0, link.alone)]
    for node in {p.nodes[-1] for parts in found.values() for p in parts if p.path and p.nodes}:
        own = found.get(node, ())
        if len(own) == 1 and own[0].root.kind is End.PACE and not own[0].path:  # others wait for its pause
            found[node] = [Part(1.0, own[0].root._replace(kind=End.SLEEP))]
    return found


def _in_circle(parts: Sequence[Part]) -> bool:
    return len(parts) == 1 and parts[0].root.kind is End.CYCLE and len(parts[0].path) == 1


def _remembered(link: Link, node: Node, at_ns: int, memory: Memory) -> list[Part]:
    parts = memory.get(link.key, at_ns, node) if link.key is not None else None
    if parts is None:
        end = link.otherwise or Root(End.UNEXPLAINED, f"{link.step.what}: nobody seen to have it", link.step.place)
        # That nobody is left to give it says what is waited for: the step is known, only its other side is empty.
        return [Part(1.0, end, (link.step,) if end.kind is End.NOBODY else ())]
    # What was kept is what came behind this step, with the one that had it in front. It is believed, not read.
    step = link.step._replace(confidence=Confidence.INFERRED)
    return [Part(p.weight, p.root, (step, *p.path), p.nodes, p.owners) for p in parts]


def _led(part: Part, link: Link, other: Node, weight: float, owners: tuple[Node, ...]) -> Part:
    """The part of another as that of one who waits for it."""
    path, nodes, root = (link.step, *part.path), (other, *part.nodes[: len(part.path)]), part.root
    if len(path) > MOST_STEPS:
        last = nodes[-1:] if len(nodes) == len(path) else ()
        path, nodes = path[: MOST_STEPS - 1] + path[-1:], nodes[: MOST_STEPS - 1] + last
    if root.kind is End.PACE:  # a pause that others wait for is no pause
        root = Root(End.SLEEP, root.what, root.place)
    return Part(weight, root, path, nodes, owners)


def _both(one: Part, other: Part) -> Part:
    return one._replace(weight=one.weight + other.weight, owners=(*one.owners, *other.owners))


class _Shared:
    """What is found behind one step and the same others is the same for all who wait so, unless one is in it itself."""

    __slots__ = ("nodes", "parts")

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.nodes = {node for part in parts for node in (*part.nodes, *part.owners)}


_Known = dict[tuple[Step, tuple[Node, ...]], _Shared]


def _resolve(
    group: list[Node],
    links: Mapping[Node, Link],
    found: dict[Node, list[Part]],
    at_ns: int,
    memory: Memory,
    shared: _Known,
) -> None:
    """The nodes of one component; all that they wait for outside is known already."""
    if len(group) == 1:
        node = group[0]
        _join(node, links[node], links[node].others, found, at_ns, memory, shared)
        return
    inside = set(group)
    ways: dict[Node, list[Node]] = {}
    reverse: dict[Node, list[Node]] = {}
    distance: dict[Node, int] = {}
    queue: deque[Node] = deque()
    for node in group:
        ways[node] = [o for o in links[node].others if o not in inside]
        if ways[node]:
            distance[node] = 1
            queue.append(node)
        for other in links[node].others:
            if other in inside:
                reverse.setdefault(other, []).append(node)
    while queue:
        node = queue.popleft()
        for before in reverse.get(node, ()):
            if before not in distance:
                distance[before] = distance[node] + 1
                queue.append(before)
    if not distance:
        _circle(group, links, found)
        return
    for node in sorted(group, key=lambda n: distance[n]):
        nearer = [o for o in links[node].others if o in inside and distance[o] < distance[node]]
        _join(node, links[node], [*ways[node], *nearer], found, at_ns, memory, shared)


def _circle(group: Sequence[Node], links: Mapping[Node, Link], found: dict[Node, list[Part]]) -> None:
    told = sorted({f"{s.who} for {s.what}" for s in (links[n].step for n in group)})
    more = f" and {len(told) - 4} more" if len(told) > 4 else ""
    what = f"they wait for each other: {', '.join(told[:4])}{more}"
    for node in group:
        step = links[node].step
        first = next((o for o in links[node].others if o in group), node)
        # Where the circle is entered does not matter: one row for each step of it.
        found[node] = [Part(1.0, Root(End.CYCLE, what), (step,), (first,))]


def _join(
    node: Node,
    link: Link,
    others: Sequence[Node],
    found: dict[Node, list[Part]],
    at_ns: int,
    memory: Memory,
    shared: _Known,
) -> None:
    key = (link.step, tuple(others))
    known = shared.get(key)
    if known is not None and node not in known.nodes:
        made = known.parts
    else:
        made = _led_to(node, link, others, found)
        if known is None:
            shared[key] = _Shared(made)
    if not made:
        found[node] = _remembered(link, node, at_ns, memory)
        return
    if link.settle is not None:
        end = link.settle(made)
        if end is not None:
            found[node] = [Part(1.0, end, (link.step,) if end.kind is End.NOBODY else ())]
            return
    if len(made) > MOST_PARTS:
        made = _folded(made)
    if link.key is not None:
        # As seen by the next one: without this step, with the owner in front.
        memory.put(link.key, at_ns, [p._replace(path=p.path[1:]) for p in made])
    found[node] = made


def _led_to(node: Node, link: Link, others: Sequence[Node], found: Mapping[Node, list[Part]]) -> list[Part]:
    """An equal part for each of the others; those with the same end and way together."""
    sums: dict[tuple[Root, tuple[Step, ...]], tuple[Part, Node, list[float], list[Node]]] = {}
    each = 1.0 / len(others)
    whole = 0.0
    for other in others:
        for part in found[other]:
            if node in part.nodes:
                continue  # that one only remembers that this one had the thing
            weight = part.weight * each
            whole += weight
            known = sums.get((part.root, part.path))
            if known is None:
                sums[part.root, part.path] = (part, other, [weight], [other])
            else:
                known[2].append(weight)
                known[3].append(other)
    parts: dict[tuple[Root, tuple[Step, ...]], Part] = {}
    for first, other, weights, owners in sums.values():
        led = _led(first, link, other, sum(weights) / whole, tuple(owners))
        # Cut to length, or as no pause any more, two may have become one.
        alike = parts.get((led.root, led.path))
        parts[led.root, led.path] = led if alike is None else _both(alike, led)
    return list(parts.values())


def _folded(parts: list[Part]) -> list[Part]:
    """The large ones, and each small one added to the largest with the same kind of end; kinds stay what they were."""
    parts.sort(key=lambda p: -p.weight)
    kept = parts[:MOST_PARTS]
    for part in parts[MOST_PARTS:]:
        at = next((i for i, p in enumerate(kept) if p.root.kind is part.root.kind and p.path[0] == part.path[0]), -1)
        if at < 0:
            kept.append(part)
        else:
            kept[at] = _both(kept[at], part)
    return kept


def _components(behind: Mapping[Node, Sequence[Node]]) -> list[list[Node]]:
    """Strongly connected components, those that are waited for before those that wait (Tarjan, without recursion)."""
    index: dict[Node, int] = {}
    low: dict[Node, int] = {}
    stack: list[Node] = []
    on: set[Node] = set()
    out: list[list[Node]] = []
    for start in behind:
        if start in index:
            continue
        work: list[tuple[Node, int]] = [(start, 0)]
        while work:
            node, at = work.pop()
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
                on.add(node)
            others = behind[node]
            again = False
            for i in range(at, len(others)):
                other = others[i]
                if other not in behind:
                    continue
                if other not in index:
                    work.append((node, i))
                    work.append((other, 0))
                    again = True
                    break
                if other in on:
                    low[node] = min(low[node], low[other] if index[other] > index[node] else index[other])
            if again:
                continue
            if low[node] == index[node]:
                group: list[Node] = []
                while True:
                    other = stack.pop()
                    on.discard(other)
                    group.append(other)
                    if other == node:
                        break
                out.append(group)
    return out
