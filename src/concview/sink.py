"""Where those who look at a process put what they saw; the collector's recorder writes it as events."""

from __future__ import annotations

from typing import Protocol

from concview.model import Event, Hold, Label, TaskWait, Wait


class Sink(Protocol):
    """Where an engine puts what it saw. All ids are small positive integers; 0 means unknown.

    The ids stay valid until `generation` changes (the tables are bounded); an engine that caches ids compares it.
    """

    generation: int

    def frame(self, function: str, file: str, line: int, native: bool = False) -> int:
        """Id of one line of one function. Strings may be raw: they are cleaned here."""
        ...

    def stack(self, frames: tuple[int, ...], truncated: bool = False) -> int:
        """Id of a stack of frame ids, leaf first."""
        ...

    def wait(self, wait: Wait) -> int: ...

    def waited(self, number: int) -> Wait:
        """What `wait` gave that number; NO_WAIT for 0 and for numbers that are void."""
        ...

    def task_wait(self, wait: TaskWait) -> int: ...

    def holds(self, holds: tuple[Hold, ...]) -> int: ...

    def label(self, label: Label) -> int: ...

    def thread(self, tid: int, name: str, started_ns: int = 0, native: bool = False) -> None:
        """Announce a thread, or its new name. Cheap when nothing changed."""
        ...

    def thread_gone(self, tid: int, at_ns: int) -> None: ...

    def tick(
        self,
        at_ns: int,
        gil_holder: int,
        collecting: bool,
        rows: list[tuple[int, int, int, int]],
        gil_switches: int = -1,
    ) -> None:
        """One sample of all threads: (tid, stack id, wait id, holds id) for each thread that may have changed.

        The recorder drops rows equal to the thread's last one and derives the weight from the previous tick.
        """
        ...

    def emit(self, event: Event) -> None:
        """Any other event."""
        ...
