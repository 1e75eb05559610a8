"""One page that needs nothing else: verdict, who is to blame, findings with their stacks, flame graph with states, time
line of every thread, tables, and what was not seen.

Everything of the target is escaped text; the pictures' data is JSON in which no tag can end; the page may load nothing
from anywhere (its content security policy says so). Without scripts the text and the tables are still there.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterable
from html import escape
from importlib import resources
from typing import BinaryIO, Protocol

from concview import __version__
from concview.analysis.blame import words
from concview.exporters import _names
from concview.exporters._picture import THREADS, Kind, Picture
from concview.exporters.base import Exporter, Request, remarks
from concview.model import Finding, Severity, Stack, State
from concview.session.account import Account, clock, unseen
from concview.session.brief import chain, chosen
from concview.session.phrases import measured_text
from concview.session.recording import Recording
from concview.snapshot import LockView, Snapshot
from concview.text import duration, file_name, percent, plural

MOST_ROWS = 200
MOST_CAUSES = 8
_WORDS = {Severity.WARN: ("▲ warning", "warn"), Severity.INFO: ("● info", "info")}


def _t(text: object) -> str:
    return escape(str(text))


def _json(value: object) -> str:
    """JSON in which no tag, comment or separator can end the script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return (
        text.replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


def _file(name: str) -> str:
    return resources.files("concview.exporters").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def write(recording: Recording, out: BinaryIO, request: Request) -> list[str]:
    samples = recording.samples(request.selection, request.side, tasks=request.tasks)
    picture = Picture.of_samples(samples, request.side)
    account = request.account(recording, samples)
    page(account, picture, out)
    said = remarks(samples)
    if picture.rows_left_out:
        drawn = len(picture.threads) - picture.rows_left_out
        said.append(f"the time line shows the first {drawn} {picture.kind.word}s")
    return said


def page_of_now(session: PagedSession, account: Account, back: tuple[int, int] | None = None) -> bytes:
    """The page of a session that goes on: pictures of the detail that it keeps, of the last window or of an interval
    (end, length). Nothing where there is none."""
    out = io.BytesIO()
    page(account, Picture.of_runs(*session.runs(back)), out)
    return out.getvalue()


class PagedSession(Protocol):
    """`Session` is it. `runs`: (tid, name, from, to, state, stack) of every thread; where they begin, in
    nanoseconds of the stream and seconds since the first sample."""

    def runs(
        self, back: tuple[int, int] | None = None
    ) -> tuple[list[tuple[int, str, int, int, State, Stack]], int, float]: ...


def page(account: Account, picture: Picture, out: BinaryIO) -> None:
    style, script = _file("_page.css"), _file("_page.js")
    title = f"{account.service}: concview"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {_hash(script)}"
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_t(title)}</title><style>{style}</style></head><body>",
        *_head(account),
        *_blame(account.shown),
        *_findings(account),
        *_pictures(account, picture),
        *_rows(picture),
        *_locks(account.shown),
        *_unseen(account, picture),
        f'<p class="dim">Written by concview {_t(__version__)}. Weights are elapsed time. The page loads nothing.</p>',
        '<div id="tip"></div>',
        f'<script type="application/json" id="data">{_json(picture.data(account))}</script>',
        f"<script>{script}</script></body></html>\n",
    ]
    for part in parts:
        out.write(part.encode("utf-8", "replace"))


