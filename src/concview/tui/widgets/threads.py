"""The columns of a table of threads, and how a thread reads as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment

from concview import text
from concview.model import Stack, State
from concview.snapshot import Snapshot, ThreadView
from concview.tui.text_render import Line, fit, fit_before_place, fit_place
from concview.tui.theme import GLYPHS, WORDS, Palette
from concview.tui.widgets.columns import Column, number_cell, place_cell
from concview.tui.widgets.names import Names, names_of
from concview.tui.widgets.states import strip_cells
from concview.tui.widgets.table import Table

#: The library's line behind the program's own in a place.
_LIBRARY = re.compile(r", in [^(),]+:\d+\)")
#: A name that `threading` gave, with the function that the thread runs.
_NUMBERED = re.compile(r"^(Thread-\d+) \(.*\)")
#: How much a moment in a state says 'this thread is kept from its work'.
_TROUBLE = (0.3, 0.9, 1.0, 1.0, 0.4, 0.05, 0.0, 0.1)


def trouble(thread: ThreadView) -> float:
    """What the default order sorts by: who is kept waiting comes first, the idle come last.

    In steps, and of the window rather than of this moment: rows that change places with every sample cannot be read.
    """
    shares = thread.shares
    if any(shares):
        score = sum(share * weight for share, weight in zip(shares, _TROUBLE, strict=True))
    else:
        score = _TROUBLE[thread.state]
    return round(score * 8) / 8 - (0.0 if thread.alive else 5.0)


def doing(thread: ThreadView) -> str:
    """Its state and reason; 'sleep: sleeps' would say nothing more than 'sleeps'."""
    word = WORDS[thread.state]
    return thread.reason if word.lower() in thread.reason.lower() else f"{word}: {thread.reason}"


def place(thread: ThreadView) -> str:
    frame = thread.stack.user_leaf
    return frame.place if frame else ""


@lru_cache(4096)
def _stack_text(stack: Stack) -> str:
    return " ".join(f"{f.function} {f.file}:{f.line}" for f in stack.frames)


def haystack(thread: ThreadView) -> str:
    """Everything a thread can be found by: name, id, state, reason, frames, locks."""
    locks = " ".join(h.site.expression for h in thread.holds)
    state = f"{WORDS[thread.state]} {thread.state.name}"
    return f"{thread.name} {thread.tid} {state} {thread.reason} {_stack_text(thread.stack)} {locks}".lower()


#: How the end of a way begins that could not be followed.
UNEXPLAINED = "unexplained"
#: So much of what is waited for is kept beside its holder.
LEAST_WHAT = 16
#: What stands in the empty field of a filter for threads.
HINT = "text, or state:lock name:web in:recv why:redis, or ~regular expression"
#: What a filter can ask for by name: 'state:lock'.
FIELDS: dict[str, Callable[[Any], str]] = {
    "name": lambda t: t.name.lower(),
    "state": lambda t: f"{WORDS[t.state]} {t.state.name}".lower() if t.alive else "ended",
    "in": lambda t: _stack_text(t.stack).lower(),
    "why": lambda t: t.reason.lower(),
    "cause": lambda t: t.because.lower(),
}


def _state(thread: ThreadView, width: int, palette: Palette, context: Any) -> Line:
    if not thread.alive:
        return [Segment(fit("  ended", width), palette.faint)]
    return [Segment(fit(f"{GLYPHS[thread.state]} {WORDS[thread.state]}", width), palette.states[thread.state])]


def _since(thread: ThreadView) -> str:
    seconds = thread.since_s
    if not thread.alive:
        return ""
    if seconds < 1:
        return "<1 s"
    mark = ">" if thread.since_open else ""
    return f"{mark}{seconds:.0f} s" if seconds < 100 else f"{mark}{seconds / 60:.0f} min"


@lru_cache(4096)
def fit_reason(reason: str, width: int) -> str:
    """'waits for the_registry_lo…, by worker-3': short of room, what is waited for gives way, not who holds it."""
    what, held, holder = reason.rpartition(", held by ")
    if not held or cell_len(reason) <= width:
        return fit(reason, width)
    # 'Thread-7 (serve)': the number tells which one it is.
    holder = _NUMBERED.sub(r"\1", holder)
    # That it waits stands in the column of states.
    for whole in (what, what.removeprefix("waits for ")):
        if cell_len(whole + held + holder) <= width:
            return fit(whole + held + holder, width)
    for word in (held, ", by ", " < "):
        room = width - cell_len(word) - cell_len(holder)
        if room >= LEAST_WHAT:
            return fit(fit_place(what, room).rstrip() + word + holder, width)
    room = width - cell_len(holder) - 3
    if room >= LEAST_WHAT // 2:
        return fit(fit_place(what.removeprefix("waits for "), room).rstrip() + " < " + holder, width)
    return fit(f"by {holder}", width)


def _reason(thread: ThreadView, width: int, palette: Palette, context: Any) -> Line:
    if thread.alive and thread.reason == "running" and not in_the_way(thread):
        frame = thread.stack.user_leaf
        where = f"running {frame.function} ({frame.place.rpartition('(')[2].rstrip(')')})" if frame else "running"
        return [Segment(fit_place(where, width), palette.dim)]
    stuck = thread.alive and thread.state in (State.GIL, State.LOCK, State.RUNNABLE)
    if in_the_way(thread):
        tail = f"; {_count(thread)} behind it"
        room = max(0, width - cell_len(tail))
        return [Segment(fit(fit(thread.reason, room).rstrip() + tail, width), palette.bright)]
    said = fit_reason(thread.reason, width) if thread.tid > 0 else fit(thread.reason, width)
    return [Segment(said, palette.base if stuck else palette.dim)]


def _own_lines(told: str) -> str:
    """'(shop.py:31)' instead of '(shop.py:31, in psycopg/connection.py:495)': a row has room for one line."""
    return _LIBRARY.sub(")", told)


def behind(thread: ThreadView) -> bool:
    """Whether somebody is in its way."""
    return thread.alive and " <- " in thread.because


@lru_cache(4096)
def fit_cause(because: str, root: str, width: int) -> str:
    """'LOCK (app.py:6) ← sleeps (app.py:7)': short of room, the way gives way first, then what is waited for, never the
    end of it."""
    because, root = _own_lines(because), _own_lines(root)
    first = because.partition(" <- ")[0]
    what = first.partition(" (")[0]
    ways = [because.replace(" <- ", " ← "), f"{first} ← {root}", f"{what} ← {root}"]
    if root.startswith(UNEXPLAINED):  # nothing is known of it: what is waited for says more
        ways.append(f"{what} ← {UNEXPLAINED}")
    for said in ways:
        if cell_len(said) <= width:
            return fit(said, width)
    if root.startswith(UNEXPLAINED):
        return fit(f"{fit(what, max(1, width - len(UNEXPLAINED) - 3)).rstrip()} ← {UNEXPLAINED}", width)
    room = width - cell_len(root) - 3
    if LEAST_WHAT // 2 <= room < cell_len(what):
        return fit(f"{fit(what, room).rstrip()} ← {root}", width)
    return fit_before_place(f"← {root}", width)  # that it waits stands in the column of states


def in_the_way(thread: ThreadView) -> bool:
    """Whether others wait for it, and nobody else is in the way."""
    return thread.waiting > 0 and not behind(thread)


def _count(thread: ThreadView) -> str:
    return f"{thread.waiting} {text.waits(thread.waiting)}"


def _said(thread: ThreadView) -> str:
    """'sleeps; 6 wait behind it'."""
    return f"{thread.reason}; {_count(thread)} behind it" if in_the_way(thread) else thread.reason


#: How the end of a deadlock's way begins.
CIRCLE = "they wait for each other"


def _reason_or_cause(thread: ThreadView, width: int, palette: Palette, context: Any) -> Line:
    if not behind(thread) or thread.root.startswith(CIRCLE):  # who holds it says more than the whole circle
        return _reason(thread, width, palette, context)
    return [Segment(fit_cause(thread.because, thread.root, width), palette.base)]


def _cause(thread: ThreadView, width: int, palette: Palette, context: Any) -> Line:
    said = fit_place(_own_lines(thread.root), width) if behind(thread) else fit("", width)
    return [Segment(said, palette.base)]


def _strip(thread: ThreadView, width: int, palette: Palette, context: Any) -> Line:
    return strip_cells(thread.strip, width, context or 0, palette)


def _share(state: State) -> Callable[[ThreadView], str]:
    return lambda t: f"{t.shares[state] * 100:.0f}"


def _by_share(state: State) -> Callable[[ThreadView], float]:
    return lambda t: t.shares[state]


def _cpu(thread: ThreadView) -> str:
    return "-" if thread.cpu_percent is None else f"{thread.cpu_percent:.0f}"


def _held(thread: ThreadView) -> str:
    return "-" if thread.gil_held is None else f"{thread.gil_held * 100:.0f}"


def _switches(thread: ThreadView) -> str:
    return "-" if thread.switches_per_s is None else text.count(thread.switches_per_s)


def _age(thread: ThreadView) -> str:
    seconds = thread.age_s
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} m"
    return f"{seconds / 3600:.0f} h" if seconds < 360_000 else f"{seconds / 86400:.0f} d"


def _less(value: float | None) -> float:
    return -1.0 if value is None else value


#: Drawn with the names of the threads there are: see `columns_of`.
NAME = Column(
    "name", " NAME", 14, Names(()).draw, most=30, sort=lambda t: t.name.lower(), down=False, data=lambda t: t.name
)
STATE = Column("state", "STATE", 10, _state, sort=lambda t: int(t.state), down=False)
SINCE = Column("for", "FOR", 6, number_cell(_since), drop=5, right=True, sort=lambda t: t.since_s)
WHY = Column("why", "WHY", 30, _reason, most=70, want=52, sort=trouble)
#: Short of room it gives way to who is in the way.
STRIP = Column("strip", "LAST MINUTE", 12, _strip, most=60, want=14, drop=3, data=False)

COLUMNS: tuple[Column, ...] = (
    NAME,
    Column(
        "tid", "TID", 8, number_cell(lambda t: str(t.tid), "dim"), drop=10, right=True, sort=lambda t: t.tid, down=False
    ),
    STATE,
    SINCE,
    WHY,
    Column("cpu", "CPU%", 5, number_cell(_cpu), drop=1, right=True, sort=lambda t: _less(t.cpu_percent)),
    Column("held", "GIL%", 5, number_cell(_held), drop=7, right=True, sort=lambda t: _less(t.gil_held)),
    Column("gil", "GILw%", 6, number_cell(_share(State.GIL)), drop=3, right=True, sort=_by_share(State.GIL)),
    Column("lock", "LOCK%", 6, number_cell(_share(State.LOCK)), drop=3, right=True, sort=_by_share(State.LOCK)),
    Column("io", "I/O%", 5, number_cell(_share(State.IO)), drop=6, right=True, sort=_by_share(State.IO)),
    # What the kernel counted: rarely caught by a sample, so no call tree tells it.
    Column(
        "runnable",
        "CPUw%",
        6,
        number_cell(_share(State.RUNNABLE)),
        drop=11,
        right=True,
        sort=_by_share(State.RUNNABLE),
    ),
    Column("switches", "SW/S", 6, number_cell(_switches), drop=8, right=True, sort=lambda t: _less(t.switches_per_s)),
    Column("age", "AGE", 5, number_cell(_age, "dim"), drop=9, right=True, sort=lambda t: t.age_s),
    Column("frame", "IN", 18, place_cell(place), most=40, drop=4, sort=place, down=False),
    STRIP,
)
BRIEF: tuple[Column, ...] = (NAME, STATE, SINCE, WHY, STRIP)


#: So many cells have names at most, short of room.
MOST_NAME = 24
#: Who is in the way, followed to the end: beside WHY where there is room, else in its place.
CAUSE = Column("cause", "CAUSE", 24, _cause, most=60, want=34, sort=lambda t: t.root, down=False)
WHY_OR_CAUSE = Column("why", "WHY", 30, _reason_or_cause, most=70, want=52, sort=trouble)
#: Beside its cause the reason needs less room: the last minute has it.
WHY_BESIDE = replace(WHY, want=38)
CAUSE_LEAST, STEP = 16, 8
#: From so many cells on there is room for both.
ROOM_FOR_BOTH = 130


def columns_of(snapshot: Snapshot, width: int, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """With the cause of every wait, where it was followed; names have the room they need, in steps."""
    names = names_of(snapshot)
    wide = min(NAME.most if width >= ROOM_FOR_BOTH else MOST_NAME, -(-(names.longest() + 1) // 4) * 4)
    named = replace(NAME, draw=names.draw, want=wide if wide > NAME.width else NAME.want)
    columns = tuple(named if c is NAME else c for c in columns)
    if not any(behind(t) for t in snapshot.threads):
        return columns
    if width < ROOM_FOR_BOTH:
        return tuple(WHY_OR_CAUSE if c is WHY else c for c in columns)
    why, cause = _beside(snapshot)
    return tuple(each for c in columns for each in ((why, cause) if c is WHY else (c,)))


def _beside(snapshot: Snapshot) -> tuple[Column, Column]:
    """WHY and CAUSE: what one does not need, the other has. In steps, so that they do not move all the time."""
    threads = [t for t in snapshot.threads if t.alive]
    cause = max((cell_len(_own_lines(t.root)) for t in threads if behind(t)), default=0)
    why = max((cell_len(_said(t)) for t in threads), default=0)
    room = CAUSE.want + WHY_BESIDE.want
    cause = min(CAUSE.want, max(CAUSE_LEAST, -(-cause // STEP) * STEP))
    why = min(room - cause, -(-why // STEP) * STEP)
    return replace(WHY, want=max(WHY.width, why)), replace(CAUSE, width=min(CAUSE.width, cause), want=cause)


def thread_table(columns: tuple[Column, ...] = COLUMNS, id: str | None = None) -> Table:  # noqa: A002
    return Table(
        columns,
        lambda t: t.tid,
        haystack=haystack,
        fields=FIELDS,
        sort="why",
        empty="no threads were seen yet",
        others=COLUMNS,
        over=lambda t: not t.alive,
        id=id,
    )


def as_line(thread: ThreadView) -> str:
    if thread.tid < 0:
        return f"{thread.name.strip()}: {thread.reason}"
    state = WORDS[thread.state] if thread.alive else "ended"
    cause = f" (because: {thread.because})" if behind(thread) else ""
    return f"{thread.name.strip()} (tid {thread.tid}): {state}, {_said(thread)}{cause}; in {place(thread)}"
