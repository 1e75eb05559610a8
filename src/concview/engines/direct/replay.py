"""Answers that follow from memory alone, kept with what was read for them.

A lock behind a Condition is five reads away, each of which depends on the one before. Nothing guarantees that the
object is still the same next time, so no answer is believed by its address. But what was read for it is known by then:
all of it is read again in one call, and when no byte differs, the same steps would lead to the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from concview.engines.direct.memory import Memory

#: Answers kept; and the reads that one may depend on, with their bytes.
MAX_ANSWERS = 4096
MAX_READS = 48
MAX_BYTES = 8192

T = TypeVar("T")
Reads = list[tuple[int, int]]


class Replay(Generic[T]):
    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._known: dict[Hashable, tuple[Reads, list[bytes | None], T]] = {}

    def clear(self) -> None:
        self._known.clear()

    def ask(self, key: Hashable, work_out: Callable[[], T]) -> T:
        """The answer. `key`: everything that it depends on besides memory."""
        known = self._known.get(key)
        if known is not None and self._memory.read_many(known[0]) == known[1]:
            return known[2]
        return self.work_out(key, work_out)

    def work_out(self, key: Hashable, work_out: Callable[[], T]) -> T:
        """Anew, whatever is known."""
        memory = self._memory
        log = memory.log = []
        try:
            answer = work_out()
        finally:
            memory.log = None
        if len(log) <= MAX_READS and sum(n for _, n, _ in log) <= MAX_BYTES:
            if len(self._known) >= MAX_ANSWERS:
                self._known.clear()
            self._known[key] = [(a, n) for a, n, _ in log], [data for _, _, data in log], answer
        else:
            self._known.pop(key, None)
        return answer

    # For many answers in one call: read what `reads` gives, then hand the bytes to `answer`.

    def reads(self, keys: Iterable[Hashable]) -> dict[Hashable, Reads]:
        """What must be read to know whether the answers to these still hold; only those that are known."""
        known = self._known
        return {key: known[key][0] for key in dict.fromkeys(keys) if key in known}

    def depends(self, key: Hashable) -> tuple[Reads, list[bytes | None]]:
        """What the answer that is known depends on: reads, and what they gave."""
        reads, parts, _ = self._known[key]
        return reads, parts

    def answer(self, key: Hashable, parts: list[bytes | None]) -> tuple[bool, T | None]:
        """(whether it still holds, the answer)."""
        _, before, answer = self._known[key]
        return (True, answer) if parts == before else (False, None)