def _head(account: Account) -> list[str]:
    shown, last = account.shown, account.last
    blame, target = shown.blame, last.target
    firing = [f for f in shown.findings if not f.recent]
    severity = blame.severity if blame is not None else None
    if severity is None and firing:
        severity = firing[0].severity
    word, tone = _WORDS[severity] if severity is not None else ("", "")
    sentence = blame.sentence if blame is not None else firing[0].title if firing else "Nothing could be judged."
    more = "".join(f"<p>{_t(said)}</p>" for said in (blame.more if blame is not None else ()))
    past = ""
    if shown is not last:
        over = ": at the end this was over" if account.over else ""
        past = f'<p class="dim">At {_t(duration(account.seconds_of(shown.at_ns)))} of what was seen{over}.</p>'
    badge = f'<span class="badge">{word}</span> ' if word else ""
    rows: list[tuple[str, str]] = []
    if target is not None:
        place = ", ".join(p for p in (f"on {target.host}" if target.host else "", target.place) if p)
        rows = [
            ("service", f"{account.service}, PID {target.pid}{', ' + place if place else ''}"),
            ("command", " ".join(target.command)),
            ("versions", f"Python {target.python}{', free-threaded' if target.free_threaded else ''}; "
             f"concview {__version__}, engine {last.engine}"),
            ("time", f"{clock(account.began)} to {clock(last.epoch)}, {duration(last.elapsed_s)}"),
            ("samples", f"{last.samples}, {last.misses} missed; own cost {last.own_cpu_percent:.1f} % of a core"),
            ("process", _process(shown)),
            ("judged", f"the {duration(shown.seconds)} to {clock(shown.epoch)}"),
        ]  # fmt: skip
    table = "".join(f"<tr><th>{_t(name)}</th><td>{_t(value)}</td></tr>" for name, value in rows)
    return [
        f"<h1>{_t(account.service)}</h1>",
        f'<div class="verdict {tone}"><p>{badge}<b>{_t(sentence)}</b></p>{more}{past}</div>',
        f'<table class="facts">{table}</table>',
    ]


def _process(snapshot: Snapshot) -> str:
    gil = snapshot.gil
    cpu = "CPU not seen" if snapshot.cpu_percent is None else f"CPU {snapshot.cpu_percent:.0f} % of a core"
    held = (
        f"GIL held {percent(gil.held_share)}, {gil.waiters_mean:.1f} waiting on average"
        if gil.available
        else "GIL not seen"
    )
    return f"{cpu}; {plural(sum(t.alive for t in snapshot.threads), 'thread')}; {held}"


def _blame(snapshot: Snapshot) -> list[str]:
    blame = snapshot.blame
    if blame is None or not blame.causes:
        return []
    whose = "threads and tasks" if any(c.tasks for c in blame.causes) else "threads"
    parts = [
        "<h2>Who is to blame</h2>",
        f'<p class="dim">{blame.active:.1f} of {blame.threads:.1f} {whose} are active: held up '
        f"{percent(blame.share(blame.held_up))}, waits {percent(blame.share(blame.waits))}, starved "
        f"{percent(blame.share(blame.starved))}, unexplained {percent(blame.share(blame.unexplained))}.</p>",
    ]
    for cause in [c for c in blame.causes if c.share >= 0.01][:MOST_CAUSES]:
        first, *steps = chain(cause, blame)
        below = "".join(f"<div>{'  ' * (i + 1)}└ {_t(step)}</div>" for i, step in enumerate(steps))
        notes = []
        if gained := words.gained(cause):
            notes.append(gained)
        if cause.rule:
            notes.append(f"named by {cause.rule}")
        note = f'<div class="dim">  {_t("; ".join(notes))}</div>' if notes else ""
        parts.append(f'<div class="chain mono"><div>{cause.share * 100:3.0f} %  {_t(first)}</div>{below}{note}</div>')
    return parts


def _findings(account: Account) -> list[str]:
    shown = account.shown
    parts = ["<h2>Findings</h2>"]
    if not shown.findings:
        parts.append("<p>No rule has found anything in this time.</p>")
    for number, finding in enumerate(shown.findings):
        parts += _finding(finding, number == 0)
    if account.earlier:
        rows = "".join(
            f'<tr><td class="n">{duration(max(0.0, account.seconds_of(m.start_ns)))}</td>'
            f'<td class="n">{duration(max(0.0, account.seconds_of(m.end_ns)))}</td>'
            f'<td><span class="badge {m.severity.value}">{m.severity.value}</span></td>'
            f"<td>{_t(m.id)}: {_t(m.title)}</td></tr>"
            for m in account.earlier[:MOST_ROWS]
        )
        parts.append(
            '<h3>At other times</h3><table><tr><th class="n">from</th><th class="n">to</th><th></th>'
            f"<th>finding</th></tr>{rows}</table>"
        )
    return parts


