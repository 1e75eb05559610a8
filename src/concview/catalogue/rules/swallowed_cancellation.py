"""A task was cancelled and goes on: it has caught the CancelledError and kept it.

What it sees:
    Tasks for which `cancel` was called, which have run since then, and have neither ended nor taken it back.

Why it hurts:
    Whoever cancelled it waits for its end: a TaskGroup, `asyncio.timeout`, `wait_for`, a shutdown. The time limit has
    no effect, the service does not stop, and the next deployment kills it in the middle of its work.

How it is measured:
    The task's own counter of calls of `cancel` that no `uncancel` has taken back, read from memory (Python 3.11 and
    newer). A task with a count that has been so for 5 s [H] is counted: cleaning up takes a moment, and some take
    longer. Thresholds 1 and 1 [D]; it is a warning where another task waits for its end, or where it was cancelled more
    than once, else INFO. Demo pair: 3 (bad), 0 (fixed).

Fix:
    Let the CancelledError pass. `except Exception` does not catch it; a bare `except` and `except BaseException` do.

        except asyncio.CancelledError:
            await clean_up()
            raise

When it is fine:
    A task that finishes what it began before it ends, and that nobody waits for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.tasks.window import AioWindow
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Inapplicable, Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.model import Confidence, TaskCancel
from concview.text import duration, listed, plural

OLD_NS = 5_000_000_000
#: Function of asyncio.runners that cancels all tasks and waits for them.
_CANCELS_ALL = "_cancel_all_tasks"
#: That counts what was cancelled.
_FIRST = (3, 11)


class SwallowedCancellation:
    id: ClassVar[str] = "swallowed-cancellation"
    title: ClassVar[str] = "A task was cancelled and goes on"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(1.0, 1.0, "tasks", "[D] one is one too many")
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "tasks that were cancelled and go on"

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        hello = window.history.hello
        if hello is not None and tuple(int(n) for n in hello.target.python.split(".")[:2] if n.isdigit()) < _FIRST:
            raise Inapplicable(
                f"Python {hello.target.python} does not count how often a task was cancelled",
                "Python 3.11 or newer",
            )
        report = aio.history.report
        old = [c for c in report.cancelled if report.at_ns - c.since_ns >= OLD_NS] if report is not None else []
        tasks, ids = aio.history.tasks, {c.task for c in old}
        # A group that is cancelled waits for its tasks: it does not go on.
        old = [c for c in old if (task := tasks.get(c.task)) is not None and not ids & set(task.awaits)]
        if report is not None and old:
            yield self._one(aio, old, report.at_ns, _ending(window))

    def _one(self, aio: AioWindow, old: list[TaskCancel], now_ns: int, ending: bool) -> Observation:
        tasks = [aio.history.tasks[c.task] for c in old]
        first = tasks[0]
        ids = {c.task for c in old}
        waiting = [t.name for t in aio.history.tasks.values() if ids & set(t.awaits)]
        age = (now_ns - min(c.since_ns for c in old)) / 1e9
        times = max(c.times for c in old)
        run = first.current
        leaf = run.leaf if run is not None else None
        names = listed(list(dict.fromkeys(t.name for t in tasks)), 3)
        verb = "was" if len(old) == 1 else "were"
        often = f" up to {times} times" if times > 1 else ""
        summary = f"{names} {verb} cancelled{often}, at least {duration(age)} ago, and {_goes(len(old))} on"
        if leaf is not None:
            summary += f": {first.name} is in {evidence.frame_spot(leaf)}"
        if waiting:
            summary += f". {listed(waiting, 3)} {'waits' if len(waiting) == 1 else 'wait'} for that to end"
        if ending:
            summary += ". The program is at its end, and asyncio.run waits for that"
        return Observation(
            subject="cancelled",
            value=len(old),
            lower=len(old),
            samples=len(old),
            episodes=len(old),
            confidence=Confidence.EXACT,
            label=names,
            title=f"{plural(len(old), 'task')} {verb} cancelled and {_goes(len(old))} on",
            summary=summary + ".",
            gain="Time limits and shutdowns have an effect.",
            check_next=f"What catches the CancelledError in or above {evidence.frame_spot(leaf)}?",
            where=evidence.places(run.stack if run is not None else None),
            tasks=tuple(ids),
            stacks=_aio.shown("goes on", aio, first.id, run.stack if run is not None else None, "cancelled"),
            severity_cap="" if waiting or times > 1 or ending else "info",
        )


def _ending(window: Window) -> bool:
    """Whether a loop has cancelled all that it still had, and waits for these tasks."""
    runs = (thread.current for thread in window.history.threads.values())
    return any(f.function == _CANCELS_ALL for run in runs if run is not None for f in run.stack.frames)


def _goes(number: int) -> str:
    return "goes" if number == 1 else "go"


RULE = SwallowedCancellation()
