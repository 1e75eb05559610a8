"""One call into C that does not let go of the GIL.

A form is checked with a regular expression; other threads send a heartbeat every 20 ms.

bad:   the expression has a repetition inside a repetition. On an address that does not match it tries everything,
       a fifth of a second inside the regex engine, which keeps the GIL: no heartbeat gets through.
fixed: an expression that says the same without nested repetition: microseconds.

Look at: the one line at which the GIL is held, and the threads that wait for it.
"""

from __future__ import annotations

import re
import time
from typing import Pattern

from _stage import perform, start  # type: ignore[import-not-found]

ID = "native-gil-hold"
GROUP = "GIL and scheduler"

NESTED = re.compile(r"(\w+\.?)+@")
PLAIN = re.compile(r"[\w.]+@")


def slow_address() -> str:
    """An address that keeps the nested expression busy for a fifth of a second on this machine."""
    length, spent = 14, 0.0
    while spent < 0.15:
        length += 1
        began = time.thread_time()
        NESTED.match("a" * length)
        spent = time.thread_time() - began
    return "a" * length


def heartbeat() -> None:
    while True:
        time.sleep(0.02)


def check(pattern: Pattern[str], address: str) -> None:
    while True:
        pattern.match(address)
        time.sleep(0.1)


def run(pattern: Pattern[str]) -> None:
    address = slow_address()
    for number in range(4):
        start(f"heartbeat-{number}", heartbeat)
    start("check-form", check, pattern, address)


def bad() -> None:
    run(NESTED)


def fixed() -> None:
    run(PLAIN)


if __name__ == "__main__":
    perform(bad, fixed)