def _finding(finding: Finding, unfolded: bool) -> list[str]:
    word, tone = _WORDS[finding.severity]
    recent = " (recent)" if finding.recent else ""
    parts = [
        f'<details{" open" if unfolded else ""}><summary><span class="badge {tone}">{word} {finding.score}</span> '
        f"{_t(finding.id)}: {_t(finding.title)}{recent}</summary>",
        f"<p>{_t(finding.summary)}</p>",
        f'<table class="facts"><tr><th>measured</th><td>{_t(measured_text(finding.measured))}</td></tr>',
        f"<tr><th>confidence</th><td>{finding.confidence.value}</td></tr>",
        f"<tr><th>why</th><td>{_t(finding.why)}</td></tr></table>",
    ]
    if finding.where:
        rows = "".join(
            f'<tr><td class="place">{_t(w.function)} ({_t(w.file)}:{w.line})</td>'
            f'<td class="place">{_t(w.text)}</td></tr>'
            for w in finding.where
        )
        parts.append(f"<h3>Where</h3><table>{rows}</table>")
    if finding.stacks:
        columns = "".join(
            f"<div><h3>{_t(group[0].role)}: {_t(', '.join(dict.fromkeys(s.name for s in group)))}</h3>"
            + "".join(f'<p class="dim">{_t(s.name)}: {_t(s.note)}</p>' for s in group if s.note)
            + "<pre>"
            + "\n".join(
                f'<span class="{"own" if f.origin == "user" else "dim"}">{_t(f.place)}</span>'
                + (f"\n    {_t(f.text)}" if f.text and f.origin == "user" else "")
                for f in group[0].frames
            )
            + "</pre></div>"
            for group in chosen(finding.stacks)
        )
        parts.append(f'<div class="stacks">{columns}</div>')
    parts.append(f"<h3>Fix</h3><pre>{_t(finding.fix)}</pre>")
    for label, text in (("Gain", finding.gain), ("Look next", finding.check_next)):
        if text:
            parts.append(f"<p><b>{label}.</b> {_t(text)}</p>")
    parts.append("</details>")
    return parts


def _pictures(account: Account, picture: Picture) -> list[str]:
    total = sum(sum(ns) for ns in picture.ns.values())
    whose = picture.kind.word
    said = f"{plural(len(picture.ns), whose)}, {duration(total / 1e9)} of {whose} time"
    hatched = " Hatched: no sample was taken, and it is drawn as at the next one." if picture.gaps else ""
    stacks = "What awaits stands above what it awaits" if whose == "task" else "Outermost call on top"
    return [
        "<h2>Where the time went</h2>",
        f'<div class="tools"><label>{whose}s <input type="text" id="threads" placeholder="all" size="18"></label>'
        '<label>search <input type="text" id="search" size="18"></label>'
        '<label><input type="checkbox" id="own"> own code only</label><span id="states"></span>'
        '<button id="out" type="button">whole picture</button><span id="said" class="dim"></span></div>',
        f'<div class="scroll"><canvas id="flame" role="img" aria-label="Flame graph of {_t(said)}; the tables below '
        'have the numbers"></canvas></div>',
        f'<p class="dim">{stacks}; widths are elapsed time of {whose}s, colours their states, bold is the '
        "program's own code. A click zooms in, one on the same box out again.</p>",
        "<h2>Time line</h2>",
        f'<div class="scroll"><canvas id="time" role="img" aria-label="What each {whose} mostly did over the time; the '
        f'table of {whose}s has the sums"></canvas></div>',
        f'<p class="dim">Bars above the {whose}s: when findings were there.{hatched}</p>',
        "<noscript><p>The two pictures need JavaScript.</p></noscript>",
    ]


