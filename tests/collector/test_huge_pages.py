"""What of our own memory is asked for on large pages; that a kernel without them changes nothing."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from concview.collector import huge_pages

MIB = 1 << 20


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("7f0000000000-7f0000800000 rw-p 00000000 00:00 0 ", (0x7F0000000000, 0x7F0000800000)),
        ("7f0000001000-7f00007ff000 rw-p 00000000 00:00 0 [heap]", (0x7F0000200000, 0x7F0000600000)),
        ("7f0000000000-7f0000200000 r-xp 00000000 fe:00 7 /usr/bin/python3.12", (0x7F0000000000, 0x7F0000200000)),
        ("7f0000000000-7f0000200000 r-xp 00000000 fe:00 7 /usr/lib/libssl.so.3", None),  # no code of ours
        ("7f0000001000-7f0000200000 rw-p 00000000 00:00 0 ", None),  # no whole large page
        ("7f0000000000-7f0000800000 rw-p 00000000 00:00 0 [stack]", None),
        ("7f0000000000-7f0000800000 rw-s 00000000 00:01 7 /dev/zero (deleted)", None),
    ],
)
def test_whole_large_pages_of_the_heap_and_of_the_interpreters_code(line: str, expected: Any) -> None:
    assert huge_pages._wanted(line) == expected


@pytest.mark.parametrize("allowed", [True, False])
def test_no_more_than_its_bound_is_asked_for_and_a_refusal_is_no_error(
    allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Library:
        def __init__(self, name: None) -> None:
            def madvise(start: int, size: int, advice: int) -> int:
                asked.append(size)
                return 0 if allowed else -1

            self.madvise = madvise

    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(huge_pages, "MOST", 8 * MIB)
    maps = "".join(f"{n << 32:x}-{(n << 32) + 6 * MIB:x} rw-p 00000000 00:00 0 \n" for n in range(1, 5))
    monkeypatch.setattr(huge_pages.Path, "read_text", lambda *_: maps)
    assert huge_pages.collapse() == (8 * MIB if allowed else 0)
    assert (sum(asked) == 8 * MIB) is allowed and all(size % (2 * MIB) == 0 for size in asked)


def test_where_nothing_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert huge_pages.collapse() == 0
