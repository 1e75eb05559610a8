"""Where the time of all threads goes, followed to the end: a bar, and the tree of causes, roots first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.segment import Segment

from concview import text
from concview.analysis import accounting
from concview.analysis.blame import words
from concview.model import State
from concview.snapshot import Blame, BlameCause, BlameStep
from concview.tui.text_render import Line, cells, wrap
from concview.tui.theme import GLYPHS, Palette
from concview.tui.widgets.numbers import Spot
from concview.tui.widgets.states import bar

#: (words, for a narrow terminal, its share of all thread time, the state whose colour and glyph it has).
PARTS: tuple[tuple[str, str, Callable[[Blame], float], State], ...] = (
    ("own work or I/O", "own work, I/O", lambda b: b.own, State.RUNNING),
    ("held up", "held up", lambda b: b.held_up, State.LOCK),
    ("waits for others", "waits", lambda b: b.waits, State.IO),
    ("waits for a CPU", "no CPU", lambda b: b.starved, State.RUNNABLE),
    ("unexplained", "unexplained", lambda b: b.unexplained, State.UNKNOWN),
    ("idle or paced", "idle", lambda b: b.quiet, State.IDLE),
)
#: From so many cells on there is room for the longer words.
ROOMY = 100
#: Of all thread time: with less in somebody's way there is no tree to draw.
LEAST_HELD = 0.01
#: Of the active time: smaller roots are counted only.
LEAST_SHARE = 0.01
#: Of those that wait for a root: smaller ways to it are not drawn beside larger ones.
LEAST_WAY = 0.02


def worth_drawing(blame: Blame | None) -> bool:
    """Whether somebody is in the way of somebody."""
    return blame is not None and blame.held_up + blame.waits + blame.starved + blame.unexplained >= LEAST_HELD


def blame_bar(blame: Blame, width: int, palette: Palette) -> Line:
    parts = {state: share(blame) for _, _, share, state in PARTS}
    return bar(accounting.to_shares([parts.get(state, 0.0) for state in State]), width, palette)


def blame_legend(blame: Blame, width: int, palette: Palette) -> list[Line]:
    lines: list[Line] = [[]]
    for long, short, share_of, state in PARTS:
        word, share = long if width >= ROOMY else short, share_of(blame)
        if share < 0.0005:
            continue
        said = text.percent(share) if share >= 0.005 else "<1 %"
        if lines[-1] and cells(lines[-1]) + len(word) + len(said) + 3 > width:
            lines.append([])
        lines[-1] += [
            Segment(GLYPHS[state], palette.cells[state]),
            Segment(f" {word} ", palette.dim),
            Segment(said, palette.bright),
            Segment("   ", palette.base),
        ]
    return lines


def blame_entries(blame: Blame, palette: Palette) -> list[Line]:
    """The legend with a line for every part, as large as a line can be made."""
    lines: list[Line] = []
    for word, _, share_of, state in PARTS:
        share = share_of(blame)
        if share >= 0.005:
            said = f"  {word:<18} {text.percent(share):>5}"
            lines.append([Segment(GLYPHS[state] * 3, palette.cells[state]), Segment(said, palette.bright)])
    return lines


@dataclass(slots=True)
class _Node:
    """Threads that wait at one step; below it, those that wait for them."""

    step: BlameStep | None = None
    thread_s: float = 0.0  #: of those that wait here themselves
    behind: dict[object, _Node] = field(default_factory=dict)

    @property
    def whole(self) -> float:
        return self.thread_s + sum(node.whole for node in self.behind.values())


@dataclass(slots=True)
class _Root:
    first: BlameCause
    top: _Node = field(default_factory=_Node)
    tid: int = 0
    task: int = 0


def _roots(causes: Sequence[BlameCause]) -> list[_Root]:
    found: dict[object, _Root] = {}
    for cause in causes:
        key = (cause.kind, cause.what, cause.file, cause.line)
        root = found.get(key)
        if root is None:
            root = found[key] = _Root(cause)
        node = root.top
        for step in reversed(cause.path):
            node = node.behind.setdefault((step.via, step.what, step.file, step.line, step.who), _Node(step))
        node.thread_s += cause.thread_s
        ends = cause.path[-1].owners if cause.path else cause.threads
        root.tid = root.tid or next(iter(ends or cause.threads), 0)
        tasks = cause.path[-1].owning_tasks if cause.path else cause.tasks
        root.task = root.task or next(iter(tasks or cause.tasks), 0)
    return sorted(found.values(), key=lambda r: -r.top.whole)


def _number(threads: float) -> str:
    if threads < 0.05:
        return "<0.1"
    return f"{threads:.0f}" if threads >= 9.5 or abs(threads - round(threads)) < 0.05 else f"{threads:.1f}"


def tree_lines(blame: Blame, width: int, palette: Palette, room: int, first: int = 0) -> tuple[list[Line], list[Spot]]:
    """At most `room` lines, none of them cut: what has no room is counted. Spots: a root leads to its thread; `first`
    is the number on screen of the first line."""
    lines: list[Line] = []
    spots: list[Spot] = []
    roots = [r for r in _roots(blame.causes) if r.top.behind or r.first.kind in ("starved", "unexplained", "cycle")]
    active = max(1e-9, blame.active * blame.seconds)
    #: The shares that are shown are of the time that the bar above shows.
    whole = max(active, blame.threads * blame.seconds)
    left, largest = 0, 0.0
    for root in roots:
        share = root.top.whole / active
        drawn = _drawn(root, blame, root.top.whole / whole, width, palette)
        if lines and (share < LEAST_SHARE or left or len(lines) + len(drawn) > room):
            left, largest = left + 1, max(largest, share)
            continue
        _spot(spots, root, first + len(lines), drawn[0])
        lines += drawn[:room]  # the first one as far as there is room, from the root on
    if left and len(lines) < room:
        said = (
            f"{text.plural(left, 'cause')} below 1 %" if largest < LEAST_SHARE else text.plural(left, "smaller cause")
        )
        lines.append([Segment(f"       and {said}", palette.faint)])
    return lines, spots


def _spot(spots: list[Spot], root: _Root, y: int, line: Line) -> None:
    if root.tid:
        spots.append(Spot(f"cause {y}", y, 0, max(1, cells(line)), "thread", root.tid))
    elif root.task:
        spots.append(Spot(f"cause {y}", y, 0, max(1, cells(line)), "task", root.task))


def _drawn(root: _Root, blame: Blame, share: float, width: int, palette: Palette) -> list[Line]:
    cause = root.first
    who = (cause.ends or "") if cause.path else cause.who
    if cause.kind == "cycle" and cause.path:
        who = ""  # its words name them all
    said = f"{who}: {words.does(cause)}" if who else words.does(cause)
    head = f"{share * 100:3.0f} %  " if share >= 0.005 else " <1 %  "
    lines: list[Line] = []
    for number, part in enumerate(wrap(said, max(20, width - len(head)))):
        lines.append([Segment(head if not number else " " * len(head), palette.bright), Segment(part, palette.base)])
    for node in _worth(root.top):
        lines += _branch(node, blame, len(head), width, palette)
    return lines


def _worth(node: _Node) -> list[_Node]:
    """Those behind it, most first, without the rare ones."""
    most = max((n.whole for n in node.behind.values()), default=0.0)
    return sorted((n for n in node.behind.values() if n.whole >= LEAST_WAY * most), key=lambda n: -n.whole)


def _waiters(node: _Node, step: BlameStep, blame: Blame) -> str:
    """'6.8 threads (web) wait', 'alice waits'."""
    number = node.thread_s / blame.seconds if node.thread_s else float(len(step.waiters) + len(step.waiting_tasks))
    if len(step.waiters) + len(step.waiting_tasks) == 1 and number <= 1.05:
        often = "" if number >= 0.95 else f" {text.percent(number)} of the time" if number >= 0.01 else " at times"
        return f"{step.who} waits{often}"
    kind = words.kind_of(step.waiters, step.waiting_tasks, _number(number) == "1")
    return f"{_number(number)} {kind} ({step.who}) {'waits' if _number(number) == '1' else 'wait'}"


def _branch(node: _Node, blame: Blame, indent: int, width: int, palette: Palette) -> list[Line]:
    step = node.step
    assert step is not None
    sure = "" if step.confidence.value == "exact" else f", {step.confidence.value}"
    said = f"{_waiters(node, step, blame)} for {words.waited_for(step)}{words.at(step)}{sure}"
    mark = "← "
    lines: list[Line] = []
    for number, part in enumerate(wrap(said, max(20, width - indent - len(mark)))):
        pad = " " * indent + (mark if not number else " " * len(mark))
        lines.append([Segment(pad, palette.states[State.LOCK]), Segment(part, palette.dim)])
    for behind in _worth(node):
        lines += _branch(behind, blame, min(indent + 2, width // 3), width, palette)
    return lines
