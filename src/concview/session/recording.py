"""A recording in a file: for those that read it through once, without a session's history and judgements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from concview import codec
from concview.analysis import samples
from concview.analysis.samples import Samples, Selection
from concview.model import AnyEvent


class Recording:
    """`path` may be read any number of times; each of the readers opens it anew.

    Raises codec.StreamError when it is none of ours, OSError when it cannot be opened. What breaks off is read to its
    last whole block, and `broken` says so then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken = ""

    def samples(self, selection: Selection | None = None, side: str = "waiter", gil_blockers: bool = False) -> Samples:
        """The lean way: who did what for how long. See `Samples`."""
        return Samples(self._lean(), selection, side, gil_blockers)

    def _lean(self) -> Iterator[list[AnyEvent]]:
        with self.path.open("rb") as file:
            try:
                yield from samples.read(file)
            except codec.Damaged as error:
                self.broken = str(error)
                raise

    def events(self) -> Iterator[AnyEvent]:
        """Every event in full."""
        with self.path.open("rb") as file:
            try:
                for block in codec.read_blocks(file):
                    yield from block
            except codec.Damaged as error:  # what came before stands
                self.broken = str(error)
