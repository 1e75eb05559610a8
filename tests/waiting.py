"""Waiting for all that a test asserts, not for a part of it: what else is true may come later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
#: What a check raises whose objects are not there yet: too few to unpack, none of that name.
NOT_YET = (AssertionError, LookupError, StopIteration, ValueError)


def passes(check: Callable[[], _T], seconds: float = 60.0, step: Callable[[], object] = lambda: time.sleep(0.02)) -> _T:
    """Take a step and check, again and again until the check raises nothing; its value. Fails at the deadline with what
    the last check said."""
    deadline = time.monotonic() + seconds
    while True:
        step()
        try:
            return check()
        except NOT_YET:
            if time.monotonic() > deadline:
                raise


def given_time(check: Callable[[float], _T], *seconds: float) -> _T:
    """`check` with the first of these durations in which it passes: on a full machine a look of so many seconds shows
    less. For what must be seen in the end only; what must never be seen is looked for once."""
    for each in seconds[:-1]:
        try:
            return check(each)
        except NOT_YET:
            continue
    return check(seconds[-1])
