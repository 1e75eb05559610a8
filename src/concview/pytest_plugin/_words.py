"""What is shown of a picture in a test's report: who waits for whom, and the threads that have to do with it."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

from concview.commands import _build as build
from concview.commands import _text
from concview.commands._dump_text import chain_lines, deadlock_lines, hold_text
from concview.commands._text import folded
from concview.commands._text_writer import Pen
from concview.model import Finding, State
from concview.session.phrases import lasting
from concview.snapshot import Snapshot, ThreadView
from concview.text import clean, plural, short_path

WIDTH = 100
OWN_THREADS = "concview-*"
MOST_THREADS = 12
MOST_FRAMES = 10
#: A thread that does nothing else than these explains nothing.
_QUIET = (State.IDLE, State.SLEEP)


def explanation(snapshot: Snapshot, tids: Collection[int] = ()) -> str:
    """Circles and chains first, then the threads in them, the main thread, `tids`, and what else does not only rest."""
    pen = Pen(False, WIDTH)
    circles = build.deadlocks(snapshot)
    if not circles and snapshot.blame is not None and snapshot.blame.sentence:
        pen.paragraph(snapshot.blame.sentence, "")
        pen.line()
    for circle in circles:
        deadlock_lines(snapshot, circle, pen)
    chain_lines(snapshot, pen)
    chained = {tid for c in snapshot.chains for e in c.edges for tid in (e.waiter, e.holder)}
    first = {*tids, *chained, snapshot.target.pid if snapshot.target is not None else 0}
    threads = [t for t in build.dumped(snapshot) if t.tid in first or t.state not in _QUIET]
    threads = [t for t in threads if not fnmatchcase(t.name, OWN_THREADS)]
    threads.sort(key=lambda t: (t.tid not in tids, t.tid not in first))
    for thread in threads[:MOST_THREADS]:
        _thread(thread, pen)
    if len(threads) > MOST_THREADS:
        pen.line(f"... {plural(len(threads) - MOST_THREADS, 'more thread')}")
    return pen.text().rstrip("\n") + "\n"


def _thread(thread: ThreadView, pen: Pen) -> None:
    since = f" for {lasting(thread)}" if thread.since_s > 0 else ""
    pen.line(f'"{clean(thread.name, 80)}" tid {thread.tid}: {thread.state.name.lower()}{since}')
    if thread.reason:
        pen.paragraph(thread.reason, "    ")
    for hold in thread.holds:
        pen.line(f"    holds {hold_text(hold)}")
    shown = folded(thread.stack.frames)
    for frame in shown[:MOST_FRAMES]:
        if isinstance(frame, int):
            pen.line(f"        ... {plural(frame, 'frame')} of libraries")
        else:
            source = f"   {frame.text}" if frame.text else ""
            pen.line(f"        {frame.function} ({short_path(frame.file, 60)}:{frame.line}){source}")
    pen.line()


def finding_text(finding: Finding) -> str:
    pen = Pen(False, WIDTH)
    _text.finding_text(finding, pen)
    return pen.text().rstrip("\n") + "\n"
