"""Where the time of threads went on two sides: a tree of calls, and the places that differ most.

Weights are threads on average: time of threads by time of the recording, so that recordings of different lengths can be
compared; of several a side the mean. Frames are known by function and file: lines move between versions. Below the
innermost frame stands the state, and the lock where it is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from concview.analysis.samples import Activity, LockName, Samples, Selection
from concview.analysis.work import NO_WORK
from concview.compare import statistics
from concview.model import STATES, Frame
from concview.session.recording import Recording
from concview.text import file_name

#: Frames of a stack that are kept, from the outermost on; nodes of the tree.
MOST_DEPTH, MOST_NODES = 150, 200_000
#: A place that differs by less is not told, threads on average.
LEAST = 0.005
_DEEPER, _SMALLER = "(deeper)", "(more)"


@dataclass(slots=True)
class Node:
    """`base`, `new`: threads on average in it and in what it calls."""

    name: str
    own: bool = False  #: of the program, not of a library
    base: float = 0.0
    new: float = 0.0
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def change(self) -> float:
        return self.new - self.base


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the summary: the program's innermost function, in one state. `p` None: no test was possible."""

    function: str
    file: str
    state: str
    lock: str
    base: float
    new: float
    p: float | None

    @property
    def change(self) -> float:
        return self.new - self.base

    @property
    def significant(self) -> bool:
        return self.p is not None and self.p <= statistics.ALPHA


@dataclass(frozen=True, slots=True)
class Flame:
    root: Node
    places: tuple[Place, ...]  #: most different first
    cut: bool  #: there were more different calls than are kept
    names: frozenset[str] = frozenset()  #: of all requests, jobs, queries and calls in them, whether wanted or not


_Key = tuple[str, str, str, str]


def flame(
    base: Sequence[Recording], new: Sequence[Recording], labels: Sequence[str] = (), by_label: bool = False
) -> Flame:
    """Reads each recording once. `labels`: only time in these names; `by_label`: below the root, in whose name. Raises
    as `Recording.samples` does."""
    root = Node("all threads")
    grown = _Growth(root, by_label)
    selection = Selection(labels=tuple(labels))
    sides: list[list[dict[_Key, float]]] = [[], []]
    names: set[str] = set()
    for number, side in enumerate((base, new)):
        for recording in side:
            samples = recording.samples(selection)
            sides[number].append(grown.add(samples, number, 1 / len(side)))
            names.update(name for doing in samples.doings for name in doing if name)
    return Flame(root, tuple(_places(*sides)), grown.cut, frozenset(names))


class _Growth:
    def __init__(self, root: Node, by_label: bool = False) -> None:
        self._root, self._by_label = root, by_label
        self._nodes = 1
        self.cut = False

    def add(self, samples: Samples, side: int, part: float) -> dict[_Key, float]:
        """Add one recording to the tree; what it has of each place."""
        spent: dict[Activity, int] = defaultdict(int)  # by identity
        for pieces in samples:
            for _, start, end, activity, _, _ in pieces:
                spent[activity] += end - start
        length = max(1, samples.last_ns - samples.first_ns)
        found: dict[_Key, float] = defaultdict(float)
        for activity, ns in spent.items():
            weight = ns / length
            found[_key(activity)] += weight
            self._path(activity, side, weight * part)
        return found

    def _path(self, activity: Activity, side: int, weight: float) -> None:
        node = self._root
        _count(node, side, weight)
        named = [(activity.doing.work or NO_WORK, False)] if self._by_label else []
        for name, own in (*named, *_frames(activity)):
            child = node.children.get(name)
            if child is None:
                if self._nodes >= MOST_NODES:
                    self.cut = True
                    name, own = _SMALLER, False
                    child = node.children.get(name)
                if child is None:
                    child = node.children[name] = Node(name, own)
                    self._nodes += 1
            _count(child, side, weight)
            node = child
            if name == _SMALLER:
                return


def _count(node: Node, side: int, weight: float) -> None:
    if side:
        node.new += weight
    else:
        node.base += weight


def _frames(activity: Activity) -> Iterator[tuple[str, bool]]:
    frames = activity.stack.frames
    for number, frame in enumerate(reversed(frames)):
        if number == MOST_DEPTH:
            yield _DEEPER, False
            break
        yield _name(frame), frame.origin == "user"
    yield f"[{STATES[activity.state]}]", False
    if activity.lock is not None:
        yield f"[{_lock(activity.lock)}]", False


def _name(frame: Frame) -> str:
    file = file_name(frame.file)
    function = frame.function.strip() or "<unnamed>"
    return f"{function} ({file})" if file else function


def _lock(lock: LockName) -> str:
    """Without its address, which is another one in the next run."""
    return lock.names.get(lock.key) or lock.kind or "lock"


def _key(activity: Activity) -> _Key:
    frames = activity.stack.frames
    frame = next((f for f in frames if f.origin == "user"), frames[0] if frames else None)
    lock = _lock(activity.lock) if activity.lock is not None else ""
    function, file = (frame.function, file_name(frame.file)) if frame is not None else ("(no Python stack)", "")
    return function, file, STATES[activity.state], lock


def _places(base: list[dict[_Key, float]], new: list[dict[_Key, float]]) -> list[Place]:
    tested = min(len(base), len(new)) >= 2
    found = []
    for key in sorted({k for run in (*base, *new) for k in run}):
        first, second = ([run.get(key, 0.0) for run in side] for side in (base, new))
        place = Place(
            *key,
            sum(first) / len(first),
            sum(second) / len(second),
            statistics.mann_whitney(first, second) if tested else None,
        )
        if abs(place.change) >= LEAST:
            found.append(place)
    return sorted(found, key=lambda p: -abs(p.change))
