"""Collectors of a test run's sessions are forked, as those of a tree are: starting one alone imports for a quarter of a
second each time. What depends on how one is started has its own."""

from __future__ import annotations

import atexit
from functools import cache

from concview.session.launcher import Nursery


@cache
def nursery() -> Nursery:
    """One for each of pytest's workers; it ends with it."""
    made = Nursery()
    atexit.register(made.close)
    return made
