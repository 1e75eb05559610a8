"""The system call that a thread is in now, read once: number, arguments, stack pointer."""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

from concview.linux import syscalls
from concview.linux.process_facts import ProcessFacts, facts_of
from concview.linux.syscalls import Shape


class SyscallLine(NamedTuple):
    name: str
    shape: Shape
    arguments: tuple[int, ...]
    stack_pointer: int


_table = cache(syscalls.table)


def read(process: int | ProcessFacts, tid: int) -> SyscallLine | None:
    """None for a thread that runs, has ended, or cannot be looked at."""
    try:
        fd = os.open(f"{facts_of(process).folder}/task/{tid}/syscall", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fields = os.read(fd, 256).split()
        finally:
            os.close(fd)
        if len(fields) != 9:
            return None
        number = int(fields[0])
        words = tuple([int(field, 16) for field in fields[1:]])
        name, shape = _table().get(number, ("", Shape.OTHER))
    except (OSError, ValueError, LookupError):
        return None
    return SyscallLine(name, shape, words[:6], words[6])
