"""A task has failed, and nobody has asked for its exception.

What it sees:
    Tasks that ended with an exception which nothing has retrieved, while something still refers to the task.

Why it hurts:
    The work of that task is not done any more, and nobody knows. asyncio prints 'Task exception was never retrieved'
    when the task is thrown away; as long as somebody keeps it, not even that. When a consumer has died like this its
    queue grows; when a heartbeat has, its peer gives up.

How it is measured:
    The future's own flag that its exception was not logged yet, read from memory for every task that was seen to end
    with one; those older than 3 s are counted (until then somebody may be about to await it). Thresholds 1 and 1 [D]:
    one is one too many; demo pair 3 and more (bad), none (fixed).

Fix:
    Let somebody wait for every task: a TaskGroup (3.11 and newer) fails with it.

        async with asyncio.TaskGroup() as group: group.create_task(consume(queue))

    Without one: look at its result when it ends.

        task.add_done_callback(lambda t: t.cancelled() or t.exception() and log.error("died", exc_info=t.exception()))

When it is fine:
    A task that is awaited only later, by somebody who is not there yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.tasks.records import TaskHistory
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.model import Confidence, TaskFailure
from concview.text import duration, listed, plural

OLD_NS = 3_000_000_000
#: Tasks that are there at the beginning are taken in within so long.
FIRST_NS = 1_000_000_000


class NeverRetrievedException:
    id: ClassVar[str] = "never-retrieved-exception"
    title: ClassVar[str] = "A task failed, and its exception was not retrieved"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(1.0, 1.0, "tasks", "[D] one is one too many")
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "failed tasks whose exception was not retrieved"

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        report = aio.history.report
        if report is None or not report.failures:
            return
        old = [f for f in report.failures if report.at_ns - f.since_ns >= OLD_NS]
        if not old:
            return
        #: Of more than are told, those that are not are as old as the newest that is, or newer: not counted.
        number = len(old)
        gone = {t.id: t for t in aio.history.gone}
        known = [gone[f.task] for f in old if f.task in gone]
        functions = Counter(t.function for t in known if t.function is not None)
        classes = Counter(f.exception for f in old)
        function = functions.most_common(1)[0][0] if functions else None
        age = (report.at_ns - min(f.since_ns for f in old)) / 1e9
        # Of one that had failed before anybody looked, nothing tells when.
        when = "at least" if any(f.since_ns <= aio.history.first_ns + FIRST_NS for f in old) else "up to"
        names = f" of {function.function}" if function is not None and len(functions) == 1 else ""
        more = f" ({report.unretrieved} in all)" if report.unretrieved > number else ""
        last = known[-1].runs[-1] if known and known[-1].runs else None
        summary = (
            f"{plural(number, 'task')}{names}{more} ended with {listed(list(classes), 3)} {when} {duration(age)} ago, "
            f"and nothing has asked for the exception{_told(known, old)}"
        )
        yield Observation(
            subject="exceptions",
            value=number,
            lower=number,
            samples=number,
            episodes=number,
            confidence=Confidence.EXACT,
            title=f"{plural(number, 'task')}{names} failed with {listed(list(classes), 2)}, not retrieved",
            summary=summary + ".",
            gain="The program learns that this work failed.",
            check_next="Who keeps these tasks, and when will it look at them?",
            where=(evidence.at(function),) if function is not None else (),
            tasks=tuple(f.task for f in old),
            stacks=_aio.shown("last seen", aio, known[-1].id, last.stack, "before it ended")
            if last is not None
            else (),
        )


def _told(known: list[TaskHistory], old: list[TaskFailure]) -> str:
    names = [t.name for t in known]
    return f": {listed(names, 3)}" if names and len(old) < 10 else ""


RULE = NeverRetrievedException()
