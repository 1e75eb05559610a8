"""A batch job: one thread, one core, all of it used, nobody waiting."""

from __future__ import annotations

from _program import perform


def collatz(start: int) -> int:
    steps = 0
    while start != 1:
        start = start // 2 if start % 2 == 0 else 3 * start + 1
        steps += 1
    return steps


def program() -> object:
    def forever() -> None:
        number = 0
        while True:
            number += 1
            collatz(number % 1_000_000 + 1)

    return forever


if __name__ == "__main__":
    perform(program)
