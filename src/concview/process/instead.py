"""Of a process that is not CPython: what it is instead, and whether one below it is the one that is meant."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from pathlib import Path

from concview.linux.family import children_of
from concview.process.pythons import python_of

#: Other implementations, by a file that each has mapped, and what looks into them.
_OTHERS = (
    ("PyPy", re.compile(rb"/(?:libpypy[\w.-]*\.so|pypy3?(?:\.\d+)?(?:-c)?)$", re.M), "vmprof profiles PyPy"),
    ("GraalPy", re.compile(rb"/(?:graalpy[\w.-]*|libpythonvm\.so)$", re.M), "GraalPy has --cpusampler"),
    ("a Java program (Jython?)", re.compile(rb"/libjvm\.so$", re.M), "jstack PID shows its threads"),
    ("MicroPython", re.compile(rb"/micropython[\w.-]*$", re.M), ""),
)
#: Processes below it that are looked at.
_MOST = 200


def other_python(pid: int) -> tuple[str, str]:
    """(which other implementation runs in it, what would help); ('', '') for none that is known."""
    with contextlib.suppress(OSError):
        maps = Path(f"/proc/{pid}/maps").read_bytes()
        for name, files, remedy in _OTHERS:
            if files.search(maps):
                return name, remedy
    return "", ""


def pythons_below(pid: int) -> list[int]:
    """The nearest processes below it in which CPython runs: of a launcher (a shell, a supervisor, the starter of a
    program in one file, sudo) those that it started."""
    found: list[int] = []
    waiting, looked = deque([pid]), 0
    while waiting and looked < _MOST:
        for child in children_of(waiting.popleft()):
            looked += 1
            python = None
            with contextlib.suppress(OSError):
                python = python_of(child)
            if python is not None:
                found.append(child)
            else:
                waiting.append(child)
    return found
