"""asyncio from the inside: loops, their lag, tasks with their state, await chain, age and creation site.

Nothing here runs in the loop's thread except one small callback per loop and tick, which measures its lag.

Runs inside targets: Python 3.8 and newer, standard library only.
"""

from __future__ import annotations

import sys
import time

from .wire import plain

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any

#: Tasks told of one loop; all are counted.
MAX_TASKS = 200
MAX_LOOPS = 16
#: Coroutine functions whose tasks are counted apart; those with most tasks are told.
MAX_GROUPS = 20
#: Coroutines followed along one await chain.
MAX_CHAIN = 20


class _Lag:
    """How late a loop comes to a callback that is due at once. Seconds."""

    def __init__(self) -> None:
        self.asked = 0.0
        self.last = -1.0

    def answer(self) -> None:
        self.last = time.monotonic() - self.asked
        self.asked = 0.0

    def ask(self, loop: Any) -> float:
        """The lag measured last, or how long the loop has owed an answer. -1: not known yet."""
        now = time.monotonic()
        owed = now - self.asked if self.asked else -1.0
        if not self.asked:
            self.asked = now
            try:
                loop.call_soon_threadsafe(self.answer)
            except RuntimeError:  # closed meanwhile
                self.asked = 0.0
        return max(self.last, owed)


class Tasks:
    """Keeps what must be remembered from tick to tick: since when a task has been seen, and the open lag questions."""

    def __init__(self) -> None:
        #: id of a loop -> (id, name) of a task -> since when it is known, and the code object of its coroutine
        self._seen: dict[int, dict[tuple[int, str], tuple[float, Any]]] = {}
        self._lags: dict[int, _Lag] = {}

    def look(self, frames: dict[int, Any], natives: dict[int, int]) -> list[dict[str, Any]]:
        """One entry per running loop. `frames`: sys._current_frames()."""
        asyncio = sys.modules.get("asyncio")
        if asyncio is None or not hasattr(asyncio, "all_tasks"):
            return []
        loops = _loops(frames)
        self._lags = {key: lag for key, lag in self._lags.items() if key in loops}
        now = time.monotonic()
        known, self._seen = self._seen, {}
        found = []
        for key, (ident, loop) in list(loops.items())[:MAX_LOOPS]:
            lag = self._lags.setdefault(key, _Lag())
            try:
                tasks = list(asyncio.all_tasks(loop))
            except RuntimeError:  # changed too often while it was copied
                self._seen[key] = known.get(key, {})
                continue
            before = known.get(key, {})
            seen = self._seen[key] = {}
            for task in tasks:
                identity = (id(task), _name(task))
                seen[identity] = before.get(identity) or (now, _code(task))
            ended = [code for identity, (_, code) in before.items() if identity not in seen]
            told = sorted(tasks, key=lambda t: seen[id(t), _name(t)][0])[:MAX_TASKS]
            found.append(
                {
                    "tid": natives.get(ident, 0),
                    "kind": plain(type(loop).__name__, 60),
                    "tasks": len(tasks),
                    "ready": len(getattr(loop, "_ready", ())),
                    "timers": len(getattr(loop, "_scheduled", ())),
                    "lag": lag.ask(loop),
                    "debug": bool(loop.get_debug()),
                    "told": [_task(task, now - seen[id(task), _name(task)][0]) for task in told],
                    "groups": _groups([code for _, code in seen.values()], ended),
                }
            )
        return found


def _loops(frames: dict[int, Any]) -> dict[int, tuple[int, Any]]:
    """id -> (thread, loop) of every loop that runs, from the frames of `run_forever`."""
    loops: dict[int, tuple[int, Any]] = {}
    for ident, frame in frames.items():
        while frame is not None:
            code = frame.f_code
            if code.co_name == "run_forever" and "asyncio" in code.co_filename:
                loop = frame.f_locals.get("self")
                if hasattr(loop, "call_soon_threadsafe"):
                    loops[id(loop)] = (ident, loop)
                    break
            frame = frame.f_back
    return loops


def _code(task: Any) -> Any:
    """The code object of the task's coroutine; None where it is not written in Python."""
    coroutine = task.get_coro()
    return getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)


def _groups(alive: list[Any], ended: list[Any]) -> list[dict[str, Any]]:
    """Tasks by the coroutine function they run, most first: how many there are, and how many ended since the last
    look. Tasks that lived and died between two looks are in neither."""
    counts: dict[Any, list[int]] = {}
    for at, codes in enumerate((alive, ended)):
        for code in codes:
            if code is not None:
                counts.setdefault(code, [0, 0])[at] += 1
    most = sorted(counts.items(), key=lambda item: (-item[1][0], -item[1][1]))[:MAX_GROUPS]
    return [
        {
            "function": plain(getattr(code, "co_qualname", code.co_name)),
            "file": plain(code.co_filename, 1000),
            "line": code.co_firstlineno,
            "tasks": numbers[0],
            "ended": numbers[1],
        }
        for code, numbers in most
    ]


def _name(task: Any) -> str:
    get = getattr(task, "get_name", None)
    return plain(get(), 120) if get is not None else ""


def _task(task: Any, age: float) -> dict[str, Any]:
    chain: list[Any] = []
    queue = None
    coroutine = task.get_coro()
    state = "done" if task.done() else "waiting"
    while coroutine is not None and len(chain) < MAX_CHAIN:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            frame = getattr(coroutine, "ag_frame", None)
        if frame is not None:
            code = frame.f_code
            name = getattr(code, "co_qualname", code.co_name)
            chain.append([plain(name), plain(code.co_filename, 1000), frame.f_lineno or code.co_firstlineno])
            if queue is None and code.co_name in ("get", "put") and code.co_filename.endswith("asyncio/queues.py"):
                queue = _queue(frame, code.co_name)
            if getattr(coroutine, "cr_running", False) or getattr(coroutine, "gi_running", False):
                state = "running"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    if state == "waiting" and getattr(task, "_fut_waiter", None) is None:
        state = "ready"  # nothing left that it waits for: its turn comes with the loop's next round
    origin = getattr(task, "_source_traceback", None)  # only there when the loop is in debug mode
    created = [plain(origin[-1].filename, 1000), origin[-1].lineno or 0] if origin else None
    return {"name": _name(task), "state": state, "age": age, "chain": chain, "created": created, "queue": queue}


def _queue(frame: Any, how: str) -> dict[str, Any] | None:
    """The asyncio queue that a coroutine waits at."""
    queue = frame.f_locals.get("self")
    try:
        return {
            "id": id(queue),
            "kind": plain(type(queue).__name__, 60),
            "size": len(queue._queue),
            "most": int(queue._maxsize),
            "how": how,
        }
    except (AttributeError, TypeError):
        return None
