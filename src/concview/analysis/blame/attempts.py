"""Something that is tried for again and again, with a pause in between: by the name of the function whose loop the
pause is in."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from concview.analysis.known_places import RETRIES, RETRY_LOOPS, among, bare, of_a_library
from concview.model import Frame, Stack
from concview.source.calls import ACQUIRES
from concview.source.origin import place

if TYPE_CHECKING:
    from concview.analysis.blame.world import World

#: Frames from the pause outwards that may belong to the same attempt.
_DEPTH = 4
#: Functions in which nothing is done but to pause.
PAUSES = re.compile(r"sleep|wait|pause|back_?off|delay|retry", re.IGNORECASE)


def acquiring(own: Sequence[Frame], names: Collection[str] = ACQUIRES) -> Frame | None:
    """The frame of the function that acquires, where the pause is in it or in what it calls of its own package. `own`:
    frames without the standard library's, innermost first."""
    for frame in own[:_DEPTH]:
        if frame.origin != own[0].origin or package(frame) != package(own[0]):
            return None
        if bare(frame.function) in names:
            return frame
    return None


def package(frame: Frame) -> str:
    if frame.origin != "library":
        return frame.file
    kind, path = place(frame.file)
    # In a folder whose name does not tell (pip install --target), the innermost one stands for the package.
    return path.partition("/")[0] if kind == "library" else path.rpartition("/")[0].rpartition("/")[2]


def again_and_again(world: World, own: Sequence[Frame], frame: Frame) -> bool:
    """Whether the pause is in a loop of the function that acquires, or of what that calls."""
    return any(world.file(f.file).loop(f.function, f.line) is not None for f in own[: own.index(frame) + 1])


def lock_of(frame: Frame, in_server: bool) -> str:
    """'a lock of redis', 'a lock of filelock that it tries for again and again', by the frame that acquires it."""
    return f"a lock{of_what(frame)}{'' if in_server else ' that it tries for again and again'}"


def by_server(asked: str = "") -> str:
    """Who has a lock that is kept in a server is known there alone. `asked`: the peer that the waiter talks to."""
    return f"whoever has it by what its server says{f' ({asked})' if asked else ''}"


def of_what(frame: Frame) -> str:
    """Behind "a lock": ' of filelock', ' (DistLock)'."""
    owner = frame.function.rpartition(".")[0].rpartition(".")[2]
    library = package(frame) if frame.origin == "library" else ""
    return f" of {library}" if library else f" ({owner})" if owner else ""


def failing(world: World, stack: Stack, own: Sequence[Frame]) -> str:
    """What one does that pauses here, where that is a pause between two tries of what fails; '' where it is none."""
    for frame in own[:_DEPTH]:
        alone = frame.origin == "library" and of_a_library(stack)
        error = "" if among(frame, RETRIES) or (frame is own[0] and among(frame, RETRY_LOOPS)) else None
        if error is None:
            error = world.file(frame.file).tries_again(frame.function, frame.line, alone)
        if error is not None:
            return f"pauses between two tries of what fails{f' with {error}' if error else ''}"
        if not PAUSES.search(bare(frame.function)):
            return ""
    return ""
