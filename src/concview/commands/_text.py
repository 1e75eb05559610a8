"""Reports as text: for a terminal with colour, for a pipe without. Severity is symbol and word, never colour alone."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

from concview.commands import _build as build
from concview.commands._schema import FrameOut
from concview.model import STATES, Confidence, Finding, Frame, Hold, Measured, Severity, State
from concview.session.tree import tree
from concview.snapshot import LockView, Snapshot, ThreadView
from concview.text import clean, count, duration, percent, plural, short_path

#: Threads, locks and frames shown; the JSON has them all.
MOST_THREADS = 40
MOST_LOCKS = 10
MOST_FRAMES = 12
MOST_CHAINS = 10
#: Fewer library frames in a row are shown as they are.
LEAST_FOLDED = 3
_BOLD, _RED, _YELLOW, _DIM = "1", "31", "33", "2"


class Pen:
    """Collects lines; styles them only where they are seen on a terminal."""

    def __init__(self, styled: bool | None = None, width: int = 0) -> None:
        terminal = sys.stdout.isatty()
        if styled is None:
            styled = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.styled = styled
        self.width = width or (shutil.get_terminal_size().columns if terminal else 110)
        self._lines: list[str] = []

    def style(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.styled and text else text

    def line(self, text: str = "", code: str = "") -> None:
        self._lines.append(self.style(text, code) if code else text)

    def paragraph(self, text: str, indent: str = "  ", label: str = "") -> None:
        """Wrapped lines; code (indented further) stays as it is. `label` stands before the first line."""
        first = indent + (f"{label}: " if label else "")
        hang = indent + (" " * (len(label) + 2) if label else "")
        for number, part in enumerate(text.splitlines() or [""]):
            lead = first if number == 0 else hang
            if part.startswith(" ") or not part:
                self.line((lead + part).rstrip())
            else:
                width = max(40, self.width)
                self._lines.extend(
                    textwrap.wrap(part, width, initial_indent=lead, subsequent_indent=hang, break_on_hyphens=False)
                )

    def table(self, header: list[str], rows: Iterable[list[str]], left: int = 1) -> None:
        """Columns as wide as they must be; the first `left` flush left, numbers flush right."""
        body = list(rows)
        widths = [max(len(r[i]) for r in [header, *body]) for i in range(len(header))]
        for number, row in enumerate([header, *body]):
            cells = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
            self.line("  " + "  ".join(cells).rstrip(), _DIM if number == 0 else "")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


# ---------------------------------------------------------------- check


def check_text(snapshot: Snapshot, pen: Pen) -> str:
    """The verdict first, the evidence behind it after."""
    _headline(snapshot, pen)
    pen.line()
    fresh = [f for f in snapshot.findings if not f.recent]
    for finding in snapshot.findings:
        _finding(finding, pen)
    if not fresh:
        pen.line("No findings." if not snapshot.findings else "Nothing fires any more.", _BOLD)
        pen.line()
    _process(snapshot, pen)
    _threads(snapshot, pen)
    _locks(snapshot, pen)
    if snapshot.pending:
        pen.line("Not enough evidence yet", _BOLD)
        for pending in snapshot.pending:
            about = f" ({pending.subject})" if pending.subject else ""
            pen.paragraph(f"{pending.id}{about}: needs {pending.needs}")
        pen.line()
    if snapshot.clear:
        pen.line("Judged and clear", _BOLD)
        pen.paragraph(", ".join(snapshot.clear))
        pen.line()
    if snapshot.not_applicable:
        pen.line("Cannot be judged here", _BOLD)
        for rule in snapshot.not_applicable:
            pen.paragraph(f"{rule.id}: {rule.why}" + (f" ({rule.enable})" if rule.enable else ""))
        pen.line()
    for notice in snapshot.notices:
        if notice.level != "info":
            pen.paragraph(f"{notice.level}: {notice.text}", "")
    return pen.text().rstrip("\n") + "\n"


def _headline(snapshot: Snapshot, pen: Pen) -> None:
    target = snapshot.target
    if target is not None:
        pen.line(f"{target.pid}: {' '.join(target.command)}"[: max(40, pen.width)], _BOLD)
        free = ", free-threaded" if target.free_threaded else ""
        missed = f", {snapshot.misses} missed" if snapshot.misses else ""
        doubtful = f", {snapshot.doubtful} doubtful" if snapshot.doubtful else ""
        pen.line(
            f"Python {target.python}{free} · engine {snapshot.engine} · {snapshot.elapsed_s:.1f} s, "
            f"{snapshot.samples} samples ({build.achieved_hz(snapshot):.1f} Hz{missed}{doubtful}) · "
            f"own cost {snapshot.own_cpu_percent:.1f} % of a core"
        )
    if ending := build.unusual_ending(snapshot):
        pen.line(ending, _YELLOW)


def _finding(finding: Finding, pen: Pen) -> None:
    warn = finding.severity is Severity.WARN
    mark = "▲ WARN" if warn else "● INFO"
    pen.line(
        f"{mark} {finding.score:3d}  {finding.id}: {finding.title}" + ("  (recent)" if finding.recent else ""),
        _RED if warn else _YELLOW,
    )
    pen.paragraph(finding.summary)
    pen.paragraph(f"{measured_text(finding.measured)}; confidence: {finding.confidence.value}", label="measured")
    for where in finding.where:
        source = f"   {where.text}" if where.text else ""
        pen.line(f"  where: {where.function} ({short_path(where.file, 60)}:{where.line}){source}")
    for frames, alike in groupby(finding.stacks, lambda s: (s.role, s.frames)):  # one stack of several threads: once
        for stack in alike:
            note = f", {stack.note}" if stack.note else ""
            pen.line(f"  {stack.role}: {stack.name} (tid {stack.tid}{note})")
        _frames(frames[1], pen, "      ")
    pen.paragraph(finding.why, label="why")
    pen.paragraph(finding.fix, label="fix")
    if finding.gain:
        pen.paragraph(finding.gain, label="gain")
    if finding.check_next:
        pen.paragraph(finding.check_next, label="next")
    pen.line()


def measured_text(measured: Measured) -> str:
    lower = f" (at least {measured.lower:.3g} with 95 % confidence)" if measured.lower is not None else ""
    return (
        f"{measured.name} {measured.value:.3g}{lower}, info from {measured.info:g}, warn from {measured.warn:g} "
        f"({measured.unit})"
    )


def _frames(frames: Sequence[Frame], pen: Pen, indent: str) -> None:
    """Leaf first. Of the frames that are not the user's own, those between the leaf and his are only counted."""
    shown = folded(frames)
    for frame in shown[:MOST_FRAMES]:
        if isinstance(frame, int):
            pen.line(f"{indent}... {plural(frame, 'frame')} of libraries", _DIM)
            continue
        source = f"   {frame.text}" if frame.text else ""
        pen.line(f"{indent}{frame.function} ({short_path(frame.file, 60)}:{frame.line}){source}")
    if len(shown) > MOST_FRAMES:
        pen.line(f"{indent}... {len(shown) - MOST_FRAMES} more")


