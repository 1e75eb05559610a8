"""What is said around the flame graph: the line of states, the selected call, the own/total table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.segment import Segment

from concview import text
from concview.analysis.calltree import ROOT, Entry, Node
from concview.model import State
from concview.snapshot import Shares, Snapshot, Status
from concview.tui.ports import CallsTaken
from concview.tui.text_render import Line, cells, fit
from concview.tui.theme import GLYPHS, Palette
from concview.tui.widgets.columns import Column, place_cell
from concview.tui.widgets.flamepaint import BORDERS, ORIGINS, Paint, origin_of
from concview.tui.widgets.table import Table

NO_CALLS = (
    "This session keeps no call times, so there is no flame graph of it. "
    "2 lists the threads; Enter there shows the stack of each."
)


@dataclass(frozen=True, slots=True)
class Mode:
    """Which time is shown. `holding`: the time in which a thread held the GIL, whatever its state. `tasks`: instead of
    threads, tasks and their await chains."""

    word: str
    said: str  #: "no thread ... in the last 10 s"
    states: tuple[State, ...] | None = None
    holding: bool = False
    tasks: bool = False


MODES: tuple[Mode, ...] = (
    Mode("all", "was seen in Python code"),
    Mode("running", "was on a CPU", (State.RUNNING,)),
    Mode("GIL held", "was seen holding the GIL", None, True),
    Mode("GIL wait", "waited for the GIL", (State.GIL,)),
    Mode("lock", "waited for a lock", (State.LOCK,)),
    Mode("I/O", "was in a blocking call on a descriptor", (State.IO,)),
    Mode("sleep", "slept", (State.SLEEP,)),
    Mode("idle", "was idle", (State.IDLE,)),
    Mode("other", "waited for a CPU, or unknown", (State.RUNNABLE, State.UNKNOWN)),
    Mode("tasks", "was seen to wait", tasks=True),
)


def mode_line(at: int, shares: Shares, width: int, palette: Palette, tasks: bool = True) -> Line:
    """All modes with their share of the time, the chosen one marked; short of room the shares give way, then others
    than the neighbours of the chosen one. `tasks`: that of tasks, too."""

    def chip(number: int, brief: bool) -> str:
        mode = MODES[number]
        if brief or mode.states is None:
            return f" {mode.word} "
        share = sum(shares[s] for s in mode.states)
        glyph = GLYPHS[mode.states[0]]
        return f" {glyph} {mode.word} {text.percent(share) if share >= 0.005 or not share else '<1 %'} "

    def build(numbers: Sequence[int], brief: bool) -> Line:
        line: Line = []
        for number in numbers:
            states = MODES[number].states
            quiet = states is not None and not any(shares[s] for s in states)
            style = palette.badges["info"] if number == at else palette.faint if quiet else palette.dim
            line.append(Segment(chip(number, brief and number != at), style))
        return line

    everything = [n for n, mode in enumerate(MODES) if tasks or n == at or not mode.tasks]
    line = build(everything, False)
    if cells(line) > width:
        line = build(everything, True)
    numbers = list(everything)
    while cells(line) > width and len(numbers) > 1:
        numbers.remove(max(numbers, key=lambda n: abs(n - at)))
        line = build(numbers, True)
    return line


def origin_legend(palette: Palette, paint: Paint) -> Line:
    line: Line = []
    for origin in ORIGINS:
        line += [Segment(f"{BORDERS[origin]} {origin} ", paint.boxes[origin][0]), Segment(" ", palette.base)]
    return line


def about_line(
    who: str,
    how: Sequence[str],
    calls: CallsTaken | None,
    late_s: float,
    zoomed: str,
    palette: Palette,
    back: bool = False,
    kind: str = "threads",
) -> Line:
    """Whose calls these are, how many, and how they are drawn."""
    said = f" only {fit(who, min(len(who), 24))}" if who else f" all {kind}"
    line: Line = [Segment(said, palette.bright)]
    if calls is not None and calls.root.total_ns:
        line.append(Segment(f" {rate(calls.root.total_ns, calls.seconds)}", palette.bright))
        line.append(Segment(f" in the {'' if back else 'last '}{calls.seconds:.0f} s", palette.dim))
    if late_s > 1:
        line.append(Segment(f" · taken {text.duration(late_s)} after the pause", palette.warn))
    if zoomed:
        line.append(Segment(f" · in {fit(zoomed, min(len(zoomed), 32))}, esc out", palette.accent))
    line.append(Segment(f" · {' · '.join(how)}", palette.dim))
    return line


def with_legend(line: Line, width: int, palette: Palette, paint: Paint) -> Line:
    """The legend of origins at the right end where there is room for it; what is too long is cut."""
    legend = origin_legend(palette, paint)
    spare = width - cells(line) - cells(legend)
    if spare >= 2:
        return [*line, Segment(" " * spare, palette.base), *legend]
    kept: Line = []
    for segment in line:
        room = width - cells(kept)
        if room > 0:
            kept.append(Segment(fit(segment.text, min(room, segment.cell_length)), segment.style))
    return kept


def why_empty(snapshot: Snapshot | None, calls: CallsTaken | None, mode: Mode, one: bool, work: str = "") -> str:
    """Why there are no boxes, and what to do next. `work`: only what is done in this name was asked for."""
    stacks = snapshot.capabilities.get("stacks") if snapshot else None
    if stacks is not None and not stacks.available:
        return f"No stacks can be read of this process: {stacks.why}.{f' {stacks.enable}.' if stacks.enable else ''}"
    if calls is None or (snapshot is not None and snapshot.status is Status.WAITING):
        return "Adding up calls …"
    if mode.holding and snapshot is not None and not snapshot.gil.available:
        return "Who holds the GIL cannot be seen of this process. m shows another state."
    if mode.tasks and (snapshot is None or snapshot.aio is None):
        return "No tasks of asyncio or trio were seen. m shows threads."
    if work:
        whose = "No task" if mode.tasks else "No thread"
        return (
            f"{whose} {mode.said} on {text.clean(work, 60)} in the last {calls.seconds:.0f} s. m shows another state, "
            "t all of them."
        )
    who = "No task" if mode.tasks else "This thread never" if one else "No thread"
    more = ", t all threads" if one else ""
    return f"{who} {mode.said} in the last {calls.seconds:.0f} s. m shows another state{more}."


def rate(ns: int, seconds: float) -> str:
    """Time per second of the clock: '812 ms/s'. Several threads together can exceed 1000."""
    per = ns / 1e6 / max(seconds, 1e-9)
    return f"{per:.0f} ms/s" if per >= 10 or not per else f"{per:.1f} ms/s"


def call_lines(node: Node | None, total_ns: int, seconds: float, width: int, palette: Palette) -> list[Line]:
    """Three lines about one box: its name and times, its place, its source."""
    if node is None:
        return [[], [], []]
    whole = max(1, total_ns)
    numbers: Line = []
    for word, ns in (("total ", node.total_ns), ("own ", node.own_ns)):
        said = f"{rate(ns, seconds)} {text.percent(ns / whole)}"
        numbers += [Segment(f"  {word}", palette.dim), Segment(said, palette.bright)]
    if not node.frame.file:
        word = (
            "all that is shown"
            if node.frame is ROOT
            else fit(node.key[0], min(width // 2, len(node.key[0]) * 2)).rstrip()
        )
        return [[Segment(word, palette.title), *numbers], [], []]
    room = max(8, width - cells(numbers))
    name = fit(node.key[0], min(room, len(node.key[0]) * 2)).rstrip()
    origin = origin_of(node) + (f", {text.plural(node.folded, 'frame')} folded" if node.folded else "")
    place = f"{text.short_path(node.frame.file, max(12, width - len(origin) - 12))}:{node.frame.line}"
    return [
        [Segment(name, palette.title), *numbers],
        [Segment(place, palette.accent), Segment(f"  {origin}", palette.dim)],
        [
            Segment(
                fit(node.frame.text or "source not readable", width).rstrip(),
                palette.base if node.frame.text else palette.faint,
            )
        ],
    ]


def _share(which: Callable[[Entry], int]) -> Callable[[Any, int, Palette, Any], Line]:
    def draw(row: Entry, width: int, palette: Palette, context: Any) -> Line:
        total, seconds = context
        ns = which(row)
        said = f"{ns / 1e6 / max(seconds, 1e-9):.0f} {text.percent(ns / max(1, total)):>5}"
        return [Segment(fit(said, width, right=True), palette.base if ns else palette.faint)]

    return draw


def _function(row: Entry, width: int, palette: Palette, context: Any) -> Line:
    line = f":{row.key[2]}" if row.key[2] else ""
    user = row.frame.origin == "user"
    return [Segment(fit(row.key[0] + line, width), palette.bright if user else palette.dim)]


COLUMNS = (
    Column("own", "OWN ms/s", 12, _share(lambda e: e.own_ns), right=True, sort=lambda e: e.own_ns),
    Column("total", "TOTAL ms/s", 12, _share(lambda e: e.total_ns), right=True, sort=lambda e: e.total_ns),
    Column("name", "FUNCTION", 14, _function, most=60, sort=lambda e: e.key, down=False),
    Column(
        "place",
        "FILE",
        10,
        place_cell(lambda e: f"{text.file_name(e.frame.file)}:{e.frame.line}", right=True),
        most=26,
        drop=1,
        right=True,
        sort=lambda e: (e.frame.file, e.frame.line),
        down=False,
    ),
)


def own_total_table(id: str) -> Table:  # noqa: A002
    return Table(
        COLUMNS,
        lambda e: e.key,
        haystack=lambda e: f"{e.key[0]} {e.key[1]}".lower(),
        sort="own",
        id=id,
    )
