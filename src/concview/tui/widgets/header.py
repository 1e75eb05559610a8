"""The two lines at the top: what is looked at, whether the picture is alive, and what looking costs."""

from __future__ import annotations

from rich.segment import Segment

from concview import text
from concview.snapshot import Snapshot, Status
from concview.tui.keys import by_id
from concview.tui.text_render import Line, cells, fit, fit_command, seconds
from concview.tui.theme import Palette, palette_of
from concview.tui.widgets.bars import Bar

#: Status -> symbol, word, badge.
BADGES: dict[Status, tuple[str, str, str]] = {
    Status.WAITING: ("…", "ATTACHING", "info"),
    Status.LIVE: ("●", "LIVE", "ok"),
    Status.REPLAY: ("▶", "REPLAY", "info"),
    Status.STOPPED: ("■", "STOPPED", "warn"),
    Status.EXITED: ("×", "EXITED", "error"),
    Status.LOST: ("!", "LOST", "error"),
    Status.FINISHED: ("■", "END", "mute"),
}
PAUSED = ("‖", "PAUSED", "warn")
#: Percent of the time without a CPU from which on that is said to be why samples are missing.
STARVED = 20.0

#: Seconds for which attaching costs more than the budget, which is paid back after it.
BEGINS_S = 10.0

_SAID: dict[Status, str] = {
    Status.STOPPED: "the process is stopped; nothing runs until it is continued",
    Status.EXITED: "the process ended; this is its last state",
    Status.LOST: "nothing arrives any more; this is the last state",
    Status.FINISHED: "the recording is at its end",
}


def first_line(
    shown: Snapshot, newest: Snapshot, paused: bool, width: int, palette: Palette, back: bool = False
) -> Line:
    # A process that has ended matters more than that somebody paused.
    ended = newest.status in (Status.EXITED, Status.LOST, Status.FINISHED)
    symbol, word, badge = PAUSED if paused and not ended else BADGES[newest.status]
    note = newest.ending or _SAID.get(newest.status, "")
    if paused and not ended:
        behind = newest.elapsed_s - shown.elapsed_s
        key = by_id("pause").shown
        goes_on = f"{key} plays on" if newest.status is Status.REPLAY else f"{key} resumes, collection goes on"
        note = f"{seconds(behind)} back; {goes_on}" if back else f"{seconds(behind)} ago; {goes_on}"
        if behind < 1:
            note = goes_on
    line = [Segment(f" {symbol} {word} ", palette.badges[badge]), Segment(" ", palette.bar)]
    target = newest.target
    if target is None:
        line.append(Segment("waiting for the first samples", palette.bar_dim))
        return line
    room = width - cells(line) - 1
    place = f" ({target.place})" if target.place else ""
    facts = f"  pid {target.pid}{place}  Python {target.python}{' free-threaded' if target.free_threaded else ''}"
    if note:
        # Loud states say why before anything else; the process is still named as far as there is room.
        loud = fit(note, min(len(note), max(12, room - 16)))
        name = text.short_command(target.command)
        rest = room - len(loud) - 2
        line += [Segment(loud, palette.bar_bright), Segment("  ", palette.bar)]
        both = name + facts
        line.append(Segment(fit(both, min(len(both), max(0, rest))), palette.bar_dim))
        return line
    name = text.short_command(target.command)
    said = fit_command(name, min(len(name) + 6, max(8, room - len(facts)))).rstrip()
    line.append(Segment(said, palette.bar_bright))
    line.append(Segment(fit(facts, min(len(facts), max(0, width - cells(line)))), palette.bar_dim))
    return line


def second_line(newest: Snapshot, width: int, palette: Palette) -> Line:
    if newest.status is Status.WAITING:
        return [Segment(" attaching …", palette.bar_dim)]
    loud = palette.bar_bright
    own, helper = newest.own_cpu_percent, newest.helper_cpu_percent
    over = bool(newest.budget_percent) and own - helper > newest.budget_percent
    slow = bool(newest.target_hz) and newest.achieved_hz < 0.8 * newest.target_hz
    asked = f"{newest.rate_hz:.0f}"
    begins = "attaching; " if over and newest.status is Status.LIVE and newest.elapsed_s < BEGINS_S else ""
    why = ""
    if slow and newest.own_wait_percent >= STARVED:
        why = f" ({'no CPU' if width < 100 else 'concview had no CPU'} {newest.own_wait_percent:.0f} % of the time)"
    parts = [
        (newest.engine or "no engine", False),
        (f"{newest.achieved_hz:.0f} of {asked} Hz{why}", slow),
        (f"own cost {own:.1f} % of a core ({begins}budget {newest.budget_percent:.0f} %)", over),
        (
            f"{text.plural(newest.misses, 'sample')} missed" if width >= 100 else f"{newest.misses} missed",
            newest.misses > 0.05 * max(1, newest.samples),
        ),
        (f"seen for {seconds(newest.elapsed_s)}", False),
    ]
    if width < 76:
        parts[2] = (f"own {own:.1f} % of a core", over)
    if newest.helper_limit_percent:  # the budget steers the rest only
        rest = f", else {own - helper:.1f} of {newest.budget_percent:.0f}" if width >= 76 else ""
        parts[2] = (
            f"own {'cost ' if rest else ''}{own:.1f} % (py-spy {helper:.1f}"
            + (f" of {newest.helper_limit_percent:.0f}{rest})" if rest else ")"),
            over or helper > newest.helper_limit_percent,
        )
    line: Line = [Segment(" ", palette.bar)]
    for words, stands_out in parts:
        gap = " · " if len(line) > 1 else ""
        if cells(line) + len(gap) + len(words) > width - 1:
            break
        line += [Segment(gap, palette.bar_dim), Segment(words, loud if stands_out else palette.bar_dim)]
    return line


class Header(Bar):
    DEFAULT_CSS = "Header { height: 2; width: 100%; }"

    def show(self, shown: Snapshot, newest: Snapshot, paused: bool, back: bool = False) -> None:
        """`back`: another moment than that of the pause is shown."""
        palette, width = palette_of(self), self.size.width
        self.set_lines([first_line(shown, newest, paused, width, palette, back), second_line(newest, width, palette)])
