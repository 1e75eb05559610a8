"""How samples are called in files of other tools: frames, states, locks and blockers as names."""

from __future__ import annotations

from typing import Protocol

from concview.analysis.samples import Activity, Blocker
from concview.model import Frame, State
from concview.text import file_name

UNNAMED = "<unnamed>"


def function(frame: Frame) -> str:
    return frame.function.strip() or UNNAMED


def place(frame: Frame) -> str:
    """'Cache.get (cache.py:41)'; without a file, as of native frames, the function alone."""
    file = file_name(frame.file)
    return f"{function(frame)} ({file}:{frame.line})" if file else function(frame)


class Named(Protocol):
    """A thread: `SampledThread` is one. It can be a key."""

    @property
    def tid(self) -> int: ...
    @property
    def name(self) -> str: ...
    def __hash__(self) -> int: ...


def thread(one: Named) -> str:
    return one.name.strip() or f"thread {one.tid}"


def state(activity: Activity) -> str:
    return activity.word


def leaves(activity: Activity, blocker: Blocker | None, side: str) -> list[str]:
    """Frames below the leaf: '[lock]', and '[self._lock (cache.py) held by worker-3]' where that is known."""
    detail = waits(activity, blocker, side)
    return [f"[{activity.word}]", *([f"[{detail}]"] if detail else [])]


def waits(activity: Activity, blocker: Blocker | None, side: str) -> str:
    """What is waited for and who is in the way, or for whom this thread is in the way; '' where nothing is known."""
    if side == "holder":
        return f"{thread(blocker.thread)} waits for it" if blocker is not None else ""
    if activity.state is State.RUNNING or activity.state is State.RUNNABLE:
        return ""
    if blocker is None:
        return activity.detail
    name = thread(blocker.thread)
    if activity.state is State.GIL:
        return f"GIL held by {name}"
    return f"{activity.lock.name} held by {name}" if activity.lock is not None else f"{activity.detail} of {name}"
