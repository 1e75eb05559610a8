"""A recording in a file: for those that read it through once, without a session's history and judgements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from concview import codec
from concview.analysis import task_samples
from concview.analysis.samples import Samples, Selection, Together
from concview.analysis.samples import read as read_threads
from concview.analysis.task_samples import TaskSamples
from concview.model import AnyEvent
from concview.session.several import Cast

Read = Callable[[codec.Readable, int], Iterable[list[AnyEvent]]]


class Recording:
    """`path` may be read any number of times; each of the readers opens it anew. `number`: of several processes this
    one; `cast`: all of them together.

    Raises codec.StreamError when it is none of ours, OSError when it cannot be opened. What breaks off is read to its
    last whole block, and `broken` says so then.
    """

    def __init__(self, path: Path, number: int = 0, cast: Cast | None = None) -> None:
        self.path, self.number = path, number
        self._cast = cast if cast is not None and cast.processes and not number else None
        self.broken = ""

    def samples(
        self, selection: Selection | None = None, side: str = "waiter", gil_blockers: bool = False, tasks: bool = False
    ) -> Samples:
        """The lean way: who did what for how long. See `Samples`. `tasks`: tasks instead of threads, of one process."""
        if tasks:
            return TaskSamples(self._lean(self.number, task_samples.read), selection, side)
        cast = self._cast
        if cast is None:
            return Samples(self._lean(self.number), selection, side, gil_blockers)
        each = [(partial(self._lean, p.number), p.pid, p.name) for p in cast.watched]
        return Together(each, min((p.at_ns for p in cast.watched), default=0), selection, side, gil_blockers)

    def _lean(self, number: int, read: Read = read_threads) -> Iterator[list[AnyEvent]]:
        with self.path.open("rb") as file:
            try:
                yield from read(file, number)
            except codec.Damaged as error:
                self.broken = str(error)
                raise

    def events(self) -> Iterator[AnyEvent]:
        """Every event in full, of one process."""
        with self.path.open("rb") as file:
            try:
                for block in codec.read_blocks(file, of=self.number):
                    yield from block
            except codec.Damaged as error:  # what came before stands
                self.broken = str(error)
