"""What threads wait at, as only the inside knows it: sizes of queues, depth and workers of thread pools; and the pauses
of the garbage collector. Objects are found in the frames of the standard library's functions: no walk over the heap.

Runs inside targets: Python 3.8 and newer, standard library only.
"""

from __future__ import annotations

import gc
import os
import sys
import time

from .wire import plain

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any

#: Frames looked at per thread, from the innermost: a wait of the standard library is at most that deep.
MAX_DEPTH = 8
MAX_OBJECTS = 500
#: Collections remembered between two ticks.
MAX_PAUSES = 5_000


def _files() -> dict[str, str]:
    """File name of the code -> which module it is."""
    found = {}
    for name in ("queue", "concurrent.futures.thread"):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file:
            found[os.path.normpath(file)] = name
    return found


def look(frames: dict[int, Any], natives: dict[int, int]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(queues, thread pools) that threads wait at or work for.

    Reading `f_locals` of another thread's frame is only safe because the GIL keeps that thread where it is; the
    caller leaves this out where there is none.
    """
    files = _files()
    queues: dict[int, dict[str, Any]] = {}
    pools: dict[int, dict[str, Any]] = {}
    if not files:
        return [], []
    for ident, frame in frames.items():
        tid = natives.get(ident, 0)
        idle = True
        depth = 0
        while frame is not None and (depth < MAX_DEPTH or _below(frame)):
            module = files.get(os.path.normpath(frame.f_code.co_filename))
            name = frame.f_code.co_name
            if module == "queue" and name in ("get", "put", "join"):
                _queue(queues, frame, name, tid)
            elif module is not None and name == "_worker":
                _pool(pools, frame, tid, idle)
            if module is None:
                idle = False
            frame = frame.f_back
            depth += 1
    return list(queues.values())[:MAX_OBJECTS], list(pools.values())[:MAX_OBJECTS]


def _below(frame: Any) -> bool:
    """Whether the stack is near its outer end: a pool's worker loop is the third frame from there."""
    for _ in range(3):
        frame = frame.f_back
        if frame is None:
            return True
    return False


def _queue(queues: dict[int, dict[str, Any]], frame: Any, how: str, tid: int) -> None:
    queue = frame.f_locals.get("self")
    try:
        size, most = int(queue._qsize()), int(queue.maxsize)
        unfinished = int(queue.unfinished_tasks)
    except (AttributeError, TypeError, ValueError):
        return  # not a queue after all, or a subclass that has its own ideas
    entry = queues.setdefault(
        id(queue),
        {
            "id": id(queue),
            "kind": plain(type(queue).__name__, 60),
            "size": size,
            "most": most,
            "unfinished": unfinished,
            "get": [],
            "put": [],
            "join": [],
            "where": None,
        },
    )
    entry[how].append(tid)
    caller = frame.f_back
    if entry["where"] is None and caller is not None:
        code = caller.f_code
        entry["where"] = [plain(code.co_name), plain(code.co_filename, 1000), caller.f_lineno or 0]


def _pool(pools: dict[int, dict[str, Any]], frame: Any, tid: int, idle: bool) -> None:
    here = frame.f_locals
    work, reference = here.get("work_queue"), here.get("executor_reference")
    if work is None:
        return
    executor = reference() if callable(reference) else None
    try:
        backlog = int(work.qsize())
        most = int(getattr(executor, "_max_workers", 0))
        prefix = plain(getattr(executor, "_thread_name_prefix", ""), 120)
    except (AttributeError, TypeError, ValueError):
        return
    entry = pools.setdefault(
        id(work), {"id": id(work), "name": prefix, "most": most, "backlog": backlog, "busy": [], "idle": []}
    )
    entry["idle" if idle else "busy"].append(tid)


class Pauses:
    """The garbage collector's pauses, by its own callbacks: about 1 us each."""

    def __init__(self) -> None:
        self._ended: list[tuple[int, float]] = []
        self._began = 0.0

    def _note(self, phase: str, info: Any) -> None:
        # Runs in whichever thread collects. Nothing here may raise or allocate much.
        if phase == "start":
            self._began = time.perf_counter()
        elif self._began and len(self._ended) < MAX_PAUSES:
            self._ended.append((info.get("generation", 0), time.perf_counter() - self._began))

    def start(self) -> None:
        self._callback = self._note
        gc.callbacks.append(self._callback)

    def stop(self) -> None:
        try:
            gc.callbacks.remove(self._callback)
        except (ValueError, AttributeError):
            pass

    def take(self) -> list[list[float]]:
        """[generation, how many, seconds in all, longest] since the last call."""
        ended, self._ended = self._ended, []
        found: dict[int, list[float]] = {}
        for generation, seconds in ended:
            row = found.setdefault(generation, [generation, 0, 0.0, 0.0])
            row[1] += 1
            row[2] += seconds
            row[3] = max(row[3], seconds)
        return [found[g] for g in sorted(found)]
