"""What `check` says of several processes: the verdict of all, findings that several have once, a row for each."""

from __future__ import annotations

from collections.abc import Sequence

from concview.commands import _text
from concview.commands._text_writer import BOLD, DIM, RED, YELLOW, Pen
from concview.commands._verdicts.base import Checked, Process, Repeated
from concview.commands._work import tree_work_text
from concview.model import Role, Severity
from concview.session.supervisor import WATCHES
from concview.snapshot import Snapshot, Status
from concview.text import clean, listed, plural, short_command

_MOST_NAMED, _MOST_EDGES = 6, 20
#: Verdicts of those that wait for others, without that anybody is in their way.
_WAIT = frozenset({"waits", "outside"})
_RANK = {Severity.WARN: 2, Severity.INFO: 1, None: 0}


def tree_text(checked: Checked, pen: Pen) -> None:
    _headline(checked, pen)
    pen.line()
    verdicts(checked, pen)
    pen.line()
    table(checked, pen)
    tree_work_text(
        [
            (f"{clean(p.name, 40)} ({p.pid})", p.role is Role.WORKER, s)
            for p, s in zip(checked.processes, checked.runs, strict=True)
            if not p.ended and s.status is not Status.EXITED
        ],
        pen,
    )
    for repeated in checked.findings:
        pen.line(of_how_many(repeated.runs, checked) + ":", BOLD)
        _text.finding_text(repeated.finding, pen)
    if not checked.findings:
        pen.line("No findings.", BOLD)
        pen.line()


def table(checked: Checked, pen: Pen) -> None:
    """A row for each process, then who waits for whom across them."""
    _rows(checked, pen)
    pen.line()
    _across(checked, pen)


def of_how_many(numbers: Sequence[int], checked: Checked) -> str:
    """'2 of 3 workers (worker 1, worker 3)', 'app.py (4711)'. `numbers`: of the processes, from 1 on."""
    those = [checked.processes[n - 1] for n in numbers]
    workers = [p for p in checked.processes if p.role is Role.WORKER]
    if len(those) == 1 and len(workers) < 2:
        return f"{those[0].name} ({those[0].pid})"
    if all(p.role is Role.WORKER for p in those):
        of = f"{len(those)} of {plural(len(workers), 'worker')}"
    else:
        of = f"{len(those)} of {plural(len(checked.processes), 'process', 'processes')}"
    return f"{of} ({listed([f'{p.name} {p.pid}' for p in those], _MOST_NAMED)})"


