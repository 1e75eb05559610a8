"""Answers that follow from memory alone, kept with what was read for them.

A lock behind a Condition is five reads away, each of which depends on the one before. Nothing guarantees that the
object is still the same next time, so no answer is believed by its address. But what was read for it is known by then:
all of it is read again in one call, and when no byte differs, the same steps would lead to the same answer.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from concview.cpython.memory import Memory

#: Answers kept; and the reads that one may depend on, with their bytes.
MAX_ANSWERS = 4096
MAX_READS = 48
MAX_BYTES = 4096

T = TypeVar("T")
Reads = list[tuple[int, int]]


class Seen:
    """What was read once, laid out to be read again and compared as one piece."""

    __slots__ = ("data", "parts", "reads", "size", "words")

    def __init__(self, reads: Reads, parts: list[bytes | None]) -> None:
        pairs = dict.fromkeys(zip(reads, parts, strict=True))  # each byte once, unless it changed meanwhile
        self.reads, self.parts = [read for read, _ in pairs], [part for _, part in pairs]
        self.words = array("Q", [n for read in self.reads for n in read])
        self.data = b"".join([part or b"" for part in self.parts])
        self.size = sum(size for _, size in self.reads)

    def and_words(self, addresses: Iterable[int], words: list[bytes]) -> Seen:
        """The same, and words that are to read so."""
        more = Seen.__new__(Seen)
        reads = [(address, 8) for address in addresses]
        more.reads, more.parts = self.reads + reads, [*self.parts, *words]
        more.words = self.words + array("Q", [n for read in reads for n in read])
        more.data, more.size = self.data + b"".join(words), self.size + 8 * len(reads)
        return more


def still(memory: Memory, seen: list[Seen]) -> list[bool]:
    """Which of them read as they did. One call, unless something is gone or they are too many."""
    if not seen:
        return []
    words, size = array("Q"), 0
    for each in seen:
        words += each.words
        size += each.size
    data = memory.read_joined(words, size)
    if data is None:
        if len(seen) == 1:
            return [memory.read_many(seen[0].reads) == seen[0].parts]
        half = len(seen) // 2
        return still(memory, seen[:half]) + still(memory, seen[half:])
    same: list[bool] = []
    at = 0
    for each in seen:
        same.append(data[at : at + each.size] == each.data)
        at += each.size
    return same


class ReadCache(Generic[T]):
    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._known: dict[Hashable, tuple[Seen, T]] = {}

    def clear(self) -> None:
        self._known.clear()

    def ask(self, key: Hashable, work_out: Callable[[], T]) -> T:
        """The answer. `key`: everything that it depends on besides memory."""
        known = self._known.get(key)
        if known is not None and still(self._memory, [known[0]])[0]:
            return known[1]
        return self.work_out(key, work_out)

    def ask_many(self, keys: Iterable[Hashable]) -> dict[Hashable, T]:
        """Those of the answers that are known and still hold, in one call."""
        known = self._known
        asked = [(key, known[key]) for key in dict.fromkeys(keys) if key in known]
        same = still(self._memory, [seen for _, (seen, _) in asked])
        return {key: answer for (key, (_, answer)), holds in zip(asked, same, strict=True) if holds}

    def work_out(self, key: Hashable, work_out: Callable[[], T]) -> T:
        """Anew, whatever is known."""
        memory = self._memory
        log = memory.log = []
        try:
            answer = work_out()
        finally:
            memory.log = None
        # What was never an address can be no part of a call that reads all again.
        able = all(0 < a < 1 << 63 and n >= 0 for a, n, _ in log)
        if able and len(log) <= MAX_READS and sum(n for _, n, _ in log) <= MAX_BYTES:
            if len(self._known) >= MAX_ANSWERS:
                self._known.clear()
            self._known[key] = Seen([(a, n) for a, n, _ in log], [data for _, _, data in log]), answer
        else:
            self._known.pop(key, None)
        return answer

    def drop(self, key: Hashable) -> None:
        self._known.pop(key, None)

    # For answers together with something else in one call: read what `reads` gives, hand the bytes to `answer`.

    def reads(self, keys: Iterable[Hashable]) -> dict[Hashable, Reads]:
        """What must be read to know whether the answers to these still hold; only those that are known."""
        known = self._known
        return {key: known[key][0].reads for key in dict.fromkeys(keys) if key in known}

    def known(self, key: Hashable) -> bool:
        """Whether `depends` can tell."""
        return key in self._known

    def depends(self, key: Hashable) -> tuple[Reads, list[bytes | None]]:
        """What the answer that is known depends on: reads, and what they gave."""
        seen, _ = self._known[key]
        return seen.reads, seen.parts

    def answer(self, key: Hashable, parts: list[bytes | None]) -> tuple[bool, T | None]:
        """(whether it still holds, the answer)."""
        seen, answer = self._known[key]
        return (True, answer) if parts == seen.parts else (False, None)
