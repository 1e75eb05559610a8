"""Who waits for a second one out of a pool while it has one itself.

Either a `with` that asks the same for one is around the line that asks, or the library has called the program back
while it worked with one (an event of SQLAlchemy's in a flush), and there the program asks again.
"""

from __future__ import annotations

from collections.abc import Callable

from concview.analysis.known_places import POOLS, pool_asked
from concview.model import Frame, Stack
from concview.source.functions import Block, File


def has_one(stack: Stack, source: Callable[[str], File | None]) -> bool:
    """Of a thread that waits in a pool. `source`: a file that was parsed; None: not known."""
    frames = stack.frames
    asks = next((i for i, f in enumerate(frames) if f.origin == "user"), -1)
    if asks < 0:
        return False
    package = package_of(stack)
    if package and any(f.file.startswith(package) for f in frames[asks:]):
        return True
    asking = frames[asks]
    asked = {(b.path, b.method) for b in _blocks(source, asking) if b.head.line <= asking.line <= b.head.end_line}
    return any(
        (b.path, b.method) in asked and b.head.end_line < f.line <= b.body.end_line
        for f in frames[asks:]
        if f.origin == "user" and asked
        for b in _blocks(source, f)
    )


def package_of(stack: Stack) -> str:
    """Folder of the library in whose pool it waits; ''."""
    frame = next((f for f in stack.frames if pool_asked(f)), None)
    for places, _ in POOLS[frame.file.rpartition("/")[2]] if frame is not None else ():
        if frame is not None and frame.file.endswith(f"/{places.file}"):
            return f"{frame.file[: -len(places.file)]}{places.file.partition('/')[0]}/"
    return ""


def _blocks(source: Callable[[str], File | None], frame: Frame) -> list[Block]:
    parsed = source(frame.file)
    found = parsed.function(frame.function, frame.line) if parsed is not None else None
    return found.blocks if found is not None else []
