"""Where the time of all threads goes, followed to the end: the part of `check` before the findings."""

from __future__ import annotations

from concview.analysis.blame import words
from concview.commands._text_writer import BOLD, DIM, RED, YELLOW, Pen
from concview.model import Severity
from concview.snapshot import Blame, BlameCause, Snapshot
from concview.text import duration, percent, plural

MOST_CAUSES = 8
#: Of the active time: smaller causes are only in the JSON.
LEAST_SHARE = 0.01


def blame_text(snapshot: Snapshot, pen: Pen) -> None:
    blame = snapshot.blame
    if blame is None:
        return
    colour = {Severity.WARN: RED, Severity.INFO: YELLOW}.get(blame.severity, BOLD) if blame.severity else BOLD
    mark = {Severity.WARN: "▲ ", Severity.INFO: "● "}.get(blame.severity, "") if blame.severity else ""
    for number, part in enumerate(_wrapped(mark + blame.sentence, pen)):
        pen.line(part if not number else "  " + part, colour)
    for said in blame.more:
        pen.paragraph(said)
    if blame.active >= 0.05:
        _causes(blame, pen)
    _quiet(blame, pen)
    if blame.sampled_moments < blame.moments:
        pen.line(f"  followed at {blame.sampled_moments} random moments of {blame.moments} with a change", DIM)
    pen.line()


def _wrapped(text: str, pen: Pen) -> list[str]:
    import textwrap

    return textwrap.wrap(text, max(40, pen.width - 2), break_on_hyphens=False) or [""]


def _causes(blame: Blame, pen: Pen) -> None:
    exact = f"; {percent(blame.exact)} of the waits were read exactly" if blame.held_up or blame.waits else ""
    whose = "threads and tasks" if blame.tasks else "threads"
    parts = (
        ("held up", blame.held_up),
        ("waiting", blame.waits),
        ("without a CPU", blame.starved),
        ("unexplained", blame.unexplained),
    )
    told = ", ".join(f"{name} {percent(blame.share(part))}" for name, part in parts if blame.share(part) >= 0.005)
    pen.line(f"  {blame.active:.1f} of {blame.threads:.1f} {whose} are active: {told or 'nobody waits'}{exact}", DIM)
    shown = [c for c in blame.causes if c.share >= LEAST_SHARE][:MOST_CAUSES]
    for cause in shown:
        _cause(cause, blame, pen)
    rest = [c for c in blame.causes if c not in shown]
    if rest:
        pen.line(f"    ... {plural(len(rest), 'smaller cause')} (in --format json)")


def _cause(cause: BlameCause, blame: Blame, pen: Pen) -> None:
    number, several = cause.thread_s / blame.seconds, len(cause.threads) + len(cause.tasks) > 1
    threads = f"{cause.who} ({number:.1f})"
    head = f"  {cause.share * 100:3.0f} %  "
    if not cause.path:
        pen.line(f"{head}{words.they(threads, cause, several)}")
        return
    first = cause.path[0]
    wait = "wait" if several else "waits"
    pen.line(f"{head}{threads} {wait} for {words.waited_for(first)}{words.at(first)}   {first.confidence.value}")
    indent = " " * len(head)
    for depth, step in enumerate(cause.path):
        indent += "  "
        after = cause.path[depth + 1] if depth + 1 < len(cause.path) else None
        if after is None and cause.kind == "nobody":
            pen.line(f"{indent}{cause.what}")
        elif after is None and not cause.ends:
            pen.line(f"{indent}{words.had(step)} {cause.what}")
        elif after is None:
            pen.line(f"{indent}{words.had_by(step, cause.ends)}{words.they_do(cause)}")
        else:
            pen.line(
                f"{indent}{words.had_by(step, after.who)}"
                f"{words.they_wait(step, after, words.at(after))}   {after.confidence.value}"
            )
    notes = []
    notes.append(words.gained(cause))
    if cause.stuck_s >= 5:
        notes.append(f"without a break for {duration(cause.stuck_s)}")
    elif cause.silent_s >= 5:
        notes.append(f"nothing sent and nothing come for {duration(cause.silent_s)}")
    notes.append(f"named by {cause.rule}" if cause.rule else "no rule names it" if cause.family == "taken" else "")
    pen.line(f"{' ' * len(head)}  {'; '.join(n for n in notes if n)}".rstrip())


def _quiet(blame: Blame, pen: Pen) -> None:
    rows = [q for q in blame.quiets if q.threads >= 0.05]
    if not rows:
        return
    told = [f"{q.threads:.1f} {q.what}{words.where(q.file, q.line)}" for q in rows[:6]]
    if len(rows) > 6:
        told.append(f"{len(rows) - 6} more kinds")
    pen.paragraph("; ".join(told), label="idle")