def _bar(ns: Iterable[int], kind: Kind) -> str:
    values = list(ns)
    total = sum(values) or 1
    return (
        '<div class="bar">'
        + "".join(
            f'<span style="width:{value / total * 100:.2f}%;background:{colour}" '
            f'title="{state} {value / total * 100:.0f} %"></span>'
            for state, colour, value in zip(kind.states, kind.colours, values, strict=True)
            if value
        )
        + "</div>"
    )


def _rows(picture: Picture) -> list[str]:
    """The table of threads, or of tasks."""
    kind = picture.kind
    head = "".join(
        f'<th class="n"><span class="swatch" style="background:{colour}"></span>{state}</th>'
        for state, colour in zip(kind.states, kind.colours, strict=True)
    )
    rows = []
    for thread in picture.threads[:MOST_ROWS]:
        ns = picture.ns[thread]
        total = sum(ns) or 1
        cells = "".join(f'<td class="n">{f"{v / total * 100:.0f} %" if v * 200 >= total else "·"}</td>' for v in ns)
        rows.append(
            f'<tr><td class="name">{_t(_names.thread(thread))}</td><td class="n">{thread.tid}</td>'
            f'<td class="n">{duration(sum(ns) / 1e9)}</td><td>{_bar(ns, kind)}</td>{cells}</tr>'
        )
    rest = len(picture.threads) - MOST_ROWS
    more = f'<p class="dim">{plural(rest, f"more {kind.word}")} not shown here.</p>' if rest > 0 else ""
    number = "tid" if kind is THREADS else "number"
    return [
        f"<h2>{kind.word.capitalize()}s</h2>",
        f'<table><tr><th>name</th><th class="n">{number}</th><th class="n">seen</th><th>states</th>{head}</tr>'
        f"{''.join(rows)}</table>",
        more,
    ]


def _locks(snapshot: Snapshot) -> list[str]:
    locks = [lock for lock in snapshot.locks if lock.waiters_mean > 0 or lock.waiters_now]
    if not locks:
        return []
    rows = "".join(_lock(lock) for lock in locks[:MOST_ROWS])
    return [
        "<h2>Locks that threads waited for</h2>",
        '<table><tr><th>lock</th><th>kind</th><th class="n">held</th><th class="n">waiting, mean</th>'
        '<th class="n">most</th><th class="n">longest wait</th><th>held by</th></tr>',
        f"{rows}</table>",
    ]


def _lock(lock: LockView) -> str:
    name = lock.site.expression or (f"{lock.address:#x}" if lock.address else lock.key)
    place = f" ({file_name(lock.site.file)}:{lock.site.line})" if lock.site.file else ""
    who = ", ".join(f"{h.name} {percent(h.share)} ({h.confidence.value})" for h in lock.holders[:4])
    return (
        f'<tr><td class="place">{_t(name + place)}</td><td>{_t(lock.kind)}</td>'
        f'<td class="n">{percent(lock.held_share)}</td>'
        f'<td class="n">{lock.waiters_mean:.1f}</td><td class="n">{lock.waiters_max}</td>'
        f'<td class="n">{duration(lock.wait_max_s)}</td><td>{_t(who)}</td></tr>'
    )


def _unseen(account: Account, picture: Picture) -> list[str]:
    said = [*unseen(account), *picture.missing]
    rows = "".join(f"<li>{_t(text)}</li>" for text in dict.fromkeys(said)) or "<li>nothing is known to be missing</li>"
    return ["<h2>What was not seen</h2>", f"<ul>{rows}</ul>"]


EXPORTER = Exporter(
    "one self-contained page: verdict, findings, flame graph with states, time line",
    write,
    sides=True,
    suffix=".html",
    tasks=True,
    judges=True,
)
