"""Who has been where another waits, and will come by the place that wakes it: by stacks and source.

Everything concluded here is inferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from concview.analysis.blame.nouns import Node
from concview.analysis.blame.ways import Reach, Way, way
from concview.analysis.blame.world import Waiter, is_machinery
from concview.analysis.known_places import SESSIONS, is_any
from concview.model import Frame

if TYPE_CHECKING:
    pass

#: Who has a lock that processes have in common, where that is no thread of this one.
ELSEWHERE = "another process, maybe one that has ended"

#: Lines from which sessions asked one pool for a connection that are remembered.
_MOST_PLACES = 64


def check_tree(waiter: Waiter) -> str:
    """The command that looks at this process together with those it shares locks with."""
    parent = waiter.world.history.parent
    return f"check --tree {parent.pid} names it" if parent is not None and parent.alive else "check --tree names it"


def inside_block(waiter: Waiter) -> list[Node]:
    """Threads in the body of the very `with` whose head this one is still in: what it enters, they have. Needs no
    knowledge of what is entered."""
    key = ("block", waiter.look.stack)
    return [t for t in waiter.moment.once(key, lambda: _in_body(waiter)) if t not in waiter.same]


def in_tasks(waiter: Waiter) -> list[Node]:
    """Tasks that stand in the body of the very `with` whose head this thread is in: they have it across an `await`."""
    tasks = waiter.moment.tasks
    if not tasks.runs:
        return []
    own = [f for f in waiter.look.own if not is_machinery(f)]
    return waiter.moment.once(("in tasks", waiter.look.stack), lambda: tasks.in_body(own))


def _in_body(waiter: Waiter) -> list[Node]:
    found: list[Node] = []
    for frame in waiter.look.own:
        if is_machinery(frame):
            continue
        file = waiter.world.file(frame.file)
        first, last = file.body(frame.function, frame.line)
        standing = waiter.moment.standing.get((frame.file, frame.function), ())
        if first > frame.line:
            found += [tid for tid, line in standing if first <= line <= last]
        elif standing and (beside := file.called_beside(frame.function, frame.line)):
            here = [tid for tid, line in standing if line == frame.line]
            found += [tid for tid in here if _calls(waiter, tid, frame, beside)]
    return list(dict.fromkeys(found))


def _calls(waiter: Waiter, tid: Node, frame: Frame, names: set[str]) -> bool:
    """Whether a thread in that function is inside a call of one of these."""
    frames = waiter.moment.runs[tid].stack.frames
    return any(
        (outer.file, outer.function) == (frame.file, frame.function) and inner.function.rpartition(".")[2] in names
        for inner, outer in pairwise(frames)
    )


def further_on(waiter: Waiter) -> list[Node]:
    """Threads past the line at which this one asks a library for something, and not yet past the last use of it."""
    asks = next((f for f in waiter.look.own if f.origin == "user"), None)
    if asks is None:
        return []
    key = ("further", asks)
    last = waiter.world.file(asks.file).had_until(asks.function, asks.line)
    found = waiter.moment.once(
        key,
        lambda: [
            tid for tid, line in waiter.moment.standing.get((asks.file, asks.function), ()) if asks.line < line <= last
        ],
    )
    return [t for t in found if t not in waiter.same]


def in_sessions(waiter: Waiter) -> list[Node]:
    """Threads with a session that has a connection of the pool that this one waits for: they are past a line from which
    somebody's session was seen to ask for one."""
    lock = waiter.wait.lock
    if not lock:
        return []
    found = waiter.moment.once(("sessions", lock), lambda: _in_sessions(waiter, lock))
    return [t for t in found if t not in waiter.same]


def _in_sessions(waiter: Waiter, lock: int) -> list[Node]:
    asked = cast("dict[tuple[str, str, int], int]", waiter.world.remembered(("asked in sessions", lock), dict))
    for tid in waiter.same:
        for place, last in _asked(waiter, tid):
            if len(asked) < _MOST_PLACES:
                asked[place] = last
    found: list[Node] = []
    for (file, function, line), last in asked.items():
        found += [tid for tid, at in waiter.moment.standing.get((file, function), ()) if line < at <= last]
    return list(dict.fromkeys(found))


