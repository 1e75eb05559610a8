"""What `check` says, as text. Severity is symbol and word, never colour alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from concview.commands import _build as build
from concview.commands._blame_text import blame_text
from concview.commands._dump_text import chain_lines
from concview.commands._tasks_text import check_tasks
from concview.commands._text_writer import BOLD, DIM, RED, YELLOW, Pen
from concview.commands._work import work_text
from concview.model import STATES, Finding, Frame, Severity, State
from concview.session.account import clock
from concview.session.phrases import measured_text, unended, unseen_for
from concview.snapshot import LockView, Snapshot, ThreadView
from concview.text import clean, count, duration, group, percent, plural, short_path

#: Threads, locks and frames shown; the JSON has them all.
#: Interpreters with a GIL of their own that are told one by one.
MOST_GILS = 4
#: Threads that nobody has looked at yet are told of from so many on, and from this share of the others.
UNSEEN, UNSEEN_SHARE = 20, 0.1
MOST_THREADS = 40
MOST_LOCKS = 10
MOST_FRAMES = 12
#: Fewer library frames in a row are shown as they are.
LEAST_FOLDED = 3


def check_text(snapshot: Snapshot, pen: Pen) -> str:
    """The verdict first, the evidence behind it after. What could not be judged is told by the closing lines."""
    headline(snapshot, pen)
    pen.line()
    moment = snapshot.target is not None and bool(snapshot.target.core)
    if not moment:
        blame_text(snapshot, pen)
    elif snapshot.blame is not None:
        pen.paragraph(snapshot.blame.sentence, "")
        pen.line()
    fresh = [f for f in snapshot.findings if not f.recent]
    for finding in snapshot.findings:
        finding_text(finding, pen)
    if not fresh:
        pen.line("No findings." if not snapshot.findings else "Nothing fires any more.", BOLD)
        pen.line()
    if moment:
        _moment(snapshot, pen)
    else:
        work_text(snapshot, pen)
        _process(snapshot, pen)
        _threads(snapshot, pen)
        _locks(snapshot, pen)
        check_tasks(snapshot, pen)
    if snapshot.pending:
        pen.line("Not enough evidence yet", BOLD)
        for pending in snapshot.pending:
            about = f" ({pending.subject})" if pending.subject else ""
            pen.paragraph(f"{pending.id}{about}: needs {pending.needs}")
        pen.line()
    if snapshot.clear:
        pen.line("Judged and clear", BOLD)
        pen.paragraph(", ".join(snapshot.clear))
        pen.line()
    for notice in snapshot.notices:
        if notice.level != "info":
            pen.paragraph(f"{notice.level}: {notice.text}", "")
    return pen.text().rstrip("\n") + "\n"


def headline(snapshot: Snapshot, pen: Pen) -> None:
    target = snapshot.target
    if target is not None:
        pen.line(f"{target.pid}: {' '.join(target.command)}"[: max(40, pen.width)], BOLD)
        if target.place:
            pen.line(f"runs in {target.place}" + (f", pod {target.pod}" if target.pod and target.container else ""))
        free = ", free-threaded" if target.free_threaded else ""
        if target.core:
            pen.line(f"Python {target.python}{free} · core file of {clock(snapshot.epoch)}: {target.core}")
            return
        missed = f", {snapshot.misses} missed" if snapshot.misses else ""
        doubtful = f", {snapshot.doubtful} doubtful" if snapshot.doubtful else ""
        pen.line(
            f"Python {target.python}{free} · engine {snapshot.engine} · {snapshot.elapsed_s:.1f} s, "
            f"{snapshot.samples} samples ({build.achieved_hz(snapshot):.1f} Hz{missed}{doubtful}) · "
            f"own cost {snapshot.own_cpu_percent:.1f} % of a core"
            + (f", {snapshot.helper_cpu_percent:.1f} of it py-spy" if snapshot.helper_limit_percent else "")
        )
    if told := unseen_for(snapshot.gaps, snapshot.gap_s):
        pen.line(told, YELLOW)
    if ending := build.unusual_ending(snapshot):
        pen.line(ending, YELLOW)


def finding_text(finding: Finding, pen: Pen) -> None:
    warn = finding.severity is Severity.WARN
    mark = "▲ WARN" if warn else "● INFO"
    pen.line(
        f"{mark} {finding.score:3d}  {finding.id}: {finding.title}" + ("  (recent)" if finding.recent else ""),
        RED if warn else YELLOW,
    )
    pen.paragraph(finding.summary)
    pen.paragraph(f"{measured_text(finding.measured)}; confidence: {finding.confidence.value}", label="measured")
    for where in finding.where:
        source = f"   {where.text}" if where.text else ""
        pen.line(f"  where: {where.function} ({short_path(where.file, 60)}:{where.line}){source}")
    for frames, alike in groupby(finding.stacks, lambda s: (s.role, s.frames)):  # one stack of several threads: once
        for stack in alike:
            note = f", {stack.note}" if stack.note else ""
            who = "task" if stack.task else f"tid {stack.tid}"
            pen.line(f"  {stack.role}: {stack.name} ({who}{note})")
        _frames(frames[1], pen, "      ")
    pen.paragraph(finding.why, label="why")
    pen.paragraph(finding.fix, label="fix")
    if finding.gain:
        pen.paragraph(finding.gain, label="gain")
    if finding.check_next:
        pen.paragraph(finding.check_next, label="next")
    pen.line()


def _frames(frames: Sequence[Frame], pen: Pen, indent: str) -> None:
    """Leaf first. Of the frames that are not the user's own, those between the leaf and his are only counted."""
    shown = folded(frames)
    for frame in shown[:MOST_FRAMES]:
        if isinstance(frame, int):
            pen.line(f"{indent}... {plural(frame, 'frame')} of libraries", DIM)
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


