"""A folder of tables, for spreadsheets, pandas and SQL: one file for every table that a view shows.

`time.csv`, `code.csv` and `waits.csv` are sums over all that was chosen: seconds by thread and state, by line of code
and state, and by who waited behind whom; with `--tasks` of tasks instead of threads. The others show the moments that a
view shows, the last 20 seconds of what was chosen: threads, locks and their holders, chains, peers, queues, tasks,
loops, findings, causes; `series.csv` half a second at a time, `marks.csv` when findings were there. A cell that a
spreadsheet would take for a formula begins with a quotation mark; files without rows are not written.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path

import msgspec

from concview.exporters import _names
from concview.exporters._totals import totals
from concview.exporters.base import Exporter, Request, remarks
from concview.model import STATES, Measured, Peer, Site, Stack, StackEvidence, TaskState, TaskWait, Wait, Where
from concview.session.account import Account
from concview.session.recording import Recording
from concview.snapshot import Snapshot

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PEER = ("kind", "name", "local", "status", "known_as", "accepted")
Row = dict[str, object]


def cell(value: object) -> object:
    """A value as it is written: no text that a spreadsheet would take for a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    if isinstance(value, float):
        return round(value, 9)
    return value


def flat(value: object, names: tuple[str, ...] = ()) -> Row:
    """A struct as one row: what is simple as it is, places and stacks by their line, lists of numbers with blanks
    between them. `names`: of the entries of tuples of shares."""
    row: Row = {}
    assert isinstance(value, msgspec.Struct)
    for name in value.__struct_fields__:
        part = getattr(value, name)
        if isinstance(part, Site):
            row |= {f"{name}_expression": part.expression, f"{name}_file": part.file, f"{name}_line": part.line}
        elif isinstance(part, Stack):
            row[name] = _names.place(part.leaf) if part.leaf is not None else ""
        elif name == "peer":
            row |= {f"peer_{key}": getattr(part, key) if isinstance(part, Peer) else "" for key in _PEER}
        elif isinstance(part, Enum):
            row[name] = part.name.lower() if isinstance(part, int) else part.value
        elif name in ("shares", "states"):
            row |= dict(zip(names or STATES, part, strict=False))
        elif isinstance(part, Measured):
            row |= {f"measured_{key}": found for key, found in flat(part).items()}
        elif isinstance(part, tuple):
            if part and isinstance(part[0], Where | Site):
                row |= {"file": part[0].file, "line": part[0].line, "function": part[0].function}
            elif all(isinstance(p, int | str) and not isinstance(p, Enum) for p in part) and name != "strip":
                row[name] = " ".join(map(str, part))
        elif not isinstance(part, Wait | TaskWait | StackEvidence | msgspec.Struct | dict):
            row[name] = "" if part is None else part
    return row


def _write(folder: Path, name: str, rows: Iterable[Mapping[str, object]]) -> int:
    """How many rows; nothing is written for none. Columns: those of all rows, in the order in which they came."""
    found = list(rows)
    if not found:
        return 0
    columns = list(dict.fromkeys(key for row in found for key in row))
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([cell(row.get(column, "")) for column in columns] for row in found)
    return len(found)