def folded(frames: Sequence[Frame]) -> list[Frame | int]:
    """Three and more library frames in a row, the leaf excepted, as their number. Without any of the user's: all."""
    if all(f.origin != "user" for f in frames):
        return list(frames)
    out: list[Frame | int] = []
    for own, row in groupby(frames[1:], lambda f: f.origin == "user"):
        those = list(row)
        out += those if own or len(those) < LEAST_FOLDED else [len(those)]
    return [*frames[:1], *out]


def _number(value: float | None, form: str, unit: str) -> str:
    return "not seen" if value is None else f"{form.format(value)}{unit}"


def _process(snapshot: Snapshot, pen: Pen) -> None:
    gil = snapshot.gil
    held = (
        f"GIL held {percent(gil.held_share)}, {gil.waiters_mean:.1f} waiting on average, at most {gil.waiters_max}"
        if gil.available
        else "GIL not seen"
    )
    switches = "not seen" if snapshot.switches_per_s is None else f"{count(snapshot.switches_per_s)}/s"
    pen.line("Process", _BOLD)
    pen.paragraph(
        f"CPU {_number(snapshot.cpu_percent, '{:.0f}', ' % of a core')}; "
        f"{plural(sum(t.alive for t in snapshot.threads), 'thread')}; context switches {switches}; {held}"
    )
    pen.line()


