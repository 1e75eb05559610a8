"""Imports in stacks: who is inside the body of a module, who waits for whom, and circles of it."""

from __future__ import annotations

from concview.analysis import graph
from concview.analysis.classify import bare
from concview.analysis.graph import Edge
from concview.analysis.window import Window
from concview.catalogue.rules._crowd import Crowd, related
from concview.model import Frame, Stack
from concview.source.calls import IMPORT
from concview.source.origin import is_module


def _of_import_system(frame: Frame) -> bool:
    return is_module(frame.file, IMPORT, frame.origin)


def loading(stack: Stack) -> bool:
    """Whether the import system loads a module there: it is at the body of one, or at reading its file."""
    return any(bare(f.function) == "_load_unlocked" and _of_import_system(f) for f in stack.frames)


def body(stack: Stack | None) -> Frame | None:
    """The innermost body of a module that is being imported there."""
    frames = stack.frames if stack is not None else ()
    for position, frame in enumerate(frames):
        if frame.function == "<module>" and any(_of_import_system(f) for f in frames[position + 1 : position + 3]):
            return frame
    return None


def module_of(window: Window, crowd: Crowd) -> str:
    """The module's name, from its lock; '' where that was not read."""
    known = related(window, crowd)
    return known.name if known is not None and known.kind == "ModuleLock" else ""


def name_of(window: Window, address: int) -> str:
    return next((r.name for r in window.relations if r.address == address and r.kind == "ModuleLock"), "")


def circles(window: Window) -> list[list[Edge]]:
    """Circles that nobody can leave, with an import in it."""
    return [c for c in graph.cycles(window.edges) if graph.for_ever(c) and any(e.via == "import" for e in c)]


def behind(window: Window, found: list[list[Edge]]) -> set[int]:
    """The threads in these circles, and all that wait for one of them."""
    lost = {e.waiter for circle in found for e in circle}
    grew = True
    while grew:
        more = {e.waiter for e in window.edges if e.holder in lost} - lost
        lost |= more
        grew = bool(more)
    return lost
