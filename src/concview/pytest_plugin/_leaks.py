"""What a test leaves behind: threads that run on, and tasks that were pending when their event loop was closed.

Both are seen from inside, where the interpreter itself keeps the list: a look from outside after every test would cost
more than most tests take.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import FrameType
from typing import Any

#: Threads of tools beside the tests.
ALWAYS_ALLOWED = ("pydevd*", "pytest_timeout*", "execnet*", "concview-*", "IPython*")
_STEP_S = 0.02
MOST_FRAMES = 6


class Threads:
    """Threads that a test began and that neither it nor its fixtures ended."""

    def __init__(self, allowed: tuple[str, ...], grace_s: float) -> None:
        self._allowed = (*ALWAYS_ALLOWED, *allowed)
        self._grace_s = grace_s
        self._known: set[threading.Thread] = set()

    def begin(self) -> None:
        self._known = set(threading.enumerate())

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Threads that begin in here belong to somebody who outlives the test: a fixture of a wider scope."""
        before = set(threading.enumerate())
        try:
            yield
        finally:
            self._known |= set(threading.enumerate()) - before

    def left(self) -> list[threading.Thread]:
        """Those that are still there after the grace. Without any, it takes no time."""
        deadline = time.monotonic() + self._grace_s
        collected = False
        while left := [t for t in threading.enumerate() if self._counts(t)]:
            if time.monotonic() >= deadline:
                return left
            if not collected:  # workers of an executor end when nobody refers to it any more
                collected = True
                gc.collect()
            time.sleep(_STEP_S)
        return []

    def _counts(self, thread: threading.Thread) -> bool:
        if thread in self._known or isinstance(thread, threading._DummyThread) or not thread.is_alive():
            return False
        return not any(fnmatchcase(thread.name, pattern) for pattern in self._allowed)


def runs(thread: threading.Thread) -> str:
    """What it was made for, where that can be told."""
    target = getattr(thread, "_target", None)
    name = getattr(target, "__qualname__", None) if target is not None else type(thread).__qualname__
    return f" runs {name}" if name and name != "Thread" else ""


def frames_of(thread: threading.Thread) -> list[str]:
    """Where it stands, leaf first, as far as it is worth showing."""
    frame: FrameType | None = sys._current_frames().get(thread.ident or 0)
    rows: list[str] = []
    while frame is not None and len(rows) < MOST_FRAMES:
        code = frame.f_code
        rows.append(f"    {code.co_qualname} ({code.co_filename}:{frame.f_lineno})")
        frame = frame.f_back
    return rows


@dataclass(frozen=True, slots=True)
class PendingTask:
    name: str
    function: str
    place: str


class Tasks:
    """Tasks that were pending when their loop was closed by asyncio.run, a Runner, pytest-asyncio or unittest: all go
    through one function of asyncio, which is looked at. Those of a loop that is closed by hand are not seen."""

    def __init__(self) -> None:
        self.found: list[PendingTask] = []
        self.why_not = ""
        self._restore: Callable[[], None] | None = None

    def install(self) -> None:
        import asyncio.runners as runners

        original: Any = getattr(runners, "_cancel_all_tasks", None)
        if original is None:
            self.why_not = f"asyncio of Python {sys.version.split()[0]} ends its tasks elsewhere"
            return

        def looked_at(loop: Any) -> None:
            self._look(loop)
            original(loop)

        def restore() -> None:
            runners._cancel_all_tasks = original  # type: ignore[attr-defined]

        runners._cancel_all_tasks = looked_at  # type: ignore[attr-defined]
        self._restore = restore

    def uninstall(self) -> None:
        if self._restore is not None:
            self._restore()

    def take(self) -> list[PendingTask]:
        found, self.found = self.found, []
        return found

    def _look(self, loop: Any) -> None:
        import asyncio

        for task in asyncio.all_tasks(loop):
            if task.cancelling():  # somebody has seen to it
                continue
            coroutine: Any = task.get_coro()
            self.found.append(
                PendingTask(task.get_name(), getattr(coroutine, "__qualname__", repr(coroutine)), _place(coroutine))
            )


def _place(coroutine: Any) -> str:
    """Where the innermost coroutine of ours stands."""
    place = ""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is None:
            break
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        coroutine = getattr(coroutine, "cr_await", None)
    return place
