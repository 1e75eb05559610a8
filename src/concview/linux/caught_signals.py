"""By how many signals something outside of a process could make it go on.

A signal that a process catches runs a handler of its own. Ctrl-C's does not count: Python catches it in every program,
to raise KeyboardInterrupt. Nor do those that the kernel sends for a fault of the process itself (faulthandler catches
them), and those beyond 31, which the C library uses.
"""

from __future__ import annotations

import contextlib
import signal

from concview.linux.process_facts import ProcessFacts

_NOT_COUNTED = (
    signal.SIGINT, signal.SIGILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV, signal.SIGSYS,
)  # fmt: skip
_COUNTED = ((1 << 31) - 1) & ~sum(1 << number - 1 for number in _NOT_COUNTED)


def counted(caught: int) -> int:
    """Of a set of signals as the kernel gives it, a bit each."""
    return (caught & _COUNTED).bit_count()


def caught_signals(process: ProcessFacts) -> int:
    """-1: not known."""
    with contextlib.suppress(OSError, ValueError), open(f"{process.folder}/status", "rb") as file:
        for line in file:
            if line.startswith(b"SigCgt:"):
                return counted(int(line[7:], 16))
    return -1
