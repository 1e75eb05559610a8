"""How somebody, by where he stands in the source, is placed to what another waits for. Everything here is inferred."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING

from concview.analysis.blame.attempts import package
from concview.model import Frame

if TYPE_CHECKING:
    from concview.analysis.blame.world import Look, World

Reach = Mapping[tuple[str, int], tuple[int, ...]]


class Way(IntEnum):
    NOT = 0  #: it is not on the way
    MAKER = 1  #: it will come by a place that wakes
    OWNER = 2  #: and it is past the place where the other waits: it has what is waited for


def way(
    world: World,
    their: Look,
    look: Look,
    reach: Reach,
    counted: frozenset[str] = frozenset(),
    called: bool = False,
) -> Way:
    """How a thread stands to a wait that `reach` (function -> lines that wake) ends. `counted`: functions by which
    others take what it waits for. `called`: it waits for tasks, and what is called in its line has been."""
    frame, functions = look.frame, look.functions
    names = {name for name, _ in reach}
    here = {(f.file, f.function, f.line) for f in look.own}
    for at in their.own:
        if (at.file, at.function, at.line) in here:
            continue  # at the same line of it as the one that waits: it is no further
        function = world.file(at.file).function_at(at.function, at.line)
        if function is None:
            continue
        lines = reach.get(function.key, ()) if at.file == frame.file else ()
        took = bool(counted) and any(c.line < at.line and c.method in counted for c in function.calls)
        alike = took or (at.file, at.function) in functions
        if not lines and at.file != frame.file and (alike or _one_library(at, frame)):
            lines = tuple(c.line for c in function.calls if c.method in names)
        if not lines:
            continue
        if any(line > at.line or (line == at.line and not (called and at is their.own[0])) for line in lines):
            return Way.OWNER if alike else Way.MAKER
        if any(
            lp.first <= at.line <= lp.last and any(lp.first <= line <= lp.last for line in lines)
            for lp in function.loops
        ):
            return Way.OWNER if alike and at.file == frame.file and at.function == frame.function else Way.MAKER
    return Way.NOT


def _one_library(one: Frame, other: Frame) -> bool:
    return one.origin == other.origin == "library" and package(one) == package(other)
