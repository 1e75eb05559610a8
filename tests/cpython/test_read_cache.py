"""Answers that follow from memory are believed as long as not a byte of what was read for them differs."""

from __future__ import annotations

import ctypes
import os

from concview.cpython.memory import MAX_SEGMENTS, Memory
from concview.cpython.read_cache import ReadCache, Seen, still


def seen(memory: Memory, *addresses: int) -> Seen:
    reads = [(address, 8) for address in addresses]
    return Seen(reads, memory.read_many(reads))


def test_what_changed_and_what_is_gone_is_told_apart_from_the_rest() -> None:
    memory, words = Memory(os.getpid()), (ctypes.c_uint64 * 4)(1, 2, 3, 4)
    first, second, third, _ = [ctypes.addressof(words) + 8 * i for i in range(4)]
    all_of_them = [seen(memory, first, second), seen(memory, second, 8), seen(memory, third), seen(memory, 16)]
    assert all_of_them[1].parts == [(2).to_bytes(8, "little"), None]
    assert still(memory, all_of_them) == [True] * 4
    words[1] = 7
    assert still(memory, all_of_them) == [False, False, True, True]
    assert still(memory, []) == []


def test_many_need_few_calls_and_more_than_fit_are_still_told() -> None:
    memory, words = Memory(os.getpid()), (ctypes.c_uint64 * (2 * MAX_SEGMENTS))()
    start = ctypes.addressof(words)
    many = [seen(memory, start + 16 * i, start + 16 * i + 8) for i in range(MAX_SEGMENTS)]
    before = memory.calls
    assert still(memory, many[:100]) == [True] * 100
    assert memory.calls == before + 1
    words[2 * 700] = 1
    assert [i for i, same in enumerate(still(memory, many)) if not same] == [700]


def test_an_answer_is_worked_out_again_only_when_what_it_depends_on_changed() -> None:
    memory, words = Memory(os.getpid()), (ctypes.c_uint64 * 2)(5, 6)
    start = ctypes.addressof(words)
    answers = ReadCache[int](memory)

    def sum_of_it() -> int:
        return memory.word(start) + memory.word(start + 8) + memory.word(start)

    assert answers.ask_many(["sum"]) == {}
    assert answers.ask("sum", sum_of_it) == 16
    assert answers.ask("sum", lambda: 0) == 16
    assert answers.ask_many(["sum", "other", "sum"]) == {"sum": 16}
    words[0] = 1
    assert answers.ask_many(["sum"]) == {}
    assert answers.ask("sum", sum_of_it) == 8


def test_words_that_move_are_compared_with_what_they_are_to_be() -> None:
    memory, words = Memory(os.getpid()), (ctypes.c_uint64 * 3)(1, 2, 3)
    first, second, third = [ctypes.addressof(words) + 8 * i for i in range(3)]
    known = seen(memory, first)
    for value in (2, 9):
        words[1] = value
        both = known.and_words([second, third], [value.to_bytes(8, "little"), (3).to_bytes(8, "little")])
        assert still(memory, [both, known]) == [True, True]
    words[1] = 4
    assert still(memory, [both, known]) == [False, True]
    words[0] = 4
    assert still(memory, [known]) == [False]