def _threads(snapshot: Snapshot, pen: Pen) -> None:
    threads = [t for t in snapshot.threads if not t.native]
    if not threads:
        return
    # The ones with something to tell first: those that neither sleep nor idle.
    threads.sort(key=lambda t: t.shares[State.SLEEP] + t.shares[State.IDLE])
    pen.line("Threads: share of the time in each state", _BOLD)
    rows = [[_name(t), *(f"{share * 100:.0f}" if share >= 0.005 else "·" for share in t.shares)] for t in threads]
    pen.table(["name", *(f"{s} %" for s in STATES)], rows[:MOST_THREADS])
    if len(rows) > MOST_THREADS:
        pen.line(f"  ... {len(rows) - MOST_THREADS} more (all in --format json)")
    pen.line()


def _name(thread: ThreadView) -> str:
    name = clean(thread.name, 32)
    return name if thread.alive else f"{name} (ended)"


def _locks(snapshot: Snapshot, pen: Pen) -> None:
    locks = [lock for lock in snapshot.locks if lock.waiters_mean > 0 or lock.waiters_now]
    if not locks:
        return
    pen.line("Locks that threads waited for", _BOLD)
    for lock in locks[:MOST_LOCKS]:
        who = ", ".join(f"{h.name} {percent(h.share)} ({h.confidence.value})" for h in lock.holders[:3])
        pen.paragraph(
            f"{lock_text(lock)}: held {percent(lock.held_share)}, {lock.waiters_mean:.1f} waiting on average, "
            f"at most {lock.waiters_max}" + (f"; held by {who}" if who else "")
        )
        for line in lock_numbers(lock):
            pen.paragraph(line, "    ")
    if len(locks) > MOST_LOCKS:
        pen.line(f"  ... {len(locks) - MOST_LOCKS} more (all in --format json)")
    pen.line()


def lock_numbers(lock: LockView) -> list[str]:
    """Hold and wait times, hand-overs, what holders do, the cap: one sentence each, as far as they can be told."""
    out: list[str] = []
    times = [("median", lock.hold_p50_s), ("95 %", lock.hold_p95_s), ("longest", lock.hold_max_s)]
    told = [f"{label} {duration(value)}" for label, value in times if value is not None]
    limit = duration(3 * lock.resolution_s)
    if not lock.holds_ended and lock.hold_max_s is not None:
        out.append(f"held for {duration(lock.hold_max_s)} and not given back yet")
    elif told:
        short = f" (shorter than {limit} cannot be measured)" if len(told) < len(times) else ""
        out.append(f"holds: {', '.join(told)} of {lock.holds} seen{short}")
    elif lock.holds:
        every = duration(lock.resolution_s)
        out.append(f"holds: each shorter than {limit}, which sampling every {every} cannot measure")
    if lock.waits:
        out.append(
            f"waits: {duration(lock.wait_mean_s)} on average, longest {duration(lock.wait_max_s)}; "
            f"{duration(lock.wait_each_s)} of the window for each waiter"
        )
    if lock.doing:
        out.append("its holders: " + ", ".join(f"{what} {percent(share)}" for what, share in lock.doing[:4]))
    if lock.handoffs_per_s >= 0.05:
        out.append(f"changes hands at least {count(round(lock.handoffs_per_s, 1))} times a second")
    if lock.speedup_cap is not None and lock.speedup_cap < lock.workers:
        out.append(f"its {lock.workers} threads together can be at most {lock.speedup_cap:.1f} times as fast as one")
    if lock.made:
        out.append(f"made at {short_path(lock.made, 60)}")
    if len(lock.places) > 1:
        out.append("taken at " + ", ".join(f"{short_path(p.file, 40)}:{p.line}" for p in lock.places[:6]))
    return out


def lock_text(lock: LockView) -> str:
    name = lock.site.expression or build.lock_id(lock.address, lock.key)
    place = f" ({short_path(lock.site.file, 40)}:{lock.site.line})" if lock.site.file else ""
    return f"{name}{place}{' ' + lock.kind if lock.kind else ''}"


# ---------------------------------------------------------------- dump


