"""The parsed files of one target, for all that is asked about them: `obligations` (of an object known by its address),
`wakes` (by names alone).

Files are parsed once and kept; how many, how large, and how much time it may take in one turn are bounded.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from concview.source.functions import EMPTY, File
from concview.source.parse import parse

#: Lines of the largest file that is looked at; files kept.
MOST_LINES, MOST_FILES = 20_000, 200
#: Seconds of parsing in one turn: the file that goes beyond is the last one.
PARSE_S = 0.15


class Uses:
    """The files of one target. `lines_of` gives a file's lines, the same object while it has not changed and none where
    they cannot be believed. At most `files` new ones are parsed in a turn: the others are not known yet."""

    def __init__(self, lines_of: Callable[[str], Sequence[str]], files: int = MOST_FILES) -> None:
        self._lines_of = lines_of
        self._turn = self._left = files
        self._files: OrderedDict[str, tuple[Sequence[str], File]] = OrderedDict()
        self._fresh: set[str] = set()  #: files that were asked about in this turn
        self._spent = 0.0
        self.parsed_s = 0.0  #: in all
        self.changes = 0  #: files parsed: what was answered before may be wrong now

    def refill(self) -> None:
        """A new turn: files are asked again whether they changed, and some more may be parsed."""
        self._left = self._turn
        self._spent = 0.0
        self._fresh.clear()

    def file(self, name: str) -> File | None:
        """Without any function where it cannot be read or is no Python that is known here; None: not yet known."""
        known = self._files.get(name)
        if known is not None and name in self._fresh:
            return known[1]
        if known is None and (self._left <= 0 or self._spent > PARSE_S):
            return None
        self._fresh.add(name)
        lines = self._lines_of(name) if name else ()
        if known is not None and known[0] is lines:
            self._files.move_to_end(name)
            return known[1]
        self._left -= 1
        began = time.perf_counter()
        made = parse("\n".join(lines)) if 0 < len(lines) <= MOST_LINES else EMPTY
        took = time.perf_counter() - began
        self._spent += took
        self.parsed_s += took
        self.changes += 1
        self._files[name] = lines, made
        while len(self._files) > MOST_FILES:
            self._files.popitem(last=False)
        return made
