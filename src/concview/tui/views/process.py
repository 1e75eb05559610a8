"""Tab 6: the process itself, what can be seen of it, and how far the numbers can be trusted."""

from __future__ import annotations

from rich.segment import Segment
from textual.app import ComposeResult

from concview import text
from concview.model import CAPABILITIES
from concview.session.phrases import unseen_for
from concview.snapshot import Snapshot
from concview.tui.text_render import Line, beside, fit, paragraph
from concview.tui.theme import Palette, palette_of
from concview.tui.views.base import NOTHING_YET, View, ViewSpec
from concview.tui.widgets.page import Page

#: Lines of one value: a command may be long, and the application stands at its end.
_MOST_LINES = 6


def _pairs(title: str, pairs: list[tuple[str, str]], width: int, palette: Palette) -> list[Line]:
    lines: list[Line] = [[Segment(title, palette.title)]]
    for name, value in pairs:
        head = [Segment(fit("  " + name, 20), palette.dim)]
        body = paragraph(value, max(8, width - 21), palette.base)
        lines.append([*head, *body[0]])
        lines += [[Segment(" " * 20, palette.dim), *more] for more in body[1:_MOST_LINES]]
    return [*lines, []]


def _process(snapshot: Snapshot) -> list[tuple[str, str]]:
    target = snapshot.target
    if target is None:
        return [("status", "nothing has arrived yet")]
    memory = text.size(snapshot.rss) if snapshot.rss else "n/a"
    if snapshot.rss and target.memory_limit:
        memory += f" of {text.size(target.memory_limit)} ({text.percent(snapshot.rss / target.memory_limit)})"
    files = str(snapshot.fds)
    if target.fd_limit:
        files += f" of {target.fd_limit} ({text.percent(snapshot.fds / target.fd_limit)})"
    alive = [t for t in snapshot.threads if t.alive]
    gil = snapshot.gil.switches_per_s
    python = target.python + (" free-threaded" if target.free_threaded else "")
    return [
        ("pid", str(target.pid)),
        ("command", " ".join(target.command) or "?"),
        ("Python", python),
        ("executable", target.executable or "n/a"),
        ("user", target.user or "n/a"),
        ("CPU", "n/a" if snapshot.cpu_percent is None else f"{snapshot.cpu_percent:.0f} % of a core"),
        ("CPUs it may use", f"{target.cpus:g} of {target.machine_cpus}"),
        ("memory", memory),
        ("descriptors", files),
        ("threads", f"{len(alive)} ({sum(t.native for t in alive)} native), {snapshot.births_per_s:.1f} started per s"),
        ("switches", "n/a" if snapshot.switches_per_s is None else f"{text.count(snapshot.switches_per_s)} per s"),
        ("GIL switches", "n/a" if gil is None else f"{text.count(gil)} per s"),
    ]


def own_cost(snapshot: Snapshot) -> str:
    own, helper = snapshot.own_cpu_percent, snapshot.helper_cpu_percent
    if not snapshot.helper_limit_percent:
        return f"{own:.1f} % of a core, budget {snapshot.budget_percent:.0f} %"
    return (
        f"{own:.1f} % of a core: py-spy {helper:.1f}, which is held to {snapshot.helper_limit_percent:.0f} by looking "
        f"less often, and all else {own - helper:.1f}, budget {snapshot.budget_percent:.0f}"
    )