def dump_text(snapshot: Snapshot, pen: Pen, deep: dict[int, list[FrameOut]] | None = None) -> str:
    """Like jstack: every thread with its state, what it waits for, what it holds and where it stands."""
    target = snapshot.target
    if target is not None:
        when = datetime.fromtimestamp(snapshot.epoch).strftime("%Y-%m-%d %H:%M:%S")
        pen.line(f"{target.pid}: {' '.join(target.command)}"[: max(40, pen.width)], _BOLD)
        pen.line(f"Python {target.python} · engine {snapshot.engine} · {when}")
    if ending := build.unusual_ending(snapshot):
        pen.line(ending, _YELLOW)
    pen.line(_gil_line(snapshot))
    pen.line()
    for circle in build.cycles(snapshot):
        _deadlock(snapshot, circle, pen)
    _chains(snapshot, pen)
    shown = build.dumped(snapshot)
    for thread in shown:
        _thread(thread, pen, (deep or {}).get(thread.tid))
    if hidden := sum(t.alive for t in snapshot.threads) - len(shown):
        pen.line(f"{plural(hidden, 'native thread')} without a Python stack not shown")
    return pen.text().rstrip("\n") + "\n"


def _gil_line(snapshot: Snapshot) -> str:
    gil = snapshot.gil
    if not gil.available:
        capability = snapshot.capabilities.get("gil")
        return f"GIL: cannot be seen{': ' + capability.why if capability is not None and capability.why else ''}"
    if gil.holder_now > 0:
        holder = snapshot.thread(gil.holder_now)
        who = f'held by "{holder.name}" (tid {holder.tid})' if holder else f"held by tid {gil.holder_now}"
    elif gil.holder_now == 0:
        who = "free"
    else:
        who = "held by a thread that cannot be named" if gil.holder_now == -2 else "holder cannot be seen"
    waiting = f", {plural(gil.waiters_now, 'thread')} waiting" if gil.waiters_now else ""
    return f"GIL: {who}{waiting}"


def _deadlock(snapshot: Snapshot, circle: list[ThreadView], pen: Pen) -> None:
    exact = all(t.blocked_confidence is Confidence.EXACT for t in circle)
    kind = "DEADLOCK" if exact else "POSSIBLE DEADLOCK (holders inferred from source)"
    pen.line(f"▲ {kind}: {plural(len(circle), 'thread')} wait for each other", _RED)
    for i, thread in enumerate(circle):
        held = build.held_for(snapshot, thread, circle[i - 1])
        wanted = build.wait_name(snapshot, thread)
        pen.line(f'    "{thread.name}" (tid {thread.tid}) holds {held} and waits for {wanted}')
    pen.line()


def _chains(snapshot: Snapshot, pen: Pen) -> None:
    """Who waits behind whom, drawn; a circle has been told already, those behind it have not."""
    shown = [c for c in snapshot.chains if not c.cycle or len({e.waiter for e in c.edges}) > len(c.cycle)]
    if not shown:
        return
    pen.line("Who waits for whom", _BOLD)
    for chain in shown[:MOST_CHAINS]:
        pen.paragraph(chain.text + ("" if chain.exact else " (inferred)"))
        for line in tree(chain, snapshot):
            pen.line(f"    {line}")
    if len(shown) > MOST_CHAINS:
        pen.line(f"  ... {len(shown) - MOST_CHAINS} more (all in --format json)")
    pen.line()


def _thread(thread: ThreadView, pen: Pen, deep: list[FrameOut] | None) -> None:
    since = f" for {duration(thread.since_s)}" if thread.since_s > 0 else ""
    gil = ", holds the GIL" if thread.holds_gil else ""
    pen.line(f'"{clean(thread.name, 80)}" tid {thread.tid}: {thread.state.name.lower()}{since}{gil}', _BOLD)
    if thread.reason:
        pen.paragraph(thread.reason, "    ")
    for hold in thread.holds:
        pen.line(f"    holds {hold_text(hold)}")
    frames = deep or [FrameOut(f.function, f.file, f.line, f.text) for f in thread.stack.frames]
    for frame in frames:
        source = f"   {frame.text}" if frame.text else ""
        pen.line(f"        {frame.function} ({frame.file}:{frame.line}){source}")
        for name, value in (frame.locals or {}).items():
            pen.line(f"            {name} = {value}", _DIM)
    if thread.stack.truncated:
        pen.line("        ... (deeper than can be read)")
    if not frames:
        pen.line("        (no Python stack)")
    pen.line()


def hold_text(hold: Hold) -> str:
    address = f" {hold.lock:#x}" if hold.lock else ""
    return (
        f"{build.hold_name(hold)} ({hold.kind or 'lock'}{address}, taken at "
        f"{short_path(hold.site.file, 50)}:{hold.site.line}, {hold.confidence.value})"
    )
