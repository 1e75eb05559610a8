"""What an exporter is: one file in this package, offering `EXPORTER`. Its name on the command line is the file's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from concview.model import AnyEvent


class Nothing(Exception):
    """The recording does not hold what the format is made of. One sentence, and the step that would help."""

    def __init__(self, why: str, enable: str = "") -> None:
        super().__init__(why)
        self.why, self.enable = why, enable


class Convert(Protocol):
    def __call__(self, events: Iterable[AnyEvent]) -> bytes:
        """The content of the file, from the events of a recording in their order. Raises Nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Exporter:
    """`summary`: which tools read it, in a few words."""

    summary: str
    convert: Convert