def verdicts(checked: Checked, pen: Pen) -> None:
    """Those with something to look into, alike ones together, worst first; else that there are none."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, snapshot in enumerate(checked.runs, 1):
        if snapshot.blame is not None and snapshot.blame.severity is not None:
            groups.setdefault(_likeness(snapshot), []).append(number)

    def worst_of(numbers: list[int]) -> tuple[int, float]:
        return max(weight(checked.runs[n - 1]) for n in numbers)

    ordered = sorted(groups.values(), key=worst_of, reverse=True)
    for numbers in ordered:
        worst = max((checked.runs[n - 1] for n in numbers), key=weight)
        blame = worst.blame
        assert blame is not None and blame.severity is not None
        warn = blame.severity is Severity.WARN
        text = f"{of_how_many(numbers, checked)}: {blame.sentence}"
        pen.paragraph(("▲ " if warn else "● ") + text, "")
        for said in blame.more:
            pen.paragraph(said)
    died = [(p, s.died) for p, s in zip(checked.processes, checked.runs, strict=True) if s.died]
    for process, how in died:
        pen.line(f"▲ {clean(process.name, 40)} ({process.pid}) {how}", RED)
    if not ordered and not died and not checked.across.circles and not checked.across.orphans:
        pen.line(calm(checked), BOLD)
        waiting: dict[tuple[object, ...], list[int]] = {}
        for number, snapshot in enumerate(checked.runs, 1):
            if snapshot.blame is not None and snapshot.blame.verdict in _WAIT:
                waiting.setdefault(_likeness(snapshot), []).append(number)
        for numbers in waiting.values():
            blames = [b for n in numbers if (b := checked.runs[n - 1].blame) is not None]
            longest = max(blames, key=lambda b: max((c.stuck_s for c in b.causes), default=0.0))
            pen.paragraph(f"{of_how_many(numbers, checked)}: {longest.sentence}")
    for circle in checked.across.circles:
        pen.line(f"▲ DEADLOCK across processes: {plural(len(circle), 'thread')} wait for each other", RED)
        for waiter, holder in zip(circle, [*circle[1:], circle[0]], strict=True):
            pen.paragraph(f"{thread_name(waiter, checked)} waits for {thread_name(holder, checked)}")
    for orphan in checked.across.orphans:
        pen.line(f"▲ ORPHANED LOCK: {plural(len(orphan.waiters), 'thread')} wait for what nobody gives back", RED)
        pen.paragraph(orphan.why)
        pen.paragraph(listed([thread_name(w, checked) for w in orphan.waiters], _MOST_NAMED))
    for why in checked.missed:
        pen.paragraph(f"not seen: {why}", "")


def calm(checked: Checked) -> str:
    """What is said when nobody is held up: of those that do something, not of whoever only watches them."""
    judged = [s for s in checked.runs if s.blame is not None and s.blame.verdict != WATCHES]
    told = plural(len(judged), "process", "processes")
    if any(s.blame is not None and s.blame.verdict in _WAIT for s in judged):
        return f"None of {told} is held up; some wait:"
    if any(s.blame is not None and s.blame.verdict == "clear" for s in judged):
        return f"Clear: none of {told} is held up."
    if judged and all(s.blame is not None and s.blame.verdict == "idle" for s in judged):
        return f"Idle: {told}, none is held up."
    return f"{told} looked at; each one's verdict is below."


def _likeness(snapshot: Snapshot) -> tuple[object, ...]:
    blame = snapshot.blame
    assert blame is not None
    step = next((c.path[0] for c in blame.causes if c.path), None)
    if step is not None:
        return (blame.verdict, step.via, step.what, step.file)
    return (blame.verdict, *((c.kind, c.what, c.file, c.line) for c in blame.causes[:1]))


def weight(snapshot: Snapshot) -> tuple[int, float]:
    """How much is wrong, to compare by."""
    blame = snapshot.blame
    if blame is None:
        return (0, 0.0)
    return (_RANK[blame.severity], blame.threads * (blame.held_up + blame.stalled + blame.unexplained))


def _headline(checked: Checked, pen: Pen) -> None:
    first = checked.runs[0]
    target = first.target
    name = f"{checked.processes[0].pid}: {checked.processes[0].name}"
    if target is not None and checked.processes[0].role is not Role.PROGRAM:
        name = f"{target.pid}: {short_command(target.command)}"
    more = len(checked.processes) - 1
    pen.line(name + (f" and {plural(more, 'more process', 'more processes')}" if more else ""), BOLD)
    if target is not None and target.place:
        pen.line(f"runs in {target.place}")
    seconds = max(s.elapsed_s for s in checked.runs)
    # Of each over its own time: of many that live for a moment, all together take less than the sum.
    cost = sum(s.own_cpu_percent * s.elapsed_s for s in checked.runs) / seconds if seconds > 0 else 0.0
    pen.line(f"{seconds:.1f} s · own cost {cost:.1f} % of a core for all together")


def _rows(checked: Checked, pen: Pen) -> None:
    depths: dict[int, int] = {}
    rows, said = [], []
    for process, snapshot in zip(checked.processes, checked.runs, strict=True):
        depths[process.pid] = depth = depths.get(process.parent, -1) + 1
        blame = snapshot.blame
        ended = " (ended)" if process.ended or snapshot.status is Status.EXITED else ""
        cpu = f"{snapshot.cpu_percent:.0f}" if snapshot.cpu_percent is not None else "-"
        hz = f"{snapshot.samples / snapshot.elapsed_s:.0f}" if snapshot.elapsed_s > 0 else "-"
        threads = str(sum(t.alive for t in snapshot.threads))
        rows.append([f"{'  ' * depth}{process.pid}", clean(process.name, 40) + ended, cpu, threads, hz])
        said.append(blame.sentence if blame is not None else "Too little was seen for a verdict.")
    header = ["pid", "name", "CPU %", "threads", "Hz"]
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(5)]
    room = max(30, pen.width - sum(widths) - 14)
    for number, (row, sentence) in enumerate(zip([header, *rows], ["verdict", *said], strict=True)):
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        short = sentence if len(sentence) <= room else sentence[: room - 1] + "…"
        pen.line("  " + "  ".join([*cells, short]).rstrip(), DIM if not number else "")


def _across(checked: Checked, pen: Pen) -> None:
    """Who waits for a thread of another process, at the end of the watching."""
    edges = checked.across.edges
    if not edges:
        return
    pen.line("Waits across processes, at the end", BOLD)
    for edge in edges[:_MOST_EDGES]:
        does = f": {edge.does}" if edge.does else ""
        holder = thread_name(edge.holder, checked)
        if edge.via == "child":
            what = f"the end of {holder}"
        else:
            what = f"{edge.what}, {edge.comes} {holder}"
        pen.paragraph(f"{thread_name(edge.waiter, checked)} waits for {what}{does}   {edge.confidence.value}")
    if len(edges) > _MOST_EDGES:
        pen.line(f"  ... {len(edges) - _MOST_EDGES} more (all in --format json)")
    pen.line()


def thread_name(node: tuple[int, int], checked: Checked) -> str:
    """'worker 2 (4711) MainThread'"""
    pid, tid = node
    for process, snapshot in zip(checked.processes, checked.runs, strict=True):
        if process.pid == pid:
            thread = snapshot.thread(tid) if tid else None
            return f"{process.name} ({pid})" + (f" {clean(thread.name, 40)}" if thread is not None else "")
    return f"process {pid}"


def finding_line(repeated: Repeated, checked: Checked) -> tuple[str, str]:
    """(one line, its colour)"""
    warn = repeated.finding.severity is Severity.WARN
    mark = "▲ WARN" if warn else "● INFO"
    where = of_how_many(repeated.runs, checked)
    line = f"{mark} {repeated.finding.score:3d}  {repeated.finding.id}: {repeated.finding.title}: {where}"
    return line, RED if warn else YELLOW


__all__ = ["Process", "finding_line", "tree_text", "verdicts"]