def write_tables(recording: Recording, folder: Path, request: Request) -> list[str]:
    samples = recording.samples(request.selection, request.side, tasks=request.tasks)
    whose, number_of = ("task", "task_id") if request.tasks else ("thread", "tid")
    time: dict[tuple[str, int, str], list[float]] = defaultdict(lambda: [0.0, 0])
    code: dict[tuple[str, str, int, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    waits: dict[tuple[str, int, str, str, str, str], list[float]] = defaultdict(lambda: [0.0, 0])
    role = "waiter" if request.side == "holder" else "behind"
    for total in totals(samples):
        seconds, activity, thread = total.ns / 1e9, total.activity, total.thread
        state, name = activity.word, _names.thread(thread)
        sums = time[name, thread.tid, state]
        sums[0] += seconds
        sums[1] += total.samples
        seen = set()
        for number, frame in enumerate(activity.stack.frames):
            key = (_names.function(frame), frame.file, frame.line, state)
            if not number:
                code[key][0] += seconds
            if key not in seen:  # recursion counts once
                seen.add(key)
                code[key][1] += seconds
        if activity.detail or total.blocker is not None:
            behind = _names.thread(total.blocker.thread) if total.blocker is not None else ""
            confidence = total.blocker.confidence.value if total.blocker is not None else ""
            sums = waits[name, thread.tid, state, activity.detail, behind, confidence]
            sums[0] += seconds
            sums[1] += total.samples
    written: dict[str, int] = {}

    def table(name: str, rows: Iterable[Mapping[str, object]]) -> None:
        written[name] = _write(folder, name, rows)

    table(
        "time",
        (
            {whose: name, number_of: tid, "state": state, "seconds": s, "samples": int(n)}
            for (name, tid, state), (s, n) in sorted(time.items())
        ),
    )
    table(
        "code",
        (
            {"function": function, "file": file, "line": line, "state": state, "own_s": own, "total_s": whole}
            for (function, file, line, state), (own, whole) in sorted(code.items(), key=lambda item: -item[1][1])
        ),
    )
    table(
        "waits",
        (
            {
                whose: name,
                number_of: tid,
                "state": state,
                "waits_for": what,
                role: behind,
                "confidence": confidence,
                "seconds": s,
                "samples": int(n),
            }
            for (name, tid, state, what, behind, confidence), (s, n) in sorted(
                waits.items(), key=lambda item: -item[1][0]
            )
        ),
    )
    account = request.account(recording, samples)
    _views(account, table)
    empty = [name for name, number in written.items() if not number]
    said = [f"{len(written) - len(empty)} tables"]
    if empty:
        said.append(f"nothing was seen of: {', '.join(empty)}")
    return [*said, *remarks(samples)]


def _views(account: Account, table: Callable[[str, Iterable[Mapping[str, object]]], None]) -> None:
    shown: Snapshot = account.shown
    table("threads", (flat(t) for t in shown.threads))
    table("locks", (flat(lock) for lock in shown.locks))
    table("lock_holders", ({"lock": lock.key, **flat(h)} for lock in shown.locks for h in lock.holders))
    table("chains", ({"root": c.root, "deadlock": c.deadlock, **flat(e)} for c in shown.chains for e in c.edges))
    table("peers", ({**flat(p), "threads": " ".join(map(str, p.threads))} for p in shown.peers))
    table("queues", (flat(q) for q in shown.depths))
    states = tuple(s.name.lower() for s in TaskState)
    aio = shown.aio
    table("tasks", (flat(t, states) for t in aio.tasks) if aio is not None else ())
    table("loops", (flat(loop) for loop in aio.loops) if aio is not None else ())
    table("shared", (flat(o) for o in aio.objects) if aio is not None else ())
    table("findings", (flat(f) for f in shown.findings))
    table(
        "stacks",
        (
            {
                "finding": f.id,
                "subject": f.subject,
                "role": s.role,
                "tid": s.tid,
                "thread": s.name,
                "note": s.note,
                "depth": depth,
                "function": _names.function(frame),
                "file": frame.file,
                "line": frame.line,
            }
            for f in shown.findings
            for s in f.stacks
            for depth, frame in enumerate(s.frames)
        ),
    )
    blame = shown.blame
    table("causes", (flat(c) for c in blame.causes) if blame is not None else ())
    table("quiet", (flat(q) for q in blame.quiets) if blame is not None else ())
    table("not_judged", (flat(n) for n in (*shown.not_applicable, *shown.pending)))
    table("calls", (flat(c) for c in shown.calls.rows) if shown.calls is not None else ())
    table("series", ({"at_s": account.seconds_of(p.at_ns), **flat(p)} for p in account.timeline.points))
    table(
        "marks",
        (
            {
                "id": m.id,
                "severity": m.severity.value,
                "title": m.title,
                "start_s": account.seconds_of(m.start_ns),
                "end_s": account.seconds_of(m.end_ns),
            }
            for m in account.timeline.marks
        ),
    )


EXPORTER = Exporter(
    "a folder of tables, one for everything that a view shows, for spreadsheets, pandas, SQL",
    write_folder=write_tables,
    sides=True,
    judges=True,
    tasks=True,
)