def _moment(snapshot: Snapshot, pen: Pen) -> None:
    """Of a core file: how many do what, and who waits for whom."""
    states = Counter(t.state.name.lower() for t in snapshot.threads if not t.native)
    pen.line("Threads", BOLD)
    pen.paragraph(", ".join(f"{number} {state}" for state, number in states.most_common()))
    pen.line()
    chain_lines(snapshot, pen)


def _number(value: float | None, form: str, unit: str) -> str:
    return "not seen" if value is None else f"{form.format(value)}{unit}"


def _threads_seen(snapshot: Snapshot) -> str:
    """'12 threads', or '12,011 threads (906 of them looked at so far)'."""
    alive = sum(t.alive for t in snapshot.threads)
    if snapshot.threads_there - alive > max(UNSEEN, alive * UNSEEN_SHARE):
        return f"{snapshot.threads_there:,} threads ({alive:,} of them looked at so far)"
    return plural(alive, "thread")


def _process(snapshot: Snapshot, pen: Pen) -> None:
    gil = snapshot.gil
    held = (
        f"GIL held {percent(gil.held_share)}, {gil.waiters_mean:.1f} waiting on average, at most {gil.waiters_max}"
        if gil.available
        else "GIL not seen"
    )
    if gil.elsewhere:
        held = (
            f"GIL of the main interpreter held {percent(gil.held_share)}; {gil.waiters_mean:.1f} threads on average "
            "wait for a subinterpreter's, whose holder is not looked at"
        )
    if gil.interpreters and gil.available:
        held = f"main interpreter: {held}; {plural(len(gil.interpreters) - 1, 'other interpreter')}"
        others = gil.others
        for i in others[:MOST_GILS]:
            held += f"; interpreter {i.id}: GIL held {percent(i.held_share)}, {i.waiters_mean:.1f} waiting on average"
        if more := len(others) - MOST_GILS:
            held += f"; {more} more with a GIL of their own (all in --format json)" if more > 0 else ""
    switches = "not seen" if snapshot.switches_per_s is None else f"{count(snapshot.switches_per_s)}/s"
    pen.line("Process", BOLD)
    pen.paragraph(
        f"CPU {_number(snapshot.cpu_percent, '{:.0f}', ' % of a core')}; "
        f"{_threads_seen(snapshot)}; context switches {switches}; {held}"
    )
    pen.line()


def _threads(snapshot: Snapshot, pen: Pen) -> None:
    threads = [t for t in snapshot.threads if not t.native]
    if not threads:
        return
    # Of the others nothing was seen in the window: they had ended before it, or began at its end.
    seen = [t for t in threads if any(t.shares)]
    unseen = len(threads) - len(seen)
    pools: dict[str, list[ThreadView]] = {}
    for thread in seen:
        pools.setdefault(group(thread.name) if len(seen) > MOST_THREADS else str(thread.tid), []).append(thread)
    # The ones with something to tell first: those that neither sleep nor idle.
    told = sorted((_row(members) for members in pools.values()), key=lambda r: r[1][State.SLEEP] + r[1][State.IDLE])
    if told:
        pen.line("Threads: share of the time in each state", BOLD)
        rows = [[name, *(f"{share * 100:.0f}" if share >= 0.005 else "·" for share in shares)] for name, shares in told]
        pen.table(["name", *(f"{s} %" for s in STATES)], rows[:MOST_THREADS])
    if len(told) > MOST_THREADS:
        pen.line(f"  ... {len(told) - MOST_THREADS} more (all in --format json)")
    if unseen:
        pen.line(f"  and {plural(unseen, 'thread')} that ended before or began after what this table covers")
    pen.line()


def _row(threads: Sequence[ThreadView]) -> tuple[str, Sequence[float]]:
    """Of a thread or a pool: its name, and the share of its time in each state."""
    if len(threads) == 1:
        return _name(threads[0]), threads[0].shares
    ended = sum(not t.alive for t in threads)
    counted = plural(len(threads), "thread") + (f", {ended} ended" if ended else "")
    shares = [sum(column) / len(threads) for column in zip(*(t.shares for t in threads), strict=True)]
    return f"{clean(group(threads[0].name), 32)} ({counted})", shares


def _name(thread: ThreadView) -> str:
    name = clean(thread.name, 32)
    return name if thread.alive else f"{name} (ended)"


def _locks(snapshot: Snapshot, pen: Pen) -> None:
    locks = [lock for lock in snapshot.locks if lock.waiters_mean > 0 or lock.waiters_now]
    if not locks:
        return
    pen.line("Locks that threads waited for", BOLD)
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
        out.append(f"held {unended(lock)}")
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