def _sampling(snapshot: Snapshot) -> list[tuple[str, str]]:
    def of(number: int) -> str:
        share = f" ({text.percent(number / snapshot.samples, 2)})" if snapshot.samples and number else ""
        return f"{number}{share}"

    # Of all that were due: of those that came it could be more than all.
    due = snapshot.samples + snapshot.misses
    missed = f" ({text.percent(snapshot.misses / due, 2)})" if snapshot.misses else ""
    limited = 0 < snapshot.target_hz < snapshot.rate_hz
    waits = f"{snapshot.own_wait_percent:.0f} % of the time for a CPU: others have them all"
    return [
        ("engine", snapshot.engine or "n/a"),
        (
            "asked for",
            f"{snapshot.rate_hz:.0f} Hz" + (f", cut to {snapshot.target_hz:.0f} by the budget" if limited else ""),
        ),
        ("achieved", f"{snapshot.achieved_hz:.1f} Hz"),
        ("samples", str(snapshot.samples)),
        ("missed", f"{snapshot.misses}{missed}"),
        *([("not seen", told)] if (told := unseen_for(snapshot.gaps, snapshot.gap_s)) else []),
        ("repaired", f"{of(snapshot.repaired)}  torn stacks put right"),
        ("dropped", f"{of(snapshot.dropped)}  stacks given up"),
        ("doubtful", f"{of(snapshot.doubtful)}  stacks that may be wrong in the innermost frame"),
        ("own cost", own_cost(snapshot)),
        *([("waits", waits)] if snapshot.own_wait_percent >= 1 else []),
        *([("seen", seen_words(snapshot))] if seen_words(snapshot) else []),
        ("window", text.duration(snapshot.seconds)),
    ]


def seen_words(snapshot: Snapshot) -> str:
    """What the budget leaves out; '' where it has room for all threads."""
    if not 0 <= snapshot.threads_seen < snapshot.threads_there:
        return ""
    return f"{snapshot.threads_seen:,} of {snapshot.threads_there:,} threads a second, in turn: the budget is full"


def _capabilities(snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    lines: list[Line] = [[Segment("What can be seen", palette.title)]]
    for name, capability in snapshot.capabilities.items():
        mark, style = ("✓", palette.ok) if capability.available else ("×", palette.warn)
        said = paragraph(CAPABILITIES.get(name, ""), max(8, width - 18), palette.dim) or [[]]
        head = [
            Segment(f"  {mark} ", style),
            Segment(fit(name, 13), palette.bright if capability.available else palette.base),
        ]
        lines.append([*head, *said[0]])
        lines += [[Segment(" " * 17, palette.dim), *more] for more in said[1:]]
        if not capability.available and capability.why:
            lines += paragraph(capability.why, width, palette.base, 4)
        if not capability.available and capability.enable:
            lines += paragraph(f"to enable: {capability.enable}", width, palette.info, 4)
    return [*lines, []]


def _notices(snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    if not snapshot.notices:
        return []
    marks = {"warn": ("▲", palette.warn), "error": ("×", palette.error)}
    lines: list[Line] = [[Segment("Notices", palette.title), Segment(", latest first", palette.dim)]]
    for notice in reversed(snapshot.notices):
        mark, style = marks.get(notice.level, ("●", palette.info))
        body = paragraph(notice.text, width - 4, palette.base)
        lines.append([Segment(f"  {mark} ", style), *body[0]])
        lines += [[Segment("    ", palette.base), *more] for more in body[1:]]
    return lines


class Process(View):
    keys = ("pause", "copy", "export")

    def compose(self) -> ComposeResult:
        yield Page(id="page")

    def draw(self, snapshot: Snapshot) -> None:
        page = self.query_one(Page)
        palette, width = palette_of(self), page.room
        lines: list[Line] = []
        if snapshot.ending:
            lines += [*paragraph(snapshot.ending, width, palette.warn), []]
        half = (width - 3) // 2
        if snapshot.target is None:
            lines += [[Segment(NOTHING_YET, palette.dim)], [], *_notices(snapshot, width, palette)]
        elif width >= 96:
            left = _pairs("Process", _process(snapshot), half, palette) + _capabilities(snapshot, half, palette)
            right = _pairs("Sampling", _sampling(snapshot), half, palette) + _notices(snapshot, half, palette)
            lines += beside(left, right, half, "   ", palette.base)
        else:
            lines += _pairs("Process", _process(snapshot), width, palette)
            lines += _pairs("Sampling", _sampling(snapshot), width, palette)
            lines += _capabilities(snapshot, width, palette) + _notices(snapshot, width, palette)
        page.set_lines(lines)


VIEW = ViewSpec("process", 6, "Process", Process, short="Proc")