def _asked(waiter: Waiter, tid: Node) -> Iterator[tuple[tuple[str, str, int], int]]:
    """((file, function, line), last line on which it is kept) from the program's line that asks its session on, as far
    out as the session was handed in."""
    frames = waiter.moment.runs[tid].stack.frames
    inner = next((at for at, f in enumerate(frames) if f.origin == "user"), 0)
    if not inner or not any(is_any(f, SESSIONS) for f in frames[:inner]):
        return
    variable = ""
    for frame in frames[inner:]:
        if frame.origin != "user":
            return
        file = waiter.world.file(frame.file)
        if variable and not file.hands_on(frame.function, frame.line, variable):
            return
        variable = variable or file.session(frame.function, frame.line)
        if not variable:
            return
        last = file.session_until(frame.function, frame.line, variable)
        yield (frame.file, frame.function, frame.line), last


def between(waiter: Waiter) -> tuple[str, list[Node]]:
    """(what a library is asked for something, those that have it) where this one's line in the program asks, and the
    same function gives back further down by another method: those between. ('', []) where it does not."""
    asks = next((f for f in waiter.look.own if f.origin == "user"), None)
    if asks is None or waiter.look.own[0].origin != "library":
        return "", []
    of, last = waiter.world.file(asks.file).had_of(asks.function, asks.line)
    if not of:
        return "", []
    standing = waiter.moment.standing.get((asks.file, asks.function), ())
    return of, list(dict.fromkeys(t for t, line in standing if asks.line < line <= last and t not in waiter.same))


def on_the_way(waiter: Waiter, on: str, method: str) -> tuple[list[Node], list[Node]]:
    """(those that have it, those that will only make it), of all that do not wait as this one does."""
    owners = waiter.moment.once(("own", waiter.look, on, method), lambda: _all(waiter, on, method, Way.OWNER))
    makers = waiter.moment.once(("make", waiter.look, on, method), lambda: _all(waiter, on, method, Way.MAKER))
    same = waiter.same
    return [t for t in owners if t not in same], [t for t in makers if t not in same]


def _all(waiter: Waiter, on: str, method: str, wanted: Way) -> list[Node]:
    moment, look, world = waiter.moment, waiter.look, waiter.world
    reach = waiter.source.wakers(on, method) if on else {}
    if not reach:
        return []
    counted = waiter.source.counted(look.frame.function, look.frame.line, on, method)
    found: list[Node] = []
    for tid in moment.runs:
        their = moment.look(tid)
        if not their.own:
            continue
        key = ("way", their.stack, look.stack, look.place, on, method)
        if world.remembered(key, lambda their=their: way(world, their, look, reach, counted)) == wanted:  # type: ignore[misc]
            found.append(tid)
    tasks = moment.tasks.placed(look, on, method, reach, wanted, counted)
    # What a loop's thread does there, it does for one of its tasks.
    loops = {moment.tasks.thread(node) for node in tasks}
    return [t for t in found if t not in loops] + tasks


def own_callback(waiter: Waiter, on: str, method: str) -> str:
    """Why nobody else will give it: whatever gives it is done in functions in which this thread itself is, further out,
    called back by a library that calls nobody else back so. '' where it is not so."""
    frames, at = waiter.look.stack.frames, waiter.frame
    givers = waiter.source.direct_givers(on, method) if on else frozenset()
    if not givers or at not in frames:
        return ""
    file, outer = waiter.source, frames[frames.index(at) + 1 :]
    inside: dict[object, int] = {}
    for number, frame in enumerate(outer):
        found = file.function_at(frame.function, frame.line) if frame.file == at.file else None
        if found is not None and found.key in givers:
            inside[found.key] = number
    if len(inside) < len(givers):
        return ""
    for number in inside.values():
        calls = next((f for f in outer[number:] if f.origin != "user"), None)
        if calls is None or calls.origin != "library":
            return ""
        if len({t for t, _ in waiter.moment.standing.get((calls.file, calls.function), ())}) > 1:
            return ""
    name = outer[min(inside.values())].function.rpartition(".")[2]
    return f"{on}: only {name} would bring it, and this very thread is in that, in a callback"


def would(reach: Reach) -> str:
    """'put:31, close:40': the places that would wake it."""
    return ", ".join(sorted(f"{name}:{lines[0]}" for (name, _), lines in reach.items())[:3])
